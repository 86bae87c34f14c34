"""Derivatives of solutions: times, and the errors that do not depend on the machine."""

import numpy as np

from numsolve import implicit
from numsolve.implicit import problems


class FactorReuse:
    """The derivative of a diffusion problem whose factorisation is at hand, without JAX."""

    params = [32, 128]
    param_names = ("n",)

    def setup(self, n):
        self.problem = problems.Diffusion(n)
        self.theta = 0.3 * np.random.default_rng(0).standard_normal((n + 1, n + 1))
        self.u, self.factor = self.problem.solve(self.theta)

    def _derivative(self, solve):
        def pull(w):
            return self.problem.vjp_theta(self.u, self.theta, w)

        J = implicit.solution_jacobian(self.problem.equation, self.u, self.theta, vjp_theta=pull, solve=solve)
        return J.rmatvec(np.ones(self.u.size))

    def time_forward(self, n):
        self.problem.solve(self.theta)

    def time_derivative(self, n):
        self._derivative(self.factor)

    def peakmem_derivative(self, n):
        self._derivative(self.factor)


class Coloured:
    """A sparse Jacobian from its pattern."""

    def setup(self):
        self.problem = problems.Diffusion(64)
        self.theta = np.zeros((65, 65))
        self.u, _ = self.problem.solve(self.theta)
        self.pattern = self.problem.matrix(self.theta)
        self.time_jacobian()

    def time_jacobian(self):
        J = implicit.solution_jacobian(self.problem.equation, self.u, self.theta, sparsity=self.pattern)
        J @ np.ones(65 * 65)


class Host:
    """A ridge regression by LAPACK in a callback: gradient and Hessian, compiled."""

    def setup(self):
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", True)
        rng = np.random.default_rng(0)
        X, y = rng.standard_normal((200, 50)), rng.standard_normal(200)
        A, b = X.T @ X / 200, X.T @ y / 200
        solver = implicit.differentiable(
            lambda _, lam: np.linalg.solve(A + lam * np.eye(50), b), lambda w, lam: A @ w + lam * w - b
        )
        H = A + 0.5 * np.eye(50)
        self.exact = 2 * np.linalg.solve(H, np.linalg.solve(H, np.linalg.solve(H, b))).sum()
        start = jnp.zeros(50)
        self.lam = jnp.asarray(0.5)
        self.gradient = jax.jit(jax.grad(lambda lam: solver(start, lam).sum()))
        self.hessian = jax.jit(jax.hessian(lambda lam: solver(start, lam).sum()))
        self.eager = jax.grad(lambda lam: solver(start, lam).sum())
        for function in (self.gradient, self.hessian, self.eager):
            function(self.lam).block_until_ready()

    def time_gradient(self):
        self.gradient(self.lam).block_until_ready()

    def time_hessian(self):
        self.hessian(self.lam).block_until_ready()

    def time_gradient_without_jit(self):
        self.eager(self.lam).block_until_ready()

    def track_error_of_hessian(self):
        return abs(float(self.hessian(self.lam)) / self.exact - 1)


Host.track_error_of_hessian.unit = "relative error"
