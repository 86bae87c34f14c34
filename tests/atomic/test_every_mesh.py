"""No mesh, charge or number of absurd size ends in NaN, in a wrong success, or not at all."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest

from numsolve import ConvergenceWarning
from numsolve.atomic import (
    AtomDFT,
    RadialMesh,
    hydrogenic_energy,
    problems,
    solve_radial_dirac,
    solve_radial_schroedinger,
)

box_decides = pytest.mark.filterwarnings("ignore::numsolve.atomic.UnboundWarning")


coarse = pytest.mark.filterwarnings("ignore::numsolve.PrecisionWarning")


@coarse
@pytest.mark.parametrize("elements", [5, 6, 7, 8])
@pytest.mark.parametrize("order", [12, 14, 20, 22])
def test_uranium_converges_on_every_mesh(elements, order):
    """Deep states reach an energy that is an eigenvalue of leading parts of the matrix, to the last digit."""
    mesh = RadialMesh.atomic(92, True, 50.0, elements, order)
    result = AtomDFT(92, relativistic=True, mesh=mesh).run()
    assert result.success
    assert result.certified
    if order >= 20:
        assert result.total_energy == pytest.approx(-28001.1323, abs=1.0)


@pytest.mark.parametrize(("Z", "elements", "order"), [(74, 7, 24), (56, 5, 22)])
def test_heavy_atoms_converge_on_these_too(Z, elements, order):
    mesh = RadialMesh.atomic(Z, True, 50.0, elements, order)
    assert AtomDFT(Z, relativistic=True, mesh=mesh).run().success


@coarse
def test_random_atoms_on_random_meshes_converge():
    """A sample of charges, theories, meshes and mixings."""
    rng = np.random.default_rng(20)
    for _ in range(40):
        Z, elements, order = int(rng.integers(1, 93)), int(rng.integers(4, 9)), int(rng.integers(12, 23))
        theory = rng.choice(["relativistic", "spin_polarized", "plain"], p=[0.6, 0.2, 0.2])
        mesh = RadialMesh.atomic(Z, theory == "relativistic", 50.0, elements, order)
        mixing = {"mixing_depth": int(rng.choice([4, 8, 12])), "mixing_alpha": float(rng.choice([0.2, 0.4]))}
        settings = {} if theory == "plain" else {str(theory): True}
        result = AtomDFT(Z, mesh=mesh, **mixing, **settings).run(maxiter=300)
        assert result.success, (Z, theory, elements, order, mixing, result.status)


@pytest.mark.parametrize("solve", [solve_radial_schroedinger, solve_radial_dirac])
def test_a_shift_that_is_an_eigenvalue_to_the_last_digit(solve):
    """From the energy itself, and from its neighbours among floating-point numbers."""
    kind = {"kappa": -1} if solve is solve_radial_dirac else {"l": 0}
    mesh = RadialMesh.exponential(0, 60, 300, 12, 16)
    cold = solve(problems.coulomb(60), n_states=3, Z=60, mesh=mesh, **kind)
    for step in range(-8, 9):
        x0 = cold.x + step * np.spacing(cold.x)
        warm = solve(problems.coulomb(60), n_states=3, Z=60, mesh=mesh, x0=x0, **kind)
        assert warm.success
        assert warm.certified
        np.testing.assert_allclose(warm.energies, cold.energies, rtol=1e-11)


HOSTILE = [
    "S(lambda r: np.where(r > 10, 1e160, -1 / r), 0, 1, Z=1, time_limit=1.0)",
    "S(lambda r: np.where(r > 10, 1e308, -1 / r), 0, 1, Z=1)",
    "S(lambda r: np.where(np.arange(r.size) % 2, 1e300, -1e300), 0, 2)",
    "S(lambda r: -1e300 + 0 * r, 0, 2)",
    "S(lambda r: -1 / r, 0, 3, Z=1, x0=[1e300, -1e300, 0.0])",
    "S(lambda r: -1 / r, 0, 3, Z=1, x0=[1e160, 1e-170, 0.0])",
    "S(lambda r: -1 / r, 0, 1, Z=1, r_max=1e-160)",
    "S(lambda r: -1 / r, 0, 1, Z=1, r_max=1e160)",
    "S(lambda r: -1 / r, 0, 1, Z=1e120)",
    "D(lambda r: 1e200 * r, -1, 1)",
    "D(lambda r: np.where(np.arange(r.size) % 2, 1e300, -1e300), 1, 2)",
    "D(lambda r: -1 / r, -1, 3, Z=1, x0=[1e300, -1e300, 0.0])",
    "D(lambda r: -1 / r, -1, 1, Z=1, c=1e300)",
    "D(lambda r: -1 / r, -1, 1, Z=0, c=1e-170)",
    "A(1e120, configuration='1s2').run()",
    "A(1e-170, configuration='1s1').run()",
    "A(10, mesh=M([0, 1e-170, 1e-169], 10)).run()",
    "A(10, relativistic=True, c=1e200).run()",
    "A(10).run(x0=np.where(np.arange(152) % 2, 1e300, -1e300))",
    "A(10, relativistic=True).run(x0=np.full(200, -1e160))",
    "A(2, tol=1e-320).run()",
    "vwn([1e-320, 1e-170, 1e160, 1e308])",
]
SCRIPT = """
import sys, warnings
import numpy as np
from numsolve.atomic import AtomDFT as A, RadialMesh as M
from numsolve.atomic import solve_radial_dirac as D, solve_radial_schroedinger as S
from numsolve.atomic import vwn_lda as vwn
warnings.simplefilter("ignore")
for call in sys.stdin.read().splitlines():
    print("begin", call, flush=True)
    try:
        r = eval(call)
    except ValueError as error:
        print("refused", str(error)[:60])
        continue
    if isinstance(r, tuple):
        assert np.isfinite(r).all()
        continue
    numbers = r.energies if hasattr(r, "energies") else np.array([r.total_energy])
    print(r.status.name, numbers)
    assert not r.success or np.isfinite(numbers).all()
