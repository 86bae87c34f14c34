"""How the time of a gradient grows with the width of the network, beside diffrax."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from neural_ode import compiled, distance, loaded, ours, seconds, theirs

from _harness import Case, Peer, main
from numsolve.neural_ode.problems import mlp_params

STEPS, BATCH, INPUTS = 6, 64, 16


def cases(quick: bool) -> Iterator[Case]:
    jax = loaded()
    key = jax.random.key(0)
    y0 = jax.random.normal(key, (BATCH, INPUTS))
    for width in (8, 16) if quick else (16, 64, 256, 1024, 4096):
        params = mlp_params(key, (INPUTS, width, INPUTS), time=False)
        run = compiled(partial(ours, steps=STEPS), params, y0)
        best = compiled(partial(theirs, steps=STEPS, adjoint="tuned checkpoints"), params, y0)
        yield Case(
            f"{INPUTS}-{width}-{INPUTS}, batch {BATCH}, {STEPS} steps",
            run,
            [Peer("diffrax", best, name="diffrax tuned checkpoints", value=seconds)],
            metric="processor time of a gradient",
            value=seconds,
            error=distance(run()[1]),
            repeats=15,
            budget=20.0,
            first_call=False,
            note="attempts forced equal",
            size=width,
            series=f"{INPUTS}-N-{INPUTS}, batch {BATCH}, {STEPS} steps",
        )


if __name__ == "__main__":
    main(cases)
