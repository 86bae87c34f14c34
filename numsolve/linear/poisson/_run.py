"""The loop of `solve_poisson` for one right-hand side: chunks of compiled steps, and true residuals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import arrays
from numsolve._core.monitor import RUNNING, Monitor
from numsolve._core.result import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array

    from .grid import GridPoisson
    from .multigrid import PoissonMultigrid

#: A residual of so many roundings of the terms of A x and b is a rounding error.
ROUNDINGS = 100
#: The recursion of a residual is believed down to so many roundings of the one that it started from.
BELIEVED = 4
EPS = float(np.finfo(float).eps)


class Run:
    """Conjugate gradients for one right-hand side, in the order of the kernels.

    Inside, b is divided by `unit`, so that its norm is about 1, and A by the problem's scale.
    """

    it: Monitor
    status: Status
    nit = 0

    def __init__(self, M: PoissonMultigrid, b: Array, x0: Array | None) -> None:
        self.M, self.problem = M, M.problem
        self.norm_b = arrays.norm(np, b)
        exponent = math.frexp(self.norm_b)[1] if self.norm_b > 0 else 0
        self.down = math.ldexp(1.0, -min(exponent, 1020))
        self.b = b * self.down
        #: what a scaled residual, and a scaled x, is to be multiplied by
        self.unit, self.back = 1.0 / self.down, 1.0 / self.down / self.problem.scale
        self.x0 = None if x0 is None or self.norm_b == 0.0 else x0 / self.back

    def residual(self, x: Array) -> tuple[Array, float]:
        """The scaled residual at x, and the norm of the residual."""
        from ._cpu_cg import product

        r = np.zeros_like(x)
        product(self.problem.row, x, r, *self.problem.arguments())
        with np.errstate(over="ignore", invalid="ignore"):
            np.subtract(self.b, r, out=r)
        return r, arrays.norm(np, r) * self.unit

    def drive(
        self,
        limits: Limits,
        present: Callable[[Array], Array],
        *,
        maxiter: int,
        rtol: float,
        atol: float,
        n_smooth: int,
    ) -> None:
        """Iterate until the true residual meets the tolerance, or something else ends it."""
        if self.x0 is None:
            x, r, first = np.zeros_like(self.b), self.b, self.norm_b
        else:
            x = self.x0
            r, first = self.residual(x)
        self.it = it = Monitor(
            limits,
            rtol=rtol,
            atol=atol,
            reference=self.norm_b,
            maxiter=maxiter,
            label="multigrid CG",
            present=lambda x: present(x * self.back),
            step_seconds=1e-5 + 2e-8 * self.b.size,
        )
        self.sure, last = (x, first), math.inf
        with it:
            it.record(first, x)
            if it.running:
                self._begin(x, r, first)
            while it.running:
                n, stop_at = it.chunk()
                norms, code = self._steps(min(n, 64), max(stop_at / self.unit, self.floor), n_smooth)
                x, norms = self.vectors[0], norms * self.unit
                if code == Status.CONVERGED:
                    r, true = self.residual(x)
                    norms[-1] = true
                    if _second((x, true)) < _second(self.sure):
                        self.sure = x.copy(), true
                    if not true <= it.threshold:
                        code = RUNNING
                        if true < 0.5 * last:
                            self._begin(x.copy(), r, true)
                        else:
                            self._stuck(x, true)
                        last = true
                if code == Status.BREAKDOWN and self.M.precision == "float32":
                    # Rounding errors of the cycle outweigh the smallest eigenvalues: once more, in double.
                    self.M = self.M.in_double_precision()
                    r, true = self.residual(x)
                    self._begin(x.copy(), r, true)
                    if not norms.size:
                        continue
                    code = RUNNING
                it.extend(norms, code, x)
        assert it.status is not None
        self.status, self.nit = it.status, it.nit
        if it.status is Status.CONVERGED:
            self.x, self.true = it.x, it.residual
        else:
            self.x, self.true = min((it.x, self.residual(it.x)[1]), self.sure, key=_second)

    def leave(self, status: Status) -> None:
        """Let the start be the answer: the solve has ended before this right-hand side."""
        self.x = np.zeros_like(self.b) if self.x0 is None else self.x0
        self.true, self.status = self.residual(self.x)[1], status

    def finish(self) -> None:
        """Without a result of its own: take note of a Ctrl-C that came after the loop."""
        if hasattr(self, "it"):
            self.it.finish()
            assert self.it.status is not None
            self.status = self.it.status

    @property
    def answer(self) -> Array:
        """The solution in the caller's units."""
        x: Array = self.x * self.back
        return x

    def _begin(self, x: Array, r: Array, size: float) -> None:
        self.vectors = np.zeros((4, x.size))
        self.vectors[0], self.vectors[1] = x, r
        self.state = np.zeros(1)
        self.M.hierarchy.f[: x.size] = r
        self.floor = BELIEVED * EPS * size / self.unit

    def _steps(self, n: int, stop_at: float, n_smooth: int) -> tuple[Array, int]:
        from ._cpu_cg import cg

        problem, norms = self.problem, np.empty(n)
        done, code = cg(
            self.M.hierarchy, n_smooth, problem.row, *problem.arguments(),
            self.vectors, self.state, stop_at, norms,
        )  # fmt: skip
        return norms[:done], code

    def _stuck(self, x: Array, true: float) -> None:
        """Why the true residual falls no further: rounding errors, if it is as small as they are."""
        largest = 2.0 * float(np.max(self.problem.diag, initial=0))
        level = ROUNDINGS * EPS * (largest * arrays.norm(np, x) * self.unit + self.norm_b)
        tiny = true <= level < math.inf
        self.it.stop(Status.ROUNDING if tiny else Status.STAGNATED, f"The residual is {true:.3g}.")


