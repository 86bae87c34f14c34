"""Linear solvers for traced operators: JAX arrays or pytrees of them, under `jit`, `vmap` and derivatives.

Each warns of a residual above ten times the tolerance. Nothing here is differentiated:
`jax.lax.custom_linear_solve` differentiates the equation instead.

BiCGSTAB is JAX's. The others are by hand: JAX has no LSMR, its GMRES finishes each cycle of fifty products,
and its CG does not see where the curvature changes its sign. The solvers of lineax 0.1.1 were measured beside
these on tridiagonal systems, to 1e-10. For 50 and 1000 unknowns a warm call takes 1.1 to 2.9 times as long;
for 40 000 it takes 16 times (CG) and 40 times (GMRES) as long, as they iterate on to a residual of 1e-15.
First calls differ by less than 1.6 seconds either way (CG: 0.7 for 2.1, as theirs has no GMRES behind it).
"""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import checks
from numsolve.implicit import _report
from numsolve.implicit._numbers import as_float
from numsolve.implicit._settings import DENSE_UP_TO
from numsolve.implicit._watch import HIDDEN, default_tol

from . import _host as outside

if TYPE_CHECKING:
    from collections.abc import Callable

#: Unknowns up to which nothing else is tried before a matrix is formed and factorised.
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
    """Solve matvec(x) = b by a method of `METHODS`."""
    jax, jnp = _jax()
    from jax.flatten_util import ravel_pytree

    flat, unravel = ravel_pytree(jax.tree.map(as_float, b))
    if not isinstance(flat, jax.core.Tracer):
        checks.finite("b", np.asarray(flat), xp=np)
    n = flat.size
    if n == 0:
        return b
    A = _Operator(jax, lambda v: ravel_pytree(matvec(unravel(v)))[0], n, flat.dtype, transpose, ridge)
    tol = default_tol(flat.dtype) if tol is None else tol
    # The loops of an iteration stop at once at a right-hand side of nan, as if it were solved.
    known = jnp.where(jnp.all(jnp.isfinite(flat)), jnp.ones((), flat.dtype), jnp.nan)
    if sparsity is not None:
        return unravel(_sparse_host(A, flat, sparsity, tol) * known)
    maxiter = 10 * n if maxiter is None else maxiter
    x0 = jnp.zeros_like(flat) if init is None else ravel_pytree(init)[0].astype(flat.dtype)
    if method in FACTORISED:
        return unravel(METHODS[method](A, flat, x0, tol, maxiter) * known)

    def iterated(flat: Any, x0: Any) -> Any:
        # The squares in an iteration shall neither over- nor underflow, whatever the size of the data.
        size = _or_one(jnp, _size(flat))
        stretch = _or_one(jnp, _size(A.matvec(flat / size)))
        start = None if init is None else x0 / size * stretch
        return METHODS[method](A.over(stretch), flat / size, start, tol, maxiter) / stretch * size

    return unravel(jax.jit(iterated)(flat, x0) * known)  # see `_where` for the reason


def automatic(symmetric: bool, n: int) -> str:
    """The method of solve="auto": a factorisation as long as the matrix is small."""
    if n <= DENSE_UP_TO:
        return "dense" if n <= DENSE_AT_ONCE_UP_TO else "hybrid"
    return "cg" if symmetric else "gmres"


class _Operator:
    """A square matrix known by its products, or the transposed one, with ``ridge`` on its diagonal."""

    def __init__(self, jax: Any, matvec: Any, n: int, dtype: Any, transpose: bool, ridge: float | None):
        self.jax, self.n, self.dtype, self.turned = jax, n, dtype, transpose
        shape = jax.ShapeDtypeStruct((n,), dtype)

        def plain(v: Any) -> Any:
            return matvec(v) if ridge is None else matvec(v) + ridge * v

        def transposed(v: Any) -> Any:
            return jax.linear_transpose(plain, shape)(v)[0]

        self.matvec, self.rmatvec = (transposed, plain) if transpose else (plain, transposed)

    def over(self, number: Any) -> _Operator:
        """The matrix divided by a number, or each of its rows by its own."""
        out = object.__new__(_Operator)
        out.jax, out.n, out.dtype, out.turned = self.jax, self.n, self.dtype, self.turned
        out.matvec, out.rmatvec = lambda v: self.matvec(v) / number, lambda v: self.rmatvec(v / number)
        return out

    def start(self, b: Any, x0: Any) -> tuple[Any, Any]:
        """Where an iteration starts, zeros by default, and its residual."""
        _, jnp = _jax()
        return (jnp.zeros_like(b), b) if x0 is None else (x0, b - self.matvec(x0))

    def dense(self, wanted: Any = 1.0) -> Any:
        """All entries; zeros where they are not wanted."""
        _, jnp = _jax()
        return self.jax.vmap(self.matvec, out_axes=1)(wanted * jnp.eye(self.n, dtype=self.dtype))

    def rows(self) -> Any:
        """About the size of each row."""
        return _rows(self.matvec, self.n, self.dtype)


