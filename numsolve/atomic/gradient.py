r"""Functionals of the density and its gradient (GGA): PBE and PBEsol, also for two spins.

``E_xc = int f(n, n') 4 pi r^2 dr``, with exchange ``n e_x F(s)``, ``F = 1 + kappa - kappa / (1 + mu s^2 /
kappa)``, ``s = |n'| / (2 k_F n)``, and correlation ``n (e_c + H)``: the fit of J. P. Perdew and Y. Wang
(Phys. Rev. B 45, 13244, 1992), and H of J. P. Perdew, K. Burke, M. Ernzerhof (Phys. Rev. Lett. 77, 3865,
1996). PBEsol (J. P. Perdew et al., Phys. Rev. Lett. 100, 136406, 2008) has other constants. Exchange of two
spins is half that of the unpolarised gases with twice the densities.

The potential is that of the weak form, whose only derivatives are first ones; see ``_cpu_gradient``.
"""

from __future__ import annotations

from functools import lru_cache
from math import pi
from typing import TYPE_CHECKING

import numpy as np

from . import basis
from ._tuples import Gradient, zeros
from .tables import points_of, spread

if TYPE_CHECKING:
    from numsolve._core.typing import Array

    from ._tuples import Tables
    from .mesh import RadialMesh

#: beta of the gradient expansion of correlation in PBE: 3 / pi^2 times the mu of its exchange
BETA = 0.06672455060314922
#: kappa and mu of exchange, beta of correlation
PBE = (0.804, BETA * pi**2 / 3, BETA)
PBESOL = (0.804, 10 / 81, 0.046)


def gradient(
    mesh: RadialMesh, tables: Tables, exponent: float, kappas: tuple[int, ...], spins: int, constants: Array
) -> Gradient:
    """Make what the kernels need; the points have that exponent, each channel its P' = D - kappa P / r."""
    derivative, ends = _interpolants(mesh, exponent)
    shape = (spins, *tables.r.shape)
    slope, flux, jumps = zeros(shape, shape, (2, len(tables.r), tables.r.shape[-1]))
    return Gradient(constants, np.array(kappas, dtype=float), derivative, ends, slope, flux, jumps)


@lru_cache(maxsize=64)
def _interpolants(mesh: RadialMesh, exponent: float) -> tuple[Array, Array]:
    """Derivatives of the interpolants at the points, and their values at both ends over the weights."""
    points, half = points_of(mesh, exponent), np.diff(mesh.edges) / 2
    derivative = spread(np.stack([basis.differentiation(x) for x in points.x]) / half[:, None, None])
    values = spread(np.stack([basis.lagrange(x, np.array([-1.0, 1.0])) for x in points.x]))
    weight = np.where(points.weight > 0.0, points.weight, 1.0)
    (ends,) = zeros((2, *points.weight.shape))
    ends[:] = values.swapaxes(0, 1) / weight
    return derivative, ends


def values(n: Array, slope: Array, constants: tuple[float, float, float]) -> tuple[Array, Array, Array]:
    """Energy per electron, and the derivatives of n times it by the densities and by their slopes n'.

    `n` and `slope` are (m,), or (2, m) for two spins; so are the derivatives.
    """
    from . import _cpu_gradient as kernels

    n, slope = (np.ascontiguousarray(part, dtype=np.float64) for part in (n, slope))
    empty = np.zeros((1, 1, 1, 1))
    record = Gradient(np.array(constants), np.zeros(1), empty, empty, empty, empty, empty[0])
    energy, by_n, by_slope = np.empty(n.shape[-1]), np.empty_like(n), np.empty_like(n)
    (kernels.gga if n.ndim == 1 else kernels.gga_spin)(n, slope, record, energy, by_n, by_slope)
    return energy, by_n, by_slope
