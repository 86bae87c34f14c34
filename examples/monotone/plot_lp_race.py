"""
A race of linear programming solvers
====================================

Three kinds of solver on the same programs. The simplex and interior-point methods of HiGHS (in SciPy)
factorise matrices; PDLP (in OR-tools) and numsolve only multiply with them. All solve to 1e-6, the
first-order methods without presolve, and the times include everything.
"""

import json
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
ROOT = HERE.parents[1]
NETLIB = ROOT / "tests" / "monotone" / "data" / "netlib.npz"

# %%
# The programs: three real ones from the Netlib collection, and an artificial one of a kind that is hard for
# factorisations: covering elements by random sets of a few elements each.


def netlib(name: str) -> tuple:
    """One program of the collection."""
    with np.load(NETLIB) as file:
        part = {
            key.partition(".")[2]: file[key]
            for key in file
            if key.startswith(f"{name}.")
        }
    indices, indptr = part["indices"].astype(np.int32), part["indptr"].astype(np.int32)
    A = sp.csr_array((part["data"], indices, indptr), shape=tuple(part["shape"]))
    return part["c"], A, part["lc"], part["uc"], part["lx"], part["ux"]


def covering(n: int, seed: int = 0) -> tuple:
    """Cover n elements by n sets, of ten elements each on average."""
    rng = np.random.default_rng(seed)
    A = sp.csr_array(sp.random_array((n, n), density=10 / n, rng=rng) > 0, dtype=float)
    need = np.minimum(1.0, A.sum(axis=1))
    none = np.full(n, np.inf)
    return rng.uniform(1, 2, n), A, need, none, np.zeros(n), none


programs = {name: netlib(name) for name in ("adlittle", "israel", "e226")}
programs["covering"] = covering(1000)

# %%
# The contestants. PDLP's tolerances are those of numsolve: relative and absolute 1e-6 in the 2-norm.


def by_numsolve(c, A, lc, uc, lx, ux):
    """Solve with numsolve."""
    return monotone.solve_lp(c, A, lc, uc, lx, ux, tol=TOL).fun


def by_pdlp(c, A, lc, uc, lx, ux):
    """Solve with OR-tools' PDLP."""
    program = pdlp.QuadraticProgram()
    params = solvers_pb2.PrimalDualHybridGradientParams()
    program.objective_vector, program.constraint_matrix = c, sp.csc_matrix(A)
    program.constraint_lower_bounds, program.constraint_upper_bounds = lc, uc
    program.variable_lower_bounds, program.variable_upper_bounds = lx, ux
    criteria = params.termination_criteria.simple_optimality_criteria
    criteria.eps_optimal_absolute = criteria.eps_optimal_relative = TOL
    result = pdlp.primal_dual_hybrid_gradient(program, params)
    return c @ np.array(result.primal_solution)


def by_highs(method):
    """Solve with HiGHS, which takes equations and inequalities apart."""

    def solve(c, A, lc, uc, lx, ux):
        equal = lc == uc
        high, low = np.isfinite(uc) & ~equal, np.isfinite(lc) & ~equal
        rows = {
            "A_ub": sp.vstack([A[high], -A[low]]),
            "b_ub": np.concatenate([uc[high], -lc[low]]),
        }
        if equal.any():
            rows |= {"A_eq": A[equal], "b_eq": uc[equal]}
        return scipy.optimize.linprog(
            c, **rows, bounds=np.stack([lx, ux], axis=1), method=method
        ).fun

    return solve


solvers = {
    "HiGHS simplex": by_highs("highs-ds"),
    "HiGHS interior point": by_highs("highs-ipm"),
}
solvers |= {"numsolve": by_numsolve} | ({"PDLP": by_pdlp} if pdlp is not None else {})

for label, program in programs.items():
    print(f"{label}, {program[1].shape[0]} x {program[1].shape[1]}")
    for name, solve in solvers.items():
        print(f"    {name:20} {solve(*program):.10g}")

# %%
# The race itself is run by ``benchmarks/peers/monotone.py``, on one core of an AMD EPYC, with the first calls
# left out. HiGHS wins on most of the Netlib programs, by a factor of up to 17, and its solutions are exact to
# twelve digits instead of six. Of the two first-order methods numsolve is the faster one on all but two. The
# picture changes with the larger covering programs, whose factors fill up while products stay cheap.
# First-order methods are for such programs, and for hardware that multiplies better than it factorises.

races = json.loads((ROOT / "docs" / "benchmarks" / "monotone.json").read_text())["rows"]
times: dict[str, dict[str, float]] = {}
for race in races:
    if race["metric"] == "time to 1e-6" and "geometric" not in race["case"]:
        peer = next(name for name in solvers if race["peer"].endswith(name))
        times.setdefault(race["case"], {})[peer] = race["peer_value"]
        times[race["case"]]["numsolve"] = race["numsolve_value"]

fig, ax = plt.subplots(figsize=(9, 6), layout="constrained")
style = {"HiGHS simplex": ("s", "0.6"), "HiGHS interior point": ("D", "0.35")}
style |= {"PDLP": ("o", "C1"), "numsolve": ("o", "C0")}
for name, (marker, colour) in style.items():
    seconds = [case.get(name, np.nan) for case in times.values()]
    ax.plot(seconds, range(len(times)), marker, color=colour, label=name, markersize=9)
for row, case in enumerate(times.values()):
    ax.hlines(row, min(case.values()), max(case.values()), color="0.9", zorder=0)
ax.set_yticks(range(len(times)), times)
ax.invert_yaxis()
ax.set(xscale="log", xlabel="seconds")
ax.grid(axis="x", alpha=0.3)
ax.legend(loc="lower left")

# %%
# A first-order method can be stopped early. A rough solution can then be polished until it is feasible to
# ten digits, at the price of a few more iterations and a larger gap. The picture shows the residuals of a
# longer run.

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    run = monotone.solve_lp(*programs["e226"], tol=1e-7)
rough = monotone.solve_lp(*programs["e226"], tol=1e-4)
polished = monotone.solve_lp(*programs["e226"], tol=1e-4, polish=1e-10)
for name, r in {"rough": rough, "polished": polished}.items():
    residuals = f"primal {r.primal_residual:.0e}, dual {r.dual_residual:.0e}"
    print(f"{name:>8}: {r.nit} iterations, {residuals}, gap {r.gap:.0e}, {r.fun:.5f}")
ax = run.plot(linewidth=1)
ax.axhline(1e-4, color="0.6", linestyle=":")
ax.set_title("e226: 223 rows, 282 variables")
plt.show()

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_thumbnail_axes = 0
