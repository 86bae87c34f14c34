"""Shapes, dtypes, ``out=``, ``where=``, threads, and what is refused."""

from __future__ import annotations

from fractions import Fraction

import numba
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from numsolve import special

RNG = np.random.default_rng(0)
FUNCTIONS = [
    special.log_iv,
    special.log_kv,
    special.log_ive,
    special.log_kve,
    special.iv_ratio,
    special.kv_ratio,
]


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_a_value_does_not_depend_on_its_neighbours(f):
    """Any layout, any number of threads, any part of the array: the same floats."""
    v, x = RNG.uniform(0, 60, (250, 200)), RNG.uniform(0, 60, (250, 1))
    whole = f(v, x)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert_array_equal(f(v, x), whole)
    finally:
        numba.set_num_threads(before)
    assert_array_equal(f(v.T, x.T).T, whole)
    assert_array_equal(f(v[::-3, ::7], x[::-3]), whole[::-3, ::7])
    assert_array_equal([f(v[i, 0], x[i, 0]) for i in range(5)], whole[:5, 0])


def test_scalars_and_dtypes():
    assert isinstance(special.log_iv(1, 2), np.float64)
    assert special.log_iv(np.float32(1), np.float32(2)).dtype == np.float32
    assert special.log_iv(np.ones(3, np.float32), 2.0).dtype == np.float32
    assert special.log_iv(np.ones(3, np.float32), np.ones(3)).dtype == np.float64
    assert special.log_iv(np.ones(3, int), [1, 2, 3]).dtype == np.float64
    assert special.log_iv(np.ones((0, 3)), np.ones(3)).shape == (0, 3)
    v, x = RNG.uniform(0, 60, 100).astype(np.float32), np.float32(3)
    assert_array_equal(special.log_kv(v, x), special.log_kv(v.astype(float), 3.0).astype(np.float32))
    assert special.log_kv_grad(v, x)[2].dtype == np.float32


def test_numbers_of_any_kind():
    """Python's integers and fractions of any size, and either order of bytes."""
    assert special.log_iv(10**30, Fraction(1, 2)) == special.log_iv(1e30, 0.5)
    v = RNG.uniform(0, 60, 5).astype(">f4")
    assert special.log_iv(v, v).dtype == np.float32
    assert_array_equal(special.log_iv(v, v), special.log_iv(v.astype("f4"), v.astype("f4")))


def test_out_may_be_an_argument():
    v, x = RNG.uniform(0, 60, (2, 30_000))
    want = special.log_iv(v, x)
    for wrong in (v.copy(), x.copy()):
        args = (wrong, x) if wrong[0] == v[0] else (v, wrong)
        assert special.log_iv(*args, out=wrong) is wrong
        assert_array_equal(wrong, want)
    turned = v.copy()
    special.log_iv(turned[::-1], x, out=turned)
    assert_array_equal(turned, special.log_iv(v[::-1], x))
    single = np.empty(30_000, np.float32)
    assert_array_equal(special.log_iv(v, x, out=single), want.astype(np.float32))


def test_where_leaves_the_others_alone():
    v = np.arange(4.0)
    out = np.full((2, 4), 7.0)
    mask = np.array([True, False, True, False])
    special.log_iv(v, [[1.0], [2.0]], out=out, where=mask)
    assert_array_equal(out[:, ~mask], 7.0)
    assert_array_equal(out[:, mask], special.log_iv(v[mask], [[1.0], [2.0]]))
    assert_array_equal(np.isnan(special.log_kv(v, 1.0, where=mask)), ~mask)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: special.log_iv(1j, 1), TypeError, "v is complex"),
        (lambda: special.log_iv(1, np.ones(2, complex)), TypeError, "x is complex"),
        (lambda: special.log_iv("one", 1), TypeError, "v has dtype"),
        (lambda: special.log_iv(None, 1), TypeError, "v"),
        (lambda: special.log_iv(np.ones(2), np.ones(3)), ValueError, "v, x must have shapes that broadcast"),
        (lambda: special.log_iv([[1], [1, 2]], 3), ValueError, "v must be a rectangular array"),
        (lambda: special.log_iv(10**400, 3), ValueError, "v must hold numbers in the range"),
        (lambda: special.log_iv(np.ma.ones(2), 1), TypeError, "v is a masked array"),
        (lambda: special.log_iv(np.ones(2), 1, out=np.ones(3)), ValueError, "out must have the shape"),
        (lambda: special.log_iv(np.ones(2), 1, out=np.ones(2, int)), TypeError, "out must hold real floats"),
        (lambda: special.log_iv(np.ones(2), 1, out=[1.0, 2.0]), TypeError, "out must be a NumPy array"),
        (lambda: special.log_iv(np.ones(2), 1, out=np.broadcast_to(1.0, 2)), ValueError, "read-only"),
        (lambda: special.log_iv(np.ones(2), 1, where=[1, 0]), TypeError, "where must be True, False"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
