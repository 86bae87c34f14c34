"""Newton's method of `newton.py` for many small problems in one compiled call; notation as in `_cpu`.

The same steps in the same order, without what only large problems need: products are dense, and a problem
that this loop gives up is left to `newton.py`.
"""

import numpy as np
from numba import njit

from ._cpu import (
    column_products,
    least_in_columns,
    least_in_rows,
    log_row_sums,
    row_products,
    scaled_cost,
    spread_cost,
    transform,
)
from ._cpu_newton import schur_cg

#: What `newton_batch` counts for each problem.
COUNTS = ("converged", "nnewton", "nsinkhorn", "ncg", "stages")
#: What it measures.
VALUES = ("error", "value_linear", "lower", "upper")


@njit(cache=True, error_model="numpy", nogil=True)
def newton_batch(M, a, b, reg, first, warm, tol, maxiter, f, g, P, counts, values):
    """Solve each problem of a batch; f (the start), g, P, counts and values are written.

    ``first`` (B,) are the regularisations to begin with, reg times powers of 4, unless a ``warm`` start is
    good enough for reg itself; a and b have sum one.
    """
    for k in range(M.shape[0]):
        g_k, r = _solve(M[k], a[k], b[k], reg, first[k], warm, tol, maxiter, f[k], P[k], counts[k])
        for j in range(g_k.size):
            g[k, j] = g_k[j]
        _measure(M[k], a[k], b[k], f[k], P[k], r, values[k])


@njit(cache=True, error_model="numpy")
def _solve(M, a, b, reg, first, warm, tol, maxiter, f, P, counts):
    eps = reg if warm else first
    _, g, r = transform(M, f, np.zeros(b.size), b, eps, P)
    stages = 1
    if not (warm and _distance(r, a) <= 0.1):
        if eps < first:
            eps = first
            _, g, r = transform(M, f, g, b, eps, P)
        for _ in range(3):
            g, r = _sweep(M, a, b, eps, f, g, r, P)
        counts[2] += 3
    damping = 1.0
    for _ in range(maxiter):
        error = _distance(r, a)
        if eps == reg and error <= 0.999 * tol:
            counts[0] = 1
            break
        if not error < np.inf:
            break
        if eps > reg and error <= 1e-2:
            eps *= 0.25
            stages += 1
            damping = 1.0
            _, g, r = transform(M, f, g, b, eps, P)
            g, r = _sweep(M, a, b, eps, f, g, r, P)
            counts[2] += 1
            continue
        goal = tol if eps == reg else 1e-2
        g, r, cut, steps = _newton_step(M, a, b, eps, f, g, r, P, error, goal, damping)
        counts[1] += 1
        counts[3] += steps
        if cut >= 4:
            damping = min(10.0 * damping, 1e6)
        elif cut < 3:
            damping = max(1.0, 0.1 * damping)
        if cut > 0 or _far_off(r, a):
            g, r = _sweep(M, a, b, eps, f, g, r, P)
            counts[2] += 1
    counts[4] = stages
    return g, r


@njit(cache=True, error_model="numpy")
def _sweep(M, a, b, eps, f, g, r, P):
    """One iteration of Sinkhorn; f is written, g and r are returned."""
    underflow = False
    for i in range(r.size):
        underflow |= not r[i] > 1e-290
    if underflow:
        log_r = log_row_sums(M, f, g, eps)
        for i in range(r.size):
            f[i] += eps * (np.log(a[i]) - log_r[i])
    else:
        for i in range(r.size):
            f[i] += eps * np.log(a[i] / r[i])
    _, g, r = transform(M, f, g, b, eps, P)
    return g, r


@njit(cache=True, error_model="numpy")
def _newton_step(M, a, b, eps, f, g, r, P, error, goal, damping):
    """Go along the solution of (S + sigma diag(max(a, r))) x = a - r as far as F rises enough; f is written.

    Returns g, r, how often the step was halved, and the conjugate-gradient steps.
    """
    n = a.size
    small = min(1.0, error)
    sigma = min(0.1, 1e-3 * small * damping)
    d, rhs = np.empty(n), np.empty(n)
    excess = 0.0
    for i in range(n):
        d[i] = r[i] + sigma * max(a[i], r[i])
        excess += a[i] - r[i]
    size = 0.0
    for i in range(n):
        rhs[i] = a[i] - r[i] - excess * a[i]
        size += abs(rhs[i])
    x, steps, _ = schur_cg(P, d, b, rhs, max(min(0.1, error), 0.3 * goal / error) * size, 20 * n)
    fun = slope = noise = 0.0
    for i in range(n):
        fun += a[i] * f[i]
        slope += eps * (a[i] - r[i]) * x[i]
        noise += a[i] * abs(f[i])
    for j in range(b.size):
        fun += b[j] * g[j]
        noise += b[j] * abs(g[j])
    noise *= 4.4e-16
    start, stabiliser = f.copy(), g
    step = 1.0
    for cut in range(14):
        for i in range(n):
            f[i] = start[i] + step * eps * x[i]
        _, g, r = transform(M, f, stabiliser, b, eps, P)
        new = _dot(a, f) + _dot(b, g)
        level = new >= fun - 300 * noise
        if new >= fun + 1e-4 * step * slope - noise or (level and _distance(r, a) < 0.5 * error):
            break
        step = 0.5 * step if cut < 12 else 0.0
    return g, r, cut, steps


@njit(cache=True, error_model="numpy")
def _measure(M, a, b, f, P, r, values):
    """The error of both marginals, the cost of the plan, and the bounds of `_bounds`."""
    n, m = P.shape
    ones_a, ones_b = np.ones(n), np.ones(m)
    values[0] = _distance(r, a) + _distance(column_products(P, ones_a), b)
    values[1] = scaled_cost(P, M, ones_a, ones_b)
    dual = least_in_columns(M, f)
    values[2] = _dot(a, least_in_rows(M, dual)) + _dot(b, dual)
    for i in range(n):
        ones_a[i] = a[i] / max(a[i], r[i])
    c = column_products(P, ones_a)
    for j in range(m):
        ones_b[j] = b[j] / max(b[j], c[j])
    values[3] = scaled_cost(P, M, ones_a, ones_b)
    r = row_products(P, ones_b)
    total = 0.0
    for i in range(n):
        r[i] = a[i] - ones_a[i] * r[i]
        total += r[i]
    for j in range(m):
        c[j] = b[j] - ones_b[j] * c[j]
    if total > 0.0:
        values[3] += spread_cost(M, r, c) / total


@njit(cache=True, error_model="numpy")
def _far_off(r, a):
    """Whether a row is off by a factor of 8."""
    far = False
    for i in range(r.size):
        far |= not (r[i] < 8.0 * a[i] and a[i] < 8.0 * r[i])
    return far


@njit(cache=True, error_model="numpy")
def _distance(x, y):
    total = 0.0
    for i in range(x.size):
        total += abs(x[i] - y[i])
    return total


@njit(cache=True, error_model="numpy")
def _dot(x, y):
    total = 0.0
    for i in range(x.size):
        total += x[i] * y[i]
    return total