def _dense(A: _Operator, b: Any, x0: Any, tol: float, maxiter: int) -> Any:  # noqa: ARG001
    """LU of the matrix with rows of about size one; least norm where it is singular.

    A pivot is rounding noise if it is small beside the terms that were subtracted in it. Unlike its size
    beside other pivots, this does not depend on the units of rows and columns. Those of the columns change
    nothing in the factorisation.
    """
    jax, jnp = _jax()
    matrix = A.dense()
    if A.n == 1:
        pivot = matrix[0]
        regular = jnp.all((pivot != 0) & jnp.isfinite(pivot))
        x = b / jnp.where(pivot == 0, 1, pivot)
    else:
        rows = _power_of_two(jnp, jnp.max(jnp.abs(matrix), axis=1))
        lu, _, order = jax.lax.linalg.lu(matrix * rows[:, None])
        pivots = jnp.abs(jnp.diagonal(lu))
        terms = pivots + jnp.sum(jnp.abs(jnp.tril(lu, -1) * jnp.triu(lu).T), axis=1)
        regular = jnp.all(pivots > A.n * jnp.finfo(A.dtype).eps * terms)
        triangular = functools.partial(jax.lax.linalg.triangular_solve, lu, left_side=True)
        y = triangular((rows * b)[order][:, None], lower=True, unit_diagonal=True)
        x = triangular(y)[:, 0]
    return _where(~regular, lambda singular, _: outside.lapack(matrix, b, tol, singular), x)


def _power_of_two(jnp: Any, sizes: Any) -> Any:
    """The powers of two nearest to 1 / sizes, by which one multiplies without rounding errors."""
    exponent = jnp.frexp(_or_one(jnp, sizes))[1]
    largest = jnp.finfo(sizes.dtype).maxexp - 8
    return jnp.ldexp(jnp.ones_like(sizes), -jnp.clip(exponent, -largest, largest))


