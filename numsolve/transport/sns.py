r"""The Sinkhorn-Newton-Sparse method, as published.

X. Tang, M. Shavlovsky, H. Rahmanian, E. Tardini, K. Thekumparampil, T. Xiao, L. Ying, "Accelerating
Sinkhorn algorithm with sparse Newton iterations", ICLR 2024. With eta = 1 / eps it maximises the dual

    D(f, g) = a.f + b.g - eps sum_ij P_ij,          P_ij = exp((f_i + g_j - M_ij) / eps),            (1)

first by `n_sinkhorn` sweeps of the Sinkhorn iteration, then by Newton steps. The Hessian is

    -(1/eps) [diag(P 1)  P ; P'  diag(P' 1)],                                                        (2)

and its off-diagonal block P keeps only its largest entries: those not below rho, where rho is the
``ceil(density * n * m)``-th largest. The diagonal is that of the full plan. The systems are solved by
conjugate gradients without a preconditioner, and the step is halved until D rises enough.

One departure: the constant direction (1, -1), in which D does not change, is projected out of the
right-hand side, where the paper adds a term to D that makes it curved.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.result import Status

from ._foreign import KEYWORDS
from ._problem import prepare, quiet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numsolve._core.typing import Array, ArrayLike, Callback, Kernels, Namespace

    from ._problem import Problem, Weights
    from .result import TransportResult


@answers(**KEYWORDS, method="there is one method here; solve(method=...) has the others")
def sinkhorn_newton_sparse(
    a: Weights,
    b: Weights,
    M: ArrayLike,
    reg: float,
    *,
    n_sinkhorn: int = 20,
    density: float | None = None,
    rho: float | None = None,
    tol: float = 1e-9,
    potentials_init: Sequence[ArrayLike] | None = None,
    return_plan: bool = True,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> TransportResult:
    """Solve entropic optimal transport by the published Sinkhorn-Newton-Sparse method.

    It is here for comparison with the paper. Its two parameters decide whether it converges, and no
    proof says how to choose them; `numsolve.transport.solve` has none.

    Parameters
    ----------
    a : array of shape (n,), or None
        Weights of the source, nonnegative; None or an empty list for uniform ones.
    b : array of shape (m,), or None
        Weights of the target, of the same sum as `a`.
    M : array of shape (n, m)
        Cost; ``+inf`` forbids a pair.
    reg : float
        Regularisation, positive, in the unit of `M`.
    n_sinkhorn : int
        Sweeps of the Sinkhorn iteration before the first Newton step. The paper takes 20, and 700 where
        the exact problem has many solutions.
    density : float, optional
        Share of the entries of the plan that the Hessian keeps, in (0, 1]. The default ``2 / max(n, m)``
        is the paper's for a unique exact solution; it takes ``15 / n`` for many.
    rho : float, optional
        Keep the entries of the plan, scaled to mass one, that are not below this number, instead.
    tol : float
        Largest error of the marginals in the 1-norm, rows and columns together, relative to the mass.
    potentials_init, return_plan
        As in `numsolve.transport.solve`.
    maxiter, callback, progress, time_limit
        As in `numsolve.transport.solve`; sweeps and Newton steps count, 1000 together by default.

    Returns
    -------
    TransportResult
        With `plan`, `potentials`, `value`, `value_linear`, `kl`, `marginal_error`, `nsinkhorn`, `nnewton`
        and `ncg`. The history has a column ``newton``: 0 for a sweep, 1 for a Newton step.

    Raises
    ------
    ValueError
        If an argument has the wrong shape or range; the message says which and what is wanted.
    TypeError
        If an array is complex, or the arrays come from different libraries.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached; the result is the best iterate.

    See Also
    --------
    numsolve.transport.solve : Newton's method without parameters.

    References
    ----------
    X. Tang et al., "Accelerating Sinkhorn algorithm with sparse Newton iterations", ICLR 2024.

    Examples
    --------
    >>> from numsolve import transport
    >>> M, a, b = transport.problems.random_assignment(50, rng=0)
    >>> result = transport.sinkhorn_newton_sparse(a, b, M, reg=0.01, density=0.3)
    >>> result.success, result.nsinkhorn, result.nnewton < 15
    (True, 20, True)
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    n_sinkhorn = checks.integer("n_sinkhorn", n_sinkhorn, low=0)
    if density is not None and rho is not None:
        raise ValueError("density and rho both say what the Hessian keeps: give one of them")
    if rho is not None:
        rho = checks.real("rho", rho, low=0.0)
    elif density is not None:
        density = checks.real("density", density, low=0.0, high=1.0, open_low=True)
    tol = checks.real("tol", tol, low=0.0)
    return_plan = checks.flag("return_plan", return_plan)
    return sparse_newton(
        prepare(M, a, b, reg),
        limits,
        tol=tol,
        potentials_init=potentials_init,
        return_plan=return_plan,
        n_sinkhorn=n_sinkhorn,
        density=density,
        rho=rho,
    )


