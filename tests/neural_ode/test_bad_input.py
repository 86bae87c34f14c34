"""What is refused, and in which words; and the plain loop on other array libraries."""

# ruff: noqa: E402
from __future__ import annotations

import warnings

import array_api_strict as xp
import numpy as np
import pytest

jax = pytest.importorskip("jax")
jnp = jax.numpy

from numsolve import PrecisionWarning, neural_ode
from numsolve.neural_ode import brownian_path, heuristics, odesolve, sdesolve

Y = np.ones(2)
SPAN = (0.0, 1.0)
KEY = jax.random.key(0)


def f(t, y, p):
    return -y


def solve(**settings):
    return odesolve(f, Y, SPAN, **settings)


def noisy(**settings):
    return sdesolve(f, f, Y, SPAN, **{"key": KEY, **settings})


def plain(**settings):
    return heuristics(lambda t, y: -y, SPAN, Y, **settings)


#: name: (call, exception, a fragment of its message)
BAD = {
    "no span": (lambda: odesolve(f, Y, (1.0, 1.0)), ValueError, "t_span must have two different ends"),
    "infinite span": (lambda: odesolve(f, Y, (0.0, np.inf)), ValueError, r"t_span\[1\] must be a finite"),
    "one time": (lambda: odesolve(f, Y, 1.0), ValueError, "t_span must be a pair"),
    "negative rtol": (lambda: solve(rtol=-1.0), ValueError, "rtol"),
    "no tolerance": (lambda: solve(rtol=0.0, atol=0.0), ValueError, "must not both be 0"),
    "nan atol": (lambda: solve(atol=np.nan), ValueError, "atol"),
    "no steps": (lambda: solve(max_steps=0), ValueError, "max_steps must be an integer at least 1"),
    "more steps than memory": (lambda: solve(max_steps=10**10), ValueError, "max_steps must be .* at most"),
    "no checkpoint": (lambda: solve(checkpoint=0), ValueError, "checkpoint"),
    "SciPy's times": (lambda: solve(t_eval=[0.5]), TypeError, "called 'ts' here"),
    "diffrax's step": (lambda: solve(dt0=0.1), TypeError, "called 'h0' here"),
    "SciPy's step": (lambda: plain(first_step=0.1), TypeError, "called 'h0' here"),
    "events": (lambda: plain(events=[f]), TypeError, "scipy.integrate.solve_ivp has them"),
    "method": (lambda: solve(method="RK45"), ValueError, 'is "dopri5" here'),
    "stiff method": (lambda: solve(method="BDF"), ValueError, "see diffrax"),
    "controller": (lambda: solve(controller="h211b"), ValueError, "'i', 'pi', 'pid', 'fixed'"),
    "two coefficients": (lambda: solve(controller=(0.1, 0.2)), ValueError, "three coefficients"),
    "norm": (lambda: solve(norm="max"), ValueError, "norm must be one of"),
    "adjoint": (lambda: solve(adjoint="direct"), ValueError, "'discrete', 'backsolve'"),
    "backsolve by sample": (
        lambda: odesolve(f, np.ones((2, 2)), SPAN, norm="sample", adjoint="backsolve"),
        ValueError,
        'needs norm="batch"',
    ),
    "dense without all states": (
        lambda: solve(dense=True, checkpoint=2),
        ValueError,
        "checkpoint must be 1 with dense=True",
    ),
    "interpolation without all states": (
        lambda: solve(adjoint="interpolating", checkpoint=2),
        ValueError,
        'checkpoint must be 1 with dense=True or adjoint="interpolating"',
    ),
    "a derivative in time with noise": (
        lambda: jax.grad(lambda t1: sdesolve(f, f, Y, (0.0, t1), key=KEY).y[0])(1.0),
        TypeError,
        "sdesolve has no derivative in t_span or ts",
    ),
    "a derivative in saved times with noise": (
        lambda: jax.jit(jax.grad(lambda t: noisy(ts=t[None]).y[0]))(0.5),
        TypeError,
        "sdesolve has no derivative in t_span or ts",
    ),
    "fixed without a step": (lambda: solve(controller="fixed"), ValueError, "needs h0"),
    "step the wrong way": (lambda: solve(h0=-0.1), ValueError, "h0 must point from t0 to t1"),
    "unsorted times": (lambda: solve(ts=[0.5, 0.2]), ValueError, "ts must be sorted"),
    "times outside": (lambda: solve(ts=[0.5, 2.0]), ValueError, "ts must lie in t_span"),
    "no times": (lambda: solve(ts=[]), ValueError, "ts"),
    "no function": (lambda: odesolve(3, Y, SPAN), TypeError, "f must be callable"),
    "structure": (
        lambda: odesolve(lambda t, y, p: (y, y), Y, SPAN),
        ValueError,
        "f must return the structure of y0",
    ),
    "shape": (
        lambda: odesolve(lambda t, y, p: y[:1], Y, SPAN),
        ValueError,
        r"f must return shape \(2,\), that of y0; it returns \(1,\)",
    ),
    "dtype": (
        lambda: odesolve(lambda t, y, p: y.astype("float32"), Y, SPAN),
        ValueError,
        "f must return float64, the type of the state; it returns float32",
    ),
    "empty start": (lambda: odesolve(f, np.ones(0), SPAN), ValueError, "y0 must not be empty"),
    "no start": (lambda: odesolve(f, (), SPAN), ValueError, "y0 must hold at least one array"),
    "complex start": (lambda: odesolve(f, 1j * Y, SPAN), TypeError, "y0 is complex"),
    "words": (lambda: odesolve(f, "start", SPAN), TypeError, "y0 must hold numbers"),
    "start with a nan": (lambda: odesolve(f, np.array([1, np.nan]), SPAN), ValueError, "y0 must hold finite"),
    "no common axis": (
        lambda: odesolve(f, (np.ones(2), np.ones(3)), SPAN, norm="sample"),
        ValueError,
        "needs a common leading axis",
    ),
    "weights": (lambda: solve(error_weight=(1.0, 0.0)), ValueError, "error_weight must have a number"),
    "weights of zero": (lambda: solve(error_weight=0.0), ValueError, "error_weight must not be 0 everywhere"),
    "truth": (lambda: odesolve(f, True, SPAN), TypeError, "y0 must hold numbers, got True"),
    "STEER without a key": (lambda: neural_ode.steer_end(3, SPAN, 0.5), TypeError, "key must be a key"),
    "times without a key": (
        lambda: neural_ode.steer_times(None, [0.5], SPAN),
        TypeError,
        "key must be a key",
    ),
    "no key": (lambda: noisy(key="key"), TypeError, "key must be a key of jax.random"),
    "many keys": (lambda: noisy(key=jax.random.split(KEY)), ValueError, "key must be a single key"),
    "shape of g": (
        lambda: sdesolve(f, lambda t, y, p: jnp.ones((2, 2)), Y, SPAN, key=KEY),
        ValueError,
        "g must return shape",
    ),
    "kind of noise": (lambda: noisy(noise="general"), ValueError, "noise must be one of 'diagonal'"),
    "noise of half precision": (
        lambda: sdesolve(f, f, np.ones(2, np.float16), SPAN, key=KEY),
        TypeError,
        "y0 has dtype float16, .* give float32",
    ),
    "a path of half precision": (
        lambda: brownian_path(KEY, np.ones(2, np.float16), SPAN, [0.5]),
        TypeError,
        "y0 has dtype float16",
    ),
    "backwards noise": (lambda: sdesolve(f, f, Y, (1.0, 0.0), key=KEY), ValueError, "t_span must grow"),
    "Euler without a step": (lambda: noisy(method="euler"), ValueError, "fixed steps need h0"),
    "Euler below the grid": (
        lambda: noisy(method="euler", h0=1e-7),
        ValueError,
        "h0 must be at least the span over 2\\^20",
    ),
    "Euler with control": (
        lambda: noisy(method="euler", controller="pi", h0=0.1),
        ValueError,
        "has no error estimate",
    ),
    "STEER beyond": (
        lambda: neural_ode.steer_end(KEY, SPAN, 1.0),
        ValueError,
        "b must be less than the span",
    ),
    "order of Taylor": (lambda: neural_ode.taylor_dynamics(f, 0), ValueError, "order"),
    "decay to zero": (lambda: neural_ode.ExponentialDecay(1.0, 0.0, 3), ValueError, "stop"),
    "two budgets": (
        lambda: neural_ode.CostTarget(attempts=3, nfev=4),
        ValueError,
        "one of attempts and nfev",
    ),
    "plain method": (lambda: plain(method="rk4"), ValueError, "method must be one of"),
    "plain shape": (
        lambda: heuristics(lambda t, y: y[:1], SPAN, Y),
        ValueError,
        "fun must return shape",
    ),
    "plain slope complex": (
        lambda: heuristics(lambda t, y: 1j * y, SPAN, Y),
        TypeError,
        "fun must return real numbers, it returns complex128",
    ),
    "plain words": (lambda: heuristics(lambda t, y: ["a"], SPAN, Y), TypeError, "fun must return an array"),
    "plain span": (lambda: heuristics(lambda t, y: y, 3, Y), ValueError, "t_span must be a pair"),
    "plain complex": (lambda: heuristics(lambda t, y: y, SPAN, 1j * Y), TypeError, "y0 is complex"),
}


