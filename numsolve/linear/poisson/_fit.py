"""Adam under a `Monitor`: the loop of all trainers of this room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core.clock import now
from numsolve._core.extras import require
from numsolve._core.monitor import Monitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numsolve._core.history import History
    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array

    Params = Any
    Batch = Any

#: Steps between two looks at the held-out data, the clock and the keyboard.
EVERY = 10
#: The step size falls linearly to this part of the first one.
LAST_STEP = 0.01
#: A gradient longer than this is shortened.
LONGEST_GRADIENT = 1.0


def fit(
    params: Params,
    loss: Callable[[Params, Batch], Any],
    batches: Iterator[Batch],
    held_out: Batch,
    limits: Limits,
    *,
    lr: float,
    maxiter: int,
    label: str,
) -> tuple[Params, History]:
    """Minimise a loss over batches; the parameters that were best on what is held out.

    Parameters
    ----------
    params : pytree of arrays
        Where to start.
    loss : callable
        ``loss(params, batch)``, a scalar of JAX.
    batches : iterator
        Pytrees of arrays of the same shapes.
    held_out : pytree of arrays
        Another batch, that is never trained on.
    limits : Limits
        The run settings of the caller.
    lr : float
        The first step size.
    maxiter : int
        The usual number of steps.
    label : str
        The caption of the progress bar.

    Returns
    -------
    params : pytree of arrays
        The best ones, also after Ctrl-C or at the end of the time.
    history : History
        Of the loss on what is held out.
    """
    jax, optax = require("jax", "training"), require("optax", "training")
    adam = optax.chain(optax.clip_by_global_norm(LONGEST_GRADIENT), optax.scale_by_adam())

    @jax.jit  # type: ignore[untyped-decorator]  # JAX is there only when something is trained
    def step(params: Params, state: Any, batch: Batch, size: Any) -> tuple[Params, Any]:
        updates, state = adam.update(jax.grad(loss)(params, batch), state, params)
        return jax.tree.map(lambda p, u: p - size * u, params, updates), state

    measured = jax.jit(loss)
    state = adam.init(params)
    began, seconds = now(), limits.seconds_left
    with Monitor(limits, maxiter=maxiter, label=label, keep="reference", every=EVERY) as it:
        it.record(float(measured(params, held_out)), params)
        for k in it:
            done = max((k - 1) / it.maxiter, min((now() - began) / seconds, 1.0) if seconds else 1.0)
            size = np.float32(lr * (1.0 - (1.0 - LAST_STEP) * done))
            params, state = step(params, state, next(batches), size)
            due = k % EVERY == 0 or k == it.maxiter
            it.record(float(measured(params, held_out)) if due else 0.0, params)
    it.finish()
    return it.x, it.history


def shuffled(samples: Array, size: int, rng: np.random.Generator) -> Iterator[Array]:
    """Batches of a set, pass after pass, each time in another order."""
    while True:
        order = rng.permutation(len(samples))
        for k in range(0, len(samples) - size + 1, size):
            yield samples[order[k : k + size]]
