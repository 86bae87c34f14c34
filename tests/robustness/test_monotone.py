"""Linear programs before HiGHS, games before theirs, projections before their conditions."""

from __future__ import annotations

import numpy as np
import scipy.optimize
import scipy.sparse as sp
from robustness.frame import Call, Draw, close, dense, eps, sweep

from numsolve import monotone

INF = np.inf


# -- proximal maps -----------------------------------------------------------------------------------


def _points(d: Draw):
    shape = d.pick((4,), (1,), (2, 3), (1, 5))
    return d.rng().standard_normal(shape) * d.pick(1.0, 1e-3, 1e6, 1e-200, 1e200)


def project_simplex(d: Draw) -> Call:
    def judge(got, y, radius=1.0, axis=-1):
        y, radius = np.asarray(dense(y), np.longdouble), np.longdouble(float(radius))
        assert got.shape == y.shape
        size = max(radius, np.abs(y).max(initial=0)) * 100 * eps(got)
        p = np.moveaxis(np.asarray(got, np.longdouble), int(axis), -1).reshape(-1, y.shape[int(axis)])
        q = np.moveaxis(y, int(axis), -1).reshape(p.shape)
        assert (p >= 0).all()
        if p.size:
            assert (np.abs(p.sum(axis=1) - radius) <= radius * 100 * eps(got) + size * 0.1).all()
        for a, b in zip(p, q, strict=True):  # one level below all entries that stay
            stays = a > 0
            if stays.any():
                level = (b - a)[stays]
                assert np.ptp(level) <= 10 * size
                assert (b[~stays] <= level.min() + 10 * size).all()

    settings = d.options(radius=(1.0, 1e-3, 5.0), axis=(-1, 0))
    return Call(monotone.project_simplex, (_points(d),), settings, judge)


def project_box(d: Draw) -> Call:
    def judge(got, y, lower=0.0, upper=1.0):
        truth = np.minimum(np.maximum(dense(y), dense(lower)), dense(upper))
        close(got, np.broadcast_to(truth, got.shape), 4 * eps(got))

    y = _points(d)
    low = d.pick(0.0, -1.0, -INF, np.full(y.shape, -0.5))
    return Call(monotone.project_box, (y, low, d.pick(1.0, INF, 0.0)), {}, judge)


def project_l2_ball(d: Draw) -> Call:
    def judge(got, y, radius=1.0):
        y, radius = np.asarray(dense(y), np.longdouble), np.longdouble(float(radius))
        top = np.abs(y).max(initial=0) or 1
        norm = top * np.sqrt(((y / top) ** 2).sum())
        close(got, y * min(np.longdouble(1), radius / norm) if norm else y, 100 * eps(got), 1e-320)

    return Call(monotone.project_l2_ball, (_points(d),), d.options(radius=(1.0, 1e-3, 1e9)), judge)


def prox_l1(d: Draw) -> Call:
    def judge(got, v, gamma=1.0, weight=1.0):
        v, cut = (
            np.asarray(dense(v), np.longdouble),
            np.longdouble(float(gamma)) * np.longdouble(float(weight)),
        )
        close(
            got,
            np.sign(v) * np.maximum(np.abs(v) - cut, 0),
            4 * eps(got),
            4 * eps(got) * float(min(cut, 1e300)),
        )

    return Call(monotone.prox_l1, (_points(d), d.pick(1.0, 0.1)), d.options(weight=(1.0, 0.0, 3.0)), judge)


def prox_nonnegative(d: Draw) -> Call:
    def judge(got, v, gamma=1.0):
        close(
            got,
            np.maximum(dense(v), 0.0),
            0.0 if eps(got) < 1e-15 else 1e-6,
            0.0 if eps(got) < 1e-15 else 1e-45,
        )

    return Call(monotone.prox_nonnegative, (_points(d),), d.options(gamma=(1.0, 0.5)), judge)


# -- linear programs ---------------------------------------------------------------------------------


