"""Bilevel problems: times, and the costs to a value, which do not depend on the machine."""

import warnings

import numpy as np
from sklearn.datasets import load_digits

from numsolve import bilevel


def _digits():
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(23).permutation(len(X))
    train, val = order[:300], order[300:600]
    return bilevel.problems.multinomial_logistic(X[train] / 16, y[train], X[val] / 16, y[val])


class Quadratic:
    """MAID's quadratic problem to a gap of 1e-4 of the first."""

    def setup(self):
        self.problem = bilevel.problems.least_squares(rng=0)
        self.start = np.zeros(10), np.zeros(10)

    def time_solve(self):
        bilevel.minimize_bilevel(self.problem, *self.start, tol=1e-4)

    def track_cost(self):
        h = bilevel.minimize_bilevel(self.problem, *self.start, tol=1e-4).history
        gap = h.fun - self.problem.optimum
        return float(h.cost[gap <= 1e-4 * gap[0]][0])


Quadratic.track_cost.unit = "gradients and Hessian products"


class Digits:
    """640 penalties."""

    def setup(self):
        self.problem = _digits()
        self.start = np.full((64, 10), -3.0), np.zeros((64, 10))
        warnings.simplefilter("ignore")

    def time_500_products(self):
        bilevel.minimize_bilevel(self.problem, *self.start, max_cost=500)

    def peakmem_500_products(self):
        bilevel.minimize_bilevel(self.problem, *self.start, max_cost=500)

    def track_loss_after_500_products(self):
        return bilevel.minimize_bilevel(self.problem, *self.start, max_cost=500).fun


Digits.track_loss_after_500_products.unit = "validation loss"


class Coupled:
    """LV-HBA's coupled problem."""

    params = [10, 100]
    param_names = ("n",)

    def setup(self, n):
        self.problem = bilevel.problems.coupled_toy(n)
        self.start = np.full(n, 10.0), np.full(2 * n, 10.0)

    def time_solve(self, n):
        bilevel.minimize_bilevel(self.problem, *self.start, method="lvhba", tol=1e-4)

    def track_error(self, n):
        r = bilevel.minimize_bilevel(self.problem, *self.start, method="lvhba", tol=1e-4)
        return float(abs(r.theta + 0.3).max())


Coupled.track_error.unit = "error"


class Blocks:
    """A hundred iterations on a hundred blocks."""

    params = ["v1", "v2"]
    param_names = ("variant",)

    def setup(self, variant):
        rng = np.random.default_rng(0)
        X, X_val, truth = rng.normal(size=(2000, 20)), rng.normal(size=(500, 20)), rng.normal(size=20)
        self.oracle = bilevel.problems.multiblock_logistic(
            X, np.sign(X @ truth), X_val, np.sign(X_val @ truth), np.linspace(1.0, 10.0, 100)
        )
        warnings.simplefilter("ignore")

    def time_iterations(self, variant):
        bilevel.bsvrb(
            self.oracle, np.zeros(2000), np.zeros(20), variant=variant, step_theta=10.0, step_x=0.5,
            maxiter=100, rng=0,
        )  # fmt: skip
