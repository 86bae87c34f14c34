"""What a type checker sees of the objects that all columns share. Checked in strict mode, never run."""

from __future__ import annotations

import warnings
from typing import Any, assert_type

from matplotlib.axes import Axes
from numpy.typing import NDArray

import numsolve
from numsolve import ConvergenceError, ConvergenceWarning, PrecisionWarning, Result, Status


def read(result: Result) -> float:
    """Read what every solver returns."""
    warnings.simplefilter("error", ConvergenceWarning)
    warnings.simplefilter("ignore", PrecisionWarning)
    try:
        assert_type(result.raise_for_status(), Result)
    except ConvergenceError as error:
        assert_type(error.result, Result | None)
    assert_type(result.status, Status)
    assert_type(result.status.explanation, str)
    assert_type(result.status.advice, str)
    assert_type(result.status.success, bool)
    assert_type(result.success, bool)
    assert_type(result.message, str)
    assert_type(result.nit, int)
    assert_type(result.keys(), list[str])
    assert_type(result.plot(color="red", label="ours"), Axes)
    assert_type(numsolve.__version__, str)
    if result.history is not None:
        assert_type(len(result.history), int)
        assert_type(result.history["residual"], NDArray[Any])
        assert_type(result.history.seconds, NDArray[Any])
    return result.residual


def mistakes(result: Result) -> None:
    """What a checker has to find before the program runs."""
    print(result.converged)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
    result.plot(colour="red")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    result.status = Status.CONVERGED  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    print(Status.FINE)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
