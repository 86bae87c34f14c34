"""
Seconds as the cost: the drop tolerance of an incomplete factorisation
======================================================================

Take SciPy's conjugate gradients with an incomplete LU factorisation (ILU) as the preconditioner. Its drop
tolerance trades one cost for another: a small one gives an expensive factorisation and few iterations, a
large one the opposite. Iterations are the wrong thing to count here, so the tuner is told the seconds.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, cg, spilu

from numsolve import linear

# %%
# The matrices come from a heat equation whose diffusion oscillates between almost none and a lot, and each
# has eight right-hand sides. For the easy ones a factorisation does not pay at all.

rng = np.random.default_rng(0)
matrices = [A for A, _, _ in linear.problems.heat_equation(60, n_steps=1000)][::4]
systems = [(A, rng.standard_normal((A.shape[0], 8))) for A in matrices]


SETTINGS = {"fill_factor": 20, "diag_pivot_thresh": 0.0}
SETTINGS |= {"permc_spec": "MMD_AT_PLUS_A", "options": {"SymmetricMode": True}}


def solve(A, B, x0, tolerance):  # noqa: ARG001 - there is no warm start
    """Factorise (unless the tolerance is None), then solve for each column of B."""
    M = None
    if tolerance is not None:
        factors = spilu(sp.csc_matrix(A), drop_tol=tolerance, **SETTINGS)
        M = LinearOperator(A.shape, factors.solve)
    count = []
    solutions = [cg(A, b, rtol=1e-8, M=M, callback=count.append) for b in B.T]
    assert all(info == 0 for _, info in solutions)
    return np.stack([x for x, _ in solutions], axis=1), len(count)


arms = [None, *10.0 ** np.arange(-4, -1.4, 0.5)]
solver = linear.TunedSolver(solve, arms=arms, cost="time", warm_start="zero", rng=0)
for _ in linear.solve_sequence(systems[:20], solver):
    pass
print(solver)

# %%
# That is all it takes. Seconds differ from run to run, so the pictures below come from a table of times that
# was recorded once: every arm on every system, the least processor time of three solves. A tuner can be fed
# from such a table without any solver, by `suggest` and `observe`.

# The gallery runs a page in its own folder, without a name.
HERE = Path(__file__).parent if "__file__" in globals() else Path.cwd()
record = HERE.parents[1] / "docs" / "benchmarks" / "gallery" / "tune_ilu.json"
milliseconds = np.array(json.loads(record.read_text())["milliseconds"])
stiffness = np.array([A.diagonal().max() - 1 for A in matrices])

tuner = linear.SmoothCB(arms, rng=0)
picked, paid = [], 0.0
for row, context in zip(milliseconds, stiffness, strict=True):
    picked.append(arms.index(tuner.suggest(context)))
    tuner.observe(row[picked[-1]])
    paid += row[picked[-1]]
best, fixed = milliseconds.min(axis=1).sum(), milliseconds.sum(axis=0).min()
print(f"tuned: {paid / best:.2f} times the least possible time")
print(f"best fixed arm: {fixed / best:.2f} times")

# %%
# Left: what each arm costs on a few of the systems. The minimum is flat, and it moves from "none" to a
# factorisation. Right: what the tuner picks.

names = ["none", *(f"{arm:.0e}" for arm in arms[1:])]
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
for i in (20, 129, 140, 187):
    left.plot(
        milliseconds[i], "o-", markersize=4, label=f"stiffness {stiffness[i]:.2g}"
    )
left.set_xticks(range(len(arms)), names, rotation=45)
left.set(xlabel="drop tolerance", ylabel="milliseconds", yscale="log", ylim=(1.5, 80))
left.legend(loc="lower right", ncols=2)

right.plot(picked, ".", color="C0", markersize=5, label="arm picked")
right.set_yticks(range(len(arms)), names)
right.set(xlabel="system", ylabel="drop tolerance")
line = right.twinx()
line.plot(stiffness, color="C1", linewidth=1)
line.set_yticks([])
line.set_ylabel("stiffness", color="C1")
plt.show()

# %%
# `None` is not a number, so this arm has a model of its own; the drop tolerances share one. Times are noisy:
# two arms that differ by a few per cent cannot be told apart, and need not be.

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_thumbnail_axes = 0
