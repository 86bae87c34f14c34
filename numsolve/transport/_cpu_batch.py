"""Newton's method of `newton.py` for many small problems in one compiled call; notation as in `_cpu`.

The same steps in the same order, without what only large problems need: products are dense. A problem with
which this loop has difficulties is given up, and left to `newton.py`. ``halt`` (1,) is looked at after each
step: whoever writes a number there, from another thread, ends the loop.

Memory for one problem of n rows and m columns:

    rows (9, n)       row sums, the last f, d, the right-hand side, and the five of `_cpu_newton`, the second
                      of which is x;
    columns (4, m)    the last g, two for `_cpu.transform_into`, and the one of `_cpu_newton`.
"""

import numpy as np

from numsolve._core.compiled import inner, kernel

from ._cpu import transform_into
from ._cpu_newton import cg

#: What is counted for each problem.
COUNTS = np.dtype([(name, np.int64) for name in ("converged", "nnewton", "nsinkhorn", "ncg", "stages")])
#: How many rows of memory `newton_batch` wants.
ROWS, COLUMNS = 9, 4


@kernel
def newton_batch(M, a, b, reg, first, warm, tol, maxiter, f, g, P, counts, halt, rows, columns, trace):
    """Solve each problem of a batch; f (the start), g, P and counts are written.

    ``reg`` (B,) are their regularisations, ``first`` (B,) those to begin with, reg times powers of 4, unless
    a ``warm`` start is good enough for reg itself; a and b have sum one.
    ``trace`` (B, K, 2) gets the error and the regularisation of the first K points of each.
    """
    for k in range(M.shape[0]):
        if halt[0] != 0:
            break
        _solve(
            M[k],
            a[k],
            b[k],
            reg[k],
            first[k],
            warm,
            tol,
            maxiter,
            f[k],
            g[k],
            P[k],
            counts[k],
            halt,
            rows,
            columns,
            trace[k],
        )


@inner(inline="always")
def _solve(M, a, b, reg, first, warm, tol, maxiter, f, g, P, counts, halt, rows, columns, trace):
    r, work = rows[0], columns[1:3]
    eps = reg if warm else first
    for j in range(b.size):
        g[j] = 0.0
    transform_into(M, f, g, b, eps, P, g, r, work)
    stages, sweeps = 1, 0
    if not (warm and _distance(r, a) <= 0.1):
        if eps < first:
            eps = first
            transform_into(M, f, g, b, eps, P, g, r, work)
        sweeps = 3
    damping = 1.0
    for step in range(maxiter):
        while sweeps > 0 and _rows_put_right(f, a, r, eps):
            sweeps -= 1
            counts.nsinkhorn += 1
            transform_into(M, f, g, b, eps, P, g, r, work)
        error = _distance(r, a)
        if step < trace.shape[0]:
            trace[step, 0], trace[step, 1] = error, eps
        if eps == reg and error <= 0.999 * tol:
            counts.converged = 1
            break
        if sweeps > 0 or not error < np.inf or halt[0] != 0:
            break
        if eps > reg and error <= 1e-2:
            eps *= 0.25
            stages += 1
            damping = 1.0
            sweeps = 1
            transform_into(M, f, g, b, eps, P, g, r, work)
            continue
        goal = tol if eps == reg else 1e-2
        cut, steps = _newton_step(M, a, b, eps, f, g, P, error, goal, damping, halt, rows, columns)
        counts.nnewton += 1
        counts.ncg += steps
        if cut >= 4:
            damping = min(10.0 * damping, 1e6)
        elif cut < 3:
            damping = max(1.0, 0.1 * damping)
        if cut > 0 or _far_off(r, a):
            sweeps = 1
    counts.stages = stages


@inner
def _rows_put_right(f, a, r, eps):
    """Half an iteration of Sinkhorn, f is written; False where a sum has underflowed."""
    good = True
    for i in range(r.size):
        good &= r[i] > 1e-290
    if good:
        for i in range(r.size):
            f[i] += eps * np.log(a[i] / r[i])
    return good


@inner(inline="always")
def _newton_step(M, a, b, eps, f, g, P, error, goal, damping, halt, rows, columns):
    """Go along the solution of (S + sigma diag(max(a, r))) x = a - r as far as F rises enough.

    f, g, P and the row sums are written. Returns how often the step was halved, and the conjugate-gradient
    steps.
    """
    r, start, d, rhs, x = rows[0], rows[1], rows[2], rows[3], rows[5]
    stabiliser, work = columns[0], columns[1:3]
    n = a.size
    sigma = min(0.1, 1e-3 * min(1.0, error) * damping)
    excess = 0.0
    for i in range(n):
        start[i] = f[i]
        d[i] = r[i] + sigma * max(a[i], r[i])
        excess += a[i] - r[i]
    size = 0.0
    for i in range(n):
        rhs[i] = a[i] - r[i] - excess * a[i]
        size += abs(rhs[i])
    stop = max(min(0.1, error), 0.3 * goal / error) * size
    steps, rz = 0, 0.0
    for part in range(20):  # n steps each
        done, rz, norm = cg(P, d, b, rhs, stop, n, part == 19, rz, rows[4:], columns[3])
        steps += done
        if not (rz > 0.0 and norm > stop) or halt[0] != 0:
            break
    fun = slope = noise = 0.0
    for i in range(n):
        fun += a[i] * f[i]
        slope += eps * (a[i] - r[i]) * x[i]
        noise += a[i] * abs(f[i])
    for j in range(b.size):
        stabiliser[j] = g[j]
        fun += b[j] * g[j]
        noise += b[j] * abs(g[j])
    noise *= 4.4e-16
    step = 1.0
    for cut in range(14):
        for i in range(n):
            f[i] = start[i] + step * eps * x[i]
        transform_into(M, f, stabiliser, b, eps, P, g, r, work)
        new = _dot(a, f) + _dot(b, g)
        level = new >= fun - 300 * noise
        if new >= fun + 1e-4 * step * slope - noise or (level and _distance(r, a) < 0.5 * error):
            break
        step = 0.5 * step if cut < 12 else 0.0
    return cut, steps


@inner
def _far_off(r, a):
    """Whether a row is off by a factor of 8."""
    far = False
    for i in range(r.size):
        far |= not (r[i] < 8.0 * a[i] and a[i] < 8.0 * r[i])
    return far


@inner
def _distance(x, y):
    total = 0.0
    for i in range(x.size):
        total += abs(x[i] - y[i])
    return total


@inner
def _dot(x, y):
    total = 0.0
    for i in range(x.size):
        total += x[i] * y[i]
    return total
