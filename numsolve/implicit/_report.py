"""What `check=True` and the linear solves say."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from numsolve._core.result import caller_level

#: An x that is off by more than this, relatively, is not a solution.
CHECKED_TO = 1e-4


def nonfinite(value: Any) -> None:
    """Raise if F has an entry that is no number."""
    if not np.all(np.isfinite(value)):
        raise FloatingPointError("the optimality function is not finite at the solution")


def check(residual: Any, step: Any, size: Any, skew: Any) -> None:
    """Say how far x is from a solution, and how far dF/dx from symmetric; arrays for a batch."""
    nonfinite(residual)
    if np.any(np.asarray(step) > CHECKED_TO * np.asarray(size)):
        _warn(
            f"x is not a solution: the largest entry of F is {np.max(residual):.1e}, and Newton's step from "
            f"x is {np.max(step):.1e} long (x itself {np.max(size):.1e}); the derivative is not that of a "
            "solution"
        )
    if np.any(np.asarray(skew) > CHECKED_TO):
        _warn(f"dF/dx is not symmetric (by {np.max(skew):.1e}, relatively): drop symmetric=True")


def linear(bad: Any, residual: Any, *, method: str) -> None:
    """Say that a linear system was not solved."""
    if np.any(bad):
        _warn(
            f"the linear system of the derivative was solved to a relative residual of only "
            f"{np.max(residual):.1e} by {method!r}: the derivative is not accurate. Choose another solve, "
            "raise maxiter, or look whether the system is singular"
        )


def indefinite(found: Any, _: Any = None) -> None:
    """Say that conjugate gradients left their ground."""
    if np.any(found):
        _warn(
            "conjugate gradients met curvature of both signs (a saddle, or an unsymmetric system); "
            "GMRES goes on"
        )


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=caller_level())
