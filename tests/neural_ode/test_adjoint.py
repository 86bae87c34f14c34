"""The discrete adjoint is the derivative of the steps that were done; the others approach that of the equation."""

# ruff: noqa: E402, E501
from __future__ import annotations

from functools import cache, partial

import numpy as np
import pytest

jax = pytest.importorskip("jax")
jnp = jax.numpy

from numsolve.neural_ode import cost_penalty, error_penalty, odesolve, problems, stiffness_penalty
from numsolve.neural_ode._tableaus import TABLEAUS

rng = np.random.default_rng(0)
LAYERS = [(rng.standard_normal((4, 6)), np.zeros(6)), (rng.standard_normal((7, 3)), np.ones(3))]
Y = rng.standard_normal((5, 3))
TS = np.array([0.0, 0.3, 0.35, 1.0, 1.5])
STEPS = {"controller": "fixed", "h0": 0.5, "rtol": 1e-2, "atol": 1e-2, "max_steps": 4}
SOLVE = {"rtol": 1e-3, "atol": 1e-3, "ts": TS, "max_steps": 16}


def measures(y, ys, errors, stiffness, h):
    """A number that everything enters with a different weight."""
    weights = jnp.arange(1.0, 1.0 + ys.size).reshape(ys.shape)
    penalties = jnp.sum(errors * h) + 0.1 * jnp.max(stiffness) + jnp.sum(errors**0.2)
    return jnp.sum(y**2) + jnp.sum(jnp.sin(weights * ys)) + penalties


@partial(jax.jit, static_argnames="method")
def one_step(params, y, t, h, method):
    """State, stages, error and stiffness of a step, with nothing but `jax.numpy`; compiled once for all."""
    tableau = TABLEAUS[method]
    ks, gs = [problems.mlp(t, y, params)], [y]
    for row, c in zip(tableau.a[1:], tableau.c[1:], strict=True):
        gs.append(y + h * sum(a * k for a, k in zip(row, ks, strict=False)))
        ks.append(problems.mlp(t + c * h, gs[-1], params))
    e = h * sum(d * k for d, k in zip(tableau.d, ks, strict=True))
    scale = SOLVE["atol"] + SOLVE["rtol"] * jnp.maximum(jnp.abs(y), jnp.abs(gs[-1]))
    error = jnp.sqrt(jnp.mean((e / scale) ** 2))
    stiffness = jnp.linalg.norm(ks[-1] - ks[-2]) / jnp.linalg.norm(gs[-1] - gs[-2])
    return gs[-1], jnp.stack(ks), error, stiffness


def unrolled(params, y, steps, method="tsit5"):
    """The steps of a solve one after the other."""
    found, errors, stiffness, at = [], [], [], 0
    while at < len(TS) and TS[at] <= steps[0][0]:
        found.append(y)
        at += 1
    for t, h in steps:
        end, ks, *own = one_step(params, y, t, h, method)
        errors.append(own[0])
        stiffness.append(own[1])
        while at < len(TS) and TS[at] <= t + h * (1 + 1e-12):
            part = (TS[at] - t) / h
            weights = [sum(c * part ** (m + 1) for m, c in enumerate(row)) for row in TABLEAUS[method].dense]
            found.append(y + h * jnp.tensordot(np.array(weights), ks, 1))
            at += 1
        y = end
    lengths = jnp.array([h for _, h in steps])
    return measures(y, jnp.stack(found), jnp.stack(errors), jnp.stack(stiffness), lengths)


def loss(params, y, **settings):
    sol = odesolve(problems.mlp, y, (0.0, 1.5), params, **{**SOLVE, **settings})
    # The root of an error that is zero, beyond the last step, has no slope.
    used = jnp.arange(sol.h.size) < sol.naccepted
    safe = jnp.where(used, sol.error_estimate, 1.0)
    value = measures(sol.y, sol.ys, safe, sol.stiffness, sol.h) - jnp.sum(~used)
    return value, sol


@cache
def gradient(**settings):
    return jax.jit(jax.value_and_grad(partial(loss, **settings), argnums=(0, 1), has_aux=True))


def worst(found, expected):
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return max(float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b))) for a, b in pairs)


@pytest.fixture(scope="module")
def exact():
    (value, sol), grads = gradient()(LAYERS, jnp.asarray(Y))
    return value, sol, grads


def test_the_adjoint_is_the_derivative_of_the_unrolled_steps(exact):
    """For the state, the saved times, the errors, the stiffness, the start and the parameters."""
    value, sol, grads = exact
    n = int(sol.naccepted)
    assert n >= 3
    steps = [(float(t), float(h)) for t, h in zip(sol.t[:n], sol.h[:n], strict=True)]
    by_jax = jax.value_and_grad(partial(unrolled, steps=steps), argnums=(0, 1))
    expected, by_hand = by_jax(LAYERS, jnp.asarray(Y))
    assert abs(value - expected) <= 1e-12 * abs(expected)
    assert worst(grads, by_hand) <= 1e-12


