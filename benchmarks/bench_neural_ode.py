"""Differential equations: times of solves and gradients, and counts that do not depend on the machine."""

import numpy as np

from numsolve import neural_ode
from numsolve.neural_ode import problems


class Gradient:
    """A gradient through a small network, with the error penalty."""

    def setup(self):
        import jax

        params = problems.mlp_params(jax.random.key(0), (8, 16, 8))
        y0 = np.random.default_rng(0).standard_normal((32, 8)).astype(np.float32)

        def loss(params):
            sol = neural_ode.odesolve(problems.mlp, y0, (0.0, 1.0), params)
            return (sol.y**2).sum() + 0.1 * neural_ode.error_penalty(sol), sol.nfev

        self.params, self.loss = params, loss
        self.gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))
        self.time_gradient()

    def time_gradient(self):
        self.gradient(self.params)[1][0][0].block_until_ready()

    def track_evaluations(self):
        return int(self.gradient(self.params)[0][1])

    def peakmem_gradient(self):
        self.time_gradient()


Gradient.track_evaluations.unit = "calls"


class Plain:
    """The loop without JAX, on a stiff oscillator."""

    def setup(self):
        self.solve()

    def solve(self):
        def fun(_, y):
            return np.array([y[1], 20 * (1 - y[0] ** 2) * y[1] - y[0]])

        return neural_ode.heuristics(fun, (0.0, 10.0), np.array([2.0, 0.0]))

    def time_solve(self):
        self.solve()

    def track_evaluations(self):
        return self.solve().nfev


Plain.track_evaluations.unit = "calls"
