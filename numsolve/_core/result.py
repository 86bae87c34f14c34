"""What every solver returns: `Result`, and its `Status`."""

from __future__ import annotations

import os
import sys
import warnings
from dataclasses import dataclass, field, fields
from enum import IntEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

from .history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .typing import LineStyle

__all__ = [
    "PACKAGE",
    "ConvergenceError",
    "ConvergenceWarning",
    "History",
    "PrecisionWarning",
    "Result",
    "Status",
    "caller_level",
    "deliver",
]

#: where the package's files are
PACKAGE = str(Path(__file__).parents[1]) + os.sep


class ConvergenceWarning(UserWarning):
    """A solver stopped before it reached its tolerance; the result holds its best iterate."""


class PrecisionWarning(UserWarning):
    """The request goes beyond what the floating-point type can deliver."""


class ConvergenceError(RuntimeError):
    """Raised by `Result.raise_for_status`; the result is its attribute ``result``."""

    def __init__(self, message: str, result: Result | None = None) -> None:
        super().__init__(message, result)
        self.result = result

    def __str__(self) -> str:
        return str(self.args[0])


class Status(IntEnum):
    """Why a solver stopped. The first five values are those of `scipy.optimize.linprog`.

    Each member carries an ``explanation`` and, where there is something to do, an ``advice``.
    """

    explanation: str
    advice: str

    def __new__(cls, value: int, explanation: str = "", advice: str = "") -> Self:
        """Attach the words to the number."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.explanation = explanation
        member.advice = advice
        return member

    CONVERGED = 0, "The tolerance was reached."
    MAXITER = 1, "The iteration limit was reached.", "Raise maxiter or loosen the tolerance."
    INFEASIBLE = 2, "The problem has no feasible point.", "Check the constraints for contradictions."
    UNBOUNDED = 3, "The objective is unbounded.", "Check for a missing constraint."
    BREAKDOWN = (
        4,
        "The method met a division by zero or an indefinite operator.",
        "Check the assumptions on the operator, or choose another method.",
    )
    ROUNDING = 5, "The residual is at the level of rounding errors; the tolerance lies below it."
    STAGNATED = (
        6,
        "The residual stopped falling.",
        "Loosen the tolerance, rescale the problem, or choose another method.",
    )
    DIVERGED = 7, "The residual grew without bound.", "Reduce the step, or check the method's assumptions."
    NONFINITE = 8, "A NaN or an infinity appeared.", "Check the functions and data for overflow."
    STOPPED = 9, "The callback asked to stop."
    TIME_LIMIT = 10, "The time limit was reached.", "Raise time_limit, or start again from x."
    INTERRUPTED = 11, "The run was interrupted from the keyboard.", "Start again from x."

    @property
    def success(self) -> bool:
        """Whether the answer can be used as it is."""
        return self in {Status.CONVERGED, Status.ROUNDING}

    @property
    def message(self) -> str:
        """The explanation, and the advice if there is any."""
        return f"{self.explanation} {self.advice}".rstrip()


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Result:
    """What a solver returns.

    For a batch of problems `status`, `success`, `nit` and `residual` are arrays; type checkers are told of
    one problem, the usual case.

    Attributes
    ----------
    x : object
        The solution, or the best iterate; it can be handed back as a start.
    status : Status
        Why the solver stopped; an array of its numbers for a batch, a traced integer under ``jax.jit``.
    nit : int
        Iterations done.
    residual : float
        What was measured against the tolerance, at `x`.
    history : History or None
        One row per recorded iteration.
    detail : str
        What this run has to say beyond its status.
    """

    x: Any
    status: Status = Status.CONVERGED
    nit: int = 0
    residual: float = float("nan")
    history: History | None = None
    detail: str = field(default="")

    @property
    def success(self) -> bool:
        """Whether `x` meets the tolerance, or the level of rounding errors; an array for a batch."""
        single = _single(self.status)
        if single is not None:
            return single.success
        status: Any = self.status
        good: bool = (status == Status.CONVERGED.value) | (status == Status.ROUNDING.value)
        return good

    @property
    def message(self) -> str:
        """Why the solver stopped, in words."""
        single = _single(self.status)
        if single is not None:
            return f"{self.detail} {single.message}".strip()
        counts = _count_statuses(self.status)
        if counts is None:
            return self.detail
        words = ", ".join(f"{count} {Status(value).name}" for value, count in counts.items())
        return f"{self.detail} Batch: {words or 'empty'}.".strip()

    def raise_for_status(self) -> Self:
        """Raise `ConvergenceError` if the solve failed; return the result otherwise."""
        import numpy as np

        if not np.all(np.asarray(self.success)):
            raise ConvergenceError(self.message, self)
        return self

    def plot(self, ax: Axes | None = None, **style: Unpack[LineStyle]) -> Axes:
        """Draw the residual against the iterations.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.
        **style
            Colour, label and the like, for ``ax.plot``.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from .plotting import plot_history

        return plot_history(self.history, ax=ax, **style)

    def _repr_html_(self) -> str:
        """What a notebook shows: the fields, and a small picture where matplotlib is installed."""
        from .notebook import as_html

        return as_html(type(self).__name__, self._in_short(), self.plot)

    def keys(self) -> list[str]:
        """The names of the fields, as of a mapping."""
        names = [f.name for f in fields(self)]
        names[1:1] = ["success", "message"]
        return names

    def __getitem__(self, name: str) -> Any:
        if name not in self.keys():
            raise KeyError(f"no field {name!r}; there are {', '.join(self.keys())}")
        return getattr(self, name)

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def __repr__(self) -> str:
        lines = [f"{name:>16}: {text}" for name, text in self._in_short().items()]
        return f"{type(self).__name__}\n" + "\n".join(lines)

    def _in_short(self) -> dict[str, str]:
        """Each field's name and a line for its value, the common fields first."""
        shown = ["x", "success", "message", "nit", "residual"]
        shown += [name for name in self.keys() if name not in {*shown, "status", "detail", "history"}]
        return {name: _short(getattr(self, name)) for name in shown}


