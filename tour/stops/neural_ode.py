"""Hares and lynxes: the parameters of a differential equation from real data."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from numsolve import neural_ode
from stop import Judgement, Stop, canvas

jax.config.update("jax_enable_x64", True)

#: Pelts of hares and lynxes (thousands) that the Hudson's Bay Company bought from 1900
#: to 1920, as tabled by P. Howard, "Modeling basics" (2009), and by Stan's case study
HARES = [30.0, 47.2, 70.2, 77.4, 36.3, 20.6, 18.1, 21.4, 22.0, 25.4, 27.1, 40.3, 57.0]
HARES += [76.6, 52.3, 19.5, 11.2, 7.6, 14.6, 16.2, 24.7]
LYNXES = [4.0, 6.1, 9.8, 35.2, 59.4, 41.7, 19.0, 13.0, 8.3, 9.1, 7.4, 8.0, 12.3]
LYNXES += [19.5, 45.7, 51.1, 29.7, 15.8, 9.7, 10.1, 8.6]
#: logarithms of the four rates and the two starts, as one would guess them
GUESS = np.log([0.5, 0.03, 0.8, 0.03, 30.0, 4.0])


def load() -> dict[str, Any]:
    """Logarithms of the counts, year by year."""
    return {"logs": np.log([HARES, LYNXES]).T}


def speed(t, y, p):
    """Of the logarithms of hares and lynxes."""
    hares, lynxes = jnp.exp(y[:1]), jnp.exp(y[1:])
    return jnp.concatenate([p[0] - p[1] * lynxes, p[3] * hares - p[2]])


@jax.jit
@jax.value_and_grad
def misfit(q, logs):
    """Solve from the start q[4:] with the rates exp(q[:4]), year by year."""
    years, rates = jnp.arange(21.0), jnp.exp(q[:4])
    sol = neural_ode.odesolve(
        speed, q[4:], (0.0, 20.0), rates, ts=years, rtol=1e-8, atol=1e-8
    )
    return ((sol.ys - logs) ** 2).sum()


def ours(logs: np.ndarray) -> Any:
    """By the gradient through an adaptive solver."""
    result = minimize(misfit, GUESS, args=(logs,), jac=True, tol=1e-6)
    return result


def curves(q: np.ndarray, t: np.ndarray, rtol: float = 1e-9) -> np.ndarray:
    """The same equation by SciPy."""
    from scipy.integrate import solve_ivp

    p = np.exp(q[:4])

    def speed(t: float, y: np.ndarray) -> list[float]:
        hares, lynxes = np.exp(y)
        return [p[0] - p[1] * lynxes, p[3] * hares - p[2]]

    solution = solve_ivp(
        speed, (t[0], t[-1]), q[4:], t_eval=t, method="DOP853", rtol=rtol, atol=rtol
    )
    return solution.y.T


def theirs(logs: np.ndarray) -> Any:
    """By differences through SciPy's adaptive solver."""
    from scipy.optimize import least_squares

    t = np.arange(21.0)
    return least_squares(lambda q: (curves(q, t) - logs).ravel(), GUESS, gtol=1e-8)


def judge(data: dict[str, Any], ours: Any, theirs: Any) -> Judgement:
    """By central differences of the misfit, with SciPy's solver at 1e-12."""
    t = np.arange(21.0)

    def misfit(q: np.ndarray) -> float:
        return float(((curves(q, t, 1e-12) - data["logs"]) ** 2).sum())

    def slope(q: np.ndarray) -> float:
        moves = 1e-5 * np.eye(6)
        return max(abs(misfit(q + m) - misfit(q - m)) / 2e-5 for m in moves)

    good = slope(ours.x) < 1e-4 and misfit(ours.x) < misfit(theirs.x) + 1e-6
    return Judgement(
        "slope of the misfit at the fit",
        f"{slope(ours.x):.0e}",
        f"{slope(theirs.x):.0e}",
        bool(good),
    )


def draw(data: dict[str, Any], ours: Any, theirs: Any) -> Any:
    """The years, and the cycle."""
    figure, (left, right) = canvas(1, 2, width_ratios=[1.8, 1])
    t = np.linspace(0, 20, 400)
    fit = np.exp(curves(ours.x, t))
    years = 1900 + np.arange(21)
    for k, (name, colour) in enumerate((("hares", "C0"), ("lynxes", "C3"))):
        left.plot(1900 + t, fit[:, k], color=colour)
        counts = np.exp(data["logs"][:, k])
        left.plot(years, counts, "o", color=colour, markersize=4, label=name)
    left.set(ylabel="pelts (thousands)", xticks=range(1900, 1921, 5))
    left.legend()
    right.plot(*fit.T, color="0.3")
    right.plot(HARES, LYNXES, "o", color="0.6", markersize=4)
    right.set(xlabel="hares", ylabel="lynxes", title="the cycle")
    return figure


STOP = Stop(
    title="Hares and lynxes",
    solved="The four rates of the Lotka-Volterra equations and their start, fitted to "
    "21 years of pelts.",
    words="JAX differentiates the adaptive solver, step by step, so any optimiser can "
    "be used, and a network can stand in the equation: the gallery trains such, and "
    "lowers the cost of their solves. For one small fit SciPy has finished before JAX "
    "has compiled.",
    size="6 parameters",
    peer="SciPy, least_squares and solve_ivp",
    load=load,
    ours=ours,
    theirs=theirs,
    shown=(speed, misfit),
    judge=judge,
    draw=draw,
)
