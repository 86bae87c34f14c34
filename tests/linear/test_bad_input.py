"""What the solvers and tuners of this column refuse, and in which words."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

from numsolve import ConvergenceWarning, linear
from numsolve.linear.problems import laplacian

NAN, INF = float("nan"), float("inf")
SOR, CG, SSOR_CG = linear.sor, linear.cg, linear.ssor_cg
BICGSTAB, GMRES = linear.bicgstab, linear.gmres
ALL = (SOR, linear.ssor, linear.gauss_seidel, CG, SSOR_CG, linear.ict_cg, BICGSTAB, GMRES)
ANY_M = (CG, BICGSTAB, GMRES)
RELAXED = (SOR, linear.ssor, SSOR_CG)
SPARSE = (SOR, linear.ssor, linear.gauss_seidel, SSOR_CG, linear.ict_cg)


def good():
    return {"A": laplacian(3), "b": np.ones(9)}


def changed(value, place=(1, 2), symmetric=False):
    A = laplacian(3).tolil()
    A[place] = value
    return sp.csr_array(A)


#: name: (what is changed, the exception, a fragment of its message[, the solvers that it is for])
BAD = {
    "A not square": ({"A": np.ones((9, 8))}, ValueError, r"A must be a square matrix, got shape \(9, 8\)"),
    "A a vector": ({"A": np.ones(9)}, ValueError, "A must be", SPARSE),
    "A words": ({"A": np.full((9, 9), "a")}, TypeError, "A has dtype <U1; real numbers are wanted", SPARSE),
    "A nothing": ({"A": None}, TypeError, "A must be an array, got None", SPARSE),
    "A an operator": (
        {"A": aslinearoperator(laplacian(3))},
        TypeError,
        "its entries are needed",
        SPARSE,
    ),
    "A complex": ({"A": 1j * laplacian(3)}, TypeError, "A is complex", SPARSE),
    "A nan": ({"A": changed(NAN)}, ValueError, "A must hold finite numbers, got nan", SPARSE),
    "A nan, where": ({"A": changed(NAN)}, ValueError, "got nan in row 1, column 2", SPARSE),
    "A infinite": ({"A": changed(INF)}, ValueError, "A must hold finite numbers, got inf"),
    "a zero diagonal": ({"A": changed(0, (4, 4))}, ValueError, "zero on its diagonal, in row 4", SPARSE),
    "the first zero": (
        {"A": sp.csr_array(sp.diags_array([1.0, 2, 0, 4, 0, 0, 7, 8, 9]))},
        ValueError,
        "zero on its diagonal, in row 2",
        SPARSE,
    ),
    "no diagonal": (
        {"A": sp.csr_array(np.eye(9)[:, ::-1])},
        ValueError,
        "zero on its diagonal, in row 0",
        SPARSE,
    ),
    "b too long": ({"b": np.ones(10)}, ValueError, r"\(9, 9\), got.* \(10,\)"),
    "b a number": ({"b": 1.0}, ValueError, "b must"),
    "b of three axes": ({"b": np.ones((9, 1, 1))}, ValueError, "b must"),
    "b nan": ({"b": np.full(9, NAN)}, ValueError, "b must hold finite numbers, got nan at index 0"),
    "b complex": ({"b": np.ones(9) * 1j}, TypeError, "b is complex", SPARSE),
    "b words": ({"b": ["a"] * 9}, TypeError, "b has dtype <U1"),
    "b ragged": ({"b": [[1], [1, 2]]}, ValueError, "b is not a rectangular array"),
    "x0 too short": ({"x0": np.ones(8)}, ValueError, r"x0 must have the shape of b, \(9,\), got \(8,\)"),
    "x0 a column": ({"x0": np.ones((9, 1))}, ValueError, "x0 must have the shape of b"),
    "x0 nan": ({"x0": np.full(9, NAN)}, ValueError, "x0 must hold finite numbers"),
    "omega 0": (
        {"omega": 0},
        ValueError,
        "omega must be a finite number above 0 and below 2, got 0.0",
        RELAXED,
    ),
    "omega subnormal": ({"omega": 5e-324}, ValueError, "omega must be at least 1e-300", RELAXED),
    "omega 2": ({"omega": 2.0}, ValueError, "above 0 and below 2, got 2.0", RELAXED),
    "omega nan": ({"omega": NAN}, ValueError, "omega must be a finite number", RELAXED),
    "omega a word": ({"omega": "best"}, ValueError, "omega must be 'adaptive' or a number", (SOR,)),
    "omega a word for CG": ({"omega": "best"}, TypeError, "omega must be a real number", (SSOR_CG,)),
    "omega None": ({"omega": None}, TypeError, "omega must be a real number", RELAXED),
    "omega for Gauss-Seidel": (
        {"omega": 1.5},
        TypeError,
        "gauss_seidel has omega = 1",
        (linear.gauss_seidel,),
    ),
    "adaptive and symmetric": ({"omega": "adaptive"}, ValueError, "forward and backward", (linear.ssor,)),
    "unknown sweep": ({"sweep": "up"}, ValueError, "sweep must be one of 'forward', 'backward'", (SOR,)),
    "sweep for ssor": ({"sweep": "forward"}, TypeError, "ssor sweeps forward and backward", (linear.ssor,)),
    "unknown reference": ({"stop": "x"}, ValueError, "stop must be one of 'b', 'r0'"),
    "unknown method": ({"method": "x"}, ValueError, "method must be one of 'auto', 'eisenstat'", (SSOR_CG,)),
    "unknown order": ({"order": "x"}, ValueError, "order must be one of 'forward'", (SSOR_CG,)),
    "unknown check": ({"check": "spd"}, ValueError, "check must be one of 'symmetric'", (CG, SSOR_CG)),
    "not symmetric": (
        {"A": changed(-5.0), "check": "symmetric"},
        ValueError,
        "A must be symmetric, got entries that differ by 4",
        (CG, SSOR_CG),
    ),
    "not square, checked": (
        {"A": laplacian(3).toarray()[:8], "check": "symmetric"},
        ValueError,
        r"A must be a square matrix, got shape \(8, 9\)",
        (CG, SSOR_CG),
    ),
    "of words, checked": (
        {"A": np.full((9, 9), "a"), "check": "symmetric"},
        TypeError,
        "A has dtype <U1",
        (CG, SSOR_CG),
    ),
    "rtol negative": ({"rtol": -1e-9}, ValueError, "rtol must be a finite number at least 0, got -1e-09"),
    "rtol nan": ({"rtol": NAN}, ValueError, "rtol must be a finite number at least 0"),
    "atol a word": ({"atol": "small"}, TypeError, "atol must be a real number"),
    "maxiter -1": ({"maxiter": -1}, ValueError, "maxiter must be an integer at least 0, got -1"),
    "maxiter 1.5": ({"maxiter": 1.5}, ValueError, "maxiter must be an integer, got 1.5"),
    "time_limit negative": ({"time_limit": -1}, ValueError, "time_limit must be a number at least 0"),
    "callback a word": ({"callback": "print"}, TypeError, "callback must be callable, got 'print'"),
    "plan a matrix": ({"plan": laplacian(3)}, TypeError, "plan must be a SweepPlan", (SOR, SSOR_CG)),
    "a plan of another pattern": (
        {"plan": laplacian(4)},
        ValueError,
        "the plan is for another sparsity pattern",
        (SOR, linear.ssor, SSOR_CG),
    ),
    "A masked": ({"A": np.ma.masked_equal(laplacian(3).toarray(), -1.0)}, TypeError, "A is a masked array"),
    "b masked": ({"b": np.ma.masked_equal(np.ones(9), 0.0)}, TypeError, "b is a masked array"),
    "x0 masked": ({"x0": np.ma.masked_equal(np.ones(9), 0.0)}, TypeError, "x0 is a masked array"),
    "M masked": ({"M": np.ma.masked_equal(np.eye(9), 0.0)}, TypeError, "M is a masked array", ANY_M),
    "A a function": ({"A": lambda x: 4 * x}, TypeError, "A is a function; make it an operator"),
    "M a function": ({"M": lambda x: x / 4}, TypeError, "M is a function; make it an operator", ANY_M),
    "M where there is none": ({"M": np.eye(9)}, TypeError, "no argument 'M'", SPARSE[:-1]),
    "b None": ({"b": None}, TypeError, "b must be an array, got None"),
    "b empty": ({"b": []}, ValueError, r"b must.*\(9, 9\), got shape \(0,\)"),
    "A empty": ({"A": np.zeros((0, 0))}, ValueError, r"b must.*\(0, 0\), got shape \(9,\)"),
    "A a number": ({"A": 4.0}, ValueError, "A must be"),
    "x0 a number": ({"x0": 0.0}, ValueError, r"x0 must have the shape of b, \(9,\), got \(\)"),
    "x0 a column of an operator's": (
        {"A": aslinearoperator(laplacian(3)), "x0": np.ones((9, 1))},
        ValueError,
        "x0 must have the shape of b",
        (CG,),
    ),
    "tol": ({"tol": 1e-8}, TypeError, "no argument 'tol': it is called 'rtol' here"),
    "maxit": ({"maxit": 9}, TypeError, "no argument 'maxit': it is called 'maxiter' here"),
    "restart": (
        {"restart": 20},
        TypeError,
        "no argument 'restart': only numsolve.linear.gmres",
        tuple(solver for solver in ALL if solver is not GMRES),
    ),
    "callback_type": ({"callback_type": "x"}, TypeError, "intermediate_result"),
    "nonsense": ({"nonsense": 1}, TypeError, "unexpected keyword argument 'nonsense'"),
    "progress a word": ({"progress": "bar"}, TypeError, "progress must be True or False"),
    "check_finite a word": ({"check_finite": "no"}, TypeError, "check_finite must be True or False"),
    "M a word": ({"M": "x"}, TypeError, "M has dtype <U1; real numbers are wanted", ANY_M),
    "M a dict": ({"M": {}}, TypeError, "M has dtype object; real numbers are wanted", ANY_M),
    "M a huge number": ({"M": 10**400}, TypeError, "M has dtype object; real numbers are wanted", ANY_M),
    "M ragged": ({"M": [[1], [1, 2]]}, ValueError, "M is not a rectangular array", ANY_M),
    "M complex": ({"M": np.eye(9) * 1j}, TypeError, "M is complex", ANY_M),
    "M an operator and complex": (
        {"M": aslinearoperator(np.eye(9) * 1j)},
        TypeError,
        "M is complex",
        (CG,),
    ),
    "M sparse and complex": ({"M": sp.csr_array(np.eye(9) * 1j)}, TypeError, "M is complex", ANY_M),
    "M not factors": ({"M": np.eye(9)}, TypeError, "M must be an ICT, got ndarray", (linear.ict_cg,)),
    "factors of another size": (
        {"M": linear.ICT(laplacian(4))},
        ValueError,
        r"M must have.*\(9, 9\), got \(16, 16\)",
        (*ANY_M, linear.ict_cg),
    ),
    "droptol negative": ({"droptol": -1.0}, ValueError, "droptol must be a finite number", (linear.ict_cg,)),
    "fill negative": ({"fill": -1}, ValueError, "fill must be an integer at least 0", (linear.ict_cg,)),
    "restart 0": ({"restart": 0}, ValueError, "restart must be an integer at least 1", (GMRES,)),
    "A complex for BiCGSTAB": ({"A": 1j * laplacian(3)}, TypeError, "A is complex", (BICGSTAB, GMRES)),
    "A an operator and complex": (
        {"A": aslinearoperator(1j * laplacian(3))},
        TypeError,
        "A is complex",
        (BICGSTAB, GMRES),
    ),
    "M of another size": ({"M": np.eye(8)}, ValueError, r"M must have shape \(9, 9\), got \(8, 8\)", ANY_M),
}
TABLE = [
    pytest.param(solver, *row[:3], id=f"{solver.__name__}: {name}")
    for name, row in BAD.items()
    for solver in (row[3] if len(row) > 3 else ALL)
]


@pytest.mark.parametrize(("solver", "change", "kind", "fragment"), TABLE)
def test_bad_input_is_refused_in_words(solver, change, kind, fragment):
    if kind is ValueError and "plan" in change:
        change = {"plan": linear.SweepPlan(change["plan"])}
    with pytest.raises(kind, match=fragment):
        solver(**{**good(), **change})


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("form", [np.asarray, np.ndarray.tolist, sp.csr_array, sp.dia_array, sp.lil_array])
@pytest.mark.parametrize("settings", [{}, {"flexible": True}, {"M": np.eye(2)}, {"b": np.zeros(2)}])
@pytest.mark.parametrize("kind", [float, complex])
def test_cg_refuses_entries_that_are_not_finite_in_whatever_form(bad, form, settings, kind):
    A = np.array([[2.0, bad], [bad, 3.0]], dtype=float)
    good = np.eye(2, dtype=kind)
    b = np.ones(2, dtype=kind)
    with pytest.raises(ValueError, match="A must hold finite numbers, got"):
        CG(form(A), **{"b": b, **settings})
    if "M" not in settings:
        with pytest.raises(ValueError, match="M must hold finite numbers, got"):
            CG(good, **{"b": b, "M": form(A), **settings})


@pytest.mark.parametrize("solver", ALL)
def test_the_table_starts_from_good_input(solver):
    assert solver(**good()).success


@pytest.mark.parametrize("solver", ALL)
def test_entries_are_not_looked_at_on_request(solver):
    with pytest.warns(ConvergenceWarning):
        r = solver(**{**good(), "b": np.full(9, NAN), "check_finite": False})
    assert not r.success


@pytest.mark.parametrize(
    ("change", "kind", "fragment"),
    [
        ({"x": [0.0] * 9}, TypeError, "x must be a writeable array of float64, as A.* got a list"),
        ({"x": np.zeros(9, np.float32)}, TypeError, "got a float32 array"),
        ({"x": np.zeros(9, int)}, TypeError, "got a int64 array"),
        ({"x": np.zeros(8)}, ValueError, "x must have as many rows as A"),
        ({"x": np.zeros((9, 2))}, ValueError, r"b must have shape \(9, 2\)"),
        ({"b": np.full(9, INF)}, ValueError, "b must hold finite numbers"),
        ({"omega": 2.5}, ValueError, "omega must be"),
        ({"sweep": "sideways"}, ValueError, "sweep must be one of"),
        ({"x": np.ma.masked_equal(np.zeros(9), 1)}, TypeError, "x is a masked array"),
        ({"b": np.ma.masked_equal(np.zeros(9), 1)}, TypeError, "b is a masked array"),
        ({"iterations": -1}, ValueError, "iterations must be an integer at least 0"),
        ({"A": changed(0, (4, 4))}, ValueError, "zero on its diagonal, in row 4"),
    ],
)
def test_sweeps(change, kind, fragment):
    with pytest.raises(kind, match=fragment):
        linear.sweep(**{**good(), "x": np.zeros(9), **change})
    readonly = np.zeros(9)
    readonly.flags.writeable = False
    with pytest.raises(TypeError, match="writeable"):
        linear.sweep(**{**good(), "x": readonly})


@pytest.mark.parametrize(
    ("make", "kind", "fragment"),
    [
        (lambda: linear.SweepPlan(laplacian(3), "diagonal"), ValueError, "ordering must be one of 'natural'"),
        (lambda: linear.SSOR(laplacian(3), 0.0), ValueError, "omega must be"),
        (lambda: linear.SSOR(laplacian(3), order="up"), ValueError, "order must be one of"),
        (lambda: linear.optimal_omega(laplacian(3), method="guess"), ValueError, "method must be one of"),
        (lambda: linear.optimal_omega(laplacian(3), rtol=0), ValueError, "rtol must be"),
        (lambda: linear.TsallisINF([]), ValueError, "arms is empty"),
        (lambda: linear.TsallisINF(3), TypeError, "arms must be a sequence"),
        (lambda: linear.TsallisINF("abc"), TypeError, "arms must be a sequence"),
        (lambda: linear.SmoothCB(np.zeros(2, [("re", float), ("im", float)])), TypeError, "arms is a struct"),
        (lambda: linear.TsallisINF(np.float32([1.0, NAN])), ValueError, "arms must be finite"),
        (lambda: linear.SmoothCB([1.0], degree=5), ValueError, "degree must be a pair of numbers, got 5"),
        (lambda: linear.ChebCB([1.0], context_range=1.0), ValueError, "context_range must be a pair"),
        (lambda: linear.ChebCB([1.0], context_range=(-1e308, 1e308)), ValueError, "low < high"),
        (lambda: linear.TunedSolver("sor", omega=1.5), TypeError, "omega is what the tuner chooses"),
        (lambda: linear.TunedSolver("sor", tol=1e-8), TypeError, "no 'tol': it is called 'rtol' here"),
        (lambda: linear.TunedSolver("ssor", sweep="forward"), TypeError, "hands its settings to ssor"),
        (lambda: linear.TunedSolver(3), TypeError, "solver must be callable"),
        (lambda: linear.solve_sequence(3), TypeError, "systems must be an iterable"),
        (lambda: next(linear.solve_sequence([3])), TypeError, r"systems must hold tuples \(A, b\)"),
        (
            lambda: linear.TunedSolver()(laplacian(3), np.ones(9), context="hard"),
            TypeError,
            "context must be",
        ),
        (
            lambda: linear.TunedSolver()(laplacian(3), np.ma.masked_equal(np.ones(9), 0)),
            TypeError,
            "b is a masked array",
        ),
        (lambda: linear.problems.laplacian(3, shift="a"), TypeError, "shift must be a real number"),
        (lambda: linear.TsallisINF([1.0, NAN]), ValueError, "arms must be finite"),
        (
            lambda: linear.TsallisINF([1.0], discount=0),
            ValueError,
            "discount must be .* above 0",
        ),
        (lambda: linear.TsallisINFCB([1.0], context_range=None), ValueError, "context_range must be"),
        (
            lambda: linear.TsallisINFCB([1.0], context_range=(0, 1), nbins=0),
            ValueError,
            "nbins must be an integer at least 1",
        ),
        (lambda: linear.ChebCB([1.0], context_range=None), ValueError, "context_range must be"),
        (lambda: linear.ChebCB([1.0], context_range=(1, 0)), ValueError, "low < high"),
        (lambda: linear.SmoothCB([1.0], exploration="x"), ValueError, "exploration must be one of 'lcb'"),
        (lambda: linear.SmoothCB([1.0], degree=(-1, 2)), ValueError, "degree must be an integer at least 0"),
        (lambda: linear.SmoothCB([1.0], rng=np.random.RandomState(0)), TypeError, "legacy RandomState"),
        (lambda: linear.SmoothCB([1.0]).suggest(), ValueError, "SmoothCB needs a context"),
        (lambda: linear.SmoothCB([1.0]).suggest(NAN), ValueError, "context must be a finite number"),
        (lambda: linear.TunedSolver("gmres"), ValueError, "solver must be one of 'sor', 'ssor', 'ssor_cg'"),
        (lambda: linear.TunedSolver("sor", arms=[]), ValueError, "arms is empty"),
        (lambda: linear.TunedSolver("sor", arms=[1.0, 2.0]), ValueError, "omega must be .* below 2, got 2.0"),
        (lambda: linear.TunedSolver("ssor_cg", arms=["adaptive"]), TypeError, "omega must be a real number"),
        (lambda: linear.TunedSolver(tuner="best"), ValueError, "tuner must be one of 'auto'"),
        (lambda: linear.TunedSolver(tuner=3), TypeError, "tuner.suggest must be callable"),
        (lambda: linear.TunedSolver(tuner=linear.TsallisINF([1.0]), arms=[1.0]), ValueError, "not both"),
        (lambda: linear.TunedSolver(context="row"), ValueError, "context must be one of 'auto'"),
        (
            lambda: linear.TunedSolver(cost="euros"),
            ValueError,
            "cost must be one of 'auto', 'iterations', 'time'",
        ),
        (lambda: linear.TunedSolver(warm_start="cubic"), ValueError, "warm_start must be one of 'zero'"),
        (lambda: linear.TunedSolver(warm_start="galerkin:k"), ValueError, "a number in place of k"),
        (lambda: linear.TunedSolver(warm_start="galerkin:0"), ValueError, "warm_start must be one of"),
        (lambda: linear.TunedSolver(len), ValueError, "arms must be given for a solver of your own"),
        (
            lambda: linear.solve_sequence([], linear.TunedSolver(), rtol=1),
            TypeError,
            "settings already, got rtol",
        ),
        (lambda: linear.problems.laplacian(0), ValueError, "nx must be an integer at least 1"),
        (lambda: linear.problems.shifted_laplacians(3, "medium"), ValueError, "variance must be one of"),
        (lambda: linear.problems.heat_equation(1), ValueError, "nx must be an integer at least 2"),
        (lambda: linear.problems.drifting_diffusion(1), ValueError, "nx must be an integer at least 2"),
    ],
)
def test_plans_tuners_and_sequences(make, kind, fragment):
    with pytest.raises(kind, match=fragment):
        make()


@pytest.mark.parametrize("bad", [NAN, -1.0, INF])
def test_bad_costs(bad):
    tuner = linear.TsallisINF([1.0, 1.5], rng=0)
    tuner.suggest()
    with pytest.raises(ValueError, match="cost must be a finite number at least 0"):
        tuner.observe(bad)
    tuner.observe(3)  # the suggestion still waits


def test_arrays_of_two_libraries_are_refused():
    xp = pytest.importorskip("array_api_strict")
    for solver in ALL:
        with pytest.raises(TypeError, match="must share a library|NumPy or SciPy matrix is wanted"):
            solver(laplacian(3), xp.ones(9))
