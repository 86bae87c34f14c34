from . import optimality as optimality
from . import problems as problems
from . import theory as theory
from .bicgstab import bicgstab as bicgstab
from .cg import cg as cg
from .gmres import gmres as gmres
from .ict import ICT as ICT
from .ict import ict_cg as ict_cg
from .ilu import ILU as ILU
from .poisson.dcdm import DCDMResult as DCDMResult
from .poisson.dcdm import dcdm as dcdm
from .poisson.grid import GridPoisson as GridPoisson
from .poisson.multigrid import PoissonMultigrid as PoissonMultigrid
from .poisson.multigrid import poisson_multigrid as poisson_multigrid
from .poisson.multigrid_training import train_multigrid as train_multigrid
from .poisson.network import DCDMNet as DCDMNet
from .poisson.npsd import NPSDNet as NPSDNet
from .poisson.npsd_training import train_npsd as train_npsd
from .poisson.solve import solve_poisson as solve_poisson
from .poisson.training import ritz_training_vectors as ritz_training_vectors
from .poisson.training import train_dcdm as train_dcdm
from .result import LinearResult as LinearResult
from .sor import gauss_seidel as gauss_seidel
from .sor import sor as sor
from .ssor import ssor as ssor
from .ssor_cg import ssor_cg as ssor_cg
from .sweeps import SSOR as SSOR
from .sweeps import SweepPlan as SweepPlan
from .sweeps import sweep as sweep
from .theory import optimal_omega as optimal_omega
from .tuning.chebcb import ChebCB as ChebCB
from .tuning.context import automatic_context as automatic_context
from .tuning.history import SequenceHistory as SequenceHistory
from .tuning.sequence import solve_sequence as solve_sequence
from .tuning.smoothcb import SmoothCB as SmoothCB
from .tuning.tsallis import TsallisINF as TsallisINF
from .tuning.tsallis import TsallisINFCB as TsallisINFCB
from .tuning.tuned_solver import TunedSolver as TunedSolver

__all__ = [
    "ICT",
    "ILU",
    "SSOR",
    "ChebCB",
    "DCDMNet",
    "DCDMResult",
    "GridPoisson",
    "LinearResult",
    "NPSDNet",
    "PoissonMultigrid",
    "SequenceHistory",
    "SmoothCB",
    "SweepPlan",
    "TsallisINF",
    "TsallisINFCB",
    "TunedSolver",
    "automatic_context",
    "bicgstab",
    "cg",
    "dcdm",
    "gauss_seidel",
    "gmres",
    "ict_cg",
    "optimal_omega",
    "optimality",
    "poisson_multigrid",
    "problems",
    "ritz_training_vectors",
    "solve_poisson",
    "solve_sequence",
    "sor",
    "ssor",
    "ssor_cg",
    "sweep",
    "theory",
    "train_dcdm",
    "train_multigrid",
    "train_npsd",
]
