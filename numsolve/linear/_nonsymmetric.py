"""What the methods for nonsymmetric systems share: their arguments, and products of either kind."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks

from ._factors import Factored, Factors, pointers
from ._judge import EPS
from ._method import exponent
from ._system import STOPS, System, refuse_functions
from .cg import action

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, ArrayLike, Matrix

    Precondition = Callable[[Array], Array] | Factors


def prepared(
    A: Matrix, b: ArrayLike, x0: ArrayLike | None, M: Matrix | None, stop: str, *, check_finite: bool
) -> tuple[System, Precondition]:
    """The system, and its preconditioner: factors where the compiled loop can take them."""
    check_finite = checks.flag("check_finite", check_finite)
    checks.choice("stop", stop, STOPS)
    for name, value in {"A": A, "b": b, "x0": x0, "M": M}.items():
        checks.refuse_masked(name, value)
        refuse_functions(name, value)
    operator = arrays.is_operator(A) and not arrays.is_sparse(A)
    make = System.make_of if operator else System.make
    system = make(A, b, x0, check_finite=check_finite)
    n, dtype = system.b.shape[0], system.b.dtype
    if not operator and check_finite:
        checks.csr("A", system.A)
    if isinstance(M, Factored) and M.shape != (n, n):
        raise ValueError(f"M must have shape {(n, n)}, got {M.shape}")
    if not operator and (M is None or isinstance(M, Factored)):
        return system, Factors.nothing(dtype) if M is None else M.factors.of(dtype)
    if M is None:
        return system, _same
    arrays.array_namespace(A=A, M=M)
    return system, action(np, "M", M, np.empty(n, dtype), check_finite=check_finite)


def _same(r: Array) -> Array:
    return r


def _scale(size: float, dtype: Any) -> float:
    """A power of two that brings the product A M into the range whose squares are numbers."""
    most = 1000 if dtype.char == "d" else 120  # such a power is a number of the type
    return math.ldexp(1.0, max(min(-exponent(size, EPS[dtype.char]), most), -most))


class Compiled:
    """A method in a compiled loop."""

    def __init__(self, system: System, factors: Factors) -> None:
        from . import _cpu_krylov

        self.k: Any = _cpu_krylov
        self.matrix, self.factors = pointers(system.A), factors
        self.size = system.size(system.b)

    def scale_for(self, r: Array) -> Any:
        """What stands for the preconditioner where there is none."""
        return r.dtype.type(_scale(self.size, r.dtype))


class Operated:
    """A method with operators."""

    def __init__(self, system: System, precondition: Callable[[Array], Array]) -> None:
        self.system, self._precondition, self.scale = system, precondition, 1.0

    def scale_for(self, r: Array) -> float:
        """What the preconditioner is multiplied by; its own scale does not matter."""
        self.scale = 1.0
        size = math.sqrt(self.dot(r, r))
        made = arrays.norm(np, self.product(self.precondition(r)))
        return _scale(made / size if size else 1.0, r.dtype)

    def product(self, x: Array) -> Array:
        """A x."""
        out = np.empty_like(x)
        self.system.product(np.ascontiguousarray(x), out)
        return out

    def precondition(self, r: Array) -> Array:
        """M r."""
        with np.errstate(over="ignore", invalid="ignore"):
            z = np.asarray(self._precondition(r), dtype=r.dtype).reshape(-1)
            return z if self.scale == 1.0 else z * r.dtype.type(self.scale)

    @staticmethod
    def dot(u: Array, v: Array) -> float:
        """The inner product, accumulated in float64."""
        return float(np.dot(u.astype(float, copy=False), v.astype(float, copy=False)))
