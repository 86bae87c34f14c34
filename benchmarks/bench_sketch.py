"""Sketching and Newton's method: times, memory, and counts and errors that do not depend on the machine."""

import numpy as np
import scipy.sparse as sp
from scipy.optimize import LinearConstraint

from numsolve import sketch


class Operators:
    """S A for a matrix of 50 000 rows and 100 columns."""

    params = ["sparse-sign", "countsketch", "srht", "rows"]
    param_names = ("kind",)

    def setup(self, kind):
        self.A = np.random.default_rng(0).normal(size=(50_000, 100))
        self.S = sketch.make_sketch(kind, 400, 50_000, nnz=4, rng=0)
        self.S @ self.A[:, :2]

    def time_dense(self, kind):
        self.S @ self.A

    def peakmem_dense(self, kind):
        self.S @ self.A


class LeastSquares:
    """30 000 rows, 100 columns."""

    params = (["cholqr", "lsqr"], [1e2, 1e10])
    param_names = ("method", "cond")

    def setup(self, method, cond):
        self.A, self.b = sketch.problems.ill_conditioned(30_000, 100, cond, rng=0)
        self.solve(method)

    def solve(self, method):
        return sketch.lstsq(self.A, self.b, method=method, rng=0)

    def time_lstsq(self, method, cond):
        self.solve(method)

    def track_steps(self, method, cond):
        return self.solve(method).nit

    def track_backward_error(self, method, cond):
        return self.solve(method).residual


class SparseLeastSquares:
    """100 000 rows, 200 columns, one entry in a hundred."""

    def setup(self):
        rng = np.random.default_rng(0)
        self.A = sp.csr_array(sp.random_array((100_000, 200), density=0.01, rng=rng))
        self.b = rng.normal(size=100_000)
        self.time_lstsq()

    def time_lstsq(self):
        sketch.lstsq(self.A, self.b, rng=0)


class Control:
    """Control of the Poisson equation on a grid, one factorisation."""

    params = [10, 40]
    param_names = ("n",)

    def setup(self, n):
        self.p = sketch.problems.control(n)

    def solve(self):
        p = self.p
        return sketch.minimize(p.fun, p.x0, jac=p.jac, hess=p.hess, constraints=p.constraints, tol=1e-6)

    def time_minimize(self, n):
        self.solve()

    def track_evaluations(self, n):
        return self.solve().nfev


class Models:
    """Logistic regression, 20 000 rows and 100 columns."""

    params = [True, False]
    param_names = ("precondition",)

    def setup(self, precondition):
        rng = np.random.default_rng(0)
        A = rng.normal(size=(20_000, 100)) * np.logspace(0, -1, 100)
        self.model = sketch.GLM(A, rng.random(20_000) < 1 / (1 + np.exp(-A @ rng.normal(size=100))), l2=1e-3)
        self.fit(precondition)

    def fit(self, precondition):
        return sketch.newton_sketch(self.model, precondition=precondition, rng=0)

    def time_newton_sketch(self, precondition):
        self.fit(precondition)

    def track_iterations(self, precondition):
        return self.fit(precondition).nit


class Constrained:
    """Logistic regression of 20 000 rows and 50 features with coefficients of sum zero and norm two."""

    def setup(self):
        rng = np.random.default_rng(0)
        self.X = rng.normal(size=(20_000, 50))
        self.y = self.X @ rng.normal(size=50) + rng.logistic(size=20_000) > 0
        self.fit()

    def fit(self):
        sums_to_zero = LinearConstraint(np.append(np.ones(50), 0.0), 0.0, 0.0)
        return sketch.ConstrainedLogisticRegression(constraints=sums_to_zero, norm=2.0).fit(self.X, self.y)

    def time_fit(self):
        self.fit()

    def track_iterations(self):
        return self.fit().result_.nit

    def track_error(self):
        """How far the coefficients are from their equations."""
        w = self.fit().coef_
        return float(max(abs(w.sum()), abs(np.linalg.norm(w) - 2.0)))


LeastSquares.track_steps.unit = Models.track_iterations.unit = "iterations"
Constrained.track_iterations.unit = "iterations"
LeastSquares.track_backward_error.unit = "relative backward error"
Control.track_evaluations.unit = "evaluations"
Constrained.track_error.unit = "error"
