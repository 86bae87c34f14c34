"""Riesz fractional equations: times, memory, and the counts and errors that do not depend on the machine."""

import numpy as np

from numsolve import fractional
from numsolve.fractional import problems

X = np.linspace(0, 1, 3001)


class Solve:
    """Boundary value problems by splines: assembly, preconditioner, GMRES."""

    params = ([254, 4094, 65534], [3, 5])
    param_names = ("n", "p")

    def setup(self, n, p):
        self.n = fractional.good_n(n, p)
        self.f = problems.bump(3, 1.5)[0]

    def time_assembly(self, n, p):
        _ = fractional.RieszSplineOperator(self.n, p, 1.5).structure

    def time_solve(self, n, p):
        fractional.solve_riesz_bvp(self.f, 1.5, n=self.n, p=p, method="spline")

    def peakmem_solve(self, n, p):
        fractional.solve_riesz_bvp(self.f, 1.5, n=self.n, p=p, method="spline")


class Million:
    """n = 2^20 - 2, cubic."""

    timeout = 120

    def time_solve(self):
        fractional.solve_riesz_bvp(np.ones(2**20 - 1), 1.5, n=2**20 - 2, p=3, rtol=1e-10)


class Iterations:
    """GMRES to 1e-10, or to the level of rounding errors, for a random right-hand side."""

    params = ([2, 5, 8], [1.1, 1.95], [256, 98304])
    param_names = ("p", "alpha", "n")

    def track_tau(self, p, alpha, n):
        n = fractional.good_n(n, p)
        f = np.random.default_rng(1).normal(size=n + p - 2)
        return fractional.solve_riesz_bvp(f, alpha, n=n, p=p, rtol=1e-10).nit

    def track_circulant_one_sided(self, p, alpha, n):
        f = np.random.default_rng(1).normal(size=n + p - 2)
        return fractional.solve_riesz_bvp(f, alpha, n=n, p=p, weights=(1, 0), rtol=1e-10).nit


Iterations.track_tau.unit = Iterations.track_circulant_one_sided.unit = "iterations"


class Accuracy:
    """Largest relative error for the solution (x (1 - x))^3, alpha = 1.5."""

    params = ([2, 3, 4, 5], [32, 128])
    param_names = ("p", "n")

    def track_error(self, p, n):
        f, u = problems.bump(3, 1.5)
        r = fractional.solve_riesz_bvp(f, 1.5, n=n, p=p, method="spline")
        return float(abs(r(X) - u(X)).max() / u(0.5))


Accuracy.track_error.unit = "error"


class Modes:
    """The spectral solver on smooth data."""

    def time_solve(self):
        fractional.solve_riesz_bvp(lambda x: np.exp(x) * np.cos(3 * x), 1.5, interval=(-1, 1))

    def time_with_reaction(self):
        fractional.solve_riesz_bvp(np.exp, 1.5, interval=(-1, 1), reaction=lambda x: 1 + x * x)

    def time_eigenvalues(self):
        fractional.solve_riesz_eig(1.5, 20)

    def track_error_24_modes(self):
        r = fractional.solve_riesz_bvp(np.exp, 1.5, interval=(-1, 1), n=24)
        x = np.linspace(-0.99, 0.99, 99)
        return float(abs(r.sol.laplacian(x) - np.exp(x)).max())


class Time:
    """A hundred steps."""

    params = ([256, 4094],)
    param_names = ("n",)

    def time_steps(self, n):
        fractional.solve_fractional_diffusion(
            np.sin, 1.5, (0, 0.1), dt=1e-3, n=n, p=3, t_eval=[0.1], method="dense" if n < 500 else "spline"
        )


class WithoutSteps:
    """Time and first passage by modes."""

    params = ([(0.5, 0.5), (0.8, 0.2)],)
    param_names = ("weights",)

    def time_survival(self, weights):
        fractional.survival_probability(1.5, np.linspace(0.05, 1, 200), weights=weights)

    def track_error_of_survival(self, weights):
        return fractional.survival_probability(1.5, [0.1, 1.0], weights=weights).error_estimate


WithoutSteps.track_error_of_survival.unit = "error"


class Jumps:
    """Iterations for a reaction of 0 and 1e5."""

    def track_iterations(self):
        sink = lambda x: np.where(x > 0.5, 1e5, 0.0)  # noqa: E731
        return fractional.solve_riesz_bvp(np.ones(5001), 1.5, n=5000, p=3, reaction=sink, rtol=1e-9).nit


Jumps.track_iterations.unit = "iterations"


class Plane:
    """Rectangles, n by n."""

    params = ([64, 254], ["fastdiag", "gmres"])
    param_names = ("n", "method")

    def time_solve(self, n, method):
        fractional.solve_riesz_2d(1.0, 1.5, n=n, method=method)

    def track_iterations(self, n, method):
        return fractional.solve_riesz_2d(1.0, 1.5, n=n, method=method).nit


Plane.track_iterations.unit = "iterations"


class Sines:
    """The spectral definition: an interval, and a square."""

    def time_interval(self):
        fractional.solve_riesz_bvp(np.exp, 1.5, definition="spectral", n=1024)

    def time_square(self):
        fractional.solve_riesz_2d(1.0, 1.5, definition="spectral", n=128)

    def track_error(self):
        r = fractional.solve_riesz_bvp(lambda x: np.sin(np.pi * x), 1.5, definition="spectral")
        return float(abs(r(X) * np.pi**1.5 - np.sin(np.pi * X)).max())


Sines.track_error.unit = "error"


def _growth(_t, _x, u):
    return u * (1 - u)


class More:
    """A potential, an advection, a reaction in time, values outside, a disc."""

    def time_potential(self):
        fractional.solve_riesz_eig(1.0, 4, interval=(-10, 10), potential=np.square)

    def time_advection(self):
        fractional.solve_riesz_bvp(1.0, 1.5, advection=3.0)

    def time_reaction(self):
        fractional.solve_fractional_diffusion(
            lambda x: np.exp(-x * x),
            1.5,
            (0, 2),
            source=_growth,
            interval=(-10, 10),
            dt=0.1,
        )

    def time_exterior(self):
        fractional.solve_riesz_bvp(0.0, 1.5, interval=(-1, 1), exterior=lambda x: np.exp(-x * x))

    def time_disc(self):
        fractional.solve_riesz_disc(lambda x, y: np.exp(x) * np.cos(3 * y), 1.5)

    def track_error_of_the_oscillator(self):
        return float(abs(self._oscillator().x[0] - 1.0187929716474710))

    def track_error_outside(self):
        r = fractional.solve_riesz_bvp(0.0, 1.5, exterior=lambda x: x)
        return float(abs(r(X) - X).max())

    def track_error_of_the_disc(self):
        r = fractional.solve_riesz_disc(lambda x, y: np.exp(x) * np.cos(3 * y), 1.5)
        return float(abs(r.sol.laplacian(0.3, -0.2) - np.exp(0.3) * np.cos(-0.6)))

    @staticmethod
    def _oscillator():
        return fractional.solve_riesz_eig(1.0, 2, interval=(-10, 10), potential=np.square)


More.track_error_of_the_oscillator.unit = More.track_error_outside.unit = "error"
More.track_error_of_the_disc.unit = "error"
