from .pdhg import solve_lp as solve_lp
from .result import LPResult as LPResult

__all__ = ["LPResult", "solve_lp"]
