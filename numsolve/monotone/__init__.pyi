from . import optimality as optimality
from .finite_sum import AffineFiniteSum as AffineFiniteSum
from .finite_sum import BilinearGame as BilinearGame
from .finite_sum import FiniteSum as FiniteSum
from .halpern import halpern as halpern
from .lp.game import solve_game as solve_game
from .lp.linprog import linprog as linprog
from .lp.many import solve_lps as solve_lps
from .lp.pdhg import solve_lp as solve_lp
from .prox import project_box as project_box
from .prox import project_l2_ball as project_l2_ball
from .prox import project_simplex as project_simplex
from .prox import prox_l1 as prox_l1
from .prox import prox_nonnegative as prox_nonnegative
from .result import GameResult as GameResult
from .result import LinprogResult as LinprogResult
from .result import LPResult as LPResult
from .result import MonotoneResult as MonotoneResult
from .vr_halpern import vr_halpern as vr_halpern

__all__ = [
    "AffineFiniteSum",
    "BilinearGame",
    "FiniteSum",
    "GameResult",
    "LPResult",
    "LinprogResult",
    "MonotoneResult",
    "halpern",
    "linprog",
    "optimality",
    "project_box",
    "project_l2_ball",
    "project_simplex",
    "prox_l1",
    "prox_nonnegative",
    "solve_game",
    "solve_lp",
    "solve_lps",
    "vr_halpern",
]