def _program(d: Draw):
    """Of integers, so that it is often degenerate, infeasible or unbounded."""
    rng = d.rng()
    m, n = d.size(0, 5), d.size(1, 6)
    A = rng.integers(-3, 4, (m, n)).astype(float) * (rng.random((m, n)) < 0.7)
    x = rng.integers(0, 3, n).astype(float)
    slack = rng.integers(0, 3, m)
    c = rng.integers(-3, 4, n).astype(float) if d.seldom(3) else rng.integers(0, 4, n).astype(float)
    return c, A, x, slack, rng


def _highs(c, A, lc, uc, lx, ux):
    """The status by HiGHS, and the optimum."""
    A = sp.csr_array(A) if A.size else np.zeros((0, len(c)))
    got = scipy.optimize.milp(
        c, constraints=scipy.optimize.LinearConstraint(A, lc, uc) if A.shape[0] else None,
        bounds=scipy.optimize.Bounds(lx, ux),
    )  # fmt: skip
    return got.status, got.fun


#: of a tolerance: beyond it a program without a solution may have one within the tolerance
COARSE = 1e-2


def _tame(*values) -> bool:
    """Of a size at which HiGHS, whose tolerances are absolute, is a judge."""
    for v in values:
        sizes = np.abs(v[np.isfinite(v) & (v != 0)])
        if sizes.size and not (1e-3 <= sizes.min() and sizes.max() <= 1e4):
            return False
    return True


def _lp_judge(got, c, A=None, lc=None, uc=None, lx=None, ux=None, tol=1e-6, **_):
    if any(v is not None and dense(v).ndim == 2 for v in (c, lc, uc, lx, ux)):
        return  # a batch, of one program where an argument got an axis more
    c = dense(c)
    n = len(c)
    A = np.zeros((0, n)) if A is None else dense(A)
    m = len(A)
    lc = np.full(m, -INF) if lc is None else np.broadcast_to(dense(lc), m)
    uc = np.full(m, INF) if uc is None else np.broadcast_to(dense(uc), m)
    lx = np.full(n, -INF) if lx is None else np.broadcast_to(dense(lx), n)
    ux = np.full(n, INF) if ux is None else np.broadcast_to(dense(ux), n)
    x = dense(got.x)
    tol = max(float(tol or 1e-6), 1e3 * eps(got.x))
    assert (x >= lx - 1e-6 * abs(lx)).all()
    assert (x <= ux + 1e-6 * abs(ux)).all()
    if tol > 1 or not _tame(c, A, lc, uc, lx, ux):
        return
    room = 10 * tol * (1 + np.linalg.norm(np.concatenate([lc[np.isfinite(lc)], uc[np.isfinite(uc)]])))
    assert (A @ x >= lc - room).all()
    assert (A @ x <= uc + room).all()
    if tol > COARSE:
        return
    status, fun = _highs(c, A, lc, uc, lx, ux)
    assert status == 0, f"HiGHS: {status}"
    y = np.abs(dense(got.y)).max(initial=0)
    assert (
        abs(float(got.fun) - fun) <= 20 * tol * (1 + abs(fun) + np.abs(c).sum() + y * (1 + room / tol)) + 1e-6
    )


def _lp(d: Draw):
    c, A, x, slack, _ = _program(d)
    settings = {}
    if len(A):
        kind = d.pick("=", "<", ">", "free")
        rows = A @ x if not d.seldom(8) else A @ x - 7.0
        lc = np.full(len(A), -INF) if kind in "<free" else rows - (0 if kind == "=" else slack)
        uc = np.full(len(A), INF) if kind in ">free" else rows + (0 if kind == "=" else slack)
        settings |= {"A": d.sparse(A), "lc": lc, "uc": uc}
    if not d.seldom(4):
        settings |= {"lx": 0.0}
    if d.seldom(2):
        settings |= {"lx": np.where(x > 0, -1.0, 0.0), "ux": np.where(x > 1, INF, 3.0)}
    return c, settings


def _lp_settings(d: Draw):
    settings = d.options(tol=(1e-6, 1e-8, 1e-3), presolve=(False, True), polish=(None, "basic"))
    return settings | d.options(maxiter=(None, 0, 1, 200)) | {"time_limit": 3.0}


