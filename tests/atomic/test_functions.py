"""Functions at radii of the user's own, norms, logarithmic derivatives, phase shifts, files."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import fields

import numpy as np
import pytest
from numpy.testing import assert_allclose

from numsolve.atomic import AtomDFT, AtomFunctions, hydrogenic_energy, solve_radial_dirac

SETTINGS = {
    "Schrödinger": {},
    "PBE": {"xc": "pbe"},
    "Dirac": {"relativistic": True},
    "scalar": {"relativistic": "scalar"},
    "spin": {"spin_polarized": True, "xc": "pbe"},
    "ball": {"relativistic": True, "nucleus": "uniform"},
    "cage": {"external": lambda r: r**2 / 50},
}


@pytest.fixture(scope="module", params=SETTINGS.values(), ids=SETTINGS.keys())
def silicon(request):
    return AtomDFT(14, **request.param).run()


def channel(orbital):
    """The arguments that name the equation of an orbital."""
    kind = {"l": orbital.l} if orbital.kappa is None else {"kappa": orbital.kappa}
    return kind | ({"spin": orbital.spin} if orbital.spin else {})


# -- functions -------------------------------------------------------------------------------------


def test_at_the_quadrature_points_they_are_those_of_the_result(silicon):
    now = silicon.evaluate(silicon.r)
    assert_allclose(now.P, [o.P for o in silicon.orbitals], atol=1e-13)
    if now.Q is not None:
        assert_allclose(now.Q, [o.Q for o in silicon.orbitals], atol=1e-12)
    # The density of spin is a difference of densities.
    least = {"v_eff": 1e-9, "spin_density": 1e-13 * silicon.density.max()}
    for name in ("density", "v_hartree", "v_xc", "spin_density", "v_eff"):
        want = getattr(silicon, name)
        if want is not None:
            assert_allclose(getattr(now, name), want, rtol=1e-11, atol=least.get(name, 1e-12))


def test_the_derivatives_are_those_of_differences(silicon):
    r = np.geomspace(5e-3, 8, 40)
    h = 1e-4 * r
    slope = silicon.evaluate(r, derivative=1)
    back2, back, ahead, ahead2 = (silicon.evaluate(r + k * h) for k in (-2, -1, 1, 2))
    for name in [field.name for field in fields(AtomFunctions)][1:]:
        found = getattr(slope, name)
        if found is None:
            continue
        a, b, c, d = (getattr(part, name) for part in (back2, back, ahead, ahead2))
        want = (a - 8 * b + 8 * c - d) / (12 * h)
        assert_allclose(found, want, atol=3e-6 * np.abs(want).max())


def test_radii_have_any_shape_and_beyond_the_mesh_there_is_no_electron():
    atom = AtomDFT(11, n_electrons=10).run()
    now = atom.evaluate([[1.0, 60.0, 1e3]])
    assert now.P.shape == (3, 1, 3)
    assert now.density.shape == (1, 3)
    assert (now.P[..., 1:] == 0).all()
    assert (now.density[:, 1:] == 0).all()
    assert_allclose(now.v_eff[0, 1:], [-1 / 60, -1e-3])
    assert_allclose(atom.evaluate(60.0, derivative=1).v_hartree, -10 / 60**2)


def test_gauss_law_holds_for_hartrees_field(silicon):
    """-r^2 dV/dr is the charge inside, all less what is outside of r."""
    r = np.array([0.1, 1.0, 3.0])
    scalar = silicon.orbitals[0].Q is not None and silicon.orbitals[0].kappa is None
    if scalar:
        pytest.skip("the charge is that of the large components")
    f = [o.occupation for o in silicon.orbitals]
    inside = 14 - f @ silicon.norm_outside(r)
    assert_allclose(-(r**2) * silicon.evaluate(r, derivative=1).v_hartree, inside, rtol=1e-8)


def test_norms_outside_fall_from_one_to_nothing(silicon):
    norms = silicon.norm_outside([1e-9, 0.5, 2.0, 49.9, 70.0])
    assert_allclose(norms[:, 0], 1, atol=1e-8)
    assert (np.diff(norms[:, :3], axis=1) < 0).all()
    assert_allclose(norms[:, -1], 0)


def test_the_norm_of_hydrogen_outside_a_radius():
    """exp(-2 r) (1 + 2 r + 2 r^2)."""
    atom = AtomDFT(1, configuration="1s1e-12", xc="hartree").run()
    r = np.array([0.01, 0.5, 3.0, 12.0])
    assert_allclose(atom.norm_outside(r)[0], np.exp(-2 * r) * (1 + 2 * r + 2 * r**2), rtol=1e-9)


# -- at any energy ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "r"), [(0, 0.21), (-1, 0.21), (-1, 1.3)])
def test_at_its_energy_an_orbital_has_its_own_logarithmic_derivative(silicon, k, r):
    """Not far outside, where the solution that grows takes over."""
    orbital = silicon.orbitals[k]
    want = silicon.evaluate(r, derivative=1).P[k] / silicon.evaluate(r).P[k]
    assert silicon.log_derivative(orbital.energy, r, **channel(orbital)) == pytest.approx(want, rel=5e-7)


@pytest.mark.parametrize("l", [0, 1, 2])
def test_those_of_coulombs_field(l):  # noqa: E741
    """Functions of Coulomb below and above zero."""
    mp = pytest.importorskip("mpmath")
    atom = AtomDFT(3, configuration="1s1e-12", xc="hartree").run()
    energies, r = [-3.0, -0.7, 0.4, 5.0], 1.7
    for energy, found in zip(energies, atom.log_derivative(energies, r, l), strict=True):
        k = mp.sqrt(2 * mp.mpf(energy))
        want = mp.diff(lambda x, k=k: mp.log(mp.coulombf(l, -3 / k, k * x)), r)
        assert found == pytest.approx(float(mp.re(want)), rel=1e-8)


@pytest.mark.parametrize("kappa", [-1, 1, -2])
def test_those_of_diracs_field(kappa):
    """At Sommerfeld's energies: P ~ r^g exp(-Z r / n) of the lowest with j = l + 1/2, else the solver's."""
    c, Z, n, r = 137.0359895, 60, abs(kappa) + (kappa > 0), 0.05
    atom = AtomDFT(Z, configuration="1s1e-12", xc="hartree", relativistic=True).run()
    found = atom.log_derivative(hydrogenic_energy(Z, n, kappa=kappa), r, kappa=kappa)
    if kappa < 0:
        want = np.sqrt(kappa**2 - (Z / c) ** 2) / r - Z / n
    else:
        state = solve_radial_dirac(lambda r: -Z / r, kappa, 1, Z=Z)
        h = 1e-4 * r
        a, b, middle, d, e = state.evaluate(r + h * np.arange(-2, 3))[0]
        want = (a - 8 * b + 8 * d - e) / (12 * h) / middle
    assert found == pytest.approx(want, rel=1e-8)


def test_the_energys_derivative_is_the_norm_inside(silicon):
    """d(P'/P)/dE = -2 int_0^r P^2 / P(r)^2, with small components and c as large as they are."""
    orbital, k, r, h = silicon.orbitals[-1], -1, 1.3, 1e-4
    below, above = silicon.log_derivative([orbital.energy - h, orbital.energy + h], r, **channel(orbital))
    inside = 1 - silicon.norm_outside(r)[k]
    assert (above - below) / (2 * h) == pytest.approx(-2 * inside / silicon.evaluate(r).P[k] ** 2, rel=1e-3)


@pytest.mark.parametrize("l", [0, 1, 2])
def test_phase_shifts_by_another_integrator(l):  # noqa: E741
    """The potential of neutral helium; P by Runge and Kutta to 30 bohr, matched to free waves there."""
    from scipy.integrate import solve_ivp
    from scipy.interpolate import CubicSpline
    from scipy.special import spherical_jn, spherical_yn

    atom, energy, r = AtomDFT(2, xc="hartree").run(), 0.8, 30.0
    grid = np.geomspace(9e-4, 30.1, 3000)
    potential = CubicSpline(np.log(grid), grid * atom.evaluate(grid).v_eff)

    def equation(x, y):
        v = float(potential(np.log(x))) / x
        return [y[1], 2 * (v + l * (l + 1) / (2 * x * x) - energy) * y[0]]

    x0 = 1e-3
    start = [x0 ** (l + 1) * (1 - 2 * x0 / (l + 1)), x0**l * (l + 1 - 2 * x0 * (l + 2) / (l + 1))]
    P, dP = solve_ivp(equation, (x0, r), start, rtol=1e-7, atol=1e-12).y[:, -1]
    k = np.sqrt(2 * energy)
    z, L = k * r, dP / P
    (j, dj), (y, dy) = (
        (z * f(l, z), k * (f(l, z) + z * f(l, z, derivative=True))) for f in (spherical_jn, spherical_yn)
    )
    want = np.arctan((dj - L * j) / (dy - L * y))
    assert atom.phase_shift(energy, l) == pytest.approx(want, abs=2e-5)


def test_fast_light_and_the_phase_shift_are_schroedingers():
    slow = AtomDFT(10).run().phase_shift([0.3, 2.0], 1)
    fast = AtomDFT(10, relativistic=True, c=1e5).run()
    for kappa in (1, -2):
        assert_allclose(fast.phase_shift([0.3, 2.0], kappa=kappa), slow, atol=1e-5)


def test_fast_waves_do_not_depend_on_where_they_are_matched():
    """The shift of a hard wave is small, and that of Born's approximation."""
    atom = AtomDFT(2, xc="hartree").run()
    k = np.sqrt(2 * 200.0)
    integrand = np.sin(k * atom.r) ** 2 * atom.v_eff
    assert atom.phase_shift(200.0, 0) == pytest.approx(-2 / k * (atom.weights @ integrand), rel=0.1)


# -- files -----------------------------------------------------------------------------------------


def test_a_table_reads_back(silicon, tmp_path):
    r = np.geomspace(1e-4, 20, 50)
    silicon.export(tmp_path / "si.txt", r=r)
    text = (tmp_path / "si.txt").read_text()
    names = [line for line in text.splitlines() if line.startswith("#")][-1][2:].split()
    columns = dict(zip(names, np.loadtxt(tmp_path / "si.txt").T, strict=True))
    now, slope = silicon.evaluate(r), silicon.evaluate(r, derivative=1)
    assert_allclose(columns["r"], r, rtol=1e-15)
    assert_allclose(columns["density"], now.density, rtol=1e-15)
    for k, orbital in enumerate(silicon.orbitals):
        name = orbital.label.replace(" ", "_")
        assert_allclose(columns[f"P_{name}"], now.P[k], rtol=1e-15)
        assert_allclose(columns[f"dP_{name}"], slope.P[k], rtol=1e-15)
    assert f"{silicon.total_energy:.12g}" in text


def test_upf_is_xml_with_the_density_and_the_orbitals(tmp_path):
    atom = AtomDFT("Si", xc="pbe", relativistic="scalar").run()
    atom.export(tmp_path / "si.upf", format="upf")
    root = ET.parse(tmp_path / "si.upf").getroot()
    header = root.find("PP_HEADER").attrib
    assert header["element"] == "Si"
    assert header["relativistic"] == "scalar"
    r, rab, rho = (
        np.array(root.find(name).text.split(), dtype=float)
        for name in ("PP_MESH/PP_R", "PP_MESH/PP_RAB", "PP_RHOATOM")
    )
    assert len(r) == int(header["mesh_size"])
    assert_allclose(rab, r / 80, rtol=1e-6)
    assert rab @ rho == pytest.approx(14, abs=1e-5)
    chis = root.find("PP_PSWFC")
    assert [chi.get("label") for chi in chis] == ["1S", "2S", "2P", "3S", "3P"]
    for chi, orbital in zip(chis, atom.orbitals, strict=True):
        assert float(chi.get("pseudo_energy")) == pytest.approx(2 * orbital.energy)
        assert rab @ np.array(chi.text.split(), dtype=float) ** 2 == pytest.approx(1, abs=1e-5)


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "fragment"),
    [
        (lambda a: a.evaluate(0.0), "r must be positive"),
        (lambda a: a.evaluate([1.0, -1.0]), "r must be at least 0 everywhere, got -1"),
        (lambda a: a.evaluate(float("nan")), "r must hold finite numbers"),
        (lambda a: a.evaluate(1.0, derivative=2), "derivative must be an integer at least 0 and at most 1"),
        (lambda a: a.norm_outside([0.0]), "r must be positive"),
        (lambda a: a.log_derivative(1.0, 60.0, 0), "r must be a finite number above 0 and at most 50"),
        (lambda a: a.log_derivative(1.0, 1.0), "l must be given, and it alone"),
        (lambda a: a.log_derivative(1.0, 1.0, 0, kappa=-1), "l must be given, and it alone"),
        (lambda a: a.log_derivative(1.0, 1.0, -1), "l must be an integer at least 0"),
        (lambda a: a.log_derivative(1.0, 1.0, 0, spin=1), r"spin must be one of \(0,\) for this atom, got 1"),
        (lambda a: a.phase_shift([0.0], 0), "energies must be positive"),
        (lambda a: a.phase_shift([float("inf")], 0), "energies must hold finite numbers"),
        (lambda a: a.export("x", r=[1.0]), "at least two radii, strictly increasing"),
        (lambda a: a.export("x", r=[2.0, 1.0]), "at least two radii, strictly increasing"),
        (lambda a: a.export("x", format="xml"), "format must be one of 'text', 'upf'; got 'xml'"),
    ],
)
def test_bad_input_is_refused_in_words(call, fragment):
    atom = AtomDFT(2).run()
    with pytest.raises(ValueError, match=fragment):
        call(atom)


