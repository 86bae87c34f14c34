"""What a stop of the tour is, how it is visited, and what a visit leaves."""

from __future__ import annotations

import base64
import functools
import importlib.util
import inspect
import io
import textwrap
import time
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

AREAS = (
    "transport",
    "linear",
    "monotone",
    "fractional",
    "atomic",
    "sketch",
    "implicit",
    "bilevel",
    "special",
    "neural_ode",
)
#: each side is timed this often, or for this long, whichever ends first
REPEATS, PATIENCE = 7, 4.0


@dataclass(frozen=True)
class Judgement:
    """How good two answers are, by a measure that neither solver knows.

    Parameters
    ----------
    measure : str
        What is measured, in words.
    ours, theirs : str
        Its value for each side, as shown in the table.
    good : bool
        Whether our answer is as good as the stop promises.
    usable : bool
        Whether the other answer can be used at all.
    """

    measure: str
    ours: str
    theirs: str
    good: bool
    usable: bool = True


@dataclass(frozen=True)
class Stop:
    """One problem on real data, solved by a column of numsolve and by the usual tool.

    Parameters
    ----------
    title, solved : str
        A heading, and what is solved in one sentence.
    words : str
        A paragraph of HTML below the picture: what one sees, and where the other tool is better.
    size : str
        How large the problem is.
    peer : str
        The usual tool: the name of the call.
    needs : tuple of str
        The packages that the usual tool needs, beyond those of the tour.
    load : callable
        Return the data, by name.
    ours, theirs : callable
        Solve, given the data by name. The body of `ours` is shown on the page.
    judge : callable
        ``judge(data, ours, theirs)``, with what both returned (None if the usual tool is missing).
    draw : callable
        ``draw(data, ours, theirs)``, a figure.
    shown : tuple of callable
        Functions that are shown before the body of `ours`.
    """

    title: str
    solved: str
    words: str
    size: str
    peer: str
    load: Callable[[], dict[str, Any]]
    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    judge: Callable[[dict[str, Any], Any, Any], Judgement]
    draw: Callable[[dict[str, Any], Any, Any], Figure]
    needs: tuple[str, ...] = ()
    shown: tuple[Callable[..., Any], ...] = ()

    @property
    def code(self) -> str:
        """The functions of `shown`, and the body of `ours`: what the user would write."""
        before = [inspect.getsource(inspect.unwrap(each)) for each in self.shown]
        lines = inspect.getsource(self.ours).splitlines()
        start = next(i for i, line in enumerate(lines) if line.endswith('"""')) + 1
        end = len(lines) - lines[-1].strip().startswith("return ")
        body = textwrap.dedent("\n".join(lines[start:end])).strip()
        return "\n\n".join([*before, body])


@dataclass(frozen=True)
class Visit:
    """What the page shows of a stop. Times are seconds; None is not measured."""

    area: str
    title: str = ""
    solved: str = ""
    words: str = ""
    size: str = ""
    peer: str = ""
    code: str = ""
    measure: str = ""
    accuracy: str = ""
    peer_accuracy: str = ""
    first: float | None = None
    seconds: float | None = None
    peer_seconds: float | None = None
    picture: str = ""
    trouble: str = ""
    good: bool = False
    usable: bool = True


def stop_of(area: str) -> Stop:
    """Load the stop of a column."""
    stop: Stop = importlib.import_module(f"stops.{area}").STOP
    return stop


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of one call, and what it returned."""
    began = time.perf_counter()
    answer = call()
    return time.perf_counter() - began, answer


def first_visit(stop: Stop, area: str) -> tuple[Visit, dict[str, Any]]:
    """Solve once with each side, judge and draw: all but the warm times."""
    data = stop.load()
    first, ours = timed(functools.partial(stop.ours, **data))
    there = all(importlib.util.find_spec(name) for name in stop.needs)
    theirs = stop.theirs(**data) if there else None
    judged = stop.judge(data, ours, theirs)
    visit = Visit(
        area,
        stop.title,
        stop.solved,
        stop.words,
        stop.size,
        stop.peer if there else f"{stop.peer}, not installed",
        stop.code,
        judged.measure,
        judged.ours,
        judged.theirs if there else "",
        first,
        picture=as_text(stop.draw(data, ours, theirs)),
        trouble="" if judged.good else "The answer is not as good as promised.",
        good=judged.good,
        usable=judged.usable,
    )
    return visit, data


def warm_times(stop: Stop, visit: Visit, data: dict[str, Any]) -> Visit:
    """Add the warm times: the median of some runs of each side, in turn."""
    there = not visit.peer.endswith("not installed")
    sides = {"ours": stop.ours} | ({"theirs": stop.theirs} if there else {})
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(REPEATS):
        for side, call in sides.items():
            if sum(seconds[side]) < PATIENCE:
                seconds[side].append(timed(functools.partial(call, **data))[0])
    middle = {side: sorted(all_)[len(all_) // 2] for side, all_ in seconds.items()}
    return replace(visit, seconds=middle["ours"], peer_seconds=middle.get("theirs"))


def as_text(figure: Figure) -> str:
    """A figure as the text of a PNG, to stand within a page."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return base64.b64encode(file.getvalue()).decode()


def canvas(*args: Any, **kwargs: Any) -> tuple[Figure, Any]:
    """Subplots that need no display."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=kwargs.pop("figsize", (9, 3.8)), layout="constrained")
    return figure, figure.subplots(*args, **kwargs)


def quietly(call: Callable[..., Any]) -> Callable[..., Any]:
    """A call without warnings: for a usual tool that is stopped early."""

    @functools.wraps(call)
    def silent(*args: Any, **kwargs: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call(*args, **kwargs)

    return silent