def solve_lp(d: Draw) -> Call:
    c, program = _lp(d)
    return Call(monotone.solve_lp, (c,), program | _lp_settings(d), _lp_judge)


def solve_lps(d: Draw) -> Call:
    programs = []
    for _ in range(d.size(1, 3)):
        c, p = _lp(d)
        programs.append((c, *(p.get(k) for k in ("A", "lc", "uc", "lx", "ux"))))

    def judge(got, programs, **settings):
        assert len(got) == len(programs)
        for one, program in zip(got, programs, strict=True):
            if one is not None and one.success:  # None: the time was over before
                _lp_judge(one, *program, **settings)

    settings = d.options(tol=(1e-6, 1e-4), presolve=(True, False)) | {"time_limit": 3.0}
    return Call(monotone.solve_lps, (programs,), settings, judge)


def linprog(d: Draw) -> Call:
    c, A, x, slack, _ = _program(d)
    settings = {}
    if len(A):
        settings |= {"A_ub": d.sparse(A), "b_ub": A @ x + slack}
    if len(A) > 1 and d.seldom(2):
        settings = {"A_ub": A[1:], "b_ub": (A @ x + slack)[1:], "A_eq": A[:1], "b_eq": (A @ x)[:1]}
    settings |= d.options(bounds=((0, None), (-1.0, 5.0), None, [(0, 3.0)] * len(c)), tol=(None, 1e-8))
    settings |= {"time_limit": 3.0}

    def judge(got, c, A_ub=None, b_ub=None, A_eq=None, b_eq=None, bounds=(0, None), tol=None, **_):
        tol = float(tol or 1e-6)
        given = [None if v is None else dense(v) for v in (A_ub, b_ub, A_eq, b_eq)]
        if not np.size(c):  # SciPy refuses it
            assert got.fun == 0
            return
        if tol > COARSE or not _tame(dense(c), *(v for v in given if v is not None)):
            return
        truth = scipy.optimize.linprog(dense(c), *given, bounds)
        assert truth.status == 0, truth.message
        y = 1 + np.abs(np.concatenate([truth.ineqlin.marginals, truth.eqlin.marginals])).max(initial=0)
        room = max(1e-3, 20 * tol) * (1 + abs(truth.fun) + np.abs(dense(c)).sum()) * y
        assert abs(float(got.fun) - truth.fun) <= room

    return Call(monotone.linprog, (c,), settings, judge)


def solve_game(d: Draw) -> Call:
    A = d.rng().integers(-3, 4, (d.size(1, 5), d.size(1, 5))).astype(float) * d.pick(1.0, 1e-3, 1e4)

    def judge(got, A, tol=1e-6, **_):
        A = dense(A)
        x, y = dense(got.x), dense(got.y)
        e = 1e-6 if eps(got.x) < 1e-10 else 1e-4
        close([x.sum(), y.sum()], [1.0, 1.0], e)
        assert min(x.min(), y.min()) >= 0
        size = np.abs(A).max()
        if not size or not np.isfinite(size):
            return
        gap = (A / size @ x).max() - (A.T / size @ y).min()
        assert -1e3 * eps(got.x) <= gap <= 50 * max(float(tol), 1e3 * eps(got.x)) * (1 + np.ptp(A / size))

    settings = d.options(tol=(1e-6, 1e-3), method=("auto", "lp", "simplex-pdhg"), maxiter=(None, 0, 100))
    return Call(monotone.solve_game, (d.sparse(A),), settings | {"time_limit": 3.0}, judge)


# -- inclusions --------------------------------------------------------------------------------------


