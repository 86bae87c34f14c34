r"""Relaxation sweeps over sparse matrices, and the SSOR preconditioner that two of them make.

A sweep with the parameter w visits the rows in turn and moves each unknown to

    x_i <- x_i + w (b_i - sum_j a_ij x_j) / a_ii,

with the new values of those before it (D. M. Young, "Iterative Methods for Solving Partial Difference
Equations of Elliptic Type", Trans. AMS 76, 1954). In this order each row waits for the last one. A
`SweepPlan` sorts the rows by level instead: lev(i) = 1 + max lev(j) over the earlier rows j that row i is
coupled to. Every row still comes after those that it depends on, so that the iterates are the same to the
last bit, but the rows of one level are independent, and a processor works on several of them at a time.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import scipy.sparse as sp

from numsolve._core import arrays, checks
from numsolve._core.monitor import CHUNK_SECONDS

from ._pattern import pattern_of
from ._system import canonical, relaxation

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike, Matrix, Namespace, Operator

    from ._pattern import Pattern

ORDERINGS = ("natural", "level", "multicolor", "redblack")
DIRECTIONS = {"forward": 1, "backward": 2, "symmetric": 3}


class SweepPlan:
    """The order of the rows for sweeps over matrices of one sparsity pattern, and the values of one of them.

    Finding the order takes longer than a few products with the matrix. In a sequence of systems make the plan
    once, hand it to the solvers as ``plan=``, and they only copy the new values. (They also remember the last
    patterns by themselves, at the cost of a comparison.)

    Parameters
    ----------
    A : array or sparse matrix of shape (n, n)
        The matrix; its diagonal must not have zeros.
    ordering : {"level", "natural", "multicolor", "redblack"}
        "level" gives the iterates of the natural order, and is faster on grids. The colours give other
        iterates: as good for SOR, and for SSOR with omega above 1 much worse. "redblack" wants a graph that
        two colours are enough for.
    check_finite : bool
        Refuse NaN and infinities.

    Attributes
    ----------
    shape : tuple of int
        ``(n, n)``.
    ordering : str
        As given.
    n_levels : int
        Levels or colours; n in the natural order.
    order : array of shape (n,)
        The rows in the order in which a forward sweep visits them.

    Raises
    ------
    ValueError
        If a diagonal entry is zero or missing, an entry is not finite, or two colours are not enough.

    Examples
    --------
    >>> from numsolve import linear
    >>> A = linear.problems.laplacian(3)
    >>> plan = linear.SweepPlan(A)
    >>> plan
    SweepPlan(9 rows, 33 entries, ordering='level', 5 levels)
    >>> plan.order
    array([0, 1, 3, 2, 4, 6, 5, 7, 8], dtype=uint32)
    >>> plan.update(2.0 * A.data)
    SweepPlan(9 rows, 33 entries, ordering='level', 5 levels)
    """

    def __init__(
        self,
        A: Matrix,
        ordering: Literal["natural", "level", "multicolor", "redblack"] = "level",
        *,
        check_finite: bool = True,
    ) -> None:
        checks.choice("ordering", ordering, ORDERINGS)
        A = canonical(A)
        self.ordering = ordering
        self._pattern = pattern_of(A, ordering)
        self._check_finite = checks.flag("check_finite", check_finite)
        self._take(A.data)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of the matrix."""
        n = self._pattern.rows.size
        return n, n

    @property
    def n_levels(self) -> int:
        """Groups of independent rows."""
        return int(self._pattern.starts.size) - 1

    @property
    def order(self) -> Array:
        """The rows in the order of a forward sweep."""
        return self._pattern.rows.copy()

    def update(self, data: Array | Matrix) -> Self:
        """Take new values.

        Parameters
        ----------
        data : array of shape (nnz,), or matrix
            The entries in the order of the canonical CSR form of A, or a matrix with the pattern of A.

        Returns
        -------
        SweepPlan
            Itself.
        """
        if isinstance(data, np.ndarray) and data.ndim == 1:
            self._take(checks.array("data", data, shape=(self._pattern.indices.size,), check_finite=False))
            return self
        A = canonical(data)
        self.pattern_for(A)
        self._take(A.data)
        return self

    def pattern_for(self, A: Matrix) -> Pattern:
        """The pattern of the plan, if a canonical matrix has it."""
        if not self._pattern.matches(A):
            raise ValueError(
                f"the plan is for another sparsity pattern: it has shape {self.shape} and "
                f"{self._pattern.indices.size} entries, the matrix {A.shape} and {A.nnz}"
            )
        return self._pattern

    def _take(self, data: Array) -> None:
        from . import _cpu as k

        h = self._pattern
        values = np.empty(h.columns.size, data.dtype)
        total = k.gather(data, h.source, values)
        zero = bool(np.count_nonzero(values[h.middle]) < h.rows.size)
        h.check(data, total, zero=zero, finite=self._check_finite)
        self._values = values
        self.__dict__.pop("_whole", None)
        self.__dict__.pop("_sorted", None)

    @property
    def dtype(self) -> Any:
        """The type of the values."""
        return self._values.dtype

    def halves(self, *, mirrored: bool = False) -> tuple[Array, Array, Array, Array, Array, Array]:
        """What the kernels take: rows, pointers, columns, values, and the diagonal; or all mirrored."""
        h, values = self._pattern, self._values
        if mirrored:
            h, values = h.mirrored, values[::-1].copy()
        return h.rows, h.lp, h.up, h.columns, values, values[h.middle]

    @cached_property
    def _whole(self) -> tuple[Array, ...]:
        """What a sweep on vectors in the caller's order takes."""
        h = self._pattern
        return h.rows, *h.joined(h.rows, self._values), self._values[h.middle]

    @cached_property
    def _sorted(self) -> tuple[Array, ...]:
        """The same with columns in the order of the sweep."""
        h = self._pattern
        return *h.joined(np.arange(h.rows.size, dtype=np.uint32), self._values), self._values[h.middle]

    def __repr__(self) -> str:
        n, entries = self.shape[0], self._pattern.indices.size
        return f"SweepPlan({n} rows, {entries} entries, ordering={self.ordering!r}, {self.n_levels} levels)"


