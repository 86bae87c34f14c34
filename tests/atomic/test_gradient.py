"""Functionals of the density's gradient against their papers, libxc, identities, and published atoms."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from numsolve.atomic import AtomDFT, RadialMesh
from numsolve.atomic.gradient import PBE, PBESOL, values

RNG = np.random.default_rng(7)
DENSITIES = np.geomspace(1e-8, 1e5, 40)
SLOPES = -(DENSITIES ** (4 / 3)) * RNG.uniform(0.01, 20, 40)
ZETA = RNG.uniform(-0.99, 0.99, 40)
SPINS = DENSITIES * np.array([1 + ZETA, 1 - ZETA]) / 2
SPIN_SLOPES = SPINS ** (4 / 3) * RNG.uniform(-20, 20, (2, 40))
FUNCTIONALS = {"pbe": PBE, "pbesol": PBESOL}
each = pytest.mark.parametrize("name", FUNCTIONALS)


# -- the functional --------------------------------------------------------------------------------


def energy_of_the_papers(mp, up, down, slope_up, slope_down, constants):
    """The energy of a volume, written down from the papers in the arithmetic of mpmath."""
    kappa, mu, beta = map(mp.mpf, constants)
    gamma = (1 - mp.log(2)) / mp.pi**2

    def exchange(n, slope):
        k = mp.cbrt(3 * mp.pi**2 * n)
        s = slope / (2 * k * n)
        return -3 * k / (4 * mp.pi) * n * (1 + kappa - kappa / (1 + mu * s**2 / kappa))

    def fit(rs, A, a, *b):
        powers = sum(mp.mpf(c) * rs ** (mp.mpf(i) / 2) for i, c in enumerate(map(str, b), start=1))
        return -2 * A * (1 + a * rs) * mp.log(1 + 1 / (2 * A * powers))

    n, slope = up + down, slope_up + slope_down
    zeta, rs = (up - down) / n, mp.cbrt(3 / (4 * mp.pi * n))
    para = fit(rs, mp.mpf("0.0310907"), mp.mpf("0.21370"), 7.5957, 3.5876, 1.6382, 0.49294)
    ferro = fit(rs, mp.mpf("0.01554535"), mp.mpf("0.20548"), 14.1189, 6.1977, 3.3662, 0.62517)
    stiff = -fit(rs, mp.mpf("0.0168869"), mp.mpf("0.11125"), 10.357, 3.6231, 0.88026, 0.49671)
    four_thirds = mp.mpf(4) / 3
    f = ((1 + zeta) ** four_thirds + (1 - zeta) ** four_thirds - 2) / (2**four_thirds - 2)
    curvature = 8 / (9 * (2**four_thirds - 2))
    gas = para + stiff * f / curvature * (1 - zeta**4) + (ferro - para) * f * zeta**4
    phi = ((1 + zeta) ** (four_thirds / 2) + (1 - zeta) ** (four_thirds / 2)) / 2
    t = slope / (2 * phi * mp.sqrt(4 * mp.cbrt(3 * mp.pi**2 * n) / mp.pi) * n)
    A = beta / gamma / (mp.exp(-gas / (gamma * phi**3)) - 1)
    inside = beta / gamma * t**2 * (1 + A * t**2) / (1 + A * t**2 + A**2 * t**4)
    H = gamma * phi**3 * mp.log(1 + inside)
    return (exchange(2 * up, 2 * slope_up) + exchange(2 * down, 2 * slope_down)) / 2 + n * (gas + H)


@each
def test_the_energy_is_that_of_the_papers_and_the_rest_its_derivatives(name):
    mp = pytest.importorskip("mpmath").mp.clone()
    mp.dps = 40
    constants = FUNCTIONALS[name]
    for i in (3, 17, 25, 36):
        point = [*SPINS[:, i].tolist(), *SPIN_SLOPES[:, i].tolist()]
        energy, by_n, by_slope = values(SPINS[:, i : i + 1], SPIN_SLOPES[:, i : i + 1], constants)
        want = energy_of_the_papers(mp, *map(mp.mpf, point), constants)
        assert_allclose(sum(point[:2]) * energy, float(want), rtol=1e-13)
        for k, value in enumerate([*by_n[:, 0], *by_slope[:, 0]]):
            order = [int(j == k) for j in range(4)]
            slope = mp.diff(lambda *x: energy_of_the_papers(mp, *x, constants), tuple(point), tuple(order))
            assert_allclose(value, float(slope), rtol=1e-11)


@each
def test_libxc(name):
    libxc = pytest.importorskip("pyscf.dft.libxc")
    theirs = {"pbe": "pbe,pbe", "pbesol": "pbe_sol,pbe_sol"}[name]
    rho = np.zeros((4, 40))
    rho[0], rho[1] = DENSITIES, SLOPES
    want, (by_n, by_square, *_) = libxc.eval_xc(theirs, rho)[:2]
    ours = values(DENSITIES, SLOPES, FUNCTIONALS[name])
    assert_allclose(ours, (want, by_n, 2 * by_square * SLOPES), rtol=1e-9)
    assert_allclose(ours[0], want, rtol=1e-12)
    both = np.zeros((2, 4, 40))
    both[:, 0], both[:, 1] = SPINS, SPIN_SLOPES
    want, (by_n, by_square, *_) = libxc.eval_xc(theirs, tuple(both), spin=1)[:2]
    energy, ours_n, ours_slope = values(SPINS, SPIN_SLOPES, FUNCTIONALS[name])
    assert_allclose(energy, want, rtol=1e-12)
    assert_allclose(ours_n, by_n.T, rtol=1e-11)
    (a, b), (uu, ud, dd) = SPIN_SLOPES, by_square.T
    assert_allclose(ours_slope, (2 * uu * a + ud * b, 2 * dd * b + ud * a), rtol=1e-11)


@each
def test_two_equal_spins_are_the_unpolarised_gas(name):
    energy, by_n, by_slope = values(DENSITIES, SLOPES, FUNCTIONALS[name])
    halves = values(np.stack([DENSITIES] * 2) / 2, np.stack([SLOPES] * 2) / 2, FUNCTIONALS[name])
    assert_allclose(halves[0], energy, rtol=1e-14)
    assert_allclose(halves[1], [by_n] * 2, rtol=1e-13)
    assert_allclose(halves[2], [by_slope] * 2, rtol=1e-11)


def test_the_gas_without_a_gradient_is_local():
    """Slater's exchange, and a correlation that differs from that of VWN5 by the fit only."""
    from numsolve.atomic import vwn_lda

    n = np.geomspace(1e-4, 1e4, 20)
    energy, by_n, by_slope = values(n, np.zeros(20), PBE)
    assert_allclose((energy, by_n), vwn_lda(n), atol=6e-4)
    assert_allclose(by_slope, 0.0)


