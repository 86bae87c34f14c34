"""Which library an array belongs to, and that none is imported to find out."""

from __future__ import annotations

import subprocess
import sys
import types

import array_api_strict
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, aslinearoperator, cg

from numsolve._core import arrays, checks


@pytest.fixture(scope="module")
def jnp():
    return pytest.importorskip("jax.numpy")


# -- namespace -------------------------------------------------------------------------------------


def test_each_array_names_its_library(jnp):
    found = {
        "numpy": np.ones(2),
        "array_api_strict": array_api_strict.ones(2),
        "jax": jnp.ones(2),
    }
    for name, x in found.items():
        xp = arrays.array_namespace(x=x)
        assert arrays.namespace_name(xp) == name
        assert type(xp.zeros(3)) is type(x)
        assert arrays.is_numpy(xp) == (name == "numpy")
        assert arrays.array_namespace(a=None, b=[1.0, 2.0], c=x, d=3.0) is xp


@pytest.mark.parametrize("value", [[1.0, 2.0], (1, 2), 3.0, None, np.float64(2.0), [[]]])
def test_lists_and_numbers_are_numpy_if_nobody_says_anything_else(value, jnp):
    assert arrays.is_numpy(arrays.array_namespace(value=value))
    assert arrays.namespace_name(arrays.array_namespace(value=value, x=jnp.ones(2))) == "jax"


def test_the_modules_themselves_have_names():
    assert arrays.namespace_name(np) == "numpy"
    assert arrays.namespace_name(array_api_strict) == "array_api_strict"
    assert arrays.namespace_name(types.ModuleType("cupy")) == "cupy"
    assert arrays.namespace_name(types.ModuleType("array_api_compat.cupy")) == "cupy"


A = sp.random_array((4, 4), density=0.5, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    "matrix", [A.tocsr(), sp.csc_matrix(A), A.todia(), aslinearoperator(A), aslinearoperator(A) @ A]
)
def test_matrices_and_operators_of_scipy_are_numpy(matrix, jnp):
    assert arrays.is_numpy(arrays.array_namespace(A=matrix, b=np.ones(4)))
    with pytest.raises(TypeError, match="A is a numpy array and b is a jax array"):
        arrays.array_namespace(A=matrix, b=jnp.ones(4))


class Product:
    """An operator of nobody's: it has a shape and a matvec."""

    shape = (4, 4)

    def matvec(self, x):
        return 2 * x


def test_an_operator_of_the_users_own_says_nothing(jnp):
    assert arrays.namespace_name(arrays.array_namespace(A=Product(), b=jnp.ones(4))) == "jax"
    assert arrays.is_operator(Product())


@pytest.mark.parametrize("names", [("a", "b"), ("cost", "weights")])
def test_mixed_libraries_are_refused_by_name(names, jnp):
    one, two = names
    with pytest.raises(TypeError, match=f"{one} is a numpy array and {two} is a jax array; convert one"):
        arrays.array_namespace(**{one: np.ones(2), two: jnp.ones(2)})
    with pytest.raises(TypeError, match=f"{two} is a array_api_strict array"):
        arrays.array_namespace(first=None, **{one: jnp.ones(2), two: array_api_strict.ones(2)})


@pytest.fixture
def cupy(monkeypatch):
    """As much of CuPy as needs no device."""
    fake = types.ModuleType("cupy")
    fake.float32, fake.float64 = np.float32, np.float64
    fake.ndarray = type("ndarray", (), {})
    package, linalg = types.ModuleType("cupyx"), types.ModuleType("cupyx.scipy.sparse.linalg")
    sparse = types.ModuleType("cupyx.scipy.sparse")
    linalg.LinearOperator = type(
        "LinearOperator",
        (),
        {
            "__module__": "cupyx.scipy.sparse.linalg._interface",
            "__init__": lambda self, shape, matvec, rmatvec=None, matmat=None, dtype=None: vars(self).update(
                shape=shape, matvec=matvec, rmatvec=rmatvec, matmat=matmat, dtype=dtype
            ),
        },
    )
    sparse.linalg, sparse.issparse = linalg, lambda A: type(A).__name__ == "cupy_matrix"
    modules = {"cupy": fake, "array_api_compat.cupy": types.ModuleType("array_api_compat.cupy")}
    modules |= {"cupyx": package, "cupyx.scipy": types.ModuleType("cupyx.scipy")}
    modules |= {"cupyx.scipy.sparse": sparse, "cupyx.scipy.sparse.linalg": linalg}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return fake


