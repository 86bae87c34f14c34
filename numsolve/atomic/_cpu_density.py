"""Functionals of the density: the Hartree potential and the local exchange-correlation energy.

``rho = 4 pi r^2 n`` is the radial density, on the quadrature points in the layout (blocks, points, 8).
"""

import math

import numpy as np
from numba import njit

from ._cpu_lanes import load, store

TINY = 2.2250738585072014e-308  # the smallest normal number: densities below count as none
#: A, y0, b, c of Vosko, Wilk, Nusair: paramagnetic, ferromagnetic, spin stiffness
_PARA = (0.0310907, -0.10498, 3.72744, 12.9352)
_FERRO = (0.01554535, -0.32500, 7.06042, 18.0578)
_STIFF = (-1.0 / (6.0 * math.pi**2), -0.00475840, 1.13107, 13.0045)


@njit(cache=True)
def hartree(t, rho, v):
    """v(r) = (1 / r) int_0^r rho + int_r^rmax rho / s ds."""
    blocks, points = t.r.shape[:2]
    elements = t.n_elements
    charge, potential = np.zeros(blocks * 8), np.zeros(blocks * 8)
    for b in range(blocks):
        for lane in range(min(8, elements - 8 * b)):
            for q in range(points):
                part = t.weight[b, q, lane] * rho[b, q, lane]
                charge[b * 8 + lane] += part
                potential[b * 8 + lane] += part / t.r[b, q, lane]
    inside, outside = np.zeros((blocks, 8)), np.zeros((blocks, 8))
    for e in range(1, elements):
        inside[e // 8, e % 8] = inside[(e - 1) // 8, (e - 1) % 8] + charge[e - 1]
    beyond = 0.0
    for e in range(elements - 1, -1, -1):
        beyond += potential[e]
        outside[e // 8, e % 8] = beyond
    over_r = np.empty_like(rho)
    for k in range(rho.size // 8):
        store(over_r, k, load(rho, k) / load(t.r, k))
    for b in range(blocks):
        for q in range(points):
            at = b * points + q
            inner, outer = load(inside, b), load(outside, b)
            for k in range(points):
                c = load(t.cumulative, at * points + k)
                inner = inner + c * load(rho, b * points + k)
                outer = outer - c * load(over_r, b * points + k)
            store(v, at, inner / load(t.r, at) + outer)


@njit(cache=True)
def _fit(y, parameters):
    """The fit of Vosko, Wilk and Nusair at y = sqrt(r_s), and its derivative in y."""
    A, y0, b, c = parameters
    Q = math.sqrt(4.0 * c - b * b)
    Y = y * y + b * y + c
    f = b * y0 / (y0 * y0 + b * y0 + c)
    angle = 2.0 / Q * math.atan(Q / (2.0 * y + b))
    value = math.log(y * y / Y) + b * angle - f * (math.log((y - y0) ** 2 / Y) + (b + 2.0 * y0) * angle)
    slope = 2.0 / y - 2.0 * (y + b) / Y - f * (2.0 / (y - y0) - 2.0 * (y + b + y0) / Y)
    return A * value, A * slope


@njit(cache=True)
def _relativity(n, c):
    """Factors of the exchange energy and potential by MacDonald and Vosko, at beta = (3 pi^2 n)^(1/3) / c."""
    beta = (3.0 * math.pi**2 * n) ** (1.0 / 3.0) / c
    b2 = beta * beta
    if beta < 1e-2:  # the closed forms cancel
        bracket = beta * (2.0 / 3.0 - b2 * (0.2 - b2 * 3.0 / 28.0))
        ratio = 1.0 - b2 * (2.0 / 3.0 - b2 * 8.0 / 15.0)
    else:
        mu = math.sqrt(1.0 + b2)
        arc = math.asinh(beta)
        bracket = (beta * mu - arc) / b2
        ratio = arc / (beta * mu)
    return 1.0 - 1.5 * bracket * bracket, 1.5 * ratio - 0.5


@njit(cache=True)
def lda_point(n, c, exchange, correlation):
    """Energy per electron and potential of the unpolarised gas; c = inf without relativity."""
    if n < TINY:
        return 0.0, 0.0
    root = n ** (1.0 / 3.0)
    energy = -0.75 * (3.0 / math.pi) ** (1.0 / 3.0) * root * exchange
    potential = 4.0 / 3.0 * energy
    if c < np.inf:
        factor_e, factor_v = _relativity(n, c)
        energy *= factor_e
        potential *= factor_v
    if correlation > 0.0:
        y = math.sqrt((3.0 / (4.0 * math.pi)) ** (1.0 / 3.0) / root)
        value, slope = _fit(y, _PARA)
        energy += correlation * value
        potential += correlation * (value - y / 6.0 * slope)
    return energy, potential


@njit(cache=True)
def lsda_point(up, down, exchange, correlation):
    """Energy per electron and the potentials of both spins, by the spin interpolation of VWN5."""
    n = up + down
    if n < TINY:
        return 0.0, 0.0, 0.0
    scale = -0.75 * (6.0 / math.pi) ** (1.0 / 3.0)
    x_up, x_down = scale * up ** (1.0 / 3.0), scale * down ** (1.0 / 3.0)
    energy = exchange * (x_up * up + x_down * down) / n
    v_up, v_down = 4.0 / 3.0 * exchange * x_up, 4.0 / 3.0 * exchange * x_down
    if correlation > 0.0:
        y = math.sqrt((3.0 / (4.0 * math.pi * n)) ** (1.0 / 3.0))
        z = (up - down) / n
        para, d_para = _fit(y, _PARA)
        ferro, d_ferro = _fit(y, _FERRO)
        stiff, d_stiff = _fit(y, _STIFF)
        p, m = (1.0 + z) ** (1.0 / 3.0), (1.0 - z) ** (1.0 / 3.0)
        norm = 2.0 * (2.0 ** (1.0 / 3.0) - 1.0)
        f, df = ((1.0 + z) * p + (1.0 - z) * m - 2.0) / norm, 4.0 / 3.0 * (p - m) / norm
        curvature = 8.0 / (9.0 * norm)
        z3 = z * z * z
        a, b = f * (1.0 - z * z3) / curvature, f * z * z3
        value = para + stiff * a + (ferro - para) * b
        slope = d_para + d_stiff * a + (d_ferro - d_para) * b
        in_z = stiff / curvature * (df * (1.0 - z * z3) - 4.0 * f * z3)
        in_z += (ferro - para) * (df * z * z3 + 4.0 * f * z3)
        common = value - y / 6.0 * slope
        energy += correlation * value
        v_up += correlation * (common + (1.0 - z) * in_z)
        v_down += correlation * (common - (1.0 + z) * in_z)
    return energy, v_up, v_down


@njit(cache=True)
def lda(n, c, exchange, correlation, energy, potential):
    """`lda_point` for each entry of a vector of densities."""
    for i in range(n.size):
        energy[i], potential[i] = lda_point(n[i], c, exchange, correlation)


@njit(cache=True)
def lsda(up, down, exchange, correlation, energy, v_up, v_down):
    """`lsda_point` for each entry of two vectors of densities."""
    for i in range(up.size):
        energy[i], v_up[i], v_down[i] = lsda_point(up[i], down[i], exchange, correlation)
