"""
A race of linear programming solvers
====================================

Three kinds of solver on the same programs: the simplex and interior-point methods of HiGHS (in SciPy), which
factorise matrices; PDLP (in OR-tools), and numsolve, which only multiply with them. All get 1e-6, no
presolve is switched on for the first-order methods, and times include everything.
"""

import time
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import scipy.optimize
import scipy.sparse as sp

from numsolve import ConvergenceWarning, monotone

with warnings.catch_warnings():  # protobuf's and SWIG's remarks at import
    warnings.simplefilter("ignore")
    try:
        from ortools.pdlp import solvers_pb2
        from ortools.pdlp.python import pdlp
    except ImportError:
        pdlp = None

TOL = 1e-6
# The gallery runs a page in its own folder, without a name.
HERE = Path(__file__).parent if "__file__" in globals() else Path.cwd()
NETLIB = HERE.parents[1] / "tests" / "monotone" / "data" / "netlib.npz"

# %%
# The programs: real ones from the Netlib collection, and two made ones of a kind that hurts factorisations:
# covering elements by sets, each of a few of them, at random.


def netlib(name: str) -> tuple:
    """One program of the collection."""
    with np.load(NETLIB) as file:
        part = {key.partition(".")[2]: file[key] for key in file if key.startswith(f"{name}.")}
    indices, indptr = part["indices"].astype(np.int32), part["indptr"].astype(np.int32)
    A = sp.csr_array((part["data"], indices, indptr), shape=tuple(part["shape"]))
    return part["c"], A, part["lc"], part["uc"], part["lx"], part["ux"]


def covering(n: int, seed: int = 0) -> tuple:
    """Cover n elements by n sets, of ten elements each on average."""
    rng = np.random.default_rng(seed)
    A = sp.csr_array(sp.random_array((n, n), density=10 / n, rng=rng) > 0, dtype=float)
    need = np.minimum(1.0, A.sum(axis=1))
    return rng.uniform(1, 2, n), A, need, np.full(n, np.inf), np.zeros(n), np.full(n, np.inf)


names = ("afiro", "adlittle", "israel", "standmps", "etamacro", "e226", "stair", "scrs8")
programs = {name: netlib(name) for name in names}
programs |= {f"covering {n}": covering(n) for n in (1000, 2000)}

# %%
# The contestants. PDLP's tolerances are those of numsolve: relative and absolute 1e-6 in the 2-norm.


def by_numsolve(c, A, lc, uc, lx, ux):
    """Solve with numsolve."""
    return monotone.solve_lp(c, A, lc, uc, lx, ux, tol=TOL).fun


def by_pdlp(c, A, lc, uc, lx, ux):
    """Solve with OR-tools' PDLP."""
    program, params = pdlp.QuadraticProgram(), solvers_pb2.PrimalDualHybridGradientParams()
    program.objective_vector, program.constraint_matrix = c, sp.csc_matrix(A)
    program.constraint_lower_bounds, program.constraint_upper_bounds = lc, uc
    program.variable_lower_bounds, program.variable_upper_bounds = lx, ux
    criteria = params.termination_criteria.simple_optimality_criteria
    criteria.eps_optimal_absolute = criteria.eps_optimal_relative = TOL
    result = pdlp.primal_dual_hybrid_gradient(program, params)
    return c @ np.array(result.primal_solution)


def by_highs(method):
    """Solve with one of the methods of HiGHS, which wants its rows by kind."""

    def solve(c, A, lc, uc, lx, ux):
        equal = lc == uc
        high, low = np.isfinite(uc) & ~equal, np.isfinite(lc) & ~equal
        rows = {"A_ub": sp.vstack([A[high], -A[low]]), "b_ub": np.concatenate([uc[high], -lc[low]])}
        if equal.any():
            rows |= {"A_eq": A[equal], "b_eq": uc[equal]}
        return scipy.optimize.linprog(c, **rows, bounds=np.stack([lx, ux], axis=1), method=method).fun

    return solve


solvers = {"HiGHS simplex": by_highs("highs-ds"), "HiGHS interior point": by_highs("highs-ipm")}
solvers |= {"numsolve": by_numsolve} | ({"PDLP": by_pdlp} if pdlp is not None else {})

by_numsolve(*programs["afiro"])  # the first call compiles; that is not part of the race
times = {name: [] for name in solvers}
for label, program in programs.items():
    line = f"{label:>14} {program[1].shape[0]:5d} x {program[1].shape[1]:<5d}"
    for name, solve in solvers.items():
        start = time.perf_counter()
        value = solve(*program)
        times[name].append(time.perf_counter() - start)
        line += f"  {name} {times[name][-1]:7.4f} s ({value:.7g})"
    print(line)

# %%
# On the Netlib programs HiGHS wins nearly everywhere, by a factor of up to ten, and its solutions are exact
# to twelve digits instead of six. Among the first-order methods numsolve needs a fraction of PDLP's time.
# The picture turns on the larger covering programs, whose factors fill up while their products stay cheap:
# that, and hardware that multiplies better than it factorises, is what first-order methods are for.

fig, ax = plt.subplots(figsize=(9, 5), layout="constrained")
rows = np.arange(len(programs))
style = {"HiGHS simplex": ("s", "0.6"), "HiGHS interior point": ("D", "0.35")}
style |= {"PDLP": ("o", "C1"), "numsolve": ("o", "C0")}
for name, seconds in times.items():
    marker, colour = style[name]
    ax.plot(seconds, rows, marker, color=colour, label=name, markersize=9)
ax.hlines(
    rows, np.min(list(times.values()), axis=0), np.max(list(times.values()), axis=0), color="0.9", zorder=0
)
ax.set_yticks(rows, programs)
ax.invert_yaxis()
ax.set(xscale="log", xlabel="seconds")
ax.grid(axis="x", alpha=0.3)
ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))

# %%
# A first-order method can be stopped early. A rough solution can then be polished until it is feasible to
# ten digits, for a few more iterations and a larger gap. The picture has the residuals of a longer run.

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    run = monotone.solve_lp(*programs["e226"], tol=1e-7)
rough = monotone.solve_lp(*programs["e226"], tol=1e-4)
polished = monotone.solve_lp(*programs["e226"], tol=1e-4, polish=1e-10)
for name, r in {"rough": rough, "polished": polished}.items():
    print(
        f"{name:>8}: {r.nit} iterations, primal {r.primal_residual:.0e}, dual {r.dual_residual:.0e}, "
        f"gap {r.gap:.0e}, objective {r.fun:.5f}"
    )
ax = run.plot(linewidth=1)
ax.axhline(1e-4, color="0.6", linestyle=":")
ax.set_title("e226: 223 rows, 282 variables")
plt.show()

# sphinx_gallery_thumbnail_number = 1
