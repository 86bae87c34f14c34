"""Linear solvers for traced operators: JAX arrays or pytrees of them, under `jit`, `vmap` and derivatives.

Each takes ``matvec`` as a function and answers ``(x, residual, scale)``; `solve` compares the last two and
warns. Nothing here is differentiated: `jax.lax.custom_linear_solve` differentiates the equation instead.
"""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _report

if TYPE_CHECKING:
    from collections.abc import Callable

#: Unknowns up to which a matrix is formed and factorised, and up to which nothing else is tried before.
DENSE_UP_TO = 2000
DENSE_AT_ONCE_UP_TO = 300


def solve(
    method: str,
    matvec: Callable[[Any], Any],
    b: Any,
    *,
    transpose: bool = False,
    ridge: float | None = None,
    init: Any = None,
    tol: float | None = None,
    maxiter: int | None = None,
    sparsity: Any = None,
) -> Any:
    """Solve matvec(x) = b by a method of `METHODS`, and warn of a residual above ten times `tol`."""
    jax, jnp = _jax()
    from jax.flatten_util import ravel_pytree

    flat, unravel = ravel_pytree(b)
    n = flat.size
    if n == 0:
        return b
    A = _Operator(jax, lambda v: ravel_pytree(matvec(unravel(v)))[0], n, flat.dtype, transpose, ridge)
    tol = default_tol(flat.dtype) if tol is None else tol
    x0 = jnp.zeros_like(flat) if init is None else ravel_pytree(init)[0].astype(flat.dtype)
    if sparsity is not None:
        x = _sparse_host(A, flat, sparsity)
        residual, scale = _residual(A, x, flat)
    else:
        x, residual, scale = METHODS[method](A, flat, x0, tol, 10 * n if maxiter is None else maxiter)

    def amend(x: Any) -> Any:
        if method == "dense" and sparsity is None:
            x, residual, scale = _least_norm(A, flat)
        else:
            residual, scale = was
        return _say(
            functools.partial(_report.linear, method=method),
            ~(residual <= 10 * tol * scale),
            residual / scale,
            x,
        )

    was = residual, scale
    return unravel(_where(~(residual <= 10 * tol * scale), amend, x))


def default_tol(dtype: Any) -> float:
    """1e-10 in double precision, 1e-5 in single."""
    return 1e-5 if str(dtype).endswith("32") else 1e-10


def automatic(symmetric: bool, n: int) -> str:
    """The method of solve="auto": a factorisation as long as the matrix is small."""
    if n <= DENSE_UP_TO:
        return "dense" if n <= DENSE_AT_ONCE_UP_TO else "hybrid"
    return "cg" if symmetric else "gmres"


class _Operator:
    """A square matrix known by its products, or the transposed one, with ``ridge`` on its diagonal."""

    def __init__(self, jax: Any, matvec: Any, n: int, dtype: Any, transpose: bool, ridge: float | None):
        self.jax, self.n, self.dtype = jax, n, dtype
        shape = jax.ShapeDtypeStruct((n,), dtype)

        def plain(v: Any) -> Any:
            return matvec(v) if ridge is None else matvec(v) + ridge * v

        def transposed(v: Any) -> Any:
            return jax.linear_transpose(plain, shape)(v)[0]

        self.matvec, self.rmatvec = (transposed, plain) if transpose else (plain, transposed)

    def dense(self) -> Any:
        _, jnp = _jax()
        return self.jax.vmap(self.matvec, out_axes=1)(jnp.eye(self.n, dtype=self.dtype))


def _dense(A: _Operator, b: Any, x0: Any, tol: float, maxiter: int) -> Any:  # noqa: ARG001
    """LU, whose residual is as small as rounding allows; infinite is said of it where a pivot is noise."""
    jax, jnp = _jax()
    lu = jax.scipy.linalg.lu_factor(A.dense())
    pivots = jnp.abs(jnp.diagonal(lu[0]))
    regular = jnp.min(pivots) > A.n * jnp.finfo(A.dtype).eps * jnp.max(pivots)
    return jax.scipy.linalg.lu_solve(lu, b), jnp.where(regular, 0.0, jnp.inf), 1.0


def _least_norm(A: _Operator, b: Any) -> Any:
    """The solution of least norm, or least squares, by a singular value decomposition."""
    _, jnp = _jax()
    matrix = A.dense()
    U, s, Vt = jnp.linalg.svd(matrix)
    kept = s > A.n * jnp.finfo(s.dtype).eps * s[0]
    x = Vt.T @ (jnp.where(kept, 1 / jnp.where(kept, s, 1), 0) * (U.T @ b))
    scale = jnp.linalg.norm(b) + s[0] * jnp.linalg.norm(x)
    return x, jnp.linalg.norm(matrix @ x - b), scale


