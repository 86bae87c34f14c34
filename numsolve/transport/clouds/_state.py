"""A point on the way to the solution between clouds, and how much of its plan is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from numsolve.transport._ascent import State

if TYPE_CHECKING:
    from ._pairs import Pairs, Plan

#: Entries of P in CSR, per row, at most, and what small problems may have anyway.
ENTRIES_PER_ROW, ENTRIES = 400, 2_000_000


@dataclass
class CloudState(State):
    """A point, and its plan."""

    plan: Plan


def most(pairs: Pairs) -> int:
    """The most entries of P that are stored."""
    return max(ENTRIES_PER_ROW * pairs.shape[0], ENTRIES)
