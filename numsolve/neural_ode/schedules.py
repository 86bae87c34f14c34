"""How the coefficient of a penalty changes during training: annealed, or steered to a budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numsolve._core import checks
from numsolve._core.result import Status

from ._field import require_jax

if TYPE_CHECKING:
    from .result import ODEResult

__all__ = ["CostTarget", "ExponentialDecay"]

#: batches that the two means of `CostTarget` reach back, and how far their difference is carried on
SHORT, LONG, LEAD = 8, 32, 4.0
#: how much faster the coefficient falls than it rises: a model recovers slowly from one too large
FALL = 4.0


@dataclass(frozen=True)
class ExponentialDecay:
    """A coefficient that falls from `start` to `stop` in `n` steps, at a constant rate.

    Parameters
    ----------
    start, stop : float
        First and last value, positive.
    n : int
        Steps from one to the other.

    Examples
    --------
    >>> from numsolve.neural_ode import ExponentialDecay
    >>> decay = ExponentialDecay(100.0, 1.0, n=4)
    >>> [round(decay(i), 1) for i in range(5)]
    [100.0, 31.6, 10.0, 3.2, 1.0]
    """

    start: float
    stop: float
    n: int

    def __post_init__(self) -> None:
        """Check, and keep plain numbers: those of other kinds do not mix."""
        for name in ("start", "stop"):
            object.__setattr__(self, name, checks.real(name, getattr(self, name), low=0.0, open_low=True))
        object.__setattr__(self, "n", checks.integer("n", self.n, low=1))

    def __call__(self, i: Any) -> Any:
        """Return the value at step `i`, which may be a value of a trace."""
        part = i / self.n
        return self.start ** (1 - part) * self.stop**part  # their ratio may be out of range


@dataclass(frozen=True, kw_only=True)
class CostTarget:
    """A coefficient that finds itself: it grows while solves cost more than wanted, and falls else.

    A model answers to its penalty late, so what counts is the cost that is on its way. With means m and M of
    the logarithm of the cost, over some `SHORT` and `LONG` batches, it is expected at

        p = exp(m + LEAD (m - M)),                                                          (1)

    and after each batch the coefficient c becomes

        c exp(rate e),  e = clip(p / target - 1, -1, 1),  with FALL e for e < 0;            (2)

    within `band` of the target it stays. The state is the array (c, m, M), which can be kept, and updated
    under ``jax.jit``.

    Parameters
    ----------
    attempts : float, optional
        Wanted steps of a solve, accepted and rejected.
    nfev : float, optional
        Wanted evaluations instead.
    start : float
        The first coefficient.
    rate : float
        How fast it moves.
    band : float
        Relative half-width of the band in which it rests.
    low, high : float
        Its limits.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from numsolve.neural_ode import CostTarget, odesolve
    >>> target = CostTarget(attempts=2)
    >>> state = target.init()
    >>> sol = odesolve(lambda t, y, p: -y, jnp.ones(1), (0.0, 9.0))
    >>> after = target.update(state, sol)
    >>> bool(target.coefficient(after) > target.coefficient(state))
    True
    """

    attempts: float | None = None
    nfev: float | None = None
    start: float = 1e-3
    rate: float = 0.05
    band: float = 0.1
    low: float = 1e-6
    high: float = 1e4

    def __post_init__(self) -> None:
        """Check, and keep plain numbers."""
        if (self.attempts is None) == (self.nfev is None):
            raise ValueError(f"give one of attempts and nfev, got {self.attempts!r} and {self.nfev!r}")
        for name in ("attempts", "nfev"):
            if getattr(self, name) is not None:
                self._keep(name, open_low=True)
        low = self._keep("low", open_low=True)
        high = self._keep("high", low=low)
        self._keep("start", low=low, high=high)
        self._keep("rate", open_low=True)
        self._keep("band")

    def _keep(self, name: str, low: float = 0.0, **limits: Any) -> float:
        number = checks.real(name, getattr(self, name), low=low, **limits)
        object.__setattr__(self, name, number)
        return number

    def init(self) -> Any:
        """Return the first state.

        Returns
        -------
        array of shape (3,)
        """
        jnp = require_jax().numpy
        return jnp.asarray([self.start, jnp.nan, jnp.nan], jnp.result_type(float))

    def coefficient(self, state: Any) -> Any:
        """Return the coefficient that a state stands for.

        Parameters
        ----------
        state : array of shape (3,)
            Of `init` or `update`.

        Returns
        -------
        array of shape ()
        """
        return state[0]

    def update(self, state: Any, sol: ODEResult) -> Any:
        """Return the next state after a solve.

        Parameters
        ----------
        state : array of shape (3,)
            The state whose coefficient was used.
        sol : ODEResult
            The solve that it was used for; a failed one counts as at least twice what is wanted.

        Returns
        -------
        array of shape (3,)
        """
        jnp = require_jax().numpy
        if self.attempts is None:
            spent, wanted = sol.nfev, self.nfev
        else:
            spent, wanted = sol.naccepted + sol.nrejected, self.attempts
        assert wanted is not None
        spent = jnp.asarray(spent, state.dtype)
        failed = jnp.asarray(sol.status) != Status.CONVERGED.value
        spent = jnp.where(failed, jnp.maximum(spent, 2 * wanted), spent)
        cost = jnp.log(jnp.maximum(jnp.mean(spent), 1.0))
        c, short, long = state
        short, long = (
            jnp.where(jnp.isnan(mean), cost, mean + (cost - mean) / batches)
            for mean, batches in ((short, SHORT), (long, LONG))
        )
        expected = jnp.exp(short + LEAD * (short - long))  # (1)
        excess = jnp.clip(expected / wanted - 1.0, -1.0, 1.0)
        excess = jnp.where(jnp.abs(excess) <= self.band, 0.0, excess)
        excess = jnp.where(excess < 0.0, FALL * excess, excess)
        c = jnp.clip(c * jnp.exp(self.rate * excess), self.low, self.high)  # (2)
        return jnp.stack([c, short, long]).astype(state.dtype)
