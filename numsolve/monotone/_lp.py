"""The door of the linear programs: checks one, scales it, and puts the answer back into the caller's units.

    min c'x   subject to   lc <= A x <= uc,  lx <= x <= ux

A method sees the scaled program, with ``D1 A D2`` for A, ``D2 c`` for c, bounds ``D1 lc``, ``lx / D2`` and so
on; then ``x = D2 x_scaled`` and ``y = D1 y_scaled``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from numsolve._core import arrays, checks


@dataclass(frozen=True)
class LinearProgram:
    """A checked program. A is dense or in canonical compressed rows; bounds may be infinite."""

    xp: Any
    c: Any
    A: Any
    lc: Any
    uc: Any
    lx: Any
    ux: Any

    @property
    def batch(self) -> int | None:
        """How many programs share A; None for a single one."""
        sizes = [v.shape[0] for v in (self.c, self.lc, self.uc, self.lx, self.ux) if v.ndim == 2]
        return sizes[0] if sizes else None

    @property
    def contradictory(self) -> Any:
        """Whether a lower bound lies above its upper one, or leaves out every number."""
        xp, inf = self.xp, float("inf")
        return xp.any((self.lc > self.uc) | (self.lc == inf) | (self.uc == -inf), axis=-1) | xp.any(
            (self.lx > self.ux) | (self.lx == inf) | (self.ux == -inf), axis=-1
        )

    def norm_b(self) -> Any:
        """The 2-norm of the larger of both bounds of each row, where finite."""
        xp = self.xp
        low, high = (xp.where(xp.isfinite(v), xp.abs(v), 0.0) for v in (self.lc, self.uc))
        return norm(xp, xp.maximum(low, high))

    def norm_c(self) -> Any:
        """The 2-norm of the cost."""
        return norm(self.xp, self.c)

    def scaled(self, rows: Any, columns: Any) -> LinearProgram:
        """The program in the units of the iteration, but for its matrix."""
        return replace(
            self,
            c=self.c * columns,
            lc=self.lc * rows,
            uc=self.uc * rows,
            lx=self.lx / columns,
            ux=self.ux / columns,
        )

    def without_cost(self) -> LinearProgram:
        """The same constraints with nothing to minimise: a point of it is feasible for this program."""
        return replace(self, c=0.0 * self.c)

    def without_bounds(self) -> LinearProgram:
        """The same cost with each finite bound at zero: multipliers of it are dual feasible for this."""
        bounds = {name: getattr(self, name) for name in ("lc", "uc", "lx", "ux")}
        return replace(self, **{k: self.xp.where(self.xp.isfinite(v), 0.0, v) for k, v in bounds.items()})

    def quality(self, x: Any, y: Any) -> dict[str, Any]:
        """Objective, reduced costs, the three residuals and the largest of them, all in these units."""
        xp = self.xp
        ax, aty = times(self.A, x), times_transposed(self.A, y)
        r = self.c - aty
        limit = xp.where(r > 0, self.lx, self.ux)
        reduced = xp.where(xp.isfinite(limit), r, 0.0)
        primal = norm(xp, ax - xp.minimum(xp.maximum(ax, self.lc), self.uc)) / (1.0 + self.norm_b())
        dual = norm(xp, r - reduced) / (1.0 + self.norm_c())
        fun = xp.sum(self.c * x, axis=-1)
        bound = _support(xp, y, xp.where(y > 0, self.lc, self.uc)) + _support(xp, reduced, limit)
        gap = xp.abs(fun - bound) / (1.0 + xp.abs(fun) + xp.abs(bound))
        if fun.ndim == 0:
            fun, gap = float(fun), float(gap)
            worst: Any = max(primal, dual, gap)
        else:
            worst = xp.maximum(xp.maximum(primal, dual), gap)
        return {
            "fun": fun,
            "reduced_costs": reduced,
            "primal_residual": primal,
            "dual_residual": dual,
            "gap": gap,
            "residual": worst,
        }


def prepare(c: Any, A: Any, lc: Any, uc: Any, lx: Any, ux: Any) -> LinearProgram:
    """Check the arguments of a solver; None is no bound."""
    given = {"c": c, "A": A, "lc": lc, "uc": uc, "lx": lx, "ux": ux}
    xp = arrays.array_namespace(**given)
    sparse = arrays.is_sparse(A)
    kinds = {k: _kind(v) for k, v in given.items() if v is not None and not _is_number(v)}
    dtype = arrays.working_dtype(xp, **kinds)
    c = checks.array("c", c, xp=xp, dtype=dtype, ndim=(1, 2))
    n = c.shape[-1]
    if A is None:
        A = xp.zeros((0, n), dtype=dtype)
    elif sparse and arrays.is_numpy(xp):
        A = checks.csr("A", A)
    elif not sparse:
        A = checks.array("A", A, xp=xp, dtype=dtype, ndim=2)
    if A.shape[1] != n:
        raise ValueError(f"A must have {n} columns, one for each entry of c, got shape {tuple(A.shape)}")
    m = A.shape[0]
    low, high = -float("inf"), float("inf")
    bounds = {
        "lc": _bound("lc", lc, m, low, xp, dtype),
        "uc": _bound("uc", uc, m, high, xp, dtype),
        "lx": _bound("lx", lx, n, low, xp, dtype),
        "ux": _bound("ux", ux, n, high, xp, dtype),
    }
    sizes = {name: v.shape[0] for name, v in {"c": c, **bounds}.items() if v.ndim == 2}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"the leading axes of a batch must have one length, got {sizes}")
    return LinearProgram(xp, c, A, **bounds)


def norm(xp: Any, v: Any) -> Any:
    """The 2-norm along the last axis, a float for a vector, without overflow."""
    if arrays.is_numpy(xp) and v.ndim == 1:
        return math.sqrt(float(np.dot(v, v))) if v.size else 0.0
    out = xp.sqrt(xp.sum(v * v, axis=-1))
    return float(out) if v.ndim == 1 else out


def times(A: Any, x: Any) -> Any:
    """A x for a vector, or for each row of a matrix."""
    if x.ndim == 1:
        return A @ x
    return x @ A.T if not arrays.is_sparse(A) else (A @ x.T).T


def times_transposed(A: Any, y: Any) -> Any:
    """A'y for a vector, or for each row of a matrix."""
    if y.ndim == 1:
        return A.T @ y
    return y @ A if not arrays.is_sparse(A) else (A.T @ y.T).T


def _support(xp: Any, v: Any, limit: Any) -> Any:
    """v'limit, where zero times infinity is zero."""
    used = (v != 0) & xp.isfinite(limit)
    return xp.sum(xp.where(used, v, 0.0) * xp.where(used, limit, 0.0), axis=-1)


def _bound(name: str, value: Any, length: int, fill: float, xp: Any, dtype: Any) -> Any:
    if value is None or _is_number(value):
        number = fill if value is None else float(value)
        if math.isnan(number):
            raise ValueError(f"{name} must hold numbers or infinities, got nan")
        return xp.full((length,), number, dtype=dtype)
    x = checks.array(name, value, xp=xp, dtype=dtype, ndim=(1, 2), check_finite=False)
    if x.shape[-1] != length:
        raise ValueError(f"{name} must have {length} entries, got shape {tuple(x.shape)}")
    if bool(xp.any(xp.isnan(x))):
        raise ValueError(f"{name} must hold numbers or infinities, got nan")
    return x


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or (
        isinstance(value, np.generic | np.ndarray) and np.ndim(value) == 0
    )


def _kind(value: Any) -> Any:
    return value if hasattr(value, "dtype") else np.asarray(value)
