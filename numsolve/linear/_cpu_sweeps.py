"""Compiled kernels of relaxation sweeps, on the halves of a matrix that `_cpu` makes."""

import numpy as np
from numba import njit

RUNNING, CONVERGED, DIVERGED, NONFINITE = -1, 0, 7, 8
ONE = np.uint64(1)
_FAST = {"contract", "nsz"}


# --- sweeps over x --------------------------------------------------------------------------------


@njit(cache=True, error_model="numpy", fastmath=_FAST)
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


@njit(cache=True, error_model="numpy", fastmath=_FAST)
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


@njit(cache=True, error_model="numpy", nogil=True)
def sweep(rows, ptr, columns, values, diag, omega, x, b, directions, iterations):
    """Sweeps of successive over-relaxation, in place; `directions` is 1 forward, 2 backward, 3 both."""
    for _ in range(iterations):
        if directions & 1:
            _sweep_forward(rows, ptr, columns, values, diag, omega, x, b)
        if directions & 2:
            _sweep_backward(rows, ptr, columns, values, diag, omega, x, b)


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _forward(ptr, columns, values, diag, omega, x, b):
    for i in range(x.size):
        total = b[i]
        for k in range(ptr[i], ptr[i + 1]):
            total -= values[k] * x[columns[k]]
        x[i] += omega * (total / diag[i] - x[i])


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _backward(ptr, columns, values, diag, omega, x, b):
    for m in range(x.size):
        i = np.uint64(x.size - 1 - m)
        total = b[i]
        for k in range(ptr[i], ptr[i + ONE]):
            total -= values[k] * x[columns[k]]
        x[i] += omega * (total / diag[i] - x[i])


@njit(cache=True, error_model="numpy", nogil=True)
def sweep_sorted(rows, ptr, columns, values, diag, omega, x, b, directions, iterations):
    """The same with columns in the order of the sweep: for many sweeps it pays to sort the vectors."""
    y, c = np.empty_like(x), np.empty_like(b)
    for p in range(rows.size):
        y[p], c[p] = x[rows[p]], b[rows[p]]
    for _ in range(iterations):
        if directions & 1:
            _forward(ptr, columns, values, diag, omega, y, c)
        if directions & 2:
            _backward(ptr, columns, values, diag, omega, y, c)
    for p in range(rows.size):
        x[rows[p]] = y[p]


# --- corrections in residual form ------------------------------------------------------------------


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def relax_lower(lp, lc, lv, diag, omega, r, d):
    """Solve (D/w + L) d = r; d may be r."""
    for i in range(d.size):
        total = r[i]
        for k in range(lp[i], lp[i + 1]):
            total -= lv[k] * d[lc[k]]
        d[i] = total * (omega / diag[i])


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def relax_upper(up, uc, uv, diag, omega, r, d):
    """Solve (D/w + U) d = r; d may be r."""
    for m in range(d.size):
        i = np.uint64(d.size - 1 - m)
        total = r[i]
        for k in range(up[i], up[i + ONE]):
            total -= uv[k] * d[uc[k]]
        d[i] = total * (omega / diag[i])


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def sor_step(lp, lc, lv, up, uc, uv, diag, omega, x, d):
    """One step of SOR in residual form, in one pass over the matrix; returns the square of ||r||.

    `d` is the correction that the last residual asked for, (D/w + L) d = r. It is added to x; what it leaves
    is r' = -((1 - 1/w) D + U) d, and its own correction d' takes the place of d. Row i needs d beyond i and
    d' before i, so that one array holds both.
    """
    square = 0.0
    c = 1 / omega - 1
    for i in range(x.size):
        own = d[i]
        x[i] += own
        r = c * diag[i] * own
        for k in range(up[i], up[i + 1]):
            r -= uv[k] * d[uc[k]]
        square += np.float64(r) * r
        for k in range(lp[i], lp[i + 1]):
            r -= lv[k] * d[lc[k]]
        d[i] = r * (omega / diag[i])
    return square


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def ssor_step(lp, lc, lv, up, uc, uv, diag, omega, x, d, e):
    """One step of SSOR in residual form: each half of the matrix is read once; returns the square of ||r||.

    `d` is the correction of the forward sweep, as in `sor_step`, and e that of the backward sweep:
    (D/w + U) e = -((1 - 1/w) D + U) d. What both leave is r' = -((1 - 1/w) D + L) e.
    """
    square = 0.0
    c = 1 / omega - 1
    for m in range(x.size):
        i = np.uint64(x.size - 1 - m)
        own = d[i]
        r = c * diag[i] * own
        for k in range(up[i], up[i + ONE]):
            r -= uv[k] * d[uc[k]]  # d holds d + e beyond i
        e[i] = r * (omega / diag[i])
        d[i] = own + e[i]
    for i in range(x.size):
        x[i] += d[i]
        r = c * diag[i] * e[i]
        s = r * 0
        for k in range(lp[i], lp[i + 1]):
            r -= lv[k] * e[lc[k]]
            s -= lv[k] * d[lc[k]]
        square += np.float64(r) * r
        d[i] = (r + s) * (omega / diag[i])
    return square


