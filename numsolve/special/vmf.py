r"""The von Mises-Fisher distribution on the unit sphere of R^d, in any dimension.

Its density is ``C_d(kappa) exp(kappa mu . x)``, with v = d / 2 - 1 and

    log C_d(kappa) = v log kappa - (d / 2) log(2 pi) - log I_v(kappa)                                     (1)

The mean resultant length is A(kappa) = I_{v+1}(kappa) / I_v(kappa). The maximum-likelihood concentration [1]_
solves

    A(kappa) = R,    R = |mean of the data|                                                               (2)

by Newton's method [2]_ with A' = 1 - A^2 - (d - 1) A / kappa, from the start kappa = R (d - R^2) / (1 - R^2)
of [1]_.

References
----------
.. [1] A. Banerjee, I. S. Dhillon, J. Ghosh, S. Sra, "Clustering on the unit hypersphere using von
   Mises-Fisher distributions", Journal of Machine Learning Research 6 (2005) 1345-1382.
.. [2] S. Sra, "A short note on parameter approximation for von Mises-Fisher distributions", Computational
   Statistics 27 (2012) 177-190.
.. [3] A. T. A. Wood, "Simulation of the von Mises Fisher distribution", Communications in Statistics
   23 (1994) 157-164.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.result import Result, Status

from ._directions import (
    common_dtype,
    complement,
    concentration,
    dimension,
    log_norm,
    log_norm_scaled,
    squared_distance,
    summary,
    unit,
)
from ._elementwise import evaluate

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike, Callback, RandomState

__all__ = ["VMFResult", "vmf_entropy", "vmf_fit", "vmf_log_norm", "vmf_log_prob", "vmf_sample"]

#: Beyond this concentration, squares of samples' distances leave the range of floats.
MOST_CONCENTRATED = 1e300


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class VMFResult(Result):
    """What `vmf_fit` returns; `x` is the concentration.

    Attributes
    ----------
    mu : array of shape (d,) or None
        The mean direction; None where only `R` was given, and where the mean of the data is 0.
    R : float
        The mean resultant length of the data.
    d : int
        The dimension.
    log_likelihood : float
        The mean of the log-density over the data.
    """

    mu: Array | None = None
    R: float = math.nan
    d: int = 0
    log_likelihood: float = math.nan

    @property
    def kappa(self) -> float:
        """The concentration, `x`."""
        return float(self.x)


def vmf_log_norm(d: int, kappa: ArrayLike) -> Array:
    """Logarithm of the normalising constant, log C_d(kappa).

    Parameters
    ----------
    d : int
        The dimension of the space, at least 2.
    kappa : array_like
        Concentrations, at least 0.

    Returns
    -------
    array
        Minus the logarithm of the sphere's area where kappa = 0.

    Examples
    --------
    >>> from numsolve.special import vmf_log_norm
    >>> float(vmf_log_norm(3, 0.0))  # -log(4 pi)
    -2.531024246969291
    """
    d = dimension(d)
    xp, k = concentration(kappa)
    value: Array = log_norm(xp, d, k)
    return value[()] if arrays.is_numpy(xp) else value


def vmf_log_prob(x: ArrayLike, mu: ArrayLike, kappa: ArrayLike) -> Array:
    """Logarithm of the density at unit vectors.

    Parameters
    ----------
    x : array of shape (..., d)
        Unit vectors.
    mu : array of shape (..., d)
        Mean directions, unit vectors; broadcast against `x`.
    kappa : array_like
        Concentrations, at least 0; broadcast against ``(x * mu).sum(axis=-1)``.

    Returns
    -------
    array of shape (...)

    Raises
    ------
    ValueError
        If a row is longer or shorter than 1 by 1e-6, or a concentration is negative. Values that JAX traces
        are not looked at. Accepted rows are divided by their length.

    Examples
    --------
    Each of two points under each of three distributions:

    >>> import numpy as np
    >>> from numsolve.special import vmf_log_prob
    >>> x, mu = np.eye(3)[:2], np.eye(3)
    >>> vmf_log_prob(x[:, None, :], mu, [1.0, 10.0, 100.0]).shape
    (2, 3)
    """
    xp = arrays.array_namespace(x=x, mu=mu, kappa=kappa)
    dtype = common_dtype(xp, x=x, mu=mu, kappa=kappa)
    points, means = unit("x", x, xp, dtype), unit("mu", mu, xp, dtype)
    _, k = concentration(kappa, xp, dtype)
    d = points.shape[-1]
    if d != means.shape[-1]:
        raise ValueError(f"x and mu must have one last axis, got the shapes {points.shape} and {means.shape}")
    try:
        np.broadcast_shapes(points.shape[:-1], means.shape[:-1], k.shape)
    except ValueError:
        shapes = f"{points.shape[:-1]}, {means.shape[:-1]} and {k.shape}"
        raise ValueError(f"x and mu less their last axes, and kappa, must broadcast, got {shapes}") from None
    with np.errstate(over="ignore"):
        value: Array = log_norm_scaled(xp, d, k) - 0.5 * k * squared_distance(xp, points, means)
    return value[()] if arrays.is_numpy(xp) else value


def vmf_entropy(d: int, kappa: ArrayLike) -> Array:
    """Differential entropy, -log C_d(kappa) - kappa A(kappa).

    Parameters
    ----------
    d, kappa
        As in `vmf_log_norm`.

    Returns
    -------
    array

    Notes
    -----
    1 - A comes from an expression without cancellation, so that large concentrations keep their digits.

    Examples
    --------
    >>> from numsolve.special import vmf_entropy
    >>> float(vmf_entropy(3, 0.0))  # the logarithm of the sphere's area, log(4 pi)
    2.531024246969291
    """
    d = dimension(d)
    xp, k = concentration(kappa)
    entropy: Array = k * complement(xp, 0.5 * d - 1.0 + 0.0 * k, k) - log_norm_scaled(xp, d, k)
    return entropy[()] if arrays.is_numpy(xp) else entropy


@answers()
def vmf_fit(
    X: ArrayLike | None = None,
    *,
    R: float | None = None,
    d: int | None = None,
    weights: ArrayLike | None = None,
    normalize: bool = False,
    tol: float = 1e-15,
    maxiter: int = 50,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> VMFResult:
    """Fit a von Mises-Fisher distribution by maximum likelihood.

    Parameters
    ----------
    X : array of shape (n, d), optional
        Data: unit vectors, one a row.
    R, d : float and int, optional
        In place of the data, their mean resultant length, between 0 and 1, and the dimension.
    weights : array of shape (n,), optional
        Weights of the rows, nonnegative.
    normalize : bool
        Divide each row by its length first.
    tol : float
        Converged when ``abs(A(kappa) - R) <= tol * min(R, 1 - R)``, or at the level of rounding errors.
    maxiter, callback, progress, time_limit
        As in every solver; see the user guide.

    Returns
    -------
    VMFResult
        Its `kappa` is 0 where R is. For R = 1 the likelihood has no maximum: `kappa` is inf and the status
        UNBOUNDED.

    Raises
    ------
    ValueError
        If both or neither of `X` and ``R, d`` are given, a row is not a unit vector, or R is not between 0
        and 1.

    Notes
    -----
    Maximum likelihood overestimates kappa where there are few data: even of uniform ones R is about n^(-1/2).

    References
    ----------
    A. Banerjee, I. S. Dhillon, J. Ghosh, S. Sra, "Clustering on the unit hypersphere using von Mises-Fisher
    distributions", Journal of Machine Learning Research 6, 2005.
    S. Sra, "A short note on parameter approximation for von Mises-Fisher distributions", Computational
    Statistics 27, 2012.

    Examples
    --------
    >>> from numsolve.special import vmf_fit
    >>> vmf_fit(R=0.5, d=32768).kappa
    21845.0666...
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    normalize = checks.flag("normalize", normalize)
    tol = checks.real("tol", tol, low=0.0)
    if X is None:
        if R is None or d is None:
            raise ValueError("give the data X, or their mean resultant length R and the dimension d")
        if weights is not None or normalize:
            raise ValueError("weights and normalize belong to the data X, which are not given")
        R = checks.real("R", R, low=0.0, high=1.0)
        return _fit(limits, None, R, 1.0 - R, dimension(d), tol)
    if R is not None or d is not None:
        raise ValueError("give either the data X or R and d, not both")
    return _fit(limits, *summary(X, weights, normalize=normalize), tol)


