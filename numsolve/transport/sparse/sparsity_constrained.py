# mypy: disable-error-code=no-any-return
# (array libraries, kernels and SciPy have no types: what they return is an Array by our word)
r"""Transport plans with at most k nonzeros in each column.

T. Liu, J. Puigcerver, M. Blondel, "Sparsity-constrained optimal transport", ICLR 2023:

    min <M, T> + (reg/2) ||T||^2   over plans T whose columns have at most k nonzeros.

The paper maximises a dual or a semi-dual of this, with x_+ = max(x, 0),

    dual       a.f + b.g - sum_j max over supports of k:  sum_i (f_i + g_j - M_ij)_+^2 / (2 reg),
    semi-dual  a.f - sum_j max { (f - M_j).t - (reg/2) ||t||^2 :  t >= 0, sum t = b_j, at most k nonzeros },

by L-BFGS. Both are concave and have the same maximum, but not smooth: the maximiser tends to sit on kinks,
where the k-th largest entry of a column is tied, and there the plan that belongs to the chosen entries
misses the marginals. The maximum is also the minimum of a convex problem, in which ||T_j||^2 becomes the
squared norm of the k-support (A. Argyriou, R. Foygel, N. Srebro, "Sparse prediction with the k-support norm",
NIPS 2012),

    ||t||^2 = min sum_i t_i^2 / eta_i   over 0 < eta_i <= 1, sum_i eta_i <= k,

which is jointly convex in (t, eta): the perspective form. Its plan keeps both marginals; a tied column shares
its last places among more than k entries. `_relaxed` solves it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from numsolve._core import checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status
from numsolve.transport._deadline import TimeUp
from numsolve.transport._problem import prepare

from ._common import FOREIGN, finished, prepared, presented, start, transposed
from ._relaxed import Point, Relaxed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numsolve._core.typing import Array, ArrayLike, Callback

    from .result import SparseTransportResult

Formulation = Literal["perspective", "dual", "semidual"]


@answers(**FOREIGN, method="formulation", k="max_nz")
def sparsity_constrained(
    a: ArrayLike | None,
    b: ArrayLike | None,
    M: ArrayLike,
    reg: float,
    max_nz: int,
    *,
    formulation: Formulation = "perspective",
    axis: int = 0,
    rounding: Literal["support"] | None = None,
    tol: float = 1e-8,
    potentials_init: Sequence[ArrayLike] | None = None,
    return_plan: bool = True,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> SparseTransportResult:
    r"""Solve quadratically regularised transport with at most `max_nz` nonzeros in each column.

    The problem is not convex. The default solves its convex relaxation, whose value is a certified lower
    bound and whose plan has exact marginals; a few columns may have more than `max_nz` nonzeros, which
    ``rounding="support"`` takes away.

    Parameters
    ----------
    a : array of shape (n,), or None
        Weights of the source, nonnegative; None or an empty list for uniform ones.
    b : array of shape (m,), or None
        Weights of the target, of the same sum as `a`.
    M : array of shape (n, m)
        Cost; ``+inf`` forbids a pair.
    reg : float
        Regularisation, positive, in the unit of `M` over that of the mass.
    max_nz : int
        How many entries of a column may be positive. For 1 the plan is one of unregularised transport; from
        n on it is no limit.
    formulation : {"perspective", "dual", "semidual"}
        "perspective" is solved to the tolerance. The others are the published ones, by L-BFGS, for
        comparison: their plans miss the marginals wherever a maximiser has ties.
    axis : {0, 1}
        0 limits the nonzeros along axis 0, that is, of each column, as POT does; 1 those of each row.
    rounding : {None, "support"}
        "support" keeps the `max_nz` largest entries of each column and solves quadratic transport on these
        pairs. Where they cannot carry all the mass, as much as possible is placed, at the least cost; the
        result says how much is left (`unplaced_mass`) and has ``status=Status.INFEASIBLE``.
    tol : float
        Largest error of the marginals in the 1-norm, relative to the mass, and largest duality gap of the
        relaxation, relative to the value over the least entry of `M`.
    potentials_init : tuple of array, optional
        Where to start, as the `potentials` of an earlier result.
    return_plan : bool
        Whether the result holds the plan.
    maxiter, callback, progress, time_limit : optional
        As in `numsolve.transport.quadratic`. A relaxation that was cut short is not rounded.

    Returns
    -------
    SparseTransportResult
        With `plan`, `potentials`, `value` (a lower bound), `gap`, `nnz_max`, `unplaced_mass`,
        `marginal_error`, `value_linear`, `kl` and `nnewton`.

    Raises
    ------
    ValueError
        If an argument has the wrong shape or range; the message says which and what is wanted.
    TypeError
        If an array is complex, or does not belong to NumPy.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached, if the allowed pairs admit no plan, or if the rounded support
        cannot carry all the mass.

    See Also
    --------
    numsolve.transport.quadratic : Without the limit.

    References
    ----------
    T. Liu, J. Puigcerver, M. Blondel, "Sparsity-constrained optimal transport", ICLR 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import transport
    >>> M = np.random.default_rng(7).random((10, 10))
    >>> result = transport.sparsity_constrained(None, None, M, reg=0.5, max_nz=2)
    >>> print(f"{result.value:.8f}", result.nnz_max, result.marginal_error < 1e-8)
    0.14104690 3 True
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    tol = checks.real("tol", tol, low=0.0)
    max_nz = checks.integer("max_nz", max_nz, low=1)
    checks.choice("formulation", formulation, get_args(Formulation))
    if rounding is not None:
        checks.choice("rounding", rounding, ("support",))
    swapped = checks.integer("axis", axis, low=0, high=1) == 1
    return_plan = checks.flag("return_plan", return_plan)
    problem, unit = prepared(a, b, M, reg)
    if swapped:
        problem = transposed(problem)
    relaxed = Relaxed(problem, max_nz, unit)

    def present(x: Point) -> tuple[Array, Array]:
        return presented(relaxed, x, swapped)

    begin = start(relaxed, potentials_init, swapped)
    if formulation == "perspective":
        it, x = relaxed.solve("sparse transport", limits, tol, begin, present)
        value = relaxed.bound(x.f)
    else:
        it, x, value = _published(relaxed, formulation, limits, tol, begin, present)
    T, unplaced = relaxed.dense(x), 0.0
    if rounding == "support" and it.status not in {Status.TIME_LIMIT, Status.INTERRUPTED}:
        T, unplaced = _rounded(relaxed, it, x, tol)
    finite = T > 0
    objective = float(T[finite] @ problem.M[finite]) + 0.5 * relaxed.reg * float(np.vdot(T, T))
    return finished(
        relaxed, it, x, swapped, T, value, objective - value,
        return_plan=return_plan, unplaced=unplaced, max_nz=max_nz,
    )  # fmt: skip


