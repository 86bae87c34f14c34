"""
A nucleus with a size, and an atom in a cage
============================================

Two things that a free atom with a point nucleus leaves out. The nucleus of a heavy atom is so large that its
electrons notice it; and an atom between others, or under pressure, feels a wall.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np

from numsolve.atomic import AtomDFT, RadialMesh, UnboundWarning

# %%
# What the nucleus' size costs, for every fourth element up to oganesson: the Dirac atom with a uniform ball
# less that with a point. It grows faster and faster, since the orbitals of a point nucleus become more
# singular. A Gaussian of the same mean square radius gives nearly the same.

charges = np.arange(2, 119, 4)
shifts = {"uniform": [], "gaussian": []}
for Z in charges:
    point = AtomDFT(Z, relativistic=True).run()
    for shape, values in shifts.items():
        extended = AtomDFT(Z, relativistic=True, nucleus=shape).run()
        values.append(extended.total_energy - point.total_energy)

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.loglog(charges, shifts["uniform"], "o-", label="uniform ball less point")
difference = np.abs(np.subtract(shifts["gaussian"], shifts["uniform"]))
left.loglog(charges, difference, ".--", label="Gaussian less ball")
left.set(xlabel="Z", ylabel="total energy (Ha)", title="the size of the nucleus")
left.legend()
left.grid(alpha=0.3)

mercury = {
    "point": AtomDFT("Hg", relativistic=True).run(),
    "uniform": AtomDFT("Hg", relativistic=True, nucleus="uniform").run(),
}
for nucleus, atom in mercury.items():
    right.loglog(atom.r, atom.density, ".-", label=nucleus)
right.axvline(mercury["uniform"].mesh.edges[1], color="gray", linestyle=":")
right.set(
    xlim=(1e-5, 1e-2),
    ylim=(1e4, 1e8),
    xlabel="r (bohr)",
    ylabel="electrons per cubic bohr",
    title="density within mercury's nucleus",
)
right.legend()
right.grid(alpha=0.3)

# %%
# A hard wall is the end of the mesh. As it comes closer, the energy of the atom rises, and so does the
# pressure on the wall, minus the derivative of the energy by the volume. In a small room the 4s shell of
# potassium lies above 3d: the order of the shells is one of free atoms.

warnings.simplefilter("ignore", UnboundWarning)  # the wall holds them, as it should
radii = np.linspace(2.5, 12.0, 20)


def caged(configuration: str) -> np.ndarray:
    """Total energies of potassium within walls."""
    return np.array(
        [
            AtomDFT(
                "K",
                configuration=configuration,
                mesh=RadialMesh.exponential(0.0, R, 60.0, 8, 16),
            )
            .run()
            .total_energy
            for R in radii
        ]
    )


s, d = caged("[Ar] 4s1"), caged("[Ar] 3d1")
fig, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
free = AtomDFT("K").run().total_energy
axes[0].plot(radii, s - free, "o-", label="[Ar] 4s1")
axes[0].plot(radii, d - free, "s-", label="[Ar] 3d1")
axes[0].set(
    xlabel="radius of the wall (bohr)",
    ylabel="energy above the free atom (Ha)",
    ylim=(-0.05, 1.5),
    title="potassium in a cage",
)
GIGAPASCAL = 29421.02648438959  # of an atomic unit of pressure
pressure = -np.gradient(np.minimum(s, d), radii) / (4 * np.pi * radii**2)
axes[1].semilogy(radii, pressure * GIGAPASCAL, "o-")
axes[1].set(xlabel="radius of the wall (bohr)", ylabel="pressure (GPa)")
axes[0].legend()
for ax in axes:
    ax.grid(alpha=0.3)
plt.show()

crossing = radii[np.argmax(s < d)]
print(f"4s lies below 3d from a radius of about {crossing:.1f} bohr on")

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_thumbnail_axes = 0