def plan_for(A: Matrix, plan: SweepPlan | None = None, *, check_finite: bool = True) -> SweepPlan:
    """The plan of a matrix: the caller's, with the values of A, or a new one."""
    if plan is None:
        return SweepPlan(A, check_finite=check_finite)
    if not isinstance(plan, SweepPlan):
        raise TypeError(f"plan must be a SweepPlan, got {type(plan).__name__}")
    return plan.update(A)


def sweep(
    A: Matrix,
    x: Array,
    b: ArrayLike,
    omega: float = 1.0,
    sweep: Literal["forward", "backward", "symmetric"] = "forward",
    iterations: int = 1,
) -> None:
    """Relax x in place, with the arguments of ``pyamg.relaxation.relaxation.sor``.

    Parameters
    ----------
    A : SweepPlan, or array or sparse matrix of shape (n, n)
        With a plan nothing but the sweeps is done; with a matrix its values are copied first.
    x : array of shape (n,) or (n, k)
        Changed in place; float32 or float64.
    b : array of the same shape
        Right-hand sides.
    omega : float
        In (0, 2); 1 is Gauss-Seidel.
    sweep : {"forward", "backward", "symmetric"}
        "symmetric" is a forward and then a backward sweep.
    iterations : int
        How often. Ctrl-C ends the sweeps between two of them.

    Raises
    ------
    ValueError
        If shapes do not agree, omega is outside (0, 2), or a diagonal entry is zero.
    TypeError
        If `x` cannot be changed in place: it has another type than A, or is read-only.

    See Also
    --------
    numsolve.linear.sor : Sweeps until a tolerance is met.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import linear
    >>> plan = linear.SweepPlan(linear.problems.laplacian(20))
    >>> x = np.zeros(400)
    >>> linear.sweep(plan, x, np.ones(400), omega=1.7, iterations=100)
    >>> print(f"{x.max():.6f}")
    32.306496
    """
    from . import _cpu_sweeps

    k: Any = _cpu_sweeps
    omega = relaxation(omega)
    direction = DIRECTIONS[checks.choice("sweep", sweep, tuple(DIRECTIONS))]
    iterations = checks.integer("iterations", iterations, low=0)
    plan = A if isinstance(A, SweepPlan) else None
    by_level = plan is not None and iterations > 3
    if plan is None:
        relax, matrix = k.sweep, _whole(canonical(A))
    else:
        relax, matrix = (k.sweep_sorted, plan._sorted) if by_level else (k.sweep, plan._whole)
    rows: Any = None if plan is None else plan._pattern.rows
    n, dtype = matrix[-1].size, matrix[-1].dtype
    given: object = x
    if not (isinstance(given, np.ndarray) and x.dtype == dtype and x.flags.writeable):
        kind = f"{x.dtype} array" if isinstance(given, np.ndarray) else type(given).__name__
        raise TypeError(f"x must be a writeable array of {dtype}, as A, to be changed in place; got a {kind}")
    checks.refuse_masked("x", x)
    if x.ndim not in {1, 2} or x.shape[0] != n:
        raise ValueError(f"x must have as many rows as A of shape {(n, n)}, got shape {x.shape}")
    checks.finite("x", x)
    rhs: Array = checks.array("b", b, dtype=dtype, shape=x.shape)
    at_once = 1 + int(CHUNK_SECONDS / (1e-6 + 3e-9 * matrix[-2].size))
    # Columns one by one: in the order of levels a sweep is as fast as the processor reads the matrix.
    for y, c in [(x, rhs)] if x.ndim == 1 else zip(x.T, rhs.T, strict=True):
        z, r = (y[rows], c[rows]) if by_level else map(np.ascontiguousarray, (y, c))
        try:
            for done in range(0, iterations, at_once):
                relax(*matrix, omega, z, r, direction, min(at_once, iterations - done))
        finally:
            if by_level:
                y[rows] = z
            elif z is not y:
                y[:] = z


