"""AdaSketch-Newton as published: the iteration counts of the paper's stored results."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import LinearConstraint

from numsolve import ConvergenceWarning, Status, sketch

#: Functions c with their Jacobians, starts, and the paper's iterations (tolerance 1e-4) of GV and RK.
SQUARES = {
    "BOOTH": (
        lambda x: np.array([x[0] + 2 * x[1] - 7, 2 * x[0] + x[1] - 5]),
        lambda x: np.array([[1.0, 2.0], [2.0, 1.0]]),
        lambda x, v: np.zeros((2, 2)),
        [0.0, 0.0],
        (8.602, 1, 1),
    ),
    "RSNBRNE": (
        lambda x: np.array([10 * (x[1] - x[0] ** 2), x[0] - 1]),
        lambda x: np.array([[-20 * x[0], 10.0], [1.0, 0.0]]),
        lambda x, v: np.diag([-20 * v[0], 0.0]),
        [-1.2, 1.0],
        (4.919, 11, 11),
    ),
    "CUBENE": (
        lambda x: np.array([x[0] - 1, 10 * (x[1] - x[0] ** 3)]),
        lambda x: np.array([[1.0, 0.0], [-30 * x[0] ** 2, 10.0]]),
        lambda x, v: np.diag([-60 * v[1] * x[0], 0.0]),
        [-1.2, 1.0],
        (27.37, 4, 4),
    ),
}


@pytest.mark.parametrize("variant", ["gaussian", "kaczmarz"])
@pytest.mark.parametrize("name", SQUARES)
def test_the_iterations_of_the_paper_for_equations(name, variant):
    c, jac, hess, x0, (start, gv, rk) = SQUARES[name]
    r = sketch.adasketch_newton(
        lambda x: 0.0,
        x0,
        jac=lambda x: np.zeros(2),
        hess=lambda x: np.zeros((2, 2)),
        constraints=(c, jac, hess),
        variant=variant,
        rng=0,
    )
    assert r.success
    assert r.history.residual[0] == pytest.approx(start, rel=1e-3)
    assert abs(r.nit - (gv if variant == "gaussian" else rk)) <= 1
    np.testing.assert_allclose(c(r.x), 0.0, atol=1e-4)


def hs6(**settings):
    return sketch.adasketch_newton(
        lambda x: (1 - x[0]) ** 2,
        [-1.2, 1.0],
        jac=lambda x: np.array([2 * x[0] - 2, 0.0]),
        hess=lambda x: np.diag([2.0, 0.0]),
        constraints=(
            lambda x: 10 * (x[1] - x[0] ** 2),
            lambda x: np.array([-20 * x[0], 10.0]),
            lambda x, v: np.diag([-20 * v[0], 0.0]),
        ),
        rng=0,
        **settings,
    )


@pytest.mark.parametrize("variant", ["gaussian", "kaczmarz"])
def test_the_iterations_of_the_paper_for_hs6(variant):
    r = hs6(variant=variant)
    assert r.success
    assert r.history.residual[0] == pytest.approx(6.223, rel=1e-3)
    assert abs(r.nit - 9) <= 1
    assert r.eta1 >= 1.0
    assert r.eta2 <= 0.1


@pytest.mark.parametrize("variant", ["gaussian", "kaczmarz"])
def test_the_control_problem_of_the_paper(variant):
    """GV took 4 iterations, RK 3; the optimal value is that of a sparse factorisation."""
    p = sketch.problems.control(2)
    given = {"jac": p.jac, "hess": p.hess, "constraints": p.constraints}
    r = sketch.adasketch_newton(p.fun, p.x0, lam0=np.ones(4), variant=variant, rng=0, **given)
    exact = sketch.minimize(p.fun, p.x0, jac=p.jac, hess=p.hess, constraints=p.constraints)
    assert r.success
    assert r.nit <= 4
    assert r.fun == pytest.approx(exact.fun, rel=1e-5)


def test_dependent_constraints_are_refused_as_in_the_paper():
    with pytest.warns(ConvergenceWarning, match="close to dependent"):
        r = sketch.adasketch_newton(
            lambda x: x @ x,
            np.ones(3),
            jac=lambda x: 2 * x,
            hess=lambda x: 2 * np.eye(3),
            constraints=LinearConstraint([[1, 0, 0], [2, 0, 0]], [2, 4], [2, 4]),
        )
    assert r.status is Status.BREAKDOWN


def test_a_seed_gives_the_same_run():
    one, two = hs6(), hs6()
    np.testing.assert_array_equal(one.x, two.x)
    assert one.ninner == two.ninner


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variant": "srht"}, "variant"),
        ({"theta": 0}, "theta"),
        ({"delta": 0}, "delta"),
        ({"xi_B": -1}, "xi_B"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        hs6(**change)
