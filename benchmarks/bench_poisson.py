"""Poisson's equation on grids with obstacles: set-up, solve, memory, and iterations."""

import numpy as np

from numsolve import linear


class Solve:
    """From the flags to a residual of 1e-8, and its parts."""

    timeout = 300  # compiling for three dimensions beside other work
    params = ["128 x 128", "256 x 256", "32 x 32 x 32"]
    param_names = ("grid",)

    def setup(self, grid):
        shape = tuple(int(n) for n in grid.split(" x "))
        self.flags = linear.problems.random_obstacles(shape, rng=0)
        self.b = np.random.default_rng(0).standard_normal(shape)
        self.preconditioner = linear.poisson_multigrid(self.flags)
        box = tuple(slice(n // 2, n // 2 + n // 8) for n in shape)
        self.masks = []
        for k in range(2):  # a box that moves by one cell
            flags = self.flags.copy()
            flags[(slice(box[0].start + k, box[0].stop + k), *box[1:])] = 1
            self.masks.append(flags)
        self.moving = linear.poisson_multigrid(self.masks[0])
        self.time_solve(grid)

    def time_solve(self, grid):
        return linear.solve_poisson(self.flags, self.b, rtol=1e-8)

    def time_set_up(self, grid):
        linear.poisson_multigrid(self.flags)

    def time_refit(self, grid):
        self.masks.reverse()
        self.moving.refit(self.masks[0])

    def time_set_up_before(self, grid):
        linear.solve_poisson(self.preconditioner, self.b, rtol=1e-8)

    def peakmem_solve(self, grid):
        self.time_solve(grid)

    def track_iterations(self, grid):
        return self.time_solve(grid).nit


Solve.track_iterations.unit = "iterations"


class Maze:
    """Corridors of one cell: a graph that coarsens slowly."""

    def setup(self):
        self.flags = linear.problems.maze(45, rng=0)
        self.b = np.random.default_rng(0).standard_normal(self.flags.shape)
        self.time_solve()

    def time_solve(self):
        return linear.solve_poisson(self.flags, self.b, rtol=1e-8)

    def track_iterations(self):
        return self.time_solve().nit


Maze.track_iterations.unit = "iterations"


class Learned:
    """Directions from the networks that come with the package: iterations, and the time of one prediction."""

    params = ["dcdm", "npsd"]
    param_names = ["method"]

    def setup(self, method):
        self.flags = linear.problems.random_obstacles((64, 64), 2, rng=100)
        self.b = np.random.default_rng(0).standard_normal(self.flags.shape)
        kind = linear.DCDMNet if method == "dcdm" else linear.NPSDNet
        problem = linear.GridPoisson(self.flags)
        self.predictor, self.r = kind.shipped(2).predictor(problem), problem.pack(self.b)

    def time_prediction(self, method):
        self.predictor(self.r)

    def track_iterations(self, method):
        return linear.solve_poisson(self.flags, self.b, method=method, rtol=1e-4, maxiter=400).nit


Learned.track_iterations.unit = "iterations"
