from . import atomic as atomic
from . import bilevel as bilevel
from . import fractional as fractional
from . import implicit as implicit
from . import linear as linear
from . import monotone as monotone
from . import neural_ode as neural_ode
from . import sketch as sketch
from . import special as special
from . import transport as transport
from ._core.each import solve_each as solve_each
from ._core.parallel import ParallelError as ParallelError
from ._core.result import ConvergenceError as ConvergenceError
from ._core.result import ConvergenceWarning as ConvergenceWarning
from ._core.result import PrecisionWarning as PrecisionWarning
from ._core.result import Result as Result
from ._core.result import Status as Status
from ._version import __version__ as __version__

__all__ = [
    "ConvergenceError",
    "ConvergenceWarning",
    "ParallelError",
    "PrecisionWarning",
    "Result",
    "Status",
    "__version__",
    "atomic",
    "bilevel",
    "fractional",
    "implicit",
    "linear",
    "monotone",
    "neural_ode",
    "sketch",
    "solve_each",
    "special",
    "transport",
]
