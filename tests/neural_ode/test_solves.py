"""The solves themselves: orders, interpolants, statuses, per-sample steps, and an independent loop."""

# ruff: noqa: E402, E501
from __future__ import annotations

import gc
import weakref
from functools import cache

import numpy as np
import pytest
import scipy.integrate

jax = pytest.importorskip("jax")
jnp = jax.numpy

from numsolve import ConvergenceError, ConvergenceWarning, PrecisionWarning, Status
from numsolve.neural_ode import error_penalty, heuristics, odesolve, problems
from numsolve.neural_ode._tableaus import DOPRI5, TABLEAUS, TSIT5

A = np.array([[-0.1, 2.0], [-2.0, -0.1]])
MU = np.geomspace(0.1, 20.0, 4)


def cosine(t, y, _):
    """y = exp(sin t)."""
    return y * jnp.cos(t)


@cache
def fixed(method):
    """End, and the unscaled error of the first step, for a step of any length."""

    @jax.jit
    def run(h):
        sol = odesolve(
            cosine,
            jnp.exp(jnp.sin(0.5)),
            (0.5, 1.5),
            method=method,
            controller="fixed",
            h0=h,
            rtol=0.0,
            atol=1.0,
            max_steps=200,
        )
        return sol.y, sol.error_estimate[0], sol.nfev

    return run


@pytest.mark.parametrize(
    ("method", "order", "companion"), [("tsit5", 5, 5), ("dopri5", 5, 5), ("bosh3", 3, 3)]
)
def test_orders_of_the_methods_and_of_their_error_estimates(method, order, companion):
    """By halving from h = 1/16 to 1/64, the last step before rounding; the orders come nearer as h falls.

    The global error falls faster on this problem, by half an order for the methods of order five.
    """
    ends, errors, _ = zip(*(fixed(method)(1 / n) for n in (16, 32, 64)), strict=True)
    global_orders = -np.diff(np.log2(np.abs(np.array(ends) - np.exp(np.sin(1.5)))))
    local_orders = -np.diff(np.log2(np.array(errors)))
    assert global_orders[-1] >= order - 0.1
    assert local_orders[-1] == pytest.approx(companion, abs=0.06)
    assert abs(local_orders[-1] - companion) < abs(local_orders[0] - companion)


def test_the_weights_satisfy_the_conditions_of_order():
    for tableau in TABLEAUS.values():
        b, c = np.zeros(tableau.stages), np.array(tableau.c)
        b[: len(tableau.a[-1])] = tableau.a[-1]
        for k in range(tableau.order):
            assert b @ c**k == pytest.approx(1 / (k + 1), abs=1e-14)
        assert sum(tableau.d) == pytest.approx(0.0, abs=1e-15)
        for row, time in zip(tableau.a, tableau.c, strict=True):
            assert sum(row) == pytest.approx(time, abs=1e-14)
        ends = [sum(row) for row in tableau.dense]
        assert ends == pytest.approx(list(b), abs=1e-12)
        assert sum(row[0] for row in tableau.dense) == pytest.approx(1.0, abs=1e-13)


def test_the_interpolant_of_dopri5_is_that_of_scipy():
    assert np.array(DOPRI5.dense) == pytest.approx(scipy.integrate.RK45(lambda t, y: y, 0, [1.0], 1).P)


def test_the_interpolant_of_tsit5_has_order_four():
    """One step of y' = y from 1: the defect is of fifth order in h, at any part of the step."""
    h, part = np.array([0.2, 0.1, 0.05]), np.linspace(0.1, 0.9, 9)
    defects = []
    for step in h:
        ks = [1.0]
        for row in TSIT5.a[1:]:
            ks.append(1.0 + step * np.dot(row, ks))
        weights = np.array(
            [[sum(c * p ** (m + 1) for m, c in enumerate(r)) for r in TSIT5.dense] for p in part]
        )
        defects.append(np.abs(1.0 + step * weights @ ks - np.exp(part * step)).max())
    assert np.polyfit(np.log(h), np.log(defects), 1)[0] == pytest.approx(5, abs=0.3)


