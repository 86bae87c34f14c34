"""What the solvers refuse, and in which words."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from scipy.sparse.linalg import aslinearoperator

from numsolve import monotone

NAN, INF = float("nan"), float("inf")


def matrix(value=1.0):
    A = np.arange(1.0, 7.0).reshape(2, 3)
    A[1, 2] = value
    return A


def solve_lp(**change):
    good = {"c": np.ones(3), "A": matrix(), "lc": np.zeros(2), "uc": np.ones(2), "lx": 0, "ux": 1}
    return monotone.solve_lp(**{**good, **change})


def linprog(**change):
    good = {"c": np.ones(3), "A_ub": matrix(), "b_ub": np.ones(2)}
    return monotone.linprog(**{**good, **change})


def solve_game(**change):
    return monotone.solve_game(change.pop("A", matrix()), **change)


def halpern(**change):
    good = {"operator": lambda u: u - 1, "x0": np.zeros(3), "L": 1.0, "restart": "adaptive"}
    settings = {**good, **change}
    return monotone.halpern(settings.pop("operator"), settings.pop("x0"), **settings)


SUM = monotone.AffineFiniteSum(np.eye(3), np.ones(3))


def vr_halpern(**change):
    settings = {"problem": SUM, "x0": np.zeros(3), "rng": 0, **change}
    return monotone.vr_halpern(settings.pop("problem"), settings.pop("x0"), **settings)


ALL = (solve_lp, linprog, solve_game, halpern, vr_halpern)
LPS = (solve_lp, linprog)


def plain(n=3):
    return monotone.FiniteSum(n, lambda u: u, lambda u, index: u)


#: name: (what is changed, the exception, a fragment of its message, the solvers that it is for)
BAD = {
    # settings of all
    "tol negative": ({"tol": -1e-6}, ValueError, "tol must be a finite number at least 0, got -1e-06", ALL),
    "tol nan": ({"tol": NAN}, ValueError, "tol must be a finite number at least 0, got nan", ALL),
    "tol infinite": ({"tol": INF}, ValueError, "tol must be a finite number at least 0, got inf", ALL),
    "tol a word": ({"tol": "1e-6"}, TypeError, "tol must be a real number", ALL),
    "maxiter -1": ({"maxiter": -1}, ValueError, "maxiter must be an integer at least 0, got -1", ALL),
    "maxiter 1.5": ({"maxiter": 1.5}, ValueError, "maxiter must be an integer, got 1.5", ALL),
    "time_limit negative": (
        {"time_limit": -1},
        ValueError,
        "time_limit must be a number at least 0",
        ALL,
    ),
    "callback a word": ({"callback": "print"}, TypeError, "callback must be callable, got 'print'", ALL),
    "rtol": ({"rtol": 1e-6}, TypeError, "no argument 'rtol': it is called 'tol' here", ALL),
    "max_iter": ({"max_iter": 9}, TypeError, "no argument 'max_iter': it is called 'maxiter' here", ALL),
    "A_ub": ({"A_ub": matrix()}, TypeError, "no argument 'A_ub': linprog takes", (solve_lp,)),
    "options a number": ({"options": 3}, TypeError, "options must be a dict, got 3", (linprog,)),
    "an empty array for prox": (
        {"prox": np.array([])},
        TypeError,
        "prox must be callable",
        (halpern, vr_halpern),
    ),
    # programs
    "c ragged": ({"c": [[1], [1, 2]]}, ValueError, "c is not a rectangular array", LPS),
    "A ragged": ({"A": [[1], [1, 2]]}, ValueError, "A is not a rectangular array", (solve_lp, solve_game)),
    "uc ragged": ({"uc": [[1], [1, 2]]}, ValueError, "uc is not a rectangular array", (solve_lp,)),
    "c nan": ({"c": [1, NAN, 1]}, ValueError, "c must hold finite numbers, got nan at index 1", LPS),
    "c infinite": ({"c": [1, INF, 1]}, ValueError, "c must hold finite numbers, got inf", LPS),
    "c complex": ({"c": [1, 1j, 1]}, TypeError, "c is complex", LPS),
    "c of words": ({"c": ["a", "b", "c"]}, TypeError, "c has dtype <U1; real numbers are wanted", LPS),
    "c a number": ({"c": 1.0}, (ValueError, TypeError), "c must be", LPS),
    "c too short": (
        {"c": [1, 1]},
        ValueError,
        "must have 2 columns, one for each entry of c, got shape \\(2, 3\\)",
        LPS,
    ),
    "A nan": (
        {"A": matrix(NAN)},
        ValueError,
        "A must hold finite numbers, got nan at index \\(1, 2\\)",
        (solve_lp,),
    ),
    "A sparse nan": (
        {"A": scipy.sparse.csr_array(matrix(NAN))},
        ValueError,
        "A must hold finite numbers, got nan in row 1, column 2",
        (solve_lp,),
    ),
    "A infinite": ({"A": matrix(INF)}, ValueError, "A must hold finite numbers, got inf", (solve_lp,)),
    "A complex": ({"A": matrix() * 1j}, TypeError, "A is complex", (solve_lp,)),
    "A a vector": ({"A": np.ones(3)}, ValueError, "A must be 2-D", (solve_lp,)),
    "A an operator": ({"A": aslinearoperator(matrix())}, TypeError, "A ", (solve_lp,)),
    "lc nan": ({"lc": [0, NAN]}, ValueError, "lc must hold numbers or infinities, got nan", (solve_lp,)),
    "ux nan": ({"ux": NAN}, ValueError, "ux must hold numbers or infinities, got nan", (solve_lp,)),
    "uc too long": (
        {"uc": np.ones(3)},
        ValueError,
        "uc must have 2 entries, got shape \\(3,\\)",
        (solve_lp,),
    ),
    "lx too short": (
        {"lx": np.ones(2)},
        ValueError,
        "lx must have 3 entries, got shape \\(2,\\)",
        (solve_lp,),
    ),
    "batches of two lengths": (
        {"c": np.ones((2, 3)), "uc": np.ones((4, 2))},
        ValueError,
        "leading axes of a batch must have one length, got {'c': 2, 'uc': 4}",
        (solve_lp,),
    ),
    "c of three axes": ({"c": np.ones((1, 1, 3))}, ValueError, "c must be 1-D or 2-D", (solve_lp,)),
    "polish zero": ({"polish": 0}, ValueError, "polish must be a finite number above 0", (solve_lp,)),
    "polish a word": ({"polish": "vertex"}, ValueError, "polish must be one of 'basic'", (solve_lp,)),
    "presolve a number": ({"presolve": 2}, TypeError, "presolve must be True or False", (solve_lp,)),
    "presolve a batch": (
        {"c": np.ones((2, 3)), "presolve": True},
        ValueError,
        "presolve must be False for a batch",
        (solve_lp,),
    ),
    "start too long": ({"x0": np.ones(4)}, ValueError, "x0 must have shape \\(3,\\), got \\(4,\\)", LPS),
    "start nan": ({"x0": [0, NAN, 0]}, ValueError, "x0 must hold finite numbers", LPS),
    "multipliers too long": (
        {"x0": (np.ones(3), np.ones(3))},
        ValueError,
        "x0\\[1\\] must have shape \\(2,\\), got \\(3,\\)",
        LPS,
    ),
    "b forgotten": ({"b_ub": None}, ValueError, "A_ub and b_ub must be given together", (linprog,)),
    "A_eq forgotten": ({"b_eq": [1]}, ValueError, "A_eq and b_eq must be given together", (linprog,)),
    "b infinite": (
        {"b_ub": [1, INF]},
        ValueError,
        "b_ub must hold finite numbers, got inf at index 1",
        (linprog,),
    ),
    "b too long": (
        {"b_ub": [1, 2, 3]},
        ValueError,
        "b_ub must have 2 entries, got shape \\(3,\\)",
        (linprog,),
    ),
    "bounds of two lengths": ({"bounds": [(0, 1), (0, 1)]}, ValueError, "bounds must be a pair", (linprog,)),
    "bounds a number": (
        {"bounds": 1},
        ValueError,
        "bounds must be a pair \\(low, high\\), or 3 of them",
        (linprog,),
    ),
    "bounds of words": ({"bounds": ("a", "b")}, ValueError, "bounds must be a pair", (linprog,)),
    "bounds nan": ({"bounds": (0, NAN)}, ValueError, "bounds must be a pair", (linprog,)),
    "bounds of triples": ({"bounds": [(0, 1, 2)] * 3}, ValueError, "bounds must be a pair", (linprog,)),
    # games
    "game nan": ({"A": matrix(NAN)}, ValueError, "A must hold finite numbers, got nan", (solve_game,)),
    "game a vector": ({"A": np.ones(3)}, ValueError, "A must be 2-D", (solve_game,)),
    "game without rows": (
        {"A": np.ones((0, 3))},
        ValueError,
        "A is empty \\(shape \\(0, 3\\)\\)",
        (solve_game,),
    ),
    "game without columns": ({"A": np.ones((3, 0))}, ValueError, "A is empty", (solve_game,)),
    "game complex": ({"A": matrix() * 1j}, TypeError, "A is complex", (solve_game,)),
    "unknown form": (
        {"method": "simplex"},
        ValueError,
        "method must be one of 'auto', 'lp', 'simplex-pdhg'; got 'simplex'",
        (solve_game,),
    ),
    "start not a pair": ({"x0": np.ones(5)}, ValueError, "x0 must be a pair \\(x, y\\)", (solve_game,)),
    "strategies swapped": (
        {"x0": (np.ones(2), np.ones(3))},
        ValueError,
        "x0\\[0\\] must have shape \\(3,\\)",
        (solve_game,),
    ),
    # operators
    "L zero": ({"L": 0}, ValueError, "L must be a finite number above 0, got 0.0", (halpern, vr_halpern)),
    "L negative": ({"L": -1}, ValueError, "L must be a finite number above 0", (halpern, vr_halpern)),
    "L infinite": ({"L": INF}, ValueError, "L must be a finite number above 0", (halpern, vr_halpern)),
    "L nan": ({"L": NAN}, ValueError, "L must be a finite number above 0", (halpern, vr_halpern)),
    "L forgotten": ({"L": None}, TypeError, "L must be a real number", (halpern,)),
    "operator a matrix": ({"operator": np.eye(3)}, TypeError, "operator must be callable", (halpern,)),
    "operator of another shape": (
        {"operator": lambda u: u[:2]},
        ValueError,
        "operator must return shape \\(3,\\), got \\(2,\\)",
        (halpern,),
    ),
    "operator nothing": ({"operator": lambda u: None}, ValueError, "operator must return shape", (halpern,)),
    "start complex": ({"x0": [1j, 0, 0]}, TypeError, "x0 is complex", (halpern, vr_halpern)),
    "start empty": ({"x0": []}, ValueError, "x0", (halpern, vr_halpern)),
    "gamma zero": ({"gamma": 0}, ValueError, "gamma must be a finite number above 0", (halpern,)),
    "prox a word": (
        {"prox": "simplex"},
        TypeError,
        "prox must be callable, got 'simplex'",
        (halpern, vr_halpern),
    ),
    "unknown method": (
        {"method": "newton"},
        ValueError,
        "method must be one of 'halpern', 'eag', 'popov', 'eg'; got 'newton'",
        (halpern,),
    ),
    "unknown restart": ({"restart": "always"}, ValueError, "restart must be one of", (halpern, vr_halpern)),
    "restart without an anchor": (
        {"method": "eg"},
        ValueError,
        "restart moves an anchor, which 'eg' does not have",
        (halpern,),
    ),
    "problem a function": ({"problem": lambda u: u}, TypeError, "problem must be a FiniteSum", (vr_halpern,)),
    "x0 of another length": (
        {"x0": np.zeros(4)},
        ValueError,
        "x0 must have shape \\(3,\\), got \\(4,\\)",
        (vr_halpern,),
    ),
    "L unknown": (
        {"problem": plain()},
        ValueError,
        "L must be given for a finite sum of functions",
        (vr_halpern,),
    ),
    "prob zero": (
        {"prob": 0},
        ValueError,
        "prob must be a finite number above 0 and at most 1",
        (vr_halpern,),
    ),
    "prob two": (
        {"prob": 2},
        ValueError,
        "prob must be a finite number above 0 and at most 1",
        (vr_halpern,),
    ),
    "batch zero": ({"batch": 0}, ValueError, "batch must be an integer at least 1", (vr_halpern,)),
    "batch 1.5": ({"batch": 1.5}, ValueError, "batch must be an integer, got 1.5", (vr_halpern,)),
    "step zero": ({"step": 0}, ValueError, "step must be a finite number above 0", (vr_halpern,)),
    "max_epochs negative": (
        {"max_epochs": -1},
        ValueError,
        "max_epochs must be a number at least 0",
        (vr_halpern,),
    ),
    "unknown schedule": (
        {"schedule": "x"},
        ValueError,
        "schedule must be one of 'tuned', 'paper'",
        (vr_halpern,),
    ),
    "unknown sampling": ({"sampling": "x"}, ValueError, "sampling must be one of", (vr_halpern,)),
    "unknown assumption": (
        {"assumption": "x"},
        ValueError,
        "assumption must be one of 'auto'",
        (vr_halpern,),
    ),
    "rng legacy": ({"rng": np.random.RandomState(0)}, TypeError, "not the legacy RandomState", (vr_halpern,)),
    "importance by functions": (
        {"problem": plain(), "L": 1.0, "sampling": "importance"},
        ValueError,
        "sampling by importance needs compiled components",
        (vr_halpern,),
    ),
    "a game with a prox": (
        {"problem": monotone.BilinearGame(np.eye(2)), "x0": np.ones(4), "prox": monotone.prox_l1},
        ValueError,
        "prox must be left out for a BilinearGame",
        (vr_halpern,),
    ),
}
TABLE = [
    pytest.param(solver, *row[:3], id=f"{solver.__name__}: {name}")
    for name, row in BAD.items()
    for solver in row[3]
]


@pytest.mark.parametrize(("solver", "change", "kind", "fragment"), TABLE)
def test_bad_input_is_refused_in_words(solver, change, kind, fragment):
    with pytest.raises(kind, match=fragment):
        solver(**change)


@pytest.mark.parametrize("solver", ALL)
def test_the_table_starts_from_good_input(solver):
    assert solver().success


@pytest.mark.parametrize("solver", LPS)
def test_arrays_of_two_libraries_are_refused(solver):
    jnp = pytest.importorskip("jax.numpy")
    with pytest.raises(TypeError, match="c is a jax array and A.* is a numpy array; convert one"):
        solver(c=jnp.ones(3))


def test_games_are_for_numpy():
    jnp = pytest.importorskip("jax.numpy")
    with pytest.raises(TypeError, match="A is a jax array; a NumPy or SciPy matrix is wanted"):
        monotone.solve_game(jnp.ones((2, 2)))


BAD_PARTS = {
    "a sum of none": (lambda: monotone.FiniteSum(0, abs, abs), ValueError, "n must be an integer at least 1"),
    "full a number": (lambda: monotone.FiniteSum(2, 1.0, abs), TypeError, "full must be callable"),
    "batch a number": (lambda: monotone.FiniteSum(2, abs, 1.0), TypeError, "batch must be callable"),
    "Z empty": (lambda: monotone.AffineFiniteSum(np.zeros((0, 2)), []), ValueError, "Z is empty"),
    "Z empty and sparse": (
        lambda: monotone.AffineFiniteSum(scipy.sparse.csr_array((0, 2)), []),
        ValueError,
        "Z is empty",
    ),
    "Z sparse nan": (
        lambda: monotone.AffineFiniteSum(scipy.sparse.csr_array([[NAN]]), [1]),
        ValueError,
        "Z must hold finite numbers",
    ),
    "a program a number": (
        lambda: monotone.solve_lps([3.0]),
        TypeError,
        "programs\\[0\\] must be a dictionary",
    ),
    "a program too long": (lambda: monotone.solve_lps([(1,) * 7]), TypeError, "got tuple of 7"),
    "a program of SciPy": (
        lambda: monotone.solve_lps([{"c": [1.0], "A_ub": [[1.0]]}]),
        TypeError,
        "programs\\[0\\] has the argument 'A_ub'",
    ),
    "a program without costs": (lambda: monotone.solve_lps([{"lx": 0}]), TypeError, "has no c"),
    "Z nan": (lambda: monotone.AffineFiniteSum([[NAN]], [1]), ValueError, "Z must hold finite numbers"),
    "b too long": (lambda: monotone.AffineFiniteSum([[1.0]], [1, 2]), ValueError, "b must have shape"),
    "an empty game": (lambda: monotone.BilinearGame(np.zeros((0, 2))), ValueError, "A is empty"),
    "a simplex of nothing": (lambda: monotone.project_simplex([]), ValueError, "at least one entry"),
    "a simplex of a number": (lambda: monotone.project_simplex(1.0), ValueError, "at least one entry"),
    "a simplex of radius 0": (lambda: monotone.project_simplex([1.0], 0), ValueError, "radius must be"),
    "a simplex of nan": (lambda: monotone.project_simplex([NAN]), ValueError, "y must hold finite numbers"),
    "a box of a word": (lambda: monotone.project_box([1.0], "x", 1), TypeError, "lower has dtype"),
    "a box of another shape": (
        lambda: monotone.project_box([1.0], [0.0, 0.0], [1.0, 1.0, 1.0]),
        ValueError,
        "y, lower and upper must have shapes that broadcast",
    ),
    "nan in a box": (lambda: monotone.project_box([NAN, 1.0]), ValueError, "y must not hold nan"),
    "a crossed box": (lambda: monotone.project_box([1.0], 2, 1), ValueError, "lower must not exceed upper"),
    "a negative ball": (lambda: monotone.project_l2_ball([1.0], -1), ValueError, "radius must be"),
    "a negative weight": (lambda: monotone.prox_l1([1.0], 1.0, -1), ValueError, "weight must be"),
    "a batch of another shape": (
        lambda: monotone.vr_halpern(
            monotone.FiniteSum(4, lambda u: u - 1, lambda u, index: u[:1], L=1.0), np.zeros(2), rng=0
        ),
        ValueError,
        "batch must return shape \\(2,\\), got \\(1,\\)",
    ),
}


@pytest.mark.parametrize("name", BAD_PARTS)
def test_bad_parts_are_refused_in_words(name):
    make, kind, fragment = BAD_PARTS[name]
    with pytest.raises(kind, match=fragment):
        make()


def test_a_batch_larger_than_the_sum_is_cut_with_a_warning():
    with pytest.warns(UserWarning, match="batch = 9 is more than the 3 components; all of them are taken"):
        assert vr_halpern(batch=9).success


@pytest.mark.parametrize("solver", ALL)
def test_a_bad_argument_is_found_before_any_work(solver):
    def callback(x):
        raise AssertionError("the run has begun")

    for change in ({"tol": -1}, {"maxiter": -1}, {"time_limit": -1}):
        with pytest.raises(ValueError, match="must"):
            solver(**{"callback": callback, **change})
