"""Linear systems in sequence: times, and the counts that do not depend on the machine."""

import numpy as np
import scipy.sparse as sp

from numsolve import linear
from numsolve.linear import problems

ARMS = np.linspace(1.0, 1.95, 20)


class Sweeps:
    """A plan, new values for it, and ten sweeps."""

    params = ["100 x 100", "40 x 40 x 40"]
    param_names = ("grid",)

    def setup(self, grid):
        self.A = problems.laplacian(100) if grid == "100 x 100" else problems.laplacian(40, dim=3)
        self.plan = linear.SweepPlan(self.A)
        self.x, self.b = np.zeros(self.A.shape[0]), np.ones(self.A.shape[0])
        self.time_ten_sweeps(grid)

    def time_ten_sweeps(self, grid):
        linear.sweep(self.plan, self.x, self.b, 1.5, iterations=10)

    def time_update(self, grid):
        self.plan.update(self.A.data)

    def time_first_plan(self, grid):
        from numsolve.linear._pattern import Pattern

        Pattern.make(self.A, "level")


class Solvers:
    """One system of 10 000 unknowns; the iterations, too."""

    params = ["sor", "sor, adaptive", "ssor", "cg", "ssor_cg"]
    param_names = ("solver",)

    def setup(self, solver):
        A, b = problems.laplacian(100, shift=0.01), np.ones(10_000)
        self.solve = {
            "sor": lambda: linear.sor(A, b, omega=1.9),
            "sor, adaptive": lambda: linear.sor(A, b, omega="adaptive"),
            "ssor": lambda: linear.ssor(A, b, omega=1.9),
            "cg": lambda: linear.cg(A, b),
            "ssor_cg": lambda: linear.ssor_cg(A, b, omega=1.8),
        }[solver]
        self.solve()

    def time_solve(self, solver):
        self.solve()

    def track_iterations(self, solver):
        return self.solve().nit


Solvers.track_iterations.unit = "iterations"


class Factors:
    """Incomplete factors of 10 000 unknowns, and the solvers with them; the iterations, too."""

    params = ["ict_cg", "bicgstab, ILU(0)", "bicgstab, ILUT", "gmres, ILUT"]
    param_names = ("solver",)

    def setup(self, solver):
        A, b = problems.laplacian(100), np.ones(10_000)
        if solver != "ict_cg":
            A = A + sp.diags_array([-1.0, 1.0], offsets=[-100, 0], shape=A.shape).tocsr()
        name, _, factors = solver.partition(", ")
        droptol = 1e-3 if factors == "ILUT" else 0.0
        self.factorise = (lambda: linear.ILU(A, droptol)) if factors else (lambda: linear.ICT(A))
        self.M = self.factorise()
        self.solve = lambda: getattr(linear, name)(A, b, M=self.M, rtol=1e-8)
        self.solve()

    def time_factors(self, solver):
        self.factorise()

    def time_solve(self, solver):
        self.solve()

    def track_iterations(self, solver):
        return self.solve().nit


Factors.track_iterations.unit = "iterations"


class Small:
    """What a call costs before it computes anything."""

    def setup(self):
        self.A, self.b = problems.laplacian(3), np.ones(9)
        self.time_cg()
        self.time_ssor_cg()

    def time_cg(self):
        linear.cg(self.A, self.b)

    def time_ssor_cg(self):
        linear.ssor_cg(self.A, self.b, omega=1.2)


class Tuners:
    """A round of each tuner."""

    params = ["TsallisINF", "ChebCB", "SmoothCB"]
    param_names = ("tuner",)

    def setup(self, tuner):
        self.tuner = {
            "TsallisINF": lambda: linear.TsallisINF(ARMS, rng=0),
            "ChebCB": lambda: linear.ChebCB(ARMS, context_range=(0, 1), rng=0),
            "SmoothCB": lambda: linear.SmoothCB(ARMS, rng=0),
        }[tuner]()
        self.rng = np.random.default_rng(0)
        self.time_100_rounds(tuner)

    def time_100_rounds(self, tuner):
        for z in self.rng.random(100):
            omega = self.tuner.suggest(z)
            self.tuner.observe(round(5 + 100 * (omega - 1.2 - 0.5 * z) ** 2))


class Regret:
    """Iterations over the floor in 500 systems with random shifts, mean of three seeds."""

    params = ["TsallisINF", "ChebCB", "SmoothCB"]
    param_names = ("tuner",)
    timeout = 120

    def setup_cache(self):
        systems = list(problems.shifted_laplacians(500, "low", rng=0))
        table = np.array([[linear.sor(A, b, omega=w, rtol=1e-8).nit for w in ARMS] for A, b, _ in systems])
        return table, np.array([shift for _, _, shift in systems])

    def track_over_floor(self, cache, tuner):
        table, shifts = cache
        paid = 0
        for seed in range(3):
            make = {
                "TsallisINF": lambda seed=seed: linear.TsallisINF(ARMS, rng=seed),
                "ChebCB": lambda seed=seed: linear.ChebCB(ARMS, context_range=(-0.15, 0.65), rng=seed),
                "SmoothCB": lambda seed=seed: linear.SmoothCB(ARMS, rng=seed),
            }
            learner = make[tuner]()
            for costs, shift in zip(table, shifts, strict=True):
                learner.suggest(shift)
                paid += costs[learner.index]
                learner.observe(int(costs[learner.index]))
        return paid / 3 / table.min(axis=1).sum()


Regret.track_over_floor.unit = "floors"


def timeraw_import_and_solve():
    """A fresh interpreter with a warm cache: import, and solve a small system."""
    return "from numsolve import linear; linear.ssor_cg(linear.problems.laplacian(5), [1.0] * 25)"
