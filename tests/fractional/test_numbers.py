"""A number is a number, whoever made it; data of any size; complex vectors; what pickles and copies."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest

from numsolve.fractional import (
    RieszSplineOperator,
    analyze_symbol,
    good_n,
    optimality,
    problems,
    solve_fractional_diffusion,
    solve_riesz_2d,
    solve_riesz_bvp,
    solve_riesz_eig,
)

KINDS = [2, np.float64(2), np.float32(2), np.int64(2), np.uint8(2), np.array(2.0), np.array(2)]
IDS = [f"{type(kind).__name__} {getattr(kind, 'dtype', '')}" for kind in KINDS]


@pytest.fixture(params=KINDS, ids=IDS)
def two(request):
    return request.param


def same(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-13)


@pytest.mark.parametrize("method", ["auto", "spline", "dense"])
def test_any_two_is_two_in_an_interval(two, method):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = solve_riesz_bvp(2.0, 2.0, reaction=2.0, diffusion=2.0, p=2, n=32, method=method)
        r = solve_riesz_bvp(two, two, reaction=two, diffusion=two, p=two, n=16 * two, method=method)
    same(r(0.3), plain(0.3))


def test_any_two_is_two_in_time_and_in_the_plane(two):
    plain = solve_fractional_diffusion(2.0, 1.5, (0, 2), kappa=2.0, dt=1.0, n=32, theta=1.0)
    r = solve_fractional_diffusion(two, 1.5, (0, two), kappa=two, dt=two / 2, n=16 * two, theta=two / 2)
    same(r.x, plain.x)
    plain = solve_riesz_2d(2.0, 2.0, n=16, p=2, reaction=2.0, diffusion=(2.0, 2.0))
    r = solve_riesz_2d(two, two, n=8 * two, p=two, reaction=two, diffusion=two)
    same(r.x, plain.x)


def test_any_two_is_two_elsewhere(two):
    same(solve_riesz_eig(1.5, two).x, solve_riesz_eig(1.5, 2).x)
    same(problems.eigenvalue_asymptotics(two, 1.5), problems.eigenvalue_asymptotics(2, 1.5))
    assert good_n(50 * two, two) == good_n(100, 2)
    assert analyze_symbol(two, 1.5) == analyze_symbol(2, 1.5)
    A, B = (RieszSplineOperator(8 * k, k, 1.5, interval=(0, k), weights=(1, k)) for k in (2, two))
    same(A.todense(), B.todense())
    x = np.ones(16)
    same(optimality.collocation(x, 1.5, x, two, two, p=two), optimality.collocation(x, 1.5, x, 2.0, 2.0, p=2))


def test_right_hand_sides_of_integers():
    ones = np.ones(101, dtype=np.uint8)
    same(solve_riesz_bvp(ones, 1.5, n=100, p=3).x, solve_riesz_bvp(1.0, 1.5, n=100, p=3, method="spline").x)
    same(solve_riesz_bvp([1] * 101, 1.5, n=100, p=3).x, solve_riesz_bvp(ones, 1.5, n=100, p=3).x)


@pytest.mark.parametrize("name", ["f", "reaction", "diffusion"])
@pytest.mark.parametrize(
    "masked", [np.ma.array([1.0] * 18, mask=True), np.ma.array(1.0, mask=True)], ids=["18", "0-d"]
)
def test_masked_arrays_are_refused(name, masked):
    data = {"f": 1.0, name: masked}
    with pytest.raises(TypeError, match=f"{name} is a masked array"):
        solve_riesz_bvp(data.pop("f"), 1.5, n=17, p=3, method="spline", **data)
    if name != "diffusion":
        data = {"f": 1.0, name: masked}
        with pytest.raises(TypeError, match=f"{name} is a masked array"):
            solve_riesz_2d(data.pop("f"), 1.5, n=17, p=3, **data)


@pytest.mark.parametrize("size", [1e-170, 1e160])
@pytest.mark.parametrize("method", ["spline", "spectral", "dense"])
def test_data_of_any_size(size, method):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        r = solve_riesz_bvp(lambda x: size * np.cos(x), 1.5, n=40, p=3, method=method)
        plain = solve_riesz_bvp(np.cos, 1.5, n=40, p=3, method=method)
        assert r.success
        np.testing.assert_allclose(r.x / size, plain.x, rtol=1e-9, atol=1e-9)
        reacting = solve_riesz_bvp(lambda x: size * np.cos(x), 1.5, n=40, p=3, reaction=np.exp, method=method)
        plain = solve_riesz_bvp(np.cos, 1.5, n=40, p=3, reaction=np.exp, method=method)
    assert reacting.success
    np.testing.assert_allclose(reacting.x / size, plain.x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [1e-170, 1e160])
def test_data_of_any_size_in_time_and_in_the_plane(size):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method in ("dense", "spline"):
            r, plain = (
                solve_fractional_diffusion(
                    lambda x, s=s: s * x * (1 - x), 1.5, (0, 0.1), n=32, p=3, dt=0.02, method=method
                )
                for s in (size, 1.0)
            )
            assert r.success
            np.testing.assert_allclose(r.x / size, plain.x, rtol=1e-8, atol=1e-10)
        r, plain = (solve_riesz_2d(s, 1.5, n=16, method="gmres") for s in (size, 1.0))
    assert r.success
    np.testing.assert_allclose(r.x / size, plain.x, rtol=1e-8)


def test_products_with_complex_vectors_are_complex():
    A = RieszSplineOperator(40, 3, 1.5, weights=(0.3, 0.7))
    D, z = A.todense(), np.exp(1j * np.arange(41.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for got, want in (
            (A @ z, D @ z),
            (A @ z[:, None], (D @ z)[:, None]),
            (A @ np.c_[z, 2 * z], np.c_[D @ z, 2 * D @ z]),
            (A.H @ z, D.T @ z),
            (A.T @ z, D.T @ z),
            (A @ np.arange(41), D @ np.arange(41.0)),
        ):
            assert got.shape == want.shape
            np.testing.assert_allclose(got, want, atol=1e-11 * np.abs(want).max())
        M = A.circulant_preconditioner()
        np.testing.assert_allclose(M @ z, M @ z.real + 1j * (M @ z.imag), rtol=1e-13)
    with pytest.raises(TypeError, match="x is a masked array"):
        A @ np.ma.array(z.real)


def test_operators_and_preconditioners_pickle_and_copy():
    A = RieszSplineOperator(40, 3, 1.5)
    x = np.arange(41.0)
    for operator in (A, A.tau_preconditioner(), A.circulant_preconditioner(2)):
        for again in (copy.copy, copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))):
            np.testing.assert_array_equal(again(operator) @ x, operator @ x)


def test_words_of_others_are_answered():
    with pytest.raises(TypeError, match="no argument 'tol': it is called 'rtol' here"):
        solve_riesz_bvp(1.0, 1.5, tol=1e-6)
    with pytest.raises(TypeError, match="no argument 'D': it is called 'kappa' here"):
        solve_fractional_diffusion(1.0, 1.5, (0, 1), D=1e-6)


@pytest.mark.parametrize("interval", [(0, 1e-60), (0, 1e30), (-1e150, 1e150), (1e8, 1e8 + 1)])
@pytest.mark.parametrize("alpha", [1.2, 2.0])
@pytest.mark.parametrize("method", ["spline", "spectral", "dense"])
def test_intervals_of_any_size(interval, alpha, method):
    a, b = interval
    y = np.array([0.1, 0.3, 0.5, 0.9])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        r = solve_riesz_bvp(1.0, alpha, interval=interval, n=40, p=3, method=method)
        plain = solve_riesz_bvp(1.0, alpha, n=40, p=3, method=method)
        eigen = solve_riesz_eig(alpha, 3, interval=interval)
    assert r.success
    at = a + (b - a) * y
    np.testing.assert_allclose(r(at) * (b - a) ** -alpha, plain(y), rtol=1e-7)
    np.testing.assert_allclose(eigen.x * ((b - a) / 2) ** alpha, solve_riesz_eig(alpha, 3).x, rtol=1e-9)


@pytest.mark.parametrize(("k", "n"), [(1, 4), (1, 5), (2, 4), (5, 10), (20, 40), (20, 80)])
def test_error_estimate_of_few_modes(k, n):
    r, fine = solve_riesz_eig(1.5, k, n=n), solve_riesz_eig(1.5, k, n=300)
    assert r.error_estimate >= np.max(abs(r.x / fine.x - 1))
