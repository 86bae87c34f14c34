"""Differential equations before their closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from robustness.frame import Call, Draw, close, dense, sweep

jax = pytest.importorskip("jax")

from numsolve import neural_ode  # noqa: E402


def _decay(t, y, a):
    return jax.tree.map(lambda v: -v if a is None else -a * v, y)  # a list is a pytree


def _plain(t, y):
    return -y


def _noise(t, y, a):
    return jax.tree.map(lambda v: 0.1 * v, y)


def _solution(got, y0, span, rate=1.0):
    y0 = dense(y0)
    length = float(span[1]) - float(span[0])
    truth = y0 * math.exp(-rate * length)
    close(got, truth, 1e-2, 1e-2 * np.abs(y0).max(initial=0) + 1e-5)


def _end(d: Draw, settings: dict) -> float:
    """Backwards too, where no other setting has a direction.

    Not over one where a first step may be given: bosh3's estimate of the decay, -z^3 (1 + z) / 48, is zero.
    """
    return d.pick(1.25, 3.0) if "h0" in settings or "ts" in settings else d.pick(1.0, -1.0)


def odesolve(d: Draw) -> Call:
    def judge(got, f, y0, t_span, params=None, **settings):
        assert np.isfinite(np.asarray(got.y)).all()
        if (
            f is _decay
            and float(settings.get("rtol") or 1e-3) <= 1e-3
            and float(settings.get("atol", 1e-8)) < 1e-3
        ):
            _solution(got.y, y0, t_span, 1.0 if params is None else float(np.asarray(params)))

    settings = d.options(
        method=("tsit5", "dopri5", "bosh3"), rtol=(None, 1e-6), controller=("i", "pi", "pid"),
        max_steps=(256, 3),
        ts=(None, np.array([0.2, 0.7])), norm=("batch", "sample"), adjoint=("discrete", "forward"),
        h0=(None, 0.01),
    )  # fmt: skip
    y0 = d.pick(np.ones(2), np.array([1.0]), np.array([[1.0, 2.0]]), 1.0)
    if settings.get("norm") == "sample":
        y0 = np.atleast_1d(y0)  # one number has no axis of samples
    return Call(
        neural_ode.odesolve,
        (_decay, y0, (0.0, _end(d, settings)), d.pick(None, 2.0)),
        settings,
        judge,
        partial=True,
    )


def sdesolve(d: Draw) -> Call:
    def judge(got, f, g, y0, t_span, params=None, **settings):
        assert np.isfinite(np.asarray(got.y)).all()

    settings = d.options(method=("sosri", "euler"), rtol=(1e-2, 1e-3), max_steps=(256, 3))
    settings |= {"key": jax.random.key(d.size(0, 9))}
    if settings.get("method") == "euler":
        settings |= {"controller": "fixed", "h0": 0.05}
    return Call(
        neural_ode.sdesolve,
        (_decay, _noise, np.ones(2), (0.0, 1.0)),
        settings,
        judge,
        keep=("key",),
        partial=True,
    )


def heuristics(d: Draw) -> Call:
    def judge(got, fun, t_span, y0, rtol=1e-6, atol=1e-8, **_):
        if fun is _plain and float(rtol) <= 1e-3 and float(atol) <= 1e-3:
            _solution(got.y, y0, t_span)

    settings = d.options(
        method=("tsit5", "dopri5", "bosh3"), rtol=(1e-6, 1e-3), atol=(1e-8, 1e-12),
        controller=("i", "pi", "pid"),
        maxiter=(None, 0, 1, 500),
    )  # fmt: skip
    y0 = d.rng().standard_normal(d.pick((2,), (1,), (2, 2)))
    args = (_plain, (0.0, _end(d, settings)), y0)
    return Call(neural_ode.heuristics, args, settings | {"time_limit": 3.0}, judge, partial=True)


def ExponentialDecay(d: Draw) -> Call:
    def judge(got, start, stop, n):
        close(got(0), float(start), 1e-6)
        close(got(int(n)), float(stop), 1e-3, 1e-200)

    args = (d.pick(1.0, 10.0), d.pick(0.1, 1e-3), d.pick(10, 1, 1000))
    return Call(neural_ode.ExponentialDecay, args, {}, judge)


def CostTarget(d: Draw) -> Call:
    def judge(got, **settings):
        assert got.low <= got.start <= got.high

    settings = d.pick({"attempts": 20.0}, {"nfev": 100.0})
    return Call(
        neural_ode.CostTarget,
        (),
        settings | d.options(start=(1e-3, 1.0), rate=(0.05, 0.5), band=(0.1,)),
        judge,
    )


def steer_end(d: Draw) -> Call:
    def judge(got, key, t_span, b):
        assert float(got[0]) == pytest.approx(float(t_span[0]))
        assert abs(float(got[1]) - float(t_span[1])) <= float(b) * (1 + 1e-5) + 1e-6

    args = (jax.random.key(d.size(0, 99)), (0.0, d.pick(1.0, 5.0)), d.pick(0.5, 0.1, 0.0))
    return Call(neural_ode.steer_end, args, {}, judge)


def steer_times(d: Draw) -> Call:
    def judge(got, key, ts, t_span):
        got = np.asarray(got)
        assert np.isfinite(got).all()
        assert (np.diff(got) >= 0).all()
        assert got.shape == np.shape(ts)

    ts = np.sort(d.rng().uniform(0.0, 1.0, d.size(1, 5)))
    return Call(neural_ode.steer_times, (jax.random.key(d.size(0, 99)), ts, (0.0, 1.0)), {}, judge)


def brownian_path(d: Draw) -> Call:
    def judge(got, key, y0, t_span, ts):
        assert jax.tree.structure(got) == jax.tree.structure(y0)  # a list is one of scalars
        for path, start in zip(jax.tree.leaves(got), jax.tree.leaves(y0), strict=True):
            assert np.isfinite(np.asarray(path)).all()
            assert np.shape(path) == (len(ts), *np.shape(start))

    ts = np.sort(d.rng().uniform(0.0, 1.0, d.size(1, 5)))
    return Call(
        neural_ode.brownian_path, (jax.random.key(d.size(0, 99)), np.ones(2), (0.0, 1.0), ts), {}, judge
    )


calls = {
    f.__name__: f
    for f in (
        odesolve, sdesolve, heuristics, ExponentialDecay, CostTarget, steer_end, steer_times, brownian_path
    )
}  # fmt: skip
TestNeuralOde = sweep(
    "neural_ode",
    calls,
    without=dict.fromkeys(
        ("cost_penalty", "error_penalty", "stiffness_penalty", "local_penalty"), "of a solution"
    )
    | {
        "taylor_dynamics": "it takes functions alone, and is judged in the area's own tests",
        "train": "it takes functions alone; odesolve is what it calls",
    },
    seldom=("odesolve", "sdesolve", "brownian_path"),
)