def _hybrid(A: _Operator, b: Any, x0: Any, tol: float, maxiter: int) -> Any:
    """A hundred products of GMRES, to a residual near rounding; a factorisation if they are not enough."""
    _, jnp = _jax()
    x, residual, scale = _gmres(A, b, x0, 1e-3 * tol, 100)

    def factorise(_: Any) -> Any:
        x, residual, scale = _dense(A, b, x0, tol, maxiter)
        return _where(~(residual <= 10 * tol * scale), lambda _: _least_norm(A, b)[0], x)

    x = _where(~(residual <= 1e-2 * tol * scale), factorise, x)
    residual, scale = _residual(A, x, b)
    return x, residual, scale + jnp.linalg.norm(x)


def _cholesky(A: _Operator, b: Any, x0: Any, tol: float, maxiter: int) -> Any:  # noqa: ARG001
    jax, jnp = _jax()
    matrix = A.dense()
    x = jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(matrix), b)
    scale = jnp.linalg.norm(b) + jnp.linalg.norm(matrix) * jnp.linalg.norm(x)
    return x, jnp.linalg.norm(matrix @ x - b), scale


def _host(A: _Operator, b: Any, x0: Any, tol: float, maxiter: int) -> Any:  # noqa: ARG001
    """LAPACK through NumPy, outside XLA."""
    jax, jnp = _jax()
    matrix = A.dense()

    def lapack(matrix: Any, b: Any) -> Any:
        return np.linalg.solve(np.asarray(matrix), np.asarray(b)[..., None])[..., 0]

    x = jax.pure_callback(lapack, b, matrix, b, vmap_method="broadcast_all")
    scale = jnp.linalg.norm(b) + jnp.linalg.norm(matrix) * jnp.linalg.norm(x)
    return x, jnp.linalg.norm(matrix @ x - b), scale


def _sparse_host(A: _Operator, b: Any, sparsity: Any) -> Any:
    """SuperLU through SciPy; one product for each colour of the pattern gives all the entries."""
    import scipy.sparse as sp
    from scipy.sparse.linalg import splu

    from ._differences import colour

    jax, jnp = _jax()
    pattern = sp.csc_array(sparsity)
    colours = colour(pattern)
    seeds = jnp.asarray(colours == np.arange(colours.max() + 1)[:, None], dtype=A.dtype)
    products = jax.vmap(A.matvec)(seeds)
    rows, columns = pattern.tocoo().coords

    def superlu(entries: Any, b: Any) -> Any:
        matrix = sp.csc_array((np.array(entries), (rows, columns)), shape=pattern.shape)
        return splu(matrix).solve(np.array(b)).astype(b.dtype)

    return jax.pure_callback(superlu, b, products[colours[columns], rows], b, vmap_method="sequential")


def _cg(A: _Operator, b: Any, x0: Any, tol: float, maxiter: int) -> Any:
    """Conjugate gradients; GMRES goes on where the curvature changes its sign, as at a saddle."""
    jax, jnp = _jax()
    goal = (tol * jnp.linalg.norm(b)) ** 2

    def more(state: Any) -> Any:
        _, _, _, rr, _, k, indefinite = state
        return (rr > goal) & (k < maxiter) & ~indefinite

    def step(state: Any) -> Any:
        x, r, p, rr, sign, k, _ = state
        q = A.matvec(p)
        curvature = p @ q
        sign = jnp.where(k == 0, jnp.sign(curvature), sign)
        indefinite = ~(sign * curvature > 0)
        alpha = jnp.where(indefinite, 0.0, rr / jnp.where(indefinite, 1.0, curvature))
        r = r - alpha * q
        new = r @ r
        return x + alpha * p, r, r + new / rr * p, new, sign, k + 1, indefinite

    r = b - A.matvec(x0)
    start = (x0, r, r, r @ r, jnp.ones_like(r @ r), 0, jnp.array(False))
    x, *_, indefinite = jax.lax.while_loop(more, step, start)

    def leave(x: Any) -> Any:
        return _gmres(A, b, _say(_report.indefinite, indefinite, 0.0, x), tol, maxiter)[0]

    x = _where(indefinite, leave, x)
    return x, *_residual(A, x, b)