print("all")
"""


def test_numbers_at_the_ends_of_the_range_come_back():
    """Each call is refused, flagged, or answered; it does not run in compiled code for ever."""
    calls = "\n".join(HOSTILE)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=calls, timeout=900, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-1000:]
    assert done.stdout.endswith("all\n")


@box_decides
def test_a_wall_of_any_height_keeps_the_energy_or_is_flagged():
    for height in (1e3, 1e10, 1e20, 1e30, 1e60, 1e100):
        with warnings.catch_warnings():
            warnings.simplefilter("error" if height <= 1e10 else "ignore", ConvergenceWarning)
            r = solve_radial_schroedinger(lambda r, wall=height: np.where(r > 10, wall, -1 / r), 0, 1, Z=1)
        assert r.success or height > 1e10  # above, rounding errors of the wall are larger than the energy
        assert not r.success or r.energies[0] == pytest.approx(-0.5, abs=1e-5)


@box_decides
@pytest.mark.parametrize("scale", [1e-40, 1e-20, 1e10, 1e20])
def test_lengths_scale(scale):
    """Lengths times s, energies over s^2, far from one."""
    potential = problems.oscillator(1 / scale**2)
    r = solve_radial_schroedinger(potential, 0, 2, r_max=12 * scale)
    assert r.success
    np.testing.assert_allclose(r.energies * scale**2, [1.5, 3.5], rtol=1e-8)


@pytest.mark.parametrize("length", [1e-160, 1e-50, 1e30, 1e160])
def test_lengths_that_under_or_overflow_are_refused(length):
    with pytest.raises(ValueError, match="neither over- nor underflow"):
        RadialMesh.uniform(length, 3)
    with pytest.raises(ValueError, match="Z must be .* at most"):
        RadialMesh.atomic(1e120)
    with pytest.raises(ValueError, match="Z must be .* at most"):
        hydrogenic_energy(1e160, 1)


def test_what_is_not_found_is_not_a_success():
    """More states than a well of this height has on the mesh below 1e100."""
    with pytest.warns(ConvergenceWarning, match="No energy was found for state 0.*reaches 1e\\+150"):
        r = solve_radial_schroedinger(lambda r: np.full(r.shape, 1e150), 0, 2)
    assert not r.success
