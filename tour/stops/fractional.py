"""How fast Lévy flights leave an interval."""

from __future__ import annotations

from typing import Any

import numpy as np

from numsolve import fractional
from stop import Judgement, Stop, canvas

#: Published eigenvalues of (-Delta)^(1/2) on (-1, 1): T. Kulczycki, M. Kwaśnicki,
#: J. Małecki, A. Stós, Proc. London Math. Soc. 101, 589 (2010)
PUBLISHED = np.array([1.1577738836977, 2.7547547422157])


def load() -> dict[str, Any]:
    """The order of the Cauchy process."""
    return {"alpha": 1.0}


def ours(alpha: float) -> Any:
    """By Jacobi modes."""
    # the half power of minus the Laplacian on (-1, 1), zero outside
    result = fractional.solve_riesz_eig(alpha, k=6, n=128)
    return result


def theirs(alpha: float, n: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """By fractional centred differences (Ortigueira 2006), and a dense eigensolver."""
    from scipy.linalg import eigh, toeplitz
    from scipy.special import gamma

    k, h = np.arange(n), 2 / (n + 1)
    ratios = (k[1:] - 1 - alpha / 2) / (k[1:] + alpha / 2)
    g = gamma(alpha + 1) / gamma(alpha / 2 + 1) ** 2 * np.cumprod(np.r_[1.0, ratios])
    return eigh(toeplitz(g) / h**alpha, subset_by_index=(0, 5))


def judge(data: dict[str, Any], ours: Any, theirs: Any) -> Judgement:
    """By the published digits."""

    def error(x: np.ndarray) -> float:
        return float(abs(x[:2] / PUBLISHED - 1).max())

    return Judgement(
        "relative error beside 14 published digits",
        f"{error(ours.x):.0e}",
        f"{error(theirs[0]):.0e}",
        error(ours.x) < 1e-11,
    )


def draw(data: dict[str, Any], ours: Any, theirs: Any) -> Any:
    """Eigenfunctions, and who is still inside."""
    figure, (left, right) = canvas(1, 2, width_ratios=[1.2, 1])
    x = np.linspace(-1, 1, 400)
    for k, (value, function) in enumerate(zip(ours.x, ours.functions, strict=True)):
        left.plot(x, value + 0.45 * function(x), color=f"C{k}")
        left.axhline(value, color="0.85", zorder=0)
    left.set(xlabel="x", title="states of the Cauchy process, each at its rate")
    starts = np.linspace(-1, 1, 200)
    times = [0.05, 0.2, 0.5, 1.0, 2.0]
    inside = fractional.survival_probability(data["alpha"], times)
    for t, u in zip(times, inside(starts), strict=True):
        right.plot(starts, u, label=f"t = {t:g}")
    right.set(xlabel="start", title="probability to be inside at time t", ylim=(0, 1))
    right.legend(fontsize=8)
    return figure


STOP = Stop(
    title="How fast Lévy flights leave an interval",
    solved="The slowest rates at which a Cauchy flight leaves (−1, 1): the eigenvalues "
    "of the fractional Laplacian of order one.",
    words="The states behave like a square root at the ends. The modes have this built "
    "in; differences see it only through many points. The published digits are those of "
    "Kulczycki, Kwaśnicki, Małecki and Stós (2010).",
    size="6 eigenvalues",
    peer="500 differences, SciPy eigh",
    load=load,
    ours=ours,
    theirs=theirs,
    judge=judge,
    draw=draw,
)
