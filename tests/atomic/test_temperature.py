"""Electrons with a temperature: Fermi and Dirac's occupations, the free energy and its derivatives."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from numsolve.atomic import AtomDFT

HOT = {
    "iron": {"Z": 26, "temperature": 0.01},
    "with spin": {"Z": 26, "temperature": 0.01, "spin_polarized": True},
    "Dirac": {"Z": 28, "temperature": 0.02, "relativistic": True},
    "PBE": {"Z": 13, "configuration": "[Ne] 3s2 3p1 3d0 4s0", "temperature": 0.1, "xc": "pbe"},
}


@pytest.fixture(scope="module", params=HOT.values(), ids=HOT.keys())
def hot(request):
    return request.param, AtomDFT(**request.param).run()


def room(orbital):
    if orbital.kappa is not None:
        return 2 * abs(orbital.kappa)
    return (1 if orbital.spin else 2) * (2 * orbital.l + 1)


def test_the_occupations_are_those_of_fermi_and_dirac(hot):
    settings, atom = hot
    assert atom.success
    assert atom.certified
    assert sum(o.occupation for o in atom.orbitals) == pytest.approx(settings["Z"], rel=1e-13)
    for o in atom.orbitals:
        exponent = min((o.energy - atom.chemical_potential) / settings["temperature"], 700)
        assert o.occupation == pytest.approx(room(o) / (1 + np.exp(exponent)), rel=1e-5, abs=1e-14)
    assert atom.weights @ (4 * np.pi * atom.r**2 * atom.density) == pytest.approx(settings["Z"], rel=1e-11)


def test_minus_the_free_energys_derivative_by_the_temperature_is_the_entropy(hot):
    settings, atom = hot
    T = settings["temperature"]
    h = 0.02 * T
    above, below = (AtomDFT(**settings | {"temperature": T + s * h}).run().total_energy for s in (1, -1))
    assert (above - below) / (2 * h) == pytest.approx(atom.energy_terms["entropy"] / T, rel=2e-4)
    shares = np.array([o.occupation / room(o) for o in atom.orbitals])
    mixed = shares[(shares > 0) & (shares < 1)]
    rooms = np.array([room(o) for o in atom.orbitals])[(shares > 0) & (shares < 1)]
    disorder = -rooms @ (mixed * np.log(mixed) + (1 - mixed) * np.log(1 - mixed))
    assert atom.energy_terms["entropy"] == pytest.approx(-T * disorder, rel=1e-12)


def test_the_free_energys_derivative_by_the_electrons_is_the_chemical_potential():
    h = 1e-3
    plus, minus = (
        AtomDFT(26, configuration=f"[Ar] 3d6 4s{2 - 0.5 + s * h}", temperature=0.01).run() for s in (1, -1)
    )
    middle = AtomDFT(26, configuration="[Ar] 3d6 4s1.5", temperature=0.01).run()
    slope = (plus.total_energy - minus.total_energy) / (2 * h)
    assert middle.chemical_potential == pytest.approx(slope, abs=1e-6)


def test_cold_electrons_level_the_open_shells():
    """Janak's condition: shells that are partly filled have one energy, and the energy is least."""
    atom = AtomDFT(26, temperature=1e-3).run(maxiter=300)
    d, s = atom.orbital("3d"), atom.orbital("4s")
    assert atom.success
    assert 0 < d.occupation < 10
    assert d.energy == pytest.approx(s.energy, abs=4e-3)  # some T, times a logarithm of the occupations
    f = d.occupation
    for other in (f - 0.1, f + 0.1):
        fixed = AtomDFT(26, configuration=f"[Ar] 3d{other:.6f} 4s{8 - other:.6f}").run()
        assert fixed.total_energy > atom.total_energy - atom.energy_terms["entropy"]


def test_spins_part_at_low_temperature_and_not_at_high():
    cold, hot = (AtomDFT(26, temperature=T, spin_polarized=True).run() for T in (0.01, 0.2))
    moment = cold.weights @ (4 * np.pi * cold.r**2 * cold.spin_density)
    assert moment > 3
    assert cold.total_energy < AtomDFT(26, temperature=0.01).run().total_energy
    assert_allclose(hot.weights @ (4 * np.pi * hot.r**2 * hot.spin_density), 0, atol=1e-5)


def test_a_filled_atom_needs_empty_shells():
    with pytest.raises(ValueError, match="hold 10, and there are 10 electrons; add empty ones"):
        AtomDFT("Ne", temperature=0.01)
    with pytest.raises(ValueError, match="temperature must be a finite number at least 0"):
        AtomDFT("Fe", temperature=-1)
    assert np.isnan(AtomDFT(2).run().chemical_potential)


@pytest.mark.parametrize("T", [1e-9, 1e-12, 1e-15])
def test_electrons_are_kept_where_floats_are_far_apart_in_units_of_the_temperature(T):
    shells = "1s2 2s2 2p4 3s0"
    cold, zero = AtomDFT(8, configuration=shells, temperature=T).run(), AtomDFT(8, configuration=shells).run()
    assert cold.success
    assert sum(o.occupation for o in cold.orbitals) == pytest.approx(8, abs=1e-13)
    assert cold.total_energy == pytest.approx(zero.total_energy, abs=1e-8)
