"""Many lower problems as one object: `BlockOracle`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numsolve._core import checks

if TYPE_CHECKING:
    from collections.abc import Callable


class BlockOracle:
    """Many lower problems, evaluated for several blocks at once.

    Every function is called as ``(theta, y, blocks, batch, ...)``: `y` of shape (k, n) holds the variables
    of the k blocks whose numbers are in `blocks`, and row j of `batch`, of shape (k, B), the samples of
    block j; None for all samples.

    Parameters
    ----------
    n_blocks : int
        How many blocks there are, m.
    upper : callable
        F_i of each block, shape (k,).
    upper_grad : callable
        dF_i/dy of shape (k, n), and dF_i/dtheta of shape (k, d) or None.
    lower_grad : callable
        df_i/dy, shape (k, n).
    lower_cross_vjp : callable
        ``(theta, y, blocks, batch, q)``, C_i'q of shape (k, d).
    lower_hvp : callable, optional
        ``(theta, y, blocks, batch, v)``, H_i v of shape (k, n): for "v2".
    lower_hess : callable, optional
        H_i, shape (k, n, n): for "v1".
    n_upper, n_lower : int, optional
        Samples of the upper and of the lower functions; without them there is nothing to sample but blocks.

    Raises
    ------
    TypeError
        If something is not callable.
    """

    def __init__(
        self,
        n_blocks: int,
        upper: Callable[..., Any],
        *,
        upper_grad: Callable[..., Any],
        lower_grad: Callable[..., Any],
        lower_cross_vjp: Callable[..., Any],
        lower_hvp: Callable[..., Any] | None = None,
        lower_hess: Callable[..., Any] | None = None,
        n_upper: int | None = None,
        n_lower: int | None = None,
    ) -> None:
        self.n_blocks = checks.integer("n_blocks", n_blocks, low=1)
        self.upper = checks.function("upper", upper)
        self.upper_grad = checks.function("upper_grad", upper_grad)
        self.lower_grad = checks.function("lower_grad", lower_grad)
        self.lower_cross_vjp = checks.function("lower_cross_vjp", lower_cross_vjp)
        self.lower_hvp = checks.function("lower_hvp", lower_hvp, optional=True)
        self.lower_hess = checks.function("lower_hess", lower_hess, optional=True)
        self.n_upper = None if n_upper is None else checks.integer("n_upper", n_upper, low=1)
        self.n_lower = None if n_lower is None else checks.integer("n_lower", n_lower, low=1)
