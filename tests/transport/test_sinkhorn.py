"""Sinkhorn's iteration: four forms of one thing, and over-relaxation as its theory predicts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp

from numsolve import transport
from numsolve._core.result import ConvergenceWarning, Status
from numsolve.transport.sinkhorn import METHODS, Relaxation, sinkhorn

ALL = list(METHODS)


def iterates(a, b, M, reg, sweeps, **settings):
    """The potentials after 0, 1, ..., `sweeps` sweeps."""
    with pytest.warns(ConvergenceWarning):
        seen = [sinkhorn(a, b, M, reg, maxiter=0, tol=0.0, **settings).potentials]
    with pytest.warns(ConvergenceWarning):
        sinkhorn(a, b, M, reg, maxiter=sweeps, tol=0.0, callback=seen.append, **settings)
    assert len(seen) == sweeps + 1
    return seen


def textbook(a, b, M, reg, sweeps, w):
    """The same, written down from the formulas."""
    f = np.zeros(a.size)
    g = reg * (np.log(b) - logsumexp((f[:, None] - M) / reg, axis=0))
    seen = [(f, g)]
    for _ in range(sweeps):
        f = (1 - w) * f + w * reg * (np.log(a) - logsumexp((g - M) / reg, axis=1))
        g = (1 - w) * g + w * reg * (np.log(b) - logsumexp((f[:, None] - M) / reg, axis=0))
        seen.append((f, g))
    return seen


@pytest.mark.parametrize("w", [0.7, 1.0, 1.5])
@pytest.mark.parametrize("method", ALL)
def test_the_forms_give_the_iterates_of_the_formulas(problem, method, w):
    M, a, b = problem("rectangular 12x17")
    ours = iterates(a, b, M, 0.02, 30, method=method, overrelaxation=w)
    expected = textbook(a, b, M, 0.02, 30, w)
    for (f, g), (F, G) in zip(ours, expected, strict=True):
        np.testing.assert_allclose(f, F, atol=1e-12)
        np.testing.assert_allclose(g, G, atol=1e-12)


@pytest.mark.parametrize("method", ["auto", "stabilized", "log", "plan"])
def test_the_forms_agree_where_the_kernel_underflows(problem, method):
    # exp(-M / reg) vanishes for most pairs; only 1e-17 of the range is left to the exponents
    M, a, b = problem("assignment 40")
    reg = 2e-4
    assert np.count_nonzero(np.exp(-M / reg)) < 1600 * 0.3
    ours = iterates(a, b, M, reg, 25, method=method, overrelaxation=1.0)
    for (f, g), (F, G) in zip(ours, textbook(a, b, M, reg, 25, 1.0), strict=True):
        np.testing.assert_allclose(f, F, atol=1e-12)
        np.testing.assert_allclose(g, G, atol=1e-12)


@pytest.mark.parametrize("method", ALL)
def test_the_marginals_are_right_and_are_measured_as_they_are(problem, error, method):
    M, a, b = problem("rectangular 12x17")
    r = sinkhorn(a, b, M, 0.05, method=method)
    assert r.status is Status.CONVERGED
    assert r.marginal_error <= 1e-9
    assert error(r.plan, a, b) == pytest.approx(r.marginal_error, rel=1e-4, abs=1e-15)
    assert r.nsinkhorn == r.nit == len(r.history) - 1
    assert r.history.residual[-1] == r.marginal_error
    assert (r.nnewton, r.ncg, r.reg_path) == (0, 0, (0.05,))


def test_the_error_of_the_plain_iteration_never_grows(problem):
    M, a, b = problem("assignment 50")
    r = sinkhorn(a, b, M, 0.01, overrelaxation=1.0)
    residual = r.history.residual
    assert (np.diff(residual) <= 1e-15).all()


@pytest.mark.parametrize("w", [1.0, 0.6, 1.5])
def test_the_dual_never_falls_under_a_weight_below_two(problem, w):
    M, a, b = problem("rectangular 12x17")
    reg = 0.02
    dual = [
        a @ f + b @ g - reg * np.exp((f[:, None] + g - M) / reg).sum()
        for f, g in iterates(a, b, M, reg, 60, overrelaxation=w)[20:]
    ]
    assert (np.diff(dual) >= -1e-15).all()


# -- over-relaxation -------------------------------------------------------------------------------


def linear_rate(M, a, b, reg):
    """Second-largest eigenvalue of diag(1/a) P diag(1/b) P': the rate of the plain iteration."""
    P = transport.solve(M, a, b, reg, tol=1e-12).plan
    return np.sort(np.linalg.eigvals((P / a[:, None]) @ (P / b).T).real)[-2]


