"""The solvers of this package that `TunedSolver` knows by their names."""

from __future__ import annotations

import inspect
from time import perf_counter
from typing import TYPE_CHECKING, Any

from numsolve._core import checks
from numsolve._core.limits import Limits
from numsolve.linear._system import FOREIGN, STOPS, System
from numsolve.linear.sor import sor
from numsolve.linear.ssor import ssor
from numsolve.linear.ssor_cg import compiled, ssor_cg

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import ArrayLike, Matrix
    from numsolve.linear.result import LinearResult

SOLVERS: dict[str, Callable[..., Any]] = {"sor": sor, "ssor": ssor, "ssor_cg": ssor_cg}
#: Settings with which SSOR-CG is the compiled iteration.
USUAL = frozenset({"rtol", "atol", "stop", "maxiter", "callback", "progress", "time_limit", "check_finite"})


def solve_canonical(
    A: Matrix,
    b: ArrayLike,
    start: ArrayLike | None,
    omega: float,
    *,
    stop: str,
    rtol: float = 1e-5,
    atol: float = 0.0,
    check_finite: bool = True,
    **run: Any,
) -> LinearResult:
    """As `ssor_cg`, with what has been looked at."""
    limits = Limits(**run)
    checks.choice("stop", stop, STOPS)
    check_finite = checks.flag("check_finite", check_finite)
    system = System.of(A, b, start, perf_counter(), check_finite=check_finite)
    loop: dict[str, Any] = {"stop": stop, "label": "SSOR-CG", "rtol": rtol, "atol": atol}
    return compiled(system, limits, omega, {"check_finite": check_finite}, **loop)


def refuse_unknown(solver: str, settings: dict[str, object]) -> None:
    """Name a setting that the solver would not take, before the first system."""
    known = set(inspect.signature(sor if solver in {"sor", "ssor"} else ssor_cg).parameters)
    known -= {"A", "b", "x0", "omega", *(("sweep",) if solver == "ssor" else ())}
    if solver == "auto":
        known -= {"stop", "method", "order", "plan", "check"}
    for name in settings:
        if name == "omega":
            raise TypeError("omega is what the tuner chooses; arms=[...] says from which values")
        if name not in known:
            word = FOREIGN.get(name, "")
            hint = f": {word}" if " " in word else f": it is called {word!r} here" if word else ""
            raise TypeError(f"TunedSolver hands its settings to {solver}, which has no {name!r}{hint}")
