"""The potential of the Thomas-Fermi atom: where a self-consistent field starts."""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import checks

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike


def thomas_fermi_potential(r: ArrayLike, Z: float) -> Array:
    """Return the potential of a neutral Thomas-Fermi atom, -1 / r at least.

    ``V = -Z_eff / r`` with ``Z_eff = Z (1 + a s + b s^2 exp(-g s))^2 exp(-2 a s)``, where ``s`` is the square
    root of ``r (128 Z / (9 pi^2))^(1/3)``; a fit whose error is below a per cent. Far out, one charge is
    left, as an electron sees it that does not repel itself.

    Parameters
    ----------
    r : array
        Radii in bohr, positive.
    Z : float
        Nuclear charge.

    Returns
    -------
    array
        Potential in Ha.

    Examples
    --------
    >>> from numsolve.atomic import thomas_fermi_potential
    >>> thomas_fermi_potential([0.01, 1.0], 92).round(3)
    array([-8589.054,    -6.916])
    """
    radii: Array = checks.array("r", r, dtype=np.float64, low=0.0)
    if radii.size and float(np.min(radii)) == 0.0:
        raise ValueError("r must be positive, got 0.0")
    Z = checks.real("Z", Z, low=0.0, open_low=True)
    with np.errstate(over="ignore"):  # minus infinity is what the greatest charges have at the least radii
        return np.asarray(-effective_charge(radii, Z) / radii)


def effective_charge(r: Array, Z: float) -> Array:
    """``-r V``, at least one (or Z)."""
    a, b, g = 0.7280642371, -0.5430794693, 0.3612163121
    s = np.minimum(np.sqrt(r) * (128 * Z / (9 * pi**2)) ** (1 / 6), 1e3)  # beyond, nothing but one is left
    screened = Z * ((1 + a * s + b * s**2 * np.exp(-g * s)) * np.exp(-a * s)) ** 2  # no factor overflows
    return np.asarray(np.maximum(screened, min(Z, 1.0)))
