"""The stages of a solve between clouds: a falling regularisation, on clouds just fine enough for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from numsolve._core import arrays
from numsolve.transport._ascent import falling

from . import _generic
from ._pairs import Pairs

if TYPE_CHECKING:
    from ._cloud import Cloud

#: Mean cost within the parts of a coarse cloud over eps: wanted, and allowed before the last stage.
SPREAD, LARGEST_SPREAD = 0.1, 0.25
#: Points of a coarse cloud, at least.
FEWEST = 64


@dataclass(frozen=True)
class Stage:
    """A regularisation, and the clouds that are fine enough for it."""

    reg: float
    pairs: Pairs


def stages(pairs: Pairs, reg: float, span: float) -> list[Stage]:
    """The regularisations, and for each the coarsest clouds whose parts are small against it.

    `span` is the range of the costs.
    """
    path = falling(reg, span)
    if not arrays.is_numpy(pairs.xp) or pairs.metric.kind == "inner":  # in no order, or of no use
        return [Stage(eps, pairs) for eps in path]
    sides = [_levels(cloud, pairs) for cloud in (pairs.A, pairs.B)]
    stages = [Stage(eps, _coarse_pairs(pairs, sides, eps, SPREAD)) for eps in path]
    if stages[-1].pairs.shape == pairs.shape:
        stages.pop()
        stages.append(Stage(reg, _coarse_pairs(pairs, sides, reg, LARGEST_SPREAD)))
    if stages[-1].pairs.shape != pairs.shape:
        stages.append(Stage(reg, pairs))
    return stages


def _coarse_pairs(pairs: Pairs, sides: list[list[tuple[float, Cloud]]], reg: float, spread: float) -> Pairs:
    A, B = (next(cloud for s, cloud in levels if s <= spread * reg) for levels in sides)
    return Pairs(pairs.metric, A, B, pairs.workers)


def _levels(cloud: Cloud, pairs: Pairs) -> list[tuple[float, Cloud]]:
    """The coarse clouds of some levels with the mean cost within their parts, and last the whole cloud.

    As many as there is time for: without the others there is more to do, and the answer is the same.
    """
    n = cloud.points.shape[0]
    means = pairs.metric.function is None
    levels = []
    for level in range(FEWEST.bit_length() - 1, max(n, 2).bit_length() - 1):
        if pairs.workers.deadline.passed:
            break
        coarse = cloud.coarse(level, means=means)
        within = _generic.paired_costs(pairs.metric, cloud.points, coarse.points[cloud.owners(coarse)])
        levels.append((float(cloud.weights @ within), coarse))
    return [*levels, (0.0, cloud)]
