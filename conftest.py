"""Test set-up that the whole repository shares."""

from __future__ import annotations

import gc
import importlib.util
import os
import signal
import sys
from typing import TYPE_CHECKING

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("NUMSOLVE_QUIET", "1")

import pytest
from hypothesis import settings
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

if TYPE_CHECKING:
    from collections.abc import Iterator

# The first example of a property test may compile a kernel, so there is no deadline.
settings.register_profile("ci", deadline=None, derandomize=True, max_examples=50, print_blob=True)
settings.register_profile("dev", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

collect_ignore = ["docs/_build", "docs/_ext", "docs/api", "docs/benchmarks", "docs/conf.py", "docs/gallery"]
collect_ignore_glob = ["numsolve/*/_gpu*.py"]  # these import CuPy when they are loaded
if importlib.util.find_spec("jax") is None:  # their examples need it
    collect_ignore_glob += [
        *("numsolve/implicit/*", "numsolve/neural_ode/*"),
        *("docs/guide/implicit.md", "docs/guide/neural_ode.md"),
    ]

# The code blocks of one page run in order and share their names.
pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser()], patterns=["README.md", "docs/*.md", "docs/*/*.md"]
).pytest()


pytest.register_assert_rewrite("contract")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test of the contract of conduct runs on each call of its column (``tests/contract.py``)."""
    calls = getattr(metafunc.cls, "calls", None)
    if calls and "call" in metafunc.fixturenames:
        metafunc.parametrize("call", list(calls.values()), ids=list(calls))


@pytest.fixture
def keyboard() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, also where the test runner has another handler.

    Without what other packages do after each collection of garbage (hypothesis, JAX): what is raised in
    there, outside a solver, Python prints and forgets.
    """
    before, callbacks = signal.signal(signal.SIGINT, signal.default_int_handler), gc.callbacks[:]
    gc.callbacks.clear()
    yield
    gc.callbacks[:] = callbacks
    signal.signal(signal.SIGINT, before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """A signal that a test sent and no solver caught is that test's failure, not the end of the run."""
    try:
        return (yield)
    except KeyboardInterrupt as error:
        if "keyboard" in getattr(item, "fixturenames", ()):
            raise AssertionError("KeyboardInterrupt came out of the solver") from error
        raise


def _why_no_gpu() -> str | None:
    try:
        import cupy
    except ImportError:
        return "CuPy is not installed"
    return None if cupy.cuda.is_available() else "no CUDA device"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and (reason := _why_no_gpu()):
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """What a file switches in JAX, and what JAX compiled for it, ends with it."""
    if "jax" in sys.modules and (nextitem is None or nextitem.path != item.path):
        sys.modules["jax"].config.update("jax_enable_x64", False)
        sys.modules["jax"].clear_caches()  # gigabytes, by the end of the run