def test_operators_of_cupy_are_made_with_cupy(cupy):
    operator = arrays.linear_operator(cupy, (3, 3), lambda x: 2 * x, dtype=np.float32)
    assert type(operator).__module__.startswith("cupyx")
    assert (operator.shape, operator.dtype, operator.matvec(2)) == ((3, 3), np.float32, 4)
    assert arrays.linear_operator(cupy, (3, 3), abs).dtype == np.float64
    assert arrays.is_operator(operator)


def test_operators_of_cupy_are_told_from_those_of_scipy(cupy):
    operator = arrays.linear_operator(cupy, (3, 3), abs)
    with pytest.raises(TypeError, match="A is a cupy array and b is a numpy array"):
        arrays.array_namespace(A=operator, b=np.ones(3))


def test_sparse_matrices_of_cupy_are_sparse(cupy):
    assert arrays.is_sparse(type("cupy_matrix", (), {})())
    assert arrays.is_sparse(A)
    assert not arrays.is_sparse(np.eye(2))


# -- dtype and device ------------------------------------------------------------------------------

SINGLE, DOUBLE, INT, BOOL, LIST = "single", "double", "int", "bool", "list"


def values_of(xp):
    return {
        SINGLE: xp.asarray([1.0], dtype=xp.float32),
        DOUBLE: xp.asarray([1.0], dtype=xp.float64),
        INT: xp.asarray([1], dtype=xp.int32),
        BOOL: xp.asarray([True]),
        LIST: [1, 2],
        None: None,
    }


@pytest.mark.parametrize("xp", [np, array_api_strict], ids=lambda xp: xp.__name__)
@pytest.mark.parametrize(
    ("kinds", "single"),
    [
        ([SINGLE], True),
        ([SINGLE, SINGLE, None], True),
        ([SINGLE, DOUBLE], False),
        ([SINGLE, INT], False),
        ([SINGLE, BOOL], False),
        ([SINGLE, LIST], False),
        ([INT], False),
        ([BOOL], False),
        ([LIST], False),
        ([None], False),
        ([], False),
    ],
)
def test_single_precision_only_if_all_are(xp, kinds, single):
    given = {f"x{k}": values_of(xp)[kind] for k, kind in enumerate(kinds)}
    assert arrays.working_dtype(xp, **given) == (xp.float32 if single else xp.float64)


@pytest.mark.parametrize("xp", [np, array_api_strict], ids=lambda xp: xp.__name__)
def test_complex_numbers_are_refused(xp):
    with pytest.raises(TypeError, match=r"b is complex .*complex"):
        arrays.working_dtype(xp, a=xp.ones(2), b=xp.asarray([1j]))


@pytest.mark.parametrize("bad", [["a"], np.array([None]), np.array(["2020"], dtype="M8[Y]")])
def test_what_is_no_number_is_refused(bad):
    with pytest.raises(TypeError, match="b has dtype .*; real numbers are wanted"):
        arrays.working_dtype(np, b=bad)


def test_jax_works_in_the_precision_that_it_has(jnp):
    assert arrays.working_dtype(jnp, x=jnp.ones(2, dtype=jnp.float32)) == jnp.float32
    best = jnp.zeros(0).dtype  # float32, unless the user has enabled x64
    for x in (jnp.asarray([1]), [1, 2], 1.0, None):
        assert arrays.working_dtype(jnp, x=x) == best
        if x is not None:
            assert checks.array("x", x, xp=jnp).dtype == best  # a warning would be an error
    with pytest.raises(TypeError, match="x is complex"):
        arrays.working_dtype(jnp, x=jnp.asarray([1j]))