def SSOR(  # noqa: N802  # it makes an operator, which the literature writes so
    A: Matrix,
    omega: float = 1.0,
    *,
    plan: SweepPlan | None = None,
    order: Literal["forward", "backward"] = "forward",
) -> Operator:
    """Symmetric successive over-relaxation as a preconditioner: a forward and a backward sweep from zero.

    It applies the inverse of ``P = (D + w L) D^-1 (D + w U) / (w (2 - w))``, which is symmetric and positive
    definite where A is.

    Parameters
    ----------
    A : array or sparse matrix of shape (n, n)
        The matrix; of CuPy, too.
    omega : float
        In (0, 2).
    plan : SweepPlan, optional
        The plan to use; it takes the values of A. After ``plan.update(data)`` the operator has the new
        values.
    order : {"forward", "backward"}
        Which sweep comes first. The backward one makes ``(D + w U) D^-1 (D + w L)``.

    Returns
    -------
    LinearOperator
        ``M=`` for `scipy.sparse.linalg.cg`, or CuPy's, and for `numsolve.linear.cg`.

    See Also
    --------
    numsolve.linear.ssor_cg : Conjugate gradients with this preconditioner, in one pass a step for two.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse.linalg import cg
    >>> from numsolve import linear
    >>> A = linear.problems.laplacian(50)
    >>> x, info = cg(A, np.ones(2500), M=linear.SSOR(A, omega=1.8))
    >>> info
    0
    """
    omega = relaxation(omega)
    mirrored = checks.choice("order", order, ("forward", "backward")) == "backward"
    xp = arrays.array_namespace(A=A)
    apply: _OnHost | _OnDevice
    if arrays.is_numpy(xp):
        plan = plan_for(A, plan)
        shape, dtype, apply = plan.shape, plan.dtype, _OnHost(plan, omega, mirrored=mirrored)
    else:
        shape, dtype, apply = A.shape, A.dtype, _OnDevice(xp, A, omega, mirrored=mirrored)
    return arrays.linear_operator(xp, shape, apply, apply, dtype=dtype)


class _OnHost:
    """P^-1 r with the values that the plan has now."""

    def __init__(self, plan: SweepPlan, omega: float, *, mirrored: bool) -> None:
        self.plan, self.omega, self.mirrored = plan, omega, mirrored

    def __call__(self, r: Array) -> Array:
        from ._cpu_sweeps import apply_ssor

        r = np.ascontiguousarray(r, dtype=self.plan.dtype)
        z, out = np.empty(r.size, r.dtype), np.empty(r.size, r.dtype)
        apply_ssor(*self.plan.halves(mirrored=self.mirrored), self.omega, r.reshape(-1), z, out)
        return out.reshape(r.shape)


class _OnDevice:
    """The same for a CuPy matrix: levels from the host, values on the device."""

    def __init__(self, xp: Namespace, A: Matrix, omega: float, *, mirrored: bool) -> None:
        A = A.tocsr(copy=True)
        A.sum_duplicates()
        parts = (np.ones(A.nnz), arrays.to_host(A.indices), arrays.to_host(A.indptr))
        h = pattern_of(canonical(sp.csr_array(parts, shape=A.shape)), "level")
        h = h.mirrored if mirrored else h
        self.omega, self.starts = omega, h.starts
        k: Any = arrays.kernels_for(xp, __package__)
        self.matrix = k.gather(A.data, h.rows, h.lp, h.up, h.columns, h.source, h.middle)

    def __call__(self, r: Array) -> Array:
        k: Any = arrays.kernels_for(arrays.array_namespace(r=r), __package__)
        z: Array = k.apply_ssor(self.starts, *self.matrix, self.omega, r.reshape(-1))
        return z.reshape(r.shape)


def _whole(A: Matrix) -> tuple[Array, ...]:
    """What a sweep over a canonical matrix takes, without a plan."""
    from . import _cpu as k

    h = pattern_of(A, "level")
    ptr, columns, source = h.whole
    values, diag = np.empty(source.size, A.data.dtype), np.empty(h.rows.size, A.data.dtype)
    total = k.gather(A.data, source, values) + k.gather(A.data, h.source[h.middle], diag)
    h.check(A.data, total, zero=bool(np.count_nonzero(diag) < diag.size), finite=True)
    return h.rows, ptr, columns, values, diag
