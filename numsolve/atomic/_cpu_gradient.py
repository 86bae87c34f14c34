"""Functionals of the density and its gradient, and their potentials by the weak form.

The energy is ``int f(n, n') 4 pi r^2 dr``. A change of the radial density by h changes it by

    int (f_n - 2 G / r) h + G h' dr,      G = df/dn',

in which no second derivative of the density stands: orbitals are continuous, their derivatives are not. On
each element G is its interpolant at the quadrature points, so that the integral by parts leaves G' of a
polynomial, and at the ends the jumps of G, whose halves go to the two elements: ``gradient_potential``.

`t` stands for `_tuples.Tables`, `s` for `States`, `a` for `Pencil`, `f` for `Fields`, `g` for `Gradient`;
`c` is the speed of light, None for Schrödinger's equation; `polarised` is None for the unpolarised gas.
"""

import math

from ._cpu_lanes import inner, kernel, load, splat, store, total

#: Densities below count as none: their energy is nil, and powers of the gradient over them would overflow.
FEW = 1e-30
#: The least share of a spin in the derivative of the spin's scaling, which is infinite for none.
LEAST = 1e-9
GAMMA = (1.0 - math.log(2.0)) / math.pi**2
#: alpha_1, beta_1 ... beta_4 and A of Perdew and Wang: paramagnetic, ferromagnetic, minus the spin stiffness
_PARA = (0.0310907, 0.21370, 7.5957, 3.5876, 1.6382, 0.49294)
_FERRO = (0.01554535, 0.20548, 14.1189, 6.1977, 3.3662, 0.62517)
_STIFF = (0.0168869, 0.11125, 10.357, 3.6231, 0.88026, 0.49671)


