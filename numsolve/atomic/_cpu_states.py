"""Bound states of radial equations: Rayleigh quotient iteration, every index certified by inertia.

For one channel (l or kappa) the discrete equation is A(eps) u = 0 with

    A(eps) = int D D / (2 M) + (V + w - eps) Phi Phi,      M = 1 + (eps - V) / (2 c^2)   (1 for c = inf).

-dA/deps is positive definite while M > 0, so that the number of negative eigenvalues of A(eps) is the
number of energies below eps, and a factorisation counts them. `t` stands for `tables.Tables`, `s` for
`tables.States`, `V` for the potential at the quadrature points, one for each spin, and `vm` for the matrices
int V Phi Phi, one for each spin and basis table.
"""

import math

import numpy as np
from numba import njit

from ._cpu_elements import (
    add_gram,
    add_moments,
    clear,
    combine,
    copy,
    dot,
    evaluate,
    factor,
    multiply,
    scale,
    solve,
)
from ._cpu_lanes import load, splat, store, total


@njit(cache=True)
def potential_matrices(t, V, vm):
    """Compute vm = int V Phi Phi for each spin and basis table."""
    tables = t.phi.shape[0]
    weight = np.empty_like(t.weight)
    for spin in range(V.shape[0]):
        for k in range(t.weight.size // 8):
            store(weight, k, load(t.weight, k) * load(V[spin], k))
        for table in range(tables):
            clear(vm[spin * tables + table])
            add_gram(vm[spin * tables + table], t.phi[table], weight)


@njit(cache=True)
def assemble(t, channel, spin, eps, V, vm, A):
    """A(eps) of one channel."""
    table = t.table[channel]
    combine(A, t.base[channel], vm[spin * t.phi.shape[0] + table], t.overlap[table], eps)
    if t.c < np.inf:
        weight = np.empty_like(t.weight)
        half, slope, shift = splat(0.5), splat(-0.5 / t.c**2), splat(1.0 + 0.5 * eps / t.c**2)
        for k in range(t.weight.size // 8):
            store(weight, k, half * load(t.weight, k) / (shift + slope * load(V[spin], k)))
        add_gram(A, t.slope[table], weight)


@njit(cache=True)
def count(t, channel, spin, eps, V, vm, A, chain):
    """Factorise A(eps); return the number of energies below eps, and eps, which a vanishing pivot moves."""
    n = t.phi.shape[3]
    while True:
        assemble(t, channel, spin, eps, V, vm, A)
        negative = factor(A, n, t.n_elements, t.first, chain)
        if negative >= 0 or not np.isfinite(eps):
            return negative, eps
        eps += 1e-12 * max(abs(eps), 1e-3)


@njit(cache=True)
def _quotient(t, channel, V, p, d, eps):
    """One Newton step for the root eps of u' A(eps) u = 0; (eps, large part of the norm for Dirac)."""
    numerator, norm, small = splat(0.0), splat(0.0), splat(0.0)
    half = splat(0.5)
    if t.c == np.inf:
        # linear in eps: any eps gives the quotient itself
        w = t.centrifugal[channel]
        for k in range(t.weight.size // 8):
            pk, dk, wk = load(p, k), load(d, k), load(t.weight, k)
            numerator = numerator + wk * (half * dk * dk + load(V, k) * pk * pk) + load(w, k) * pk * pk
            norm = norm + wk * pk * pk
        return total(numerator) / total(norm), 0.0
    slope, shift = splat(-0.5 / t.c**2), splat(1.0 + 0.5 * eps / t.c**2)
    e, over = splat(eps), splat(0.25 / t.c**2)
    for k in range(t.weight.size // 8):
        pk, dk, wk, vk = load(p, k), load(d, k), load(t.weight, k), load(V, k)
        qk = dk / (shift + slope * vk)  # 2 c Q
        numerator = numerator + wk * (half * dk * qk + (vk - e) * pk * pk)
        small = small + over * wk * qk * qk
        norm = norm + wk * pk * pk
    return eps + total(numerator) / (total(norm) + total(small)), total(small)


@njit(cache=True)
def rayleigh(t, channel, V, p, d, eps):
    """The root eps of u' A(eps) u = 0, and the norm of Q that goes with the function p."""
    for _ in range(20):
        before = eps
        eps, small = _quotient(t, channel, V, p, d, before)
        if t.c == np.inf or abs(eps - before) <= 1e-14 * abs(eps) or not np.isfinite(eps):
            break
    return eps, small


@njit(cache=True)
def inverse_step(t, s, k, shift, V, vm, A, chain, y):
    """One step of inverse iteration of state k; return the number of energies below the shift.

    The new u, with p = P and d = D at the quadrature points, is normalised to int P^2 + Q^2 = 1.
    """
    channel, spin = s.channel[k], s.spin[k]
    table = t.table[channel]
    u, p, d = s.u[k], s.p[k], s.d[k]
    n = t.phi.shape[3]
    negative, shift = count(t, channel, spin, shift, V, vm, A, chain)
    multiply(t.overlap[table], u, y)  # y = -A'(shift) u
    if t.c < np.inf:
        weighted = np.empty_like(p)
        slope, middle = splat(-0.5 / t.c**2), splat(1.0 + 0.5 * shift / t.c**2)
        over = splat(0.25 / t.c**2)
        for i in range(t.weight.size // 8):
            m = middle + slope * load(V[spin], i)
            store(weighted, i, over * load(t.weight, i) * load(d, i) / (m * m))
        add_moments(t.slope[table], weighted, y)
    solve(A, n, t.n_elements, t.first, chain, y)
    copy(y, u)
    evaluate(t.phi[table], u, p)
    evaluate(t.slope[table], u, d)
    eps, small = rayleigh(t, channel, V[spin], p, d, shift)
    multiply(t.overlap[table], u, y)
    norm = dot(u, y) + small
    if t.c == np.inf:  # with a lumped overlap the quotient is not that of the quadrature
        mass = 0.0
        for i in range(t.weight.size // 8):
            mass += total(load(t.weight, i) * load(p, i) * load(p, i))
        eps *= mass / norm
    for x in (u, p, d):
        scale(x, 1.0 / math.sqrt(norm))
    s.energy[k] = eps
    s.work[0] += 1
    return negative


@njit(cache=True)
def advance(t, s, k, V, vm, A, chain, y):
    """One step of Rayleigh quotient iteration of state k in a potential that has changed a little.

    If the new energy is not that of the wanted index, by the inertia at the shift, the state is located anew.
    """
    shift = rayleigh(t, s.channel[k], V[s.spin[k]], s.p[k], s.d[k], s.energy[k])[0]
    negative = inverse_step(t, s, k, shift, V, vm, A, chain, y)
    index, noise = s.index[k], 1e-11 * (1.0 + abs(shift))
    if s.energy[k] > shift + noise:
        right = negative == index
    elif s.energy[k] < shift - noise:
        right = negative == index + 1
    else:  # it did not move: its index is what it was, if that was ever found out
        right = index <= negative <= index + 1 and s.certified[k]
        right = right or is_certain(t, s, k, 10.0 * noise, V, vm, A, chain)
    if right:
        s.certified[k] = True
    else:
        locate(t, s, k, V, vm, A, chain, y)


@njit(cache=True)
def is_certain(t, s, k, margin, V, vm, A, chain):
    """Whether state k is the one of its index: count just below and just above its energy."""
    eps, channel, spin = s.energy[k], s.channel[k], s.spin[k]
    below = count(t, channel, spin, eps - margin, V, vm, A, chain)[0]
    above = count(t, channel, spin, eps + margin, V, vm, A, chain)[0]
    s.work[0] += 2
    return below == s.index[k] and above == s.index[k] + 1


@njit(cache=True)
def lowest(t, channel, V):
    """A bound below all energies: the minimum of the potential, above the lower continuum for Dirac."""
    bottom, top = np.inf, -np.inf
    flat, weight, w = V.ravel(), t.weight.ravel(), t.centrifugal[channel].ravel()
    for i in range(weight.size):
        if weight[i] > 0.0:
            bottom = min(bottom, flat[i] + w[i] / weight[i])
            top = max(top, flat[i])
    bottom -= 1e-9 * (1.0 + abs(bottom))
    if t.c < np.inf:
        bottom = max(bottom, top - 2.0 * t.c**2 * (1.0 - 1e-9))
    return bottom


@njit(cache=True)
def too_deep(t, V):
    """Whether channel 0 has states at or below the lower continuum, max V - 2 c^2."""
    vm = np.empty((V.shape[0] * t.phi.shape[0], *t.overlap.shape[1:]))
    potential_matrices(t, V, vm)
    A, chain = np.empty_like(t.base[0]), np.empty((2, t.n_elements + 1))
    channel = np.int64(0)
    return count(t, channel, channel, lowest(t, channel, V[0]), V, vm, A, chain)[0] > 0


@njit(cache=True)
def locate(t, s, k, V, vm, A, chain, y):
    """Find state k without a guess: bisect until it is alone in a bracket, then iterate inside."""
    locate_all(t, s, k, k + 1, V, vm, A, chain, y)


@njit(cache=True)
def locate_all(t, s, begin, end, V, vm, A, chain, y):
    """Find states begin ... end - 1 without a guess; those of a channel share their counts.

    Brackets are halved on the scale of asinh, which is logarithmic for large energies of either sign.
    """
    low, high = np.empty(end), np.empty(end)
    below_low, below_high = np.zeros(end, np.int64), np.full(end, -1)
    for k in range(begin, end):
        channel, spin = s.channel[k], s.spin[k]
        bottom = lowest(t, channel, V[spin])
        fresh = True
        for j in range(begin, k):
            if s.channel[j] == channel and s.spin[j] == spin:
                fresh = False
        if fresh:
            for j in range(k, end):
                low[j], high[j] = bottom, np.inf
    for k in range(begin, end):
        channel, spin, index = s.channel[k], s.spin[k], s.index[k]
        s.energy[k], s.certified[k] = np.nan, False
        top = max(1.0, 2.0 * low[k])
        for _ in range(200):
            if high[k] < np.inf:
                middle = math.sinh(0.5 * (math.asinh(low[k]) + math.asinh(high[k])))
                if not low[k] < middle < high[k]:
                    break  # two energies within rounding
            else:
                middle = top
                top *= 8.0
                if not middle < 1e100:
                    break  # fewer states than asked for
            alone = below_low[k] == index and below_high[k] == index + 1
            if alone:
                _start(t, s, k)
                found = inverse_step(t, s, k, middle, V, vm, A, chain, y)
            else:
                found, middle = count(t, channel, spin, middle, V, vm, A, chain)
                s.work[0] += 1
            for j in range(begin, end):
                if s.channel[j] == channel and s.spin[j] == spin:
                    if found <= s.index[j] and middle > low[j]:
                        low[j], below_low[j] = middle, found
                    elif found > s.index[j] and middle < high[j]:
                        high[j], below_high[j] = middle, found
            if alone and _polish(t, s, k, middle, low[k], high[k], V, vm, A, chain, y):
                s.certified[k] = True
                break


@njit(cache=True)
def _start(t, s, k):
    """A vector without symmetries."""
    u = s.u[k]
    for b in range(u.shape[0]):
        for i in range(u.shape[1]):
            for lane in range(8):
                u[b, i, lane] = 1.0 + 0.7 * math.sin(1.0 + 37.0 * (b * 8 + lane) + 2.3 * i)
    evaluate(t.slope[t.table[s.channel[k]]], u, s.d[k])


@njit(cache=True)
def _polish(t, s, k, shift, low, high, V, vm, A, chain, y):
    """Rayleigh quotient iteration from a first inverse step; whether it ends inside the bracket."""
    inverse_step(t, s, k, shift, V, vm, A, chain, y)
    for _ in range(8):
        before = s.energy[k]
        if not low - 1e-9 * (1.0 + abs(low)) <= before <= high + 1e-9 * (1.0 + abs(high)):
            break
        inverse_step(t, s, k, before, V, vm, A, chain, y)
        if abs(s.energy[k] - before) <= 1e-9 * abs(before):
            return low <= s.energy[k] <= high
    s.energy[k] = np.nan
    return False


@njit(cache=True)
def certify(t, s, V, vm):
    """Note for each state whether it is the one of its index."""
    A = np.empty_like(t.base[0])
    chain = np.empty((2, t.n_elements + 1))
    for k in range(s.energy.size):
        margin = 1e-10 * (1.0 + abs(s.energy[k]))
        s.certified[k] = np.isfinite(margin) and is_certain(t, s, k, margin, V, vm, A, chain)


@njit(cache=True)
def sweep(t, s, V, n, stop_at, residuals, start):
    """Up to n steps of Rayleigh quotient iteration of all states; the residual is the largest change.

    A change is counted relative to the energy where that is above one.
    """
    vm = np.empty((V.shape[0] * t.phi.shape[0], *t.overlap.shape[1:]))
    potential_matrices(t, V, vm)
    A, y = np.empty_like(t.base[0]), np.empty_like(s.u[0])
    chain = np.empty((2, t.n_elements + 1))
    if start:
        guessed = True
        for k in range(s.energy.size):
            guessed = guessed and np.isfinite(s.energy[k])
        if guessed:
            for k in range(s.energy.size):
                _start(t, s, k)
                shift = s.energy[k]
                inverse_step(t, s, k, shift, V, vm, A, chain, y)
                inverse_step(t, s, k, shift, V, vm, A, chain, y)
        else:
            locate_all(t, s, np.int64(0), s.energy.size, V, vm, A, chain, y)
    done = 0
    while done < n:
        worst = 0.0
        for k in range(s.energy.size):
            before = s.energy[k]
            if np.isfinite(before):
                advance(t, s, k, V, vm, A, chain, y)
            change = abs(s.energy[k] - before) / max(1.0, abs(before))
            worst = change if not change <= worst else worst
        residuals[done] = worst
        done += 1
        if not worst > stop_at:
            break
    certify(t, s, V, vm)
    return done