def _hybrid(A: _Operator, b: Any, x0: Any, tol: float, maxiter: int) -> Any:  # noqa: ARG001
    """GMRES to a residual near rounding, with a third of the products that a matrix takes; or that matrix."""
    _, jnp = _jax()
    rows = _in_units(jnp, A.rows())
    x, r = _krylov(A.over(rows), b / rows, jnp.zeros_like(b), b / rows, 1e-3 * tol, max(100, A.n // 3))
    unsolved = ~(jnp.linalg.norm(r) <= 1e-2 * tol * jnp.linalg.norm(b / rows))
    # The matrix is made of the flag, so that XLA does not move it in front of the loop, where it always runs.
    return _where(unsolved, lambda flag, _: outside.lapack(A.dense(flag), b, tol, flag), x)


def _rows(matvec: Callable[[Any], Any], n: int, dtype: Any) -> Any:
    """About the size of each row: its product with a vector of numbers between one and two."""
    _, jnp = _jax()
    k = np.arange(n)
    spread = np.where(k % 3 == 0, -1.0, 1.0) * (1 + (k * 0.6180339887498949) % 1)
    return _or_one(jnp, jnp.abs(matvec(jnp.asarray(spread, dtype))))


def _in_units(jnp: Any, rows: Any) -> Any:
    """What to divide rows of different units by; ones where no row is hidden by another."""
    apart = jnp.max(rows) > HIDDEN * jnp.min(rows)
    return jnp.where(apart, rows / jnp.max(rows), jnp.ones_like(rows))


def _host(A: _Operator, b: Any, x0: Any, tol: float, maxiter: int) -> Any:  # noqa: ARG001
    """LAPACK through SciPy, outside XLA."""
    return outside.lapack(A.dense(), b, tol)


def _sparse_host(A: _Operator, b: Any, sparsity: Any, tol: float) -> Any:
    """SuperLU through SciPy; one product for each colour of the pattern gives all the entries.

    A transposed system takes the products and the pattern of the matrix that is transposed.
    """
    import scipy.sparse as sp

    from numsolve.implicit._colour import colour

    jax, jnp = _jax()
    pattern = sp.csc_array(sparsity)
    if pattern.shape != (A.n, A.n):
        raise ValueError(f"sparsity must have shape {(A.n, A.n)}, got {pattern.shape}")
    pattern.sort_indices()
    colours = colour(pattern)
    seeds = jnp.asarray(colours == np.arange(colours.max() + 1)[:, None], dtype=A.dtype)
    rows, columns = pattern.tocoo().coords
    entries = jax.vmap(A.rmatvec if A.turned else A.matvec)(seeds)[colours[columns], rows]
    x = outside.superlu(pattern, entries, b, tol, transpose=A.turned)
    return direct(A.matvec, x, b, "sparsity", tol)


def _cholesky(A: _Operator, b: Any, x0: Any, tol: float, maxiter: int) -> Any:  # noqa: ARG001
    jax, _ = _jax()
    matrix = A.dense()
    x = jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(matrix), b)
    return direct(lambda v: matrix @ v, x, b, "cholesky", tol)


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

    x, r = A.start(b, x0)
    start = (x, r, r, r @ r, jnp.ones_like(r @ r), 0, jnp.array(False))
    x, *_, indefinite = jax.lax.while_loop(more, step, start)

    def leave(_: Any, x: Any) -> Any:
        x = _say(_report.indefinite, indefinite, 0.0, x)
        return _krylov(A, b, x, b - A.matvec(x), tol, maxiter)[0]

    x = _where(indefinite, leave, x)
    return _iterated(A, x, b, "cg", tol)


def _gmres(A: _Operator, b: Any, x0: Any, tol: float, maxiter: int) -> Any:
    _, jnp = _jax()
    rows = _in_units(jnp, A.rows())
    A, b = A.over(rows), b / rows
    x, _ = _krylov(A, b, *A.start(b, x0), tol, maxiter)
    return _iterated(A, x, b, "gmres", tol)


def _krylov(A: _Operator, b: Any, x: Any, r: Any, tol: float, maxiter: int) -> tuple[Any, Any]:
    """Restarted GMRES (Y. Saad, M. Schultz, SIAM J. Sci. Stat. Comput. 7, 1986): x and its residual r.

    JAX's own finishes each cycle of fifty products, or takes twice as long to compile.
    """
    jax, jnp = _jax()
    m = min(50, A.n)
    norm, goal = jnp.linalg.norm, tol * jnp.linalg.norm(b)

    def expand(state: Any) -> Any:
        """One step of Arnoldi; the rotations Q make its Hessenberg matrix the triangular R."""
        V, R, Q, k, beta = state
        w = A.matvec(V[k])
        h = V @ w
        w = w - h @ V
        again = V @ w
        w = w - again @ V
        eta = norm(w)
        V = V.at[k + 1].set(w / jnp.where(eta > 0, eta, 1))
        h = Q @ (h + again).at[k + 1].set(eta)
        rho = jnp.hypot(h[k], h[k + 1])
        c, s = h[k] / rho, h[k + 1] / rho
        Q = Q.at[k].set(c * Q[k] + s * Q[k + 1]).at[k + 1].set(c * Q[k + 1] - s * Q[k])
        R = R.at[:, k].set(h.at[k].set(rho)[:m])
        return V, R, Q, k + 1, beta

    def more(state: Any) -> Any:
        _, _, Q, k, beta = state
        return (k < m) & (beta * jnp.abs(Q[k, 0]) > goal)

    def cycle(state: Any) -> Any:
        x, r, count = state
        beta = norm(r)
        V = jnp.zeros((m + 1, A.n), b.dtype).at[0].set(r / beta)
        start = V, jnp.eye(m, dtype=b.dtype), jnp.eye(m + 1, dtype=b.dtype), 0, beta
        V, R, Q, k, _ = jax.lax.while_loop(more, expand, start)
        g = jnp.where(jnp.arange(m) < k, beta * Q[:m, 0], 0)
        x = x + jax.scipy.linalg.solve_triangular(R, g) @ V[:m]
        return x, b - A.matvec(x), count + k

    def unsolved(state: Any) -> Any:
        return (norm(state[1]) > goal) & (state[2] < maxiter)

    return jax.lax.while_loop(unsolved, cycle, (x, r, 0))[:2]  # type: ignore[no-any-return]


def _bicgstab(A: _Operator, b: Any, x0: Any, tol: float, maxiter: int) -> Any:
    jax, _ = _jax()
    x = jax.scipy.sparse.linalg.bicgstab(A.matvec, b, x0=x0, tol=tol, maxiter=maxiter)[0]
    return _iterated(A, x, b, "bicgstab", tol)


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

    x, r = A.start(b, x0)
    u, beta = normalise(r)
    v, alpha = normalise(A.rmatvec(u))
    first = alpha * beta
    one, zero = jnp.ones_like(beta), jnp.zeros_like(beta)
    start = (x, v, jnp.zeros_like(v), u, v, alpha, alpha, first, one, one, one, zero, 0)

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
    return _iterated(A, x, b, "lsmr", tol)


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
#: those that do not iterate
FACTORISED = ("dense", "cholesky", "host")


def _size(x: Any) -> Any:
    """The largest magnitude."""
    _, jnp = _jax()
    return jnp.max(jnp.abs(x), initial=0.0)


def _or_one(jnp: Any, size: Any) -> Any:
    """A size to divide by: one in place of zero and of what is no number."""
    return jnp.where((size > 0) & jnp.isfinite(size), size, jnp.ones_like(size))


def _where(flag: Any, function: Callable[[Any, Any], Any], x: Any) -> Any:
    """``function(flag, x)`` where the flag is set, else x; unlike `cond`, it stays a choice under `vmap`.

    What the function does must depend on the flag or on x: XLA moves anything else in front of the loop.
    """
    jax, _ = _jax()

    def choice(flag: Any, x: Any) -> Any:
        return jax.lax.while_loop(lambda s: s[0], lambda s: (s[0] & False, function(*s)), (flag, x))[1]

    return jax.jit(choice)(flag, x)  # what is compiled for a loop alone, outside of `jit`, JAX keeps for good


def direct(matvec: Callable[[Any], Any], x: Any, b: Any, method: str, tol: float | None) -> Any:
    """Return x, and warn if its residual is above ten times the tolerance, and above rounding errors.

    Each row counts in its own unit. The matrix itself may not be known: |A| |x| is estimated by one product.
    """
    _, jnp = _jax()
    rows, tol = _rows(matvec, x.size, x.dtype), default_tol(b.dtype) if tol is None else tol
    noise = 100 * x.size**0.5 * float(jnp.finfo(b.dtype).eps) * _size(x)
    scale, residual = _size(b / rows), _size((matvec(x) - b) / rows)
    report = functools.partial(_report.linear, method=method)
    return _say(report, ~(residual <= 10 * tol * scale + noise), residual / _or_one(jnp, scale), x)


def _iterated(A: _Operator, x: Any, b: Any, method: str, tol: float) -> Any:
    """Return x, and warn of a residual above ten times the tolerance, or one that the largest rows hide."""
    _, jnp = _jax()
    r = A.matvec(x) - b
    residual, scale = jnp.linalg.norm(r), jnp.linalg.norm(b)
    x = _watched(method, x, residual, scale, tol)
    rows = A.rows()
    hidden, of = _size(r / rows), jnp.maximum(_size(b / rows), _size(x))
    report = functools.partial(_report.hidden, method=method)
    return _say(report, (residual <= 10 * tol * scale) & ~(hidden <= tol**0.5 * of), hidden / of, x)


def _watched(method: str, x: Any, residual: Any, scale: Any, tol: float) -> Any:
    """Return x, and warn if its residual is above ten times the tolerance."""
    report = functools.partial(_report.linear, method=method)
    return _say(report, ~(residual <= 10 * tol * scale), residual / scale, x)


def _say(report: Callable[[Any, Any], None], flag: Any, value: Any, x: Any) -> Any:
    """Return x, and call ``report(flag, value)`` on the host where the flag is set.

    A debug callback would do, but its effect takes the compiled function off JAX's short path: 0.1 ms a call.
    """

    def host(flag: Any, value: Any) -> Any:
        report(flag, value)
        return np.zeros(flag.shape, x.dtype)

    def told(flag: Any, x: Any) -> Any:
        zero = np.zeros((), x.dtype)
        return x + outside.call(host, zero, flag, value, vmap_method="broadcast_all")

    return _where(flag, told, x)


def _jax() -> tuple[Any, Any]:
    return importlib.import_module("jax"), importlib.import_module("jax.numpy")
