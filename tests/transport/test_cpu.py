"""The compiled kernels: their exponential, their machine code, and each against its plain twin."""

import re

import mpmath
import numpy as np
import pytest

from numsolve.transport import _cpu, _generic


@pytest.fixture
def rng():
    return np.random.default_rng(20)


@pytest.fixture(params=["dense", "forbidden", "wide", "float32"])
def problem(request, rng):
    n, m = (23, 61) if request.param == "wide" else (37, 29)
    M = rng.random((n, m))
    if request.param == "forbidden":
        M[rng.random((n, m)) < 0.3] = np.inf
        M[:, 0] = M[0, :] = 0.5
    f, g = 0.1 * rng.standard_normal(n), 0.1 * rng.standard_normal(m)
    a, b = rng.random(n), rng.random(m)
    arrays = [M, f, g, a / a.sum(), b / b.sum()]
    if request.param == "float32":
        arrays = [x.astype(np.float32) for x in arrays]
    return (*arrays, 0.02)


# --- the exponential ------------------------------------------------------------------------------


def test_exp2_has_fourteen_digits_for_every_exponent(rng):
    whole = np.arange(-1022, 1024)
    t = np.concatenate([np.minimum(whole + s, 1023.0) for s in rng.uniform(0, 1, 40)])
    reference = np.exp2(t.astype(np.longdouble))
    assert np.max(np.abs(_cpu.exp2(t) - reference) / reference) < 1e-15


def test_exp2_agrees_with_mpmath(rng):
    t = np.concatenate([rng.uniform(-1022, 1023, 300), rng.uniform(-1, 1, 300)])
    with mpmath.workdps(40):
        worst = max(
            abs(mpmath.mpf(float(y)) / mpmath.power(2, mpmath.mpf(float(x))) - 1)
            for x, y in zip(t, _cpu.exp2(t), strict=True)
        )
    assert worst < 1e-15


def test_exp2_of_whole_numbers_is_exact():
    t = np.arange(-1022.0, 1024.0)
    np.testing.assert_array_equal(_cpu.exp2(t), np.ldexp(1.0, t.astype(int)))


def test_exp2_outside_its_range():
    t = np.array([-np.inf, -1e300, -1100.0, -1023.0])
    np.testing.assert_array_equal(_cpu.exp2(t), 0.0)
    between = _cpu.exp2(np.linspace(-1023, -1022, 101))  # subnormal
    assert np.all(between >= 0)
    assert np.all(between <= 2.0**-1022)
    np.testing.assert_array_equal(_cpu.exp2(np.array([1023.0, 1e300, np.inf])), 2.0**1023)


def test_plan_entries_are_those_of_exp(rng):
    M, f, g = rng.random((40, 50)), rng.random(40), rng.random(50)
    for reg in (1.0, 1e-1, 5e-3):
        exponent = (f[:, None] + g.astype(np.longdouble) - M) / reg
        reference = np.exp(exponent)
        # The exponent itself is rounded: a relative error of eps |exponent| is inherent.
        bound = (4 + 3 * (2 / reg)) * np.finfo(float).eps * reference
        assert np.all(np.abs(_cpu.plan(M, f, g, reg) - reference) <= bound)


# --- machine code ---------------------------------------------------------------------------------


def packed_instructions(kernel):
    """Multiplications and fused multiply-adds on whole vector registers, in compiled code of a kernel."""
    code = "\n".join(kernel.inspect_asm().values())
    x86 = re.findall(r"\bv?(?:fn?madd\d+|mul)pd\b.*%[xyz]mm", code)
    arm = re.findall(r"\bf(?:mla|mul)\b.*\bv\d+\.2d", code)
    return x86 + arm


