r"""Nuclei that are not points: their sizes, their potentials, and meshes with an edge at the surface.

A nucleus of mass number A has the root mean square radius ``0.836 A^(1/3) + 0.570`` fm (W. R. Johnson, G.
Soff, At. Data Nucl. Data Tables 33, 405, 1985), as in the tables of L. Visscher, K. G. Dyall, At. Data Nucl.
Data Tables 67, 207, 1997. With that radius a,

- a uniform ball ends at R = sqrt(5/3) a; inside ``V = -Z (3 - (r / R)^2) / (2 R)``, outside ``V = -Z / r``;
- a Gaussian density gives ``V = -Z erf(sqrt(3/2) r / a) / r``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt
from typing import TYPE_CHECKING, Literal

import numpy as np

from numsolve._core import checks

from .mesh import RadialMesh

if TYPE_CHECKING:
    from numsolve._core.typing import Array

#: A femtometre in bohr (CODATA 2018).
FEMTOMETRE = 1e-15 / 5.29177210903e-11
#: Mass numbers of the most abundant isotope, or of the one that lives longest, from hydrogen on.
_MASS_NUMBERS = """
1 4 7 9 11 12 14 16 19 20 23 24 27 28 31 32 35 40 39 40 45 48 51 52 55 56 59 58 63 64 69 74 75 80 79 84 85 88
89 90 93 98 98 102 103 106 107 114 115 120 121 130 127 132 133 138 139 140 141 142 145 152 153 158 159 164
165 166 169 174 175 180 181 184 187 192 193 195 197 202 205 208 209 209 210 222 223 226 227 232 231 238 237
244 243 247 247 251 252 257 258 259 266 267 268 269 270 269 278 281 282 285 286 289 290 293 294 294
"""
MASS_NUMBERS = tuple(map(int, _MASS_NUMBERS.split()))


@dataclass(frozen=True)
class Nucleus:
    """The charge Z, spread out."""

    Z: float
    shape: Literal["uniform", "gaussian"]
    radius: float  # root mean square, in bohr

    @property
    def surface(self) -> float:
        """Where the uniform ball of this radius ends."""
        return sqrt(5 / 3) * self.radius

    def potential(self, r: Array) -> Array:
        """What an electron feels at the radii r > 0."""
        if self.shape == "uniform":
            x = np.minimum(r / self.surface, 1.0)
            return np.asarray(np.where(x < 1.0, -self.Z * (3 - x**2) / (2 * self.surface), -self.Z / r))
        from scipy.special import erf

        return np.asarray(-self.Z * erf(sqrt(1.5) / self.radius * r) / r)

    def slope(self, r: Array) -> Array:
        """The derivative of the potential."""
        if self.shape == "uniform":
            return np.asarray(self.Z * r / np.maximum(r, self.surface) ** 3)
        from scipy.special import erf

        s = sqrt(1.5) / self.radius
        return np.asarray(self.Z * (erf(s * r) / r - 2 * s / sqrt(pi) * np.exp(-((s * r) ** 2))) / r)

    def mesh(self, relativistic: bool) -> RadialMesh:
        """Sixteen elements up to 50 bohr, the first of which is the nucleus."""
        edges = np.geomspace(self.surface, 50.0, 16)
        edges[0], edges[-1] = self.surface, 50.0
        return RadialMesh(np.concatenate(([0.0], edges)), 21 if relativistic else 17)


def read_nucleus(
    Z: float, shape: Literal["point", "uniform", "gaussian"], radius: float | None
) -> Nucleus | None:
    """None for a point; the standard radius unless one is given."""
    checks.choice("nucleus", shape, ("point", "uniform", "gaussian"))
    if shape == "point":
        if radius is not None:
            raise ValueError(f"nuclear_radius is of a nucleus that is no point; got {radius!r} with 'point'")
        return None
    if radius is None:
        if Z != int(Z) or not 1 <= Z <= len(MASS_NUMBERS):
            raise ValueError(
                f"nuclear_radius must be given for Z = {Z:g}: radii are known for Z = 1, 2, ..., "
                f"{len(MASS_NUMBERS)}"
            )
        rms = (0.836 * MASS_NUMBERS[int(Z) - 1] ** (1 / 3) + 0.570) * FEMTOMETRE
    else:
        rms = checks.real("nuclear_radius", radius, low=0.0, high=1.0, open_low=True)
    return Nucleus(Z, shape, rms)
