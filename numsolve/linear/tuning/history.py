"""What a tuned solver chose and paid."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class SequenceHistory:
    """What was chosen and paid, one entry for each system.

    Parameters
    ----------
    arms : list
        The arms.
    indices : list of int
        Their places among the arms.
    costs : list of float
        What the tuner was told.
    contexts : list of float
        What the tuner knew before the solve; nan without a context.
    seconds : list of float
        Time of each solve.
    solved : list of bool
        Whether each solve succeeded.
    """

    arms: list[Any] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    contexts: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    solved: list[bool] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.arms)

    def append(self, arm: Any, index: int, cost: float, context: float, seconds: float, solved: bool) -> None:
        """Add one system."""
        self.arms.append(arm)
        self.indices.append(index)
        self.costs.append(cost)
        self.contexts.append(context)
        self.seconds.append(seconds)
        self.solved.append(solved)

    def __repr__(self) -> str:
        return f"SequenceHistory({len(self)} systems, total cost {sum(self.costs):.6g})"
