r"""Presolve: a smaller program with the same optimum, and the way back, multipliers included.

Everything here follows from one observation (A. Brearley, G. Mitra, H. Williams, "Analysis of mathematical
programming problems prior to applying the simplex algorithm", Math. Prog. 8, 1975). Within the bounds of its
variables a row a'x lies between

    low = sum_j min(a_j lx_j, a_j ux_j),      high = sum_j max(a_j lx_j, a_j ux_j),            (1)

and so, leaving out one variable, ``lc <= a'x <= uc`` implies for it

    a_k x_k <= uc - (low without k),          a_k x_k >= lc - (high without k).                (2)

A row with ``lc <= low`` and ``high <= uc`` says nothing and goes; one with ``low > uc`` or ``high < lc``
contradicts its bounds. Bounds by (2) are taken over from a *singleton* row, which then says nothing; from a
*forcing* row, whose ``high = lc`` or ``low = uc`` leaves each variable one value; and in place of bounds far
beyond them. *Duplicate* rows, multiples of each other, become one. The same on the dual side: if no
multipliers within their signs, or within what columns with a single entry allow, can make the reduced cost
``c_j - a_j'y`` of a variable zero, it stays at the bound of that sign (*dual fixing* and *dominated columns*;
E. Andersen, K. Andersen, "Presolving in linear programming", Math. Prog. 71, 1995).

Back: a reduced cost r_k that leans on a bound taken over from row i is none of the caller's. Adding
``r_k / a_k`` to y_i makes it zero, and by (2) leaves the dual objective where it was; so the steps are undone
in reverse. The same turns a contradiction into a combination of the caller's rows: a proof.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from numsolve._core import arrays

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array, Matrix

    from ._program import LinearProgram

#: Rounds of the reductions, and of the search for contradictions, which also has a budget of entries.
ROUNDS, SEARCHES, ENTRIES = 30, 100, 20_000_000
#: Sums that differ by less than SAME of their terms are equal; they contradict each other from APART on.
SAME, APART = 2e-15, 1e-9
#: The search takes a bound over if it gains so much, in units of the bound or of one.
GAIN = 1e-3
#: A bound is far beyond an implied one if it is so many times as large as that, or as one.
WIDE = 1e3
#: Larger bounds are not taken over: their digits are gone.
LARGE = 1e12
#: Contradictions of a round that are tried for a proof.
TRIES = 5


class Entries(NamedTuple):
    """The nonzeros of a matrix of m rows and n columns: row, column and value of each."""

    i: Array
    j: Array
    a: Array
    m: int
    n: int

    @classmethod
    def of(cls, A: Matrix) -> Entries:
        """Those of a matrix in compressed rows."""
        keep = A.data != 0
        i = np.repeat(np.arange(A.shape[0]), np.diff(A.indptr))[keep]
        return cls(i, np.asarray(A.indices, dtype=np.intp)[keep], A.data[keep], *A.shape)

    @property
    def transposed(self) -> Entries:
        """Those of the transpose, in the same order."""
        return Entries(self.j, self.i, self.a, self.n, self.m)


class End(NamedTuple):
    """One end of (1): of each row, of each row without one entry, and the sizes of the terms."""

    total: Array
    without: Array
    size: Array


def ends(entries: Entries, lx: Array, ux: Array) -> tuple[End, End]:
    """What the rows lie between, within these bounds of the variables."""
    i, j, a, m, _ = entries
    up, out = a > 0, []
    for first, second, missing in ((lx, ux, -np.inf), (ux, lx, np.inf)):
        terms = a * np.where(up, first[j], second[j])
        finite = np.isfinite(terms)
        known = np.where(finite, terms, 0.0)
        total, open_ends = np.bincount(i, known, m), np.bincount(i, ~finite, m)
        without = np.where(open_ends[i] > ~finite, missing, total[i] - known)
        out.append(End(np.where(open_ends > 0, missing, total), without, np.bincount(i, abs(known), m)))
    return out[0], out[1]


class Step(Protocol):
    """A step that can be undone."""

    def undo(self, A: Matrix, c: Array, y: Array) -> None:
        """Change multipliers for the program after the step into some for the program before it."""


@dataclass(frozen=True)
class Taken:
    """Bounds of columns that were taken over from rows, by (2); `a` are the entries there."""

    columns: Array
    rows: Array
    a: Array
    lower: Array

    def undo(self, A: Matrix, c: Array, y: Array) -> None:
        """Give reduced costs that lean on these bounds back to the rows."""
        r = (c - A.T @ y)[self.columns]
        leans = np.where(self.lower, r > 0, r < 0)
        rows, change = self.rows[leans], r[leans] / self.a[leans]
        up, down = np.zeros(y.size), np.zeros(y.size)
        np.maximum.at(up, rows, change)  # the largest serves all columns of a row
        np.minimum.at(down, rows, change)
        y += up + down


@dataclass(frozen=True)
class Twin:
    """A row that is `ratio` times another, and whether it gave it its lower and its upper bound."""

    dropped: int
    kept: int
    ratio: float
    low: bool
    high: bool

    def undo(self, A: Matrix, c: Array, y: Array) -> None:  # noqa: ARG002  # as all steps
        """Give the multiplier to the row whose bound it leans on."""
        if (y[self.kept] > 0 and self.low) or (y[self.kept] < 0 and self.high):
            y[self.dropped] = y[self.kept] / self.ratio
            y[self.kept] = 0.0


class Presolve:
    """A program made smaller. `ray` is a proof that it is infeasible beyond `tol`, if one was found."""

    @np.errstate(over="ignore", invalid="ignore")
    def __init__(
        self, lp: LinearProgram, limits: Limits, tol: float = 0.0, *, search_only: bool = False
    ) -> None:
        from scipy.sparse import csr_array

        self.lp, self.limits, self.tol = lp, limits, tol
        self.A: Any = csr_array(lp.A)
        self.entries = Entries.of(self.A)
        self.ray: Any = None
        self._begin()
        self._repeat(self._search, min(SEARCHES, max(5, ENTRIES // max(self.entries.a.size, 1))))
        self._begin()
        if not search_only and self.ray is None:
            sound = self._repeat(self._reduce, ROUNDS)
            if not (sound and (self.lx <= self.ux).all()):
                self._begin()  # what contradicts itself without a proof is left to the iteration
        self.rows, self.columns = np.flatnonzero(self.alive), np.flatnonzero(self.lx < self.ux)

    @property
    def program(self) -> LinearProgram:
        """What is left: rows that say something, and columns that can move."""
        A = self.A[self.rows]
        fixed = A @ np.where(self.lx < self.ux, 0.0, self.lx)
        A = A[:, self.columns]
        return replace(
            self.lp,
            c=self.lp.c[self.columns],
            A=A if arrays.is_sparse(self.lp.A) else A.toarray(),
            lc=self.lc[self.rows] - fixed,
            uc=self.uc[self.rows] - fixed,
            lx=self.lx[self.columns],
            ux=self.ux[self.columns],
        )

    def part(self, x: Array | None, y: Array | None) -> tuple[Array | None, Array | None]:
        """Of a point for the caller's program, what is left of it."""
        return None if x is None else x[self.columns], None if y is None else y[self.rows]

    def point(self, x: Array) -> Array:
        """The caller's x for one of the small program."""
        out = np.array(self.lx)
        out[self.columns] = x
        inside: Array = np.clip(out, self.lp.lx, self.lp.ux)
        return inside

    def multipliers(self, y: Array, c: Array | None = None) -> Array:
        """The caller's y for one of the small program; for a ray with the cost zero."""
        out = np.zeros(self.alive.size)
        out[self.rows] = y
        self._undo(self.lp.c if c is None else c, out)
        return out

    def ray_of(self, v: Array, *, dual: bool) -> Array:
        """The caller's certificate for one of the small program."""
        if dual:
            v = self.multipliers(v, np.zeros(self.lx.size))
        else:
            v, part = np.zeros(self.lx.size), v
            v[self.columns] = part
        out: Array = v / (np.max(abs(v), initial=0.0) or 1.0)
        return out

    def _undo(self, c: Array, y: Array) -> None:
        for step in reversed(self.steps):
            step.undo(self.A, c, y)

    def _begin(self) -> None:
        """Start from the caller's program."""
        lp = self.lp
        self.lc, self.uc, self.lx, self.ux = (np.array(v, float) for v in (lp.lc, lp.uc, lp.lx, lp.ux))
        self.alive = np.ones(self.lc.size, dtype=bool)
        self.steps: list[Step] = []

    def _repeat(self, round_of: Callable[[End, End], bool], rounds: int) -> bool:
        """Do rounds until one changes nothing; returns whether no contradiction was met."""
        for _ in range(rounds):
            low, high = ends(self.entries, self.lx, self.ux)
            if (bad := self._contradictions(low, high)).size:
                for i in bad:
                    self._try_proof({i: -1.0 if low.total[i] > self.uc[i] else 1.0})
                return False
            if self.limits.expired or not round_of(low, high):
                break
        return True

    def _contradictions(self, low: End, high: End) -> Array:
        """Rows that the bounds of their variables contradict, the worst first."""
        over = [
            np.where(np.isfinite(gap), gap, 0.0) / (end.size + np.where(np.isfinite(side), abs(side), 0.0))
            for gap, end, side in ((low.total - self.uc, low, self.uc), (self.lc - high.total, high, self.lc))
        ]
        share = np.where(self.alive, np.fmax(*over), 0.0)
        bad = np.flatnonzero(share > APART)
        out: Array = bad[np.argsort(-share[bad])][:TRIES]
        return out

    def _try_proof(self, multipliers: dict[int, float]) -> None:
        """Keep a contradiction of rows if it is one in terms of the caller's rows."""
        y = np.zeros(self.lc.size)
        for i, value in multipliers.items():
            y[i] = value
        self._undo(np.zeros(self.lx.size), y)
        if self.ray is None and self.lp.is_infeasible_by(y, self.tol):
            self.ray = y / np.max(abs(y))

    def _search(self, low: End, high: End) -> bool:
        """Take over all bounds by (2) that gain something."""

        def gains(value: Array, old: Array, i: Array) -> Any:  # noqa: ARG001
            return abs(value - old) > GAIN * np.maximum(1.0, abs(value))

        return self._take(low, high, gains)

    def _reduce(self, low: End, high: End) -> bool:
        """All reductions once."""
        before = self._count()
        self._drop_rows(low, high)
        open_entries = np.bincount(self.entries.i, self._is_open[self.entries.j], self.entries.m)
        forcing = (self.lc - high.total >= -SAME * high.size) | (low.total - self.uc >= -SAME * low.size)
        narrow = forcing | (open_entries == 1)

        def counts(value: Array, old: Array, i: Array) -> Any:
            far = np.isfinite(old) & (abs(old) > WIDE * np.maximum(1.0, abs(value)))
            return narrow[i] | far

        taken = self._take(low, high, counts)
        self._fix_columns()
        return taken or self._count() < before or self._merge_twins()

    def _count(self) -> int:
        """Sides of rows and open columns that are left."""
        sides = np.isfinite(self.lc[self.alive]).sum() + np.isfinite(self.uc[self.alive]).sum()
        return int(sides + self.alive.sum() + self._is_open.sum())

    @property
    def _is_open(self) -> Array:
        return self.lx < self.ux

    def _drop_rows(self, low: End, high: End) -> None:
        """Forget what the bounds of the variables imply."""
        self.lc[low.total >= self.lc - SAME * low.size] = -np.inf
        self.uc[high.total <= self.uc + SAME * high.size] = np.inf
        constant = low.total == high.total  # what it misses by was not enough for a contradiction
        self.alive &= (np.isfinite(self.lc) | np.isfinite(self.uc)) & ~constant

    def _take(self, low: End, high: End, wanted: Callable[[Array, Array, Array], Any]) -> bool:
        """Take over the tightest bound by (2) for each column and side, of those that are wanted."""
        i, j, a = self.entries[:3]
        up, every = a > 0, np.arange(a.size)
        e = np.concatenate([every, every])
        lower = np.concatenate([~up, up])
        value = np.concatenate([(self.uc[i] - low.without) / a, (self.lc[i] - high.without) / a])
        use = np.isfinite(value) & (abs(value) < LARGE) & (self._is_open[j] & self.alive[i])[e]
        e, lower, value = e[use], lower[use], value[use]
        old, other = (np.where(s, self.lx[j[e]], self.ux[j[e]]) for s in (lower, ~lower))
        beyond = np.where(lower, value > other, value < other)
        value = np.where(beyond & (abs(value - other) <= APART * np.maximum(1.0, abs(other))), other, value)
        use = np.where(lower, value > old, value < old) & wanted(value, old, i[e])
        e, lower, value = e[use], lower[use], value[use]
        order = np.lexsort((np.where(lower, -value, value), lower, j[e]))
        e, lower, value = e[order], lower[order], value[order]
        best = np.ones(e.size, dtype=bool)
        best[1:] = (j[e][1:] != j[e][:-1]) | (lower[1:] != lower[:-1])
        e, lower, value = e[best], lower[best], value[best]
        self.lx[j[e][lower]] = value[lower]
        self.ux[j[e][~lower]] = value[~lower]
        if e.size:
            self.steps.append(Taken(j[e], i[e], a[e], lower))
        return bool(e.size)

    def _fix_columns(self) -> None:
        """Dual fixing, and dominated columns."""
        i, j, a = self.entries[:3]
        c, transposed = self.lp.c, self.entries.transposed
        least = np.where(self.alive & np.isfinite(self.uc), -np.inf, 0.0)
        most = np.where(self.alive & np.isfinite(self.lc), np.inf, 0.0)
        low, high = ends(transposed, least, most)
        self._fix(c - high.total >= 0, c - low.total <= 0)
        # A column with one entry and no bound on a side needs a reduced cost of one sign.
        single = (np.bincount(j, self.alive[i], self.entries.n) == 1)[j] & self.alive[i] & self._is_open[j]
        for needs, positive in ((self.ux == np.inf, True), (self.lx == -np.inf, False)):
            e = np.flatnonzero(single & needs[j])
            above = (a[e] > 0) == positive  # y <= c / a
            np.minimum.at(most, i[e[above]], c[j[e[above]]] / a[e[above]])
            np.maximum.at(least, i[e[~above]], c[j[e[~above]]] / a[e[~above]])
        if (least <= most).all():
            low, high = ends(transposed, least, most)
            small = APART * (1.0 + abs(c))
            self._fix(c - high.total > small + APART * high.size, c - low.total < -small - APART * low.size)

    def _fix(self, down: Array, up: Array) -> None:
        """Put columns at their lower or their upper bound, where it is finite."""
        down = down & self._is_open & np.isfinite(self.lx)
        self.ux[down] = self.lx[down]
        up = up & self._is_open & np.isfinite(self.ux)
        self.lx[up] = self.ux[up]

    def _merge_twins(self) -> bool:
        """Make one row of rows that are multiples of each other, but for columns that are fixed."""
        A = self.A @ _diagonal(self._is_open.astype(float))
        A.eliminate_zeros()
        fixed = self.A @ np.where(self._is_open, 0.0, self.lx)
        rows = np.flatnonzero(self.alive & (np.diff(A.indptr) > 0))
        first = np.zeros(self.alive.size)
        first[rows] = A.data[A.indptr[rows]]
        code = (A @ np.random.default_rng(0).standard_normal(A.shape[1]))[rows] / first[rows]
        order = np.lexsort((code, np.diff(A.indptr)[rows]))
        rows, code = rows[order], code[order]
        found = 0
        kept = rows[0] if rows.size else 0
        for k in np.flatnonzero(abs(np.diff(code)) <= APART * abs(code[1:])) + 1:
            i, row = (rows[k - 1] if self.alive[rows[k - 1]] else kept), rows[k]
            ratio = first[row] / first[i]
            mine, its = (slice(A.indptr[r], A.indptr[r + 1]) for r in (row, i))
            kept = i
            if not (
                np.array_equal(A.indices[mine], A.indices[its])
                and (abs(A.data[mine] - ratio * A.data[its]) <= 4 * SAME * abs(A.data[mine])).all()
            ):
                continue
            sides = sorted(((self.lc[row], self.uc[row]) - fixed[row]) / ratio + fixed[i])
            apart = max(sides[0] - self.uc[i], self.lc[i] - sides[1])
            if apart > 0.0:  # parallel rows without a common point, but for rounding
                sign = 1.0 if sides[0] > self.uc[i] else -1.0
                self._try_proof({row: sign / ratio, i: -sign})
                continue
            low, high = bool(sides[0] > self.lc[i]), bool(sides[1] < self.uc[i])
            self.lc[i], self.uc[i] = max(self.lc[i], sides[0]), min(self.uc[i], sides[1])
            self.alive[row] = False
            self.steps.append(Twin(int(row), int(i), float(ratio), low, high))
            found += 1
        return found > 0


def _diagonal(v: Array) -> Any:
    from scipy.sparse import diags_array

    return diags_array(v, format="csr")
