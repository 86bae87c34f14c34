"""One call of each public solver on tiny data, for ``python -m numsolve warm atomic``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _schroedinger() -> object:
    from numsolve.atomic import solve_radial_schroedinger

    return solve_radial_schroedinger(lambda r: -1 / r, Z=1.0, x0=[-0.5])


def _dirac() -> object:
    from numsolve.atomic import solve_radial_dirac

    return solve_radial_dirac(lambda r: -1 / r, Z=1.0)


def _atom() -> object:
    from numsolve.atomic import AtomDFT

    return AtomDFT(2).run()


def _atom_dirac() -> object:
    from numsolve.atomic import AtomDFT

    return AtomDFT(2, relativistic=True).run()


def _atom_spin() -> object:
    from numsolve.atomic import AtomDFT

    return AtomDFT(1, spin_polarized=True).run()


def _atom_gradient() -> object:
    from numsolve.atomic import AtomDFT

    return AtomDFT(2, xc="pbe").run()


def _functionals() -> object:
    from numsolve.atomic import vwn_lda, vwn_lsda

    return vwn_lda(1.0), vwn_lda(1.0, relativistic=True), vwn_lsda(0.5, 0.5)


#: name: a call that compiles what the public function of that name needs
CALLS: dict[str, Callable[[], object]] = {
    "AtomDFT": _atom,
    "AtomDFT, Dirac": _atom_dirac,
    "AtomDFT, spin": _atom_spin,
    "AtomDFT, gradient": _atom_gradient,
    "solve_radial_schroedinger": _schroedinger,
    "solve_radial_dirac": _dirac,
    "vwn_lda": _functionals,
}
