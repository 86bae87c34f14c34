"""Makes ``references.csv``: values of log I_v(x), log K_v(x) and their derivatives, from mpmath at 80 digits.

    python tests/special/data/make_references.py

From the radius 400 on, mpmath's own series are out of reach; there the Debye expansion of DLMF 10.41 is
summed to its term 70 in 100 digits, where the terms still fall. It agrees with mpmath's series below, and
with the integral of K by the trapezoidal rule (the script checks both at random points, and stops if they
differ). Derivatives are central differences of these values with steps of 1e-30.
"""

from __future__ import annotations

import csv
import functools
import random
from fractions import Fraction
from pathlib import Path

import mpmath as mp

mp.mp.dps = 100
TERMS = 70
STEP = mp.mpf(10) ** -30


@functools.cache
def debye_polynomials():
    """P_k with u_k(t) = t^k P_k(t^2), DLMF 10.41.9."""
    rows = [{0: Fraction(1)}]
    for _ in range(TERMS):
        following = {}
        for power, c in rows[-1].items():
            following[power + 1] = following.get(power + 1, 0) + c * (
                Fraction(power, 2) + Fraction(1, 8 * (power + 1))
            )
            following[power + 3] = following.get(power + 3, 0) - c * (
                Fraction(power, 2) + Fraction(5, 8 * (power + 3))
            )
        rows.append(following)
    return [{power: mp.mpf(c.numerator) / c.denominator for power, c in row.items()} for row in rows]


def debye(v, x, sign):
    r = mp.sqrt(v * v + x * x)
    t, total = v / r, mp.mpf(0)
    for k, row in enumerate(debye_polynomials()):
        # u_k(t) / v^k = (u_k(t) / t^k) / r^k
        total += (sign / r) ** k * mp.fsum(c * t ** (power - k) for power, c in row.items())
    leading = r - v * mp.asinh(v / x)
    scale = 2 * mp.pi * r if sign > 0 else 2 * r / mp.pi
    return sign * leading - mp.log(scale) / 2 + mp.log(total)


def log_iv(v, x):
    if mp.hypot(v, x) > 400:
        return debye(v, x, 1)
    total = term = mp.mpf(1)
    k = 0
    while term > total * mp.mpf(10) ** -105:
        k += 1
        term *= x * x / 4 / (k * (v + k))
        total += term
    return v * mp.log(x / 2) - mp.loggamma(v + 1) + mp.log(total)


def log_kv(v, x):
    return debye(v, x, -1) if mp.hypot(v, x) > 400 else mp.log(mp.besselk(v, x))


def by_integral(v, x):
    """log K by the trapezoidal rule for the integral of exp(-x cosh u) cosh(v u)."""
    peak = mp.asinh(v / x)
    top, h, total, u = v * peak - x * mp.cosh(peak), mp.mpf(1) / 96, mp.mpf(0), mp.mpf(0)
    while u < peak or v * u - x * mp.cosh(u) - top > -250:
        part = mp.exp(v * u - x * mp.cosh(u) - top) * (1 + mp.exp(-2 * v * u)) / 2
        total += part / 2 if u == 0 else part
        u += h
    return top + mp.log(total * h)


def derivatives(f, v, x):
    dv, dx = STEP * max(v, mp.mpf(1)), STEP * x
    in_v = (f(v + dv, x) - f(abs(v - dv) if f is log_kv else v - dv, x)) / (2 * dv)
    return (f(v, x + dx) - f(v, x - dx)) / (2 * dx), in_v


def points():
    rng = random.Random(14)
    for _ in range(240):
        yield 10 ** rng.uniform(-8, 8), 10 ** rng.uniform(-8, 8)
    for _ in range(60):
        yield 10 ** rng.uniform(-1, 2), 10 ** rng.uniform(-1, 2)
    for v in (0.0, 0.5, 1.0, 1.5, 2.5, 7.0, 12.5, 24.0, 24.5, 25.0, 100.0, 1000.5, 4095.0):
        for x in (1e-8, 0.3, 2.0, 2.0000000000000004, 7.0, 24.99, 25.0, 25.01, 3e4):
            yield v, x
    for k in range(24):  # the radius 25, and the curve where the exponent of Debye's expansion vanishes
        angle = mp.pi / 2 * k / 24
        for radius in (24.999999999, 25.0, 25.000000001):
            yield float(radius * mp.sin(angle)), float(radius * mp.cos(angle))
        v = 10 ** rng.uniform(0.5, 8)
        yield v, v * 0.6627434193491815 * (1 + rng.choice([0, 1e-12, -1e-7, 1e-4, -1e-2, 0.104, -0.096]))


def main():
    rng = random.Random(1)
    for _ in range(5):
        v, x = mp.mpf(rng.uniform(0, 30)), mp.mpf(rng.uniform(0.1, 30))
        assert abs(log_kv(v, x) - by_integral(v, x)) < mp.mpf(10) ** -80
        v, x = mp.mpf(rng.uniform(350, 390)), mp.mpf(rng.uniform(1, 90))
        assert abs(log_iv(v, x) - debye(v, x, 1)) < mp.mpf(10) ** -80
        assert abs(log_kv(v, x) - debye(v, x, -1)) < mp.mpf(10) ** -80
    with Path(__file__).with_name("references.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["v", "x", "log_i", "i_dx", "i_dv", "log_k", "k_dx", "k_dv"])
        for v, x in points():
            a, b = mp.mpf(v), mp.mpf(x)
            row = (log_iv(a, b), *derivatives(log_iv, a, b), log_kv(a, b), *derivatives(log_kv, a, b))
            table.writerow([repr(v), repr(x), *(mp.nstr(value, 25) for value in row)])


if __name__ == "__main__":
    main()