def _second(pair: tuple[Array, float]) -> float:
    """The residual, for comparisons in which nan is the worst."""
    return math.inf if math.isnan(pair[1]) else pair[1]


class Components:
    """The components that touch no open cell: what b must satisfy there, and which constant x gets."""

    #: The sum of b over a closed component may be this part of the sum of absolute values.
    BALANCE = 1e-10

    def __init__(self, problem: GridPoisson) -> None:
        self.closed = problem.closed()
        if self.closed.size:
            labels, count = problem.components()
            rank = np.zeros(count + 1, dtype=np.int64)
            rank[self.closed] = np.arange(1, self.closed.size + 1)
            #: 0 for unknowns of components that touch an open cell
            self.rank = rank[problem.pack(labels).astype(np.int64)]
            self.sizes = np.bincount(self.rank, minlength=self.closed.size + 1)
            self.places = problem.places()

    def sums(self, v: Array) -> Array:
        """The sum over each closed component of a vector in the order of the kernels."""
        sums: Array = np.bincount(self.rank, v[self.places], self.closed.size + 1)
        return sums

    def check(self, b: Array) -> None:
        """Refuse a right-hand side that a closed component cannot carry."""
        if not self.closed.size:
            return
        with np.errstate(over="ignore"):
            defect, size = self.sums(b), self.sums(np.abs(b))
        bad = np.abs(defect) > self.BALANCE * size
        bad[0] = False
        if bad.any():
            c = int(np.argmax(np.where(bad, np.abs(defect), 0.0)))
            raise ValueError(
                f"b must sum to 0 over each component of unknowns that touches no open cell; over one of "
                f"{self.sizes[c]} unknowns ({int(bad.sum())} such) the sum is {defect[c]:.3g}, of absolute "
                f"values {size[c]:.3g} (project=True subtracts the mean)"
            )

    def centred(self, v: Array) -> Array:
        """The vector less its mean on each closed component."""
        if not self.closed.size:
            return v
        means = self.sums(v) / np.maximum(self.sizes, 1)
        means[0] = 0.0
        out = v.copy()
        out[self.places] -= means[self.rank]
        return out
