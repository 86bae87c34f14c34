r"""The Sinkhorn iteration for entropic optimal transport, with over-relaxation.

The plan ``P_ij = exp((f_i + g_j - M_ij) / eps)`` gets its rows and its columns right in turn:

    f <- f + w eps log(a / P 1),                                                                     (1)
    g <- g + w eps log(b / P' 1),                                                                    (2)

with w = 1 in the original (M. Cuturi, "Sinkhorn distances", NeurIPS 2013). A weight 1 < w < 2 shortens a
slow run (A. Thibault, L. Chizat, C. Dossal, N. Papadakis, "Overrelaxed Sinkhorn-Knopp algorithm for
regularized optimal transport", Algorithms 14, 2021): near the solution the iteration is a Gauss-Seidel
sweep over two blocks, and Young's theory of successive over-relaxation holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.result import Status

from ._foreign import KEYWORDS, SINKHORN
from ._problem import prepare, quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numsolve._core.typing import Array, ArrayLike, Callback, Kernels, Namespace

    from ._problem import Potentials, Problem, Weights
    from .result import TransportResult

Form = Literal["auto", "scaling", "stabilized", "log", "plan"]
METHODS = get_args(Form)
#: The stored kernel is made again when a scaling leaves exp(-46) ... exp(46), about 1e-20 ... 1e20.
ABSORB_AT = 46.0
#: Sums below this have lost digits to underflow, or all of them.
TINY = 1e-200


@answers(**KEYWORDS)
def sinkhorn(
    a: Weights,
    b: Weights,
    M: ArrayLike,
    reg: float,
    *,
    method: Form = "auto",
    overrelaxation: float | Literal["auto"] = "auto",
    tol: float = 1e-9,
    potentials_init: Sequence[ArrayLike] | None = None,
    return_plan: bool = True,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> TransportResult:
    """Solve entropic optimal transport by the Sinkhorn iteration.

    It needs about ``max(M) / reg`` sweeps, a square root of that with over-relaxation. For a small `reg`
    `numsolve.transport.solve` is faster.

    Parameters
    ----------
    a : array of shape (n,), or None
        Weights of the source, nonnegative; None or an empty list for uniform ones.
    b : array of shape (m,), or None
        Weights of the target, of the same sum as `a`.
    M : array of shape (n, m)
        Cost; ``+inf`` forbids a pair.
    reg : float
        Regularisation, positive, in the unit of `M`.
    method : {"auto", "scaling", "stabilized", "log", "plan"}
        How the row and column sums are computed; the iterates are the same up to rounding. "scaling"
        stores ``exp(-M / reg)`` and fails if that underflows, "stabilized" renews a stored kernel when
        the potentials have moved, "log" uses log-sum-exp throughout, "plan" sums the plan. "auto" is
        "stabilized".
    overrelaxation : float or "auto"
        The weight w, in (0, 2). "auto" starts with 1 and raises it once the error falls geometrically.
    tol : float
        Largest error of the marginals in the 1-norm, rows and columns together, relative to the mass.
    potentials_init, return_plan
        As in `numsolve.transport.solve`.
    maxiter, callback, progress, time_limit
        As in `numsolve.transport.solve`; an iteration is a sweep, which updates f and g: 10 000 by default.

    Returns
    -------
    TransportResult
        With `plan`, `potentials`, `value`, `value_linear`, `kl`, `marginal_error` and `nsinkhorn`.

    Raises
    ------
    ValueError
        If an argument has the wrong shape or range; the message says which and what is wanted.
    TypeError
        If an array is complex, or the arrays come from different libraries.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached; the result is the best iterate.

    See Also
    --------
    numsolve.transport.solve : Newton's method, for any regularisation.

    References
    ----------
    M. Cuturi, "Sinkhorn distances: lightspeed computation of optimal transport", NeurIPS 2013.
    B. Schmitzer, "Stabilized sparse scaling algorithms for entropy regularized transport problems",
    SIAM J. Sci. Comput. 41, 2019.

    Examples
    --------
    >>> from numsolve import transport
    >>> result = transport.sinkhorn([0.5, 0.5], [0.5, 0.5], [[0.0, 1.0], [1.0, 0.0]], reg=0.5)
    >>> result.plan.round(4)
    array([[0.4404, 0.0596],
           [0.0596, 0.4404]])
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    checks.choice("method", method, METHODS, foreign=SINKHORN)
    weight = None if isinstance(overrelaxation, str) and overrelaxation == "auto" else _weight(overrelaxation)
    tol = checks.real("tol", tol, low=0.0)
    return_plan = checks.flag("return_plan", return_plan)
    problem = prepare(M, a, b, reg)
    return sweep(
        problem,
        limits,
        method=method,
        weight=weight,
        tol=tol,
        potentials_init=potentials_init,
        return_plan=return_plan,
    )


