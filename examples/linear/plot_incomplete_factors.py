"""
Incomplete factors: coefficients that jump, and a wind
======================================================

Relaxation is a weak preconditioner where the coefficients of a problem jump by orders
of magnitude, and conjugate gradients fail where a wind makes the matrix nonsymmetric.
Incomplete factors serve both: `ICT` with conjugate gradients, `ILU` with BiCGSTAB or
GMRES.
"""

import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse as sp

from numsolve import linear

# %%
# A pressure drives a flow through sand with inclusions that let 10 000 times as much
# through. The unknowns are the pressures of 100 by 100 cells; a face between two cells
# has the harmonic mean of their permeabilities.

m = 100
place = (np.arange(m) + 0.5) / m
rng = np.random.default_rng(4)
field = np.ones((m, m))
for x, y, r in zip(*rng.random((2, 14)), rng.uniform(0.05, 0.13, 14), strict=True):
    field[(place[:, None] - x) ** 2 + (place - y) ** 2 < r**2] = 1e4

number = np.arange(m * m).reshape(m, m)
i = np.concatenate([number[:-1].ravel(), number[:, :-1].ravel()])
j = np.concatenate([number[1:].ravel(), number[:, 1:].ravel()])
faces = 2 / (1 / field.ravel()[i] + 1 / field.ravel()[j])
W = sp.coo_array((faces, (i, j)), shape=(m * m, m * m))
W = sp.csr_array(W + W.T)
ends = np.zeros((m, m))
ends[0], ends[-1] = (
    2 * field[0],
    2 * field[-1],
)  # pressure 1 on the left, 0 on the right
A = sp.csr_array(sp.diags_array(W.sum(axis=1) + ends.ravel()) - W)
b = np.zeros((m, m))
b[0] = ends[0]

factors = linear.ict_cg(A, b.ravel(), droptol=1e-3, fill=8, rtol=1e-8)
relaxed = linear.ssor_cg(A, b.ravel(), omega=1.7, rtol=1e-8)
print(f"ICT-CG {factors.nit} iterations, SSOR-CG {relaxed.nit}")

# %%
# The pressure hardly falls within an inclusion. With relaxation, conjugate gradients
# find these plateaus one by one; with incomplete factors they know them from the
# start.

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
picture = left.imshow(
    factors.x.reshape(m, m).T, origin="lower", cmap="viridis", extent=(0, 1, 0, 1)
)
left.contour(place, place, field.T, levels=[2.0], colors="white", linewidths=0.8)
left.set(title="pressure", xticks=[], yticks=[])
fig.colorbar(picture, ax=left)
for name, result in {"SSOR-CG": relaxed, "ICT-CG": factors}.items():
    right.semilogy(result.history.residual / result.rhs_norm, label=name)
right.set(xlabel="iteration", ylabel="residual")
right.grid(alpha=0.3)
right.legend()
plt.show()

# %%
# Now heat is carried round by a vortex, from a hot wall at the bottom, and diffuses
# slowly. Upwind differences make a nonsymmetric matrix; ILU(0) has its pattern, ILUT
# fills in.

X, Y = np.meshgrid(place, place, indexing="ij")
u = 300 * np.sin(np.pi * X) * np.cos(np.pi * Y)
v = -300 * np.cos(np.pi * X) * np.sin(np.pi * Y)
back, eye = sp.diags_array([-1.0, 1.0], offsets=[-1, 0], shape=(m, m)), sp.eye_array(m)
C = linear.problems.laplacian(m)
for along, step in ((u, sp.kron(back, eye)), (v, sp.kron(eye, back))):
    speed = along.ravel() / (m + 1)
    C = C + sp.diags_array(np.maximum(speed, 0)) @ step
    C = C - sp.diags_array(np.minimum(speed, 0)) @ step.T
C = sp.csr_array(C)
heat = np.zeros((m, m))
heat[:, 0] = 1 + np.maximum(v[:, 0], 0) / (m + 1)

runs = {
    "no preconditioner": linear.bicgstab(C, heat.ravel(), rtol=1e-8),
    "ILU(0)": linear.bicgstab(C, heat.ravel(), M=linear.ILU(C), rtol=1e-8),
    "ILUT": linear.bicgstab(C, heat.ravel(), M=linear.ILU(C, 1e-3), rtol=1e-8),
    "ILU(0), GMRES": linear.gmres(C, heat.ravel(), M=linear.ILU(C), rtol=1e-8),
}
for name, result in runs.items():
    print(f"{name}: {result.nit} iterations, {result.status.name}")

# %%
# A step of BiCGSTAB has two products with the matrix, one of GMRES has one, and its
# residual never rises.

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
picture = left.imshow(
    runs["ILUT"].x.reshape(m, m).T, origin="lower", cmap="inferno", extent=(0, 1, 0, 1)
)
left.streamplot(place, place, u.T, v.T, color="white", linewidth=0.5, density=0.7)
left.set(title="temperature", xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
fig.colorbar(picture, ax=left)
for name, result in runs.items():
    right.semilogy(result.history.residual / result.rhs_norm, label=name)
right.set(xlabel="iteration", ylabel="residual")
right.grid(alpha=0.3)
right.legend()
plt.show()

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_thumbnail_axes = 0
