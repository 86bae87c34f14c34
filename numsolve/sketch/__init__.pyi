from .lstsq import lstsq as lstsq
from .operators import Sketch as Sketch
from .operators import make_sketch as make_sketch
from .result import LinearResult as LinearResult
from .result import LstsqResult as LstsqResult
from .result import SketchResult as SketchResult

__all__ = ["LinearResult", "LstsqResult", "Sketch", "SketchResult", "lstsq", "make_sketch"]