@pytest.mark.parametrize(
    "name", ["exp2", "_fill_plan", "_plan_row_sums", "_plan_column_sums", "transform_into"]
)
def test_kernel_is_vector_code(name, rng):
    M, f, g, out = rng.random((9, 9)), np.zeros(9), np.zeros(9), np.empty(9)
    arguments = {
        "exp2": (f,),
        "_fill_plan": (M, f, g, 0.1, np.empty((9, 9))),
        "transform_into": (M, f, g, g + 1, 0.1, np.empty((9, 9)), out.copy(), out, np.empty((2, 9))),
    }.get(name, (M, f, g, 0.1, out))
    # Compiled here and now: code from the cache on disk has no assembly to look at.
    kernel = getattr(_cpu, name)
    fresh = type(kernel)(kernel.py_func, targetoptions=kernel.targetoptions)
    fresh(*arguments)
    found = packed_instructions(fresh)
    assert len(found) >= 10, f"{name} was not vectorised"  # the polynomial alone has ten


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7])
def test_rows_that_are_left_over_count_once(n, rng):
    M, f, g, p = rng.random((n, 6)), rng.random(n), rng.random(6), rng.random(n)
    for name in ("plan_row_sums", "plan_column_sums"):
        np.testing.assert_allclose(
            getattr(_cpu, name)(M, f, g, 0.5), getattr(_generic, name)(M, f, g, 0.5), rtol=1e-13
        )
    np.testing.assert_allclose(_cpu.column_products(M, p), M.T @ p, rtol=1e-13)
    np.testing.assert_allclose(_cpu.row_products(M, g), M @ g, rtol=1e-13)


# --- each kernel against its twin -----------------------------------------------------------------


def close(x, y, dtype):
    np.testing.assert_allclose(x, y, rtol=1e-12 if dtype == np.float64 else 2e-4)


@pytest.mark.parametrize(
    "name", ["plan", "plan_row_sums", "plan_column_sums", "log_row_sums", "log_column_sums"]
)
def test_plans_and_sums(name, problem):
    M, f, g, _, _, reg = problem
    ours, plain = getattr(_cpu, name)(M, f, g, reg), getattr(_generic, name)(M, f, g, reg)
    assert ours.dtype == M.dtype
    assert ours.shape == plain.shape
    close(ours, plain, M.dtype)


def test_forbidden_pairs_get_nothing(problem):
    M, f, g, _, _, reg = problem
    P = _cpu.plan(*(x.astype(float) for x in (M, f, g)), reg)
    assert np.all(P[np.isinf(M)] == 0)


def test_log_sums_survive_any_potentials(rng):
    M, f, g = rng.random((20, 30)), 1e4 * rng.standard_normal(20), 1e4 * rng.standard_normal(30)
    for name in ("log_row_sums", "log_column_sums"):
        np.testing.assert_allclose(
            getattr(_cpu, name)(M, f, g, 1e-3), getattr(_generic, name)(M, f, g, 1e-3), rtol=1e-13
        )


def test_plan_written_in_place(problem):
    M, f, g, _, _, reg = problem
    M, f, g = (x.astype(float) for x in (M, f, g))
    P = np.full(M.shape, np.nan)
    _cpu.fill_plan(M, f, g, reg, P)
    np.testing.assert_allclose(P, _generic.plan(M, f, g, reg), rtol=1e-11)


@pytest.mark.parametrize("stabiliser", [0.0, 1e3, -1e3, 1e12])
def test_the_compiled_transform_makes_the_columns_exact(stabiliser):
    rng = np.random.default_rng(0)
    M, f, b, reg = rng.random((20, 30)), rng.random(20), np.full(30, 1 / 30), 1e-3
    M[3, 4] = np.inf
    P, g, r = _cpu.transform(M, f, np.full(30, stabiliser), b, reg, np.empty(M.shape))
    exact = reg * (np.log(b) - _generic.log_column_sums(M, f, np.zeros(30), reg))
    np.testing.assert_allclose(g, exact, rtol=1e-10)
    np.testing.assert_allclose(P, _generic.plan(M, f, exact, reg), rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(P.sum(axis=0), b, rtol=1e-13)
    np.testing.assert_allclose(r, P.sum(axis=1), rtol=1e-13)
