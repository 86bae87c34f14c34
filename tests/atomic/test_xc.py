"""Exchange and correlation against published values, libxc, and their own derivatives."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from numsolve.atomic import thomas_fermi_potential, vwn_lda
from numsolve.atomic.xc import vwn_lsda

DENSITIES = np.geomspace(1e-9, 1e8, 60)


@pytest.mark.parametrize(
    ("n", "relativistic", "e_xc", "v_xc"),
    [
        (1.0, False, -0.810151378689, -1.064683405019),
        (1000.0, False, -7.520891784779, -9.992585690290),
        (1e6, False, -74.06091320775, -98.68979892019),
        (1.0, True, -0.809900514267, -1.064181727297),
        (1000.0, True, -7.277365849357, -9.510311235249),
        (1e6, True, -5.10344525957, 7.86273135957),
    ],
)
def test_values_of_the_published_program(n, relativistic, e_xc, v_xc):
    assert_allclose(vwn_lda(n, relativistic), (e_xc, v_xc), rtol=2e-12)


def test_libxc_unpolarised():
    libxc = pytest.importorskip("pyscf.dft.libxc")
    energy, potential = libxc.eval_xc("slater,vwn5", DENSITIES)[:2]
    assert_allclose(vwn_lda(DENSITIES), (energy, potential[0]), rtol=1e-12)


@pytest.mark.parametrize("polarisation", [0.0, 0.1, 0.73, 0.999, 1.0, -0.4])
def test_libxc_polarised(polarisation):
    libxc = pytest.importorskip("pyscf.dft.libxc")
    up, down = DENSITIES * (1 + polarisation) / 2, DENSITIES * (1 - polarisation) / 2
    energy, potential = libxc.eval_xc("slater,vwn5", (up, down), spin=1)[:2]
    e_xc, v_up, v_down = vwn_lsda(up, down)
    assert_allclose(e_xc, energy, rtol=1e-10 if abs(polarisation) < 1 else 1e-6)
    assert_allclose(v_up, potential[0][:, 0], rtol=1e-8 if abs(polarisation) < 1 else 1e-5, atol=1e-12)
    if abs(polarisation) < 1:  # libxc cuts off the potential of a spin without density
        assert_allclose(v_down, potential[0][:, 1], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("relativistic", [False, True])
def test_the_potential_is_the_derivative(relativistic):
    n, h = DENSITIES, DENSITIES * 1e-5
    energy = [(n + s * h) * vwn_lda(n + s * h, relativistic)[0] for s in (1, -1)]
    slope = (energy[0] - energy[1]) / (2 * h)
    assert_allclose(vwn_lda(n, relativistic)[1], slope, rtol=1e-7, atol=1e-9 * abs(slope).max())


def test_relativity_has_no_seam_where_the_series_begins():
    """beta = 1e-2 divides the series from the closed form."""
    n0 = (1e-2 * 137.0359895) ** 3 / (3 * np.pi**2)
    n = n0 * (1 + np.array([-1e-9, 1e-9]))
    for part in vwn_lda(n, relativistic=True):
        assert part[0] == pytest.approx(part[1], rel=2e-9)


@pytest.mark.parametrize("c", [1e-6, 1e-200, 5e-324])
def test_exchange_at_any_speed_of_light_is_at_least_its_limit(c):
    """Minus a half of Slater's, for the energy as for the potential, where beta is infinite."""
    n = np.array([1e-3, 1.0, 1e6])
    slater = -0.75 * np.cbrt(3 * n / np.pi)
    with_light, without = vwn_lda(n, relativistic=True, c=c), vwn_lda(n)
    assert_allclose(with_light[0] - without[0], -1.5 * slater, rtol=1e-9)
    assert_allclose(with_light[1] - without[1], -1.5 * 4 / 3 * slater, rtol=1e-9)


def test_no_density_has_no_energy():
    assert vwn_lda([0.0, 5e-324])[0].tolist() == [0.0, 0.0]
    assert [float(part) for part in vwn_lsda(0.0, 0.0)] == [0.0, 0.0, 0.0]


def test_the_polarised_gas_at_its_limits():
    n = DENSITIES
    e, up, down = vwn_lsda(n / 2, n / 2)
    assert_allclose(e, vwn_lda(n)[0], rtol=1e-13)
    assert_allclose(up, down, rtol=1e-13)
    assert_allclose(up, vwn_lda(n)[1], rtol=1e-13)
    flipped = vwn_lsda(n * 0.3, n * 0.7)
    assert_allclose(vwn_lsda(n * 0.7, n * 0.3), (flipped[0], flipped[2], flipped[1]), rtol=1e-13)


def test_shapes_are_kept():
    e, v = vwn_lda(np.ones((2, 3)))
    assert e.shape == v.shape == (2, 3)
    assert np.ndim(vwn_lda(1.0)[0]) == 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("Z", [1e-200, 1.0, 1e300])
def test_thomas_fermi_is_between_one_charge_and_all_at_any_size(Z):
    r = np.array([1e-5, 25.0, 1e90])
    charge = -r * thomas_fermi_potential(r, Z)
    assert (charge >= min(Z, 1.0) * (1 - 1e-9)).all()
    assert (charge <= max(Z, 1.0) * 1.01).all()
    assert thomas_fermi_potential([5e-324], 1.0) == -np.inf


def test_thomas_fermi_sees_the_nucleus_inside_and_one_charge_outside():
    r = np.array([1e-7, 60.0])
    assert_allclose(-r * thomas_fermi_potential(r, 50), [50, 1], rtol=1e-3)
    assert (np.diff(-r * thomas_fermi_potential(r, 50)) < 0).all()
