"""What the solvers of this column return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numsolve._core.result import Result, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numsolve._core.typing import Array


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LinearResult(Result):
    """The solution of a linear system, and what it took.

    It unpacks as SciPy's: ``x, info = linear.cg(A, b)``.

    Attributes
    ----------
    x : array of shape (n,), (n, 1) or (n, k)
        The solution, or the best iterate; its shape is that of the right-hand side.
    residual : float or array of shape (k,)
        ``||b - A x||``, computed from `x` at the end.
    rhs_norm : float or array of shape (k,)
        ``||b||``.
    omega : float
        The relaxation parameter at the end; nan for a method without one.
    setup_time, solve_time : float
        Seconds before the first iteration, and from there to the end.
    method, reason : str
        From ``TunedSolver("auto")``: how the system was solved, and why so.
    """

    x: Array
    rhs_norm: Any = float("nan")  # a float, or an array of them
    omega: float = float("nan")
    setup_time: float = float("nan")
    solve_time: float = float("nan")
    method: str = ""
    reason: str = ""

    @property
    def info(self) -> int:
        """SciPy's code: 0 for success, -1 for a breakdown, otherwise the iterations done (at least 1)."""
        import numpy as np

        if np.all(self.success):
            return 0
        broken = np.isin(self.status, [Status.BREAKDOWN.value, Status.NONFINITE.value])
        return -1 if np.any(broken) else max(int(np.max(self.nit)), 1)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.x, self.info))
