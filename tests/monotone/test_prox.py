"""Projections and proximal maps: sums, optimality, and what is compiled of them."""

from __future__ import annotations

import math
from functools import partial

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from numsolve import monotone
from numsolve.monotone import _cpu_simplex, _cpu_vr
from numsolve.monotone.prox import catalogued, resolvent

VECTORS = arrays(float, st.integers(1, 12), elements=st.floats(-1e3, 1e3))


@given(y=VECTORS, radius=st.floats(0.01, 100))
def test_the_simplex_projection_is_a_point_of_the_simplex_and_optimal(y, radius):
    p = monotone.project_simplex(y, radius)
    assert (p >= 0).all()
    assert p.sum() == pytest.approx(radius, rel=1e-12)
    # (y - p)'(v - p) <= 0 for each vertex v, hence for each point, of the simplex
    gradient = y - p
    assert gradient.max() * radius <= gradient @ p + 1e-8 * (1 + abs(y).max()) * radius
    np.testing.assert_allclose(monotone.project_simplex(p, radius), p, atol=1e-12 * radius)
    q = y.copy()
    _cpu_simplex.project_on_simplex(q, radius)
    np.testing.assert_allclose(q, p, atol=1e-9)


@given(y=VECTORS)
def test_the_sum_is_one_to_rounding(y):
    assert abs(monotone.project_simplex(y / 1e3).sum() - 1) <= 1e-14


def test_simplices_of_one_entry_ties_and_axes():
    np.testing.assert_array_equal(monotone.project_simplex([-7.0], 2.0), [2.0])
    np.testing.assert_array_equal(monotone.project_simplex([3.0, 3.0, 3.0, 3.0]), [0.25] * 4)
    Y = np.random.default_rng(0).normal(size=(3, 4, 5))
    for axis in (0, 1, 2, -2):
        P = monotone.project_simplex(Y, axis=axis)
        expected = np.apply_along_axis(monotone.project_simplex, axis, Y)
        np.testing.assert_allclose(P, expected, atol=1e-15)


@pytest.mark.parametrize("offset", [1e10, -1e10])
def test_a_large_offset_costs_only_the_digits_of_the_input(offset):
    y = np.array([0.5, 0.25, -3.0]) + offset
    p = monotone.project_simplex(y)
    np.testing.assert_allclose(p, monotone.project_simplex(y - offset), atol=1e-12)


@given(v=VECTORS, gamma=st.floats(0.01, 10), weight=st.floats(0, 10))
def test_soft_thresholding_satisfies_its_inclusion(v, gamma, weight):
    u = monotone.prox_l1(v, gamma, weight)
    slope = (v - u) / gamma  # in weight * sign(u)
    assert (abs(slope) <= weight * (1 + 1e-9) + 1e-9 + 1e-12 * abs(v).max() / gamma).all()
    np.testing.assert_allclose(slope[u != 0], weight * np.sign(u[u != 0]), rtol=1e-6, atol=1e-9 / gamma)


@given(y=VECTORS, radius=st.floats(0, 100))
def test_the_ball_and_the_box(y, radius):
    p = monotone.project_l2_ball(y, radius)
    assert np.linalg.norm(p) <= radius * (1 + 1e-12)
    if math.hypot(*y) <= radius:
        np.testing.assert_array_equal(p, y)
    np.testing.assert_array_equal(monotone.project_box(y, -1, radius), np.clip(y, -1, radius))
    np.testing.assert_array_equal(monotone.prox_nonnegative(y), np.maximum(y, 0))


CATALOGUE = {
    "nothing": None,
    "simplex": monotone.project_simplex,
    "large simplex": partial(monotone.project_simplex, radius=5.0),
    "box": partial(monotone.project_box, lower=-0.5, upper=np.array([1.0, 2.0, np.inf, 0.0])),
    "l1": partial(monotone.prox_l1, weight=0.3),
    "ball": partial(monotone.project_l2_ball, radius=0.7),
    "nonnegative": monotone.prox_nonnegative,
}


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_compiled_catalogue_is_the_same(name):
    prox, rng = CATALOGUE[name], np.random.default_rng(0)
    compiled = catalogued(prox, 4)
    for _ in range(20):
        v = 2 * rng.normal(size=4)
        expected = resolvent(prox, np)(v, 0.4)
        _cpu_vr.apply_to(compiled, v, 0.4)
        np.testing.assert_allclose(v, expected, atol=1e-12)


def test_other_functions_are_not_compiled():
    assert catalogued(lambda v, gamma: v, 3) is None
    assert catalogued(partial(monotone.prox_l1, np.zeros(3)), 3) is None
    assert catalogued(partial(monotone.project_simplex, axis=0), 3) is None


def test_arrays_of_other_libraries():
    y = strict.asarray([[0.5, 1.0, -0.3], [2.0, 0.0, 0.0]])
    for f in (
        monotone.project_simplex,
        monotone.project_box,
        monotone.project_l2_ball,
        monotone.prox_l1,
        monotone.prox_nonnegative,
    ):
        out = f(y)
        assert type(out) is type(y)
        np.testing.assert_allclose(np.asarray(out), f(np.asarray(y)), atol=1e-15)
