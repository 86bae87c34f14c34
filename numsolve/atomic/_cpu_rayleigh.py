"""Rayleigh quotient iteration for one state of a radial equation, its index checked by inertia.

For one channel (l or kappa) the discrete equation is A(eps) u = 0 with

    A(eps) = int D D / (2 M) + (V + w - eps) Phi Phi,      M = 1 + (eps - V) / (2 c^2)   (1 for c = None).

The scalar equation of Koelling and Harmon, averaged over spin and orbit, has D of kappa = -1 and a
centrifugal term with the mass: D D + l (l + 1) / r^2 Phi Phi in place of D D.

-dA/deps is positive definite while M > 0, so that the number of negative eigenvalues of A(eps) is the number
of energies below eps, and a factorisation counts them. `t` stands for `_tuples.Tables`, `s` for `States`, `a`
for `Pencil`; `c` is the speed of light, None for Schrödinger's equation: a type of its own, so that each
theory is compiled without the other. ``np.bool_(True)`` stands where a constant would have a type of its own,
for which the callee would be compiled once more.
"""

import math

import numpy as np

from ._cpu_elements import add_gram, add_moments, dot, evaluate, factor, multiply, solve
from ._cpu_lanes import inner, load, splat, store, total

#: Relative changes of an energy that count as rounding errors.
NOISE = 1e-11


