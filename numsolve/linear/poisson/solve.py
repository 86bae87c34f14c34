r"""Solve Poisson's equation on a grid with obstacles: conjugate gradients with one multigrid cycle a step.

The matrix is that of `GridPoisson`, the cycle that of `poisson_multigrid`. One step costs one cycle and one
product; the count hardly depends on the size of the grid.
"""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.result import deliver
from numsolve.linear._system import ENDS, FOREIGN
from numsolve.linear.cg import cg
from numsolve.linear.result import LinearResult
from numsolve.linear.ssor_cg import ssor_cg

from ._run import Components, Run
from .grid import OPEN, UNKNOWN, GridPoisson
from .multigrid import PoissonMultigrid, poisson_multigrid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numsolve._core.typing import Array, ArrayLike, Callback

METHODS = ("auto", "mgpcg", "cg", "ssor")
#: Steps of the multigrid method that are never needed where it works.
MAXITER = 500


@answers(**FOREIGN)
def solve_poisson(
    flags: ArrayLike | GridPoisson | PoissonMultigrid,
    b: ArrayLike,
    x0: ArrayLike | None = None,
    *,
    method: Literal["auto", "mgpcg", "cg", "ssor"] = "auto",
    boundary_values: ArrayLike | None = None,
    spacing: float | Sequence[float] = 1.0,
    face_coefficients: Sequence[ArrayLike] | None = None,
    n_smooth: int | None = None,
    project: bool = False,
    rtol: float = 1e-6,
    atol: float = 0.0,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> LinearResult:
    """Solve Poisson's equation on a grid with walls and open cells.

    Parameters
    ----------
    flags : array of int of shape (n0, n1) or (n0, n1, n2), GridPoisson or PoissonMultigrid
        0 for unknown, 1 for wall, 2 for open; or the matrix; or the preconditioner, which is then set up
        already and has the matrix.
    b : array
        Right-hand side: on the grid, or of the unknowns alone; with one more axis at the end, several. What
        it has in walls and open cells does not count.
    x0 : array of the shape of b, optional
        Where to start; zeros by default.
    method : {"auto", "mgpcg", "cg", "ssor"}
        "mgpcg" is conjugate gradients with the multigrid cycle, "cg" without one, "ssor" with symmetric
        relaxation; the last two are there to compare with. "auto" is "mgpcg".
    boundary_values : array of the shape of the grid, or float, optional
        The values in open cells; 0 by default.
    spacing, face_coefficients
        As in `GridPoisson`, where `flags` is an array.
    n_smooth : int, optional
        Sweeps before and after each coarse correction; 1 by default, or that of the preconditioner.
    project : bool
        Subtract from b its mean on each component that touches no open cell, in place of an error where it
        is not 0.
    rtol, atol : float
        Converged when ``||b - A x|| <= max(rtol * ||b||, atol)``, over the unknowns; b has what the
        boundary values bring.
    maxiter, callback, progress, time_limit
        The run settings, as in `numsolve.linear.sor`; 500 steps by default.

    Returns
    -------
    LinearResult
        With `x` in the shape of b: 0 in walls, the given values in open cells, and of mean 0 on components
        that touch no open cell. For several right-hand sides `status`, `nit` and `residual` are arrays.

    Raises
    ------
    ValueError
        If a flag has another value, a shape is wrong, a number is not finite, or b does not sum to 0 over a
        component that touches no open cell.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached; `x` is the best iterate.

    See Also
    --------
    numsolve.linear.poisson_multigrid : The preconditioner, to keep, and to refit when obstacles move.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import linear
    >>> flags = np.zeros((100, 200), dtype=int)
    >>> flags[:, -1], flags[30:70, 50:60] = 2, 1
    >>> result = linear.solve_poisson(flags, np.ones((100, 200)), rtol=1e-8)
    >>> result.success, result.nit < 16, result.x.shape
    (True, True, (100, 200))
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    began = perf_counter()
    checks.choice("method", method, METHODS)
    project = checks.flag("project", project)
    M = flags if isinstance(flags, PoissonMultigrid) else None
    if M is None and not isinstance(flags, GridPoisson):
        flags = GridPoisson(flags, spacing=spacing, face_coefficients=face_coefficients)
    elif spacing != 1.0 or face_coefficients is not None:
        raise TypeError("spacing and face_coefficients belong to GridPoisson where flags is one")
    problem = flags if M is None else M.problem
    assert isinstance(problem, GridPoisson)
    if n_smooth is not None:
        n_smooth = checks.integer("n_smooth", n_smooth, low=1)
    rtol, atol = checks.real("rtol", rtol, low=0.0), checks.real("atol", atol, low=0.0)
    sides = _Sides(problem, b, x0, boundary_values)
    if method in {"cg", "ssor"}:
        return _plain(method, problem, sides, limits, project=project, rtol=rtol, atol=atol)
    components = Components(problem)
    columns = [sides.column(k) for k in range(sides.count)]
    if project:
        columns = [components.centred(b) for b in columns]
    else:
        for column in columns:
            components.check(column)
    if M is None:
        M = poisson_multigrid(problem, n_smooth=n_smooth or 1)
    loop: dict[str, Any] = {
        "rtol": rtol,
        "atol": atol,
        "maxiter": MAXITER,
        "n_smooth": n_smooth or M.n_smooth,
    }
    setup_time = perf_counter() - began
    runs: list[Run] = []
    for k, b_k in enumerate(columns):
        run = Run(M, b_k, sides.start(k))
        if runs and runs[-1].status in ENDS:
            run.leave(runs[-1].status)
        else:
            run.drive(limits, sides.present, **loop)
        runs.append(run)
    fields: dict[str, Any] = {
        "setup_time": setup_time,
        "solve_time": perf_counter() - began - setup_time,
    }
    if not sides.several:
        run = runs[0]
        x = sides.present(components.centred(run.answer))
        out = run.it.result(LinearResult, x=x, residual=run.true, rhs_norm=run.norm_b, **fields)
        return replace(out, x=sides.cast(out.x))
    for run in runs:
        run.finish()
    solutions = [sides.present(components.centred(run.answer)) for run in runs]
    out = LinearResult(
        x=sides.cast(np.stack(solutions, axis=-1)) if runs else np.zeros(sides.shape),
        status=np.array([int(run.status) for run in runs], dtype=int),  # type: ignore[arg-type]
        nit=np.array([run.nit for run in runs], dtype=int),  # type: ignore[arg-type]
        residual=np.array([run.true for run in runs]),  # type: ignore[arg-type]
        rhs_norm=np.array([run.norm_b for run in runs]),
        **fields,
    )
    deliver(out)
    return out


class _Sides:
    """The right-hand sides and starts, on the grid or packed, one or several."""

    def __init__(
        self, problem: GridPoisson, b: ArrayLike, x0: ArrayLike | None, boundary_values: ArrayLike | None
    ) -> None:
        self.problem = problem
        xp = arrays.array_namespace(b=b, x0=x0, boundary_values=boundary_values)
        if not arrays.is_numpy(xp):
            raise TypeError(f"b is a {arrays.namespace_name(xp)} array; a NumPy array is wanted")
        given = checks.array("b", b, check_finite=False)
        self.single = given.dtype == np.float32
        self.b: Array = given.astype(float)
        shape, grid = self.b.shape, problem.grid_shape
        self.shape = shape
        self.packed = shape != grid and shape[:-1] != grid
        self.several = shape not in {grid, (problem.n,)}
        if self.packed and (len(shape) > 2 or shape[0] != problem.n):
            raise ValueError(
                f"b must have the shape of the grid, {grid}, or that of the unknowns, ({problem.n},), or one "
                f"more axis at the end; got {shape}"
            )
        self.count = shape[-1] if self.several else 1
        self.x0: Array | None = None
        if x0 is not None:
            self.x0 = checks.array("x0", x0, check_finite=False).astype(float)
            if self.x0.shape != shape:
                raise ValueError(f"x0 must have the shape of b, {shape}, got {self.x0.shape}")
        self.values: Array | None = None
        self.brought: Array | None = None
        if boundary_values is not None:
            self._boundary(boundary_values)

    def _boundary(self, boundary_values: ArrayLike) -> None:
        """What the values in open cells add to b."""
        problem = self.problem
        given = checks.array("boundary_values", boundary_values, check_finite=False).astype(float)
        if given.shape not in {(), problem.grid_shape}:
            raise ValueError(
                f"boundary_values must be a number or have shape {problem.grid_shape}, got {given.shape}"
            )
        g = np.where(problem.flags == OPEN, given, 0.0)
        checks.finite("boundary_values", g)
        self.values, brought = g, np.zeros_like(g)
        for axis, w in enumerate(problem.face_weights()):
            behind = (slice(None),) * axis + (slice(None, -1),)
            ahead = (slice(None),) * axis + (slice(1, None),)
            brought[behind] += w * g[ahead]
            brought[ahead] += w * g[behind]
        self.brought = problem.spread(brought, problem.scale)

    def _spread(self, name: str, values: Array, k: int) -> Array:
        one = values[..., k] if self.several else values
        places = self.problem.spread(one)
        with np.errstate(over="ignore", invalid="ignore"):
            fine = np.isfinite(places.sum())
        if not fine:
            bad = ~np.isfinite(one) if self.packed else ~np.isfinite(one) & (self.problem.flags == UNKNOWN)
            if bad.any():
                where = tuple(int(i) for i in np.argwhere(bad)[0])
                raise ValueError(f"{name} must hold finite numbers, got {one[where]} at index {where}")
        return places

    def column(self, k: int) -> Array:
        """One right-hand side in the order of the kernels."""
        b = self._spread("b", self.b, k)
        return b if self.brought is None else b + self.brought

    def start(self, k: int) -> Array | None:
        """Its start."""
        return None if self.x0 is None else self._spread("x0", self.x0, k)

    def present(self, places: Array) -> Array:
        """An iterate as the caller knows it."""
        x = self.problem.collect(places, packed=self.packed)
        if self.values is not None and not self.packed:
            x += self.values
        return x

    def cast(self, x: Array) -> Array:
        """In the caller's precision."""
        return x.astype(np.float32) if self.single else x


def _plain(
    method: str,
    problem: GridPoisson,
    sides: _Sides,
    limits: Limits,
    *,
    project: bool,
    rtol: float,
    atol: float,
) -> LinearResult:
    """One of the methods to compare with, on the matrix."""
    components = Components(problem)
    columns = [sides.column(k) for k in range(sides.count)]
    if project:
        columns = [components.centred(b) for b in columns]
    else:
        for column in columns:
            components.check(column)

    def packed(places: Array) -> Array:
        return problem.collect(places, packed=True)

    starts = [sides.start(k) for k in range(sides.count)]
    b = np.stack([packed(column) for column in columns], axis=-1)
    x0 = None if sides.x0 is None else np.stack([packed(s) for s in starts if s is not None], axis=-1)
    if not sides.several:
        b, x0 = b[:, 0], None if x0 is None else x0[:, 0]
    solve: Callable[..., LinearResult] = cg if method == "cg" else ssor_cg
    run = {"callback": limits.callback, "progress": limits.progress, "maxiter": limits.maxiter}
    left = None if limits.time_limit is None else limits.seconds_left
    out = solve(problem.to_csr(), b, x0, rtol=rtol, atol=atol, time_limit=left, **run)

    def back(x: Array) -> Array:
        return sides.present(components.centred(problem.spread(np.ascontiguousarray(x))))

    x = np.stack([back(c) for c in out.x.T], axis=-1) if sides.several else back(out.x)
    return replace(out, x=sides.cast(x))
