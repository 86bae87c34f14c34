r"""Transport-based domain adaptation: source data are moved to where the target data are [1]_.

The map is the barycentric one of an entropic plan, extended to new points by the potential [2]_:

    T(x) = sum_j y_j exp((g_j - c(x, y_j)) / reg) / sum_j exp((g_j - c(x, y_j)) / reg)                    (1)

At the source points this is ``P Y / (P 1)``.

References
----------
.. [1] N. Courty, R. Flamary, D. Tuia, A. Rakotomamonjy, "Optimal transport for domain adaptation", IEEE
   Transactions on Pattern Analysis and Machine Intelligence 39 (2017) 1853-1865.
.. [2] A.-A. Pooladian, J. Niles-Weed, "Entropic estimation of optimal transport maps", arXiv:2109.12004.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np

from numsolve._core import checks, estimator
from numsolve._core.foreign import answers
from numsolve._core.result import caller_level

from .clouds.sample import solve_sample

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike, Callback

    from .clouds.result import SampleResult

    Base = object
else:
    Base = estimator.base("OneToOneFeatureMixin", "TransformerMixin")

__all__ = ["DomainAdaptation"]

Metric = Literal["sqeuclidean", "euclidean", "cityblock", "cosine"]
#: Costs that are made at a time: 16 MB.
BLOCK = 2_000_000


class DomainAdaptation(Base):  # type: ignore[misc,unused-ignore]
    """Move source data to a target domain by optimal transport, as a scikit-learn transformer.

    A classifier that is fitted to the moved source data, with their labels, serves the target.

    Parameters
    ----------
    reg : float
        Regularisation, positive, in the unit of the cost; POT's `reg_e`.
    metric : {"sqeuclidean", "euclidean", "cityblock", "cosine"}
        The cost, as in `numsolve.transport.solve_sample`.
    tol, maxiter, callback, progress, time_limit
        As in `numsolve.transport.solve_sample`.

    Attributes
    ----------
    result_ : SampleResult
        The plan from the source to the target, its potentials and value.
    source_, target_ : array of shape (n, d) and (m, d)
        The data.
    n_features_in_ : int
        Their dimension d.

    See Also
    --------
    numsolve.transport.solve_sample : What computes the plan.

    Notes
    -----
    New points are moved by the potential; POT moves them by the displacement of the nearest source point.

    References
    ----------
    N. Courty, R. Flamary, D. Tuia, A. Rakotomamonjy, "Optimal transport for domain adaptation", IEEE
    Transactions on Pattern Analysis and Machine Intelligence 39 (2017) 1853-1865.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve.transport import DomainAdaptation
    >>> source = np.array([[0.0, 0.0], [0.0, 1.0], [4.0, 0.0], [4.0, 1.0]])
    >>> target = source + [1.0, 3.0]
    >>> moved = DomainAdaptation(reg=0.01).fit_transform(source, Xt=target)
    >>> print(moved.round(3).tolist())
    [[1.0, 3.0], [1.0, 4.0], [5.0, 3.0], [5.0, 4.0]]
    """

    result_: SampleResult
    source_: Array
    target_: Array
    n_features_in_: int
    _metric: Metric

    @answers(reg_e="reg")
    def __init__(
        self,
        reg: float = 1.0,
        *,
        metric: Metric = "sqeuclidean",
        tol: float = 1e-6,
        maxiter: int | None = None,
        callback: Callback | None = None,
        progress: bool = False,
        time_limit: float | None = None,
    ) -> None:
        self.reg = reg
        self.metric = metric
        self.tol = tol
        self.maxiter = maxiter
        self.callback = callback
        self.progress = progress
        self.time_limit = time_limit

    @answers(Xs="X", ys="y")
    def fit(self, X: ArrayLike, y: object = None, Xt: ArrayLike | None = None) -> Self:
        """Compute the plan from the source to the target.

        Parameters
        ----------
        X : array of shape (n, d)
            Source data.
        y : object
            Labels of the source, which the map does not use.
        Xt : array of shape (m, d)
            Target data.

        Returns
        -------
        DomainAdaptation
            This estimator.

        Raises
        ------
        ValueError
            If an argument has the wrong shape or range, or `X` and `Xt` are frames of different columns.

        Warns
        -----
        UserWarning
            If there is no `Xt`, as where scikit-learn's tools call: the source is its own target then, and
            its points move towards their neighbours.
        ConvergenceWarning
            If the tolerance was not reached.
        """
        checks.choice("metric", self.metric, get_args(Metric))
        reg = checks.real("reg", self.reg, low=0.0, open_low=True)
        source = estimator.data(self, X, fitting=True)
        if Xt is None:
            warnings.warn(
                "Xt, the target data, is not given: the source is its own target", stacklevel=caller_level()
            )
            target = source
        else:
            names = list(getattr(self, "feature_names_in_", ()))
            columns = list(getattr(Xt, "columns", names))
            if names and columns != names:
                raise ValueError(f"Xt must have the columns of X, in their order: {names}, got {columns}")
            target = checks.array("Xt", Xt, ndim=2, shape=(None, source.shape[1]), dtype=float, empty=False)
        self.result_ = solve_sample(
            source, target, reg=reg, metric=self.metric, tol=self.tol, maxiter=self.maxiter,
            callback=self.callback, progress=self.progress, time_limit=self.time_limit,
        )  # fmt: skip
        self._metric = self.metric  # `set_params` may change it before `fit` is called again
        self.source_, self.target_ = source.copy(), target.copy()  # the caller may reuse the given ones
        return self

    def fit_transform(self, X: ArrayLike, y: object = None, Xt: ArrayLike | None = None) -> Array:
        """Compute the plan, and move the source.

        Parameters
        ----------
        X, y, Xt
            As in `fit`.

        Returns
        -------
        array of shape (n, d)
        """
        return self.fit(X, y, Xt).transform(X)

    def transform(self, X: ArrayLike) -> Array:
        """Move points from the source domain to the target domain.

        Parameters
        ----------
        X : array of shape (n, d)
            Points, those of `fit` or others.

        Returns
        -------
        array of shape (n, d)
            Means of target points.
        """
        rows = estimator.data(self, X)
        return _means(rows, self.target_, self.result_.potentials[1], self.result_.reg, self._metric)

    def inverse_transform(self, X: ArrayLike) -> Array:
        """Move points from the target domain to the source domain.

        Parameters
        ----------
        X : array of shape (m, d)
            Points, the targets of `fit` or others.

        Returns
        -------
        array of shape (m, d)
            Means of source points.
        """
        rows = estimator.data(self, X)
        return _means(rows, self.source_, self.result_.potentials[0], self.result_.reg, self._metric)


def _means(X: Array, Y: Array, g: Array, reg: float, metric: Metric) -> Array:
    """The map (1), some rows at a time."""
    out = np.empty_like(X)
    quadratic = metric == "sqeuclidean"
    centre = Y.mean(axis=0) if quadratic else 0.0
    near = Y - centre
    squares = np.vecdot(near, near) if quadratic else 0.0
    step = max(1, BLOCK // len(Y))
    for first in range(0, len(X), step):
        part = X[first : first + step]
        with np.errstate(over="ignore", invalid="ignore"):
            if quadratic:  # |x|^2 is the same for all j
                weights = 2.0 * ((part - centre) @ near.T) - squares + g
            else:
                weights = g - _distances(part, Y, metric)
        top = weights.max(axis=1, keepdims=True)
        if not np.isfinite(top).all():
            row = first + int(np.flatnonzero(~np.isfinite(top))[0])
            raise ValueError(f"X must have points of finite cost to those of the other domain, got row {row}")
        weights -= top
        np.exp(weights / reg, out=weights)
        weights /= weights.sum(axis=1, keepdims=True)
        out[first : first + step] = weights @ Y
    return out


def _distances(X: Array, Y: Array, metric: Metric) -> Any:
    from scipy.spatial.distance import cdist

    if metric == "cosine":  # squares of a point's largest coordinate neither overflow nor underflow then
        X, Y = (points / np.max(np.abs(points), axis=1, keepdims=True) for points in (X, Y))
    return cdist(X, Y, metric)
