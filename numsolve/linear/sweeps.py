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
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import scipy.sparse as sp

from numsolve._core import arrays, checks

from ._pattern import pattern_of
from ._system import canonical, relaxation

if TYPE_CHECKING:
    from ._pattern import Pattern

ORDERINGS = ("natural", "level", "multicolor", "redblack")
DIRECTIONS = {"forward": 1, "backward": 2, "symmetric": 3}


class SweepPlan:
    """The order of the rows for sweeps over matrices of one sparsity pattern, and the values of one of them.

    Finding the order takes as long as some ten products with the matrix. In a sequence of systems make the
    plan once, hand it to the solvers as ``plan=``, and they only copy the new values. (They also remember the
    last patterns by themselves, at the cost of a comparison.)

    Parameters
    ----------
    A : array or sparse matrix of shape (n, n)
        The matrix; its diagonal must not have zeros.
    ordering : {"level", "natural", "multicolor", "redblack"}
        "level" gives the iterates of the natural order, and is two to four times faster on grids. The colours
        give other iterates: as good for SOR, and for SSOR with omega above 1 much worse. "redblack" wants a
        graph that two colours are enough for.
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

    def __init__(self, A: Any, ordering: str = "level", *, check_finite: bool = True) -> None:
        checks.choice("ordering", ordering, ORDERINGS)
        A = canonical(A)
        self.ordering = ordering
        self._pattern = pattern_of(A, ordering)
        self._check_finite = check_finite
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
    def order(self) -> Any:
        """The rows in the order of a forward sweep."""
        return self._pattern.rows.copy()

    def update(self, data: Any) -> Self:
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
        self._pattern_for(A)
        self._take(A.data)
        return self

    def _pattern_for(self, A: Any) -> Pattern:
        """The pattern of the plan, if a canonical matrix has it."""
        if not self._pattern.matches(A):
            raise ValueError(
                f"the plan is for another sparsity pattern: it has shape {self.shape} and "
                f"{self._pattern.indices.size} entries, the matrix {A.shape} and {A.nnz}"
            )
        return self._pattern

    def _take(self, data: Any) -> None:
        from . import _cpu as k

        h = self._pattern
        self.lv, self.uv = np.empty(h.lc.size, data.dtype), np.empty(h.uc.size, data.dtype)
        self.diag = np.empty(h.rows.size, data.dtype)
        total, zero = k.gather(data, h.lf, h.uf, h.df, self.lv, self.uv, self.diag)
        h.check(data, total, zero, finite=self._check_finite)
        self.__dict__.pop("_whole", None)
        self.__dict__.pop("_sorted", None)

    def _halves(self, *, mirrored: bool = False) -> tuple[Any, ...]:
        """What the kernels take: rows, lower half, upper half, diagonal; or all of it mirrored."""
        if mirrored:
            h, lv, uv, diag = self._pattern.mirrored, self.uv[::-1], self.lv[::-1], self.diag[::-1]
            return h.rows, h.lp, h.lc, lv.copy(), h.up, h.uc, uv.copy(), diag.copy()
        h = self._pattern
        return h.rows, h.lp, h.lc, self.lv, h.up, h.uc, self.uv, self.diag

    @cached_property
    def _whole(self) -> tuple[Any, ...]:
        """What a sweep on vectors in the caller's order takes."""
        from . import _cpu as k

        rows, *parts, diag = self._halves()
        return rows, *k.join(rows, *parts), diag

    @cached_property
    def _sorted(self) -> tuple[Any, ...]:
        """The same with columns in the order of the sweep."""
        from . import _cpu as k

        rows, *parts, diag = self._halves()
        return rows, *k.join(np.arange(rows.size, dtype=np.uint32), *parts), diag

    def __repr__(self) -> str:
        n, entries = self.shape[0], self._pattern.indices.size
        return f"SweepPlan({n} rows, {entries} entries, ordering={self.ordering!r}, {self.n_levels} levels)"


