r"""SmoothCB: a contextual bandit with one smooth model of the cost, shared by all arms.

The logarithm of the cost is a polynomial of the arm w and the context z, and a part that drifts,

    log c_t = sum_ab theta_ab T_a(w) T_b(z) + sum_a delta_a(t) T_a(w) + noise,

with Chebyshev polynomials on [-1, 1] and a prior that prefers smooth ones, ``theta_ab ~ N(0, r^2(a + b))``.
The drift stands for all that the context does not tell: level, slope and bend of the cost over the arms
wander from system to system, delta_a(t + 1) = k delta_a(t) + noise, and keep the variance s^2 r^2a. So a
change that spares no arm is not taken for a merit of the arm played last. Kalman's filter follows both; the
arm with the least ``mean - 0.7 std`` is played (a lower confidence bound, as in W. Chu et al., "Contextual
bandits with linear payoff functions", AISTATS 2011), and now and then another one, drawn by the inverse gaps
of the means (D. J. Foster, A. Rakhlin, ICML 2020), so that a wrong model is found out.

What a polynomial of low degree can follow depends on the scale of the context. Unless the range is given, the
context is replaced by its rank among those seen: then the model resolves best where most of the systems are,
and a monotone change of the context changes nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from numsolve._core import checks
from numsolve._core.foreign import answers

from ._tuner import Contextual, pair

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numsolve._core.typing import Array, RandomState

#: Prior standard deviation of theta_ab: DECAY**(a + b).
DECAY = 0.65
#: Standard deviation of the drift of order a: DRIFT * DECAY**a; what it keeps from one system to the next.
DRIFT, MEMORY = 0.1, 0.98
#: Standard deviation of log c between systems of one context; iteration counts add that of their rounding.
NOISE, ROUNDING = 0.06, 0.3
#: Standard deviations below the mean that the lower confidence bound lies.
CONFIDENCE = 0.7
#: How often an arm is drawn by inverse gaps, and how fast that turns to the best arm: GAP_RATE * sqrt(round).
EXPLORE, GAP_RATE = 0.02, 10.0
#: A scale on [-1, 1] and a mean that moved by less are those of before.
SETTLED = 0.05
#: Knots of the learned scale of the context.
KNOTS = 33
EXPLORATIONS = ("lcb", "ts", "igw")


class SmoothCB(Contextual):
    """Find the best arm for each context, with a smooth model of the cost over arms and contexts.

    This is the tuner to take where the systems differ and a number tells how (the stiffness of a time step, a
    shift, a mesh size): it comes within a few per cent of the best choice for each single system, after some
    hundred systems.

    Parameters
    ----------
    arms : sequence
        Numbers; or tuples that end in a number, ``("ssor_cg", 1.5)``: arms with equal beginnings share a
        model; or anything else: such an arm has a model of its own.
    degree : tuple of int
        Of the polynomials in the arm and in the context.
    context_range : tuple of float, optional
        ``(low, high)``, mapped linearly; contexts outside are clipped, with one warning. By default the
        scale of the context is learned.
    exploration : {"lcb", "ts", "igw"}
        Lower confidence bound; a sample of the posterior (Thompson); inverse gaps of the means in each round.
    discount : float
        In (0, 1]: what a coefficient of the polynomial keeps from one round to the next. Below 1 the tuner
        forgets, and with 0.9999 has found its way again some 500 rounds after a sudden change.
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
    numsolve.linear.TsallisINF : Where there is no context.

    Notes
    -----
    The model is computed again when the scale of the context has been learned anew. For that the history is
    kept, three numbers a round.

    References
    ----------
    W. Chu, L. Li, L. Reyzin, R. Schapire, "Contextual bandits with linear payoff functions", AISTATS 2011.
    D. J. Foster, A. Rakhlin, "Beyond UCB: optimal and efficient contextual bandits with regression oracles",
    ICML 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import linear
    >>> tuner = linear.SmoothCB(np.linspace(1, 1.9, 10), rng=0)
    >>> rng = np.random.default_rng(1)
    >>> for _ in range(300):
    ...     best = rng.uniform(1.1, 1.8)
    ...     omega = tuner.suggest(best)
    ...     tuner.observe(10 + 200 * (omega - best) ** 2)
    >>> [round(tuner.suggest(best), 1) for best in (1.2, 1.5, 1.7)]
    [1.2, 1.5, 1.7]
    """

    _state = (
        "_contexts",
        "_indices",
        "_targets",
        "_variances",
        "_knots",
        "_levels",
        "_outside",
        "_due",
        "_cov",
        "_theta",
        "_mean",
    )

    @answers()
    def __init__(
        self,
        arms: Iterable[Any],
        *,
        degree: tuple[int, int] = (5, 8),
        context_range: tuple[float, float] | None = None,
        exploration: Literal["lcb", "ts", "igw"] = "lcb",
        discount: float = 1.0,
        rng: RandomState = None,
    ) -> None:
        super().__init__(arms, context_range=context_range, rng=rng)
        self.exploration = checks.choice("exploration", exploration, EXPLORATIONS)
        self.discount = checks.real("discount", discount, low=0.0, high=1.0, open_low=True)
        p, q = (checks.integer("degree", k, low=0) for k in pair("degree", degree))
        self._arm_features, orders, *self._blocks = arm_features(self.arms, p)
        steps = np.array([*DECAY ** np.arange(q + 1), DRIFT])
        self._prior = np.outer(DECAY**orders, steps).reshape(-1)
        self._keep = np.tile([*[self.discount] * (q + 1), MEMORY], orders.size)
        self._contexts: list[float] = []
        self._indices: list[int] = []
        self._targets: list[float] = []  # logarithms of the costs
        self._variances: list[float] = []
        self._knots, self._levels = np.zeros(1), np.zeros(1)
        self._outside, self._due = 0, 0
        self._features = q + 2  # of a context
        m = self._prior.size
        self._cov, self._theta, self._mean = np.empty((m, m)), np.empty(m), 0.0
        self._relearn()

    def suggest(self, context: float | None = None) -> Any:
        """Choose an arm.

        Parameters
        ----------
        context : float
            A number known before the solve that says how hard it will be.

        Returns
        -------
        object
            One of `arms`.
        """
        return super().suggest(context)

    def _probabilities(self, context: float | None) -> Array:
        from . import _cpu as k

        assert context is not None
        d = len(self.arms)
        if not self._targets:
            first: Array = np.eye(1, d, d // 2)[0]
            return first
        z = self._scaled(context)
        mean, std, work = np.empty(d), np.empty(d), np.empty(self._features)
        k.predict(self._cov, self._theta, self._arm_features, self._blocks[0], z, work, mean, std)
        lower = mean - CONFIDENCE * std
        if self.exploration == "ts":
            lower = mean + std * self._rng.standard_normal(d)
        p, explore = np.empty(d), 1.0 if self.exploration == "igw" else EXPLORE
        k.lean(mean, lower, GAP_RATE * math.sqrt(len(self._targets)), explore, p)
        return p

    def _learn(self, index: int, cost: float) -> None:
        assert self._context is not None
        target, variance = self._target(cost)
        self._contexts.append(self._context)
        self._indices.append(index)
        self._targets.append(target)
        self._variances.append(variance)
        learned = self.context_range is None
        self._outside += learned and not self._knots[0] <= self._context <= self._knots[-1]
        rounds = len(self._targets)
        due = rounds >= self._due
        if self._outside > max(1, rounds // 100) or (due and not self._is_settled()):
            self._relearn()
        else:
            if due:
                self._due = next_due(rounds)
            record = self._scaled(self._context), target - self._mean, NOISE**2 + variance
            self._filter(np.array([index]), np.array([record]))

    def _filter(self, arms: Array, rounds: Array) -> None:
        """Follow rounds: the context on [-1, 1], the target less its mean, and its variance."""
        from . import _cpu as k

        work = np.empty((3, self._prior.size))
        model = self._cov, self._theta, self._prior, self._keep, self._arm_features, *self._blocks
        k.learn(*model, arms, rounds, work)

    def _target(self, cost: float) -> tuple[float, float]:
        """The logarithm of a cost, and its variance by rounding if it is a count."""
        count = float(cost).is_integer()
        cost = max(cost, 0.5 if count else 1e-300)
        return math.log(cost), (ROUNDING / cost) ** 2 if count else 0.0

    def _scaled(self, context: Any) -> Any:
        """The context on [-1, 1]: linear in the given range, or by its rank among those seen."""
        if self.context_range is not None:
            return self._unit(context)
        return np.interp(context, self._knots, self._levels)

    def _relearn(self) -> None:
        """Learn the scale of the context, and the model from the whole history."""
        contexts, targets = np.array(self._contexts), np.array(self._targets)
        rounds = targets.size
        if self.context_range is None and rounds:
            self._knots, self._levels = ranks(contexts)
        self._mean = float(targets.mean()) if rounds else 0.0
        self._cov[:], self._theta[:] = np.diag(self._prior**2), 0.0
        if rounds:
            variances = NOISE**2 + np.array(self._variances)
            records = np.stack([self._scaled(contexts), targets - self._mean, variances], axis=1)
            self._filter(np.array(self._indices), records)
        self._outside, self._due = 0, next_due(rounds)

    def _is_settled(self) -> bool:
        """Whether a new scale and a new mean would be those that the model has."""
        if not abs(np.mean(self._targets) - self._mean) < SETTLED:
            return False
        if self.context_range is not None:
            return True
        if self._knots.size < 2:
            return self._outside == 0  # one context, so far
        knots, levels = ranks(np.array(self._contexts))
        return bool(np.abs(np.interp(knots, self._knots, self._levels) - levels).max() < SETTLED)


def next_due(rounds: int) -> int:
    """The round in which one looks whether the scale is still right."""
    return max(int(1.15 * rounds), rounds + 4)


def ranks(contexts: Array) -> tuple[Array, Array]:
    """Knots among the contexts, and the share of contexts below each, on [-1, 1]."""
    knots = np.unique(np.quantile(contexts, np.linspace(0, 1, KNOTS)))
    ordered = np.sort(contexts)
    below = np.searchsorted(ordered, knots, "left") + np.searchsorted(ordered, knots, "right")
    if knots.size < 2:
        return knots, np.zeros(knots.size)
    return knots, 2 * (below - below[0]) / (below[-1] - below[0]) - 1


def arm_features(arms: Sequence[Any], degree: int) -> tuple[Array, Array, Array, Array]:
    """Chebyshev polynomials of each arm, a block of columns a family, and their orders.

    And the ends of the block of each column, and the first column of each arm.
    """
    families: dict[Any, list[int]] = {}
    values = np.zeros(len(arms))
    for i, arm in enumerate(arms):
        head, last = (arm[:-1], arm[-1]) if isinstance(arm, tuple) and arm else ((), arm)
        numeric = isinstance(last, int | float | np.integer | np.floating) and not isinstance(last, bool)
        values[i] = float(last) if numeric else 0.0
        families.setdefault(head if numeric else ("alone", i), []).append(i)
    blocks, orders = [], []
    ends: list[tuple[int, int]] = []
    first_of = np.zeros(len(arms), dtype=np.int64)
    for members in families.values():
        # By their order, not by their size: what a user spaces evenly or by powers of ten is even.
        steps, place = np.unique(values[members], return_inverse=True)
        top = min(degree, steps.size - 1)
        w = 2 * place / max(steps.size - 1, 1) - 1
        block = np.zeros((len(arms), top + 1))
        block[members] = np.polynomial.chebyshev.chebvander(w, top)
        blocks.append(block)
        orders.append(np.arange(top + 1))
        first_of[members] = begin = len(ends)
        ends += [(begin, begin + top + 1)] * (top + 1)
    return np.hstack(blocks), np.concatenate(orders), np.array(ends), first_of
