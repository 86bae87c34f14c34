"""One small call of each solver: for ``python -m numsolve warm`` and the benchmarks of first calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _solve_lp() -> object:
    from .lp.pdhg import solve_lp

    return solve_lp([-3, -5], [[1, 2], [3, 2]], uc=[14, 18], lx=0)


def _solve_lp_sparse() -> object:
    from scipy.sparse import csr_array

    from .lp.pdhg import solve_lp

    return solve_lp([-3, -5], csr_array([[1.0, 2.0], [3.0, 2.0]]), uc=[14, 18], lx=0)


def _solve_lp_long_rows() -> object:
    import numpy as np
    from scipy.sparse import csr_array

    from .lp.pdhg import solve_lp

    return solve_lp(-np.ones(100), csr_array(np.ones((1, 100))), uc=[1.0], lx=0)


def _linprog() -> object:
    from .lp.linprog import linprog

    return linprog([-3, -5], [[1, 2], [3, 2]], [14, 18])


def _solve_game() -> object:
    from .lp.game import solve_game

    return solve_game([[0, -1, 2], [1, 0, -1], [-1, 1, 0]])


def _vr_halpern() -> object:
    from .finite_sum import AffineFiniteSum
    from .vr_halpern import vr_halpern

    return vr_halpern(AffineFiniteSum([[1.0, 0.0], [0.0, 2.0]], [1.0, 2.0]), [0.0, 0.0], rng=0)


def _vr_halpern_sparse() -> object:
    from scipy.sparse import csr_array

    from .finite_sum import AffineFiniteSum
    from .vr_halpern import vr_halpern

    Z = csr_array([[1.0, 0.0], [0.0, 2.0]])
    return vr_halpern(AffineFiniteSum(Z, [1.0, 2.0]), [0.0, 0.0], rng=0)


def _solve_game_lp() -> object:
    from .lp.game import solve_game

    return solve_game([[0, -1, 2], [1, 0, -1], [-1, 1, 0]], method="lp")


def _vr_halpern_of_a_game() -> object:
    from .finite_sum import BilinearGame
    from .vr_halpern import vr_halpern

    game = BilinearGame([[3.0, 0.0], [1.0, 2.0]])
    return vr_halpern(game, game.start(), assumption="lipschitz", tol=1e-2, rng=0)


CALLS: dict[str, Callable[[], object]] = {
    "solve_lp": _solve_lp,
    "solve_lp, sparse": _solve_lp_sparse,
    "solve_lp, long rows": _solve_lp_long_rows,
    "linprog": _linprog,
    "solve_game": _solve_game,
    "solve_game, lp": _solve_game_lp,
    "vr_halpern": _vr_halpern,
    "vr_halpern, sparse": _vr_halpern_sparse,
    "vr_halpern, game": _vr_halpern_of_a_game,
}