@pytest.fixture(scope="module")
def spiral():
    y0, ts = np.array([[2.0, 0.0], [1.0, 1.0]]), np.linspace(0.0, 2.0, 7)
    sol = odesolve(problems.spiral, y0, (0.0, 2.0), A, ts=ts, rtol=1e-8, atol=1e-8, dense=True)
    return y0, ts, sol


def test_states_agree_with_dop853(spiral):
    y0, ts, sol = spiral
    for b in range(2):
        exact = scipy.integrate.solve_ivp(
            lambda t, y: y**3 @ A, (0, 2), y0[b], "DOP853", ts, rtol=1e-12, atol=1e-12
        ).y.T
        assert np.abs(sol.ys[:, b] - exact).max() < 1e-6
        assert np.abs(sol.y[b] - exact[-1]).max() < 1e-6


def test_dense_output_agrees_with_the_saved_times_and_is_continuous(spiral):
    _, ts, sol = spiral
    n = int(sol.naccepted)
    found = np.asarray(sol(np.concatenate([ts, sol.t[1:n], [3.0]])))
    assert np.abs(found[:7] - sol.ys).max() < 1e-12
    assert np.abs(found[7:-1] - sol.states[1:n]).max() < 1e-13
    assert np.isnan(found[-1]).all()


def test_the_compiled_loop_agrees_with_the_plain_one(spiral):
    """`heuristics` is written in plain NumPy: steps, errors, stiffness and evaluations are the same."""
    y0, _, sol = spiral
    plain = heuristics(lambda t, y: y**3 @ A, (0.0, 2.0), y0, rtol=1e-8, atol=1e-8)
    n = plain.naccepted
    assert (int(sol.naccepted), int(sol.nrejected), int(sol.nfev)) == (n, plain.nrejected, plain.nfev)
    assert np.allclose(sol.h[:n], plain.h, rtol=1e-6)
    assert np.allclose(sol.error_estimate[:n], plain.error_estimate, rtol=1e-4)
    assert np.allclose(sol.stiffness[:n], plain.stiffness, rtol=1e-5)
    assert np.abs(sol.y - plain.y).max() < 1e-12


@pytest.mark.parametrize("controller", ["pi", "pid"])
def test_each_controller_meets_the_tolerance_by_its_own_steps(controller):
    @jax.jit
    def run(y0):
        return odesolve(cosine, y0, (0.0, 10.0), controller=controller, rtol=1e-6)

    sol = run(jnp.ones(1))
    plain = heuristics(lambda t, y: y * np.cos(t), (0.0, 10.0), np.ones(1), controller=controller)
    assert int(sol.naccepted) == plain.naccepted
    # The derivative term feeds roundings of the error back: 4e-6 of a step after 84 of them.
    assert np.allclose(sol.h[: plain.naccepted], plain.h, rtol=1e-5)
    assert abs(float(sol.y[0]) - np.exp(np.sin(10.0))) < 1e-4


def test_stiffness_is_the_size_of_the_eigenvalue():
    """On y' = (a I + b J) y it is sqrt(a^2 + b^2) in each step."""
    a, b = -0.3, 2.0
    sol = heuristics(
        lambda t, y: np.array([a * y[0] - b * y[1], b * y[0] + a * y[1]]), (0.0, 3.0), np.ones(2)
    )
    assert sol.stiffness == pytest.approx(np.hypot(a, b), rel=1e-5)


@pytest.mark.parametrize("size", [1e-170, 1e170])
def test_stiffness_does_not_depend_on_the_size_of_the_state(size):
    """Its norms take no square of a number that has none."""
    y0 = np.array([size, 2 * size])
    sol = odesolve(lambda t, y, _: -2 * y, y0, (0.0, 1.0), rtol=1e-4, atol=0.0)
    plain = heuristics(lambda t, y: -2 * y, (0.0, 1.0), y0, rtol=1e-4, atol=0.0)
    assert np.asarray(sol.stiffness[: int(sol.naccepted)]) == pytest.approx(2.0, rel=1e-9)
    assert plain.stiffness == pytest.approx(2.0, rel=1e-9)


