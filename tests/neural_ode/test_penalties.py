"""Penalties, baselines and schedules: what they are, and where their gradients go."""

# ruff: noqa: E402, E501
from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import partial

import numpy as np
import pytest

jax = pytest.importorskip("jax")
jnp = jax.numpy

from numsolve import ConvergenceWarning
from numsolve.neural_ode import (
    CostTarget,
    ExponentialDecay,
    cost_penalty,
    error_penalty,
    local_penalty,
    odesolve,
    problems,
    steer_end,
    steer_times,
    stiffness_penalty,
    taylor_dynamics,
)
from numsolve.neural_ode._tableaus import TSIT5

KEY = jax.random.key(0)
rng = np.random.default_rng(1)
LAYERS = [(rng.standard_normal((3, 5)), np.zeros(5)), (rng.standard_normal((6, 2)), np.zeros(2))]
Y0 = rng.standard_normal((4, 2))
SETTINGS = {"rtol": 1e-5, "atol": 1e-5, "max_steps": 64}


@pytest.fixture(scope="module")
def sol():
    return odesolve(problems.mlp, Y0, (0.0, 1.0), LAYERS, dense=True, **SETTINGS)


def test_global_penalties_are_sums_over_the_accepted_steps(sol):
    n = int(sol.naccepted)
    E, h, S = (np.asarray(x)[:n] for x in (sol.error_estimate, sol.h, sol.stiffness / 3.5068))
    assert float(error_penalty(sol)) == pytest.approx(E @ h, rel=1e-13)
    assert float(error_penalty(sol, "mean")) == pytest.approx(E @ h / n, rel=1e-13)
    assert float(error_penalty(sol, "max")) == pytest.approx((E * h).max(), rel=1e-13)
    assert float(stiffness_penalty(sol)) == pytest.approx(S.max(), rel=1e-13)
    assert float(stiffness_penalty(sol, "sum")) == pytest.approx(S.sum(), rel=1e-13)
    assert float(cost_penalty(sol)) == pytest.approx(((E + 1e-9) ** 0.2).sum(), rel=1e-12)


def test_penalties_of_stacked_solves_are_refused(sol):
    """What `jax.vmap` returns: its rows are not those of one solve."""
    stack = jax.tree.map(lambda x: jnp.stack([x, x]), sol)
    local = lambda sol: local_penalty(problems.mlp, sol, LAYERS, KEY)  # noqa: E731
    for penalty in (error_penalty, stiffness_penalty, cost_penalty, local):
        with pytest.raises(ValueError, match="inside of jax.vmap"):
            penalty(stack)


def one_step(y, t, h):
    """Error and stiffness of a step, in plain NumPy."""
    f = partial(problems.mlp, layers=LAYERS)
    ks, gs = [np.asarray(f(t, y))], [y]
    for row, c in zip(TSIT5.a[1:], TSIT5.c[1:], strict=True):
        gs.append(y + h * sum(a * k for a, k in zip(row, ks, strict=False)))
        ks.append(np.asarray(f(t + c * h, gs[-1])))
    e = h * sum(d * k for d, k in zip(TSIT5.d, ks, strict=True))
    scale = 1e-5 + 1e-5 * np.maximum(np.abs(y), np.abs(gs[-1]))
    stiffness = np.linalg.norm(ks[-1] - ks[-2]) / np.linalg.norm(gs[-1] - gs[-2])
    return np.sqrt(np.mean((e / scale) ** 2)), stiffness


@pytest.fixture(scope="module")
def local(sol):
    """All variants, compiled together."""

    @jax.jit
    def run(key, sol):
        pick = partial(local_penalty, problems.mlp, sol, LAYERS, key)
        return {
            "biased": pick(sampling="biased"),
            "opened": pick(sampling="biased", detach=False),
            "unbiased": pick(),
            "stiffness": pick(kind="stiffness"),
        }

    return run


