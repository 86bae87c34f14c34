"""The small parts of the ground: status codes, foreign words, numbers, norms, CG, notebook pages, kernels."""

from __future__ import annotations

import inspect
import math
import os
import subprocess
import sys

import array_api_strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numsolve._core import arrays, checks, codes
from numsolve._core.foreign import answers
from numsolve._core.krylov import conjugate_gradients
from numsolve._core.monitor import RUNNING
from numsolve._core.result import History, Result, Status


def test_the_codes_of_kernels_are_the_statuses():
    names = {name: value for name, value in vars(codes).items() if name.isupper()}
    assert names.pop("RUNNING") == RUNNING == -1
    assert names == {status.name: status.value for status in Status}


# -- foreign words ---------------------------------------------------------------------------------


@answers(numItermax="maxiter", log="the history is always in the result")
def solver(a, *, maxiter: int = 3) -> int:
    """Solve."""
    return a * maxiter


def test_foreign_words_are_answered_with_ours():
    assert solver(2) == 6
    assert solver(2, maxiter=5) == 10
    with pytest.raises(
        TypeError, match=r"solver\(\) has no argument 'numItermax': it is called 'maxiter' here"
    ):
        solver(2, numItermax=5)
    with pytest.raises(TypeError, match="has no argument 'log': the history is always in the result"):
        solver(2, log=True)
    with pytest.raises(TypeError, match="unexpected keyword argument 'x'"):
        solver(2, x=1)


def test_words_for_what_all_solvers_take_are_answered_where_the_function_takes_it():
    for theirs in ("max_iter", "max_iterations"):
        with pytest.raises(TypeError, match=rf"has no argument '{theirs}': it is called 'maxiter' here"):
            solver(2, **{theirs: 5})
    with pytest.raises(TypeError, match="unexpected keyword argument 'seed'"):
        solver(2, seed=0)  # it takes no rng


def test_an_answering_function_shows_its_own_signature():
    assert str(inspect.signature(solver)) == "(a, *, maxiter: 'int' = 3) -> 'int'"
    assert (solver.__name__, solver.__doc__) == ("solver", "Solve.")


def test_what_is_ours_cannot_be_foreign():
    with pytest.raises(TypeError, match="takes"):
        answers(maxiter="steps")(solver)


def test_foreign_choices_are_answered():
    with pytest.raises(ValueError, match=r"must be one of 'a', 'b'; got 'highs'; HiGHS is a peer"):
        checks.choice("method", "highs", ("a", "b"), foreign={"highs": "HiGHS is a peer"})
    with pytest.raises(ValueError, match=r"got 'x'$"):
        checks.choice("method", "x", ("a", "b"), foreign={"highs": "HiGHS is a peer"})
    assert type(checks.choice("method", np.str_("a"), ("a", "b"))) is str


# -- numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "four", [4, 4.0, np.int8(4), np.uint32(4), np.float16(4), np.float64(4), np.asarray(4), np.asarray(4.0)]
)
def test_an_integer_of_any_kind(four):
    assert checks.integer("n", four) == 4
    assert type(checks.integer("n", four)) is int
    assert checks.real("x", four) == 4.0
    assert type(checks.real("x", four)) is float


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (4.5, ValueError),
        (np.float32(4.5), ValueError),
        (np.asarray(4.5), ValueError),
        (np.inf, ValueError),
        (np.asarray(np.nan), ValueError),
        (np.ones(1), TypeError),
        (np.True_, TypeError),
        (np.asarray(True), TypeError),
        (4 + 0j, TypeError),
        (np.complex128(4), TypeError),
        (None, TypeError),
    ],
)
def test_what_is_no_integer(value, error):
    with pytest.raises(error, match="n must be an integer"):
        checks.integer("n", value)


def test_masked_arrays_are_refused_by_name():
    masked = np.ma.masked_less([1.0, -2.0, 3.0], 0.0)
    with pytest.raises(TypeError, match="b is a masked array; fill or drop"):
        checks.array("b", masked)
    with pytest.raises(TypeError, match="A is a masked array"):
        checks.csr("A", np.ma.masked_less([[1.0, -2.0], [0.0, 1.0]], 0.0))
    with pytest.raises(TypeError, match="a is a masked array"):
        checks.masses("a", masked)


# -- norms -----------------------------------------------------------------------------------------


