"""Fractional equations before closed forms: Getoor's solution, series, heat at the order two."""

from __future__ import annotations

import math
import warnings

import numpy as np
import scipy.special as ss
from robustness.frame import Call, Draw, close, dense, sweep
from scipy.interpolate import BSpline

from numsolve import fractional

INSIDE = np.array([0.25, 0.5, 0.61])  #: of the interval, from its left end


def _order(d: Draw) -> float:
    return d.pick(1.5, 2.0, 1.2, 1.9, 1.01)


def _interval(d: Draw, settings: dict, default=(0.0, 1.0)) -> dict:
    if d.seldom(3):
        settings["interval"] = d.pick((0.0, 1.0), (-1.0, 1.0), (2.0, 2.5), (-1e3, 1e3), (0.0, 1e-6))
    return settings


# -- splines and symbols -----------------------------------------------------------------------------


def _left(p: int, t: np.ndarray, alpha: float) -> np.ndarray:
    """The derivative of the truncated powers, one by one."""
    k = np.arange(p + 2)
    steps = np.maximum(t[..., None] - k, 0.0)
    terms = (-1.0) ** k * ss.binom(p + 1, k) * np.where(steps > 0, steps, 1.0) ** (p - alpha)
    return np.sum(np.where(steps > 0, terms, 0.0), -1) / ss.gamma(p + 1 - alpha)


def bspline_fractional_derivative(d: Draw) -> Call:
    p = d.pick(3, 2, 5, 8)
    t = d.rng().uniform(-2, p + 3, d.pick((4,), (), (0,), (2, 2)))

    def judge(got, p, t, alpha, side="riesz"):
        p, t, alpha = int(p), dense(t), float(alpha)
        assert np.shape(got) == t.shape
        if (np.abs(t) > 50).any() or p > 12:
            assert np.isfinite(got).all()
            return
        left, right = _left(p, t, alpha), _left(p, p + 1 - t, alpha)
        truth = {"left": left, "right": right, "riesz": (left + right) / (2 * math.cos(math.pi * alpha / 2))}
        smooth = (t % 1 != 0) | (alpha < p)  # else the derivative may jump there
        close(np.asarray(got)[smooth], truth[side][smooth], 1e-6, 1e-7 * 10.0 ** (p / 2))

    settings = d.options(side=("riesz", "left", "right"))
    return Call(fractional.bspline_fractional_derivative, (p, t, _order(d)), settings, judge)


