r"""Local exchange and correlation of the electron gas.

Exchange is ``e_x = -(3 / (4 pi)) (3 pi^2 n)^(1/3)``; relativity multiplies it by a function of ``beta = k_F /
c`` (A. H. MacDonald, S. H. Vosko, J. Phys. C 12, 2977, 1979). Correlation is the fit of S. H. Vosko, L. Wilk,
M. Nusair (Can. J. Phys. 58, 1200, 1980) to Monte Carlo energies, known as VWN5, with its own spin
interpolation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from numsolve._core import arrays, checks

from .gradient import PBE, PBESOL

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike

#: Speed of light in atomic units, as adjusted in 1986: that of the published tables.
C_1986 = 137.0359895


class Functional(NamedTuple):
    """How much of local exchange and correlation there is, or the constants of those of the gradient."""

    exchange: float
    correlation: float
    gradient: tuple[float, float, float] | None = None


FUNCTIONALS = {
    "lda": Functional(1.0, 1.0),
    "pbe": Functional(1.0, 1.0, PBE),
    "pbesol": Functional(1.0, 1.0, PBESOL),
    "exchange": Functional(1.0, 0.0),
    "hartree": Functional(0.0, 0.0),
}


#: Electrons per cubic bohr; the fourth thirds of much more leave the range of floats.
LARGEST_DENSITY = 1e200


def vwn_lda(n: ArrayLike, relativistic: bool = False, *, c: float = C_1986) -> tuple[Array, Array]:
    """Exchange-correlation energy per electron and potential of the local density approximation.

    Parameters
    ----------
    n : array
        Density of the unpolarised gas in electrons per cubic bohr, nonnegative.
    relativistic : bool
        Whether exchange has the correction of MacDonald and Vosko.
    c : float
        Speed of light in atomic units.

    Returns
    -------
    e_xc : array
        Energy per electron in Ha, of the shape of `n`.
    v_xc : array
        Derivative of ``n e_xc`` by `n` in Ha, of the shape of `n`. Zero where the density is.

    Raises
    ------
    ValueError
        If a density is negative, not finite, or above 1e200, where its powers overflow.

    See Also
    --------
    vwn_lsda : The spin-polarised gas.

    References
    ----------
    S. H. Vosko, L. Wilk, M. Nusair, "Accurate spin-dependent electron liquid correlation energies for local
    spin density calculations", Can. J. Phys. 58, 1980.
    A. H. MacDonald, S. H. Vosko, "A relativistic density functional formalism", J. Phys. C 12, 1979.

    Examples
    --------
    >>> from numsolve.atomic import vwn_lda
    >>> e_xc, v_xc = vwn_lda([1.0, 1000.0])
    >>> e_xc.round(8)
    array([-0.81015138, -7.52089178])
    >>> round(float(vwn_lda(1e6, relativistic=True)[1]), 8)
    7.86273136
    """
    density: Array = _within("n", checks.array("n", arrays.to_host(n) if hasattr(n, "shape") else n, low=0.0))
    c = checks.real("c", c, low=0.0, open_low=True)
    relativistic = checks.flag("relativistic", relativistic)
    from . import _cpu_density

    flat = np.ascontiguousarray(density, dtype=np.float64).ravel()
    energy, potential = np.empty_like(flat), np.empty_like(flat)
    _cpu_density.lda(flat, c if relativistic else None, 1.0, 1.0, energy, potential)
    return energy.reshape(density.shape)[()], potential.reshape(density.shape)[()]


def vwn_lsda(n_up: ArrayLike, n_down: ArrayLike) -> tuple[Array, Array, Array]:
    """Exchange-correlation energy per electron and potentials of the spin-polarised gas.

    Parameters
    ----------
    n_up, n_down : array
        Densities of both spins in electrons per cubic bohr, nonnegative, of one shape.

    Returns
    -------
    e_xc, v_up, v_down : array
        Energy per electron, and its derivatives times the density, in Ha.

    Raises
    ------
    ValueError
        As `vwn_lda`.

    References
    ----------
    S. H. Vosko, L. Wilk, M. Nusair, "Accurate spin-dependent electron liquid correlation energies for local
    spin density calculations", Can. J. Phys. 58, 1980.

    Examples
    --------
    >>> from numsolve.atomic import vwn_lda, vwn_lsda
    >>> e_xc, v_up, v_down = vwn_lsda(0.5, 0.5)
    >>> bool(abs(e_xc - vwn_lda(1.0)[0]) < 1e-14)
    True
    """
    up = _within("n_up", checks.array("n_up", n_up, low=0.0, dtype=np.float64))
    down = _within("n_down", checks.array("n_down", n_down, low=0.0, dtype=np.float64, shape=up.shape))
    from . import _cpu_density

    a, b = (np.ascontiguousarray(part).ravel() for part in (up, down))
    out = [np.empty_like(a) for _ in range(3)]
    _cpu_density.lsda(a, b, 1.0, 1.0, *out)
    e_xc, v_up, v_down = (part.reshape(up.shape)[()] for part in out)
    return e_xc, v_up, v_down


def _within(name: str, density: Array) -> Array:
    """Densities whose powers do not overflow."""
    largest = float(density.max(initial=0.0))
    if largest > LARGEST_DENSITY:
        raise ValueError(f"{name} must be at most {LARGEST_DENSITY:g} everywhere, got {largest:g}")
    return density