@given(
    st.lists(st.floats(-1.0, 1.0, allow_subnormal=False), min_size=1, max_size=9).filter(any),
    st.integers(-1020, 1015),
)
def test_the_norm_is_homogeneous_at_every_scale(values, exponent):
    x = np.asarray(values)
    x = x / np.max(np.abs(x))
    x = x[np.abs(x) >= 2.0**-60]  # what stays a normal number when it is scaled
    scaled = np.ldexp(x, exponent if exponent > 0 else max(exponent, -950))
    expected = math.ldexp(
        math.sqrt(math.fsum(v * v for v in x)), exponent if exponent > 0 else max(exponent, -950)
    )
    assert arrays.norm(np, scaled) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("size", [1e-170, 1e-300, 5e-324, 1e160, 1e308])
def test_the_norm_at_the_ends_of_the_range(size):
    assert arrays.norm(np, np.asarray([size])) == size
    assert arrays.norm(np, np.asarray([[0.0, size], [0.0, 0.0]])) == size


def test_norms_in_single_precision_of_other_libraries_and_of_nothing():
    assert arrays.norm(np, np.full(4, 1e30, np.float32)) == pytest.approx(2e30, rel=1e-6)
    assert arrays.norm(np, np.full(4, 1e-30, np.float32)) == pytest.approx(2e-30, rel=1e-6)
    xp = array_api_strict
    assert arrays.norm(xp, xp.asarray([3e200, 4e200])) == pytest.approx(5e200, rel=1e-15)
    assert arrays.norm(np, np.empty(0)) == 0.0
    assert arrays.norm(np, np.zeros(3)) == 0.0
    assert arrays.norm(np, np.asarray([1.0, np.inf])) == np.inf
    assert np.isnan(arrays.norm(np, np.asarray([1.0, np.nan])))
    assert arrays.norm(np, np.asarray([3j * 1e200, 4 * 1e200])) == pytest.approx(5e200, rel=1e-15)


# -- conjugate gradients ---------------------------------------------------------------------------


def spd(n, seed=0):
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]
    return Q * np.linspace(1.0, 20.0, n) @ Q.T


@pytest.mark.parametrize("xp", [np, array_api_strict], ids=["numpy", "strict"])
@pytest.mark.parametrize("flexible", [False, True])
def test_conjugate_gradients_end_after_as_many_steps_as_there_are_unknowns(xp, flexible):
    A, b = spd(8), np.arange(1.0, 9.0)
    M = xp.asarray(1.0 / np.diag(A))
    P = xp.asarray(A)
    steps = conjugate_gradients(
        xp, lambda v: P @ v, xp.zeros(8), xp.asarray(b), lambda r: M * r, flexible=flexible
    )
    for _ in range(8):
        step = next(steps)
    np.testing.assert_allclose(np.asarray(step.x), np.linalg.solve(A, b), rtol=1e-9)
    np.testing.assert_allclose(np.asarray(step.r), 0.0, atol=1e-9)


def test_the_error_in_the_energy_norm_falls_in_every_step():
    A, b = spd(30, 1), np.ones(30)
    exact = np.linalg.solve(A, b)
    steps = conjugate_gradients(np, A.__matmul__, np.zeros(30), b)
    errors = [(exact - x) @ A @ (exact - x) for x, _, _ in (next(steps) for _ in range(25))]
    assert all(np.diff(errors) < 0)


def test_hermitian_systems():
    rng = np.random.default_rng(2)
    B = rng.standard_normal((6, 6)) + 1j * rng.standard_normal((6, 6))
    A, b = B @ B.conj().T + np.eye(6), rng.standard_normal(6) + 1j
    steps = conjugate_gradients(np, A.__matmul__, np.zeros(6, complex), b)
    x = [next(steps) for _ in range(6)][-1].x
    np.testing.assert_allclose(x, np.linalg.solve(A, b), rtol=1e-8)


def test_negative_curvature_ends_the_iteration_and_is_told():
    A = np.diag([1.0, -1.0])
    last = list(conjugate_gradients(np, A.__matmul__, np.zeros(2), np.asarray([1.0, 2.0])))[-1]
    assert last.curvature < 0
    np.testing.assert_array_equal(last.x, 0.0)


def test_a_solved_system_needs_no_step():
    (last,) = conjugate_gradients(np, spd(3).__matmul__, np.ones(3), np.zeros(3))
    np.testing.assert_array_equal(last.x, 1.0)


# -- notebooks -------------------------------------------------------------------------------------


def result():
    history = History()
    history.extend([0, 1, 2], [1.0, 0.1, 0.01], [0.0, 0.1, 0.2])
    return Result(x=np.zeros(3), nit=2, residual=0.01, history=history, detail="<b> & more.")


