"""Sketches: least squares before LAPACK, minima before their conditions, recomputed here."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from robustness.frame import Call, Draw, close, dense, eps, sweep

from numsolve import sketch


def _system(d: Draw, most: int = 40):
    rng = d.rng()
    n, k = d.pick((30, 4), (most, 6), (6, 3), (4, 4), (3, 8), (1, 1), (20, 1))
    A = rng.standard_normal((n, k)) * 10.0 ** rng.uniform(-d.size(0, 5), 0, k)
    if d.seldom(4):
        A[:, -1] = A[:, 0]
    return A, rng


def lstsq(d: Draw) -> Call:
    A, rng = _system(d, 200)
    b = rng.standard_normal((len(A), 2) if d.seldom(3) else len(A))

    def judge(got, A, b, tol=None, rcond=None, **_):
        A, b = np.asarray(dense(A), np.longdouble), np.asarray(dense(b), np.longdouble)
        if not b.size:
            assert got.x.shape == (A.shape[1], *b.shape[1:])
            return
        if rcond is not None or not np.all(np.isfinite([A.max(), b.max()])) or not A.any():
            return
        scale, size = np.abs(A).max(), np.abs(b).max() or 1.0
        best = scipy.linalg.lstsq(np.asarray(A / scale, float), np.asarray(b / size, float))[0]
        e = eps(got.x)
        wanted = max(float(tol or (1e-12 if e < 1e-10 else 1e-5)), 4 * e)
        r = A / scale @ (np.asarray(got.x, np.longdouble) * (scale / size)) - b / size
        least = A / scale @ best - b / size
        room = 10 * np.sqrt(len(A)) * wanted * (1 + np.linalg.norm(np.asarray(got.x * (scale / size), float)))
        assert np.linalg.norm(r.astype(float)) <= np.linalg.norm(least.astype(float)) * (1 + 1e-6) + room

    settings = d.options(
        method=("auto", "cholqr", "lsqr"), oversample=(3.0, 1.5), nnz=(4, 1), tol=(None, 1e-6), rng=(0, 7),
        rcond=(None, 1e-3),
    )  # fmt: skip
    return Call(sketch.lstsq, (d.sparse(A), b), settings | d.limits(), judge)


def sketch_project(d: Draw) -> Call:
    A, rng = _system(d)
    b = A @ rng.standard_normal(A.shape[1])

    def judge(got, A, b, x0=None, rtol=1e-6, atol=0.0, **_):
        A, b, x = (np.asarray(v, np.longdouble) for v in (dense(A), dense(b), dense(got.x)))
        size = np.linalg.norm(b / (np.abs(b).max() or 1.0)) * np.abs(b).max()
        r = A @ x - b
        length = np.sqrt((r * r).sum())
        assert (
            length
            <= max(float(rtol) * size, float(atol)) * 1.001
            + 100 * eps(got.x) * (np.abs(A) @ np.abs(x) + np.abs(b)).sum()
        )

    kinds = ("kaczmarz", "gaussian", "block", "sparse-sign")
    settings = d.options(
        kind=kinds, block=(None, min(2, len(A)), 1), rtol=(1e-6, 0.1, 1e-3), atol=(0.0, 1.0), rng=(0, 3)
    )
    settings |= {"time_limit": 2.0}
    return Call(
        sketch.sketch_project, (d.sparse(A), b), settings | d.options(maxiter=(None, 0, 1, 40)), judge
    )


def make_sketch(d: Draw) -> Call:
    n = d.pick(20, 1, 7, 64)

    def judge(got, kind, s, n, nnz=None, rng=None):
        s, n = int(s), int(n)
        assert got.shape == (s, n)
        if s * n < 10_000:
            S = got @ np.eye(n)
            assert np.isfinite(S).all()
            u, v = np.ones(s), np.arange(n, dtype=float)
            close(u @ (got @ v), (got.T @ u) @ v, 1e-9, 1e-9)
            close(S @ v, got @ v, 1e-9, 1e-9)
            if kind in {"sparse-sign", "countsketch"}:  # columns of length one
                close(np.linalg.norm(S, axis=0), np.ones(n), 1e-12)

    kind = d.pick("sparse-sign", "gaussian", "countsketch", "srht", "rows")
    s = d.size(1, n)
    return Call(sketch.make_sketch, (kind, s, n), d.options(nnz=(None, 1, min(3, s)), rng=(0, 4)), judge)


def GLM(d: Draw) -> Call:
    A, y, family = _glm(d)

    def judge(got, A, y, family="logistic", l2=0.0):
        A, y, l2 = dense(A), dense(y), float(l2)
        x = np.linspace(-0.1, 0.1, A.shape[1]) / (np.abs(A).max() or 1.0)
        z = A @ x
        if family == "logistic":
            y = np.where(y < 0, 0.0, y)
            terms, slope = np.logaddexp(0, z) - y * z, 1 / (1 + np.exp(-z)) - y
        elif family == "poisson":
            terms, slope = np.exp(z) - y * z, np.exp(z) - y
        else:
            terms, slope = 0.5 * (z - y) ** 2, z - y
        if np.abs(y).max() < 1e100 and l2 < 1e100:
            e = eps(got.A) * 1e3
            x = x.astype(got.A.dtype)
            size = np.abs(terms).sum() + 1
            close(got.fun(x), terms.sum() + 0.5 * l2 * (x @ x), e, e * size * (1 + np.abs(y).max()))
            room = e * ((np.abs(A).T @ (np.abs(slope) + np.abs(y) + 1)).max() + l2)
            close(got.jac(x), A.T @ slope + l2 * x, e, room)

    return Call(sketch.GLM, (d.sparse(A), y, family), d.options(l2=(0.0, 0.1, 10.0)), judge)


def _glm(d: Draw):
    A, rng = _system(d, 60)
    family = d.pick("logistic", "poisson", "gaussian")
    y = {
        "logistic": (rng.random(len(A)) > 0.5).astype(float),
        "poisson": rng.poisson(1.0, len(A)).astype(float),
        "gaussian": rng.standard_normal(len(A)),
    }[family]
    return A, y, family


def newton_sketch(d: Draw) -> Call:
    A, y, family = _glm(d)
    model = sketch.GLM(d.sparse(A * d.pick(1.0, 1e3, 1e-3)), y, family, l2=d.pick(0.1, 0.0, 1e-6))

    def judge(got, model, x0=None, tol=1e-8, **_):
        at_0 = np.linalg.norm(model.jac(np.zeros(model.A.shape[1])))
        room = eps(got.x) * 100 * (np.abs(dense(model.A)).sum() * (1 + np.abs(model.y).max()))
        assert np.linalg.norm(model.jac(got.x)) <= float(tol) * at_0 * 1.001 + room

    kinds = ("sparse-sign", "gaussian", "countsketch", "srht", "rows")
    settings = d.options(sketch=kinds, precondition=(True, False), tol=(1e-8, 1e-4), rng=(0, 2))
    x0 = (d.rng().standard_normal(A.shape[1]),) if d.seldom(3) else ()
    return Call(sketch.newton_sketch, (model, *x0), settings | d.limits(), judge)


def _valley(d: Draw, *factors: float):
    """A convex objective with known derivatives, and a linear constraint in some cases."""
    n = d.pick(2, 1, 5)
    rng = d.rng()
    target, factor, power = rng.standard_normal(n), d.pick(1.0, *factors), d.pick(0.0, 1.0)
    Q = rng.standard_normal((n, n))
    Q = Q @ Q.T + np.eye(n)

    def fun(x):
        return factor * float(0.5 * (x - target) @ Q @ (x - target) + power * np.sum((x - target) ** 4))

    def jac(x):
        return factor * (Q @ (x - target) + 4 * power * (x - target) ** 3)

    def hess(x):
        return factor * (Q + np.diag(12 * power * (x - target) ** 2))

    return n, rng, fun, jac, hess


def _least(name: str):
    def make(d: Draw) -> Call:
        # the published method has an absolute tolerance
        n, rng, fun, jac, hess = _valley(d, *((1e-9, 1e9) if name == "minimize" else ()))
        settings = {"jac": jac, "hess": hess, "rng": 0}
        row = None
        if n > 1 and d.seldom(2):
            row = rng.standard_normal((1, n))
            settings["constraints"] = (lambda x: row @ x - 1.0, lambda x: row, lambda x, v: np.zeros((n, n)))
        settings |= d.options(tol=(1e-8, 1e-4) if name == "minimize" else (1e-4, 1e-2))
        if name == "minimize":
            settings |= d.options(inner=("auto", "ldl", "splu", "minres"))
        else:
            settings |= d.options(variant=("kaczmarz", "gaussian"))
        settings |= d.options(maxiter=(None, 0, 1, 20)) | {"time_limit": 3.0}

        def judge(got, fun, x0, *args, tol=1e-8, **_):
            g = jac(got.x)
            if row is not None:  # the part that no multiple of the row takes
                g = g - row[0] * (row[0] @ g) / (row[0] @ row[0])
                assert abs(float(row[0] @ got.x) - 1.0) <= max(1e-2, float(tol))
            at_0, at_start = np.linalg.norm(jac(np.zeros(n))), np.linalg.norm(jac(dense(x0)))
            room = max(2 * float(tol) * at_start, float(tol)) + 1e-9 * np.abs(hess(got.x)).max()
            assert np.linalg.norm(g) <= 1e-2 * at_0 + room
            close(got.fun, fun(got.x), 1e-9)

        x0 = rng.standard_normal(n) * d.pick(1.0, 0.0, 10.0)
        return Call(getattr(sketch, name), (fun, x0), settings, judge, keep=("jac", "hess", "constraints"))

    return make


calls = {
    **{f.__name__: f for f in (GLM, lstsq, make_sketch, newton_sketch, sketch_project)},
    **{name: _least(name) for name in ("minimize", "adasketch_newton")},
}
TestSketch = sweep(
    "sketch",
    calls,
    without={
        "Sketch": "the base of what make_sketch returns",
        "ConstrainedLogisticRegression": "an estimator, which scikit-learn's own checks call",
    },
    seldom=("adasketch_newton", "sketch_project", "minimize"),
)