def test_stiffness_shows_the_slow_branches_of_van_der_pol():
    """There it limits the step, and is the spectral radius of the Jacobian; in the jumps it does not."""
    mu = 20.0
    sol = heuristics(
        lambda t, y: np.array([y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]]), (0.0, 20.0), np.array([2.0, 0.0])
    )
    radius = np.array(
        [
            np.abs(np.linalg.eigvals([[0, 1], [-2 * mu * x * v - 1, mu * (1 - x**2)]])).max()
            for x, v in sol.states
        ]
    )
    part = sol.h * sol.stiffness / sol.stability_size
    x = np.abs([x for x, _ in sol.states])
    assert np.median(part[x > 1.8]) > 0.8
    assert np.median(part[x < 1.2]) < 0.3
    assert np.median(np.abs(sol.stiffness / radius - 1)[x > 1.8]) < 0.02


# -- statuses ----------------------------------------------------------------------------------------------------

FAILURES = {
    "too few steps": (lambda t, y, a: a * y, {"max_steps": 2, "h0": 1e-3}, Status.MAXITER),
    "nan": (lambda t, y, a: jnp.where(t > 0.5, jnp.nan, a) * y, {}, Status.NONFINITE),
    "blow-up": (lambda t, y, a: a * y * y, {"max_steps": 400, "rtol": 1e-3}, Status.BREAKDOWN),
    "jump without end": (lambda t, y, a: a * y / (t - 0.5) ** 3, {"rtol": 1e-3}, None),
}


@pytest.mark.parametrize(
    ("name", "adjoint"), [*((name, "discrete") for name in FAILURES), ("too few steps", "forward")]
)
def test_a_failed_solve_is_nan_and_so_are_its_gradients(name, adjoint):
    f, settings, status = FAILURES[name]

    def end(a):
        sol = odesolve(f, jnp.ones(()), (0.0, 2.0), a, method="bosh3", adjoint=adjoint, **settings)
        # A loss that does not look at the state: its gradient must be nan all the same.
        return jnp.where(sol.success, sol.y, 0.0) + error_penalty(sol), sol

    if adjoint == "discrete":
        (value, sol), slope = jax.jit(jax.value_and_grad(end, has_aux=True))(1.0)
    else:
        (value, sol), (slope, _) = jax.jit(lambda a: jax.jvp(end, (a,), (1.0,)))(1.0)
    assert not sol.success
    assert Status(int(sol.status)) in ({status} if status else set(Status) - {Status.CONVERGED})
    assert np.isnan([sol.y, value, slope]).all()
    with pytest.raises(ConvergenceError):
        sol.raise_for_status()


def test_times_that_a_trace_hides_fail_the_solve_when_they_are_wrong():
    """Out of order, outside, or no number; a rounding outside is forgiven."""
    run = jax.jit(lambda ts: odesolve(cosine, jnp.ones(1), (0.0, 1.0), ts=ts, method="bosh3"))
    for ts in ([0.5, 2.0], [0.7, 0.3], [np.nan, 0.5], [-0.1, 0.5]):
        sol = run(np.array(ts))
        assert Status(int(sol.status)) is Status.INFEASIBLE
        assert np.isnan(np.concatenate([sol.y, *sol.ys])).all()
        assert "ts" in sol.message
    sol = run(np.array([0.5, np.nextafter(1.0, 2.0)]))
    assert sol.success
    assert np.array_equal(sol.ys[1], sol.y)


def test_rows_of_a_failed_solve_can_be_read_and_have_no_slope():
    def rows(a):
        sol = odesolve(cosine, a * jnp.ones(1), (0.0, 9.0), max_steps=3, adjoint="forward", method="bosh3")
        return sol.error_estimate.sum()

    value, slope = jax.jit(lambda a: jax.jvp(rows, (a,), (1.0,)))(1.0)
    assert float(value) > 0
    assert np.isnan(slope)