@njit(cache=True, error_model="numpy", nogil=True)
def sor(lp, lc, lv, up, uc, uv, diag, omega, x, d, symmetric, stop_at, give_up_at, norms):
    """Steps of SOR or SSOR until ||r|| <= stop_at, at most as many as `norms` holds.

    Returns the number of steps and a code.
    """
    e = np.empty_like(d) if symmetric else d
    for step in range(norms.size):
        if symmetric:
            square = ssor_step(lp, lc, lv, up, uc, uv, diag, omega, x, d, e)
        else:
            square = sor_step(lp, lc, lv, up, uc, uv, diag, omega, x, d)
        norm = np.sqrt(square)
        norms[step] = norm
        if norm <= stop_at:
            return step + 1, CONVERGED
        if not norm < give_up_at:
            return step + 1, DIVERGED if norm < np.inf else NONFINITE
    return norms.size, RUNNING


@njit(cache=True, error_model="numpy", fastmath=_FAST, nogil=True)
def apply_ssor(rows, lp, lc, lv, up, uc, uv, diag, omega, r):
    """P^-1 r for P = (D/w + L) (D/w)^-1 (D/w + U) / (2 - w), in the caller's order.

    The same as (D + wL) D^-1 (D + wU) / (w (2 - w)).
    """
    n = r.size
    z = np.empty_like(r)
    for p in range(n):
        z[p] = r[rows[p]]
    relax_lower(lp, lc, lv, diag, omega, z, z)
    scale = (2 - omega) / omega
    for p in range(n):
        z[p] *= scale * diag[p]
    relax_upper(up, uc, uv, diag, omega, z, z)
    out = np.empty_like(r)
    for p in range(n):
        out[rows[p]] = z[p]
    return out


# --- Young's relation, while the solve runs -------------------------------------------------------


@njit(cache=True, error_model="numpy")
def better_omega(omega, ratio):
    """The best parameter by Young's theory, from the rate under a smaller one."""
    square = (ratio + omega - 1) ** 2 / (ratio * omega**2)
    return 2 / (1 + np.sqrt(1 - square)) if square < 1 else 2.0


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _change_omega(lp, lc, lv, diag, old, new, d):
    """Turn the correction for one parameter into that for another: (D/new + L) d' = (D/old + L) d."""
    for m in range(d.size):
        i = np.uint64(d.size - 1 - m)
        r = diag[i] * d[i] / old
        for k in range(lp[i], lp[i + ONE]):
            r += lv[k] * d[lc[k]]
        d[i] = r
    relax_lower(lp, lc, lv, diag, new, d, d)


@njit(cache=True, error_model="numpy", nogil=True)
def sor_adaptive(lp, lc, lv, up, uc, uv, diag, x, d, state, stop_at, give_up_at, norms):
    """Steps of SOR that raise omega when the residual falls geometrically (L. A. Hageman, D. M. Young 1981).

    `state` holds omega, the sweeps since it changed, the last norm and the last ratio of two norms. A ratio
    counts when it has settled, and when it is too slow for the parameter that it asks for.
    """
    one = x.dtype.type(1)
    omega, since, last, ratio = state
    for step in range(norms.size):
        norm = np.sqrt(sor_step(lp, lc, lv, up, uc, uv, diag, omega * one, x, d))
        norms[step] = norm
        since += 1
        before, ratio, last = ratio, norm / last, norm
        state[0], state[1], state[2], state[3] = omega, since, last, ratio
        if norm <= stop_at:
            return step + 1, CONVERGED
        if not norm < give_up_at:
            return step + 1, DIVERGED if norm < np.inf else NONFINITE
        if since >= 3 and omega - 1 < ratio < 1 and abs(ratio - before) < 0.02 * (1 - ratio):
            new = better_omega(omega, ratio)
            if omega + 0.005 < new < 1.995 and np.log(ratio) > 0.75 * np.log(new - 1):
                _change_omega(lp, lc, lv, diag, omega * one, new * one, d)
                omega, since = new, 0.0
                state[0], state[1] = omega, since
    return norms.size, RUNNING
