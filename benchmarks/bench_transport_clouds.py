"""Transport between clouds of points: passes over the pairs, whole solves, memory, and counts."""

import numpy as np

from numsolve import transport
from numsolve.transport import problems


class Pass:
    """One pass over all pairs of 2000 points in three dimensions, with nothing to pass over."""

    params = ["sqeuclidean", "euclidean", "cityblock", "cosine"]
    param_names = ("metric",)

    def setup(self, metric):
        from numsolve.transport.clouds._problem import prepare_clouds

        X, Y = problems.clouds(2000, 3, rng=0)
        pairs = prepare_clouds(X, Y, None, None, 1.0, metric, 2.0, None).pairs
        self.plan = pairs.plan(np.full(2000, -7.6), np.full(2000, -7.6), 1.0)
        self.plan.row_sums()

    def time_row_sums(self, metric):
        self.plan.row_sums()


class Clouds:
    """Whole solves; the counts do not depend on the machine."""

    params = ([(2000, 2), (2000, 3)], [1e-2, 1e-3])
    param_names = ("n, d", "reg")
    timeout = 120

    def setup(self, size, reg):
        self.X, self.Y = problems.clouds(*size, rng=0)
        self.solve(reg)

    def solve(self, reg):
        return transport.solve_sample(self.X, self.Y, reg=reg, tol=1e-7)

    def time_solve(self, size, reg):
        self.solve(reg)

    def track_cg_steps(self, size, reg):
        return self.solve(reg).ncg

    def track_newton_steps(self, size, reg):
        return self.solve(reg).nnewton


Clouds.track_cg_steps.unit = "steps"
Clouds.track_newton_steps.unit = "steps"


class Adjoint:
    """Derivatives of a loss of the plan's products beside the solve that made it."""

    def setup(self):
        self.X, self.Y = problems.clouds(2000, 2, rng=0)
        self.result = transport.solve_sample(self.X, self.Y, reg=1e-3)
        self.result.vjp((self.X, self.Y))

    def time_vjp(self):
        self.result.vjp((self.X, self.Y))


class LargeClouds:
    """Twenty thousand points in three dimensions: the matrix of costs would take 3.2 GB."""

    timeout = 300
    number = repeat = 1

    def setup(self):
        self.X, self.Y = problems.clouds(20_000, 3, rng=0)

    def time_solve(self):
        transport.solve_sample(self.X, self.Y, reg=1e-3, tol=1e-7)

    def peakmem_solve(self):
        transport.solve_sample(self.X, self.Y, reg=1e-3, tol=1e-7)


class Adaptation:
    """A classifier's data moved to another domain, and new points moved after them."""

    def setup(self):
        self.X, self.Y = problems.clouds(2000, 2, rng=0)
        self.adaptation = transport.DomainAdaptation(reg=0.02).fit(self.X, Xt=self.Y)
        self.new = problems.clouds(10_000, 2, rng=1)[0]

    def time_fit_transform(self):
        transport.DomainAdaptation(reg=0.02).fit_transform(self.X, Xt=self.Y)

    def time_transform_new(self):
        self.adaptation.transform(self.new)

    def peakmem_transform_new(self):
        self.adaptation.transform(self.new)

    def track_error(self):
        """The largest distance of a moved source point from the plan's barycentre."""
        plan = self.adaptation.result_.plan
        barycentres = (plan @ self.Y) / (plan @ np.ones((2000, 1)))
        return float(abs(self.adaptation.transform(self.X) - barycentres).max())


Adaptation.track_error.unit = "error"
