"""Many atoms at once."""

from __future__ import annotations

import operator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from numsolve import ConvergenceWarning, Status
from numsolve._core.parallel import ParallelError
from numsolve.atomic import AtomDFT, solve_atoms

SPECS = [
    2,
    {"Z": 10, "relativistic": True},
    AtomDFT(3, configuration="1s2 2p1"),
    {"Z": 12, "n_electrons": 10},
]
ENERGIES = operator.attrgetter("total_energy")


def test_specs_of_every_kind_and_their_order():
    results = solve_atoms(SPECS)
    assert [r.Z for r in results] == [2, 10, 3, 12]
    assert results[1].orbitals[0].kappa == -1
    assert results[2].orbitals[1].label == "2p"
    assert results[3].n_electrons == 10


def test_threads_give_the_same_numbers():
    with ThreadPoolExecutor(2) as executor:
        parallel = solve_atoms(SPECS * 3, executor=executor)
    assert list(map(ENERGIES, parallel)) == pytest.approx(
        list(map(ENERGIES, solve_atoms(SPECS * 3))), rel=1e-12
    )


@pytest.mark.slow
def test_processes_give_the_same_numbers():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        parallel = solve_atoms(SPECS, executor=executor)
    assert list(map(ENERGIES, parallel)) == pytest.approx(list(map(ENERGIES, solve_atoms(SPECS))), rel=1e-12)


def test_settings_are_for_all_and_a_dictionary_comes_first():
    one, two = solve_atoms([2, {"Z": 2, "xc": "hartree"}], xc="exchange", tol=1e-6)
    assert one.energy_terms["xc"] < 0 == two.energy_terms["xc"]


def test_a_bad_spec_is_found_before_any_work():
    with pytest.raises(ValueError, match="Z must be"):
        solve_atoms([1, -1])
    with pytest.raises(ValueError, match=r"specs\[1\]: Z must be"):
        solve_atoms(["He", "Unobtainium"])
    with pytest.raises(TypeError, match=r"specs\[2\]: Z must be a real number"):
        solve_atoms([1, 2, [1.0, 2.0]])
    with pytest.raises(TypeError, match="unexpected keyword"):
        solve_atoms([1], charge=3)


def test_progress_and_nothing_to_do(capsys):
    assert solve_atoms([]) == []
    solve_atoms([1, 2], progress=True)
    assert "atoms" in capsys.readouterr().err


def test_a_failure_does_not_lose_the_others(monkeypatch):
    run = AtomDFT.run

    def fail(atom):
        if atom.Z == 2:
            raise ArithmeticError("no luck")
        return run(atom)

    monkeypatch.setattr(AtomDFT, "run", fail)
    with pytest.raises(ParallelError) as caught:
        solve_atoms([1, 2, 3])
    assert [r is not None for r in caught.value.results] == [True, False, True]


def test_the_time_limit_is_for_all_together():
    with pytest.warns(ConvergenceWarning, match="are done; the others are None"):
        results = solve_atoms([AtomDFT(2), AtomDFT(10)] * 20, time_limit=0.0)
    assert len(results) == 40
    assert None in results


def test_ctrl_c_ends_the_whole_and_keeps_what_is_done(monkeypatch):
    run, begun = AtomDFT.run, []

    def watched(atom, **settings):
        begun.append(atom.Z)
        if len(begun) == 3:
            return run(atom, callback=stop, **settings)
        return run(atom, **settings)

    def stop(x):
        raise KeyboardInterrupt

    monkeypatch.setattr(AtomDFT, "run", watched)
    with pytest.warns(ConvergenceWarning):
        results = solve_atoms([1, 2, 3, 4, 5])
    assert begun == [1, 2, 3]
    assert [r is not None for r in results] == [True, True, True, False, False]
    assert [r.status for r in results[:3]] == [Status.CONVERGED, Status.CONVERGED, Status.INTERRUPTED]


def test_settings_for_no_atoms_are_checked_too():
    assert solve_atoms([]) == []
    with pytest.raises(TypeError, match="error_estimate must be True or False"):
        solve_atoms([], error_estimate=1j)
