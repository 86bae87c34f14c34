"""
Convergence with the order and the number of elements
=====================================================

High-order finite elements converge exponentially with the polynomial degree, and like the power 2p of the
element length. This page repeats the studies of Čertík et al. (Comput. Phys. Commun. 297, 109051, 2024):
three potentials with known energies, then uranium.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np

from numsolve import PrecisionWarning
from numsolve.atomic import (
    AtomDFT,
    RadialMesh,
    UnboundWarning,
    hydrogenic_energy,
    problems,
    solve_radial_dirac,
    solve_radial_schroedinger,
)

# Oscillator and box have only the states that walls hold; most meshes here are too coarse on purpose.
warnings.simplefilter("ignore", UnboundWarning)
warnings.simplefilter("ignore", PrecisionWarning)
FLOOR = 1e-16

# %%
# Largest relative error of the lowest states of l = 0 and l = 1, against the order p.


def coulomb(mesh: RadialMesh) -> float:
    """Schrödinger, Z = 92, five states of l = 0 and four of l = 1."""
    errors = []
    for l in (0, 1):  # noqa: E741
        exact = np.array([hydrogenic_energy(92, n) for n in range(l + 1, 6)])
        result = solve_radial_schroedinger(
            problems.coulomb(92), l, exact.size, mesh=mesh
        )
        errors.append(np.abs(result.energies / exact - 1).max())
    return max(errors)


def coulomb_dirac(mesh: RadialMesh) -> float:
    """Dirac, Z = 92, five states of kappa = -1 and four of kappa = 1."""
    errors = []
    for kappa, count in ((-1, 5), (1, 4)):
        exact = np.array(
            [hydrogenic_energy(92, 6 - count + k, kappa=kappa) for k in range(count)]
        )
        result = solve_radial_dirac(problems.coulomb(92), kappa, count, Z=92, mesh=mesh)
        errors.append(np.abs(result.energies / exact - 1).max())
    return max(errors)


def oscillator(mesh: RadialMesh) -> float:
    """Five states of l = 0 and of l = 1 in r^2 / 2."""
    V = problems.oscillator()
    results = [solve_radial_schroedinger(V, k, 5, mesh=mesh) for k in (0, 1)]
    exact = [2 * np.arange(5) + r.l + 1.5 for r in results]
    return max(
        np.abs(r.energies / e - 1).max() for r, e in zip(results, exact, strict=True)
    )


def box(mesh: RadialMesh) -> float:
    """Five states of l = 0 and of l = 1 in a sphere of radius 10."""
    V = problems.box()
    results = [solve_radial_schroedinger(V, k, 5, mesh=mesh) for k in (0, 1)]
    exact = [problems.box_energies(10, r.l, 5) for r in results]
    return max(
        np.abs(r.energies / e - 1).max() for r, e in zip(results, exact, strict=True)
    )


CASES = {
    "Coulomb, Schrödinger": (
        coulomb,
        lambda n, p: RadialMesh.exponential(0, 2, 60, n, p),
    ),
    "Coulomb, Dirac": (
        coulomb_dirac,
        lambda n, p: RadialMesh.exponential(0, 2, 60, n, p),
    ),
    "oscillator": (oscillator, lambda n, p: RadialMesh.uniform(10, n, p)),
    "box": (box, lambda n, p: RadialMesh.uniform(10, n, p)),
}
ORDERS, COUNTS = range(4, 29, 2), np.array([2, 3, 4, 6, 8, 12, 16, 24, 32])

fig, axes = plt.subplots(2, 4, figsize=(13, 6), layout="constrained", sharey=True)
for column, (name, (error, mesh)) in zip(axes.T, CASES.items(), strict=True):
    for n in (2, 4, 8):
        column[0].semilogy(
            ORDERS,
            [error(mesh(n, p)) + FLOOR for p in ORDERS],
            ".-",
            label=f"{n} elements",
        )
    for p in (4, 8, 14):
        column[1].loglog(
            COUNTS,
            [error(mesh(n, p)) + FLOOR for n in COUNTS],
            ".-",
            label=f"order {p}",
        )
    column[0].set(title=name, xlabel="order p")
    column[1].set(xlabel="elements")
    column[1].set_xticks([2, 4, 8, 16, 32], ["2", "4", "8", "16", "32"])
    column[1].minorticks_off()
    for ax in column:
        ax.grid(alpha=0.3)
        ax.set_ylim(1e-16, 1e2)
for ax in axes[:, 0]:
    ax.set_ylabel("relative error")
for ax in axes[:, -1]:
    ax.legend(loc="upper right")

# %%
# Uranium, self-consistent. The reference for the total energy is a mesh of sixteen elements of order 26. The
# lines level off at the rounding errors of an energy of 28 000 Ha. In the Dirac atom the relativistic
# exchange is singular at the nucleus, so a short first element matters as much as the order. Each run comes
# with an ``error_estimate``, the dotted line.


def uranium(relativistic: bool, n: int, p: int, r_max: float = 50.0) -> RadialMesh:
    """The default mesh with other numbers."""
    return RadialMesh.atomic(92, relativistic, r_max, n, p)


best = {
    rel: AtomDFT(92, relativistic=rel, mesh=uranium(rel, 16, 26)).run().total_energy
    for rel in (0, 1)
}
fig, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
for rel, ax in ((False, axes[0]), (True, axes[1])):
    for n, color in ((6, "tab:blue"), (8, "tab:orange"), (12, "tab:green")):
        orders = range(10, 25, 2)
        results = [
            AtomDFT(92, relativistic=rel, mesh=uranium(rel, n, p)).run() for p in orders
        ]
        errors = [abs(r.total_energy - best[rel]) + 1e-12 for r in results]
        ax.semilogy(orders, errors, ".-", color=color, label=f"{n} elements")
        if n == 8:
            estimates = [r.error_estimate + 1e-12 for r in results]
            ax.semilogy(orders, estimates, ":", color="k", label="estimate, 8 elements")
    ax.axhline(1e-8, color="gray", linewidth=0.8)
    ax.set(
        xlabel="order p",
        ylabel="error of the total energy (Ha)",
        title=("Schrödinger", "Dirac")[rel],
    )
    ax.grid(alpha=0.3)
    ax.legend()

walls = np.arange(10, 61, 5)
for Z, name in ((92, "uranium"), (55, "caesium"), (18, "argon")):
    far = AtomDFT(Z, mesh=RadialMesh.atomic(Z, False, 80.0, 16, 16)).run().total_energy
    energies = [
        AtomDFT(Z, mesh=RadialMesh.atomic(Z, False, float(R), 16, 16))
        .run()
        .total_energy
        for R in walls
    ]
    axes[2].semilogy(walls, np.abs(np.array(energies) - far) + 1e-12, ".-", label=name)
axes[2].set(xlabel="r_max (bohr)", title="the wall")
axes[2].grid(alpha=0.3)
axes[2].legend()
plt.show()

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_thumbnail_axes = 0
