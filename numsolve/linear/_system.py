"""A linear system as the methods of this column see it, and the loop that they share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property, partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import scipy.sparse as sp

from numsolve._core import arrays, checks
from numsolve._core.monitor import RUNNING, Monitor
from numsolve._core.result import Status, deliver

from ._judge import EPS, SEVERAL, is_sure, level, norm, root, rounding, unsure
from ._method import Scaled
from .result import LinearResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array, ArrayLike, Matrix, Operator

    from ._method import Method

STOPS = ("b", "r0")
#: Steps that a compiled loop does at most before it reports.
LONGEST_CHUNK = 4096
#: Statuses of one right-hand side that end the solve for all.
ENDS = frozenset({Status.INTERRUPTED, Status.TIME_LIMIT, Status.STOPPED})
#: What a compiled loop may end in, even at the level of rounding errors.
ENDS_OF_METHODS = frozenset({Status.BREAKDOWN.value, Status.STAGNATED.value})
#: Types of indices by their size in bytes.
UNSIGNED = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}
#: What the words of other packages are called here.
FOREIGN: Final = {
    "tol": "rtol",
    "maxit": "maxiter",
    "max_iter": "maxiter",
    "iterations": "maxiter",
    "restart": "only numsolve.linear.gmres keeps a basis that is to be restarted",
    "residuals": "the history is always in the result: result.history.residual",
    "callback_type": "a callback whose parameter is called intermediate_result gets the residual too",
}


@cache
def kernels() -> Any:
    """The kernels of products, imported when they are wanted: an import statement costs a microsecond."""
    from . import _cpu_cg

    return _cpu_cg


def canonical(A: Matrix) -> Matrix:
    """Return A as a square canonical CSR matrix of floats; A itself where it is one."""
    if sp.issparse(A) and A.format == "csr" and A.ndim == 2:
        dtype, (rows, columns) = A.data.dtype, A.shape
        if dtype.char in "fd" and dtype.isnative and rows == columns:
            checks.sound("A", A)
            if A.has_canonical_format:
                return A
    refuse_functions("A", A)
    return checks.csr("A", A, square=True, check_finite=False)


def refuse_functions(name: str, A: object) -> None:
    """A function of its own has no shape."""
    if callable(A) and not hasattr(A, "shape"):
        raise TypeError(
            f"{name} is a function; make it an operator, which has a shape: "
            f"scipy.sparse.linalg.LinearOperator((n, n), matvec={name})"
        )


def compressed(A: Matrix) -> Matrix:
    """A sparse matrix of any format as one whose data are its entries.

    Its product with a vector is a vector: that of SciPy's `coo_array` of one row has no axis.
    """
    return A if A.format in {"csr", "csc", "bsr"} else A.tocsr()


def unsigned(indices: Array) -> Array:
    """The same indices as unsigned integers, without a copy."""
    return indices.view(UNSIGNED[indices.itemsize])


def relaxation(omega: object) -> float:
    """Check a relaxation parameter: 0 < omega < 2, and its reciprocal is far from overflow."""
    value = checks.real("omega", omega, low=0.0, high=2.0, open_low=True, open_high=True)
    if value < 1e-300:
        raise ValueError(f"omega must be at least 1e-300, got {value:g}")
    return value


@dataclass
class System:
    """A x = b with a start: one or more right-hand sides, NumPy arrays of one type, A canonical CSR."""

    A: Matrix
    b: Array
    x0: Array | None
    began: float
    #: the norm of a single b, if it is known
    size_of_b: float = math.nan
    #: A is known by its products only
    is_operator: bool = False

    @classmethod
    def make(
        cls, A: Matrix, b: ArrayLike, x0: ArrayLike | None = None, *, check_finite: bool = True
    ) -> System:
        """Check the arguments of a solver; the entries of A are looked at by those who read them."""
        began = perf_counter()
        return cls.of(canonical(A), b, x0, began, check_finite=check_finite)

    @classmethod
    def of(
        cls, A: Matrix, b: ArrayLike, x0: ArrayLike | None, began: float, *, check_finite: bool = True
    ) -> System:
        """The same with a matrix that is canonical already."""
        n, dtype = A.shape[0], A.data.dtype
        if not all(type(v) is np.ndarray and v.dtype == dtype for v in ((b,) if x0 is None else (b, x0))):
            arrays.array_namespace(A=A, b=b, x0=x0)
            vectors = {"b": checks.array("b", b, check_finite=False)}
            if x0 is not None:
                vectors["x0"] = checks.array("x0", x0, check_finite=False)
            dtype = arrays.working_dtype(np, A=A, **vectors)
            A = A if A.dtype == dtype else A.astype(dtype)
            vectors = {name: np.asarray(v, dtype=dtype) for name, v in vectors.items()}
            b, x0 = vectors["b"], vectors.get("x0")
        assert isinstance(b, np.ndarray)
        assert x0 is None or isinstance(x0, np.ndarray)
        if b.ndim not in {1, 2} or b.shape[0] != n:
            raise ValueError(f"b must have as many rows as A of shape {A.shape}, got shape {b.shape}")
        if x0 is not None and x0.shape != b.shape:
            raise ValueError(f"x0 must have the shape of b, {b.shape}, got {x0.shape}")
        size = norm(b) if b.ndim == 1 else math.nan
        if check_finite and not math.isfinite(size):
            checks.finite("b", b)
        if check_finite and x0 is not None:
            checks.finite("x0", x0)
        return cls(A, b, x0, began, size)

    @classmethod
    def make_of(cls, A: Operator, b: ArrayLike, x0: ArrayLike | None, *, check_finite: bool) -> System:
        """The same with an operator, of which only products are known."""
        began = perf_counter()
        if len(A.shape) != 2 or A.shape[0] != A.shape[1]:
            raise ValueError(f"A must be a square matrix, got shape {tuple(A.shape)}")
        typed = {} if getattr(A, "dtype", None) is None else {"A": A}
        arrays.array_namespace(b=b, x0=x0)
        vectors = {
            name: checks.array(name, v, check_finite=check_finite)
            for name, v in {"b": b, "x0": x0}.items()
            if v is not None or name == "b"
        }
        dtype = arrays.working_dtype(np, **typed, **vectors)
        vectors = {name: np.asarray(v, dtype=dtype) for name, v in vectors.items()}
        b, x0 = vectors["b"], vectors.get("x0")
        assert isinstance(b, np.ndarray)
        if b.ndim not in {1, 2} or b.shape[0] != A.shape[0]:
            raise ValueError(f"b must have as many rows as A of shape {A.shape}, got shape {b.shape}")
        if x0 is not None and x0.shape != b.shape:
            raise ValueError(f"x0 must have the shape of b, {b.shape}, got {x0.shape}")
        return cls(A, b, x0, began, is_operator=True)

    @property
    def matrix(self) -> tuple[Array, Array, Array]:
        """A as the kernels take it."""
        A = self.A
        return unsigned(A.indptr), unsigned(A.indices), A.data

    @cached_property
    def product(self) -> Callable[[Array, Array], float]:
        """Multiplication by A, into its second argument; returns a number that is finite where that is."""
        if self.is_operator:
            return self._product_of_operator
        return partial(kernels().product, *self.matrix)

    def residual(self, x: Array, b: Array) -> tuple[Array, float, float]:
        """The residual b - A x of contiguous vectors, its norm, and that of its own rounding errors."""
        r = np.empty(b.size, b.dtype)
        if self.is_operator:
            self._product_of_operator(x, r)
            with np.errstate(over="ignore", invalid="ignore"):
                np.subtract(b, r, out=r)
            return r, norm(r), EPS[b.dtype.char] * norm(b)
        rr, _, ss, most = kernels().residual(*self.matrix, x, b, r)
        if math.isnan(ss):  # also where x is not finite, in a place that no row of A looks at
            return r, math.inf, math.inf
        return r, root(rr, r), rounding(ss, most, b.size)

    def _product_of_operator(self, x: Array, out: Array) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            out[:] = np.asarray(self.A.matvec(x)).reshape(-1)
            return float(np.sum(out))

    @property
    def step_seconds(self) -> float:
        """A guess of the seconds that a step takes."""
        return 1e-3 if self.is_operator else 1e-6 + 3e-9 * self.A.data.size

    def size(self, r: Array) -> float:
        """How large A is: its largest entry, or what it makes of a residual."""
        if not self.is_operator:
            return float(np.max(np.abs(self.A.data), initial=0.0))
        out = np.empty_like(r)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            return norm(out) / norm(r) if math.isfinite(self.product(r, out)) and r.any() else 0.0

    def solve(
        self,
        method: Method,
        limits: Limits,
        *,
        omega: Callable[[], float] | float = math.nan,
        quiet: bool = False,
        **loop: Any,
    ) -> LinearResult:
        """Run the method for each right-hand side; warn if a run fails, unless asked to be quiet."""
        setup_time = perf_counter() - self.began
        columns = [self.b] if self.b.ndim == 1 else list(self.b.T)
        starts = [self.x0] if self.b.ndim == 1 or self.x0 is None else list(self.x0.T)
        starts = starts if len(starts) == len(columns) else [None] * len(columns)
        runs: list[_Run] = []
        for b, x0 in zip(columns, starts, strict=True):
            run = _Run(self, b, x0)
            if runs and runs[-1].status in ENDS:
                run.leave(runs[-1].status)
            else:
                run.drive(method, limits, **loop)
            runs.append(run)
        fields: dict[str, Any] = {
            "omega": omega() if callable(omega) else omega,
            "setup_time": setup_time,
            "solve_time": perf_counter() - self.began - setup_time,
        }
        for run in runs:
            run.finish()
        if len(runs) == 1:
            run = runs[0]
            fields |= {"status": run.status, "nit": run.nit, "residual": run.true, "rhs_norm": run.norm_b}
            fields |= {"history": run.it.history, "detail": run.it.detail}
            return self._delivered(LinearResult(x=run.x.reshape(self.b.shape), **fields), quiet=quiet)
        fields["status"] = np.array([int(run.status) for run in runs], dtype=int)
        fields["nit"] = np.array([run.nit for run in runs], dtype=int)
        fields["residual"] = np.array([run.true for run in runs])
        fields["rhs_norm"] = np.array([run.norm_b for run in runs])
        x = np.stack([run.x for run in runs], axis=1) if runs else np.zeros_like(self.b)
        return self._delivered(LinearResult(x=x, **fields), quiet=quiet)

    @staticmethod
    def _delivered(result: LinearResult, *, quiet: bool) -> LinearResult:
        if not quiet:
            deliver(result)
        return result


class _Run:
    """One right-hand side."""

    it: Monitor
    x: Array
    true: float
    status: Status
    nit = 0
    #: of the last residual, what may be rounding
    noise = 0.0

    def __init__(self, system: System, b: Array, x0: Array | None) -> None:
        self.system, self.b = system, np.ascontiguousarray(b)
        known = system.size_of_b
        self.norm_b = norm(self.b) if math.isnan(known) else known
        # A zero right-hand side has the zero solution, whatever the start.
        self.x0 = None if x0 is None or self.norm_b == 0.0 else np.ascontiguousarray(x0)

    def start(self) -> tuple[Array, Array, float]:
        """Where to start, the residual there, and its norm."""
        if self.x0 is None:
            return np.zeros(self.b.size, self.b.dtype), self.b, self.norm_b
        return self.x0, *self.residual(self.x0)

    def residual(self, x: Array) -> tuple[Array, float]:
        """The residual b - A x, and its norm."""
        r, size, self.noise = self.system.residual(x, self.b)
        return r, size

    def leave(self, status: Status) -> None:
        """Let the start be the answer: the solve has ended before this right-hand side."""
        self.x, _, self.true = self.start()
        self.status = status

    def drive(
        self,
        method: Method,
        limits: Limits,
        *,
        maxiter: int,
        stop: str,
        rtol: float,
        atol: float,
        label: str,
        divergence: float = 1e30,
    ) -> None:
        """The loop: chunks of compiled steps, and the true residual wherever they seem to have converged."""
        x, r, first = self.start()
        self.it = it = Monitor(
            limits,
            rtol=rtol,
            atol=atol,
            reference=self.norm_b if stop == "b" else first,
            maxiter=maxiter,
            label=label,
            divergence=divergence,
            step_seconds=self.system.step_seconds,
        )
        #: of all iterates whose true residual is known, the best
        self.sure = x, first
        last, scaled = math.inf, Scaled(method)
        with it:
            it.record(first, x)
            if it.running:
                scaled.start(x, r, first)
            while it.running:
                n, stop_at = it.chunk()
                norms, code = scaled.steps(min(n, LONGEST_CHUNK), stop_at)
                x = scaled.x()
                if code == Status.CONVERGED:
                    r, true = self.residual(x)
                    norms[-1] = true
                    self.sure = min(self.sure, (x, true), key=second)
                    if not true <= it.threshold:  # rounding errors have parted the recursion from the truth
                        code = RUNNING
                        if true < 0.5 * last:
                            scaled.start(x, r, true)
                        else:
                            self._stuck()
                        last = true
                elif code in ENDS_OF_METHODS:
                    self.sure = min(self.sure, (x, self.residual(x)[1]), key=second)
                    self._stuck(Status(code))
                    code = RUNNING
                    if not norms.size:
                        break
                it.extend(norms, code, x)
        assert it.status is not None
        if (met := it.status is Status.CONVERGED) and not is_sure(it.residual, self.noise, it.threshold):
            self._unsure()
        self.status, self.nit = it.status, it.nit
        if met:
            self.x, self.true = it.x, it.residual
            return
        for x in scaled.best():
            self.sure = min(self.sure, (x, self.residual(x)[1]), key=second)
        self.x, self.true = self.best()

    def finish(self) -> None:
        """Without a result of its own: take note of a Ctrl-C that came after the loop."""
        if hasattr(self, "it"):
            self.it.finish()
            assert self.it.status is not None
            self.status = self.it.status

    def best(self) -> tuple[Array, float]:
        """The best iterate by its true residual: the recursion may have promised too much."""
        x = self.it.x
        x, true = min((x, self.residual(x)[1]), self.sure, key=second)
        return x.copy(), true  # it may be the caller's x0

    def _stuck(self, why: Status = Status.STAGNATED) -> None:
        """Say why the true residual falls no further: rounding errors, if it is as small as they are."""
        x, true = self.best()
        eps, (r, _) = EPS[self.b.dtype.char], self.residual(x)
        size = norm(x) * self.system.size(r) + self.norm_b
        tiny = true + SEVERAL * self.noise <= level(eps, size, self.norm_b) < math.inf
        self.it.stop(Status.ROUNDING if tiny else why, f"The residual is {true:.3g}.")

    def _unsure(self) -> None:
        """The residual meets the tolerance, which is no larger than its own rounding errors."""
        eps, it = EPS[self.b.dtype.char], self.it
        it.stop(*unsure(it.threshold, self.noise, eps, self.norm_b))


def second(pair: tuple[Array, float]) -> float:
    """The residual, for comparisons in which nan is the worst."""
    return math.inf if math.isnan(pair[1]) else pair[1]
