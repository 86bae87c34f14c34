"""What a type checker sees of numsolve.neural_ode. Checked in strict mode, never run.

States and parameters are trees of arrays of JAX, so the fields of results are Any on purpose.
"""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np

from numsolve import neural_ode
from numsolve.neural_ode.problems import mlp, mlp_params, spiral, van_der_pol


def f(t: Any, y: Any, params: Any) -> Any:
    """A right-hand side."""
    return -params * y


def loss(params: Any, batch: Any, coefficient: Any, key: Any) -> tuple[Any, neural_ode.ODEResult]:
    """Of a batch."""
    sol = neural_ode.odesolve(f, batch, (0.0, 1.0), params, method="dopri5", adjoint="discrete")
    penalty = neural_ode.error_penalty(sol, "mean") + neural_ode.stiffness_penalty(sol)
    local = neural_ode.local_penalty(f, sol, params, key, sampling="biased")
    return sol.y.sum() + coefficient * (penalty + neural_ode.cost_penalty(sol) + local), sol


def uses() -> list[Any]:
    """Solves, training and what belongs to them."""
    sol = neural_ode.odesolve(f, np.ones(3), (0.0, 1.0), 1.0, ts=[0.5], norm="sample", controller="pi")
    assert_type(sol, neural_ode.ODEResult)

    path = neural_ode.sdesolve(f, f, np.ones(3), (0.0, 1.0), 1.0, key=None)
    assert_type(path, neural_ode.SDEResult)
    W = neural_ode.brownian_path(None, np.ones(3), (0.0, 1.0), [1.0])

    plain = neural_ode.heuristics(lambda t, y: -t * y, (0.0, 1.0), np.ones(3), time_limit=1.0)
    assert_type(plain, neural_ode.ODEResult)
    plain.plot(color="k")

    augmented, split = neural_ode.taylor_dynamics(f, order=2)
    span = neural_ode.steer_end(None, (0.0, 1.0), 0.5)
    times = neural_ode.steer_times(None, [0.5, 1.0], (0.0, 1.0))
    decay = neural_ode.ExponentialDecay(1.0, 0.1, 100)
    target = neural_ode.CostTarget(attempts=10)

    optimizer: Any = None
    result = neural_ode.train(loss, 1.0, np.ones(8), optimizer, coefficient=target, epochs=2)
    assert_type(result, neural_ode.TrainResult)
    assert_type(result.steps, int)

    layers = mlp_params(None, (2, 8, 2))
    slope = (
        mlp(0.0, np.ones(2), layers),
        spiral(0.0, np.ones(2), np.ones((2, 2))),
        van_der_pol(0.0, np.ones(2), 1.0),
    )
    problems = neural_ode.problems.geometric_brownian(0.0, 1.0, 1.0, 0.1, 0.2, 0.3)
    return [W, augmented, split, span, times, decay, slope, problems]


def mistakes() -> None:
    """What a checker has to find before the program runs."""
    neural_ode.odesolve(f, np.ones(3), (0.0, 1.0), method="rk4")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
