# mypy: disable-error-code=no-any-return
# (array libraries, kernels and SciPy have no types: what they return is an Array by our word)
r"""The Sinkhorn divergence of two clouds of points.

    S(a, b) = OT(a, b) - OT(a, a)/2 - OT(b, b)/2

with the regularised OT: the entropic bias, which makes OT(a, a) positive, is taken out. S is zero for equal
measures, positive and convex, and lies between the maximum mean discrepancy (eps -> inf) and exact transport
(eps -> 0).
(J. Feydy, T. Séjourné, F.-X. Vialard, S. Amari, A. Trouvé, G. Peyré, "Interpolating between optimal transport
and MMD using Sinkhorn divergences", AISTATS 2019.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from numsolve._core import arrays
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.result import Status, deliver

from .result import SampleGradient, SampleResult
from .sample import FOREIGN, between_clouds

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from numsolve._core.typing import Array, ArrayLike, Callback, Namespace

    from ._metric import MetricName

#: What ends the whole when one of its problems ends so.
ENDS = {Status.INTERRUPTED, Status.TIME_LIMIT, Status.STOPPED}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DivergenceResult(SampleResult):
    """The divergence of two clouds as `value`, and the transport problem between them as the other fields.

    Attributes
    ----------
    potentials : tuple of array
        The derivatives of the divergence in the weights, up to a constant that `f` and `g` may exchange.
    marginal_error : float
        The largest one of the three problems.
    cross, self_a, self_b : SampleResult or None
        The three problems: between the clouds, and of each with itself. A run that was ended early, by
        Ctrl-C, the callback or the time limit, has None for those that it did not come to; then `value` is
        nan, and `potentials` are those of `cross`.
    """

    cross: SampleResult | None = None
    self_a: SampleResult | None = None
    self_b: SampleResult | None = None

    def gradient(self) -> SampleGradient:  # type: ignore[override]
        """Differentiate the divergence with respect to the weights and to the points.

        Returns
        -------
        SampleGradient
            ``(a, b, X_a, X_b)``, arrays of the shapes of the data; see `SampleResult.gradient`.

        Raises
        ------
        ValueError
            If the run was ended before all three problems were solved.
        """
        if self.cross is None or self.self_a is None or self.self_b is None:
            raise ValueError(
                "the run was ended before all three problems were solved: there is no derivative"
            )
        cross, self_a, self_b = (r.gradient() for r in (self.cross, self.self_a, self.self_b))
        f, g = self.potentials
        return SampleGradient(
            f, g, cross.X_a - (self_a.X_a + self_a.X_b) / 2, cross.X_b - (self_b.X_a + self_b.X_b) / 2
        )


@answers(**FOREIGN)
def sinkhorn_divergence(
    X_a: ArrayLike,
    X_b: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    reg: float,
    metric: MetricName | Callable[[Array, Array], float] = "sqeuclidean",
    p: float = 2.0,
    tol: float = 1e-6,
    executor: Executor | None = None,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> DivergenceResult:
    """Compare two clouds of points by their Sinkhorn divergence, without storing costs or plans.

    Parameters
    ----------
    X_a : array of shape (n, d)
        Points of the first cloud.
    X_b : array of shape (m, d)
        Points of the second cloud.
    a : array of shape (n,), optional
        Weights of the first cloud, nonnegative; uniform by default.
    b : array of shape (m,), optional
        Weights of the second cloud, of the same sum.
    reg : float
        Regularisation, positive, in the unit of the cost.
    metric : str or callable
        The cost of a pair of points, as in `numsolve.transport.solve_sample`.
    p : float
        The exponent for ``metric="power"``, positive.
    tol : float
        Largest error of the marginals, of each of the three problems.
    executor : concurrent.futures.Executor, optional
        Threads, or workers elsewhere, that share the passes over the pairs, as in
        `numsolve.transport.solve_sample`.
    maxiter, callback, progress, time_limit : optional
        As in `numsolve.transport.solve_sample`, in each of the three problems; the time is for all together.
        Ctrl-C, a callback that stops and the end of the time end the whole.

    Returns
    -------
    DivergenceResult
        With `value` the divergence, `gradient()`, the plan between the clouds, and the three solutions as
        `cross`, `self_a` and `self_b`.

    Raises
    ------
    ValueError
        If an argument has the wrong shape or range.

    Warns
    -----
    ConvergenceWarning
        If one of the three problems missed the tolerance.

    References
    ----------
    J. Feydy et al., "Interpolating between optimal transport and MMD using Sinkhorn divergences",
    AISTATS 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import transport
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> result = transport.sinkhorn_divergence(X, X + [3.0, 4.0], reg=0.1)
    >>> round(result.value, 4)  # the square of the shift
    25.0
    >>> bool(abs(transport.sinkhorn_divergence(X, X, reg=0.1).value) < 1e-12)
    True
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    parts: list[SampleResult] = []
    interrupted = False
    try:
        for X, Y, u, v in ((X_a, X_b, a, b), (X_a, X_a, a, a), (X_b, X_b, b, b)):
            part = between_clouds(X, Y, u, v, limits, reg, metric, p, "auto", tol, None, True, executor)
            parts.append(part)
            if parts[-1].status in ENDS:
                break
    except KeyboardInterrupt:  # while a problem was prepared
        if not parts:
            raise
        interrupted = True
    result = _together(parts, interrupted)
    deliver(result)
    return result


def _together(parts: list[SampleResult], interrupted: bool) -> DivergenceResult:
    """The divergence from its three problems, or what is known of it after fewer."""
    cross, *own = parts
    worst = next((r for r in parts if not r.success), cross)
    xp = arrays.array_namespace(f=cross.x[0])

    def debiased(name: str) -> float:
        if len(own) < 2:
            return math.nan
        return float(cross[name] - (own[0][name] + own[1][name]) / 2)

    return DivergenceResult(
        **{
            **{
                name: cross[name]
                for name in ("plan", "points", "norms", "reg", "reg_path", "history", "bounds")
            },
            **{name: sum(r[name] for r in parts) for name in ("nit", "nsinkhorn", "nnewton", "ncg")},
            **{name: debiased(name) for name in ("value", "value_linear", "kl")},
        },
        x=_debiased(xp, cross, own) if len(own) == 2 else cross.x,
        status=Status.INTERRUPTED if interrupted else worst.status,
        detail="" if interrupted else worst.detail,
        residual=_largest([r.residual for r in parts]),
        cross=cross,
        self_a=own[0] if own else None,
        self_b=own[1] if len(own) == 2 else None,
    )


def _largest(residuals: list[float]) -> float:
    """The largest; nan if one of them is not known."""
    return math.nan if any(map(math.isnan, residuals)) else max(residuals)


def _debiased(xp: Namespace, cross: SampleResult, own: list[SampleResult]) -> tuple[Array, Array]:
    f, g = (_excess(xp, x, r.x) for x, r in zip(cross.x, own, strict=True))
    return f, g


def _excess(xp: Namespace, f: Array, own: tuple[Array, Array]) -> Array:
    """Subtract the potential of a cloud with itself; minus infinity where the weight is zero."""
    mean = (own[0] + own[1]) / 2
    return xp.where(xp.isfinite(f), f - xp.where(xp.isfinite(mean), mean, xp.zeros_like(mean)), f)
