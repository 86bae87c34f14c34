r"""Expectation maximisation for mixtures of von Mises-Fisher distributions [1]_.

    log p(x) = log sum_k w_k C_d(kappa_k) exp(kappa_k mu_k . x)                                           (1)
    r_ik = P(component k | x_i)                                                       expectation         (2)
    w_k = mean_i r_ik,  s_k = sum_i r_ik x_i,  mu_k = s_k / |s_k|,
    A(kappa_k) = |s_k| / sum_i r_ik                                                   maximisation        (3)

with A = I_{d/2} / I_{d/2-1}. Differs from [1]_ in that (3) is solved by Newton's method in place of an
approximation, so that the likelihood never falls, and in that the concentrations are bounded: on equal
directions the likelihood has no maximum.

References
----------
.. [1] A. Banerjee, I. S. Dhillon, J. Ghosh, S. Sra, "Clustering on the unit hypersphere using von
   Mises-Fisher distributions", Journal of Machine Learning Research 6 (2005) 1345-1382.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from numsolve._core import arrays, extras
from numsolve._core.monitor import Monitor
from numsolve._core.result import Result

from ._directions import log_norm_scaled
from ._elementwise import evaluate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array

#: Entries of the table of responsibilities that are made at a time.
BLOCK = 500_000
#: Newton steps for a concentration: from the start of Banerjee et al. three or four reach rounding.
STEPS = 20
#: The sum of responsibilities below which a component is left as it is.
EMPTY = 1e-12


class Components(NamedTuple):
    """The parameters of a mixture."""

    weights: Array
    mu: Array
    kappa: Array


def expectation_maximisation(
    rows: Any, K: int, most: float, tol: float, rng: np.random.Generator, limits: Limits
) -> Result:
    """Run (2) and (3) from a start by k-means++; `rows` has unit vectors."""
    with Monitor(
        limits, atol=tol, maxiter=500, label="mixture", keep="reference",
        columns=("log_likelihood",), divergence=math.inf,
    ) as it:  # fmt: skip
        now = start(rows, K, most, rng)
        sums, before = expectation(rows, now)
        now = maximisation(sums, now, most)
        sums, value = expectation(rows, now)
        it.record(max(value - before, 0.0), now, log_likelihood=value)
        for _ in it:
            before, now = value, maximisation(sums, now, most)
            sums, value = expectation(rows, now)
            it.record(max(value - before, 0.0), now, log_likelihood=value)
    return it.result(Result, x=now)


class Sums(NamedTuple):
    """What (3) needs of the responsibilities: sums over i of r_ik, and of r_ik x_i."""

    weights: Array
    vectors: Array


def start(rows: Any, K: int, most: float, rng: np.random.Generator) -> Components:
    """One step (3) from the groups of rows that are nearest to one of K rows, chosen by k-means++."""
    cluster = extras.require("sklearn.cluster", "VMFMixture")
    seed = int(rng.integers(2**31))
    mu, _ = cluster.kmeans_plusplus(rows, K, random_state=seed)
    mu = mu.toarray() if arrays.is_sparse(mu) else mu
    groups = np.asarray(rows @ mu.T).argmax(axis=1)
    sums = np.zeros((K, rows.shape[1]))
    for k in range(K):
        sums[k] = np.ravel(rows[groups == k].sum(axis=0))
    equal = Components(np.full(K, 1.0 / K), mu, np.zeros(K))
    return maximisation(Sums(np.bincount(groups, minlength=K).astype(float), sums), equal, most)


def blocks(rows: Any, now: Components) -> Iterator[Array]:
    """log(w_k p_k(x_i)) of (1), for so many rows at a time."""
    K, d = now.mu.shape
    constant = logarithm(now.weights) + log_norm_scaled(arrays.array_namespace(), d, now.kappa) - now.kappa
    towards = now.mu * now.kappa[:, None]
    step = max(1, BLOCK // K)
    for first in range(0, rows.shape[0], step):
        table = np.asarray(rows[first : first + step] @ towards.T)
        table += constant
        yield table


def logarithm(weights: Array) -> Array:
    """Log w, minus infinity where w is zero."""
    with np.errstate(divide="ignore"):
        return np.log(weights)


def responsibilities(joint: Array) -> tuple[Array, Array]:
    """The r_ik of (2), in place, and log p(x_i) of (1)."""
    top = joint.max(axis=1)
    joint -= top[:, None]
    np.exp(joint, out=joint)
    total = joint.sum(axis=1)
    joint /= total[:, None]
    return joint, top + np.log(total)


def expectation(rows: Any, now: Components) -> tuple[Sums, float]:
    """The sums over the responsibilities (2), and the mean of (1)."""
    K, d = now.mu.shape
    weights, vectors, total, first = np.zeros(K), np.zeros((K, d)), 0.0, 0
    for joint in blocks(rows, now):
        share, each = responsibilities(joint)
        part = rows[first : first + len(share)]
        weights += share.sum(axis=0)
        vectors += (part.T @ share).T
        total += float(each.sum())
        first += len(share)
    return Sums(weights, vectors), total / rows.shape[0]


def maximisation(sums: Sums, now: Components, most: float) -> Components:
    """The parameters (3); a component without rows stays where it is."""
    lengths = np.sqrt(np.vecdot(sums.vectors, sums.vectors))
    some = (sums.weights > EMPTY) & (lengths > 0.0)
    mu, kappa = now.mu.copy(), np.where(some, now.kappa, 0.0)
    mu[some] = sums.vectors[some] / lengths[some, None]
    kappa[some] = concentrations(lengths[some] / sums.weights[some], mu.shape[1], most)
    return Components(sums.weights / sums.weights.sum(), mu, kappa)


def concentrations(R: Array, d: int, most: float) -> Any:
    """Solve A(kappa) = R by Newton's method, for many R at once, up to a largest kappa."""
    R = np.minimum(R, 1.0)
    gap = np.maximum(1.0 - R, np.finfo(float).eps)
    kappa = np.minimum(R * (d - R * R) / (gap * (2.0 - gap)), most)
    v = np.full_like(kappa, 0.5 * d - 1.0)
    for _ in range(STEPS):
        A = evaluate("iv_ratio", v, kappa)
        rest = 1.0 - A
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = rest * (1.0 + A) - (d - 1) * A / kappa
        slope = np.where(kappa > 0.0, slope, 1.0 / d)
        slope = np.where(kappa < 1e5 * d, slope, 0.5 * (d - 1) / np.maximum(kappa, 1.0) ** 2)
        new = np.clip(kappa - (gap - rest) / slope, 0.5 * kappa, most)
        if np.all(np.abs(new - kappa) <= 1e-11 * new):
            return new
        kappa = new
    return kappa
