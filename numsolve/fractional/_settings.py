"""The words of this column as types, and the end of a set-up whose time is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from numsolve._core.limits import Limits

#: One-sided derivatives; and what a fractional Laplacian is made of, or is.
Derivative: TypeAlias = Literal["rl", "caputo"]
DERIVATIVES = ("rl", "caputo")
Definition: TypeAlias = Literal["rl", "caputo", "spectral"]
DEFINITIONS = ("rl", "caputo", "spectral")
Preconditioner: TypeAlias = Literal["auto", "tau", "circulant"] | None
PRECONDITIONERS = ("auto", "tau", "circulant", "none")
Side: TypeAlias = Literal["left", "right", "riesz"]
SIDES = ("left", "right", "riesz")

#: What SciPy and others call the arguments of this column's solvers.
FOREIGN = {
    "tol": "rtol",
    "M": "preconditioner",
    "N": "n",
    "degree": "p",
    "order": "alpha",
    "domain": "interval",
    "bounds": "interval",
}


class TimeIsOverError(Exception):
    """The time limit was met while a matrix was set up."""


def keep_time(limits: Limits | None) -> None:
    """End a set-up whose time is over."""
    if limits is not None and limits.expired:
        raise TimeIsOverError
