"""
The periodic table in a second
==============================

All 92 atoms, with and without relativity: 184 self-consistent fields, each converged to 1e-8 Ha or better,
every orbital certified. Threads run side by side, since the compiled loop releases the interpreter's lock.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import matplotlib.pyplot as plt
import numpy as np

from numsolve.atomic import AtomDFT, solve_atoms

charges = np.arange(1, 93)
AtomDFT(1).run()  # compiles, once on a machine
start = time.perf_counter()
with ThreadPoolExecutor(2) as executor:
    schroedinger = solve_atoms(charges, executor=executor)
    dirac = solve_atoms(charges, relativistic=True, executor=executor)
print(f"{time.perf_counter() - start:.2f} s, tables included")
assert all(r.success and r.certified for r in schroedinger + dirac)

# %%
# The highest occupied level repeats with the periods: it dives towards each noble gas and returns with each
# alkali metal. The local density approximation puts it above minus the ionisation energy, but has all the
# trends.

NOBLE = {2: "He", 10: "Ne", 18: "Ar", 36: "Kr", 54: "Xe", 86: "Rn"}
fig, axes = plt.subplots(3, 1, figsize=(10, 10), layout="constrained", sharex=True)
for results, style, label in ((schroedinger, "-", "Schrödinger"), (dirac, "--", "Dirac")):
    highest = [max(o.energy for o in r.orbitals) for r in results]
    axes[0].plot(charges, highest, style, marker=".", markersize=4, label=label)
axes[0].set(ylabel="highest occupied level (Ha)")
axes[0].legend(loc="lower right")

# %%
# The radius of the outermost orbital, the mean of r: the alkali metals stand out, the lanthanides contract.
# Relativity makes the heavy atoms smaller.

for results, style in ((schroedinger, "-"), (dirac, "--")):
    radius = []
    for r in results:
        densities = [o.P**2 + (0 if o.Q is None else o.Q**2) for o in r.orbitals]
        radius.append(max(np.sum(r.weights * r.r * density) for density in densities))
    axes[1].plot(charges, radius, style, marker=".", markersize=4)
axes[1].set(ylabel="largest mean radius (bohr)")

# %%
# What relativity takes from the total energy grows a little faster than the fourth power of the charge.

shift = np.array([s.total_energy - d.total_energy for s, d in zip(schroedinger, dirac, strict=True)])
axes[2].loglog(charges[1:], shift[1:], ".-", markersize=4)
axes[2].loglog(charges[1:], shift[49] * (charges[1:] / 50) ** 4, ":", color="k", label="Z$^4$")
axes[2].set(ylabel="relativistic shift (Ha)", xlabel="Z", xscale="linear")
axes[2].legend(loc="lower right")
for ax in axes:
    ax.grid(alpha=0.3)
    for Z in NOBLE:
        ax.axvline(Z, color="gray", linewidth=0.6)
for Z, name in NOBLE.items():
    axes[0].annotate(name, (Z, 0.98), xycoords=("data", "axes fraction"), ha="right", va="top", fontsize=9)

# %%
# How hard the fields were: an iteration is one step for every orbital. Open d and f shells near the Fermi
# level take the most.

fig, ax = plt.subplots(figsize=(10, 3.2), layout="constrained")
ax.bar(charges - 0.2, [r.nit for r in schroedinger], 0.4, label="Schrödinger")
ax.bar(charges + 0.2, [r.nit for r in dirac], 0.4, label="Dirac")
ax.set(xlabel="Z", ylabel="iterations", ylim=(0, 42))
ax.legend(ncols=2, loc="upper left")
worst = max(schroedinger + dirac, key=lambda r: r.error_estimate)
print(f"largest estimated discretisation error: {worst.error_estimate:.1e} Ha at Z = {worst.Z:g}")
plt.show()
