from . import problems as problems
from .adasketch import adasketch_newton as adasketch_newton
from .glm import GLM as GLM
from .logistic import ConstrainedLogisticRegression as ConstrainedLogisticRegression
from .lstsq import lstsq as lstsq
from .minimize import minimize as minimize
from .newton import newton_sketch as newton_sketch
from .operators import Sketch as Sketch
from .operators import make_sketch as make_sketch
from .project import sketch_project as sketch_project
from .result import LinearResult as LinearResult
from .result import LstsqResult as LstsqResult
from .result import SketchResult as SketchResult

__all__ = [
    "GLM",
    "ConstrainedLogisticRegression",
    "LinearResult",
    "LstsqResult",
    "Sketch",
    "SketchResult",
    "adasketch_newton",
    "lstsq",
    "make_sketch",
    "minimize",
    "newton_sketch",
    "problems",
    "sketch_project",
]
