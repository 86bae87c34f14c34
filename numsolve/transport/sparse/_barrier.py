# mypy: disable-error-code=no-any-return
# (array libraries, kernels and SciPy have no types: what they return is an Array by our word)
r"""An interior-point method for quadratic transport on chosen pairs.

With multipliers z of T >= 0 it follows the path  T_ij z_ij = mu  of

    reg T_ij - z_ij = v_ij,     v_ij = f_i + g_j - M_ij,     row sums a,     column sums b,

to mu = 0, by steps of Mehrotra's kind (S. Mehrotra, "On the implementation of a primal-dual interior point
method", SIAM J. Optim. 2, 1992). For any potentials the first equations have the positive solution

    T = (v + sqrt(v^2 + 4 mu reg)) / (2 reg),     z = reg T - v,

so that good potentials are a good start, in the middle; only the marginals have to come. A step eliminates
T and z of each pair and then g: a positive semidefinite system for f is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_solve

from ._pairs import ChosenPairs, factorised, to_zero

if TYPE_CHECKING:
    from numsolve._core.typing import Array, Kernels
    from numsolve.transport._deadline import Deadline

    from ._pairs import ByColumns

#: Share of the way to the boundary.
SHARE = 0.99
#: The duality gap of the start, over what it would be if T and v had nothing to do with each other.
START = 3.0


class Barrier(ChosenPairs):
    """The iterate, and its steps."""

    def __init__(
        self,
        kernels: Kernels,
        pairs: ByColumns,
        a: Array,
        b: Array,
        reg: float,
        start: tuple[Array, Array],
        deadline: Deadline,
    ) -> None:
        super().__init__(kernels, pairs, a, b, deadline)
        self.reg = reg
        self.f, self.g = start
        v = self.f[self.rows] + self.g[self.columns] - self.cost
        four = 4 * reg * START * max(float(np.abs(v).mean()), reg * float(b.max())) / v.size
        root = np.sqrt(v * v + four)
        # Of two numbers whose product is known one is a difference, which would cancel.
        above, below = (
            np.where(v > 0, v + root, four / (root - v)),
            np.where(v > 0, four / (root + v), root - v),
        )
        self.t, self.z = above / (2 * reg), below / 2

    @property
    def plan(self) -> Array:
        """The entries of the plan."""
        return self.t

    @property
    def value(self) -> float:
        """The objective."""
        return float(self.cost @ self.t) + 0.5 * self.reg * float(self.t @ self.t)

    @property
    def complementarity(self) -> float:
        """The duality gap, if both sides are feasible."""
        return float(self.t @ self.z)

    def step(self) -> float:
        """Do one predictor and corrector step; return its length, 0 where rounding errors forbid one."""
        with np.errstate(all="ignore"):
            self.weight = 1 / (self.reg + self.z / self.t)
            self.columns_sum = self.by_column(self.weight)
            root = self.weight / np.sqrt(self.columns_sum)[self.columns]
            try:
                self.factor = factorised(self.normal_matrix(self.by_row(self.weight), root, 0 * root))
            except np.linalg.LinAlgError:
                return 0.0
            mu = self.complementarity / self.t.size
            _, _, dt, dz = self._direction(-self.z)
            length = min(to_zero(self.t, dt), to_zero(self.z, dz))
            after = float((self.t + length * dt) @ (self.z + length * dz)) / self.t.size
            centring = min(max((after / mu) ** 3, 1e-5), 0.9)
            df, dg, dt, dz = self._direction((centring * mu - dt * dz) / self.t - self.z)
            length = min(1.0, SHARE * min(to_zero(self.t, dt), to_zero(self.z, dz)))
        if not (length > 0.0 and np.isfinite(df).all() and np.isfinite(dt).all()):
            return 0.0
        self.f, self.g = self.f + length * df, self.g + length * dg
        self.t, self.z = self.t + length * dt, self.z + length * dz
        return length

    def _direction(self, h: Array) -> tuple[Array, Array, Array, Array]:
        """The step with  dz = h - (z/t) dt,  reg dt - dz = df + dg  and exact marginals."""
        w = self.weight
        known = self.t + w * h
        p, q = self.a - self.by_row(known), self.b - self.by_column(known)
        across = w / self.columns_sum[self.columns]
        df = cho_solve(self.factor, p - self.by_row(across * q[self.columns]), check_finite=False)
        dg = (q - self.by_column(w * df[self.rows])) / self.columns_sum
        dt = w * (df[self.rows] + dg[self.columns] + h)
        return df, dg, dt, h - (self.z / self.t) * dt