def best_weight(theta):
    return 2 / (1 + np.sqrt(1 - theta))


@pytest.mark.parametrize("part", [0.0, 0.4, 0.8])
@pytest.mark.parametrize(("name", "reg"), [("rectangular 12x17", 0.03), ("assignment 30", 0.03)])
def test_the_error_falls_at_the_rate_of_young(problem, name, reg, part):
    # (lam + w - 1)^2 = lam w^2 theta for weights up to the best one
    M, a, b = problem(name)
    theta = linear_rate(M, a, b, reg)
    w = 1 + part * (best_weight(theta) - 1)
    lam = max(abs(np.roots([1, 2 * (w - 1) - w * w * theta, (w - 1) ** 2])))
    residual = sinkhorn(a, b, M, reg, overrelaxation=w, tol=1e-12).history.residual
    span = len(residual) // 3
    assert (residual[-1] / residual[-1 - span]) ** (1 / span) == pytest.approx(lam, rel=2e-3)


@pytest.mark.parametrize(("name", "reg"), [("rectangular 12x17", 0.03), ("assignment 50", 0.01)])
def test_the_chosen_weight_is_close_to_the_best(problem, name, reg):
    M, a, b = problem(name)
    r = sinkhorn(a, b, M, reg)
    best = best_weight(linear_rate(M, a, b, reg))
    assert 2 - r.history.weight[-1] == pytest.approx(2 - best, rel=0.15)
    assert r.history.weight[0] == 1.0


@pytest.mark.parametrize("lam", [0.3, 0.5, 0.75, 0.9, 0.99, 0.999])
def test_a_geometric_error_gives_the_weight_of_the_theory(lam):
    relaxation = Relaxation()
    for k in range(40):
        relaxation.observe(0.01 * lam**k)
        if relaxation.weight > 1:
            break
    assert relaxation.weight == pytest.approx(best_weight(lam), rel=1e-6)


def test_the_rate_is_recovered_from_a_run_that_is_relaxed_already():
    # 0.99 is first taken for 0.9; under w = best_weight(0.9) the error then falls by the larger root.
    relaxation, error = Relaxation(), 0.01
    theta = 0.99
    for k in range(2000):
        w = relaxation.weight
        roots = np.roots([1, 2 * (w - 1) - w * w * theta, (w - 1) ** 2])
        error *= 0.9 if k < 40 else max(abs(roots))
        relaxation.observe(error)
        if k > 40 and relaxation.weight > w:
            break
    assert relaxation.weight == pytest.approx(best_weight(theta), rel=1e-3)


def test_a_growing_error_takes_the_weight_back():
    relaxation = Relaxation()
    for k in range(100):
        relaxation.observe(0.01 * 0.9**k)
    high = relaxation.weight
    assert high > 1.4
    for _ in range(60):
        relaxation.observe(1.0)
    assert relaxation.weight < 1 + (high - 1) / 2 + 1e-12


@pytest.mark.parametrize("errors", [[1.0] * 200, [0.01] * 200, [0.5**k for k in range(5)], [0.0] * 100])
def test_an_error_that_does_not_fall_geometrically_gives_no_weight(errors):
    relaxation = Relaxation()
    for error in errors:
        relaxation.observe(error)
    assert relaxation.weight == 1.0


def test_a_fixed_weight_stays():
    relaxation = Relaxation(1.3)
    for k in range(100):
        relaxation.observe(0.01 * 0.9**k)
    assert relaxation.weight == 1.3


def test_the_published_problem_needs_far_fewer_sweeps_with_over_relaxation(problem):
    M, a, b = problem("assignment 500")
    relaxed = sinkhorn(a, b, M, 1 / 1200)
    plain = sinkhorn(a, b, M, 1 / 1200, overrelaxation=1.0, maxiter=30_000)
    assert relaxed.success
    assert plain.success
    assert relaxed.nit <= plain.nit / 2
    assert relaxed.value == pytest.approx(plain.value, abs=1e-10)


