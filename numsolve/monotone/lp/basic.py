"""From a solution to a basic one, by the simplex method of HiGHS.

A first-order method ends near a face of solutions, with six digits. Its point says which variables and rows
are likely to lie on a bound: those whose distance to it is less than their multiplier, an indicator of
interior-point methods (A. El-Bakry, R. Tapia, Y. Zhang, "A study of indicators for identifying zero variables
in interior-point methods", SIAM Review 36, 1994). HiGHS (Q. Huangfu, J. Hall, "Parallelizing the
dual revised simplex method", Math. Prog. Comp. 10, 2018) makes a basis of the others and ends at a vertex
with exact multipliers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import extras
from numsolve._core.keyboard import keyboard

if TYPE_CHECKING:
    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array

    from ._program import LinearProgram

#: What HiGHS may miss a bound or a sign by.
EXACT = 1e-9
#: Nearer than this to a bound, in units of it or of one, is on it.
NEAR = 1e-9


def highs() -> Any:
    """The package highspy, or an error that says how to install it."""
    return extras.require("highspy", 'polish="basic"')


def basic(lp: LinearProgram, x: Array, y: Array, limits: Limits) -> tuple[Array, Array, int] | None:
    """A basic solution near a point, its multipliers and the simplex iterations; None if HiGHS has none."""
    from scipy.sparse import csr_array

    h = highs()
    units = lp.units(small=1.0)  # its tolerances and what it takes for zero are absolute
    lp, x, y = lp.divided(units), x / units.bounds, y / units.costs * units.matrix
    A = csr_array(lp.A, dtype=np.float64)
    solver, program, basis = h.Highs(), h.HighsLp(), h.HighsBasis()
    program.num_row_, program.num_col_ = A.shape
    program.col_cost_, program.col_lower_, program.col_upper_ = lp.c, lp.lx, lp.ux
    program.row_lower_, program.row_upper_ = lp.lc, lp.uc
    program.a_matrix_.format_ = h.MatrixFormat.kRowwise
    program.a_matrix_.start_, program.a_matrix_.index_ = A.indptr, A.indices
    program.a_matrix_.value_ = A.data
    for name, value in {
        "output_flag": False,
        "presolve": "off",
        "solver": "simplex",
        "primal_feasibility_tolerance": EXACT,
        "dual_feasibility_tolerance": EXACT,
        "time_limit": min(limits.seconds_left, 1e9),
    }.items():
        solver.setOptionValue(name, value)

    def watch(event: Any) -> None:
        if keyboard.was_pressed or limits.expired:
            event.interrupt()

    solver.cbSimplexInterrupt += watch
    solver.passModel(program)
    states = h.HighsBasisStatus
    basis.valid = basis.alien = True  # alien: HiGHS completes it to a square one, or leaves some out
    basis.col_status = _states(states, x, lp.c - A.T @ y, lp.lx, lp.ux)
    basis.row_status = _states(states, A @ x, y, lp.lc, lp.uc)
    solver.setBasis(basis)
    solver.run()
    if solver.getModelStatus() != h.HighsModelStatus.kOptimal:
        return None
    found = solver.getSolution()
    x = np.clip(np.array(found.col_value, dtype=float), lp.lx, lp.ux)
    y = np.array(found.row_dual, dtype=float) / units.matrix * units.costs
    return x * units.bounds, y, int(solver.getInfo().simplex_iteration_count)


def _states(states: Any, value: Array, multiplier: Array, low: Array, high: Array) -> list[Any]:
    """Which variables lie on a bound; the others are to be basic."""
    down, up = value - low, high - value
    size = abs(multiplier)
    on_low = (down <= np.maximum(size, NEAR * (1.0 + abs(low)))) & (multiplier >= 0) & np.isfinite(low)
    on_high = (up <= np.maximum(size, NEAR * (1.0 + abs(high)))) & (multiplier <= 0) & np.isfinite(high)
    nearer = np.where(on_low & on_high, up < down, on_high)
    names = np.where(on_low | on_high, np.where(nearer, 2, 1), 0)
    return [(states.kBasic, states.kLower, states.kUpper)[k] for k in names]
