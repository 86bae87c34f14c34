"""
The periodic table, with and without relativity
===============================================

All 92 atoms by the Schrödinger and by the Dirac equation: 184 self-consistent fields, each converged to
1e-8 Ha or better, with every orbital certified. Two threads share the atoms, since the compiled loop
releases the interpreter's lock.
"""

from concurrent.futures import ThreadPoolExecutor

import matplotlib.pyplot as plt
import numpy as np

from numsolve.atomic import solve_atoms

charges = np.arange(1, 93)
with ThreadPoolExecutor(2) as executor:
    schroedinger = solve_atoms(charges, executor=executor)
    dirac = solve_atoms(charges, relativistic=True, executor=executor)
assert all(r.success and r.certified for r in schroedinger + dirac)
print(f"{len(schroedinger + dirac)} atoms, all orbitals certified")

# %%
# The highest occupied level repeats with the periods: it falls towards each noble gas and jumps up with each
# alkali metal. The local density approximation puts it above minus the ionisation energy, but shows all the
# trends.

NOBLE = {2: "He", 10: "Ne", 18: "Ar", 36: "Kr", 54: "Xe", 86: "Rn"}
PAIRS = ((schroedinger, "-", "Schrödinger"), (dirac, "--", "Dirac"))


def over_charge(ylabel):
    """A plot over the nuclear charge, with a line at each noble gas."""
    ax = plt.figure(figsize=(10, 3.6), layout="constrained").subplots()
    ax.set(xlabel="Z", ylabel=ylabel)
    ax.grid(alpha=0.3)
    for Z, name in NOBLE.items():
        ax.axvline(Z, color="gray", linewidth=0.6)
        ax.annotate(
            name, (Z, 1.01), xycoords=("data", "axes fraction"), ha="center", fontsize=9
        )
    return ax


ax = over_charge("highest occupied level (Ha)")
for results, style, label in PAIRS:
    highest = [max(o.energy for o in r.orbitals) for r in results]
    ax.plot(charges, highest, style, marker=".", markersize=4, label=label)
ax.legend(loc="lower right")

# %%
# The mean radius of the outermost orbital: the alkali metals stand out, and the lanthanides contract.
# Relativity makes the heavy atoms smaller.

ax = over_charge("largest mean radius (bohr)")
for results, style, label in PAIRS:
    radius = []
    for r in results:
        densities = [o.P**2 + (0 if o.Q is None else o.Q**2) for o in r.orbitals]
        radius.append(max(np.sum(r.weights * r.r * density) for density in densities))
    ax.plot(charges, radius, style, marker=".", markersize=4, label=label)
ax.set_ylim(0, 7.5)
ax.legend(loc="upper left", ncols=2)

# %%
# The relativistic lowering of the total energy grows a little faster than the fourth power of the charge.

lowering = [
    s.total_energy - d.total_energy for s, d in zip(schroedinger, dirac, strict=True)
]
ax = over_charge("relativistic lowering (Ha)")
ax.semilogy(charges[1:], lowering[1:], ".-", markersize=4, label="computed")
fourth = lowering[49] * (charges[1:] / 50) ** 4
ax.semilogy(charges[1:], fourth, ":", color="k", label="Z$^4$")
ax.legend(loc="lower right")

# %%
# How hard the fields were to find: one iteration is one step for every orbital. Open d and f shells near the
# Fermi level take the most.

ax = over_charge("iterations")
ax.bar(charges - 0.2, [r.nit for r in schroedinger], 0.4, label="Schrödinger")
ax.bar(charges + 0.2, [r.nit for r in dirac], 0.4, label="Dirac")
ax.set_ylim(0, 42)
ax.legend(ncols=2, loc="upper left")
worst = max(schroedinger + dirac, key=lambda r: r.error_estimate)
print(f"largest error estimate: {worst.error_estimate:.1e} Ha, at Z = {worst.Z:g}")
plt.show()

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_thumbnail_axes = 0
