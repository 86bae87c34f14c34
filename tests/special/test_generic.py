"""Other array libraries: plain array code against the kernels, JAX with its derivatives, the CUDA source."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import array_api_strict as strict
import numpy as np
import pytest
from numpy.testing import assert_allclose
from special.references import error, table

from numsolve import special
from numsolve._core.arrays import array_namespace
from numsolve.special import _generic, matern, matern_grad, vmf_entropy, vmf_fit, vmf_log_prob
from numsolve.special._elementwise import NAMES, evaluate

T = table()
V, X = T["v"], T["x"]


@pytest.mark.parametrize("name", NAMES)
def test_plain_array_code_agrees_with_the_kernels(name):
    got = evaluate(name, strict.asarray(V), strict.asarray(X))
    assert type(got).__module__.startswith("array_api_strict")
    with np.errstate(all="ignore"):
        want = evaluate(name, V, X)
    assert error(np.asarray(got), want).max() < 5e-14


@pytest.mark.parametrize("name", NAMES)
def test_arguments_that_are_nearly_nothing(name):
    """Down to the least float: the kernels against plain array code, which has a formula of its own there."""
    v, x = np.meshgrid([0.0, 1e-9, 0.1, 0.49, 0.51, 0.89, 0.91, 3.2, 24.0], 10.0 ** np.arange(-307, -8, 13))
    xp = array_namespace(v=v)
    with np.errstate(all="ignore"):
        assert_allclose(getattr(_generic, name)(xp, v, x), evaluate(name, v, x), rtol=2e-13, atol=1e-13)


def test_matern_and_directions_in_another_library():
    r, nu = strict.asarray(np.linspace(0, 9, 30)), strict.asarray(np.linspace(0.1, 60, 30))
    for got, want in zip(
        matern_grad(r, nu, 0.7), matern_grad(np.asarray(r), np.asarray(nu), 0.7), strict=True
    ):
        assert_allclose(np.asarray(got), want, atol=1e-12)
    rows = np.random.default_rng(0).normal(size=(30, 7))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    fit = vmf_fit(strict.asarray(rows))
    assert type(fit.mu).__module__.startswith("array_api_strict")
    assert fit.kappa == pytest.approx(vmf_fit(rows).kappa)
    kappa = strict.asarray([1.0, 50.0])
    got = vmf_log_prob(strict.asarray(rows[:, None, :]), fit.mu, kappa)
    assert_allclose(np.asarray(got), vmf_log_prob(rows[:, None, :], np.asarray(fit.mu), [1.0, 50.0]))
    assert_allclose(np.asarray(vmf_entropy(7, kappa)), vmf_entropy(7, [1.0, 50.0]))


def test_libraries_are_not_mixed():
    with pytest.raises(TypeError, match="must share a library"):
        special.log_iv(strict.asarray([1.0]), np.ones(1))
    with pytest.raises(TypeError, match="out and where are for NumPy"):
        special.log_iv(strict.asarray([1.0]), 1.0, where=strict.asarray([True]))


class TestJAX:
    @pytest.fixture(autouse=True)
    def jax(self):
        jax = pytest.importorskip("jax")
        jax.config.update("jax_enable_x64", True)
        return jax

    @pytest.mark.parametrize(("name", "kind"), [("log_iv", "i"), ("log_kv", "k")])
    def test_values_and_gradients_under_jit_and_vmap(self, jax, name, kind):
        f = getattr(special, name)
        both = jax.jit(jax.vmap(jax.value_and_grad(f, argnums=(0, 1))))
        v, x = V[::4], X[::4]
        value, (d_dv, d_dx) = both(v, x)
        assert error(value, T[f"log_{kind}"][::4]).max() < 5e-14
        assert error(d_dv, T[f"{kind}_dv"][::4]).max() < 1e-13
        assert_allclose(d_dx, T[f"{kind}_dx"][::4], rtol=1e-13)

    def test_second_derivatives_of_log_i_solve_bessels_equation(self, jax):
        """With y = (log I)': y' = 1 + v^2 / x^2 - y / x - y^2; and the mixed derivative, from differences."""
        v, x = np.array([0.3, 4.0, 19.0, 40.0]), np.array([7.0, 0.5, 11.0, 30.0])
        hessian = jax.jit(jax.vmap(jax.jacfwd(jax.grad(special.log_iv, argnums=1), argnums=(0, 1))))
        mixed, second = hessian(v, x)
        y = special.log_iv_grad(v, x)[1]
        assert_allclose(second, 1 + (v / x) ** 2 - y / x - y * y, rtol=1e-9)
        h = 1e-4
        slopes = [special.log_iv_grad(v + j * h, x)[1] for j in (-2, -1, 1, 2)]
        differences = (slopes[0] - 8 * slopes[1] + 8 * slopes[2] - slopes[3]) / (12 * h)
        assert_allclose(mixed, differences, rtol=1e-9)

    def test_second_derivatives_at_order_zero(self, jax):
        """K is even in v: d2 log K / dv dx = 0; and its logarithmic derivative as in Bessel's equation."""
        x = np.array([20.0, 30.0])
        mixed, second = jax.jit(
            jax.vmap(jax.jacfwd(jax.grad(special.log_kv, argnums=1), argnums=(0, 1)), in_axes=(None, 0))
        )(0.0, x)
        y = special.log_kv_grad(0.0, x)[1]
        assert_allclose(mixed, 0.0, atol=1e-15)
        assert_allclose(second, 1 - y / x - y * y, rtol=1e-9)
        A = special.iv_ratio(0.0, 30.0)
        slope = jax.jit(jax.jacfwd(special.iv_ratio, argnums=1))
        assert_allclose(slope(0.0, 30.0), 1 - A * A - A / 30, rtol=1e-11)

    def test_the_order_of_a_covariance_has_a_derivative(self, jax):
        """Through K and its order, as in the fit of a Gaussian process."""
        r = np.linspace(0.1, 3, 5)
        value, slope = jax.jvp(lambda nu: matern(jax.numpy.asarray(r), nu, 0.7), (1.3,), (1.0,))
        assert_allclose(value, matern(r, 1.3, 0.7), rtol=1e-13)
        assert_allclose(slope, matern_grad(r, 1.3, 0.7)[2], rtol=1e-11)

    def test_integers_edges_and_single_precision(self, jax):
        jnp = jax.numpy
        v, x = [0, 3, -1, 2], [2, 2, 1, 0]
        assert_allclose(special.log_iv(jnp.asarray(v), jnp.asarray(x)), special.log_iv(v, x))
        value = special.iv_ratio(jnp.float32(3), jnp.float32(2))
        assert value.dtype == jnp.float32
        assert_allclose(value, special.iv_ratio(3.0, 2.0), rtol=1e-6)
        with pytest.raises(TypeError, match="real"):
            special.iv_ratio(jnp.asarray(1j), 1.0)