@inner(inline="always")
def potential_matrices(t, a):
    """Compute vm = int V Phi Phi for each spin and basis table."""
    tables = t.phi.shape[0]
    points = t.weight.size // 8
    for k in range(a.vm.size // 8):
        store(a.vm, k, splat(0.0))
    for spin in range(a.V.shape[0]):
        for k in range(points):
            store(a.weight, k, load(t.weight, k) * load(a.V, spin * points + k))
        for table in range(tables):
            add_gram(a.vm[spin * tables + table], t.phi[table], a.weight)


@inner(inline="always")
def table_of(t, channel):
    """The basis table of a channel: its own, or the only one."""
    return channel if t.phi.shape[0] > 1 else 0


@inner
def rayleigh(t, s, a, k, eps, c):
    """The root eps of u' A(eps) u = 0 for state k, and the norm of its Q."""
    points = t.weight.size // 8
    half, small = splat(0.5), 0.0
    at, v = k * points, s.each[k].spin * points
    kinetic, potential, norm = splat(0.0), splat(0.0), splat(0.0)
    if c is None:  # linear in eps
        w = s.each[k].channel * points
        for i in range(points):
            pi, di, wi = load(s.p, at + i), load(s.d, at + i), load(t.weight, i)
            kinetic = kinetic + half * wi * di * di + load(t.centrifugal, w + i) * pi * pi
            potential = potential + wi * load(a.V, v + i) * pi * pi
            norm = norm + wi * pi * pi
        s.each[k].unit = unit(total(kinetic), total(potential), total(norm))
        return (total(kinetic) + total(potential)) / total(norm), small
    over = splat(0.25 / c**2)
    for i in range(points):
        norm = norm + load(t.weight, i) * load(s.p, at + i) * load(s.p, at + i)
    w = s.each[k].channel * points
    for _ in range(20):  # Newton's method, which converges quadratically: three or four steps are usual
        before = eps
        slope, shift = splat(-0.5 / c**2), splat(1.0 + 0.5 * eps / c**2)
        e, part = splat(eps), splat(0.0)
        kinetic, potential = splat(0.0), splat(0.0)
        for i in range(points):
            pi, di, wi = load(s.p, at + i), load(s.d, at + i), load(t.weight, i)
            vi = load(a.V, v + i)
            square = wi * (di * di + load(t.centrifugal, w + i) * pi * pi)
            inverse = splat(1.0) / (shift + slope * vi)  # 1 / M
            kinetic = kinetic + half * square * inverse
            potential = potential + wi * (vi - e) * pi * pi
            part = part + over * square * inverse * inverse
        small = total(part)
        eps = before + (total(kinetic) + total(potential)) / (total(norm) + small)
        if abs(eps - before) <= 1e-14 * abs(eps) or not np.isfinite(eps):
            break
    s.each[k].unit = unit(total(kinetic), total(potential), total(norm))
    return eps, small


@inner(inline="always")
def unit(kinetic, potential, norm):
    """What rounding errors of an energy are relative to, beside itself: one Hartree, or its parts if less."""
    return min(1.0, (abs(kinetic) + abs(potential)) / norm)


@inner(inline="always")
def assemble(t, a, channel, spin, eps, c):
    """A(eps) of one channel."""
    table = table_of(t, channel)
    size = a.A.size // 8
    base, potential, overlap = channel * size, (spin * t.phi.shape[0] + table) * size, table * size
    e = splat(eps)
    for k in range(size):
        part = load(t.base, base + k) + load(a.vm, potential + k)
        store(a.A, k, part - e * load(t.overlap, overlap + k))
    if c is not None:
        points = t.weight.size // 8
        half, slope, shift = splat(0.5), splat(-0.5 / c**2), splat(1.0 + 0.5 * eps / c**2)
        for k in range(points):
            store(a.weight, k, half * load(t.weight, k) / (shift + slope * load(a.V, spin * points + k)))
        add_gram(a.A, t.slope[table], a.weight)
        if t.scalar:
            for k in range(points):
                store(a.weight, k, load(a.weight, k) * load(t.centrifugal, channel * points + k))
            add_gram(a.A, t.phi[table], a.weight)


@inner
def probe(t, s, a, k, shift, c, solving):
    """Count the energies below the shift in the channel of state k; -1 if the matrix is not finite.

    If `solving`, also do a step of inverse iteration of the state: the new u, with p = P and d = D at the
    quadrature points, is normalised to int P^2 + Q^2 = 1, and has the energy of its Rayleigh quotient.
    """
    channel, spin = s.each[k].channel, s.each[k].spin
    table = table_of(t, channel)
    n = t.phi.shape[3]
    assemble(t, a, channel, spin, shift, c)
    negative = factor(a.A, n, t.n_elements, t.first, a.chain)
    s.run[0].factorizations += 1
    if not solving:
        return negative
    u, p, d, overlap = s.u[k], s.p[k], s.d[k], t.overlap[table]
    points = t.weight.size // 8
    multiply(overlap, u, a.y)  # y = -A'(shift) u
    if c is not None:
        slope, middle, over = splat(-0.5 / c**2), splat(1.0 + 0.5 * shift / c**2), splat(0.25 / c**2)
        for i in range(points):
            m = middle + slope * load(a.V, spin * points + i)
            store(a.weight, i, over * load(t.weight, i) * load(d, i) / (m * m))
        add_moments(t.slope[table], a.weight, a.y)
        if t.scalar:
            for i in range(points):
                m = middle + slope * load(a.V, spin * points + i)
                part = over * load(t.weight, i) * load(t.centrifugal, channel * points + i)
                store(a.weight, i, part * load(p, i) / (m * m))
            add_moments(t.phi[table], a.weight, a.y)
    solve(a.A, n, t.n_elements, t.first, a.chain, a.y)
    for i in range(u.size // 8):
        store(u, i, load(a.y, i))
    evaluate(t.phi[table], u, p)
    evaluate(t.slope[table], u, d)
    eps, small = rayleigh(t, s, a, k, shift, c)
    multiply(overlap, u, a.y)
    norm = dot(u, a.y) + small
    if c is None:  # with a lumped overlap the quotient is not that of the quadrature
        mass = splat(0.0)
        for i in range(points):
            mass = mass + load(t.weight, i) * load(p, i) * load(p, i)
        eps *= total(mass) / norm
    unit = splat(1.0 / math.sqrt(norm))
    for i in range(u.size // 8):
        store(u, i, unit * load(u, i))
    for i in range(points):
        store(p, i, unit * load(p, i))
        store(d, i, unit * load(d, i))
    s.each[k].energy = eps
    return negative


@inner(inline="always")
def margin(s, k):
    """Energies nearer to that of state k are not told apart from it."""
    return 10.0 * NOISE * (s.each[k].unit + abs(s.each[k].energy))


@inner
def is_near(s, k, j):
    """Whether states k and j of one channel have energies that are not told apart."""
    one, other = s.each[k], s.each[j]
    near = abs(one.energy - other.energy) <= margin(s, k)
    return near and one.channel == other.channel and one.spin == other.spin


@inner(inline="always")
def is_certain(t, s, a, k, c):
    """Whether the energy of its index is that of state k, within its margin.

    Counts just below and just above enclose the index, and as many states as are known there.
    """
    edge, known = margin(s, k), 0
    for j in range(s.each.size):
        known += 1 if is_near(s, k, j) else 0
    below = above = 0
    for side in range(2):
        count = probe(t, s, a, k, s.each[k].energy + (edge if side == 1 else -edge), c, np.bool_(False))
        below, above = above, count
    return 0 <= below <= s.each[k].index < above and known <= above - below


@inner
def shared(t, s, a, k, j, c):
    """Of states k and j, int P P + Q Q."""
    points = t.weight.size // 8
    part = splat(0.0)
    for i in range(points):
        w = load(t.weight, i)
        part = part + w * load(s.p, k * points + i) * load(s.p, j * points + i)
        if c is not None:
            v = load(a.V, s.each[k].spin * points + i)
            m = splat(2.0 * c + s.each[k].energy / c) - splat(1.0 / c) * v
            barrier = load(t.centrifugal, s.each[k].channel * points + i)
            product = load(s.d, k * points + i) * load(s.d, j * points + i)
            product = product + barrier * load(s.p, k * points + i) * load(s.p, j * points + i)
            part = part + w * product / (m * m)
    return total(part)


@inner
def combine(x, k, factor, j, other):
    """In an array of functions of all states, take x_k factor + x_j other for x_k."""
    size = x.size // (8 * x.shape[0])
    for i in range(size):
        mixed = splat(factor) * load(x, k * size + i) + splat(other) * load(x, j * size + i)
        store(x, k * size + i, mixed)


@inner
def separate(t, s, a, k, c):
    """Make state k orthogonal to those before it whose energies are not told apart from its own."""
    for j in range(k):
        if is_near(s, k, j):
            part = shared(t, s, a, k, j, c) / shared(t, s, a, j, j, c)
            rest = 1.0 / math.sqrt(max(1e-30, 1.0 - part * part))  # both were normalised
            for x in (s.u, s.p, s.d):
                combine(x, k, rest, j, -part * rest)


@inner(inline="always")
def advance(t, s, a, k, c):
    """One step of Rayleigh quotient iteration of state k in a potential that has changed a little.

    If the new energy is not that of the wanted index, by the inertia at the shift, the state is lost: its
    energy becomes nan.
    """
    shift, _ = rayleigh(t, s, a, k, s.each[k].energy, c)
    negative = probe(t, s, a, k, shift, c, np.bool_(True))
    separate(t, s, a, k, c)
    index, energy, noise = s.each[k].index, s.each[k].energy, NOISE * (s.each[k].unit + abs(shift))
    if energy > shift + noise:
        right = negative == index
    elif energy < shift - noise:
        right = negative == index + 1
    elif abs(energy - shift) <= noise:  # it did not move: its index is what it was, if that was found out
        right = index <= negative <= index + 1 and s.each[k].certified
        right = right or is_certain(t, s, a, k, c)
    else:
        right = False  # nan
    s.each[k].certified = right
    if not right:
        s.each[k].energy = np.nan
