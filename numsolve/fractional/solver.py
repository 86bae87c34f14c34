r"""A solver to keep: one equation, or several orders of it, and many right-hand sides.

What does not depend on the right-hand side is computed once. Up to 1100 unknowns it is a dense factorisation,
in two halves where the coefficients are constant and the weights equal; beyond, the fast products and the
preconditioner of `solve_riesz_bvp`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.result import Status, deliver

from ._data import check_given, is_values
from ._exterior import Lift, check_exterior, lifted, right_hand_side
from ._prepared import Equation, Prepared
from ._settings import DEFINITIONS, FOREIGN
from ._sine_bvp import check_sines
from ._splines import DOUBTFUL, check_size
from .bspline import LEAST_ALPHA, check_alpha, check_degree, check_order
from .bvp import METHODS, check_preconditioner
from .operator import check_interval, check_spans, check_weights, spline_of
from .result import RieszBatchResult
from .sine import grid

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from numsolve._core.typing import Callback

    from ._data import Values
    from ._settings import Definition, Preconditioner
    from .bvp import Method
    from .result import RieszResult

    Array = NDArray[np.float64]


class RieszSolver:
    r"""Solve ``diffusion * R u + advection * u' + reaction * u = f`` for many right-hand sides.

    The equation, its methods and the results are those of `solve_riesz_bvp`. What does not depend on f is
    computed for the first right-hand side that needs it, and kept.

    Parameters
    ----------
    alpha : float or array of shape (m,)
        Order, ``0 < alpha <= 2``, or several, each of which is solved for; above 1 for splines.
    interval, n, p, reaction, diffusion, advection, weights, definition, exterior
        As in `solve_riesz_bvp`. The values outside are the same for all right-hand sides.
    method : {"auto", "spline", "spectral", "dense"}
        As in `solve_riesz_bvp`; but of the splines, "auto" factorises up to 1100 unknowns.
    preconditioner, rtol
        As in `solve_riesz_bvp`.

    Attributes
    ----------
    alpha : float or array of shape (m,)
        The orders.
    points : array of shape (K,)
        Where values of right-hand sides belong: `RieszSplineOperator.greville`, or inside the interval the
        ends of n equal spans for definition "spectral".

    Raises
    ------
    ValueError
        If an argument has the wrong shape or range; the message says which and what is wanted.
    TypeError
        If an argument is complex or no number.

    See Also
    --------
    numsolve.fractional.solve_riesz_bvp : For one right-hand side.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve.fractional import RieszSolver
    >>> solver = RieszSolver(1.5, n=100, p=4)
    >>> F = np.stack([np.sin(k * solver.points) for k in range(1, 6)], axis=1)
    >>> solver.solve(F)(0.5).round(5)
    array([0.12474, 0.20519, 0.21795, 0.16976, 0.09067])
    >>> RieszSolver([0.7, 1.3], exterior=2.0).solve(0.0)(0.5)  # constants are harmonic
    array([2., 2.])
    >>> orders = RieszSolver([1.2, 1.5, 1.8])
    >>> orders.solve(1.0)(0.5).round(6)
    array([0.395057, 0.265962, 0.171295])
    """

    @answers(**FOREIGN)
    def __init__(
        self,
        alpha: ArrayLike,
        *,
        interval: tuple[float, float] = (0.0, 1.0),
        n: int = 256,
        p: int = 5,
        reaction: Values | None = None,
        diffusion: Values | None = None,
        advection: Values | None = None,
        weights: tuple[float, float] = (0.5, 0.5),
        definition: Definition = "rl",
        exterior: Values = 0.0,
        method: Method = "auto",
        preconditioner: Preconditioner = "auto",
        rtol: float = 1e-12,
    ) -> None:
        checks.choice("method", method, METHODS)
        p, weights = check_degree(p), check_weights(weights)
        any_order = method in {"auto", "spectral"} or definition == "spectral"
        orders = checks.array("alpha", alpha, dtype=np.float64, ndim=(0, 1), empty=False)
        numbers = np.atleast_1d(orders).tolist()
        each = [check_order(a, weights) if any_order else check_alpha(a) for a in numbers]
        if definition == "spectral":
            check_sines(n, weights, method)
        splines = method != "spectral" and definition != "spectral"
        n = check_spans(n, p) if splines else checks.integer("n", n, low=1)
        if method == "dense":
            check_size(n + p - 2)
        if method == "spectral" and definition != "spectral":
            check_size(n)
        check_given(reaction=reaction, diffusion=diffusion, advection=advection)
        equation = Equation(
            each[0],
            check_interval(interval),
            n,
            p,
            reaction,
            diffusion,
            advection,
            weights,
            checks.choice("definition", definition, DEFINITIONS),
            method,
            check_preconditioner(preconditioner),
            checks.real("rtol", rtol, low=0.0),
        )
        self._single = orders.ndim == 0
        self._prepared = tuple(Prepared(replace(equation, alpha=a)) for a in each)
        self._exterior = exterior
        self._lifts: tuple[Lift, ...] = ()
        if self._has_exterior(0.0):
            self._lifts = tuple(Lift(exterior, a, equation.interval) for a in each)

    @property
    def alpha(self) -> Any:
        """The order, or the orders."""
        orders = [one.equation.alpha for one in self._prepared]
        return orders[0] if self._single else np.array(orders)

    @property
    def points(self) -> Array:
        """The collocation points of the splines, or those of the sines."""
        first = self._prepared[0].equation
        if first.definition == "spectral":
            return grid(first.n, first.interval)
        for one in self._prepared:
            if one.equation.alpha > LEAST_ALPHA:
                return one.operator.greville
        raise ValueError("alpha must be above 1 for splines, which have the collocation points")

    @answers()
    def solve(
        self,
        f: Values,
        *,
        maxiter: int | None = None,
        callback: Callback | None = None,
        progress: bool = False,
        time_limit: float | None = None,
    ) -> RieszResult:
        r"""Solve for one right-hand side, or for several.

        Parameters
        ----------
        f : callable, float or array of shape (K,) or (K, k)
            A function of an array of points, a constant, or values at the `points`, a column for each
            right-hand side. With m orders, a matrix has m columns, one for each order.
        maxiter, callback, progress, time_limit : int, callable, bool, float
            As in `solve_riesz_bvp`; the seconds are for all right-hand sides together.

        Returns
        -------
        RieszResult
            As that of `solve_riesz_bvp`; for several right-hand sides or orders, a `RieszBatchResult`.

        Raises
        ------
        ValueError
            If f has the wrong shape, or if it needs splines that do not exist for these orders.
        TypeError
            If f is complex or no number.

        Warns
        -----
        ConvergenceWarning
            As in `solve_riesz_bvp`, if one of the solves has failed.
        """
        limits = Limits(maxiter, time_limit, callback, progress)
        matrix = is_values(f) and arrays.ndim(f) == 2
        self._has_exterior(f)
        if self._single and not matrix:
            return self._one(0, f, limits)
        if self._single:
            return self._columns(f, limits)
        each = range(len(self._prepared))
        if matrix:
            F = checks.array("f", f, dtype=np.float64, shape=(None, len(each)))
            return _merged([self._one(j, F[:, j], limits) for j in each])
        return _merged([self._one(j, f, limits) for j in each])

    def _has_exterior(self, f: Any) -> bool:
        """Whether there are values outside; refuse them where there is no lifting."""
        e = self._prepared[0].equation
        return check_exterior(self._exterior, e.definition, e.weights, e.advection, (f, e.reaction))

    def _one(self, j: int, f: Any, limits: Limits) -> RieszResult:
        """Solve for the order number j and one right-hand side."""
        one = self._prepared[j]
        if not self._lifts:
            return one.solve(f, limits)
        lift = self._lifts[j]
        return lifted(one.solve(right_hand_side(f, one.equation.reaction, lift), limits), lift)

    def _columns(self, f: Any, limits: Limits) -> RieszBatchResult:
        """Solve for the columns of a matrix."""
        one = self._prepared[0]
        e = one.equation
        if one.by_sines or self._lifts:
            F = checks.array("f", f, dtype=np.float64, shape=(self.points.size, None), empty=False)
            return _merged([self._one(0, column, limits) for column in F.T])
        if e.method == "spectral":
            raise ValueError("method 'spectral' does not apply: f must be a function, not values at points")
        one.right_hand_side(0.0)
        A = one.operator
        F = checks.array("f", f, dtype=np.float64, shape=(A.shape[0], None), empty=False)
        C, what = one.several(F, limits)
        errors: Any = None
        reaction = one.coefficients()[0]
        if reaction is not None and np.min(reaction) < 0:  # as for one right-hand side
            errors = one.errors_of(F, C)
            what["status"] = np.where(errors > DOUBTFUL, Status.BREAKDOWN, what["status"])
        result = RieszBatchResult(
            x=C,
            points=A.greville,
            sol=tuple(spline_of(A, c) for c in C.T),
            method="dense" if one.dense else "spline",
            reason="the data are values at the collocation points",
            error_estimate=(lambda: one.errors_of(F, C)) if errors is None else errors,
            interval=e.interval,
            **what,
        )
        deliver(result)
        return result


def _merged(results: list[RieszResult]) -> RieszBatchResult:
    """One result for the solutions of several orders."""
    most = max(r.x.size for r in results)
    methods = sorted({r.method for r in results})
    what: dict[str, Any] = {
        name: np.array([getattr(r, name) for r in results]) for name in ("status", "nit", "residual")
    }
    return RieszBatchResult(
        x=np.stack([np.pad(r.x, (0, most - r.x.size)) for r in results], axis=1),
        points=results[0].points,
        sol=tuple(r.sol for r in results),
        method=" and ".join(methods),
        reason=results[0].reason,
        error_estimate=lambda: np.array([r.error_estimate for r in results]),
        interval=results[0].interval,
        **what,
    )