def sweep(
    problem: Problem,
    limits: Limits,
    *,
    method: Form,
    weight: float | None,
    tol: float,
    potentials_init: Sequence[ArrayLike] | None,
    return_plan: bool,
) -> TransportResult:
    """Solve a prepared problem, with a fixed weight or, for None, one that is chosen on the way."""
    xp, reg = problem.xp, problem.reg
    k = arrays.kernels_for(xp, __package__)
    f, g = problem.start(potentials_init)
    sums = _SUMS[method](k, problem)
    log_a, log_b = xp.log(problem.a), xp.log(problem.b)
    relaxation = Relaxation(weight)

    with problem.monitor("Sinkhorn", limits, tol, 10_000, columns=("weight",)) as it:
        with quiet():
            g = g + reg * (log_b - sums.columns(f, g))
            log_r = sums.rows(f, g)
        it.record(_error(xp, log_r, problem.a), (f, g), weight=1.0)
        for _ in it:
            w = relaxation.weight
            with quiet():
                f = f + w * reg * (log_a - log_r)  # (1)
                log_c = sums.columns(f, g)
                g = g + w * reg * (log_b - log_c)  # (2)
                log_c = (1 - w) * log_c + w * log_b
                log_r = sums.rows(f, g)
                error = _error(xp, log_r, problem.a) + (0.0 if w == 1.0 else _error(xp, log_c, problem.b))
            it.record(error, (f, g), weight=w)
            relaxation.observe(error)

    if method == "scaling" and it.status is Status.NONFINITE:
        it.detail = 'exp(-M / reg) underflows; method="stabilized" does not.'
    f, g = it.x if np.isfinite(it.residual) else problem.start(potentials_init)
    return problem.result(it, k.plan(problem.M, f, g, reg), (f, g), return_plan, nsinkhorn=it.nit)


