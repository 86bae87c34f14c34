"""Transport before the marginals, a dense iteration in the logarithm, and POT's exact solver."""

from __future__ import annotations

import numpy as np
import scipy.optimize
from robustness.frame import Call, Draw, dense, eps, sweep
from scipy.special import logsumexp

from numsolve import transport


def _weights(rng, n, d: Draw):
    a = rng.uniform(0.1, 1.0, n)
    if d.seldom(5) and n > 1:
        a[0] = 0.0
    return a / a.sum()


def _problem(d: Draw):
    n, m, rng = d.pick(5, 1, 8, 2), d.pick(4, 1, 8, 3), d.rng()
    M = rng.uniform(0.0, 1.0, (n, m)) * d.pick(1.0, 1.0, 100.0, 1e-3)
    return _weights(rng, n, d), _weights(rng, m, d), M


def _read(a, b, M):
    M = dense(M)
    a = np.full(M.shape[0], 1 / M.shape[0]) if a is None or np.size(a) == 0 else dense(a)
    b = np.full(M.shape[1], 1 / M.shape[1]) if b is None or np.size(b) == 0 else dense(b)
    return a, b, M


def _balanced(got, a, b, M, tol):
    """The marginals, as the tolerance says."""
    plan = dense(got.plan)
    mass = a.sum()
    assert np.isfinite(plan).all()
    assert (plan >= 0).all()
    room = 3 * max(tol, 0) * max(1.0, mass) + 1e3 * eps(got.plan) * mass
    assert np.abs(plan.sum(1) - a).sum() <= room, (np.abs(plan.sum(1) - a).sum(), room)
    assert np.abs(plan.sum(0) - b).sum() <= room + abs(a.sum() - b.sum())
    finite = np.where(np.isfinite(M), M, 0.0)
    linear = float((finite * plan).sum())
    assert (
        abs(float(got.value_linear) - linear)
        <= 1e-5 * abs(linear) + 1e3 * eps(got.plan) * np.abs(finite).max() * mass
    )


def _entropic(got, a, b, M, reg, tol):
    """The value of a dense iteration in the logarithm, where it converges at once."""
    _balanced(got, a, b, M, tol)
    spread = np.ptp(M[np.isfinite(M)]) if np.isfinite(M).any() else 0.0
    if np.isfinite(M).all() and reg and 0.02 < reg / max(spread, 1e-300) < 1e3 and 1e-100 < spread < 1e100:
        with np.errstate(divide="ignore"):
            loga, logb = np.log(a / a.sum()), np.log(b / b.sum())
        plan = _scaled(-M / reg, loga, logb)
        got = dense(got.plan) / a.sum()
        assert np.abs(got - plan).sum() <= 1e-3 + 100 * tol / a.sum() + 1e4 * eps(got), np.abs(
            got - plan
        ).sum()


def _scaled(K, loga, logb, shares=(1.0, 1.0)):
    """The plan of an iteration in the logarithm; the shares are below one for unbalanced problems."""
    g = np.zeros(K.shape[1])
    for _ in range(3000):
        f, before = -shares[0] * logsumexp(K + (g + logb)[None], axis=1), g
        g = -shares[1] * logsumexp(K + (f + loga)[:, None], axis=0)
        if np.abs(g - before).max() <= 1e-13 * (1 + np.abs(g).max()):
            break
    return np.exp(K + (f + loga)[:, None] + (g + logb)[None])


def _tol(tol) -> float:
    return float(tol)


def sinkhorn(d: Draw) -> Call:
    a, b, M = _problem(d)

    def judge(got, a, b, M, reg, tol=1e-9, return_plan=True, **_):
        if return_plan:
            a, b, M = _read(a, b, M)
            _entropic(got, a, b, M, float(reg), _tol(tol))

    settings = d.options(
        method=("auto", "scaling", "stabilized", "log", "plan"), overrelaxation=("auto", 1.0, 1.5),
        tol=(1e-9, 1e-4),
        return_plan=(True, False),
    )  # fmt: skip
    reg = d.pick(0.1, 1.0, 0.01, 10.0) * float(np.max(M) or 1.0)
    return Call(
        transport.sinkhorn,
        (d.pick(a, None), d.pick(b, None), M, reg),
        settings | _limits(d),
        judge,
        partial=True,
    )


def _limits(d: Draw) -> dict:
    return d.options(maxiter=(None, 0, 1, 50)) | {"time_limit": 3.0}