def test_jax_with_x64_works_in_double_precision():
    pytest.importorskip("jax")
    run(
        "import jax; jax.config.update('jax_enable_x64', True); import jax.numpy as jnp\n"
        "from numsolve._core import arrays\n"
        "assert arrays.working_dtype(jnp, x=jnp.asarray([1])) == jnp.float64\n"
        "assert arrays.working_dtype(jnp, x=jnp.ones(2)) == jnp.float64\n"
        "assert arrays.working_dtype(jnp, x=jnp.ones(2, dtype='float32')) == jnp.float32\n"
    )


def test_devices(jnp):
    assert arrays.device(np.ones(1)) == "cpu"
    assert arrays.device(jnp.ones(1)) in jnp.ones(1).devices()
    elsewhere = array_api_strict.Device("device1")
    assert arrays.device(array_api_strict.ones(1, device=elsewhere)) == elsewhere


def test_to_host(jnp):
    x = np.arange(3.0)
    assert arrays.to_host(x) is x
    for other in (jnp.arange(3.0), array_api_strict.arange(3.0), [0.0, 1.0, 2.0]):
        copy = arrays.to_host(other)
        assert type(copy) is np.ndarray
        np.testing.assert_array_equal(copy, x)

    class OnDevice:  # as CuPy: it refuses the implicit conversion
        def get(self):
            return x

        def __array__(self, *_, **__):
            raise TypeError("implicit conversion")

    np.testing.assert_array_equal(arrays.to_host(OnDevice()), x)


# -- operators -------------------------------------------------------------------------------------


def test_is_operator():
    assert arrays.is_operator(aslinearoperator(np.eye(2)))
    assert not arrays.is_operator(np.eye(2))
    assert not arrays.is_operator(A)
    assert not arrays.is_operator(lambda x: x)


def test_our_operators_work_in_scipys_solvers():
    matrix, b = np.diag([1.0, 2.0, 30.0]), np.ones(3)
    operator = arrays.linear_operator(arrays.array_namespace(b=b), (3, 3), lambda x: matrix @ x)
    preconditioner = arrays.linear_operator(np, (3, 3), lambda x: x / np.diag(matrix), dtype=np.float64)
    assert isinstance(operator, LinearOperator)
    steps = []
    x, info = cg(operator, b, M=preconditioner, rtol=1e-12, callback=steps.append)
    assert info == 0
    assert len(steps) == 1  # the preconditioner is exact
    np.testing.assert_allclose(x, [1.0, 0.5, 1 / 30], rtol=1e-12)


def test_operators_have_all_products():
    matrix = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 4.0]])
    operator = arrays.linear_operator(
        np,
        (2, 3),
        lambda x: matrix @ x,
        lambda y: matrix.T @ y,
        matmat=lambda X: matrix @ X,
        dtype=np.float32,
    )
    assert operator.dtype == np.float32
    np.testing.assert_array_equal(operator @ np.eye(3), matrix)
    np.testing.assert_array_equal(operator.T @ np.ones(2), matrix.sum(0))


def test_jax_has_no_operators(jnp):
    with pytest.raises(TypeError, match="jax has no linear operators"):
        arrays.linear_operator(jnp, (2, 2), abs)


# -- kernels ---------------------------------------------------------------------------------------


