"""Newton sketch: the optimum of the exact methods, with a sketch of any kind."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from numsolve import ConvergenceWarning, Status, sketch

RNG = np.random.default_rng(0)
A = RNG.normal(size=(4000, 30)) * np.logspace(0, -1, 30)
W = RNG.normal(size=30)
LABELS = RNG.random(4000) < 1 / (1 + np.exp(-A @ W))
TARGETS = {"logistic": LABELS, "poisson": RNG.poisson(np.exp(np.clip(A @ W, -5, 3))), "gaussian": A @ W}


@pytest.mark.parametrize("family", TARGETS)
def test_derivatives_are_those_of_the_objective(family):
    model = sketch.GLM(A, TARGETS[family], family, l2=0.3)
    x, p, h = 0.1 * RNG.normal(size=30), RNG.normal(size=30), 1e-5
    slope = (model.fun(x + h * p) - model.fun(x - h * p)) / (2 * h)
    assert model.jac(x) @ p == pytest.approx(slope, rel=1e-6)
    curved = (model.jac(x + h * p) - model.jac(x - h * p)) / (2 * h)
    np.testing.assert_allclose(model.hessp(x, p), curved, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(model.hess(x) @ p, model.hessp(x, p), rtol=1e-10)
    sparse = sketch.GLM(sp.csr_array(A), TARGETS[family], family, l2=0.3)
    np.testing.assert_allclose(sparse.hess(x), model.hess(x), rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("precondition", [True, False])
@pytest.mark.parametrize("kind", ["sparse-sign", "gaussian", "countsketch", "srht", "rows"])
def test_the_coefficients_of_an_exact_newton_method(kind, precondition):
    linear_model = pytest.importorskip("sklearn.linear_model")
    exact = linear_model.LogisticRegression(C=10.0, solver="newton-cholesky", fit_intercept=False, tol=1e-10)
    expected = exact.fit(A, LABELS).coef_[0]
    r = sketch.newton_sketch(
        sketch.GLM(A, LABELS, l2=0.1), sketch=kind, precondition=precondition, rng=0, tol=1e-10
    )
    assert r.success
    np.testing.assert_allclose(r.x, expected, atol=1e-6)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("family", TARGETS)
def test_the_gradient_vanishes(family, kind):
    model = sketch.GLM(kind(A), TARGETS[family], family, l2=1e-3)
    r = sketch.newton_sketch(model, rng=0)
    assert r.success
    assert np.linalg.norm(model.jac(r.x)) <= 1e-8 * np.linalg.norm(model.jac(np.zeros(30)))
    assert r.residual == pytest.approx(np.linalg.norm(model.jac(r.x)), rel=1e-9)


def test_the_sketch_grows_until_the_steps_contract():
    model = sketch.GLM(A, LABELS, l2=1e-6)
    r = sketch.newton_sketch(model, size=40, precondition=False, rng=0)
    sizes = r.history["sketch_size"]
    assert r.success
    assert sizes[0] == 40
    assert sizes[-1] > 40
    assert np.all(np.isin(sizes[1:] / sizes[:-1], [1.0, 2.0]))
    assert r.ninner == 0


def test_the_preconditioned_form_needs_few_products():
    r = sketch.newton_sketch(sketch.GLM(A, LABELS, l2=1e-6), rng=0)
    assert r.nit <= 10
    assert r.ninner <= 10 * r.nit


def test_separable_classes_have_no_minimum():
    y = A[:, 0] > 0
    with pytest.warns(ConvergenceWarning):
        r = sketch.newton_sketch(sketch.GLM(A[:, :1], y), rng=0)
    assert r.status is Status.UNBOUNDED
    assert sketch.newton_sketch(sketch.GLM(A[:, :1], y, l2=1.0), rng=0).success


def test_labels_in_both_forms():
    one = sketch.newton_sketch(sketch.GLM(A, LABELS, l2=1.0), rng=0)
    two = sketch.newton_sketch(sketch.GLM(A, np.where(LABELS, 1, -1), l2=1.0), rng=0)
    np.testing.assert_array_equal(one.x, two.x)


BAD = [
    (lambda: sketch.GLM(A, LABELS[:5]), ValueError, "y must have shape"),
    (lambda: sketch.GLM(A, np.arange(4000.0)), ValueError, "y must hold 0 and 1"),
    (lambda: sketch.GLM(A, -np.ones(4000), "poisson"), ValueError, "at least 0"),
    (lambda: sketch.GLM(A, LABELS, "probit"), ValueError, "family must be one of"),
    (lambda: sketch.GLM(A, LABELS, l2=-1.0), ValueError, "l2"),
    (lambda: sketch.GLM(A * np.nan, LABELS), ValueError, "A must hold finite"),
    (lambda: sketch.GLM(A * 1e300, LABELS), ValueError, "A must hold numbers up to"),
    (lambda: sketch.newton_sketch((A, LABELS)), TypeError, "model must be"),
    (lambda: sketch.newton_sketch(sketch.GLM(A, LABELS), size=35), ValueError, "size"),
    (lambda: sketch.newton_sketch(sketch.GLM(A, LABELS), np.ones(3)), ValueError, "x0 must have shape"),
    (lambda: sketch.newton_sketch(sketch.GLM(A, LABELS), sketch="hash"), ValueError, "sketch must be one of"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD, ids=[message for *_, message in BAD])
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.filterwarnings("error::RuntimeWarning", "ignore::numsolve.ConvergenceWarning")
@pytest.mark.parametrize("kind", ["countsketch", "rows"])
@pytest.mark.parametrize("precondition", [True, False])
def test_sketches_that_miss_a_direction_and_far_starts_warn_of_no_arithmetic(kind, precondition):
    """Small sketches with singular Hessians, and starts from which the objective overflows."""
    done = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        A = rng.normal(size=(40, 6)) * 10.0 ** rng.uniform(-3, 3)
        model = sketch.GLM(A, rng.poisson(2, 40).astype(float), "poisson")
        r = sketch.newton_sketch(
            model, 2 * rng.normal(size=6), sketch=kind, size=16, precondition=precondition, rng=seed
        )
        if r.success:
            done += 1
            assert np.linalg.norm(model.jac(r.x)) <= 1e-8 * np.linalg.norm(model.jac(np.zeros(6))) * 1.001
    assert 30 <= done < 60


@pytest.mark.parametrize("precondition", [True, False])
@pytest.mark.parametrize("family", TARGETS)
def test_a_tolerance_of_zero_ends_at_the_rounding_errors(family, precondition):
    model = sketch.GLM(A[:400, :5], TARGETS[family][:400], family, l2=0.1)
    r = sketch.newton_sketch(model, precondition=precondition, rng=0, tol=0.0)
    assert r.status in {Status.ROUNDING, Status.CONVERGED}
    exact = sketch.newton_sketch(model, rng=1, tol=1e-12).x
    np.testing.assert_allclose(r.x, exact, rtol=1e-9, atol=1e-9)


def test_a_tolerance_of_zero_does_not_make_a_minimum_of_none():
    """Two classes that a plane tells apart have none without a penalty."""
    with pytest.warns(ConvergenceWarning):
        r = sketch.newton_sketch(sketch.GLM(A[:400, :3], A[:400, 0] > 0), rng=0, tol=0.0)
    assert not r.success


def test_the_units_of_what_was_observed_do_not_matter():
    for unit in (1e-140, 1.0, 1e150):
        r = sketch.newton_sketch(sketch.GLM(A[:400, :5], unit * (A[:400] @ W), "gaussian"), rng=0)
        assert r.success, unit
        exact = np.linalg.lstsq(A[:400, :5], A[:400] @ W, rcond=None)[0]
        np.testing.assert_allclose(r.x / unit, exact, rtol=1e-5)


@pytest.mark.parametrize(
    "arguments",
    [(A[:40] * 1e-300, A[:40, 0]), (A[:40], 1e-200 * A[:40, 0]), (A[:40], 1e160 * A[:40, 0])],
)
def test_numbers_whose_squares_are_lost_are_refused_by_name(arguments):
    name = "A" if np.max(abs(arguments[0])) < 1e-200 else "y"
    with pytest.raises(ValueError, match=f"^{name} must hold .*squares"):
        sketch.GLM(*arguments, "gaussian")


@pytest.mark.parametrize("family", ["gaussian", "logistic"])
def test_a_start_where_the_objective_overflows_has_no_nan(family):
    with pytest.warns(ConvergenceWarning):
        r = sketch.newton_sketch(sketch.GLM(A, TARGETS[family], family), np.full(30, 1e300), rng=0)
    assert not r.success
    assert not np.isnan(r.fun)