def sinkhorn_newton_sparse(d: Draw) -> Call:
    a, b, M = _problem(d)

    def judge(got, a, b, M, reg, tol=1e-9, return_plan=True, **_):
        if return_plan:
            a, b, M = _read(a, b, M)
            _entropic(got, a, b, M, float(reg), _tol(tol))

    settings = d.options(n_sinkhorn=(20, 0, 2), density=(None, 0.5), tol=(1e-9, 1e-4))
    reg = d.pick(0.1, 1.0, 0.02) * float(np.max(M) or 1.0)
    return Call(transport.sinkhorn_newton_sparse, (a, b, M, reg), settings | _limits(d), judge, partial=True)


def sinkhorn_unbalanced(d: Draw) -> Call:
    a, b, M = _problem(d)

    def judge(got, a, b, M, reg, reg_m, tol=1e-9, return_plan=True, **_):
        if not return_plan:
            return
        a, b, M = _read(a, b, M)
        plan, reg, prices = dense(got.plan), float(reg), np.broadcast_to(np.asarray(reg_m, float), 2)
        assert np.isfinite(plan).all()
        assert (plan >= 0).all()
        spread = np.abs(M).max()
        if (
            np.isfinite(M).all()
            and spread < 1e50
            and 1e-3 < reg / spread < 1e3
            and (1e-3 < prices / spread).all()
            and (prices / spread < 1e3).all()
        ):
            with np.errstate(divide="ignore"):
                loga, logb = np.log(a), np.log(b)
            truth = _scaled(-M / reg, loga, logb, prices / (prices + reg))
            assert np.abs(plan - truth).sum() <= (1e-3 + 100 * _tol(tol) + 1e4 * eps(got.plan)) * max(
                1.0, truth.sum()
            )

    settings = d.options(tol=(1e-9, 1e-4), return_plan=(True, False))
    size = float(np.max(M) or 1.0)
    args = (a, b * d.pick(1.0, 2.0), M, d.pick(0.1, 1.0) * size, d.pick(1.0, 0.1) * size)
    return Call(transport.sinkhorn_unbalanced, args, settings | _limits(d), judge, partial=True)


def solve(d: Draw) -> Call:
    a, b, M = _problem(d)

    def judge(
        got, M, a=None, b=None, reg=None, tol=1e-9, reg_type="KL", unbalanced=None, return_plan=True, **_
    ):
        if not return_plan or np.ndim(M) != 2 or any(v is not None and np.ndim(v) > 1 for v in (a, b)):
            return  # a batch, of one problem where an argument got an axis more
        a, b, M = _read(a, b, M)
        if unbalanced is not None or np.ndim(reg):
            return
        if reg is None or float(reg) == 0 or reg_type != "KL":
            _balanced(got, a, b, M, max(1e-6, _tol(tol)))
            if (reg is None or float(reg) == 0) and np.isfinite(M).all() and 1e-3 < np.abs(M).max() < 1e3:
                n, m = M.shape
                rows = np.kron(np.eye(n), np.ones(m))
                columns = np.kron(np.ones(n), np.eye(m))
                b = b * a.sum() / b.sum()
                exact = scipy.optimize.linprog(
                    M.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([a, b])
                )
                if exact.status == 0:
                    room = max(1e-4, 3 * _tol(tol)) * np.abs(M).max() * a.sum()  # the mass that may be amiss
                    assert abs(float(got.value) - exact.fun) <= room
        else:
            _entropic(got, a, b, M, float(reg), _tol(tol))

    settings = d.options(
        method=("auto", "newton", "sinkhorn", "sinkhorn_log", "sns"), tol=(1e-9, 1e-4),
        reg_type=("KL", "KL", "L2"),
        return_plan=(True, False),
    )  # fmt: skip
    reg = d.pick(0.1, 1.0, 0.0, 0.01)
    if reg == 0 or "reg_type" in settings:
        settings.pop("method", None)  # the methods are for entropy
    return Call(
        transport.solve,
        (M, d.pick(a, None, []), d.pick(b, None), reg),
        settings | _limits(d),
        judge,
        partial=True,
    )


def quadratic(d: Draw) -> Call:
    a, b, M = _problem(d)

    def judge(got, a, b, M, reg, tol=1e-8, return_plan=True, **_):
        if not return_plan:
            return
        a, b, M = _read(a, b, M)
        _balanced(got, a, b, M, _tol(tol))
        plan, reg = dense(got.plan), float(reg)
        if (
            1e-3 < reg < 1e3 and 1e-4 < np.abs(M).max() < 1e3
        ):  # one potential for each side explains the support
            slope = M + reg * plan
            assert np.isfinite(slope).all()

    settings = d.options(tol=(1e-8, 1e-4), return_plan=(True, False))
    return Call(
        transport.quadratic, (a, b, M, d.pick(1.0, 0.1, 10.0)), settings | _limits(d), judge, partial=True
    )


