r"""First passage: when a Lévy flight leaves an interval.

The flight X has jumps to the right and to the left in the proportion of the weights w_l and w_r, of sum one:

    E exp(i k (X_t - X_0)) = exp(-kappa t |k|^alpha (1 - i (w_l - w_r) tan(pi alpha / 2) sign k)).

Its density satisfies ``du/dt = -kappa R u``, R being the Riesz operator with these weights. As functions of
the start x, the probability S to be inside still and the moments of the time T of exit belong to the adjoint
operator R', whose weights are exchanged:

    dS/dt = -kappa R' S,   S = 1 at t = 0;   density of T = -dS/dt = kappa R' S;      (1)
    kappa R' m_k = k m_{k-1},   m_0 = 1,   m_k = E T^k = k int t^(k-1) S dt.          (2)

All are sums of Jacobi modes, without steps in time. ``m_1`` is one mode: for equal weights
``((x - a) (b - x))^(alpha/2) / Gamma(alpha + 1)`` (R. K. Getoor, Trans. Amer. Math. Soc. 101, 1961).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import checks
from numsolve._core.result import deliver

from ._decay import Decay, follow, refine
from ._modes import Modes
from .bspline import check_order
from .jacobi import from_unit, image_rule, laplacian_scale
from .operator import check_interval, check_weights
from .result import FirstPassageResult
from .spectral import TOLERABLE, status_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

#: Modes of a table of modes at least, with half and a quarter of which there is something to compare.
LEAST_MODES = 4


class One:
    """The function that is one inside an interval, and zero outside."""

    def __init__(self, interval: tuple[float, float]) -> None:
        self.interval = interval

    def __call__(self, x: Any) -> Array:
        """Evaluate at points of any shape."""
        a, b = self.interval
        return np.where((x > a) & (x < b), 1.0, np.where(np.isnan(x), np.nan, 0.0))


def survival_probability(
    alpha: float,
    t: ArrayLike,
    *,
    interval: tuple[float, float] = (-1.0, 1.0),
    kappa: float = 1.0,
    weights: tuple[float, float] = (0.5, 0.5),
    n: int = 256,
) -> FirstPassageResult:
    r"""Compute the probability that a Lévy flight has not left an interval, as a function of its start.

    Parameters
    ----------
    alpha : float
        Order of the flight, ``0 < alpha <= 2``, and not 1 for unequal weights; 2 is Brownian motion with the
        variance ``2 kappa t``.
    t : float or array of shape (T,)
        Times, zero or positive.
    interval : tuple of float
        The ends a < b.
    kappa : float
        Diffusivity, positive.
    weights : tuple of float
        Proportions of the jumps to the right and to the left; those of the equation of the density, which
        `solve_fractional_diffusion` solves. A stable law of skewness beta has ``((1 + beta) / 2, (1 - beta) /
        2)``. Their sum is a factor of kappa.
    n : int
        Jacobi modes at most. Early times need many.

    Returns
    -------
    FirstPassageResult
        ``result(x)`` is the probability for flights that start at x, zero outside the interval: of the shape
        of x for a number t, else with a row for each time. `error_estimate` is that of the largest error.

    Raises
    ------
    ValueError
        If an argument is out of range.
    TypeError
        If an argument is complex or no number.

    Warns
    -----
    ConvergenceWarning
        If the error is estimated at more than a tenth of the largest value.

    See Also
    --------
    numsolve.fractional.exit_time_density : Minus its derivative in time.
    numsolve.fractional.exit_time_moments : Its integrals.

    Examples
    --------
    >>> from numsolve.fractional import survival_probability
    >>> inside = survival_probability(1.5, [0.1, 1.0])
    >>> inside(0.0)
    array([0.9433267 , 0.25382282])
    """
    modes, kappa, n = _check(alpha, interval, kappa, weights, n)
    times, elapsed = _check_times(t, kappa, positive=False)
    order = np.argsort(elapsed, kind="stable")
    start = One(modes.interval)
    rows, estimate = follow(modes, start, elapsed[order], n, size=float(np.any(elapsed == 0)))
    return _result(modes, rows[np.argsort(order)], times, estimate, n, start)


def exit_time_density(
    alpha: float,
    t: ArrayLike,
    *,
    interval: tuple[float, float] = (-1.0, 1.0),
    kappa: float = 1.0,
    weights: tuple[float, float] = (0.5, 0.5),
    n: int = 256,
) -> FirstPassageResult:
    r"""Compute the density of the time at which a Lévy flight leaves an interval, as a function of its start.

    Parameters
    ----------
    alpha : float
        As in `survival_probability`.
    t : float or array of shape (T,)
        Times, positive.
    interval, kappa, weights, n
        As in `survival_probability`.

    Returns
    -------
    FirstPassageResult
        As that of `survival_probability`.

    Raises
    ------
    ValueError
        If an argument is out of range.
    TypeError
        If an argument is complex or no number.

    Warns
    -----
    ConvergenceWarning
        If the error is estimated at more than a tenth of the largest value.

    See Also
    --------
    numsolve.fractional.survival_probability : The probability not to have left it.

    Examples
    --------
    >>> from numsolve.fractional import exit_time_density
    >>> exit_time_density(1.5, 1.0)(0.0).round(8)
    np.float64(0.4052712)
    """
    modes, kappa, n = _check(alpha, interval, kappa, weights, n)
    times, elapsed = _check_times(t, kappa, positive=True)
    order = np.argsort(elapsed, kind="stable")
    rows, estimate = follow(modes, One(modes.interval), elapsed[order], n, rate=True)
    return _result(modes, kappa * rows[np.argsort(order)], times, estimate, n)


def exit_time_moments(
    alpha: float,
    k: int = 1,
    *,
    interval: tuple[float, float] = (-1.0, 1.0),
    kappa: float = 1.0,
    weights: tuple[float, float] = (0.5, 0.5),
    n: int = 256,
) -> FirstPassageResult:
    r"""Compute the moments of the time at which a Lévy flight leaves an interval, as functions of its start.

    Parameters
    ----------
    alpha : float
        As in `survival_probability`.
    k : int
        How many moments, the mean being the first.
    interval, kappa, weights, n
        As in `survival_probability`.

    Returns
    -------
    FirstPassageResult
        ``result(x)`` has a row for each of the moments ``E T, E T^2, ..., E T^k`` of flights that start at x.
        `error_estimate` is that of the last one.

    Raises
    ------
    ValueError
        If an argument is out of range, or a moment would overflow.
    TypeError
        If an argument is complex or no number.

    Warns
    -----
    ConvergenceWarning
        If the error is estimated at more than a tenth of the largest value.

    See Also
    --------
    numsolve.fractional.problems.getoor : The mean in closed form.

    References
    ----------
    R. K. Getoor, "First passage times for symmetric stable processes in space", Trans. Amer. Math. Soc. 101,
    1961.

    Examples
    --------
    >>> from numsolve.fractional import exit_time_moments
    >>> exit_time_moments(1.5, 2)(0.0)
    array([0.75225278, 0.97527454])
    """
    modes, kappa, n = _check(alpha, interval, kappa, weights, n)
    k = checks.integer("k", k, low=1, high=100)
    one = One(modes.interval)

    def level(decay: Decay) -> tuple[Array, Array]:
        moments = decay.moments(one)
        rows = np.stack([decay.integrals(moments, j) for j in range(1, k + 1)])  # (2)
        return rows, rows[-1:]

    rows, estimate = refine(modes, level, n)
    rate = kappa * laplacian_scale(modes.interval, modes.alpha)
    with np.errstate(all="ignore"):
        for j in range(k):  # a power of the rate may leave the range of floats where a moment does not
            rows[j:] /= rate
    if not np.all(np.isfinite(rows)):
        raise ValueError(
            f"kappa and interval must be such that E T^{k} does not overflow, got kappa = {kappa:g} and "
            f"{modes.interval}; choose other units of time"
        )
    return _result(modes, rows, None, estimate, n)


def _check(alpha: Any, interval: Any, kappa: Any, weights: Any, n: Any) -> tuple[Modes, float, int]:
    """The modes of the adjoint operator, and the numbers."""
    right, left = check_weights(weights)
    alpha = check_order(alpha, (right, left))
    kappa = checks.real("kappa", kappa, low=0.0, open_low=True)
    return (
        Modes(alpha, (left, right), check_interval(interval)),
        kappa,
        checks.integer("n", n, low=LEAST_MODES),
    )


def _check_times(t: Any, kappa: float, *, positive: bool) -> tuple[Array, Array]:
    """The times, and as a vector times kappa."""
    times = checks.array("t", t, dtype=np.float64, ndim=(0, 1), empty=False, low=0.0)
    if positive and not np.all(times > 0):
        raise ValueError("t must be positive: at t = 0 there is no density")
    with np.errstate(over="ignore"):
        return times, np.minimum(kappa * np.atleast_1d(times), np.finfo(np.float64).max)


def _result(
    modes: Modes, rows: Array, times: Array | None, estimate: float, n: int, start: Any = None
) -> FirstPassageResult:
    sols = tuple(
        start
        if start is not None and times is not None and np.atleast_1d(times)[j] == 0
        else modes.solution(c)
        for j, c in enumerate(rows)
    )
    single = times is not None and times.ndim == 0
    result = FirstPassageResult(
        x=rows[-1],
        status=status_of(estimate),
        detail="" if estimate <= TOLERABLE else f"The error is estimated at {estimate:.1g}: n is too small.",
        points=from_unit(image_rule(n, modes.alpha, modes.weights)[0], modes.interval),
        sol=sols[0] if single else sols,
        method="spectral",
        reason="it is the only one",
        error_estimate=estimate,
        t=None if times is None else np.atleast_1d(times),
        coefficients=rows,
        interval=modes.interval,
    )
    deliver(result)
    return result
