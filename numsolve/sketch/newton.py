"""Newton sketch: Newton's method with a sketched Hessian, for models with many more rows than variables.

For f(x) = sum_i phi(a_i'x, y_i) + l2 / 2 ||x||^2 the Hessian is A'D A + l2 I, D = diag(phi''). With a sketch
S::

    H_S = (S D^1/2 A)'(S D^1/2 A) + l2 I                                                               (1)
    p   = -H_S^-1 grad f                               the published step                               (2)
    p   = -H^-1 grad f by conjugate gradients with the preconditioner H_S                              (3)
    f(x + t p) <= f(x) + 0.1 t grad f'p, for t = 1, 1/2, 1/4, ...                                      (4)
    twice as many rows of S where the gradient did not fall to its half in a full step of (2)          (5)

M. Pilanci, M. J. Wainwright, "Newton sketch: a near linear-time optimization algorithm with linear-quadratic
convergence", SIAM J. Optim. 27, 2017; J. Lacotte, Y. Wang, M. Pilanci, "Adaptive Newton sketch", ICML 2021.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.linalg as sl

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers
from numsolve._core.krylov import conjugate_gradients
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status

from .glm import GLM
from .operators import KINDS, SparseSign, make_sketch
from .result import SketchResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, ArrayLike, Callback, RandomState

#: Armijo's fraction, and halvings of a step.
ARMIJO, HALVINGS = 0.1, 40
#: Most steps of (3) in one iteration, and the relative residual they begin with.
CG_STEPS, FORCING = 100, 0.1
#: No tolerance is below the first; a gradient this small beside the first one may be rounding errors.
UNIT, NEAR_FLOOR = float(np.finfo(np.float64).eps), 1e-6
#: At a minimum the last Newton step is small: over x, and over the step before; steps until it must be.
FINAL_STEP, CONTRACTION, RUNNING_ON = 1e-2, 0.9, 8


@answers()
def newton_sketch(
    model: GLM,
    x0: ArrayLike | None = None,
    *,
    sketch: Literal["sparse-sign", "gaussian", "countsketch", "srht", "rows"] = "sparse-sign",
    size: int | None = None,
    precondition: bool = True,
    tol: float = 1e-8,
    rng: RandomState = None,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> SketchResult:
    """Fit a generalised linear model by Newton's method with a sketched Hessian.

    Parameters
    ----------
    model : GLM
        The model.
    x0 : array of shape (d,), optional
        The start; zeros by default.
    sketch : {"sparse-sign", "gaussian", "countsketch", "srht", "rows"}
        As in `numsolve.sketch.make_sketch`.
    size : int, optional
        Rows of the sketch, at first without `precondition`; 4 d by default.
    precondition : bool
        Let the sketched Hessian precondition conjugate gradients for the exact Newton step. False is the
        published method, whose sketch grows where it does not contract enough.
    tol : float
        Converged when the norm of the gradient is at most `tol` times that at zero, and the last Newton step
        promised to lower the objective by at most the root of `tol`, times its value at zero if gaussian.
        Where rounding errors leave a larger gradient, the status is ROUNDING, a success.
    rng : None, int or Generator
        Where the sketches come from.
    maxiter, callback, progress, time_limit
        The run settings, as in `numsolve.sketch.minimize`; 200 iterations by default.

    Returns
    -------
    SketchResult
        `residual` is the norm of the gradient at `x`, `ninner` the steps of conjugate gradients.

    Raises
    ------
    TypeError
        If `model` is no `GLM`.
    ValueError
        If a shape is wrong or a setting is out of range.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached. Where there is no minimum, as for classes without `l2` that are told
        apart, in all rows or in those of one column, the status is UNBOUNDED.

    References
    ----------
    M. Pilanci, M. J. Wainwright, "Newton sketch: a near linear-time optimization algorithm with
    linear-quadratic convergence", SIAM J. Optim. 27, 2017.
    J. Lacotte, Y. Wang, M. Pilanci, "Adaptive Newton sketch", ICML 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import sketch
    >>> rng = np.random.default_rng(0)
    >>> A = rng.normal(size=(2000, 10))
    >>> y = rng.random(2000) < 1 / (1 + np.exp(-A @ np.ones(10)))
    >>> result = sketch.newton_sketch(sketch.GLM(A, y), rng=0)
    >>> print(result.success, np.abs(result.x - 1).max() < 0.3)
    True True
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    if not isinstance(model, GLM):
        raise TypeError(f"model must be a numsolve.sketch.GLM, got {type(model).__name__}")
    n, d = model.A.shape
    checks.choice("sketch", sketch, tuple(KINDS))
    precondition = checks.flag("precondition", precondition)
    size = 4 * d if size is None else checks.integer("size", size, low=d + 10)
    tol = checks.real("tol", tol, low=0.0)
    dtype = model.A.dtype
    x = np.zeros(d, dtype) if x0 is None else checks.array("x0", x0, shape=(d,), dtype=dtype)
    run = _Run(model, sketch, min(size, n), precondition, checks.generator(rng), tol)
    reference = arrays.norm(np, model.jac(np.zeros(d, dtype)))
    with Monitor(
        limits, rtol=tol, reference=reference, maxiter=200, label="Newton sketch", keep="reference",
        columns=("fun", "sketch_size"), present=lambda x: x.copy(),
    ) as it:  # fmt: skip
        run.start(x)
        it.record(run.size_of_gradient, run.x, fun=run.f, sketch_size=run.size,
                  converged=run.converged(it.threshold))  # fmt: skip
        beyond = 0
        for _ in it:
            moved = run.advance(it.threshold)
            it.record(run.size_of_gradient, run.x, fun=run.f, sketch_size=run.size,
                      converged=run.converged(it.threshold))  # fmt: skip
            beyond += run.size_of_gradient <= it.threshold
            if it.running and run.at_floor():
                it.stop(Status.ROUNDING, f"The gradient is {run.size_of_gradient:.2g}.")
            elif it.running and beyond > RUNNING_ON:
                it.stop(Status.UNBOUNDED, "The fit improves as x grows without end: set l2.")
            elif it.running and not math.isfinite(run.f):
                it.stop(Status.NONFINITE, "The objective overflows at x0.")
            elif it.running and not moved:
                it.stop(Status.STAGNATED, "No step lowers the objective.")
    gradient = OUT_OF_RANGE(model.jac)(it.x)
    return it.result(
        SketchResult,
        residual=arrays.norm(np, gradient),
        fun=model.fun(it.x),
        lam=np.zeros(0),
        scaled_residual=arrays.norm(np, gradient) / reference if reference > 0 else 0.0,
        optimality=float(np.max(np.abs(gradient))),
        constr_violation=0.0,
        nfev=run.nfev,
        njev=run.njev,
        nhev=run.nhev,
        ninner=run.ncg,
        inner=f"{sketch}, {'conjugate gradients' if precondition else 'sketched'}",
    )


