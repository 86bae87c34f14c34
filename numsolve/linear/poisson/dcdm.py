r"""Deep conjugate directions: an iteration that takes its search directions from any predictor.

A. Kaneda, O. Akar, J. Chen, V. Kala, D. Hyde, J. Teran, "A deep conjugate direction method for iteratively
solving linear systems", ICML 2023. With the residual r, a step is

    q = f(r / ||r||)                                                      (1)
    q <- q - p (q' A p) / (p' A p)   for the kept directions p, newest first   (2)
    x <- x + q (q' r) / (q' A q)                                          (3)

where f is any function of vectors; the paper's is a convolutional network. Each step minimises the energy of
the error along q, whatever f is, so that the energy never rises. With f(r) = r this is the conjugate
gradient method, with f(r) = M r the preconditioned one.

It differs from the paper in what happens when f fails: if q is not finite, or has next to no curvature, or is
next to orthogonal to r after (2), the fallback takes its place, and is counted. And the numbers are in double
precision, where the paper's matrix is in single; x goes back in the precision of b.
"""

from __future__ import annotations

import math
import warnings
from collections import deque
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status, caller_level
from numsolve.linear._system import FOREIGN, STOPS, compressed, refuse_functions
from numsolve.linear.result import LinearResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, ArrayLike, Callback, Matrix, Namespace

#: A direction closer than this to being orthogonal to the residual does not help.
ORTHOGONAL = 1e-12
#: A residual below so many roundings of the terms of A x and b that has not halved for so many steps is one;
#: the steps are twice the number of unknowns, but not fewer nor more than these.
ROUNDINGS, PATIENCE, MOST_PATIENCE = 10, 20, 200
EPS, EPS_SINGLE = 2.0**-52, 2.0**-23


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DCDMResult(LinearResult):
    """The solution, and how often the predictor was not used.

    Attributes
    ----------
    nfallback : int
        Steps in which the fallback took the predictor's place.
    """

    nfallback: int = 0


