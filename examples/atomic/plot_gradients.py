"""
What gradients of the density change
====================================

The local density approximation takes each point of an atom for a uniform gas. PBE also looks at how steep the
density is there.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np

from numsolve.atomic import AtomDFT, UnboundWarning

# %%
# Argon. The reduced gradient s says by how much the density changes over an electron's wavelength. It peaks
# where one shell takes over from the next, and the potential of PBE follows with a kink at each of these
# places; near the nucleus it is like 1 / r.

local, gradient = AtomDFT("Ar").run(), AtomDFT("Ar", xc="pbe").run()
r = np.geomspace(1e-3, 8.0, 800)
lda, pbe = local.evaluate(r), gradient.evaluate(r)
slope = gradient.evaluate(r, derivative=1).density
k = np.cbrt(3 * np.pi**2 * pbe.density)
s = np.abs(slope) / (2 * k * pbe.density)

fig, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
axes[0].semilogx(r, s, color="C2", label="reduced gradient s")
axes[0].semilogx(
    r,
    4 * np.pi * r**2 * pbe.density / 12,
    color="gray",
    linestyle=":",
    label="radial density / 12",
)
axes[0].set(xlabel="r (bohr)", ylim=(0, 3), title="how steep argon is")
axes[0].legend()
axes[1].semilogx(r, -r * lda.v_xc, label="LDA")
axes[1].semilogx(r, -r * pbe.v_xc, label="PBE")
axes[1].set(xlabel="r (bohr)", ylabel=r"$-r\,v_{xc}$", title="potential")
axes[1].legend()
for ax in axes:
    ax.grid(alpha=0.3)

# %%
# The energies of the first ten atoms, with spin, against the exact ones without relativity (S. J. Chakravorty
# et al., Phys. Rev. A 47, 3649, 1993). The gradient takes most of the local error away.

# empty orbitals of the other spin
warnings.simplefilter("ignore", UnboundWarning)
EXACT = [
    *(-0.5, -2.90372, -7.47806, -14.66736, -24.65391),
    *(-37.8450, -54.5892, -75.0673, -99.7339, -128.9376),
]
charges = np.arange(1, 11)
errors = {
    xc: [AtomDFT(Z, xc=xc, spin_polarized=True).run().total_energy for Z in charges]
    - np.array(EXACT)
    for xc in ("lda", "pbe")
}
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for xc, error in errors.items():
    ax.semilogy(charges, np.abs(error), "o-", label=xc.upper())
ax.set(
    xlabel="Z",
    ylabel="error of the total energy (Ha)",
    title="against exact energies",
)
ax.legend()
ax.grid(alpha=0.3)

# %%
# What a pseudopotential of silicon has to reproduce: the logarithmic derivatives of the atom at a radius
# outside of its core, over the energies of a solid, drawn as angles. The slope of a curve is the charge that
# its wave has within the radius; dotted lines are the energies of 3s and 3p.

silicon = AtomDFT("Si", xc="pbe").run()
energies = np.linspace(-1.0, 1.5, 251)
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for momentum, letter in enumerate("spd"):
    slopes = silicon.log_derivative(energies, 2.2, momentum)
    angle = np.unwrap(-np.arctan(slopes), period=np.pi)
    ax.plot(energies, angle / np.pi, label=letter)
for label in ("3s", "3p"):
    ax.axvline(silicon.orbital(label).energy, color="gray", linestyle=":")
ax.set(
    xlabel="energy (Ha)",
    ylabel=r"$-\arctan(P'/P)\ /\ \pi$",
    title="silicon at 2.2 bohr",
)
ax.legend()
ax.grid(alpha=0.3)
plt.show()

ratio = np.abs(errors["lda"] / errors["pbe"])[1:].mean()
print(f"the local errors are {ratio:.0f} times as large on average")

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 1
