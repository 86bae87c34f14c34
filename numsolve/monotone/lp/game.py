r"""Matrix games by restarted, reflected Halpern iterations of the primal-dual hybrid gradient method.

    min_x max_y  y'A x     over the simplices of x (n entries) and y (m entries)

is solved in one of two forms. "simplex-pdhg" runs the iteration of the file `pdhg` on the simplices,

    x^ = P(x - tau A'y),     xb = 2 x^ - x,     y^ = P(y + sigma A xb),

with the projection P, on the payoffs less their mean. Payoffs are divided by a power of two next to the
largest. "lp" solves ``min v, A x <= v, sum(x) = 1, x >= 0``, whose rows and columns can be scaled: an
iteration costs more, and badly scaled games take far fewer of them. Which is faster shows only on the way, so
"auto" lets both race.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve.monotone.prox import project_simplex
from numsolve.monotone.result import GameResult

from ._compiled import drive
from ._game_forms import LPForm, Race, SimplexForm

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike, Callback, Matrix

Method = Literal["auto", "lp", "simplex-pdhg"]
FORMS: dict[str, type[LPForm | SimplexForm | Race]] = {
    "lp": LPForm,
    "simplex-pdhg": SimplexForm,
    "auto": Race,
}
#: Iterations between two looks at the residual.
EVERY = 8
MAXITER = 100_000
#: What a look records.
COLUMNS = ("gap", "weight")


@answers(rtol="tol", atol="tol")
def solve_game(
    A: Matrix,
    *,
    tol: float = 1e-6,
    method: Method = "auto",
    x0: tuple[ArrayLike, ArrayLike] | None = None,
    maxiter: int | None = None,
    callback: Callback | None = None,
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
        Largest residual: the 2-norm of what a projected step along the payoffs, divided by what is usually at
        stake, changes in x and y. At stake in a choice is half the difference of its highest and its lowest
        payoff; usual is the median of all rows and columns. So neither a unit, nor a constant added to all
        payoffs, nor a huge one that nobody will choose changes when the method stops.
    method : {"auto", "lp", "simplex-pdhg"}
        The form that is solved: as a scaled linear program, or as it stands. "auto" takes the latter for 512
        iterations, which many games do not need, and then lets both race: in heats of 512 iterations, then
        1024, at most 4096 each, until the residuals of the two differ by more than a factor of four.
    x0 : pair of array, optional
        Strategies (x, y) to start from; uniform ones by default.
    maxiter, callback, progress, time_limit : optional
        As in `solve_lp`, but at most 100 000 iterations by default, and the callback sees (x, y). An
        iteration is a product with A and one with A'.

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

    References
    ----------
    H. Lu, J. Yang, "Restarted Halpern PDHG for linear programming", arXiv 2407.16144, 2024.

    Examples
    --------
    Rock, paper, scissors, where winning with the rock counts twice:

    >>> from numsolve import monotone
    >>> result = monotone.solve_game([[0, -1, 2], [1, 0, -1], [-1, 1, 0]])
    >>> result.x.round(3), abs(round(result.value, 3))
    (array([0.333, 0.417, 0.25 ]), 0.083)
    """
    from . import _cpu_game  # noqa: F401  # first: importing Numba is no part of the time that is limited

    limits = Limits(maxiter, time_limit, callback, progress)
    checks.choice("method", method, get_args(Method))
    tol = checks.real("tol", tol, low=0.0)
    payoffs = checks.csr("A", A) if arrays.is_sparse(A) else _dense(A)
    if 0 in payoffs.shape:
        raise ValueError(f"A is empty (shape {tuple(payoffs.shape)})")
    start = _strategies(payoffs, x0)
    payoffs, offset = _centred(payoffs)
    largest = float(abs(payoffs).max())
    unit = math.ldexp(1.0, math.frexp(largest)[1] - 1) if largest else 1.0
    payoffs = payoffs if unit == 1.0 else payoffs / unit
    stake = _stake(payoffs)
    with Monitor(
        limits,
        atol=tol,
        maxiter=MAXITER,
        label="matrix game",
        columns=COLUMNS,
        step_seconds=1e-9 * _entries(payoffs) + 1e-8 * sum(payoffs.shape),
    ) as it:
        game = FORMS[method](payoffs, stake, start, limits)
        drive(it, game, EVERY, COLUMNS)
    x, y = it.x
    quality = measured(payoffs, stake, x, y)
    return it.result(
        GameResult,
        x=x,
        y=y,
        residual=quality["residual"],
        value=float(y @ (payoffs @ x)) * unit + offset,
        gap=quality["gap"] * unit,
        nrestart=game.nrestart,
        method=game.name,
    )


def measured(A: Matrix, stake: float, x: Array, y: Array) -> dict[str, float]:
    """Residual and gap of two strategies."""
    pay_y, pay_x = A @ x, A.T @ y
    dx = project_simplex(x - pay_x / stake) - x
    dy = project_simplex(y + pay_y / stake) - y
    return {
        "residual": math.hypot(arrays.norm(np, dx), arrays.norm(np, dy)),
        "gap": float(pay_y.max() - pay_x.min()),
    }


def _centred(A: Matrix) -> tuple[Any, float]:
    """The payoffs and the constant that was taken off: their middle, if all are of one sign."""
    low, high = float(A.min()), float(A.max())
    if low <= 0.0 <= high:
        return A, 0.0
    middle = low + (high - low) / 2
    return (A.toarray() if arrays.is_sparse(A) else A) - middle, middle


def _stake(A: Matrix) -> float:
    """Half the difference of the payoffs of a choice: the median of the rows and columns that have one."""
    spreads = np.concatenate([_flat(A.max(axis=axis)) - _flat(A.min(axis=axis)) for axis in (0, 1)])
    spreads = spreads[spreads > 0]
    return float(np.quantile(spreads, 0.5, method="lower")) / 2 if spreads.size else 1.0


def _dense(A: ArrayLike) -> Any:
    xp = arrays.array_namespace(A=A)
    if not arrays.is_numpy(xp):
        raise TypeError(f"A is a {arrays.namespace_name(xp)} array; a NumPy or SciPy matrix is wanted")
    return checks.array("A", A, dtype=np.float64, ndim=2)


def _flat(v: Matrix) -> Any:
    """The maxima of a matrix's rows or columns as a vector."""
    return v.toarray().ravel() if arrays.is_sparse(v) else v


def _entries(A: Matrix) -> int:
    return int(A.nnz if arrays.is_sparse(A) else A.size)


def _strategies(A: Matrix, x0: Any) -> tuple[Array, Array]:
    """The start, on the simplices."""
    m, n = A.shape
    if x0 is None:
        return np.full(n, 1.0 / n), np.full(m, 1.0 / m)
    if not (isinstance(x0, tuple | list) and len(x0) == 2):
        raise ValueError("x0 must be a pair (x, y) of strategies")
    x = checks.array("x0[0]", x0[0], dtype=np.float64, shape=(n,))
    y = checks.array("x0[1]", x0[1], dtype=np.float64, shape=(m,))
    return project_simplex(x), project_simplex(y)
