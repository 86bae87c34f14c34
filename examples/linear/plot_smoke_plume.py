"""
A smoke plume past a moving obstacle
====================================

Warm smoke rises in a closed shaft, hits a disc that swings and a thin plate, and leaves at the open top. At
each time step the velocity is made divergence-free by a pressure, which solves Poisson's equation on the
cells that are not solid. :func:`numsolve.linear.solve_poisson` solves it by conjugate gradients with one
multigrid cycle a step, and :meth:`numsolve.linear.PoissonMultigrid.refit` takes the cycle along with the
disc. Plain conjugate gradients need many times as many iterations.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation
from scipy.ndimage import map_coordinates

from numsolve import linear

# %%
# The shaft: the first axis points upwards. 0 is fluid, 1 is wall, 2 is open.

height, width = 192, 96
up, across = np.indices((height, width))
shaft = np.zeros((height, width), dtype=int)
shaft[-1] = 2
shaft[0], shaft[:, 0], shaft[:, -1] = 1, 1, 1
shaft[128, 50:80] = 1  # a plate of one cell
dt = 0.8


def disc_at(time):
    """The cells of the disc, and its speed."""
    middle, speed = 46 + 16 * np.sin(time / 25), 16 / 25 * np.cos(time / 25)
    return (up - 70) ** 2 + (across - middle) ** 2 < 14**2, speed


# %%
# Velocities live on the faces between cells: ``v`` upwards, ``u`` across. Faces of walls have none, those of
# the disc have its speed.

v, u = np.zeros((height + 1, width)), np.zeros((height, width + 1))


def faces_between(cells):
    """The faces of some cells, upwards and across."""
    inside = np.pad(cells, 1, mode="edge")
    return (
        inside[1:, 1:-1] | inside[:-1, 1:-1],
        inside[1:-1, 1:] | inside[1:-1, :-1],
    )


def carried(field, a, b, v, u, dt):
    """Values of a field where the flow at the points (a, b) comes from."""
    speed_v = map_coordinates(v, (a + 0.5, b), order=1, mode="nearest")
    speed_u = map_coordinates(u, (a, b + 0.5), order=1, mode="nearest")
    shift = np.array(
        [0.5 * (n - m) for n, m in zip(field.shape, shaft.shape, strict=True)]
    )
    there = (a - dt * speed_v + shift[0], b - dt * speed_u + shift[1])
    return map_coordinates(field, there, order=1, mode="nearest")


def divergence(fluid, v, u):
    """The flow out of each fluid cell."""
    return np.where(fluid, np.diff(v, axis=0) + np.diff(u, axis=1), 0.0)


# %%
# Each step moves smoke and velocities along, lifts the smoke, and subtracts the gradient of the pressure. The
# preconditioner is refitted, which sets up the blocks at the rim of the disc, and each solve starts from the
# last pressure.

preconditioner = linear.poisson_multigrid(np.where(disc_at(0.0)[0], 1, shaft))
smoke, pressure = np.zeros(shaft.shape), np.zeros(shaft.shape)
grid_v = np.indices(v.shape, dtype=float)
grid_u = np.indices(u.shape, dtype=float)
frames, steps, multigrid, plain, blocks = {}, 320, [], {}, []
for step in range(1, steps + 1):
    disc, speed = disc_at(step * dt)
    flags = np.where(disc, 1, shaft)
    fluid = flags == 0
    v_wall, u_wall = faces_between(flags == 1)
    preconditioner.refit(flags)
    blocks.append(preconditioner.setup_blocks[0])
    smoke[2:8, 36:58] = 1.0
    new_v = carried(v, grid_v[0] - 0.5, grid_v[1], v, u, dt)
    new_u = carried(u, grid_u[0], grid_u[1] - 0.5, v, u, dt)
    smoke = np.where(fluid, carried(smoke, up, across, v, u, dt), 0.0)
    new_v[1:-1] += dt * 0.05 * (smoke[1:] + smoke[:-1])
    v = np.where(v_wall, 0.0, new_v)
    u = np.where(u_wall, np.where(faces_between(disc)[1], speed, 0.0), new_u)
    rhs = -divergence(fluid, v, u)
    result = linear.solve_poisson(preconditioner, rhs, pressure, rtol=1e-6)
    multigrid.append(result.nit)
    if step % 20 == 0:
        plain[step] = linear.solve_poisson(
            flags, rhs, pressure, rtol=1e-6, method="cg"
        ).nit
    pressure = result.x
    v[1:-1] -= np.where(v_wall[1:-1], 0.0, np.diff(pressure, axis=0))
    u[:, 1:-1] -= np.where(u_wall[:, 1:-1], 0.0, np.diff(pressure, axis=1))
    if step % 10 == 0:
        frames[step] = np.ma.masked_where(~fluid, smoke)
print(f"largest divergence at the end: {abs(divergence(fluid, v, u)).max():.1e}")
done, every = np.mean(blocks, axis=0)
print(f"blocks set up in a step: {done:.0f} of {every:.0f} on the first coarse level")

# %%
# The plume parts at the disc and rolls up at the plate. Beside it, the iterations that each pressure
# solve took to a relative residual of 1e-6, on a logarithmic axis; plain conjugate gradients solve every
# twentieth system, from the same start.

fig, (left, right) = plt.subplots(
    1, 2, figsize=(8, 5.2), layout="constrained", width_ratios=[1, 1.4]
)
colours = plt.get_cmap("magma").with_extremes(bad="0.6")
image = left.imshow(frames[steps], origin="lower", cmap=colours, vmin=0, vmax=1)
left.set(title="step 0", xticks=[], yticks=[])
(ours,) = right.semilogy([], [], label="multigrid CG")
(theirs,) = right.semilogy([], [], "o", ms=4, label="plain CG")
right.set(xlabel="time step", ylabel="iterations", xlim=(0, steps), ylim=(1, 1000))
right.grid(alpha=0.3)
right.legend(loc="center right")


def draw(step):
    """Show the plume and the iterations up to a time step."""
    image.set_data(frames[step])
    left.set_title(f"step {step}")
    ours.set_data(np.arange(1, step + 1), multigrid[:step])
    shown = [k for k in plain if k <= step]
    theirs.set_data(shown, [plain[k] for k in shown])


movie = FuncAnimation(fig, draw, list(frames), interval=150)
fig.canvas.draw()  # a movie starts with the first drawing of its figure,
fig.set_layout_engine("none")  # and needs no new layout for each of the others

# %%
# The same as pictures, and the iterations on average.

mean = np.mean(multigrid), np.mean(list(plain.values()))
print(f"mean iterations: {mean[0]:.1f} with a cycle a step, {mean[1]:.0f} without")
fig, axes = plt.subplots(1, 4, figsize=(10, 5.4), layout="constrained")
for ax, step in zip(axes, (80, 160, 240, 320), strict=True):
    ax.imshow(frames[step], origin="lower", cmap=colours, vmin=0, vmax=1)
    ax.set(title=f"step {step}", xticks=[], yticks=[])
plt.show()
# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_thumbnail_axes = [2, 3]
