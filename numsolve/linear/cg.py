"""Conjugate gradients (CG), plain or preconditioned, for matrices and operators of any array library.

M. R. Hestenes, E. Stiefel, "Methods of conjugate gradients for solving linear systems", J. Res. NBS 49, 1952.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status

from ._system import STOPS, System, unsigned
from .result import LinearResult

if TYPE_CHECKING:
    from collections.abc import Callable

INDEFINITE = "The matrix, or the preconditioner, is not positive definite."


def cg(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    M: Any = None,
    flexible: bool = False,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    stop: str = "b",
    check: str | None = None,
    check_finite: bool = True,
    callback: Callable[..., Any] | None = None,
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
    maxiter : int, optional
        Most steps to do; 10 n by default.
    stop : {"b", "r0"}
        The reference: the norm of b, as in SciPy, or that of the first residual.
    check : {"symmetric"}, optional
        Look whether A is symmetric, which costs some products with it.
    check_finite : bool
        Refuse NaN and infinities.
    callback : callable, optional
        Called after each step with x, or with an ``intermediate_result``; returning True stops the run.
    progress : bool
        Show a progress bar.
    time_limit : float, optional
        Seconds.

    Returns
    -------
    LinearResult
        With `x`, `nit`, `residual` (the true one), `rhs_norm` and the times; ``x, info = cg(...)``.

    Raises
    ------
    ValueError
        If a shape is wrong, an entry is not finite, a setting is out of range, or the check fails.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached, or a direction of negative curvature turned up (status
        ``BREAKDOWN``, info -1); `x` is the best iterate.

    See Also
    --------
    numsolve.linear.ssor_cg : With the SSOR preconditioner, at the same cost a step.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import linear
    >>> x, info = linear.cg(linear.problems.laplacian(100), np.ones(10_000), rtol=1e-8)
    >>> info
    0
    """
    checks.choice("stop", stop, STOPS)
    if check is not None:
        checks.choice("check", check, ("symmetric",))
    settings: dict[str, Any] = {
        "stop": stop,
        "label": "CG",
        "rtol": rtol,
        "atol": atol,
        "maxiter": maxiter,
        "callback": callback,
        "progress": progress,
        "time_limit": time_limit,
    }
    compiled = (
        M is None and not flexible and arrays.is_sparse(A) and arrays.is_numpy(arrays.array_namespace(A=A))
    )
    if not compiled or A.dtype.kind == "c" or getattr(getattr(b, "dtype", None), "kind", "") == "c":
        if check is not None:
            check_symmetric(A)
        return textbook(A, b, x0, M, flexible=flexible, check_finite=check_finite, **settings)
    system = System.make(A, b, x0, check_finite=check_finite)
    if check is not None:
        check_symmetric(system.A)
    if check_finite:
        checks.finite("A", system.A.data)
    settings["maxiter"] = 10 * system.b.shape[0] if maxiter is None else maxiter
    method = _Plain(system.A)
    return system.solve(method.k, method, **settings)


class _Plain:
    """The compiled iteration without a preconditioner."""

    def __init__(self, A: Any) -> None:
        from . import _cpu, _cpu_cg

        self.k: Any = _cpu
        self.cg: Any = _cpu_cg
        self.matrix = (unsigned(A.indptr), unsigned(A.indices), A.data)

    def start(self, x: Any, r: Any) -> None:
        self.y, self.r, self.p = x.copy(), r.copy(), r.copy()
        self.state = np.array([np.sum(np.square(r, dtype=float))])

    def steps(self, norms: Any, stop_at: float) -> tuple[int, int]:
        done, code = self.cg.cg(*self.matrix, self.y, self.r, self.p, self.state, stop_at, norms)
        return done, code

    def x(self) -> Any:
        return self.y


