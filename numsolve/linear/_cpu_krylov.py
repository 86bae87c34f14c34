"""Compiled kernels of preconditioned Krylov methods: conjugate gradients, BiCGSTAB and GMRES.

A preconditioner is a factorisation L D U with unit triangles, in an order of its own (see `_factors`): the
rows in that order, pointers to the rows of both triangles, columns, values, and the inverse of D. Without
rows there is none, and its place is taken by the number `scale`. Drivers do as many steps as `norms` has
places, and return the steps done and a code; numbers at lines are those of the equations in `bicgstab` and
`gmres`.
"""

import numpy as np

from numsolve._core.codes import BREAKDOWN, CONVERGED, NONFINITE, RUNNING, STAGNATED
from numsolve._core.compiled import inner, kernel

from ._cpu_cg import advance, product

ONE = np.uint64(1)
_FAST = {"contract", "nsz"}
_REDUCTION = {"contract", "nsz", "reassoc"}
#: What counts as orthogonal, or as nothing new, in roundings of the sums.
ORTHOGONAL = 32


@kernel(fastmath=_FAST)
def apply(rows, lp, up, columns, values, inverse, scale, r, work, z):
    """Solve L D U z = r."""
    if rows.size == 0:
        for i in range(z.size):
            z[i] = scale * r[i]
        return
    for p in range(rows.size):
        total = r[rows[p]]
        for k in range(lp[p], lp[p + 1]):
            total -= values[k] * work[columns[k]]
        work[p] = total
    for m in range(rows.size):
        p = np.uint64(rows.size - 1 - m)
        total = work[p] * inverse[p]
        for k in range(up[p], up[p + ONE]):
            total -= values[k] * work[columns[k]]
        work[p] = total
        z[rows[p]] = total


@kernel(fastmath=_FAST)
def apply_transposed(rows, lp, up, columns, values, inverse, scale, r, work, z):
    """Solve (L D U)' z = r, column by column."""
    if rows.size == 0:
        for i in range(z.size):
            z[i] = scale * r[i]
        return
    for p in range(rows.size):
        work[p] = r[rows[p]]
    for p in range(rows.size):
        own = work[p]
        for k in range(up[p], up[p + 1]):
            work[columns[k]] -= values[k] * own
        work[p] = own * inverse[p]
    for m in range(rows.size):
        p = np.uint64(rows.size - 1 - m)
        own = work[p]
        for k in range(lp[p], lp[p + ONE]):
            work[columns[k]] -= values[k] * own
        z[rows[p]] = own


@inner(fastmath=_REDUCTION)
def _dot(u, v):
    total = 0.0
    for i in range(u.size):
        total += np.float64(u[i]) * v[i]
    return total


@inner
def _copy(u, v):
    for i in range(v.size):
        v[i] = u[i]


# --- symmetric -------------------------------------------------------------------------------------


@kernel
def pcg(ptr, acolumns, avalues, rows, lp, up, columns, values, inverse, vectors, state, stop_at, norms):
    """Steps of preconditioned conjugate gradients until ||r|| <= stop_at.

    The rows of `vectors` are x, r, p, places for z, A p and the preconditioner, and the best x; `state` has
    r'z, which is zero at first, and the best norm.
    """
    x, r, p, z, q, work = vectors[0], vectors[1], vectors[2], vectors[3], vectors[4], vectors[5]
    one = x.dtype.type(1)
    code, done = RUNNING, 0
    for step in range(norms.size):
        apply(rows, lp, up, columns, values, inverse, one, r, work, z)
        rho = _dot(r, z)
        beta = rho / state[0] * one if state[0] != 0 else one * 0
        for i in range(p.size):
            p[i] = z[i] + beta * p[i]
        curvature = product(ptr, acolumns, avalues, p, q)
        if not (curvature > 0 and rho > 0):
            code = BREAKDOWN if np.isfinite(curvature) and np.isfinite(rho) else NONFINITE
            break
        rr = advance(rho / curvature * one, p, q, x, r)
        state[0] = rho
        norm = norms[step] = np.sqrt(rr)
        done = step + 1
        if norm <= stop_at:
            code = CONVERGED
            break
        if not rr < np.inf:
            code = NONFINITE
            break
        if norm < state[1]:
            _copy(x, vectors[6])
            state[1] = norm
    return done, code


# --- nonsymmetric ----------------------------------------------------------------------------------


@inner(fastmath=_REDUCTION)
def _half(r, alpha, v):
    """R -= a v; returns r'r."""
    rr = 0.0
    for i in range(r.size):
        r[i] -= alpha * v[i]
        rr += np.float64(r[i]) * r[i]
    return rr


@inner(fastmath=_REDUCTION)
def _stabilise(alpha, y, omega, z, t, x, r):
    """X += a y + w z (8), r -= w t (9); returns r'r."""
    rr = 0.0
    for i in range(x.size):
        x[i] += alpha * y[i] + omega * z[i]
        r[i] -= omega * t[i]
        rr += np.float64(r[i]) * r[i]
    return rr