#: A step that leads out of range is not taken, and a start there ends the run, without NumPy's warning.
OUT_OF_RANGE = np.errstate(over="ignore", invalid="ignore")


class _Run:
    """The state of the iteration."""

    def __init__(
        self, model: GLM, kind: Any, size: int, precondition: bool, rng: np.random.Generator, tol: float
    ) -> None:
        self.model, self.kind, self.size, self.rng = model, kind, size, rng
        self.precondition = precondition
        self.nfev = self.njev = self.nhev = self.ncg = 0
        self.tol, self.decrement = tol, math.inf  # grad f'H^-1 grad f / 2 at the last Newton step
        self.step = self.step_before = math.inf  # lengths of the last two Newton steps

    def start(self, x: Array) -> None:
        self._at(x, self.model.A @ x)
        self.f = self.model.value(self.z, x)
        self.nfev += 1
        self.first = self.size_of_gradient
        zero = self.model.fun(np.zeros_like(x)) if self.model.family == "gaussian" else 1.0
        self.worth = zero if 0.0 < zero < math.inf else 1.0  # the objective's units: those of y, squared

    @OUT_OF_RANGE
    def _at(self, x: Array, z: Array) -> None:
        self.x, self.z = x, z
        first, self.weights = self.model.slopes(z)
        self.gradient = np.asarray(self.model.A.T @ first + self.model.l2 * x)
        self.size_of_gradient = arrays.norm(np, self.gradient)
        self.njev += 1

    def converged(self, threshold: float) -> bool:
        """Whether the gradient is small, and not because x runs to infinity, with steps that stay as long."""
        if not self.size_of_gradient <= threshold:
            return False
        if self.size_of_gradient == 0.0:
            return True
        # The decrement, unlike the gradient, has no units of the columns.
        if self.decrement > math.sqrt(max(self.tol, UNIT)) * self.worth:
            return False
        if self.model.family == "gaussian" or self.model.l2 > 0.0:
            return True
        size = max(1.0, arrays.norm(np, self.x))
        if self.step <= 1e-8 * size:
            return True
        return self.step <= FINAL_STEP * size and self.step <= CONTRACTION * self.step_before

    @OUT_OF_RANGE
    def at_floor(self) -> bool:
        """Whether rounding errors are all that the gradient consists of, at a minimum."""
        if self.size_of_gradient > NEAR_FLOOR * self.first or not self.size_of_gradient > 0.0:
            return False
        model, sizes = self.model, abs(self.model.A)
        first = self.weights * (sizes @ np.abs(self.x)) + np.abs(model.slopes(self.z)[0] + model.y)
        floor = arrays.norm(np, sizes.T @ (first + np.abs(model.y)) + model.l2 * np.abs(self.x))
        return self.converged(4 * np.finfo(self.x.dtype).eps * floor)

    @OUT_OF_RANGE
    def advance(self, threshold: float) -> bool:
        """One step; False where the line search finds none."""
        factor = self._sketched()
        if self.precondition and self.size < self.model.A.shape[0]:
            p = self._newton_step(factor, threshold)
        else:
            p = -factor(self.gradient)  # (2)
        # A sketch that missed a direction has a step without end there.
        slope = float(self.gradient @ p) if np.isfinite(p).all() else math.nan
        if not slope < 0.0:
            p, slope = -self.gradient, -self.size_of_gradient * self.size_of_gradient
        self.step, self.step_before, self.decrement = arrays.norm(np, p), self.step, -0.5 * slope
        moved = self.model.A @ p
        before, t = self.size_of_gradient, 1.0
        for _ in range(HALVINGS):
            x, z = self.x + t * p, self.z + t * moved
            f = self.model.value(z, x)
            self.nfev += 1
            # Where f no longer tells two points apart, the gradient does.
            if f <= self.f + ARMIJO * t * slope or (
                abs(f - self.f) <= 1e-12 * abs(self.f) and arrays.norm(np, self.model.jac(x)) < before
            ):  # (4)
                self._at(x, self.model.A @ x)
                self.f = self.model.value(self.z, x)
                if not self.precondition and self.size_of_gradient > 0.5 * before:  # (5)
                    self.size = min(2 * self.size, self.model.A.shape[0])
                return True
            t *= 0.5
        return False

    def _sketched(self) -> Callable[[Array], Array]:
        """The inverse of (1), as a function."""
        A, n = self.model.A, self.model.A.shape[0]
        self.nhev += 1
        root = np.sqrt(self.weights)
        if self.size >= n:
            H = self.model.hess(self.x)
        else:
            S = make_sketch(self.kind, self.size, n, nnz=4, rng=self.rng)
            if isinstance(S, SparseSign):  # no copy of A: the weights go into the sketch
                S.sign = S.sign * root[:, None]
                B = S @ A
            else:
                B = S @ (A.multiply(root[:, None]).tocsr() if arrays.is_sparse(A) else A * root[:, None])
            H = B.T @ B + self.model.l2 * np.eye(A.shape[1], dtype=B.dtype)
        # With a unit diagonal, so that neither the units of the columns nor the shift matter.
        d = np.sqrt(np.diag(H))
        d[~(d > 0.0)] = 1.0
        H = H / d / d[:, None]
        shift = 1e-14
        for _ in range(20):
            try:
                factor = sl.cho_factor(H + shift * np.eye(A.shape[1]))
            except np.linalg.LinAlgError:
                shift *= 100
                continue
            return lambda v: np.asarray(sl.cho_solve(factor, v / d) / d)
        return lambda v: v / d**2

    def _newton_step(self, precondition: Callable[[Array], Array], threshold: float) -> Array:
        """(3), to a residual that falls with the gradient."""
        A, weights, l2 = self.model.A, self.weights, self.model.l2

        def product(v: Array) -> Array:
            return np.asarray(A.T @ (weights * (A @ v)) + l2 * v)

        r = -self.gradient
        wanted = min(FORCING, math.sqrt(self.size_of_gradient / max(self.first, 1e-300)))
        wanted = max(wanted * self.size_of_gradient, 0.1 * threshold)
        p = np.zeros_like(r)
        for _, step in zip(
            range(CG_STEPS), conjugate_gradients(np, product, p, r, precondition), strict=False
        ):
            p = step.x
            self.ncg += 1
            if not step.curvature > 0.0 or arrays.norm(np, step.r) <= wanted:
                break
        return p if np.any(p) else np.asarray(precondition(r))
