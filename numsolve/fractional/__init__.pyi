from . import optimality as optimality
from . import problems as problems
from .bspline import bspline_fractional_derivative as bspline_fractional_derivative
from .bvp import solve_riesz_bvp as solve_riesz_bvp
from .diffusion import solve_fractional_diffusion as solve_fractional_diffusion
from .disc import DiscSolution as DiscSolution
from .disc import solve_riesz_disc as solve_riesz_disc
from .eig import solve_riesz_eig as solve_riesz_eig
from .first_passage import exit_time_density as exit_time_density
from .first_passage import exit_time_moments as exit_time_moments
from .first_passage import survival_probability as survival_probability
from .jacobi import JacobiSolution as JacobiSolution
from .operator import RieszSplineOperator as RieszSplineOperator
from .operator import good_n as good_n
from .plane import TensorSpline as TensorSpline
from .plane import solve_riesz_2d as solve_riesz_2d
from .result import FirstPassageResult as FirstPassageResult
from .result import FractionalDiffusionResult as FractionalDiffusionResult
from .result import RieszBatchResult as RieszBatchResult
from .result import RieszEigResult as RieszEigResult
from .result import RieszFamilyResult as RieszFamilyResult
from .result import RieszPlaneResult as RieszPlaneResult
from .result import RieszResult as RieszResult
from .sine import SineSolution as SineSolution
from .sine import TensorSine as TensorSine
from .solver import RieszSolver as RieszSolver
from .symbol import SymbolAnalysis as SymbolAnalysis
from .symbol import analyze_symbol as analyze_symbol
from .symbol import mass_symbol as mass_symbol
from .symbol import riesz_symbol as riesz_symbol

__all__ = [
    "DiscSolution",
    "FirstPassageResult",
    "FractionalDiffusionResult",
    "JacobiSolution",
    "RieszBatchResult",
    "RieszEigResult",
    "RieszFamilyResult",
    "RieszPlaneResult",
    "RieszResult",
    "RieszSolver",
    "RieszSplineOperator",
    "SineSolution",
    "SymbolAnalysis",
    "TensorSine",
    "TensorSpline",
    "analyze_symbol",
    "bspline_fractional_derivative",
    "exit_time_density",
    "exit_time_moments",
    "good_n",
    "mass_symbol",
    "optimality",
    "problems",
    "riesz_symbol",
    "solve_fractional_diffusion",
    "solve_riesz_2d",
    "solve_riesz_bvp",
    "solve_riesz_disc",
    "solve_riesz_eig",
    "survival_probability",
]
