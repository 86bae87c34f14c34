"""Compiled kernels of the outer iteration: products in double precision, and conjugate gradients.

The layout is that of `_cpu`. `diag` is 0 where there is no unknown; w0, w1, w2 are None where the weights
are constant, `plane` is None in two dimensions.
"""

import numpy as np

from numsolve._core.codes import BREAKDOWN, CONVERGED, NONFINITE, RUNNING
from numsolve._core.compiled import inner, kernel

from ._cpu import cycle
from ._tuples import FIRST, N0, N1, N2, ROW, SIZE, STRIDE

_FAST = {"contract", "nsz", "reassoc"}
U = np.uint64


@kernel
def spread(values, cells, level, factor, packed, out):
    """Numbers of a grid, or of its unknowns alone, times a factor, to their places."""
    n = 0
    for a in range(level[N0]):
        for b in range(level[N1]):
            row = (level[FIRST] + a * level[STRIDE] + b) * level[ROW] + 1
            for j in range(level[N2]):
                kind = cells[a + 1, b + 1, j + 1]
                at = ((a + b + j) & 1) * level[SIZE] + row + (j >> 1)
                if 1 <= kind <= 2:
                    out[at] = 0
                    n += not packed
                else:
                    out[at] = values[n] * factor
                    n += 1


@kernel
def collect(values, cells, level, factor, packed, fill, out):
    """The inverse of `spread`: numbers from their places, `fill` elsewhere on the grid."""
    n = 0
    for a in range(level[N0]):
        for b in range(level[N1]):
            row = (level[FIRST] + a * level[STRIDE] + b) * level[ROW] + 1
            for j in range(level[N2]):
                kind = cells[a + 1, b + 1, j + 1]
                if not 1 <= kind <= 2:
                    out[n] = values[((a + b + j) & 1) * level[SIZE] + row + (j >> 1)] * factor
                    n += 1
                elif not packed:
                    out[n] = fill
                    n += 1


@inner(fastmath=_FAST)
def _product_row(p, q, diag, w0, w1, w2, ratio, at, left, row, plane, n):
    """One row of q = A p; returns p'q."""
    i, same = at
    right, up, down = left + U(1), same - row, same + row
    total = 0.0
    if w1 is None:
        c0, c1, c2 = ratio[0], ratio[1], ratio[2]
        for m in range(n):
            k = U(m)
            s = c2 * (p[left + k] + p[right + k]) + c1 * (p[up + k] + p[down + k])
            if plane is not None:
                s += c0 * (p[same - plane + k] + p[same + plane + k])
            s = diag[i + k] * p[i + k] - s
            s = s if diag[i + k] > 0 else 0.0
            q[i + k] = s
            total += p[i + k] * s
    else:
        for m in range(n):
            k = U(m)
            s = w2[left + k] * p[left + k] + w2[i + k] * p[right + k]
            s += w1[up + k] * p[up + k] + w1[i + k] * p[down + k]
            if plane is not None:
                s += w0[same - plane + k] * p[same - plane + k] + w0[i + k] * p[same + plane + k]
            s = diag[i + k] * p[i + k] - s
            q[i + k] = s
            total += p[i + k] * s
    return total


@inner
def _product(level, p, q, diag, w0, w1, w2, ratio, plane):
    row, n, total = U(level[ROW]), level[ROW] - 2, 0.0
    for colour in range(2):
        for a in range(level[N0]):
            for b in range(level[N1]):
                own = U((level[FIRST] + a * level[STRIDE] + b) * level[ROW] + 1)
                at = own + U(colour * level[SIZE]), own + U((1 - colour) * level[SIZE])
                left = at[1] + U((colour + a + b) & 1) - U(1)
                total += _product_row(p, q, diag, w0, w1, w2, ratio, at, left, row, plane, n)
    return total


@kernel
def product(level, p, q, diag, w0, w1, w2, ratio, plane):
    """Compute q = A p; returns p'q."""
    return _product(level, p, q, diag, w0, w1, w2, ratio, plane)


@inner(fastmath=_FAST)
def _dot(u, v, n):
    total = 0.0
    for k in range(n):
        total += np.float64(u[k]) * np.float64(v[k])
    return total


@inner(fastmath=_FAST)
def _direction(beta, z, p):
    for k in range(p.size):
        p[k] = z[k] + beta * p[k]


@inner(fastmath=_FAST)
def _advance(alpha, p, q, x, r, f):
    """Step: x += alpha p, r -= alpha q, and f = r in the precision of the cycle; returns r'r."""
    rr = 0.0
    for k in range(x.size):
        x[k] += alpha * p[k]
        v = r[k] - alpha * q[k]
        r[k] = v
        f[k] = v
        rr += v * v
    return rr


@kernel
def cg(h, sweeps, level, diag, w0, w1, w2, ratio, plane, vectors, state, stop_at, norms):
    """Steps of preconditioned conjugate gradients until ||r|| <= stop_at.

    The rows of `vectors` are x, r, p and a place for A p; `state` holds r'z from one call to the next, 0
    at the start. The cycle's right-hand side is r already. Without a place in `norms` it is one cycle and no
    step: a kernel of its own for that would be compiled for as long again.
    """
    x, r, p, q = vectors[0], vectors[1], vectors[2], vectors[3]
    n, code, done = x.size, RUNNING, 0
    for step in range(norms.size + (norms.size == 0)):
        cycle(h, sweeps)
        if norms.size == 0:
            break
        z = h.u[:n]
        rho = _dot(z, r, n)
        if not rho > 0:
            code = BREAKDOWN if rho > -np.inf else NONFINITE
            break
        beta = 0.0
        if state[0] > 0:
            beta = rho / state[0]
        _direction(beta, z, p)
        curvature = _product(level, p, q, diag, w0, w1, w2, ratio, plane)
        if not curvature > 0:
            code = BREAKDOWN if curvature > -np.inf else NONFINITE
            break
        state[0] = rho
        rr = _advance(rho / curvature, p, q, x, r, h.f)
        norms[step] = np.sqrt(rr)
        done = step + 1
        if norms[step] <= stop_at:
            code = CONVERGED
            break
        if not rr < np.inf:
            code = NONFINITE
            break
    return done, code
