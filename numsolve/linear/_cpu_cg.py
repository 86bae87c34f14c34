"""Compiled kernels of conjugate gradients, plain and with Eisenstat's form of the SSOR preconditioner.

The halves of a matrix are held as in `_cpu`; the notation is that of S. C. Eisenstat, "Efficient
implementation of a class of preconditioned conjugate gradient methods", SIAM J. Sci. Stat. Comput. 2, 1981.
"""

import numpy as np
from numba import njit

RUNNING, CONVERGED, BREAKDOWN, NONFINITE = -1, 0, 4, 8
ONE = np.uint64(1)
_FAST = {"contract", "nsz"}
_REDUCTION = {"contract", "nsz", "reassoc"}


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def scaled_gather(data, lp, lc, lf, up, uc, uf, df, lv, uv, root):
    """Halves of S A S with S = D^-1/2, whose diagonal is one; `root` becomes D^1/2.

    Returns the sum of all absolute values of A, infinite or nan if an entry is, the position of the first
    zero on the diagonal, and that of its first negative entry, or -1.
    """
    n = df.size
    zero = negative = -1
    total = 0.0
    inverse = np.empty_like(root)
    for m in range(n):
        p = n - 1 - m
        v = data[df[p]] if df[p] < data.size else data.dtype.type(0)
        total += abs(v)
        if v == 0:
            zero = p
        elif v < 0:
            negative = p
        root[p] = np.sqrt(abs(v))
        inverse[p] = 1 / root[p]
    for p in range(n):
        own = inverse[p]
        for k in range(lp[p], lp[p + 1]):
            v = data[lf[k]]
            total += abs(v)
            lv[k] = v * own * inverse[lc[k]]
        for k in range(up[p], up[p + 1]):
            v = data[uf[k]]
            total += abs(v)
            uv[k] = v * own * inverse[uc[k]]
    return total, zero, negative


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def eisenstat_start(rows, lp, lc, lv, root, omega, b, x, y, r, z, p):
    """Scale and sort the caller's residual b and iterate x; z = (1/w + L)^-1 r, p = 0. Returns z'z / w."""
    rho = 0.0
    for i in range(r.size):
        y[i] = x[rows[i]] * root[i]
        r[i] = b[rows[i]] / root[i]
        total = r[i]
        for k in range(lp[i], lp[i + 1]):
            total -= lv[k] * z[lc[k]]
        z[i] = omega * total
        rho += np.float64(z[i]) * z[i]
        p[i] = 0
    return rho / omega


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _backward(up, uc, uv, omega, beta, z, p, t):
    """Compute p = z/w + beta p and (1/w + U) t = p."""
    n = p.size
    weight = 1 / omega
    for m in range(n):
        i = np.uint64(n - 1 - m)
        own = weight * z[i] + beta * p[i]
        p[i] = own
        for k in range(up[i], up[i + ONE]):
            own -= uv[k] * t[uc[k]]
        t[i] = omega * own


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _forward(lp, lc, lv, omega, p, t, s, q):
    """(1/w + L) s = p - (2/w - 1) t =: g, and q = (1/w + L) t + g = A t; returns p'(t + s)."""
    weight, middle = 1 / omega, 2 / omega - 1
    curvature = 0.0
    for i in range(p.size):
        own = t[i]
        g = p[i] - middle * own
        Ls = Lt = g * 0
        for k in range(lp[i], lp[i + 1]):
            Ls += lv[k] * s[lc[k]]
            Lt += lv[k] * t[lc[k]]
        s[i] = omega * (g - Ls)
        q[i] = weight * own + Lt + g
        curvature += np.float64(p[i]) * (own + s[i])
    return curvature


@njit(cache=True, error_model="numpy", fastmath=_REDUCTION)
def _update(alpha, root, t, s, q, x, r, z):
    """Step: x += a t, r -= a q, z -= a (t + s); returns z'z and the square of the unscaled ||r||."""
    zz = rr = 0.0
    for i in range(x.size):
        x[i] += alpha * t[i]
        z[i] -= alpha * (t[i] + s[i])
        r[i] -= alpha * q[i]
        zz += np.float64(z[i]) * z[i]
        v = np.float64(r[i] * root[i])
        rr += v * v
    return zz, rr


@njit(cache=True, error_model="numpy", nogil=True)
def eisenstat(lp, lc, lv, up, uc, uv, root, omega, x, r, z, p, state, stop_at, norms):
    """Steps of SSOR-preconditioned conjugate gradients until ||r|| <= stop_at.

    `state` holds rho, beta and the first rho from one call to the next. Returns the number of steps and a
    code. When z has lost fifteen digits, r may have parted from it: that counts as converged.
    """
    t, s, q = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    one = x.dtype.type(1)
    rho, beta = state[0], state[1]
    for step in range(norms.size):
        _backward(up, uc, uv, omega, beta * one, z, p, t)
        curvature = _forward(lp, lc, lv, omega, p, t, s, q)
        if not curvature > 0:
            return step, BREAKDOWN if curvature > -np.inf else NONFINITE
        zz, rr = _update(rho / curvature * one, root, t, s, q, x, r, z)
        norms[step] = np.sqrt(rr)
        if norms[step] <= stop_at:
            return step + 1, CONVERGED
        if not rr < np.inf:
            return step + 1, NONFINITE
        new = zz / omega
        beta = new / rho
        rho = new
        state[0], state[1] = rho, beta
        if not rho > 1e-30 * state[2]:
            return step + 1, CONVERGED
    return norms.size, RUNNING


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _product(ptr, columns, values, p, q):
    """Compute q = A p; returns p'q."""
    total = 0.0
    for i in range(p.size):
        own = q.dtype.type(0)
        for k in range(ptr[i], ptr[i + 1]):
            own += values[k] * p[columns[k]]
        q[i] = own
        total += np.float64(p[i]) * own
    return total


@njit(cache=True, error_model="numpy", fastmath=_REDUCTION)
def _advance(alpha, p, q, x, r):
    """Step: x += a p, r -= a q; returns r'r."""
    rr = 0.0
    for i in range(x.size):
        x[i] += alpha * p[i]
        r[i] -= alpha * q[i]
        rr += np.float64(r[i]) * r[i]
    return rr


@njit(cache=True, error_model="numpy", nogil=True)
def cg(ptr, columns, values, x, r, p, state, stop_at, norms):
    """Steps of conjugate gradients until ||r|| <= stop_at.

    `state` holds r'r from one call to the next. Returns the number of steps and a code.
    """
    q = np.empty_like(x)
    one = x.dtype.type(1)
    rho = state[0]
    for step in range(norms.size):
        curvature = _product(ptr, columns, values, p, q)
        if not curvature > 0:
            return step, BREAKDOWN if curvature > -np.inf else NONFINITE
        new = _advance(rho / curvature * one, p, q, x, r)
        norms[step] = np.sqrt(new)
        if norms[step] <= stop_at:
            return step + 1, CONVERGED
        if not new < np.inf:
            return step + 1, NONFINITE
        beta = new / rho * one
        for i in range(p.size):
            p[i] = r[i] + beta * p[i]
        rho = state[0] = new
    return norms.size, RUNNING
