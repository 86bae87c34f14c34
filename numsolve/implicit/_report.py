"""What `check=True` and the linear solves say."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from numsolve._core.result import caller_level

#: An x that is off by more than this, relatively, is not a solution.
CHECKED_TO = 1e-4
#: Entries that differ by less than so many rounding errors of the largest are not told apart.
ROUNDING = 1e3


def nonfinite(value: Any) -> None:
    """Raise if F has an entry that is no number."""
    if not np.all(np.isfinite(value)):
        raise FloatingPointError("the optimality function is not finite at the solution")


def check(residual: Any, step: Any, x: Any, skew: Any, least: Any) -> None:
    """Say how far x is from a solution, and how far dF/dx from symmetric.

    ``step`` is Newton's from x, ``least`` about the smallest singular value of dF/dx. An entry may be off by
    much of its own size, and still be small beside others: each is looked at.
    """
    residual, step, x = (np.abs(np.asarray(v)) for v in (residual, step, x))
    nonfinite(residual)
    size, length = np.linalg.norm(x), np.linalg.norm(step)
    noise = ROUNDING * np.finfo(x.dtype).eps * np.max(x, initial=0.0)
    off = (step > CHECKED_TO * x) & (step > noise)
    if length > CHECKED_TO * size or np.any(off):
        worst = int(np.argmax(np.where(off, step / np.maximum(x, noise), 0.0) if np.any(off) else step))
        _warn(
            f"x is not a solution: the largest entry of F is {np.max(residual):.1e}, and Newton's step from "
            f"x is {length:.1e} long (x itself {size:.1e}); entry {worst} is off by {step[worst]:.1e} "
            f"(itself {x[worst]:.1e}). The smallest singular value of dF/dx is about {float(least):.1e}. The "
            "derivative is not that of a solution"
        )
    if skew > CHECKED_TO:
        _warn(f"dF/dx is not symmetric (by {float(skew):.1e}, relatively): drop symmetric=True")


def far(lost: bool, value: Any) -> None:
    """Say that x is so far from a solution that differences of F tell nothing."""
    if lost:
        _warn(
            f"x is not a solution: the largest entry of F is {np.max(np.abs(value)):.1e}, and differences "
            "of it are lost in its rounding errors. The derivative is not accurate"
        )


def linear(bad: Any, residual: Any, *, method: str) -> None:
    """Say that a linear system was not solved."""
    if np.any(bad):
        _warn(
            f"the linear system of the derivative was solved to a relative residual of only "
            f"{np.max(residual):.1e} by {method!r}: the derivative is not accurate. Choose another solve, "
            "raise maxiter, or look whether the system is singular"
        )


def hidden(bad: Any, residual: Any, *, method: str) -> None:
    """Say that equations in small units were not solved."""
    if np.any(bad):
        _warn(
            f"the linear system of the derivative was solved by {method!r}, but for equations in smaller "
            f"units than the largest (to {np.max(residual):.1e} of their own size only): the derivative is "
            "not accurate. Scale the equations, or choose solve='dense' or 'host'"
        )


def failed(message: Any) -> None:
    """Say that the solver itself does not vouch for its solution."""
    _warn(
        f"the solver says that it failed{f' ({message})' if message else ''}: its x need not be a solution, "
        "and the derivative is that of a solution (under jit it is nan). If x is good enough, return x alone"
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
