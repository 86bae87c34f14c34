"""What all tuners share: arms, the order of suggesting and observing, saving and restoring."""

from __future__ import annotations

import math
import warnings
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from numsolve._core import checks
from numsolve._core.result import caller_level

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numsolve._core.typing import Array, RandomState


class Tuner:
    """Pick an arm before each solve, and learn from what it cost.

    A derived class computes the probabilities of the arms (`_probabilities`), learns (`_learn`), and names
    the attributes that make up its state.

    Parameters
    ----------
    arms : sequence
        What to choose from: numbers, words, tuples, anything.
    rng : None, int or Generator
        Randomness.

    Attributes
    ----------
    arms : tuple
        The choices.
    index : int or None
        The arm that was suggested and waits for its cost.
    rounds : int
        Costs observed so far.
    """

    _state: tuple[str, ...] = ()

    def __init__(self, arms: Iterable[Any], *, rng: RandomState = None) -> None:
        self.arms = choices(arms)
        self.index: int | None = None
        self.rounds = 0
        self._context: float | None = None
        self._p = np.empty(0)
        self._rng = checks.generator(rng)

    def suggest(self, context: float | None = None) -> Any:
        """Choose an arm.

        Parameters
        ----------
        context : float, optional
            A number known before the solve that says how hard it will be; a contextual tuner needs it.

        Returns
        -------
        object
            One of `arms`.
        """
        self._context = self._checked(context)
        self._p = self._probabilities(self._context)
        # As Generator.choice draws, in a tenth of its time.
        steps = self._p.cumsum()
        self.index = int(steps.searchsorted(self._rng.random() * steps[-1], side="right"))
        return self.arms[self.index]

    def observe(self, cost: float) -> None:
        """Learn what the suggested arm cost.

        Parameters
        ----------
        cost : float
            Iterations, seconds, anything nonnegative that is to be small.
        """
        cost = checks.real("cost", cost, low=0.0)
        if self.index is None:
            raise RuntimeError("observe(cost) needs a suggest() before it, one for each cost")
        self._learn(self.index, cost)
        self.rounds += 1
        self.index = None

    def probabilities(self, context: float | None = None) -> Array:
        """With which probability `suggest` would choose each arm.

        Parameters
        ----------
        context : float, optional
            As in `suggest`.

        Returns
        -------
        array of shape (d,)
        """
        return self._probabilities(self._checked(context))

    def state_dict(self) -> dict[str, Any]:
        """Everything learned so far, and the state of the random generator.

        Returns
        -------
        dict
            Numbers, lists and arrays; a copy.
        """
        names = ("index", "rounds", "_context", "_p", *self._state)
        return {
            "arms": list(self.arms),
            "rng": deepcopy(self._rng.bit_generator.state),
            **{name: deepcopy(getattr(self, name)) for name in names},
        }

    def load_state_dict(self, state: dict[str, Any]) -> Self:
        """Go on where another tuner of the same arms was when its state was taken.

        Parameters
        ----------
        state : dict
            From `state_dict`.

        Returns
        -------
        Tuner
            Itself.
        """
        if list(state["arms"]) != list(self.arms):
            raise ValueError(f"the state is that of other arms: {state['arms']}, not {list(self.arms)}")
        for name in ("index", "rounds", "_context", "_p", *self._state):
            setattr(self, name, deepcopy(state[name]))
        self._rng.bit_generator.state = deepcopy(state["rng"])
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.arms)} arms, {self.rounds} rounds)"

    def _checked(self, context: float | None) -> float | None:
        """A context is ignored by a tuner without contexts."""
        return None if context is None else checks.real("context", context)

    def _probabilities(self, context: float | None) -> Array:
        raise NotImplementedError

    def _learn(self, index: int, cost: float) -> None:
        raise NotImplementedError


class Contextual(Tuner):
    """A tuner that needs a context, perhaps within a range."""

    def __init__(
        self, arms: Iterable[Any], *, context_range: tuple[float, float] | None, rng: RandomState = None
    ) -> None:
        super().__init__(arms, rng=rng)
        self.context_range: tuple[float, float] | None = None
        self._warned = False
        if context_range is not None:
            low, high = (checks.real("context_range", v) for v in pair("context_range", context_range))
            if not (low < high and math.isfinite(high - low)):
                raise ValueError(f"context_range must be (low, high) with low < high, got {context_range}")
            self.context_range = (low, high)

    def _checked(self, context: float | None) -> float:
        if context is None:
            raise ValueError(f"{type(self).__name__} needs a context; without one, TsallisINF is the tuner")
        z = checks.real("context", context)
        if self.context_range is None:
            return z
        low, high = self.context_range
        if not low <= z <= high and not self._warned:
            self._warned = True
            warnings.warn(
                f"the context {z:g} is outside context_range {self.context_range}; it is clipped, "
                "and so are others from now on",
                stacklevel=caller_level(),
            )
        return min(max(z, low), high)

    def _unit(self, context: float) -> float:
        """The context mapped to [-1, 1]."""
        assert self.context_range is not None
        low, high = self.context_range
        return 2 * (context - low) / (high - low) - 1


def choices(arms: Iterable[Any]) -> tuple[Any, ...]:
    """The arms as a tuple, NumPy's numbers as Python's."""
    checks.refuse_masked("arms", arms)
    if isinstance(arms, str | bytes) or not hasattr(arms, "__iter__"):
        raise TypeError(f"arms must be a sequence of what to choose from, got {arms!r}")
    if getattr(getattr(arms, "dtype", None), "names", None):
        raise TypeError("arms is a structured array; give a list of tuples: arms.tolist()")
    out = tuple(_plain(arm) for arm in arms)
    if not out:
        raise ValueError("arms is empty: at least one is wanted")
    for arm in out:
        if isinstance(arm, float) and not math.isfinite(arm):
            raise ValueError(f"arms must be finite where they are numbers, got {arm}")
    return out


def _plain(arm: Any) -> Any:
    if isinstance(arm, np.generic) or (isinstance(arm, np.ndarray) and arm.ndim == 0):
        return arm.item()
    return tuple(map(_plain, arm)) if type(arm) is tuple else arm


def pair(name: str, value: Any) -> tuple[Any, Any]:
    """Two values, whatever holds them."""
    values = tuple(value) if hasattr(value, "__iter__") else ()
    if len(values) != 2:
        raise ValueError(f"{name} must be a pair of numbers, got {value!r}")
    return values[0], values[1]


def inverse_gaps(values: Array, scale: float) -> Array:
    """p_i = 1 / (d + scale * (v_i - min v)) for all arms but the best, which gets the rest."""
    best = int(np.argmin(values))
    p: Array = 1 / (values.size + scale * (values - values[best]))
    p[best] = 0.0
    p[best] = 1 - p.sum()
    return p
