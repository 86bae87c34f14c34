"""Boundary value problems by splines: an iteration or a factorisation, and an estimate of the error."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from scipy.interpolate import make_interp_spline

from numsolve._core import arrays, checks
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status, deliver

from ._data import host, is_values, sample
from ._estimate import QUARTERED, difference, from_levels
from ._factors import Factors, norms
from ._gmres import PATIENCE, UNIT, Iterate, fgmres
from ._modes import WITNESSES
from ._settings import TimeIsOverError
from ._stability import instability
from ._system import make_system
from .dense import MOST_UNKNOWNS
from .jacobi import from_unit
from .operator import RieszSplineOperator
from .result import RieszResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from numsolve._core.limits import Limits

    from ._data import Data
    from ._settings import Preconditioner

    Array = NDArray[np.float64]

Solved = TypeVar("Solved", bound=RieszResult)
#: Iterations of GMRES; a good preconditioner needs about a dozen.
MAXITER = 200
#: Unknowns up to which varying coefficients are left to a dense factorisation, which takes milliseconds.
DENSE_UNKNOWNS = 500
#: Estimated error, relative to the largest value, above which a negative reaction has made it singular.
DOUBTFUL = 0.5
#: How a run of GMRES ends for which a factorisation may do better.
GAVE_UP = {Status.MAXITER, Status.STAGNATED, Status.BREAKDOWN, Status.DIVERGED}
#: Spans of the coarser meshes of an error estimate: a half and a quarter of the fine mesh while it is small,
#: else a sixteenth and its half, but not below the least.
SMALL_MESH, COARSER, LEAST_COARSE = 512, 16, 256


def iterate(
    A: RieszSplineOperator,
    data: Data,
    preconditioner: Preconditioner,
    rtol: float,
    x0: Any,
    reason: str,
    limits: Limits,
    *,
    or_factorise: bool = False,
    doubt: bool = True,
) -> RieszResult:
    """Collocate on a uniform mesh and solve by GMRES; if that fails, by a factorisation if it may.

    Without `doubt` the caller looks at the estimated error.
    """
    xp, like = data.xp, data.like
    b, reaction, diffusion = data.at(A.greville)
    if not np.isfinite(float(arrays.norm(xp, b))):
        raise ValueError("f must have values whose norm does not overflow; they are too large")
    x0 = xp.zeros_like(b) if x0 is None else checks.array("x0", x0, xp=xp, dtype=xp.float64, shape=b.shape)
    try:
        rows = Rows(A, reaction, diffusion, preconditioner, xp, like, limits)
    except TimeIsOverError:
        start = A.spline(host(x0))
        return unsolved(RieszResult, arrays.to_host(x0), b, A.greville, start, "spline", reason, A.interval)
    with Monitor(
        limits,
        maxiter=MAXITER,
        rtol=rtol,
        reference=arrays.norm(xp, b),
        label="GMRES",
        keep="reference",
        present=Iterate.form,
        patience=PATIENCE,
    ) as it:
        fgmres(xp, rows.matvec, b, rows.precondition, it, x0=x0, norm=rows.norm)
    if or_factorise and it.status in GAVE_UP and limits.maxiter is None:
        why = f"GMRES ended after {it.nit} iterations at a residual of {it.residual:.1g}"
        return factorise(A, data, rtol, why, limits, doubt=doubt)
    x = it.x.form()
    result = it.result(
        RieszResult,
        points=A.greville,
        sol=A.spline(host(x)),
        method="spline",
        reason=reason,
        error_estimate=Estimate(A, data, host(x)),
        interval=A.interval,
    )
    return doubted(result, reaction) if doubt else result


class Rows:
    """``diffusion A + reaction M`` as it stands, so that the residual is that of the user's equation.

    The preconditioner is that of the rows which `make_system` has scaled.
    """

    def __init__(
        self,
        A: RieszSplineOperator,
        reaction: Any,
        diffusion: Any,
        preconditioner: Preconditioner,
        xp: Any = np,
        like: Any = None,
        limits: Limits | None = None,
    ) -> None:
        ratio = reaction if reaction is None or diffusion is None else reaction / diffusion
        system = make_system(A, ratio, preconditioner, xp, like, limits)
        self.matvec, self.precondition, self.norm = system.matvec, system.precondition, system.norm
        if diffusion is not None or not isinstance(system.scale, float):
            scale = system.scale if diffusion is None else system.scale / diffusion
            self.matvec = lambda x: system.matvec(x) / scale
            self.precondition = lambda x: system.precondition(scale * x)
            self.norm = system.norm / float(xp.min(scale))


def factorise(
    A: RieszSplineOperator, data: Data, rtol: float, reason: str, limits: Limits, *, doubt: bool = True
) -> RieszResult:
    """Collocate on a uniform mesh and solve by a dense factorisation."""
    check_size(A.shape[0])
    check_numpy(data)
    b, reaction, diffusion = data.at(A.greville)
    try:
        A.assemble(limits)
    except TimeIsOverError:
        zero = np.zeros_like(b)
        return unsolved(RieszResult, zero, b, A.greville, A.spline(zero), "dense", reason, A.interval)
    c, status, residual = direct(A.todense(), A.mass(), b, reaction, diffusion, rtol, reversible=A.reversible)
    result = RieszResult(
        x=c,
        status=status,
        residual=residual,
        points=A.greville,
        sol=A.spline(c),
        method="dense",
        reason=reason,
        error_estimate=Estimate(A, data, c),
        interval=A.interval,
    )
    deliver(result)
    return doubted(result, reaction) if doubt else result


def direct(
    A: Array, M: Any, b: Array, reaction: Any, diffusion: Any, rtol: float, *, reversible: bool = False
) -> Any:
    """Coefficients, status and residual of ``(diffusion A + reaction M) c = b``."""
    factors = factors_of(A, M, reaction, diffusion, reversible=reversible)
    c = factors.solve(b)
    residual, status = judged(factors, b, c, rtol)
    return c, Status(int(status)), float(residual)


def factors_of(A: Array, M: Any, reaction: Any, diffusion: Any, *, reversible: bool) -> Factors:
    """Factorise ``diffusion A + reaction M``; A is written to. Varying coefficients are not reversible."""
    if diffusion is not None:
        A *= diffusion[:, None]
        reversible = reversible and np.ptp(diffusion) == 0
    if reaction is not None:
        A += reaction[:, None] * M.toarray()
        reversible = reversible and np.ptp(reaction) == 0
    return Factors(A, reversible=reversible)


def judged(factors: Factors, b: Array, c: Array, rtol: float) -> tuple[Any, Any]:
    """Residuals of the columns of c, and the numbers of their statuses."""
    residual, size = norms(b - factors.product(c)), norms(b)
    wanted = rtol * size
    rounding = 4 * UNIT * (factors.norm * norms(c) + size)
    status = np.where(residual <= np.maximum(wanted, rounding), Status.ROUNDING, Status.BREAKDOWN)
    return residual, np.where(residual <= wanted, Status.CONVERGED, status)


def doubted(result: Solved, reaction: Any) -> Solved:
    """Take the success back if the reaction is negative somewhere and coarser meshes have another solution.

    The equation is then nearly singular: next to an eigenvalue, the values are those of the discretisation.
    """
    if reaction is None or not result.success or float(np.min(host(reaction))) >= 0:
        return result
    if not result.error_estimate > DOUBTFUL:
        return result
    detail = (
        f"The error is estimated at {result.error_estimate:.1g}: the reaction is negative, and the equation "
        "nearly singular, or n too small."
    )
    result = replace(result, status=Status.BREAKDOWN, detail=detail)
    deliver(result)
    return result


def check_size(unknowns: int) -> None:
    """Refuse what a dense matrix is too large for."""
    if unknowns > MOST_UNKNOWNS:
        raise ValueError(f"method 'dense' is for at most {MOST_UNKNOWNS} unknowns, got {unknowns}")


def check_numpy(data: Data) -> None:
    """Refuse arrays of other libraries, which the factorisation does not take."""
    if not arrays.is_numpy(data.xp):
        raise TypeError(f"method 'dense' takes NumPy arrays, got those of {arrays.namespace_name(data.xp)}")


def unsolved(
    kind: type[Solved], x: Any, b: Any, points: Any, sol: Any, method: str, reason: str, interval: Any
) -> Solved:
    """What there is when the time is over before the equations are set up: the start."""
    result = kind(
        x=x,
        status=Status.TIME_LIMIT,
        detail="The matrix was not set up in time.",
        residual=arrays.norm(arrays.array_namespace(b=b), b) if not np.any(x) else float("nan"),
        points=points,
        sol=sol,
        method=method,
        reason=reason,
        interval=interval,
    )
    deliver(result)
    return result


def asides(data: Data, n: int, p: int) -> list[tuple[int, float]]:
    """Spans of more meshes where data vary or are rough, and by how much the difference from each counts.

    Next to a jump or a kink errors are as if by chance: points of meshes of a half and a quarter of the spans
    may lie there as those of the fine one do. They are large on few spans, too, beside which those at the
    ends, of first order, do not show: of these the difference from the last mesh tells.
    """
    parts, rough = (15 * n // 16, 13 * n // 16, 11 * n // 16), data.rough
    if not rough:
        return [(m, 1.0) for m in parts if m >= 2 * p and data.varies and n <= SMALL_MESH]
    more = () if n <= SMALL_MESH else (n // 2, n // 3)
    return [(m, 1.0 / (n / m - 1) if m == parts[-1] else 1.0) for m in (*parts, *more) if m >= 2 * p]


@dataclass
class Estimate:
    """The error of a spline solution, from those on two coarser meshes: called when somebody asks."""

    A: RieszSplineOperator
    data: Data
    c: Array

    def __call__(self) -> float:
        """Relative to the largest value; where no coarser mesh has splines, from spans in four parts."""
        n, p = self.A.n, self.A.p
        middle = n // 2 if n <= SMALL_MESH else max(LEAST_COARSE, n // COARSER)
        if not np.all(np.isfinite(self.c)):
            return float("nan")
        x = from_unit(2 * WITNESSES - 1, self.A.interval)
        fine = self.A.spline(self.c)(x)
        if middle < 2 * p:
            if instability(4 * n, p, self.A.alpha, self.A.weights, self.A.definition):
                return math.inf  # nothing to compare with
            estimate = QUARTERED * difference(self._on(4 * n, x), fine)
        else:
            coarse = self._on(middle // 2, x) if middle // 2 >= 2 * p else None
            estimate = from_levels(fine, self._on(middle, x), coarse, ratio=n / middle)
        others = asides(self.data, n, p)
        for m, share in others:
            apart = difference(fine, self._on(m, x))
            # Further apart than the solution is large: that mesh has a point at a singularity of f.
            if apart <= 1.0 or self.data.varies:
                estimate = max(estimate, share * apart)
        return max(estimate, self.data.unseen(self.A.greville, self.A.spline(self.c)))

    def _on(self, n: int, x: Array) -> Array:
        """Values of the solution on a mesh of n spans."""
        A = self.A
        coarse = RieszSplineOperator(
            n, A.p, A.alpha, interval=A.interval, definition=A.definition, weights=A.weights
        )
        points = coarse.greville
        b, reaction, diffusion = (self._sampled(name, points) for name in ("f", "reaction", "diffusion"))
        if coarse.shape[0] <= DENSE_UNKNOWNS:
            dense, M = coarse.todense(), coarse.mass()
            c = direct(dense, M, b, reaction, diffusion, 0.0, reversible=A.reversible)[0]
            return np.asarray(coarse.spline(c)(x))
        rows = Rows(coarse, reaction, diffusion, "auto")
        with Monitor(
            rtol=1e-10,
            reference=arrays.norm(np, b),
            maxiter=MAXITER,
            keep="reference",
            present=Iterate.form,
            patience=PATIENCE,
        ) as it:
            fgmres(np, rows.matvec, b, rows.precondition, it, x0=np.zeros_like(b), norm=rows.norm)
        return np.asarray(coarse.spline(it.x.form())(x))

    def _sampled(self, name: str, points: Array) -> Any:
        """The data at the points of another mesh."""
        value = moved(getattr(self.data, name), self.A.greville, points, 3 if name == "f" else 1)
        return None if value is None else sample(name, value, points)


def moved(value: Any, points: Array, others: Array, degree: int) -> Any:
    """Values at other points, interpolated; functions and numbers as they are."""
    if not is_values(value):
        return value
    values = host(value)
    if degree == 1 or points.size <= degree:
        return np.interp(others, points, values)
    return make_interp_spline(points, values, k=degree)(others)
