"""Atoms before closed forms: hydrogen, oscillators, bounds of functionals, counts of electrons."""

from __future__ import annotations

import math

import numpy as np
from robustness.frame import Call, Draw, close, dense, eps, sweep

from numsolve import atomic

LIGHT = 137.0359895


def hydrogenic_energy(d: Draw) -> Call:
    def judge(got, Z, n, l=None, kappa=None, c=None):  # noqa: E741
        Z, n = float(Z), int(n)
        if kappa is None:
            close(got, -0.5 * Z * Z / n / n, 1e-12)
            return
        c, k = LIGHT if c is None else float(c), abs(int(kappa))
        a = Z / c
        if 1e-4 < a < k and c < 1e6:
            g = math.sqrt(k * k - a * a)
            close(got, c * c * (1 / math.sqrt(1 + (a / (n - k + g)) ** 2) - 1), 1e-6)
        assert math.isfinite(got)

    n = d.size(1, 4)
    settings = {"kappa": d.pick(-1, -n)} if d.seldom(2) else d.options(l=(None, 0, n - 1))
    return Call(atomic.hydrogenic_energy, (d.pick(1.0, 26.0, 92.0, 0.5), n), settings, judge)


def ground_configuration(d: Draw) -> Call:
    def judge(got, Z):
        noble = {"He": 2, "Ne": 10, "Ar": 18, "Kr": 36, "Xe": 54, "Rn": 86}
        total = 0
        for part in got.split():
            total += noble[part[1:-1]] if part.startswith("[") else int(part[2:])
        assert total == int(Z)

    return Call(atomic.ground_configuration, (d.size(1, 100),), {}, judge)


def thomas_fermi_potential(d: Draw) -> Call:
    def judge(got, r, Z):
        r = dense(r)
        assert np.shape(got) == r.shape
        there = float(Z) / r < 1e308
        assert np.isfinite(got[there]).all()
        got, r = np.asarray(got, float)[there], r[there]
        room = 1e-9 + 10 * eps(got)
        assert (got * r >= -max(float(Z), 1.0) * (1 + 1e-2)).all()
        least = 1e-323 * r  # below the range of numbers a potential is rounded to zero
        assert (got * r <= -min(float(Z), 1.0) * (1 - room) + least).all()

    r = d.rng().uniform(0.01, 30, d.pick((4,), (), (0,), (2, 2)))
    return Call(atomic.thomas_fermi_potential, (r, d.pick(26.0, 1.0, 92.0)), {}, judge)


def _densities(d: Draw):
    return 10.0 ** d.rng().uniform(-8, 6, d.pick((4,), (), (0,), (2, 2)))


def _slater(n):
    return -0.75 * np.cbrt(3 * n / np.pi)


def vwn_lda(d: Draw) -> Call:
    def judge(got, n, relativistic=False, c=LIGHT):
        n = dense(n)
        energy, potential = (np.asarray(part, float) for part in got)
        assert energy.shape == potential.shape == n.shape
        assert np.isfinite(energy).all()
        assert np.isfinite(potential).all()
        if not relativistic and (n < 1e100).all():  # correlation is between -0.3 and 0 hartree for these
            correlation = energy - _slater(n)
            size = 1e-6 * (1 + np.abs(energy))
            assert (correlation <= size).all()
            assert (correlation >= -20.0 - size).all()

    settings = d.options(relativistic=(False, True), c=(LIGHT, 1e3))
    return Call(atomic.vwn_lda, (_densities(d),), settings, judge)


def vwn_lsda(d: Draw) -> Call:
    def judge(got, n_up, n_down):
        up, down = np.broadcast_arrays(dense(n_up), dense(n_down))
        parts = [np.asarray(part, float) for part in got]
        assert all(part.shape == up.shape and np.isfinite(part).all() for part in parts)
        if (up < 1e100).all() and (down < 1e100).all() and eps(got[0]) < 1e-10:
            swapped = atomic.vwn_lsda(down, up)
            close(swapped[0], parts[0], 1e-9, 1e-12)
            close(swapped[1], parts[2], 1e-9, 1e-12)
            if up.size and (up == down).all():
                close(parts[0], atomic.vwn_lda(up + down)[0], 1e-9, 1e-12)

    n = _densities(d)
    return Call(atomic.vwn_lsda, (n, d.pick(n, 0.5 * n, 0.0 * n)), {}, judge)


def RadialMesh(d: Draw) -> Call:
    def judge(got, edges, order=14, n_quad=None):
        edges = dense(edges)
        close(got.edges, edges, 1e-15)
        assert got.n_elements == len(edges) - 1

    edges = np.concatenate([[0.0], np.cumsum(d.rng().uniform(0.1, 5, d.size(1, 5)))])
    return Call(atomic.RadialMesh, (edges,), d.options(order=(14, 2, 8), n_quad=(None, 20)), judge)


class _Coulomb:
    """-Z / r, by its name."""

    def __init__(self, Z):
        self.Z = Z

    def __call__(self, r):
        return -self.Z / r


