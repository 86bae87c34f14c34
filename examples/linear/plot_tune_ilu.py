"""
Seconds as the cost: the drop tolerance of an incomplete factorisation
======================================================================

SciPy's conjugate gradients with an incomplete LU factorisation (ILU) as the preconditioner have a parameter
that trades one cost for another: a small drop tolerance makes a dear factorisation and few iterations, a
large one the reverse. Iterations are the wrong thing to count here. The tuner is told the seconds.
"""

import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, cg, spilu

from numsolve import linear

# %%
# The matrices are those of a heat equation whose diffusion swings between nearly none and much, and each
# comes with eight right-hand sides. For the easy ones a factorisation does not pay at all.

rng = np.random.default_rng(0)
matrices = [A for A, _, _ in linear.problems.heat_equation(60, n_steps=1000)][::4]
systems = [(A, rng.standard_normal((A.shape[0], 8))) for A in matrices]


def solve(A, B, x0, tolerance):  # noqa: ARG001 - x0 is for warm starts, and these systems are unrelated
    """Factorise with this drop tolerance (None: not at all), then iterate for each right-hand side."""
    M = None
    if tolerance is not None:
        keep_symmetric = {"permc_spec": "MMD_AT_PLUS_A", "options": {"SymmetricMode": True}}
        factors = spilu(
            sp.csc_matrix(A), drop_tol=tolerance, fill_factor=20, diag_pivot_thresh=0.0, **keep_symmetric
        )
        M = LinearOperator(A.shape, factors.solve)
    count = []
    solutions = [cg(A, b, rtol=1e-8, M=M, callback=count.append) for b in B.T]
    assert all(info == 0 for _, info in solutions)
    return np.stack([x for x, _ in solutions], axis=1), len(count)


arms = [None, *10.0 ** np.arange(-4, -1.4, 0.5)]
solver = linear.TunedSolver(solve, arms=arms, cost="time", warm_start="zero", rng=0)
for _ in linear.solve_sequence(systems, solver):
    pass
print(solver)

# %%
# What each arm costs on a few of the systems: the minimum is flat, and it moves from "none" to a
# factorisation.

names = ["none", *(f"{arm:.0e}" for arm in arms[1:])]
stiffness = np.array([A.diagonal().max() - 1 for A in matrices])
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
for i in (20, 129, 140, 187):
    seconds = []
    for arm in arms:
        trial = linear.TunedSolver(solve, arms=[arm], cost="time", context=None, warm_start="zero")
        for _ in range(3):
            trial(*systems[i])
        seconds.append(1e3 * min(trial.history.seconds))
    left.plot(seconds, "o-", markersize=4, label=f"{stiffness[i]:.2g}")
left.set_xticks(range(len(arms)), names, rotation=45)
left.set(xlabel="drop tolerance", ylabel="milliseconds", yscale="log", title="what each arm costs")
left.legend(title="stiffness", loc="upper left", bbox_to_anchor=(1.0, 1.0))

right.plot(solver.history.indices, ".", color="C0", markersize=5)
right.set_yticks(range(len(arms)), names)
right.set(xlabel="system", ylabel="drop tolerance picked", title="what the tuner picks (line: stiffness)")
line = right.twinx()
line.plot(stiffness, color="C1", linewidth=1)
line.set_yticks([])
plt.show()

# %%
# `None` is no number, so this arm has a model of its own; the drop tolerances share one. Times are noisy, and
# two arms that differ by a few per cent cannot be told apart, nor need they be.
