from .lstsq import lstsq as lstsq
from .minimize import minimize as minimize
from .operators import Sketch as Sketch
from .operators import make_sketch as make_sketch
from .project import sketch_project as sketch_project
from .result import LinearResult as LinearResult
from .result import LstsqResult as LstsqResult
from .result import SketchResult as SketchResult

__all__ = [
    "LinearResult",
    "LstsqResult",
    "Sketch",
    "SketchResult",
    "lstsq",
    "make_sketch",
    "minimize",
    "sketch_project",
]
