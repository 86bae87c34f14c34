"""Argument checks: what passes, and that a refusal says which argument, what came and what is wanted."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import array_api_strict
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse.linalg import aslinearoperator

from numsolve._core import checks

NAN, INF = math.nan, math.inf
STRICT = array_api_strict


def strict(values, **settings):
    return STRICT.asarray(values, **settings)


def beside(column):
    """A matrix of two columns with an entry in another one, which SciPy lets pass."""
    A = sp.csr_array([[1.0, 2.0]])
    A.indices[1] = column
    return A


# -- bad input: what is called, the exception, and a fragment of its message ------------------------

BAD = {
    # numbers
    "real: text": (lambda: checks.real("tol", "0.1"), TypeError, "tol must be a real number, got '0.1'"),
    "real: bool": (lambda: checks.real("tol", True), TypeError, "tol must be a real number"),
    "real: numpy bool": (lambda: checks.real("tol", np.True_), TypeError, "tol must be a real number"),
    "real: none": (lambda: checks.real("tol", None), TypeError, "got None of type NoneType"),
    "real: complex": (lambda: checks.real("tol", 1j), TypeError, "tol must be a real number"),
    "real: numpy complex": (lambda: checks.real("tol", np.array(1j)), TypeError, "tol must be a real number"),
    "real: strict complex": (lambda: checks.real("tol", strict(1j)), TypeError, "tol must be a real number"),
    "real: array": (lambda: checks.real("tol", np.array([0.5])), TypeError, "of type ndarray"),
    "real: list": (lambda: checks.real("tol", [0.5]), TypeError, "of type list"),
    "real: ragged": (lambda: checks.real("tol", [[1], [1, 2]]), TypeError, "tol must be a real number"),
    "real: huge": (lambda: checks.real("tol", 10**400), TypeError, "tol must be a real number"),
    "real: nan": (lambda: checks.real("tol", NAN), ValueError, "tol must be a finite number, got nan"),
    "real: inf": (lambda: checks.real("tol", INF), ValueError, "tol must be a finite number, got inf"),
    "real: -inf": (lambda: checks.real("tol", -INF, infinite=True), ValueError, "must be a number, got -inf"),
    "real: nan, inf allowed": (lambda: checks.real("tol", NAN, infinite=True), ValueError, "got nan"),
    "real: low": (lambda: checks.real("tol", -1, low=0), ValueError, "number at least 0, got -1"),
    "real: open low": (lambda: checks.real("p", 0, low=0, open_low=True), ValueError, "above 0, got 0"),
    "real: high": (lambda: checks.real("p", 3, low=0, high=2), ValueError, "at least 0 and at most 2, got 3"),
    "real: open high": (lambda: checks.real("p", 2, high=2, open_high=True), ValueError, "below 2, got 2"),
    "integer: fraction": (lambda: checks.integer("n", 2.5), ValueError, "n must be an integer, got 2.5"),
    "integer: nan": (lambda: checks.integer("n", NAN), ValueError, "n must be an integer, got nan"),
    "integer: inf": (lambda: checks.integer("n", INF), ValueError, "n must be an integer, got inf"),
    "integer: bool": (lambda: checks.integer("n", True), TypeError, "n must be an integer, got True"),
    "integer: numpy bool": (lambda: checks.integer("n", np.False_), TypeError, "n must be an integer"),
    "integer: text": (lambda: checks.integer("n", "3"), TypeError, "got '3' of type str"),
    "integer: none": (lambda: checks.integer("n", None), TypeError, "got None of type NoneType"),
    "integer: array": (lambda: checks.integer("n", np.array([3])), TypeError, "of type ndarray"),
    "integer: complex": (lambda: checks.integer("n", 3 + 0j), TypeError, "n must be an integer"),
    "integer: low": (
        lambda: checks.integer("n", 0, low=1),
        ValueError,
        "n must be an integer at least 1, got 0",
    ),
    "integer: huge": (
        lambda: checks.integer("n", 10**400),
        ValueError,
        "n must be an integer of at most 64 bits",
    ),
    "integer: huge float": (
        lambda: checks.integer("n", 1e300),
        ValueError,
        "n must be an integer of at most",
    ),
    "integer: high": (lambda: checks.integer("n", 9, high=4), ValueError, "at most 4, got 9"),
    "choice: unknown": (
        lambda: checks.choice("method", "lu", ("cg", "sor")),
        ValueError,
        "method must be one of 'cg', 'sor'; got 'lu'",
    ),
    "choice: no text": (lambda: checks.choice("method", [], ("cg",)), ValueError, r"one of 'cg'; got \[\]"),
    "choice: none": (lambda: checks.choice("method", None, ("cg",)), ValueError, "got None"),
    "function: number": (
        lambda: checks.function("jac", 3),
        TypeError,
        "jac must be callable, got 3 of type int",
    ),
    "function: none": (lambda: checks.function("jac", None), TypeError, "jac must be callable"),
    "rng: legacy": (
        lambda: checks.generator(np.random.RandomState(0)),
        TypeError,
        "not the legacy RandomState",
    ),
    "rng: module": (lambda: checks.generator(np.random), TypeError, "not the legacy RandomState"),
    "rng: negative": (lambda: checks.generator(-1), ValueError, "rng must be None, a non-negative int"),
    "rng: fraction": (lambda: checks.generator(1.5), TypeError, "rng must be .* got 1.5"),
    "rng: text": (lambda: checks.generator("seed"), TypeError, "rng must be .* got 'seed'"),
    # arrays
    "array: none": (lambda: checks.array("x", None), TypeError, "x must be an array, got None"),
    "array: complex": (lambda: checks.array("x", [1j]), TypeError, "x is complex"),
    "array: complex, dtype": (lambda: checks.array("x", [1j], dtype=float), TypeError, "x is complex"),
    "array: strict complex": (lambda: checks.array("x", strict([1j]), xp=STRICT), TypeError, "x is complex"),
    "array: text": (lambda: checks.array("x", ["a"]), TypeError, "x has dtype <U1; real numbers are wanted"),
    "array: objects": (lambda: checks.array("x", [object()]), TypeError, "x has dtype object"),
    "array: ragged": (lambda: checks.array("x", [[1], [1, 2]]), ValueError, "x is not a rectangular array"),
    "array: ragged, in our words": (
        lambda: checks.array("x", [[1], [1, 2]]),
        ValueError,
        r"^x is not a rectangular array of numbers, got \[\[1\], \[1, 2\]\]$",
    ),
    "array: sparse": (
        lambda: checks.array("x", sp.eye_array(3)),
        TypeError,
        "x must be a dense array, got <",
    ),
    "array: operator": (
        lambda: checks.array("x", aslinearoperator(np.eye(2))),
        TypeError,
        "x must be a dense array, got <2x2 .*LinearOperator",
    ),
    "array: 2-D": (
        lambda: checks.array("x", [[1]], ndim=1),
        ValueError,
        r"x must be 1-D, got .* shape \(1, 1\)",
    ),
    "array: 0-D": (
        lambda: checks.array("x", 1, ndim=(1, 2)),
        ValueError,
        r"x must be 1-D or 2-D, got .* \(\)",
    ),
    "array: shape": (
        lambda: checks.array("x", np.ones((2, 3)), shape=(None, 2)),
        ValueError,
        r"x must have shape \(any, 2\), got \(2, 3\)",
    ),
    "array: shape's axes": (
        lambda: checks.array("x", [1], shape=(1, 1)),
        ValueError,
        r"shape \(1, 1\), got \(1,\)",
    ),
    "array: empty": (
        lambda: checks.array("x", np.ones((0, 3)), empty=False),
        ValueError,
        r"x is empty \(shape \(0, 3",
    ),
    "array: nan": (
        lambda: checks.array("x", [1, 2, NAN, INF]),
        ValueError,
        "x must hold finite numbers, got nan at index 2",
    ),
    "array: nan 2-D": (
        lambda: checks.array("x", [[1, 2, 3], [4, INF, NAN]]),
        ValueError,
        r"finite numbers, got inf at index \(1, 1\)",
    ),
    "array: nan 0-D": (lambda: checks.array("x", NAN), ValueError, "finite numbers, got nan"),
    "array: inf - inf": (lambda: checks.array("x", [0, INF, -INF]), ValueError, "got inf at index 1"),
    "array: -inf": (
        lambda: checks.array("x", [INF, 1, -INF], allow_inf=True),
        ValueError,
        r"x must hold numbers or \+inf, got -inf at index 2",
    ),
    "array: nan, +inf allowed": (
        lambda: checks.array("x", [[INF, 1], [NAN, 1]], allow_inf=True),
        ValueError,
        r"got nan at index \(1, 0\)",
    ),
    "array: float32 nan": (
        lambda: checks.array("x", np.array([1, NAN], dtype=np.float32)),
        ValueError,
        "got nan at index 1",
    ),
    "array: strict nan": (
        lambda: checks.array("x", strict([[1.0, 2.0], [NAN, 3.0]]), xp=STRICT),
        ValueError,
        r"got nan at index \(1, 0\)",
    ),
    "array: low": (
        lambda: checks.array("x", [3, -1, -2], low=0),
        ValueError,
        "x must be at least 0 everywhere, got -2 .first at index 1",
    ),
    "array: strict low": (
        lambda: checks.array("x", strict([[3.0, 0.5]]), xp=STRICT, low=1),
        ValueError,
        r"at least 1 everywhere, got 0.5 .first at index \(0, 1\)",
    ),
    "masses: negative": (
        lambda: checks.masses("a", [0.5, -0.1]),
        ValueError,
        "a must be at least 0 everywhere",
    ),
    "masses: zero": (
        lambda: checks.masses("a", [0, 0]),
        ValueError,
        "a must have a positive sum, got all zeros",
    ),
    "masses: empty": (lambda: checks.masses("a", []), ValueError, "positive sum, got an empty vector"),
    "masses: inf": (lambda: checks.masses("a", [1, INF]), ValueError, "a must hold finite numbers"),
    "masses: 2-D": (lambda: checks.masses("a", [[1, 1]]), ValueError, "a must be 1-D"),
    "masses: length": (lambda: checks.masses("a", [1, 1], length=3), ValueError, r"a must have shape \(3,\)"),
    # sparse matrices
    "csr: 1-D": (lambda: checks.csr("A", [1, 2]), ValueError, "A must be 2-D"),
    "csr: sparse 1-D": (lambda: checks.csr("A", sp.coo_array([1.0, 0])), ValueError, "A must be a matrix"),
    "csr: not square": (
        lambda: checks.csr("A", sp.eye_array(2, 3), square=True),
        ValueError,
        r"A must be a square matrix, got shape \(2, 3\)",
    ),
    "csr: dense not square": (
        lambda: checks.csr("A", np.ones((2, 3)), square=True),
        ValueError,
        "square matrix",
    ),
    "csr: a column too many": (lambda: checks.csr("A", beside(3)), ValueError, "indices from 0 to 1, got 3"),
    "csr: a negative column": (
        lambda: checks.csr("A", beside(-1)),
        ValueError,
        "indices from 0 to 1, got -1",
    ),
    "csr: complex": (lambda: checks.csr("A", sp.eye_array(2) * 1j), TypeError, "A is complex"),
    "csr: operator": (
        lambda: checks.csr("A", aslinearoperator(np.eye(2))),
        TypeError,
        "A is a linear operator",
    ),
    "csr: other library": (
        lambda: checks.csr("A", strict([[1.0]])),
        TypeError,
        "A is a array_api_strict array",
    ),
    "csr: none": (lambda: checks.csr("A", None), TypeError, "A must be an array, got None"),
    "csr: text": (lambda: checks.csr("A", "A"), TypeError, "A has dtype <U1"),
    "csr: nan": (
        lambda: checks.csr("A", sp.csr_array([[0, NAN]])),
        ValueError,
        "A must hold finite numbers, got nan in row 0, column 1",
    ),
    # what a user's function returned
    "output: shape": (
        lambda: checks.output("fun", [1, 2], shape=(3,)),
        ValueError,
        r"the result of fun must have shape \(3,\), got \(2,\)",
    ),
    "output: none": (
        lambda: checks.output("fun", None, shape=()),
        TypeError,
        "the result of fun must be an array",
    ),
    "output: complex": (
        lambda: checks.output("fun", [1j], shape=(1,)),
        TypeError,
        "the result of fun is complex",
    ),
    "output: nan": (
        lambda: checks.output("V", [1, 2, NAN, INF], shape=(4,), points=[0.1, 0.2, 0.3, 0.4]),
        ValueError,
        r"V returned nan .entry index 2. at the point .*0\.3.*; finite numbers are wanted",
    ),
    "output: points in the plane": (
        lambda: checks.output("f", [1, -INF], shape=(2,), points=[[1, 2], [3, 4]]),
        ValueError,
        r"f returned -inf .entry index 1. at the point \[3, 4\]",
    ),
    "output: several values a point": (
        lambda: checks.output("f", [[1, 2], [3, NAN]], shape=(2, 2), points=[7.5, 8.5]),
        ValueError,
        r"f returned nan .entry index \(1, 1\). at the point .*8\.5",
    ),
    "output: scalar": (lambda: checks.output("f", INF, shape=()), ValueError, "f returned inf"),
}


@pytest.mark.parametrize(("call", "error", "message"), BAD.values(), ids=BAD)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_messages_stay_short():
    for call in (lambda: checks.real("tol", list(range(10**5))), lambda: checks.function("jac", "x" * 10**5)):
        with pytest.raises(TypeError) as caught:
            call()
        assert len(str(caught.value)) < 150


# -- numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [2, 2.0, np.float32(2), np.int8(2), np.array(2.0), Fraction(2), Decimal(2), strict(2.0)]
)
def test_real_numbers_of_any_kind_become_floats(value):
    number = checks.real("tol", value, low=2.0, high=2.0)
    assert type(number) is float
    assert number == 2.0


def test_plus_infinity_only_on_request():
    assert checks.real("radius", INF, infinite=True) == INF
    assert checks.real("radius", np.inf, low=0.0, open_low=True, infinite=True) == INF


@pytest.mark.parametrize("value", [3, 3.0, np.int64(3), np.uint8(3), np.float64(3.0), np.array(3), strict(3)])
def test_integers_of_any_kind_become_ints(value):
    number = checks.integer("n", value, low=3, high=3)
    assert type(number) is int
    assert number == 3


def test_choices_and_functions_pass_through():
    assert checks.choice("method", "cg", {"cg": 1, "sor": 2}) == "cg"
    assert checks.function("jac", abs) is abs
    assert checks.function("jac", None, optional=True) is None


def test_generators():
    rng = np.random.default_rng(5)
    assert checks.generator(rng) is rng
    for seed in (5, np.int64(5), np.random.SeedSequence(5), np.random.PCG64(5)):
        assert checks.generator(seed).integers(10**9) == np.random.default_rng(5).integers(10**9)
    assert checks.generator(None).integers(10**9) != checks.generator(None).integers(10**9)


# -- arrays ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_good_array_is_not_copied(dtype):
    x = np.ones((2, 3), dtype=dtype)
    assert checks.array("x", x, ndim=(1, 2), shape=(None, 3), low=0.0) is x


@pytest.mark.parametrize(
    "value", [[1, 2], (1, 2), np.array([1, 2], dtype=np.uint8), [True, True], np.float16([1, 2])]
)
def test_numbers_become_float64(value):
    x = checks.array("x", value)
    assert x.dtype == np.float64
    np.testing.assert_array_equal(x, np.asarray(value, dtype=float))


def test_a_dtype_may_be_asked_for():
    assert checks.array("x", [1, 2], dtype=np.float32).dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1000,), (10, 100)])
def test_huge_numbers_are_finite_though_their_sum_is_not(dtype, shape):
    x = np.full(shape, np.finfo(dtype).max)
    assert checks.array("x", x) is x
    y = np.where(np.arange(x.size).reshape(shape) % 2, x, -x)
    assert checks.array("x", y) is y
    assert checks.masses("a", x.ravel()).sum(dtype=np.longdouble) > 0
    checks.csr("A", np.atleast_2d(x))


@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(max_dims=3, max_side=4),
        elements=st.sampled_from([0.0, 1.0, -1e308, 1e308, NAN, INF, -INF]),
    ),
    st.booleans(),
)
def test_the_first_bad_entry_is_named(x, allow_inf):
    bad = np.isnan(x) | (np.isneginf(x) if allow_inf else np.isinf(x))
    if not bad.any():
        assert checks.array("x", x, allow_inf=allow_inf) is x
        return
    where = tuple(int(k) for k in np.argwhere(bad)[0])
    with pytest.raises(ValueError, match="x must hold") as caught:
        checks.array("x", x, allow_inf=allow_inf)
    shown = where[0] if len(where) == 1 else where
    assert str(caught.value).endswith(f"got {x[where]} at index {shown}")


def test_empty_arrays_pass_unless_they_may_not():
    assert checks.array("x", np.ones((0, 3)), low=0.0).shape == (0, 3)


def test_what_is_not_finite_passes_if_nobody_asks():
    assert np.isnan(checks.array("x", [NAN], check_finite=False)).all()
    assert checks.array("x", [INF, 1], allow_inf=True)[0] == INF


def test_other_array_libraries_stay_what_they_are():
    x = strict([1.0, 2.0], dtype=STRICT.float32)
    out = checks.array("x", x, xp=STRICT, ndim=1, low=0.0)
    assert type(out) is type(x)
    assert out.dtype == STRICT.float32
    assert checks.array("x", [1, 2], xp=STRICT).dtype == STRICT.float64
    assert checks.array("x", strict([1, 2]), xp=STRICT).dtype == STRICT.float64
    assert checks.array("x", strict([INF]), xp=STRICT, allow_inf=True)[0] == INF
    assert checks.masses("a", x, xp=STRICT) is not None


def test_masses_need_not_sum_to_one():
    np.testing.assert_array_equal(checks.masses("a", [0, 3, 1], length=3), [0.0, 3.0, 1.0])
    assert checks.masses("a", [5e-324])[0] > 0.0


# -- sparse matrices -------------------------------------------------------------------------------


def untidy(cls=sp.csr_array, dtype=float):
    """A CSR matrix with unsorted indices and a duplicate."""
    data = np.array([3, 1, 2, 4, 4], dtype=dtype)
    return cls((data, np.array([2, 0, 1, 0, 0]), np.array([0, 2, 3, 5])), shape=(3, 3))


DENSE = np.array([[1.0, 0.0, 3.0], [0.0, 2.0, 0.0], [8.0, 0.0, 0.0]])

MATRICES = {
    "untidy": untidy,
    "untidy spmatrix": lambda: untidy(sp.csr_matrix),
    "untidy int": lambda: untidy(dtype=np.int32),
    "untidy float32": lambda: untidy(dtype=np.float32),
    "unsorted": lambda: sp.csr_array(
        (np.array([3.0, 1, 2, 8]), np.array([2, 0, 1, 0]), np.array([0, 2, 3, 4])), shape=(3, 3)
    ),
    "tidy": lambda: sp.csr_array(DENSE),
    "coo with duplicates": lambda: sp.coo_array(
        ([3.0, 1, 2, 4, 4], ([0, 0, 1, 2, 2], [2, 0, 1, 0, 0])), shape=(3, 3)
    ),
    "csc": lambda: sp.csc_matrix(DENSE),
    "csc with duplicates": lambda: sp.csc_array(untidy().T).T,
    "transposed": lambda: sp.csc_array(DENSE.T).T,
    "bsr": lambda: sp.bsr_array(DENSE),
    "dia": lambda: sp.dia_array(DENSE),
    "lil": lambda: sp.lil_matrix(DENSE),
    "dok": lambda: sp.dok_array(DENSE),
    "dense": DENSE.copy,
    "dense int": lambda: DENSE.astype(np.int64),
    "dense bool": lambda: DENSE > 0,
    "dense fortran": lambda: np.asfortranarray(DENSE),
    "list": DENSE.tolist,
}


def parts(A):
    names = ("data", "indices", "indptr", "row", "col", "coords", "offsets", "rows")
    found = {name: np.copy(getattr(A, name)) for name in names if hasattr(A, name) and sp.issparse(A)}
    return (
        found or {"array": np.copy(A)}
        if not isinstance(A, sp.dok_array)
        else {"items": np.array([(*at, value) for at, value in sorted(A.items())])}
    )


@pytest.mark.parametrize("make", MATRICES.values(), ids=MATRICES)
def test_csr_is_canonical_and_the_callers_matrix_is_untouched(make):
    A = make()
    before, dtype = parts(A), getattr(A, "dtype", None)
    out = checks.csr("A", A, square=True)
    assert isinstance(out, sp.csr_array)
    assert out.dtype == (np.float32 if dtype == np.float32 else np.float64)
    np.testing.assert_array_equal(
        out.toarray(), DENSE > 0 if dtype is not None and dtype.kind == "b" else DENSE
    )
    for row in range(3):
        columns = out.indices[out.indptr[row] : out.indptr[row + 1]]
        assert (np.diff(columns) > 0).all()
    after = parts(A)
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)


def test_a_canonical_matrix_is_not_copied():
    A = sp.csr_array(DENSE)
    assert np.shares_memory(checks.csr("A", A).data, A.data)


def test_csr_lets_nan_pass_if_nobody_asks():
    assert np.isnan(checks.csr("A", [[NAN]], check_finite=False).data).all()


# -- what a user's function returned ---------------------------------------------------------------


def test_output_becomes_an_array_of_floats():
    out = checks.output("f", [1, 2], shape=(2,))
    assert out.dtype == np.float64
    assert checks.output("f", np.float32([1, 2]), shape=(2,)).dtype == np.float32
    assert checks.output("f", 3, shape=()).shape == ()


@pytest.mark.parametrize(("row", "column"), [(0, 1), (2, 0), (3, 3)])
@pytest.mark.parametrize("form", ["csr", "coo", "csc"])
def test_csr_names_the_place_of_a_bad_entry(row, column, form):
    A = np.diag([1.0, 2.0, 3.0, 4.0])
    A[row, column] = np.nan
    with pytest.raises(
        ValueError, match=rf"A must hold finite numbers, got nan in row {row}, column {column}"
    ):
        checks.csr("A", sp.coo_array(A).asformat(form))


@pytest.mark.parametrize("form", ["csr", "csc", "bsr"])
def test_sound_sparse_matrices_pass(form):
    A = sp.random_array((6, 4), density=0.5, rng=0)
    assert np.array_equal(checks.csr("A", A.asformat(form)).toarray(), A.toarray())


@pytest.mark.parametrize("form", ["csr", "csc", "bsr"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda A: A.indices.__setitem__(0, -1), "A must have indices from 0 to"),
        (lambda A: A.indices.__setitem__(-1, 9), "A must have indices from 0 to"),
        (lambda A: A.indptr.__setitem__(0, 1), "A must have an indptr"),
        (lambda A: A.indptr.__setitem__(1, 9), "A must have an indptr|A must have as many indices"),
        (lambda A: setattr(A, "data", A.data[:-2]), "A must have as many indices and entries"),
    ],
    ids=["negative", "beyond", "start", "falling", "short"],
)
def test_sparse_matrices_whose_arrays_contradict_each_other_are_refused(form, spoil, message):
    A = sp.csr_array(np.arange(1.0, 17.0).reshape(4, 4)).asformat(form)
    if form == "bsr":
        A = A.tobsr((2, 2))
    spoil(A)
    with pytest.raises(ValueError, match=message):
        checks.csr("A", A)
