from . import problems as problems
from .cg import cg as cg
from .cg import ssor_cg as ssor_cg
from .result import LinearResult as LinearResult
from .sor import gauss_seidel as gauss_seidel
from .sor import sor as sor
from .ssor import ssor as ssor
from .sweeps import SSOR as SSOR
from .sweeps import SweepPlan as SweepPlan
from .sweeps import optimal_omega as optimal_omega
from .sweeps import sweep as sweep

__all__ = [
    "SSOR",
    "LinearResult",
    "SweepPlan",
    "cg",
    "gauss_seidel",
    "optimal_omega",
    "problems",
    "sor",
    "ssor",
    "ssor_cg",
    "sweep",
]
