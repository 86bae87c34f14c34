"""Ten linear programs larger than Netlib's, beside the three methods of HiGHS: simplex, interior point, PDLP.

They are made by a formula each and a seed: two networks, two transport problems, conditional value at risk,
two Markov decision processes, a least absolute deviation, a basis pursuit and a flux balance. At full size
they have 10^5 to 10^6 nonzeros; ``--quick`` takes a hundredth. All sides run on one thread for at most
`LIMIT` seconds (``--quick``: ten), HiGHS with its presolve and the interior-point method with its crossover;
PDLP stops at 1e-6 by its own test. What each side returns is measured by the same function as in `monotone`.
Each side runs once; what there is to compile is compiled by a small program before.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from monotone import TOL, Program, residual

from _harness import Case, Peer, main
from numsolve import monotone

LIMIT = 30.0
INF = float("inf")


def _program(c: Any, A: Any, lc: Any, uc: Any, lx: Any = 0.0, ux: Any = INF) -> Program:
    """The arrays of a program, from arrays and numbers."""
    A = sp.csr_array(A)
    A.eliminate_zeros()
    (m, n), full = A.shape, np.broadcast_to
    sides = [np.array(full(v, (size,)), dtype=float) for v, size in ((lc, m), (uc, m), (lx, n), (ux, n))]
    return np.array(full(c, (n,)), dtype=float), A, *sides


def network(nodes: int, degree: int, seed: int) -> Program:
    """The cheapest flow in a random network with capacities."""
    rng = np.random.default_rng(seed)
    arcs = nodes * degree
    tail = np.repeat(np.arange(nodes), degree)
    head = (tail + rng.integers(1, nodes, arcs)) % nodes
    head[::degree] = (tail[::degree] + 1) % nodes  # a ring, on which everything can go round
    A = sp.csr_array(
        (np.tile([1.0, -1.0], arcs), (np.stack([tail, head], axis=1).ravel(), np.repeat(np.arange(arcs), 2))),
        shape=(nodes, arcs),
    )
    supply = rng.normal(size=nodes)
    supply -= supply.mean()
    room = rng.uniform(0.5, 2.0, arcs)
    room[::degree] = abs(supply).sum()
    cost = rng.uniform(1.0, 10.0, arcs)
    cost[::degree] = 20.0
    return _program(cost, A, supply, supply, 0.0, room)


def transport(n: int, m: int, seed: int) -> Program:
    """Transport from n points to m, at the distance."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0.1, 1.0, n), rng.uniform(0.1, 1.0, m)
    b *= a.sum() / b.sum()
    cost = np.linalg.norm(rng.random((n, 1, 2)) - rng.random((1, m, 2)), axis=2).ravel()
    rows = sp.vstack([sp.kron(sp.eye_array(n), np.ones((1, m))), sp.kron(np.ones((1, n)), sp.eye_array(m))])
    right = np.concatenate([a, b])
    return _program(cost, rows, right, right)