def deliver(result: Result) -> None:
    """Warn of a failed solve, at the caller's own line."""
    import numpy as np

    single = _single(result.status)
    if single is not None:  # the usual case, in a microsecond
        failed = not (single.success or single is Status.STOPPED)
    else:
        quiet = [s.value for s in Status if s.success or s is Status.STOPPED]
        failed = not np.isin(np.asarray(result.status), quiet).all()
    if failed:
        warnings.warn(result.message, ConvergenceWarning, stacklevel=caller_level())


def caller_level() -> int:
    """Return the ``stacklevel`` that names the first frame outside this package."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame, level = frame.f_back, level + 1
    return level


def _single(status: Any) -> Status | None:
    """The status of one problem; None for a batch, and where the number is not known yet."""
    if isinstance(status, int):
        return Status(status)
    if getattr(status, "shape", None) != ():
        return None
    try:
        value = int(status)
    except Exception:  # a traced value has no number, whichever library traces it
        return None
    return Status(value)


def _count_statuses(status: Any) -> dict[int, int] | None:
    """How many problems of a batch ended how; None where the numbers are not known yet."""
    import numpy as np

    try:
        values, counts = np.unique(np.asarray(status), return_counts=True)
        return {int(v): int(c) for v, c in zip(values, counts, strict=True)}
    except Exception:  # a traced value has no numbers, whichever library traces it
        return None


def _short(value: Any) -> str:
    """One line for a value of any kind."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, tuple | list | dict):
        brackets = "()" if isinstance(value, tuple) else "[]" if isinstance(value, list) else "{}"
        items = value.items() if isinstance(value, dict) else ((None, v) for v in value)
        parts = [_short(v) if k is None else f"{k}: {_short(v)}" for k, v in islice(items, 4)]
        return brackets[0] + ", ".join(parts + ["..."] * (len(value) > 4)) + brackets[1]
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is None or dtype is None:
        text = " ".join((value if isinstance(value, str) else repr(value)).split())
        return text if len(text) <= 90 or isinstance(value, str) else text[:87] + "..."
    if len(shape) == 0:
        return _short_scalar(value)
    return f"<{type(value).__name__} of shape {tuple(shape)}, {dtype}>"


def _short_scalar(value: Any) -> str:
    kind = str(value.dtype)
    try:
        if "bool" in kind or "int" in kind:
            return str(bool(value) if "bool" in kind else int(value))
        return f"{complex(value) if 'complex' in kind else float(value):.6g}"
    except Exception:  # traced
        return f"<{type(value).__name__}>"
