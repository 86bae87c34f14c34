"""Sketched least squares, Newton sketch and constrained minimisation beside SciPy, scikit-learn and IPOPT.

Errors of least squares are backward errors (Karlson and Waldén) relative to ``||A||_F``; those of models the
norm of the gradient relative to the gradient at zero; those of constrained problems the KKT residual with
least-squares multipliers. IPOPT is measured where cyipopt is installed (``pip install cyipopt-wheels``).

How far from the floor: for a condition below 1e6 `lstsq` is one symmetric product A'A (n d^2 flops at the
speed of BLAS) and five passes over A; beyond, a triangular solve with as many flops more. The sparse control
problem is one factorisation by SuperLU and one of the check at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.linalg as sl
from scipy.optimize import LinearConstraint, NonlinearConstraint
from scipy.optimize import minimize as scipy_minimize

from _harness import Case, Peer, main
from numsolve import sketch


def backward_error(A: Any, b: Any) -> Callable[[Any], float]:
    """By the singular values of A itself."""
    _, R = np.linalg.qr(A, mode="reduced")
    _, s, Vt = np.linalg.svd(R)
    size = float(np.linalg.norm(A))

    def error(x: Any) -> float:
        r = b - A @ x
        w = np.hypot(np.linalg.norm(x) * s, np.linalg.norm(r))
        return float(np.linalg.norm(Vt @ (A.T @ r) / w)) / size

    return error


def least_squares(n: int, d: int, cond: float) -> Case:
    A, b = sketch.problems.ill_conditioned(n, d, cond, rng=0)
    return Case(
        f"least squares, {n} x {d}, condition {cond:.0e}",
        ours=lambda: sketch.lstsq(A, b, rng=0).x,
        peers=[
            Peer("scipy", lambda: sl.lstsq(A, b)[0], name="SciPy lstsq"),
            Peer("scipy", lambda: sl.lstsq(A, b, lapack_driver="gelsy")[0], name="SciPy lstsq, gelsy"),
        ],
        metric="time to a backward error of 1e-15",
        error=backward_error(A, b),
        tol=1e-15,
        repeats=3,
        budget=20.0,
    )


def model_case(n: int, d: int) -> Case:
    rng = np.random.default_rng(0)
    A = rng.normal(size=(n, d)) * np.logspace(0, -2, d)
    y = rng.random(n) < 1 / (1 + np.exp(-A @ rng.normal(size=d)))
    model = sketch.GLM(A, y, l2=1e-3)
    first = float(np.linalg.norm(model.jac(np.zeros(d))))

    def newton_cholesky() -> Any:
        from sklearn.linear_model import LogisticRegression

        fit = LogisticRegression(C=1e3, solver="newton-cholesky", fit_intercept=False, tol=1e-8)
        return fit.fit(A, y).coef_[0]

    return Case(
        f"logistic regression, {n} x {d}",
        ours=lambda: sketch.newton_sketch(model, rng=0).x,
        peers=[Peer("scikit-learn", newton_cholesky, name="scikit-learn newton-cholesky")],
        metric="time to a relative gradient of 1e-8",
        error=lambda x: float(np.linalg.norm(model.jac(x))) / first,
        tol=1.01e-8,
        repeats=3,
    )


def kkt(p: sketch.problems.EqualityProblem) -> Callable[[Any], float]:
    """With the multipliers of least squares."""
    c, jac, _ = p.constraints

    def error(x: Any) -> float:
        from scipy.sparse.linalg import lsqr

        g, G = p.jac(x), jac(x)
        if isinstance(G, np.ndarray):
            lam = np.linalg.lstsq(G.T, -g, rcond=None)[0]
        else:
            lam = lsqr(G.T, -g, atol=1e-14, btol=1e-14, iter_lim=20_000)[0]
        return float(np.hypot(np.linalg.norm(g + G.T @ lam), np.linalg.norm(c(x))))

    return error


def constrained_model(n: int, d: int) -> Case:
    rng = np.random.default_rng(0)
    A = rng.normal(size=(n, d)) * np.logspace(0, -2, d)
    y = np.where(rng.random(n) < 1 / (1 + np.exp(-A @ rng.normal(size=d))), 1.0, -1.0)
    p = sketch.problems.logistic_on_sphere(A, y, rng=0)
    c, jac, hess = p.constraints

    def trust() -> Any:
        equations = NonlinearConstraint(c, 0, 0, jac, hess)
        options = {"gtol": 1e-8, "xtol": 1e-12, "maxiter": 100}
        return scipy_minimize(
            p.fun, p.x0, jac=p.jac, hess=p.hess, method="trust-constr", constraints=equations, options=options
        ).x

    return Case(
        f"logistic regression on a sphere with 10 linear equations, {n} x {d}",
        ours=lambda: sketch.minimize(p.fun, p.x0, jac=p.jac, hess=p.hess, constraints=p.constraints).x,
        peers=[Peer("scipy", trust, name="SciPy trust-constr")],
        metric="time to a KKT residual of 1e-7",
        error=kkt(p),
        tol=1e-7,
        repeats=1,
    )


def control(n: int) -> Case:
    p = sketch.problems.control(n)
    c, jac, _ = p.constraints
    G = jac(p.x0)

    def trust() -> Any:
        equations = LinearConstraint(G, 0, 0)
        return scipy_minimize(
            p.fun, p.x0, jac=p.jac, hess=p.hess, method="trust-constr", constraints=equations,
            options={"gtol": 1e-8},
        ).x  # fmt: skip

    def one_factorisation() -> Any:
        import scipy.sparse as sp
        from scipy.sparse.linalg import splu

        K = sp.csc_matrix(sp.block_array([[p.hess(p.x0), G.T], [G, None]]))
        step = splu(K).solve(-np.concatenate([p.jac(p.x0), c(p.x0)]))
        return p.x0 + step[: p.x0.size]

    return Case(
        f"control of the Poisson equation, {n} x {n}",
        ours=lambda: (
            sketch.minimize(p.fun, p.x0, jac=p.jac, hess=p.hess, constraints=p.constraints, tol=1e-6).x
        ),
        peers=[
            Peer("scipy", trust, name="SciPy trust-constr"),
            Peer("scipy", one_factorisation, name="SciPy splu, one factorisation"),
        ],
        metric="time to a KKT residual of 1e-6",
        error=kkt(p),
        tol=1e-6,
        repeats=3,
    )


def cases(quick: bool) -> Iterator[Case]:
    n, d = (20_000, 100) if quick else (100_000, 300)
    for cond in (1e2, 1e14) if quick else (1e2, 1e6, 1e10, 1e14):
        yield least_squares(n, d, cond)
    yield model_case(*((5000, 100) if quick else (30_000, 700)))
    yield constrained_model(*((2000, 50) if quick else (30_000, 700)))
    yield control(20 if quick else 100)


if __name__ == "__main__":
    main(cases)