def test_what_an_atom_cannot_do():
    with pytest.raises(ValueError, match="phase shifts need an atom without a charge"):
        AtomDFT(3, n_electrons=2).run().phase_shift(1.0, 0)
    caged = AtomDFT(2, external=lambda r: r**2 / 50).run()
    with pytest.raises(ValueError, match="r must end by 50, the end of the mesh"):
        caged.evaluate(51.0)
    dirac = AtomDFT(2, relativistic=True).run()
    with pytest.raises(ValueError, match="kappa must be given"):
        dirac.log_derivative(1.0, 1.0, 0)
    with pytest.raises(ValueError, match="kappa must not be zero"):
        dirac.log_derivative(1.0, 1.0, kappa=0)
    with pytest.raises(ValueError, match="energies must be at least"):
        dirac.log_derivative(-3e4, 1.0, kappa=-1)
    with pytest.raises(ValueError, match="'upf' is for atoms without spin"):
        dirac.export("x", format="upf")


@pytest.mark.parametrize("settings", [{}, {"spin_polarized": True}], ids=str)
def test_the_density_at_the_nucleus_has_the_cusp_of_its_charge(settings):
    """Kato's condition n' = -2 Z n: n(r) = n(0) (1 - 2 Z r) to first order, however small r is."""
    atom = AtomDFT(8, **settings).run()
    r = np.array([1e-12, 1e-9, 3e-8, 1e-6])
    n = atom.evaluate(r).density
    assert_allclose(n, n[0] * (1 - 16 * r), rtol=1e-9)


def test_radii_end_where_rounding_errors_take_over():
    with pytest.raises(ValueError, match="r must be at least 1e-12 bohr"):
        AtomDFT(1).run().evaluate([1e-20])