def cuda_source() -> str:
    """The device code of ``_gpu.py`` as C++, without importing CuPy."""
    text = Path(special.__file__).with_name("_gpu.py").read_text().replace("import cupy\n", "")
    text = text[: text.index("CALLS = {")].replace("from ._tuples", "from numsolve.special._tuples")
    space: dict[str, str] = {}
    exec(text, space)
    return space["PREAMBLE"]


def test_the_cuda_code_computes_the_same_on_the_host(tmp_path):
    """Compiled as C++ for the processor: its formulas, not its behaviour on a device."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    calls = {name: f"{name}(v, x)" for name in NAMES if not name.startswith("log")}
    calls |= {
        f"log_{f}{e}": f"log_{f}(v, x, {flag})" for f in ("iv", "kv") for e, flag in (("", 0), ("e", 1))
    }
    printed = ", ".join(calls[name] for name in NAMES)
    source = "".join(f"#include <{name}>\n" for name in ("algorithm", "cmath", "cstdio"))
    source += "using namespace std;\n#define __device__\n"
    source += re.sub(r"\bGAMMA\b", "GAMMA_", cuda_source())
    source += 'int main() { double v, x; while (scanf("%lf %lf", &v, &x) == 2) printf("'
    source += "%.17g " * len(NAMES) + f'\\n", {printed}); }}\n'
    (tmp_path / "special.cpp").write_text(source)
    program = tmp_path / "special"
    subprocess.run([compiler, "-O1", "-o", program, tmp_path / "special.cpp"], check=True)
    ends = [(0, 0), (2, 0), (2, np.inf), (np.inf, 2), (2, -1), (np.nan, 1), (3, 1e-300), (1e200, 1e200)]
    v, x = np.r_[V, [float(a) for a, _ in ends]], np.r_[X, [float(b) for _, b in ends]]
    lines = "\n".join(f"{a!r} {b!r}" for a, b in zip(v.tolist(), x.tolist(), strict=True))
    output = subprocess.run([program], input=lines, capture_output=True, text=True, check=True).stdout
    got = np.array([line.split() for line in output.splitlines()], dtype=float)
    for name, values in zip(NAMES, got.T, strict=True):
        with np.errstate(all="ignore"):
            assert_allclose(values, evaluate(name, v, x), rtol=1e-13, atol=1e-13, err_msg=name)


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_cupy(name):
    cupy = pytest.importorskip("cupy")
    got = evaluate(name, cupy.asarray(V), cupy.asarray(X))
    assert isinstance(got, cupy.ndarray)
    assert error(cupy.asnumpy(got), evaluate(name, V, X)).max() < 1e-13
    out = cupy.zeros(V.size)
    evaluate(name, cupy.asarray(V), cupy.asarray(X), out, cupy.asarray(V > 1))
    assert_allclose(cupy.asnumpy(out), np.where(V > 1, evaluate(name, V, X), 0.0), rtol=1e-13, atol=1e-13)