class Relaxation:
    """Choose the weight of the next sweep from the errors of the past ones.

    Under a weight w the error falls by ``lam`` a sweep. The rate theta that the plain iteration would have,
    and the best weight, follow from it:

        (lam + w - 1)**2 = lam w**2 theta,                                                           (3)
        w = 2 / (1 + sqrt(1 - theta)).                                                               (4)

    This is local theory: the weight is raised only when the error is small and falls geometrically, and
    goes half-way back to one when the error grows by more than the transient of a change explains.
    """

    def __init__(self, fixed: float | None = None) -> None:
        self.weight = 1.0 if fixed is None else fixed
        self._adapts = fixed is None
        self._ceiling = 2.0
        self._errors: list[float] = []

    def observe(self, error: float) -> None:
        """Take note of the error of a sweep."""
        if not self._adapts:
            return
        errors, w = self._errors, self.weight
        errors.append(error)
        if w > 1 and not error * (2 - w) <= 4 * errors[0]:
            self._ceiling = 1 + (w - 1) / 2
            self._change(1.0 if w < 1.01 else self._ceiling)
            return
        # A change of weight is felt for some 1 / (2 - w) sweeps; the rate is read off after that.
        span = max(10, int(4 / (2 - w)))
        if not 0 < error <= 0.02 or len(errors) <= 3 * span:
            return
        first = np.log(errors[-1 - 2 * span] / errors[-1 - span]) / span
        second = np.log(errors[-1 - span] / error) / span
        if second > 0 and abs(first - second) <= 0.2 * second and np.exp(-second) > w - 1:
            rate = np.exp(-second)
            theta = min((rate + w - 1) ** 2 / (rate * w**2), 1 - 1e-10)  # (3)
            best = min(2 / (1 + np.sqrt(1 - theta)), self._ceiling)  # (4)
            if best > w + 0.05 * (2 - w):
                self._change(float(best))
                return
        del errors[1 : 1 + span // 2]

    def _change(self, weight: float) -> None:
        self.weight = weight
        del self._errors[:-1]


class _LogSums:
    """Logarithms of the row and column sums of the plan, by log-sum-exp: safe for any potentials."""

    def __init__(self, kernels: Kernels, problem: Problem) -> None:
        self.k, self.p = kernels, problem

    def rows(self, f: Array, g: Array) -> Array:
        out: Array = self.k.log_row_sums(self.p.M, f, g, self.p.reg)
        return out

    def columns(self, f: Array, g: Array) -> Array:
        out: Array = self.k.log_column_sums(self.p.M, f, g, self.p.reg)
        return out


class _PlanSums(_LogSums):
    """The same from the plan itself, one look at each entry: the old potentials are the stabiliser."""

    def rows(self, f: Array, g: Array) -> Array:
        return self._checked(self.k.plan_row_sums(self.p.M, f, g, self.p.reg), f, g, super().rows)

    def columns(self, f: Array, g: Array) -> Array:
        return self._checked(self.k.plan_column_sums(self.p.M, f, g, self.p.reg), f, g, super().columns)

    def _checked(self, sums: Array, f: Array, g: Array, safe: Callable[[Array, Array], Array]) -> Array:
        """Take the logarithm, or the safe way where potentials that jumped have left 0 or inf."""
        xp = self.p.xp
        low, high = float(xp.min(sums)), float(xp.max(sums))
        return xp.log(sums) if low > TINY and high < 1 / TINY else safe(f, g)


class _StabilizedSums(_LogSums):
    """The same by products with a stored kernel exp((f0 + g0 - M) / eps), renewed when f, g leave f0, g0."""

    renews = True

    def __init__(self, kernels: Kernels, problem: Problem) -> None:
        super().__init__(kernels, problem)
        self._store(problem.xp.zeros_like(problem.a), problem.xp.zeros_like(problem.b))

    def rows(self, f: Array, g: Array) -> Array:
        u, v = self._scalings(f, g)
        sums = self.k.row_products(self.K, self.p.xp.exp(v))
        return u + self.p.xp.log(sums) if self._usable(sums) else super().rows(f, g)

    def columns(self, f: Array, g: Array) -> Array:
        u, v = self._scalings(f, g)
        sums = self.k.column_products(self.K, self.p.xp.exp(u))
        return v + self.p.xp.log(sums) if self._usable(sums) else super().columns(f, g)

    def _usable(self, sums: Array) -> bool:
        return float(self.p.xp.min(sums)) > TINY

    def _scalings(self, f: Array, g: Array) -> Potentials:
        xp, reg = self.p.xp, self.p.reg
        u, v = (f - self.f0) / reg, (g - self.g0) / reg
        if max(float(xp.max(xp.abs(u))), float(xp.max(xp.abs(v)))) > ABSORB_AT:
            self._store(f, g)
            u, v = xp.zeros_like(u), xp.zeros_like(v)
        return u, v

    def _store(self, f: Array, g: Array) -> None:
        self.f0, self.g0 = f, g
        self.K = self.k.plan(self.p.M, f, g, self.p.reg)


class _ScalingSums(_StabilizedSums):
    """The same with exp(-M / eps) for good, as in the original; it fails where that underflows."""

    def rows(self, f: Array, g: Array) -> Array:
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            return super().rows(f, g)

    def columns(self, f: Array, g: Array) -> Array:
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            return super().columns(f, g)

    def _usable(self, sums: Array) -> bool:  # noqa: ARG002
        return True

    def _scalings(self, f: Array, g: Array) -> Potentials:
        return f / self.p.reg, g / self.p.reg


_SUMS = {
    "auto": _StabilizedSums,
    "scaling": _ScalingSums,
    "stabilized": _StabilizedSums,
    "log": _LogSums,
    "plan": _PlanSums,
}


def _weight(value: float | str) -> float:
    if isinstance(value, str):
        raise ValueError(  # noqa: TRY004 - a word is the right type, but another word is wanted
            f"overrelaxation must be 'auto' or a number in (0, 2), got {value!r}"
        )
    return checks.real("overrelaxation", value, low=0.0, high=2.0, open_low=True, open_high=True)


def _error(xp: Namespace, log_sums: Array, weights: Array) -> float:
    return float(xp.sum(xp.abs(xp.exp(log_sums) - weights)))
