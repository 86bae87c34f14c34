from . import problems as problems
from .baselines import steer_end as steer_end
from .baselines import steer_times as steer_times
from .baselines import taylor_dynamics as taylor_dynamics
from .heuristics import heuristics as heuristics
from .ode import odesolve as odesolve
from .penalties import cost_penalty as cost_penalty
from .penalties import error_penalty as error_penalty
from .penalties import local_penalty as local_penalty
from .penalties import stiffness_penalty as stiffness_penalty
from .result import ODEResult as ODEResult
from .result import SDEResult as SDEResult
from .schedules import CostTarget as CostTarget
from .schedules import ExponentialDecay as ExponentialDecay
from .sde import brownian_path as brownian_path
from .sde import sdesolve as sdesolve
from .training import TrainResult as TrainResult
from .training import train as train

__all__ = [
    "CostTarget",
    "ExponentialDecay",
    "ODEResult",
    "SDEResult",
    "TrainResult",
    "brownian_path",
    "cost_penalty",
    "error_penalty",
    "heuristics",
    "local_penalty",
    "odesolve",
    "problems",
    "sdesolve",
    "steer_end",
    "steer_times",
    "stiffness_penalty",
    "taylor_dynamics",
    "train",
]
