r"""The double loop of variance-reduced Halpern iterations, for components that are Lipschitz on average.

Algorithm 2 of X. Cai, A. Alacaoglu, J. Diakonikolas (ICLR 2024), as in `numsolve.monotone.vr_halpern`:
Halpern's iteration, lam_k = 1 / (k + 2), with the resolvent R of ``eta (F + G)``, ``eta = sqrt(n) / L``, in
the place of T,

    u_{k+1} = lam_k u_0 + (1 - lam_k) R(u_k).                                                      (3)

``R(u)`` is the zero of ``H(v) + eta G(v)`` with the strongly monotone ``H(v) = v - u + eta F(v)``, which is
found inexactly by variance-reduced forward-reflected-backward steps (A. Alacaoglu, Y. Malitsky, V. Cevher,
NeurIPS 2021), one component i each:

    v <- J(alpha v + (1 - alpha) w - gamma [H(w) + H_i(v) - H_i(w_old)]),  w_old <- w,             (4)
    w <- v with probability p = 1 - alpha.                                                         (5)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from ._tuples import Splitting

if TYPE_CHECKING:
    from numsolve._core.typing import Array

    from ._sampling import Sampler

#: The inner steps of the tuned form over n. More do not pay, nor does stopping by accuracy.
INNER = 0.2


def splitting(n: int, gamma: float, eta: float | None, prob: float | None) -> Splitting:
    """The numbers of the inner loop of Algorithm 2."""
    L = 1.0 / gamma
    eta = math.sqrt(n) / L if eta is None else eta
    p = 1.0 / max(n, 2) if prob is None else prob
    return Splitting(eta, math.sqrt(p * (1.0 - p)) / (eta * L + 1.0), p)


def double_loop(
    run: Sampler, u: Array, gamma: float, plan: Splitting, schedule: Literal["tuned", "paper"]
) -> None:
    """Algorithm 2; the residual is that of a step gamma."""
    it, c, n = run.it, run.components, run.components.n
    with it:
        anchor, k, f = u.copy(), 0, c.full(u)
        residual = c.residual(u, f, gamma, it.threshold)
        it.record(residual, u, epochs=run.epochs)
        run.stop_if_spent()
        for _ in it:
            # The paper's proof asks for 56 max(n, ...) log(1.252 (k + 2)^4) steps; its script takes these.
            steps = int(0.05 * n * math.log(k + 2)) if schedule == "paper" else math.ceil(INNER * n)
            v = _resolvent(run, u, f, plan, max(1, steps))
            if run.rule.due(residual):
                anchor, k = v.copy(), -1
            lam = 1.0 / (k + 2)
            u, k = lam * anchor + (1.0 - lam) * v, k + 1  # (3)
            f = c.full(u)
            residual = c.residual(u, f, gamma, it.threshold)
            it.record(residual, u, epochs=run.epochs)
            run.stop_if_spent()


def _resolvent(run: Sampler, u: Array, f: Array, plan: Splitting, steps: int) -> Array:
    """R(u), inexactly: some steps towards the zero of H + eta G, as far as time and budget go; f is F(u)."""
    c = run.components
    v, w, w_old, h = u.copy(), u.copy(), u.copy(), plan.eta * f
    while steps > 0 and not (run.is_spent or run.it.time_is_up):
        done, refresh = run.chunk(
            lambda most: c.forb_cycle(v, w, w_old, h, plan, most),  # noqa: B023  # called at once
            2,
            steps,
        )
        steps -= done
        if refresh:
            w[:] = v  # (5)
            h = plan.eta * c.full(w) + w - u
    return v
