"""Compiled kernels of variance-reduced Halpern iterations on finite sums of linear operators.

A problem is an `Affine` or a `Game` of `_tuples`; both are linear up to a constant, so that the difference of
a component at two points is the component's linear part at the difference of the points. Odds are cumulative
probabilities and weights 1/(n q_i), both empty for uniform draws. ``marks`` is work space: the last stamp
under which an index was drawn.
"""

import math

import numpy as np
from numba import njit
from numba.extending import overload

from ._cpu_game import project

_FAST = {"contract", "nsz", "reassoc"}

# Places in `counts`, of int64.
AGE, COST, STAMP = range(3)


def add_components(P, d, batch, counts, rng, out):
    """Add the mean of a batch of components' linear parts at d to out."""
    raise NotImplementedError("for compiled code")


@overload(add_components, jit_options={"error_model": "numpy"})
def _add_components(P, d, batch, counts, rng, out):  # noqa: ARG001
    if P.fields[0] == "Z":  # Affine

        def affine(P, d, batch, counts, rng, out):
            n = P.Z.shape[0]
            counts[STAMP] += 1
            for k in range(batch):
                i, weight = _draw(n, k, batch, P.odds, P.weights, P.marks, counts[STAMP], rng)
                z = P.Z[i]
                _add(z, weight / batch * _dot(z, d), out)

        return affine

    def game(P, d, batch, counts, rng, out):
        m, n = P.A.shape
        counts[STAMP] += 1
        rows, columns = min(batch, m), min(batch, n)
        for k in range(rows):
            i, weight = _draw(m, k, rows, P.row_odds, P.row_weights, P.row_marks, counts[STAMP], rng)
            _add(P.A[i], m * weight / rows * d[n + i], out[:n])
        for k in range(columns):
            j, weight = _draw(
                n, k, columns, P.column_odds, P.column_weights, P.column_marks, counts[STAMP], rng
            )
            _add(P.At[j], -n * weight / columns * d[j], out[n:])

    return game


@njit(cache=True, error_model="numpy")
def add_components_to(P, d, batch, counts, rng, out):
    """`add_components`, to be called from Python."""
    add_components(P, d, batch, counts, rng, out)


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _dot(u, v):
    total = 0.0
    for k in range(u.size):
        total += u[k] * v[k]
    return total


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _add(u, factor, out):
    for k in range(u.size):
        out[k] += factor * u[k]


@njit(cache=True, error_model="numpy")
def _draw(n, k, batch, odds, weights, marks, stamp, rng):
    """The k-th index of a batch and its weight.

    Without odds by R. Floyd's rule, which never draws an index twice under one stamp; with odds, with
    replacement.
    """
    if odds.size:
        i = min(np.searchsorted(odds, rng.random(), side="right"), n - 1)
        return i, weights[i]
    last = n - batch + k
    i = rng.integers(0, last + 1)
    if marks[i] == stamp:
        i = last
    marks[i] = stamp
    return i, 1.0


@njit(cache=True, error_model="numpy")
def apply(J, v, gamma):
    """The resolvent of gamma G, in place."""
    if J.kind == 1:
        for k in range(v.size):
            v[k] = min(max(v[k], J.low[k]), J.high[k])
    elif J.kind == 2:
        shrink = gamma * J.number
        for k in range(v.size):
            v[k] = max(v[k] - shrink, 0.0) + min(v[k] + shrink, 0.0)
    elif J.kind == 3:
        size = math.sqrt(_dot(v, v))
        if size > J.number:
            v *= J.number / size
    elif J.kind == 4:
        project(v, J.number)
    elif J.kind == 5:
        split = int(J.number)
        project(v[:split], 1.0)
        project(v[split:], 1.0)


@njit(cache=True, error_model="numpy")
def page_cycle(P, J, anchor, u, g, step, batch, share, flat, counts, steps, rng):
    """Iterate with the PAGE estimator g until a refresh is due; returns the iterations and whether one is.

        u <- J(lam anchor + (1 - lam) u - step g),    lam = 2 / (k + 4),
        g <- F(u) with probability p_k, else g + mean of F_i(u_new) - F_i(u_old) over a batch,

    with p_k = share / (share + min(k, flat)), or p_k = share if flat is negative.
    """
    d = np.empty(u.size)
    for done in range(1, steps + 1):
        lam = 2.0 / (counts[AGE] + 4.0)
        for k in range(u.size):
            d[k] = lam * anchor[k] + (1.0 - lam) * u[k] - step * g[k]
        apply(J, d, step)
        for k in range(u.size):
            new = d[k]
            d[k] -= u[k]
            u[k] = new
        counts[AGE] += 1
        p = share if flat < 0 else share / (share + min(counts[AGE], flat))
        if rng.random() < p:
            return done, True
        add_components(P, d, batch, counts, rng, g)
        counts[COST] += 2 * batch
    return steps, False


@njit(cache=True, error_model="numpy")
def forb_cycle(P, J, v, w, w_old, h, eta, gamma, alpha, p, counts, steps, rng):
    """Steps of variance-reduced forward-reflected-backward until w is to be refreshed.

    For H = eta F + I - u and its components,

        v <- J(alpha v + (1 - alpha) w - gamma [H(w) + H_i(v) - H_i(w_old)]),   w_old <- w,

    with h = H(w). Returns the steps and whether a refresh, w <- v, is due.
    """
    d, change = np.empty(v.size), np.empty(v.size)
    for done in range(1, steps + 1):
        for k in range(v.size):
            d[k] = v[k] - w_old[k]
            change[k] = 0.0
        add_components(P, d, 1, counts, rng, change)
        counts[COST] += 2
        for k in range(v.size):
            v[k] = alpha * v[k] + (1.0 - alpha) * w[k] - gamma * (h[k] + eta * change[k] + d[k])
        apply(J, v, gamma * eta)
        w_old[:] = w
        if rng.random() < p:
            return done, True
    return steps, False
