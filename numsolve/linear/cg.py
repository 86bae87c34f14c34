"""Conjugate gradients (CG), plain or preconditioned, for matrices and operators of any array library.

M. R. Hestenes, E. Stiefel, "Methods of conjugate gradients for solving linear systems", J. Res. NBS 49, 1952.
The iteration stands in `numsolve._core.krylov`, for any array library, and in `_cpu_cg`, compiled. It differs
from SciPy's in that the true residual decides: where the one of the recursion meets the tolerance, b - A x is
computed, and if it does not, the iteration begins anew from there.
"""

from __future__ import annotations

import math
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse as sp

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers
from numsolve._core.krylov import conjugate_gradients
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status

from ._judge import SEVERAL, is_sure, level, unsure
from ._method import BELIEVED, exponent
from ._system import FOREIGN, STOPS, System, compressed, kernels, refuse_functions, second
from .result import LinearResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numsolve._core.typing import Array, ArrayLike, Callback, Matrix, Namespace

INDEFINITE = "The matrix, or the preconditioner, is not positive definite."


@answers(**FOREIGN)
def cg(
    A: Matrix,
    b: ArrayLike,
    x0: ArrayLike | None = None,
    *,
    M: Matrix | None = None,
    flexible: bool = False,
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
    """Solve a symmetric (or Hermitian) positive definite system by conjugate gradients.

    Parameters
    ----------
    A : array, sparse matrix or LinearOperator of shape (n, n)
        Real symmetric or complex Hermitian, positive definite; of NumPy and SciPy, CuPy, or any array
        library.
    b : array of shape (n,), (n, 1) or, for a sparse matrix without `M`, (n, k)
        Right-hand side.
    x0 : array of the shape of b, optional
        Where to start; zeros by default.
    M : array, sparse matrix or LinearOperator of shape (n, n), optional
        Preconditioner: an approximation of the inverse of A, symmetric positive definite.
    flexible : bool
        Let M change from step to step: the Polak-Ribiere form of beta, for one more vector.
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
        With `x`, `nit`, `residual` (the true one), `rhs_norm` and the times; ``x, info = cg(...)``.

    Raises
    ------
    ValueError
        If a shape is wrong, an entry is not finite, a setting is out of range, or the check fails.
    TypeError
        If an array is not numeric, or the arrays come from different libraries.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached, or a direction of negative curvature turned up (status
        ``BREAKDOWN``, info -1); `x` is the best iterate.

    See Also
    --------
    numsolve.linear.ssor_cg : With the SSOR preconditioner, at the same cost a step.

    References
    ----------
    M. R. Hestenes, E. Stiefel, "Methods of conjugate gradients for solving linear systems", J. Res. NBS 49,
    1952.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import linear
    >>> x, info = linear.cg(linear.problems.laplacian(100), np.ones(10_000), rtol=1e-8)
    >>> info
    0
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    flexible, check_finite = checks.flag("flexible", flexible), checks.flag("check_finite", check_finite)
    checks.choice("stop", stop, STOPS)
    if check is not None:
        checks.choice("check", check, ("symmetric",))
    loop: dict[str, Any] = {"stop": stop, "label": "CG", "rtol": rtol, "atol": atol}
    compiled = M is None and not flexible and sp.issparse(A)
    if not compiled or A.dtype.kind == "c" or getattr(getattr(b, "dtype", None), "kind", "") == "c":
        if check is not None:
            check_symmetric(A)
        return textbook(A, b, x0, M, limits, flexible=flexible, check_finite=check_finite, **loop)
    system = System.make(A, b, x0, check_finite=check_finite)
    if check is not None:
        check_symmetric(system.A)
    if check_finite:
        checks.finite("A", system.A.data)
    return system.solve(_Plain(system), limits, maxiter=10 * system.b.shape[0], **loop)


class _Plain:
    """The compiled iteration without a preconditioner."""

    def __init__(self, system: System) -> None:
        self.iterate: Callable[..., tuple[int, int]] = kernels().cg
        self.matrix = system.matrix

    def start(self, x: Array, r: Array) -> None:
        self.vectors = np.empty((4, r.size), r.dtype)
        self.vectors[0], self.vectors[1], self.vectors[2] = x, r, r
        self.state = np.zeros(1)

    def steps(self, norms: Array, stop_at: float) -> tuple[int, int]:
        return self.iterate(*self.matrix, self.vectors, self.state, stop_at, norms)

    def x(self) -> Array:
        x: Array = self.vectors[0]
        return x


def textbook(
    A: Matrix,
    b: ArrayLike,
    x0: ArrayLike | None,
    M: Matrix | None,
    limits: Limits,
    *,
    flexible: bool = False,
    omega: float = math.nan,
    check_finite: bool,
    stop: str,
    rtol: float,
    atol: float,
    label: str,
) -> LinearResult:
    """The method as the textbooks have it, for any operators and any array library."""
    began = perf_counter()
    for name, value in {"A": A, "b": b, "x0": x0, "M": M}.items():
        checks.refuse_masked(name, value)
        refuse_functions(name, value)
    xp = arrays.array_namespace(A=A, b=b, x0=x0, M=M)
    b, x0, shape = _vectors(xp, A, b, x0, check_finite=check_finite)
    product = action(xp, "A", A, b, check_finite=check_finite)
    precondition = None if M is None else action(xp, "M", M, b, check_finite=check_finite)

    def residual(x: Array) -> tuple[Array, float]:
        with np.errstate(over="ignore", invalid="ignore"):  # where x is beyond the range of floats
            r = b - product(x)
            return r, arrays.norm(xp, r)

    norm_b, eps = arrays.norm(xp, b), float(xp.finfo(b.dtype).eps)
    if x0 is None or norm_b == 0.0:
        x, r, first = xp.zeros_like(b), b, norm_b
    else:
        x, (r, first) = x0, residual(x0)
    setup_time = perf_counter() - began

    def begin(x: Array, r: Array, size: float) -> tuple[Iterator[tuple[Array, float, float]], float]:
        """The steps from x, and the residual down to which they are believed."""
        return _steps(xp, product, precondition, x, r, size, flexible=flexible), BELIEVED * eps * size

    with Monitor(
        limits,
        rtol=rtol,
        atol=atol,
        reference=norm_b if stop == "b" else first,
        maxiter=10 * b.shape[0],
        label=label,
        keep="reference",
        present=lambda x: xp.reshape(x, shape),
    ) as it:
        it.record(first, x)
        last, sure = math.inf, (x, first)  # of all iterates whose true residual is known, the best
        steps, floor = begin(x, r, first)
        for _ in it:
            x, size, curvature = next(steps)
            over = not curvature > 0
            if over or size <= max(it.threshold, floor):
                r, size = residual(x)
                sure = min(sure, (x, size), key=second)
                if not size <= it.threshold:
                    if over or not size < 0.5 * last:
                        answer, true = min((it.x, residual(it.x)[1]), sure, key=second)
                        if not math.isfinite(size):
                            it.stop(Status.NONFINITE)
                            break
                        with np.errstate(over="ignore", invalid="ignore"):
                            largest = arrays.norm(xp, product(r / size))  # at most the norm of A
                        size_of_terms = largest * arrays.norm(xp, answer) + norm_b
                        noise = SEVERAL * _rounding(xp, A, b, answer)
                        excused = level(eps, size_of_terms, norm_b) - noise
                        it.stop(*_why(true, excused, over=over))
                    last = size
                    steps, floor = begin(x, r, size)
                if over and it.status is not None:
                    break
            it.record(size, x)
    answer, true = it.x, it.residual
    if it.status is Status.CONVERGED:
        noise = _rounding(xp, A, b, answer)
        if not is_sure(true, noise, it.threshold):
            it.stop(*unsure(it.threshold, noise, eps, norm_b))
    else:  # the recursion may have promised too much
        answer, true = min((answer, residual(answer)[1]), sure, key=second)
    times = {"setup_time": setup_time, "solve_time": perf_counter() - began - setup_time}
    x = xp.reshape(answer, shape)
    return it.result(LinearResult, x=x, residual=true, rhs_norm=norm_b, omega=omega, **times)


def _steps(
    xp: Namespace,
    product: Callable[[Array], Array],
    precondition: Callable[[Array], Array] | None,
    x: Array,
    r: Array,
    size: float,
    *,
    flexible: bool,
) -> Iterator[tuple[Array, float, float]]:
    """Iterates, the norms of their recursive residuals, and the curvatures.

    Where the squares of the residuals would leave the range of floats, they are divided by a power of two.
    """
    power = exponent(size, float(xp.finfo(r.dtype).eps))
    if not power:
        for step in conjugate_gradients(xp, product, x, r, precondition, flexible=flexible):
            yield step.x, _norm(xp, step.r), step.curvature
        return
    one, two = 2.0 ** (power // 2), 2.0 ** (power - power // 2)
    zero, small = xp.zeros_like(x), r / one / two
    for step in conjugate_gradients(xp, product, zero, small, precondition, flexible=flexible):
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            answer = x + step.x * one * two
        yield answer, _norm(xp, step.r) * one * two, step.curvature


def _rounding(xp: Namespace, A: Matrix, b: Array, x: Array) -> float:
    """The rounding errors of a residual, by the sizes of its terms where they are at hand."""
    size, half = arrays.norm(xp, b), 0.5 * float(xp.finfo(b.dtype).eps)
    if not arrays.is_numpy(xp) or (arrays.is_operator(A) and not arrays.is_sparse(A)):
        return half * 2 * size
    with np.errstate(over="ignore", invalid="ignore"):
        sizes = _sizes(A)
        entries = (sizes.nnz if sp.issparse(sizes) else sizes.size) / max(b.shape[0], 1)
        several = 0.5 * math.sqrt(1 + entries) if entries > kernels().LONG else 1.0  # as it is compiled
        return half * several * arrays.norm(np, sizes @ abs(x) + abs(b))


def _sizes(A: Matrix) -> Matrix:
    """The absolute values of a matrix's entries; SciPy's `abs` would sort the indices of the caller's."""
    if not arrays.is_sparse(A):
        return abs(np.asarray(arrays.of_lists("A", A)))
    A = compressed(A)
    return type(A)((abs(A.data), A.indices, A.indptr), shape=A.shape)


def _why(size: float, excused: float, *, over: bool) -> tuple[Status, str]:
    """Why the iteration cannot go on: rounding errors, if the residual is as small as they are."""
    if size <= excused < math.inf:
        return Status.ROUNDING, f"The residual is {size:.3g}."
    return (Status.BREAKDOWN, INDEFINITE) if over else (Status.STAGNATED, f"The residual is {size:.3g}.")


def _vectors(
    xp: Namespace, A: Matrix, b: Any, x0: Any, *, check_finite: bool
) -> tuple[Array, Array | None, tuple[int, ...]]:
    """The right-hand side and the start as vectors of one type, and the shape in which x goes back."""
    if not (hasattr(A, "shape") or arrays.is_operator(A)):
        A = checks.array("A", A, xp=xp, check_finite=False)
    if len(A.shape) != 2 or A.shape[0] != A.shape[1]:
        raise ValueError(f"A must be a square matrix, got shape {tuple(A.shape)}")
    b = b if hasattr(b, "dtype") else checks.array("b", b, xp=xp, check_finite=False)
    x0 = x0 if x0 is None or hasattr(x0, "dtype") else checks.array("x0", x0, xp=xp, check_finite=False)
    given = {"A": A, "b": b, "x0": x0}
    given = {name: v for name, v in given.items() if getattr(v, "dtype", None) is not None}
    if any(getattr(v.dtype, "kind", "") == "c" for v in given.values()):
        dtype = xp.complex128
    else:
        dtype = arrays.working_dtype(xp, **given)
    if tuple(b.shape) not in {(A.shape[0],), (A.shape[0], 1)}:
        raise ValueError(f"b must be a vector for A of shape {tuple(A.shape)}, got shape {tuple(b.shape)}")
    if x0 is not None and tuple(x0.shape) != tuple(b.shape):
        raise ValueError(f"x0 must have the shape of b, {tuple(b.shape)}, got {tuple(x0.shape)}")
    out: list[Any] = [None, None]
    for i, (name, v) in enumerate((("b", b), ("x0", x0))):
        if v is not None:
            out[i] = xp.reshape(xp.asarray(v, dtype=dtype, copy=True if name == "x0" else None), (-1,))
            if check_finite and not bool(xp.all(xp.isfinite(out[i]))):
                k = int(xp.argmin(xp.astype(xp.isfinite(out[i]), xp.int8)))
                raise ValueError(f"{name} must hold finite numbers, got {out[i][k]} at index {k}")
    return out[0], out[1], tuple(b.shape)


def action(xp: Namespace, name: str, A: Matrix, b: Array, *, check_finite: bool) -> Callable[[Array], Array]:
    """Multiplication by a matrix, whose entries are looked at, or by an operator."""
    operator = arrays.is_operator(A) and not arrays.is_sparse(A)
    if not operator:
        A = arrays.of_lists(name, A)
    dtype = getattr(A, "dtype", None)  # an operator may have none
    if dtype is not None and not ("complex" in str(dtype) and "complex" in str(b.dtype)):
        arrays.working_dtype(xp, **{name: A})
    if operator:
        product, entries = A.matvec, None
    elif arrays.is_sparse(A):
        A = compressed(A)
        product, entries = A.__matmul__, A.data
    else:
        A = entries = xp.asarray(A, dtype=b.dtype)
        product = A.__matmul__
    if tuple(A.shape) != (b.shape[0], b.shape[0]):
        raise ValueError(f"{name} must have shape {(b.shape[0],) * 2}, got {tuple(A.shape)}")
    if check_finite and entries is not None:
        for part in (xp.real, xp.imag) if "complex" in str(entries.dtype) else (xp.asarray,):
            checks.finite(name, part(entries), xp=xp)
    return product  # type: ignore[no-any-return]


def _norm(xp: Namespace, v: Array) -> float:
    """The norm of a residual, which is in range but at the end of a run."""
    with np.errstate(over="ignore"):
        value = float(xp.linalg.vector_norm(v))
    return value if 1e-12 < value < 1e12 else arrays.norm(xp, v)


def check_symmetric(A: Matrix) -> None:
    """Refuse a matrix that differs from its conjugate transpose by more than rounding."""
    if arrays.is_operator(A) and not arrays.is_sparse(A):
        raise TypeError("check='symmetric' needs a matrix with entries, got a linear operator")
    A = A if hasattr(A, "conj") else np.asarray(A)
    if A.ndim != 2 or A.shape[0] != A.shape[1]:
        raise ValueError(f"A must be a square matrix, got shape {tuple(A.shape)}")
    if not A.shape[0]:
        return
    if A.dtype.kind not in "fc":
        A = A.astype(arrays.working_dtype(np, A=A))
    if sp.issparse(A):  # SciPy sorts the indices of what it compares in place
        A = sp.csr_array(A, dtype=A.dtype.newbyteorder("=")).copy()
    gap = abs(A - A.conj().T).max()
    if not gap <= 1e-10 * abs(A).max():
        raise ValueError(
            f"A must be symmetric, got entries that differ by {float(gap):.3g} from its transpose"
        )