def sparse_newton(
    problem: Problem,
    limits: Limits,
    *,
    tol: float,
    potentials_init: Sequence[ArrayLike] | None,
    return_plan: bool,
    n_sinkhorn: int = 20,
    density: float | None = None,
    rho: float | None = None,
) -> TransportResult:
    """Solve a prepared problem."""
    if density is None:
        density = min(1.0, 2 / max(problem.M.shape))
    xp, M, reg, a, b = problem.xp, problem.M, problem.reg, problem.a, problem.b
    k = arrays.kernels_for(xp, __package__)
    log_a, log_b = xp.log(a), xp.log(b)
    f, g = problem.start(potentials_init)
    nnewton = ncg = 0
    with problem.monitor("Sinkhorn-Newton-Sparse", limits, tol, 1000, columns=("newton",)) as it:
        with quiet():
            g = g + reg * (log_b - k.log_column_sums(M, f, g, reg))
            P = k.plan(M, f, g, reg)
            r, c = xp.sum(P, axis=1), xp.sum(P, axis=0)
        it.record(_l1(xp, r - a) + _l1(xp, c - b), (f, g), newton=0)
        for step in it:
            if step <= n_sinkhorn:
                with quiet():
                    f = f + reg * (log_a - k.log_row_sums(M, f, g, reg))
                    g = g + reg * (log_b - k.log_column_sums(M, f, g, reg))
            else:
                P_sparse = _largest(xp, P, density, rho)
                df, dg, steps = _newton_direction(xp, P_sparse, r, c, a - r, b - c, limits)
                t = _line_search(k, problem, f, g, df, dg, r, c, limits)
                if t == 0.0 and not limits.expired:
                    it.stop(
                        Status.STAGNATED, "No step along the sparsified Newton direction raises the dual."
                    )
                f, g = f + t * reg * df, g + t * reg * dg
                nnewton, ncg = nnewton + 1, ncg + steps
            P = k.plan(M, f, g, reg)
            r, c = xp.sum(P, axis=1), xp.sum(P, axis=0)
            it.record(_l1(xp, r - a) + _l1(xp, c - b), (f, g), newton=step > n_sinkhorn)

    counts = {"nsinkhorn": it.nit - nnewton, "nnewton": nnewton, "ncg": ncg}
    return problem.result(it, k.plan(M, *it.x, reg), it.x, return_plan, **counts)


def _largest(xp: Namespace, P: Array, density: float, rho: float | None) -> Array:
    """Return the plan without its small entries: sparse where the library has sparse matrices of SciPy."""
    if rho is None:
        count = math.ceil(density * P.shape[0] * P.shape[1])
        flat = xp.reshape(P, (-1,))
        ordered = np.partition(flat, -count) if arrays.is_numpy(xp) else xp.sort(flat)
        rho = float(ordered[-count])
    if not arrays.is_numpy(xp):
        out: Array = xp.where(P >= rho, P, xp.zeros_like(P))
        return out
    from scipy.sparse import csr_array

    i, j = np.nonzero(P >= rho)
    return csr_array((P[i, j], (i, j)), shape=P.shape)  # type: ignore[no-any-return]


def _newton_direction(
    xp: Namespace,
    P: Array,
    r: Array,
    c: Array,
    rhs_f: Array,
    rhs_g: Array,
    limits: Limits,
    rtol: float = 1e-8,
) -> tuple[Array, Array, int]:
    """Solve [diag(r) P; P' diag(c)] (df, dg) = (rhs_f, rhs_g) by conjugate gradients, and count the steps."""
    # The constant direction (1, -1) carries no information.
    shift = (xp.sum(rhs_f) - xp.sum(rhs_g)) / (rhs_f.shape[0] + rhs_g.shape[0])
    s, t = rhs_f - shift, rhs_g + shift
    x, y = xp.zeros_like(s), xp.zeros_like(t)
    p, q = s, t
    rho = float(xp.sum(s * s) + xp.sum(t * t))
    stop = rtol**2 * rho
    step, limit = 0, 10 * (r.shape[0] + c.shape[0])
    while rho > stop and step < limit and not limits.expired:
        step += 1
        u, v = r * p + P @ q, P.T @ p + c * q  # (2)
        curvature = float(xp.sum(p * u) + xp.sum(q * v))
        if not curvature > 1e-13 * float(xp.sum(r * p * p) + xp.sum(c * q * q)):
            break  # few entries can leave blocks without a connection, and one more null vector for each
        alpha = rho / curvature
        x, y, s, t = x + alpha * p, y + alpha * q, s - alpha * u, t - alpha * v
        rho, old = float(xp.sum(s * s) + xp.sum(t * t)), rho
        p, q = s + (rho / old) * p, t + (rho / old) * q
    return x, y, step


def _line_search(
    k: Kernels,
    problem: Problem,
    f: Array,
    g: Array,
    df: Array,
    dg: Array,
    r: Array,
    c: Array,
    limits: Limits,
) -> float:
    """Halve the step (in units of eps) until the dual rises by 1e-4 of what its slope promises; 0 if never.

    Near the solution the rise is lost in rounding, and the fall of the error takes its place.
    """
    xp, M, reg, a, b = problem.xp, problem.M, problem.reg, problem.a, problem.b
    slope = float(xp.sum((a - r) * df) + xp.sum((b - c) * dg))
    mass, along = float(xp.sum(r)), float(xp.sum(a * df) + xp.sum(b * dg))
    error = _l1(xp, a - r) + _l1(xp, b - c)
    by_error = slope < 100 * float(xp.finfo(M.dtype).eps) * mass
    t = 1.0
    for _ in range(30):
        if limits.expired:
            break
        f_t, g_t = f + t * reg * df, g + t * reg * dg
        with np.errstate(over="ignore"):
            r_t = k.plan_row_sums(M, f_t, g_t, reg)
            # (D(t) - D(0)) / eps; the mass is all that needs the plan.
            rise = t * along - (float(xp.sum(r_t)) - mass)  # (1)
        if by_error:
            c_t = k.plan_column_sums(M, f_t, g_t, reg)
            if _l1(xp, a - r_t) + _l1(xp, b - c_t) < (1 - 1e-4 * t) * error:
                return t
        elif rise >= 1e-4 * t * slope:
            return t
        t /= 2
    return 0.0


def _l1(xp: Namespace, x: Array) -> float:
    return float(xp.sum(xp.abs(x)))
