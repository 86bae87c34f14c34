"""Compiled kernels of products, and of conjugate gradients: plain, and with Eisenstat's form of SSOR.

The halves of a matrix are held as in `_cpu`; the notation is that of S. C. Eisenstat, "Efficient
implementation of a class of preconditioned conjugate gradient methods", SIAM J. Sci. Stat. Comput. 2, 1981,
and the numbers are those of the equations in `ssor_cg`. Drivers do as many steps as `norms` has places, and
return the steps done and a code.
"""

import numpy as np

from numsolve._core.codes import BREAKDOWN, CONVERGED, NONFINITE, RUNNING
from numsolve._core.compiled import inner, kernel

ONE = np.uint64(1)
#: More entries than so many make a long row.
LONG = 64
_FAST = {"contract", "nsz"}
_REDUCTION = {"contract", "nsz", "reassoc"}


@kernel(fastmath=_FAST)
def product(ptr, columns, values, p, q):
    """Compute q = A p for a matrix in compressed rows; returns p'q."""
    total = 0.0
    for i in range(q.size):
        own = q.dtype.type(0)
        for k in range(ptr[i], ptr[i + 1]):
            own += values[k] * p[columns[k]]
        q[i] = own
        total += np.float64(p[i]) * own
    return total


@kernel(fastmath=_REDUCTION)
def residual(ptr, columns, values, x, b, r):
    """Compute r = b - A x, with sums in double precision.

    Returns the squares of the norms of r, of b, and of |A| |x| + |b|, on which the rounding errors of r
    depend, and the largest entry of that; the third is nan where an entry of x is not finite. Long rows
    count sqrt(terms) / 2 times: where terms are alike, each rounding may go the same way.
    """
    rr, bb, ss, most, lost = 0.0, 0.0, 0.0, 0.0, False
    for i in range(b.size):
        own = np.float64(b[i])
        size = abs(own)
        lost |= not abs(x[i]) < np.inf
        bb += own * own
        for k in range(ptr[i], ptr[i + 1]):
            term = np.float64(values[k]) * x[columns[k]]
            own -= term
            size += abs(term)
        r[i] = own
        rr += own * own
        if ptr[i + 1] - ptr[i] > LONG:
            size *= 0.5 * np.sqrt(1.0 + (ptr[i + 1] - ptr[i]))
        ss += size * size
        if not size <= most:
            most = size
    return rr, bb, np.nan if lost else ss, most


@inner(fastmath=_REDUCTION)
def advance(alpha, p, q, x, r):
    """Step: x += a p, r -= a q; returns r'r."""
    rr = 0.0
    for i in range(x.size):
        x[i] += alpha * p[i]
        r[i] -= alpha * q[i]
        rr += np.float64(r[i]) * r[i]
    return rr


@kernel
def cg(ptr, columns, values, vectors, state, stop_at, norms):
    """Steps of conjugate gradients until ||r|| <= stop_at.

    The rows of `vectors` are x, r, p, and a place for A p; `state` holds r'r from one call to the next, and 0
    at first.
    """
    x, r, p, q = vectors[0], vectors[1], vectors[2], vectors[3]
    one = x.dtype.type(1)
    rho, code, done = state[0], RUNNING, 0
    if rho == 0:
        for i in range(r.size):
            rho += np.float64(r[i]) * r[i]
    for step in range(norms.size):
        curvature = product(ptr, columns, values, p, q)
        if not curvature > 0:
            code = BREAKDOWN if curvature > -np.inf else NONFINITE
            break
        new = advance(rho / curvature * one, p, q, x, r)
        norms[step] = np.sqrt(new)
        done = step + 1
        if norms[step] <= stop_at:
            code = CONVERGED
            break
        if not new < np.inf:
            code = NONFINITE
            break
        beta = new / rho * one
        for i in range(p.size):
            p[i] = r[i] + beta * p[i]
        rho = state[0] = new
    return done, code


# --- Eisenstat's form -----------------------------------------------------------------------------


@kernel
def roots(data, source, root, inverse):
    """The roots of the diagonal of a matrix, and their inverses.

    Returns the sum of its absolute values, whether one of its entries is zero, and whether one is negative.
    """
    total = 0.0
    zero = negative = False
    for p in range(source.size):
        v = data[source[p]]
        total += abs(v)
        zero |= v == 0
        negative |= v < 0
        root[p] = np.sqrt(abs(v))
        inverse[p] = 1 / root[p]
    return total, zero, negative


