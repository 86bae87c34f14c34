"""Gradients of a solve beside diffrax, what a penalty adds, and steps for each sample.

Attempts are forced equal: both sides take the same number of steps of one length, through their adaptive
machinery, errors and acceptance included (diffrax with `factormin = factormax = 1`). diffrax's tuned
checkpoints are eight, room for the steps that are taken and little more: faster than one for each step that
is allowed. The error is the relative distance of both gradients.

How far from the floor: a step costs 6 evaluations forward; backward it costs 6 more to compute it again and 6
products with the transposed Jacobian, each worth two evaluations: 24 in all, with the error penalty or
without, for the last slope of a step comes from the step after. On wide networks matrix products are all of
it.

What training makes of the evaluations is measured apart, by ``neural_ode_training.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from _harness import Case, Peer, main
from numsolve import neural_ode as node
from numsolve.neural_ode import error_penalty, odesolve
from numsolve.neural_ode.problems import mlp, mlp_params, van_der_pol

#: sizes of the network, batch, steps: those of the specification, the three before anything was tuned
SIZES = {
    "2-50-2": ((2, 50, 2), 64, 4),
    "64-100-64": ((64, 100, 64), 128, 6),
    "784-100-784": ((784, 100, 784), 128, 6),
}
STEPS, CHECKPOINTS = 64, 8


def loaded() -> Any:
    """JAX in double precision."""
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax


def problem(name: str) -> tuple[Any, Any, int]:
    """Parameters, start, and the number of steps."""
    jax = loaded()
    sizes, batch, steps = SIZES[name]
    key = jax.random.key(0)
    return mlp_params(key, sizes, time=False), jax.random.normal(key, (batch, sizes[0])), steps


def ours(params: Any, y0: Any, steps: int, weight: float = 0.0) -> Any:
    """A loss of our solve."""
    sol = odesolve(
        mlp, y0, (0.0, 1.0), params, rtol=1e-2, atol=1e-2, controller="fixed", h0=1 / steps, max_steps=STEPS
    )
    value = (sol.y**2).sum()
    return value + weight * error_penalty(sol) if weight else value


def theirs(params: Any, y0: Any, steps: int, adjoint: str) -> Any:
    """The same of diffrax."""
    import diffrax

    adjoints: dict[str, Callable[[], Any]] = {
        "tuned checkpoints": lambda: diffrax.RecursiveCheckpointAdjoint(checkpoints=CHECKPOINTS),
        "default": diffrax.RecursiveCheckpointAdjoint,
        "BacksolveAdjoint": lambda: diffrax.BacksolveAdjoint(
            stepsize_controller=diffrax.PIDController(rtol=1e-2, atol=1e-2, factormin=1.0, factormax=1.0)
        ),
    }
    sol = diffrax.diffeqsolve(
        diffrax.ODETerm(mlp),
        diffrax.Tsit5(),
        0.0,
        1.0,
        1 / steps,
        y0,
        params,
        stepsize_controller=diffrax.PIDController(rtol=1e-2, atol=1e-2, factormin=1.0, factormax=1.0),
        max_steps=STEPS,
        adjoint=adjoints[adjoint](),
    )
    return (sol.ys**2).sum()


def compiled(loss: Any, *data: Any) -> Callable[[], Any]:
    """The gradient, ready to run."""
    jax = loaded()
    gradient = jax.jit(jax.grad(loss))

    def run() -> tuple[float, Any]:
        began = time.process_time()
        out = jax.block_until_ready(gradient(*data))
        return time.process_time() - began, out

    return run


def seconds(timed: tuple[float, Any]) -> float:
    """Of the processor, so that other work on the machine does not count."""
    return timed[0]


def distance(reference: Any) -> Callable[[Any], float]:
    """Relative distance of a gradient."""

    def measure(timed: Any) -> float:
        import jax

        out = timed[1]

        pairs = list(zip(jax.tree.leaves(out), jax.tree.leaves(reference), strict=True))
        top = sum(float(((a - b) ** 2).sum()) for a, b in pairs)
        return float(np.sqrt(top / sum(float((b**2).sum()) for _, b in pairs)))

    return measure


def gradient_case(name: str) -> Case:
    """One gradient, without compilation."""
    params, y0, steps = problem(name)
    run = compiled(partial(ours, steps=steps), params, y0)
    reference = run()[1]
    kinds = ("tuned checkpoints", "default", "BacksolveAdjoint")
    peers = [
        Peer(
            "diffrax",
            compiled(partial(theirs, steps=steps, adjoint=kind), params, y0),
            name=f"diffrax {kind}",
            value=seconds,
            note="another gradient: the adjoint equation" if "Back" in kind else "",
        )
        for kind in kinds
    ]
    return Case(
        f"{name}, batch {y0.shape[0]}, {steps} steps",
        run,
        peers,
        metric="processor time of a gradient",
        value=seconds,
        error=distance(reference),
        repeats=25,
        budget=40.0,
        first_call=False,
        note="attempts forced equal",
    )


def penalty_case(name: str) -> Case:
    """What the error penalty adds to a gradient."""
    params, y0, steps = problem(name)
    return Case(
        f"{name}, with the error penalty",
        compiled(partial(ours, steps=steps, weight=0.1), params, y0),
        [
            Peer(
                "numsolve",
                compiled(partial(ours, steps=steps), params, y0),
                name="numsolve without",
                value=seconds,
            )
        ],
        metric="processor time of a gradient",
        value=seconds,
        repeats=25,
        budget=30.0,
        first_call=False,
    )


def training_case(name: str) -> Case:
    """The gradient of one solve with what each method trains on, at the same number of steps."""
    params, y0, steps = problem(name)
    jax = loaded()
    key = jax.random.key(1)

    def solved(params: Any, f: Any = mlp, start: Any = y0, span: Any = (0.0, 1.0), **settings: Any) -> Any:
        fixed = {"rtol": 1e-2, "atol": 1e-2, "controller": "fixed", "h0": 1 / steps, "max_steps": STEPS}
        return odesolve(f, start, span, params, **(fixed | settings))

    def penalised(penalty: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
        def loss(params: Any) -> Any:
            sol = solved(params)
            return (sol.y**2).sum() + 0.1 * penalty(sol, params)

        return loss

    def taylor(params: Any, order: int) -> Any:
        augmented, split = node.taylor_dynamics(mlp, order=order)
        sol = solved(params, augmented, (y0, jax.numpy.zeros(())), error_weight=(1.0, 0.0))
        y, penalty = split(sol.y)
        return (y**2).sum() + 0.1 * penalty

    def steered(params: Any) -> Any:
        """The random end, reached in as many steps."""
        span = node.steer_end(key, (0.0, 1.0), 0.5)
        return (solved(params, span=span, h0=span[1] / steps).y ** 2).sum()

    def local(sampling: Any) -> Callable[[Any], Any]:
        return penalised(lambda sol, params: node.local_penalty(mlp, sol, params, key, sampling=sampling))

    methods: dict[str, Callable[[Any], Any]] = {
        "no penalty": penalised(lambda *_: 0.0),
        "predicted cost": penalised(lambda sol, _: node.cost_penalty(sol)),
        "stiffness": penalised(lambda sol, _: node.stiffness_penalty(sol)),
        "local, unbiased": local("unbiased"),
        "local, biased": local("biased"),
        "STEER": steered,
        "TayNODE, K = 2": partial(taylor, order=2),
        "TayNODE, K = 3": partial(taylor, order=3),
    }
    return Case(
        f"{name}, what each method trains on",
        compiled(penalised(lambda sol, _: error_penalty(sol)), params),
        [
            Peer("numsolve", compiled(loss, params), name=f"numsolve {label}", value=seconds)
            for label, loss in methods.items()
        ],
        metric="processor time of a gradient",
        value=seconds,
        repeats=25,
        budget=30.0,
        first_call=False,
        note="numsolve: with the error penalty; attempts forced equal",
    )


def compile_case(name: str) -> Case:
    """Tracing and compiling a gradient."""
    jax = loaded()
    params, y0, steps = problem(name)

    def fresh(loss: Any) -> Callable[[], Any]:
        def run() -> tuple[float, Any]:
            jax.clear_caches()
            began = time.process_time()
            out = jax.jit(jax.grad(partial(loss))).lower(params, y0).compile()
            return time.process_time() - began, out

        return run

    return Case(
        name,
        fresh(partial(ours, steps=steps)),
        [
            Peer(
                "diffrax",
                fresh(partial(theirs, steps=steps, adjoint="tuned checkpoints")),
                name="diffrax tuned checkpoints",
            )
        ],
        metric="compilation of a gradient",
        value=seconds,
        repeats=5,
        first_call=False,
    )


def sample_case() -> Case:
    """Evaluations a sample, of a batch of very different problems."""
    jax = loaded()
    mu = np.geomspace(0.1, 20.0, 64)
    y0 = np.tile([2.0, 0.0], (64, 1))
    solve = partial(odesolve, van_der_pol, y0, (0.0, 10.0), mu, max_steps=1024)

    def run(norm: Any) -> Callable[[], Any]:
        program = jax.jit(lambda: solve(norm=norm))
        return lambda: jax.block_until_ready(program())

    return Case(
        "64 oscillators of van der Pol",
        run("sample"),
        [Peer("numsolve", run("batch"), name="numsolve one step for all")],
        metric="evaluations a sample",
        unit="calls",
        value=lambda sol: float(np.mean(sol.nfev)),
        repeats=1,
        first_call=False,
    )


def cases(quick: bool) -> Iterator[Case]:
    """Gradients, compilation, penalties, samples."""
    for name in list(SIZES)[: 1 if quick else 3]:
        yield gradient_case(name)
        yield penalty_case(name)
    yield training_case("64-100-64")
    for name in list(SIZES)[: 1 if quick else 3]:
        yield compile_case(name)
    yield sample_case()


if __name__ == "__main__":
    main(cases)
