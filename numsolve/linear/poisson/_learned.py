"""Deep conjugate directions as a method of `solve_poisson`: which network, and one solve for each side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core.clock import now
from numsolve.linear._system import ENDS
from numsolve.linear.result import LinearResult

from .dcdm import dcdm
from .network import DCDMNet
from .npsd import NPSDNet

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.result import Status
    from numsolve._core.typing import Array, Matrix

    from .grid import GridPoisson

NETWORKS: dict[str, type[DCDMNet | NPSDNet]] = {"dcdm": DCDMNet, "npsd": NPSDNet}


def network(method: str, weights: Any, ndim: int) -> DCDMNet | NPSDNet:
    """The network of a method: given, from a file, or the one that comes with the package."""
    kind = NETWORKS[method]
    if isinstance(weights, kind):
        return weights
    if isinstance(weights, str) and weights == "default":
        return kind.shipped(ndim)
    if isinstance(weights, str | Path):
        return kind.from_file(weights)
    raise TypeError(
        f"weights must be 'default', a path or a {kind.__name__} for method={method!r}, "
        f"got {type(weights).__name__}"
    )


def directions(method: str, weights: Any, problem: GridPoisson) -> Callable[..., LinearResult]:
    """A solver with the arguments of `numsolve.linear.cg`, that takes its directions from a network."""
    predictor = network(method, weights, problem.ndim_grid).predictor(problem)

    def solve(
        A: Matrix, b: Array, x0: Array | None, *, time_limit: float | None, **settings: Any
    ) -> LinearResult:
        if b.ndim == 1:
            return dcdm(A, b, predictor, x0=x0, time_limit=time_limit, **settings)
        x, status, nit = np.zeros_like(b), np.zeros(b.shape[1], int), np.zeros(b.shape[1], int)
        deadline = None if time_limit is None else now() + time_limit
        ended: Status | None = None
        for k in range(b.shape[1]):
            start = None if x0 is None else x0[:, k]
            if ended is not None:
                x[:, k], status[k] = 0.0 if start is None else start, ended
                continue
            left = None if deadline is None else max(deadline - now(), 0.0)
            one = dcdm(A, b[:, k], predictor, x0=start, time_limit=left, **settings)
            x[:, k], status[k], nit[k] = one.x, one.status, one.nit
            ended = one.status if one.status in ENDS else None
        return LinearResult(x=x, status=status, nit=nit)  # type: ignore[arg-type]  # of several sides

    return solve