def sparsity_constrained(d: Draw) -> Call:
    a, b, M = _problem(d)

    def judge(got, a, b, M, reg, max_nz, axis=0, return_plan=True, tol=1e-8, **_):
        if return_plan:
            plan = dense(got.plan)
            assert np.isfinite(plan).all()
            assert (plan >= -1e-12).all()

    settings = d.options(
        formulation=("perspective", "dual", "semidual"),
        axis=(0, 1),
        rounding=(None, "support"),
        tol=(1e-8, 1e-4),
    )
    args = (a, b, M, d.pick(1.0, 0.1), d.pick(2, 1, 4))
    return Call(transport.sparsity_constrained, args, settings | _limits(d), judge, partial=True)


def solve_many(d: Draw) -> Call:
    problems = [(p[2], p[0], p[1], 0.5) for p in (_problem(d) for _ in range(d.size(1, 3)))]

    def judge(got, problems, tol=1e-9, **_):
        for one, (M, a, b, _) in zip(got, problems, strict=True):
            if one is not None and one.success:  # None: the time was over before
                _balanced(one, *_read(a, b, M), _tol(tol))

    return Call(transport.solve_many, (problems,), d.options(tol=(1e-9, 1e-4)) | {"time_limit": 3.0}, judge)


def _clouds(d: Draw):
    rng, k = d.rng(), d.pick(2, 1, 3)
    n, m = d.pick(5, 1, 9), d.pick(4, 1, 9)
    factor = d.pick(1.0, 1.0, 1e-3, 1e3)
    return rng.standard_normal((n, k)) * factor, rng.standard_normal((m, k)) * factor, factor, rng


def solve_sample(d: Draw) -> Call:
    X, Y, factor, rng = _clouds(d)
    metric = d.pick("sqeuclidean", "euclidean", "cityblock")

    def judge(got, X_a, X_b, a=None, b=None, reg=None, metric="sqeuclidean", tol=1e-6, unbalanced=None, **s):
        if unbalanced is not None:
            return
        n, m = len(X_a), len(X_b)
        a = np.full(n, 1 / n) if a is None else dense(a)
        b = np.full(m, 1 / m) if b is None else dense(b)
        if s.get("return_plan", True):
            rows, columns = got.plan @ np.ones(m), got.plan.T @ np.ones(n)
            room = 3 * _tol(tol) * max(1.0, a.sum()) + 1e3 * eps(got.x[0]) * a.sum()
            assert np.abs(rows - a).sum() <= room
            assert np.abs(columns - b).sum() <= room + abs(a.sum() - b.sum())

    size = factor if metric != "sqeuclidean" else factor**2
    weights = (_weights(rng, len(X), d), _weights(rng, len(Y), d)) if d.seldom(3) else ()
    settings = {"reg": size * d.pick(1.0, 0.1, 10.0), "metric": metric}
    settings |= d.options(tol=(1e-6, 1e-3), method=("auto",), return_plan=(True, False))
    return Call(transport.solve_sample, (X, Y, *weights), settings | _limits(d), judge, partial=True)


def sinkhorn_divergence(d: Draw) -> Call:
    X, Y, factor, _ = _clouds(d)

    def judge(got, X_a, X_b, a=None, b=None, reg=None, tol=1e-6, **_):
        value = float(got.value)
        assert np.isfinite(value)
        X, Y = dense(X_a), dense(X_b)
        size = max(np.abs(X).max() ** 2, np.abs(Y).max() ** 2, float(reg))
        if size < 1e100:
            assert value >= -max(1e-3, 10 * _tol(tol)) * size

    settings = {"reg": factor**2 * d.pick(1.0, 0.3)} | d.options(tol=(1e-6, 1e-3))
    return Call(transport.sinkhorn_divergence, (X, d.pick(Y, X)), settings | _limits(d), judge, partial=True)


calls = {
    f.__name__: f
    for f in (
        sinkhorn, sinkhorn_newton_sparse, sinkhorn_unbalanced, solve, quadratic, sparsity_constrained,
        solve_many, solve_sample, sinkhorn_divergence,
    )
}  # fmt: skip
TestTransport = sweep(
    "transport",
    calls,
    without={
        "CloudPlan": "made by solve_sample",
        "DomainAdaptation": "an estimator, which scikit-learn's own checks call",
    },
    seldom=("solve_many", "sparsity_constrained"),
)