def value_at_risk(assets: int, scenarios: int, seed: int) -> Program:
    """Least conditional value at risk of a portfolio with a given mean return; a row for each scenario."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(scenarios, 5)) @ rng.normal(size=(5, assets))
    returns = 0.05 + 0.1 * factors + 0.2 * rng.standard_t(4, (scenarios, assets))
    mean = returns.mean(axis=0)
    # unknowns: weights, the value at risk, and the excess of each scenario
    losses = sp.hstack([returns, np.ones((scenarios, 1)), sp.eye_array(scenarios)])
    whole = np.zeros((2, assets + 1 + scenarios))
    whole[0, :assets], whole[1, :assets] = 1.0, mean
    cost = np.concatenate([np.zeros(assets), [1.0], np.full(scenarios, 1 / (0.05 * scenarios))])
    low = np.concatenate([np.zeros(scenarios), [1.0, np.quantile(mean, 0.7)]])
    high = np.concatenate([np.full(scenarios, INF), [1.0, INF]])
    free = np.zeros(assets + 1 + scenarios)
    free[assets] = -INF
    return _program(cost, sp.vstack([losses, sp.csr_array(whole)]), low, high, free)


def decisions(states: int, actions: int, successors: int, discount: float, seed: int) -> Program:
    """The values of a Markov decision process: v(s) >= reward(s, a) + discount * mean of v after it."""
    rng = np.random.default_rng(seed)
    rows = states * actions
    odds = rng.dirichlet(np.ones(successors), rows)
    after = sp.csr_array(
        (odds.ravel(), (np.repeat(np.arange(rows), successors), rng.integers(0, states, rows * successors))),
        shape=(rows, states),
    )
    stay = sp.kron(sp.eye_array(states), np.ones((actions, 1)))
    return _program(1.0 / states, stay - discount * after, rng.uniform(0.0, 1.0, rows), INF, -INF)


def absolute_deviation(n: int, d: int, seed: int) -> Program:
    """Regression by the sum of absolute deviations, a tenth of which are gross errors."""
    rng = np.random.default_rng(seed)
    Z = sp.random_array((n, d), density=min(1.0, 20 / d), rng=rng, data_sampler=rng.standard_normal)
    b = Z @ rng.normal(size=d) + 0.1 * rng.normal(size=n) + (rng.random(n) < 0.1) * 10 * rng.normal(size=n)
    A = sp.hstack([Z, sp.eye_array(n), -sp.eye_array(n)])
    low = np.concatenate([np.full(d, -INF), np.zeros(2 * n)])
    return _program(np.concatenate([np.zeros(d), np.ones(2 * n)]), A, b, b, low)


def basis_pursuit(m: int, n: int, seed: int) -> Program:
    """The solution of least 1-norm of an underdetermined system with a sparse solution."""
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(m, n)) / np.sqrt(m)
    x = np.zeros(n)
    x[rng.choice(n, m // 8, replace=False)] = rng.normal(size=m // 8)
    right = Z @ x
    return _program(1.0, np.hstack([Z, -Z]), right, right)


def flux_balance(metabolites: int, reactions: int, seed: int) -> Program:
    """The most growth of a cell in a steady state: small integers, a box for each reaction, exchanges."""
    rng = np.random.default_rng(seed)
    parts = rng.integers(3, 8, reactions)
    column = np.repeat(np.arange(reactions), parts)
    row = rng.integers(0, metabolites, column.size)
    entry = rng.choice([-2.0, -1.0, 1.0, 2.0], column.size)
    exchange = sp.eye_array(metabolites, format="csr")[:, ::5]
    A = sp.hstack([sp.csr_array((entry, (row, column)), shape=(metabolites, reactions)), exchange])
    n = A.shape[1]
    cost = np.zeros(n)
    cost[rng.choice(reactions, 3, replace=False)] = -1.0
    low = np.where(rng.random(n) < 0.4, -1000.0, 0.0)
    low[reactions:] = -10.0
    return _program(cost, A, 0.0, 0.0, low, 1000.0)


def programs(quick: bool) -> Iterator[tuple[str, Program]]:
    """Name and program."""
    big = 1 if quick else 10  # to each dimension where there are two, so that the nonzeros grow a hundredfold
    many = big * big
    yield "network, sparse", network(500 * many, 4, 0)
    yield "network, denser", network(150 * many, 15, 1)
    yield "transport, square", transport(50 * big, 50 * big, 2)
    yield "transport, oblong", transport(15 * big, 150 * big, 3)
    yield "value at risk", value_at_risk(10 * big, 200 * big, 4)
    yield "decisions, discount 0.9", decisions(100 * many, 5, 8, 0.9, 5)
    yield "decisions, discount 0.99", decisions(100 * many, 5, 8, 0.99, 6)
    yield "absolute deviation", absolute_deviation(200 * many, 10 * big, 7)
    yield "basis pursuit", basis_pursuit(30 * big, 120 * big, 8)
    yield "flux balance", flux_balance(500 * many, 800 * many, 9)


def by_numsolve(lp: Program, limit: float) -> tuple[Any, ...]:
    """x, y and the iterations."""
    r = monotone.solve_lp(*lp, tol=TOL, time_limit=limit)
    return r.x, r.y, r.nit


def by_highs(lp: Program, solver: str, limit: float) -> tuple[Any, ...]:
    """The same by HiGHS."""
    import highspy

    c, A, lc, uc, lx, ux = lp
    h, model = highspy.Highs(), highspy.HighsLp()
    model.num_row_, model.num_col_ = A.shape
    model.col_cost_, model.col_lower_, model.col_upper_ = c, lx, ux
    model.row_lower_, model.row_upper_ = lc, uc
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_, model.a_matrix_.index_, model.a_matrix_.value_ = A.indptr, A.indices, A.data
    options = {"output_flag": False, "solver": solver, "threads": 1, "time_limit": limit}
    if solver == "pdlp":
        options["pdlp_optimality_tolerance"] = TOL
    for name, value in options.items():
        h.setOptionValue(name, value)
    h.passModel(model)
    h.run()
    found = h.getSolution()
    info = h.getInfo()
    nit = getattr(info, f"{solver}_iteration_count")
    return np.array(found.col_value), np.array(found.row_dual), nit


def cases(quick: bool) -> Iterator[Case]:
    """A case for each program."""
    limit = 10.0 if quick else LIMIT
    for small in (decisions(20, 3, 3, 0.9, 0), basis_pursuit(8, 16, 0)):  # sparse and dense: this compiles
        by_numsolve(small, limit)
    for name, lp in programs(quick):
        m, n = lp[1].shape
        yield Case(
            f"{name}, {m} x {n}, {lp[1].nnz} nonzeros",
            ours=partial(by_numsolve, lp, limit),
            peers=[
                Peer("highspy", partial(by_highs, lp, solver, limit), name=f"HiGHS {text}")
                for solver, text in (("simplex", "simplex"), ("ipm", "interior point"), ("pdlp", "PDLP"))
            ],
            metric="time to 1e-6",
            error=partial(residual, lp),
            tol=1.01 * TOL,
            repeats=0,
            first_call=False,
            note=f"at most {limit:g} s",
        )


if __name__ == "__main__":
    main(cases)
