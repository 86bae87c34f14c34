"""Special functions before those of SciPy, and closed forms."""

from __future__ import annotations

import math

import numpy as np
import scipy.special as ss
from robustness.frame import Call, Draw, close, dense, eps, sweep

from numsolve import special

ORDERS = (0.5, 0.0, 1.0, 2.5, 7.0, 40.0, 1e3, 1e-8, 1e6, 33.3)
ARGUMENTS = (1.0, 0.0, 0.1, 3.0, 30.0, 700.0, 1e4, 1e-8, 1e-300, 1e8, 22.0)
NEAR = 1e-11  #: of SciPy's Bessel functions; the area's own tests know all digits


def _bessel(name: str, v: float, x: float) -> float:
    """The truth by SciPy, and NaN where the value leaves the range of floats."""
    kind = name[4]
    scaled = ss.ive(v, x) if kind == "i" else ss.kve(v, x)
    if not 1e-250 < scaled < 1e250:
        return math.nan
    shift = 0.0 if name.endswith("e") else (x if kind == "i" else -x)
    return math.log(scaled) + shift


def _values(name: str, got, v, x) -> None:
    v, x = np.broadcast_arrays(dense(v), dense(x))
    assert np.shape(got) == v.shape
    got = np.asarray(got)
    for g, a, b in zip(got.ravel(), v.ravel(), x.ravel(), strict=True):
        if math.isnan(a) or math.isnan(b):
            assert math.isnan(g)
        elif math.isinf(a) or math.isinf(b):
            continue
        elif b < 0 or (a < 0 and name[4] == "i"):
            assert math.isnan(g)
        elif b == 0:
            assert g == (math.inf if name[4] == "k" else 0.0 if a == 0 else -math.inf)
        else:
            assert not math.isnan(g), (a, b)
            truth = _bessel(name, abs(float(a)), float(b))
            if math.isfinite(truth):
                close(g, truth, NEAR + 9 * eps(got), NEAR + 9 * eps(got))


def bessel(name: str):
    def make(d: Draw) -> Call:
        v, x = _points(d)
        return Call(getattr(special, name), (v, x), {}, lambda got, v, x: _values(name, got, v, x), nan=True)

    return make


def _points(d: Draw):
    shape = d.pick((3,), (), (1,), (0,), (2, 2))
    n = math.prod(shape)
    v = np.array([d.pick(*ORDERS) for _ in range(n)]).reshape(shape)
    x = np.array([d.pick(*ARGUMENTS) for _ in range(n)]).reshape(shape)
    return (float(v), float(x)) if shape == () and d.seldom(2) else (v, x)


def ratio(name: str):
    """I_{v+1} / I_v and K_{v+1} / K_v."""

    def judge(got, v, x):
        v, x = np.broadcast_arrays(dense(v), dense(x))
        got = np.asarray(got)
        assert got.shape == v.shape
        for g, a, b in zip(got.ravel(), v.ravel(), x.ravel(), strict=True):
            if math.isnan(a) or math.isnan(b):
                assert math.isnan(g)
            elif math.isfinite(a) and math.isfinite(b) and b > 0 and a >= 0:
                assert not math.isnan(g), (a, b)
                log = "log_ive" if name == "iv_ratio" else "log_kve"
                above, below = _bessel(log, a + 1, b), _bessel(log, a, b)
                if math.isfinite(above) and math.isfinite(below) and above - below < 80:
                    close(g, math.exp(above - below), NEAR * (1 + abs(above)) + 9 * eps(got), 1e-37)

    return lambda d: Call(getattr(special, name), _points(d), {}, judge, nan=True)


def gradient(name: str):
    """The value, and the derivatives by differences in high precision."""

    def judge(got, v, x):
        value, d_dx, d_dv = got
        _values(name[:-5], value, v, x)
        v, x = np.broadcast_arrays(dense(v), dense(x))
        for g, a, b in zip(np.ravel(d_dx), v.ravel(), x.ravel(), strict=True):
            if not (math.isfinite(a) and math.isfinite(b)):
                continue
            log = name[:-5] + "e"
            above, below = _bessel(log, a + 1, b), _bessel(log, a, b)
            if b > 0 and a >= 0 and math.isfinite(above + below) and above - below < 80:
                ratio = math.exp(above - below)  # (log I_v)' = v / x + I_{v+1} / I_v
                truth = a / b + (ratio if "iv" in name else -ratio)
                close(g, truth, 1e-9 + 9 * eps(value), (a / b + ratio) * (1e-9 + 9 * eps(value)))
        assert np.shape(d_dv) == v.shape

    return lambda d: Call(getattr(special, name), _points(d), {}, judge, nan=True)