def test_outside_of_jit_a_failure_warns():
    with pytest.warns(ConvergenceWarning, match="max_steps"):
        sol = odesolve(cosine, jnp.ones(1), (0.0, 1.0), max_steps=1, h0=0.1, method="bosh3")
    assert np.isnan(sol.y).all()


# -- one step for each sample --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def oscillators():
    y0 = np.tile([2.0, 0.0], (4, 1))
    ts = jnp.array([0.0, 2.5, 5.0])

    @jax.jit
    def run(y0, mu):
        def end(mu):
            sol = odesolve(problems.van_der_pol, y0, (0.0, 5.0), mu, ts=ts, norm="sample")
            return jnp.sum(sol.ys[1] ** 2) + error_penalty(sol), sol

        return jax.value_and_grad(end, has_aux=True)(mu)

    return run, y0


def test_a_sample_does_not_depend_on_the_others(oscillators):
    run, y0 = oscillators
    (_, sol), grads = run(y0, MU)
    for b in (0, 3):
        (_, alone), grad = run(np.tile(y0[b], (4, 1)), np.full(4, MU[b]))
        assert int(alone.naccepted[0]) == int(sol.naccepted[b])
        assert np.allclose(sol.y[b], alone.y[0], rtol=1e-13)
        assert np.allclose(sol.ys[:, b], alone.ys[:, 0], rtol=1e-13)
        assert np.allclose(sol.h[:, b], alone.h[:, 0], rtol=1e-12)
        assert float(grads[b]) == pytest.approx(float(grad[0]), rel=1e-10)


def test_samples_take_their_own_steps(oscillators):
    run, y0 = oscillators
    (_, sol), _ = run(y0, MU)
    for b, mu in enumerate(MU):
        plain = heuristics(
            lambda t, y, mu=mu: np.array([y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]]), (0.0, 5.0), y0[b]
        )
        # The last digits of an error decide a rejection now and then.
        assert int(sol.naccepted[b]) == pytest.approx(plain.naccepted, abs=2)
        assert np.abs(sol.y[b] - plain.y).max() < 1e-5
    assert len(set(np.asarray(sol.nfev).tolist())) > 1
    assert sol.success.all()


# -- states of any structure, float types ------------------------------------------------------------------------


def test_a_state_of_several_arrays_and_a_weight_of_zero():
    """The integral of y beside y does not change the steps of y."""

    def both(t, y, _):
        return {"y": y["y"] * jnp.cos(t), "sum": y["y"] * 1e3}

    alone = odesolve(cosine, jnp.ones(2), (0.0, 2.0), rtol=1e-6)
    start = {"y": jnp.ones(2), "sum": jnp.zeros(2)}
    sol = odesolve(both, start, (0.0, 2.0), rtol=1e-6, error_weight={"y": 1.0, "sum": 0.0})
    n = int(alone.naccepted)
    assert int(sol.naccepted) == n
    # the first step looks at all of the state
    assert np.allclose(sol.y["y"], alone.y, rtol=1e-5)
    exact = scipy.integrate.quad(lambda t: 1e3 * np.exp(np.sin(t)), 0, 2)[0]
    assert np.allclose(sol.y["sum"], exact, rtol=1e-4)


@pytest.mark.parametrize("shapes", [((3, 2, 2), (3,)), ((3,), (3, 2))])
def test_samples_of_arrays_with_different_axes_get_times_of_the_first(shapes):
    """y' = t - y has y = t - 1 + 2 exp(-t) from 1."""
    start = tuple(np.ones(shape) for shape in shapes)

    def f(t, y, _):
        assert t.shape == (3,) + (1,) * (len(shapes[0]) - 1)
        return t - y[0], -y[1]

    sol = odesolve(f, start, (0.0, 1.0), norm="sample", rtol=1e-8, method="bosh3", max_steps=2000)
    assert np.allclose(sol.y[0], 2 * np.exp(-1), rtol=1e-6)
    assert np.allclose(sol.y[1], np.exp(-1), rtol=1e-6)


