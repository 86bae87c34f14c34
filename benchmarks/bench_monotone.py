"""Linear programs, games and finite sums: times, and the counts that do not depend on the machine."""

from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from numsolve import monotone

NETLIB = Path(__file__).parents[1] / "tests" / "monotone" / "data" / "netlib.npz"


def _netlib(name):
    with np.load(NETLIB) as file:
        part = {key.partition(".")[2]: file[key] for key in file if key.startswith(f"{name}.")}
    indices, indptr = part["indices"].astype(np.int32), part["indptr"].astype(np.int32)
    A = csr_array((part["data"], indices, indptr), shape=tuple(part["shape"]))
    return part["c"], A, part["lc"], part["uc"], part["lx"], part["ux"]


class Netlib:
    """Real programs to 1e-6."""

    params = ["afiro", "israel", "stair", "shell"]
    param_names = ("program",)

    def setup(self, program):
        self.lp = _netlib(program)
        monotone.solve_lp(*self.lp)

    def time_solve(self, program):
        monotone.solve_lp(*self.lp)

    def track_iterations(self, program):
        return monotone.solve_lp(*self.lp).nit


Netlib.track_iterations.unit = "iterations"


class Batch:
    """Thirty-two programs with one dense matrix."""

    def setup(self):
        rng = np.random.default_rng(0)
        self.A, self.c = rng.random((200, 300)), -rng.random((32, 300))

    def time_batch(self):
        monotone.solve_lp(self.c, self.A, uc=np.ones(200), lx=0, tol=1e-3)

    def time_one_by_one(self):
        for c in self.c:
            monotone.solve_lp(c, self.A, uc=np.ones(200), lx=0, tol=1e-3)


class Game:
    """A uniform game in both forms."""

    params = ["lp", "simplex-pdhg"]
    param_names = ("method",)

    def setup(self, method):
        self.A = np.random.default_rng(0).uniform(-1, 1, (200, 200))
        monotone.solve_game(self.A, method=method, tol=1e-2)

    def time_solve(self, method):
        monotone.solve_game(self.A, method=method)

    def track_iterations(self, method):
        return monotone.solve_game(self.A, method=method, tol=1e-3).nit


Game.track_iterations.unit = "iterations"


class FiniteSum:
    """Least squares to a hundredth of the first residual."""

    params = ["tuned", "paper"]
    param_names = ("schedule",)

    def setup(self, schedule):
        rng = np.random.default_rng(0)
        Z = rng.normal(size=(5000, 50))
        self.problem = monotone.AffineFiniteSum(Z, Z @ rng.normal(size=50))
        self.tol = 1e-2 * float(np.linalg.norm(self.problem.full(np.zeros(50))))
        self._solve(schedule)

    def _solve(self, schedule):
        return monotone.vr_halpern(self.problem, np.zeros(50), schedule=schedule, tol=self.tol, rng=0)

    def time_solve(self, schedule):
        self._solve(schedule)

    def track_epochs(self, schedule):
        return self._solve(schedule).epochs


FiniteSum.track_epochs.unit = "epochs"
