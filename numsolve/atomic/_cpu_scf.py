"""The self-consistent field: from a potential over the states and their density to the next potential.

`t` stands for `tables.Tables`, `s` for `tables.States`, `a` for `tables.Pencil`, `f` for `tables.Fields`, `m`
for `tables.Mixing`; `c` is the speed of light, None for Schrödinger's equation. ``np.int64(0)`` stands where
a constant would have a type of its own, for which the callee would be compiled once more.
"""

import math

import numpy as np

from numsolve._core.compiled import inner, kernel

from ._cpu_density import hartree, lda_point, lsda_point
from ._cpu_lanes import load, splat, store, total
from ._cpu_states import settle


@inner(inline="always")
def density(t, s, a, f, c):
    """Radial density of each spin, the sum of occupation (P^2 + Q^2), and of all electrons."""
    points = t.r.size // 8
    for k in range(f.rho.size // 8):
        store(f.rho, k, splat(0.0))
    for k in range(s.energy.size):
        if s.occupation[k] > 0.0:
            at, from_, occupation = s.spin[k] * points, k * points, splat(s.occupation[k])
            for i in range(points):
                square = load(s.p, from_ + i) * load(s.p, from_ + i)
                if c is not None:
                    shift = splat(2.0 * c + s.energy[k] / c) - splat(1.0 / c) * load(a.V, at + i)
                    q = load(s.d, from_ + i) / shift
                    square = square + q * q
                store(f.rho, at + i, load(f.rho, at + i) + occupation * square)
    for k in range(points):
        store(f.rho_all, k, load(f.rho, k))
        if f.rho.shape[0] == 2:
            store(f.rho_all, k, load(f.rho, k) + load(f.rho, points + k))


@inner(inline="always")
def exchange_correlation(t, f, c, polarised):
    """Energy per electron and potentials at the points."""
    over = splat(1.0 / (4.0 * math.pi))
    blocks, points = t.r.shape[:2]
    size = blocks * points
    for k in range(f.rho.size // 8):
        r = load(t.r, k % size)
        store(f.n, k, over * load(f.rho, k) / (r * r))
    exchange, correlation = f.functional[0], f.functional[1]
    for b in range(blocks):
        for q in range(points):
            for lane in range(8):
                n = f.n[0, b, q, lane]
                if polarised is None:
                    energy, v = lda_point(n, c, exchange, correlation)
                else:
                    energy, v, down = lsda_point(n, f.n[1, b, q, lane], exchange, correlation)
                    f.v_xc[1, b, q, lane] = down
                f.e_xc[b, q, lane] = energy
                f.v_xc[0, b, q, lane] = v


@inner(inline="always")
def step(t, s, a, f, c, polarised, Z, v_in, sweeps, until):
    """States, density, potentials and energies that belong to the potential v_in of the electrons.

    The states get one step of Rayleigh quotient iteration; up to `sweeps`, while their energies move. Return
    whether all is done; then ``run.error`` is the residual of the potential, sqrt(int rho (v_out - v_in)^2),
    and ``run.change`` the largest change of an energy. The total energy is that of the new density with the
    old potential, whose error is quadratic.
    """
    run = s.run[0]
    points = t.r.size // 8
    if run.sweep == 0 and run.state == 0:  # otherwise a step goes on that was cut
        charge = splat(Z)
        for k in range(v_in.size // 8):
            store(a.V, k, load(v_in, k) - charge / load(t.r, k % points))
        run.fresh = True
    for _ in range(run.sweep, sweeps):
        if not settle(t, s, a, c, until, np.bool_(False)):
            return False
        if run.sweep == 0 or run.worst == np.inf:
            run.change = run.worst
        run.sweep += 1
        if not 1e-11 * max(1.0, Z * Z) < run.worst < np.inf:
            break
    run.sweep = 0
    respond(t, s, a, f, c, polarised, Z, v_in)
    return True


@inner
def respond(t, s, a, f, c, polarised, Z, v_in):
    """Density, potentials and energies of the states, and ``run.error``."""
    points = t.r.size // 8
    density(t, s, a, f, c)
    hartree(t, f)
    exchange_correlation(t, f, c, polarised)
    distance = splat(0.0)
    for k in range(v_in.size // 8):
        out = load(f.v_hartree, k % points) + load(f.v_xc, k)
        difference = out - load(v_in, k)
        distance = distance + load(t.weight, k % points) * load(f.rho, k) * difference * difference
        store(f.v_out, k, out)
    s.run[0].error = math.sqrt(total(distance))
    energies(t, s, a, f, Z)


@inner(inline="always")
def energies(t, s, a, f, Z):
    """Fill the terms of the total energy."""
    terms = f.terms[0]
    points = t.r.size // 8
    band = 0.0
    for k in range(s.energy.size):
        band += s.occupation[k] * s.energy[k]
    over_r, hartree_twice, xc = splat(0.0), splat(0.0), splat(0.0)
    for k in range(points):
        rho = load(t.weight, k) * load(f.rho_all, k)
        over_r = over_r + rho / load(t.r, k)
        hartree_twice = hartree_twice + rho * load(f.v_hartree, k)
        xc = xc + rho * load(f.e_xc, k)
    in_V, in_xc = splat(0.0), splat(0.0)
    for k in range(f.rho.size // 8):
        rho = load(t.weight, k % points) * load(f.rho, k)
        in_V = in_V + rho * load(a.V, k)
        in_xc = in_xc + rho * load(f.v_xc, k)
    terms.band = band
    terms.over_r = total(over_r)
    terms.kinetic = band - total(in_V)
    terms.hartree = 0.5 * total(hartree_twice)
    terms.nuclear = -Z * terms.over_r
    terms.xc = total(xc)
    terms.potential = total(in_xc)
    terms.total = terms.kinetic + terms.hartree + terms.nuclear + terms.xc


@inner
def product(weight, a, i, b, j):
    """Weighted inner product of rows i of a and j of b."""
    s = splat(0.0)
    points, size = weight.size // 8, a.shape[1] // 8
    for k in range(size):
        s = s + load(weight, k % points) * load(a, i * size + k) * load(b, j * size + k)
    return total(s)


@inner
def subtract(a, i, factor, b, j):
    """Row i of a less the factor times row j of b."""
    scale = splat(factor)
    size = a.shape[1] // 8
    for k in range(size):
        store(a, i * size + k, load(a, i * size + k) - scale * load(b, j * size + k))


@inner
def anderson(weight, m, mixing, x, v_out):
    """Anderson mixing: x <- x + mixing f less what the last differences explain of f = v_out - x.

    The least-squares problem is solved by modified Gram-Schmidt, newest difference first; what depends on
    newer ones is left out. The same combinations are applied to the steps that belong to the differences.
    """
    depth, done = m.dx.shape[0], m.steps[0]
    size = x.size // 8
    alpha = splat(mixing)
    slot = (done - 1) % depth if done > 0 and depth > 0 else -1
    for k in range(size):
        xk = load(x, k)
        f = load(v_out, k) - xk
        if slot >= 0:
            store(m.dx, slot * size + k, xk - load(m.x, k))
            store(m.df, slot * size + k, f - load(m.f, k))
        store(m.x, k, xk)
        store(m.f, k, f)
        store(m.rest, k, f)
        store(m.next, k, xk + alpha * f)
    m.steps[0] += 1
    kept, first = np.int64(0), np.int64(0)
    for j in range(min(done, depth)):
        slot = (done - 1 - j) % depth
        for k in range(size):
            df = load(m.df, slot * size + k)
            store(m.q, kept * size + k, df)
            store(m.g, kept * size + k, load(m.dx, slot * size + k) + alpha * df)
        whole = product(weight, m.q, kept, m.q, kept)
        for i in range(kept):
            share = product(weight, m.q, i, m.q, kept) / m.norms[i]
            subtract(m.q, kept, share, m.q, i)
            subtract(m.g, kept, share, m.g, i)
        norm = product(weight, m.q, kept, m.q, kept)
        # what is left of a difference that depends on newer ones are rounding errors; no division by them
        if norm > 1e-24 * whole:
            m.norms[kept] = norm
            share = product(weight, m.q, kept, m.rest, first) / norm
            subtract(m.rest, first, share, m.q, kept)
            subtract(m.next, first, share, m.g, kept)
            kept += 1
    for k in range(size):
        store(x, k, load(m.next, k))


@kernel
def iterate(t, s, a, f, m, c, polarised, Z, x, mixing, n, stop_at, residuals, sweeps, probes, certifying):
    """Up to n steps of the self-consistent field; return how many, and whether the last one stopped it.

    ``residuals`` (3, n) takes those of the potential and the energies, and the total energy. The potential
    that the last of them belong to is ``m.x``; x is the next one to try. If `certifying`, note instead for
    each state whether it is the one of its index, and return whether all were looked at. After some `probes`
    factorisations the call returns, to be called again: it goes on where it was.
    """
    run = s.run[0]
    until = run.factorizations + probes
    done = 0
    if certifying:
        return done, settle(t, s, a, c, until, certifying)
    stopped = False
    for _ in range(n):
        if not step(t, s, a, f, c, polarised, Z, x, sweeps, until):
            break
        residuals[0, done] = run.error
        residuals[1, done] = run.change
        residuals[2, done] = f.terms[0].total
        done += 1
        worst = max(run.error, run.change)
        stopped = not worst < np.inf or worst <= stop_at
        if stopped:
            for k in range(x.size // 8):
                store(m.x, k, load(x, k))
            break
        anderson(t.weight, m, mixing, x, f.v_out)
    return done, stopped
