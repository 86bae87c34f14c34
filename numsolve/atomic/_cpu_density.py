"""Functionals of the density: the Hartree potential and the local exchange-correlation energy.

``rho = 4 pi r^2 n`` is the radial density, on the quadrature points in the layout (blocks, points, 8). `t`
stands for `_tuples.Tables`, `f` for `_tuples.Fields`; `c` is the speed of light, None without relativity: a
type of its own, so that either theory is compiled without the other.
"""

import math

from ._cpu_lanes import inner, kernel, load, splat, store

TINY = 2.2250738585072014e-308  # the smallest normal number: densities below count as none
#: A, y0, b, c of Vosko, Wilk, Nusair: paramagnetic, ferromagnetic, spin stiffness
_PARA = (0.0310907, -0.10498, 3.72744, 12.9352)
_FERRO = (0.01554535, -0.32500, 7.06042, 18.0578)
_STIFF = (-1.0 / (6.0 * math.pi**2), -0.00475840, 1.13107, 13.0045)


@inner(inline="always")
def hartree(t, f):
    """v(r) = (1 / r) int_0^r rho + int_r^rmax rho / s ds."""
    blocks, points = t.r.shape[:2]
    for b in range(blocks):  # the charge of each element, and the potential that it makes inside
        charge, potential = splat(0.0), splat(0.0)
        for k in range(b * points, (b + 1) * points):
            part = load(t.weight, k) * load(f.rho_all, k)
            over_r = load(f.rho_all, k) / load(t.r, k)
            store(f.rho_over_r, k, over_r)
            charge = charge + part
            potential = potential + load(t.weight, k) * over_r
        store(f.elements, b, charge)
        store(f.elements, blocks + b, potential)
    within = 0.0
    for e in range(t.n_elements):
        charge_of_e = f.elements[0, e // 8, e % 8]
        f.elements[0, e // 8, e % 8] = within
        within += charge_of_e
    beyond = 0.0
    for e in range(t.n_elements - 1, -1, -1):
        beyond += f.elements[1, e // 8, e % 8]
        f.elements[1, e // 8, e % 8] = beyond
    for b in range(blocks):
        for at in range(b * points, (b + 1) * points):
            inner_part, outer_part = load(f.elements, b), load(f.elements, blocks + b)
            for k in range(points):
                c = load(t.cumulative, at * points + k)
                inner_part = inner_part + c * load(f.rho_all, b * points + k)
                outer_part = outer_part - c * load(f.rho_over_r, b * points + k)
            store(f.v_hartree, at, inner_part / load(t.r, at) + outer_part)


@inner
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


@inner(inline="always")
def _relativity(n, c):
    """Factors of the exchange energy and potential by MacDonald and Vosko, at beta = (3 pi^2 n)^(1/3) / c."""
    beta = (3.0 * math.pi**2 * n) ** (1.0 / 3.0) / c
    b2 = beta * beta
    if beta > 1e9:  # the limits, to rounding; its square may overflow
        return -0.5, -0.5
    if beta < 1e-2:  # the closed forms cancel
        bracket = beta * (2.0 / 3.0 - b2 * (0.2 - b2 * 3.0 / 28.0))
        ratio = 1.0 - b2 * (2.0 / 3.0 - b2 * 8.0 / 15.0)
    else:
        mu = math.sqrt(1.0 + b2)
        arc = math.asinh(beta)
        bracket = (beta * mu - arc) / b2
        ratio = arc / (beta * mu)
    return 1.0 - 1.5 * bracket * bracket, 1.5 * ratio - 0.5


@inner
def lda_point(n, c, exchange, correlation):
    """Energy per electron and potential of the unpolarised gas."""
    if n < TINY:
        return 0.0, 0.0
    root = n ** (1.0 / 3.0)
    energy = -0.75 * (3.0 / math.pi) ** (1.0 / 3.0) * root * exchange
    potential = 4.0 / 3.0 * energy
    if c is not None:
        factor_e, factor_v = _relativity(n, c)
        energy *= factor_e
        potential *= factor_v
    if correlation > 0.0:
        y = math.sqrt((3.0 / (4.0 * math.pi)) ** (1.0 / 3.0) / root)
        value, slope = _fit(y, _PARA)
        energy += correlation * value
        potential += correlation * (value - y / 6.0 * slope)
    return energy, potential


@inner
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


@kernel
def lda(n, c, exchange, correlation, energy, potential):
    """`lda_point` for each entry of a vector of densities."""
    for i in range(n.size):
        energy[i], potential[i] = lda_point(n[i], c, exchange, correlation)


@kernel
def lsda(up, down, exchange, correlation, energy, v_up, v_down):
    """`lsda_point` for each entry of two vectors of densities."""
    for i in range(up.size):
        energy[i], v_up[i], v_down[i] = lsda_point(up[i], down[i], exchange, correlation)
