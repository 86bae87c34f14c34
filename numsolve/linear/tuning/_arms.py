"""The arms of ``TunedSolver("auto")``, and what each of them is expected to cost.

An arm is a tuple: nothing for CG scaled by the diagonal, a relaxation factor for SSOR-CG, a drop tolerance
and a refresh interval for methods with incomplete factors, a refresh interval for complete ones,

    ("cg",), ("ssor_cg", omega), ("ict_cg", droptol, refresh), ("block_cg", droptol, refresh),
    ("bicgstab", droptol, refresh), ("direct", refresh).

Factors serve at most as many matrices as the refresh interval says, and no longer than it pays (see `_life`).
The expected seconds are those of a model: the
counts of entries, times what an entry costs on a processor of today, times iterations as on a grid of the
same width. They are right within a small factor, and say where to look first.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from numsolve._core import checks
from numsolve.linear._system import relaxation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numsolve._core.typing import Array

    from ._look import Look

OMEGAS = (1.0, 1.3, 1.5, 1.7, 1.8, 1.9, 1.95)
#: Factors serve so many matrices at most; how many is for `Life` to decide, and this many are expected.
REFRESH, LIFE = 64, 8
#: Drop tolerances; the iterations that they leave, over those of plain CG; entries of a row beyond A's.
DROPS = {1e-2: (0.029, 4), 1e-3: (0.019, 8), 1e-4: (0.0075, 30)}
#: The same for BiCGSTAB, whose steps are double; 0 is ILU(0).
DROPS_LU = {0.0: (0.06, 0), 1e-2: (0.03, 5), 1e-3: (0.015, 10), 1e-4: (0.008, 30)}
ARMS: tuple[tuple[Any, ...], ...] = (
    ("cg",),
    *(("ssor_cg", omega) for omega in OMEGAS),
    *(("ict_cg", drop, REFRESH) for drop in DROPS),
    *(("block_cg", drop, REFRESH) for drop in DROPS),
    *(("bicgstab", drop, REFRESH) for drop in DROPS_LU),
    ("direct", REFRESH),
)
#: The condition up to which relaxation is predicted by the condition.
TAME = 1e3
#: The largest complete factor that is tried, in entries.
MOST_ENTRIES = 1e8


def fill_of(name: str, droptol: float) -> int | None:
    """Entries beyond those of A that a row of incomplete factors may have."""
    if name == "bicgstab" and droptol == 0.0:
        return None
    table = DROPS_LU if name == "bicgstab" else DROPS
    place = math.log10(droptol or 1e-30)
    return table[min(table, key=lambda drop: abs(math.log10(drop or 1e-30) - place))][1]


def checked(arms: Iterable[Any] | None) -> tuple[tuple[Any, ...], ...]:
    """The arms that a caller gives, or all."""
    if arms is None:
        return ARMS
    out: list[tuple[Any, ...]] = []
    for arm in arms:
        name = arm[0] if isinstance(arm, tuple) and arm else None
        if name == "cg" and len(arm) == 1:
            out.append((name,))
        elif name == "ssor_cg" and len(arm) == 2:
            out.append((name, relaxation(arm[1])))
        elif name in {"ict_cg", "block_cg", "bicgstab"} and len(arm) == 3:
            drop = checks.real("arms", arm[1], low=0.0)
            out.append((name, drop, checks.integer("arms", arm[2], low=1)))
        elif name == "direct" and len(arm) == 2:
            out.append((name, checks.integer("arms", arm[1], low=1)))
        else:
            raise ValueError(
                "arms of 'auto' are ('cg',), ('ssor_cg', omega), ('ict_cg', droptol, refresh), "
                "('block_cg', droptol, refresh), ('bicgstab', droptol, refresh) or ('direct', refresh), "
                f"got {arm!r}"
            )
    if not out:
        raise ValueError("arms is empty: at least one is wanted")
    return tuple(out)


def neighbours(arms: Sequence[tuple[Any, ...]]) -> Array:
    """Which arms differ from which by one step of one setting."""
    near = np.zeros((len(arms), len(arms)), dtype=bool)
    for name in {arm[0] for arm in arms}:
        own = [i for i, arm in enumerate(arms) if arm[0] == name]
        levels = [sorted({arms[i][part] for i in own}, key=_place) for part in range(1, len(arms[own[0]]))]
        places = {i: [lev.index(v) for lev, v in zip(levels, arms[i][1:], strict=True)] for i in own}
        for i in own:
            for j in own:
                near[i, j] = sum(abs(a - b) for a, b in zip(places[i], places[j], strict=True)) == 1
    return near


def _place(setting: float) -> float:
    """Settings in order; a drop tolerance of 0 stands for ILU(0), whose fill is the least, and comes last."""
    return setting or math.inf


class Known(NamedTuple):
    """What is known of a system before it is solved."""

    look: Look
    #: right-hand sides
    k: int
    rtol: float
    context: float
    #: arms whose factors are at hand, and the seconds that their next solve takes
    going: dict[int, float]

    @property
    def key(self) -> tuple[int, ...]:
        """Systems with one key are taken for alike; the first entries have to be equal, the last are near."""
        n, repeats = self.look.A.shape[0], math.log2(self.look.systems)
        kind = 2 * self.look.positive + self.look.symmetric
        steps = 0 if repeats < 0.6 else 1 if repeats < 3 else 2
        several = 0 if self.k == 1 else 1 + round(math.log2(self.k))
        context = round(max(min(self.context, 50.0), -50.0))
        return kind, several, round(2 * math.log2(n + 1)), steps, context


class _Sizes:
    """The counts that the model is made of."""

    def __init__(self, known: Known) -> None:
        look = known.look
        self.n, self.nnz, self.k = int(look.A.shape[0]), int(look.A.nnz), known.k
        width = max(look.width, 1)
        self.band = max(look.below, look.above)
        self.lu = self.n * math.log2(self.n + 2) + 8.0 * width**2
        self.flops = 10.0 * width**3
        weak = 2.5 * (width / max(self.n, 1)) ** 2 + max(look.weakest, 0.0)
        self.condition = 1 / max(weak, 1e-12)
        self.digits = math.log(2 / min(max(known.rtol, 1e-14), 0.5))
        self.systems, self.positive = look.systems, look.positive

    def banded(self) -> float:
        """By LAPACK: factors and solution."""
        factor = 0.7e-9 if self.positive else 3e-9
        work = self.n * (self.band + 1.0) * (factor * (self.band + 1) + 4e-9 * self.k)
        return 2e-5 + work

    def incomplete(self, drop: tuple[float, int]) -> tuple[float, float, float]:
        """Seconds for the factors, for a step with them, and steps."""
        entries = self.nnz / max(self.n, 1) + 2 * drop[1]
        setup = 5e-9 * self.n * entries**1.55
        step = 1e-9 * self.nnz + 0.9e-9 * self.n * entries + 2e-9 * self.n
        return setup, step, 4 + drop[0] * math.sqrt(self.condition) * self.digits

    def direct(self) -> tuple[float, float]:
        """Seconds for complete factors, and for a solution with them."""
        several = 1.0 if self.k == 1 else 0.05 + 1.2 / self.k
        return 1.3e-6 * self.n + 0.3e-9 * self.flops, 6e-9 * self.lu * several


def expected(arms: Sequence[tuple[Any, ...]], known: Known, *, alone: bool = False) -> Array:
    """The logarithms of the expected seconds; infinite for what does not go.

    Factors serve as many matrices as they may, or one alone.
    """
    sizes = _Sizes(known)
    with np.errstate(divide="ignore"):
        seconds: Array = np.array([_seconds(arm, sizes, 1 if alone else arm[-1]) for arm in arms])
        if not np.isfinite(seconds).any():
            return np.zeros(len(arms))
        logarithms: Array = np.log(seconds)
        return logarithms


def _seconds(arm: tuple[Any, ...], sizes: _Sizes, refresh: int) -> float:
    name, k = arm[0], sizes.k
    setting = float(arm[1]) if len(arm) > 1 else 0.0
    symmetric = name in {"cg", "ssor_cg", "ict_cg", "block_cg"}
    if name != "direct" and symmetric != sizes.positive:
        return math.inf
    if name == "cg":
        step = 1e-9 * sizes.nnz + 5e-9 * sizes.n
        return k * (1e-4 + (2 + 0.25 * sizes.digits * math.sqrt(sizes.condition)) * step)
    if name == "ssor_cg":
        # The best factor of a large grid is a bad one where coefficients jump: the model says a middling one.
        tame, left = min(sizes.condition, TAME), 2 - setting
        condition = (1 + left**2 * tame / (4 * setting)) / (2 * left) * math.sqrt(sizes.condition / tame)
        return k * (1e-4 + (5 + 0.32 * sizes.digits * math.sqrt(condition)) * 3.1e-9 * sizes.nnz)
    refresh = min(refresh, LIFE)
    late = math.log2(refresh)
    uses = refresh * sizes.systems
    if name == "direct":
        setup, solution = sizes.direct()
        if sizes.lu > MOST_ENTRIES:
            return math.inf
        if sizes.banded() < setup + k * solution:
            return sizes.banded()
        fresh = setup / sizes.systems + k * (1e-4 + solution)
        if refresh == 1:
            return fresh
        # Late factors serve while they pay.
        lagged = solution * (5 + 0.5 * late)
        return min(fresh, setup / uses + k * (1e-4 + solution + lagged / sizes.systems))
    if name == "bicgstab":
        drop = DROPS_LU.get(setting, DROPS_LU[1e-3])
        setup, step, steps = sizes.incomplete(drop)
        return setup / uses + k * (1e-4 + 2 * step * steps) * (1 + 0.1 * late)
    if (name == "block_cg") != (k > 1):
        return math.inf
    setup, step, steps = sizes.incomplete(DROPS.get(setting, DROPS[1e-3]))
    if name == "block_cg":
        step, steps = 0.45 * step + sizes.n * (6e-9 + 1.5e-9 * k), 0.7 * steps
    return setup / uses + k * (1e-4 / k + step * steps) * (1 + 0.1 * late)


def is_banded(known: Known, others: float) -> bool:
    """Whether LAPACK is expected to be far cheaper than the best of the others, so that nothing is tried."""
    sizes = _Sizes(known)
    return sizes.banded() < 0.5 * min(others, sum(sizes.direct()))


def banded_first(look: Look, k: int) -> bool:
    """Whether the bands are cheaper to factorise than the graph."""
    sizes = _Sizes(Known(look, k, 1e-5, 0.0, {}))
    setup, solution = sizes.direct()
    return sizes.banded() < setup + k * solution
