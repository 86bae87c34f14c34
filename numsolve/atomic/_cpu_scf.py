"""The self-consistent field: from a potential over the states and their density to the next potential.

`t` stands for `_tuples.Tables`, `s` for `States`, `a` for `Pencil`, `f` for `Fields`, `m` for `Mixing`,
`order` for `Order`; `g` for `Gradient`, None for the local density; `c` is the speed of light, None for
Schrödinger's equation: types of their own, so that each is compiled without the other. ``np.int64(0)`` stands
where a constant would have a type of its own, for which the callee would be compiled once more.
"""

import math

import numpy as np

from ._cpu_density import hartree, lda_point, lsda_point
from ._cpu_gradient import gradient_correction
from ._cpu_lanes import inner, kernel, load, splat, store, total
from ._cpu_states import settle


@inner(inline="always")
def density(t, s, a, f, c):
    """Radial density of each spin, the sum of occupation (P^2 + Q^2), and of all electrons.

    In the scalar equation, of P^2 alone, normalised by itself: so it is in the tables of NIST.
    """
    points = t.r.size // 8
    for k in range(f.rho.size // 8):
        store(f.rho, k, splat(0.0))
    for k in range(s.each.size):
        state = s.each[k]
        if state.occupation > 0.0:
            at, from_, occupation = state.spin * points, k * points, splat(state.occupation)
            if t.scalar:
                norm = splat(0.0)
                for i in range(points):
                    norm = norm + load(t.weight, i) * load(s.p, from_ + i) * load(s.p, from_ + i)
                occupation = splat(state.occupation / total(norm))
            for i in range(points):
                square = load(s.p, from_ + i) * load(s.p, from_ + i)
                if c is not None and not t.scalar:
                    shift = splat(2.0 * c + state.energy / c) - splat(1.0 / c) * load(a.V, at + i)
                    q = load(s.d, from_ + i) / shift
                    square = square + q * q
                store(f.rho, at + i, load(f.rho, at + i) + occupation * square)
    for k in range(points):
        store(f.rho_all, k, load(f.rho, k))
        if f.rho.shape[0] == 2:
            store(f.rho_all, k, load(f.rho, k) + load(f.rho, points + k))


@inner(inline="always")
def exchange_correlation(t, f, c, polarised, order):
    """Energy per electron and potentials at the points."""
    exchange, correlation = order.exchange, order.correlation
    for b in range(t.r.shape[0]):
        for q in range(t.r.shape[1]):
            for lane in range(8):
                area = 4.0 * math.pi * t.r[b, q, lane] ** 2
                n = f.rho[0, b, q, lane] / area
                if polarised is None:
                    energy, v = lda_point(n, c, exchange, correlation)
                else:
                    energy, v, down = lsda_point(n, f.rho[1, b, q, lane] / area, exchange, correlation)
                    f.v_xc[1, b, q, lane] = down
                f.e_xc[b, q, lane] = energy
                f.v_xc[0, b, q, lane] = v


@inner(inline="always")
def step(t, s, a, f, g, c, polarised, v_in, order, until):
    """States, density, potentials and energies that belong to the potential v_in of the electrons.

    The states get one step of Rayleigh quotient iteration; up to ``order.sweeps``, while their energies
    move. Return whether all is done; then ``run.error`` is the residual of the potential,
    sqrt(int rho (v_out - v_in)^2), and ``run.change`` the largest change of an energy. The total energy is
    that of the new density with the old potential, whose error is quadratic.
    """
    run = s.run[0]
    points = t.r.size // 8
    if run.sweep == 0 and run.state == 0:  # otherwise a step goes on that was cut
        for k in range(v_in.size // 8):
            fixed = load(f.fixed, k % points) + load(f.fixed, points + k % points)
            store(a.V, k, load(v_in, k) + fixed)
        run.fresh = True
    for _ in range(run.sweep, order.sweeps):
        if not settle(t, s, a, c, until, np.bool_(False)):
            return False
        if run.sweep == 0 or run.worst == np.inf:
            run.change = run.worst
        run.sweep += 1
        if not 1e-11 * max(1.0, order.Z**2) < run.worst < np.inf:
            break
    run.sweep = 0
    respond(t, s, a, f, g, c, polarised, v_in, order)
    return True


@inner(inline="always")
def fermi(s, k, mu, T):
    """Electrons of state k at the chemical potential mu and the temperature T."""
    return s.each[k].room / (1.0 + math.exp(min((s.each[k].energy - mu) / T, 700.0)))


@inner(inline="always")
def occupy(s, order):
    """Fermi and Dirac's occupations at the temperature; `run.mu`, found by halving, gives all electrons.

    Between the last two mu, which may be neighbouring floats and yet far apart in units of a small
    temperature, occupations are interpolated: their sum is exact. Not while a state is lost.
    """
    lowest, highest, T = np.inf, -np.inf, order.temperature
    for k in range(s.each.size):
        lowest, highest = min(lowest, s.each[k].energy), max(highest, s.each[k].energy)
    low, high = lowest - 700.0 * T, highest + 700.0 * T
    for _ in range(200 if s.run[0].worst < np.inf else 0):
        mu, electrons = 0.5 * (low + high), 0.0
        for k in range(s.each.size):
            electrons += fermi(s, k, mu, T)
        if electrons < order.electrons:
            low = mu
        else:
            high = mu
        if not low < 0.5 * (low + high) < high:
            break
    if s.run[0].worst < np.inf:
        below, above = 0.0, 0.0
        for k in range(s.each.size):
            below += fermi(s, k, low, T)
            above += fermi(s, k, high, T)
        share = (order.electrons - below) / (above - below) if above > below else 1.0
        for k in range(s.each.size):
            s.each[k].occupation = (1.0 - share) * fermi(s, k, low, T) + share * fermi(s, k, high, T)
        s.run[0].mu = low + share * (high - low)


@inner
def respond(t, s, a, f, g, c, polarised, v_in, order):
    """Density, potentials and energies of the states, and ``run.error``."""
    points = t.r.size // 8
    if order.temperature > 0.0:
        occupy(s, order)
    density(t, s, a, f, c)
    hartree(t, f)
    if g is None:
        exchange_correlation(t, f, c, polarised, order)
    else:
        gradient_correction(t, s, a, f, g, c, polarised)
    distance = splat(0.0)
    for k in range(v_in.size // 8):
        out = load(f.v_hartree, k % points) + load(f.v_xc, k)
        difference = out - load(v_in, k)
        distance = distance + load(t.weight, k % points) * load(f.rho, k) * difference * difference
    s.run[0].error = math.sqrt(total(distance))
    energies(t, s, a, f, order)


@inner(inline="always")
def energies(t, s, a, f, order):
    """Fill the terms of the total energy; at a temperature T it is the free energy, with -T S."""
    terms = f.terms[0]
    points = t.r.size // 8
    band = 0.0
    disorder = 0.0
    for k in range(s.each.size):
        band += s.each[k].occupation * s.each[k].energy
        if order.temperature > 0.0:
            share = s.each[k].occupation / s.each[k].room
            if 0.0 < share < 1.0:
                rest = 1.0 - share
                disorder -= s.each[k].room * (share * math.log(share) + rest * math.log(rest))
    nuclear, external, hartree_twice, xc = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
    for k in range(points):
        rho = load(t.weight, k) * load(f.rho_all, k)
        nuclear = nuclear + rho * load(f.fixed, k)
        external = external + rho * load(f.fixed, points + k)
        hartree_twice = hartree_twice + rho * load(f.v_hartree, k)
        xc = xc + rho * load(f.e_xc, k)
    in_V, in_xc = splat(0.0), splat(0.0)
    for k in range(f.rho.size // 8):
        rho = load(t.weight, k % points) * load(f.rho, k)
        in_V = in_V + rho * load(a.V, k)
        in_xc = in_xc + rho * load(f.v_xc, k)
    terms.band = band
    terms.kinetic = band - total(in_V)
    terms.hartree = 0.5 * total(hartree_twice)
    terms.nuclear = total(nuclear)
    terms.external = total(external)
    terms.xc = total(xc)
    terms.potential = total(in_xc)
    terms.entropy = -order.temperature * disorder
    terms.total = terms.kinetic + terms.hartree + terms.nuclear + terms.external + terms.xc + terms.entropy


@inner
def product(weight, rows, i, j):
    """Weighted inner product of two rows."""
    s = splat(0.0)
    points, size = weight.size // 8, rows.shape[1] // 8
    for k in range(size):
        s = s + load(weight, k % points) * load(rows, i * size + k) * load(rows, j * size + k)
    return total(s)


@inner
def subtract(rows, i, factor, j):
    """Row i less the factor times row j."""
    scale = splat(factor)
    size = rows.shape[1] // 8
    for k in range(size):
        store(rows, i * size + k, load(rows, i * size + k) - scale * load(rows, j * size + k))


@inner
def anderson(t, s, f, m, alpha, x):
    """Anderson mixing: x <- x + alpha F less what the last differences explain of F = v_out - x.

    The least-squares problem is solved by modified Gram-Schmidt, newest difference first; what depends on
    newer ones is left out. The same combinations are applied to the steps that belong to the differences.
    """
    run, rows, weight = s.run[0], m.rows, t.weight
    points, size = weight.size // 8, x.size // 8
    depth, done = rows.shape[0] // 4 - 1, run.mixed
    dx, df, q, g = 0, depth, 2 * depth, 3 * depth  # the first rows of each kind
    last_x, last_f, rest, next_x = 4 * depth, 4 * depth + 1, 4 * depth + 2, 4 * depth + 3
    share = splat(alpha)
    slot = (done - 1) % depth if done > 0 and depth > 0 else -1
    for k in range(size):
        xk = load(x, k)
        fk = load(f.v_hartree, k % points) + load(f.v_xc, k) - xk
        if slot >= 0:
            store(rows, (dx + slot) * size + k, xk - load(rows, last_x * size + k))
            store(rows, (df + slot) * size + k, fk - load(rows, last_f * size + k))
        store(rows, last_x * size + k, xk)
        store(rows, last_f * size + k, fk)
        store(rows, rest * size + k, fk)
        store(rows, next_x * size + k, xk + share * fk)
    run.mixed += 1
    kept = 0
    for j in range(min(done, depth)):
        slot = (done - 1 - j) % depth
        new_q, new_g = q + kept, g + kept
        for k in range(size):
            difference = load(rows, (df + slot) * size + k)
            store(rows, new_q * size + k, difference)
            store(rows, new_g * size + k, load(rows, (dx + slot) * size + k) + share * difference)
        whole = product(weight, rows, new_q, new_q)
        for i in range(kept):
            part = product(weight, rows, q + i, new_q) / m.norms[i]
            subtract(rows, new_q, part, q + i)
            subtract(rows, new_g, part, g + i)
        norm = product(weight, rows, new_q, new_q)
        # what is left of a difference that depends on newer ones are rounding errors; no division by them
        if norm > 1e-24 * whole:
            m.norms[kept] = norm
            part = product(weight, rows, new_q, rest) / norm
            subtract(rows, rest, part, new_q)
            subtract(rows, next_x, part, new_g)
            kept += 1
    for k in range(size):
        store(x, k, load(rows, next_x * size + k))


@kernel
def iterate(t, s, a, f, g, m, c, polarised, x, residuals, order):
    """Steps of the self-consistent field, then certificates: what the `order` says.

    Return how many steps were done, and whether the last of them stopped the iteration; with
    ``order.certifying``, whether all states were looked at. ``residuals`` (3, n) takes those of the potential
    and the energies, and the total energy. The potential that the last of them belong to is ``m.x``; x is the
    next one to try. After ``order.probes`` factorisations the call returns, to be called again: it goes on
    where it was.
    """
    run = s.run[0]
    until = run.factorizations + order.probes
    done, finished = 0, False
    for _ in range(order.n):
        if not step(t, s, a, f, g, c, polarised, x, order, until):
            return done, False
        residuals[0, done] = run.error
        residuals[1, done] = run.change
        residuals[2, done] = f.terms[0].total
        done += 1
        worst = max(run.error, run.change)
        finished = not worst < np.inf or worst <= order.stop_at
        if finished:
            at = m.rows.size // 8 - 4 * (x.size // 8)
            for k in range(x.size // 8):
                store(m.rows, at + k, load(x, k))
            break
        anderson(t, s, f, m, order.alpha, x)
    if order.certifying:
        finished = settle(t, s, a, c, until, np.bool_(True))
    return done, finished
