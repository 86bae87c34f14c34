"""The linear programs, games and operators that the tests of this column share."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linprog as highs
from scipy.sparse import csr_array, vstack

NETLIB = Path(__file__).parent / "data" / "netlib.npz"


@cache
def _netlib(name):
    with np.load(NETLIB) as file:
        part = {key.partition(".")[2]: file[key] for key in file if key.startswith(f"{name}.")}
    indices, indptr = part["indices"].astype(np.int32), part["indptr"].astype(np.int32)
    A = csr_array((part["data"], indices, indptr), shape=tuple(part["shape"]))
    return part["c"], A, part["lc"], part["uc"], part["lx"], part["ux"]


@pytest.fixture(scope="session")
def netlib():
    """``netlib("afiro")`` is ``(c, A, lc, uc, lx, ux)``."""
    return _netlib


def optimum(c, A, lc, uc, lx, ux):
    """The optimal value by HiGHS."""
    A, finite = csr_array(A), np.isfinite
    equal, low, high = lc == uc, finite(lc) & (lc != uc), finite(uc) & (lc != uc)
    rows, right = vstack([A[high], -A[low]]), np.concatenate([uc[high], -lc[low]])
    bounds = np.stack([lx, ux], axis=1)
    result = highs(
        c, rows, right, A[equal] if equal.any() else None, uc[equal] if equal.any() else None, bounds
    )
    assert result.status == 0
    return result.fun


@pytest.fixture(scope="session")
def best():
    """``best(*program)``: the optimal value, by HiGHS."""
    return optimum


def feasible_program(m, n, seed, density=0.3):
    """A random program that has a solution: rows of every kind, variables of every kind."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(m, n)) * (rng.random((m, n)) < density)
    x, y = rng.normal(size=n), rng.normal(size=m)
    kind = rng.integers(0, 4, m)  # equation, active below, active above, inactive
    ax = A @ x
    lc = np.where(kind == 0, ax, np.where(kind == 1, ax, np.where(kind == 2, -np.inf, ax - 1)))
    uc = np.where(kind == 0, ax, np.where(kind == 1, ax + 2, np.where(kind == 2, ax, np.inf)))
    y = np.where(kind == 0, y, np.where(kind == 1, abs(y), np.where(kind == 2, -abs(y), 0.0)))
    kind = rng.integers(0, 5, n)  # free, at its lower bound, at its upper, between, fixed
    r = rng.normal(size=n)
    lx = np.choose(kind, [np.full(n, -np.inf), x, x - 3, x - 1, x])
    ux = np.choose(kind, [np.full(n, np.inf), np.full(n, np.inf), x, x + 1, x])
    r = np.choose(kind, [np.zeros(n), abs(r), -abs(r), np.zeros(n), r])
    return A.T @ y + r, A, lc, uc, lx, ux


@pytest.fixture(scope="session")
def program():
    """``program(m, n, seed)``: a random program with a solution."""
    return feasible_program


def quality(c, A, lc, uc, lx, ux, x, y):
    """Relative primal residual, dual residual and gap, written anew for the tests."""
    ax, r = A @ x, c - A.T @ y
    bounds = np.concatenate([lc, uc, lx, ux])
    small_b, small_c = (min(1.0, abs(v).max()) or 1.0 for v in (bounds[np.isfinite(bounds)], c))
    leant = np.where(y > 0, lc, np.where(y < 0, uc, 0.0))
    b = np.where(ax < lc, lc, np.where(ax > uc, uc, np.where(np.isfinite(leant), leant, 0.0)))
    primal = np.linalg.norm(ax - np.clip(ax, lc, uc)) / (small_b + np.linalg.norm(b))
    at_bound = x == np.where(r > 0, lx, ux)
    bound, dual = 0.0, 0.0
    for v, low, high in ((y, lc, uc), (r, lx, ux)):
        limit = np.where(v > 0, low, high)
        with np.errstate(invalid="ignore"):
            bound += np.sum(np.where(np.isfinite(limit) & (v != 0), v * limit, 0.0))
        dual = np.hypot(dual, np.linalg.norm(v[~np.isfinite(limit)]))
    gap = abs(c @ x - bound) / (small_b * small_c + abs(c @ x) + abs(bound))
    return primal, dual / (small_c + np.linalg.norm(c[~at_bound])), gap


@pytest.fixture(scope="session")
def residuals():
    """``residuals(*program, x, y)``: primal, dual, gap."""
    return quality


def policeman_and_burglar(n):
    """The game of Nemirovski: houses of random value, and the distance that lets a burglar escape."""
    worth = abs(np.random.RandomState(1).randn(n))
    i = np.arange(n)
    return worth[:, None] * (1 - np.exp(-0.8 * abs(i[:, None] - i)))


@pytest.fixture(scope="session")
def burglar():
    """``burglar(n)``: the payoffs, rows by house."""
    return policeman_and_burglar
