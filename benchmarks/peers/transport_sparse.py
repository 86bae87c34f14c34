"""Quadratic and sparsity-constrained transport beside regot and POT.

Quadratic: time to a marginal error of 1e-7, ``|P 1 - a|_1 + |P' 1 - b|_1`` of each side's plan.

Sparsity-constrained: POT's L-BFGS stops or runs out of iterations below the maximum of its dual, so its
time is that of the whole run, and ours is to a higher dual value. The error in the table is the relative
distance to the optimal value, which is our dual bound at a tolerance of 1e-10; "marginals" are rows of their
own. On the small assignment POT stops early; a run with its thresholds at zero is a row more. Set-up is
inside the clock; POT prints at each evaluation, into a buffer that is thrown away.

How far from the floor. Of quadratic transport a Newton step of a blurred plan is two to four looks at the
cost, each of 1 to 2 ns an entry, where a vectorised sum takes 0.2. On the two digits (784 x 784, reg = 1) a
third of the time is the interior-point method: some fifteen steps, each hardly more than a Cholesky
factorisation of 784 rows (6 ms at 27 Gflop/s). That of the sparse problem makes some 150 passes over the
chosen pairs besides.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from _harness import Case, Peer, main
from numsolve import transport
from numsolve.transport import problems

DIGITS = Path(__file__).parents[2] / "tests" / "transport" / "data" / "mnist20.npz"


def marginal_error(a: Any, b: Any, plan: Any) -> float:
    plan = np.asarray(plan)
    return float(abs(plan.sum(axis=1) - a).sum() + abs(plan.sum(axis=0) - b).sum())


def quadratic_case(name: str, M: Any, a: Any, b: Any, reg: float, quick: bool) -> Case:
    import ot
    import regot

    F = np.asfortranarray(M)

    def pot() -> Any:
        return ot.smooth.smooth_ot_semi_dual(a, b, M, reg, reg_type="l2", numItermax=200 if quick else 1000)

    return Case(
        f"quadratic, {name}, reg = {reg:g}",
        ours=lambda: transport.quadratic(a, b, M, reg).plan,
        peers=[
            Peer(
                "regot",
                lambda: regot.qrot_grssn(F, a, b, reg, tol=1e-9, max_iter=1000).plan,
                name="regot GRSSN",
            ),
            Peer("pot", pot, name="POT semi-dual"),
        ],
        metric="time to 1e-7 marginal error",
        error=partial(marginal_error, a, b),
        tol=1e-7,
        budget=10.0,
        repeats=3,
        first_call=False,
    )


def sparse_cases(
    name: str, M: Any, a: Any, b: Any, reg: float, k: int, quick: bool, patient: bool = False
) -> Iterator[Case]:
    import ot

    limit = 100 if quick else 1000
    best = transport.sparsity_constrained(a, b, M, reg, k, tol=1e-10).value

    def pot(function: Any, **settings: Any) -> Any:
        settings = {"reg_type": "sparsity_constrained", "max_nz": k, "numItermax": limit, **settings}
        with contextlib.redirect_stdout(io.StringIO()):
            plan, log = function(a, b, M, reg, log=True, **settings)
        return plan, -log["res"].fun

    def ours(**settings: Any) -> Any:
        r = transport.sparsity_constrained(a, b, M, reg, k, **settings)
        return r.plan, r.value

    functions = {"semi-dual": ot.smooth.smooth_ot_semi_dual, "dual": ot.smooth.smooth_ot_dual}
    peers = [
        Peer("pot", partial(pot, function), name=f"POT {label}", note=f"at most {limit} iterations")
        for label, function in functions.items()
    ]
    if patient:
        run = partial(pot, functions["semi-dual"], numItermax=5 * limit, stopThr=0.0)
        peers.append(
            Peer("pot", run, name="POT semi-dual, to the end", note=f"at most {5 * limit} iterations")
        )
    for label in ("semidual", "dual"):
        run = partial(ours, formulation=label, maxiter=limit)
        peers.append(Peer("numsolve", run, name=f"numsolve {label}, as published"))
    title = f"sparse, {name}, reg = {reg:g}, {k} a column"
    yield Case(
        title,
        ours=ours,
        peers=peers,
        metric="time to the best dual value",
        error=lambda found: abs(best - found[1]) / abs(best),
        tol=1e-7,
        budget=10.0,
        repeats=3,
        first_call=False,
    )
    yield Case(
        title,
        ours=ours,
        peers=peers,
        metric="marginals",
        unit="error",
        value=lambda found: marginal_error(a, b, found[0]),
        error=lambda found: marginal_error(a, b, found[0]),
        tol=1e-8,
        repeats=1,
        budget=1.0,
        first_call=False,
    )


def cases(quick: bool) -> Iterator[Case]:
    n = 100 if quick else 500
    digits = np.load(DIGITS)["images"] / 255.0
    if quick:
        digits = digits[:, ::2, ::2]
    squared, city = (problems.image_pair(digits[0], digits[3], p=p) for p in (2, 1))
    assignment, small = problems.random_assignment(n, rng=0), problems.random_assignment(n * 2 // 5, rng=0)
    line = problems.densities_1d(n, 2)
    size = digits[0].size
    for reg in (0.01, 1.0, 100.0):
        yield quadratic_case(f"two digits, n = {size}", *squared, reg, quick)
    yield quadratic_case(f"two digits, city-block distance, n = {size}", *city, 1.0, quick)
    yield quadratic_case(f"random assignment, n = {n}", *assignment, 1.0, quick)
    yield quadratic_case(f"densities on a line, n = {n}", *line, 1.0, quick)
    yield from sparse_cases(f"two digits, n = {size}", *squared, 1.0, 2, quick)
    yield from sparse_cases(f"random assignment, n = {n * 2 // 5}", *small, 1.0, 2, quick, patient=True)
    yield from sparse_cases(f"densities on a line, n = {n}", *line, 1.0, 2, quick)


if __name__ == "__main__":
    main(cases)
