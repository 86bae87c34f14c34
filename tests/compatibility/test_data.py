"""Data as other packages hold them: data frames, lists, strided arrays, operators, other array libraries."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from numsolve import atomic, fractional, linear, monotone, sketch, special, transport

RNG = np.random.default_rng(0)
M = RNG.random((5, 6))
A = linear.problems.laplacian(5)
B = RNG.normal(size=(30, 4))
D = RNG.normal(size=(20, 3))
D = D / np.linalg.norm(D, axis=1, keepdims=True)

#: What a user has in data frames: the call, and its arrays, which go through a form.
CALLS = {
    "transport.solve": (lambda M, a: transport.solve(M, a, reg=0.1).plan, (M, np.full(5, 0.2))),
    "transport.sinkhorn": (lambda a, b, M: transport.sinkhorn(a, b, M, 0.1).plan,
                           (np.full(5, 0.2), np.full(6, 1 / 6), M)),
    "transport.solve_sample": (lambda X, Y: transport.solve_sample(X, Y, reg=0.5).value,
                               (B[:9, :2], B[9:, :2])),
    "linear.cg": (lambda A, b: linear.cg(A, b, rtol=1e-10).x, (A.toarray(), np.ones(25))),
    "linear.ssor_cg": (lambda A, b: linear.ssor_cg(A, b, rtol=1e-10).x, (A.toarray(), np.ones(25))),
    "linear.gmres": (lambda A, b: linear.gmres(A, b, rtol=1e-10).x, (A.toarray(), np.ones(25))),
    "monotone.solve_lp": (lambda c, A, lc, uc: monotone.solve_lp(c, A, lc, uc, np.zeros(4), np.ones(4)).x,
                          (B[0], B[1:3], B[1:3].sum(axis=1) - 3, B[1:3].sum(axis=1))),
    "monotone.solve_game": (lambda G: monotone.solve_game(G).value, (M,)),
    "sketch.lstsq": (lambda A, b: sketch.lstsq(A, b, rng=0).x, (B, B[:, 0] + 1)),
    "special.log_iv": (special.log_iv, (np.arange(5.0), np.arange(1.0, 6.0))),
    "special.vmf_fit": (lambda X: special.vmf_fit(X).kappa, (D,)),
    "special.matern": (lambda r: special.matern(r, 1.5), (np.arange(5.0),)),
}  # fmt: skip


def framed(x):
    pandas = pytest.importorskip("pandas")
    index = range(len(x), 0, -1)  # an index says nothing of the order
    return pandas.Series(x, index=index) if x.ndim == 1 else pandas.DataFrame(x, index=index)


def read_only(x):
    out = x.copy()
    out.setflags(write=False)
    return out


def strided(x):
    return (
        np.repeat(np.repeat(x, 2, axis=0), 2, axis=-1)[::2, ..., ::2] if x.ndim == 2 else np.repeat(x, 2)[::2]
    )


FORMS = {"pandas": framed, "lists": np.ndarray.tolist, "read-only": read_only, "strided": strided,
         "columns first": np.asfortranarray, "big-endian": lambda x: x.astype(">f8")}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CALLS)
def test_data_in_another_form_give_the_same(name, form):
    call, data = CALLS[name]
    before = [x.copy() for x in data]
    result = call(*(FORMS[form](x) for x in data))
    np.testing.assert_allclose(np.asarray(result), call(*data), rtol=1e-10, atol=1e-12)
    for x, copy in zip(data, before, strict=True):
        np.testing.assert_array_equal(x, copy)


@pytest.mark.parametrize("name", ["transport.solve", "transport.solve_sample", "monotone.solve_lp",
                                  "special.log_iv", "special.vmf_fit", "special.matern"])  # fmt: skip
def test_arrays_of_the_array_api_come_back_as_they_are(name):
    xp = pytest.importorskip("array_api_strict")
    call, data = CALLS[name]
    reference = call(*data)
    if name == "monotone.solve_lp":
        data = (*data, np.zeros(4), np.ones(4))
        call = lambda *args: monotone.solve_lp(*args).x  # noqa: E731
    result = call(*(xp.asarray(x) for x in data))
    if np.ndim(reference):
        assert type(result) is type(xp.asarray(0.0))
    np.testing.assert_allclose(np.asarray(result), reference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("solver", [linear.cg, linear.bicgstab, linear.gmres])
def test_products_and_sums_of_operators_of_ours_and_scipys(solver):
    b = RNG.normal(size=25)
    ours = linear.SSOR(A, 1.2)
    mixed = 0.5 * (ours + spla.aslinearoperator(sp.diags_array(1 / A.diagonal())))
    assert isinstance(ours, spla.LinearOperator)
    assert (ours @ spla.aslinearoperator(A)).matvec(b).shape == (25,)
    np.testing.assert_allclose(ours.H @ b, ours @ b, rtol=1e-12)
    result = solver(spla.aslinearoperator(A), b, M=mixed, rtol=1e-10)
    np.testing.assert_allclose(A @ result.x, b, atol=1e-8)


def test_operators_of_ours_in_scipys_eigensolvers():
    smallest = spla.eigsh(A, 1, which="SA", return_eigenvectors=False)
    largest = spla.eigsh(linear.ICT(A, droptol=0.0, fill=25), 1, return_eigenvectors=False)
    np.testing.assert_allclose(1 / largest, smallest, rtol=1e-8)
    x = np.random.default_rng(0).normal(size=(25, 2))
    values, _ = spla.lobpcg(A, x, M=linear.SSOR(A, 1.2), largest=False, tol=1e-10, maxiter=200)
    np.testing.assert_allclose(min(values), smallest[0], rtol=1e-8)
    spline = fractional.RieszSplineOperator(40, 3, 1.5)
    assert spla.svds(spline, 1, return_singular_vectors=False)[0] == pytest.approx(
        np.linalg.norm(spline.todense(), 2), rel=1e-8
    )


#: A solver of each kind whose callback is SciPy's, of either form.
WATCHED = {
    "linear.cg": lambda callback: linear.cg(A, np.ones(25), callback=callback),
    "linear.gmres": lambda callback: linear.gmres(A, np.ones(25), callback=callback),
    "transport.solve": lambda callback: transport.solve(M, reg=0.01, callback=callback),
    "monotone.linprog": lambda callback: monotone.linprog([-1, -2], [[1, 1]], [1], callback=callback),
    "sketch.minimize": lambda callback: sketch.minimize(
        scipy.optimize.rosen, np.zeros(3), jac=scipy.optimize.rosen_der, hess=scipy.optimize.rosen_hess,
        callback=callback),
    "atomic.AtomDFT": lambda callback: atomic.AtomDFT(2).run(callback=callback),
}  # fmt: skip


@pytest.mark.parametrize("name", WATCHED)
def test_callbacks_of_both_of_scipys_forms_are_called(name):
    points, results = [], []
    WATCHED[name](points.append)

    def watch(intermediate_result):
        results.append(intermediate_result)

    WATCHED[name](watch)
    assert len(points) == len(results) > 0
    last = results[-1]
    for ours, theirs in zip(
        points[-1] if isinstance(points[-1], tuple) else (points[-1],),
        last.x if isinstance(last.x, tuple) else (last.x,),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-8)


def test_stop_iteration_ends_a_run_as_it_does_in_scipy():
    def stop(xk):
        raise StopIteration

    theirs = scipy.optimize.minimize(scipy.optimize.rosen, np.zeros(3), method="BFGS", callback=stop)
    ours = WATCHED["sketch.minimize"](stop)
    assert theirs.nit == ours.nit == 1
    assert not ours.success


def test_scipys_objects_of_a_problem_are_taken_as_they_are():
    """The functions, constraints and tolerance of a call of `scipy.optimize.minimize`."""
    call = {
        "fun": scipy.optimize.rosen, "x0": [0.5, 0.5, 0.5], "jac": scipy.optimize.rosen_der,
        "hess": scipy.optimize.rosen_hess, "tol": 1e-10,
        "constraints": scipy.optimize.LinearConstraint([[1.0, 1.0, 1.0]], [1.5], [1.5]),
    }  # fmt: skip
    theirs = scipy.optimize.minimize(**call, method="trust-constr")
    np.testing.assert_allclose(sketch.minimize(**call).x, theirs.x, atol=1e-6)
