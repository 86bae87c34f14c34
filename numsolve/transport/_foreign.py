"""POT's words that this column does not take, and what is said to who writes them."""

from __future__ import annotations

import sys
from typing import Any

#: Keywords of `ot.solve`, `ot.sinkhorn` and their like.
KEYWORDS = {
    "numItermax": "maxiter",
    "stopThr": "tol",
    "warmstart": "potentials_init",
    "log": "the potentials, the errors and the times are always in the result (potentials, history)",
    "warn": "a run that does not converge warns of ConvergenceWarning, which warnings.simplefilter hides",
    "plan_init": "a run starts from potentials, given as potentials_init",
    "n_threads": "threads are counted by numba.set_num_threads, or by NUMBA_NUM_THREADS before the start",
    "grad": "derivatives are methods of the result: gradient() of the value, vjp() of the plan",
}

#: Methods of `ot.sinkhorn` and what they are called in `numsolve.transport.sinkhorn`.
SINKHORN = {
    "sinkhorn": 'the form with a stored kernel is called "scaling"',
    "sinkhorn_log": 'it is called "log"',
    "sinkhorn_stabilized": 'it is called "stabilized"',
    "sinkhorn_epsilon_scaling": "a falling regularisation is what transport.solve has",
    "greenkhorn": "there is no greedy form here",
}

#: And in `numsolve.transport.solve`.
SOLVE = {
    "sinkhorn_stabilized": '"sinkhorn" is stabilized; transport.sinkhorn has each form',
    "sinkhorn_epsilon_scaling": '"newton" goes through falling regularisations',
    "emd": "exact transport is what reg=0 asks for",
}


def refuse_traced(**given: Any) -> None:
    """Say to those who differentiate or compile a solver with JAX what does that here."""
    jax = sys.modules.get("jax")
    for name, x in given.items():
        if jax is not None and isinstance(x, jax.core.Tracer):
            raise TypeError(
                f"{name} is a tracer of jax.grad, jax.jit or jax.vmap, which cannot look into this solver: "
                "give the solution derivatives by numsolve.implicit (differentiable, custom_root) with a "
                "condition of numsolve.transport.optimality, or call result.gradient() or result.vjp()"
            )