def textbook(
    A: Any,
    b: Any,
    x0: Any,
    M: Any,
    *,
    flexible: bool = False,
    omega: float = float("nan"),
    check_finite: bool,
    stop: str,
    maxiter: int | None,
    **settings: Any,
) -> LinearResult:
    """The method as the textbooks have it, for any operators and any array library."""
    began = perf_counter()
    xp = arrays.array_namespace(A=A, b=b, x0=x0, M=M)
    b, x0, shape = _vectors(xp, A, b, x0, check_finite=check_finite)
    product = _action(xp, "A", A, b)
    precondition = _same if M is None else _action(xp, "M", M, b)
    norm_b = _norm(xp, b)
    x, r = (xp.zeros_like(b), b) if x0 is None or norm_b == 0.0 else (x0, b - product(x0))
    first = _norm(xp, r)
    setup_time = perf_counter() - began
    with Monitor(
        reference=norm_b if stop == "b" else first,
        maxiter=10 * b.shape[0] if maxiter is None else maxiter,
        keep="reference",
        present=lambda x: xp.reshape(x, shape),
        **settings,
    ) as it:
        it.record(first, x)
        p, r_old, rho = xp.zeros_like(b), xp.zeros_like(b), 1.0
        for _ in it:
            z = precondition(r)
            new = _dot(xp, r, z)
            beta = (new - _dot(xp, r_old, z) if flexible else new) / rho
            p = z + beta * p
            q = product(p)
            curvature = _dot(xp, p, q)
            if not (curvature > 0 and new > 0):
                it.stop(Status.BREAKDOWN, INDEFINITE)
                break
            rho, r_old = new, r
            x = x + (rho / curvature) * p
            r = r - (rho / curvature) * q
            it.record(_norm(xp, r), x)
    true = _norm(xp, b - product(it.x))
    times = {"setup_time": setup_time, "solve_time": perf_counter() - began - setup_time}
    return it.result(LinearResult, residual=true, rhs_norm=norm_b, omega=omega, **times)


def _vectors(xp: Any, A: Any, b: Any, x0: Any, *, check_finite: bool) -> tuple[Any, Any, tuple[int, ...]]:
    """The right-hand side and the start as vectors of one type, and the shape in which x goes back."""
    if not (hasattr(A, "shape") or arrays.is_operator(A)):
        A = xp.asarray(A)
    if len(A.shape) != 2 or A.shape[0] != A.shape[1]:
        raise ValueError(f"A must be a square matrix, got shape {tuple(A.shape)}")
    b = b if hasattr(b, "dtype") else checks.array("b", b, check_finite=False)
    given = [v for v in (A, b, x0) if getattr(v, "dtype", None) is not None]
    if any(getattr(v.dtype, "kind", "") == "c" for v in given):
        dtype = xp.complex128
    else:
        dtype = arrays.working_dtype(xp, **dict(zip("Abx", given, strict=False)))
    out: list[Any] = []
    for name, v in (("b", b), ("x0", x0)):
        if v is None:
            out.append(None)
            continue
        w = xp.asarray(v, dtype=dtype)
        if tuple(w.shape) not in {(A.shape[0],), (A.shape[0], 1)}:
            raise ValueError(f"{name} must be a vector for A of shape {tuple(A.shape)}, got {tuple(w.shape)}")
        if check_finite and not bool(xp.all(xp.isfinite(w))):
            raise ValueError(f"{name} must hold finite numbers")
        out.append(xp.reshape(w, (-1,)))
    return out[0], out[1], tuple(b.shape)


def _action(xp: Any, name: str, A: Any, b: Any) -> Callable[[Any], Any]:
    """Multiplication by a matrix or an operator."""
    if arrays.is_operator(A) and not arrays.is_sparse(A):
        product = A.matvec
    elif arrays.is_sparse(A):
        product = A.__matmul__
    else:
        product = xp.asarray(A, dtype=b.dtype).__matmul__
    if tuple(A.shape if hasattr(A, "shape") else np.shape(A)) != (b.shape[0], b.shape[0]):
        raise ValueError(f"{name} must have shape {(b.shape[0],) * 2}, got {tuple(A.shape)}")
    return product  # type: ignore[no-any-return]


def _same(v: Any) -> Any:
    return v


def _dot(xp: Any, u: Any, v: Any) -> float:
    return float(xp.real(xp.vecdot(u, v)) if "complex" in str(u.dtype) else xp.vecdot(u, v))


def _norm(xp: Any, v: Any) -> float:
    return float(xp.linalg.vector_norm(v))


def check_symmetric(A: Any) -> None:
    """Refuse a matrix that differs from its conjugate transpose by more than rounding."""
    if arrays.is_operator(A) and not arrays.is_sparse(A):
        raise TypeError("check='symmetric' needs a matrix with entries, got a linear operator")
    A = A if hasattr(A, "conj") else np.asarray(A)
    gap = abs(A - A.conj().T).max()
    if not gap <= 1e-10 * abs(A).max():
        raise ValueError(
            f"A must be symmetric, got entries that differ by {float(gap):.3g} from its transpose"
        )
