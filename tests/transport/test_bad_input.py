"""What the three solvers refuse, and in which words."""

from __future__ import annotations

import numpy as np
import pytest

from numsolve import transport
from numsolve._core.result import ConvergenceWarning, Status

NAN, INF = float("nan"), float("inf")


def good():
    rng = np.random.default_rng(0)
    return {"M": rng.random((3, 4)), "a": [0.2, 0.3, 0.5], "b": [0.25] * 4, "reg": 0.1}


def changed(value, place=(1, 2)):
    M = good()["M"]
    M[place] = value
    return M


def solve(M, a, b, reg, **settings):
    return transport.solve(M, a, b, reg, **settings)


def sinkhorn(M, a, b, reg, **settings):
    return transport.sinkhorn(a, b, M, reg, **settings)


def sns(M, a, b, reg, **settings):
    if "rho" not in settings:  # the published share, 2 / n, is not for problems of this size
        settings.setdefault("density", 1.0)
    return transport.sinkhorn_newton_sparse(a, b, M, reg, **settings)


ALL = (solve, sinkhorn, sns)


class NotANumber:
    """Something that is none of the numbers, arrays, words that an argument can be."""


#: name: (what is changed, the exception, a fragment of its message[, the solvers that it is for])
BAD = {
    # the regularisation
    "reg zero": ({"reg": 0}, ValueError, "reg must be a finite number above 0, got 0.0", (sinkhorn, sns)),
    "reg negative": ({"reg": -0.1}, ValueError, "reg must be a finite number .*0, got -0.1"),
    "reg nan": ({"reg": NAN}, ValueError, "reg must be a finite number .*0, got nan"),
    "reg infinite": ({"reg": INF}, ValueError, "reg must be a finite number .*0, got inf"),
    "exact and regularised": ({"reg_type": "none"}, ValueError, "reg must be 0 or left out", (solve,)),
    "exact by sweeps": (
        {"reg": 0, "method": "sinkhorn"},
        ValueError,
        "method must be one of 'auto'",
        (solve,),
    ),
    "exact and unbalanced": ({"reg": 0, "unbalanced": 1.0}, ValueError, "reg must be positive for", (solve,)),
    "reg a word": ({"reg": "0.1"}, TypeError, "reg must be a real number, got '0.1' of type str"),
    "reg complex": ({"reg": 1j}, TypeError, "reg must be a real number"),
    "reg an array": ({"reg": np.ones(2)}, TypeError, "reg must be a real number", (sinkhorn, sns)),
    "reg a matrix": ({"reg": np.ones((2, 2))}, TypeError, "reg must be a real number"),
    "reg true": ({"reg": True}, TypeError, "reg must be a real number"),
    "reg below rounding": ({"reg": 1e-17}, ValueError, "reg = 1e-17 is below the rounding errors of M"),
    "reg next to nothing": ({"reg": 5e-324}, ValueError, "the least that can be resolved is 2.1e-16"),
    "reg forgotten": ({"reg": None}, ValueError, "reg must be given", (solve,)),
    "no reg": ({"reg": None}, TypeError, "reg must be a real number", (sinkhorn, sns)),
    # the weights
    "a negative": (
        {"a": [0.5, -0.1, 0.6]},
        ValueError,
        r"a must be at least 0 everywhere, got -0.1 .*index 1",
    ),
    "b negative": ({"b": [1, 1, -1, 0]}, ValueError, "b must be at least 0 everywhere"),
    "a nan": ({"a": [0.5, NAN, 0.5]}, ValueError, "a must hold finite numbers, got nan at index 1"),
    "b infinite": (
        {"b": [0.25, 0.25, 0.25, INF]},
        ValueError,
        "b must hold finite numbers, got inf at index 3",
    ),
    "a all zero": ({"a": [0, 0, 0]}, ValueError, "a must have a positive sum, got all zeros"),
    "b all zero": ({"b": np.zeros(4)}, ValueError, "b must have a positive sum, got all zeros"),
    "a too long": ({"a": [0.25] * 4}, ValueError, r"a must have shape \(3,\), got \(4,\)"),
    "b too short": ({"b": [0.5] * 2}, ValueError, r"b must have shape \(4,\), got \(2,\)"),
    "a and b swapped": ({"a": [0.25] * 4, "b": [0.2, 0.3, 0.5]}, ValueError, "a must have shape"),
    "a a column": (
        {"a": [[0.2], [0.3], [0.5]]},
        ValueError,
        r"a must (be 1-D, got an array of shape|have shape .* got) \(3, 1\)",
    ),
    "b a matrix": ({"b": np.full((2, 2), 0.25)}, ValueError, "b must (be 1-D|have shape)"),
    "a a number": ({"a": 1.0}, ValueError, "a must be 1-D"),
    "a complex": ({"a": [0.2, 0.3, 0.5j]}, TypeError, "a is complex"),
    "b words": ({"b": ["x", "y", "z", "w"]}, TypeError, "b has dtype <U1; real numbers are wanted"),
    "a ragged": ({"a": [[1], [2, 3], 4]}, ValueError, "a is not a rectangular array"),
    "a an object": ({"a": NotANumber()}, TypeError, "a has dtype object; real numbers are wanted"),
    "masses differ": (
        {"a": [0.4, 0.6, 1.0]},
        ValueError,
        "a and b must have the same sum, got 2 and 1; rescale one of them",
    ),
    "masses differ slightly": (
        {"a": [0.2, 0.3, 0.500002]},
        ValueError,
        "a and b must have the same sum, got 1.000002 and 1;",
    ),
    # the cost
    "M a vector": ({"M": np.ones(4)}, ValueError, r"M must be 2-D, got an array of shape \(4,\)"),
    "M of four axes": ({"M": np.ones((1, 1, 3, 4))}, ValueError, "M must be 2-D"),
    "M of three axes": ({"M": np.ones((1, 3, 4))}, ValueError, "M must be 2-D", (sinkhorn, sns)),
    "M a number": ({"M": 1.0}, ValueError, "M must be 2-D"),
    "M nothing": ({"M": None}, TypeError, "M must be an array, got None"),
    "M nan": ({"M": changed(NAN)}, ValueError, r"M must hold numbers or \+inf, got nan at index \(1, 2\)"),
    "M -inf": ({"M": changed(-INF)}, ValueError, r"M must hold numbers or \+inf, got -inf at index \(1, 2\)"),
    "M transposed": ({"M": good()["M"].T}, ValueError, r"a must have shape \(4,\), got \(3,\)"),
    "M complex": ({"M": good()["M"] * 1j}, TypeError, "M is complex"),
    "M of words": ({"M": [["a"] * 4] * 3}, TypeError, "M has dtype <U1"),
    "M ragged": ({"M": [[1, 2], [3]]}, ValueError, "M is not a rectangular array"),
    "M without rows": ({"M": np.ones((0, 4)), "a": []}, ValueError, r"M is empty \(shape \(0, 4\)\)"),
    "M without columns": ({"M": np.ones((3, 0)), "b": []}, ValueError, "M is empty"),
    "all empty": ({"M": np.ones((0, 0)), "a": [], "b": []}, ValueError, "M is empty"),
    "a closed row": ({"M": changed(INF, (1, slice(None)))}, ValueError, "M forbids every pair of row 1"),
    "a closed column": (
        {"M": changed(INF, (slice(None), 3))},
        ValueError,
        "M forbids every pair of column 3",
    ),
    "all closed": ({"M": np.full((3, 4), INF)}, ValueError, "M forbids every pair of row 0"),
    # the settings
    "unknown method": (
        {"method": "simplex"},
        ValueError,
        "method must be one of 'auto', 'newton', 'sinkhorn', .*; got 'simplex'",
        (solve,),
    ),
    "unknown form": (
        {"method": "sinkhorn"},
        ValueError,
        "method must be one of 'auto', 'scaling', 'stabilized', 'log', 'plan'; got 'sinkhorn'",
        (sinkhorn,),
    ),
    "method a number": ({"method": 1}, ValueError, "method must be one of", (solve, sinkhorn)),
    "unknown regulariser": ({"reg_type": "L1"}, ValueError, "reg_type must be one of .KL., .L2.", (solve,)),
    "squares by Sinkhorn": (
        {"reg_type": "L2", "method": "sns"},
        ValueError,
        "method must be .*auto",
        (solve,),
    ),
    "overrelaxation 0": ({"overrelaxation": 0}, ValueError, "above 0 and below 2, got 0.0", (sinkhorn,)),
    "overrelaxation 2": ({"overrelaxation": 2}, ValueError, "above 0 and below 2, got 2.0", (sinkhorn,)),
    "overrelaxation nan": ({"overrelaxation": NAN}, ValueError, "overrelaxation must be", (sinkhorn,)),
    "overrelaxation a word": (
        {"overrelaxation": "x"},
        ValueError,
        r"overrelaxation must be 'auto' or a number in \(0, 2\), got 'x'",
        (sinkhorn,),
    ),
    "overrelaxation None": ({"overrelaxation": None}, TypeError, "overrelaxation must be", (sinkhorn,)),
    "density 0": (
        {"density": 0},
        ValueError,
        "density must be a finite number above 0 and at most 1",
        (sns,),
    ),
    "density 2": ({"density": 2}, ValueError, "density must be .* at most 1, got 2.0", (sns,)),
    "density a word": ({"density": "2/n"}, TypeError, "density must be a real number", (sns,)),
    "density and rho": ({"density": 0.5, "rho": 0.1}, ValueError, "give one of them", (sns,)),
    "rho negative": ({"rho": -1}, ValueError, "rho must be a finite number at least 0", (sns,)),
    "n_sinkhorn negative": (
        {"n_sinkhorn": -1},
        ValueError,
        "n_sinkhorn must be an integer at least 0",
        (sns,),
    ),
    "n_sinkhorn 1.5": ({"n_sinkhorn": 1.5}, ValueError, "n_sinkhorn must be an integer", (sns,)),
    "maxiter -1": ({"maxiter": -1}, ValueError, "maxiter must be an integer at least 0, got -1"),
    "maxiter 1.5": ({"maxiter": 1.5}, ValueError, "maxiter must be an integer, got 1.5"),
    "maxiter a word": ({"maxiter": "10"}, TypeError, "maxiter must be an integer"),
    "tol negative": ({"tol": -1e-9}, ValueError, "tol must be a finite number at least 0, got -1e-09"),
    "tol nan": ({"tol": NAN}, ValueError, "tol must be a finite number at least 0, got nan"),
    "tol a word": ({"tol": "1e-9"}, TypeError, "tol must be a real number"),
    "time_limit negative": ({"time_limit": -1}, ValueError, "time_limit must be a number at least 0"),
    "callback a word": ({"callback": "print"}, TypeError, "callback must be callable, got 'print'"),
    "start not a pair": ({"potentials_init": np.zeros(7)}, ValueError, "must be a pair"),
    "start of wrong shape": (
        {"potentials_init": (np.zeros(4), np.zeros(3))},
        ValueError,
        r"potentials_init\[0\] must have shape \(3,\), got \(4,\)",
    ),
    "start nan": (
        {"potentials_init": ([0, 0, 0], [0, NAN, 0, 0])},
        ValueError,
        r"potentials_init\[1\] must hold finite numbers, got nan at index 1",
    ),
    "start infinite": ({"potentials_init": ([INF, 0, 0], [0.0] * 4)}, ValueError, "must hold finite numbers"),
    "start complex": (
        {"potentials_init": ([1j, 0, 0], [0.0] * 4)},
        TypeError,
        r"potentials_init\[0\] is complex",
    ),
}
TABLE = [
    pytest.param(solver, *row[:3], id=f"{solver.__name__}: {name}")
    for name, row in BAD.items()
    for solver in (row[3] if len(row) > 3 else ALL)
]


