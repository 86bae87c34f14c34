"""Deep conjugate directions: conjugate gradients for a linear predictor, and guards for any other."""

from __future__ import annotations

import warnings
from typing import ClassVar

import numpy as np
import pytest
import scipy.sparse as sp
from contract import Call, Conduct

from numsolve import ConvergenceWarning, Status, linear
from numsolve.linear.problems import laplacian

A = laplacian(20)
B = np.random.default_rng(0).normal(size=400)
M = linear.SSOR(A, 1.5)


def network(seed):
    """A function that is neither linear nor symmetric, and of no use."""
    rng = np.random.default_rng(seed)
    W, V = rng.normal(size=(50, 400)), rng.normal(size=(400, 50))
    return lambda r: V @ np.tanh(W @ r) + 3 * r


class TestConduct(Conduct):
    calls: ClassVar = {
        "dcdm": Call(
            run=lambda **kw: linear.dcdm(A, B, lambda r: M @ r, **{"rtol": 1e-8, **kw}),
            measure=lambda r: float(np.linalg.norm(B - A @ r.x)),
        ),
    }


@pytest.mark.parametrize("n_orth", [1, 2, 5])
@pytest.mark.parametrize("precondition", [None, M])
def test_a_linear_predictor_makes_conjugate_gradients(n_orth, precondition):
    predictor = (lambda r: r) if precondition is None else (lambda r: precondition @ r)
    ours = linear.dcdm(A, B, predictor, n_orth=n_orth, rtol=1e-8)
    theirs = linear.cg(A, B, M=precondition, rtol=1e-8)
    k = min(20, ours.nit, theirs.nit)
    np.testing.assert_allclose(ours.history.residual[:k], theirs.history.residual[:k], rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_orth", [0, 2])
def test_the_energy_of_the_error_falls_whatever_the_predictor(seed, n_orth):
    x, energies = np.linalg.solve(A.toarray(), B), []

    def callback(xk):
        energies.append((xk - x) @ (A @ (xk - x)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        linear.dcdm(A, B, network(seed), n_orth=n_orth, maxiter=40, callback=callback)
    assert np.all(np.diff(energies) <= 1e-12 * energies[0])
    assert energies[-1] < 0.9 * energies[0]


@pytest.mark.parametrize(
    "useless", [np.zeros(400), np.full(400, np.inf), np.ones(400) - 2.0 * (np.arange(400) == 3)]
)
def test_the_fallback_saves_a_predictor_that_says_nothing(useless):
    """The last one is always the same direction, which is used up after a step."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        r = linear.dcdm(A, B, lambda r: useless, rtol=1e-6)
        better = linear.dcdm(A, B, lambda r: useless, fallback=M, rtol=1e-6)
    assert r.success
    assert better.success
    assert 0 < r.nfallback <= r.nit
    assert better.nit < r.nit


def test_the_exact_inverse_takes_one_step_and_its_scale_does_not_matter():
    inverse = np.linalg.inv(A.toarray())
    for scale in (1.0, -1e-30, 1e200):
        r = linear.dcdm(A, B, lambda v, scale=scale: scale * (inverse @ v), rtol=1e-10)
        assert (r.nit, r.nfallback) == (1, 0)


def test_updated_residuals_end_at_the_true_one():
    r = linear.dcdm(A, B, lambda v: M @ v, recompute_every=10, rtol=1e-10)
    assert r.success
    assert np.linalg.norm(B - A @ r.x) <= 1e-10 * np.linalg.norm(B)


def test_an_indefinite_matrix_is_told():
    shifted = A.toarray() - 3.0 * np.eye(400)
    with pytest.warns(ConvergenceWarning, match="not positive definite"):
        r = linear.dcdm(shifted, B, lambda v: v, rtol=1e-8)
    assert r.status is Status.BREAKDOWN
    assert r.residual == pytest.approx(np.linalg.norm(B - shifted @ r.x))


def test_a_predictor_without_finite_numbers_is_told_once():
    with pytest.warns(RuntimeWarning, match="not finite") as caught:
        linear.dcdm(A, B, lambda v: v * np.nan, rtol=1e-4)
    assert len(caught) == 1


def test_a_tolerance_below_rounding_is_told():
    r = linear.dcdm(A, B, lambda v: v, rtol=1e-18)
    assert r.status is Status.ROUNDING
    assert r.residual <= 1e-13 * np.linalg.norm(B)


def test_numbers_in_single_precision_go_back_with_their_own_residual():
    b = B.astype(np.float32)
    near = linear.dcdm(A, b, lambda v: M @ v, rtol=1e-4)
    assert near.x.dtype == np.float32
    assert near.status is Status.CONVERGED
    r = linear.dcdm(A, b, lambda v: M @ v, rtol=1e-10)
    assert r.status is Status.ROUNDING
    assert r.residual == pytest.approx(np.linalg.norm(b - A @ r.x.astype(float)))


def test_a_solution_beyond_single_precision_is_no_solution():
    with pytest.warns(ConvergenceWarning):
        r = linear.dcdm(1e-10 * A, np.full(400, 1e35, dtype=np.float32), lambda v: M @ v)
    assert r.status is Status.NONFINITE


@pytest.mark.parametrize("recompute_every", [1, 10, 10**6])
def test_a_residual_that_can_still_fall_is_no_rounding_error(recompute_every):
    """Twelve unknowns and a condition of 1e9: a success is within tens of roundings of the terms of A x."""
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(12, 12)))[0]
    hard = Q @ np.diag(np.geomspace(1e-9, 1, 12)) @ Q.T
    b = np.random.default_rng(1).normal(size=12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        r = linear.dcdm(hard, b, lambda v: v, rtol=1e-9, recompute_every=recompute_every)
    left = np.linalg.norm(b - hard @ r.x)
    assert not r.success or left <= 20 * np.finfo(float).eps * np.linalg.norm(r.x)


def test_a_fallback_that_fails_is_not_counted():
    with pytest.warns(ConvergenceWarning):
        r = linear.dcdm(A, B, lambda v: 0 * v, fallback=np.zeros((400, 400)))
    assert (r.nit, r.nfallback) in {(0, 0), (1, 0)}


def test_a_curvature_below_the_rounding_errors_of_its_sum_is_none():
    """Four roundings are less than what a sum of 400 products may err by: they say nothing."""
    diagonal, last = np.ones(400), np.eye(400)[-1]
    diagonal[-1] = 4 * np.finfo(float).eps
    with pytest.warns(ConvergenceWarning):
        r = linear.dcdm(sp.diags_array(diagonal), np.ones(400), lambda v: v if v[0] > 1e-3 else last)
    assert r.status is Status.STAGNATED
    assert abs(r.x).max() < 10.0


def test_the_multigrid_cycle_is_a_predictor():
    problem = linear.GridPoisson(linear.problems.random_obstacles((40, 40), 4, rng=0))
    b, cycle = np.ones(problem.n), linear.poisson_multigrid(problem)
    r = linear.dcdm(problem, b, lambda v: cycle @ v, rtol=1e-8)
    assert abs(r.nit - linear.solve_poisson(problem, b, rtol=1e-8).nit) <= 1


def test_other_array_libraries_give_the_same_iterates():
    xp = pytest.importorskip("array_api_strict")
    dense = A.toarray()
    ours = linear.dcdm(dense, B, lambda v: v, rtol=1e-6)
    theirs = linear.dcdm(xp.asarray(dense), xp.asarray(B), lambda v: v, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(theirs.x), ours.x, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: linear.dcdm(A, B, lambda v: v[:3]), ValueError, r"shape \(400,\), got \(3,\)"),
        (lambda: linear.dcdm(A, B, 3), TypeError, "predictor must be callable"),
        (lambda: linear.dcdm(A, B[:5], lambda v: v), ValueError, "b must have shape"),
        (lambda: linear.dcdm(A[:5], B, lambda v: v), ValueError, "square"),
        (lambda: linear.dcdm(A * np.nan, B, lambda v: v), ValueError, "A must hold finite numbers"),
        (lambda: linear.dcdm(np.full((3, 3), np.inf), B[:3], lambda v: v), ValueError, "A must hold finite"),
        (lambda: linear.dcdm(A, B * np.nan, lambda v: v), ValueError, "finite"),
        (lambda: linear.dcdm(A, B, lambda v: v, n_orth=-1), ValueError, "n_orth"),
        (lambda: linear.dcdm(A, B, lambda v: v, recompute_every=0), ValueError, "recompute_every"),
        (lambda: linear.dcdm(A, B, lambda v: v, fallback=np.eye(3)), ValueError, "fallback"),
        (lambda: linear.dcdm(A, B, lambda v: v, fallback=3), TypeError, "fallback must be a matrix"),
        (lambda: linear.dcdm(A, B, lambda v: v, fallback=lambda v: v), TypeError, "fallback is a function"),
        (
            lambda: linear.dcdm(np.eye(3).view(np.matrix), np.ones(3), lambda v: v),
            TypeError,
            "A is a numpy.matrix",
        ),
        (lambda: linear.dcdm(np.eye(3) * 1j, np.ones(3), lambda v: v), TypeError, "A is complex"),
        (lambda: linear.dcdm(A, B, lambda v: np.ma.masked_less(v, 0)), TypeError, "predictor returned"),
        (lambda: linear.dcdm(A, B, lambda v: v * 1j), TypeError, "predictor returned is complex"),
        (lambda: linear.dcdm(A, B, lambda v: v, stop="r1"), ValueError, "stop"),
        (lambda: linear.dcdm(lambda v: v, B, lambda v: v), TypeError, "A is a function"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("kind", ["coo", "dia", "lil", "csc", "bsr"])
def test_a_matrix_of_one_unknown_in_any_format(kind):
    """SciPy's product of a coo_array of one row has no axis."""
    A = sp.csr_array([[2.0]]).asformat(kind)
    assert linear.dcdm(A, np.ones(1), lambda r: r).x == [0.5]
    assert linear.cg(A, np.ones(1), M=sp.eye_array(1, format="coo")).x == [0.5]