def test_steep_densities_have_no_correlation_and_the_largest_exchange():
    """H cancels e_c, and F tends to 1 + kappa: the bound of Lieb and Oxford is kept."""
    n = np.geomspace(1e-3, 10, 5)
    energy, _, by_slope = values(n, -1e9 * n, PBE)
    slater = -0.75 / np.pi * (3 * np.pi**2 * n) ** (1 / 3)
    assert_allclose(energy, 1.804 * slater, rtol=1e-6)
    assert (np.abs(by_slope) < 1e-9).all()


def test_no_density_has_no_energy():
    for n, slope in ((0.0, 0.0), (1e-300, -1e-300), (1e-35, 1.0)):
        for part in values(np.full((2, 1), n), np.full((2, 1), slope), PBE):
            assert np.all(part == 0)
    spins = values(np.array([[1.0], [0.0]]), np.array([[-1.0], [0.0]]), PBE)
    assert all(np.isfinite(part).all() for part in spins)


# -- atoms -----------------------------------------------------------------------------------------

#: Published totals of PBE atoms, to the digits that they have.
PUBLISHED = {2: -2.8929, 10: -128.8664, 18: -527.3461}


@pytest.mark.parametrize(("Z", "energy"), PUBLISHED.items())
def test_published_totals(Z, energy):
    atom = AtomDFT(Z, xc="pbe").run()
    assert atom.success
    assert atom.certified
    assert atom.total_energy == pytest.approx(energy, abs=5e-5)


