"""What the rows of ``docs/benchmarks/*.json`` say: areas, growth with the size, who wins, and one row alone.

A row is one comparison. Rows that differ only in the size of the problem are a series. The script names it
(``size`` and ``series`` in the harness), or the text of the cases gives it away: "ten stiff heat steps, 100 x
100" and "ten stiff heat steps, 200 x 200" are one series of sizes 10 000 and 40 000.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from statistics import geometric_mean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: in the order of the guide
AREAS = (
    "transport",
    "linear",
    "monotone",
    "fractional",
    "atomic",
    "implicit",
    "bilevel",
    "sketch",
    "neural_ode",
    "special",
)
#: result files that are not called after their area
ELSEWHERE = {"poisson": "linear", "poisson_networks": "linear"}
#: seconds in each unit that is one of time
SECONDS = {"s": 1.0, "ns": 1e-9}
FIRST_CALL = "first call"
#: cases that a sentence lists before it only counts them
SHOWN = 4

#: how a case gives its size, the power of it that counts, and what the name of the series says there
SIZES = (
    (r"\bn = (\d+)", 1, "n"),
    (r"\bZ = (\d+)", 1, "Z"),
    (r"\b(\d+) x \1 x \1\b", 3, "n x n x n"),
    (r"\b(\d+) x \1\b(?! x)", 2, "n x n"),
    (r"\b(\d+)\^3", 3, "n^3"),
    (r"\b(\d+) differences against \1 cubic", 1, "n differences against n cubic"),
    (r"\b(\d+) (?=splines|points)", 1, "n "),
)
#: a named program with its rows and columns: programs of one file are one series, of size rows times columns
PROGRAM = r"[^,]+, (\d+) x (\d+)"


def area(stem: str) -> str:
    """The area of a result file: "transport_clouds" belongs to transport."""
    found = [name for name in AREAS if re.fullmatch(rf"{name}(_\w+)?", stem)]
    return ELSEWHERE.get(stem, found[0] if found else stem)


def by_area(folder: Path) -> dict[str, list[tuple[str, dict]]]:
    """Each area's result files with their contents."""
    areas: dict[str, list[tuple[str, dict]]] = {}
    for path in sorted(folder.glob("*.json")):
        about = json.loads(path.read_text())
        areas.setdefault(area(path.stem), []).append((path.stem, about))
    return dict(
        sorted(areas.items(), key=lambda item: (*AREAS, item[0]).index(item[0]))
    )


def title(name: str) -> str:
    """An area or a file as a heading."""
    words = {"gpu": "GPU", "neural_ode": "Neural ODE"}
    return words.get(name, name.replace("_", " ").capitalize())


def peer(row: dict) -> str:
    """The peer's name without its version, which is the second word."""
    return re.sub(r"^(\S+) (?:\d+\.[\w.]*|\?)(?= |$)", r"\1", row["peer"])


def is_ours(row: dict, about: dict) -> bool:
    """Whether the other side is numsolve too (another setting, a bound) or only a yardstick."""
    first, _, rest = row["peer"].partition(" ")
    if first == "numsolve":
        return True
    others = {name.lower() for name in about["versions"]} - {"numsolve"}
    version = about["versions"]["numsolve"]
    with_our_version = rest == version or rest.startswith(f"{version} ")
    return (with_our_version and first.lower() not in others) or "(yardstick)" in row[
        "peer"
    ]


def read_size(case: str) -> tuple[float, str] | None:
    """The size that a case names, and the name of its series; None if it names none."""
    for pattern, power, letter in SIZES:
        if match := re.search(pattern, case):
            return int(match[1]) ** power, case.replace(match[0], letter)
    if match := re.fullmatch(PROGRAM, case):
        return int(match[1]) * int(match[2]), "programs of m x n"
    return None


@dataclass
class Series:
    """One problem at several sizes: for each side its (size, seconds), ours first."""

    name: str
    metric: str
    sides: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def sizes(self) -> list[float]:
        """The sizes at which we were measured."""
        return sorted({size for size, _ in self.sides["numsolve"]})


def exponent(points: list[tuple[float, float]]) -> float | None:
    """The power of the size with which the time grows, fitted in logarithms; None for a single size."""
    if len({size for size, _ in points}) < 2:
        return None
    xs, ys = ([math.log(value) for value in pair] for pair in zip(*points, strict=True))
    x0, y0 = sum(xs) / len(xs), sum(ys) / len(ys)
    rise = sum((x - x0) * (y - y0) for x, y in zip(xs, ys, strict=True))
    return rise / sum((x - x0) ** 2 for x in xs)


def series(about: dict) -> list[Series]:
    """The series of a result file whose figures are times of at least two sizes."""
    found: dict[tuple[str, str], Series] = {}
    for row in about["rows"]:
        if row["unit"] not in SECONDS or row["metric"] == FIRST_CALL:
            continue
        known = (
            (row["size"], row["series"]) if "size" in row else read_size(row["case"])
        )
        if known is None:
            continue
        size, name = known
        one = found.setdefault((name, row["metric"]), Series(name, row["metric"]))
        for side, key in (("numsolve", "numsolve_value"), (peer(row), "peer_value")):
            points = one.sides.setdefault(side, [])
            value = row[key]
            if value and (size, value * SECONDS[row["unit"]]) not in points:
                points.append((size, value * SECONDS[row["unit"]]))
    return [one for one in found.values() if len(one.sizes()) > 1]


def powers(one: Series) -> dict[str, float]:
    """For each side of a series the power with which its time grows."""
    found = {side: exponent(points) for side, points in one.sides.items()}
    return {side: power for side, power in found.items() if power is not None}