@answers(**FOREIGN)
def dcdm(
    A: Matrix,
    b: ArrayLike,
    predictor: Callable[[Array], Array],
    *,
    x0: ArrayLike | None = None,
    n_orth: int = 2,
    fallback: Matrix | None = None,
    recompute_every: int = 1,
    rtol: float = 1e-4,
    atol: float = 0.0,
    stop: Literal["b", "r0"] = "b",
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> DCDMResult:
    """Solve a symmetric positive definite system along the directions of a predictor.

    Parameters
    ----------
    A : array, sparse matrix or LinearOperator of shape (n, n)
        Symmetric positive definite.
    b : array of shape (n,)
        Right-hand side; x is of single precision where b is.
    predictor : callable
        Called with the residual divided by its norm; returns an array of the same shape, ideally close to the
        error in direction. Its scale does not matter.
    x0 : array of shape (n,), optional
        Where to start; zeros by default.
    n_orth : int
        How many of the last directions each new one is made A-orthogonal to. 2 is the paper's number; for a
        linear symmetric predictor 1 is enough, for others more help a little and 0 is bad.
    fallback : array, sparse matrix or LinearOperator, optional
        An approximate inverse that gives the direction where the predictor fails; the residual itself by
        default.
    recompute_every : int
        Steps between computations of the residual from x; in between it is updated, which saves a product.
    rtol, atol : float
        Converged when ``||b - A x|| <= max(rtol * reference, atol)``.
    stop : {"b", "r0"}
        The reference: the norm of b, or that of the first residual, which is the paper's.
    maxiter, callback, progress, time_limit
        The run settings, as in `numsolve.linear.sor`; 1000 steps by default.

    Returns
    -------
    DCDMResult
        A `LinearResult` with `nfallback`.

    Raises
    ------
    ValueError
        If a shape is wrong, that of what the predictor returns included, or a number is not finite.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached, or A is not positive definite (status ``BREAKDOWN``).
    RuntimeWarning
        Once, if the predictor returned numbers that are not finite.

    See Also
    --------
    numsolve.linear.solve_poisson : For Poisson's equation on grids, faster than any network we know of.

    References
    ----------
    A. Kaneda, O. Akar, J. Chen, V. Kala, D. Hyde, J. Teran, "A deep conjugate direction method for
    iteratively solving linear systems", ICML 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import linear
    >>> A = linear.problems.laplacian(30)
    >>> plain = linear.dcdm(A, np.ones(900), lambda r: r, rtol=1e-8)
    >>> M = linear.SSOR(A, 1.7)
    >>> better = linear.dcdm(A, np.ones(900), lambda r: M @ r, rtol=1e-8)
    >>> better.nit < plain.nit / 2, better.nfallback
    (True, 0)
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    began = perf_counter()
    checks.function("predictor", predictor)
    checks.choice("stop", stop, STOPS)
    n_orth = checks.integer("n_orth", n_orth, low=0)
    recompute_every = checks.integer("recompute_every", recompute_every, low=1)
    xp = arrays.array_namespace(A=A, b=b, x0=x0, fallback=fallback)
    A = _matrix(xp, "A", A)
    if len(A.shape) != 2 or A.shape[0] != A.shape[1]:
        raise ValueError(f"A must be a square matrix, got shape {tuple(A.shape)}")
    if fallback is not None:
        fallback = _matrix(xp, "fallback", fallback)
        if tuple(fallback.shape) != tuple(A.shape):
            raise ValueError(f"fallback must have shape {tuple(A.shape)}, got {tuple(fallback.shape)}")
    given: Array = checks.array("b", b, xp=xp, shape=(A.shape[0],))
    rhs: Array = xp.asarray(given, dtype=xp.float64)
    norm_b = arrays.norm(xp, rhs)
    x, r, first = xp.zeros_like(rhs), rhs, norm_b
    if x0 is not None and norm_b > 0:
        x = xp.asarray(checks.array("x0", x0, xp=xp, shape=(A.shape[0],)), dtype=xp.float64, copy=True)
        r = rhs - A @ x
        first = arrays.norm(xp, r)
    search = _Search(xp, A, predictor, fallback, n_orth)
    setup_time = perf_counter() - began
    with Monitor(
        limits,
        rtol=rtol,
        atol=atol,
        reference=norm_b if stop == "b" else first,
        maxiter=1000,
        label="DCDM",
        keep="reference",
    ) as it:
        it.record(first, x)
        size, mark, marked = first, first, 0
        patience = min(max(PATIENCE, 2 * A.shape[0]), MOST_PATIENCE)
        for step in it:
            found = search.direction(r, size)
            if found is None:
                tiny = search.why[0] is Status.STAGNATED and size <= search.rounding(x, norm_b)
                it.stop(*((Status.ROUNDING, f"The residual is {size:.3g}.") if tiny else search.why))
                it.record(size, x)
                break
            p, w, curvature = found
            length = float(p @ r) / curvature
            x = x + length * p  # (3)
            r = rhs - A @ x if step % recompute_every == 0 else r - length * w
            size = arrays.norm(xp, r)
            if size <= it.threshold and step % recompute_every:
                r = rhs - A @ x
                size = arrays.norm(xp, r)
            it.record(size, x)
            if size < 0.5 * mark:
                mark, marked = size, step
            elif it.status is None and step - marked >= patience and size <= search.rounding(x, norm_b):
                it.stop(Status.ROUNDING, f"The residual is {size:.3g}.")
    x = it.x
    if given.dtype == xp.float32:
        with np.errstate(over="ignore", under="ignore"):
            x = xp.asarray(it.x, dtype=xp.float32)
    back = xp.asarray(x, dtype=xp.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        true, moved = arrays.norm(xp, rhs - A @ back), arrays.norm(xp, back - it.x)
    if it.status is not None and it.status.success and not true <= it.threshold and moved > 0.0:
        whole = moved <= EPS_SINGLE * arrays.norm(xp, it.x)  # else x is beyond the range of its numbers
        it.stop(Status.ROUNDING if whole else Status.NONFINITE, f"The residual of x is {true:.3g}.")
    times = {"setup_time": setup_time, "solve_time": perf_counter() - began - setup_time}
    return it.result(DCDMResult, x=x, residual=true, rhs_norm=norm_b, nfallback=search.nfallback, **times)


def _matrix(xp: Namespace, name: str, A: Any) -> Any:
    """A matrix or operator of real numbers; lists as arrays."""
    checks.refuse_masked(name, A)
    refuse_functions(name, A)
    if isinstance(A, np.matrix):
        raise TypeError(f"{name} is a numpy.matrix; give an array: numpy.asarray({name})")
    if isinstance(A, list | tuple):
        return checks.array(name, A, xp=xp)
    if not hasattr(A, "shape"):
        raise TypeError(f"{name} must be a matrix or a linear operator, got {type(A).__name__}")
    if getattr(A, "dtype", None) is not None:  # an operator may have none
        arrays.working_dtype(xp, **{name: A})
    if arrays.is_sparse(A):
        A = compressed(A)
        checks.finite(name, A.data, xp=xp)
    elif not arrays.is_operator(A):
        checks.finite(name, A, xp=xp)
    return A


class _Search:
    """Directions, and the kept ones with their products and curvatures."""

    def __init__(
        self,
        xp: Namespace,
        A: Matrix,
        predictor: Callable[[Array], Array],
        fallback: Matrix | None,
        n_orth: int,
    ) -> None:
        self.xp, self.A, self.predictor, self.fallback = xp, A, predictor, fallback
        self.kept: deque[tuple[Array, Array, float]] = deque(maxlen=n_orth)
        self.nfallback, self.largest, self.warned = 0, 0.0, False
        self.why = Status.STAGNATED, ""

    def direction(self, r: Array, size: float) -> tuple[Array, Array, float] | None:
        """The next direction, its product with A, and its curvature; None if there is none."""
        unit = r / size
        found = self._try(self._predicted(unit), unit)
        if found is None and self.why[0] is not Status.BREAKDOWN:
            found = self._try(unit if self.fallback is None else self.fallback @ unit, unit)
            self.nfallback += found is not None
        if found is not None:
            self.kept.appendleft(found)
        return found

    def rounding(self, x: Array, norm_b: float) -> float:
        """The level of rounding errors of the residual at x."""
        return ROUNDINGS * EPS * (self.largest * arrays.norm(self.xp, x) + norm_b)

    def _predicted(self, unit: Array) -> Array:
        xp = self.xp
        given = self.predictor(xp.asarray(unit, copy=True))
        checks.refuse_masked("what predictor returned", given)
        arrays.working_dtype(xp, **{"what predictor returned": given})
        q: Any = xp.asarray(given, dtype=xp.float64)
        if tuple(q.shape) != tuple(unit.shape):
            raise ValueError(
                f"predictor must return an array of shape {tuple(unit.shape)}, got {tuple(q.shape)}"
            )
        if not self.warned and not bool(xp.all(xp.isfinite(q))):
            self.warned = True
            words = "The predictor returned numbers that are not finite; the fallback takes its place."
            warnings.warn(words, RuntimeWarning, stacklevel=caller_level())
        result: Array = q
        return result

    def _try(self, q: Array, unit: Array) -> tuple[Array, Array, float] | None:
        """Make q A-orthogonal to what is kept, and see whether it is of use."""
        xp = self.xp
        before = arrays.norm(xp, q) if bool(xp.all(xp.isfinite(q))) else math.nan
        if not 0.0 < before < math.inf:
            self.why = Status.STAGNATED, "Neither the predictor nor the fallback gave a direction."
            return None
        q = q / before
        for p, w, curvature in self.kept:
            q = q - p * (float(q @ w) / curvature)  # (2)
        w = self.A @ q
        curvature, square = float(q @ w), float(q @ q)
        if square > 0:
            self.largest = max(self.largest, arrays.norm(xp, w) / math.sqrt(square))
        level = EPS * math.sqrt(unit.shape[0]) * square * self.largest
        if not math.isfinite(curvature):
            self.why = Status.NONFINITE, ""
            return None
        if curvature < -level:
            self.why = Status.BREAKDOWN, "The matrix is not positive definite."
            return None
        if not curvature > level or abs(float(q @ unit)) < ORTHOGONAL * math.sqrt(square):
            self.why = Status.STAGNATED, "Neither the predictor nor the fallback gave a direction."
            return None
        return q, w, curvature
