"""Between two pages of the gallery: each begins as in a new process, and is wrong if a solve of it fails."""

import sys
import warnings

from numsolve import ConvergenceWarning


def reset(*_):
    """JAX's single precision again, a switch of the whole process; warnings of failed solves are errors."""
    if "jax" in sys.modules:
        sys.modules["jax"].config.update("jax_enable_x64", False)
    warnings.simplefilter("error", ConvergenceWarning)
