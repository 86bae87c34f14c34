"""Between two pages of the gallery: JAX's double precision is a switch of the whole process."""

import sys


def reset(*_):
    """Single precision again, as in a new process."""
    if "jax" in sys.modules:
        sys.modules["jax"].config.update("jax_enable_x64", False)