def _gmres(A: _Operator, b: Any, x0: Any, tol: float, maxiter: int) -> Any:
    jax, _ = _jax()
    restart = min(50, A.n)
    x = jax.scipy.sparse.linalg.gmres(
        A.matvec, b, x0=x0, tol=tol, restart=restart, maxiter=max(1, maxiter // restart)
    )[0]
    return x, *_residual(A, x, b)


def _bicgstab(A: _Operator, b: Any, x0: Any, tol: float, maxiter: int) -> Any:
    jax, _ = _jax()
    x = jax.scipy.sparse.linalg.bicgstab(A.matvec, b, x0=x0, tol=tol, maxiter=maxiter)[0]
    return x, *_residual(A, x, b)


def _lsmr(A: _Operator, b: Any, x0: Any, tol: float, maxiter: int) -> Any:
    """LSMR (D. Fong, M. Saunders, SIAM J. Sci. Comput. 33, 2011, section 2.8): least norm, least squares."""
    jax, jnp = _jax()

    def normalise(v: Any) -> Any:
        size = jnp.linalg.norm(v)
        return v / jnp.where(size > 0, size, 1), size

    def rotation(a: Any, b: Any) -> Any:
        rho = jnp.hypot(a, b)
        safe = jnp.where(rho > 0, rho, 1)
        return a / safe, b / safe, rho

    u, beta = normalise(b - A.matvec(x0))
    v, alpha = normalise(A.rmatvec(u))
    first = alpha * beta
    one, zero = jnp.ones_like(beta), jnp.zeros_like(beta)
    start = (x0, v, jnp.zeros_like(v), u, v, alpha, alpha, first, one, one, one, zero, 0)

    def more(state: Any) -> Any:  # zetabar is the size of A' r
        return (jnp.abs(state[7]) > 1e-2 * tol * first) & (state[-1] < maxiter)

    def step(state: Any) -> Any:
        x, h, hbar, u, v, alpha, alphabar, zetabar, rho, rhobar, cbar, sbar, k = state
        u, beta = normalise(A.matvec(v) - alpha * u)
        v, alpha = normalise(A.rmatvec(u) - beta * v)
        c, s, rho_new = rotation(alphabar, beta)
        theta = s * alpha
        thetabar = sbar * rho_new
        cbar, sbar, rhobar_new = rotation(cbar * rho_new, theta)
        zeta, zetabar = cbar * zetabar, -sbar * zetabar
        hbar = h - thetabar * rho_new / (rho * rhobar) * hbar
        x = x + zeta / (rho_new * rhobar_new) * hbar
        h = v - theta / rho_new * h
        return x, h, hbar, u, v, alpha, c * alpha, zetabar, rho_new, rhobar_new, cbar, sbar, k + 1

    x = jax.lax.while_loop(more, step, start)[0]
    return x, *_residual(A, x, b)


METHODS = {
    "dense": _dense,
    "hybrid": _hybrid,
    "cholesky": _cholesky,
    "cg": _cg,
    "gmres": _gmres,
    "bicgstab": _bicgstab,
    "lsmr": _lsmr,
    "host": _host,
}


def _residual(A: _Operator, x: Any, b: Any) -> tuple[Any, Any]:
    _, jnp = _jax()
    return jnp.linalg.norm(A.matvec(x) - b), jnp.linalg.norm(b)


def _where(flag: Any, function: Callable[[Any], Any], x: Any) -> Any:
    """``function(x)`` where the flag is set, else x; unlike `cond`, it stays a choice under `vmap`."""
    jax, _ = _jax()
    return jax.lax.while_loop(lambda s: s[0], lambda s: (s[0] & False, function(s[1])), (flag, x))[1]


def _say(report: Callable[[Any, Any], None], flag: Any, value: Any, x: Any) -> Any:
    """Return x, and call ``report(flag, value)`` on the host where the flag is set.

    A debug callback would do, but its effect takes the compiled function off JAX's short path: 0.1 ms a call.
    """
    jax, _ = _jax()

    def host(flag: Any, value: Any, x: Any) -> Any:
        report(np.asarray(flag), np.asarray(value))
        return np.asarray(x)

    struct = jax.ShapeDtypeStruct(x.shape, x.dtype)
    return _where(
        flag, lambda x: jax.pure_callback(host, struct, flag, value, x, vmap_method="broadcast_all"), x
    )


def _jax() -> tuple[Any, Any]:
    return importlib.import_module("jax"), importlib.import_module("jax.numpy")