@kernel(fastmath=_FAST)
def scale(data, ptr, columns, source, inverse, values):
    """One half of S A S with S = D^-1/2; returns the sum of the absolute values that it has in A."""
    total = 0.0
    for p in range(inverse.size):
        own = inverse[p]
        for k in range(ptr[p], ptr[p + 1]):
            v = data[source[k]]
            total += abs(v)
            values[k] = v * own * inverse[columns[k]]
    return total


@kernel(fastmath=_FAST)
def eisenstat_start(lp, columns, values, omega, r, z):
    """Solve (1/w + L) z = r; returns z'z / w."""
    rho = 0.0
    for i in range(r.size):
        total = r[i]
        for k in range(lp[i], lp[i + 1]):
            total -= values[k] * z[columns[k]]
        z[i] = omega * total
        rho += np.float64(z[i]) * z[i]
    return rho / omega


@inner(fastmath=_FAST)
def _backward(up, columns, values, omega, beta, z, p, t):
    """Compute p = z/w + beta p (1) and (1/w + U) t = p (2)."""
    n = p.size
    weight = 1 / omega
    for m in range(n):
        i = np.uint64(n - 1 - m)
        own = weight * z[i] + beta * p[i]
        p[i] = own
        for k in range(up[i], up[i + ONE]):
            own -= values[k] * t[columns[k]]
        t[i] = omega * own


@inner(fastmath=_FAST)
def _forward(lp, columns, values, omega, p, t, s, q):
    """(1/w + L) s = p - (2/w - 1) t =: g (3, 4), and q = (1/w + L) t + g = A t; returns p'(t + s)."""
    weight, middle = 1 / omega, 2 / omega - 1
    curvature = 0.0
    for i in range(p.size):
        own = t[i]
        g = p[i] - middle * own
        Ls = Lt = g * 0
        for k in range(lp[i], lp[i + 1]):
            Ls += values[k] * s[columns[k]]
            Lt += values[k] * t[columns[k]]
        s[i] = omega * (g - Ls)
        q[i] = weight * own + Lt + g
        curvature += np.float64(p[i]) * (own + s[i])
    return curvature


@inner(fastmath=_REDUCTION)
def _update(alpha, root, t, s, q, x, r, z):
    """A step: x += a t, z -= a (t + s), r -= a q (6, 7, 8); returns z'z and the unscaled r'r."""
    zz = rr = 0.0
    for i in range(x.size):
        x[i] += alpha * t[i]
        z[i] -= alpha * (t[i] + s[i])
        r[i] -= alpha * q[i]
        zz += np.float64(z[i]) * z[i]
        v = np.float64(r[i] * root[i])
        rr += v * v
    return zz, rr


@kernel
def eisenstat(lp, up, columns, values, root, omega, vectors, state, stop_at, norms):
    """Steps of SSOR-preconditioned conjugate gradients until ||r|| <= stop_at.

    The rows of `vectors` are x, r, z, p, and places for t, s and A t; `state` holds rho, beta and the first
    rho from one call to the next. When z has lost fifteen digits, r may have parted from it: that counts as
    converged.
    """
    x, r, z, p, t, s, q = (
        vectors[0],
        vectors[1],
        vectors[2],
        vectors[3],
        vectors[4],
        vectors[5],
        vectors[6],
    )
    one = x.dtype.type(1)
    rho, beta, code, done = state[0], state[1], RUNNING, 0
    for step in range(norms.size):
        _backward(up, columns, values, omega, beta * one, z, p, t)
        curvature = _forward(lp, columns, values, omega, p, t, s, q)
        if not curvature > 0:
            code = BREAKDOWN if curvature > -np.inf else NONFINITE
            break
        zz, rr = _update(rho / curvature * one, root, t, s, q, x, r, z)  # (5)
        norms[step] = np.sqrt(rr)
        done = step + 1
        if norms[step] <= stop_at:
            code = CONVERGED
            break
        if not rr < np.inf:
            code = NONFINITE
            break
        beta = zz / omega / rho
        rho = zz / omega
        state[0], state[1] = rho, beta
        if not rho > 1e-30 * state[2]:
            code = CONVERGED
            break
    return done, code
