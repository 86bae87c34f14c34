"""`scipy.optimize.linprog` calls, in every spelling that SciPy takes, with our import in place of SciPy's."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import scipy.optimize
from scipy import sparse

from numsolve import monotone

#: How one box for each variable may be written: from n pairs of numbers, infinite where there is no bound.
INFINITE = {-np.inf: None, np.inf: None}
BOUNDS = {
    "None in pairs": lambda box: [(INFINITE.get(low, low), INFINITE.get(high, high)) for low, high in box],
    "infinities in pairs": lambda box: [tuple(pair) for pair in box],
    "a tuple of lists": lambda box: tuple(list(pair) for pair in box),
    "an array": np.array,
    "an array of objects": lambda box: np.array([[INFINITE.get(v, v) for v in pair] for pair in box], object),
}
MATRICES = {
    "dense": np.asarray,
    "lists": lambda A: np.asarray(A).tolist(),
    "csr_array": sparse.csr_array,
    "coo_matrix": sparse.coo_matrix,
    "csc_matrix": sparse.csc_matrix,
    "float32": lambda A: np.asarray(A, np.float32),
    "columns first": np.asfortranarray,
}
VECTORS = {"array": np.asarray, "list": lambda v: np.asarray(v).tolist(), "column": lambda v: v[:, None]}


def program(seed, n=7, k=4, m=2):
    """A program with a solution, whose numbers are integers (exact in every form)."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, n)
    A_ub, A_eq = rng.integers(-4, 5, (k, n)).astype(float), rng.integers(-4, 5, (m, n)).astype(float)
    low, high = x - rng.integers(0, 3, n) - 0.0, x + rng.integers(1, 4, n) + 0.0
    c = A_ub.T @ -rng.integers(0, 3, k) + A_eq.T @ rng.integers(-2, 3, m) + rng.integers(0, 3, n) - 0.0
    low[c == 0] = -np.inf  # some are free, where that leaves the program bounded
    dual = rng.integers(1, 3, n)
    return {"c": c + np.where(np.isinf(low), 0, dual), "A_ub": A_ub, "b_ub": A_ub @ x + 1, "A_eq": A_eq,
            "b_eq": A_eq @ x, "bounds": list(zip(low, high, strict=True))}  # fmt: skip


def compare(ours, theirs, atol=2e-5):
    assert ours.success == theirs.success
    assert ours.status == theirs.status
    if theirs.success:
        assert ours.fun == pytest.approx(theirs.fun, abs=atol, rel=atol)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bounds", BOUNDS)
def test_bounds_in_every_spelling(bounds, seed):
    problem = program(seed)
    problem["bounds"] = BOUNDS[bounds](problem["bounds"])
    compare(monotone.linprog(**problem), scipy.optimize.linprog(**problem))


@pytest.mark.parametrize(
    "bounds", [None, (0, None), (None, 3), (-1, 2), [(-1, 2)], ((0, 1),) * 7, np.array([0, 2])], ids=repr
)
def test_one_spelling_for_all_variables(bounds):
    problem = {**program(0), "bounds": bounds}
    problem["b_eq"], problem["b_ub"] = (
        problem["A_eq"] @ np.full(7, 0.5),
        problem["A_ub"] @ np.full(7, 0.5) + 1,
    )
    problem["c"] = np.abs(problem["c"]) * (1 if bounds is None or np.ravel(bounds)[0] is not None else -1)
    compare(monotone.linprog(**problem), scipy.optimize.linprog(**problem))


@pytest.mark.parametrize("vector", VECTORS)
@pytest.mark.parametrize("matrix", MATRICES)
def test_matrices_and_right_hand_sides_in_every_form(matrix, vector):
    problem = program(1)
    reference = scipy.optimize.linprog(**problem)
    for kind in ("ub", "eq"):
        problem[f"A_{kind}"] = MATRICES[matrix](problem[f"A_{kind}"])
        problem[f"b_{kind}"] = VECTORS[vector](problem[f"b_{kind}"])
    compare(monotone.linprog(**problem), reference)


def test_a_call_by_position_means_the_same():
    problem = program(2)
    args = [problem[name] for name in ("c", "A_ub", "b_ub", "A_eq", "b_eq", "bounds")]
    compare(monotone.linprog(*args), scipy.optimize.linprog(*args))
    compare(monotone.linprog(*args, "highs"), scipy.optimize.linprog(*args, "highs"))


def test_the_signature_has_the_names_of_scipy_in_its_order():
    ours, theirs = (list(inspect.signature(f).parameters) for f in (monotone.linprog, scipy.optimize.linprog))
    taken = [name for name in theirs if name != "integrality"]
    assert ours[:7] == taken[:7]
    assert set(taken) <= set(ours)


@pytest.mark.parametrize("method", ["highs", "highs-ds", "highs-ipm"])
def test_methods_of_scipy_are_taken(method):
    problem = program(3)
    compare(monotone.linprog(**problem, method=method), scipy.optimize.linprog(**problem, method=method))


def test_integers_are_refused_and_not_forgotten():
    with pytest.raises(TypeError, match="milp"):
        monotone.linprog(**program(0), integrality=np.ones(7))


def test_the_fields_are_those_of_an_optimize_result():
    problem = program(1)
    ours, theirs = monotone.linprog(**problem, tol=1e-9), scipy.optimize.linprog(**problem)
    for name in theirs:
        if name not in {"crossover_nit", "mip_node_count", "mip_dual_bound", "mip_gap"}:
            assert name in ours
            assert type(ours[name]) is type(getattr(ours, name))
    np.testing.assert_allclose(ours.slack, problem["b_ub"] - problem["A_ub"] @ ours.x, atol=1e-12)
    np.testing.assert_allclose(ours.con, problem["b_eq"] - problem["A_eq"] @ ours.x, atol=1e-12)
    # The marginals are derivatives of the optimum, and prove it: strong duality in SciPy's own sign.
    bounds = np.array(problem["bounds"])
    value = ours.ineqlin.marginals @ problem["b_ub"] + ours.eqlin.marginals @ problem["b_eq"]
    for side, column in (("lower", 0), ("upper", 1)):
        finite = np.isfinite(bounds[:, column])
        value += ours[side].marginals[finite] @ bounds[finite, column]
    assert value == pytest.approx(theirs.fun, abs=1e-6)


def test_a_data_frame_is_a_matrix_whatever_its_index():
    pandas = pytest.importorskip("pandas")
    problem = program(1)
    reference = monotone.linprog(**problem)
    index = list("dcba")
    framed = {
        **problem,
        "c": pandas.Series(problem["c"], index=range(7, 0, -1)),
        "A_ub": pandas.DataFrame(problem["A_ub"], index=index),
        "b_ub": pandas.Series(problem["b_ub"], index=index[::-1]),
        "bounds": pandas.DataFrame(problem["bounds"], columns=["low", "high"]),
    }
    np.testing.assert_array_equal(monotone.linprog(**framed).x, reference.x)
