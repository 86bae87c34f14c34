"""The linear systems of the splines: the operator, a multiple of the values, and what preconditions them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from ._assembly import assemble_mass
from ._settings import keep_time
from .preconditioner import circulant_inverse, interpolated_inverse, shifted, tau_inverse

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from numsolve._core.limits import Limits
    from numsolve._core.typing import Namespace

    from ._settings import Preconditioner
    from .operator import RieszSplineOperator

    Array = NDArray[np.float64]

#: Below this mean of one over the reaction, in the unit of the interval, the values dominate the operator.
SMALL_RATIO = 2e-2
#: Ratio of the largest to the smallest sum of operator and reaction from which two shifts take turns.
CONTRAST = 100.0


@dataclass(frozen=True)
class System:
    """A linear system for GMRES: products, preconditioner, the factor of its rows, and its norm."""

    matvec: Callable[[Any], Any]
    precondition: Callable[[Any], Any]
    norm: float
    scale: Any = 1.0


def make_system(
    A: RieszSplineOperator,
    reaction: Any,
    preconditioner: Preconditioner,
    xp: Namespace = np,
    like: Any = None,
    limits: Limits | None = None,
) -> System:
    """Set up ``A + diag(reaction) M``, in the library of `like`; a reaction of None is zero.

    Where a varying reaction dominates, its rows are divided by it: ``M + diag(1 / reaction) A``. Where
    it is large in one place and small in another, preconditioners for its least and largest value take turns.
    """
    A.assemble(limits)
    samples = A.symbol_samples()[1]
    symbol, lowest = float(np.max(samples)), float(np.min(samples))
    keep_time(limits)
    if reaction is None or float(xp.max(reaction)) == float(xp.min(reaction)):
        mass = 0.0 if reaction is None else float(reaction[0])
        matvec = shifted(A, mass, like).matvec
        return System(matvec, _inverse(A, mass, preconditioner, like, limits), symbol + abs(mass))

    products = shifted(A, 0.0, like).matvec
    values = A.mass().__matmul__ if like is None else assemble_mass(A.n, A.p).on(xp, like).matvec
    norm = symbol + float(xp.max(xp.abs(reaction)))
    if preconditioner == "auto" and like is None and _dominates(A, reaction):
        ratio = 1 / reaction
        return System(
            lambda x: values(x) + ratio * products(x),
            interpolated_inverse(A, ratio),
            norm * float(np.max(ratio)),
            ratio,
        )
    shifts = turns(float(xp.min(reaction)), float(xp.max(reaction)), float(xp.mean(reaction)), lowest)
    inverses = cycle([_inverse(A, shift, preconditioner, like, limits) for shift in shifts])

    def precondition(x: Any) -> Any:
        return next(inverses)(x)

    return System(lambda x: products(x) + reaction * values(x), precondition, norm)


def turns(least: float, largest: float, mean: float, operator: float) -> tuple[float, ...]:
    """Shifts of the preconditioners that take turns; `operator` is about the least eigenvalue of A."""
    if least >= 0 and largest + operator > CONTRAST * (least + operator):
        return least, largest
    return (max(mean, 0.0),)


def _inverse(
    A: RieszSplineOperator, mass: float, preconditioner: Preconditioner, like: Any, limits: Limits | None
) -> Callable[[Any], Any]:
    if preconditioner is None:
        return lambda x: x
    if preconditioner == "auto":
        preconditioner = "tau" if A.weights[0] == A.weights[1] else "circulant"
    return {"tau": tau_inverse, "circulant": circulant_inverse}[preconditioner](A, mass, like, limits)


def _dominates(A: RieszSplineOperator, reaction: Array) -> bool:
    """Whether interpolation between constant ratios is the better preconditioner."""
    width = A.interval[1] - A.interval[0]
    return bool(np.all(reaction > 0)) and float(np.mean(1 / reaction)) * width**-A.alpha <= SMALL_RATIO
