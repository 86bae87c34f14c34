"""
Seconds as the cost: the drop tolerance of an incomplete factorisation
======================================================================

SciPy's conjugate gradients with an incomplete LU factorisation (ILU) as the preconditioner have a parameter that trades
one cost for another: a small drop tolerance makes a dear factorisation and few iterations, a large one the reverse.
Iterations are the wrong thing to count. The tuner is told the seconds.
"""

import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, cg, spilu

from numsolve import linear

# %%
# Steps of the heat equation with a diffusion that swings between nearly none and much. For the easy steps a
# crude preconditioner is enough, or none at all.


def solve(A, b, x0, tolerance):
    """Factorise with this drop tolerance (None: not at all), then iterate."""
    M = None
    if tolerance is not None:
        symmetric = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}
        factors = spilu(sp.csc_matrix(A), drop_tol=tolerance, fill_factor=20, **symmetric)
        M = LinearOperator(A.shape, factors.solve)
    count = []
    x, info = cg(A, b, x0, rtol=1e-8, M=M, callback=count.append)
    assert info == 0
    return x, len(count)


arms = [None, *10.0 ** np.arange(-4, -0.9, 0.5)]
solver = linear.TunedSolver(solve, arms=arms, cost="time", rng=0)
contexts = []
steps = linear.problems.heat_equation(60, n_steps=1000)
for _ in linear.solve_sequence((system for t, system in enumerate(steps) if t % 2 == 0), solver):
    pass
print(solver)

# %%
# The time of each arm on some of the steps: it is flat near the minimum, and the minimum moves.

systems = list(linear.problems.heat_equation(60, n_steps=1000))[::2]
sample = [10, 250, 270, 300, 375]
names = ["none", *(f"{arm:.0e}" for arm in arms[1:])]
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
for i in sample:
    A, b, kappa = systems[i]
    seconds = []
    for arm in arms:
        trial = linear.TunedSolver(solve, arms=[arm], cost="time", context=None)
        for _ in range(3):
            trial(A, b, x0=np.zeros_like(b))
        seconds.append(1e3 * min(trial.history.costs))
    left.plot(seconds, "o-", markersize=4, label=f"diffusion {kappa:.2g}")
left.set_xticks(range(len(arms)), names, rotation=45)
left.set(xlabel="drop tolerance", ylabel="milliseconds a solve", yscale="log", title="what each arm costs")
left.legend(fontsize="small")

picked = np.array(solver.history.indices)
kappa = np.array([system[2] for system in systems])
right.plot(picked, ".", color="C0", markersize=4)
right.set_yticks(range(len(arms)), names)
right.set(xlabel="system", ylabel="drop tolerance picked", title="what the tuner picks")
stiff = right.twinx()
stiff.plot(kappa, color="C1", linewidth=1)
stiff.set_ylabel("diffusion (line)", color="C1")
plt.show()

# %%
# Every arm is a choice of its own here, since `None` is no number: the tuner keeps a model of the cost over the
# context for each. Numbers would share one, as in the other examples.