def test_checkpoints_change_nothing(exact):
    (value, _), grads = gradient(checkpoint=3)(LAYERS, jnp.asarray(Y))
    assert float(value) == pytest.approx(float(exact[0]), rel=1e-13)
    assert worst(grads, exact[2]) <= 1e-12


def test_forward_mode_agrees_with_the_adjoint(exact):
    direction = jax.tree.map(
        lambda x: jnp.cos(jnp.arange(x.size * 1.0)).reshape(x.shape), (LAYERS, jnp.asarray(Y))
    )
    move = jax.jit(lambda p, y, d: jax.jvp(lambda p, y: loss(p, y, adjoint="forward")[0], (p, y), d))
    _, along = move(LAYERS, jnp.asarray(Y), direction)
    expected = sum(
        float(jnp.vdot(a, b))
        for a, b in zip(jax.tree.leaves(exact[2]), jax.tree.leaves(direction), strict=True)
    )
    assert float(along) == pytest.approx(expected, rel=1e-11)


def test_a_closure_is_differentiated_like_an_argument():
    solve = partial(odesolve, y0=jnp.ones(2), t_span=(0.0, 1.0), method="bosh3")

    @jax.jit
    @partial(jax.grad, argnums=(0, 1))
    def both(a, b):
        return solve(lambda t, y, _: -a * y).y.sum() + 2 * solve(lambda t, y, b: -b * y, params=b).y.sum()

    by_closure, by_argument = both(0.7, 0.7)
    assert float(by_argument) == pytest.approx(2 * float(by_closure), rel=1e-14)
    assert float(by_closure) == pytest.approx(-2 * np.exp(-0.7), rel=1e-4)


def dense_and_saved(a, c, adjoint):
    """The same times by dense output and as saved times, of a state of two arrays."""

    def f(t, y, a):
        return {"u": -a * y["u"], "v": jnp.cos(t) * y["v"] * a}

    times = jnp.array([0.0, 0.2, 0.5, 0.9])
    start = {"u": c * jnp.ones(2), "v": jnp.ones(())}
    sol = odesolve(f, start, (0.0, 1.0), a, ts=times, rtol=1e-4, method="bosh3", dense=True, adjoint=adjoint)
    weights = jnp.array([1.0, -2.0, 3.0, 0.5])
    return [weights @ (y["u"].sum(axis=1) + y["v"] ** 2) for y in (sol(times), sol.ys)]


def test_dense_output_has_the_derivative_of_the_saved_times():
    slopes = jax.jit(jax.jacrev(partial(dense_and_saved, adjoint="discrete"), argnums=(0, 1)))(0.7, 1.2)
    assert np.allclose(*slopes, rtol=1e-12)
    assert min(abs(float(slope)) for slope in slopes[1]) > 0.1
    move = partial(dense_and_saved, adjoint="forward")
    along = jax.jit(lambda a, c: jax.jvp(move, (a, c), (1.0, -2.0))[1])(0.7, 1.2)
    assert np.allclose(along, slopes[1][0] - 2 * slopes[1][1], rtol=1e-12)


@pytest.mark.parametrize("adjoint", ["backsolve", "interpolating"])
def test_the_adjoint_equation_gives_the_derivative_to_the_tolerance(adjoint):
    def end(a, y, adjoint):
        sol = odesolve(
            lambda t, y, a: jnp.sin(a * t) * y,
            y,
            (0.0, 2.0),
            a,
            ts=[0.0, 1.0, 1.7],
            rtol=1e-9,
            atol=1e-9,
            adjoint=adjoint,
        )
        return jnp.sum(sol.ys[1] ** 2) + sol.y[0] + jnp.sum(sol.ys[0]) + sol.ys[2, 1]

    # y(t) = y0 exp((1 - cos(a t)) / a)
    def exact(a, y):
        def at(t):
            return y * jnp.exp((1 - jnp.cos(a * t)) / a)

        return jnp.sum(at(1.0) ** 2) + at(2.0)[0] + jnp.sum(y) + at(1.7)[1]

    y = jnp.array([1.0, 0.5])
    found = jax.jit(jax.grad(partial(end, adjoint=adjoint), argnums=(0, 1)))(1.3, y)
    assert worst(found, jax.grad(exact, argnums=(0, 1))(1.3, y)) < 1e-7