def _correlation(r: float, nu: float, length: float) -> float:
    s = math.sqrt(2 * nu) * r / length
    if s == 0:
        return 1.0
    log = (1 - nu) * math.log(2) - ss.gammaln(nu) + nu * math.log(s) - s
    return math.exp(log + math.log(ss.kve(nu, s))) if 0 < ss.kve(nu, s) < 1e250 else math.nan


def _matern_points(d: Draw):
    n = d.size(0, 4)
    r = np.array([d.pick(1.0, 0.0, 0.3, 1e-9, 5.0, 80.0, 1e-200) for _ in range(n)])
    nu = d.pick(1.5, 0.5, 2.5, 0.01, 3.3, 30.0, 300.0)
    return (r, nu) + ((d.pick(1.0, 0.1, 20.0),) if d.seldom(2) else ())


def _matern_judge(got, r, nu, length=1.0):
    value = got[0] if isinstance(got, tuple) else got
    r, nu, length = np.broadcast_arrays(dense(r), dense(nu), dense(length))
    assert np.shape(value) == r.shape
    assert not np.isnan(np.asarray(value)).any()
    for g, a, b, c in zip(np.ravel(value), r.ravel(), nu.ravel(), length.ravel(), strict=True):
        s = math.sqrt(2 * b) * a / c if c else math.inf
        if 1e-3 <= b <= 400 and (s == 0 or 1e-100 < s < 600):
            truth = _correlation(float(a), float(b), float(c))
            if math.isfinite(truth):
                close(g, truth, 1e-9 * (1 + b) + 1e4 * eps(value), 1e-30)
        if isinstance(got, tuple):
            assert not any(np.isnan(np.asarray(part)).any() for part in got)


def matern(d: Draw) -> Call:
    return Call(special.matern, _matern_points(d), {}, _matern_judge)


def matern_grad(d: Draw) -> Call:
    return Call(special.matern_grad, _matern_points(d), {}, _matern_judge)


def matern_log_det(d: Draw) -> Call:
    n = d.size(1, 5)
    t = np.sort(d.rng().uniform(0, 3, n)) + np.arange(n)
    r = np.abs(t[:, None] - t)

    def judge(got, r, nu, length=1.0, noise=0.0):
        r, nu, length, noise = (np.asarray(v, float) for v in (r, nu, length, noise))
        if not 1e-2 <= float(nu) <= 100 or r.max() * math.sqrt(2 * nu) / length > 600:
            return
        C = np.array([[_correlation(float(a), float(nu), float(length)) for a in row] for row in r])
        value = np.linalg.slogdet(C + float(noise) * np.eye(len(C)))
        close(
            got[0], value[1], 1e-6, 1e-6 * max(1.0, np.linalg.cond(C + float(noise) * np.eye(len(C))) * 1e-9)
        )
        assert np.isfinite(got).all()

    settings = d.options(length=(1.0, 0.2, 5.0), noise=(0.0, 0.1, 1e-8))
    return Call(special.matern_log_det, (r, d.pick(0.5, 1.5, 2.2)), settings, judge)


def _log_norm(dim: float, kappa: float) -> float:
    """Of exp(kappa mu.x) on the sphere: minus the logarithm of its integral."""
    half = dim / 2
    if kappa < 1e-100:
        return float(ss.gammaln(half) - math.log(2) - half * math.log(math.pi))
    return (half - 1) * math.log(kappa) - half * math.log(2 * math.pi) - _bessel("log_iv", half - 1, kappa)


def vmf_log_norm(d: Draw) -> Call:
    kappa = d.pick(1.0, 0.0, 1e-9, 30.0, 600.0, np.array([0.5, 3.0]), np.zeros(0))

    def judge(got, dim, kappa):
        kappa = dense(kappa)
        assert np.shape(got) == kappa.shape
        assert not np.isnan(np.asarray(got)).any()
        for g, k in zip(np.ravel(got), kappa.ravel(), strict=True):
            if (k == 0 or 1e-100 < k < 1e3) and float(dim) < 1e3:
                truth = _log_norm(float(dim), float(k))
                close(g, g if math.isnan(truth) else truth, 1e-9 + 1e3 * eps(got), 1e-9 + 1e4 * eps(got))

    return Call(special.vmf_log_norm, (d.pick(3, 2, 10, 500), kappa), {}, judge)