def solve_radial_schroedinger(d: Draw) -> Call:
    Z, omega = d.pick(1.0, 10.0, 80.0), 1.0
    V = d.pick(_Coulomb(Z), lambda r: 0.5 * r * r, lambda r: 0.0 * r)
    settings = d.options(tol=(1e-11, 1e-6), overlap=("exact", "lumped")) | d.options(maxiter=(None, 0, 2))
    if isinstance(V, _Coulomb):
        settings |= {"Z": Z, "r_max": 150.0 / Z}
    else:
        settings |= {"r_max": 12.0}

    def judge(got, V, l=0, n_states=1, Z=None, overlap="exact", **_):  # noqa: E741
        l, energies = int(l), dense(got.energies)  # noqa: E741
        k = np.arange(int(n_states))
        if not got.certified or overlap != "exact" or not np.all(got.bound) or l > 5 or len(k) > 3:
            return
        if isinstance(V, _Coulomb):
            if Z is not None and float(Z) == V.Z:
                close(energies, -0.5 * (V.Z / (k + l + 1)) ** 2, 1e-6)
        elif callable(V) and float(V(2.0)) == 2.0:
            close(energies, omega * (2 * k + l + 1.5), 1e-6)

    args = (V, d.size(0, 3), d.size(1, 3))
    return Call(atomic.solve_radial_schroedinger, args, settings | {"time_limit": 4.0}, judge, partial=True)


def solve_radial_dirac(d: Draw) -> Call:
    Z = d.pick(1.0, 30.0, 92.0)

    def judge(got, V, kappa=-1, n_states=1, Z=0.0, c=LIGHT, **_):
        energies, kappa = dense(got.energies), int(kappa)
        if not (got.certified and isinstance(V, _Coulomb) and float(Z) == V.Z and 100 < float(c) < 1e4):
            return
        first = kappa + 1 if kappa > 0 else -kappa
        for k, energy in enumerate(energies[:3]):
            if np.all(got.bound):
                close(energy, atomic.hydrogenic_energy(V.Z, first + k, kappa=kappa, c=float(c)), 1e-6)

    settings = {"Z": Z, "r_max": max(50.0, 200.0 / Z)}
    settings |= d.options(tol=(1e-11, 1e-6), formulation=("elimination", "squared"), c=(LIGHT, 1e3))
    args = (_Coulomb(Z), d.pick(-1, 1, -2, 2), d.size(1, 2))
    return Call(atomic.solve_radial_dirac, args, settings | {"time_limit": 4.0}, judge, partial=True)


def _settings(d: Draw) -> dict:
    return d.options(
        xc=("lda", "pbe", "exchange", "hartree"), spin_polarized=(False, True), tol=(1e-8, 1e-4),
        relativistic=(False, "scalar"), mixing=("anderson", "linear"), temperature=(0.0, 0.01),
        nucleus=("point", "gaussian"), mixing_alpha=(0.4, 0.9), mixing_depth=(8, 1),
    ) | {"error_estimate": False}  # fmt: skip


def AtomDFT(d: Draw) -> Call:
    def judge(got, Z, **_):
        assert got.n_electrons >= 0
        close(sum(shell.occupation for shell in got.configuration), got.n_electrons, 1e-9, 1e-9)

    settings = _settings(d) | d.options(configuration=(None, "1s2 2s0", "1s1 2s0.5"))
    settings.pop("nucleus", None)
    if not settings.get("configuration"):
        settings.pop("temperature", None)  # it needs shells with room
    if settings.get("spin_polarized"):
        settings.pop("relativistic", None)
    return Call(atomic.AtomDFT, (d.pick(2.0, 3.0, "He", 10),), settings, judge)


def solve_atoms(d: Draw) -> Call:
    def judge(got, specs, **settings):
        assert len(got) == len(specs)
        for one in got:
            if one.success:
                volume = 4 * np.pi * np.trapezoid(one.density * one.r**2, one.r)
                electrons = sum(o.occupation for o in one.orbitals)
                assert abs(volume - electrons) <= 0.05 * electrons + 1e-6
                assert one.total_energy < 0

    settings = {k: v for k, v in _settings(d).items() if k in {"xc", "tol", "mixing", "error_estimate"}}
    return Call(atomic.solve_atoms, ([d.pick(2, "He", 1, 3) for _ in range(d.size(0, 2))],), settings, judge)


calls = {
    f.__name__: f
    for f in (
        hydrogenic_energy,
        ground_configuration,
        thomas_fermi_potential,
        vwn_lda,
        vwn_lsda,
        RadialMesh,
        solve_radial_schroedinger,
        solve_radial_dirac,
        AtomDFT,
        solve_atoms,
    )
}
TestAtomic = sweep(
    "atomic",
    calls,
    without={"AtomFunctions": "made by a result", "Orbital": "made by a result"},
    seldom=("solve_atoms", "solve_radial_dirac", "solve_radial_schroedinger"),
)
