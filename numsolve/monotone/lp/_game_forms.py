"""The two forms in which `numsolve.monotone.lp.game` solves a matrix game, and the race between them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import arrays
from numsolve._core.codes import CONVERGED, RUNNING, STAGNATED
from numsolve.monotone._compiled import by_rows, in_rows
from numsolve.monotone._norms import spectral_norm
from numsolve.monotone._tuples import record

from ._compiled import SAFETY, Compiled, Run
from ._program import LinearProgram
from ._tuples import GAME_RUN, Player

if TYPE_CHECKING:
    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array, Kernels, Matrix

#: Iterations of each form in the first heat of a race, a multiple of those between two looks; twice as many
#: in the second, and so on.
HEAT = 512
#: A heat decides if the residuals differ by more than this factor, and the last one in any case.
AHEAD, LAST_HEAT = 4.0, 4096


class SimplexForm:
    """The game on its simplices, by the kernels of `_cpu_game`."""

    name = "simplex-pdhg"

    def __init__(self, A: Matrix, stake: float, start: tuple[Array, Array], limits: Limits) -> None:
        from . import _cpu_game

        self.kernels: Kernels = _cpu_game
        self.stake = stake
        self.A, self.At = by_rows(in_rows(A)), by_rows(in_rows(A.T))
        # A constant off all payoffs changes no strategy, and the mean is what lowers their norm the most.
        shift = float(A.mean())
        x, y = start
        self.x, self.y = _player(x, A.T @ y - shift), _player(y, A @ x - shift)
        v = np.random.default_rng(0).standard_normal(A.shape[1])
        size = spectral_norm(
            np, lambda v: A @ v - shift * v.sum(), lambda v: A.T @ v - shift * v.sum(), v, limits
        )
        self.numbers = record(GAME_RUN, step=SAFETY / size if size > 0 else 1.0, weight=1.0, shift=shift)

    @property
    def point(self) -> tuple[Array, Array]:
        """The PDHG point."""
        return self.x.zh, self.y.zh

    @property
    def nrestart(self) -> int:
        """Restarts so far."""
        return int(self.numbers.restarts)

    def advance(self, steps: int, every: int, stop_at: float) -> tuple[Array, int, int]:
        """Iterate; returns a table with a row for each look, the iterations done, and why it stopped."""
        table = np.empty((-(-steps // every) + 1, 3))
        looks, done, code = self.kernels.advance(
            *(self.A, self.At, self.x, self.y, self.numbers, self.stake),
            *(steps, every, stop_at, table),
        )
        return table[:looks], done, code


class LPForm:
    """The game as ``min v, A x <= v, sum(x) = 1, x >= 0``, whose multipliers are -y and v."""

    name = "lp"

    def __init__(self, A: Matrix, stake: float, start: tuple[Array, Array], limits: Limits) -> None:
        m, n = A.shape
        from . import _cpu_game

        self.kernels: Kernels = _cpu_game
        self.stake, inf = stake, float("inf")
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
        x, y = start
        solver = Compiled(program, limits, geometric=0)
        pay_y, pay_x = A @ x, A.T @ y
        self.run = Run(solver, solver.start(np.append(x, np.max(pay_y)), np.append(-y, np.min(pay_x))))
        self.x, self.y = _player(x, pay_x), _player(y, pay_y)

    @property
    def point(self) -> tuple[Array, Array]:
        """The strategies of the PDHG point, which satisfies the sums only in the limit."""
        return self.x.zh, self.y.zh

    @property
    def nrestart(self) -> int:
        """Restarts so far."""
        return self.run.nrestart

    def advance(self, steps: int, every: int, stop_at: float) -> tuple[Array, int, int]:
        """Iterate, as `SimplexForm.advance`; the looks are at the residual of the game."""
        table = np.empty((-(-steps // every) + 1, 3))
        solver, run = self.run.solver, self.run
        looks, done, code = self.kernels.advance_program(
            *(solver.A, solver.At, run.col, run.row, run.numbers, self.x, self.y),
            *(self.stake, steps, every, stop_at, table),
        )
        return table[:looks], done, code


class Race:
    """Both forms by turns, in heats, until one has won; the first heat is often the whole solve.

    The program starts from the strategies that the simplices have found by then.
    """

    def __init__(self, A: Matrix, stake: float, start: tuple[Array, Array], limits: Limits) -> None:
        self._game, self._limits = (A, stake), limits
        self.forms: list[SimplexForm | LPForm] = [SimplexForm(A, stake, start, limits)]
        self._heat, self._decided = HEAT, False
        self._turn = self._last = 0
        self._done, self._residuals = [0, 0], [math.inf, math.inf]

    @property
    def point(self) -> tuple[Array, Array]:
        """The strategies of the form that was iterated last."""
        return self.forms[self._last].point

    @property
    def nrestart(self) -> int:
        """Restarts of both so far."""
        return sum(form.nrestart for form in self.forms)

    @property
    def name(self) -> str:
        """The form that is ahead."""
        return self.forms[0 if self._residuals[0] <= self._residuals[1] else 1].name

    def advance(self, steps: int, every: int, stop_at: float) -> tuple[Array, int, int]:
        """Iterate with the form whose turn it is, at most to the end of its heat."""
        turn = self._last = self._turn
        if turn == len(self.forms):
            self.forms.append(LPForm(*self._game, self.forms[0].point, self._limits))
        if not self._decided:
            steps = min(steps, self._heat - self._done[turn])
        table, done, code = self.forms[turn].advance(steps, every, stop_at)
        self._done[turn] += done
        self._residuals[turn] = float(table[-1, 0])
        return table, done, code if self._decided or code == CONVERGED else self._judge(code)

    def _judge(self, code: int) -> int:
        """Settle whose turn is next."""
        turn, (first, second) = self._turn, self._residuals
        if code == STAGNATED:  # the other goes on alone
            self._decided, self._turn = True, 1 - turn
        elif self._done[turn] >= self._heat:
            low, high = sorted((first, second))
            if turn == 1 and (not high <= AHEAD * low or self._heat >= LAST_HEAT):
                self._decided, self._turn = True, 0 if first <= second else 1
            else:
                self._heat, self._turn = self._heat * (1 + turn), 1 - turn
        return RUNNING


def _player(z: Array, pay: Array) -> Player:
    return Player._make([z.copy() for _ in range(4)] + [pay.copy() for _ in range(4)] + [np.empty(z.size)])
