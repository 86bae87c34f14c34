r"""Threshold incomplete Cholesky factors, and conjugate gradients with them.

With S the roots of the diagonal of A, the matrix S^-1 A S^-1 has ones on its diagonal. Its factors

    S^-1 A S^-1 + shift I  ~  L D L^T                                                                  (1)

keep of each column the entries with ``|l_ij| sqrt(d_j) > droptol``, and at most `fill` more than A has there
(N. Munksgaard, ACM Trans. Math. Software 6, 1980; M. T. Jones, P. E. Plassmann, same journal 21, 1995). Where
a pivot is not positive, the factorisation begins anew with a shift four times as large (T. A. Manteuffel,
Math. Comp. 34, 1980), so that the preconditioner is symmetric positive definite whatever A is; what the
solution is worth, the residual tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from numsolve._core import checks
from numsolve._core.codes import BREAKDOWN
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits

from ._factors import Factored, Factors, places, pointers
from ._system import FOREIGN, STOPS, System
from .cg import check_symmetric

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike, Callback, Matrix

    from .result import LinearResult

#: The first shift, what the next ones are multiplied by, and how many there are before only D is left.
FIRST_SHIFT, SHIFT_FACTOR, SHIFTS = 1e-3, 4.0, 12


class ICT(Factored):
    """Threshold incomplete Cholesky factors of a symmetric positive definite matrix, as a preconditioner.

    Parameters
    ----------
    A : array or sparse matrix of shape (n, n)
        Symmetric; only its upper half is read. The diagonal must be positive.
    droptol : float
        Entries of the factor that are at most so large are dropped; it is the factor of the matrix scaled to
        ones on its diagonal. 0 drops none.
    fill : int
        Entries that a column of the factor may have beyond those of A: the largest are kept.
    check_finite : bool
        Refuse NaN and infinities.

    Attributes
    ----------
    shape : tuple of int
        ``(n, n)``.
    nnz : int
        Entries of the factors.
    shift : float
        What was added to the diagonal of the scaled matrix, 0 unless the factorisation broke down; infinite
        if no shift helped and only the diagonal is left.

    Raises
    ------
    ValueError
        If a diagonal entry is not positive, an entry is not finite, or a setting is out of range.

    See Also
    --------
    numsolve.linear.ict_cg : Conjugate gradients with it, compiled.

    References
    ----------
    N. Munksgaard, "Solving sparse symmetric sets of linear equations by preconditioned conjugate gradients",
    ACM Trans. Math. Software 6, 1980.
    M. T. Jones, P. E. Plassmann, "An improved incomplete Cholesky factorization", ACM Trans. Math. Software
    21, 1995.
    T. A. Manteuffel, "An incomplete factorization technique for positive definite linear systems", Math.
    Comp. 34, 1980.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse.linalg import cg
    >>> from numsolve import linear
    >>> A = linear.problems.laplacian(50)
    >>> M = linear.ICT(A)
    >>> x, info = cg(A, np.ones(2500), M=M)
    >>> info
    0
    >>> M.update(2.0 * A.data)
    ICT(2500 rows, 49962 entries, droptol=0.001, fill=8)
    """

    def __init__(self, A: Matrix, droptol: float = 1e-3, fill: int = 8, *, check_finite: bool = True) -> None:
        self.droptol = checks.real("droptol", droptol, low=0.0)
        self.fill = checks.integer("fill", fill, low=0)
        super().__init__(A, check_finite=check_finite)

    def _factorise(self, A: Matrix) -> None:
        diagonal = A.diagonal()
        if not (diagonal > 0).all():
            k = int(np.argmin(diagonal > 0))
            raise ValueError(f"A must have a positive diagonal, got {diagonal[k]} in row {k}")
        self.factors, self.shift = factorised(A, diagonal, self.droptol, self.fill)

    def __repr__(self) -> str:
        return f"ICT({self.shape[0]} rows, {self.nnz} entries, droptol={self.droptol}, fill={self.fill})"


def factorised(A: Matrix, diagonal: Array, droptol: float, fill: int) -> tuple[Factors, float]:
    """The factors (1) of a canonical matrix, unscaled, and the shift that they needed."""
    from . import _cpu_factor as k

    n, root = diagonal.size, np.sqrt(np.abs(diagonal, dtype=float))
    beyond = np.arange(n - 1, -1, -1)  # entries above the diagonal that a row has room for
    own = np.minimum(np.diff(A.indptr), beyond)
    columns, values = places(np.minimum(own + min(fill, n), beyond))
    up, d, lists = np.zeros(n + 1, np.uint32), np.empty(n), np.empty((3, n), np.int64)
    work, mark, found = np.empty(n), np.empty(n, np.int64), np.empty(n, np.int64)
    matrix, shift = pointers(A), 0.0
    for attempt in range(SHIFTS + 1):
        broke = k.ict(*matrix, root, shift, droptol, fill, up, columns, values, d, lists, work, mark, found)
        if broke < 0:
            break
        shift = FIRST_SHIFT * SHIFT_FACTOR**attempt
    else:
        up.fill(0)
        d.fill(1.0)
        shift = np.inf
    size = int(up[-1])
    upper = up, columns[:size], values[:size]
    lower = np.zeros(n + 1, np.uint32), np.empty(size, np.uint32), np.empty(size)
    k.transposed(*upper, *lower)
    with np.errstate(over="ignore", divide="ignore"):  # seen in the residual
        inverse = (1.0 / root / root / d).astype(A.dtype)
    return Factors.arranged(lower, upper, root, inverse), float(shift)


@answers(**FOREIGN, omega="ict_cg has no relaxation parameter; numsolve.linear.ssor_cg has one")
def ict_cg(
    A: Matrix,
    b: ArrayLike,
    x0: ArrayLike | None = None,
    *,
    droptol: float = 1e-3,
    fill: int = 8,
    M: ICT | None = None,
    rtol: float = 1e-5,
    atol: float = 0.0,
    stop: Literal["b", "r0"] = "b",
    check: Literal["symmetric"] | None = None,
    check_finite: bool = True,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> LinearResult:
    """Solve a symmetric positive definite system by conjugate gradients with incomplete Cholesky factors.

    Parameters
    ----------
    A : array or sparse matrix of shape (n, n)
        Symmetric positive definite; not changed.
    b : array of shape (n,), (n, 1) or (n, k)
        Right-hand sides.
    x0 : array of the shape of b, optional
        Where to start; zeros by default.
    droptol, fill : float and int
        The settings of the factorisation, as in `ICT`: a smaller `droptol` and a larger `fill` take fewer
        iterations and more seconds each.
    M : ICT, optional
        Factors to use as they are, in place of new ones: of A, or of a matrix near it.
    rtol, atol : float
        Converged when ``||b - A x|| <= max(rtol * reference, atol)``.
    stop : {"b", "r0"}
        The reference: the norm of b, as in SciPy, or that of the first residual.
    check : {"symmetric"}, optional
        Look whether A is symmetric, which costs some products with it.
    check_finite : bool
        Refuse NaN and infinities.
    maxiter, callback, progress, time_limit
        The run settings, as in `numsolve.linear.sor`; 10 n steps by default.

    Returns
    -------
    LinearResult
        With `x`, `nit`, `residual` (the true one), `rhs_norm` and the times; ``x, info = ict_cg(...)``.

    Raises
    ------
    ValueError
        If a shape is wrong, the diagonal has a zero, an entry is not finite, a setting is out of range, or
        the check fails.
    TypeError
        If an array is complex or not numeric, or `M` is not an `ICT`.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached, or A is not positive definite (status ``BREAKDOWN``, info -1); `x`
        is the best iterate.

    See Also
    --------
    numsolve.linear.ssor_cg : Without a factorisation: faster where the matrix is well conditioned.

    References
    ----------
    Those of `numsolve.linear.ICT`.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import linear
    >>> A, b = linear.problems.laplacian(100), np.ones(10_000)
    >>> linear.ict_cg(A, b, rtol=1e-8).nit < linear.ssor_cg(A, b, omega=1.9, rtol=1e-8).nit
    True
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    check_finite = checks.flag("check_finite", check_finite)
    checks.choice("stop", stop, STOPS)
    if check is not None:
        checks.choice("check", check, ("symmetric",))
    droptol, fill = checks.real("droptol", droptol, low=0.0), checks.integer("fill", fill, low=0)
    if M is not None and not isinstance(M, ICT):
        raise TypeError(
            f"M must be an ICT, got {type(M).__name__}; numsolve.linear.cg takes any preconditioner"
        )
    system = System.make(A, b, x0, check_finite=check_finite)
    if check is not None:
        check_symmetric(system.A)
    if check_finite:
        checks.csr("A", system.A)
    diagonal = system.A.diagonal()
    if not diagonal.all():
        raise ValueError(f"A has a zero on its diagonal, in row {int(np.argmin(diagonal != 0))}")
    if M is None:
        factors, _ = factorised(system.A, diagonal, droptol, fill)
    elif M.shape != system.A.shape:
        raise ValueError(f"M must have the shape of A, {system.A.shape}, got {M.shape}")
    else:
        factors = M.factors
    method = Preconditioned(system.A, factors, indefinite=not (diagonal > 0).all())
    loop: dict[str, Any] = {"stop": stop, "label": "ICT-CG", "rtol": rtol, "atol": atol}
    return system.solve(method, limits, maxiter=10 * system.b.shape[0], **loop)


class Preconditioned:
    """The compiled iteration with factors."""

    def __init__(self, A: Matrix, factors: Factors, *, indefinite: bool) -> None:
        from . import _cpu_krylov

        self.k: Any = _cpu_krylov
        self.matrix, self.factors, self.indefinite = pointers(A), factors.of(A.dtype), indefinite

    def start(self, x: Array, r: Array) -> None:
        """Begin at x with the residual r."""
        self.vectors = np.empty((7, r.size), r.dtype)
        self.vectors[0], self.vectors[1], self.vectors[2], self.vectors[6] = x, r, 0.0, x
        self.state = np.array([0.0, float(np.linalg.norm(r.astype(float)))])

    def steps(self, norms: Array, stop_at: float) -> tuple[int, int]:
        """Do compiled steps."""
        if self.indefinite:
            return 0, BREAKDOWN
        done, code = self.k.pcg(*self.matrix, *self.factors, self.vectors, self.state, stop_at, norms)
        return done, code

    def x(self) -> Array:
        """The iterate."""
        x: Array = self.vectors[0]
        return x

    def best(self) -> Array:
        """Of the iterates so far, the one with the smallest residual."""
        x: Array = self.vectors[6]
        return x
