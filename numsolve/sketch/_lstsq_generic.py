"""Randomised Cholesky-QR in plain array code: for tall matrices of CuPy and any other array library.

The equations are those of `lstsq`, in the same order.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status

from ._factor import BELOW, ROUNDING, SAFE, power_of_two
from .operators import make_sketch
from .result import LstsqResult

if TYPE_CHECKING:
    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array, Namespace


def lstsq_generic(
    xp: Namespace, A: Array, b: Any, oversample: float, nnz: int, tol: float | None, rcond: float | None,
    rng: np.random.Generator, limits: Limits,
) -> LstsqResult:  # fmt: skip
    """Least squares for a matrix of the library xp, tall and of any rank."""
    A, columns, vector = _checked(xp, A, b)
    eps = float(xp.finfo(A.dtype).eps)
    n, d = A.shape
    wanted = (1e-5 if eps > 1e-10 else 1e-12) if tol is None else tol
    cut = max(8.0, 2.0 * math.sqrt(d)) * eps if rcond is None else rcond
    exponent = math.frexp(float(xp.finfo(A.dtype).max))[1]
    down = power_of_two(float(xp.max(xp.abs(A))), exponent)
    tops = [float(top) for top in xp.max(xp.abs(columns), axis=0)]
    scales = [power_of_two(top, exponent) for top in tops]
    left = xp.asarray(scales, dtype=A.dtype, device=arrays.device(A))
    A, columns = A * down, columns * left
    norm = arrays.norm(xp, A)
    with Monitor(
        limits, atol=wanted, maxiter=20, label="least squares, cholqr", keep="reference",
        present=lambda x: xp.reshape(_presented(x, down, left), (-1,) if vector else x.shape),
    ) as it:  # fmt: skip
        s = max(math.ceil(oversample * d), d + 10)
        B = A if s >= n else make_sketch("sparse-sign", s, n, nnz=min(nnz, s), rng=rng) @ A
        _, sigma, Vt = xp.linalg.svd(xp.linalg.qr(B)[1], full_matrices=False)
        top = float(sigma[0])
        rank = int(xp.sum(xp.astype(sigma > cut * top, xp.int64))) if top > 0.0 else 0
        used = top / float(sigma[rank - 1]) if rank else 1.0
        least = float(sigma[-1])
        wanted = min(it.threshold, max(ROUNDING * eps, SAFE / used))
        N = xp.matrix_transpose(Vt[:rank, :] / xp.reshape(sigma[:rank], (-1, 1)))  # (1)
        x = xp.zeros((d, columns.shape[1]), dtype=A.dtype, device=arrays.device(A))
        Y = A @ N
        C = xp.linalg.cholesky(xp.matrix_transpose(Y) @ Y) if rank else None  # (2)

        def step(v: Array) -> Array:
            moved: Array = N @ xp.linalg.solve(xp.matrix_transpose(C), xp.linalg.solve(C, v))
            return moved

        def certificate(x: Array) -> tuple[float, Array, Array]:
            r = columns - A @ x
            g = xp.matrix_transpose(A) @ r
            rs, xs = xp.linalg.vector_norm(r, axis=0), xp.linalg.vector_norm(x, axis=0)
            weights = xp.sqrt(xp.reshape(sigma, (-1, 1)) ** 2 * xs**2 + rs**2)
            part = xp.where(weights > 0, (Vt @ g) / xp.where(weights > 0, weights, 1.0), 0.0)
            rho = float(xp.max(xp.linalg.vector_norm(part, axis=0)))  # (4)
            return (rho / norm if norm > 0.0 else 0.0), g, rs

        residual, g, rs = certificate(x)
        it.record(residual, x, converged=residual <= wanted)
        before = math.inf
        for k in it:
            if rank == 0:
                it.stop(Status.STAGNATED, "A is zero.")
                break
            x = step(xp.matrix_transpose(Y) @ columns) if k == 1 else x + step(xp.matrix_transpose(N) @ g)
            residual, g, rs = certificate(x)
            it.record(residual, x, converged=residual <= wanted)
            if it.running and not residual < 0.5 * before:
                it.stop(Status.STAGNATED, f"The backward error stays at {residual:.2g}.")
            before = residual
    presented = _presented(it.x, down, left)
    over = not bool(xp.all(xp.isfinite(presented)))
    kept = it.x if over else _kept(xp, presented, down, left)
    residual, g, rs = certificate(kept)
    if residual > wanted and it.status is Status.CONVERGED:
        it.stop(Status.STAGNATED, BELOW)
    change = max(eps, residual)
    norms = [float(value) / scale for value, scale in zip(rs, scales, strict=True)]
    xs = [float(value) for value in xp.linalg.vector_norm(kept, axis=0)]
    nonzero = [bool(some) for some in xp.any(it.x != 0, axis=0)]
    errors = [
        change * used * (1 + used * float(r) / (top * size)) / (1 - change * used)
        if size > 0.0 and change * used < 1
        else math.inf
        for r, size, some in zip(rs, xs, nonzero, strict=True)
        if some
    ]
    if over:
        it.stop(Status.NONFINITE, "The solution is larger than the largest float.")
        errors = [math.inf]
    return it.result(
        LstsqResult,
        residual=residual,
        rank=rank,
        cond=top / least if least > 0.0 else math.inf,
        residual_norm=norms[0] if vector else np.asarray(norms),
        error_estimate=max(errors, default=0.0),
        sketch_size=B.shape[0],
        method="cholqr",
    )


def _presented(x: Array, down: float, left: Array) -> Array:
    """The user's x, inf where it is larger than the largest float."""
    with np.errstate(over="ignore", under="ignore"):  # for libraries on top of NumPy
        presented: Array = x * (down / left)
    return presented


def _kept(xp: Namespace, presented: Array, down: float, left: Array) -> Array:
    """What is left of our x in the user's."""
    with np.errstate(invalid="ignore", under="ignore"):  # 0 / 0
        ours: Array = xp.where(presented == 0, 0.0, presented / (down / left))
    return ours


def _checked(xp: Namespace, A: Array, b: Any) -> tuple[Array, Array, bool]:
    if A.ndim != 2 or 0 in A.shape:
        raise ValueError(f"A must be a matrix that is not empty, got shape {tuple(A.shape)}")
    if A.shape[0] < A.shape[1]:
        raise ValueError(f"A has fewer rows than columns {tuple(A.shape)}: only NumPy's arrays may")
    b = xp.asarray(b, device=arrays.device(A))
    for name, part in (("A", A), ("b", b)):
        if xp.isdtype(part.dtype, "complex floating"):
            raise TypeError(f"{name} is complex ({part.dtype}); real numbers are wanted")
    dtype = A.dtype if xp.isdtype(A.dtype, "real floating") else xp.float64
    b = xp.astype(b, dtype)
    if b.ndim not in {1, 2} or b.shape[0] != A.shape[0]:
        raise ValueError(f"b must have {A.shape[0]} rows as A, got shape {tuple(b.shape)}")
    for name, part in (("A", A), ("b", b)):
        if not bool(xp.all(xp.isfinite(part))):
            raise ValueError(f"{name} must hold finite numbers")
    return xp.astype(A, dtype), xp.reshape(b, (b.shape[0], -1)), b.ndim == 1
