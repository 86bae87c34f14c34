"""Linear solvers for the systems of implicit differentiation, with one signature.

Each is ``solve(matvec, b)`` as in jaxopt, for JAX arrays and pytrees of them (traceable: under `jit`, `vmap`
and derivatives) and for NumPy and CuPy vectors. With settings bound by `functools.partial` they go into
``solve=`` of `numsolve.implicit.custom_root`, `root_vjp` and the others. None forms the normal equations,
which would square the condition number.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, ParamSpec

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers

from . import _trees
from ._settings import FOREIGN_SETTINGS
from .plain.solve import solve as solve_plain
from .traced.system import solve_system

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._settings import MatVec

P = ParamSpec("P")


def _called_as(model: Callable[P, Any]) -> Callable[[Callable[..., Any]], Callable[P, Any]]:
    """Give a function the signature of another, for callers, type checkers and the documentation."""
    signature = inspect.signature(model)

    def decorate(function: Callable[..., Any]) -> Callable[P, Any]:
        @functools.wraps(function)
        def called(*args: P.args, **settings: P.kwargs) -> Any:
            try:
                signature.bind(*args, **settings)
            except TypeError as error:
                raise TypeError(f"{function.__name__}() {error}") from None
            return function(*args, **settings)

        called.__signature__ = signature  # type: ignore[attr-defined]  # as `inspect` wants it
        return called

    return decorate


@answers(**FOREIGN_SETTINGS)
def solve_dense(
    matvec: MatVec,
    b: Any,
    *,
    transpose: bool = False,
    ridge: float | None = None,
    init: Any = None,
    tol: float | None = None,
    maxiter: int | None = None,
) -> Any:
    """Solve by an LU factorisation; least norm if a pivot is rounding noise.

    The matrix is formed by one product for each unknown. The default up to 2000 unknowns.

    Parameters
    ----------
    matvec : callable or matrix
        The product with a square matrix: a linear function of an object like `b`. For NumPy and CuPy also a
        matrix, dense or sparse, or a `LinearOperator`.
    b : array or pytree of arrays
        The right-hand side. A plain array outside of JAX is a vector (n,).
    transpose : bool
        Solve with the transposed matrix.
    ridge : float, optional
        Added to the diagonal.
    init : like b, optional
        Where an iteration starts, zeros by default; a factorisation has no use for it.
    tol : float, optional
        Relative residual: 1e-10, or 1e-5 in single precision. A factorisation only warns where it is missed
        by more than rounding errors explain.
    maxiter : int, optional
        Products of an iteration, about; ten for each unknown by default.

    Returns
    -------
    like b
        The solution.

    Warns
    -----
    RuntimeWarning
        If the residual is above ten times `tol`.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve.implicit import solve_dense
    >>> A = np.array([[2.0, 1.0], [0.0, 1.0]])
    >>> print(solve_dense(A, np.array([3.0, 1.0])), solve_dense(A, np.array([3.0, 1.0]), transpose=True))
    [1. 1.] [ 1.5 -0.5]
    """
    return _solve("dense", matvec, b, transpose=transpose, ridge=ridge, init=init, tol=tol, maxiter=maxiter)


@answers(**FOREIGN_SETTINGS)
@_called_as(solve_dense)
def solve_cholesky(matvec: MatVec, b: Any, **settings: Any) -> Any:
    """Solve by a Cholesky factorisation, for a symmetric positive definite matrix.

    About half the work of LU. A matrix that is not positive definite raises `numpy.linalg.LinAlgError`
    outside of JAX, and gives nan and a warning within.

    Parameters
    ----------
    matvec, b, transpose, ridge, init, tol, maxiter : object
        As in `numsolve.implicit.solve_dense`.

    Returns
    -------
    like b
        The solution.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve.implicit import solve_cholesky
    >>> print(solve_cholesky(np.array([[4.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0])))
    [0.0909 0.6364]
    """
    return _solve("cholesky", matvec, b, **settings)


@answers(**FOREIGN_SETTINGS)
@_called_as(solve_dense)
def solve_cg(matvec: MatVec, b: Any, **settings: Any) -> Any:
    """Solve by conjugate gradients, for a symmetric definite matrix.

    A negative definite matrix is accepted, too. If the curvature changes its sign, as at a saddle, GMRES goes
    on, with a warning. The default for large symmetric systems.

    Parameters
    ----------
    matvec, b, transpose, ridge, init, tol, maxiter : object
        As in `numsolve.implicit.solve_dense`.

    Returns
    -------
    like b
        The solution.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from numsolve.implicit import solve_cg
    >>> print(solve_cg(lambda v: 2 * v, jnp.array([2.0, 4.0])))
    [1. 2.]
    """
    return _solve("cg", matvec, b, **settings)


@answers(**FOREIGN_SETTINGS)
@_called_as(solve_dense)
def solve_gmres(matvec: MatVec, b: Any, **settings: Any) -> Any:
    """Solve by GMRES, restarted after 50 products.

    For any matrix; the default for large unsymmetric systems.

    Parameters
    ----------
    matvec, b, transpose, ridge, init, tol, maxiter : object
        As in `numsolve.implicit.solve_dense`.

    Returns
    -------
    like b
        The solution.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from numsolve.implicit import solve_gmres
    >>> x = solve_gmres(lambda v: {"a": 2 * v["a"] + v["b"], "b": v["b"]},
    ...                 {"a": jnp.array(3.0), "b": jnp.array(1.0)})
    >>> print(x["a"], x["b"])
    1.0 1.0
    """
    return _solve("gmres", matvec, b, **settings)


@answers(**FOREIGN_SETTINGS)
@_called_as(solve_dense)
def solve_bicgstab(matvec: MatVec, b: Any, **settings: Any) -> Any:
    """Solve by BiCGSTAB.

    For any matrix, with the memory of a few vectors; its residual is not monotone.

    Parameters
    ----------
    matvec, b, transpose, ridge, init, tol, maxiter : object
        As in `numsolve.implicit.solve_dense`.

    Returns
    -------
    like b
        The solution.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve.implicit import solve_bicgstab
    >>> print(solve_bicgstab(np.array([[2.0, 1.0], [0.0, 1.0]]), np.array([3.0, 1.0])))
    [1. 1.]
    """
    return _solve("bicgstab", matvec, b, **settings)


@answers(**FOREIGN_SETTINGS)
@_called_as(solve_dense)
def solve_lsmr(matvec: MatVec, b: Any, **settings: Any) -> Any:
    """Solve by LSMR: the solution of least norm of a singular system, least squares of an inconsistent one.

    It does the work of conjugate gradients on the normal equations, but less error-prone: the matrix is never
    multiplied by its transpose. Its number of steps still grows like the condition number.

    Parameters
    ----------
    matvec, b, transpose, ridge, init, tol, maxiter : object
        As in `numsolve.implicit.solve_dense`.

    Returns
    -------
    like b
        The solution.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve.implicit import solve_lsmr
    >>> print(solve_lsmr(np.array([[1.0, 1.0], [1.0, 1.0]]), np.array([2.0, 2.0])))
    [1. 1.]
    """
    return _solve("lsmr", matvec, b, **settings)


@answers(**FOREIGN_SETTINGS)
def solve_host(
    matvec: MatVec,
    b: Any,
    *,
    transpose: bool = False,
    ridge: float | None = None,
    init: Any = None,
    tol: float | None = None,
    maxiter: int | None = None,
    sparsity: Any = None,
) -> Any:
    """Solve outside of XLA, by LAPACK through NumPy or, with `sparsity`, by SuperLU through SciPy.

    With a pattern, the matrix costs one product for each colour of its columns (a handful for a stencil), so
    that systems of 1e5 unknowns are factorised under `jit`. For NumPy vectors it is the same without JAX.

    Parameters
    ----------
    matvec, b, transpose, ridge, init, tol, maxiter : object
        As in `numsolve.implicit.solve_dense`.
    sparsity : sparse matrix, optional
        Where the matrix may have entries.

    Returns
    -------
    like b
        The solution.

    Examples
    --------
    A tridiagonal matrix, from three products:

    >>> import jax.numpy as jnp, scipy.sparse as sp
    >>> from numsolve.implicit import solve_host
    >>> def laplacian(v):
    ...     return 2 * v - jnp.pad(v[1:], (0, 1)) - jnp.pad(v[:-1], (1, 0))
    >>> pattern = sp.diags_array([1.0, 1.0, 1.0], offsets=[-1, 0, 1], shape=(4, 4))
    >>> print(solve_host(laplacian, jnp.array([1.0, 0.0, 0.0, 1.0]), sparsity=pattern))
    [1. 1. 1. 1.]
    """
    return _solve(
        "host",
        matvec,
        b,
        transpose=transpose,
        ridge=ridge,
        init=init,
        tol=tol,
        maxiter=maxiter,
        sparsity=sparsity,
    )


def _solve(
    method: str,
    matvec: MatVec,
    b: Any,
    *,
    transpose: bool = False,
    ridge: float | None = None,
    init: Any = None,
    tol: float | None = None,
    maxiter: int | None = None,
    sparsity: Any = None,
) -> Any:
    if tol is not None:
        tol = checks.real("tol", tol, low=0.0)
    if maxiter is not None:
        maxiter = checks.integer("maxiter", maxiter, low=1)
    checks.refuse_masked("b", b)
    checks.refuse_masked("matvec", matvec)
    _check_kind(matvec)
    checks.refuse_masked("init", init)
    if ridge is not None and not _trees.has_jax_leaves(ridge):
        ridge = checks.real("ridge", ridge)
    settings: dict[str, Any] = {
        "transpose": checks.flag("transpose", transpose),
        "ridge": ridge,
        "init": init,
        "tol": tol,
        "maxiter": maxiter,
        "sparsity": sparsity,
    }
    if _trees.has_jax_leaves(b):
        product: Callable[[Any], Any] = matvec if callable(matvec) else lambda v: matvec @ v
        return solve_system(method, product, b, **settings)
    xp = arrays.array_namespace(b=b)
    b = checks.array("b", b, xp=xp, ndim=1)
    matvec = _check_matrix(matvec, b, xp)
    if "float64" in str(getattr(matvec, "dtype", "")):  # as a product of the two is
        b = xp.astype(b, xp.float64)
    return solve_plain(method, matvec, b, **settings)


def _check_kind(matvec: Any) -> None:
    """Refuse what is neither a function nor a matrix, and a matrix of complex numbers."""
    if not (callable(matvec) or hasattr(matvec, "shape") or isinstance(matvec, list | tuple)):
        raise TypeError(f"matvec must be a function or a matrix, got {type(matvec).__name__}")
    if "complex" in str(getattr(matvec, "dtype", "")):
        raise TypeError(f"matvec must be real, got {matvec.dtype}")


def _check_matrix(matvec: Any, b: Any, xp: Any) -> Any:
    """A matrix of finite numbers, or a function whose products are checked; its shape is that of b."""
    n = b.shape[0]
    if callable(matvec) and not hasattr(matvec, "shape"):
        return lambda v: _check_product(matvec(v), v, xp)
    sparse, given = arrays.is_sparse(matvec), hasattr(matvec, "shape")
    entries = not given or (not sparse and not arrays.is_operator(matvec))
    matrix = checks.array("matvec", matvec, xp=xp) if entries else matvec
    if tuple(matrix.shape) != (n, n):
        raise ValueError(
            f"matvec must have shape ({n}, {n}), for b of {n} entries; got {tuple(matrix.shape)}"
        )
    if sparse:  # in rows: a product of SciPy's coo_array of shape (1, 1) has no axis
        matrix = matrix.tocsr()
        checks.finite("matvec", matrix.data, xp=xp)
    return matrix


def _check_product(product: Any, v: Any, xp: Any) -> Any:
    """What a function returned: a real vector like v, and finite where v is."""
    finite = bool(xp.all(xp.isfinite(v)))
    return checks.array("the result of matvec", product, xp=xp, shape=tuple(v.shape), check_finite=finite)
