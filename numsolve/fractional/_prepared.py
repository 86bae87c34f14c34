"""One equation, ready for right-hand sides: its matrix is factorised, or preconditioned, once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status, deliver

from ._choice import better, by_modes, check_drift, delivered, obstacle_of
from ._data import Data, check_positive, is_number, sample
from ._estimate import QUARTERED, difference, from_levels
from ._gmres import PATIENCE, Iterate, fgmres
from ._modes import WITNESSES, Modes
from ._sine_bvp import solve_by_sines
from ._splines import (
    COARSER,
    LEAST_COARSE,
    MAXITER,
    SMALL_MESH,
    Rows,
    asides,
    doubted,
    factors_of,
    judged,
    moved,
)
from ._stability import instability
from .bspline import LEAST_ALPHA
from .jacobi import from_unit
from .operator import RieszSplineOperator, spline_of
from .result import RieszResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._factors import Factors
    from .spectral import Tables

    Array = NDArray[np.float64]

#: Unknowns up to which a dense factorisation is kept.
DENSE_UNKNOWNS = 1100
#: Modes that "auto" tries, and estimated error at which it does not look at splines.
MOST_MODES, EXCELLENT = 256, 1e-8
#: How a solve ends that is the last one.
ENDS = {Status.STOPPED, Status.TIME_LIMIT, Status.INTERRUPTED}
#: For what nobody watches.
NO_LIMITS = Limits()


@dataclass(frozen=True)
class Equation:
    """``diffusion R u + reaction u = f`` but for f, and how it is solved."""

    alpha: float
    interval: tuple[float, float]
    n: int
    p: int
    reaction: Any
    diffusion: Any
    advection: Any
    weights: tuple[float, float]
    definition: Any
    method: str
    preconditioner: Any
    rtol: float


class Prepared:
    """An equation with what has been computed for it so far."""

    def __init__(self, equation: Equation) -> None:
        e = self.equation = equation
        self.modes = Modes(e.alpha, e.weights, e.interval)
        self.tables: Tables = {}
        self.no_splines = "alpha must be above 1 for splines" if e.alpha <= LEAST_ALPHA else ""
        self.by_sines = e.definition == "spectral"
        if self.by_sines:
            self.no_splines = "definition 'spectral' has no splines"
        drifts = e.advection is not None
        if drifts and (self.by_sines or e.method not in {"auto", "spectral"}):
            what = "definition 'spectral'" if self.by_sines else f"method {e.method!r}"
            raise ValueError(f"advection needs Jacobi modes, got {what}")
        if drifts:
            check_drift(e.alpha, "" if e.definition == "rl" else "the definition is 'caputo'")
            self.no_splines = "advection needs Jacobi modes, and f to be a function"
        if not self.no_splines:
            self.no_splines = instability(e.n, e.p, e.alpha, e.weights, e.definition)
        if not self.no_splines and e.method != "spectral":
            self.coefficients()

    def __reduce__(self) -> Any:
        return Prepared, (self.equation,)  # what was computed is computed again

    # -- what is prepared ---------------------------------------------------------------------------

    @cached_property
    def operator(self) -> RieszSplineOperator:
        """The operator on the mesh."""
        e = self.equation
        return RieszSplineOperator(
            e.n, e.p, e.alpha, interval=e.interval, definition=e.definition, weights=e.weights
        )

    @property
    def dense(self) -> bool:
        """Whether a factorisation is kept."""
        method = self.equation.method
        return method == "dense" or (method == "auto" and self.operator.shape[0] <= DENSE_UNKNOWNS)

    def coefficients(self) -> tuple[Any, Any]:
        """Values of reaction and diffusion at the points, None where they are not given."""
        e = self.equation
        if e.reaction is None and e.diffusion is None:
            return None, None  # without an operator, which the modes do not need
        points = self.operator.greville
        reaction = None if e.reaction is None else sample("reaction", e.reaction, points)
        diffusion = None if e.diffusion is None else sample("diffusion", e.diffusion, points)
        if diffusion is not None:
            check_positive("diffusion", diffusion, points)
        return reaction, diffusion

    @cached_property
    def factors(self) -> Factors:
        """The dense matrix, factorised."""
        A = self.operator
        return factors_of(A.todense(), A.mass(), *self.coefficients(), reversible=A.reversible)

    @cached_property
    def rows(self) -> Rows:
        """Products and the preconditioner."""
        return Rows(self.operator, *self.coefficients(), self.equation.preconditioner)

    @cached_property
    def coarser(self) -> tuple[Prepared, ...]:
        """The same on coarser meshes, for estimates: on two of them, one, or none."""
        n, p = self.equation.n, self.equation.p
        middle = n // 2 if n <= SMALL_MESH else max(LEAST_COARSE, n // COARSER)
        return tuple(self._on(m) for m in (middle, middle // 2) if m >= 2 * p)

    def _on(self, n: int) -> Prepared:
        e = self.equation
        settings: Any = {"n": n, "method": "auto", "preconditioner": "auto", "rtol": 1e-10}
        bare = replace(e, reaction=None, diffusion=None, **settings)
        points = Prepared(bare).operator.greville
        here = self.operator.greville
        there = {name: moved(getattr(e, name), here, points, 1) for name in ("reaction", "diffusion")}
        return Prepared(replace(bare, **there))

    @cached_property
    def others(self) -> dict[int, Prepared]:
        """More meshes, by their spans, that were needed so far."""
        return {}

    # -- solves -------------------------------------------------------------------------------------

    def solve(self, f: Any, limits: Limits) -> RieszResult:
        """The solution for a function, a number, or values at the points."""
        e = self.equation
        data = Data(f, e.reaction, e.diffusion, e.interval, e.advection)
        if not arrays.is_numpy(data.xp):
            raise TypeError(f"f must be a NumPy array, got one of {arrays.namespace_name(data.xp)}")
        if self.by_sines:
            return solve_by_sines(data, e.alpha, sum(e.weights), e.n, e.rtol, limits)
        obstacle = obstacle_of(data, e.definition)
        reason = obstacle or "it was asked for"
        if e.method == "spectral" and obstacle:
            raise ValueError(f"method 'spectral' does not apply: {obstacle}")
        candidate = None
        if not obstacle and e.method in {"auto", "spectral"}:
            auto = e.method == "auto"
            most = min(e.n, MOST_MODES) if auto else e.n
            candidate = by_modes(data, self.modes, most, "" if auto else reason, limits, self.tables)
            over = candidate.status is Status.TIME_LIMIT
            if not auto or over or self.no_splines or candidate.error_estimate <= EXCELLENT:
                return delivered(candidate)
            reason = candidate.reason
        if e.method != "auto":
            reason = "it was asked for"
        b = self.right_hand_side(f)
        c, details = self.coefficients_of(b, limits)
        splines = RieszResult(
            x=c,
            points=self.operator.greville,
            sol=self.operator.spline(c),
            method="dense" if self.dense else "spline",
            reason=reason,
            error_estimate=lambda: self.error_of(f, data, c),
            interval=e.interval,
            **details,
        )
        deliver(splines)
        if candidate is not None:
            return better(candidate, splines)
        return doubted(splines, None if e.reaction is None else self.coefficients()[0])

    def right_hand_side(self, f: Any) -> Array:
        """The values of f at the points, if there are splines."""
        if self.no_splines:
            raise ValueError(f"{self.no_splines}; here alpha is {self.equation.alpha:g}")
        return np.asarray(sample("f", f, self.operator.greville))

    def coefficients_of(self, b: Array, limits: Limits) -> tuple[Array, dict[str, Any]]:
        """Coefficients of the spline, and how they came about."""
        rtol = self.equation.rtol
        if self.dense:
            c = self.factors.solve(b)
            residual, status = judged(self.factors, b, c, rtol)
            return c, {"residual": float(residual), "status": Status(int(status))}
        settings: Any = {"keep": "reference", "present": Iterate.form, "patience": PATIENCE}
        rows, reference = self.rows, arrays.norm(np, b)
        with Monitor(
            limits, maxiter=MAXITER, rtol=rtol, reference=reference, label="GMRES", **settings
        ) as it:
            fgmres(np, rows.matvec, b, rows.precondition, it, x0=np.zeros_like(b), norm=rows.norm)
        details = {"status": it.status, "residual": it.residual, "nit": it.nit, "history": it.history}
        return it.x.form(), details

    def several(self, B: Array, limits: Limits) -> tuple[Array, dict[str, Any]]:
        """The same for the columns of a matrix: coefficients (K, k), and arrays of what is told of each."""
        if self.dense:
            C = self.factors.solve(B)
            residual, status = judged(self.factors, B, C, self.equation.rtol)
            return C, {"residual": residual, "status": status, "nit": np.zeros(B.shape[1], dtype=int)}
        found: list[tuple[Array, dict[str, Any]]] = []
        for b in B.T:
            if found and found[-1][1]["status"] in ENDS:  # so do the others
                nothing = {"status": found[-1][1]["status"], "residual": arrays.norm(np, b), "nit": 0}
                found.append((np.zeros_like(b), nothing))
            else:
                found.append(self.coefficients_of(np.ascontiguousarray(b), limits))
        what = {name: np.array([d[name] for _, d in found]) for name in ("residual", "status", "nit")}
        return np.stack([c for c, _ in found], axis=1), what

    # -- how good they are --------------------------------------------------------------------------

    def error_of(self, f: Any, data: Data, c: Array) -> float:
        """The estimated error, relative to the largest value."""
        estimate = float(self.errors_of(f, c[:, None])[0])
        return max(estimate, data.unseen(self.operator.greville, self.operator.spline(c)))

    def errors_of(self, f: Any, C: Array) -> Array:
        """Those of the columns, from coarser meshes; where there are none, from spans in four parts."""
        if not np.all(np.isfinite(C)):
            return np.full(C.shape[1], np.nan)
        e = self.equation
        x = from_unit(2 * WITNESSES - 1, e.interval)
        values = self._values(C, x)
        errors: Any
        if not self.coarser and instability(4 * e.n, e.p, e.alpha, e.weights, e.definition):
            return np.full(C.shape[1], np.inf)  # nothing to compare with
        if not self.coarser:
            finer = self._on_other(self._with(4 * e.n), f, x)
            errors = [QUARTERED * difference(one, here) for one, here in zip(finer.T, values.T, strict=True)]
        else:
            levels = [values, *(self._on_other(other, f, x) for other in self.coarser)]
            ratio = e.n / self.coarser[0].equation.n
            columns = zip(*(level.T for level in levels), strict=True)
            errors = [from_levels(fine, *coarse, ratio=ratio) for fine, *coarse in columns]
        for m, share in asides(Data(f, e.reaction, e.diffusion, e.interval), e.n, e.p):
            pairs = zip(values.T, self._on_other(self._with(m), f, x).T, strict=True)
            errors = np.maximum(errors, [share * difference(fine, other) for fine, other in pairs])
        return np.array(errors)

    def _with(self, n: int) -> Prepared:
        """The same with n spans, kept."""
        if n not in self.others:
            self.others[n] = self._on(n)
        return self.others[n]

    def _on_other(self, other: Prepared, f: Any, x: Array) -> Array:
        """Values of the solutions on another mesh."""
        points = other.operator.greville
        right = f if callable(f) or is_number(f) else moved(f, self.operator.greville, points, 3)
        b = right if isinstance(right, np.ndarray) else sample("f", right, points)
        return other._values(other.several(b.reshape(b.shape[0], -1), NO_LIMITS)[0], x)

    def _values(self, C: Array, x: Array) -> Array:
        """The splines with these columns of coefficients at points."""
        return np.asarray(spline_of(self.operator, C)(x))