def plan_for(A: Any, plan: SweepPlan | None = None, *, check_finite: bool = True) -> SweepPlan:
    """The plan of a matrix: the caller's, with the values of A, or a new one."""
    if plan is None:
        return SweepPlan(A, check_finite=check_finite)
    if not isinstance(plan, SweepPlan):
        raise TypeError(f"plan must be a SweepPlan, got {type(plan).__name__}")
    return plan.update(A)


def sweep(A: Any, x: Any, b: Any, omega: float = 1.0, sweep: str = "forward", iterations: int = 1) -> None:
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
        How often.

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
    relax, matrix = k.sweep, A._whole if isinstance(A, SweepPlan) else _whole(canonical(A))
    if isinstance(A, SweepPlan) and iterations > 3:
        relax, matrix = k.sweep_sorted, A._sorted
    n, dtype = matrix[0].size, matrix[-1].dtype
    if not (isinstance(x, np.ndarray) and x.dtype == dtype and x.flags.writeable):
        kind = f"{x.dtype} array" if isinstance(x, np.ndarray) else type(x).__name__
        raise TypeError(f"x must be a writeable array of {dtype}, as A, to be changed in place; got a {kind}")
    if x.ndim not in {1, 2} or x.shape[0] != n:
        raise ValueError(f"x must have as many rows as A of shape {(n, n)}, got shape {x.shape}")
    checks.finite("x", x)
    b = checks.array("b", b, dtype=dtype, shape=x.shape)
    # Columns one by one: in the order of levels a sweep is as fast as the processor reads the matrix.
    for y, c in [(x, b)] if x.ndim == 1 else zip(x.T, b.T, strict=True):
        z = np.ascontiguousarray(y)
        relax(*matrix, omega, z, np.ascontiguousarray(c), direction, iterations)
        if z is not y:
            y[:] = z


def SSOR(A: Any, omega: float = 1.0, *, plan: SweepPlan | None = None, order: str = "forward") -> Any:  # noqa: N802
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
    numsolve.linear.ssor_cg : Conjugate gradients with this preconditioner, at half the cost.

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
    from . import _cpu_sweeps

    k: Any = _cpu_sweeps
    omega = relaxation(omega)
    xp = arrays.array_namespace(A=A)
    if not arrays.is_numpy(xp):
        return _device_ssor(xp, A, omega, order)
    mirrored = checks.choice("order", order, ("forward", "backward")) == "backward"
    plan = plan_for(A, plan)

    def apply(r: Any) -> Any:
        r = np.ascontiguousarray(r, dtype=plan.diag.dtype)
        return k.apply_ssor(*plan._halves(mirrored=mirrored), omega, r.reshape(-1)).reshape(r.shape)

    return arrays.linear_operator(np, plan.shape, apply, apply, dtype=plan.diag.dtype)


def _whole(A: Any) -> tuple[Any, ...]:
    """What a sweep over a canonical matrix takes, without a plan."""
    from . import _cpu as k

    h = pattern_of(A, "level")
    ptr, columns, source = h.whole
    values, diag = np.empty(source.size, A.data.dtype), np.empty(h.rows.size, A.data.dtype)
    total, zero = k.gather(A.data, source, source[:0], h.df, values, values[:0], diag)
    h.check(A.data, total, zero, finite=True)
    return h.rows, ptr, columns, values, diag


def _device_ssor(xp: Any, A: Any, omega: float, order: str) -> Any:
    """The preconditioner of a CuPy matrix: levels from the host, values on the device."""
    k: Any = arrays.kernels_for(xp, __package__)
    A = A.tocsr()
    A.sum_duplicates()
    ones = np.ones(A.nnz)
    host = canonical(sp.csr_array((ones, arrays.to_host(A.indices), arrays.to_host(A.indptr)), shape=A.shape))
    h = pattern_of(host, "level")
    h = h.mirrored if checks.choice("order", order, ("forward", "backward")) == "backward" else h
    parts = k.gather(A.data, h.rows, h.lp, h.lc, h.lf, h.up, h.uc, h.uf, h.df)

    def apply(r: Any) -> Any:
        return k.apply_ssor(h.starts, *parts, omega, r.reshape(-1)).reshape(r.shape)

    return arrays.linear_operator(xp, A.shape, apply, apply, dtype=A.dtype)
