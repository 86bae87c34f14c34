"""Bound states of radial equations: found by bisection, kept by Rayleigh quotients, certified by inertia.

The equation and its letters are those of `_cpu_rayleigh`. ``np.bool_(True)`` and ``np.int64(0)`` stand where
a constant would have a type of its own, for which the callee would be compiled once more.

Long work is cut where a factorisation begins: functions that take `until` return False once so many were
done, and go on from there when they are called again; `s.run` remembers the place.
"""

import math

import numpy as np

from ._cpu_elements import evaluate
from ._cpu_lanes import inner, kernel
from ._cpu_rayleigh import (
    NOISE,
    advance,
    is_certain,
    potential_matrices,
    probe,
    separate,
    table_of,
)

HALVINGS = 200  #: of a bracket, at most: some 60 take it from 1e100 to rounding errors


@inner(inline="always")
def lowest(t, a, channel, spin, c):
    """A bound below all energies: the minimum of the potential, above the lower continuum for Dirac."""
    bottom, top = np.inf, -np.inf
    blocks, points = t.weight.shape[:2]
    for b in range(blocks):
        for q in range(points):
            for lane in range(min(8, t.n_elements - 8 * b)):
                v = a.V[spin, b, q, lane]
                low = v
                if c is None:
                    low += t.centrifugal[channel, b, q, lane] / t.weight[b, q, lane]
                bottom, top = min(bottom, low), max(top, v)
    bottom -= 1e-9 * (1.0 + abs(bottom))
    if c is not None:
        bottom = max(bottom, top - 2.0 * c**2 * (1.0 - 1e-9))
    return bottom


@inner(inline="always")
def widen(t, s, a, c):
    """Forget what was known of the states that are lost."""
    for k in range(s.each.size):
        if np.isnan(s.each[k].energy):
            s.each[k].low, s.each[k].high = lowest(t, a, s.each[k].channel, s.each[k].spin, c), np.inf
            s.each[k].below_low, s.each[k].below_high, s.each[k].halvings = 0, -1, 0


@inner(inline="always")
def locate(t, s, a, c, until):
    """Find the lost states: bisect until each is alone in a bracket, or with its equals; iterate inside.

    Brackets are halved on the scale of asinh, which is logarithmic for large energies of either sign. A
    state that is not found within `HALVINGS`, or whose matrix is not finite, keeps the energy nan.
    """
    count = s.each.size
    for k in range(count):
        channel, spin, index = s.each[k].channel, s.each[k].spin, s.each[k].index
        for halving in range(s.each[k].halvings, HALVINGS if np.isnan(s.each[k].energy) else 0):
            if s.run[0].factorizations >= until:
                return False
            s.each[k].halvings = halving + 1
            if s.each[k].high < np.inf:
                middle = math.sinh(0.5 * (math.asinh(s.each[k].low) + math.asinh(s.each[k].high)))
                alone = s.each[k].below_low == index and s.each[k].below_high == index + 1
                alone = alone or s.each[k].high - s.each[k].low <= NOISE * abs(middle)  # or with its equals
                hopeless = not (alone or s.each[k].low < middle < s.each[k].high)
            else:
                middle = 8.0 * max(s.each[k].low, 0.125) if s.each[k].low > 0.0 else 1.0
                alone, hopeless = False, not middle < 1e100  # fewer states than asked for
            found = -1
            if not hopeless:
                if alone:
                    begin(t, s, k)
                found = probe(t, s, a, k, middle, c, alone)
            if found < 0:
                s.each[k].halvings, s.each[k].energy = HALVINGS, np.nan
                break
            for j in range(count):
                if s.each[j].channel == channel and s.each[j].spin == spin:
                    if found <= s.each[j].index and middle > s.each[j].low:
                        s.each[j].low, s.each[j].below_low = middle, found
                    elif found > s.each[j].index and middle < s.each[j].high:
                        s.each[j].high, s.each[j].below_high = middle, found
            if alone and polish(t, s, a, k, middle, c):
                s.each[k].certified = s.each[k].below_low == index and s.each[k].below_high == index + 1
                break
    return True


