r"""Solve Poisson's equation on a grid with obstacles: conjugate gradients with one multigrid cycle a step.

The matrix is that of `GridPoisson`, the cycle that of `poisson_multigrid`. One step costs one cycle and one
product; the count hardly depends on the size of the grid.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse as sp

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.result import Status, deliver
from numsolve.linear._system import ENDS, FOREIGN
from numsolve.linear.cg import cg
from numsolve.linear.result import LinearResult
from numsolve.linear.ssor_cg import ssor_cg

from ._run import Run, settle, tolerance
from ._sides import Components, Sides
from .grid import GridPoisson
from .multigrid import MOST_SWEEPS, PoissonMultigrid, poisson_multigrid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numsolve._core.typing import Array, ArrayLike, Callback

    from .network import DCDMNet
    from .npsd import NPSDNet

METHODS = ("auto", "mgpcg", "dcdm", "npsd", "cg", "ssor")
#: Steps of the multigrid method that are never needed where it works.
MAXITER = 500


@answers(**FOREIGN)
def solve_poisson(
    flags: ArrayLike | GridPoisson | PoissonMultigrid,
    b: ArrayLike,
    x0: ArrayLike | None = None,
    *,
    method: Literal["auto", "mgpcg", "dcdm", "npsd", "cg", "ssor"] = "auto",
    boundary_values: ArrayLike | None = None,
    spacing: float | Sequence[float] = 1.0,
    face_coefficients: Sequence[ArrayLike] | None = None,
    n_smooth: int | None = None,
    weights: str | Path | DCDMNet | NPSDNet | dict[str, Any] | None = "default",
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
        already and has the matrix. At least one cell is to be unknown.
    b : array
        Right-hand side: on the grid, or of the unknowns alone; with one more axis at the end, several. What
        it has in walls and open cells does not count. A b of shape (n, k) that is the grid's shape too is
        taken for one on the grid.
    x0 : array of the shape of b, optional
        Where to start; zeros by default.
    method : {"auto", "mgpcg", "dcdm", "npsd", "cg", "ssor"}
        "mgpcg" is conjugate gradients with the multigrid cycle, "cg" without one, "ssor" with symmetric
        relaxation; "dcdm" and "npsd" take the directions of `dcdm` from a `DCDMNet` or an `NPSDNet`. The last
        four are there to compare with, and are slower. "auto" is "mgpcg".
    boundary_values : array of the shape of the grid, or float, optional
        The values in open cells; 0 by default.
    spacing, face_coefficients
        As in `GridPoisson`, where `flags` is an array.
    n_smooth : int, optional
        Sweeps before and after each coarse correction; 1 by default, or that of the preconditioner.
    weights : "default", path, DCDMNet, NPSDNet, dict or None
        The network of "dcdm" or "npsd": the one shipped (for two axes), a file, or one of your own. For
        "mgpcg", as in `poisson_multigrid`.
    project : bool
        Subtract from b its mean on each component that touches no open cell, in place of an error where it
        is not 0.
    rtol, atol : float
        Converged when ``||b - A x|| <= max(rtol * ||b||, atol)``, over the unknowns; b has what the
        boundary values bring.
    maxiter, callback, progress, time_limit
        The run settings, as in `numsolve.linear.sor`; 500 steps by default, and with the methods to compare
        with 10 times the number of unknowns, or 1000 with a network. The callback gets iterates in the shape
        of one right-hand side.

    Returns
    -------
    LinearResult
        With `x` in the shape of b: 0 in walls, the given values in open cells, and of mean 0 on components
        that touch no open cell; of single precision where b is. `residual` is that of this very `x`; where
        only the rounding of its numbers misses the tolerance, the status is ``ROUNDING``. For several
        right-hand sides `status`, `nit` and `residual` are arrays.

    Raises
    ------
    ValueError
        If a flag has another value, no cell is unknown, a shape is wrong, a number is not finite, or b does
        not sum to 0 over a component that touches no open cell.

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
    M = flags.as_it_is() if isinstance(flags, PoissonMultigrid) else None
    if M is None and not isinstance(flags, GridPoisson):
        flags = GridPoisson(flags, spacing=spacing, face_coefficients=face_coefficients)
    elif arrays.ndim(spacing) > 0 or spacing != 1.0 or face_coefficients is not None:
        raise TypeError("spacing and face_coefficients belong to GridPoisson where flags is one")
    problem = flags if M is None else M.problem
    assert isinstance(problem, GridPoisson)
    if problem.n == 0:
        raise ValueError(f"flags must have an unknown cell (0), got none in shape {problem.grid_shape}")
    if n_smooth is not None:
        n_smooth = checks.integer("n_smooth", n_smooth, low=1, high=MOST_SWEEPS)
    given = not (isinstance(weights, str) and weights == "default")
    if given and (method in {"cg", "ssor"} or (M is not None and method in {"auto", "mgpcg"})):
        why = (
            "belong to poisson_multigrid where flags is one"
            if M is not None
            else f"say nothing to {method!r}"
        )
        raise TypeError(f"weights {why}, got {type(weights).__name__}")
    rtol, atol = checks.real("rtol", rtol, low=0.0), checks.real("atol", atol, low=0.0)
    reading = perf_counter()
    sides = Sides(problem, b, x0, boundary_values)
    components = Components(problem)
    wanted, columns = [], []  # what the residual is told for, and that without what no x can bring
    for k in range(sides.count):
        column = sides.column(k)
        if not project:
            components.check(column, single=sides.single)
        columns.append(components.centred(column))
        wanted.append(columns[k] if project else column)
    # To put the answers together takes about as long as to take the right-hand sides apart.
    limits = limits.earlier(perf_counter() - reading) if sides.several else limits
    if method not in {"auto", "mgpcg"}:
        return _plain(
            _compared(method, weights, problem),
            sides,
            components,
            wanted,
            columns,
            limits,
            rtol=rtol,
            atol=atol,
        )
    if M is None:
        M = poisson_multigrid(problem, weights=weights, n_smooth=n_smooth or 1)  # type: ignore[arg-type]
        M.kept[1].clear()  # nobody will refit it
    loop: dict[str, Any] = {
        "rtol": rtol,
        "atol": atol,
        "maxiter": MAXITER,
        "n_smooth": n_smooth or M.n_smooth,
    }
    setup_time = perf_counter() - began
    runs: list[Run] = []
    solutions: list[Array] = []
    residuals: list[float] = []
    for k, b_k in enumerate(columns):
        if runs and runs[-1].status in ENDS and sides.x0 is None:
            break
        run = Run(M, components, b_k, sides.start(k))
        if runs and runs[-1].status in ENDS:
            run.leave(runs[-1].status)
        else:
            run.drive(limits, sides.present, **loop)
        runs.append(run)
        solutions.append(sides.cast(sides.present(run.answer())))
        residuals.append(run.settle(wanted[k], sides.returned(solutions[k]), rtol, atol, eps=sides.eps))
    left = range(len(runs), sides.count)  # for which no time was left
    if left:
        solutions += [sides.cast(sides.present(np.zeros_like(columns[0])))] * len(left)
        residuals += [arrays.norm(np, wanted[k]) for k in left]
    statuses = [int(runs[-1].status)] * len(left) if left else []
    fields: dict[str, Any] = {
        "setup_time": setup_time,
        "solve_time": perf_counter() - began - setup_time,
    }
    if not sides.several:
        run = runs[0]
        return run.it.result(
            LinearResult, x=solutions[0], residual=residuals[0], rhs_norm=arrays.norm(np, wanted[0]), **fields
        )
    for run in runs:
        run.finish()
    out = LinearResult(
        x=sides.together(solutions),
        status=np.array([*(int(run.status) for run in runs), *statuses], dtype=int),  # type: ignore[arg-type]
        nit=np.array([*(run.nit for run in runs), *(0 for _ in left)], dtype=int),  # type: ignore[arg-type]
        residual=np.array(residuals),  # type: ignore[arg-type]
        rhs_norm=np.array([arrays.norm(np, b_k) for b_k in wanted]),
        **fields,
    )
    deliver(out)
    return out


def _compared(method: str, weights: Any, problem: GridPoisson) -> Callable[..., LinearResult]:
    """A method to compare with."""
    if method in {"cg", "ssor"}:
        return cg if method == "cg" else ssor_cg
    from ._learned import directions

    return directions(method, weights, problem)


def _plain(
    solve: Callable[..., LinearResult],
    sides: Sides,
    components: Components,
    wanted: list[Array],
    columns: list[Array],
    limits: Limits,
    *,
    rtol: float,
    atol: float,
) -> LinearResult:
    """One of the methods to compare with, on the matrix."""
    problem = sides.problem

    def packed(places: list[Array]) -> Array:
        out = np.zeros((problem.n, sides.count))
        for k, column in enumerate(places):
            out[:, k] = problem.collect(column, packed=True)
        return out if sides.several else out[:, 0]

    def back(x: Array) -> Array:
        return sides.present(problem.spread(np.ascontiguousarray(x)))

    x0 = None
    if sides.x0 is not None:
        x0 = packed([components.centred(sides.spread("x0", sides.x0, k)) for k in range(sides.count)])
    A = problem.to_csr()
    alone = A.diagonal() == 0  # unknowns without a neighbour, where b is 0: an equation x = 0 for each
    A = (A + sp.diags_array(alone.astype(float))).tocsr() if alone.any() else A
    left = None if limits.time_limit is None else limits.seconds_left
    out = solve(
        A, packed(columns), x0, rtol=rtol, atol=atol, maxiter=limits.maxiter, time_limit=left,
        callback=None if limits.callback is None else _shown(limits.callback, back), progress=limits.progress,
    )  # fmt: skip
    before = np.broadcast_to(np.asarray(out.status), (sides.count,))
    solutions, ends = [], []
    for k in range(sides.count):
        x = problem.spread(np.ascontiguousarray(out.x[:, k] if sides.several else out.x))
        x = components.centred(x)
        solutions.append(sides.cast(sides.present(x)))
        given = sides.returned(solutions[k])
        ends.append(
            settle(
                problem, wanted[k], given, Status(int(before[k])),
                tolerance=tolerance(arrays.norm(np, wanted[k]), rtol, atol),
                lost=bool(x.any()) and not given.any(), eps=sides.eps,
            )
        )  # fmt: skip
    failed_before = not np.all(out.success)
    if sides.several:
        told: dict[str, Any] = {
            "status": np.array([int(end[0]) for end in ends], dtype=int),
            "residual": np.array([end[1] for end in ends]),
            "nit": np.broadcast_to(np.asarray(out.nit), (sides.count,)).copy(),
            "rhs_norm": np.array([arrays.norm(np, b) for b in wanted]),
        }
    else:
        status, residual, detail = ends[0]
        told = {"status": status, "residual": residual, "detail": detail or out.detail}
    out = replace(out, x=sides.together(solutions), **told)
    if not failed_before:
        deliver(out)
    return out


def _shown(callback: Callback, back: Callable[[Array], Array]) -> Callback:
    """The callback, which is given iterates as the caller knows them."""
    try:
        wants_result = list(inspect.signature(callback).parameters) == ["intermediate_result"]
    except (TypeError, ValueError):  # builtins without a signature
        wants_result = False
    if wants_result:

        def of_result(intermediate_result: Any) -> Any:
            intermediate_result.x = back(intermediate_result.x)
            return callback(intermediate_result)

        return of_result
    return lambda x: callback(back(x))
