"""Compiled kernels of relaxation sweeps, on the halves of a matrix that `_cpu` makes.

Drivers do as many steps as `norms` has places, and return the steps done and a code. The numbers are those of
the equations in `sor` and `ssor`.
"""

import numpy as np

from numsolve._core.codes import CONVERGED, DIVERGED, NONFINITE, RUNNING
from numsolve._core.compiled import inner, kernel

ONE = np.uint64(1)
_FAST = {"contract", "nsz"}


# --- sweeps over x --------------------------------------------------------------------------------


@inner(fastmath=_FAST)
def _sweep_forward(rows, ptr, columns, values, diag, omega, x, b):
    start = ptr[0]
    for p in range(rows.size):
        end = ptr[p + 1]
        i = rows[p]
        total = b[i]
        for k in range(start, end):
            total -= values[k] * x[columns[k]]
        x[i] += omega * (total / diag[p] - x[i])
        start = end


@inner(fastmath=_FAST)
def _sweep_backward(rows, ptr, columns, values, diag, omega, x, b):
    n = rows.size
    end = ptr[n]
    for m in range(n):
        p = np.uint64(n - 1 - m)
        start = ptr[p]
        i = rows[p]
        total = b[i]
        for k in range(start, end):
            total -= values[k] * x[columns[k]]
        x[i] += omega * (total / diag[p] - x[i])
        end = start


@kernel
def sweep(rows, ptr, columns, values, diag, omega, x, b, directions, iterations):
    """Sweeps of successive over-relaxation, in place; `directions` is 1 forward, 2 backward, 3 both."""
    for _ in range(iterations):
        if directions & 1:
            _sweep_forward(rows, ptr, columns, values, diag, omega, x, b)
        if directions & 2:
            _sweep_backward(rows, ptr, columns, values, diag, omega, x, b)


@inner(fastmath=_FAST)
def _forward(ptr, columns, values, diag, omega, x, b):
    for i in range(x.size):
        total = b[i]
        for k in range(ptr[i], ptr[i + 1]):
            total -= values[k] * x[columns[k]]
        x[i] += omega * (total / diag[i] - x[i])


@inner(fastmath=_FAST)
def _backward(ptr, columns, values, diag, omega, x, b):
    for m in range(x.size):
        i = np.uint64(x.size - 1 - m)
        total = b[i]
        for k in range(ptr[i], ptr[i + ONE]):
            total -= values[k] * x[columns[k]]
        x[i] += omega * (total / diag[i] - x[i])


@kernel
def sweep_sorted(ptr, columns, values, diag, omega, x, b, directions, iterations):
    """The same with columns and vectors in the order of the sweep, which pays for many sweeps."""
    for _ in range(iterations):
        if directions & 1:
            _forward(ptr, columns, values, diag, omega, x, b)
        if directions & 2:
            _backward(ptr, columns, values, diag, omega, x, b)


# --- corrections in residual form ------------------------------------------------------------------


@kernel(fastmath=_FAST)
def relax_lower(lp, columns, values, diag, omega, d):
    """Solve (D/w + L) d' = d, in place."""
    for i in range(d.size):
        total = d[i]
        for k in range(lp[i], lp[i + 1]):
            total -= values[k] * d[columns[k]]
        d[i] = total * (omega / diag[i])


@inner(fastmath=_FAST)
def _relax_upper(up, columns, values, diag, omega, d):
    """Solve (D/w + U) d' = d, in place."""
    for m in range(d.size):
        i = np.uint64(d.size - 1 - m)
        total = d[i]
        for k in range(up[i], up[i + ONE]):
            total -= values[k] * d[columns[k]]
        d[i] = total * (omega / diag[i])


@inner(fastmath=_FAST)
def _sor_step(lp, up, columns, values, diag, omega, x, d):
    """One step of SOR in residual form, in one pass over the matrix; returns the square of ||r||.

    `d` is the correction that the last residual asked for, (D/w + L) d = r (1). It is added to x; what it
    leaves is r' = -((1 - 1/w) D + U) d (2), and its own correction d' takes the place of d. Row i needs d
    beyond i and d' before i, so that one array holds both.
    """
    square = 0.0
    c = 1 / omega - 1
    for i in range(x.size):
        own = d[i]
        x[i] += own
        r = c * diag[i] * own
        for k in range(up[i], up[i + 1]):
            r -= values[k] * d[columns[k]]  # (2)
        square += np.float64(r) * r
        for k in range(lp[i], lp[i + 1]):
            r -= values[k] * d[columns[k]]  # (1)
        d[i] = r * (omega / diag[i])
    return square


@kernel
def sor(lp, up, columns, values, diag, omega, x, d, stop_at, give_up_at, norms):
    """Steps of SOR until ||r|| <= stop_at."""
    code, done = RUNNING, 0
    for step in range(norms.size):
        norm = np.sqrt(_sor_step(lp, up, columns, values, diag, omega, x, d))
        norms[step] = norm
        done = step + 1
        if norm <= stop_at:
            code = CONVERGED
            break
        if not norm < give_up_at:
            code = DIVERGED if norm < np.inf else NONFINITE
            break
    return done, code


