"""Radial problems with known answers, and potentials to try things on.

Each potential is a function of the radius, made for `numsolve.atomic.solve_radial_schroedinger` and
`numsolve.atomic.solve_radial_dirac`; energies are in hartree, lengths in bohr.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import checks

from .xc import C_1986

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from numsolve._core.typing import Array

    Potential: TypeAlias = Callable[[Array], Array]

__all__ = [
    "box",
    "box_energies",
    "coulomb",
    "hulthen",
    "hulthen_energy",
    "hydrogenic_energy",
    "model_ion",
    "oscillator",
]


def __dir__() -> list[str]:
    return sorted(__all__)


def hydrogenic_energy(
    Z: float,
    n: int,
    l: int | None = None,  # noqa: E741
    kappa: int | None = None,
    *,
    c: float | None = None,
) -> float:
    """Energy of an electron in the field of a bare nucleus: Schrödinger's, or Dirac's if `kappa` is given.

    Parameters
    ----------
    Z : float
        Nuclear charge.
    n : int
        Principal quantum number.
    l : int, optional
        Angular momentum, below n; the Schrödinger energy does not depend on it.
    kappa : int, optional
        Dirac's quantum number, -(l + 1) for j = l + 1/2 and l for j = l - 1/2.
    c : float, optional
        Speed of light, 137.0359895 by default.

    Returns
    -------
    float
        In hartree; for Dirac without the rest energy.

    Examples
    --------
    >>> from numsolve.atomic import hydrogenic_energy
    >>> hydrogenic_energy(92, 1)
    -4232.0
    >>> round(hydrogenic_energy(92, 1, kappa=-1), 6)
    -4861.198023
    """
    Z = checks.real("Z", Z, low=0.0, high=1e150)  # its square is finite
    n = checks.integer("n", n, low=1)
    if l is not None:
        checks.integer("l", l, low=0, high=n - 1)
    if kappa is None:
        return -(Z**2) / (2 * n**2)
    kappa = checks.integer("kappa", kappa, low=-n, high=n - 1)
    if kappa == 0:
        raise ValueError("kappa must not be zero")
    c = checks.real("c", C_1986 if c is None else c, low=0.0, open_low=True)
    if Z / c >= abs(kappa):
        raise ValueError(f"Z must be below |kappa| c = {abs(kappa) * c:g}, got {Z:g}")
    level = n - abs(kappa) + sqrt(kappa**2 - (Z / c) ** 2)
    x = (Z / c / level) ** 2
    # 1 / sqrt(1 + x) - 1 without cancellation
    return -(c**2) * x / (sqrt(1 + x) * (1 + sqrt(1 + x)))


def coulomb(Z: float) -> Potential:
    """``-Z / r``; energies by `hydrogenic_energy`.

    Parameters
    ----------
    Z : float
        Nuclear charge.

    Returns
    -------
    callable
        A function of the radii.
    """
    return partial(_coulomb, Z)


def oscillator(omega: float = 1.0) -> Potential:
    """``omega^2 r^2 / 2``; the energies are ``omega (2 k + l + 3/2)``, k = 0, 1, ...

    Parameters
    ----------
    omega : float
        Frequency.

    Returns
    -------
    callable
        A function of the radii.
    """
    return partial(_oscillator, omega)


def box() -> Potential:
    """Nothing but the wall at r_max; energies by `box_energies`.

    Returns
    -------
    callable
        A function of the radii.
    """
    return np.zeros_like


#: Of a Bessel function, and orders of one, in `box_energies`: (l + n_states) l / 2 zeros are found.
MOST_ZEROS = 200


def box_energies(r_max: float, l: int, n_states: int) -> Array:  # noqa: E741
    """Energies in a sphere with hard walls, from the zeros of the spherical Bessel function j_l.

    Parameters
    ----------
    r_max : float
        Radius in bohr.
    l : int
        Angular momentum.
    n_states : int
        How many, from the lowest up.

    Returns
    -------
    array of shape (n_states,)
    """
    from scipy.optimize import brentq
    from scipy.special import spherical_jn

    r_max = checks.real("r_max", r_max, low=1e-150, high=1e150)
    l = checks.integer("l", l, low=0, high=MOST_ZEROS)  # noqa: E741
    n_states = checks.integer("n_states", n_states, low=1, high=MOST_ZEROS)
    zeros = np.pi * np.arange(1, n_states + l + 1)
    for order in range(1, l + 1):  # the zeros of j_l lie between those of j_(l-1)
        pairs = pairwise(zeros)
        zeros = np.array([brentq(lambda x, k=order: spherical_jn(k, x), a, b, xtol=1e-13) for a, b in pairs])
    return zeros[:n_states] ** 2 / (2 * r_max**2)


def hulthen(Z: float = 1.0, screening: float = 0.025) -> Potential:
    """``-Z s exp(-s r) / (1 - exp(-s r))``, a screened Coulomb potential; s states by `hulthen_energy`.

    Parameters
    ----------
    Z : float
        Charge at the origin.
    screening : float
        The s, in 1 / bohr.

    Returns
    -------
    callable
        A function of the radii.
    """
    return partial(_hulthen, Z, screening)


def hulthen_energy(Z: float, n: int, screening: float = 0.025) -> float:
    """Energy of the s state n in the potential of `hulthen`, where it is bound: n^2 screening < 2 Z.

    Parameters
    ----------
    Z : float
        Charge at the origin.
    n : int
        Principal quantum number.
    screening : float
        The s, in 1 / bohr.

    Returns
    -------
    float
    """
    Z, n = checks.real("Z", Z, low=0.0, high=1e150), checks.integer("n", n, low=1)
    screening = checks.real("screening", screening, low=0.0, high=1e150)
    return -((2 * Z - n**2 * screening) ** 2) / (8 * n**2)


def model_ion(Z: float, core: float, radius: float = 1.0) -> Potential:
    """``-(core + (Z - core) exp(-r / radius)) / r``: a nucleus behind a shell of electrons.

    Parameters
    ----------
    Z : float
        Nuclear charge.
    core : float
        The charge that is seen from far away.
    radius : float
        Thickness of the shell in bohr.

    Returns
    -------
    callable
        A function of the radii.
    """
    return partial(_model_ion, Z, core, radius)


# Functions of a module, so that what the problems return can be pickled.


def _coulomb(Z: float, r: Array) -> Array:
    return -Z / r


def _oscillator(omega: float, r: Array) -> Array:
    return np.asarray(0.5 * (omega * r) ** 2)


def _hulthen(Z: float, screening: float, r: Array) -> Array:
    return -Z * screening / np.expm1(screening * r)


def _model_ion(Z: float, core: float, radius: float, r: Array) -> Array:
    return -(core + (Z - core) * np.exp(-r / radius)) / r
