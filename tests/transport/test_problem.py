"""The door of the column changes the form of a problem and nothing of its mathematics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numsolve.transport._problem import prepare

INF = float("inf")


def example(seed=0, n=5, m=7, mass=1.0):
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0.1, 1, n), rng.uniform(0.1, 1, m)
    return rng.random((n, m)), mass * a / a.sum(), mass * b / b.sum()


def gibbs(M, f, g, reg):
    """The plan that belongs to a pair of potentials, in the caller's terms."""
    with np.errstate(invalid="ignore"):
        return np.exp((f[:, None] + g - M) / reg)


@pytest.mark.parametrize("mass", [1e-6, 1.0, 3.7, 1e6])
def test_the_reduced_weights_are_positive_with_sum_one(mass):
    M, a, b = example(mass=mass)
    a[2], b[[0, 6]] = 0, 0
    b *= a.sum() / b.sum()
    p = prepare(M, a, b, 0.1)
    for weights, original in ((p.a, a), (p.b, b)):
        assert (weights > 0).all()
        assert weights.sum() == pytest.approx(1, rel=1e-15)
        np.testing.assert_allclose(weights, original[original > 0] / original.sum(), rtol=1e-15)
    assert np.array_equal(p.M, M[np.ix_(a > 0, b > 0)])
    assert p.mass == pytest.approx(a.sum(), rel=1e-15)


def test_weights_left_out_are_uniform():
    M = example()[0]
    for nothing in (None, [], ()):
        p = prepare(M, nothing, nothing, 0.1)
        np.testing.assert_allclose(p.a, 1 / 5, rtol=1e-15)
        np.testing.assert_allclose(p.b, 1 / 7, rtol=1e-15)


def test_the_arrays_of_the_caller_are_neither_written_nor_copied_without_need():
    M, a, b = example()
    kept = M.copy(), a.copy(), b.copy()
    p = prepare(M, a, b, 0.1)
    assert np.shares_memory(p.M, M)
    prepare(M + 1e3, a, b, 0.1)
    assert all(np.array_equal(x, y) for x, y in zip((M, a, b), kept, strict=True))


@pytest.mark.parametrize("shift", [1e3, -1e3, 1e6, 0.0])
@pytest.mark.parametrize("mass", [1.0, 2e-3, 4e4])
def test_plans_of_the_reduced_potentials_are_plans_of_the_returned_ones(shift, mass):
    M, a, b = example(mass=mass)
    a[1], b[3] = 0, 0
    b *= a.sum() / b.sum()
    reg = 0.3
    p = prepare(M + shift, a, b, reg)
    rng = np.random.default_rng(1)
    f, g = rng.normal(size=p.a.size), rng.normal(size=p.b.size)
    P = gibbs(p.M, f, g, p.reg)

    full = p.plan(P.copy())
    F, G = p.potentials((f, g))
    np.testing.assert_allclose(full, gibbs(M + shift, F, G, reg), rtol=1e-15 * (30 + abs(shift) / reg))
    assert F[1] == -INF
    assert G[3] == -INF
    assert not full[1].any()
    assert not full[:, 3].any()
    assert full.sum() == pytest.approx(a.sum() * P.sum())


@pytest.mark.parametrize("shift", [0.0, -7.0, 1e4])
def test_the_start_undoes_the_potentials(shift):
    M, a, b = example(mass=5.0)
    a[1], b[3] = 0, 0
    b *= a.sum() / b.sum()
    p = prepare(M + shift, a, b, 0.3)
    rng = np.random.default_rng(1)
    f, g = rng.normal(size=p.a.size), rng.normal(size=p.b.size)
    back = p.start(p.potentials((f, g)))
    np.testing.assert_allclose(back[0], f, atol=1e-15 * (10 + abs(shift)))
    np.testing.assert_allclose(back[1], g, atol=1e-15)
    assert not np.any(p.start()[0])
    assert not np.any(p.start()[1])


