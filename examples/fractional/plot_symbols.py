"""
What a high degree does to the spectrum
=======================================

On a uniform mesh the collocation matrix is a Toeplitz matrix except for its outer rows and columns. It
multiplies a wave of frequency theta by a function of theta, the symbol, which is known in closed form. Mazza,
Donatelli, Manni and Speleers derive the conditioning from it; this page draws their plots for the degrees 2
to 10.
"""

import matplotlib.pyplot as plt
import numpy as np

from numsolve.fractional import RieszSplineOperator, analyze_symbol, riesz_symbol

degrees = range(2, 11)
colours = plt.colormaps["viridis"](np.linspace(0, 0.9, len(degrees)))
theta = np.linspace(0, np.pi, 500)

# %%
# The symbols, each divided by its maximum. All have one zero, at theta = 0, of order alpha: this is why the
# condition number grows like ``n**alpha``. With the degree a second weak spot appears at the highest
# frequency.

fig, axes = plt.subplots(1, 3, figsize=(12, 4), sharey=True, layout="constrained")
for ax, alpha in zip(axes, (1.2, 1.5, 1.8), strict=True):
    for p, colour in zip(degrees, colours, strict=True):
        f = riesz_symbol(theta, p, alpha)
        ax.plot(theta, f / f.max(), color=colour, label=f"p = {p}")
    ax.set(title=f"alpha = {alpha}", xlabel="theta", xticks=[0, np.pi / 2, np.pi])
    ax.set_xticklabels(["0", "π/2", "π"])
    ax.grid(visible=True, alpha=0.3)
axes[0].set_ylabel("symbol / maximum")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")

# %%
# Both weak spots in numbers. Left: near zero the symbol is ``|theta|**alpha``, whatever the degree. Right:
# its value at the highest frequency falls like ``(2 / pi)**p``, and starts to do so earlier for a small
# alpha.

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
small = np.geomspace(1e-2, np.pi, 200)
for p, colour in zip(degrees, colours, strict=True):
    left.loglog(small, riesz_symbol(small, p, 1.5), color=colour)
left.loglog(small, small**1.5, "k--", linewidth=1, label="theta^1.5")
left.set(xlabel="theta", ylabel="symbol, alpha = 1.5")
left.legend()
for alpha in (1.2, 1.5, 1.8):
    ratios = [analyze_symbol(p, alpha).high_ratio for p in degrees]
    right.semilogy(degrees, ratios, "o-", label=f"alpha = {alpha}")
right.set(xlabel="degree p", ylabel="value at π / maximum")
right.legend()
for ax in (left, right):
    ax.grid(visible=True, alpha=0.3)

# %%
# The eigenvalues of the matrix, n = 128, beside samples of the symbol, both in ascending order. They agree
# except for a few outliers from the outer rows and columns, which grow with the degree. The preconditioner
# keeps those rows and columns exactly: GMRES needs no more steps for p = 10 than for p = 2.

fig, axes = plt.subplots(1, 4, figsize=(12, 3.6), layout="constrained")
for ax, p in zip(axes, (2, 4, 7, 10), strict=True):
    A = RieszSplineOperator(128, p, 1.8)
    unit = A.step**1.8
    eigenvalues = np.sort(A.eigenvalues().real) * unit
    samples = np.sort(A.symbol_samples()[1]) * unit
    ax.plot(eigenvalues, ".", markersize=4, label="eigenvalues")
    ax.plot(samples, linewidth=1, label="symbol")
    ax.set(title=f"p = {p}", xlabel="index", yscale="log", ylim=(1e-3, 60))
    ax.grid(visible=True, alpha=0.3)
axes[0].set_ylabel("times the step^alpha")
axes[0].legend(loc="lower right")

# %%
# The condition number: the zero of the symbol determines its growth with n, the degree determines the factor.

sizes = np.array([32, 64, 128, 256])
fig, axes = plt.subplots(1, 2, figsize=(11, 4), sharey=True, layout="constrained")
for ax, alpha in zip(axes, (1.2, 1.8), strict=True):
    for p in (2, 3, 5, 8, 10):
        cond = [RieszSplineOperator(n, p, alpha).condition_number() for n in sizes]
        ax.loglog(sizes, cond, "o-", color=colours[p - 2], label=f"p = {p}")
    ax.loglog(sizes, 3.0 * sizes**alpha, "k--", linewidth=1, label=f"3 n^{alpha}")
    ax.set(title=f"alpha = {alpha}", xlabel="n", xticks=sizes, xticklabels=sizes)
    ax.minorticks_off()
    ax.grid(visible=True, alpha=0.3)
    ax.legend(fontsize="small")
axes[0].set_ylabel("condition number")
plt.show()

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 0
