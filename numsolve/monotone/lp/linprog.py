"""Linear programs with the arguments and the result of `scipy.optimize.linprog`."""

from __future__ import annotations

import functools
import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers
from numsolve.monotone.result import LinprogResult, LPResult, Marginals

from .pdhg import solve_lp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numsolve._core.typing import Array, ArrayLike, Callback, Matrix, Namespace

    Pair = tuple[float | None, float | None]

OPTIONS = ("tol", "maxiter", "disp", "time_limit", "presolve")
#: SciPy's methods, which its callers name; there is one here.
METHODS = ("highs", "highs-ds", "highs-ipm", "interior-point", "revised simplex", "simplex")
#: What SciPy's options are here.
THEIR_OPTIONS = {
    "primal_feasibility_tolerance": "it is called 'tol' here, for primal and dual alike",
    "dual_feasibility_tolerance": "it is called 'tol' here, for primal and dual alike",
    "ipm_optimality_tolerance": "it is called 'tol' here",
    "mip_rel_gap": "variables are continuous here",
    "maxfev": "it is called 'maxiter' here",
}


@answers(
    rtol="tol",
    atol="tol",
    integrality="the variables are continuous here; scipy.optimize.milp takes integers",
)
def linprog(
    c: ArrayLike,
    A_ub: Matrix | None = None,
    b_ub: ArrayLike | None = None,
    A_eq: Matrix | None = None,
    b_eq: ArrayLike | None = None,
    bounds: Pair | Sequence[Pair] | Array | None = (0, None),
    method: str | None = None,
    *,
    tol: float | None = None,
    x0: ArrayLike | tuple[ArrayLike, ArrayLike] | LPResult | None = None,
    options: Mapping[str, float] | None = None,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> LinprogResult:
    """Minimise ``c'x`` subject to ``A_ub x <= b_ub``, ``A_eq x = b_eq`` and bounds, as SciPy's does.

    The method is that of `solve_lp`. SciPy's own methods give vertices to nearly all digits, and on programs
    of moderate size they are faster.

    Parameters
    ----------
    c : array of shape (n,)
        The cost.
    A_ub : array or sparse matrix of shape (k, n), optional
        The inequalities.
    b_ub : array of shape (k,), optional
        Their right-hand side.
    A_eq : array or sparse matrix of shape (l, n), optional
        The equations.
    b_eq : array of shape (l,), optional
        Their right-hand side.
    bounds : pair, or sequence of n pairs, optional
        Lower and upper bound of all variables or of each; None in a pair is no bound. By default, and if it
        is None, all variables are nonnegative.
    method : str, optional
        Any of SciPy's names, so that its callers need not change: there is one method here, that of
        `solve_lp`.
    tol : float, optional
        Largest relative primal residual, dual residual and gap, 1e-6 by default.
    x0 : array, pair (x, y) or LPResult, optional
        Where to start; zeros by default.
    options : dict, optional
        SciPy's way to give `tol`, `maxiter`, `time_limit`, `presolve`, and "disp" for `progress`.
    maxiter, callback, progress, time_limit : optional
        As in `solve_lp`. A callback that wants SciPy's fields calls its parameter ``intermediate_result``.

    Returns
    -------
    LinprogResult
        SciPy's `x`, `fun`, `slack`, `con`, `success`, `status`, `message`, `nit`, `ineqlin`, `eqlin`, `lower`
        and `upper`, as attributes or by name, and the fields of `LPResult`. Where SciPy gives None for the x
        of an infeasible or unbounded program, this is the best one tried, with ``success=False``.

    Raises
    ------
    ValueError
        If an argument has the wrong shape, or is not finite where it must be.
    TypeError
        If an array is complex, or the arrays come from different libraries.

    Warns
    -----
    ConvergenceWarning
        If the program was not solved: it is infeasible, unbounded, or took too long.

    See Also
    --------
    numsolve.monotone.solve_lp : Rows with two bounds each, batches, polishing, certificates.

    Examples
    --------
    The first example of SciPy's page:

    >>> from numsolve import monotone
    >>> result = monotone.linprog(
    ...     [-1, 4], A_ub=[[-3, 1], [1, 2]], b_ub=[6, 4], bounds=[(None, None), (-3, None)]
    ... )
    >>> round(result.fun, 3), result.x.round(3), result["ineqlin"].marginals.round(3)
    (-22.0, array([10., -3.]), array([ 0., -1.]))
    """
    if method is not None:
        checks.choice("method", method, METHODS)
    chosen = _options(options)
    xp = arrays.array_namespace(c=c, A_ub=A_ub, b_ub=b_ub, A_eq=A_eq, b_eq=b_eq)
    cost = checks.array("c", c, xp=xp, ndim=1)
    n = cost.shape[0]
    A_ub, b_ub = _rows("ub", A_ub, b_ub, cost, xp)
    A_eq, b_eq = _rows("eq", A_eq, b_eq, cost, xp)
    lx, ux = (xp.asarray(v, dtype=cost.dtype) for v in _bounds(bounds, n))
    result = solve_lp(
        cost,
        _stacked(xp, A_ub, A_eq),
        xp.concat([xp.full_like(b_ub, -float("inf")), b_eq]),
        xp.concat([b_ub, b_eq]),
        lx,
        ux,
        tol=chosen.get("tol", 1e-6) if tol is None else tol,
        x0=x0,
        presolve=bool(chosen.get("presolve", False)),
        maxiter=chosen.get("maxiter") if maxiter is None else maxiter,
        callback=_answering(callback),
        progress=progress or bool(chosen.get("disp", False)),
        time_limit=chosen.get("time_limit") if time_limit is None else time_limit,
    )
    k, r, x = b_ub.shape[0], result.reduced_costs, result.x
    slack, con = b_ub - A_ub @ x, b_eq - A_eq @ x
    zero = xp.zeros_like(r)
    return LinprogResult(
        **{field.name: getattr(result, field.name) for field in fields(LPResult)},
        slack=slack,
        con=con,
        ineqlin=Marginals(residual=slack, marginals=result.y[:k]),
        eqlin=Marginals(residual=con, marginals=result.y[k:]),
        lower=Marginals(residual=x - lx, marginals=xp.maximum(r, zero)),
        upper=Marginals(residual=ux - x, marginals=xp.minimum(r, zero)),
    )


def _options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """The options that are taken here; what SciPy's others are called."""
    if options is not None and not (hasattr(options, "keys") and hasattr(options, "__getitem__")):
        raise TypeError(f"options must be a dict, got {options!r}")
    chosen = dict(options or {})
    for name in chosen:
        if name not in OPTIONS:
            hint = f"; {THEIR_OPTIONS[name]}" if name in THEIR_OPTIONS else ""
            raise ValueError(f"options may hold {', '.join(map(repr, OPTIONS))}; got {name!r}{hint}")
    return chosen


def _answering(callback: Callback | None) -> Callback | None:
    """A callback written for SciPy, whose parameter has fields, is told how to get them here."""
    if not callable(callback):
        return callback  # `solve_lp` says what is wanted

    @functools.wraps(callback)
    def called(x: Any) -> object:
        try:
            return callback(x)
        except AttributeError as error:
            if error.obj is not x or not hasattr(x, "__array_namespace__"):
                raise
            raise TypeError(
                f"callback is given the array x, which has no {error.name!r}; call its parameter "
                "intermediate_result to be given an object with x, nit, residual and the like"
            ) from error

    return called


def _rows(kind: str, A: Any, b: Any, c: Array, xp: Namespace) -> tuple[Any, Array]:
    """Rows and their right-hand side; no rows if both are None."""
    name_A, name_b, n = f"A_{kind}", f"b_{kind}", c.shape[0]
    if (A is None) != (b is None):
        raise ValueError(f"{name_A} and {name_b} must be given together")
    if A is None:
        return xp.zeros((0, n), dtype=c.dtype), xp.zeros(0, dtype=c.dtype)
    A = checks.csr(name_A, A) if arrays.is_sparse(A) else checks.array(name_A, A, xp=xp, ndim=2)
    if A.shape[1] != n:
        raise ValueError(
            f"{name_A} must have {n} columns, one for each entry of c, got shape {tuple(A.shape)}"
        )
    b = checks.array(name_b, b, xp=xp, check_finite=True)
    if math.prod(b.shape) != A.shape[0]:
        raise ValueError(f"{name_b} must have {A.shape[0]} entries, got shape {tuple(b.shape)}")
    return A, xp.reshape(b, (-1,))


def _stacked(xp: Namespace, A_ub: Matrix, A_eq: Matrix) -> Any:
    """Both kinds of rows as one matrix."""
    if not (arrays.is_sparse(A_ub) or arrays.is_sparse(A_eq)):
        return xp.concat([A_ub, A_eq])
    from scipy.sparse import csr_array, vstack

    return vstack([csr_array(A_ub), csr_array(A_eq)], format="csr")


def _bounds(bounds: Any, n: int) -> tuple[Array, Array]:
    """Lower and upper bounds of the variables, from any of SciPy's forms."""
    wanted = f"bounds must be a pair (low, high), or {n} of them, one for each entry of c"
    if bounds is None:
        bounds = (0, None)
    checks.refuse_masked("bounds", bounds)
    try:
        table = np.array(arrays.to_host(bounds) if hasattr(bounds, "dtype") else bounds, dtype=object)
        low, high = np.broadcast_to(table, (n, 2)).T if table.shape in {(2,), (1, 2)} else table.T
        low = np.array([-np.inf if v is None else v for v in low], dtype=float)
        high = np.array([np.inf if v is None else v for v in high], dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{wanted}; got {bounds!r}") from error
    if low.shape != (n,) or np.isnan(low).any() or np.isnan(high).any():
        raise ValueError(f"{wanted}; got {bounds!r}")
    return low, high