@pytest.mark.parametrize(("solver", "change", "kind", "fragment"), TABLE)
def test_bad_input_is_refused_in_words(solver, change, kind, fragment):
    with pytest.raises(kind, match=fragment):
        solver(**{**good(), **change})


@pytest.mark.parametrize("solver", ALL)
def test_the_table_starts_from_good_input(solver):
    assert solver(**good()).success


@pytest.mark.parametrize("solver", ALL)
def test_arrays_of_two_libraries_are_refused(solver):
    jnp = pytest.importorskip("jax.numpy")
    arguments = good()
    with pytest.raises(TypeError, match="M is a numpy array and b is a jax array; convert one"):
        solver(**{**arguments, "b": jnp.asarray(arguments["b"])})
    with pytest.raises(TypeError, match="M is a jax array and a is a numpy array"):
        solver(**{**arguments, "M": jnp.asarray(arguments["M"]), "a": np.asarray(arguments["a"])})


@pytest.mark.parametrize("solver", [sinkhorn, sns])
def test_sparse_costs_are_refused_by_the_published_methods(solver):
    from scipy.sparse import csr_array

    with pytest.raises(TypeError, match="M"):
        solver(**{**good(), "M": csr_array(good()["M"])})


#: What looks odd and is allowed.
ALLOWED = {
    "masses that differ by rounding": {"a": [0.2, 0.3, 0.5000009]},
    "weights in percent": {"a": [20, 30, 50], "b": [25, 25, 25, 25]},
    "a weight of zero with a closed row": {"a": [0.5, 0, 0.5], "M": changed(INF, (1, slice(None)))},
    "a forbidden pair": {"M": changed(INF)},
    "a tuple": {"a": (0.2, 0.3, 0.5)},
    "no weights": {"a": None, "b": []},
    "a regularisation from an array": {"reg": np.float64(0.1)},
    "a regularisation in a 0-d array": {"reg": np.array(0.1)},
    "an integral float": {"maxiter": 100.0},
    "a list as start": {"potentials_init": [[0, 0, 0], [0, 0, 0, 0]]},
    "booleans as cost": {"M": good()["M"] > 0.5},
    "a read-only cost": {"M": np.broadcast_to(good()["M"][:1], (3, 4))},
}


@pytest.mark.parametrize("change", ALLOWED.values(), ids=ALLOWED.keys())
@pytest.mark.parametrize("solver", ALL)
def test_what_is_allowed(solver, change):
    r = solver(**{**good(), **change})
    assert r.success
    assert r.plan.shape == (3, 4)


@pytest.mark.parametrize("solver", ALL)
def test_a_bad_argument_is_found_before_any_work(solver):
    def callback(x):
        raise AssertionError("the run has begun")

    for change in ({"tol": -1}, {"maxiter": -1}, {"time_limit": -1}, {"potentials_init": ([0], [0])}):
        with pytest.raises(ValueError, match="must"):
            solver(**{**good(), "callback": callback, **change})


def test_failure_is_a_warning_and_not_an_exception():
    with pytest.warns(ConvergenceWarning):
        r = solve(**{**good(), "reg": 1e-3, "maxiter": 0})
    assert r.status is Status.MAXITER
    with pytest.raises(RuntimeError, match="iteration limit"):
        r.raise_for_status()
