"""How a run behaves: callbacks, limits, Ctrl-C, warnings, progress, pictures."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from contract import Call, Conduct

from numsolve import sketch

RNG = np.random.default_rng(0)
A, B = sketch.problems.ill_conditioned(400, 12, 1e3, rng=1)
SQUARE = np.eye(12) + 0.2 * RNG.normal(size=(12, 12))
MODEL = sketch.GLM(A, B > 0, l2=1e-4)


def hs7(**settings):
    return sketch.minimize(*HS7[:2], **HS7[2], **settings)


HS7 = (
    lambda x: np.log(1 + x[0] ** 2) - x[1],
    [2.0, 2.0],
    {
        "jac": lambda x: np.array([2 * x[0] / (1 + x[0] ** 2), -1.0]),
        "hess": lambda x: np.diag([(2 - 2 * x[0] ** 2) / (1 + x[0] ** 2) ** 2, 0.0]),
        "constraints": (
            lambda x: (1 + x[0] ** 2) ** 2 + x[1] ** 2 - 4,
            lambda x: np.array([4 * x[0] * (1 + x[0] ** 2), 2 * x[1]]),
            lambda x, v: v[0] * np.diag([4 + 12 * x[0] ** 2, 2.0]),
        ),
    },
)


def kkt(r):
    _, _, parts = HS7
    c, G, _ = parts["constraints"]
    if r.x.size != 2:
        return chain_residual(r)
    return np.hypot(np.linalg.norm(parts["jac"](r.x) + G(r.x) * r.lam[0]), c(r.x))


def chain(solve, **settings):
    """A chain of slow functions: each iteration takes some milliseconds, and there are hundreds."""

    def fun(x):
        return float(np.sum(np.abs(x) ** 4) + np.sum((x[1:] - x[:-1]) ** 4))

    return solve(fun, np.linspace(1, 2, 60), jac=chain_gradient, hess=chain_hessian, tol=0.0, **settings)


def chain_gradient(x):
    g, d = 4 * x**3, 4 * np.diff(x) ** 3
    g[1:] += d
    g[:-1] -= d
    for _ in range(20):
        np.linalg.eigvalsh(np.outer(x, x))
    return g


def chain_hessian(x):
    d = 12 * np.diff(x) ** 2
    H = np.diag(12 * x**2)
    H[1:, 1:] += np.diag(d)
    H[:-1, :-1] += np.diag(d)
    return H - np.diag(d, 1) - np.diag(d, -1)


def chain_residual(r):
    return np.linalg.norm(chain_gradient(r.x))


def published(**settings):
    return sketch.adasketch_newton(*HS7[:2], **HS7[2], rng=0, **settings)


def lsqr(**settings):
    return sketch.lstsq(A, B, method="lsqr", rng=0, **settings)


def fit(**settings):
    return sketch.newton_sketch(MODEL, rng=0, tol=1e-10, **settings)


def projections(**settings):
    return sketch.sketch_project(SQUARE, SQUARE @ np.ones(12), rng=0, **settings)


def long_projections(**settings):
    settings = {"maxiter": 10**8, **settings}
    return sketch.sketch_project(np.vander(np.linspace(0, 1, 12)), np.ones(12), rng=0, rtol=0.0, **settings)


def residual_of_projections(r):
    if r.rhs_norm == np.linalg.norm(np.ones(12)):
        return np.linalg.norm(np.vander(np.linspace(0, 1, 12)) @ r.x - 1.0)
    return np.linalg.norm(SQUARE @ r.x - SQUARE @ np.ones(12))


class TestConduct(Conduct):
    calls: ClassVar = {
        "minimize": Call(hs7, measure=kkt, long=lambda **kw: chain(sketch.minimize, **kw)),
        "adasketch": Call(published, measure=kkt),
        "lsqr": Call(lsqr),
        "newton_sketch": Call(fit, measure=lambda r: np.linalg.norm(MODEL.jac(r.x))),
        "sketch_project": Call(projections, measure=residual_of_projections, long=long_projections),
    }
