"""Entropic optimal transport: times, memory, and the counts and errors that do not depend on the machine."""

import warnings

import numpy as np

from numsolve import ConvergenceWarning, transport
from numsolve.transport import problems

REGS = [1e-2, 1 / 1200, 1e-4]


def _problem(name, n=500):
    if name == "assignment":
        return problems.random_assignment(n, rng=0)
    return problems.densities_1d(n, p={"line, squared": 2, "line, absolute": 1}[name])


class Newton:
    """The default method."""

    params = (["assignment", "line, squared", "line, absolute"], REGS)
    param_names = ("problem", "reg")

    def setup(self, problem, reg):
        self.M, self.a, self.b = _problem(problem)
        transport.solve(self.M[:20, :20], reg=reg)

    def time_solve(self, problem, reg):
        transport.solve(self.M, self.a, self.b, reg)

    def track_newton_steps(self, problem, reg):
        return transport.solve(self.M, self.a, self.b, reg).nnewton

    def track_cg_steps(self, problem, reg):
        return transport.solve(self.M, self.a, self.b, reg).ncg

    def track_error(self, problem, reg):
        plan = transport.solve(self.M, self.a, self.b, reg).plan
        return float(abs(plan.sum(axis=1) - self.a).sum() + abs(plan.sum(axis=0) - self.b).sum())


Newton.track_newton_steps.unit = "steps"
Newton.track_cg_steps.unit = "steps"
Newton.track_error.unit = "error"


class Large:
    """Memory and time where the plan no longer fits the cache."""

    timeout = 120

    def setup(self):
        self.M, self.a, self.b = problems.random_assignment(2000, rng=1)
        transport.solve(self.M[:20, :20], reg=1e-3)

    def time_solve(self):
        transport.solve(self.M, self.a, self.b, 1e-3)

    def peakmem_solve(self):
        transport.solve(self.M, self.a, self.b, 1e-3)


class Sinkhorn:
    """A hundred sweeps of each form, and the sweeps that the default needs."""

    params = ["scaling", "stabilized", "log", "plan"]
    param_names = ("method",)

    def setup(self, method):
        self.M, self.a, self.b = problems.densities_1d(500)
        self._sweep(method, 2)

    def _sweep(self, method, sweeps):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            transport.sinkhorn(
                self.a, self.b, self.M, 1e-2, method=method, overrelaxation=1.0, tol=0.0, maxiter=sweeps
            )

    def time_100_sweeps(self, method):
        self._sweep(method, 100)


class SinkhornCounts:
    """How far over-relaxation shortens a run."""

    params = ["auto", 1.0]
    param_names = ("overrelaxation",)

    def track_sweeps(self, overrelaxation):
        M, a, b = problems.densities_1d(500)
        return transport.sinkhorn(a, b, M, 1 / 1200, overrelaxation=overrelaxation).nsinkhorn


SinkhornCounts.track_sweeps.unit = "sweeps"


class Sparse:
    """The published Sinkhorn-Newton-Sparse method, at the density that works for this problem."""

    def setup(self):
        self.M, self.a, self.b = problems.random_assignment(500, rng=0)

    def time_sns(self):
        transport.sinkhorn_newton_sparse(self.a, self.b, self.M, 1 / 1200, density=15 / 500)

    def track_newton_steps(self):
        return transport.sinkhorn_newton_sparse(self.a, self.b, self.M, 1 / 1200, density=15 / 500).nnewton


Sparse.track_newton_steps.unit = "steps"


class Batch:
    """64 problems of 64 x 64 in one call."""

    def setup(self):
        self.M = np.random.default_rng(0).random((64, 64, 64))
        transport.solve(self.M[:2], reg=0.02)

    def time_solve(self):
        transport.solve(self.M, reg=0.02)


class Unbalanced:
    """Newton's method on a problem whose masses differ."""

    params = [1e-2, 1e-4]
    param_names = ("reg",)

    def setup(self, reg):
        rng = np.random.default_rng(0)
        self.data = rng.random((500, 400)), rng.random(500), rng.random(400)
        self._solve(reg)

    def _solve(self, reg):
        return transport.solve(*self.data, reg, unbalanced=1.0)

    def time_solve(self, reg):
        self._solve(reg)

    def track_newton_steps(self, reg):
        return self._solve(reg).nnewton


Unbalanced.track_newton_steps.unit = "steps"


class Adjoint:
    """Derivatives of a plan beside the solve that made it."""

    def setup(self):
        M, a, b = problems.random_assignment(500, rng=0)
        self.result = transport.solve(M, a, b, 1e-3)
        self.Q = np.random.default_rng(0).normal(size=M.shape)

    def time_vjp(self):
        self.result.vjp(self.Q)


class Exponential:
    """The exponential that all kernels share, on 16 384 numbers; NumPy's beside it as a yardstick."""

    def setup(self):
        from numsolve.transport import _cpu

        self.x = np.random.default_rng(0).uniform(-50, 0, 16_384)
        self.exp2 = _cpu.exp2
        self.exp2(self.x)

    def time_exp2(self):
        self.exp2(self.x)

    def time_numpy_exp(self):
        np.exp(self.x)


def timeraw_import_and_solve():
    """A fresh interpreter with a warm cache: import, and solve a small problem."""
    return (
        "from numsolve import transport as t; M, a, b = t.problems.densities_1d(50); t.solve(M, a, b, 0.01)"
    )
