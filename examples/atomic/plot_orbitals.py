"""
Shells of an atom: orbitals and densities
=========================================

The self-consistent field of gold, by the Schrödinger and by the Dirac equation. Relativity pulls the s
orbitals in and pushes the d orbitals out, and that gives gold its colour.
"""

import matplotlib.pyplot as plt
import numpy as np

from numsolve.atomic import AtomDFT

gold = AtomDFT(79).run()
dirac = AtomDFT(79, relativistic=True).run()
print(dirac)

# %%
# The radial density has a maximum for each shell. The inner shells of the Dirac atom are closer to the
# nucleus, the innermost by an eighth.

fig, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for result, label, style in ((gold, "Schrödinger", "-"), (dirac, "Dirac", "--")):
    result.plot(axes[0], what="density", label=label, linestyle=style)
axes[0].legend()
axes[0].set_xlim(5e-4, 10)
axes[0].set_title("electrons per bohr")

for label, color in (("5d", "tab:blue"), ("6s", "tab:red")):
    axes[1].plot(gold.r, gold.orbital(label).P, color=color, label=label)
pairs = {
    "5d3/2": ("tab:blue", "--"),
    "5d5/2": ("tab:blue", ":"),
    "6s1/2": ("tab:red", "--"),
}
for label, (color, style) in pairs.items():
    axes[1].plot(
        dirac.r, dirac.orbital(label).P, color=color, linestyle=style, label=label
    )
axes[1].set(
    xlim=(0, 8), xlabel="r (bohr)", ylabel="P(r)", title="the outermost orbitals"
)
axes[1].grid(alpha=0.3)
axes[1].legend(ncols=2)

# %%
# The energies tell the same story: relativity narrows the gap between 5d and 6s, whose size sets the colour.

for name, atom, d, s in (
    ("Schrödinger", gold, "5d", "6s"),
    ("Dirac", dirac, "5d5/2", "6s1/2"),
):
    gap = atom.orbital(s).energy - atom.orbital(d).energy
    levels = f"{d} {atom.orbital(d).energy:.6f}, {s} {atom.orbital(s).energy:.6f}"
    print(f"{name:12} {levels}, gap {gap:.6f} Ha")

# %%
# All orbitals of argon, and the charge that its electrons feel: the whole nucleus inside, nothing outside,
# since in the local density approximation the potential of a neutral atom falls off exponentially.

argon = AtomDFT(18).run()
fig, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
argon.plot(axes[0], what="orbitals")
axes[0].set_xlim(1e-3, 20)
argon.plot(axes[1], what="potential")
axes[1].set_title("effective charge")

# %%
# Three identities check a run without any reference. The virial of the energy terms vanishes. The
# derivative of the energy with respect to the nuclear charge is minus the mean of 1/r. The derivative with
# respect to an occupation is the orbital's energy.

terms = argon.energy_terms
print(f"virial {terms['virial']:.1e} Ha")
h = 1e-3
shells = "1s2 2s2 2p6 3s2 3p{}"
plus, minus = (
    AtomDFT(18, configuration=shells.format(5.5 + s * h)).run() for s in (1, -1)
)
middle = AtomDFT(18, configuration=shells.format(5.5)).run()
slope = (plus.total_energy - minus.total_energy) / (2 * h)
print(f"dE/df = {slope:.8f}, energy of 3p = {middle.orbital('3p').energy:.8f}")

distance = np.sum(argon.weights * 4 * np.pi * argon.r * argon.density)
print(f"dE/dZ = {argon.dE_dZ:.8f}, -<1/r> = {-distance:.8f}")
plt.show()

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_thumbnail_axes = 0