def vmf_entropy(d: Draw) -> Call:
    kappa = d.pick(1.0, 0.0, 1e-9, 30.0, 600.0, np.array([0.5, 3.0]), np.zeros(0))

    def judge(got, dim, kappa):
        kappa = dense(kappa)
        assert np.shape(got) == kappa.shape
        assert not np.isnan(np.asarray(got)).any()
        for g, k in zip(np.ravel(got), kappa.ravel(), strict=True):
            if 1e-6 < k < 1e3 and float(dim) < 1e3:
                half = float(dim) / 2
                mean = ss.ive(half, k) / ss.ive(half - 1, k)
                truth = -_log_norm(float(dim), float(k)) - k * mean
                close(g, g if math.isnan(truth) else truth, 1e-9, 1e-9 + 1e5 * eps(got))

    return Call(special.vmf_entropy, (d.pick(3, 2, 10, 500), kappa), {}, judge)


def _unit(d: Draw, n: int | None, dim: int) -> np.ndarray:
    x = d.rng().standard_normal((dim,) if n is None else (n, dim))
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def vmf_log_prob(d: Draw) -> Call:
    dim = d.pick(3, 2, 5)

    def judge(got, x, mu, kappa):
        x, mu, kappa = dense(x), dense(mu), dense(kappa)
        x, mu = (u / np.linalg.norm(u, axis=-1, keepdims=True) for u in (x, mu))  # as documented
        assert not np.isnan(np.asarray(got)).any()
        if kappa.ndim == 0 and x.ndim == 2 and mu.ndim == 1 and float(kappa) < 1e3:
            truth = float(kappa) * (x @ mu) + _log_norm(x.shape[-1], float(kappa))
            close(got, truth, 1e5 * eps(got), 1e5 * eps(got) * (1 + float(kappa)))

    args = (_unit(d, d.size(1, 4), dim), _unit(d, None, dim), d.pick(1.0, 0.0, 50.0))
    return Call(special.vmf_log_prob, args, {}, judge)


def vmf_sample(d: Draw) -> Call:
    def judge(got, mu, kappa, size=1, rng=None):
        assert got.shape == (int(size), len(mu))
        assert np.isfinite(got).all()
        close(np.linalg.norm(np.asarray(got, float), axis=1), np.ones(len(got)), 1e3 * eps(got))

    args = (_unit(d, None, d.pick(3, 2, 5, 50)), d.pick(1.0, 0.0, 50.0, 1e8))
    return Call(special.vmf_sample, args, d.options(size=(3, 0, 1), rng=(0, 5)), judge)


def vmf_fit(d: Draw) -> Call:
    dim = d.pick(3, 2, 5)

    def judge(got, X=None, R=None, d=None, weights=None, normalize=False, tol=1e-15, **_):
        if X is not None:
            X = dense(X)
            if normalize:
                X = X / np.linalg.norm(X, axis=1, keepdims=True)
            w = np.ones(len(X)) if weights is None else dense(weights)
            R, d = np.linalg.norm(w @ X) / w.sum(), X.shape[1]
        kappa, half = float(got.kappa), int(d) / 2
        if 1e-6 < kappa < 1e4 and ss.ive(half, kappa) > 1e-250:
            close(ss.ive(half, kappa) / ss.ive(half - 1, kappa), float(R), max(1e-6, float(tol)))

    if d.seldom(3):
        args, settings = (), {"R": d.pick(0.5, 1e-3, 0.999), "d": dim}
    else:
        n = d.size(2, 6)
        args, settings = (
            (_unit(d, n, dim),),
            d.options(weights=(d.rng().uniform(0.1, 1, n),), normalize=(True, False)),
        )
    return Call(special.vmf_fit, args, settings | d.options(tol=(1e-15, 1e-8), maxiter=(50, 1)), judge)


calls = {
    **{name: bessel(name) for name in ("log_iv", "log_ive", "log_kv", "log_kve")},
    **{name: ratio(name) for name in ("iv_ratio", "kv_ratio")},
    **{name: gradient(name) for name in ("log_iv_grad", "log_kv_grad")},
    **{f.__name__: f for f in (matern, matern_grad, matern_log_det)},
    **{f.__name__: f for f in (vmf_entropy, vmf_fit, vmf_log_norm, vmf_log_prob, vmf_sample)},
}
TestSpecial = sweep(
    "special", calls, without={"VMFMixture": "an estimator, which scikit-learn's own checks call"}
)
