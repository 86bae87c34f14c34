r"""LV-HBA as published: one step of every variable in each iteration.

W. Yao, C. Yu, S. Zeng, J. Zhang (`_lvhba`), with c_k = c0 (k + 1)^p, 0 < p < 1/2, and the value function (1)
there:

    (u, lam) <- P(u - eta (df/dx(u) + A_x'lam + (u - x)/g1),  lam - eta (-g(u) + (lam - z)/g2))          (1)
    d_theta = dF/dtheta / c_k + df/dtheta(x) - df/dtheta(u) - A_theta'lam                                (2)
    d_x     = dF/dx / c_k + df/dx(x) - (x - u)/g1,     d_z = -(lam - z)/g2                               (3)
    (x, theta) <- P_S((x, theta) - alpha (d_x, d_theta)),   z <- clip(z - beta d_z)                      (4)

P keeps the multipliers of inequalities nonnegative, and P_S is the joint projection on the coupling and on
theta's own set. The step eta is 0.9 rho / L^2, below which the paper proves convergence, with rho = 1/g and L
the Lipschitz constant of the saddle operator. The shipped settings of the paper's toy problem are above it.
The bias is O(1/c_k), and nothing tells how large it is: the run ends with its limits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import arrays

from ._coupling import Coupling, onto
from ._penalty import steepness
from ._run import Point

if TYPE_CHECKING:
    from ._oracle import Oracle
    from ._run import Points, Settings

G = 1.0  #: g1 and g2
WEIGHT, POWER = 0.1, 0.49  #: 1/c0 and p
STABLE = 0.9  #: of the longest step of the saddle problem
STEP = 0.1  #: alpha and beta times the Lipschitz constant of df/dx + 1/g
LARGEST = 1e3  #: the largest multiplier


def lvhba_single(oracle: Oracle, settings: Settings) -> Points:
    """Yield the points."""
    coupling, n = Coupling(oracle), oracle.size
    w = onto(coupling, settings, np.concatenate([oracle.x0, oracle.theta0]), n)
    u, lam, z = w[:n], np.zeros(coupling.b.size), np.zeros(coupling.b.size)
    steep = steepness(oracle, w[n:], w[:n], 0.0) + 1.0 / G
    eta = STABLE / G / (steep + float(np.linalg.norm(coupling.A_x, 2))) ** 2
    alpha = settings.step or STEP / steep
    least = np.where(coupling.equal, -LARGEST, 0.0)
    for k in range(10**9):  # the driver ends the run
        x, theta = w[:n], w[n:]
        share = (settings.sigma or WEIGHT) / (k + 1) ** POWER  # 1/c_k
        g = coupling.A_x @ u + coupling.A_theta @ theta - coupling.b
        du = oracle.grad(u, theta) + coupling.A_x.T @ lam + (u - x) / G
        dlam = -g + (lam - z) / G
        u, lam = u - eta * du, lam - eta * dlam  # (1)
        lam = np.where(coupling.equal, lam, np.maximum(lam, 0.0))
        in_x, in_theta = oracle.upper_grad(x, theta)
        d_x = share * in_x + oracle.grad(x, theta) - (x - u) / G  # (3)
        slopes = oracle.grad_theta(x, theta) - oracle.grad_theta(u, theta)
        d_theta = share * in_theta + slopes - coupling.A_theta.T @ lam  # (2)
        new = onto(coupling, settings, w - alpha * np.concatenate([d_x, d_theta]), n)  # (4)
        moved = arrays.norm(np, new - w) / alpha
        rest = math.hypot(arrays.norm(np, du), arrays.norm(np, dlam))
        oracle.nproj = coupling.calls
        yield Point(
            theta, x, oracle.upper(x, theta), d_theta / share, (moved + rest) / share, delta=share,
            step=alpha * moved, may_end=False,
        )  # fmt: skip
        z = np.clip(z + alpha * (lam - z) / G, least, LARGEST)  # (4)
        w = new
