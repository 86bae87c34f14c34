r"""Tsallis-INF: a bandit that finds the best fixed arm, in random as in adversarial sequences.

And Tsallis-INF-CB, which has such a bandit for each of some bins of a context.

J. Zimmert, Y. Seldin, "Tsallis-INF: an optimal algorithm for stochastic and adversarial bandits", JMLR 22,
2021, with the step size and the scaling of M. Khodak, E. Chow, M.-F. Balcan, A. Talwalkar, "Learning to
relax", ICLR 2024. In round t

    p_i = 4 / (eta_t (k_i / s - x))^2   with x such that   sum_i p_i = 1,   eta_t = 2 / sqrt(t),

and after a draw of i with the cost c:  k_i <- k_i + (c - 1) / p_i,  s = (mean of the costs) - 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import checks
from numsolve._core.foreign import answers

from ._tuner import Contextual, Tuner

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numsolve._core.typing import Array, RandomState

#: The least scale over the baseline: a sequence in which each solve costs just that has the scale zero.
LEAST_SCALE = 1e-3
#: The least scale without a baseline.
TINY = 1e-300


class TsallisINF(Tuner):
    """Find the best fixed arm, without a context.

    No assumption is made on the costs. What it can reach is the best *fixed* arm: where the best arm moves
    from system to system, a contextual tuner gets much lower.

    Parameters
    ----------
    arms : sequence
        What to choose from, anything.
    discount : float
        In (0, 1]: what a loss counts for one round later. Below 1 the tuner forgets, and follows a best arm
        that moves.
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

    Notes
    -----
    The normalisation x is found by Newton's method from the right end of its bracket, where it converges
    monotonely. (From the left end it can jump over a pole, and then one arm is drawn for ever.)

    References
    ----------
    J. Zimmert, Y. Seldin, JMLR 22(28), 2021.

    Examples
    --------
    >>> from numsolve import linear
    >>> tuner = linear.TsallisINF([1.0, 1.5, 1.9], rng=0)
    >>> for _ in range(2000):
    ...     omega = tuner.suggest()
    ...     tuner.observe({1.0: 30, 1.5: 10, 1.9: 20}[omega])
    >>> int(tuner.probabilities().argmax())
    1
    """

    _state = ("_losses", "_time", "_total")

    @answers()
    def __init__(
        self,
        arms: Iterable[Any],
        *,
        discount: float = 1.0,
        baseline: float = 1.0,
        rng: RandomState = None,
    ) -> None:
        super().__init__(arms, rng=rng)
        self.discount = checks.real("discount", discount, low=0.0, high=1.0, open_low=True)
        self.baseline = checks.real("baseline", baseline, low=0.0)
        self._losses = np.zeros(len(self.arms))
        self._time = 0.0  # rounds, with their discount
        self._total = 0.0

    def _probabilities(self, context: float | None) -> Array:  # noqa: ARG002
        from . import _cpu as k

        mean = self._total / self._time if self._time else 1.0
        scale, p = max(mean, LEAST_SCALE * self.baseline, TINY), np.empty(len(self.arms))
        k.tsallis_weights(self._losses / scale, 2 / np.sqrt(self._time + 1), p)
        return p

    def _learn(self, index: int, cost: float) -> None:
        self._losses *= self.discount
        self._losses[index] += (cost - self.baseline) / self._p[index]
        self._time = self.discount * self._time + 1
        self._total = self.discount * self._total + cost - self.baseline


class TsallisINFCB(Contextual):
    """Find the best arm for each bin of the context, by a bandit in each.

    Like `TsallisINF` it assumes nothing on the costs. Bins learn nothing from each other, so that it needs
    many systems.

    Parameters
    ----------
    arms : sequence
        What to choose from, anything.
    context_range : tuple of float
        ``(low, high)``; contexts outside are clipped, with one warning.
    nbins : int
        Bins of equal width.
    discount, baseline : float
        As in `TsallisINF`.
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
    numsolve.linear.SmoothCB : Shares what it learns between neighbouring arms and contexts.

    References
    ----------
    M. Khodak, E. Chow, M.-F. Balcan, A. Talwalkar, ICLR 2024, arXiv:2310.02246.

    Examples
    --------
    >>> from numsolve import linear
    >>> tuner = linear.TsallisINFCB([1.0, 1.5], context_range=(0, 1), nbins=2, rng=0)
    >>> for t in range(2000):
    ...     z = (t % 100) / 100
    ...     omega = tuner.suggest(z)
    ...     tuner.observe(10 + 20 * z if omega == 1.0 else 30 - 20 * z)
    >>> [int(tuner.probabilities(z).argmax()) for z in (0.1, 0.9)]
    [0, 1]
    """

    _state = ("_learned",)

    @answers()
    def __init__(
        self,
        arms: Iterable[Any],
        *,
        context_range: tuple[float, float],
        nbins: int = 5,
        discount: float = 1.0,
        baseline: float = 1.0,
        rng: RandomState = None,
    ) -> None:
        if context_range is None:
            raise ValueError("context_range must be (low, high), got None")
        super().__init__(arms, context_range=context_range, rng=rng)
        nbins = checks.integer("nbins", nbins, low=1)
        self._bins = [TsallisINF(self.arms, discount=discount, baseline=baseline) for _ in range(nbins)]

    def _bin(self, context: float | None) -> TsallisINF:
        assert context is not None
        place = (self._unit(context) + 1) / 2 * len(self._bins)
        return self._bins[min(int(place), len(self._bins) - 1)]

    def _probabilities(self, context: float | None) -> Array:
        return self._bin(context)._probabilities(None)

    def _learn(self, index: int, cost: float) -> None:
        learner = self._bin(self._context)
        learner._p = self._p
        learner._learn(index, cost)

    @property
    def _learned(self) -> list[dict[str, Any]]:
        return [{name: getattr(one, name) for name in one._state} for one in self._bins]

    @_learned.setter
    def _learned(self, states: list[dict[str, Any]]) -> None:
        for one, state in zip(self._bins, states, strict=True):
            vars(one).update(state)
