"""Double precision for the tests of this column; the root conftest.py switches it off after each file.

Programs are compiled without the expensive passes, for a test runs each only a few times.
"""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="module")
def double_precision():
    """Before the fixtures of the file."""
    try:
        import jax
    except ImportError:
        yield
        return
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