def _fit(limits: Limits, mu: Array | None, R: float, gap: float, d: int, tol: float) -> VMFResult:
    """Newton's method for (2), of which `gap` is 1 - R to all digits of its own."""
    v = 0.5 * d - 1.0
    kappa = R * (d - R * R) / (gap * (2.0 - gap)) if gap > 0.0 else math.inf
    least = min(R, gap)
    near = v * v + kappa * kappa < 1000.0  # there 1 - A is a difference
    with Monitor(
        limits,
        atol=tol * least,
        maxiter=50,
        label="von Mises-Fisher",
        rounding=1e-15 * (R if near else least),  # that of A itself, or of 1 - A
        patience=8,
        columns=("kappa",),
    ) as it:
        miss, slope = _equation(d, kappa, R, gap)
        it.record(abs(miss), kappa, kappa=kappa)  # (2)
        for _ in it:
            kappa = max(kappa - miss / slope, 0.5 * kappa)
            miss, slope = _equation(d, kappa, R, gap)
            it.record(abs(miss), kappa, kappa=kappa)  # (2)
        if not math.isfinite(it.x):
            it.stop(Status.UNBOUNDED, "The data are one single direction.")
    log_likelihood = math.inf
    if math.isfinite(it.x):
        log_likelihood = float(log_norm_scaled(arrays.array_namespace(), d, np.asarray(it.x))) - it.x * gap
    return it.result(VMFResult, mu=mu, R=R, d=d, log_likelihood=log_likelihood)