def test_a_notebook_shows_the_fields_and_the_picture():
    import matplotlib.pyplot as plt

    plt.close("all")
    page = result()._repr_html_()
    assert "<th" in page
    assert "residual" in page
    assert "0.01" in page
    assert "&lt;b&gt; &amp; more." in page
    assert "data:image/png;base64,iVBOR" in page
    assert plt.get_fignums() == []


def test_a_result_without_a_picture_still_shows_its_fields(monkeypatch):
    def fails(self, ax=None):
        raise ValueError("nothing to draw <here>")

    monkeypatch.setattr(Result, "plot", fails)
    page = result()._repr_html_()
    assert "residual" in page
    assert "nothing to draw &lt;here&gt;" in page
    assert "<img" not in page


# -- kernels ---------------------------------------------------------------------------------------

KERNELS = """
from numsolve._core.codes import CONVERGED, RUNNING
from numsolve._core.compiled import inner, kernel
import numsolve._core.compiled as compiled

@inner(fastmath=True)
def square(x):
    return x * x

@kernel
def total(x):
    s = 0.0
    for i in range(x.size):
        s += square(x[i])
    return s / 0.0 if x.size == 0 else s, CONVERGED if s > 0.0 else RUNNING
"""


def run_kernels(tmp_path, code, **environment):
    (tmp_path / "kernels.py").write_text(KERNELS)
    out = subprocess.run(
        [sys.executable, "-c", "import numpy as np; from kernels import *; " + code],
        env={
            **os.environ,
            "PYTHONPATH": str(tmp_path),
            "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
            **environment,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return out.stdout.split("\n")[:-1], out.stderr


def test_kernels_are_cached_and_divide_as_numpy_does(tmp_path):
    code = "print(total(np.ones(3))); print(total(np.empty(0))); print(len(total.stats.cache_hits))"
    first, _ = run_kernels(tmp_path, code)
    again, _ = run_kernels(tmp_path, code)
    assert first == ["(3.0, 0)", "(nan, -1)", "0"]
    assert again == ["(3.0, 0)", "(nan, -1)", "1"]


def test_the_clock_of_time_limits_stands_still_while_a_kernel_compiles(tmp_path):
    code = (
        "import time; from numsolve._core import clock\n"
        "before = clock.preparing\n"
        "real, ours = time.perf_counter(), clock.now(); total(np.ones(3)); time.sleep(0.1)\n"
        "ours, real = clock.now() - ours, time.perf_counter() - real\n"
        "spent = clock.preparing - before\n"
        "print(spent > 0.05, 0.1 <= ours <= real - spent + 1e-3)"
    )
    out, _ = run_kernels(tmp_path, code)
    assert out == ["True True"]


def test_a_long_first_compilation_is_announced_once_and_can_be_silenced(tmp_path):
    code = "compiled.PATIENCE = 0.0; total(np.ones(3)); total(np.ones(3, np.float32)); print('done')"
    out, err = run_kernels(tmp_path, code, NUMSOLVE_QUIET="")
    assert out == ["done"]
    assert err.count("numsolve: compiling for the first call") == 1
    assert err.count("\n") == 1
    _, err = run_kernels(tmp_path, code, NUMSOLVE_QUIET="")  # from the cache: nothing to announce
    assert err == ""
    _, err = run_kernels(tmp_path, code, NUMSOLVE_QUIET="1", NUMBA_CACHE_DIR=str(tmp_path / "other"))
    assert err == ""


# -- what an attack found ---------------------------------------------------------------------------


def test_conjugate_gradients_that_overflow_warn_nobody():
    A = np.diag([1e-300, 1e300])
    steps = conjugate_gradients(np, A.__matmul__, np.zeros(2), np.asarray([1e200, 1e200]))
    last = list(zip(range(5), steps, strict=False))[-1][1]  # a warning would be an error
    assert last.x.shape == (2,)


@pytest.mark.parametrize("seed", [3, np.int8(3), np.asarray(3), np.uint64(3)])
def test_seeds_of_any_kind_are_seeds(seed):
    assert checks.generator(seed).random() == np.random.default_rng(3).random()


def test_a_matrix_is_no_seed():
    with pytest.warns(PendingDeprecationWarning):
        seed = np.matrix(np.eye(3))
    with pytest.raises(TypeError, match="rng must be"):
        checks.generator(seed)


def test_a_picture_too_small_for_its_words_warns_nobody(monkeypatch):
    def crowded(self, ax=None):
        import warnings

        warnings.warn("constrained_layout not applied", UserWarning, stacklevel=1)
        return Result.__dict__["_plot"](self)

    monkeypatch.setattr(Result, "_plot", Result.plot, raising=False)
    monkeypatch.setattr(Result, "plot", crowded)
    assert "<img" in result()._repr_html_()