@pytest.mark.parametrize("forbidden", [False, True])
@pytest.mark.parametrize("shift", [0.0, -3.0, 50.0])
@pytest.mark.parametrize("mass", [1.0, 1e-3, 20.0])
def test_values_are_those_of_the_plan(forbidden, shift, mass):
    M, a, b = example(mass=mass)
    M = M + shift
    if forbidden:
        M[0, 1] = M[3, 3] = INF
    reg = 0.2
    p = prepare(M, a, b, reg)
    rng = np.random.default_rng(2)
    f, g = rng.normal(size=5), rng.normal(size=7)
    reduced = gibbs(p.M, f, g, reg)
    P = p.plan(reduced.copy())
    value = p.values(reduced, f, g)

    on = P > 0
    cost = np.sum(P[on] * M[on])
    entropy = np.sum(P[on] * (np.log(P[on]) - 1))
    kl = np.sum(P[on] * np.log(P[on] / np.outer(a, b)[on]))
    assert value["value_linear"] == pytest.approx(cost, rel=1e-12)
    assert value["value"] == pytest.approx(cost + reg * entropy, rel=1e-11, abs=1e-12 * P.sum())
    assert value["kl"] == pytest.approx(kl, rel=1e-11)


def test_an_offset_is_taken_off_only_where_it_eats_digits():
    M = example()[0]
    assert prepare(M, None, None, 0.1).up == 0
    assert prepare(M - 0.5, None, None, 0.1).up == 0
    assert prepare(M + 1e6, None, None, 0.1).up == pytest.approx(1e6 + M.min())
    assert prepare(M - 1e6, None, None, 0.1).up == pytest.approx(-1e6 + M.min())
    constant = prepare(np.full((3, 4), 7.0), None, None, 0.1)
    assert constant.up == 7
    assert not constant.M.any()


def test_what_rows_and_columns_have_in_common_is_taken_off_where_it_is_nearly_all():
    M, rows, columns = example()[0], 1e6 * np.arange(5), 1e7 * np.arange(7)
    large = M + rows[:, None] + columns
    p = prepare(large, None, None, 0.1)
    assert p.range <= 3 * np.ptp(M)
    np.testing.assert_allclose(p.M + p.up[:, None] + p.over, large, rtol=1e-15)
    assert prepare(large, None, None, 1e4).up is not p.up  # where reg is as large, nothing is to be gained
    f, g = p.potentials((np.zeros(5), np.zeros(7)))
    again = p.start((f, g))
    np.testing.assert_allclose(again[0], 0, atol=1e-9)
    np.testing.assert_allclose(again[1], 0, atol=1e-9)


def test_masses_may_differ_by_rounding_and_not_by_more():
    M, a, b = example()
    p = prepare(M, a, b * (1 + 9e-7), 0.1)
    assert p.b.sum() == pytest.approx(1, rel=1e-15)
    with pytest.raises(ValueError, match="same sum, got 1 and 1.0000011"):
        prepare(M, a, b * (1 + 1.1e-6), 0.1)


@pytest.mark.parametrize(
    ("M", "kind"),
    [
        ([[0, 1], [1, 0]], np.float64),
        (np.array([[True, False], [False, True]]), np.float64),
        (np.array([[0, 200], [100, 0]], dtype=np.uint8), np.float64),
        (np.array([[0, 1], [1, 0]], dtype=np.float16), np.float64),
        (np.array([[0, 1], [1, 0]], dtype=np.float32), np.float32),
    ],
)
def test_numbers_of_any_real_type_are_taken(M, kind):
    p = prepare(M, [1, 1], [1, 1], 1)
    assert p.M.dtype == p.a.dtype == p.b.dtype == kind
    assert np.array_equal(p.M, np.asarray(M, dtype=kind))


def test_pairs_may_be_forbidden_as_long_as_each_point_keeps_one():
    M = np.array([[0.0, INF], [INF, 1.0]])
    p = prepare(M, None, None, 0.1)
    assert p.forbidden
    assert p.range == 1
    M[1, 1] = INF
    with pytest.raises(ValueError, match="every pair of row 1"):
        prepare(M, None, None, 0.1)
    with pytest.raises(ValueError, match="every pair of column 1"):
        prepare([[0.0, INF], [1.0, INF]], None, None, 0.1)
    # without weight the row plays no part, and its costs neither
    assert prepare(M, [1, 0], [1, 0], 0.1).M.shape == (1, 1)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("reg", [100.0, 1.0, 0.05])
