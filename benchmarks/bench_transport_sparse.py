"""Quadratic and sparsity-constrained transport: times, steps and errors."""

import numpy as np

from numsolve import transport
from numsolve.transport import problems

CASES = ["assignment", "line, squared"]


def _problem(name, n=300):
    return problems.random_assignment(n, rng=0) if name == "assignment" else problems.densities_1d(n, p=2)


class Quadratic:
    params = (CASES, [0.01, 1.0, 100.0])
    param_names = ("problem", "reg")

    def setup(self, problem, reg):
        self.M, self.a, self.b = _problem(problem)
        transport.quadratic(None, None, self.M[:20, :20], 1.0)

    def time_quadratic(self, problem, reg):
        transport.quadratic(self.a, self.b, self.M, reg)

    def track_steps(self, problem, reg):
        return transport.quadratic(self.a, self.b, self.M, reg).nit


Quadratic.track_steps.unit = "steps"


class Sparse:
    params = (CASES, [1, 2, 10])
    param_names = ("problem", "max_nz")

    def setup(self, problem, max_nz):
        self.M, self.a, self.b = _problem(problem)
        transport.sparsity_constrained(None, None, self.M[:20, :20], 1.0, 2)

    def time_sparse(self, problem, max_nz):
        transport.sparsity_constrained(self.a, self.b, self.M, 1.0, max_nz)

    def track_steps(self, problem, max_nz):
        return transport.sparsity_constrained(self.a, self.b, self.M, 1.0, max_nz).nit

    def track_error(self, problem, max_nz):
        plan = transport.sparsity_constrained(self.a, self.b, self.M, 1.0, max_nz).plan
        return float(np.abs(plan.sum(axis=1) - self.a).sum() + np.abs(plan.sum(axis=0) - self.b).sum())


Sparse.track_steps.unit = "steps"
Sparse.track_error.unit = "error"