def test_the_biased_local_penalty_is_that_of_an_accepted_step(sol, local):
    """Each step is drawn, all alike."""
    n = int(sol.naccepted)
    steps = np.asarray(sol.error_estimate * sol.h)[:n]
    found = [local(jax.random.key(k), sol) for k in range(60)]
    drawn = [int(np.argmin(np.abs(steps - float(value["biased"])))) for value in found]
    for value, k in zip(found, drawn, strict=True):
        assert float(value["biased"]) == pytest.approx(steps[k], rel=1e-6)
        assert float(value["opened"]) == pytest.approx(steps[k], rel=1e-12)
    assert set(drawn) == set(range(n))


def test_the_unbiased_local_penalty_is_that_of_a_step_from_a_random_time(sol, local):
    """The time is the first uniform number of the key, the step is that of the solve there."""
    n = int(sol.naccepted)
    for k in range(3):
        key = jax.random.key(k)
        t = float(jax.random.uniform(key))
        at = np.searchsorted(np.asarray(sol.t)[:n], t, side="right") - 1
        h = float(sol.h[at])
        error, stiffness = one_step(np.asarray(sol(t)), t, h)
        value = local(key, sol)
        assert float(value["unbiased"]) == pytest.approx(error * h, rel=1e-5)
        assert float(value["stiffness"]) == pytest.approx(stiffness / 3.5068, rel=1e-5)


def test_a_local_penalty_has_a_gradient_under_any_adjoint_and_global_ones_do_not():
    def value(params, adjoint, penalty):
        sol = odesolve(problems.mlp, Y0, (0.0, 1.0), params, adjoint=adjoint, method="bosh3", **SETTINGS)
        return penalty(sol, params)

    def local(sol, params):
        return local_penalty(problems.mlp, sol, params, KEY)

    slopes = jax.jit(jax.grad(partial(value, adjoint="backsolve", penalty=local)))(LAYERS)
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(slopes))
    assert np.isfinite(largest)
    assert largest > 0
    for name in ("backsolve", "interpolating"):
        with pytest.raises(ValueError, match="does not see the steps"):
            value(LAYERS, name, lambda sol, params: error_penalty(sol))


def test_a_frozen_first_slope_has_the_wrong_gradient_on_constant_dynamics():
    """The penalty is zero whatever the constant is, so its slope must be; frozen, it is not (hence the default)."""

    @jax.jit
    @jax.jacfwd
    def slopes(a):
        f = lambda t, y, a: a + 0 * y  # noqa: E731
        sol = odesolve(f, jnp.ones(2), (0.0, 1.0), 1.0, method="bosh3", adjoint="forward")
        return jnp.stack([local_penalty(f, sol, a, KEY, freeze_k1=frozen) for frozen in (False, True)])

    free, frozen = slopes(1.0)
    assert abs(float(free)) < 1e-8
    assert abs(float(frozen)) > 1e-2


# -- baselines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 3])
def test_taylor_dynamics_integrate_the_square_of_a_derivative(order):
    """y = exp(t^2 / 2): its derivatives are (1, t, 1 + t^2, 3 t + t^3) y."""
    augmented, split = taylor_dynamics(lambda t, y, _: t * y, order=order)
    factor = (lambda t: t, lambda t: 1 + t**2, lambda t: 3 * t + t**3)[order - 1]
    slope, square = augmented(0.7, (jnp.ones((2, 3)), jnp.zeros(())), None)
    assert np.allclose(slope, 0.7)
    assert float(square) == pytest.approx(factor(0.7) ** 2, rel=1e-12)
    assert augmented(jnp.full((2, 1), 0.7), (jnp.ones((2, 3)), jnp.zeros(2)), None)[1].shape == (2,)
    assert float(split((slope, square))[1]) == float(square)


