"""How a run behaves: callbacks, limits, Ctrl-C, warnings, progress, pictures."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from numsolve import ConvergenceWarning
from numsolve._core.result import Status
from numsolve.atomic import AtomDFT, solve_radial_dirac, solve_radial_schroedinger


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


ATOMS = [atom, atom_dirac, atom_spin]


@pytest.fixture(params=ATOMS, ids=lambda f: f.__name__)
def call(request):
    return request.param


@pytest.mark.parametrize("call", [*ATOMS, radial, radial_dirac], ids=lambda f: f.__name__)
def test_the_callback_gets_each_iterate(call):
    seen = []
    r = call(callback=seen.append)
    assert len(seen) == r.nit == len(r.history)
    assert all(x.shape == r.x.shape for x in seen)
    np.testing.assert_array_equal(seen[-1], r.x)


def test_a_callback_changes_nothing(call):
    watched, alone = call(callback=lambda x: None), call()
    assert watched.nit == alone.nit
    assert watched.total_energy == alone.total_energy


def test_the_callback_may_ask_for_the_result(call):
    seen = []

    def callback(intermediate_result):
        seen.append(intermediate_result)

    r = call(callback=callback)
    np.testing.assert_allclose([s.residual for s in seen], r.history.residual)
    np.testing.assert_allclose([s.total_energy for s in seen], r.history.total_energy)
    assert seen[-1].potential <= 1e-8
    assert seen[-1].energies <= 1e-8


@pytest.mark.parametrize("how", ["true", "StopIteration"])
def test_the_callback_can_stop_the_run(call, how):
    calls = []

    def callback(x):
        calls.append(x)
        if len(calls) == 4 and how == "StopIteration":
            raise StopIteration
        return len(calls) == 4

    r = call(callback=callback)
    assert r.status is Status.STOPPED
    assert not r.success
    assert r.nit == 4
    assert np.isfinite(r.total_energy)
    assert r.certified


def test_ctrl_c_returns_the_best_iterate(call):
    calls = []

    def callback(x):
        calls.append(x)
        if len(calls) == 5:
            raise KeyboardInterrupt

    with pytest.warns(ConvergenceWarning, match="interrupted"):
        r = call(callback=callback)
    assert r.status is Status.INTERRUPTED
    assert r.certified
    assert r.total_energy == pytest.approx(call().total_energy, rel=1e-2)


def test_an_error_in_the_callback_is_not_swallowed(call):
    with pytest.raises(ZeroDivisionError):
        call(callback=lambda x: 1 / 0)


@pytest.mark.parametrize("maxiter", [0, 1, 4])
def test_the_iterations_are_limited(call, maxiter):
    with pytest.warns(ConvergenceWarning, match="iteration limit"):
        r = call(maxiter=maxiter)
    assert r.status is Status.MAXITER
    assert r.nit == maxiter
    assert r.certified
    assert np.isfinite(r.total_energy)
    assert r.total_energy == pytest.approx(call().total_energy, rel=0.05)


def test_a_run_continues_from_where_it_stopped(call):
    with pytest.warns(ConvergenceWarning):
        half = call(maxiter=8)
    assert call(x0=half.x).nit < call().nit


def test_no_time_gives_the_first_step(call):
    with pytest.warns(ConvergenceWarning, match="time limit"):
        r = call(time_limit=0.0)
    assert r.status is Status.TIME_LIMIT
    assert r.nit <= 1
    assert r.certified


def test_no_iteration_of_a_radial_solver_finds_nothing():
    with pytest.warns(ConvergenceWarning, match="iteration limit"):
        r = radial(maxiter=0)
    assert np.isnan(r.energies).all()
    assert not r.certified
    assert r.nit == 0


def test_a_tolerance_of_zero_ends_in_rounding():
    assert radial(tol=0.0).success
    assert radial_dirac(tol=0.0).success


def test_the_warning_points_at_the_line_that_called(call):
    with pytest.warns(ConvergenceWarning) as caught:
        call(maxiter=1)
    assert Path(caught[0].filename).name == Path(__file__).name


@pytest.mark.parametrize("call", [*ATOMS, radial, radial_dirac], ids=lambda f: f.__name__)
def test_progress_is_shown_on_stderr_only(call, capsys):
    call(progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "residual" in err


@pytest.mark.parametrize("call", [*ATOMS, radial, radial_dirac], ids=lambda f: f.__name__)
def test_results_tell_are_drawn_and_pickled(call):
    import matplotlib.pyplot as plt

    r = call()
    text = repr(r)
    assert len(text.splitlines()) < 30
    assert "certified" in text
    kinds = (
        ("orbitals", "convergence")
        if call in {radial, radial_dirac}
        else ("density", "orbitals", "potential")
    )
    for what in kinds:
        r.plot(what=what).figure.canvas.draw()
    ax = plt.figure().gca()
    assert r.plot(ax) is ax
    with pytest.raises(ValueError, match="what must be one of"):
        r.plot(what="nothing")
    plt.close("all")
    back = pickle.loads(pickle.dumps(r))
    np.testing.assert_array_equal(back.x, r.x)
    assert back.mesh == r.mesh
    assert r["x"] is r.x
    assert "mesh" in r


def test_orbitals_are_found_by_name():
    r = atom_dirac()
    assert r.orbital("2p3/2").occupation == 4
    assert "2p3/2, occupation 4" in repr(r.orbital("2p3/2"))
    assert atom_spin().orbital("2p up").occupation == 3
    with pytest.raises(KeyError, match="there are 1s1/2, 2s1/2"):
        r.orbital("5g")


def test_the_kernels_do_not_depend_on_what_ran_before():
    """Two runs give the same bits."""
    assert atom().total_energy == atom().total_energy
    assert (radial_dirac().P == radial_dirac().P).all()