def even_tempered(count, momenta):
    """Gaussians with exponents in a geometric progression, uncontracted."""
    exponents = 0.04 * 2.1 ** np.arange(count)
    return [[l, [float(a), 1.0]] for l in momenta for a in exponents[: count if l == 0 else count - 6]]  # noqa: E741


@pytest.mark.parametrize(
    ("symbol", "xc", "unpaired"), [("He", "pbe", 0), ("Ne", "pbesol", 0), ("N", "pbe", 3)]
)
def test_gaussians_come_close_from_above(symbol, xc, unpaired):
    """Another program, basis, quadrature and library of functionals."""
    gto = pytest.importorskip("pyscf.gto")
    from pyscf import dft

    basis = even_tempered(26, (0,) if symbol == "He" else (0, 1))
    molecule = gto.M(atom=f"{symbol} 0 0 0", basis={symbol: basis}, spin=unpaired, verbose=0)
    calculation = dft.UKS(molecule) if unpaired else dft.RKS(molecule)
    calculation.xc = {"pbe": "pbe,pbe", "pbesol": "pbe_sol,pbe_sol"}[xc]
    calculation.grids.atom_grid, calculation.conv_tol = (300, 14), 1e-11  # an atom is round
    theirs = calculation.kernel()
    ours = AtomDFT(symbol, spin_polarized=unpaired > 0, xc=xc).run().total_energy
    assert -1e-7 < theirs - ours < 2e-5


def test_the_energy_by_another_quadrature():
    """The density of neon, interpolated, its slope by a spline, Simpson's rule on a logarithmic grid."""
    from scipy.integrate import simpson
    from scipy.interpolate import CubicSpline

    mesh = RadialMesh.atomic(10, n_elements=64, order=15)
    atom = AtomDFT(10, xc="pbe", mesh=mesh).run()
    log = np.linspace(np.log(1e-6), np.log(30.0), 20001)
    r, spline = np.exp(log), CubicSpline(np.log(atom.r), np.log(atom.density))
    n = np.exp(spline(log))
    energy, _, _ = values(n, spline(log, 1) * n / r, PBE)
    assert simpson(4 * np.pi * r**3 * n * energy, x=log) == pytest.approx(atom.energy_terms["xc"], abs=1e-6)


@pytest.mark.parametrize(
    ("Z", "settings"),
    [(2, {}), (18, {}), (80, {}), (18, {"xc": "pbesol"}), (7, {"spin_polarized": True})],
    ids=str,
)
def test_the_virial_theorem(Z, settings):
    """2 T + E_H + E_nuc + int v_xc (3 n + r n') = 0: the potential is the derivative of the energy."""
    atom = AtomDFT(Z, tol=1e-10, **{"xc": "pbe", **settings}).run()
    assert abs(atom.energy_terms["virial"]) < 2e-10 + 1e-12 * abs(atom.total_energy)


@pytest.mark.parametrize(
    "settings",
    [{}, {"relativistic": True}, {"spin_polarized": True}, {"nucleus": "uniform", "xc": "pbesol"}],
    ids=str,
)
def test_the_derivative_by_an_occupation_is_the_orbital_energy(settings):
    """Janak: dE/df = eps, so that the potential of the weak form is the derivative of the energy."""
    h, f, shells = 1e-3, 0.5, "1s2 2s2 2p6 3s{}"
    settings = {"xc": "pbe", **settings}
    plus, minus = (
        AtomDFT(11, configuration=shells.format(f + s * h), **settings).run().total_energy for s in (1, -1)
    )
    middle = AtomDFT(11, configuration=shells.format(f), **settings).run()
    orbital = next(o for o in middle.orbitals if o.n == 3)
    assert orbital.energy == pytest.approx((plus - minus) / (2 * h), abs=3e-7)