def mass_symbol(d: Draw) -> Call:
    def judge(got, theta, p):
        theta, p = dense(theta), int(p)
        if p > 30 or (np.abs(theta) > 1e6).any():
            assert np.isfinite(got).all()
            return
        k = np.arange(-(p // 2), p // 2 + 1)
        values = BSpline.basis_element(np.arange(p + 2.0), extrapolate=False)((p + 1) / 2 + k)
        close(got, np.cos(np.multiply.outer(theta, k)) @ np.nan_to_num(values), 1e-9, 1e-9)

    return Call(fractional.mass_symbol, (_angles(d), d.pick(3, 2, 5, 9)), {}, judge)


def _angles(d: Draw) -> np.ndarray:
    return d.rng().uniform(-3.1, 3.1, d.pick((4,), (), (0,), (2, 2)))


def riesz_symbol(d: Draw) -> Call:
    def judge(got, theta, p, alpha):
        theta, p, alpha = np.abs(dense(theta)), int(p), float(alpha)
        assert np.isfinite(got).all()
        if p > 12 or (theta > 3.14159).any() or (0 < theta.min(initial=9) < 1e-6):
            return
        s = p + 1 - alpha
        if s <= 1:  # the series of p = 2 at the order two: of 2 - 2 cos(theta)
            close(got, 2 - 2 * np.cos(theta), 1e-6, 1e-12)
            return

        def side(x):
            if p % 2:
                return ss.zeta(s, x)
            return 2**-s * (ss.zeta(s, x / 2) - ss.zeta(s, (x + 1) / 2))

        x = np.where(theta > 0, theta, 1.0) / (2 * np.pi)
        truth = (2 * np.sin(np.pi * x)) ** (p + 1) * (2 * np.pi) ** -s * (side(x) + side(1 - x))
        close(got, np.where(theta > 0, truth, 0.0), 1e-8, 1e-9)

    return Call(fractional.riesz_symbol, (_angles(d), d.pick(3, 2, 4, 9), _order(d)), {}, judge)


def analyze_symbol(d: Draw) -> Call:
    def judge(got, p, alpha):
        p, alpha = int(p), float(alpha)
        if p < 20:
            theta = np.linspace(1e-3, np.pi, 400)
            values = fractional.riesz_symbol(theta, p, alpha)
            assert got.peak >= values.max() * (1 - 1e-9)
            close(got.peak, values.max(), 1e-3)
            close(got.at_pi, values[-1], 1e-8)
            close(got.zero_order, alpha, 1e-6)

    return Call(fractional.analyze_symbol, (d.pick(3, 2, 5, 9), _order(d)), {}, judge)


def good_n(d: Draw) -> Call:
    def judge(got, n, p):
        assert int(n) <= got <= 4 * int(n) + 4 * int(p) + 64

    return Call(fractional.good_n, (d.pick(100, 8, 1000), d.pick(3, 2, 4)), {}, judge)


def RieszSplineOperator(d: Draw) -> Call:
    def judge(got, n, p, alpha, **_):
        k = got.shape[1]
        if k > 300:
            return
        rng = np.random.default_rng(0)
        D, u, v = got.todense(), rng.standard_normal(k), rng.standard_normal(k)
        assert np.isfinite(D).all()
        size = np.abs(D).max()
        close(got @ u / size, D @ u / size, 1e-9, 1e-10 * k)
        close(got.T @ v / size, D.T @ v / size, 1e-9, 1e-10 * k)

    settings = d.options(definition=("rl", "caputo"), weights=((0.5, 0.5), (1.0, 0.0), (0.3, 0.9)))
    p = d.pick(3, 2, 5)
    alpha = _order(d)
    if alpha < 1.5:  # near the order one, unequal weights may make the matrix one that is refused
        settings.pop("weights", None)
    args = (d.pick(16, 2 * p, 33), p, alpha)
    return Call(fractional.RieszSplineOperator, args, _interval(d, settings), judge)


# -- equations ---------------------------------------------------------------------------------------


def _getoor(alpha: float, interval, x: np.ndarray) -> np.ndarray:
    """The solution for the load one."""
    a, b = map(float, interval)
    half = 0.5 * (b - a)
    s = (x - 0.5 * (a + b)) / half
    factor = (
        half**alpha * math.sqrt(math.pi) / (2**alpha * ss.gamma(1 + alpha / 2) * ss.gamma(0.5 + alpha / 2))
    )
    return factor * (1 - s * s) ** (alpha / 2)


def _near(result, truth: np.ndarray, values: np.ndarray) -> None:
    """Within the estimate of the error, which is one, and not a bound."""
    estimate = float(result.error_estimate)
    assert np.isfinite(values).all()
    room = 10 * estimate if math.isfinite(estimate) else 0.1
    assert np.abs(values - truth).max(initial=0) <= max(room, 1e-7) * np.abs(truth).max(initial=0) + 1e-300


def _bvp_order(d: Draw, settings: dict) -> float:
    """Near the order one, unequal weights may make the matrix one that is refused."""
    return d.pick(1.5, 2.0, 1.9) if "weights" in settings else _order(d)


def _bvp_settings(d: Draw) -> dict:
    settings = d.options(
        n=(64, 16, 100), p=(5, 3, 2), method=("auto", "spline", "spectral"), rtol=(1e-12, 1e-6),
        weights=((0.5, 0.5), (0.3, 0.9), (1.0, 0.0)), definition=("rl", "rl", "caputo", "spectral"),
        reaction=(None, 1.0), preconditioner=("auto", None),
    )  # fmt: skip
    if settings.get("method") == "spectral":
        settings.pop("definition", None)
    if settings.get("definition") == "spectral":
        settings.pop("weights", None)
        settings.pop("method", None)
    return _interval(d, settings)


def _bvp_judge(got, f, alpha, settings) -> None:
    a, b = map(float, settings.get("interval", (0.0, 1.0)))
    x = a + (b - a) * INSIDE
    weights = [float(w) for w in settings.get("weights", (0.5, 0.5))]
    plain = settings.get("reaction") is None and settings.get("definition", "rl") == "rl"
    assert np.isfinite(got(x)).all()
    if plain and weights[0] == weights[1] and not callable(f) and np.ndim(f) == 0:
        truth = float(f) * _getoor(float(alpha), (a, b), x) / (2 * weights[0])
        _near(got, truth, got(x))


def solve_riesz_bvp(d: Draw) -> Call:
    settings = _bvp_settings(d) | d.limits()
    f = d.pick(1.0, -3.0, 1e-9, np.ones_like)
    return Call(
        fractional.solve_riesz_bvp,
        (f, _bvp_order(d, settings)),
        settings,
        lambda got, f, alpha, **s: _bvp_judge(got, f, alpha, s),
    )


def RieszSolver(d: Draw) -> Call:
    def judge(got, alpha, **settings):
        if np.ndim(alpha) == 0:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    result = got.solve(2.0)
                except ValueError:  # the method does not apply
                    return
            if result.success:
                _bvp_judge(result, 2.0, alpha, settings)

    settings = _bvp_settings(d)
    return Call(fractional.RieszSolver, (_bvp_order(d, settings),), settings, judge)


def solve_riesz_eig(d: Draw) -> Call:
    def judge(got, alpha, k=6, interval=(-1.0, 1.0), potential=None, **_):
        a, b = map(float, interval)
        alpha, k = float(alpha), np.arange(1, int(k) + 1)
        x = np.asarray(got.x, float)
        assert x.shape == k.shape
        assert (np.diff(x) >= 0).all()
        if potential is None:  # Kwasnicki's asymptotics, exact at the order two
            truth = ((k * np.pi / (b - a)) - (2 - alpha) * np.pi / (4 * (b - a))) ** alpha
            estimate = np.max(got.error_estimate)
            room = max(10 * float(estimate) if np.isfinite(estimate) else 0.1, 1e-7)
            assert (np.abs(x - truth) <= truth * (room + (2 - alpha) * 0.2 / k)).all(), (x, truth)

    settings = d.options(
        k=(6, 1, 3), method=("spectral", "spline"), n=(None, 64), p=(5, 3), potential=(None, 1.0)
    )
    return Call(fractional.solve_riesz_eig, (_order(d),), _interval(d, settings), judge)


def solve_riesz_2d(d: Draw) -> Call:
    def judge(got, f, alpha, reaction=None, **settings):
        values = got(0.5, 0.5)
        assert np.isfinite(values).all()
        if (
            not callable(f)
            and np.ndim(f) == 0
            and np.ndim(alpha) == 0
            and float(alpha) == 2
            and reaction is None
        ):
            k = np.arange(1, 80, 2)  # the membrane under the load one, at its middle
            i, j = np.meshgrid(k, k)
            series = 16 / np.pi**4 / (i * j * (i**2 + j**2)) * np.sin(i * np.pi / 2) * np.sin(j * np.pi / 2)
            _near(got, np.atleast_1d(float(f) * series.sum()), np.atleast_1d(values))

    settings = d.options(n=(32, 16, 48), p=(3, 2), reaction=(None, 1.0), rtol=(1e-10, 1e-5)) | d.limits()
    f = d.pick(1.0, 0.0, lambda x, y: np.ones_like(x + y))
    return Call(fractional.solve_riesz_2d, (f, d.pick(1.5, 2.0, 1.2)), settings, judge)


def solve_riesz_disc(d: Draw) -> Call:
    def judge(got, f, alpha, center=(0.0, 0.0), radius=1.0, n=64, reaction=None):
        alpha, radius = float(alpha), float(radius)
        u = got(float(center[0]) + 0.3 * radius, float(center[1]))
        assert np.isfinite(u).all()
        if not callable(f) and np.ndim(f) == 0 and reaction is None:
            factor = radius**alpha / (2**alpha * ss.gamma(1 + alpha / 2) ** 2)
            _near(got, np.atleast_1d(float(f) * factor * 0.91 ** (alpha / 2)), np.atleast_1d(u))

    settings = d.options(
        center=((0.0, 0.0), (1.0, -2.0)), radius=(1.0, 1e-3, 1e3), n=(64, 8, 20), reaction=(None, 2.0)
    )
    f = d.pick(1.0, -2.0, lambda x, y: 1.0 + 0 * x)
    return Call(fractional.solve_riesz_disc, (f, d.pick(1.5, 0.5, 2.0, 1.0)), settings, judge)


def solve_fractional_diffusion(d: Draw) -> Call:
    def sine(x):
        return np.sin(np.pi * x)

    def judge(got, u0, alpha, t_span, kappa=1.0, interval=(0.0, 1.0), t_eval=None, **_):
        x = float(interval[0]) + (float(interval[1]) - float(interval[0])) * INSIDE
        values = got(x)
        assert np.isfinite(values).all()
        if u0 is sine and float(alpha) == 2 and not callable(kappa) and np.ndim(kappa) == 0 and x[1] == 0.5:
            span = float(t_span[1]) - float(t_span[0])
            truth = np.exp(-(np.pi**2) * float(kappa) * span) * np.sin(np.pi * x)
            assert np.abs(values[..., -1] if values.shape[0] == 3 else values[-1] - truth).max() < 2.0

    settings = d.options(
        kappa=(1.0, 0.1), dt=(None, 0.01), theta=(None, 0.5, 1.0), n=(32, 64), p=(5, 3), rtol=(1e-10, 1e-6),
        method=("auto", "spline", "spectral"), t_eval=(None, np.array([0.0, 0.05])),
    )  # fmt: skip
    args = (d.pick(sine, 1.0, lambda x: x * (1 - x)), _order(d), (0.0, d.pick(0.1, 1.0)))
    return Call(fractional.solve_fractional_diffusion, args, settings | {"time_limit": 3.0}, judge)


# -- first passage -----------------------------------------------------------------------------------


def _flight(d: Draw) -> dict:
    settings = d.options(kappa=(1.0, 3.0), weights=((0.5, 0.5), (0.7, 0.3)), n=(64, 128))
    return _interval(d, settings)


def _heat(t, s, slope=False):
    k = np.pi * (np.arange(200) + 0.5)
    terms = 2 * (-1.0) ** np.arange(200) / k * np.cos(np.multiply.outer(s, k)) * np.exp(-(k**2) * t)
    return np.sum(terms * (k**2 if slope else 1.0), -1)


def _passage(name: str):
    def judge(got, alpha, t, interval=(-1.0, 1.0), kappa=1.0, weights=(0.5, 0.5), n=256):
        a, b = map(float, interval)
        s = 2 * INSIDE - 1
        values = np.asarray(got(a + (b - a) * INSIDE))
        assert np.isfinite(values).all()
        estimate = np.max(got.error_estimate)
        room = 10 * estimate if np.isfinite(estimate) else 0.1
        size = max(1.0, np.abs(values).max(initial=0))
        assert (values >= -(1e-6 + room) * size).all()
        if name == "survival_probability":
            assert (values <= 1 + 1e-6 + room).all()
        if np.ndim(t) == 0 and float(alpha) == 2:
            half = 0.5 * (b - a)
            speed = float(kappa) / half**2 * (float(weights[0]) + float(weights[1]))
            if 1e-3 < float(t) * speed < 30:
                truth = _heat(float(t) * speed, s, name != "survival_probability")
                truth = truth * (1.0 if name == "survival_probability" else speed)
                assert np.abs(values - truth).max() <= (1e-5 + room) * max(1.0, np.abs(truth).max())

    def make(d: Draw) -> Call:
        t = d.pick(0.1, 1.0, 1e-3, np.array([0.1, 1.0]), 1e3)
        settings = _flight(d)
        alpha = 1.5 if "weights" in settings else d.pick(1.5, 2.0, 1.0, 0.8)
        return Call(getattr(fractional, name), (alpha, t), settings, judge)

    return make


def exit_time_moments(d: Draw) -> Call:
    def judge(got, alpha, k=1, interval=(-1.0, 1.0), kappa=1.0, weights=(0.5, 0.5), n=256):
        a, b = map(float, interval)
        values = np.atleast_2d(got(a + (b - a) * INSIDE))
        assert np.isfinite(values).all()
        if float(weights[0]) == float(weights[1]):
            truth = (
                _getoor(float(alpha), interval, a + (b - a) * INSIDE) / float(kappa) / (2 * float(weights[0]))
            )
            estimate = np.max(got.error_estimate)
            room = max(10 * estimate if np.isfinite(estimate) else 0.1, 1e-7)
            assert np.abs(values[0] - truth).max() <= room * truth.max()

    return Call(fractional.exit_time_moments, (d.pick(1.5, 2.0, 0.7), d.pick(1, 2, 3)), _flight(d), judge)


calls = {
    f.__name__: f
    for f in (
        bspline_fractional_derivative,
        mass_symbol,
        riesz_symbol,
        analyze_symbol,
        good_n,
        RieszSplineOperator,
        solve_riesz_bvp,
        RieszSolver,
        solve_riesz_eig,
        solve_riesz_2d,
        solve_riesz_disc,
        solve_fractional_diffusion,
        exit_time_moments,
    )
} | {name: _passage(name) for name in ("survival_probability", "exit_time_density")}
made = "made by a solver, not by hand"
TestFractional = sweep(
    "fractional",
    calls,
    without=dict.fromkeys(
        ("DiscSolution", "JacobiSolution", "SineSolution", "SymbolAnalysis", "TensorSine", "TensorSpline"),
        made,
    ),
    seldom=("solve_fractional_diffusion", "solve_riesz_2d", "survival_probability", "exit_time_density"),
)
