"""A bilevel problem as the methods see it: flat vectors, every call counted, checked and within the limits.

x stays in the caller's array library; theta is a NumPy vector, handed to the caller's functions in its own
shape and, where x is of another library, in that library.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import lapack

from numsolve._core import arrays, checks
from numsolve._core.krylov import dot
from numsolve._core.result import Result, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array, Namespace

    from .problem import BilevelProblem

#: A curvature below so much of the product's length counts as zero: what rounding leaves of it.
FLAT = 1e-13
#: How far a curvature may lie outside of [mu, L] before the constants count as wrong.
SLACK = 1e-3
#: How a trial ends that is outside of where the functions are defined, or can be worked with.
TOO_FAR = (Status.NONFINITE, Status.STAGNATED)


class Halt(Exception):  # noqa: N818  # not an error: how a run ends
    """The run ends here, for this reason."""

    def __init__(self, status: Status, detail: str = "") -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.status, self.detail)


class Oracle:
    """The problem's functions on flat vectors.

    Attributes
    ----------
    nfev, nhvp, nproj, nupper : int
        Gradients of the lower objective, products with its Hessian, projections and upper gradients so far.
    least, most : float
        The least and the largest curvature ``v'Hv / v'v`` that products have shown since `fresh`.
    steepest : float
        The largest of all.
    ritz : float
        The least curvature that the last look for flat directions found.
    looked : array
        The theta of that look.
    """

    def __init__(
        self,
        problem: BilevelProblem,
        theta: Any,
        x: Any,
        limits: Limits,
        *,
        max_cost: int | None = None,
        theta_bounds: Any = None,
        batch_size: int = 64,
        rng: Any = None,
        called: str = "theta0",
    ) -> None:
        for name, value in {called: theta, "x0": x}.items():
            if arrays.is_sparse(value):
                raise TypeError(f"{name} must be a dense array, got a sparse one")
            if isinstance(value, dict | set | str):
                raise TypeError(f"{name} must be an array, got {type(value).__name__}")
        kind = str(getattr(theta, "dtype", ""))
        if isinstance(theta, list | tuple) and all(isinstance(t, bool) for t in theta):
            kind = "bool"
        if kind.lstrip("u").startswith(("int", "bool")):
            raise TypeError(f"{called} must hold floats, got an array of {kind}")
        self.problem = problem
        self.limits, self.max_cost = limits, max_cost
        xp = arrays.array_namespace(x0=x)
        if problem.backend == "jax" and arrays.namespace_name(xp) == "jax":
            x, xp = arrays.to_host(x), arrays.array_namespace(x0=np.empty(0))
        self.xp: Namespace = xp
        self.theta0 = np.array(
            checks.array(called, arrays.to_host(theta) if hasattr(theta, "shape") else theta, empty=False),
            dtype=np.float64,
        ).reshape(-1)
        self.theta_shape = tuple(np.shape(arrays.to_host(theta)))
        arrays.refuse_recording("x0", x)
        start = checks.array("x0", x, xp=xp, empty=False)
        self.x_shape, self.dtype = tuple(start.shape), start.dtype
        self.x0: Array = xp.reshape(xp.asarray(start, copy=True), (-1,))
        self.size = math.prod(self.x_shape)
        self.rounding = float(xp.finfo(start.dtype).eps)
        self.nfev = self.nhvp = self.nproj = self.nupper = 0
        self.watched, self.judging = False, True
        self.steepest, self.ritz = 0.0, math.inf
        self.looked: Array | None = None
        #: the steps of the proximal gradients, by sigma
        self.steps: dict[float, float] = {}
        self.batch_size, self._rng = batch_size, checks.generator(rng)
        self._batches: tuple[Array, ...] | None = None
        self.low, self.high = self._box(
            problem.theta_bounds if theta_bounds is None else theta_bounds, called
        )
        #: the last x and theta whose Hessian was factorised, the Hessian and the factor
        self._factor: tuple[Array, Array, tuple[Any, Any]] | None = None
        #: whether H is factorised in place of being multiplied
        self.direct = problem.lower_hess is not None and arrays.is_numpy(xp) and self.dtype == np.float64
        self.fresh()
        if not arrays.is_numpy(xp):
            self._try_library()

    def _try_library(self) -> None:
        """Refuse a start whose array library the problem's functions do not take, in words of ours."""
        function = self.problem.lower_grad
        if function is None or self.problem.samples is not None or self.problem.backend == "jax":
            return
        try:
            function(self.to_x(self.x0), self.to_theta(self.theta0))
        except (TypeError, AttributeError, RuntimeError) as error:
            library = arrays.namespace_name(self.xp)
            raise TypeError(
                f"x0 is an array of {library}, which the problem's lower_grad does not take; give x0 in the "
                "library that the problem's functions are written for, as numpy.asarray(x0)"
            ) from error

    def fresh(self) -> None:
        """Forget the curvatures that were met."""
        self.least, self.most = math.inf, 0.0

    @property
    def cost(self) -> int:
        """Gradients and Hessian products."""
        return self.nfev + self.nhvp

    # -- the caller's shapes ------------------------------------------------------------------------

    def to_x(self, x: Array) -> Array:
        """A copy of x in the caller's shape."""
        out: Array = self.xp.reshape(self.xp.asarray(x, copy=True), self.x_shape)
        return out

    def to_theta(self, theta: Array) -> Array:
        """A copy of theta in the caller's shape, and beside x."""
        out = np.array(theta).reshape(self.theta_shape)
        if not arrays.is_numpy(self.xp):
            there: Array = self.xp.asarray(out, dtype=self.dtype)
            return there
        return out

    def constant(self, name: str, theta: Array) -> float | None:
        """One of the problem's constants."""
        try:
            return self.problem.constant(name, np.array(theta).reshape(self.theta_shape))
        except ValueError as error:
            if np.array_equal(theta, self.theta0):
                raise
            raise Halt(Status.NONFINITE, f"On the way, {error}.") from None

    def _flat(self, name: str, value: Any) -> Array:
        """A copy of what a function of x returned, which may be a buffer that it uses again."""
        xp = self.xp
        if "complex" in str(getattr(value, "dtype", "")):
            raise ValueError(f"{name} must return real numbers, got {value.dtype}")
        out = xp.asarray(value, dtype=self.dtype, copy=True)
        if tuple(out.shape) != self.x_shape:
            raise ValueError(f"{name} must return shape {self.x_shape}, as x0 says, got {tuple(out.shape)}")
        out = xp.reshape(out, (-1,))
        with np.errstate(over="ignore", invalid="ignore"):
            if not math.isfinite(float(xp.sum(out))) and not bool(xp.all(xp.isfinite(out))):
                raise Halt(Status.NONFINITE, f"{name} returned a NaN or an infinity.")
        flat: Array = out
        return flat

    def host(self, name: str, value: Any) -> Array:
        """A copy of what a function of theta returned."""
        there = arrays.to_host(value)
        if np.iscomplexobj(there):
            raise ValueError(f"{name} must return real numbers, got {np.asarray(there).dtype}")
        out = np.array(there, dtype=np.float64)
        if out.size != self.theta0.size:
            raise ValueError(f"{name} must return the shape of theta, {self.theta_shape}, got {out.shape}")
        if not np.isfinite(out).all():
            raise Halt(Status.NONFINITE, f"{name} returned a NaN or an infinity.")
        return out.reshape(-1)

    def _number(self, name: str, value: Any) -> float:
        shape = tuple(getattr(value, "shape", ()))
        if math.prod(shape) != 1:
            raise ValueError(f"{name} must return a number, got an array of shape {shape}")
        if value is None or isinstance(value, str | complex | list | tuple):
            raise ValueError(f"{name} must return a real number, got {value!r}")
        number = float(value[(0,) * len(shape)] if shape else value)
        if not math.isfinite(number):
            raise Halt(Status.NONFINITE, f"{name} returned a NaN or an infinity.")
        return number

    def pause(self) -> None:
        """End the run if its time or its budget is over."""
        if not self.watched:
            return
        if self.limits.expired:
            raise Halt(Status.TIME_LIMIT)
        if self.max_cost is not None and self.cost >= self.max_cost:
            raise Halt(Status.MAXITER, f"The {self.max_cost} gradients and products of max_cost are used up.")

    # -- the functions ------------------------------------------------------------------------------

    def upper(self, x: Array, theta: Array) -> float:
        """F."""
        return self._number("upper", self.problem.upper(self.to_x(x), self.to_theta(theta), **self._batch(0)))

    def lower(self, x: Array, theta: Array) -> float:
        """The lower objective."""
        return self._number("lower", self.problem.lower(self.to_x(x), self.to_theta(theta), **self._batch(1)))

    def upper_grad(self, x: Array, theta: Array) -> tuple[Array, Array]:
        """DF/dx and dF/dtheta."""
        assert self.problem.upper_grad is not None
        self.nupper += 1
        pair = self.problem.upper_grad(self.to_x(x), self.to_theta(theta), **self._batch(0))
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError("upper_grad must return a pair, dF/dx and dF/dtheta (or None)")
        in_x = self._flat("upper_grad", pair[0])
        if pair[1] is None:
            return in_x, np.zeros(self.theta0.size)
        return in_x, self.host("upper_grad", pair[1])

    def grad(self, x: Array, theta: Array) -> Array:
        """Df/dx."""
        self.pause()
        self.nfev += 1
        assert self.problem.lower_grad is not None
        out = self.problem.lower_grad(self.to_x(x), self.to_theta(theta), **self._batch(1))
        return self._flat("lower_grad", out)

    def hvp(self, x: Array, theta: Array, v: Array) -> Array:
        """H v; its curvature along v is looked at."""
        self.pause()
        self.nhvp += self.size if self.problem.only_hess else 1
        assert self.problem.lower_hvp is not None
        arguments = self.to_x(x), self.to_theta(theta), self.to_x(v)
        out = self._flat("lower_hvp", self.problem.lower_hvp(*arguments, **self._batch(1)))
        self.look(theta, v, out)
        return out

    def factor(self, x: Array, theta: Array) -> tuple[Any, Any]:
        """H and its Cholesky factor, which are kept until x or theta is another one."""
        if self._factor is not None and self._factor[0] is x and self._factor[1] is theta:
            return self._factor[2]
        self.pause()
        self.nhvp += self.size
        assert self.problem.lower_hess is not None
        H = np.asarray(self.problem.lower_hess(self.to_x(x), self.to_theta(theta), **self._batch(1)))
        if np.iscomplexobj(H):
            raise ValueError(f"lower_hess must return real numbers, got {H.dtype}")
        if H.shape != (self.size, self.size):
            raise ValueError(f"lower_hess must return shape {(self.size, self.size)}, got {H.shape}")
        if not np.isfinite(H).all():
            raise Halt(Status.NONFINITE, "lower_hess returned a NaN or an infinity.")
        norm = float(np.abs(H).sum(axis=0).max())
        factor, failed = lapack.dpotrf(H, lower=1)
        inverse = 0.0 if failed else float(lapack.dpocon(factor, norm, uplo="L")[0])
        if failed or inverse <= 10 * self.rounding:
            first = np.array_equal(theta, self.theta0)
            raise Halt(
                Status.BREAKDOWN if first else Status.STAGNATED,  # a trial is too far
                "The lower problem is not strongly convex, or too nearly not: "
                f"the condition number of its Hessian is {1 / max(inverse, 1e-300):.3g}.",
            )
        # The inverse's norm is that of the largest sums of its rows: no curvature lies below.
        self.least, self.most = min(self.least, inverse * norm), max(self.most, norm)
        self.steepest = max(self.steepest, norm)
        self._factor = x, theta, (H, factor)
        return H, factor

    def look(self, theta: Array, v: Array, product: Array) -> None:
        square = dot(self.xp, v, v)
        if not 1e-200 < square < 1e200 or not self.judging:  # products of others leave the range of numbers
            return
        curvature = dot(self.xp, v, product) / square
        size = arrays.norm(self.xp, product) / math.sqrt(square)
        # Directions of CG near its end are all rounding, and so is their curvature.
        mu, L = self.constant("mu", theta), self.constant("L", theta)
        noise = max(FLAT, 100 * self.rounding) * max(size, self.most, L or 0.0)
        if curvature < -noise:
            raise Halt(
                Status.BREAKDOWN,
                f"The lower problem is not convex: a curvature of {curvature:.3g} was met, so x is no "
                "minimum, or lower_hvp is wrong.",
            )
        if mu is not None and curvature < mu * (1 - SLACK) - noise:
            raise Halt(Status.BREAKDOWN, f"A curvature of {curvature:.3g} was met, below mu = {mu:.3g}.")
        if L is not None and curvature > L * (1 + SLACK) + noise:
            raise Halt(Status.BREAKDOWN, f"A curvature of {curvature:.3g} was met, above L = {L:.3g}.")
        self.least, self.most = min(self.least, curvature), max(self.most, curvature)
        self.steepest = max(self.steepest, self.most)

    def cross(self, x: Array, theta: Array, q: Array) -> Array:
        """C'q."""
        assert self.problem.lower_cross_vjp is not None
        arguments = self.to_x(x), self.to_theta(theta), self.to_x(q)
        return self.host("lower_cross_vjp", self.problem.lower_cross_vjp(*arguments, **self._batch(1)))

    def grad_theta(self, x: Array, theta: Array) -> Array:
        """Df/dtheta."""
        assert self.problem.lower_grad_theta is not None
        out = self.problem.lower_grad_theta(self.to_x(x), self.to_theta(theta), **self._batch(1))
        return self.host("lower_grad_theta", out)

    # -- for the methods without Hessians -------------------------------------------------------------

    def project(self, x: Array, step: float) -> Array:
        """The projection of x."""
        if self.problem.lower_project is None:
            return x
        self.nproj += 1
        return self._flat("lower_project", self.problem.lower_project(self.to_x(x), step))

    def draw(self) -> None:
        """Draw the samples that the next calls see, if the problem has any."""
        if self.problem.samples is not None:
            upper, lower = self.problem.samples
            size = self.batch_size
            self._batches = tuple(
                np.arange(n) if size >= n else self._rng.integers(0, n, size) for n in (upper, lower)
            )

    def see_all(self) -> None:
        """Let the next calls see all samples."""
        self._batches = None

    def _batch(self, level: int) -> dict[str, Any]:
        if self.problem.samples is None:
            return {}
        return {"batch": None if self._batches is None else self._batches[level]}

    def own_solve(self, theta: Array, x: Array, tol: float) -> Array:
        """The lower solution by the caller's own solver."""
        assert self.problem.lower_solver is not None
        self.pause()
        out = self.problem.lower_solver(self.to_theta(theta), self.to_x(x), tol)
        return self._flat("lower_solver", out.x if isinstance(out, Result) else out)

    def _box(self, bounds: Any, called: str) -> tuple[Array, Array]:
        """The bounds of theta."""
        low, high = -math.inf, math.inf
        if bounds is not None:
            if self.problem.theta_project is not None:
                raise ValueError("theta_bounds and theta_project exclude each other: project on both at once")
            if not isinstance(bounds, tuple | list) or len(bounds) != 2:
                raise ValueError(f"theta_bounds must be a pair (low, high), got {bounds!r:.60}")
            low, high = (w if b is None else b for b, w in zip(bounds, (low, high), strict=True))
        size = self.theta_shape
        pair = [_bound(b) for b in (low, high)]
        for b in pair:
            if b.shape not in {(), size}:
                raise ValueError(f"theta_bounds must be numbers or of {called}'s shape {size}, got {b.shape}")
        pair = [np.broadcast_to(b, size).reshape(-1) for b in pair]
        if np.isnan(pair).any() or not (pair[0] <= pair[1]).all():
            raise ValueError("theta_bounds must be numbers with low <= high")
        if not ((self.theta0 >= pair[0]) & (self.theta0 <= pair[1])).all():
            raise ValueError(f"{called} lies outside of theta_bounds")
        return pair[0], pair[1]


def _bound(value: Any) -> Array:
    """A bound of theta, of any array library."""
    arrays.refuse_recording("theta_bounds", value)
    value = arrays.to_host(value) if hasattr(value, "shape") else value
    return np.asarray(checks.array("theta_bounds", value, check_finite=False), dtype=np.float64)


def at_solution(oracle: Oracle, work: Callable[[], Any]) -> Any:
    """Do something whose calls are not limited: at the end of a run."""
    oracle.watched, before = False, oracle.watched
    try:
        return work()
    finally:
        oracle.watched = before


def nearby(x: Array, u: Array, evaluate: Callable[[Array], Any]) -> tuple[Any, float]:
    """Something at x + u, or, where that is not defined, on the other side or nearer, and how far away."""
    length = arrays.norm(arrays.array_namespace(u=u), u)
    for factor in (1.0, -1.0, 0.1, -0.1, 1e-2, -1e-2, 1e-3):
        try:
            return evaluate(x + factor * u), abs(factor) * length
        except Halt as halt:
            if halt.status is not Status.NONFINITE or factor == 1e-3:
                raise
    raise AssertionError
