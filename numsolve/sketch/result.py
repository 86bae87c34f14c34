"""What the solvers of this column return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numsolve._core.result import Result

if TYPE_CHECKING:
    from numsolve._core.typing import Array


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LinearResult(Result):
    """The solution of a linear system by `numsolve.sketch.sketch_project`.

    Attributes
    ----------
    x : array of shape (n,)
        The solution, or the best iterate.
    residual : float
        ``||A x - b||``, computed from `x` at the end.
    rhs_norm : float
        ``||b||``.
    """

    x: Array
    rhs_norm: float = float("nan")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LstsqResult(Result):
    """A least-squares solution with its certificate.

    Attributes
    ----------
    x : array of shape (d,) or (d, k)
        The solution; the one of least norm where the matrix has not full rank.
    residual : float
        The certificate: the relative change of A that makes `x` an exact least-squares solution, the largest
        over the right-hand sides, computed anew from A, b and `x`.
    rank : int
        The numerical rank.
    cond : float
        The condition number, from the sketch: right up to a factor of about two.
    residual_norm : float or array of shape (k,)
        ``||b - A x||``.
    error_estimate : float
        ``||x - x*|| / ||x*||`` for the exact solution x*, without the singular values that were dropped,
        estimated from a further step, the rounding errors and the certificate; infinite where the change of A
        that this allows may make it singular.
    sketch_size : int
        Rows of the sketch.
    method : str
        What solved the problem.
    """

    x: Array
    rank: int = 0
    cond: float = float("nan")
    residual_norm: Any = float("nan")  # a float, or an array of them
    error_estimate: float = float("nan")
    sketch_size: int = 0
    method: str = ""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SketchResult(Result):
    """A solution of a minimisation, with its multipliers.

    Attributes
    ----------
    x : array of shape (n,)
        The solution, or the best iterate.
    fun : float
        The objective at `x`.
    lam : array of shape (m,)
        The multipliers: the gradient of the Lagrangian is ``grad f + G' lam``.
    residual : float
        The KKT residual ``||(grad f + G' lam, c)||`` in the user's own units, computed anew at `x`.
    scaled_residual : float
        The larger of ``max |grad f + G' lam|`` over ``max(1, max |grad f|, max |G' lam|)`` and of the
        constraints' equations ``|c_i|`` over ``max(1, ||grad c_i||)``.
    optimality, constr_violation : float
        ``max |grad f + G' lam|`` and ``max |c|``.
    nfev, njev, nhev, ninner : int
        Evaluations of the objective with the constraints, of their derivatives, of Hessians or products with
        them, and steps of the inner solver: a factorisation counts as one.
    inner : str
        The inner solver.
    eta1, eta2 : float
        The penalties of the exact augmented Lagrangian at the end.
    """

    x: Array
    fun: float = float("nan")
    lam: Any = ()
    scaled_residual: float = float("nan")
    optimality: float = float("nan")
    constr_violation: float = float("nan")
    nfev: int = 0
    njev: int = 0
    nhev: int = 0
    ninner: int = 0
    inner: str = ""
    eta1: float = float("nan")
    eta2: float = float("nan")
