"""Double precision for the tests of this column; the root conftest.py switches it off after each file."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="module")
def double_precision():
    """Before the fixtures of the file."""
    try:
        import jax
    except ImportError:
        return
    jax.config.update("jax_enable_x64", True)