def test_the_rounding_level_is_what_potentials_of_finite_precision_can_reach(dtype, reg):
    # Potentials exact to double the precision, rounded: the error of their plan is what rounding leaves.
    M = example(n=40, m=40)[0].astype(dtype)
    wide = M.astype(np.longdouble)
    f, g = np.zeros(40, np.longdouble), np.zeros(40, np.longdouble)
    for _ in range(1000):
        f += reg * (np.log(1 / np.longdouble(40)) - np.log(gibbs(wide, f, g, reg).sum(axis=1)))
        g += reg * (np.log(1 / np.longdouble(40)) - np.log(gibbs(wide, f, g, reg).sum(axis=0)))
    P = gibbs(M, f.astype(dtype), g.astype(dtype), dtype(reg))
    assert P.dtype == dtype
    error = np.abs(P.sum(axis=1) - dtype(1 / 40)).sum() + np.abs(P.sum(axis=0) - dtype(1 / 40)).sum()
    level = prepare(M, None, None, reg).rounding
    assert 0.002 * level < error < level


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_less_than_half_the_digits_is_no_rounding_level(dtype):
    M = example()[0].astype(dtype)
    assert prepare(M, None, None, 1e-12).rounding == np.sqrt(np.finfo(dtype).eps)


weights = st.lists(st.sampled_from([0.0, 0.0, 1e-30, 0.1, 0.25, 1.0, 7.0]), min_size=1, max_size=6).filter(
    lambda w: sum(w) > 1e-3
)


@given(a=weights, b=weights, seed=st.integers(0, 99), mass=st.sampled_from([1e-6, 1.0, 1e6]))
def test_what_is_taken_out_comes_back_at_its_place(a, b, seed, mass):
    a, b = mass * np.array(a) / sum(a), mass * np.array(b) / sum(b)
    M = np.random.default_rng(seed).random((a.size, b.size))
    p = prepare(M, a, b, 0.5)
    P = np.outer(p.a, p.b)
    np.testing.assert_allclose(p.plan(P.copy()), np.outer(a, b) / mass, rtol=1e-13, atol=0)
    f, g = p.potentials((p.a, p.b))
    assert np.array_equal(np.isneginf(f), a == 0)
    assert np.array_equal(np.isneginf(g), b == 0)


BAD = {
    "nothing": ([[0.0, 1.0]], None, None, {"x": 1}, TypeError, "reg must be a real number"),
    "one potential": ([[0.0, 1.0]], None, None, ([0.0],), ValueError, "must be a pair"),
    "an array": ([[0.0, 1.0]], None, None, np.zeros((2, 1)), ValueError, "must be a pair"),
    "short f": (
        [[0.0], [1.0]],
        None,
        None,
        ([0.0], [0.0]),
        ValueError,
        r"potentials_init\[0\] must have shape \(2,\), got \(1,\)",
    ),
    "long g": ([[0.0], [1.0]], None, None, ([0.0, 0.0], [0.0, 0.0]), ValueError, r"potentials_init\[1\]"),
    "nan in g": (
        [[0.0]],
        None,
        None,
        ([0.0], [np.nan]),
        ValueError,
        r"potentials_init\[1\] must hold finite",
    ),
    "-inf at a weight": (
        [[0.0], [1.0]],
        None,
        None,
        ([-INF, 0.0], [0.0]),
        ValueError,
        r"potentials_init\[0\] must hold finite numbers, got -inf at index 0",
    ),
}


@pytest.mark.parametrize(("M", "a", "b", "start", "kind", "fragment"), BAD.values(), ids=BAD.keys())
def test_bad_starts_are_refused_in_words(M, a, b, start, kind, fragment):
    with pytest.raises(kind, match=fragment):
        prepare(M, a, b, start if isinstance(start, dict) else 0.1).start(start)
