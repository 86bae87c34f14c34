"""How the coefficient of a penalty changes during training: annealed, or steered to a budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numsolve._core import checks

from ._field import require_jax

if TYPE_CHECKING:
    from .result import ODEResult

__all__ = ["CostTarget", "ExponentialDecay"]


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
        """Check."""
        checks.real("start", self.start, low=0.0, open_low=True)
        checks.real("stop", self.stop, low=0.0, open_low=True)
        checks.integer("n", self.n, low=1)

    def __call__(self, i: Any) -> Any:
        """Return the value at step `i`, which may be a value of a trace."""
        return self.start * (self.stop / self.start) ** (i / self.n)


@dataclass(frozen=True, kw_only=True)
class CostTarget:
    """A coefficient that finds itself: it grows while solves cost more than wanted, and falls else.

    After each batch the coefficient c becomes ``c exp(rate clip(cost / target - 1, -1, 1))``; within `band`
    of the target it stays. Its state is c itself, an array, so that it can be kept, and updated under
    ``jax.jit``.

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
    >>> c = target.init()
    >>> sol = odesolve(lambda t, y, p: -y, jnp.ones(1), (0.0, 9.0))
    >>> bool(target.update(c, sol) > c)
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
        """Check."""
        if (self.attempts is None) == (self.nfev is None):
            raise ValueError(f"give one of attempts and nfev, got {self.attempts!r} and {self.nfev!r}")
        for name in ("attempts", "nfev"):
            if getattr(self, name) is not None:
                checks.real(name, getattr(self, name), low=0.0, open_low=True)
        low = checks.real("low", self.low, low=0.0, open_low=True)
        high = checks.real("high", self.high, low=low)
        checks.real("start", self.start, low=low, high=high)
        checks.real("rate", self.rate, low=0.0, open_low=True)
        checks.real("band", self.band, low=0.0)

    def init(self) -> Any:
        """Return the first state, which is the coefficient.

        Returns
        -------
        array of shape ()
        """
        jnp = require_jax().numpy
        return jnp.asarray(self.start, jnp.result_type(float))

    def update(self, state: Any, sol: ODEResult) -> Any:
        """Return the next state after a solve.

        Parameters
        ----------
        state : array of shape ()
            The coefficient.
        sol : ODEResult
            The solve that it was used for; a failed one costs its attempts.

        Returns
        -------
        array of shape ()
        """
        jnp = require_jax().numpy
        if self.attempts is not None:
            ratio = jnp.mean(jnp.asarray(sol.naccepted + sol.nrejected)) / self.attempts
        else:
            assert self.nfev is not None
            ratio = jnp.mean(jnp.asarray(sol.nfev)) / self.nfev
        excess = jnp.clip(ratio - 1.0, -1.0, 1.0)
        excess = jnp.where(jnp.abs(excess) <= self.band, 0.0, excess)
        return jnp.clip(state * jnp.exp(self.rate * excess), self.low, self.high).astype(state.dtype)
