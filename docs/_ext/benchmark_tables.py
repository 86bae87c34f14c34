"""The directive ``benchmark-tables`` and the role ``measured``: figures from ``docs/benchmarks/*.json``.

The files are what ``benchmarks/peers/<area>.py --json`` writes. The directive makes a section for each of
them. The role quotes one row in a sentence, so that no page keeps a figure of its own that grows old:

    {measured}`linear; ten stiff heat steps, 400 x 400; dstn`

reads "31 ms, numsolve 490 ms". Its fields are the file, the case, what the peer's name (without its version)
ends with and, where the case was measured in several ways, what the metric begins with.
"""

from __future__ import annotations

import html
import json
import math
import re
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective, SphinxRole

HEADS = ("Case", "Peer", "Theirs", "Ours", "Times better", "Their error", "Our error")


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


def bar(ratio: float | None) -> nodes.Node:
    """The ratio and a bar of its logarithm: a hundred times better fills the cell."""
    if ratio is None:
        return nodes.Text("–")
    width = min(abs(math.log10(ratio)) / 2, 1) * 100
    side = "better" if ratio >= 1 else "worse"
    text = html.escape(f"{ratio:.3g}" if ratio < 1000 else f"{ratio:.0f}")
    code = f'<span class="times-better {side}" style="--width: {width:.0f}%"><span>{text}</span></span>'
    return nodes.raw("", code, format="html")


def table(rows: list[dict]) -> nodes.table:
    """Rows of one metric."""
    group = nodes.tgroup(cols=len(HEADS))
    group += [nodes.colspec(colwidth=width) for width in (24, 20, 10, 10, 16, 10, 10)]
    head, body = nodes.thead(), nodes.tbody()
    head += line([nodes.Text(text) for text in HEADS])
    for row in rows:
        case = nodes.inline("", row["case"])
        if row["note"]:
            case += [
                nodes.Text(" "),
                nodes.inline("", f"({row['note']})", classes=["note"]),
            ]
        values = [
            number(row[key], row["unit"]) for key in ("peer_value", "numsolve_value")
        ]
        errors = [
            "–" if row[key] is None else f"{row[key]:.0e}"
            for key in ("peer_error", "numsolve_error")
        ]
        cells = [
            case,
            nodes.Text(row["peer"]),
            *map(nodes.Text, values),
            bar(row["ratio"]),
        ]
        body += line([*cells, *map(nodes.Text, errors)])
    group += [head, body]
    result = nodes.table(classes=["benchmark", "table-sm"])
    result += group
    return result


def line(cells: list[nodes.Node]) -> nodes.row:
    """One row of a table."""
    row = nodes.row()
    for cell in cells:
        paragraph = nodes.paragraph()
        paragraph += cell
        entry = nodes.entry()
        entry += paragraph
        row += entry
    return row


class BenchmarkTables(SphinxDirective):
    """Draw every result file of this folder."""

    def run(self) -> list[nodes.Node]:
        """Build one section for each file, one table for each metric."""
        sections: list[nodes.Node] = []
        for path in sorted(
            Path(self.env.doc2path(self.env.docname)).parent.glob("*.json")
        ):
            self.env.note_dependency(str(path))
            about = json.loads(path.read_text())
            section = nodes.section(ids=[nodes.make_id(path.stem)], names=[path.stem])
            section += nodes.title(text=path.stem.replace("_", " ").capitalize())
            versions = ", ".join(
                f"{name} {version}" for name, version in about["versions"].items()
            )
            threads = (
                "one thread" if about["threads"] == 1 else f"{about['threads']} threads"
            )
            setting = f"{about['date']}, {about['processor']}, {threads}, Python {about['python']}"
            section += nodes.paragraph(text=f"{setting}; {versions}.")
            for metric in dict.fromkeys(row["metric"] for row in about["rows"]):
                section += nodes.rubric(text=metric[:1].upper() + metric[1:])
                section += table(
                    [row for row in about["rows"] if row["metric"] == metric]
                )
            sections.append(section)
        return sections or [nodes.paragraph(text="No results have been recorded yet.")]


def quoted(about: dict, case: str, peer: str, metric: str = "") -> str:
    """The two figures of the one row that has this case and this peer; first calls have rows of their own."""
    rows = [
        row
        for row in about["rows"]
        if row["case"] == case
        and re.sub(r"^(\S+) \S+ ", r"\1 ", row["peer"]).endswith(peer)
        and row["metric"].startswith(metric)
        and row["metric"] != "first call"
    ]
    if len(rows) != 1:
        raise ValueError(
            f"{len(rows)} rows have the case {case!r} and a peer that ends with {peer!r}"
        )
    theirs, ours = (
        number(rows[0][key], rows[0]["unit"], 2)
        for key in ("peer_value", "numsolve_value")
    )
    return f"{theirs}, numsolve {ours}"


class Measured(SphinxRole):
    """Quote one row of a result file."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Read the row; a row that is not there is a warning of the build."""
        area, *row = (part.strip() for part in self.text.split(";"))
        path = Path(self.env.srcdir) / "benchmarks" / f"{area}.json"
        self.env.note_dependency(str(path))
        try:
            return [nodes.Text(quoted(json.loads(path.read_text()), *row))], []
        except (OSError, ValueError) as error:
            message = self.inliner.reporter.warning(
                f"measured: {error}", line=self.lineno
            )
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [
                message
            ]


def setup(app) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("benchmark-tables", BenchmarkTables)
    app.add_role("measured", Measured())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