def halpern(d: Draw) -> Call:
    n, rng = d.pick(2, 1, 5), d.rng()
    S = rng.standard_normal((n, n))
    A = S - S.T + (0.3 * np.eye(n) if d.seldom(2) else S @ S.T)
    L, q = float(np.linalg.norm(A, 2)) or 1.0, rng.standard_normal(n)
    prox = d.pick(None, monotone.prox_nonnegative)
    settings = d.options(method=("eag", "popov", "eg"), tol=(1e-6, 1e-3), restart=("auto", None, "adaptive"))
    if settings.get("method") in {"eg", "popov"} and settings.get("restart") == "adaptive":
        settings.pop("restart")  # they have no anchor
    settings |= {"L": L, "prox": prox} | d.options(maxiter=(None, 0, 3, 500)) | {"time_limit": 3.0}

    def judge(got, F, x0, prox=None, tol=1e-6, **_):
        x, g = dense(got.x), float(got.gamma)
        r = x - (x - g * (A @ x - q) if prox is None else np.maximum(x - g * (A @ x - q), 0))
        assert np.linalg.norm(r) / g <= float(tol) * 1.01 + 1e3 * eps(got.x) * (1 + L) * (
            1 + np.linalg.norm(x)
        )

    x0 = rng.standard_normal(n)
    return Call(monotone.halpern, (lambda x: A @ x - q, x0), settings, judge, keep=("prox", "L"))


def _finite_sum(d: Draw):
    n, k, rng = d.pick(10, 1, 30), d.pick(2, 1, 4), d.rng()
    return rng.standard_normal((n, k)), rng.standard_normal(n), rng


def AffineFiniteSum(d: Draw) -> Call:
    Z, b, _ = _finite_sum(d)

    def judge(got, Z, b):
        Z, b = dense(Z), dense(b)
        x = np.ones(Z.shape[1])
        size = np.abs(Z).max() * (np.abs(Z).max() + np.abs(b).max())
        if np.isfinite(size) and size < 1e200:
            close(got.full(x), Z.T @ (Z @ x - b) / len(Z), 1e-6, 1e-5 * size)

    return Call(monotone.AffineFiniteSum, (d.sparse(Z), b), {}, judge)


def BilinearGame(d: Draw) -> Call:
    A = d.rng().standard_normal((d.size(1, 4), d.size(1, 4)))

    def judge(got, A):
        A = dense(A)
        m, n = A.shape
        u = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
        size = np.abs(A).max()
        if size < 1e200:
            close(got.full(u), np.concatenate([A.T @ u[n:], -A @ u[:n]]), 1e-5, 1e-5 * size)

    return Call(monotone.BilinearGame, (A,), {}, judge)


def FiniteSum(d: Draw) -> Call:
    Z, b, _ = _finite_sum(d)

    def judge(got, n, full, batch, L=None):
        assert got.n == n

    args = (len(Z), lambda x: Z.T @ (Z @ x - b) / len(Z), lambda x, i: Z[i].T @ (Z[i] @ x - b[i]) / len(i))
    return Call(monotone.FiniteSum, args, d.options(L=(None, 3.0)), judge)


def vr_halpern(d: Draw) -> Call:
    Z, b, rng = _finite_sum(d)
    problem = monotone.AffineFiniteSum(d.sparse(Z), b)
    settings = d.options(
        schedule=("tuned", "paper"),
        sampling=("uniform", "importance"),
        tol=(1e-6, 1e-2),
        max_epochs=(1000, 3),
        batch=(None, 1, 3),
        prob=(None, 0.5),
        restart=("auto", None),
        prox=(None, monotone.prox_nonnegative),
    )

    def judge(got, problem, x0, prox=None, tol=1e-6, **_):
        x, g = dense(got.x), float(got.gamma)
        F = Z.T @ (Z @ x - b) / len(Z)
        r = F if prox is None else (x - np.maximum(x - g * F, 0)) / g
        assert np.linalg.norm(r) <= float(tol) * 1.01 + 1e3 * eps(got.x) * (1 + np.abs(Z).max()) ** 2 * (
            1 + np.linalg.norm(x)
        )

    settings |= {"rng": 0, "time_limit": 3.0}
    return Call(
        monotone.vr_halpern, (problem, rng.standard_normal(Z.shape[1])), settings, judge, keep=("prox",)
    )


calls = {
    f.__name__: f
    for f in (
        project_simplex,
        project_box,
        project_l2_ball,
        prox_l1,
        prox_nonnegative,
        solve_lp,
        solve_lps,
        linprog,
        solve_game,
        halpern,
        AffineFiniteSum,
        BilinearGame,
        FiniteSum,
        vr_halpern,
    )
}
TestMonotone = sweep("monotone", calls, without={}, seldom=())
