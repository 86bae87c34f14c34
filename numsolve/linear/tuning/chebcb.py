r"""ChebCB: a contextual bandit with a Chebyshev polynomial of the context for each arm.

M. Khodak, E. Chow, M.-F. Balcan, A. Talwalkar, "Learning to relax", ICLR 2024, after SquareCB (D. J. Foster,
A. Rakhlin, ICML 2020). With K the largest cost, V the largest minus the least, and m coefficients,

    N = 2 + 4 (V / K) (1 + ln m),    scale = K N,    f(z) = (T_0, ..., T_{m-1})(z),

the costs (L - 1) / scale of each arm are fitted by f' theta under |theta_0| <= 1/N, |theta_j| <= 2 V /
(scale j), and arms are drawn with probabilities p_i = 1 / (d + eta (y_i - y_best)) from the fitted y. With
alpha = (pi + (2/pi) ln(2m + 1)) V / (2 scale (m + 1)), R the sum of the squared errors of prediction and res
the residual of the last constrained fit,  eta_{t+1} = 2 t sqrt(d t / (R - res + 2 alpha^2 t)).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import checks
from numsolve._core.foreign import answers

from ._tuner import Contextual, inverse_gaps

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numsolve._core.typing import Array, RandomState

#: What the largest cost is taken for where every solve costs nothing.
LEAST_COST = 1e-100
#: Costs between this number and its inverse are squared as they are.
FAR = 1e50


class ChebCB(Contextual):
    """Find the best arm for each context, fitting a polynomial to the costs of each arm.

    Parameters
    ----------
    arms : sequence
        What to choose from, anything.
    context_range : tuple of float
        ``(low, high)``; contexts outside are clipped, with one warning.
    degree : int
        Of the polynomials.
    baseline : float
        The least that a solve can cost, subtracted from each cost: 1 iteration. For seconds take 0.
    rng : None, int or Generator
        Randomness.

    Attributes
    ----------
    arms : tuple
        The choices.
    rounds : int
        Costs observed so far.

    See Also
    --------
    numsolve.linear.SmoothCB : Shares what it learns between neighbouring arms, and needs fewer rounds.

    References
    ----------
    M. Khodak, E. Chow, M.-F. Balcan, A. Talwalkar, ICLR 2024, arXiv:2310.02246.

    Examples
    --------
    >>> from numsolve import linear
    >>> tuner = linear.ChebCB([1.0, 1.5], context_range=(0, 1), rng=0)
    >>> for t in range(1000):
    ...     z = (t % 100) / 100
    ...     omega = tuner.suggest(z)
    ...     tuner.observe(10 + 20 * z if omega == 1.0 else 30 - 20 * z)
    >>> [int(tuner.probabilities(z).argmax()) for z in (0.1, 0.9)]
    [0, 1]
    """

    _state = (
        "_gram",
        "_moment",
        "_square",
        "_theta",
        "_top",
        "_low",
        "_scale",
        "_errors",
        "_res",
        "_eta",
        "_unit_of_cost",
    )

    @answers()
    def __init__(
        self,
        arms: Iterable[Any],
        *,
        context_range: tuple[float, float],
        degree: int = 5,
        baseline: float = 1.0,
        rng: RandomState = None,
    ) -> None:
        if context_range is None:
            raise ValueError("context_range must be (low, high), got None")
        super().__init__(arms, context_range=context_range, rng=rng)
        self.baseline = checks.real("baseline", baseline, low=0.0)
        d, m = len(self.arms), checks.integer("degree", degree, low=0) + 1
        self._gram, self._moment, self._square = np.zeros((d, m, m)), np.zeros((d, m)), np.zeros(d)
        self._theta = np.zeros((d, m))  # of the costs themselves: scale * theta
        self._top, self._low, self._scale = 0.0, np.inf, 1.0
        self._errors = self._res = self._eta = 0.0
        self._unit_of_cost = 1.0

    def _features(self, context: float) -> Array:
        from . import _cpu as k

        f = np.empty(self._moment.shape[1])
        k.chebyshev(self._unit(context), f.size, f)
        return f

    def _probabilities(self, context: float | None) -> Array:
        assert context is not None
        return inverse_gaps(self._theta @ self._features(context) / self._scale, self._eta)

    def _learn(self, index: int, cost: float) -> None:
        assert self._context is not None
        if self._top == 0.0 and not 1 / FAR < cost < FAR and cost > 0:
            self._unit_of_cost = 2.0 ** min(math.frexp(cost)[1], 1000)  # squares of costs leave the range
        if cost > FAR * FAR * self._unit_of_cost:
            raise ValueError(f"cost must be of the size of the first ones, got {cost}")
        cost, baseline = cost / self._unit_of_cost, self.baseline / self._unit_of_cost
        f = self._features(self._context)
        predicted = float(self._theta[index] @ f) / self._scale
        self._gram[index] += np.outer(f, f)
        self._moment[index] += (cost - baseline) * f
        self._square[index] += (cost - baseline) ** 2

        self._top, self._low = max(self._top, cost), min(self._low, cost)
        top, spread = max(self._top, LEAST_COST), self._top - self._low
        t, (d, m) = self.rounds + 1, self._moment.shape
        N = 2 + 4 * spread / top * (1 + np.log(m))
        changed = top * N != self._scale
        self._scale = top * N
        for arm in range(d) if changed else (index,):
            self._fit(arm, top, spread)

        self._errors += (predicted - cost / self._scale) ** 2
        alpha = (np.pi + 2 / np.pi * np.log(2 * m + 1)) * spread / (2 * self._scale * (m + 1))
        regret = max(self._errors - self._res + 2 * alpha**2 * t, 1e-12)
        self._eta = 2 * t * np.sqrt(d * t / regret)

    def _fit(self, arm: int, top: float, spread: float) -> None:
        """Least squares, of the least norm; under the bounds if that breaks one."""
        from . import _cpu as k

        G, g = self._gram[arm], self._moment[arm]
        theta = np.linalg.lstsq(G, g, rcond=1e-12)[0]
        bound = np.full(g.size, top)
        bound[1:] = 2 * spread / np.arange(1, g.size)
        bound += 1e-12 * top  # equal costs would leave a box without width
        if np.any(np.abs(theta) > bound):
            ahead, new = np.empty_like(g), np.empty_like(g)
            k.box_least_squares(G, g, bound, theta, ahead, new)
            self._res = float(self._square[arm] - 2 * g @ theta + theta @ G @ theta) / self._scale**2
        self._theta[arm] = theta
