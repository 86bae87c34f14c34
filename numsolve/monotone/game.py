r"""Matrix games by restarted, reflected Halpern iterations of the primal-dual hybrid gradient method.

    min_x max_y  y'A x     over the simplices of x (n entries) and y (m entries)

is solved in one of two forms. "simplex-pdhg" runs the iteration of `numsolve.monotone.pdhg` on the simplices,

    x^ = P(x - tau A'y),     xb = 2 x^ - x,     y^ = P(y + sigma A xb),

with the projection P, on the payoffs less their mean. "lp" solves ``min v, A x <= v, sum(x) = 1, x >= 0``,
whose rows and columns can be scaled: iterations are dearer, and on badly scaled games far fewer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.monitor import Monitor

from ._compiled import SAFETY, Compiled, Run, by_rows
from ._lp import LinearProgram
from ._scaling import spectral_norm
from ._tuples import Player
from .prox import project_simplex
from .result import GameResult

if TYPE_CHECKING:
    from collections.abc import Callable

METHODS = ("auto", "lp", "simplex-pdhg")
#: Rows or columns whose largest payoffs differ by more than this factor make a game badly scaled.
SPREAD = 10.0
EVERY = 8
MAXITER = 100_000


def solve_game(
    A: Any,
    *,
    tol: float = 1e-6,
    method: str = "auto",
    x0: tuple[Any, Any] | None = None,
    maxiter: int | None = None,
    callback: Callable[..., Any] | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> GameResult:
    """Find optimal mixed strategies of a matrix game: ``min_x max_y y'A x`` on simplices.

    The player of x chooses a column and pays ``A[i, j]`` to the player of y, who chooses a row.

    Parameters
    ----------
    A : array or sparse matrix of shape (m, n)
        The payoffs.
    tol : float
        Largest residual: the 2-norm of what a projected step along the payoffs, divided by the largest
        absolute one, changes in x and y. It does not depend on the unit of the payoffs.
    method : {"auto", "lp", "simplex-pdhg"}
        The form that is solved: as a scaled linear program, or as it stands. "auto" takes the linear
        program if the largest payoffs of two rows, or of two columns, differ by more than a factor of ten.
    x0 : pair of array, optional
        Strategies (x, y) to start from; uniform ones by default.
    maxiter : int, optional
        Largest number of iterations, 100 000 by default; each is a product with A and one with A'.
    callback : callable, optional
        Called after each iteration with (x, y), or with an ``intermediate_result``; returning True stops.
    progress : bool
        Show a progress bar.
    time_limit : float, optional
        Seconds.

    Returns
    -------
    GameResult
        With the strategies `x` and `y`, the `value`, the `gap` that encloses it, and `method`.

    Raises
    ------
    ValueError
        If an argument has the wrong shape or range, or A is empty.
    TypeError
        If A is complex, or not an array or matrix of NumPy or SciPy.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached; the result is the best iterate.

    Examples
    --------
    Rock, paper, scissors, where winning with the rock counts twice:

    >>> from numsolve import monotone
    >>> result = monotone.solve_game([[0, -1, 2], [1, 0, -1], [-1, 1, 0]])
    >>> result.x.round(3), abs(round(result.value, 3))
    (array([0.333, 0.417, 0.25 ]), 0.083)
    """
    checks.choice("method", method, METHODS)
    tol = checks.real("tol", tol, low=0.0)
    A = checks.csr("A", A) if arrays.is_sparse(A) else _dense(A)
    if 0 in A.shape:
        raise ValueError(f"A is empty (shape {tuple(A.shape)})")
    sizes = abs(A)
    row_max, column_max = (_flat(sizes.max(axis=axis)) for axis in (1, 0))
    unit = float(row_max.max()) or 1.0
    if method == "auto":
        spread = SPREAD * min(row_max.min(), column_max.min())
        method = "lp" if spread < unit else "simplex-pdhg"
    game = (LPForm if method == "lp" else SimplexForm)(A, unit, _strategies(A, x0))
    with Monitor(
        atol=tol,
        maxiter=MAXITER if maxiter is None else maxiter,
        time_limit=time_limit,
        callback=callback,
        progress=progress,
        label="matrix game",
        columns=("gap", "weight"),
        step_seconds=1e-9 * _entries(A) + 1e-8 * sum(A.shape),
    ) as it:
        table = game.measure()
        it.record(table[0, 0], game.point, gap=table[0, 1], weight=table[0, 2])
        while it.running:
            steps, stop_at = it.chunk()
            table, done, code = game.advance(steps, 1 if callback else EVERY, stop_at)
            it.extend(table[:, 0], code, game.point, steps=done, gap=table[:, 1], weight=table[:, 2])
    x, y = it.x
    pay_y, pay_x = A @ x, A.T @ y
    return it.result(
        GameResult,
        x=x,
        y=y,
        value=float(y @ pay_y),
        gap=float(pay_y.max() - pay_x.min()),
        nrestart=game.nrestart,
        method=method,
    )


class SimplexForm:
    """The game on its simplices, by the kernels of `_cpu_game`."""

    def __init__(self, A: Any, unit: float, point: tuple[Any, Any]) -> None:
        from . import _cpu_game

        self.kernels: Any = _cpu_game
        k = self.kernels
        self.A, self.At = by_rows(A), by_rows(A.T)
        # A constant off all payoffs changes no strategy, and the mean is what lowers their norm the most.
        shift = float(A.mean())
        x, y = point
        self.x, self.y = self._player(x, A.T @ y - shift), self._player(y, A @ x - shift)
        start = np.random.default_rng(0).standard_normal(A.shape[1])
        size = spectral_norm(
            np, lambda v: A @ v - shift * v.sum(), lambda v: A.T @ v - shift * v.sum(), start
        )
        self.numbers = np.zeros(6)
        self.numbers[k.STEP] = SAFETY / size if size > 0 else 1.0
        self.numbers[k.WEIGHT] = 1.0
        self.numbers[k.UNIT], self.numbers[k.SHIFT] = unit, shift
        self.counts = np.zeros(3, dtype=np.int64)

    def _player(self, z: Any, pay: Any) -> Any:
        return Player(*(z.copy() for _ in range(4)), *(pay.copy() for _ in range(4)))

    @property
    def point(self) -> tuple[Any, Any]:
        """The PDHG point."""
        return self.x.zh, self.y.zh

    @property
    def nrestart(self) -> int:
        """Restarts so far."""
        return int(self.counts[self.kernels.RESTARTS])

    def measure(self) -> Any:
        """Residual, gap and weight of the point."""
        out = np.empty((1, 3))
        self.kernels.measure(self.x, self.y, self.numbers, out[0])
        return out

    def advance(self, steps: int, every: int, stop_at: float) -> tuple[Any, int, int]:
        """Iterate; returns a table with a row for each look, the iterations done, and why it stopped."""
        steps = max(steps - steps % every, min(steps, every))
        table = np.empty((steps // every + 2, 3))
        looks, done, code = self.kernels.advance(
            *(self.A, self.At, self.x, self.y, self.numbers, self.counts),
            *(steps, every, stop_at, table),
        )
        return table[:looks], done, code


class LPForm:
    """The game as ``min v, A x <= v, sum(x) = 1, x >= 0``, whose multipliers are -y and v."""

    def __init__(self, A: Any, unit: float, point: tuple[Any, Any]) -> None:
        m, n = A.shape
        self.game, self.unit, inf = A, unit, float("inf")
        if arrays.is_sparse(A):
            from scipy.sparse import block_array, csr_array

            ones = csr_array(np.ones((1, n)))
            rows = block_array([[A, csr_array(-np.ones((m, 1)))], [ones, None]], format="csr")
        else:
            rows = np.block([[A, -np.ones((m, 1))], [np.ones((1, n)), np.zeros((1, 1))]])
        program = LinearProgram(
            np,
            np.append(np.zeros(n), 1.0),
            rows,
            np.append(np.full(m, -inf), 1.0),
            np.append(np.zeros(m), 1.0),
            np.append(np.zeros(n), -inf),
            np.full(n + 1, inf),
        )
        x, y = point
        self.solver = Compiled(program, geometric=0)
        start = np.append(x, np.max(A @ x)), np.append(-y, np.min(A.T @ y))
        self.run = Run(self.solver, self.solver.start(*start))

    @property
    def point(self) -> tuple[Any, Any]:
        """The strategies of the PDHG point, which satisfies the sums only in the limit."""
        x, y = self.solver.unscaled(self.run.point)
        return project_simplex(x[:-1]), project_simplex(-y[:-1])

    @property
    def nrestart(self) -> int:
        """Restarts so far."""
        return self.run.nrestart

    def measure(self) -> Any:
        """Residual, gap and weight of the point."""
        x, y = self.point
        pay_y, pay_x = self.game @ x, self.game.T @ y
        dx = project_simplex(x - pay_x / self.unit) - x
        dy = project_simplex(y + pay_y / self.unit) - y
        residual = float(np.sqrt(dx @ dx + dy @ dy))
        return np.array([[residual, pay_y.max() - pay_x.min(), self.run.weight]])

    def advance(self, steps: int, every: int, stop_at: float) -> tuple[Any, int, int]:  # noqa: ARG002
        """Iterate up to the next look; the monitor compares."""
        _, done, code = self.run.advance(min(steps, every), every, -1.0)
        return self.measure(), done, code


def _dense(A: Any) -> Any:
    xp = arrays.array_namespace(A=A)
    if not arrays.is_numpy(xp):
        raise TypeError(f"A is a {arrays.namespace_name(xp)} array; a NumPy or SciPy matrix is wanted")
    return checks.array("A", A, dtype=np.float64, ndim=2)


def _flat(v: Any) -> Any:
    """The maxima of a matrix's rows or columns as a vector."""
    return v.toarray().ravel() if arrays.is_sparse(v) else v


def _entries(A: Any) -> int:
    return int(A.nnz if arrays.is_sparse(A) else A.size)


def _strategies(A: Any, x0: Any) -> tuple[Any, Any]:
    """The start, on the simplices."""
    m, n = A.shape
    if x0 is None:
        return np.full(n, 1.0 / n), np.full(m, 1.0 / m)
    if not (isinstance(x0, tuple | list) and len(x0) == 2):
        raise ValueError("x0 must be a pair (x, y) of strategies")
    x = checks.array("x0[0]", x0[0], dtype=np.float64, shape=(n,))
    y = checks.array("x0[1]", x0[1], dtype=np.float64, shape=(m,))
    return project_simplex(x), project_simplex(y)
