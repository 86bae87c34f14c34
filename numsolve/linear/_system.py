"""A linear system as the methods of this column see it, and the loop that they share."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import scipy.sparse as sp

from numsolve._core import arrays, checks
from numsolve._core.monitor import RUNNING, Monitor
from numsolve._core.result import Status, deliver

from .result import LinearResult

if TYPE_CHECKING:
    from collections.abc import Callable

STOPS = ("b", "r0")
#: Steps that a compiled loop does at most before it reports.
LONGEST_CHUNK = 4096


class Method(Protocol):
    """A compiled iteration that keeps its state from one call to the next."""

    def start(self, x: Any, r: Any) -> None:
        """Begin, or begin anew, at x with the residual r."""

    def steps(self, norms: Any, stop_at: float) -> tuple[int, int]:
        """Fill `norms` until one is at most `stop_at`; return the number of steps and a code."""

    def x(self) -> Any:
        """The iterate in the caller's order."""


def canonical(A: Any) -> Any:
    """Return A as a square canonical CSR matrix of floats; A itself where it is one."""
    ready = sp.issparse(A) and A.format == "csr" and A.dtype.char in "fd" and A.ndim == 2
    if ready and A.shape[0] == A.shape[1] and A.has_canonical_format:
        return A
    return checks.csr("A", A, square=True, check_finite=False)


def unsigned(indices: Any) -> Any:
    """The same indices as unsigned integers, without a copy."""
    return indices.view(f"u{indices.itemsize}")


def relaxation(omega: Any) -> float:
    """Check a relaxation parameter: 0 < omega < 2."""
    return checks.real("omega", omega, low=0.0, high=2.0, open_low=True, open_high=True)


def _dense(name: str, value: Any) -> Any:
    return checks.array(name, value, check_finite=False)


def norm(v: Any) -> float:
    """The 2-norm, accumulated in float64."""
    return float(np.sqrt(np.dot(v, v) if v.dtype == np.float64 else np.sum(np.square(v, dtype=float))))


@dataclass
class System:
    """A x = b with a start: one or more right-hand sides, NumPy arrays of one type, A canonical CSR."""

    A: Any
    b: Any
    x0: Any
    began: float

    @classmethod
    def make(cls, A: Any, b: Any, x0: Any = None, *, check_finite: bool = True) -> System:
        """Check the arguments of a solver; the entries of A are looked at by those who read them."""
        began = perf_counter()
        A = canonical(A)
        n, given = A.shape[0], [v for v in (b, x0) if v is not None]
        if not all(isinstance(v, np.ndarray) and v.dtype == A.dtype for v in given):
            b, x0 = (
                v if v is None or hasattr(v, "dtype") else _dense(name, v)
                for name, v in (("b", b), ("x0", x0))
            )
            arrays.array_namespace(A=A, b=b, x0=x0)
            dtype = arrays.working_dtype(np, A=A, b=b, x0=x0)
            A = A if A.dtype == dtype else A.astype(dtype)
            b = checks.array("b", b, dtype=dtype, check_finite=False)
            x0 = None if x0 is None else checks.array("x0", x0, dtype=dtype, check_finite=False)
        if b.ndim not in {1, 2} or b.shape[0] != n:
            raise ValueError(f"b must have as many rows as A of shape {A.shape}, got shape {b.shape}")
        if x0 is not None and x0.shape != b.shape:
            raise ValueError(f"x0 must have the shape of b, {b.shape}, got {x0.shape}")
        if check_finite:
            checks.finite("b", b)
            if x0 is not None:
                checks.finite("x0", x0)
        return cls(A, b, x0, began)

    def solve(
        self, k: Any, method: Method, *, omega: Callable[[], float] | float = float("nan"), **settings: Any
    ) -> LinearResult:
        """Run the method for each right-hand side; warn if a run fails."""
        setup_time = perf_counter() - self.began
        columns = [np.ascontiguousarray(b) for b in ([self.b] if self.b.ndim == 1 else self.b.T)]
        starts = [self.x0] if self.b.ndim == 1 or self.x0 is None else list(self.x0.T)
        starts = starts if len(starts) == len(columns) else [None] * len(columns)
        runs = [
            _Run(self.A, k, b, x0).drive(method, **settings) for b, x0 in zip(columns, starts, strict=True)
        ]
        fields: dict[str, Any] = {
            "omega": omega() if callable(omega) else omega,
            "setup_time": setup_time,
            "solve_time": perf_counter() - self.began - setup_time,
        }
        if len(runs) == 1:
            run = runs[0]
            x = run.it.x.reshape(self.b.shape)
            return run.it.result(LinearResult, x=x, residual=run.true, rhs_norm=run.norm_b, **fields)
        out = LinearResult(
            x=np.stack([run.it.x for run in runs], axis=1) if runs else np.zeros_like(self.b),
            status=np.array([int(run.it.status or 0) for run in runs], dtype=int),
            nit=np.array([run.it.nit for run in runs], dtype=int),
            residual=np.array([run.true for run in runs]),
            rhs_norm=np.array([run.norm_b for run in runs]),
            **fields,
        )
        deliver(out)
        return out


class _Run:
    """One right-hand side."""

    def __init__(self, A: Any, k: Any, b: Any, x0: Any) -> None:
        self.A, self.k, self.b = A, k, b
        self.norm_b = norm(b)
        # A zero right-hand side has the zero solution, whatever the start.
        self.x0 = None if x0 is None or self.norm_b == 0.0 else np.ascontiguousarray(x0)

    def residual(self, x: Any) -> tuple[Any, float]:
        """The residual b - A x, and its norm."""
        r = np.empty_like(self.b)
        A = self.A
        return r, self.k.residual(unsigned(A.indptr), unsigned(A.indices), A.data, x, self.b, r)

    def drive(self, method: Method, *, stop: str, label: str, maxiter: int, **settings: Any) -> _Run:
        """The loop: chunks of compiled steps, and the true residual wherever they seem to have converged."""
        x, r, first = np.zeros_like(self.b), self.b, self.norm_b
        if self.x0 is not None:
            x = self.x0
            r, first = self.residual(x)
        reference = self.norm_b if stop == "b" else first
        guess = 1e-6 + 3e-9 * self.A.nnz  # seconds a step
        self.it = it = Monitor(
            reference=reference, label=label, maxiter=maxiter, step_seconds=guess, **settings
        )
        last = np.inf
        with it:
            it.record(first, x)
            if it.running:
                method.start(x, r)
            while it.running:
                n, stop_at = it.chunk()
                norms = np.empty(min(n, LONGEST_CHUNK))
                steps, code = method.steps(norms, stop_at)
                norms, x = norms[:steps], method.x()
                if code == Status.CONVERGED:
                    r, true = self.residual(x)
                    norms[-1] = true
                    if true > it.threshold:  # rounding errors have parted the recursion from the truth
                        code = RUNNING
                        method.start(x, r)
                        if not true < 0.5 * last:
                            self._stuck(x, true)
                        last = true
                it.extend(norms, code, x)
        self.true = it.residual if it.status is Status.CONVERGED else self.residual(it.x)[1]
        return self

    def _stuck(self, x: Any, true: float) -> None:
        """Say why the true residual falls no further: rounding errors, if it is as small as they are."""
        A = self.A
        size = norm(x) * float(np.max(np.abs(A.data), initial=0.0)) + self.norm_b
        tiny = true <= 100 * float(np.finfo(self.b.dtype).eps) * size
        self.it.stop(Status.ROUNDING if tiny else Status.STAGNATED, f"The residual is {true:.3g}.")
