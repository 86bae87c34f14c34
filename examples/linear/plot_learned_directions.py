"""
Search directions that a network has learned
============================================

Conjugate gradients search along the residual, made orthogonal to what was searched before. A deep conjugate
direction method searches along what a network makes of the residual. A trained network smooths it into
something close to the error, so a few directions do the work of many.

The networks here are those that come with the package: :class:`numsolve.linear.DCDMNet`, the published
architecture in two dimensions, trained on one empty box of 64 x 64 cells, and
:class:`numsolve.linear.NPSDNet`, which is linear and is told where the obstacles are.
"""

import matplotlib.pyplot as plt
import numpy as np

from numsolve import linear

# %%
# A box with obstacles that the networks have not seen: 0 is fluid, 1 is wall, 2 is open. The right-hand side
# is white noise.

flags = linear.problems.random_obstacles((64, 64), 4, rng=7)
problem = linear.GridPoisson(flags)
rng = np.random.default_rng(0)
b = rng.standard_normal(problem.n)
solution = problem.pack(linear.solve_poisson(problem, problem.unpack(b), rtol=1e-12).x)

# %%
# Each predictor is a function of the residual; :func:`numsolve.linear.dcdm` takes any.
# The predictor of plain conjugate gradients is the residual itself.

dcdm_net = linear.DCDMNet.shipped(2)
npsd_net = linear.NPSDNet.shipped(2)
predictors = {
    "residual (CG)": lambda r: r,
    "DCDM network": dcdm_net.predictor(problem),
    "NPSD network": npsd_net.predictor(problem),
}
cycle = linear.poisson_multigrid(problem)
predictors["multigrid cycle"] = lambda r: cycle @ r

unit = b / np.linalg.norm(b)
results, first = {}, {}
for name, predictor in predictors.items():
    first[name] = predictor(unit)
    results[name] = linear.dcdm(problem, b, predictor, rtol=1e-4)
    print(f"{name:16s} {results[name].nit:4d} iterations to 1e-4")

# %%
# The first direction of each, and the solution, which is the error at the start. The residual is noise; the
# networks have turned it into something smooth, as the multigrid cycle does.

fig, axes = plt.subplots(1, 5, figsize=(11, 2.7), layout="constrained")
colours = plt.get_cmap("RdBu_r").with_extremes(bad="0.4")
pictures = {**first, "error": solution}
for ax, (name, direction) in zip(axes, pictures.items(), strict=True):
    # the scale of a direction does not matter: the step along it is exact
    scaled = direction / abs(direction).max() * np.sign(direction @ solution)
    grid = np.ma.masked_where(flags != 0, problem.unpack(scaled))
    ax.imshow(grid, origin="lower", cmap=colours, vmin=-1, vmax=1)
    cosine = direction @ (problem @ solution)
    cosine /= np.sqrt(direction @ (problem @ direction))
    cosine /= np.sqrt(solution @ (problem @ solution))
    ax.set(title=name, xticks=[], yticks=[])
    ax.set_xlabel(f"cosine with the error {abs(cosine):.2f}", fontsize=8)

# %%
# The residuals over the iterations. Few iterations are not little time: on a processor one evaluation of a
# network takes as long as many steps of plain conjugate gradients (:doc:`the guide </guide/poisson>` has the
# times). The multigrid cycle takes the time of a few steps, and is what :func:`numsolve.linear.solve_poisson`
# uses.

fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
for name, result in results.items():
    history = result.history
    ax.semilogy(history.iteration, history.residual / history.residual[0], label=name)
ax.set(xlabel="iteration", ylabel="residual / right-hand side", xlim=(0, 120))
ax.grid(alpha=0.3)
ax.legend()
plt.show()
# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = [1, 2]
