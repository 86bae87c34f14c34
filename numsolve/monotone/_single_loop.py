r"""The single loop of variance-reduced Halpern iterations, for components that are cocoercive on average.

Algorithm 1 of X. Cai, A. Alacaoglu, J. Diakonikolas (ICLR 2024), as in `numsolve.monotone.vr_halpern`. With
lam_k = 2 / (k + 4) and the anchor u_0,

    u_{k+1} = J(lam_k u_0 + (1 - lam_k) u_k - eta g_k),                                            (1)
    g_k = F(u_k) with probability p_k,  else  g_{k-1} + (1/b) sum_{i in B_k} F_i(u_k) - F_i(u_{k-1}).   (2)

Between two evaluations of F the iteration runs in chunks, which end where the time or the budget is over.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from numsolve._core.codes import RUNNING

from ._tuples import Estimator

if TYPE_CHECKING:
    from numsolve._core.typing import Array

    from ._sampling import Sampler

#: The tuned form: the batch over sqrt(n), the iterations of a late cycle over 1 + sqrt(n).
BATCH, CYCLE = 0.3, 1.6
#: When the time is over, the residual is measured once more if so many evaluations of F were paid since the
#: last one.
WORTH_A_LOOK = 5.0


def estimator(
    n: int, step: float, batch: int | None, prob: float | None, schedule: Literal["tuned", "paper"]
) -> Estimator:
    """The numbers of Algorithm 1."""
    root, paper = math.isqrt(n), schedule == "paper"
    if batch is None:
        batch = root if paper else math.ceil(BATCH * root)
    if prob is not None:
        return Estimator(step, batch, prob, -1.0)
    return (
        Estimator(step, batch, 4.0, 1.0 + root)
        if paper
        else Estimator(step, batch, 1.0, CYCLE * (1.0 + root))
    )


def single_loop(run: Sampler, u: Array, plan: Estimator) -> None:
    """Algorithm 1."""
    it, c, rule = run.it, run.components, run.rule
    with it:
        anchor, g = u.copy(), c.full(u)
        residual, since, paid = c.residual(u, g, plan.step, it.threshold), 0, c.cost
        it.record(residual, u, epochs=run.epochs)
        run.stop_if_spent()
        refresh = True
        while it.running:
            if refresh and rule.due(residual, since):
                anchor, c.age = u.copy(), 0
            if refresh:
                since, paid = 0, c.cost
            done, refresh = run.chunk(
                lambda steps: c.page_cycle(anchor, u, g, plan, steps),  # noqa: B023  # called at once
                2 * plan.batch,
                it.maxiter - it.nit,
            )
            since += done
            last = run.is_spent or it.nit + done >= it.maxiter
            refresh |= last or (it.time_is_up and c.cost - paid >= WORTH_A_LOOK * c.n)
            rows = []
            if refresh:
                g[:] = c.full(u)  # (2)
                residual = c.residual(u, g, plan.step, it.threshold)
                rows = [residual]
            it.extend(rows, RUNNING, u, steps=done, epochs=[run.epochs for _ in rows])
            run.stop_if_spent()
