"""Compiled kernels of variance-reduced Halpern iterations on finite sums of linear operators.

A problem is an `Affine` or a `Game` of `_tuples`, the former of dense or of sparse rows. Both are linear up
to a constant, so that the difference of a component at two points is the component's linear part at the
difference of the points. Odds are cumulative
probabilities and weights 1/(n q_i), both empty for uniform draws. ``marks`` is work space: the last stamp
under which an index was drawn. `Estimator` and `Splitting` hold the numbers of the two algorithms, a record
`COUNTS` what was done. Equation numbers are those of `_single_loop` and `_double_loop`.
"""

import math

from numba.extending import overload

from numsolve._core.compiled import inner, kernel

from ._cpu_lp import add_row, row_dot
from ._cpu_simplex import project
from ._tuples import BOX, L1, L2_BALL, SIMPLEX, TWO_SIMPLICES


def add_components(P, d, batch, counts, rng, out):
    """Add the mean of a batch of components' linear parts at d to out."""
    raise NotImplementedError("for compiled code")


@overload(
    add_components,
    jit_options={  # type: ignore[typeddict-unknown-key]  # options of njit, which its types forget
        "error_model": "numpy",
        "no_cpython_wrapper": True,
        "no_cfunc_wrapper": True,
    },
)
def _add_components(P, d, batch, counts, rng, out):  # noqa: ARG001
    if P.fields[0] == "Z":  # Affine

        def affine(P, d, batch, counts, rng, out):
            n = P.marks.size
            counts.stamp += 1
            for k in range(batch):
                i, weight = _draw(n, k, batch, P.odds, P.weights, P.marks, counts.stamp, rng)
                add_row(P.Z, i, weight / batch * row_dot(P.Z, i, d), out)

        return affine

    def game(P, d, batch, counts, rng, out):
        m, n = P.A.shape
        counts.stamp += 1
        rows, columns = min(batch, m), min(batch, n)
        for k in range(rows):
            i, weight = _draw(m, k, rows, P.row_odds, P.row_weights, P.row_marks, counts.stamp, rng)
            add_row(P.A, i, m * weight / rows * d[n + i], out[:n])
        for k in range(columns):
            j, weight = _draw(
                n, k, columns, P.column_odds, P.column_weights, P.column_marks, counts.stamp, rng
            )
            add_row(P.At, j, -n * weight / columns * d[j], out[n:])

    return game


@kernel
def add_components_to(P, d, batch, counts, rng, out):
    """`add_components`, to be called from Python."""
    add_components(P, d, batch, counts, rng, out)


@inner
def _draw(n, k, batch, odds, weights, marks, stamp, rng):
    """The k-th index of a batch and its weight.

    Without odds by R. Floyd's rule, which never draws an index twice under one stamp; with odds, with
    replacement, by bisection of the cumulative odds.
    """
    u = rng.random()
    if odds.size:
        low, high = 0, n - 1
        for _ in range(64):  # more than the bits of an index
            if low >= high:
                break
            middle = (low + high) // 2
            if odds[middle] <= u:
                low = middle + 1
            else:
                high = middle
        return low, weights[low]
    last = n - batch + k
    # u has 53 bits: the odds of an index are even to (last + 1) / 2^53. A product that rounds up is cut.
    i = int(u * (last + 1))
    if i > last or marks[i] == stamp:
        i = last
    marks[i] = stamp
    return i, 1.0


@kernel
def apply_to(J, v, gamma):
    """`apply`, to be called from Python."""
    apply(J, v, gamma)


@inner
def apply(J, v, gamma):
    """The resolvent of gamma G, in place."""
    if J.kind == BOX:
        for k in range(v.size):
            v[k] = min(max(v[k], J.low[k]), J.high[k])
    elif J.kind == L1:
        shrink = gamma * J.number
        for k in range(v.size):
            if v[k] > shrink:
                v[k] -= shrink
            elif v[k] < -shrink:
                v[k] += shrink
            elif abs(v[k]) <= shrink:  # NaN stays
                v[k] = 0.0
    elif J.kind == L2_BALL:
        _onto_ball(v, J.number)
    elif J.kind == SIMPLEX:
        project(v, J.number)
    elif J.kind == TWO_SIMPLICES:
        split = int(J.number)
        project(v[:split], 1.0)
        project(v[split:], 1.0)


@inner(inline="always")
def _onto_ball(v, radius):
    """Project on the ball; the squares are of entries over the largest, which neither over- nor underflow."""
    top = 0.0
    for k in range(v.size):
        top = max(top, abs(v[k]))
    squares = 0.0
    for k in range(v.size):
        squares += (v[k] / top) ** 2 if top > 0.0 else 0.0
    length = math.sqrt(squares)
    if squares > 0.0 and radius / top < length:
        for k in range(v.size):
            v[k] = v[k] / top / length * radius  # the first two do not underflow, whatever the radius is


@kernel
def page_cycle(P, J, anchor, u, g, work, plan, counts, steps, rng):
    """Iterate with the PAGE estimator g until a refresh is due; returns the iterations and whether one is.

    `plan` is an `Estimator`. `steps` bounds the loop: the caller knows the budget and the clock.
    """
    step, batch = plan.step, plan.batch
    for done in range(1, steps + 1):
        lam = 2.0 / (counts.age + 4.0)
        for k in range(u.size):
            work[k] = lam * anchor[k] + (1.0 - lam) * u[k] - step * g[k]
        apply(J, work, step)  # (1)
        for k in range(u.size):
            new = work[k]
            work[k] -= u[k]
            u[k] = new
        counts.age += 1
        p = plan.share if plan.flat < 0 else plan.share / (plan.share + min(float(counts.age), plan.flat))
        if rng.random() < p:
            return done, True
        add_components(P, work, batch, counts, rng, g)  # (2)
        counts.cost += 2 * batch
    return steps, False


@kernel
def forb_cycle(P, J, v, w, w_old, h, work, change, plan, counts, steps, rng):
    """Steps of variance-reduced forward-reflected-backward until w is to be refreshed.

    h is H(w), `plan` a `Splitting`. Returns the steps done and whether a refresh, w <- v, is due.
    """
    alpha = 1.0 - plan.odds
    for done in range(1, steps + 1):
        for k in range(v.size):
            work[k] = v[k] - w_old[k]
            change[k] = 0.0
        add_components(P, work, 1, counts, rng, change)
        counts.cost += 2
        for k in range(v.size):
            moved = h[k] + plan.eta * change[k] + work[k]
            v[k] = alpha * v[k] + (1.0 - alpha) * w[k] - plan.gamma * moved
            w_old[k] = w[k]
        apply(J, v, plan.gamma * plan.eta)  # (4)
        if rng.random() < plan.odds:
            return done, True
    return steps, False