def test_time_runs_backwards():
    sol = odesolve(cosine, jnp.exp(jnp.sin(jnp.ones(2))), (1.0, -1.0), ts=[1.0, 0.0, -0.5], rtol=1e-8)
    n = int(sol.naccepted)
    assert (np.asarray(sol.h[:n]) < 0).all()
    assert np.allclose(sol.ys[:, 0], np.exp(np.sin([1.0, 0.0, -0.5])), rtol=1e-6)


@pytest.mark.parametrize(("t0", "dtype"), [(1.7e9, np.float32), (2e5, np.float32), (1e15, np.float64)])
def test_an_autonomous_solve_does_not_depend_on_its_start(t0, dtype):
    """The step that is taken is the one by which time moves, though t0 + h is rounded coarsely."""
    settings = {"rtol": 1e-4, "atol": 1e-8, "method": "bosh3"}
    here = odesolve(lambda t, y, _: -y, np.ones(1, dtype), (0.0, 4.0), **settings)
    there = odesolve(lambda t, y, _: -y, np.ones(1, dtype), (t0, t0 + 4.0), **settings)
    assert there.success
    assert np.array_equal(there.y, here.y)
    assert np.array_equal(there.h, here.h)
    plain = heuristics(lambda t, y: -y, (t0, t0 + 4.0), np.ones(1, dtype), **settings)
    assert float(plain.x[0]) == pytest.approx(np.exp(-4.0), rel=1e-3)


def test_an_entry_that_stays_zero_needs_no_absolute_tolerance():
    y0 = np.array([0.0, 1.0])
    for sol in (
        odesolve(lambda t, y, _: -y, y0, (0.0, 1.0), atol=0.0, method="bosh3"),
        heuristics(lambda t, y: -y, (0.0, 1.0), y0, atol=0.0),
    ):
        assert sol.success
        assert np.allclose(sol.x, [0.0, np.exp(-1.0)], rtol=1e-5)


def test_short_floats_stay():
    with pytest.warns(PrecisionWarning, match="bfloat16"):
        sol = odesolve(lambda t, y, _: -y, jnp.ones(1, jnp.bfloat16), (0.0, 1.0), rtol=0.1, atol=0.1)
    assert str(sol.y.dtype) == "bfloat16"
    assert float(sol.y[0]) == pytest.approx(np.exp(-1.0), rel=0.1, abs=0.1)


def test_single_precision_stays():
    sol = odesolve(cosine, np.ones(2, np.float32), (0.0, 1.0), method="bosh3")
    assert {str(x.dtype) for x in (sol.y, sol.t, sol.h, sol.error_estimate)} == {"float32"}
    assert odesolve(cosine, np.ones(2, int), (0.0, 1.0), method="bosh3").y.dtype == np.float64


def test_evaluations_are_those_that_a_counter_in_f_sees():
    calls = []

    def fun(t, y):
        calls.append(t)
        return y * np.cos(t)

    for h0 in (None, 0.01):
        calls.clear()
        assert heuristics(fun, (0.0, 8.0), np.ones(1), h0=h0).nfev == len(calls)


def test_compiled_code_of_old_functions_is_given_up():
    """Each new function is a program of its own; what JAX keeps of it is some megabytes."""
    from numsolve.neural_ode import _jitted

    class Program:
        def __call__(self, x):
            return x + 1.0

    old, *others = (Program() for _ in range(_jitted.KEPT + 1))
    assert _jitted.jitted(old)(1.0) == 2.0
    gone = weakref.ref(old)
    del old
    for program in others:
        _jitted.jitted(program)
    gc.collect()
    assert gone() is None


def test_equal_solves_share_their_compiled_code():
    """A new closure of the same code over other numbers is compiled again only if its code differs."""
    from numsolve.neural_ode import ode

    def f(t, y, a):
        return -a * y

    first = odesolve(f, jnp.ones(1), (0.0, 1.0), 1.0, method="bosh3")
    programs = ode.jitted.cache_info().misses
    second = odesolve(f, jnp.ones(1), (0.0, 1.0), 2.0, method="bosh3")
    assert ode.jitted.cache_info().misses == programs
    assert float(second.y[0]) == pytest.approx(float(first.y[0]) ** 2, rel=1e-3)
