"""An iron atom."""

from __future__ import annotations

from typing import Any

import numpy as np

from numsolve import atomic
from stop import Judgement, Stop, canvas

#: total energy of iron (Ha) in the local density approximation by dftatom (Čertík, Pask,
#: Vackář, Comput. Phys. Commun. 184, 1777, 2013); NIST's table has its first six decimals
PUBLISHED = -1261.0930558429


def load() -> dict[str, Any]:
    """The element."""
    return {"element": "Fe"}


def ours(element: str) -> Any:
    """By finite elements of high order."""
    # element is "Fe"; the local density approximation, Schrödinger's equation
    result = atomic.AtomDFT(element).run()
    return result


def theirs(element: str) -> float:
    """By PySCF: even-tempered Gaussians, and averages over the sphere."""
    from pyscf import gto
    from pyscf.data.elements import NRSRHFS_CONFIGURATION
    from pyscf.scf.atom_ks import AtomSphericAverageRKS

    exponents = 0.015 * 2.0 ** np.arange(30)
    basis = [
        [ell, [float(a), 1.0]]
        for ell, many in enumerate((30, 22, 14))
        for a in exponents[:many]
    ]
    atom = gto.M(atom=f"{element} 0 0 0", basis={element: basis}, spin=0, verbose=0)
    calculation = AtomSphericAverageRKS(atom)
    configurations = [list(electrons) for electrons in NRSRHFS_CONFIGURATION]
    configurations[26] = [8, 12, 6, 0]  # 3d6 4s2, as in the tables
    calculation.atomic_configuration = configurations
    calculation.xc, calculation.conv_tol = "slater,vwn5", 1e-9
    return float(calculation.kernel())


def judge(data: dict[str, Any], ours: Any, theirs: Any) -> Judgement:
    """By the published energy."""
    error = abs(ours.total_energy - PUBLISHED)
    return Judgement(
        "error of the energy (Ha)",
        f"{error:.0e}",
        "" if theirs is None else f"{abs(theirs - PUBLISHED):.0e}",
        bool(error < 5e-9),
    )


def draw(data: dict[str, Any], ours: Any, theirs: Any) -> Any:
    """The shells, and the levels."""
    from scipy.interpolate import CubicSpline

    figure, (left, right) = canvas(1, 2, width_ratios=[1.6, 1])
    r = np.geomspace(5e-3, 10, 400)
    density = CubicSpline(ours.r, ours.density)(r)
    left.fill_between(r, 4 * np.pi * r**2 * density, color="0.9")
    names = "spdf"
    for k, orbital in enumerate(ours.orbitals):
        name = f"{orbital.n}{names[orbital.l]}"
        electrons = orbital.occupation * CubicSpline(ours.r, orbital.P)(r) ** 2
        left.plot(r, electrons, color=f"C{k}", label=name)
        right.semilogy(orbital.l, -orbital.energy, "_", color=f"C{k}", ms=30, mew=2)
        right.annotate(name, (orbital.l + 0.3, -orbital.energy), va="center")
    left.set(xscale="log", xlim=(5e-3, 10), xlabel="r (bohr)", ylim=(0, None))
    left.set_title("electrons per bohr: the shells of iron")
    left.legend(fontsize=8, ncols=2)
    right.set(xlim=(-0.5, 2.8), xticks=[0, 1, 2], xticklabels=list("spd"))
    right.set(title="binding energy of each level (Ha)", ylim=(0.1, 1e3))
    return figure


STOP = Stop(
    title="An iron atom",
    solved="The Kohn-Sham equations of 26 electrons in the local density approximation, "
    "until the energy agrees with the published tables.",
    words="Each orbital is certified: no level can be missed. PySCF solves molecules, "
    "which numsolve does not; its Gaussians and its grid, which has angles too, cost it "
    "time and digits where there is a single atom.",
    size="26 electrons",
    peer="PySCF, 166 Gaussians",
    needs=("pyscf",),
    load=load,
    ours=ours,
    theirs=theirs,
    judge=judge,
    draw=draw,
)
