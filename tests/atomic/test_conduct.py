"""How a run behaves: the contract of every solver, and what is particular to atoms."""

from __future__ import annotations

import copy
import pickle
from typing import ClassVar

import numpy as np
import pytest
from contract import Call, Conduct

from numsolve import ConvergenceWarning
from numsolve._core.result import Status
from numsolve.atomic import (
    AtomDFT,
    RadialMesh,
    optimality,
    problems,
    solve_radial_dirac,
    solve_radial_schroedinger,
)


def radial(**settings):
    return solve_radial_schroedinger(lambda r: -3 / r, 1, 4, Z=3, **settings)


def radial_dirac(**settings):
    return solve_radial_dirac(lambda r: -30 / r, 1, 4, Z=30, **settings)


def atom(**settings):
    return AtomDFT(10).run(**settings)


def atom_dirac(**settings):
    return AtomDFT(10, relativistic=True).run(**settings)


def atom_spin(**settings):
    return AtomDFT(7, spin_polarized=True).run(**settings)


def atom_gradient(**settings):
    return AtomDFT(10, xc="pbe").run(**settings)


def slow(**settings):
    """An iteration that needs tens of thousands of steps."""
    atom = AtomDFT(92, mixing="linear", mixing_alpha=1e-3, tol=1e-14)
    return atom.run(**{"maxiter": 10**6, **settings})


def slow_dirac(**settings):
    """The same for the Dirac equation."""
    atom = AtomDFT(92, relativistic=True, mixing="linear", mixing_alpha=1e-3, tol=1e-14)
    return atom.run(**{"maxiter": 10**6, **settings})


class TestConduct(Conduct):
    """The radial solvers are not here: they are done in two steps, fewer than the contract needs."""

    calls: ClassVar = {
        "Schrödinger": Call(run=atom, long=slow),
        "Dirac": Call(run=atom_dirac, long=slow_dirac),
        "spin": Call(run=atom_spin),
        "gradient": Call(run=atom_gradient),
    }


ATOMS = [atom, atom_dirac, atom_spin]
ALL = [*ATOMS, radial, radial_dirac]
each_atom = pytest.mark.parametrize("solve", ATOMS, ids=lambda f: f.__name__)
each_radial = pytest.mark.parametrize("solve", [radial, radial_dirac], ids=lambda f: f.__name__)


@pytest.mark.parametrize("solve", ALL, ids=lambda f: f.__name__)
def test_the_callback_gets_each_iterate(solve):
    seen = []
    r = solve(callback=seen.append)
    assert len(seen) == r.nit == len(r.history)
    assert all(x.shape == r.x.shape for x in seen)
    np.testing.assert_array_equal(seen[-1], r.x)


@each_atom
def test_the_callback_may_ask_for_the_energy(solve):
    seen = []

    def callback(intermediate_result):
        seen.append(intermediate_result)

    r = solve(callback=callback)
    np.testing.assert_allclose([s.residual for s in seen], r.history.residual)
    np.testing.assert_allclose([s.total_energy for s in seen], r.history.total_energy)
    assert seen[-1].potential <= 1e-8
    assert seen[-1].energies <= 1e-8


@each_atom
def test_a_stopped_run_is_certified(solve):
    calls = []

    def callback(x):
        calls.append(x)
        return len(calls) == 4

    r = solve(callback=callback)
    assert r.status is Status.STOPPED
    assert r.certified
    assert r.total_energy == pytest.approx(solve().total_energy, rel=0.05)


@each_atom
@pytest.mark.parametrize("maxiter", [0, 1, 4])
def test_what_a_cut_run_gives_is_near_and_certified(solve, maxiter):
    with pytest.warns(ConvergenceWarning, match="iteration limit"):
        r = solve(maxiter=maxiter)
    assert r.certified
    assert r.total_energy == pytest.approx(solve().total_energy, rel=0.05)
    assert r.error_estimate >= 0


@each_atom
def test_a_run_continues_from_where_it_stopped(solve):
    """The first potential is the one that was reached, and not the start again."""
    with pytest.warns(ConvergenceWarning):
        half = solve(maxiter=8)
    assert solve(x0=half.x).history.potential[0] < 0.1 * solve().history.potential[0]


@each_atom
def test_no_time_gives_the_first_step(solve):
    with pytest.warns(ConvergenceWarning, match="time limit"):
        r = solve(time_limit=0.0)
    assert r.nit <= 1
    assert r.certified
    assert np.isfinite(r.total_energy)


def test_where_the_time_ends_within_a_step_nothing_is_claimed():
    """A step of seconds is cut: the start comes back, and no number that was not computed."""
    mesh = RadialMesh.atomic(92, True, 50.0, 160, 32)
    atom = AtomDFT(92, relativistic=True, mesh=mesh)
    with pytest.warns(ConvergenceWarning, match="time limit"):
        r = atom.run(time_limit=0.0)
    assert r.nit == 0
    assert not r.success
    assert not r.certified
    assert np.isnan(r.error_estimate)
    assert np.isfinite(r.x).all()


