"""Double precision for the tests that use JAX."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def double_precision(request):
    """The root conftest.py switches it off again after the file."""
    if "jaxopt" in request.path.name:
        jax = pytest.importorskip("jax")
        jax.config.update("jax_enable_x64", True)
