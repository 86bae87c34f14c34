"""`linprog` beside SciPy's: statuses, fields, marginals, forms of the bounds."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.optimize
from scipy.sparse import csr_array

from numsolve import monotone
from numsolve._core.result import ConvergenceWarning, Status

FREE = (None, None)

#: name: arguments of `linprog`. The kinds of problem are those of SciPy's own tests, the numbers are not.
PROBLEMS = {
    "upper bounds only": {"c": [-2, -3], "A_ub": [[1, 1], [1, 3]], "b_ub": [4, 6]},
    "equations only": {"c": [1, 2, 3], "A_eq": [[1, 1, 1], [1, -1, 2]], "b_eq": [3, 1]},
    "both kinds of rows": {
        "c": [2, 1, -3],
        "A_ub": [[1, 1, 1], [-1, 2, 0]],
        "b_ub": [10, 3],
        "A_eq": [[1, 0, 1]],
        "b_eq": [6],
    },
    "negative variables": {
        "c": [-1, 4],
        "A_ub": [[-3, 1], [1, 2]],
        "b_ub": [6, 4],
        "bounds": (FREE, (-3, None)),
    },
    "all variables free": {"c": [1, 1], "A_ub": [[-1, 0], [0, -1]], "b_ub": [2, 5], "bounds": FREE},
    "bounds None": {"c": [1, 1], "A_ub": [[-1, 0], [0, -1]], "b_ub": [-2, 5], "bounds": None},
    "boxes": {"c": [1, -1, 2], "A_ub": [[1, 1, 1]], "b_ub": [2], "bounds": [(-1, 1), (0, 3), (-2, -1)]},
    "one pair for all": {"c": [1, -1], "A_ub": [[1, 1]], "b_ub": [2], "bounds": [(-1, 1)]},
    "fixed variables": {"c": [1, 1, 1], "A_eq": [[1, 2, 3]], "b_eq": [14], "bounds": [(2, 2), FREE, (1, 1)]},
    "all variables fixed": {"c": [1, 1], "A_ub": [[1, 1]], "b_ub": [3], "bounds": [(1, 1), (2, 2)]},
    "no rows": {"c": [1, -2], "bounds": [(-1, 4), (-3, 5)]},
    "a row of zeros": {"c": [1, 2], "A_ub": [[0, 0], [-1, -1]], "b_ub": [1, -2]},
    "an equation of zeros": {"c": [1, 2], "A_eq": [[0, 0], [1, 1]], "b_eq": [0, 2]},
    "a column of zeros": {"c": [1, 2], "A_eq": [[1, 0]], "b_eq": [2], "bounds": [(0, None), (3, 9)]},
    "a repeated equation": {"c": [3, 1], "A_eq": [[1, 1], [2, 2]], "b_eq": [2, 4]},
    "a degenerate vertex": {"c": [-1, -1], "A_ub": [[1, 0], [1, 1], [0, 1], [1, 2]], "b_ub": [1, 1, 1, 1]},
    "a cycling tableau": {
        "c": [-0.75, 150, -0.02, 6],
        "A_ub": [[0.25, -60, -0.04, 9], [0.5, -90, -0.02, 3], [0, 0, 1, 0]],
        "b_ub": [0, 0, 1],
    },
    "many optima": {"c": [-1, -1], "A_ub": [[1, 1]], "b_ub": [5], "bounds": (0, 4)},
    "an assignment": {
        "c": [4, 1, 3, 2, 0, 5, 3, 2, 2],
        "A_eq": np.vstack([np.kron(np.eye(3), np.ones(3)), np.kron(np.ones(3), np.eye(3))]),
        "b_eq": np.ones(6),
    },
    "infeasible rows": {"c": [-1, -1], "A_ub": [[1, 0], [-1, 0]], "b_ub": [1, -2]},
    "infeasible equations": {"c": [1, 1], "A_eq": [[1, 1], [1, 1]], "b_eq": [1, 2]},
    "an infeasible row of zeros": {"c": [1, 1], "A_ub": [[0, 0], [1, 1]], "b_ub": [-1, 2]},
    "an infeasible equation of zeros": {"c": [1, 1], "A_eq": [[0, 0], [1, 1]], "b_eq": [1, 2]},
    "a contradictory box": {"c": [1, 1], "A_ub": [[1, 1]], "b_ub": [3], "bounds": [(2, 1), (0, 1)]},
    "a box that the equations miss": {"c": [1, 1], "A_eq": [[1, 1]], "b_eq": [5], "bounds": (0, 2)},
    "unbounded": {"c": [-1, 1], "A_ub": [[-1, 1]], "b_ub": [1]},
    "unbounded without rows": {"c": [1, -1]},
    "unbounded by a free variable": {"c": [1, 1], "A_ub": [[1, 1]], "b_ub": [3], "bounds": FREE},
    "unbounded along equations": {"c": [-1, 0], "A_eq": [[1, -1]], "b_eq": [0]},
    "unbounded by a column of zeros": {"c": [0, -1], "A_eq": [[1, 0]], "b_eq": [2]},
    "infeasible, and unbounded if it were not": {
        "c": [-1, -1],
        "A_ub": [[1, -1], [-1, 1]],
        "b_ub": [-1, -1],
    },
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_status_and_optimum_are_those_of_scipy(name):
    problem = PROBLEMS[name]
    theirs = scipy.optimize.linprog(**problem)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        ours = monotone.linprog(**problem, tol=1e-8)
    status = {4: 2}.get(theirs.status, theirs.status)  # HiGHS' presolve may leave "infeasible or unbounded"
    assert ours.status == status
    assert ours.success == theirs.success
    if theirs.success:
        assert ours.fun == pytest.approx(theirs.fun, abs=1e-5)
        np.testing.assert_allclose(ours.con, 0, atol=1e-5)
        assert (ours.slack >= -1e-5).all()


NONDEGENERATE = (
    "upper bounds only",
    "both kinds of rows",
    "negative variables",
    "all variables free",
    "boxes",
)


@pytest.mark.parametrize("name", NONDEGENERATE)
def test_every_field_is_that_of_scipy(name):
    ours = monotone.linprog(**PROBLEMS[name], tol=1e-9)
    theirs = scipy.optimize.linprog(**PROBLEMS[name])
    np.testing.assert_allclose(ours.x, theirs.x, atol=1e-6)
    np.testing.assert_allclose(ours.slack, theirs.slack, atol=1e-6)
    for kind in ("ineqlin", "eqlin", "lower", "upper"):
        for field in ("residual", "marginals"):
            np.testing.assert_allclose(
                ours[kind][field], theirs[kind][field], atol=1e-6, err_msg=f"{kind}.{field}"
            )


def test_a_sparse_matrix_beside_a_dense_one():
    problem = PROBLEMS["both kinds of rows"]
    dense = monotone.linprog(**problem)
    mixed = monotone.linprog(**{**problem, "A_ub": csr_array(np.array(problem["A_ub"], float))})
    assert mixed.fun == pytest.approx(dense.fun, abs=1e-5)


def test_a_column_is_a_right_hand_side_too():
    r = monotone.linprog([-2, -3], [[1, 1], [1, 3]], [[4], [6]])
    assert r.fun == pytest.approx(-9, abs=1e-5)


def test_the_result_reads_like_a_dictionary():
    r = monotone.linprog(**PROBLEMS["boxes"])
    assert set(r) == set(r.keys()) >= {"x", "fun", "slack", "con", "success", "status", "message", "nit"}
    assert dict(r)["fun"] == dict(r.items())["fun"] == r.get("fun") == r.fun
    assert r.get("nothing") is None
    assert r.get("nothing", 3) == 3
    assert len(r) == len(r.values()) == len(list(r.items()))
    assert "x" in r
    assert "nothing" not in r
    with pytest.raises(KeyError):
        r["lower"]["nothing"]


def test_options_are_scipys():
    with pytest.warns(ConvergenceWarning):
        r = monotone.linprog(**PROBLEMS["both kinds of rows"], options={"maxiter": 3})
    assert r.status is Status.MAXITER
    assert r.nit == 3
    rough, fine = (monotone.linprog(**PROBLEMS["an assignment"], options={"tol": tol}) for tol in (0.5, 1e-9))
    assert rough.nit < fine.nit


def test_a_call_of_scipys_needs_no_change(capsys):
    problem = PROBLEMS["both kinds of rows"]
    plain = monotone.linprog(**problem)
    options = {"disp": True, "presolve": False, "time_limit": 60.0}
    r = monotone.linprog(**problem, method="highs", options=options)
    assert np.array_equal(r.x, plain.x)
    assert "linear program" in capsys.readouterr().err
    with pytest.warns(ConvergenceWarning):
        assert monotone.linprog(**problem, options={"time_limit": 0.0}).status is Status.TIME_LIMIT


ANSWERS = {
    "method": ({"method": "newton"}, ValueError, "method must be one of 'highs', .*; got 'newton'"),
    "integrality": ({"integrality": [1]}, TypeError, "scipy.optimize.milp takes integers"),
    "a tolerance": (
        {"options": {"primal_feasibility_tolerance": 1e-8}},
        ValueError,
        "it is called 'tol' here",
    ),
    "an unknown option": ({"options": {"nothing": 1}}, ValueError, "'presolve'; got 'nothing'$"),
    "a callback for fields": (
        {"callback": lambda res: res.fun},
        TypeError,
        "callback is given the array x, which has no 'fun'; call its parameter intermediate_result",
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_words_of_scipy_are_answered_with_ours(name):
    change, kind, fragment = ANSWERS[name]
    with pytest.raises(kind, match=fragment):
        monotone.linprog(**PROBLEMS["both kinds of rows"], **change)


def test_a_start_and_a_callback_as_scipy_has_them():
    seen = []
    problem = PROBLEMS["both kinds of rows"]
    monotone.linprog(**problem, x0=np.zeros(3), callback=lambda x: seen.append(x.copy()))
    assert {x.shape for x in seen} == {(3,)}

    def callback(intermediate_result):
        seen.append(intermediate_result.x)

    monotone.linprog(**problem, callback=callback)
    assert seen[-1].shape == (3,)
    with pytest.raises(AttributeError, match="nothing"):  # the callback's own mistakes stay what they are
        monotone.linprog(**problem, callback=lambda x: np.nothing)


def test_a_warm_start():
    r = monotone.linprog(**PROBLEMS["both kinds of rows"])
    assert monotone.linprog(**PROBLEMS["both kinds of rows"], x0=r, tol=2e-6).nit == 0


def test_arrays_of_another_library_are_taken():
    """Rows of one kind only: those of the other kind are empty, in the same library and precision."""
    xp = pytest.importorskip("array_api_strict")
    r = monotone.linprog(
        xp.asarray([-1.0, -2.0]), xp.asarray([[1.0, 2.0], [3.0, 1.0]]), xp.asarray([4.0, 6.0])
    )
    assert float(r.fun) == pytest.approx(-4.0, rel=1e-5)
