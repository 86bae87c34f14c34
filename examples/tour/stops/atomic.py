"""An iron atom."""

from __future__ import annotations

from typing import Any

import numpy as np
from stop import Judgement, Stop, canvas

from numsolve import atomic

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


def theirs(element: str, n: int = 2000) -> tuple[float, np.ndarray, np.ndarray]:
    """As it is often written by hand: second differences in log r, SciPy's eigensolver."""
    from scipy.integrate import cumulative_trapezoid
    from scipy.linalg import eigh_tridiagonal

    Z, shells = 26, {0: [2, 2, 2, 2], 1: [6, 6], 2: [6]}  # electrons by ell and n
    t = np.linspace(np.log(3e-4), np.log(40.0), n)
    r, h = np.exp(t), t[1] - t[0]
    potential = atomic.thomas_fermi_potential(r, Z)
    energy, density = 0.0, np.zeros(n)
    for _ in range(60):
        density, levels = np.zeros(n), 0.0
        for ell, electrons in shells.items():
            # with u = r^(1/2) f, u'' becomes f'' - f / 4, and f ~ r^(ell + 1/2) at zero
            diagonal = (1 / h**2 + (ell + 0.5) ** 2 / 2) / r**2 + potential
            diagonal[0] -= np.exp(-(ell + 0.5) * h) / (2 * h**2 * r[0] ** 2)
            off = -0.5 / (h**2 * r[1:] * r[:-1])
            last = len(electrons) - 1
            e, f = eigh_tridiagonal(diagonal, off, select="i", select_range=(0, last))
            levels += e @ electrons
            density += (f**2 / (h * r[:, None])) @ electrons
        e_xc, v_xc = atomic.vwn_lda(density / (4 * np.pi * r**2))
        outer = cumulative_trapezoid(density, t, initial=0)
        hartree = cumulative_trapezoid(density * r, t, initial=0) / r
        hartree += outer[-1] - outer
        rest = -Z / r + hartree / 2 + e_xc - potential
        energy = levels + np.trapezoid(density * r * rest, t)
        potential = 0.8 * potential + 0.2 * (-Z / r + hartree + v_xc)
    return float(energy), r, density


def judge(data: dict[str, Any], ours: Any, theirs: Any) -> Judgement:
    """By the published energy."""
    error = abs(ours.total_energy - PUBLISHED)
    return Judgement(
        "error of the energy (Ha)",
        f"{error:.0e}",
        f"{abs(theirs[0] - PUBLISHED):.0e}",
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
    words="Each orbital is certified: no level can be missed. The other column is a "
    "loop of differences as it is often written by hand. PySCF solves molecules, which "
    "numsolve does not; with its Gaussians the energy of an atom has four decimals.",
    size="26 electrons",
    peer="differences by hand, SciPy eigh_tridiagonal",
    load=load,
    ours=ours,
    theirs=theirs,
    judge=judge,
    draw=draw,
)
