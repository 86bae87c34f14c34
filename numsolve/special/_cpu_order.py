r"""The derivatives of both logarithms in the order v, entry by entry; names and numbers as in ``_cpu_debye``.

From the radius `FAR` on, (1) differentiated term by term. Below, I by its series (3), and K by its integral
(DLMF 10.32.9), of which the trapezoidal rule has all digits::

    K_v(x) = int_0^inf exp(-x cosh u) cosh(v u) du,
    d log K_v / dv = int u exp(-x cosh u) sinh(v u) du / K_v                                              (9)

For v < 1/2 and x > 2 the terms of the series cancel; there I by its own integrals (DLMF 10.32.4), with the
rule of Gauss::

    I_v(x) = (1/pi) int_0^pi exp(x cos t) cos(v t) dt - sin(pi v)/pi int_0^inf exp(-x cosh u - v u) du,
    -dI/dv = (1/pi) int_0^pi t exp(x cos t) sin(v t) dt                                                  (10)
             + int_0^inf (cos(pi v) - u sin(pi v)/pi) exp(-x cosh u - v u) du

In (9), with u = u_0 + w and sinh(u_0) = v / x, the place of the peak, v u - x cosh u = const - r (cosh w - 1)
- v (sinh w - w).
"""

from __future__ import annotations

import math

from numsolve._core.compiled import inner, kernel

from ._cpu_debye import BLOCK, FUSED, log_of
from ._cpu_near import MOST_TERMS, exp_of
from ._tuples import DEBYE, GAUSS_NODES, GAUSS_WEIGHTS, RECIPROCAL_GAMMA, TERMS

#: Where the integrand of (9) has fallen by e^-42, the rest is below rounding errors.
FALL = 42.0
#: Below this order -K / I counts in d log I / dv.
LEAST_ORDER = 1e-6
#: Quotients beyond this may overflow.
HUGE = 1e290
#: Above this argument the integral (9) is short enough for so many nodes.
USUAL, MANY_NODES = 1e-8, 120
#: The fewest nodes of the trapezoidal rule, and nodes for each unit of a long interval.
NODES, NODES_A_UNIT = 96, 5.0


@inner(fastmath=FUSED, inline="always")
def slope_far(v, x, sign):
    """D log I / dv for the upper sign, d log K / dv for the lower, by (1).

    At the least orders d log I / dv has also a part -K / I, which is not in its expansion.
    """
    r = math.sqrt(v * v + x * x)
    t, q = v / r, sign / r
    p = t * t
    turn = 2.0 * t * (x / r) * (x / r) / r  # dp / dv
    total, change = 0.0, 0.0
    for k in range(TERMS, 0, -1):
        row, slope = DEBYE[k, k], 0.0
        for j in range(k - 1, -1, -1):
            slope = slope * p + row
            row = row * p + DEBYE[k, j]
        total = (total + row) * q
        change = (change + (slope * turn - k * (t / r) * row)) * q
    asinh = math.log1p((v + v * (v / (r + x))) / x)
    slope = change / (1.0 + total) - 0.5 * t / r - sign * asinh
    if sign > 0.0 and v < LEAST_ORDER and x < 700.0:
        other = 0.0
        for k in range(TERMS, 0, -1):
            other = -(other + DEBYE[k, 0]) * q  # t = 0
        slope -= math.pi * math.exp(-2.0 * x) * (1.0 + other) / (1.0 + total)
    return slope


@inner(fastmath=FUSED, inline="always")
def iv_slope_by_integral(v, x):
    """D log I / dv by (10), all exponentials less e^x."""
    end = math.acosh(1.0 + FALL / x)
    sine, cosine = math.sin(math.pi * v), math.cos(math.pi * v)
    value, change = 0.0, 0.0
    for i in range(GAUSS_NODES.size):
        t, u = math.pi * GAUSS_NODES[i], end * GAUSS_NODES[i]
        wave = math.pi * GAUSS_WEIGHTS[i] * math.exp(-2.0 * x * math.sin(0.5 * t) ** 2)
        decay = end * GAUSS_WEIGHTS[i] * math.exp(-x * (math.cosh(u) + 1.0) - v * u)
        value += wave * math.cos(v * t) - decay * sine
        change += wave * t * math.sin(v * t) + decay * (math.pi * cosine - u * sine)
    return -change / value


@inner(fastmath=FUSED, inline="always")
def iv_slope_near(v, x):
    """D log I / dv, the series (3) differentiated term by term."""
    n = int(v + 0.5)
    m, h = v - n, 0.5 * x
    g, slope = 0.0, 0.0
    for k in range(RECIPROCAL_GAMMA.size - 1, -1, -1):
        slope = slope * m + g
        g = g * m + RECIPROCAL_GAMMA[k]
    digamma = -slope / g
    for k in range(1, n + 1):
        digamma += 1.0 / (m + k)
    y, total, weighted, term, harmonic = h * h, 1.0, 0.0, 1.0, 0.0
    for k in range(1, MOST_TERMS):
        term *= y / (k * (v + k))
        harmonic += 1.0 / (v + k)
        total += term
        weighted += term * harmonic
        if term * harmonic < 1e-17 * weighted:
            break
    return math.log(h) - digamma - weighted / total