@pytest.mark.parametrize("name", BAD)
def test_refused(name):
    call, error, message = BAD[name]
    with pytest.raises(error, match=message):
        call()


def test_a_penalty_of_bosh3_for_stiffness_is_refused():
    sol = plain(method="bosh3")
    with pytest.raises(ValueError, match="has no estimate of stiffness"):
        neural_ode.stiffness_penalty(sol)
    with pytest.raises(ValueError, match="reduce must be one of"):
        neural_ode.error_penalty(sol, "median")


def test_a_tolerance_below_rounding_warns():
    """The published setting of the digits in single precision."""
    with pytest.warns(PrecisionWarning, match="below 100 roundings of float32"):
        odesolve(f, Y.astype(np.float32), SPAN, rtol=1.4e-8, method="bosh3", controller="fixed", h0=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solve(rtol=1e-8, method="bosh3", controller="fixed", h0=0.5)


@pytest.mark.parametrize("method", ["tsit5", "dopri5", "bosh3"])
def test_any_array_library_gives_the_same(method):
    """`array_api_strict` has the functions of the standard and nothing else."""
    y0 = np.array([[2.0, 0.0], [0.5, 1.0]])

    def fun(t, y, lib=np):
        return lib.stack([y[:, 1], (1 - y[:, 0] ** 2) * y[:, 1] - y[:, 0]], axis=1)

    ours = heuristics(fun, (0.0, 3.0), y0, method=method)
    other = heuristics(lambda t, y: fun(t, y, xp), (0.0, 3.0), xp.asarray(y0), method=method)
    assert other.x.__array_namespace__() is xp
    assert other.nfev == ours.nfev
    assert np.allclose(other.h, ours.h, rtol=1e-9)
    assert np.allclose(np.from_dlpack(other.x), ours.x, rtol=1e-12)


def test_a_plain_solve_runs_backwards_and_fails_with_nan():
    there = heuristics(lambda t, y: y * np.cos(t), (0.0, 2.0), np.ones(1), rtol=1e-9, atol=1e-9)
    back = heuristics(lambda t, y: y * np.cos(t), (2.0, 0.0), there.x, rtol=1e-9, atol=1e-9)
    assert float(back.x[0]) == pytest.approx(1.0, rel=1e-6)
    assert (back.h < 0).all()
    with pytest.warns(match="smaller than the spacing"):
        assert np.isnan(heuristics(lambda t, y: y * y, (0.0, 2.0), np.ones(1)).x).all()


def test_a_function_may_reuse_its_output_and_change_its_input():
    buffer = np.empty(2)

    def fun(t, y):
        buffer[:] = -y
        y[:] = np.nan
        return buffer

    clean = heuristics(lambda t, y: -y, SPAN, Y)
    assert np.array_equal(heuristics(fun, SPAN, Y).x, clean.x)
    assert np.array_equal(Y, np.ones(2))


def test_pictures_and_words_of_a_result():
    import matplotlib.pyplot as plt

    sol = plain()
    assert {line.get_label() for line in sol.plot().get_lines()} >= {"step size"}
    plt.close("all")
    assert "naccepted" in repr(sol)
    with pytest.raises(ValueError, match="dense output"):
        sol(0.5)


@pytest.mark.parametrize("kind", [">f8", ">f4", "longdouble", "f2", ">i4", "u1"])
def test_numbers_of_every_kind_are_taken_in_params_and_y0(kind):
    """y' = -2 y from 1 ends at exp(-2), whatever the bytes of its numbers."""
    rate, start = np.full(2, 2, dtype=kind), np.ones(2, dtype=kind)
    sol = odesolve(lambda t, y, p: -(p * y), jnp.ones(2), (0.0, 1.0), rate)
    np.testing.assert_allclose(sol.y, np.exp(-2.0), rtol=1e-4)
    if kind != "f2":  # a state in half precision is one
        sol = odesolve(lambda t, y, p: -(p * y), start, (0.0, 1.0), rate[0])
        np.testing.assert_allclose(sol.y, np.exp(-2.0), rtol=1e-4)


def test_arrays_of_words_steer_python_code():
    """What is no number is handed to f as it is."""
    names = np.array(["decay", "growth"])
    sol = odesolve(
        lambda t, y, p: -y if p["names"][0] == "decay" else y, jnp.ones(2), (0.0, 1.0), {"names": names}
    )
    np.testing.assert_allclose(sol.y, np.exp(-1.0), rtol=1e-4)


@pytest.mark.parametrize("span", [(0.0, 1e-150), (0.0, 1e39), (1e39, 1e39 + 1e30)])
def test_a_span_beyond_the_type_of_the_state_is_refused(span):
    """In single precision its length is zero or infinite: a success would be the start itself."""
    start = np.ones(2, dtype=np.float32)
    with pytest.raises(ValueError, match=r"t_span = .* is beyond float32"):
        odesolve(lambda t, y, p: -y / span[1], start, span)


@pytest.mark.parametrize("start", [2**70, 10**400, [1.0, 2**70]])
def test_an_integer_that_jax_cannot_hold_is_refused_by_name(start):
    with pytest.raises(ValueError, match="y0 has the integer 1.* give a float"):
        odesolve(lambda t, y, p: y, start, (0.0, 1.0))
    with pytest.raises(ValueError, match="y0 has the integer 1.* give a float"):
        brownian_path(jax.random.key(0), start, (0.0, 1.0), [0.5])


@pytest.mark.parametrize("name", ["rtol", "atol", "h0"])
def test_a_setting_beyond_the_type_of_the_state_is_refused(name):
    """It would be infinite there, with a warning of NumPy's."""
    start, size = np.ones(2, dtype=np.float32), {name: 1e300}
    with pytest.raises(ValueError, match=rf"{name} = 1e\+300 is beyond float32"):
        odesolve(lambda t, y, p: -y, start, (0.0, 1.0), **size)
    with pytest.raises(ValueError, match=rf"{name} = 1e\+300 is beyond float32"):
        sdesolve(lambda t, y, p: -y, lambda t, y, p: y, start, (0.0, 1.0), key=jax.random.key(0), **size)


def test_a_start_beyond_the_type_of_the_state_is_refused():
    """The number 1e150 beside one of single precision, with no warning of NumPy's."""
    start = {"a": np.ones(2, dtype=np.float16), "b": np.full(2, 1e5)}
    with jax.enable_x64(False), pytest.raises(ValueError, match=r"y0 has numbers up to 1e\+150"):
        odesolve(lambda t, y, p: y, start | {"b": np.full(2, 1e150)}, (0.0, 1.0))


class Recording:
    """Like a tensor of torch that records what is done with it."""

    requires_grad, ndim, shape, dtype = True, 1, (2,), np.dtype(float)

    def __array__(self, *_, **__):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")


@pytest.mark.parametrize("name", ["y0", "params", "ts"])
def test_a_tensor_that_records_is_refused_by_name(name):
    """Its derivatives would be lost."""
    given = {"y0": jnp.ones(2), "params": 1.0, "ts": None} | {name: Recording()}
    with pytest.raises(TypeError, match=rf"{name} is a Recording that records derivatives"):
        odesolve(lambda t, y, p: -y, given["y0"], (0.0, 1.0), given["params"], ts=given["ts"])


def test_an_array_of_objects_among_the_parameters_is_refused_by_name():
    given = {"a": np.array([1.0, None], dtype=object)}
    with pytest.raises(TypeError, match="params must hold arrays of numbers, got an array of objects"):
        odesolve(lambda t, y, p: -y * p["a"], jnp.ones(2), (0.0, 1.0), given)
