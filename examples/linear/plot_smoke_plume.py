"""
A smoke plume past an obstacle
==============================

Warm smoke rises in a closed shaft, hits a disc and a thin plate, and leaves at the open top. At each time
step the velocity is made divergence-free by a pressure, which solves Poisson's equation on the cells that
are not solid. :func:`numsolve.linear.solve_poisson` solves it by conjugate gradients with one multigrid
cycle a step. Plain conjugate gradients need many times as many iterations.
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
flags = np.zeros((height, width), dtype=int)
flags[-1] = 2
flags[0], flags[:, 0], flags[:, -1] = 1, 1, 1
flags[(up - 70) ** 2 + (across - 44) ** 2 < 14**2] = 1
flags[128, 50:80] = 1  # a plate of one cell
fluid = flags == 0

# %%
# Velocities live on the faces between cells: ``v`` upwards, ``u`` across. Faces of walls have none.

v, u = np.zeros((height + 1, width)), np.zeros((height, width + 1))
wall = np.pad(flags == 1, 1, constant_values=True)
v_free = ~(wall[1:, 1:-1] | wall[:-1, 1:-1])
u_free = ~(wall[1:-1, 1:] | wall[1:-1, :-1])


def carried(field, a, b, v, u, dt):
    """Values of a field where the flow at the points (a, b) comes from."""
    speed_v = map_coordinates(v, (a + 0.5, b), order=1, mode="nearest")
    speed_u = map_coordinates(u, (a, b + 0.5), order=1, mode="nearest")
    shift = np.array(
        [0.5 * (n - m) for n, m in zip(field.shape, flags.shape, strict=True)]
    )
    there = (a - dt * speed_v + shift[0], b - dt * speed_u + shift[1])
    return map_coordinates(field, there, order=1, mode="nearest")


def divergence(v, u):
    """The flow out of each fluid cell."""
    return np.where(fluid, np.diff(v, axis=0) + np.diff(u, axis=1), 0.0)


# %%
# Each step moves smoke and velocities along, lifts the smoke, and subtracts the gradient of the pressure. The
# preconditioner is set up once, since nothing moves here, and each solve starts from the last pressure.

preconditioner = linear.poisson_multigrid(flags)
smoke, pressure = np.zeros(flags.shape), np.zeros(flags.shape)
faces_v = np.indices(v.shape, dtype=float)
faces_u = np.indices(u.shape, dtype=float)
dt, frames, steps, multigrid, plain = 0.8, {}, 320, [], {}
for step in range(1, steps + 1):
    smoke[2:8, 36:58] = 1.0
    new_v = carried(v, faces_v[0] - 0.5, faces_v[1], v, u, dt)
    new_u = carried(u, faces_u[0], faces_u[1] - 0.5, v, u, dt)
    smoke = np.where(fluid, carried(smoke, up, across, v, u, dt), 0.0)
    new_v[1:-1] += dt * 0.05 * (smoke[1:] + smoke[:-1])
    v, u = new_v * v_free, new_u * u_free
    rhs = -divergence(v, u)
    result = linear.solve_poisson(preconditioner, rhs, pressure, rtol=1e-6)
    multigrid.append(result.nit)
    if step % 10 == 0:
        plain[step] = linear.solve_poisson(
            flags, rhs, pressure, rtol=1e-6, method="cg"
        ).nit
    pressure = result.x
    v[1:-1] -= v_free[1:-1] * np.diff(pressure, axis=0)
    u[:, 1:-1] -= u_free[:, 1:-1] * np.diff(pressure, axis=1)
    if step % 10 == 0:
        frames[step] = smoke.copy()
print(f"largest divergence at the end: {abs(divergence(v, u)).max():.1e}")

# %%
# The plume parts at the disc and rolls up behind the plate. Beside it, the iterations that each pressure
# solve took to a relative residual of 1e-6, on a logarithmic axis; plain conjugate gradients solve every
# tenth system, from the same start.

fig, (left, right) = plt.subplots(
    1, 2, figsize=(8, 5.2), layout="constrained", width_ratios=[1, 1.4]
)
colours = plt.get_cmap("magma").with_extremes(bad="0.6")
image = left.imshow(
    np.ma.masked_where(~fluid, smoke), origin="lower", cmap=colours, vmin=0, vmax=1
)
left.set(title="step 0", xticks=[], yticks=[])
(ours,) = right.semilogy([], [], label="multigrid CG")
(theirs,) = right.semilogy([], [], "o", ms=4, label="plain CG")
right.set(xlabel="time step", ylabel="iterations", xlim=(0, steps), ylim=(1, 1000))
right.grid(alpha=0.3)
right.legend(loc="center right")


def draw(step):
    """Show the plume and the iterations up to a time step."""
    image.set_data(np.ma.masked_where(~fluid, frames[step]))
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
    shown = np.ma.masked_where(~fluid, frames[step])
    ax.imshow(shown, origin="lower", cmap=colours, vmin=0, vmax=1)
    ax.set(title=f"step {step}", xticks=[], yticks=[])
plt.show()
# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_thumbnail_axes = [2, 3]