@inner(inline="always")
def density_slope(t, s, a, f, g, c):
    """Derivatives of the radial densities, 2 sum f_i (P P' + Q Q') with D = P' + kappa P / r.

    Q is eliminated, so that Dirac's other equation gives Q' = kappa Q / r + (V - eps) P / c.
    """
    points = t.r.size // 8
    for k in range(f.rho.size // 8):
        store(g.slope, k, splat(0.0))
    for k in range(s.each.size):
        state = s.each[k]
        if state.occupation > 0.0:
            at, from_, twice = state.spin * points, k * points, splat(2.0 * state.occupation)
            kappa = splat(g.kappa[state.channel])
            if t.scalar:
                norm = splat(0.0)
                for i in range(points):
                    norm = norm + load(t.weight, i) * load(s.p, from_ + i) * load(s.p, from_ + i)
                twice = splat(2.0 * state.occupation / total(norm))
            for i in range(points):
                p, d, over_r = load(s.p, from_ + i), load(s.d, from_ + i), kappa / load(t.r, i)
                product = p * (d - over_r * p)
                if c is not None and not t.scalar:
                    v = load(a.V, at + i)
                    q = d / (splat(2.0 * c + state.energy / c) - splat(1.0 / c) * v)
                    slope = over_r * q + splat(1.0 / c) * (v - splat(state.energy)) * p
                    product = product + q * slope
                store(g.slope, at + i, load(g.slope, at + i) + twice * product)


@inner(inline="always")
def _exchange(n, slope, g):
    """Exchange of the unpolarised gas: energy per electron, and the derivatives of n times it by n and n'.

    It is that of the gas times F(s) = 1 + kappa - kappa / (1 + mu s^2 / kappa), s = n' / (2 k_F n).
    """
    if n < FEW:
        return 0.0, 0.0, 0.0
    kappa, mu = g.constants[0], g.constants[1]
    k = (3.0 * math.pi**2 * n) ** (1.0 / 3.0)
    local, relative = -0.75 / math.pi * k, slope / n
    square = (0.5 * relative / k) ** 2
    part = 1.0 / (1.0 + mu * square / kappa)
    factor, change = 1.0 + mu * square * part, mu * part * part  # F and dF / ds^2
    by_slope = local * change * 0.5 * relative / (k * k)
    return local * factor, local * 4.0 / 3.0 * (factor - 2.0 * square * change), by_slope


@inner
def _gas(rs, parameters):
    """The fit of Perdew and Wang at the radius r_s, and its derivative."""
    A, a, b1, b2, b3, b4 = parameters
    root = math.sqrt(rs)
    sum_ = 2.0 * A * root * (b1 + root * (b2 + root * (b3 + root * b4)))
    slope = A * (b1 / root + 2.0 * b2 + 3.0 * b3 * root + 4.0 * b4 * rs)
    log = math.log1p(1.0 / sum_)
    before = -2.0 * A * (1.0 + a * rs)
    return before * log, -2.0 * A * a * log - before * slope / (sum_ * (sum_ + 1.0))


@inner(inline="always")
def _correlation(n, zeta, slope, g):
    """Correlation: energy per electron, n times its derivative by n, its derivatives by zeta; by n', of n e.

    It is the gas' e_c + H, H = gamma phi^3 ln(1 + beta / gamma y (1 + A y) / (1 + A y + A^2 y^2)) with
    y = (n' / (2 phi k_s n))^2 and A = beta / gamma / (exp(-e_c / (gamma phi^3)) - 1).
    """
    beta = g.constants[2]
    k = (3.0 * math.pi**2 * n) ** (1.0 / 3.0)
    rs = (9.0 * math.pi / 4.0) ** (1.0 / 3.0) / k
    gas, by_rs = _gas(rs, _PARA)
    by_zeta, phi, phi_zeta = 0.0, 1.0, 0.0
    if zeta is not None:
        ferro, d_ferro = _gas(rs, _FERRO)
        stiff, d_stiff = _gas(rs, _STIFF)
        up, down = (1.0 + zeta) ** (1.0 / 3.0), (1.0 - zeta) ** (1.0 / 3.0)
        norm = 2.0 * (2.0 ** (1.0 / 3.0) - 1.0)
        w, dw = ((1.0 + zeta) * up + (1.0 - zeta) * down - 2.0) / norm, 4.0 / 3.0 * (up - down) / norm
        curvature, z3 = 8.0 / (9.0 * norm), zeta * zeta * zeta
        z4 = z3 * zeta
        by_zeta = (ferro - gas) * (dw * z4 + 4.0 * w * z3)
        by_zeta -= stiff / curvature * (dw * (1.0 - z4) - 4.0 * w * z3)
        by_rs += (d_ferro - by_rs) * w * z4 - d_stiff / curvature * w * (1.0 - z4)
        gas += (ferro - gas) * w * z4 - stiff / curvature * w * (1.0 - z4)
        phi = 0.5 * (up * up + down * down)
        least = LEAST ** (1.0 / 3.0)
        phi_zeta = (1.0 / max(up, least) - 1.0 / max(down, least)) / 3.0
    scale = GAMMA * phi * phi * phi
    relative, part = slope / n, math.pi / (16.0 * k * phi * phi)
    y, ratio, exponent = relative * relative * part, beta / GAMMA, -gas / scale
    A = ratio / math.expm1(exponent)
    u = A * y
    below = 1.0 + u + u * u
    X = ratio * y * (1.0 + u) / below
    H, over = scale * math.log1p(X), scale / (1.0 + X)
    by_y = over * ratio * (1.0 + 2.0 * u) / (below * below)
    by_A = -over * ratio * y * y * u * (2.0 + u) / (below * below)
    A_exponent = -A * (1.0 + A / ratio)  # its derivative by the exponent
    by_gas = 1.0 - by_A * A_exponent / scale
    by_n = -by_gas * rs / 3.0 * by_rs - 7.0 / 3.0 * y * by_y
    by_phi = 3.0 * H / phi - 3.0 * exponent / phi * by_A * A_exponent - 2.0 * y / phi * by_y
    return gas + H, by_n, by_gas * by_zeta + by_phi * phi_zeta, 2.0 * by_y * relative * part


@inner
def gga_point(n, slope, g):
    """Energy per electron of the unpolarised gas, and the derivatives of n times it by n and n'."""
    if n < FEW:
        return 0.0, 0.0, 0.0
    exchange, x_n, x_slope = _exchange(n, slope, g)
    correlation, c_n, _, c_slope = _correlation(n, None, slope, g)
    return exchange + correlation, x_n + correlation + c_n, x_slope + c_slope


@inner
def gga_spin_point(up, down, slope_up, slope_down, g):
    """Energy per electron, and the derivatives of n times it by both densities and by both slopes."""
    n = up + down
    if n < FEW:
        return 0.0, 0.0, 0.0, 0.0, 0.0
    x_up, v_up, G_up = _exchange(2.0 * up, 2.0 * slope_up, g)
    x_down, v_down, G_down = _exchange(2.0 * down, 2.0 * slope_down, g)
    zeta = (up - down) / n
    energy, by_n, by_zeta, by_slope = _correlation(n, zeta, slope_up + slope_down, g)
    both = energy + by_n
    energy += (x_up * up + x_down * down) / n
    v_up += both + (1.0 - zeta) * by_zeta
    v_down += both - (1.0 + zeta) * by_zeta
    return energy, v_up, v_down, G_up + by_slope, G_down + by_slope


@inner(inline="always")
def gradient_correction(t, s, a, f, g, c, polarised):
    """Energy per electron and potentials at the points."""
    density_slope(t, s, a, f, g, c)
    for b in range(t.r.shape[0]):
        for q in range(t.r.shape[1]):
            for lane in range(8):
                r = t.r[b, q, lane]
                area, n = 4.0 * math.pi * r * r, f.rho[0, b, q, lane]
                slope = (g.slope[0, b, q, lane] - 2.0 * n / r) / area
                if polarised is None:
                    energy, v, G = gga_point(n / area, slope, g)
                else:
                    m = f.rho[1, b, q, lane]
                    other = (g.slope[1, b, q, lane] - 2.0 * m / r) / area
                    energy, v, w, G, F = gga_spin_point(n / area, m / area, slope, other, g)
                    f.v_xc[1, b, q, lane], g.flux[1, b, q, lane] = w, F
                f.e_xc[b, q, lane] = energy
                f.v_xc[0, b, q, lane], g.flux[0, b, q, lane] = v, G
    gradient_potential(t, f, g)


@inner(inline="always")
def gradient_potential(t, f, g):
    """To the potentials f_n add -2 G / r - G', and half of the jump of G at each end of each element."""
    blocks, points = t.r.shape[:2]
    whole = blocks * points
    for spin in range(f.v_xc.shape[0]):
        first = spin * whole
        for b in range(blocks):
            left, right = splat(0.0), splat(0.0)
            for k in range(b * points, (b + 1) * points):
                part = load(t.weight, k) * load(g.flux, first + k)
                left = left + load(g.ends, k) * part
                right = right + load(g.ends, whole + k) * part
            store(g.jumps, b, left)
            store(g.jumps, blocks + b, right)
        before = 0.0
        for e in range(t.n_elements):
            left_end, right_end = g.jumps[0, e // 8, e % 8], g.jumps[1, e // 8, e % 8]
            half = 0.5 * (before - left_end) if e > 0 else 0.0
            g.jumps[0, e // 8, e % 8], g.jumps[1, e // 8, e % 8] = half, 0.0
            if e > 0:
                g.jumps[1, (e - 1) // 8, (e - 1) % 8] = half
            before = right_end
        for b in range(blocks):
            left, right = load(g.jumps, b), load(g.jumps, blocks + b)
            for at in range(b * points, (b + 1) * points):
                v = load(f.v_xc, first + at) - splat(2.0) * load(g.flux, first + at) / load(t.r, at)
                v = v + load(g.ends, at) * left + load(g.ends, whole + at) * right
                for k in range(points):
                    v = v - load(g.derivative, at * points + k) * load(g.flux, first + b * points + k)
                store(f.v_xc, first + at, v)


@kernel
def gga(n, slope, g, energy, by_n, by_slope):
    """`gga_point` for each entry of a vector of densities."""
    for i in range(n.size):
        energy[i], by_n[i], by_slope[i] = gga_point(n[i], slope[i], g)


@kernel
def gga_spin(n, slope, g, energy, by_n, by_slope):
    """`gga_spin_point` for each column of densities (2, m) and slopes of both spins."""
    for i in range(n.shape[1]):
        both = gga_spin_point(n[0, i], n[1, i], slope[0, i], slope[1, i], g)
        energy[i], by_n[0, i], by_n[1, i], by_slope[0, i], by_slope[1, i] = both
