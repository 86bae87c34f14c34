"""Transport between clouds in 2 to 784 dimensions beside POT with stored and with lazy costs, and mdot-tnt.

The regularisation is as sharp in each dimension: distances grow with it. The marginal error of a solve is
``|P 1 - a|_1 + |P' 1 - b|_1``, made from each side's potentials by plain NumPy, over all pairs. POT's lazy
Sinkhorn, and its logarithmic form, are stopped after some iterations where they would take minutes, and then
miss the tolerance, as mdot-tnt does, which has a tolerance of its own: their ratios are lower bounds.

mdot-tnt needs torch, which is too heavy for the tests' environment: its rows are there where both are.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from transport_clouds import installed, ours, pot_lazy, pot_stored

from _harness import Case, Peer, main
from numsolve.transport import problems


def pot_scaling(X: Any, Y: Any, reg: float, tol: float, limit: int) -> Any:
    """POT's fastest form on stored costs, which underflows where the costs are large against reg."""
    import ot

    M, weights = ot.dist(X, Y), np.full(len(X), 1 / len(X))
    settings = {"numItermax": limit, "stopThr": tol, "warn": False, "log": True}
    with np.errstate(all="ignore"):
        _, log = ot.bregman.sinkhorn_knopp(weights, weights, M, reg, **settings)
        return reg * np.log(log["u"]), reg * np.log(log["v"])


def mdot_tnt(X: Any, Y: Any, reg: float) -> Any:
    """The truncated Newton method of mdot-tnt on stored costs, which has a tolerance of its own."""
    import torch
    from mdot_tnt.mdot import mdot

    M = np.maximum(((X**2).sum(1)[:, None] + (Y**2).sum(1)) - 2 * X @ Y.T, 0.0)
    top, weights = M.max(), torch.full((len(X),), 1 / len(X), dtype=torch.float64)
    u, v, *_ = mdot(weights, weights.clone(), torch.from_numpy(M / top), top / reg)
    return reg * u.numpy(), reg * v.numpy()


def dimension_case(n: int, d: int, *, limit: int = 2000) -> Case:
    """A whole solve in some dimension beside POT with stored and with lazy costs, and mdot-tnt."""
    reg, tol = 3e-3 * d, 1e-6  # as sharp in each dimension: distances grow with it
    X, Y = problems.clouds(n, d, rng=0)
    lazy, log = (10, 20) if n < 10_000 else (1, 0)
    note = f"stopped after {lazy} iterations"
    peers = [Peer("pot", partial(pot_lazy, X, Y, reg, 0.1 * tol, lazy), name="POT lazy", note=note)]
    if n < 10_000:
        stored, note = (X, Y, reg, 0.1 * tol), f"stopped after {log} iterations"
        peers.append(Peer("pot", partial(pot_scaling, *stored, limit), name="POT stored (sinkhorn)"))
        peers.append(Peer("pot", partial(pot_stored, *stored, log), name="POT stored (log)", note=note))
        if installed("mdot_tnt") and installed("torch"):
            note = "not in the tests' environment: needs torch; its own tolerance"
            peers.append(Peer("mdot-tnt", partial(mdot_tnt, X, Y, reg), name="mdot-tnt", note=note))
    return Case(
        f"n = {n}, d = {d}, reg = {reg:g}",
        ours=partial(ours, X, Y, reg, tol, time_limit=90.0),
        peers=peers,
        metric=f"time to {tol:g} marginal error",
        error=partial(error_by_products, X, Y, reg),
        tol=tol,
        repeats=3,
        budget=3.0,
        first_call=False,
        note="sorting, coarse clouds and bounds included",
    )


def error_by_products(X: Any, Y: Any, reg: float, potentials: Any) -> float:
    """`marginal_error` with squared distances by products of matrices."""
    f, g = (np.asarray(p, dtype=float) for p in potentials)
    squares, columns, error = (Y**2).sum(axis=1), np.zeros(len(Y)), 0.0
    for i in range(0, len(X), 256):
        x = X[i : i + 256]
        P = np.exp((f[i : i + 256, None] + g - (x**2).sum(axis=1)[:, None] - squares + 2 * x @ Y.T) / reg)
        columns += P.sum(axis=0)
        error += np.abs(P.sum(axis=1) - 1 / len(X)).sum()
    error = float(error + np.abs(columns - 1 / len(Y)).sum())
    return error if np.isfinite(error) else float("inf")


def cases(quick: bool) -> Iterator[Case]:
    """Small clouds in all dimensions, larger ones, and large ones in some dimensions."""
    for n in (500,) if quick else (500, 2000):
        for d in (2, 100) if quick else (2, 3, 10, 30, 100, 784):
            yield dimension_case(n, d)
    if not quick:
        for d in (2, 3, 100):
            yield dimension_case(20_000, d)


if __name__ == "__main__":
    main(cases)
