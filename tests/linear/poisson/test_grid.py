"""The matrix of a grid: what it is, and what is refused."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numsolve import linear


def by_definition(flags, spacing, faces):
    """A u of (1), cell by cell, with u = 0 in open cells."""
    shape, number = flags.shape, {}
    for i in np.ndindex(shape):
        if flags[i] == 0:
            number[i] = len(number)
    A = np.zeros((len(number),) * 2)
    for i, row in number.items():
        for axis in range(len(shape)):
            for step in (-1, 1):
                j = tuple(x + step * (a == axis) for a, x in enumerate(i))
                if not 0 <= j[axis] < shape[axis] or flags[j] == 1:
                    continue
                k = 1.0 if faces is None else faces[axis][min(i, j)]
                w = k / spacing[axis] ** 2
                A[row, row] += w
                if flags[j] == 0:
                    A[row, number[j]] -= w
    return A


@given(seed=st.integers(0, 10**6), three=st.booleans(), varied=st.booleans())
@settings(max_examples=12)
def test_the_operator_is_the_matrix_of_the_definition(seed, three, varied):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 5 if three else 8, 3 if three else 2))
    flags = rng.choice([0, 1, 2], size=shape, p=[0.7, 0.2, 0.1])
    spacing, faces = tuple(rng.uniform(0.5, 2.0, len(shape))), None
    if varied:
        faces = [rng.uniform(0.1, 9, [n - (a == k) for a, n in enumerate(shape)]) for k in range(len(shape))]
    A = linear.GridPoisson(flags, spacing=spacing, face_coefficients=faces)
    expected = by_definition(flags, spacing, faces)
    np.testing.assert_allclose(A.to_csr().toarray(), expected, rtol=1e-13, atol=1e-13)
    if A.n:
        v = rng.normal(size=A.n)
        np.testing.assert_allclose(A @ v, expected @ v, rtol=1e-10, atol=1e-10)
        np.testing.assert_array_equal(A.pack(A.unpack(v)), v)
        zeros = int(np.sum(np.linalg.eigvalsh(expected) < 1e-9))
        assert zeros == A.closed().size
        assert A.is_singular == (zeros > 0)


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 2)])
def test_an_open_frame_gives_the_matrix_of_pyamgs_gallery(shape):
    pyamg = pytest.importorskip("pyamg")
    flags = np.full([n + 2 for n in shape], 2)
    flags[(slice(1, -1),) * len(shape)] = 0
    difference = linear.GridPoisson(flags).to_csr() - pyamg.gallery.poisson(shape)
    assert abs(difference).max() == 0.0


def test_components_are_counted():
    flags = np.zeros((5, 5), dtype=int)
    flags[2], flags[4, 4] = 1, 2
    A = linear.GridPoisson(flags)
    assert (A.n_components, A.is_singular, A.n) == (2, True, 19)
    labels, count = A.components()
    assert count == 2
    assert A.closed() == labels[0, 0]


def test_grids_and_preconditioners_are_pickled():
    A = linear.GridPoisson(linear.problems.random_obstacles((20, 20), 3, rng=0), spacing=(1.0, 2.0))
    M = linear.poisson_multigrid(A)
    v = np.arange(A.n, dtype=float)
    for thing in (A, M):
        assert np.array_equal(pickle.loads(pickle.dumps(thing)) @ v, thing @ v)


GOOD = np.zeros((4, 4), dtype=int)
OPEN_END = np.zeros((4, 4), dtype=int)
OPEN_END[:, -1] = 2


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: linear.GridPoisson(np.zeros(4, dtype=int)), ValueError, "2-D or 3-D"),
        (lambda: linear.GridPoisson(np.full((3, 3), 3)), ValueError, r"got 3 at index \(0, 0\)"),
        (lambda: linear.GridPoisson(np.full((3, 3), -1)), ValueError, "got -1"),
        (lambda: linear.GridPoisson(np.full((3, 3), 256)), ValueError, "got 256"),
        (lambda: linear.GridPoisson(np.zeros((3, 3))), TypeError, "integers"),
        (lambda: linear.GridPoisson(np.ma.zeros((3, 3), dtype=int)), TypeError, "masked"),
        (lambda: linear.GridPoisson(GOOD, spacing=0.0), ValueError, "spacing"),
        (lambda: linear.GridPoisson(GOOD, spacing=(1.0,)), ValueError, "spacing"),
        (lambda: linear.GridPoisson(GOOD, spacing=(1.0, -1.0)), ValueError, r"spacing\[1\]"),
        (lambda: linear.GridPoisson(GOOD, face_coefficients=[np.ones((3, 4))]), ValueError, "2 arrays"),
        (
            lambda: linear.GridPoisson(GOOD, face_coefficients=[np.ones((4, 4))] * 2),
            ValueError,
            r"face_coefficients\[0\] must have shape",
        ),
        (
            lambda: linear.GridPoisson(GOOD, face_coefficients=[np.zeros((3, 4)), np.ones((4, 3))]),
            ValueError,
            "positive",
        ),
        (lambda: linear.poisson_multigrid(GOOD, n_smooth=0), ValueError, "n_smooth"),
        (lambda: linear.poisson_multigrid(GOOD, dtype="float16"), ValueError, "dtype"),
        (lambda: linear.GridPoisson([[0, 2], [0]]), ValueError, "flags must have rows of one length"),
        (
            lambda: linear.GridPoisson(np.eye(3, dtype=int).view(np.matrix)),
            TypeError,
            "flags is a numpy.matrix",
        ),
        (
            lambda: linear.solve_poisson(
                OPEN_END, np.zeros(OPEN_END.shape), boundary_values=1e-300, spacing=1e100
            ),
            ValueError,
            "boundary_values are too small for this spacing",
        ),
        (
            lambda: linear.solve_poisson(OPEN_END, np.ones(OPEN_END.shape), boundary_values=True),
            TypeError,
            "boundary_values must be numbers, got True",
        ),
        (
            lambda: linear.solve_poisson(OPEN_END, np.ones(OPEN_END.shape).view(np.matrix)),
            TypeError,
            "b is a numpy.matrix",
        ),
        (lambda: linear.poisson_multigrid(OPEN_END).refit(np.zeros((3, 3), int)), ValueError, "shape"),
        (lambda: linear.solve_poisson(OPEN_END, np.ones(5)), ValueError, r"\(4, 4\).*\(5,\)"),
        (lambda: linear.solve_poisson(OPEN_END, np.full((4, 4), np.nan)), ValueError, r"b must hold finite"),
        (lambda: linear.solve_poisson(OPEN_END, np.ones((4, 4)) * 1j), TypeError, "complex"),
        (lambda: linear.solve_poisson(OPEN_END, np.ones((4, 4)), np.ones(12)), ValueError, "x0"),
        (lambda: linear.solve_poisson(OPEN_END, np.ones((4, 4)), method="amg"), ValueError, "method"),
        (lambda: linear.solve_poisson(OPEN_END, np.ones((4, 4)), tol=1e-8), TypeError, "rtol"),
        (
            lambda: linear.solve_poisson(OPEN_END, np.ones((4, 4)), boundary_values=np.ones(3)),
            ValueError,
            "boundary_values",
        ),
        (lambda: linear.solve_poisson(GOOD, np.ones((4, 4))), ValueError, "of 16 unknowns .* the sum is 16"),
        (
            lambda: linear.solve_poisson(GOOD, np.ones((4, 4)), method="cg"),
            ValueError,
            "of 16 unknowns .* the sum is 16",
        ),
        (
            lambda: linear.solve_poisson(linear.GridPoisson(GOOD), np.ones((4, 4)), spacing=2.0),
            TypeError,
            "spacing",
        ),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
