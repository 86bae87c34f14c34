r"""The spectral solver: an expansion in Jacobi modes, for smooth data.

Without a reaction term there is no linear system: the coefficients of f are divided by ``lambda_k``. With
one the equation is collocated at the Gauss nodes of N modes,

    (Q diag(lambda) + diag(r omega) P) c = f,   omega = (1 + y)^a (1 - y)^b;  (1)

its solutions are less smooth in y, and the error falls like a power of N.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy.linalg import lu_factor, lu_solve

from numsolve._core import arrays
from numsolve._core.result import Status

from ._drift import Galerkin
from ._estimate import QUARTERED, UNIT, difference, from_levels, untold
from ._settings import keep_time
from .jacobi import (
    both_bases,
    eigenvalues,
    exponents,
    from_unit,
    image_basis,
    image_rule,
)
from .result import RieszResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from numsolve._core.limits import Limits

    from ._modes import Modes

    Array = NDArray[np.float64]
    Function = Callable[[Array], Array]

#: A series has converged when its last coefficients are below this, relative to the largest.
RESOLVED = 1e-13
#: Coefficients whose share of the solution is below this, relative to the largest, are cut off.
NOISE = 5e-16
#: Estimated error above which data are not taken for smooth; then so many modes of a collocation, as shares
#: of all, are tried too.
SMOOTH, CLOSE = 1e-7, (0.96, 0.9, 0.84, 0.77, 0.7)
#: Fewer modes than these have no half and quarter, and are compared with four times as many.
LEAST_MODES = 4
#: Samples beyond the number of modes.
MARGIN = 20
#: Samples for each mode, if the function is not smooth and the rule is not exact; and fewer, to compare with.
SAMPLES, FEWER_SAMPLES = 4, 3
#: But no more than so many, as long as there are more samples than modes.
MOST_SAMPLES = 4096
MODES = (16, 32, 64, 128, 256, 512, 1024, 2048)
#: A solution whose estimated error is larger, relative to its largest value, is not called one.
TOLERABLE = 0.1


@dataclass(frozen=True)
class Series:
    """The Jacobi coefficients of a function, without those that are nothing but rounding errors.

    `tail` is the largest of the last ones of all that were computed, relative to the largest; `residual` the
    norm of what the series misses at the points.
    """

    points: Array
    coefficients: Array
    tail: float
    residual: float

    @property
    def resolved(self) -> bool:
        """Whether these modes hold the function."""
        return self.tail <= RESOLVED


def jacobi_series(function: Function, modes: Modes, limit: int, limits: Limits | None = None) -> Series:
    """Expand a function in as many of the polynomials Q as it needs, but at most `limit`."""
    for N in MODES:
        if N >= limit:
            break
        keep_time(limits)
        series = _expand(function, modes, N)
        if series.resolved:
            return series
    keep_time(limits)
    return _expand(function, modes, limit)


def _expand(function: Function, modes: Modes, N: int, samples: int = 0) -> Series:
    samples = samples or N + MARGIN
    y, w = image_rule(samples, modes.alpha, modes.weights)
    points = from_unit(y, modes.interval)
    values, Q = function(points), image_basis(N, samples, modes.alpha, modes.weights)
    c = Q.T @ (w * values)
    size = float(np.max(np.abs(c)))
    tail = float(np.max(np.abs(c[-max(4, N // 8) :])))
    share = np.abs(c) / eigenvalues(N, modes.alpha)
    kept = np.flatnonzero(share > NOISE * np.max(share))
    c = c[: kept[-1] + 1] if kept.size else np.zeros(1)
    residual = arrays.norm(np, values - Q[:, : c.size] @ c)
    return Series(points, c, tail / size if size else 0.0, residual)


def solve_by_division(
    f: Function,
    modes: Modes,
    series: Series,
    reason: str,
    limits: Limits | None = None,
    *,
    rough: bool = False,
) -> RieszResult:
    """Solve ``R u = f``, with the series of f if it holds f, and for comparison with shorter ones if not.

    Where f is `rough`, what its samples do not tell is solved for, too: the operator's inverse is positive.
    """
    estimate, detail = max(series.tail, NOISE), ""
    if not series.resolved:
        most, x, levels = len(series.points) - MARGIN, modes.witnesses(), []
        for part in (4, 2, 1):
            keep_time(limits)
            N = max(most // part, 1)
            series = _expand(f, modes, N, _samples(N, SAMPLES))
            levels.append(modes.solution(divided(modes, series))(x))
        coarse, middle, fine = levels
        other = modes.solution(divided(modes, _expand(f, modes, most, _samples(most, FEWER_SAMPLES))))(x)
        estimate = from_levels(fine, middle, coarse) + difference(fine, other)
        if most < LEAST_MODES:
            more = modes.solution(divided(modes, _expand(f, modes, 4 * most, _samples(4 * most, SAMPLES))))(x)
            estimate = max(estimate, QUARTERED * difference(more, fine))
        if rough and estimate > SMOOTH:
            unknown = _expand(lambda x: untold(f(x)), modes, most, _samples(most, SAMPLES))
            error = modes.solution(divided(modes, unknown))(x)
            estimate = max(estimate, difference(fine, fine + error))
        detail = f"{most} Jacobi modes leave {series.tail:.1g} of f."
    c = divided(modes, series)
    return RieszResult(
        x=c,
        status=status_of(estimate),
        detail="" if estimate <= TOLERABLE else f"{detail} It is not smooth, or n is too small.",
        residual=series.residual,
        points=series.points,
        sol=modes.solution(c),
        method="spectral",
        reason=reason,
        error_estimate=estimate,
        interval=modes.interval,
    )


def _samples(N: int, each: int) -> int:
    """Samples for N modes, a number that differs with `each`."""
    return max(min(SAMPLES * N, MOST_SAMPLES) * each // SAMPLES, N + each * MARGIN)


def divided(modes: Modes, series: Series) -> Array:
    """The coefficients of the solution: those of f over what the operator multiplies the modes by."""
    return series.coefficients / modes.eigenvalues(len(series.coefficients))


def solve_by_collocation(
    f: Function,
    reaction: Function | None,
    modes: Modes,
    limit: int,
    reason: str,
    limits: Limits,
    kept: Tables | None = None,
    drift: Function | None = None,
    *,
    rough: bool = False,
) -> RieszResult:
    """Solve ``R u + v(x) u' + r(x) u = f`` with all modes allowed, and with a half and a quarter to compare.

    With a drift v the equation is not collocated but tested. What does not depend on f is put into `kept`, or
    taken from there. For `rough` data see `solve_by_division`.
    """
    kept = {} if kept is None else kept
    x = modes.witnesses()

    def solve(N: int) -> tuple[Array, float, Array]:
        if N not in kept:
            if drift is not None:
                kept[N] = Galerkin(reaction, modes, N, drift)
            else:
                assert reaction is not None
                kept[N] = Collocation(reaction, modes, N)
        c, residual = kept[N].solve(f)
        keep_time(limits)
        return c, residual, modes.solution(c)(x)

    middle, coarse = (solve(max(limit // part, 1))[2] for part in (2, 4))
    c, residual, fine = solve(limit)
    estimate = max(from_levels(fine, middle, coarse), 0.0 if drift is None else 4 * limit * UNIT)
    if estimate > SMOOTH:  # next to a jump, errors are as if by chance: those of other numbers of modes
        others = [solve(max(int(share * limit), 1))[2] for share in (CLOSE if drift is None else CLOSE[1::3])]
        estimate = max(estimate, *(difference(fine, other) for other in others))
    if limit < LEAST_MODES:
        estimate = max(estimate, QUARTERED * difference(solve(4 * limit)[2], fine))
    if rough and estimate > SMOOTH:
        error = modes.solution(kept[limit].solve(lambda x: untold(f(x)))[0])(x)
        estimate = max(estimate, difference(fine, fine + error))
    return RieszResult(
        x=c,
        status=status_of(estimate),
        detail="" if estimate <= TOLERABLE else f"{len(c)} and {len(c) // 2} Jacobi modes disagree.",
        residual=residual,
        points=kept[limit].points,
        sol=modes.solution(c),
        method="spectral",
        reason=reason,
        error_estimate=estimate,
        interval=modes.interval,
    )


def status_of(estimate: float) -> Status:
    """What an estimated error, relative to the largest value, allows to say."""
    return Status.CONVERGED if estimate <= TOLERABLE else Status.STAGNATED


class Collocation:
    """The equation (1) on the Gauss nodes of N modes, factorised."""

    def __init__(self, reaction: Function, modes: Modes, N: int) -> None:
        alpha, weights = modes.alpha, modes.weights
        a, b = exponents(alpha, weights)
        y, _ = image_rule(N, alpha, weights)
        self.points = from_unit(y, modes.interval)
        P, Q = both_bases(N, alpha, y, weights)
        self.matrix = Q * modes.eigenvalues(N)
        self.matrix += (reaction(self.points) * (1 + y) ** a * (1 - y) ** b)[:, None] * P
        self.factors = lu_factor(self.matrix, check_finite=False)

    def solve(self, f: Function) -> tuple[Array, float]:
        """Coefficients, and the residual of the linear system."""
        right = f(self.points)
        c = lu_solve(self.factors, right, check_finite=False)  # (1)
        return c, arrays.norm(np, right - self.matrix @ c)


#: The equation with so many modes.
Tables: TypeAlias = dict[int, Collocation | Galerkin]