def _equation(d: int, kappa: float, R: float, gap: float) -> tuple[float, float]:
    """A - R, or as (1 - R) - (1 - A) where these are small, and A'."""
    v = 0.5 * d - 1.0
    if gap < 0.25:
        rest = float(complement(arrays.array_namespace(), v, np.asarray(kappa)))
        A, miss = 1.0 - rest, gap - rest
    else:
        A = float(evaluate("iv_ratio", v, kappa))
        rest, miss = 1.0 - A, A - R
    if kappa == 0.0:
        return miss, 1.0 / d
    if kappa < 1e5 * d:
        return miss, rest * (1.0 + A) - (d - 1) * A / kappa
    return miss, 0.5 * (d - 1) / kappa / kappa  # the leading term, where the difference loses its digits


@answers()
def vmf_sample(mu: ArrayLike, kappa: float, size: int = 1, *, rng: RandomState = None) -> Array:
    """Draw unit vectors, by Wood's rejection method.

    Parameters
    ----------
    mu : array of shape (d,)
        The mean direction, a unit vector.
    kappa : float
        The concentration, at least 0.
    size : int
        How many.
    rng : None, int or Generator
        The source of random numbers.

    Returns
    -------
    array of shape (size, d)

    Notes
    -----
    It differs from the paper in that 1 - w is computed as such, so that concentrations up to 1e15 keep their
    digits.

    References
    ----------
    A. T. A. Wood, "Simulation of the von Mises Fisher distribution", Communications in Statistics 23, 1994.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve.special import vmf_fit, vmf_sample
    >>> X = vmf_sample(np.eye(2048)[0], 1600.0, 500, rng=0)
    >>> print(round(vmf_fit(X).kappa, -1))
    1610.0
    """
    generator = checks.generator(rng)
    mean: Array = unit("mu", mu, arrays.array_namespace())
    if mean.ndim != 1:
        raise ValueError(f"mu must be 1-D, got an array of shape {mean.shape}")
    mean = np.asarray(mean, dtype=np.float64)
    mean = mean / np.linalg.norm(mean)  # one of single precision has a length of seven digits
    kappa = checks.real("kappa", kappa, low=0.0, high=MOST_CONCENTRATED)
    size = checks.integer("size", size, low=0)
    d = mean.shape[0]
    drop = _sample_drop(d, kappa, size, generator)
    tangent = generator.standard_normal((size, d))
    tangent -= (tangent @ mean)[:, None] * mean
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    out: Array = (1.0 - drop)[:, None] * mean + np.sqrt(drop * (2.0 - drop))[:, None] * tangent
    return out


def _sample_drop(d: int, kappa: float, size: int, rng: np.random.Generator) -> Array:
    """1 - mu . x of Wood's algorithm VM*."""
    b = (d - 1) / (2.0 * kappa + math.hypot(2.0 * kappa, d - 1))
    drop_0 = 2.0 * b / (1.0 + b)  # 1 - x_0
    x_0 = (1.0 - b) / (1.0 + b)
    c = -kappa * drop_0 + (d - 1) * math.log(drop_0 * (1.0 + x_0))
    drop = np.empty(size)
    missing = np.arange(size)
    while missing.size:  # two thirds of the proposals pass, in any dimension and concentration
        z = rng.beta(0.5 * (d - 1), 0.5 * (d - 1), missing.size)
        one_less_w = 2.0 * b * z / (1.0 - (1.0 - b) * z)
        value = -kappa * one_less_w + (d - 1) * np.log(drop_0 + x_0 * one_less_w) - c
        good = value >= np.log1p(-rng.random(missing.size))
        drop[missing[good]] = one_less_w[good]
        missing = missing[~good]
    return drop