@kernel
def bicgstab(
    ptr, acolumns, avalues, rows, lp, up, columns, values, inverse, scale, vectors, state, stop_at, norms
):
    """Steps of BiCGSTAB until ||r|| <= stop_at.

    The rows of `vectors` are x, r, the shadow r0, p, v, places for y, z, t and the preconditioner, and the
    best x; `state` has rho, alpha, omega and the best norm. rho is zero where the iteration begins.
    """
    x, r, r0, p, v = vectors[0], vectors[1], vectors[2], vectors[3], vectors[4]
    y, z, t, work = vectors[5], vectors[6], vectors[7], vectors[8]
    one = x.dtype.type(1)
    tiny = ORTHOGONAL * np.finfo(x.dtype).eps
    code, done = RUNNING, 0
    for step in range(norms.size):
        old, rr = state[0], _dot(r, r)
        rho = _dot(r0, r)
        if old != 0 and not abs(rho) > tiny * np.sqrt(rr) * np.sqrt(_dot(r0, r0)):
            old = 0.0  # r has become orthogonal to its shadow: begin anew, with r itself
        if old == 0:
            _copy(r, r0)
            _copy(r, p)
            rho = rr
        else:
            beta = rho / old * (state[1] / state[2]) * one  # (1)
            omega = state[2] * one
            for i in range(p.size):
                p[i] = r[i] + beta * (p[i] - omega * v[i])  # (2)
        apply(rows, lp, up, columns, values, inverse, scale, p, work, y)  # (3)
        product(ptr, acolumns, avalues, y, v)
        slope = _dot(r0, v)
        if not abs(slope) > 0 or not np.isfinite(slope):
            code = NONFINITE if not np.isfinite(slope) else BREAKDOWN
            break
        alpha = rho / slope  # (4)
        ss = _half(r, alpha * one, v)  # (5)
        if np.sqrt(ss) <= stop_at:
            for i in range(x.size):
                x[i] += alpha * one * y[i]
            norms[step], done, code = np.sqrt(ss), step + 1, CONVERGED
            break
        apply(rows, lp, up, columns, values, inverse, scale, r, work, z)  # (6)
        product(ptr, acolumns, avalues, z, t)
        tt = _dot(t, t)
        omega = _dot(t, r) / tt if tt > 0 else 0.0  # (7)
        rr = _stabilise(alpha * one, y, omega * one, z, t, x, r)
        norm = norms[step] = np.sqrt(rr)
        done = step + 1
        state[0], state[1], state[2] = rho if omega != 0 else 0.0, alpha, omega
        if norm <= stop_at:
            code = CONVERGED
            break
        if not rr < np.inf:
            code = NONFINITE
            break
        if norm < state[3]:
            _copy(x, vectors[9])
            state[3] = norm
    return done, code


@inner(fastmath=_REDUCTION)
def _subtract(h, u, w):
    """W -= h u; returns w'w."""
    ww = 0.0
    for i in range(w.size):
        w[i] -= h * u[i]
        ww += np.float64(w[i]) * w[i]
    return ww


@kernel
def correction(rows, lp, up, columns, values, inverse, scale, basis, R, g, y, u, work, z):
    """The correction z = M V y with R y = g (6); `u` is a place for V y."""
    one, size = u.dtype.type(1), y.size
    for m in range(size):
        k = size - 1 - m
        y[k] = g[k]
        for c in range(k + 1, size):
            y[k] -= R[c, k] * y[c]
        y[k] /= R[k, k]
    u[:] = 0.0
    for k in range(size):
        _subtract(-y[k] * one, basis[k], u)
    apply(rows, lp, up, columns, values, inverse, scale, u, work, z)


@kernel
def gmres(
    ptr, acolumns, avalues, rows, lp, up, columns, values, inverse, scale,
    basis, R, rotations, g, work, stop_at, norms, size,
):  # fmt: skip
    """Steps of one cycle of GMRES, from a basis of `size` vectors on, until ||r|| <= stop_at.

    The rows of `basis` are the vectors; `R` has the columns of the triangular matrix as its rows, `g` the
    rotated right-hand side, and `work` places for M v and the preconditioner. Ends with the basis full, too.
    A direction that leads to nothing new is left out, and the code is `STAGNATED`.
    """
    one = basis.dtype.type(1)
    tiny = ORTHOGONAL * np.finfo(basis.dtype).eps
    code, done = RUNNING, 0
    for step in range(min(norms.size, R.shape[0] - size)):
        k = size + step
        w, h = basis[k + 1], R[k]
        apply(rows, lp, up, columns, values, inverse, scale, basis[k], work[1], work[0])  # (1)
        product(ptr, acolumns, avalues, work[0], w)
        before = ww = _dot(w, w)
        for i in range(k + 1):
            h[i] = 0.0
        for _ in range(2):
            for i in range(k + 1):
                dot = _dot(w, basis[i])  # (2)
                h[i] += dot
                ww = _subtract(dot * one, basis[i], w)
            if ww > 0.1 * before:  # little was lost: once is enough
                break
        norm = np.sqrt(ww)
        length = norm * norm
        for i in range(k + 1):
            length += h[i] * h[i]
        length = np.sqrt(length)
        if not length < np.inf:
            code = NONFINITE
            break
        if norm <= tiny * length:
            norm = 0.0  # the space is invariant
        for i in range(w.size):
            w[i] = w[i] / (norm * one) if norm > 0 else one * 0  # (3)
        for i in range(k):
            c, s, above = rotations[i, 0], rotations[i, 1], h[i]
            h[i] = c * above + s * h[i + 1]
            h[i + 1] = c * h[i + 1] - s * above
        top = h[k]
        radius = np.hypot(top, norm)
        if not radius > tiny * length:
            code = STAGNATED
            break
        rotations[k, 0], rotations[k, 1] = top / radius, norm / radius  # (4)
        h[k] = radius
        g[k + 1] = -norm / radius * g[k]
        g[k] = top / radius * g[k]  # (5)
        norms[step] = abs(g[k + 1])
        done = step + 1
        if norms[step] <= stop_at or norm == 0.0:
            code = CONVERGED
            break
    return done, code
