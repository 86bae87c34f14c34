"""
How fast the error falls
========================

Splines of degree p solve a Riesz equation with errors of order ``p + 2 - alpha`` for even p, and ``p + 1 -
alpha`` for odd p, if the solution is smooth. So an even degree is worth as much as the next odd one. If
the right-hand side is smooth, the solution is not, and a spectral method is the better choice. The solver
finds out by itself which case it has.
"""

import matplotlib.pyplot as plt
import numpy as np

from numsolve.fractional import good_n, problems, solve_riesz_bvp

# %%
# A smooth solution, ``(x (1 - x))^3``, whose right-hand side is not smooth at the ends.

alpha = 1.5
f, u = problems.bump(3, alpha)
x = np.linspace(0, 1, 3001)
sizes = np.array([16, 32, 64, 128, 256, 512])

fig, ax = plt.subplots(figsize=(7.5, 5), layout="constrained")
print(" p  expected  measured")
for p in (2, 3, 4, 5):
    errors = []
    for n in sizes:
        r = solve_riesz_bvp(f, alpha, n=n, p=p, method="spline")
        errors.append(abs(r(x) - u(x)).max() / u(0.5))
    expected = p + 2 - alpha if p % 2 == 0 else p + 1 - alpha
    measured = np.log2(errors[2] / errors[4]) / 2
    print(f"{p:2d} {expected:9.2f} {measured:9.2f}")
    ax.loglog(sizes, errors, "o-", label=f"p = {p}, order {expected:.1f}")
ax.set(
    xlabel="spans",
    ylabel="largest error / largest value",
    xticks=sizes,
    xticklabels=sizes,
)
ax.minorticks_off()
ax.grid(visible=True, alpha=0.3)
ax.legend()

# %%
# The opposite case: smooth data, ``f = exp(x) cos(3 x)``. Twenty Jacobi modes reach rounding errors; a
# cubic spline with 4096 spans does not get near them.


def smooth(x):
    """Evaluate the right-hand side."""
    return np.exp(x) * np.cos(3 * x)


exact = solve_riesz_bvp(smooth, alpha, interval=(-1, 1))
print(exact.method, "-", exact.reason)

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
exact.plot(left, color="C3")
left.set_title("the solution: roots at both ends")
y = np.linspace(-1, 1, 3001)
modes = np.arange(4, 25, 2)
for values, style, label in (
    (modes, "o-", "Jacobi modes"),
    (np.array([64, 256, 1024, 4096]), "s-", "cubic splines"),
):
    errors = []
    for n in values:
        c = exact.sol
        if label == "Jacobi modes":  # the first n of them
            c = type(c)(c.coefficients[:n], alpha, c.interval)
        else:
            c = solve_riesz_bvp(
                smooth, alpha, interval=(-1, 1), n=n, p=3, method="spline"
            )
        errors.append(max(abs(c(y) - exact(y)).max(), 1e-16))
    right.loglog(values, errors, style, label=label)
right.set(xlabel="unknowns", ylabel="largest error")
right.grid(visible=True, alpha=0.3)
right.legend()

# %%
# The work. The matrix is full, yet a product costs a few Fourier transforms, and the preconditioner a few
# sine transforms, in all ``O(n log n)``. The number of iterations depends neither on the mesh nor on the
# degree. (`good_n` picks lengths that are fast to transform.)

rng = np.random.default_rng(0)
sizes = [good_n(n, 3) for n in (250, 1000, 4000, 16_000, 64_000)]

fig, ax = plt.subplots(figsize=(7.5, 4), layout="constrained")
for p in (2, 3, 5, 8):
    counts = []
    for n in sizes:
        m = good_n(n, p)
        b = rng.normal(size=m + p - 2)
        counts.append(solve_riesz_bvp(b, alpha, n=m, p=p, rtol=1e-9).nit)
    ax.semilogx(sizes, counts, "o-", label=f"p = {p}")
ax.set(xlabel="spans", ylabel="GMRES iterations to 1e-9", ylim=(0, 14))
ax.grid(visible=True, alpha=0.3)
ax.legend()
plt.show()

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 0