@each_radial
def test_a_radial_run_can_be_stopped_cut_and_interrupted(solve):
    assert solve(callback=lambda x: True).status is Status.STOPPED

    def interrupt(x):
        raise KeyboardInterrupt

    with pytest.warns(ConvergenceWarning, match="interrupted"):
        r = solve(callback=interrupt)
    assert r.status is Status.INTERRUPTED
    assert r.certified
    with pytest.warns(ConvergenceWarning, match="time limit"):
        assert solve(time_limit=0.0).nit <= 1
    with pytest.warns(ConvergenceWarning, match="iteration limit"):
        r = solve(maxiter=0)
    assert np.isnan(r.energies).all()
    assert not r.certified
    assert r.nit == 0


@each_radial
def test_a_tolerance_of_zero_ends_in_rounding(solve):
    assert solve(tol=0.0).success


@pytest.mark.parametrize("solve", ALL, ids=lambda f: f.__name__)
def test_results_tell_are_drawn_and_pickled(solve):
    import matplotlib.pyplot as plt

    r = solve()
    text = repr(r)
    assert len(text.splitlines()) < 30
    assert "certified" in text
    kinds = (
        ("orbitals", "convergence")
        if solve in {radial, radial_dirac}
        else ("density", "orbitals", "potential", "convergence")
    )
    for what in kinds:
        r.plot(what=what).figure.canvas.draw()
    ax = plt.figure().gca()
    assert r.plot(ax) is ax
    with pytest.raises(ValueError, match="what must be one of"):
        r.plot(what="nothing")
    plt.close("all")
    for back in (pickle.loads(pickle.dumps(r)), copy.copy(r), copy.deepcopy(r)):
        np.testing.assert_array_equal(back.x, r.x)
        assert back.mesh == r.mesh
    assert r["x"] is r.x
    assert "mesh" in r


@pytest.mark.parametrize(
    "thing",
    [
        AtomDFT(3, relativistic=True),
        RadialMesh.uniform(3.0, 4),
        problems.coulomb(3),
        problems.oscillator(),
        problems.hulthen(),
        problems.model_ion(10, 2),
        problems.box(),
        optimality.schroedinger(RadialMesh.uniform(3.0, 4)),
        optimality.self_consistency(AtomDFT(2)),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_what_solves_and_what_is_solved_is_copied_and_pickled(thing):
    for back in (pickle.loads(pickle.dumps(thing)), copy.copy(thing), copy.deepcopy(thing)):
        assert type(back) is type(thing)
    if isinstance(thing, AtomDFT | RadialMesh):
        assert back == thing


def test_the_modules_list_what_is_public():
    for module in (optimality, problems):
        assert dir(module) == sorted(module.__all__)


@pytest.mark.parametrize("four", [4, np.int8(4), np.uint16(4), np.float32(4), np.asarray(4), np.asarray(4.0)])
def test_numbers_of_any_kind_are_numbers(four):
    expected, got = AtomDFT(4.0, tol=1e-6), AtomDFT(four, tol=1e-6)
    assert got.run().total_energy == pytest.approx(expected.run().total_energy, rel=1e-13)
    given = AtomDFT(4, configuration=[(four - 3, four - 4, four / 2), (2, 0, 2)])
    assert given.configuration == expected.configuration
    one, other = (solve_radial_schroedinger(lambda r: -4 / r, Z=Z, r_max=Z * 10) for Z in (4.0, four))
    np.testing.assert_allclose(one.energies, other.energies, rtol=1e-12)


def test_masked_arrays_are_refused_by_name():
    masked = np.ma.masked_array([0.0, 1.0, 2.0, 3.0], [0, 0, 1, 0])
    with pytest.raises(TypeError, match="edges is a masked array"):
        RadialMesh(masked)
    with pytest.raises(TypeError, match="the v of V is a masked array"):
        solve_radial_schroedinger((np.arange(4.0), masked), r_max=2)
    with pytest.raises(TypeError, match="the result of V is a masked array"):
        solve_radial_schroedinger(lambda r: np.ma.masked_array(-1 / r, r > 1), Z=1)
    with pytest.raises(TypeError, match="x0 is a masked array"):
        AtomDFT(2).run(x0=np.ma.masked_array(np.zeros(152), False))


def test_orbitals_are_found_by_name():
    r = atom_dirac()
    assert r.orbital("2p3/2").occupation == 4
    assert "2p3/2, occupation 4" in repr(r.orbital("2p3/2"))
    assert atom_spin().orbital("2p up").occupation == 3
    with pytest.raises(KeyError, match="there are 1s1/2, 2s1/2"):
        r.orbital("5g")


def test_the_kernels_do_not_depend_on_what_ran_before():
    """Nothing is read that was not written: two runs agree to rounding errors."""
    assert atom().total_energy == pytest.approx(atom().total_energy, rel=1e-13)
    np.testing.assert_allclose(radial_dirac().P, radial_dirac().P, rtol=0, atol=1e-11)