@dataclass
class Summary:
    """How one peer stands beside us in an area: all its times in one line."""

    peer: str
    rows: int
    mean: float  # geometric, of times better
    least: float
    most: float
    missed: int  # rows in which the peer misses the tolerance


def summaries(files: list[dict]) -> list[Summary]:
    """One line for each other package, those that win most at the head."""
    lines = []
    for (name, timed), rows in compared(files).items():
        if not timed:
            continue
        ratios = [row["ratio"] for row in rows]
        lines.append(
            Summary(
                peer=name,
                rows=len(rows),
                mean=geometric_mean(ratios),
                least=min(ratios),
                most=max(ratios),
                missed=sum("peer missed" in row["note"] for row in rows),
            )
        )
    return sorted(lines, key=lambda line: line.mean)


def compared(files: list[dict]) -> dict[tuple[str, bool], list[dict]]:
    """The rows of an area by peer, those of times apart; no first calls, and no numsolve beside itself."""
    found: dict[tuple[str, bool], list[dict]] = {}
    for about in files:
        for row in about["rows"]:
            if row["ratio"] and row["metric"] != FIRST_CALL and not is_ours(row, about):
                found.setdefault((peer(row), row["unit"] in SECONDS), []).append(row)
    return found


def losses(files: list[dict]) -> list[str]:
    """Sentences that say where another package is better than we are; first calls come last."""
    sentences = []
    for (name, timed), theirs in compared(files).items():
        lost = [row for row in theirs if row["ratio"] < 1]
        if lost:
            lost.sort(key=lambda row: row["ratio"])
            shown = "; ".join(map(told, lost[:SHOWN]))
            rest = f"; and {len(lost) - SHOWN} more" if len(lost) > SHOWN else ""
            word = "Slower" if timed else "Worse"
            sentences.append(
                f"{word} than {name} in {len(lost)} of {len(theirs)}: {shown}{rest}."
            )
    first = [
        row
        for about in files
        for row in about["rows"]
        if row["ratio"] and row["metric"] == FIRST_CALL and not is_ours(row, about)
    ]
    if late := sum(row["ratio"] < 1 for row in first):
        sentences.append(
            f"The first call is slower than the peer's in {late} of {len(first)}."
        )
    return sentences


def told(row: dict) -> str:
    """One lost case: what it was and how many times worse we are."""
    what = row["case"] if row["unit"] in SECONDS else f"{row['case']}, {row['metric']}"
    factor = 1 / row["ratio"]
    aside = f"{factor:.2f} times" if factor < 1.1 else f"{factor:.2g} times"
    if "peer missed" in row["note"]:
        aside += ", but the peer misses the tolerance"
    return f"{what} ({aside})"


def number(value: float | None, unit: str = "", digits: int = 3) -> str:
    """A few digits, times in a readable unit."""
    if value is None:
        return "–"
    if unit == "s":
        for limit, factor, name in ((1, 1, "s"), (1e-3, 1e3, "ms"), (0, 1e6, "µs")):
            if value >= limit:
                value, unit = value * factor, name
                break
    rounded = f"{value:.{digits}g}"
    return (
        f"{float(rounded):g} {unit}".strip()
        if digits < 3
        else f"{rounded} {unit}".strip()
    )


def find(about: dict, case: str, other: str, metric: str = "") -> dict:
    """The one row of a case and a peer; those of first calls only where the metric is named in full."""
    begins = other.endswith("...")
    rows = [
        row
        for row in about["rows"]
        if row["case"] == case
        and (peer(row).startswith(other[:-3]) if begins else peer(row).endswith(other))
        and row["metric"].startswith(metric)
        and (row["metric"] != FIRST_CALL or metric == FIRST_CALL)
    ]
    if len(rows) != 1:
        raise ValueError(
            f"{len(rows)} rows have the case {case!r} and a peer that fits {other!r}"
        )
    return rows[0]


def measured(row: dict) -> str:
    """Both figures."""
    return f"{theirs(row)}, numsolve {ours(row)}"


def ours(row: dict) -> str:
    """Our figure."""
    return number(row["numsolve_value"], row["unit"], 2)


def theirs(row: dict) -> str:
    """The peer's figure."""
    return number(row["peer_value"], row["unit"], 2)


def ratio(row: dict) -> str:
    """The peer's figure over ours."""
    return number(row["ratio"], "", 2)


def more(row: dict) -> str:
    """How many per cent the peer's figure is above ours, or below it."""
    part = 100 * (row["ratio"] - 1)
    return f"{part:+.{1 if abs(part) < 9.95 else 0}f} %".replace("-", "−")


def times(row: dict, sign: str) -> str:
    """The larger figure over the smaller one; a sign that does not hold is an error."""
    holds = row["ratio"] and (row["ratio"] > 1 if sign == "<" else row["ratio"] < 1)
    if sign not in ("<", ">") or not holds:
        raise ValueError(f"{sign!r} does not hold: peer / numsolve is {row['ratio']}")
    return f"{number(max(row['ratio'], 1 / row['ratio']), '', 2)} times"


ROLES = {
    quote.__name__: quote for quote in (measured, ours, theirs, ratio, more, times)
}


def say(role: str, text: str, folder: Path) -> str:
    """What a role says: its text names the file in this folder and the row in it."""
    stem, *fields = (part.strip() for part in text.split(";"))
    about = json.loads((folder / f"{stem}.json").read_text())
    if role == "times":
        sign, *fields = fields
        return times(find(about, *fields), sign)
    return ROLES[role](find(about, *fields))
