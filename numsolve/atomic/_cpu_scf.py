"""The self-consistent field: from a potential over the states and their density to the next potential.

`t` stands for `tables.Tables`, `s` for `tables.States`, `f` for `tables.Fields`, `m` for `tables.Mixing`.
"""

import math

import numpy as np
from numba import njit

from ._cpu_density import hartree, lda, lsda
from ._cpu_elements import copy
from ._cpu_lanes import load, splat, store, total
from ._cpu_states import advance, certify, locate_all, potential_matrices


@njit(cache=True)
def weighted(weight, x, y):
    """Integrate x y dr; x and y may hold several functions, one after the other."""
    s = splat(0.0)
    points = weight.size // 8
    for k in range(x.size // 8):
        s = s + load(weight, k % points) * load(x, k) * load(y, k)
    return total(s)


@njit(cache=True)
def density(t, s, f):
    """Radial density of each spin: the sum of occupation (P^2 + Q^2)."""
    for k in range(f.rho.size // 8):
        store(f.rho, k, splat(0.0))
    for k in range(s.energy.size):
        if s.occupation[k] > 0.0:
            rho, V, p, d = f.rho[s.spin[k]], f.V[s.spin[k]], s.p[k], s.d[k]
            occupation = splat(s.occupation[k])
            scale, shift = splat(-1.0 / t.c), splat(2.0 * t.c + s.energy[k] / t.c)
            for i in range(p.size // 8):
                square = load(p, i) * load(p, i)
                if t.c < np.inf:
                    q = load(d, i) / (shift + scale * load(V, i))
                    square = square + q * q
                store(rho, i, load(rho, i) + occupation * square)


@njit(cache=True)
def exchange_correlation(t, f):
    """Energy per electron and potentials at the points."""
    over = splat(1.0 / (4.0 * math.pi))
    points = t.r.size // 8
    for k in range(f.rho.size // 8):
        r = load(t.r, k % points)
        store(f.n, k, over * load(f.rho, k) / (r * r))
    size = t.r.size
    n, v, energy = f.n.ravel(), f.v_xc.ravel(), f.e_xc.ravel()
    if f.rho.shape[0] == 1:
        lda(n, t.c, f.functional[0], f.functional[1], energy, v)
    else:
        lsda(n[:size], n[size:], f.functional[0], f.functional[1], energy, v[:size], v[size:])


@njit(cache=True)
def step(t, s, f, Z, v_in, start, sweeps):
    """States, density, potentials and energies that belong to the potential v_in of the electrons.

    The states get one step of Rayleigh quotient iteration; up to `sweeps`, while their energies move.

    Returns the residual of the potential, sqrt(int rho (v_out - v_in)^2), and the largest change of an
    energy. The total energy is that of the new density with the old potential, whose error is quadratic.
    """
    spins = v_in.shape[0]
    charge = splat(Z)
    points = t.r.size // 8
    for k in range(spins * points):
        store(f.V, k, load(v_in, k) - charge / load(t.r, k % points))
    potential_matrices(t, f.V, f.vm)
    A, y = np.empty_like(t.base[0]), np.empty_like(s.u[0])
    chain = np.empty((2, t.n_elements + 1))
    change = 0.0
    if start:
        locate_all(t, s, np.int64(0), s.energy.size, f.V, f.vm, A, chain, y)
        for k in range(s.energy.size):
            change = max(change, abs(s.energy[k]))
        sweeps -= 1
    for done in range(sweeps):
        worst = 0.0
        for k in range(s.energy.size):
            before = s.energy[k]
            advance(t, s, k, f.V, f.vm, A, chain, y)
            moved = abs(s.energy[k] - before)
            worst = moved if not moved <= worst else worst
        change = max(change, worst) if done == 0 else change
        if not worst > 1e-11 * max(1.0, Z * Z):
            break
    density(t, s, f)
    for k in range(points):
        store(f.rho_all, k, load(f.rho, k))
        if spins == 2:
            store(f.rho_all, k, load(f.rho, k) + load(f.rho, points + k))
    hartree(t, f.rho_all, f.v_hartree)
    exchange_correlation(t, f)
    for k in range(spins * points):
        store(f.v_out, k, load(f.v_hartree, k % points) + load(f.v_xc, k))
    _energies(t, s, f, Z)
    return math.sqrt(_distance(t, f, v_in)), change


@njit(cache=True)
def _distance(t, f, v_in):
    """Integrate rho (v_out - v_in)^2."""
    s = splat(0.0)
    points = t.r.size // 8
    for k in range(v_in.size // 8):
        difference = load(f.v_out, k) - load(v_in, k)
        s = s + load(t.weight, k % points) * load(f.rho, k) * difference * difference
    return total(s)


@njit(cache=True)
def _energies(t, s, f, Z):
    """Fill terms: total, kinetic, hartree, nuclear, xc, band, int rho / r, int rho v_xc."""
    terms = f.terms
    band = 0.0
    for k in range(s.energy.size):
        band += s.occupation[k] * s.energy[k]
    over_r = splat(0.0)
    for k in range(t.r.size // 8):
        over_r = over_r + load(t.weight, k) * load(f.rho_all, k) / load(t.r, k)
    terms[6] = total(over_r)
    terms[1] = band - weighted(t.weight, f.rho, f.V)
    terms[2] = 0.5 * weighted(t.weight, f.rho_all, f.v_hartree)
    terms[3] = -Z * terms[6]
    terms[4] = weighted(t.weight, f.rho_all, f.e_xc)
    terms[0] = terms[1] + terms[2] + terms[3] + terms[4]
    terms[5] = band
    terms[7] = weighted(t.weight, f.rho, f.v_xc)


@njit(cache=True)
def _inner(weight, a, i, b, j):
    """Weighted inner product of rows i of a and j of b."""
    s = splat(0.0)
    points, size = weight.size // 8, a.shape[1] // 8
    for k in range(size):
        s = s + load(weight, k % points) * load(a, i * size + k) * load(b, j * size + k)
    return total(s)


@njit(cache=True)
def _subtract(a, i, c, b, j):
    """Row i of a less c times row j of b."""
    factor = splat(c)
    size = a.shape[1] // 8
    for k in range(size):
        store(a, i * size + k, load(a, i * size + k) - factor * load(b, j * size + k))


@njit(cache=True)
def anderson(weight, m, mixing, x, v_out):
    """Anderson's mixing: x <- x + mixing f less what the last differences explain of f = v_out - x.

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
    kept = 0
    for j in range(min(done, depth)):
        slot = (done - 1 - j) % depth
        for k in range(size):
            df = load(m.df, slot * size + k)
            store(m.q, kept * size + k, df)
            store(m.g, kept * size + k, load(m.dx, slot * size + k) + alpha * df)
        whole = _inner(weight, m.q, kept, m.q, kept)
        for i in range(kept):
            c = _inner(weight, m.q, i, m.q, kept) / m.norms[i]
            _subtract(m.q, kept, c, m.q, i)
            _subtract(m.g, kept, c, m.g, i)
        m.norms[kept] = _inner(weight, m.q, kept, m.q, kept)
        if m.norms[kept] > 1e-24 * whole:
            c = _inner(weight, m.q, kept, m.rest, np.int64(0)) / m.norms[kept]
            _subtract(m.rest, np.int64(0), c, m.q, kept)
            _subtract(m.next, np.int64(0), c, m.g, kept)
            kept += 1
    copy(m.next, x)


@njit(cache=True, nogil=True)
def iterate(t, s, f, m, Z, x, mixing, start, n, stop_at, residuals, sure):
    """Up to n steps of the self-consistent field; return how many, and whether the last one stopped it.

    ``residuals`` (3, n) takes those of the potential and the energies, and the total energy. The potential
    that the last of them belong to is ``m.x``; x is the next one to try. If `sure`, the states are
    iterated until they stand, and certified by inertia.
    """
    done, stopped = 0, False
    while done < n and not stopped:
        error, change = step(t, s, f, Z, x, start and done == 0, 8 if sure else 1)
        residuals[0, done] = error
        residuals[1, done] = change
        residuals[2, done] = f.terms[0]
        done += 1
        stopped = not np.isfinite(error) or max(error, change) <= stop_at
        if stopped:
            copy(x, m.x)
        else:
            anderson(t.weight, m, mixing, x, f.v_out)
    if sure:
        certify(t, s, f.V, f.vm)
    return done, stopped
