"""Mixtures of von Mises-Fisher distributions, as an estimator in scikit-learn's interface."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from numsolve._core import arrays, checks, estimator, extras
from numsolve._core.foreign import answers
from numsolve._core.keyboard import Guarded
from numsolve._core.limits import Limits
from numsolve._core.result import Status, deliver

from ._expectation import Components, blocks, expectation_maximisation, logarithm, responsibilities
from .vmf import vmf_sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numsolve._core.result import Result
    from numsolve._core.typing import Array, ArrayLike, Callback, RandomState

    Base = object
else:
    Base = estimator.base("DensityMixin")

__all__ = ["VMFMixture"]

#: How a run ends that nothing should follow.
ENDS = frozenset({Status.STOPPED, Status.TIME_LIMIT, Status.INTERRUPTED})


class VMFMixture(Base):  # type: ignore[misc,unused-ignore]
    """Mixture of von Mises-Fisher distributions: clusters of directions, as a scikit-learn estimator.

    Rows are divided by their length first: only their directions count. A row of zeros has none, and is a
    missing observation: it has no part in the fit, its log-density is 0, and its probabilities are the
    shares of the components.

    Parameters
    ----------
    n_components : int
        How many distributions are mixed.
    max_kappa : float
        The largest concentration allowed; it is reached where a component holds one direction only.
    n_init : int
        Runs from different starts; the one of largest likelihood is kept.
    tol : float
        Converged when a step raises the mean log-likelihood of a row by `tol` at most.
    rng : None, int or Generator
        Where the starts come from (k-means++).
    maxiter, callback, progress, time_limit
        As in every solver, the steps for each run, 500 by default, and the others for all runs together.

    Attributes
    ----------
    weights_ : array of shape (n_components,)
        The share of each component.
    mu_ : array of shape (n_components, d)
        Mean directions.
    kappa_ : array of shape (n_components,)
        Concentrations.
    result_ : Result
        Of the run that was kept: `nit`, `success`, and `history` with the mean log-likelihood after each
        step, ``log_likelihood``; `x` is ``(weights_, mu_, kappa_)``.
    n_features_in_ : int
        The dimension d.

    See Also
    --------
    numsolve.special.vmf_fit : One distribution.

    Notes
    -----
    It takes sparse matrices, as those that scikit-learn's TfidfVectorizer makes, and never makes them dense.

    References
    ----------
    A. Banerjee, I. S. Dhillon, J. Ghosh, S. Sra, "Clustering on the unit hypersphere using von Mises-Fisher
    distributions", Journal of Machine Learning Research 6 (2005) 1345-1382.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve.special import VMFMixture, vmf_sample
    >>> east, north = np.eye(3)[:2]
    >>> X = np.concatenate([vmf_sample(east, 50.0, 300, rng=0), vmf_sample(north, 10.0, 100, rng=1)])
    >>> mixture = VMFMixture(2, rng=0).fit(X)
    >>> print(np.sort(mixture.weights_).round(2), mixture.predict([east, north]).size)
    [0.25 0.75] 2
    """

    weights_: Array
    mu_: Array
    kappa_: Array
    result_: Result
    n_features_in_: int

    @answers(n_clusters="n_components")
    def __init__(
        self,
        n_components: int = 1,
        *,
        max_kappa: float = 1e6,
        n_init: int = 1,
        tol: float = 1e-6,
        rng: RandomState = None,
        maxiter: int | None = None,
        callback: Callback | None = None,
        progress: bool = False,
        time_limit: float | None = None,
    ) -> None:
        self.n_components = n_components
        self.max_kappa = max_kappa
        self.n_init = n_init
        self.tol = tol
        self.rng = rng
        self.maxiter = maxiter
        self.callback = callback
        self.progress = progress
        self.time_limit = time_limit

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Fit the mixture.

        Parameters
        ----------
        X : array or sparse matrix of shape (n, d)
            One vector a row, d at least 2.
        y : object
            Not used.

        Returns
        -------
        VMFMixture
            This estimator.

        Raises
        ------
        ValueError
            If fewer rows than components are not zero.

        Warns
        -----
        ConvergenceWarning
            If `maxiter` steps did not suffice; what they reached is kept.
        """
        K = checks.integer("n_components", self.n_components, low=1)
        most = checks.real("max_kappa", self.max_kappa, low=0.0, open_low=True)
        runs = checks.integer("n_init", self.n_init, low=1)
        tol = checks.real("tol", self.tol, low=0.0)
        generator = checks.generator(self.rng)
        limits = Limits(self.maxiter, self.time_limit, self.callback, self.progress)
        rows, missing = self._directions(X, fitting=True)
        rows = rows[~missing] if missing.any() else rows
        if rows.shape[0] < K:
            raise ValueError(f"X must have n_components={K} rows that are not zero, got {rows.shape[0]}")
        result = _likeliest(
            expectation_maximisation(rows, K, most, tol, generator, limits) for _ in range(runs)
        )
        self.result_ = result
        self.weights_, self.mu_, self.kappa_ = result.x
        return self

    def fit_predict(self, X: ArrayLike, y: object = None) -> Array:
        """Fit the mixture and tell the component of each row.

        Parameters
        ----------
        X, y
            As in `fit`.

        Returns
        -------
        array of shape (n,)
        """
        return self.fit(X).predict(X)

    def predict(self, X: ArrayLike) -> Array:
        """Tell the most probable component of each row.

        Parameters
        ----------
        X : array or sparse matrix of shape (n, d)
            As in `fit`.

        Returns
        -------
        array of shape (n,)
        """
        return np.concatenate([joint.argmax(axis=1) for joint in self._joint(X)])

    def predict_proba(self, X: ArrayLike) -> Array:
        """Compute the probability of each component, given the row.

        Parameters
        ----------
        X : array or sparse matrix of shape (n, d)
            As in `fit`.

        Returns
        -------
        array of shape (n, n_components)
        """
        return np.concatenate([responsibilities(joint)[0] for joint in self._joint(X)])

    def score_samples(self, X: ArrayLike) -> Array:
        """Compute the logarithm of the density at each row's direction.

        Parameters
        ----------
        X : array or sparse matrix of shape (n, d)
            As in `fit`.

        Returns
        -------
        array of shape (n,)
            With respect to the area of the sphere.
        """
        return np.concatenate([responsibilities(joint)[1] for joint in self._joint(X)])

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Compute the mean log-likelihood of the rows.

        Parameters
        ----------
        X, y
            As in `fit`.

        Returns
        -------
        float
        """
        return float(self.score_samples(X).mean())

    def bic(self, X: ArrayLike) -> float:
        """Compute the Bayesian information criterion, which is least for the best number of components.

        Parameters
        ----------
        X : array or sparse matrix of shape (n, d)
            As in `fit`.

        Returns
        -------
        float
        """
        each = self.score_samples(X)
        K, d = self.mu_.shape
        return float(-2.0 * each.sum() + (K * (d + 1) - 1) * math.log(each.size))

    @answers()
    def sample(self, n_samples: int = 1, *, rng: RandomState = None) -> tuple[Array, Array]:
        """Draw directions.

        Parameters
        ----------
        n_samples : int
            How many.
        rng : None, int or Generator
            Where they come from.

        Returns
        -------
        X : array of shape (n_samples, d)
            Unit vectors, sorted by component.
        y : array of shape (n_samples,)
            The component of each.
        """
        extras.require("sklearn.utils.validation", "VMFMixture").check_is_fitted(self)
        generator = checks.generator(rng)
        counts = generator.multinomial(checks.integer("n_samples", n_samples, low=1), self.weights_)
        drawn = [
            vmf_sample(mu, float(kappa), int(n), rng=generator)
            for mu, kappa, n in zip(self.mu_, self.kappa_, counts, strict=True)
        ]
        return np.concatenate(drawn), np.repeat(np.arange(counts.size), counts)

    def _directions(self, X: Any, *, fitting: bool = False) -> tuple[Any, Array]:
        """The rows, divided by their length, and which of them are zero."""
        least = {"ensure_min_samples": 2, "ensure_min_features": 2} if fitting else {}
        rows: Any = estimator.data(self, X, fitting=fitting, sparse=True, **least)
        largest = abs(rows).max(axis=1)
        largest = np.ravel(largest.toarray()) if arrays.is_sparse(rows) else largest
        missing = largest == 0.0
        rows = divided(rows, np.where(missing, 1.0, largest))  # squares are within the range of floats then
        return divided(rows, np.where(missing, 1.0, norms(rows))), missing

    def _joint(self, X: Any) -> Iterator[Array]:
        """The tables of `blocks`; a row of zeros is a missing observation, of density 1."""
        rows, missing = self._directions(X)
        now, first = Components(self.weights_, self.mu_, self.kappa_), 0
        for table in blocks(rows, now):
            table[missing[first : first + len(table)]] = logarithm(now.weights)
            first += len(table)
            yield table

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.sparse = True
        return tags


def _likeliest(runs: Iterator[Result]) -> Result:
    """The best of runs; a run that was ended from outside is the last, and its status that of the whole."""
    found: list[Result] = []
    ended: Status | None = None
    try:
        with Guarded():
            for result in runs:
                found.append(result)
                if result.status in ENDS:
                    ended = result.status
                    break
    except KeyboardInterrupt:  # between two runs, or before the first step of one
        if not found:
            raise
        ended = Status.INTERRUPTED
    best = max(found, key=_likelihood)
    if ended is None or best.status is ended:
        return best
    best = replace(best, status=ended)
    if found[-1].status is not ended:
        deliver(best)  # nobody has warned yet
    return best


def _likelihood(result: Result) -> float:
    assert result.history is not None
    return float(result.history.log_likelihood[-1])


def norms(rows: Any) -> Array:
    """Lengths of rows."""
    squares = rows.multiply(rows).sum(axis=1) if arrays.is_sparse(rows) else np.vecdot(rows, rows)
    return np.sqrt(np.ravel(squares))


def divided(rows: Any, by: Array) -> Any:
    """Each row over its number."""
    if not arrays.is_sparse(rows):
        return rows / by[:, None]
    out = rows.copy()
    out.data /= np.repeat(by, np.diff(out.indptr))
    return out