# -- as published ----------------------------------------------------------------------------------


def _published(
    relaxed: Relaxed,
    formulation: Formulation,
    limits: Limits,
    tol: float,
    begin: tuple[Array, Array] | None,
    present: Callable[[Point], tuple[Array, Array]],
) -> tuple[Monitor, Point, float]:
    """Maximise the dual or the semi-dual by L-BFGS, and read the plan off its gradient."""
    from scipy.optimize import minimize

    evaluate = _dual if formulation == "dual" else _semidual
    f, g = (np.zeros(relaxed.n), np.zeros(relaxed.m)) if begin is None else begin
    x0 = np.concatenate([f, g]) if formulation == "dual" else f

    def objective(x: Array) -> tuple[float, Array]:
        relaxed.deadline.check()
        _, value, gradient = evaluate(relaxed, x)
        return -value, -gradient

    def at(x: Array) -> tuple[Point, float]:
        point, _, _ = evaluate(relaxed, x)
        rows = np.bincount(point.rows, point.t, relaxed.n)
        columns = np.add.reduceat(np.append(point.t, 0.0), point.ptr[:-1]) * (np.diff(point.ptr) > 0)
        return point, float(np.abs(rows - relaxed.a).sum() + np.abs(columns - relaxed.b).sum())

    relaxed.limited(limits)
    limit = limits.steps(1000)
    with Monitor(limits, atol=tol, maxiter=limit, label=formulation, keep="reference", present=present) as it:
        last, error = at(x0)
        it.record(error, last)

        def each(x: Array) -> None:
            nonlocal last
            last, error = at(x)
            it.extend([error], x=last)
            if not it.running:
                raise StopIteration

        if it.running:
            options = {"maxiter": limit + 1, "maxfun": 20 * limit + 20, "ftol": 0.0, "gtol": 0.0}
            try:
                minimize(objective, x0, jac=True, method="L-BFGS-B", callback=each, options=options)
            except TimeUp:
                it.stop(Status.TIME_LIMIT)
            if it.status is None:
                it.stop(Status.STAGNATED, f"L-BFGS finds no higher value of the {formulation}.")
    _, value, _ = evaluate(relaxed, np.concatenate(last[:2]) if formulation == "dual" else last.f)
    return it, last, value


