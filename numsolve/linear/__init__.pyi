from . import problems as problems
from .cg import cg as cg
from .cg import ssor_cg as ssor_cg
from .chebcb import ChebCB as ChebCB
from .result import LinearResult as LinearResult
from .smoothcb import SmoothCB as SmoothCB
from .sor import gauss_seidel as gauss_seidel
from .sor import sor as sor
from .ssor import ssor as ssor
from .sweeps import SSOR as SSOR
from .sweeps import SweepPlan as SweepPlan
from .sweeps import optimal_omega as optimal_omega
from .sweeps import sweep as sweep
from .tsallis import TsallisINF as TsallisINF

__all__ = [
    "SSOR",
    "ChebCB",
    "LinearResult",
    "SmoothCB",
    "SweepPlan",
    "TsallisINF",
    "cg",
    "gauss_seidel",
    "optimal_omega",
    "problems",
    "sor",
    "ssor",
    "ssor_cg",
    "sweep",
]
