r"""The Sinkhorn divergence of two clouds of points.

    S(a, b) = OT(a, b) - OT(a, a)/2 - OT(b, b)/2

with the regularised OT: the entropic bias, which makes OT(a, a) positive, is taken out. S is zero for equal
measures, positive and convex, and lies between the maximum mean discrepancy (eps -> inf) and exact transport
(eps -> 0).
(J. Feydy, T. Séjourné, F.-X. Vialard, S. Amari, A. Trouvé, G. Peyré, "Interpolating between optimal transport
and MMD using Sinkhorn divergences", AISTATS 2019.)
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from numsolve._core import arrays

from .cloud_result import SampleGradient, SampleResult
from .sample import solve_sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DivergenceResult(SampleResult):
    """The divergence of two clouds as `value`, and the transport problem between them as the other fields.

    Attributes
    ----------
    potentials : tuple of array
        The derivatives of the divergence in the weights, up to a constant that `f` and `g` may exchange.
    marginal_error : float
        The largest one of the three problems.
    cross, self_a, self_b : SampleResult
        The three problems: between the clouds, and of each with itself.
    """

    cross: Any = None
    self_a: Any = None
    self_b: Any = None

    def gradient(self) -> SampleGradient:  # type: ignore[override]
        """Differentiate the divergence with respect to the weights and to the points.

        Returns
        -------
        SampleGradient
            ``(a, b, X_a, X_b)``, arrays of the shapes of the data; see `SampleResult.gradient`.
        """
        cross, self_a, self_b = (r.gradient() for r in (self.cross, self.self_a, self.self_b))
        f, g = self.potentials
        return SampleGradient(
            f, g, cross.X_a - (self_a.X_a + self_a.X_b) / 2, cross.X_b - (self_b.X_a + self_b.X_b) / 2
        )


def sinkhorn_divergence(
    X_a: Any,
    X_b: Any,
    a: Any = None,
    b: Any = None,
    *,
    reg: float,
    metric: str | Callable[..., float] = "sqeuclidean",
    p: float = 2.0,
    tol: float = 1e-6,
    maxiter: int | None = None,
    executor: Executor | None = None,
    callback: Callable[..., Any] | None = None,
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
    maxiter : int, optional
        Largest number of iterations of each problem.
    executor : concurrent.futures.Executor, optional
        Threads that share the passes over the pairs.
    callback : callable, optional
        Called in each problem, as by `numsolve.transport.solve_sample`.
    progress : bool
        Show a progress bar for each problem.
    time_limit : float, optional
        Seconds for the three together.

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
    start = perf_counter()

    def solve(X: Any, Y: Any, a: Any, b: Any) -> SampleResult:
        left = None if time_limit is None else max(0.0, time_limit - (perf_counter() - start))
        return solve_sample(
            X,
            Y,
            a,
            b,
            reg=reg,
            metric=metric,
            p=p,
            tol=tol,
            maxiter=maxiter,
            executor=executor,
            callback=callback,
            progress=progress,
            time_limit=left,
        )

    cross, self_a, self_b = solve(X_a, X_b, a, b), solve(X_a, X_a, a, a), solve(X_b, X_b, b, b)
    parts = (cross, self_a, self_b)
    worst = next((r for r in parts if not r.success), cross)
    xp = arrays.array_namespace(f=cross.x[0])
    return DivergenceResult(
        **{
            **{name: cross[name] for name in ("plan", "points", "norms", "reg", "reg_path", "history")},
            **{name: sum(r[name] for r in parts) for name in ("nit", "nsinkhorn", "nnewton", "ncg")},
        },
        x=tuple(_excess(xp, x, r.x) for x, r in zip(cross.x, (self_a, self_b), strict=True)),
        status=worst.status,
        detail=worst.detail,
        residual=max(r.residual for r in parts),
        value=cross.value - (self_a.value + self_b.value) / 2,
        value_linear=cross.value_linear - (self_a.value_linear + self_b.value_linear) / 2,
        kl=cross.kl - (self_a.kl + self_b.kl) / 2,
        bounds=cross.bounds,
        cross=cross,
        self_a=self_a,
        self_b=self_b,
    )


def _excess(xp: Any, f: Any, own: tuple[Any, Any]) -> Any:
    """Subtract the potential of a cloud with itself; minus infinity where the weight is zero."""
    mean = (own[0] + own[1]) / 2
    return xp.where(xp.isfinite(f), f - xp.where(xp.isfinite(mean), mean, xp.zeros_like(mean)), f)