def _dual(relaxed: Relaxed, x: Array) -> tuple[Point, float, Array]:
    """The plan, the dual, and its gradient at x = (f, g)."""
    f, g = x[: relaxed.n], x[relaxed.n :]
    ptr, rows, v = relaxed.kernels.top_entries(relaxed.Mt, f, g, relaxed.k)
    t = v / relaxed.reg
    value = float(relaxed.a @ f + relaxed.b @ g) - 0.5 * float(v @ t)
    columns = np.repeat(np.arange(relaxed.m), np.diff(ptr))
    gradient = (
        relaxed.a - np.bincount(rows, t, relaxed.n),
        relaxed.b - np.bincount(columns, t, relaxed.m),
    )
    return Point(f.copy(), g.copy(), ptr, rows, t), value, np.concatenate(gradient)


def _semidual(relaxed: Relaxed, f: Array) -> tuple[Point, float, Array]:
    """The plan, the semi-dual, and its gradient at f: the k best entries of a column on the simplex."""
    point, r, total = relaxed.best(f.copy())
    return point, float(relaxed.a @ f) - total, relaxed.a - r


# -- rounding --------------------------------------------------------------------------------------


def _rounded(relaxed: Relaxed, it: Monitor, x: Point, tol: float) -> tuple[Array, float]:
    """A plan with at most k entries a column near that of x, and the mass that it leaves out.

    Where the time does not suffice, or at Ctrl-C, the plan of x, and the monitor says so.
    """
    if np.diff(x.ptr).max() <= relaxed.k:
        return relaxed.dense(x), 0.0
    columns: Array = np.repeat(np.arange(relaxed.m), np.diff(x.ptr))
    choices: list[tuple[float, Array, Array]] = []
    try:
        vertex = _most(relaxed, x.rows, columns)  # has fewer entries than x, and may need no cut
        for t in (x.t, vertex):
            order = np.lexsort((-t, columns))
            kept = order[np.arange(columns.size) - x.ptr[columns] < relaxed.k]  # in the order of the columns
            kept = kept[t[kept] > 0]
            placed = _most(relaxed, x.rows[kept], columns[kept])
            choices.append((1.0 - float(placed.sum()), kept, placed))
    except TimeUp:
        it.stop(Status.TIME_LIMIT)
        return relaxed.dense(x), 0.0
    unplaced, kept, placed = choices[0] if choices[0][0] <= choices[1][0] + 1e-9 else choices[1]
    rows, columns = x.rows[kept], columns[kept]
    weights: tuple[Array, Array] = relaxed.a, relaxed.b
    if unplaced > 1e-9:
        weights = np.bincount(rows, placed, relaxed.n), np.bincount(columns, placed, relaxed.m)
        it.stop(
            Status.INFEASIBLE,
            f"The support of {relaxed.k} entries a column leaves {unplaced:.3g} of the mass unplaced.",
        )
    else:
        unplaced = 0.0
    M = np.full((relaxed.n, relaxed.m), np.inf)
    M[rows, columns] = relaxed.Mt[columns, rows]
    problem = prepare(M, *weights, relaxed.reg)
    support = Relaxed(problem, relaxed.n)
    prices = x.f if problem.rows is None else x.f[problem.rows]
    own, best = support.solve("support", relaxed.limits.part(), tol, (prices, np.zeros(support.m)))
    if own.status in {Status.TIME_LIMIT, Status.INTERRUPTED}:
        it.stop(own.status)
    if own.status is not None and own.status.success:
        return problem.plan(support.dense(best)), unplaced
    T = np.zeros((relaxed.n, relaxed.m))  # a support with a single plan is hard for Newton's method
    T[rows, columns] = placed
    return T, unplaced


def _most(relaxed: Relaxed, rows: Array, columns: Array) -> Array:
    """Place as much mass as these pairs can carry, at the least cost, or raise `TimeUp`."""
    from scipy.optimize import linprog
    from scipy.sparse import csr_array

    pairs = np.arange(rows.size)
    ones = np.ones(rows.size)
    A = csr_array(
        (np.concatenate([ones, ones]), (np.concatenate([rows, relaxed.n + columns]), np.tile(pairs, 2))),
        shape=(relaxed.n + relaxed.m, rows.size),
    )
    unit = max(relaxed.n, relaxed.m)  # weights around one, for the solver's tolerances
    cost = relaxed.Mt[columns, rows] - relaxed.least
    # No plan is worth more than to place further mass: a path of exchanges has at most n + m pairs.
    worth = (relaxed.n + relaxed.m) * max(float(cost.max()), 1e-300)
    limits = unit * np.concatenate([relaxed.a, relaxed.b])
    left = relaxed.limits.seconds_left
    options = {"time_limit": left} if left < math.inf else {}
    solution = linprog((cost - worth) / worth, A_ub=A, b_ub=limits, method="highs", options=options)
    if solution.status == 1:
        raise TimeUp
    return np.maximum(solution.x, 0.0) / unit
