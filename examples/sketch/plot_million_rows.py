"""
Least squares with a million rows
=================================

The electricity demand of a region, hour by hour for 114 years: a million rows. A smooth seasonal model has 41
columns. A sketch reduces the million rows to a few hundred, and what it loses is repaired by one step with
the whole matrix; the answer comes with its backward error.
"""

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 0
import matplotlib.pyplot as plt
import numpy as np

from numsolve import sketch

rng = np.random.default_rng(0)
n = 1_000_000
hours = np.arange(n)
day, year = hours % 24 / 24, hours % 8766 / 8766

# %%
# The model: harmonics of the day, of the year, and a slow trend. The demand itself is made up: a
# morning and an evening peak, a winter, growth, and noise with some outages.

harmonics = [
    f(2 * np.pi * k * t)
    for t, many in ((day, 10), (year, 8))
    for k in range(1, many + 1)
    for f in (np.cos, np.sin)
]
trend = [(hours / n) ** k for k in range(5)]
A = np.stack([*trend, *harmonics], axis=1)
demand = 30 + 25 * hours / n + 6 * np.cos(2 * np.pi * year)
demand += 8 * np.exp(-(((day - 0.33) / 0.06) ** 2))
demand += 11 * np.exp(-(((day - 0.8) / 0.08) ** 2))
demand += 3 * rng.normal(size=n)

result = sketch.lstsq(A, demand, rng=0)
print(result)

# %%
# The sketch has this many rows, and its own solution, before the repair, is already close. Its error
# falls with the size of the sketch; the certificate of the repaired solution is at rounding errors.

sizes = [60, 200, 800, 3200]
errors = []
for s in sizes:
    S = sketch.make_sketch("sparse-sign", s, n, nnz=4, rng=s)
    rough = np.linalg.lstsq(S @ A, S @ demand)[0]
    fit = A @ (rough - result.x)
    errors.append(np.linalg.norm(fit) / result.residual_norm)

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
start = n // 48 * 24
one = slice(start, start + 24)
left.plot(24 * day[one], demand[one], ".", color="0.6", label="demand")
left.plot(24 * day[one], A[one] @ result.x, color="tab:red", label="model")
left.set(xlabel="hour of a day", ylabel="GW", title="one day of 41 000")
left.legend()
right.loglog(sizes, errors, "o-", label="sketched problem alone")
right.loglog(sizes, np.sqrt(41 / np.array(sizes)), "--", label="(d / s)$^{1/2}$")
right.axhline(result.residual, color="tab:red", label="certificate of lstsq")
right.set(
    xlabel="rows of the sketch",
    ylabel="error of the fit",
    title="what the sketch loses",
)
right.legend()
plt.show()
