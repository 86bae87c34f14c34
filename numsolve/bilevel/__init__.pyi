from . import problems as problems
from .block_oracle import BlockOracle as BlockOracle
from .bsvrb import bsvrb as bsvrb
from .estimators import EstimatorProblem as EstimatorProblem
from .estimators import from_estimator as from_estimator
from .hypergradient import hypergradient as hypergradient
from .minimize import minimize_bilevel as minimize_bilevel
from .problem import BilevelProblem as BilevelProblem
from .result import BilevelResult as BilevelResult
from .result import BlockResult as BlockResult
from .result import HypergradientResult as HypergradientResult

__all__ = [
    "BilevelProblem",
    "BilevelResult",
    "BlockOracle",
    "BlockResult",
    "EstimatorProblem",
    "HypergradientResult",
    "bsvrb",
    "from_estimator",
    "hypergradient",
    "minimize_bilevel",
    "problems",
]