@inner(fastmath=FUSED, inline="always")
def kv_slope_near(v, x):
    """d log K / dv by (9)."""  # noqa: D403
    small, large = min(v, x), max(v, x)
    r = large * math.sqrt(1.0 + (small / large) * (small / large))  # squares of tiny numbers would vanish
    peak = math.log(2.0 * v) - math.log(x) if v > HUGE * x else math.log1p((v + v * (v / (r + x))) / x)
    # Beyond these distances from the peak the integrand has fallen by e^-FALL.
    right = math.acosh(1.0 + FALL / r) if r > 1.0 / HUGE else math.log(2.0 * FALL) - math.log(r)
    left = math.acosh(1.0 + FALL * (r + v) / (x * x)) if x > 1e-150 else peak
    if v > 0.0:
        left = min(left, FALL / v + math.sqrt(2.0 * FALL / v))
    left = min(left, peak)
    nodes = max(NODES, int(NODES_A_UNIT * (left + right)))
    step = (left + right) / nodes
    total, moment = 0.0, 0.0
    for i in range(nodes + 1):
        w = i * step - left
        u = peak + w
        less = math.expm1(-2.0 * v * u)
        if w < -1.0:  # there the terms below are large and of opposite signs
            fall = 0.5 * (r + v) * math.expm1(w) + 0.5 * x * x / (r + v) * math.expm1(-w) - v * w
        else:
            half = math.sinh(0.5 * w)
            fall = 2.0 * r * half * half + 2.0 * v * half * math.cosh(0.5 * w) - v * w
        weight = math.exp(-fall)
        if i == 0:
            weight *= 0.5
        total += weight * (2.0 + less)
        moment -= weight * u * less
    return moment / total


@inner(fastmath=FUSED, inline="always")
def kv_slope_block(v, x, out, work):
    """Fill in d log K / dv by (9) where x > `USUAL`, in packed instructions."""
    peak, left, step, grown, shrunk = 0, BLOCK, 2 * BLOCK, 3 * BLOCK, 4 * BLOCK
    total, moment = 5 * BLOCK, 6 * BLOCK
    for i in range(v.size):
        a, b = v[i], max(x[i], USUAL)
        r = math.sqrt(a * a + b * b)
        w = (a + a * (a / (r + b))) / b
        work[peak + i] = log_of(1.0 + w, w)
        y, z = FALL / r, FALL * (r + a) / (b * b)
        y, z = y + math.sqrt(y * (2.0 + y)), z + math.sqrt(z * (2.0 + z))
        before = min(work[peak + i], log_of(1.0 + z, z), FALL / a + math.sqrt(2.0 * FALL / a))
        work[left + i] = before
        work[step + i] = (log_of(1.0 + y, y) + before) * (1.0 / MANY_NODES)
        work[grown + i], work[shrunk + i] = 0.5 * (r + a), 0.5 * b * b / (r + a)
        work[total + i] = work[moment + i] = 0.0
    for k in range(MANY_NODES + 1):
        for i in range(v.size):
            a, w = v[i], k * work[step + i] - work[left + i]
            turn = exp_of(w)
            fall = work[grown + i] * (turn - 1.0) + work[shrunk + i] * (1.0 / turn - 1.0) - a * w
            weight = exp_of(max(-fall, -700.0)) * (0.5 if k == 0 else 1.0)
            u = work[peak + i] + w
            y = 2.0 * a * u
            back, series = exp_of(max(-y, -700.0)), 1.0
            for j in range(12, 1, -1):
                series = 1.0 - y * series * (1.0 / j)
            work[total + i] += weight * (1.0 + back)
            work[moment + i] += weight * u * (y * series if y < 0.5 else 1.0 - back)
    for i in range(v.size):
        out[i] = work[moment + i] / work[total + i]


@kernel(fastmath=FUSED)
def order_slope(v, x, out, far, sign, work):
    """Fill `out` with d log I / dv for the upper sign, d log K / dv for the lower."""
    for start in range(0, out.size, BLOCK):
        a, b, z = v[start : start + BLOCK], x[start : start + BLOCK], out[start : start + BLOCK]
        if not far and sign < 0.0:
            kv_slope_block(a, b, z, work)
        for i in range(z.size):
            if far:
                z[i] = slope_far(a[i], b[i], sign)
            elif sign < 0.0:
                if b[i] <= USUAL:
                    z[i] = kv_slope_near(a[i], b[i])
            elif a[i] < 0.5 and b[i] > 2.0:
                z[i] = iv_slope_by_integral(a[i], b[i])
            else:
                z[i] = iv_slope_near(a[i], b[i])
