"""The test problems are those that the papers and the benchmarks speak of."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from numsolve.transport import problems

rng = np.random.default_rng(5)


def grid_points(shape):
    return np.argwhere(np.ones(shape, dtype=bool)).astype(float)


@pytest.mark.parametrize("shape", [(7,), (4, 5), (2, 3, 4), (1, 6), (1, 1, 2)])
@pytest.mark.parametrize(("p", "metric"), [(2, "sqeuclidean"), (1, "cityblock")])
def test_grid_cost_is_the_distance_between_pixels(shape, p, metric):
    distance = cdist(grid_points(shape), grid_points(shape), metric)
    np.testing.assert_allclose(problems.grid_cost(shape, p), distance / distance.max(), rtol=1e-14)


@pytest.mark.parametrize("p", [0.5, 1, 2, 3.5])
def test_grid_cost_is_a_symmetric_cost_of_range_one(p):
    C = problems.grid_cost((3, 4), p)
    assert np.array_equal(C, C.T)
    assert not C.diagonal().any()
    assert C.max() == 1.0
    assert (C[~np.eye(12, dtype=bool)] > 0).all()


def test_a_grid_of_one_point_costs_nothing():
    assert np.array_equal(problems.grid_cost((1, 1)), [[0.0]])


def test_random_assignment_of_500_is_the_published_setting():
    M, a, b = problems.random_assignment(rng=0)
    assert np.array_equal(M, np.random.default_rng(0).random((500, 500)))
    assert np.array_equal(a, np.full(500, 1 / 500))
    assert np.array_equal(b, a)
    assert not np.shares_memory(a, b)


@pytest.mark.parametrize("make", [problems.random_assignment, problems.clouds])
def test_rng_follows_spec_7(make):
    seeded, again = make(20, rng=3), make(20, rng=3)
    given = make(20, rng=np.random.default_rng(3))
    for x, y, z in zip(seeded, again, given, strict=True):
        assert np.array_equal(x, y)
        assert np.array_equal(x, z)
    assert not np.array_equal(make(20, rng=4)[0], seeded[0])
    assert not np.array_equal(make(20)[0], make(20)[0])


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("n", [2, 101, 500])
def test_densities_follow_their_formulas(n, p):
    from scipy.stats import norm

    M, a, b = problems.densities_1d(n, p)
    t = np.linspace(0, 5, n)
    mixture = 0.2 * norm.pdf(t, 1, 0.2) + 0.8 * norm.pdf(t, 3, 0.5)
    np.testing.assert_allclose(a, np.exp(-t) / np.exp(-t).sum(), rtol=1e-13)
    np.testing.assert_allclose(b, mixture / mixture.sum(), rtol=1e-12)
    np.testing.assert_allclose(M, np.abs(t[:, None] - t) ** p / 5.0**p, rtol=1e-12)


@pytest.mark.parametrize("d", [1, 2, 7])
def test_clouds_lie_where_they_are_said_to(d):
    X_a, X_b = problems.clouds(4000, d, rng=0)
    assert X_a.shape == X_b.shape == (4000, d)
    assert X_a.min() >= 0
    assert X_a.max() <= 1
    # a uniform cloud has mean 1/2 and variance 1/12; the mixture is five spots of deviation 0.05
    np.testing.assert_allclose(X_a.mean(axis=0), 0.5, atol=5 / np.sqrt(12 * 4000))
    np.testing.assert_allclose(X_a.var(axis=0), 1 / 12, rtol=0.1)
    nearest = cdist(X_b, X_b[:200]).min(axis=1)
    assert (nearest < 6 * 0.05 * np.sqrt(d)).all()


def test_image_pair_normalises_the_ink_and_spreads_the_floor():
    first, second = rng.random((3, 5)), rng.random((3, 5))
    M, a, b = problems.image_pair(first, second, p=1, floor=0.1)
    np.testing.assert_allclose(a, 0.9 * first.ravel() / first.sum() + 0.1 / 15, rtol=1e-14)
    np.testing.assert_allclose(b, 0.9 * second.ravel() / second.sum() + 0.1 / 15, rtol=1e-14)
    assert np.array_equal(M, problems.grid_cost((3, 5), 1))


def test_image_pair_without_floor_keeps_its_zeros():
    _, a, b = problems.image_pair(np.eye(3, dtype=int), [[0, 0, 5]] * 3, floor=0)
    np.testing.assert_allclose(a.reshape(3, 3), np.eye(3) / 3)
    assert np.count_nonzero(b) == 3


BAD = {
    "no rows": (lambda: problems.random_assignment(0), ValueError, "n must be an integer at least 1"),
    "half a row": (lambda: problems.random_assignment(2.5), ValueError, "n must be an integer"),
    "legacy rng": (lambda: problems.random_assignment(3, rng=np.random), TypeError, "Generator"),
    "negative seed": (lambda: problems.clouds(3, rng=-1), ValueError, "rng must be"),
    "no dimension": (lambda: problems.clouds(3, 0), ValueError, "d must be an integer at least 1"),
    "empty axis": (lambda: problems.grid_cost((3, 0)), ValueError, "shape must be"),
    "p = 0": (lambda: problems.grid_cost((3,), 0), ValueError, "p must be a finite number above 0"),
    "p = nan": (lambda: problems.densities_1d(5, float("nan")), ValueError, "p must be"),
    "p of words": (lambda: problems.densities_1d(5, "two"), TypeError, "p must be a real number"),
    "one point": (lambda: problems.densities_1d(1), ValueError, "n must be an integer at least 2"),
    "unequal images": (
        lambda: problems.image_pair(np.ones((2, 2)), np.ones((2, 3))),
        ValueError,
        r"b must have shape \(2, 2\), got \(2, 3\)",
    ),
    "negative ink": (lambda: problems.image_pair([[1, -1]], [[1, 1]]), ValueError, "a must be at least 0"),
    "no ink": (lambda: problems.image_pair([[1, 1]], [[0, 0]]), ValueError, "b must have a positive sum"),
    "no image": (lambda: problems.image_pair([[]], [[]]), ValueError, "a is empty"),
    "floor of 2": (lambda: problems.image_pair([[1]], [[1]], floor=2), ValueError, "floor must be"),
    "nan grey": (lambda: problems.image_pair([[np.nan]], [[1]]), ValueError, "a must hold finite numbers"),
}


@pytest.mark.parametrize(("call", "kind", "fragment"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_in_words(call, kind, fragment):
    with pytest.raises(kind, match=fragment):
        call()