@pytest.mark.parametrize("relativistic", [False, True])
def test_the_charges_derivative_is_that_of_the_energy_on_coarse_elements_too(relativistic):
    """The potential is the derivative of the discrete energy: Hellmann and Feynman before they converge."""
    h = 1e-3
    kept = {
        "configuration": "1s2 2s2 2p6",
        "xc": "pbe",
        "relativistic": relativistic,
        "mesh": RadialMesh.atomic(10, relativistic, order=8),
    }
    energies = [AtomDFT(10 + s * h, **kept).run().total_energy for s in (-2, -1, 1, 2)]
    slope = (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / (12 * h)
    atom = AtomDFT(10, **kept).run()
    assert atom.error_estimate > 1e-7
    assert atom.dE_dZ == pytest.approx(slope, abs=1e-7)


def test_closed_shells_have_no_spin():
    paired, polarised = (AtomDFT(18, xc="pbe", spin_polarized=spins).run() for spins in (False, True))
    assert polarised.total_energy == pytest.approx(paired.total_energy, abs=1e-9)
    assert np.abs(polarised.spin_density).max() < 1e-7 * polarised.density.max()


@pytest.mark.parametrize(
    ("Z", "settings"),
    [(10, {}), (48, {}), (92, {}), (48, {"relativistic": True}), (25, {"spin_polarized": True})],
    ids=str,
)
def test_the_error_estimate_bounds_the_error(Z, settings):
    atom = AtomDFT(Z, xc="pbe", **settings).run()
    fine = RadialMesh(atom.mesh.edges, atom.mesh.order + 9)
    exact = AtomDFT(Z, xc="pbe", mesh=fine, **settings).run().total_energy
    assert abs(atom.total_energy - exact) <= atom.error_estimate < 1e-8


def test_the_error_falls_exponentially_with_the_order():
    edges = RadialMesh.atomic(30).edges
    exact = AtomDFT(30, xc="pbe", mesh=RadialMesh(edges, 28)).run().total_energy
    orders = np.array([8, 10, 12, 14])
    errors = [AtomDFT(30, xc="pbe", mesh=RadialMesh(edges, p)).run().total_energy - exact for p in orders]
    assert np.polyfit(orders, np.log10(np.abs(errors)), 1)[0] < -0.5


@pytest.mark.parametrize("relativistic", [True, "scalar"])
def test_fast_light_is_no_light(relativistic):
    """The difference from Schrödinger's atom falls like 1 / c^2."""
    exact = AtomDFT(10, xc="pbe").run().total_energy
    speeds = np.array([500.0, 1000.0, 2000.0])
    gaps = [AtomDFT(10, xc="pbe", relativistic=relativistic, c=c).run().total_energy - exact for c in speeds]
    assert np.polyfit(np.log(speeds), np.log(np.abs(gaps)), 1)[0] == pytest.approx(-2, abs=0.02)


@pytest.mark.parametrize("relativistic", ["dirac", "scalar"])
@pytest.mark.parametrize("Z", [10, 80])
def test_the_error_estimate_sees_a_long_first_element_at_a_point_nucleus(Z, relativistic):
    """The density is singular there: elements of a higher order agree with each other, and not with it."""
    long = RadialMesh.atomic(Z, n_elements=16)
    atom, exact = (AtomDFT(Z, xc="pbe", relativistic=relativistic, mesh=mesh).run() for mesh in (long, None))
    error = abs(atom.total_energy - exact.total_energy)
    assert 1e-8 < error <= atom.error_estimate < 3 * error