@inner(inline="always")
def begin(t, s, k):
    """A vector without symmetries."""
    u = s.u[k]
    blocks, n = u.shape[:2]
    for b in range(blocks):
        for i in range(n):
            for lane in range(8):
                u[b, i, lane] = 1.0 + 0.7 * math.sin(1.0 + 37.0 * (b * 8 + lane) + 2.3 * i)
    evaluate(t.slope[table_of(t, s.each[k].channel)], u, s.d[k])


@inner(inline="always")
def polish(t, s, a, k, shift, c):
    """Rayleigh quotient iteration from a first inverse step; whether it ends inside the bracket."""
    low, high = s.each[k].low, s.each[k].high
    for step in range(9):
        before = s.each[k].energy
        wide = 1e-9 * (s.each[k].unit + max(abs(low), abs(high)))
        if step > 0 and not low - wide <= before <= high + wide:
            break
        probe(t, s, a, k, shift if step == 0 else before, c, np.bool_(True))
        separate(t, s, a, k, c)
        energy = s.each[k].energy
        if step > 0 and abs(energy - before) <= 1e-9 * abs(before):
            slack = NOISE * (s.each[k].unit + abs(energy))
            if low - slack <= energy <= high + slack:
                return True
            break
    s.each[k].energy = np.nan
    return False


@inner(inline="always")
def certify(t, s, a, c, until):
    """Note for each state whether it is the one of its index."""
    run = s.run[0]
    for k in range(run.checked, s.each.size):
        if run.factorizations >= until:
            return False
        s.each[k].certified = np.isfinite(s.each[k].energy) and is_certain(t, s, a, k, c)
        run.checked = k + 1
    run.checked = 0
    return True


@inner
def settle(t, s, a, c, until, certifying):
    """Do one step of Rayleigh quotient iteration for each state, and locate those that are lost or new.

    ``run.worst`` becomes the largest change of an energy (``run.relative``: relative to those above one), or
    inf if a state was not found. If `certifying`, note instead for each state whether it is the one of its
    index. Return whether all is done.
    """
    run, count = s.run[0], s.each.size
    if certifying:
        return certify(t, s, a, c, until)
    if run.fresh:
        potential_matrices(t, a)
        run.fresh = False
    if run.state == 0:
        for k in range(count):
            s.each[k].before = s.each[k].energy
    for k in range(run.state, count):
        if run.factorizations >= until:
            return False
        if np.isfinite(s.each[k].energy):
            advance(t, s, a, k, c)
        run.state = k + 1
    if run.state == count:
        widen(t, s, a, c)
        run.state = count + 1
    if not locate(t, s, a, c, until):
        return False
    worst = 0.0
    for k in range(count):
        old = s.each[k].before if np.isfinite(s.each[k].before) else 0.0
        moved = abs(s.each[k].energy - old) / (max(s.each[k].unit, abs(old)) if run.relative else 1.0)
        worst = max(worst, moved) if moved < np.inf else np.inf
    run.worst = worst
    run.state = 0
    return True


@kernel
def sweep(t, s, a, c, n, stop_at, residuals, probes, certifying):
    """Up to n steps of Rayleigh quotient iteration of all states; return how many.

    The residual is the largest change of an energy, relative to those above one. If `certifying`, note
    instead for each state whether it is the one of its index, and return 1 when that is done. After some
    `probes` factorisations the call returns, to be called again: it goes on where it was.
    """
    run = s.run[0]
    until = run.factorizations + probes
    done = 0
    for _ in range(max(n, 1)):
        if not settle(t, s, a, c, until, certifying):
            break
        done += 1
        if certifying:
            break
        residuals[done - 1] = run.worst
        if run.worst <= stop_at or run.worst == np.inf:
            break
    return done


@kernel
def guess(t, s, a, c):
    """Begin with the energies that are finite as guesses; return how many lie in the lower continuum (or -1).

    These are the states below max V - 2 c^2, which only a very deep well has.
    """
    potential_matrices(t, a)
    below, first = np.int64(0), np.int64(0)
    if c is not None:
        below = probe(t, s, a, first, lowest(t, a, first, first, c), c, np.bool_(False))
    for k in range(s.each.size if below == 0 else 0):
        energy = s.each[k].energy
        if np.isfinite(energy):
            begin(t, s, k)
            for _ in range(2):
                probe(t, s, a, k, energy, c, np.bool_(True))
    return below
