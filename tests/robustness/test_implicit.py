"""Derivatives of solutions before those of linear algebra, and linear solves before LAPACK."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from robustness.frame import Call, Draw, close, dense, eps, sweep

jax = pytest.importorskip("jax")

from numsolve import implicit  # noqa: E402


def _matrix(d: Draw, *, positive: bool = False):
    n, rng = d.pick(3, 1, 6), d.rng()
    A = rng.standard_normal((n, n))
    return (A @ A.T if positive else A) + n * np.eye(n), rng


def _linear(name: str):
    def judge(got, A, b, *, transpose=False, ridge=None, tol=None, **_):
        A, b, x = (np.asarray(dense(v), np.longdouble) for v in (A, b, got))
        A = (A.T if transpose else A) + (0.0 if ridge is None else float(ridge)) * np.eye(len(A))
        e = eps(got)
        room = max(1e-6 if e < 1e-10 else 1e-3, 10 * float(tol or 0.0))
        if np.abs(A).max() < 1e100 and np.abs(b).max() < 1e100:
            least = np.linalg.lstsq(A.astype(float), b.astype(float), rcond=None)[0]
            best = np.linalg.norm((A @ least - b).astype(float))
            left = np.linalg.norm((A @ x - b).astype(float))
            size = np.abs(A).max() * np.abs(x).max(initial=0) + np.abs(b).max(initial=0)
            assert left <= best + room * np.linalg.norm(b.astype(float)) + 100 * e * float(size)
        assert np.isfinite(x).all()

    def make(d: Draw) -> Call:
        A, rng = _matrix(d, positive=name in {"solve_cg", "solve_cholesky"})
        settings = d.options(
            transpose=(False, True), ridge=(None, 0.1), tol=(None, 1e-8), maxiter=(None, 500)
        )
        return Call(
            getattr(implicit, name),
            (d.sparse(A), rng.standard_normal(len(A))),
            settings,
            judge,
            raises=RAISED,
            warns=True,
        )

    return make


def _room(settings) -> float:
    """The relative residual up to which no warning is due."""
    return min(10 * float(settings.get("tol") or 0.0), 1e9)


#: what these functions say that they raise besides
RAISED = (np.linalg.LinAlgError, FloatingPointError)


def _product(name: str):
    forward = name == "root_jvp"

    def judge(got, F, x, args, direction, **settings):
        if settings.get("info"):
            got, info = got
            assert np.isfinite(info.residual) or np.isnan(info.residual)
        A, c = matrix, dense(direction[0] if forward else direction)
        truth = np.linalg.solve(A, c) if forward else np.linalg.solve(A.T, c)
        got = np.asarray(got if forward else got[0], float).ravel()  # x of one number may have any shape
        room = max(1e-4, _room(settings) * np.linalg.cond(A))
        if np.abs(c).max(initial=0) < 1e100:
            close(got, truth, room, room * np.abs(truth).max(initial=0) + 1e-300)

    matrix = np.eye(1)

    def make(d: Draw) -> Call:
        nonlocal matrix
        A, rng = _matrix(d, positive=True)
        matrix = A
        theta, c = rng.standard_normal(len(A)), rng.standard_normal(len(A))
        settings = d.options(
            solve=("auto", "dense", "cg", "gmres", "bicgstab", "lsmr", "host", "cholesky"),
            symmetric=(True, False),
            check=(False, True), tol=(None, 1e-8), info=(False, True),
        )  # fmt: skip
        if settings.get("solve") in {"cg", "cholesky"}:
            settings["symmetric"] = True
        args = (lambda x, t: A @ x - t, np.linalg.solve(A, theta), (theta,), (c,) if forward else c)
        return Call(getattr(implicit, name), args, settings, judge, raises=RAISED, warns=True)

    return make


def solution_jacobian(d: Draw) -> Call:
    A, rng = _matrix(d)
    theta = rng.standard_normal(len(A))

    def judge(got, F, x, theta, **settings):
        n = len(A)
        if got.shape == (n, n):
            J = got @ np.eye(n)
            truth, room = np.linalg.inv(A), _room(settings) * np.linalg.cond(A)
            close(J, truth, max(1e-4, room), max(1e-5, room) * np.abs(truth).max())

    methods = ("auto", "complex-step", "central", "forward")
    settings = d.options(method=methods, check=(False, True), jac_x=(A, sp.csc_array(A)), tol=(None, 1e-8))
    args = (lambda x, t: A @ x - t, np.linalg.solve(A, theta), theta)
    return Call(implicit.solution_jacobian, args, settings, judge, keep=("jac_x",), raises=RAISED, warns=True)


def _wrapper(name: str):
    """The derivative of a wrapped solver, by JAX, at one point."""

    def judge(got, *args, **settings):
        wrapped = got(lambda init, theta: solver(theta)) if name != "differentiable" else got
        slope = jax.grad(lambda theta: wrapped(None, theta).sum())(2.0)
        close(slope, 0.5 / np.sqrt(2.0), max(1e-3, _room(settings)))

    def solver(theta):
        return jax.numpy.sqrt(theta)[None]

    def make(d: Draw) -> Call:
        settings = d.options(symmetric=(False, True), check=(False,), tol=(None, 1e-6), has_aux=(False,))
        settings |= d.options(solve=("auto", "dense", "cg", "gmres"))
        if name == "custom_root":
            args = (lambda x, theta: x * x - theta,)
        elif name == "custom_fixed_point":
            args = (lambda x, theta: 0.5 * (x + theta / x),)
        else:
            args = (lambda init, theta: solver(theta), lambda x, theta: x * x - theta)
            settings["host"] = False
        return Call(getattr(implicit, name), args, settings, judge, keep=("host",))

    return make


def make_kkt_optimality_fun(d: Draw) -> Call:
    def judge(got, obj, eq=None, ineq=None):
        assert callable(got)

    args = (lambda x, t: (x**2).sum() * t, d.pick(None, lambda x, t: x.sum() - 1.0))
    return Call(implicit.make_kkt_optimality_fun, args, {}, judge)


SOLVERS = ("dense", "cholesky", "cg", "gmres", "bicgstab", "lsmr", "host")
calls = {
    **{f"solve_{name}": _linear(f"solve_{name}") for name in SOLVERS},
    **{name: _product(name) for name in ("root_vjp", "root_jvp")},
    **{name: _wrapper(name) for name in ("custom_root", "custom_fixed_point", "differentiable")},
    **{f.__name__: f for f in (solution_jacobian, make_kkt_optimality_fun)},
}
TestImplicit = sweep(
    "implicit",
    calls,
    without={"from_jaxopt": "it takes a solver of another package"},
    seldom=("custom_root", "custom_fixed_point", "differentiable"),
)