@inner(fastmath=_FAST)
def _ssor_step(lp, up, columns, values, diag, omega, x, d, e):
    """One step of SSOR in residual form: each half of the matrix is read once; returns the square of ||r||.

    `d` is the correction of the forward sweep, (D/w + L) d = r (1), and e that of the backward sweep:
    (D/w + U) e = -((1 - 1/w) D + U) d (2). What both leave is r' = -((1 - 1/w) D + L) e (3).
    """
    square = 0.0
    c = 1 / omega - 1
    for m in range(x.size):
        i = np.uint64(x.size - 1 - m)
        own = d[i]
        r = c * diag[i] * own
        for k in range(up[i], up[i + ONE]):
            r -= values[k] * d[columns[k]]  # (2): d holds d + e beyond i
        e[i] = r * (omega / diag[i])
        d[i] = own + e[i]
    for i in range(x.size):
        x[i] += d[i]
        r = c * diag[i] * e[i]
        s = r * 0
        for k in range(lp[i], lp[i + 1]):
            r -= values[k] * e[columns[k]]  # (3)
            s -= values[k] * d[columns[k]]  # (1)
        square += np.float64(r) * r
        d[i] = (r + s) * (omega / diag[i])
    return square


@kernel
def ssor(lp, up, columns, values, diag, omega, x, d, e, stop_at, give_up_at, norms):
    """Steps of SSOR until ||r|| <= stop_at; `e` is a place to work in."""
    code, done = RUNNING, 0
    for step in range(norms.size):
        norm = np.sqrt(_ssor_step(lp, up, columns, values, diag, omega, x, d, e))
        norms[step] = norm
        done = step + 1
        if norm <= stop_at:
            code = CONVERGED
            break
        if not norm < give_up_at:
            code = DIVERGED if norm < np.inf else NONFINITE
            break
    return done, code


@kernel(fastmath=_FAST)
def apply_ssor(rows, lp, up, columns, values, diag, omega, r, z, out):
    """P^-1 r into `out` for P = (D/w + L) (D/w)^-1 (D/w + U) / (2 - w), in the caller's order.

    The same as (D + wL) D^-1 (D + wU) / (w (2 - w)). `z` is a place to work in.
    """
    for p in range(z.size):
        z[p] = r[rows[p]]
    relax_lower(lp, columns, values, diag, omega, z)
    scale = (2 - omega) / omega
    for p in range(z.size):
        z[p] *= scale * diag[p]
    _relax_upper(up, columns, values, diag, omega, z)
    for p in range(z.size):
        out[rows[p]] = z[p]


# --- Young's relation, while the solve runs -------------------------------------------------------


@kernel
def better_omega(omega, ratio):
    """The best parameter by Young's theory, from the rate under a smaller one."""
    square = (ratio + omega - 1) ** 2 / (ratio * omega**2)
    return 2 / (1 + np.sqrt(1 - square)) if square < 1 else 2.0


@inner(fastmath=_FAST)
def _change_omega(lp, columns, values, diag, old, new, d):
    """Turn the correction for one parameter into that for another: (D/new + L) d' = (D/old + L) d."""
    for m in range(d.size):
        i = np.uint64(d.size - 1 - m)
        r = diag[i] * d[i] / old
        for k in range(lp[i], lp[i + ONE]):
            r += values[k] * d[columns[k]]
        d[i] = r
    relax_lower(lp, columns, values, diag, new, d)


@kernel
def sor_adaptive(lp, up, columns, values, diag, x, d, state, stop_at, give_up_at, norms):
    """Steps of SOR that raise omega when the residual falls geometrically (L. A. Hageman, D. M. Young 1981).

    `state` holds omega, the sweeps since it changed, the last norm and the last ratio of two norms. A ratio
    counts when it has settled, and when it is too slow for the parameter that it asks for.
    """
    one = x.dtype.type(1)
    omega, since, last, ratio = state[0], state[1], state[2], state[3]
    code, done = RUNNING, 0
    for step in range(norms.size):
        norm = np.sqrt(_sor_step(lp, up, columns, values, diag, omega * one, x, d))
        norms[step] = norm
        done = step + 1
        since += 1
        before, ratio, last = ratio, norm / last, norm
        if norm <= stop_at:
            code = CONVERGED
            break
        if not norm < give_up_at:
            code = DIVERGED if norm < np.inf else NONFINITE
            break
        if since >= 3 and omega - 1 < ratio < 1 and abs(ratio - before) < 0.02 * (1 - ratio):
            new = better_omega(omega, ratio)
            if omega + 0.005 < new < 1.995 and np.log(ratio) > 0.75 * np.log(new - 1):
                _change_omega(lp, columns, values, diag, omega * one, new * one, d)
                omega, since = new, 0.0
    state[0], state[1], state[2], state[3] = omega, since, last, ratio
    return done, code
