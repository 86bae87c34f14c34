r"""Quadratically regularised transport: sparse plans, to any accuracy.

min <M, T> + (reg/2) ||T||^2   over T >= 0 with row sums a and column sums b,

whose solution is T_ij = max(f_i + g_j - M_ij, 0) / reg (M. Blondel, V. Seguy, A. Rolet, "Smooth and sparse
optimal transport", AISTATS 2018). Newton's method for the potentials is that of D. Lorenz, P. Manns and
C. Meyer, "Quadratically regularized optimal transport", Appl. Math. Optim. 83, 2021, on the semi-dual in f.
How it is brought near the solution, which decides about its speed, is told in `_relaxed`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits

from ._problem import Problem, check_values, prepare
from ._relaxed import Point, Relaxed
from .result import TransportResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numsolve._core.monitor import Monitor
    from numsolve._core.typing import Array, ArrayLike, Callback

    from .result import Gradient


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SparseTransportResult(TransportResult):
    """A plan of quadratic or of sparsity-constrained transport.

    The fields are those of `TransportResult`, with these differences.

    Attributes
    ----------
    value : float
        ``sum(T * M) + reg / 2 * sum(T**2)``. With a limit on the number of nonzeros, a lower bound of that
        number for every plan within the limit, certified by `potentials`.
    kl : float
        ``sum(T * log(T / (a b')))``.
    nnz_max : int
        The largest number of nonzeros in a column (of a row for ``axis=1``).
    gap : float
        The objective of `plan` less `value`: how far the plan is from optimal, at most, if it keeps the
        limit. A plan of the relaxed problem that does not keep it is cheaper: then `gap` is negative.
    unplaced_mass : float
        What the support chosen by ``rounding="support"`` cannot carry.
    max_nz : int or None
        The limit, if there is one.
    axis : int
        0 if the limit is on the columns, 1 if it is on the rows.
    """

    nnz_max: int = 0
    gap: float = float("nan")
    unplaced_mass: float = 0.0
    max_nz: int | None = None
    axis: int = 0

    def vjp(
        self, dP: ArrayLike | None = None, *, potentials: Sequence[ArrayLike | None] | None = None
    ) -> Gradient:
        """Differentiate a loss of the plan and the potentials with respect to the data.

        As in `TransportResult.vjp`, for a plan without a limit on its nonzeros. The plan is a smooth function
        of the data as long as the same entries vanish; where an entry is about to, the derivative is that of
        one side.

        Parameters
        ----------
        dP : array of shape (n, m), optional
            Derivative of the loss with respect to the plan; zero by default.
        potentials : tuple of array, optional
            Derivatives of the loss with respect to f (n,) and g (m,), of equal sums.

        Returns
        -------
        Gradient
            ``(a, b, M)``, the derivatives of the loss; those in a and b are nan at weights of zero, and hold
            for changes of equal sums.

        Raises
        ------
        NotImplementedError
            If there is a limit; `numsolve.transport.optimality` has the conditions of such a plan.
        ValueError
            If there is no plan, or if a shape does not fit, or if the two sums differ.
        numpy.linalg.LinAlgError
            If the positive entries do not connect all rows and columns: weights cannot change freely then.
        """
        if self.max_nz is not None and self.max_nz < self._existing_plan().shape[self.axis]:
            raise NotImplementedError(
                "vjp is for plans without a limit; numsolve.transport.optimality has what this one satisfies"
            )
        active = self._existing_plan() > 0
        _check_connected(active)
        # The derivatives of max(f + g - M, 0) / reg are those of exp((f + g - M) / reg), with 1 for the plan.
        return TransportResult.vjp(
            replace(self, plan=active.astype(self.plan.dtype)), dP, potentials=potentials
        )


def _check_connected(active: Array) -> None:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, columns = np.nonzero(active)
    n, m = active.shape
    graph = coo_array((np.ones(rows.size), (rows, n + columns)), shape=(n + m, n + m))
    _, label = connected_components(graph, directed=False)
    parts = np.unique(label[rows]).size
    if parts > 1:
        raise np.linalg.LinAlgError(f"the plan falls into {parts} parts that exchange no mass")


#: Words of other packages for what the solvers of sparse plans take.
FOREIGN = {
    "stopThr": "tol",
    "numItermax": "maxiter",
    "max_iter": "maxiter",
    "verbose": "progress",
    "log": "the result has the history and the potentials, always",
    "reg_type": "the regularisation is quadratic here; numsolve.transport.solve has others",
    "warmstart": "potentials_init",
}


@answers(**FOREIGN)
def quadratic(
    a: ArrayLike | None,
    b: ArrayLike | None,
    M: ArrayLike,
    reg: float,
    *,
    tol: float = 1e-8,
    potentials_init: Sequence[ArrayLike] | None = None,
    return_plan: bool = True,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> SparseTransportResult:
    r"""Solve quadratically regularised optimal transport.

    The plan minimises ``sum(T * M) + reg / 2 * sum(T**2)``. Most of its entries are exactly zero; a larger
    `reg` spreads the mass over more of them.

    Parameters
    ----------
    a : array of shape (n,), or None
        Weights of the source, nonnegative; None or an empty list for uniform ones.
    b : array of shape (m,), or None
        Weights of the target, of the same sum as `a`.
    M : array of shape (n, m)
        Cost; ``+inf`` forbids a pair.
    reg : float
        Regularisation, positive, in the unit of `M` over that of the mass: entries of the plan are
        differences of costs over `reg`, so that ``reg * a`` compares with `M`.
    tol : float
        Largest error of the marginals in the 1-norm, relative to the mass, and largest duality gap, relative
        to the value over the least entry of `M`.
    potentials_init : tuple of array, optional
        Where to start, as the `potentials` of an earlier result.
    return_plan : bool
        Whether the result holds the plan.
    maxiter, callback, progress, time_limit : optional
        As in `numsolve.transport.solve`; a step is one of the interior-point method or of Newton's, of which
        there are 1000 at most by default.

    Returns
    -------
    SparseTransportResult
        With `plan`, `potentials`, `value`, `value_linear`, `kl`, `marginal_error`, `gap` (the duality gap),
        `nnz_max` and `nnewton`. The history has the columns ``marginal_error`` and ``duality_gap``.

    Raises
    ------
    ValueError
        If an argument has the wrong shape or range; the message says which and what is wanted.
    TypeError
        If an array is complex, or does not belong to NumPy.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached, or if the allowed pairs admit no plan
        (``status=Status.INFEASIBLE``); the result is the best iterate.

    See Also
    --------
    numsolve.transport.sparsity_constrained : A limit on the nonzeros of each column.
    numsolve.transport.solve : Entropic regularisation: dense plans, smooth in the data.

    References
    ----------
    D. Lorenz, P. Manns, C. Meyer, "Quadratically regularized optimal transport", Appl. Math. Optim. 83, 2021.

    Examples
    --------
    >>> from numsolve import transport
    >>> M, a, b = transport.problems.random_assignment(50, rng=0)
    >>> result = transport.quadratic(a, b, M, reg=1.0)
    >>> result.success, result.marginal_error < 1e-8, int((result.plan > 0).sum()) < 200
    (True, True, True)
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    problem, unit = prepared(a, b, M, reg)
    return_plan = checks.flag("return_plan", return_plan)
    swapped = problem.M.shape[0] > problem.M.shape[1]  # the smaller side is f
    if swapped:
        problem = transposed(problem)
    relaxed = Relaxed(problem, problem.M.shape[0], unit)
    begin = start(relaxed, potentials_init, swapped)
    it, x = relaxed.solve("quadratic transport", limits, tol, begin, lambda x: presented(relaxed, x, swapped))
    value = relaxed.value(x)
    gap = value - relaxed.bound(x.f)
    return finished(relaxed, it, x, swapped, relaxed.dense(x), value, gap, return_plan=return_plan)


# -- shared with `sparse` --------------------------------------------------------------------------


#: Costs from the inverse of this up to it are solved as they come; squares of others would leave the range.
LARGEST = 1e100


def prepared(a: ArrayLike | None, b: ArrayLike | None, M: ArrayLike, reg: float) -> tuple[Problem, float]:
    """Check the arguments, as everywhere in this column; the solvers here are for NumPy only.

    Costs and regularisation of extreme size come multiplied with a power of two, which is returned too.
    """
    problem = prepare(M, a, b, reg)
    if not arrays.is_numpy(problem.xp):
        name = arrays.namespace_name(problem.xp)
        raise TypeError(
            f"M is a {name} array; quadratic and sparsity-constrained transport take NumPy's: bring the "
            "data to the host first, as with numpy.asarray or cupy.asnumpy"
        )
    size = max(problem.range, problem.reg * problem.mass / max(problem.M.shape))
    if 1 / LARGEST < size < LARGEST or not math.isfinite(size):
        return problem, 1.0
    unit = math.ldexp(1.0, -math.frexp(size)[1])
    scaled = {name: unit * getattr(problem, name) for name in ("M", "reg", "up", "over", "range", "highest")}
    return replace(problem, **scaled), unit


def transposed(problem: Problem) -> Problem:
    """The problem with its sides exchanged."""
    return replace(
        problem, M=problem.M.T, a=problem.b, b=problem.a, up=problem.over, over=problem.up,
        rows=problem.columns, columns=problem.rows, shape=problem.shape[::-1],
    )  # fmt: skip


def start(
    relaxed: Relaxed, potentials: Sequence[ArrayLike] | None, swapped: bool
) -> tuple[Array, Array] | None:
    """The caller's potentials as those of the reduced problem."""
    if potentials is None:
        return None
    if swapped and isinstance(potentials, tuple | list):
        potentials = tuple(potentials)[::-1]
    # No logarithm of the mass is in these potentials, and the shifts are in our unit.
    problem, unit = relaxed.problem, relaxed.unit
    f, g = replace(problem, mass=1.0, up=0.0, over=0.0).start(potentials)
    return unit * f.astype(np.float64) - problem.up, unit * g.astype(np.float64) - problem.over


def presented(relaxed: Relaxed, x: Point, swapped: bool) -> tuple[Array, Array]:
    """The caller's potentials."""
    problem, unit = relaxed.problem, relaxed.unit
    dtype = problem.M.dtype
    f, g = (((p + q) / unit).astype(dtype) for p, q in ((x.f, problem.up), (x.g, problem.over)))
    f, g = replace(problem, mass=1.0, up=0.0, over=0.0).potentials((f, g))
    return (g, f) if swapped else (f, g)


def finished(
    relaxed: Relaxed,
    it: Monitor,
    x: Point,
    swapped: bool,
    T: Array,
    value: float,
    gap: float,
    *,
    return_plan: bool,
    unplaced: float = 0.0,
    max_nz: int | None = None,
) -> SparseTransportResult:
    """Put a reduced plan T and its value into the caller's terms."""
    problem, mass, unit = relaxed.problem, relaxed.problem.mass, relaxed.unit
    T = T.astype(problem.M.dtype, copy=False)
    rows, columns = T.sum(axis=1), T.sum(axis=0)
    residual = float(np.abs(rows - problem.a).sum() + np.abs(columns - problem.b).sum())
    inside = T > 0
    t, pairs = T[inside].astype(np.float64), np.outer(relaxed.a, relaxed.b)[inside]
    kl = float(t @ np.log(t / pairs)) - float(np.log(mass)) * float(t.sum())
    linear = float(t @ problem.M[inside].astype(np.float64)) + problem.shift_of(rows, columns)
    low, high = problem.bounds_in_time(it, T, x.f)
    plan = problem.plan(T) if return_plan else None
    values = {
        "value": mass * (value + problem.shift_of(problem.a, problem.b)) / unit,
        "value_linear": mass * linear / unit,
        "kl": mass * kl,
    }
    check_values(it, values)
    return it.result(
        SparseTransportResult,
        x=presented(relaxed, x, swapped),
        plan=plan.T if plan is not None and swapped else plan,
        residual=residual,
        **values,
        bounds=(low / unit, high / unit),
        reg=problem.reg / unit,
        reg_path=(problem.reg / unit,),
        nnz_max=int(inside.sum(axis=int(swapped and max_nz is None)).max()),
        max_nz=max_nz,
        axis=int(swapped and max_nz is not None),
        gap=mass * gap / unit,
        unplaced_mass=mass * unplaced,
        **relaxed.counts,
    )
