"""What is refused, and in which words."""

from __future__ import annotations

import numpy as np
import pytest

from numsolve.atomic import (
    AtomDFT,
    RadialMesh,
    ground_configuration,
    hydrogenic_energy,
    optimality,
    problems,
    solve_atoms,
    solve_radial_dirac,
    solve_radial_schroedinger,
    thomas_fermi_potential,
    vwn_lda,
    vwn_lsda,
)

NAN, INF = float("nan"), float("inf")


def coulomb(r):
    return -1 / r


def schroedinger(V=coulomb, **settings):
    return solve_radial_schroedinger(V, **{"Z": 1, **settings})


def dirac(V=coulomb, **settings):
    return solve_radial_dirac(V, **{"Z": 1, **settings})


def atom(Z=2, **settings):
    return AtomDFT(Z, **settings)


def run(**settings):
    return AtomDFT(2).run(**settings)


def mesh(edges=(0, 1, 2), **settings):
    return RadialMesh(edges, **settings)


exponential = RadialMesh.exponential
GRID = np.geomspace(1e-8, 60, 50)
SOLVERS = (schroedinger, dirac)

#: name: (what is called, with what, the exception, a fragment of its message)
BAD = {
    # meshes
    "edges of one radius": (mesh, {"edges": [1.0]}, ValueError, "edges must hold at least two radii, got 1"),
    "edges falling": (
        mesh,
        {"edges": [0, 2, 1]},
        ValueError,
        "strictly increasing, got 2.0 then 1.0 at index 2",
    ),
    "edges equal": (mesh, {"edges": [0, 1, 1]}, ValueError, "strictly increasing"),
    "edges negative": (mesh, {"edges": [-1, 1]}, ValueError, "edges must be at least 0 everywhere, got -1"),
    "edges nan": (
        mesh,
        {"edges": [0, NAN]},
        ValueError,
        "edges must hold finite numbers, got nan at index 1",
    ),
    "edges a matrix": (mesh, {"edges": np.eye(2)}, ValueError, "edges must be 1-D"),
    "order 1": (mesh, {"order": 1}, ValueError, "order must be an integer at least 2 and at most 60, got 1"),
    "order 2.5": (mesh, {"order": 2.5}, ValueError, "order must be an integer"),
    "order a word": (mesh, {"order": "4"}, TypeError, "order must be an integer"),
    "too few points": (mesh, {"order": 8, "n_quad": 8}, ValueError, "n_quad must be an integer at least 9"),
    "ratio 0": (
        exponential,
        {"r_min": 0, "r_max": 1, "ratio": 0, "n_elements": 3},
        ValueError,
        "ratio must be .* above 0",
    ),
    "ends swapped": (
        exponential,
        {"r_min": 2, "r_max": 1, "ratio": 2, "n_elements": 3},
        ValueError,
        "r_max must be .* above 2",
    ),
    "no elements": (
        exponential,
        {"r_min": 0, "r_max": 1, "ratio": 2, "n_elements": 0},
        ValueError,
        "n_elements must be .* at least 1",
    ),
    # one electron
    "l negative": (schroedinger, {"l": -1}, ValueError, "l must be an integer at least 0, got -1"),
    "l half": (schroedinger, {"l": 0.5}, ValueError, "l must be an integer"),
    "l a word": (schroedinger, {"l": "s"}, TypeError, "l must be an integer"),
    "overlap unknown": (
        schroedinger,
        {"overlap": "x"},
        ValueError,
        "overlap must be one of 'exact', 'lumped'",
    ),
    "kappa 0": (dirac, {"kappa": 0}, ValueError, r"kappa must not be zero; it is -\(l \+ 1\) or l"),
    "kappa half": (dirac, {"kappa": 1.5}, ValueError, "kappa must be an integer"),
    "Z beyond c": (dirac, {"Z": 138}, ValueError, "Z must be below c = 137.036"),
    "c 0": (dirac, {"c": 0}, ValueError, "c must be a finite number above 0"),
    "formulation unknown": (
        dirac,
        {"formulation": "x"},
        ValueError,
        "formulation must be one of 'elimination'",
    ),
    "squared, r_max 0": (
        dirac,
        {"formulation": "squared", "r_max": 5e-324},
        ValueError,
        "r_max must be a finite number at least 1e-40",
    ),
    "Klein": (dirac, {"V": lambda r: -60_000.0 * (r < 1), "Z": 0}, ValueError, "Klein region"),
    **{
        f"{name} ({solver.__name__})": (solver, settings, kind, text)
        for solver in SOLVERS
        for name, settings, kind, text in (
            ("no states", {"n_states": 0}, ValueError, "n_states must be an integer at least 1, got 0"),
            ("half a state", {"n_states": 1.5}, ValueError, "n_states must be an integer"),
            ("too many states", {"n_states": 10**4}, ValueError, "n_states must be at most .*the unknowns"),
            ("Z negative", {"Z": -1}, ValueError, "Z must be a finite number at least 0"),
            ("Z nan", {"Z": NAN}, ValueError, "Z must be a finite number"),
            ("r_max 0", {"r_max": 0}, ValueError, "r_max must be a finite number at least 1e-40"),
            ("r_max tiny", {"r_max": 1e-300}, ValueError, "r_max must be a finite number at least 1e-40"),
            ("mesh a list", {"mesh": [0, 1, 2]}, TypeError, "mesh must be a RadialMesh, got list"),
            ("tol negative", {"tol": -1}, ValueError, "tol must be a finite number at least 0"),
            ("x0 too long", {"x0": [1.0, 2.0]}, ValueError, r"x0 must have shape \(1,\), got \(2,\)"),
            ("x0 nan", {"x0": [NAN]}, ValueError, "x0 must hold finite numbers"),
            (
                "V nan",
                {"V": lambda r: np.where(r > 1, NAN, r)},
                ValueError,
                "V returned nan .* at the point .*1.0",
            ),
            ("V infinite", {"V": lambda r: 1 / (r * 0)}, ValueError, "V returned inf"),
            ("V of wrong shape", {"V": lambda r: r[:-1]}, ValueError, "the result of V must have shape"),
            ("V a number", {"V": lambda r: 1.0}, ValueError, "the result of V must have shape"),
            ("V complex", {"V": lambda r: 1j * r}, TypeError, "the result of V is complex"),
            ("V not callable", {"V": 3.0}, TypeError, r"V must be callable or a pair \(r, v\) of samples"),
            (
                "samples too short",
                {"V": ([0, 60], [1, 2])},
                ValueError,
                "at least 4 radii, strictly increasing",
            ),
            ("samples backwards", {"V": (GRID[::-1], GRID)}, ValueError, "strictly increasing"),
            ("samples that end", {"V": (GRID / 2, GRID)}, ValueError, "the r of V must cover the mesh"),
            ("samples that begin", {"V": (GRID + 1, GRID)}, ValueError, "the r of V must cover the mesh"),
            ("samples unequal", {"V": (GRID, GRID[1:])}, ValueError, r"the v of V must have shape \(50,\)"),
            ("samples nan", {"V": (GRID, GRID * NAN)}, ValueError, "the v of V must hold finite numbers"),
            ("samples complex", {"V": (GRID, GRID * 1j)}, TypeError, "the v of V is complex"),
            ("maxiter -1", {"maxiter": -1}, ValueError, "maxiter must be an integer at least 0"),
            (
                "time_limit -1",
                {"time_limit": -1},
                ValueError,
                "time_limit must be a number at least 0",
            ),
            ("callback a word", {"callback": "x"}, TypeError, "callback must be callable"),
        )
    },
    # atoms
    "atom Z 0": (
        atom,
        {"Z": 0},
        ValueError,
        r"Z must be a finite number above 0 and at most 1e\+06, got 0.0",
    ),
    "atom Z nan": (
        atom,
        {"Z": NAN},
        ValueError,
        r"Z must be a finite number above 0 and at most 1e\+06, got nan",
    ),
    "atom Z a word": (atom, {"Z": "helium"}, ValueError, "the symbol of an element, as 'Fe'; got 'helium'"),
    "atom Z beyond c": (
        atom,
        {"Z": 140, "configuration": "1s1", "relativistic": True},
        ValueError,
        "Z must be below c = 137.036",
    ),
    "atom without configuration": (
        atom,
        {"Z": 119},
        ValueError,
        "configuration must be given for 119 electrons",
    ),
    "configuration a number": (
        atom,
        {"configuration": 3},
        TypeError,
        "configuration must be a string or a list of shells, got int",
    ),
    "fractional Z": (atom, {"Z": 2.5}, ValueError, "configuration must be given for 2.5 electrons"),
    "no electrons": (atom, {"n_electrons": 0}, ValueError, "n_electrons must be a finite number above 0"),
    "empty shells": (
        atom,
        {"configuration": "1s0"},
        ValueError,
        "configuration must hold electrons, got none",
    ),
    "electrons that differ": (
        atom,
        {"configuration": "1s2", "n_electrons": 3},
        ValueError,
        "configuration has 2 electrons, n_electrons is 3",
    ),
    "shell too full": (
        atom,
        {"configuration": "1s3"},
        ValueError,
        "occupation of 1s must be .* at most 2, got 3",
    ),
    "shell negative": (
        atom,
        {"configuration": [(1, 0, -1)]},
        ValueError,
        "occupation of 1s must be a finite number at least 0",
    ),
    "spin too full": (
        atom,
        {"configuration": [(1, 0, 1.5, 0)], "spin_polarized": True},
        ValueError,
        "occupation of 1s in one spin",
    ),
    "spin without spin": (
        atom,
        {"configuration": [(1, 0, 1, 0)]},
        ValueError,
        "that needs spin_polarized=True",
    ),
    "l too large": (atom, {"configuration": "1p1"}, ValueError, "n = 1, l = 1; 0 <= l < n is wanted"),
    "n 0": (atom, {"configuration": [(0, 0, 1)]}, ValueError, "n must be an integer at least 1, got 0"),
    "twice": (atom, {"configuration": "1s1 1s1"}, ValueError, "has the shell 1s twice"),
    "twice in a list": (
        atom,
        {"configuration": [(1, 0, 1), (1, 0, 1)]},
        ValueError,
        "has the shell 1s twice",
    ),
    "core and shell": (atom, {"configuration": "[He] 1s2"}, ValueError, "has the shell 1s twice"),
    "unknown core": (atom, {"configuration": "[Xy] 6s1"}, ValueError, r"core is written as '\[Ar\]'"),
    "nonsense": (atom, {"configuration": "1s2 foo"}, ValueError, "has the word 'foo'; a shell is written"),
    "unknown letter": (atom, {"configuration": "9z1"}, ValueError, "has the word '9z1'"),
    "nothing": (atom, {"configuration": ""}, ValueError, "configuration is empty"),
    "entry of two": (atom, {"configuration": [(1, 2)]}, ValueError, r"the entry \(1, 2\)"),
    "unknown functional": (
        atom,
        {"xc": "b3lyp"},
        ValueError,
        "xc must be one of 'lda', 'pbe', 'pbesol', 'exchange', 'hartree'; got 'b3lyp'",
    ),
    "unknown mixing": (atom, {"mixing": "x"}, ValueError, "mixing must be one of 'anderson', 'linear'"),
    "mixing_alpha 0": (
        atom,
        {"mixing_alpha": 0},
        ValueError,
        "mixing_alpha must be .* above 0 and at most 1",
    ),
    "mixing_depth -1": (atom, {"mixing_depth": -1}, ValueError, "mixing_depth must be an integer at least 0"),
    "atom tol nan": (atom, {"tol": NAN}, ValueError, "tol must be a finite number"),
    "atom mesh": (atom, {"mesh": 5}, TypeError, "mesh must be a RadialMesh, got int"),
    "coarse mesh": (
        atom,
        {"mesh": RadialMesh([0, 50], 2), "configuration": "1s1 2s1"},
        ValueError,
        "mesh has 1 unknowns, fewer than the 2",
    ),
    "spin and Dirac": (
        atom,
        {"relativistic": True, "spin_polarized": True},
        ValueError,
        "spin_polarized needs Schrödinger",
    ),
    "run x0 short": (run, {"x0": [1.0]}, ValueError, r"x0 must have shape \(152,\), got \(1,\)"),
    "run x0 nan": (run, {"x0": np.full(152, NAN)}, ValueError, "x0 must hold finite numbers"),
    "run maxiter": (run, {"maxiter": -2}, ValueError, "maxiter must be an integer at least 0"),
    "run callback": (run, {"callback": 3}, TypeError, "callback must be callable"),
    "run time_limit": (run, {"time_limit": NAN}, ValueError, "time_limit must be a number"),
    "executor": (solve_atoms, {"specs": [1], "executor": 2}, TypeError, "executor must have a submit method"),
    # formulas
    "ground 0": (
        ground_configuration,
        {"Z": 0},
        ValueError,
        "Z must be an integer at least 1 and at most 118",
    ),
    "ground 119": (ground_configuration, {"Z": 119}, ValueError, "at most 118, got 119"),
    "density negative": (vwn_lda, {"n": [-1.0]}, ValueError, "n must be at least 0 everywhere, got -1"),
    "density huge": (
        vwn_lda,
        {"n": [1e250]},
        ValueError,
        r"n must be at most 1e\+200 everywhere, got 1e\+250",
    ),
    "density of a spin huge": (
        vwn_lsda,
        {"n_up": [1.0], "n_down": [1e305]},
        ValueError,
        r"n_down must be at most 1e\+200 everywhere",
    ),
    "density complex": (vwn_lda, {"n": [1j]}, TypeError, "n is complex"),
    "no atoms": (solve_atoms, {"specs": None}, TypeError, "specs must be an iterable of atoms, got NoneType"),
    "an atom alone": (solve_atoms, {"specs": "He"}, TypeError, "specs must be an iterable of atoms, got str"),
    "radius 0": (thomas_fermi_potential, {"r": [0.0], "Z": 1}, ValueError, "r must be positive"),
    "hydrogen n 0": (hydrogenic_energy, {"Z": 1, "n": 0}, ValueError, "n must be an integer at least 1"),
    "hydrogen l": (hydrogenic_energy, {"Z": 1, "n": 1, "l": 1}, ValueError, "l must be .* at most 0"),
    "hydrogen kappa": (hydrogenic_energy, {"Z": 1, "n": 1, "kappa": 0}, ValueError, "kappa must not be zero"),
    "hulthen n 0": (problems.hulthen_energy, {"Z": 1, "n": 0}, ValueError, "n must be an integer at least 1"),
    "hulthen nan": (problems.hulthen_energy, {"Z": NAN, "n": 1}, ValueError, "Z must be a finite number"),
    "box l": (problems.box_energies, {"r_max": 1.0, "l": 10**6, "n_states": 1}, ValueError, "l must be"),
    "box l half": (problems.box_energies, {"r_max": 1.0, "l": 0.5, "n_states": 1}, ValueError, "l must be"),
    "box states": (
        problems.box_energies,
        {"r_max": 1.0, "l": 0, "n_states": 10**9},
        ValueError,
        "n_states must be an integer at least 1 and at most 200",
    ),
    "box radius": (problems.box_energies, {"r_max": 0, "l": 0, "n_states": 1}, ValueError, "r_max must be"),
    "hydrogen Z": (hydrogenic_energy, {"Z": 140, "n": 1, "kappa": -1}, ValueError, "Z must be below"),
}


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize(("call", "settings", "kind", "fragment"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_in_words(call, settings, kind, fragment):
    with pytest.raises(kind, match=fragment):
        call(**settings)


@pytest.mark.parametrize("call", [schroedinger, dirac, atom, run, mesh], ids=lambda f: f.__name__)
def test_the_table_starts_from_good_input(call):
    call()


def test_samples_of_two_libraries_are_refused():
    xp = pytest.importorskip("array_api_strict")
    with pytest.raises(TypeError, match="convert one"):
        schroedinger(V=(GRID, xp.asarray(GRID)))


@pytest.mark.parametrize("state", [5, -2, 0.5, "a", None])
def test_a_state_that_is_not_there(state):
    result = schroedinger()
    for call in (result.label, lambda state: optimality.eigenpair(result, state)):
        with pytest.raises((ValueError, TypeError), match="state must be an integer"):
            call(state)


def test_an_eigenpair_is_of_a_radial_result():
    with pytest.raises(TypeError, match="result must be a RadialResult, got int"):
        optimality.eigenpair(3)
