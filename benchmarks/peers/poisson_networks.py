"""The networks of `linear.dcdm` beside multigrid, which `solve_poisson` takes, and plain conjugate gradients.

Grids are `linear.problems.random_obstacles`, none of them of the training, with right-hand sides of white
noise, to a residual of 1e-4. Iterations are means over three grids. Times are from the flags, with set-up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from statistics import mean
from typing import Any

import numpy as np

from _harness import Case, Peer, main
from numsolve import linear

RTOL = 1e-4
NETWORKS = {"NPSD": linear.NPSDNet.shipped(), "DCDM": linear.DCDMNet.shipped()}
#: Each network with the number of directions it keeps.
KEPT = {f"{name}, {kept} kept": (net, kept) for name, net in NETWORKS.items() for kept in (0, 1, 2, 4)}


class Problem:
    """A grid and its right-hand side."""

    def __init__(self, side: int, obstacles: int, seed: int) -> None:
        self.flags = linear.problems.random_obstacles((side, side), obstacles, rng=100 + seed)
        self.A = linear.GridPoisson(self.flags)
        self.b = self.A.pack(np.random.default_rng(seed).standard_normal(self.flags.shape))

    def solve(self, method: str) -> Any:
        return linear.solve_poisson(self.flags, self.b, method=method, rtol=RTOL)  # type: ignore[arg-type]

    def predict(self, net: Any, kept: int) -> Any:
        A = linear.GridPoisson(self.flags)
        return linear.dcdm(A, self.b, net.predictor(A), n_orth=kept, rtol=RTOL)

    def error(self, x: Any) -> float:
        return float(np.linalg.norm(self.b - self.A @ x) / np.linalg.norm(self.b))


def runs(networks: tuple[str, ...]) -> dict[str, Callable[[Problem], Any]]:
    """What stands beside multigrid."""
    found: dict[str, Callable[[Problem], Any]] = {"CG": partial(Problem.solve, method="cg")}
    for name in networks:
        net, kept = KEPT[name]
        found[name] = partial(Problem.predict, net=net, kept=kept)
    return found


@cache  # the harness calls each side twice
def count(problems: tuple[Problem, ...], run: Callable[[Problem], Any]) -> float:
    results = [run(problem) for problem in problems]
    if not all(result.success for result in results):
        raise RuntimeError("not every grid was solved")
    return float(mean(result.nit for result in results))


def cases(quick: bool) -> Iterator[Case]:
    few = runs(("NPSD, 2 kept",))  # one step of DCDM on 256 x 256 cells takes a tenth of a second
    multigrid = partial(Problem.solve, method="mgpcg")
    grids = [(64, obstacles) for obstacles in (0, 2, 4, 8)] + ([] if quick else [(256, 4)])
    for side, obstacles in grids:
        problems = tuple(Problem(side, obstacles, seed) for seed in range(1 if quick else 3))
        beside = few if side > 64 else runs(tuple(KEPT))
        yield Case(
            f"{side} x {side} cells, {obstacles} obstacles",
            partial(count, problems, multigrid),
            [
                Peer("numsolve", partial(count, problems, run), name=f"numsolve {name}")
                for name, run in beside.items()
            ],
            metric="iterations to 1e-4",
            unit="",
            value=float,
            repeats=1,
            first_call=False,
        )
    for side in (64,) if quick else (64, 256):
        problem = Problem(side, 4, 0)

        def ours(run: Callable[[Problem], Any] = multigrid, problem: Problem = problem) -> Any:
            return run(problem).x

        yield Case(
            f"{side} x {side} cells, 4 obstacles",
            ours,
            [Peer("numsolve", partial(ours, run), name=f"numsolve {name}") for name, run in few.items()],
            metric="time to a residual of 1e-4",
            error=problem.error,
            tol=1.001 * RTOL,
            first_call=False,
            note="set-up included",
        )


if __name__ == "__main__":
    main(cases)
