r"""Flexible GMRES with a preconditioner on the right, so that the tested residual is the true one.

Y. Saad, "A flexible inner-outer preconditioned GMRES algorithm", SIAM J. Sci. Comput. 14, 1993. The
preconditioned vectors ``z_k = P^-1 v_k`` are kept: the solution is ``x0 + Z y`` without another product, and
rounding errors of the transforms in P do no harm.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays
from numsolve._core.result import Status

from ._cornered import move

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.monitor import Monitor

#: Vectors of one cycle: a good preconditioner needs about a dozen, and coefficients with jumps a hundred.
BASIS, LONG_BASIS = 60, 200
#: Unknowns up to which the basis is long.
LONG_UNKNOWNS = 100_000
#: Records without progress after which a run has stagnated.
PATIENCE = 30
UNIT = float(np.finfo(np.float64).eps)


class Iterate:
    """``x + Z y`` with ``R y = g``, worked out when somebody asks for it."""

    def __init__(self, x: Any, R: Any = None, g: Any = None, Z: Any = None) -> None:
        self.x, self.R, self.g, self.Z = x, R, g, Z

    def form(self) -> Any:
        """The vector."""
        if self.Z is not None:
            y = np.linalg.lstsq(self.R, self.g)[0]
            self.x = self.x + move(arrays.array_namespace(Z=self.Z), y, self.Z) @ self.Z
            self.R = self.g = self.Z = None
        return self.x


def fgmres(
    xp: Any,
    matvec: Callable[[Any], Any],
    b: Any,
    precondition: Callable[[Any], Any],
    it: Monitor,
    *,
    x0: Any,
    norm: float,
) -> None:
    """Iterate until the monitor is content.

    Parameters
    ----------
    xp : namespace
        The library of the arrays.
    matvec, precondition : callable
        Products with A and with an approximation of its inverse.
    b, x0 : array of shape (K,)
        Right-hand side and start.
    it : Monitor
        Made with ``keep="reference"`` and ``present=Iterate.form``; its rounding level is set here, to
        ``4 eps (norm |x| + |b|)``: no residual below that can be told from errors of the products.
    norm : float
        An estimate of the norm of A.
    """
    x, r = x0, (b - matvec(x0) if bool(xp.any(x0 != 0)) else b)
    size_b, beta = arrays.norm(xp, b), arrays.norm(xp, r)
    it.rounding = 4 * UNIT * (norm * arrays.norm(xp, x) + size_b)
    it.record(beta, Iterate(x))
    where = {"dtype": b.dtype, "device": arrays.device(b)}
    most = LONG_BASIS if b.shape[0] <= LONG_UNKNOWNS else BASIS
    V, Z = xp.empty((most + 1, b.shape[0]), **where), xp.empty((most, b.shape[0]), **where)
    while it.running:
        H, g = np.zeros((most + 1, most)), np.zeros(most + 1)
        rotations: list[tuple[float, float]] = []
        V[0, :], g[0] = r / beta, beta
        k = 0
        for step in it:
            Z[k, :] = precondition(V[k, :])
            w = matvec(Z[k, :])
            if step == 1:
                it.rounding += 4 * UNIT * norm * beta * arrays.norm(xp, Z[0, :])
            for _ in range(2):  # Gram and Schmidt, twice
                h = V[: k + 1, :] @ w
                w = w - h @ V[: k + 1, :]
                H[: k + 1, k] += arrays.to_host(h)
            H[k + 1, k] = size = arrays.norm(xp, w)
            _rotate(H, g, k, rotations)
            k += 1
            estimate = abs(g[k])
            last = k == most or size == 0.0 or not math.isfinite(estimate) or step >= it.maxiter
            if last or estimate <= max(it.threshold, it.rounding):
                break
            V[k, :] = w / size
            it.record(estimate, Iterate(x, H[:k, :k], g[:k], Z[:k, :]))
        else:
            return  # the monitor has stopped the run
        if not math.isfinite(estimate):
            it.record(estimate, Iterate(x))
            return
        x = Iterate(x, H[:k, :k], g[:k], Z[:k, :]).form()
        it.x.form()  # the best so far may need the basis, which the next cycle overwrites
        r = b - matvec(x)
        beta = arrays.norm(xp, r)
        it.rounding = 4 * UNIT * (norm * arrays.norm(xp, x) + size_b)
        it.record(beta, Iterate(x))
        if size == 0.0 and it.status is None:
            it.stop(Status.BREAKDOWN)


def _rotate(H: Any, g: Any, k: int, rotations: list[tuple[float, float]]) -> None:
    """Bring column k of the Hessenberg matrix to triangular form by Givens rotations."""
    column = H[:, k]
    for i, (c, s) in enumerate(rotations):
        column[i], column[i + 1] = c * column[i] + s * column[i + 1], c * column[i + 1] - s * column[i]
    size = math.hypot(column[k], column[k + 1])
    c, s = (column[k] / size, column[k + 1] / size) if size else (1.0, 0.0)
    rotations.append((c, s))
    column[k], column[k + 1] = size, 0.0
    g[k], g[k + 1] = c * g[k], -s * g[k]
