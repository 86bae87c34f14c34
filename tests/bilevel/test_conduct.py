"""How a run behaves: the contract of the house."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from contract import Call, Conduct

from numsolve import bilevel

QUADRATIC = bilevel.problems.quadratic(20, 4, rng=0)
START = np.zeros(4), np.zeros(20)
RNG = np.random.default_rng(1)
# Soon at its first step, and far from its last.
LARGE = bilevel.problems.multinomial_logistic(
    *(part for _ in range(2) for part in (RNG.normal(size=(300, 40)), RNG.integers(0, 8, 300)))
)
LARGE_START = np.full((40, 8), -3.0), np.zeros((40, 8))
ROUND = bilevel.problems.quadratic(100, 15, kappa=30.0, rng=1)
ROUND_START = np.zeros(15), np.zeros(100)
BLOCKS, _ = bilevel.problems.multiblock_quadratic(6, 4, 2, rng=2)
MANY, _ = bilevel.problems.multiblock_quadratic(40, 30, 5, rng=3)
TOY = bilevel.problems.coupled_toy(4)


def hypergradient_norm(r):
    """The norm of the hypergradient, made anew from x and q."""
    if not np.isfinite(r.grad).all():
        return float("inf")
    if r.theta.shape == (4,):
        return np.linalg.norm(QUADRATIC.r * r.theta + QUADRATIC.B.T @ r.q)
    if r.theta.shape == (15,):
        return np.linalg.norm(ROUND.r * r.theta + ROUND.B.T @ r.q)
    return np.linalg.norm(np.exp(r.theta) * r.x * r.q)


def certificate(r):
    """With the error that the result tells."""
    return hypergradient_norm(r) + r.error_estimate


def published(r):
    """With MAID's bound."""
    return hypergradient_norm(r) + r.error_bound


def run(method, problem=QUADRATIC, start=START, **fixed):
    return lambda **kw: bilevel.minimize_bilevel(problem, *start, method=method, **{**fixed, **kw})


def hyper(problem, start, **fixed):
    return lambda **kw: bilevel.hypergradient(problem, np.ones_like(start[0]), start[1], **{**fixed, **kw})


def blocks(oracle, **fixed):
    n, d = (4, 2) if oracle is BLOCKS else (30, 5)
    return lambda **kw: bilevel.bsvrb(oracle, np.zeros(d), np.zeros(n), **{"rng": 0, **fixed, **kw})


class TestConduct(Conduct):
    calls: ClassVar = {
        "qn": Call(run("qn", step=0.1), run("qn", LARGE, LARGE_START, tol=0.0), certificate),
        "maid": Call(run("maid", tol=1.0), run("maid", ROUND, ROUND_START, tol=0.0), published),
        "hoag": Call(run("hoag", tol=1.0), run("hoag", LARGE, LARGE_START, tol=0.0), certificate),
        "penalty": Call(run("penalty", tol=0.3), run("penalty", ROUND, ROUND_START, tol=0.0)),
        "lvhba": Call(run("lvhba", TOY, (np.full(4, 10.0), np.full(8, 10.0)), tol=1e-3)),
        "soba": Call(
            run(
                "soba",
                bilevel.problems.quadratic(6, 2, kappa=2.0, rng=0),
                (np.zeros(2), np.zeros(6)),
                tol=0.3,
                step=1.5,
            ),
            run("soba", LARGE, LARGE_START, tol=0.0, maxiter=10**9),
        ),
        "hypergradient": Call(hyper(QUADRATIC, START), None),
        "bsvrb": Call(
            blocks(BLOCKS, block_batch=6, step_theta=0.05, step_x=0.9, variant="v1", tol=1e-4),
            blocks(MANY, block_batch=10, step_theta=1e-4, step_x=0.1, tol=0.0, maxiter=10**9),
        ),
    }
