r"""Optimal transport, entropic or exact, for those who want the plan and not a method.

min over P of  <M, P> + reg sum_ij P_ij (log P_ij - 1)   subject to   P 1 = a,  P' 1 = b.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from scipy.sparse import issparse

from numsolve._core import checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits

from ._batch import is_batch, solve_batch
from ._foreign import KEYWORDS, SOLVE, refuse_traced
from ._problem import prepare
from ._small import solve_small
from ._unbalanced import prepare_unbalanced
from .exact import exact
from .newton import newton
from .pattern import solve_pattern
from .sinkhorn import sweep
from .sns import sparse_newton
from .sparse.quadratic import quadratic
from .unbalanced import newton_unbalanced, sweep_unbalanced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numsolve._core.typing import Array, ArrayLike, Callback, Matrix

    from ._problem import Weights
    from .result import TransportResult
    from .sinkhorn import Form

Method = Literal["auto", "newton", "sinkhorn", "sinkhorn_log", "sinkhorn_overrelaxed", "sns"]
METHODS = get_args(Method)


@answers(
    **KEYWORDS,
    c="the reference of the entropy is a b' always",
    lazy="costs that are never stored are for solve_sample",
    batch_size="costs that are never stored are for solve_sample",
)
def solve(
    M: Matrix,
    a: Weights = None,
    b: Weights = None,
    reg: float | Sequence[float] | Array | None = None,
    *,
    method: Method = "auto",
    reg_type: Literal["KL", "L2", "none"] = "KL",
    unbalanced: float | Sequence[float] | Array | None = None,
    unbalanced_type: Literal["KL"] = "KL",
    tol: float = 1e-9,
    maxiter: int | None = None,
    potentials_init: Sequence[ArrayLike] | None = None,
    return_plan: bool = True,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> TransportResult:
    r"""Solve optimal transport, for any regularisation, none too, and to any accuracy, without tuning.

    Finds the plan P that minimises ``sum(P * M) + reg * sum(P * (log(P) - 1))`` among those with row sums
    `a` and column sums `b`. The default is Newton's method on the semi-dual, with conjugate gradients and a
    falling sequence of regularisations: tens of steps where the Sinkhorn iteration takes thousands.

    Parameters
    ----------
    M : array of shape (n, m) or (B, n, m), or sparse matrix of shape (n, m)
        Cost, in any unit; ``+inf`` forbids a pair. A third axis makes it a batch of B problems, of which
        each is solved until it meets the tolerance. Of a `scipy.sparse` matrix, what is not stored is
        forbidden; it may be combined with neither `unbalanced`, "L2", nor the comparison methods.
    a : array of shape (n,) or (B, n), optional
        Weights of the source, nonnegative, of any sum; None or an empty list for ``1 / n`` each.
    b : array of shape (m,) or (B, m), optional
        Weights of the target, of the same sum; None or an empty list for ``1 / m`` each. What has no axis
        for the batch is shared by its problems.
    reg : float, or array of shape (B,)
        Regularisation in the unit of `M`. The plan is sharp when it is small against the differences of the
        cost: 1e-1 to 1e-5 of the cost's range are usual. Zero is for exact transport. An array of shape (B,)
        has one for each problem of a batch, all positive; `M`, `a` and `b` may then be shared by all.
    method : {"auto", "newton", "sinkhorn", "sinkhorn_log", "sinkhorn_overrelaxed", "sns"}
        "auto" is "newton", and makes the same steps in one compiled call where the cost has at most 2500
        entries and nobody watches (no callback, limit, or progress bar): answers then agree to the tolerance,
        not to the last bit. The others are the published methods with their default parameters, for
        comparison: plain Sinkhorn, plain Sinkhorn by log-sum-exp, over-relaxed Sinkhorn, and
        Sinkhorn-Newton-Sparse. They converge to the same plan where they converge.
    reg_type : {"KL", "L2", "none"}
        The regulariser: the entropy of the plan, or half its sum of squares, which makes plans with exact
        zeros, see `numsolve.transport.quadratic`; or none, which is the same as ``reg=0``.
    unbalanced : float or pair of float, optional
        What a deviation of the row sums from `a` and of the column sums from `b` costs, in the unit of `M`;
        ``inf`` on a side meets its marginal. By default both are met, and `a` and `b` have the same sum.
    unbalanced_type : {"KL"}
        How deviations are measured: by the Kullback-Leibler divergence, see
        `numsolve.transport.sinkhorn_unbalanced`.
    tol : float
        Largest error of the marginals in the 1-norm, rows and columns together, relative to the mass. Exact
        transport also brings the gap of the `bounds` down to rounding errors, whatever `tol` is.
    maxiter : int, optional
        Largest number of iterations; 1000 Newton steps, 10 000 sweeps.
    potentials_init : tuple of array, optional
        Where to start, as the `potentials` of an earlier result.
    return_plan : bool
        Whether the result holds the plan.
    callback : callable, optional
        Called after each iteration with the potentials, or with an ``intermediate_result`` if its parameter
        has that name; returning True stops the run.
    progress : bool
        Show a progress bar.
    time_limit : float, optional
        Seconds, those of the preparation included. When it is over, large problems get no `bounds`.

    Returns
    -------
    TransportResult
        With `plan`, `potentials`, `value`, `value_linear`, `kl`, `marginal_error`, `bounds`, the counters
        `nsinkhorn`, `nnewton` and `ncg`, and `reg_path`. For a batch each of them, and `status`, has a first
        axis for the problems; `callback`, `progress` and `time_limit` then go from problem to problem. For a
        sparse M a `numsolve.transport.PatternResult`, whose plan is a `scipy.sparse.csr_array`.

    Raises
    ------
    ValueError
        If an argument has the wrong shape or range, or if `M` forbids every pair of a row or column.
    TypeError
        If an array is complex or masked, or the arrays come from different libraries.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached, or if the allowed pairs admit no plan
        (``status=Status.INFEASIBLE``); the result is the best iterate.

    See Also
    --------
    numsolve.transport.sinkhorn : The Sinkhorn iteration in four forms, with over-relaxation.
    numsolve.transport.sinkhorn_newton_sparse : The published sparse Newton method.

    Notes
    -----
    Float32 arrays in NumPy are computed with in float64; plan and potentials come back as float32.
    With ``reg=0`` a plan is found on few pairs, by SciPy's assignment solver or a network simplex method; its
    prices are checked on all, and pairs added, until they certify it (``result.bounds``). The first pairs are
    those of the order of points on a line, or of groups of near points, or all of a small problem; where the
    costs have neither, or forbid pairs, or `potentials_init` is given, those that the entropic solution at a
    small `reg` leaves. `value` and `value_linear` are the least cost, and the history has the gap of these
    rounds. With ``M = D**p`` for distances D and masses of one, ``value ** (1 / p)`` is the Wasserstein
    distance of order p, for p = 1 the earth mover's distance. Such a plan jumps as the data change, and has
    no `vjp`. Where several plans are optimal, it is one of those with at most n + m - 1 pairs.

    References
    ----------
    M. Cuturi, G. Peyré, "A smoothed dual approach for variational Wasserstein problems", SIAM J. Imaging
    Sci. 9, 2016.
    X. Tang et al., "Accelerating Sinkhorn algorithm with sparse Newton iterations", ICLR 2024.

    Examples
    --------
    >>> from numsolve import transport
    >>> M, a, b = transport.problems.random_assignment(200, rng=0)
    >>> result = transport.solve(M, a, b, reg=1e-3)
    >>> result.success, result.marginal_error < 1e-9
    (True, True)
    >>> bool(abs(result.plan.sum(axis=1) - a).sum() < 1e-9)
    True

    Without regularisation, where the plan of an assignment is a permutation:

    >>> exact = transport.solve(M, a, b, reg=0)
    >>> int((exact.plan > 0).sum()), exact.value < result.value_linear
    (200, True)
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    checks.choice("method", method, METHODS, foreign=SOLVE)
    foreign = {"kl": 'write "KL"', "l2": 'write "L2"'}
    checks.choice("reg_type", reg_type, ("KL", "L2", "none"), foreign=foreign)
    if reg_type == "none":
        reg = 0.0 if reg is None else reg
    if reg is None:
        raise ValueError("reg must be given: a positive number in the unit of M, or 0 for exact transport")
    refuse_traced(reg=reg)
    several = isinstance(reg, list | tuple) or getattr(reg, "ndim", 0) == 1
    strengths = _regs(reg) if several else checks.real("reg", reg, low=0.0)
    strength = float(np.min(strengths, initial=np.inf)) if several else float(strengths)
    if strength > 0.0 and reg_type == "none":
        raise ValueError(f'reg must be 0 or left out with reg_type="none", got {strength}')
    if strength == 0.0:
        checks.choice("method", method, ("auto",))
        if unbalanced is not None:
            raise ValueError(
                "reg must be positive for unbalanced transport, got 0: exact is what is balanced"
            )
    if unbalanced is not None:
        checks.choice("unbalanced_type", unbalanced_type, ("KL",), foreign={"kl": 'write "KL"'})
        checks.choice("method", method, ("auto", "newton", "sinkhorn"))
        checks.choice("reg_type", reg_type, ("KL",))
    if reg_type == "L2":
        checks.choice("method", method, ("auto",))
    entropic = reg_type == "KL" and strength > 0.0
    compiled = entropic and unbalanced is None and method in {"auto", "newton"}
    settings: dict[str, Any] = {
        "tol": checks.real("tol", tol, low=0.0),
        "potentials_init": potentials_init,
        "return_plan": checks.flag("return_plan", return_plan),
    }

    if issparse(M):
        checks.choice("method", method, ("auto", "newton"))
        if several:
            raise ValueError("reg must be one number where M is a sparse matrix")
        for name, wrong in (("unbalanced", unbalanced is not None), ("reg_type", reg_type == "L2")):
            if wrong:
                raise ValueError(f"{name} is for dense costs: of a sparse M, what is not stored is forbidden")
        return solve_pattern(M, a, b, strength, limits, **settings)

    def one(
        M: ArrayLike, a: Weights, b: Weights, strength: float, limits: Limits, **settings: Any
    ) -> TransportResult:
        if strength == 0.0:
            return exact(prepare(M, a, b, 0.0, exact=True), limits, **settings)
        if compiled:
            return newton(prepare(M, a, b, strength), limits, **settings)
        if unbalanced is not None and method != "sinkhorn":
            return newton_unbalanced(prepare_unbalanced(M, a, b, strength, unbalanced), limits, **settings)
        if unbalanced is not None:
            prepared = prepare_unbalanced(M, a, b, strength, unbalanced)
            return sweep_unbalanced(prepared, limits, **settings)
        if reg_type == "L2":
            return quadratic(a, b, M, strength, **as_settings(limits), **settings)
        if method == "sns":
            return sparse_newton(prepare(M, a, b, strength), limits, **settings)
        form: Form = "log" if method == "sinkhorn_log" else "auto"
        weight = None if method == "sinkhorn_overrelaxed" else 1.0
        return sweep(prepare(M, a, b, strength), limits, method=form, weight=weight, **settings)

    if not is_batch(M, a, b, strengths):
        small = None
        if compiled and method == "auto" and potentials_init is None:
            small = solve_small(M, a, b, strength, limits, tol=settings["tol"], return_plan=return_plan)
        return one(M, a, b, strength, limits, **settings) if small is None else small
    return solve_batch(one, M, a, b, strengths, limits, compiled=compiled, **settings)


def _regs(reg: ArrayLike) -> Array:
    """One regularisation for each problem of a batch."""
    regs: Array = checks.array("reg", reg, xp=np, ndim=1, dtype=np.float64)
    if not (regs > 0).all():
        i = int(np.argmin(regs))
        raise ValueError(f"reg must be positive for each problem of a batch, got {regs[i]:g} at {i}")
    return regs


def as_settings(limits: Limits) -> dict[str, Any]:
    """The arguments of a public function that these limits came from, with the seconds that are left."""
    left = None if limits.deadline == math.inf else limits.seconds_left
    return {
        "maxiter": limits.maxiter,
        "callback": limits.callback,
        "progress": limits.progress,
        "time_limit": left,
    }