@pytest.fixture
def column(tmp_path, monkeypatch):
    """A package with kernels; its name is new each time, so that nothing is left of an earlier one."""

    def make(*files):
        name = f"column_{tmp_path.name}"
        (tmp_path / name).mkdir()
        for file in ("__init__", *files):
            (tmp_path / name / f"{file}.py").write_text("def where():\n    return __name__\n")
        monkeypatch.syspath_prepend(tmp_path)
        return name

    yield make
    for name in [name for name in sys.modules if name.startswith(f"column_{tmp_path.name}")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("files", "method", "numpy", "cupy", "strict"),
    [
        (["_cpu", "_gpu", "_generic"], "", "_cpu", "_gpu", "_generic"),
        (["_cpu", "_generic"], "", "_cpu", "_generic", "_generic"),
        (["_generic"], "", "_generic", "_generic", "_generic"),
        (["_cpu"], "", "_cpu", None, None),
        (["_cpu", "_cpu_sor", "_gpu_sor"], "sor", "_cpu_sor", "_gpu_sor", None),
        (["_cpu", "_generic_sor"], "sor", "_generic_sor", "_generic_sor", "_generic_sor"),
    ],
)
def test_kernels_are_found_by_library_and_method(column, files, method, numpy, cupy, strict):
    package = column(*files)
    for xp, wanted in {np: numpy, types.ModuleType("cupy"): cupy, array_api_strict: strict}.items():
        if wanted is None:
            with pytest.raises(
                TypeError, match=rf"{package} has no kernels for {arrays.namespace_name(xp)} arrays"
            ):
                arrays.kernels_for(xp, package, method)
        else:
            assert arrays.kernels_for(xp, package, method).where() == f"{package}.{wanted}"


def test_an_error_inside_a_kernel_file_is_not_hidden(column, tmp_path):
    package = column("_generic")
    (tmp_path / package / "_cpu.py").write_text("import no_such_package\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        arrays.kernels_for(np, package)


# -- imports ---------------------------------------------------------------------------------------


def run(code):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_ground_imports_nothing_heavy():
    loaded = run(
        "import sys\n"
        "from numsolve._core import arrays, checks, extras, monitor, parallel, plotting, result\n"
        "import numpy as np\n"
        "arrays.array_namespace(x=np.ones(2), y=[1.0], A=None)\n"
        "arrays.kernels_for; checks.masses('a', [1.0, 2.0])\n"
        "with monitor.Monitor(rtol=0.5, maxiter=3) as it:\n"
        "    it.record(0.1, np.ones(2))\n"
        "it.result(result.Result)\n"
        "print(*{name.partition('.')[0] for name in sys.modules})\n"
    ).split()
    heavy = {"jax", "jaxlib", "cupy", "cupyx", "numba", "matplotlib", "dask", "distributed", "tqdm", "torch"}
    assert "numpy" in loaded
    assert not heavy & set(loaded)


@pytest.mark.gpu
def test_cupy_arrays():
    import cupy
    from cupyx.scipy.sparse import eye
    from cupyx.scipy.sparse.linalg import cg as cupy_cg

    x = cupy.arange(3.0)
    xp = arrays.array_namespace(x=x, A=eye(3))
    assert arrays.namespace_name(xp) == "cupy"
    assert arrays.working_dtype(xp, x=x) == xp.float64
    np.testing.assert_array_equal(arrays.to_host(x), [0.0, 1.0, 2.0])
    assert arrays.is_sparse(eye(3))
    operator = arrays.linear_operator(xp, (3, 3), lambda v: 2 * v)
    solution, info = cupy_cg(operator, x)
    assert info == 0
    cupy.testing.assert_allclose(solution, x / 2)
    for host in (np.ones(3), sp.eye_array(3)):
        with pytest.raises(TypeError, match="A is a .* and b is a"):
            arrays.array_namespace(A=host, b=x)
        with pytest.raises(TypeError, match="A is a cupy array and b is a numpy array"):
            arrays.array_namespace(A=operator, b=host)
    assert checks.array("x", x, xp=xp) is x
    with pytest.raises(ValueError, match="nan at index 1"):
        checks.array("x", cupy.asarray([1.0, cupy.nan]), xp=xp)
    with pytest.raises(TypeError, match="A is a cupy array"):
        checks.csr("A", eye(3))
