"""Boundary value problems by splines on a mesh of the user's own, and an estimate of the error."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.interpolate import BSpline

from numsolve._core.result import deliver

from ._assembly import clamped_knots, greville_points, spline_values
from ._estimate import QUARTERED, difference, from_levels
from ._modes import WITNESSES
from ._settings import TimeIsOverError
from ._splines import check_numpy, check_size, direct, moved, unsolved
from .dense import dense_matrix
from .jacobi import from_unit
from .result import RieszResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from numsolve._core.limits import Limits

    from ._data import Data

    Array = NDArray[np.float64]

#: Spans of a coarser mesh, at least.
LEAST_SPANS = 3


@dataclass(frozen=True)
class Mesh:
    """An equation on a mesh; `unit` is the mesh on (0, 1), where no power of a length over- or underflows."""

    breaks: Array
    unit: Array
    data: Data
    alpha: float
    p: int
    weights: tuple[float, float]
    definition: str

    @property
    def points(self) -> Array:
        """The collocation points."""
        start, width = float(self.breaks[0]), float(self.breaks[-1] - self.breaks[0])
        return start + width * greville_points(clamped_knots(self.unit, self.p), self.p)

    def spline(self, c: Array) -> BSpline:
        """The spline with these coefficients."""
        return BSpline(clamped_knots(self.breaks, self.p), np.r_[0.0, c, 0.0], self.p, extrapolate=False)

    def solve(self, rtol: float, limits: Limits | None = None) -> Any:
        """Coefficients, status and residual."""
        knots, width = clamped_knots(self.unit, self.p), float(self.breaks[-1] - self.breaks[0])
        points = greville_points(knots, self.p)
        b, reaction, diffusion = self.data.at(self.points)
        A = dense_matrix(knots, points, self.p, self.alpha, self.weights, self.definition, limits)
        return direct(A * width**-self.alpha, spline_values(knots, self.p), b, reaction, diffusion, rtol)

    def coarser(self, part: int) -> Mesh | None:
        """Every second or fourth of the breaks, if they are enough; values are interpolated."""
        spans = self.breaks.size - 1
        kept = np.unique(np.append(np.arange(0, spans, part), spans))
        if kept.size - 1 < LEAST_SPANS:
            return None
        return self._on(self.breaks[kept], self.unit[kept])

    def finer(self) -> Mesh:
        """Each span in four."""
        nodes = np.arange(self.breaks.size, dtype=np.float64)
        fine = np.linspace(0.0, nodes[-1], 4 * (nodes.size - 1) + 1)
        return self._on(np.interp(fine, nodes, self.breaks), np.interp(fine, nodes, self.unit))

    def _on(self, breaks: Array, unit: Array) -> Mesh:
        """The equation on another mesh."""
        other = replace(self, breaks=breaks, unit=unit)
        data, here, there = self.data, self.points, other.points
        values: Any = {
            name: moved(getattr(data, name), here, there, degree)
            for name, degree in (("f", 3), ("reaction", 1), ("diffusion", 1))
        }
        return replace(other, data=replace(data, **values))

    def error_estimate(self, c: Array) -> float:
        """The largest error relative to the largest value, from every second and every fourth break.

        Where there are too few of them, from spans in four parts.
        """
        if not np.all(np.isfinite(c)):
            return float("nan")
        middle, coarse = self.coarser(2), self.coarser(4)
        between = (self.breaks[1:] + self.breaks[:-1]) / 2
        ends = float(self.breaks[0]), float(self.breaks[-1])
        x = np.append(from_unit(2 * WITNESSES - 1, ends), between)
        levels = [mesh.spline(mesh.solve(0.0)[0])(x) for mesh in (middle, coarse) if mesh is not None]
        sol = self.spline(c)
        if middle is None:
            mesh = self.finer()
            errors = QUARTERED * difference(mesh.spline(mesh.solve(0.0)[0])(x), sol(x))
        else:
            errors = from_levels(sol(x), *levels)
        return max(errors, self.data.unseen(self.points, sol))


def factorise_on_mesh(mesh: Mesh, rtol: float, reason: str, limits: Limits) -> RieszResult:
    """Collocate on any mesh and solve by a dense factorisation."""
    check_size(mesh.breaks.size + mesh.p - 3)
    check_numpy(mesh.data)
    points, interval = mesh.points, mesh.data.interval
    try:
        c, status, residual = mesh.solve(rtol, limits)
    except TimeIsOverError:
        zero = np.zeros(points.size)
        b = mesh.data.at(points)[0]
        return unsolved(RieszResult, zero, b, points, mesh.spline(zero), "dense", reason, interval)
    result = RieszResult(
        x=c,
        status=status,
        residual=residual,
        points=points,
        sol=mesh.spline(c),
        method="dense",
        reason=reason,
        error_estimate=lambda: mesh.error_estimate(c),
        interval=interval,
    )
    deliver(result)
    return result
