r"""Quadratically regularised transport: sparse plans, to any accuracy.

min <M, T> + (reg/2) ||T||^2   over T >= 0 with row sums a and column sums b,

whose solution is T_ij = max(f_i + g_j - M_ij, 0) / reg (M. Blondel, V. Seguy, A. Rolet, "Smooth and sparse
optimal transport", AISTATS 2018). Newton's method for the potentials is that of D. Lorenz, P. Manns and
C. Meyer, "Quadratically regularized optimal transport", Appl. Math. Optim. 83, 2021, on the semi-dual in f.
How it is brought near the solution, which decides about its speed, is told in `_relaxed`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from numsolve._core import checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits

from ._common import FOREIGN, finished, prepared, presented, start, transposed
from ._relaxed import Relaxed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numsolve._core.typing import ArrayLike, Callback

    from .result import SparseTransportResult


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