def test_derivatives_that_jet_does_not_know_come_from_forward_mode():
    augmented, _ = taylor_dynamics(lambda t, y, _: jnp.sort(y) * t, order=2)
    _, square = augmented(0.5, (jnp.array([1.0, 2.0]), jnp.zeros(())), None)
    assert float(square) == pytest.approx(np.mean([(1.25 * y) ** 2 for y in (1.0, 2.0)]), rel=1e-12)


def test_steer_moves_the_end_and_keeps_times_sorted_inside():
    ends = [float(steer_end(jax.random.key(k), (0.0, 1.0), 0.5)[1]) for k in range(40)]
    assert min(ends) >= 0.5
    assert max(ends) <= 1.5
    assert np.std(ends) == pytest.approx(0.5 / np.sqrt(3), rel=0.3)
    for span in ((0.0, 1.0), (1.0, 0.0)):
        ts = np.linspace(*span, 6)[1:]
        moved = np.asarray(steer_times(KEY, ts, span))
        assert (np.diff(moved) * np.sign(span[1] - span[0]) >= 0).all()
        assert moved.min() >= 0.0
        assert moved.max() <= 1.0
        assert np.abs(moved - ts).max() <= 0.1


# -- schedules --------------------------------------------------------------------------------------------------------


def test_exponential_decay_halves_in_equal_times():
    decay = ExponentialDecay(8.0, 1.0, 3)
    assert [decay(i) for i in range(4)] == pytest.approx([8.0, 4.0, 2.0, 1.0])
    assert float(jax.jit(decay)(2)) == pytest.approx(2.0)


def test_exponential_decay_begins_and_ends_where_it_should_at_any_size():
    for start, stop in ((5e-324, 1e-3), (1e300, 1e-300), (1e-300, 1e300)):
        decay = ExponentialDecay(start, stop, 2)
        assert [decay(0), decay(2)] == [start, stop]
        assert decay(1) == pytest.approx(start**0.5 * stop**0.5)


def test_numbers_of_any_kinds_mix_in_schedules():
    decay = ExponentialDecay(np.longdouble(8.0), Fraction(1), np.float32(3))
    assert [decay(i) for i in range(4)] == pytest.approx([8.0, 4.0, 2.0, 1.0])
    target = CostTarget(
        attempts=Fraction(4), start=Decimal("0.5"), low=Fraction(1, 10), band=np.longdouble(0.1)
    )
    assert float(target.init()[0]) == 0.5


def test_the_budget_controller_rests_near_its_target_and_moves_outside(sol):
    attempts = int(sol.naccepted + sol.nrejected)

    def ratio(target):
        controller = CostTarget(attempts=target, start=1.0)
        state = controller.init()
        after = jax.jit(controller.update)(state, sol)
        return float(controller.coefficient(after) / controller.coefficient(state))

    assert ratio(attempts) == 1.0
    assert ratio(attempts / 1.05) == 1.0
    assert ratio(attempts / 2) == pytest.approx(np.exp(0.05))
    assert ratio(attempts / 20) == pytest.approx(np.exp(0.05))
    assert ratio(2 * attempts) == pytest.approx(np.exp(-0.1))
    by_calls = CostTarget(nfev=1.0, start=1.0, high=1.01)
    assert float(by_calls.coefficient(by_calls.update(by_calls.init(), sol))) == pytest.approx(1.01)


def test_a_failed_solve_is_not_cheap(sol):
    """It ended after fewer steps than are wanted, and yet the coefficient grows."""
    target = CostTarget(attempts=100, start=1.0)
    with pytest.warns(ConvergenceWarning):
        cut = odesolve(lambda t, y, p: -y, jax.numpy.ones(1), (0.0, 9.0), max_steps=2)
    assert int(cut.naccepted + cut.nrejected) < 100
    assert float(target.coefficient(jax.jit(target.update)(target.init(), cut))) > 1.0
    assert float(target.coefficient(jax.jit(target.update)(target.init(), sol))) < 1.0
