"""Boundary value problems with the spectral fractional Laplacian, by sine transforms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import lu_factor, lu_solve

from numsolve._core import arrays, checks
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status, deliver

from ._data import Data, is_values
from ._estimate import UNIT, difference, from_levels
from ._gmres import PATIENCE, Iterate, fgmres
from ._modes import WITNESSES
from ._settings import TimeIsOverError, keep_time
from ._splines import MAXITER, asides, doubted, moved, unsolved
from ._system import turns
from .result import RieszResult
from .sine import SineSolution, ends_of, from_sines, grid, linear_coefficients, sine_eigenvalues, to_sines
from .spectral import TOLERABLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from numsolve._core.limits import Limits

    Array = NDArray[np.float64]

#: Spans at least: with half and a quarter of them there is something to compare.
LEAST_SPANS = 8
#: Unknowns up to which varying coefficients are left to a dense factorisation.
DENSE_UNKNOWNS = 1100
REASON = "the definition is 'spectral', whose eigenfunctions are sines"


def check_sines(
    n: int,
    weights: tuple[float, float],
    method: str = "auto",
    methods: tuple[str, ...] = ("auto", "spectral"),
) -> float:
    """Refuse what the spectral definition does not have; return the factor of the operator."""
    if method not in methods:
        wanted = " or ".join(map(repr, methods))
        raise ValueError(f"definition 'spectral' needs method {wanted}, got {method!r}")
    if weights[0] != weights[1]:
        raise ValueError(
            f"weights must be equal for definition 'spectral', which has no sides, got {weights[0]:g} and "
            f"{weights[1]:g}"
        )
    checks.integer("n", n, low=LEAST_SPANS)
    return sum(weights)


def solve_by_sines(
    data: Data, alpha: float, factor: float, n: int, rtol: float, limits: Limits
) -> RieszResult:
    """Solve on n spans, and for comparison on a half and on a quarter of them."""
    if not arrays.is_numpy(data.xp):
        name = arrays.namespace_name(data.xp)
        raise TypeError(f"definition 'spectral' takes NumPy arrays, got those of {name}")
    method = Sines(data, alpha, factor, n, rtol)
    points = grid(n, data.interval)
    try:
        solution, details = method.on(n, limits)
        x = data.interval[0] + (data.interval[1] - data.interval[0]) * WITNESSES
        fine = solution(x)
        levels = [method.on(n // part)[0](x) for part in (2, 4)]
        keep_time(limits)
        estimate = max(from_levels(fine, *levels), details.pop("rounding"))
        for m, share in asides(data, n, LEAST_SPANS // 2):
            estimate = max(estimate, share * difference(fine, method.on(m)[0](x)))
    except TimeIsOverError:
        nothing = np.zeros(n - 1)
        start = SineSolution(nothing, alpha, data.interval)
        b = np.asarray(data.at(points)[0])
        return unsolved(RieszResult, nothing, b, points, start, "spectral", REASON, data.interval)
    estimate = max(estimate, data.unseen(points, solution))
    result = RieszResult(
        x=solution.coefficients,
        points=points,
        sol=solution,
        method="spectral",
        reason=REASON,
        error_estimate=estimate,
        interval=data.interval,
        **details,
    )
    if result.success and estimate > TOLERABLE:
        detail = f"The error is estimated at {estimate:.1g}: the data are not smooth, or n is too small."
        result = replace(result, status=Status.STAGNATED, detail=detail)
    deliver(result)
    return doubted(result, data.at(points)[1] if data.varies else None)


@dataclass(frozen=True)
class Sines:
    """The collocation (3) of `sine` on grids of any number of spans."""

    data: Data
    alpha: float
    factor: float
    n: int
    rtol: float

    def on(self, n: int, limits: Limits | None = None) -> tuple[SineSolution, dict[str, Any]]:
        """The solution on n spans, and how it came about."""
        keep_time(limits)
        interval, points = self.data.interval, grid(n, self.data.interval)
        data = self.data if n == self.n else self._moved(points)
        f, reaction = data.divided()
        g, rho = f(points), None if reaction is None else reaction(points)
        ends = (0.0, 0.0) if is_values(data.f) or is_values(data.diffusion) else self._ends(data)
        t = np.arange(1.0, n) / n
        lift = SineSolution(np.zeros(1), self.alpha, interval, ends, self.factor)
        b = g - ends[0] * t[::-1] - ends[1] * t
        if rho is not None:
            b = b - rho * lift.lifted(t, t[::-1])  # (3)
        eigenvalues = self.factor * sine_eigenvalues(n - 1, self.alpha, interval)
        reference = arrays.norm(np, g)
        if rho is None or np.ptp(rho) == 0:
            c, details = _divided(b, eigenvalues + (0.0 if rho is None else rho[0]), eigenvalues)
        elif n - 1 <= DENSE_UNKNOWNS:
            matrix = from_sines(eigenvalues[:, None] * to_sines(np.eye(n - 1))) + np.diag(rho)
            values = lu_solve(lu_factor(matrix, check_finite=False), b, check_finite=False)
            c, details = (
                to_sines(values),
                {"residual": arrays.norm(np, b - matrix @ values), "rounding": UNIT},
            )
        else:
            c, details = self._iterated(b, rho, eigenvalues, reference, limits)
        if "status" not in details:
            top = float(np.max(np.abs(eigenvalues))) + (0.0 if rho is None else float(np.max(np.abs(rho))))
            rounding = 4 * UNIT * (top * arrays.norm(np, from_sines(c)) + reference)
            residual = details["residual"]
            good = Status.CONVERGED if residual <= self.rtol * reference else Status.ROUNDING
            details["status"] = good if residual <= max(rounding, self.rtol * reference) else Status.BREAKDOWN
        return SineSolution(c, self.alpha, interval, ends, self.factor), details

    def _iterated(
        self, b: Array, rho: Array, eigenvalues: Array, reference: float, limits: Limits | None
    ) -> tuple[Array, dict[str, Any]]:
        """GMRES on the values, preconditioned with constant reactions that take turns."""
        least, largest = float(np.min(rho)), float(np.max(rho))
        shifts = turns(least, largest, float(np.mean(rho)), float(eigenvalues[0]))
        count = iter(range(10**9))

        def precondition(v: Array) -> Array:
            return from_sines(to_sines(v) / (eigenvalues + shifts[next(count) % len(shifts)]))

        def product(v: Array) -> Array:
            return from_sines(eigenvalues * to_sines(v)) + rho * v

        settings: Any = {"keep": "reference", "present": Iterate.form, "patience": PATIENCE}
        norm = float(eigenvalues[-1]) + max(abs(least), abs(largest))
        with Monitor(
            limits, rtol=self.rtol, reference=reference, maxiter=MAXITER, label="GMRES", **settings
        ) as it:
            fgmres(np, product, b, precondition, it, x0=np.zeros_like(b), norm=norm)
        details = {"residual": it.residual, "status": it.status, "nit": it.nit, "history": it.history}
        return to_sines(it.x.form()), {**details, "rounding": UNIT}

    @staticmethod
    def _ends(data: Data) -> tuple[float, float]:
        """The end values of the right-hand side over the diffusion; zeros where it has none."""
        left, right = at_ends(data.f, data.interval)
        if data.diffusion is None:
            return left, right
        below, above = at_ends(data.diffusion, data.interval)
        return (left / below, right / above) if below > 0 and above > 0 else (0.0, 0.0)

    def _moved(self, points: Array) -> Data:
        """The data at the points of another grid."""
        own, degrees = grid(self.n, self.data.interval), {"f": 3, "reaction": 1, "diffusion": 1}
        values = {name: moved(getattr(self.data, name), own, points, d) for name, d in degrees.items()}
        return replace(self.data, **values)


def at_ends(value: Any, interval: tuple[float, float]) -> tuple[float, float]:
    """The values of a function or a number at the ends."""
    return ends_of(value, interval) if callable(value) else (float(value), float(value))


def _divided(b: Array, total: Array, eigenvalues: Array) -> tuple[Array, dict[str, Any]]:
    """Coefficients for a constant reaction, the residual, and the rounding error of the largest one."""
    with np.errstate(all="ignore"):
        c = to_sines(b) / total
    if not np.all(np.isfinite(c)):
        detail = "The reaction is minus an eigenvalue."
        lost = {"residual": arrays.norm(np, b), "rounding": np.inf}
        return np.zeros_like(b), {**lost, "status": Status.BREAKDOWN, "detail": detail}
    k = int(np.argmax(np.abs(c)))
    residual = arrays.norm(np, b - from_sines(total * c))
    return c, {"residual": residual, "rounding": UNIT * max(1.0, float(eigenvalues[k] / abs(total[k])))}


def sine_start(u0: Any, ends: tuple[float, float], n: int, interval: tuple[float, float]) -> Array:
    """Sine coefficients of a function, those of the line through its end values in closed form."""
    t = np.arange(1.0, n) / n
    rest = u0(grid(n, interval)) - ends[0] * t[::-1] - ends[1] * t
    return np.asarray(to_sines(rest) + linear_coefficients(n - 1, ends))
