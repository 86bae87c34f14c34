r"""Tsallis-INF: a bandit that finds the best fixed arm, in random as in adversarial sequences.

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

from ._tuner import Tuner

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The least scale: a sequence in which each solve costs nothing has the scale zero.
LEAST_SCALE = 1e-3


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

    def __init__(
        self, arms: Sequence[Any], *, discount: float = 1.0, baseline: float = 1.0, rng: Any = None
    ) -> None:
        super().__init__(arms, rng=rng)
        self.discount = checks.real("discount", discount, low=0.0, high=1.0, open_low=True)
        self.baseline = checks.real("baseline", baseline, low=0.0)
        self._losses = np.zeros(len(self.arms))
        self._time = 0.0  # rounds, with their discount
        self._total = 0.0

    def _probabilities(self, context: float | None) -> Any:  # noqa: ARG002
        from . import _cpu_tuners as k

        mean = self._total / self._time if self._time else 1.0
        return k.tsallis_weights(self._losses / max(mean, LEAST_SCALE), 2 / np.sqrt(self._time + 1))

    def _learn(self, index: int, cost: float) -> None:
        self._losses *= self.discount
        self._losses[index] += (cost - self.baseline) / self._p[index]
        self._time = self.discount * self._time + 1
        self._total = self.discount * self._total + cost - self.baseline
