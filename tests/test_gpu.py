"""CuPy arrays through the plain array code of each column, on a device, beside NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from numsolve import atomic, bilevel, implicit, linear, neural_ode, sketch

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def cupy():
    library = pytest.importorskip("cupy")
    try:
        library.cuda.runtime.getDeviceCount()
    except library.cuda.runtime.CUDARuntimeError:
        pytest.skip("no CUDA device")
    return library


@pytest.mark.parametrize("cond", [1e2, 1e8, 1e14])
def test_least_squares(cupy, cond):
    A, b = sketch.problems.ill_conditioned(1000, 20, cond, rng=11)
    r = sketch.lstsq(cupy.asarray(A), cupy.asarray(b), rng=0)
    assert r.success
    assert isinstance(r.x, cupy.ndarray)
    residual = np.linalg.norm(b - A @ cupy.asnumpy(r.x))
    assert residual <= np.linalg.norm(b - A @ np.linalg.lstsq(A, b)[0]) * (1 + 1e-8) + 1e-13


def test_bilevel(cupy):
    quadratic = bilevel.problems.quadratic(30, 4, rng=0)
    H, B, d, b = (cupy.asarray(v) for v in (quadratic.H, quadratic.B, quadratic.d, quadratic.b))
    problem = bilevel.BilevelProblem(
        lambda x, t: 0.5 * cupy.sum((x - b) ** 2) + 0.05 * cupy.sum(t**2),
        lambda x, t: 0.5 * cupy.sum(x * (H @ x)) - cupy.sum(x * (B @ t + d)),
        upper_grad=lambda x, t: (x - b, 0.1 * t),
        lower_grad=lambda x, t: H @ x - B @ t - d,
        lower_hvp=lambda x, t, v: H @ v,
        lower_cross_vjp=lambda x, t, q: -(B.T @ q),
        mu=0.1,
    )
    best = bilevel.minimize_bilevel(problem, np.zeros(4), cupy.zeros(30), tol=1e-6)
    assert best.success
    assert_allclose(cupy.asnumpy(best.theta), quadratic.solution()[0], atol=1e-5)


def test_samples_of_a_potential(cupy):
    r = np.geomspace(1e-6, 60, 1200)
    V = atomic.problems.model_ion(20, 3)(r)
    other = atomic.solve_radial_schroedinger((cupy.asarray(r), cupy.asarray(V)), 0, 2, Z=20)
    assert_allclose(other.energies, atomic.solve_radial_schroedinger((r, V), 0, 2, Z=20).energies)


@pytest.mark.parametrize("shape", [(24, 32), (8, 16, 8)])
def test_learned_directions(cupy, shape):
    rng = np.random.default_rng(0)
    r, flags = rng.standard_normal(shape), rng.integers(0, 3, shape)
    dcdm, npsd = linear.DCDMNet(len(shape), rng=0), linear.NPSDNet(len(shape), n_levels=2, rng=0)
    ours = dcdm(r), npsd.on(flags)(r)
    theirs = dcdm(cupy.asarray(r)), npsd.on(cupy.asarray(flags))(cupy.asarray(r))
    for own, other in zip(ours, theirs, strict=True):
        assert_allclose(cupy.asnumpy(other), own, rtol=1e-4, atol=1e-4 * abs(own).max())


def test_deep_conjugate_directions(cupy):
    A, b = linear.problems.laplacian(20).toarray(), np.ones(400)
    ours = linear.dcdm(A, b, lambda v: v, rtol=1e-6)
    theirs = linear.dcdm(cupy.asarray(A), cupy.asarray(b), lambda v: v, rtol=1e-6)
    assert_allclose(cupy.asnumpy(theirs.x), ours.x, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("method", ["tsit5", "dopri5", "bosh3"])
def test_heuristics_of_a_solve(cupy, method):
    y0 = np.array([[2.0, 0.0], [0.5, 1.0]])

    def fun(t, y, lib=np):
        return lib.stack([y[:, 1], (1 - y[:, 0] ** 2) * y[:, 1] - y[:, 0]], axis=1)

    ours = neural_ode.heuristics(fun, (0.0, 3.0), y0, method=method)
    other = neural_ode.heuristics(lambda t, y: fun(t, y, cupy), (0.0, 3.0), cupy.asarray(y0), method=method)
    assert other.nfev == ours.nfev
    assert_allclose(cupy.asnumpy(other.x), ours.x, rtol=1e-10)


@pytest.mark.parametrize("solve", ["dense", "gmres", "cg"])
def test_derivatives_of_solutions(cupy, solve):
    A = linear.problems.laplacian(6).toarray()
    A, b = cupy.asarray(A), cupy.ones(36)
    x = cupy.linalg.solve(A, b)
    (db,) = implicit.root_vjp(lambda x, b: A @ x - b, x, (b,), cupy.ones(36), solve=solve)
    assert_allclose(cupy.asnumpy(db), cupy.asnumpy(cupy.linalg.solve(A, cupy.ones(36))), rtol=1e-6)
