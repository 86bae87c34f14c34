"""
Heating a plate: control of a partial differential equation
===========================================================

Which heat sources bring a plate close to a wanted temperature? The state W and the control Z are coupled by
the Poisson equation, one linear constraint for each grid point. Newton's method with a sparse inner solver
needs a single factorisation.
"""

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = [0, 1]
import matplotlib.pyplot as plt
import numpy as np

from numsolve import sketch

n = 60
problem = sketch.problems.control(n)
result = sketch.minimize(
    problem.fun,
    problem.x0,
    jac=problem.jac,
    hess=problem.hess,
    constraints=problem.constraints,
    tol=1e-6,
)
print(result)

# %%
# The objective weighs the distance from the wanted state against the size of the control. The
# multipliers are the adjoint state of the equation: in a minimum the control is ten times it.

state, control = (part.reshape(n, n).T for part in np.split(result.x, 2))
print(np.abs(0.1 * result.x[n * n :] + result.lam).max())

target = -problem.jac(np.zeros(2 * n * n))[: n * n].reshape(n, n).T
figure, axes = plt.subplots(1, 3, figsize=(9.5, 3.2), layout="constrained")
titles = ("wanted state", "state", "control")
for ax, field, title in zip(axes, (target, state, control), titles, strict=True):
    shown = ax.imshow(
        field,
        extent=(-1, 1, -1, 1),
        cmap="viridis" if title == "control" else "magma",
        origin="lower",
    )
    figure.colorbar(shown, ax=ax, shrink=0.75)
    ax.set_title(title)
plt.show()
