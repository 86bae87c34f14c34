r"""B-spline collocation of Riesz fractional operators on a uniform mesh.

On (0, 1) with n spans and clamped knots there are ``K = n + p - 2`` B-splines that vanish at both ends, and
as many Greville points. For the operator

    R u = (w_left D_left^alpha u + w_right D_right^alpha u) / cos(pi alpha / 2),

which is ``(-Delta)^(alpha/2)`` of the extension by zero for equal weights of one half, the matrix
``A_ij = (R N_j)(xi_i)`` is ``n^alpha`` times a Toeplitz matrix with corrections in the outer rows and
columns; for equal weights it does not change when both its indices are reversed.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.fft import next_fast_len
from scipy.interpolate import BSpline
from scipy.sparse.linalg import LinearOperator

from numsolve._core import checks

from ._assembly import assembled, clamped_knots, greville_points, mass_matrix
from ._settings import DERIVATIVES
from ._stability import check_stable
from .bspline import check_alpha, check_degree
from .preconditioner import SplineInverse, circulant_inverse, linear, tau_inverse
from .symbol import riesz_symbol, sine_angles

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from numsolve._core.limits import Limits

    from ._cornered import Cornered
    from ._settings import Derivative

    Array = NDArray[np.float64]

#: Lengths of an interval whose powers, as far as they are needed, are finite and not denormal.
WIDTHS = 1e-140, 1e151
#: Of an interval, relative to its distance from zero: numbers in it are apart from one another.
LEAST_RELATIVE_WIDTH = 1e-12


class RieszSplineOperator(LinearOperator):  # type: ignore[misc]
    r"""The collocation matrix of a Riesz operator, as a linear operator with products in O(n log n).

    It maps the coefficients of a spline that vanishes at both ends to the values of ``R u`` at the
    collocation points. The sign is that of a positive operator: for equal weights ``R`` is
    ``(-Delta)^(alpha/2)``, and minus the second derivative for ``alpha = 2``.

    Parameters
    ----------
    n : int
        Spans of the mesh, at least ``2 p``.
    p : int
        Degree of the splines, at least 2.
    alpha : float
        Order, ``1 < alpha <= 2``.
    interval : tuple of float
        The ends a < b.
    definition : {"rl", "caputo"}
        Riemann and Liouville's derivatives, or Caputo's, which leave out the terms
        ``u'(a) (x-a)^(1-alpha)`` and ``u'(b) (b-x)^(1-alpha)``. They agree if u' is zero at the ends.
    weights : tuple of float
        Weights of the derivatives from the left and from the right, nonnegative and not both zero.

    Attributes
    ----------
    n, p, alpha, interval, definition, weights
        The arguments.
    knots : array of shape (n + 2 p + 1,)
        The knots in the interval.
    greville : array of shape (K,)
        The collocation points, ``K = n + p - 2``.

    Raises
    ------
    ValueError
        If an argument is out of range, or if unequal weights make the matrix one that is not positive: near
        the order one, some eigenvalues may have a negative real part.

    See Also
    --------
    numsolve.fractional.solve_riesz_bvp : Solve an equation with it.

    References
    ----------
    M. Mazza, M. Donatelli, C. Manni, H. Speleers, "On the matrices in B-spline collocation methods for Riesz
    fractional equations and their spectral properties", Numer. Linear Algebra Appl. 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve.fractional import RieszSplineOperator
    >>> A = RieszSplineOperator(1022, 3, 1.5)
    >>> A.shape, A.corner_rank
    ((1023, 1023), 6)
    >>> c = np.random.default_rng(0).normal(size=1023)
    >>> bool(np.allclose(A @ c, A.todense() @ c))
    True
    """

    def __init__(
        self,
        n: int,
        p: int,
        alpha: float,
        *,
        interval: tuple[float, float] = (0.0, 1.0),
        definition: Derivative = "rl",
        weights: tuple[float, float] = (0.5, 0.5),
    ) -> None:
        self.p = check_degree(p)
        self.n = check_spans(n, self.p)
        self.alpha = check_alpha(alpha)
        self.interval = check_interval(interval)
        self.definition: Any = checks.choice("definition", definition, DERIVATIVES)
        self.weights = check_weights(weights)
        check_stable(self.n, self.p, self.alpha, self.weights, self.definition)
        K = self.n + self.p - 2
        super().__init__(dtype=np.dtype(np.float64), shape=(K, K))

    # -- the space ---------------------------------------------------------------------------------

    @cached_property
    def knots(self) -> Array:
        """The knots in the interval, clamped."""
        a, b = self.interval
        return np.asarray(a + (b - a) * clamped_knots(np.arange(self.n + 1.0), self.p) / self.n)

    @cached_property
    def greville(self) -> Array:
        """The collocation points."""
        a, b = self.interval
        return a + (b - a) * greville_points(clamped_knots(np.arange(self.n + 1.0), self.p), self.p) / self.n

    @property
    def step(self) -> float:
        """The width of a span."""
        return (self.interval[1] - self.interval[0]) / self.n

    def spline(self, c: Any) -> BSpline:
        """Make a spline of its coefficients.

        Parameters
        ----------
        c : array of shape (K,)
            Coefficients of the B-splines that vanish at both ends.

        Returns
        -------
        scipy.interpolate.BSpline
            It is nan outside the interval.
        """
        c = checks.array("c", c, dtype=np.float64, shape=(self.shape[0],), check_finite=False)
        return spline_of(self, c)

    # -- the matrix --------------------------------------------------------------------------------

    @cached_property
    def structure(self) -> Cornered:
        """The matrix as Toeplitz part and corners."""
        return self._assembled()

    def assemble(self, limits: Limits | None) -> None:
        """Compute the structure, if the time is enough."""
        if "structure" not in self.__dict__:
            self.__dict__["structure"] = self._assembled(limits)

    def _assembled(self, limits: Limits | None = None) -> Cornered:
        matrix = assembled(self.n, self.p, self.alpha, self.weights, self.definition, limits)
        return matrix.scaled(self.step**-self.alpha)

    @property
    def toeplitz_column(self) -> Array:
        """The first column of the Toeplitz part; the first row too if the weights are equal."""
        column: Array = self.structure.column
        return column

    @property
    def reversible(self) -> bool:
        """Whether the matrix is the same when both its indices are reversed."""
        return self.weights[0] == self.weights[1]

    @property
    def corner_rank(self) -> int:
        """Rank of the corrections to the Toeplitz part, at most: ``4 p - 6``."""
        return self.structure.rank

    def dot(self, x: Any) -> Any:
        """The product with a vector, a matrix, a number or an operator.

        Parameters
        ----------
        x : array of shape (K,) or (K, N), or scalar, or LinearOperator
            Real or complex.

        Returns
        -------
        array of the shape of x, or LinearOperator
        """
        checks.refuse_masked("x", x)
        return super().dot(x)

    def _matvec(self, x: Any) -> Any:
        return linear(self.structure.matvec, x).reshape(-1)

    def _matmat(self, X: Any) -> Any:
        return linear(self.structure.matvec, X.T).T

    def _rmatvec(self, x: Any) -> Any:
        return linear(self.structure.rmatvec, x).reshape(-1)

    def _rmatmat(self, X: Any) -> Any:
        return linear(self.structure.rmatvec, X.T).T

    def transpose(self) -> LinearOperator:
        """Transpose the operator.

        Returns
        -------
        LinearOperator
        """
        return super().transpose()

    def todense(self) -> Array:
        """Compute all entries.

        Returns
        -------
        array of shape (K, K)
        """
        return np.asarray(self.structure.todense())

    def mass(self) -> csr_array:
        """Compute the values of the B-splines at the collocation points.

        Returns
        -------
        scipy.sparse.csr_array
            A banded matrix.
        """
        return mass_matrix(self.n, self.p)

    # -- its spectrum ------------------------------------------------------------------------------

    def symbol_samples(self) -> tuple[Array, Array]:
        """Sample the symbol where it approximates the eigenvalues.

        Returns
        -------
        theta : array of shape (K,)
            The angles ``j pi / (K + 1)``.
        values : array of shape (K,)
            ``f(theta)`` over the step to the power alpha, times the sum of the weights. For unequal
            weights this is the real part of the symbol.
        """
        theta = sine_angles(self.shape[0])
        scale = sum(self.weights) * self.step**-self.alpha
        return theta, scale * riesz_symbol(theta, self.p, self.alpha)

    def eigenvalues(self) -> NDArray[np.complex128]:
        """Compute all eigenvalues by a dense method, in O(K^3), ordered by their modulus.

        Returns
        -------
        array of shape (K,), complex
            Real up to rounding for degrees up to 4; for higher ones single complex pairs may appear.
        """
        values = np.linalg.eigvals(self.todense()).astype(complex)
        return np.asarray(values[np.argsort(np.abs(values))])

    def condition_number(self) -> float:
        """Compute the condition number in the 2-norm by a dense method, in O(K^3).

        Returns
        -------
        float
        """
        return float(np.linalg.cond(self.todense()))

    # -- preconditioners ---------------------------------------------------------------------------

    def tau_preconditioner(self, mass: float = 0.0) -> LinearOperator:
        """Approximate the inverse of ``A + mass M`` by a tau matrix and the exact corners.

        Parameters
        ----------
        mass : float
            Multiple of the matrix of values that is added to A.

        Returns
        -------
        LinearOperator
            Costs two sine transforms; made for equal weights. It works as `M` in SciPy's solvers.
        """
        return self._preconditioner(tau_inverse(self, checks.real("mass", mass)))

    def circulant_preconditioner(self, mass: float = 0.0) -> LinearOperator:
        """Approximate the inverse of ``A + mass M`` by Strang's circulant matrix and the exact corners.

        Parameters
        ----------
        mass : float
            Multiple of the matrix of values that is added to A.

        Returns
        -------
        LinearOperator
            Costs two Fourier transforms; for any weights.
        """
        return self._preconditioner(circulant_inverse(self, checks.real("mass", mass)))

    def _preconditioner(self, inverse: Any) -> LinearOperator:
        return SplineInverse(self.shape, inverse)


def spline_of(A: RieszSplineOperator, c: Array) -> BSpline:
    """The spline with these coefficients; with a matrix of them, one whose values are vectors."""
    padded = np.zeros((c.shape[0] + 2, *c.shape[1:]))
    padded[1:-1] = c
    return BSpline.construct_fast(A.knots, padded, A.p, extrapolate=False)  # nothing is left to check


def good_n(n: int, p: int) -> int:
    """Return the least number of spans, n or more, for which the transforms are fast.

    Parameters
    ----------
    n : int
        Spans wanted, at least.
    p : int
        Degree of the splines.

    Returns
    -------
    int
        Such that ``n + p - 1``, half the length of the sine transform, is even and has no prime factor
        above 5; at least ``2 p``.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> from numsolve.fractional import good_n
    >>> good_n(100_000, 3), good_n(2**20 - 2, 3)
    (101248, 1048574)
    """
    p = check_degree(p)
    n = max(checks.integer("n", n, low=1), 2 * p)
    return int(2 * next_fast_len(-(-(n + p - 1) // 2), real=True) - p + 1)


def check_spans(n: Any, p: int) -> int:
    """Return n if no B-spline touches both ends."""
    spans = checks.integer("n", n, low=1)
    if spans < 2 * p:
        raise ValueError(f"n must be at least 2 p = {2 * p} for splines of degree {p}, got {spans}")
    return spans


def check_interval(interval: Any, name: str = "interval") -> tuple[float, float]:
    """Return the two ends, in order."""
    ends = checks.array(name, interval, dtype=np.float64, shape=(2,))
    a, b = float(ends[0]), float(ends[1])
    if not a < b:
        raise ValueError(f"{name} must be increasing, got ({a:g}, {b:g})")
    check_width(a, b, name)
    return a, b


def check_width(a: float, b: float, name: str) -> None:
    """Refuse ends whose difference has powers, or points between, that are no numbers."""
    width = b - a
    if not WIDTHS[0] <= width <= WIDTHS[1]:
        raise ValueError(f"{name} must have a length of {WIDTHS[0]:g} to {WIDTHS[1]:g}, got ({a:g}, {b:g})")
    if width < LEAST_RELATIVE_WIDTH * max(abs(a), abs(b)):
        raise ValueError(
            f"{name} must be longer than {LEAST_RELATIVE_WIDTH:g} of its distance from zero, "
            f"got ({a!r}, {b!r})"
        )


def check_weights(weights: Any) -> tuple[float, float]:
    """Return two nonnegative weights of positive sum."""
    w = checks.masses("weights", weights, length=2, dtype=np.float64)
    return float(w[0]), float(w[1])
