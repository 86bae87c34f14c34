"""Conjugate gradients in plain array code: the one iteration that several columns need for any array library.

M. R. Hestenes, E. Stiefel, "Methods of conjugate gradients for solving linear systems", J. Res. NBS 49, 1952.
Y. Saad, "Iterative methods for sparse linear systems", 2003, algorithm 9.1: the lines carry its step numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .typing import Array, Namespace


class CGStep(NamedTuple):
    """The iterate and its (recursive) residual; `curvature` is the last p' A p, nonpositive where CG ends."""

    x: Array
    r: Array
    curvature: float


def conjugate_gradients(
    xp: Namespace,
    product: Callable[[Array], Array],
    x: Array,
    r: Array,
    precondition: Callable[[Array], Array] | None = None,
    *,
    flexible: bool = False,
) -> Iterator[CGStep]:
    """Iterate on A x = b; whoever asks for the next step decides when it is enough.

    Parameters
    ----------
    xp : namespace
        The array library.
    product, precondition : callable
        The products with A and with the preconditioner, both Hermitian positive definite.
    x, r : array of shape (n,)
        The start and its residual b - A x; neither is written into.
    flexible : bool
        The Polak-Ribiere form of beta, for a preconditioner that changes from step to step.

    Yields
    ------
    CGStep
        After each step. The iteration ends by itself, with a last step that repeats x and r, where the
        curvature or r' M r is not positive: at the solution, or where the matrix is not positive definite.
    """
    p, r_old, rho = xp.zeros_like(r), xp.zeros_like(r), 1.0
    while True:
        # What overflows shows in the residual. Never across a yield: the settings would be the caller's.
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            z = r if precondition is None else precondition(r)  # 5
            new = dot(xp, r, z)
            beta = (new - dot(xp, r_old, z) if flexible else new) / rho  # 6
            p = z + beta * p  # 7
            q = product(p)
            curvature = dot(xp, p, q)
            goes_on = curvature > 0 and new > 0
            if goes_on:
                rho, r_old = new, r
                x = x + (rho / curvature) * p  # 3
                r = r - (rho / curvature) * q  # 4
        if not goes_on:
            yield CGStep(x, r, curvature if not curvature > 0 else new)
            return
        yield CGStep(x, r, curvature)


def dot(xp: Namespace, u: Array, v: Array) -> float:
    """The real part of the inner product; what overflows is infinite, without a word."""
    with np.errstate(over="ignore"):
        return float(xp.real(xp.vecdot(u, v)) if "complex" in str(u.dtype) else xp.vecdot(u, v))