def test_a_solve_is_not_found_again_when_what_it_closes_over_has_changed():
    """Also in a function that is compiled inside, and of a callable that has no hash."""

    class Model:
        __hash__ = None

        def __init__(self, rate):
            self.rate = np.array([rate])

        def __call__(self, t, y, _):
            return jax.jit(lambda y: y * self.rate)(y)

    model = Model(-1.0)
    for rate in (-1.0, -2.0, 0.5):
        model.rate = np.array([rate])
        end = odesolve(model, jnp.ones(1), (0.0, 1.0), method="bosh3", rtol=1e-6, max_steps=500).y[0]
        assert float(end) == pytest.approx(np.exp(rate), rel=1e-5)


def test_backsolve_keeps_nothing():
    def memory(adjoint, n):
        def end(y):
            return jnp.sum(odesolve(lambda t, y, _: -y, y, (0.0, 1.0), max_steps=n, adjoint=adjoint).y)

        compiled = jax.jit(jax.grad(end)).lower(jnp.ones(100)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert memory("backsolve", 1000) < 100 * 8 * 100  # of a hundred states, not a thousand


@pytest.mark.parametrize("norm", ["batch", "sample"])
def test_the_ends_of_the_span_have_derivatives(norm):
    """y(t1) = y0 exp(t1^2 - t0^2): the slopes are 2 t1 y(t1) and -2 t0 y(t1)."""

    def end(t0, t1):
        return odesolve(lambda t, y, _: 2 * t * y, jnp.ones((2, 1)), (t0, t1), norm=norm, rtol=1e-9).y[0, 0]

    at_0, at_1 = jax.jit(jax.grad(end, argnums=(0, 1)))(0.3, 1.1)
    value = np.exp(1.1**2 - 0.3**2)
    assert float(at_0) == pytest.approx(-0.6 * value, rel=1e-7)
    assert float(at_1) == pytest.approx(2.2 * value, rel=1e-7)


def test_second_derivatives_by_forward_mode():
    def end(a):
        sol = odesolve(
            lambda t, y, a: -a * y, jnp.ones(()), (0.0, 1.0), a, method="bosh3", rtol=1e-8, adjoint="forward"
        )
        return sol.y

    assert float(jax.jit(jax.jacfwd(jax.jacfwd(end)))(0.5)) == pytest.approx(np.exp(-0.5), rel=1e-5)


def test_second_derivatives_by_reverse_mode_of_the_adjoint():
    """Those of forward mode. The states that the adjoint replays are differentiated with it.

    Outside of jit, where loops have lengths.
    """

    def slope(a, y, derive, adjoint):
        def end(a, y):
            sol = odesolve(
                lambda t, y, a: -a * y**2, y, (0.0, 1.0), a, method="bosh3", adjoint=adjoint, **STEPS
            )
            return sol.y + 10 * error_penalty(sol)

        da, dy = derive(end, argnums=(0, 1))(a, y)
        return da + dy**2

    reverse = partial(slope, derive=jax.grad, adjoint="discrete")
    forward = partial(slope, derive=jax.jacfwd, adjoint="forward")
    found = jax.grad(reverse, argnums=(0, 1))(0.8, 1.3)
    expected = jax.jit(jax.jacfwd(forward, argnums=(0, 1)))(0.8, 1.3)
    assert np.allclose(found, expected, rtol=1e-11)


def test_forward_mode_of_the_discrete_adjoint_names_the_right_one():
    with pytest.raises(TypeError, match='use adjoint="forward"'):
        jax.jvp(lambda a: odesolve(lambda t, y, a: -a * y, jnp.ones(()), (0.0, 1.0), a).y, (1.0,), (1.0,))


def test_penalties_of_constant_dynamics_have_no_gradient():
    """Their error is zero whatever the constant; a first slope held fixed would show here."""

    @jax.jit
    @jax.jacrev
    def slopes(a):
        sol = odesolve(lambda t, y, a: a + 0 * y, jnp.ones(2), (0.0, 1.0), a)
        return jnp.stack([error_penalty(sol), stiffness_penalty(sol), cost_penalty(sol)])

    # Rounding of the weights, over the tolerance, to the fifth root.
    assert np.all(np.abs(slopes(2.0)) <= [1e-8, 0.0, 1e-3])


def test_parameters_may_hold_what_is_no_number():
    """As an equinox module does: functions and integers among the leaves."""

    def end(w):
        params = {"act": jnp.tanh, "w": w, "n": 2, "flag": True}

        def f(t, y, p):
            return sum(p["act"](p["w"] * y) for _ in range(p["n"])) if p["flag"] else y

        return odesolve(f, jnp.ones(3), (0.0, 0.5), params, method="bosh3").y.sum()

    both, eps = jax.jit(jax.value_and_grad(end)), 1e-5
    high, low = (float(both(jnp.ones(3).at[1].add(s))[0]) for s in (eps, -eps))
    assert float(both(jnp.ones(3))[1][1]) == pytest.approx((high - low) / (2 * eps), rel=1e-4)