@pytest.mark.parametrize(
    ("name", "reg"),
    [
        ("rectangular 12x17", 0.5),
        ("rectangular 12x17", 0.1),
        ("rectangular 60x40", 0.2),
        ("assignment 100", 0.05),
        ("densities-L2 100", 0.1),
        ("densities-L1 100", 0.1),
        ("densities-L2 100", 0.01),
    ],
)
def test_on_easy_problems_the_rule_costs_little(problem, name, reg):
    M, a, b = problem(name)
    relaxed, plain = sinkhorn(a, b, M, reg), sinkhorn(a, b, M, reg, overrelaxation=1.0)
    assert relaxed.nit <= 1.3 * plain.nit
    np.testing.assert_allclose(relaxed.plan, plain.plan, atol=1e-8)


# -- against an independent implementation ---------------------------------------------------------


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize(
    ("name", "reg"),
    [("assignment 50", 0.05), ("rectangular 60x40", 0.02), ("densities-L2 100", 0.01)],
)
def test_plan_and_value_are_those_of_pot(problem, name, reg, method):
    ot = pytest.importorskip("ot")
    M, a, b = problem(name)
    P = ot.sinkhorn(a, b, M, reg, method="sinkhorn_log", stopThr=1e-13, numItermax=100_000)
    r = sinkhorn(a, b, M, reg, tol=1e-12, method=method)
    np.testing.assert_allclose(r.plan, P, atol=1e-9)
    assert r.value_linear == pytest.approx(np.sum(P * M), abs=1e-9)


# -- limits ----------------------------------------------------------------------------------------


def test_the_scaling_form_says_that_it_underflowed_and_what_does_not(problem):
    M, a, b = problem("assignment 40")
    with pytest.warns(ConvergenceWarning, match='underflows; method="stabilized" does not'):
        r = sinkhorn(a, b, M, 1e-4, method="scaling")
    assert r.status is Status.NONFINITE
    assert not r.success
    assert np.isfinite(r.plan).all()
    assert np.isfinite(r.value)


@pytest.mark.parametrize("method", ["auto", "stabilized", "log", "plan"])
@pytest.mark.parametrize("least", [1e-30, 1e-100])
def test_tiny_weights_are_no_obstacle(error, method, least):
    rng = np.random.default_rng(0)
    M, a, b = rng.random((20, 25)), rng.random(20), rng.random(25)
    a[::3], b[::4] = least, least
    a, b = a / a.sum(), b / b.sum()
    r = sinkhorn(a, b, M, 0.05, method=method)
    assert r.success
    assert error(r.plan, a, b) <= 1.1e-9
    # those rows and columns have their share too, relatively
    np.testing.assert_allclose(r.plan.sum(axis=1), a, rtol=1e-6)
    np.testing.assert_allclose(r.plan.sum(axis=0), b, rtol=1e-6)


def test_a_run_out_of_sweeps_returns_the_best_iterate(problem, error):
    M, a, b = problem("assignment 50")
    with pytest.warns(ConvergenceWarning, match="iteration limit"):
        r = sinkhorn(a, b, M, 0.002, maxiter=7)
    assert r.status is Status.MAXITER
    assert r.nit == 7
    assert r.marginal_error == r.history.residual.min()
    assert r.marginal_error == pytest.approx(error(r.plan, a, b), rel=1e-6)


@pytest.mark.parametrize("method", ALL)
def test_a_start_at_the_solution_needs_no_sweep(problem, method):
    M, a, b = problem("rectangular 12x17")
    r = sinkhorn(a, b, M, 0.05, tol=1e-11)
    again = sinkhorn(a, b, M, 0.05, method=method, potentials_init=r.potentials)
    assert again.nit == 0
    np.testing.assert_allclose(again.plan, r.plan, atol=1e-9)


def test_a_pattern_that_carries_no_plan_is_not_called_a_success():
    M = np.array([[0.0, np.inf], [0.0, np.inf], [np.inf, 0.0]])
    with pytest.warns(ConvergenceWarning):
        r = sinkhorn([0.4, 0.4, 0.2], [0.5, 0.5], M, 0.1, maxiter=500)
    assert not r.success
    assert np.isfinite(r.plan).all()
    assert r.marginal_error == pytest.approx(0.6, rel=1e-6)  # no coupling comes closer
