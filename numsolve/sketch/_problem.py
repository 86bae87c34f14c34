"""The user's problem, min f(x) subject to c(x) = 0, with its checks, units and counters."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from scipy.optimize import HessianUpdateStrategy
from scipy.sparse.linalg import LinearOperator

from numsolve._core import arrays, checks

from ._constraints import Block, blocks, differences, known
from ._jaxed import Derivatives, traceable, why_not
from ._point import Units, largest, row_norms, rows_times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numsolve._core.typing import Array, Matrix

NO_UPDATES = (
    "which tells no minimum from a saddle point; give the Hessian, hessp or hess='2-point', "
    "or take scipy.optimize.minimize(method='trust-constr')"
)
#: The difference of two entries of a Hessian, over its largest, that is no error of differences any more.
ASYMMETRY = 1e-2
#: Sizes of derivatives at x0 within which a function keeps its unit.
LEAST, MOST = 1e-6, 1e5


class Problem:
    """The functions of the user, checked, with counters of their calls."""

    def __init__(
        self, fun: Any, x0: Any, args: tuple[Any, ...], jac: Any, hess: Any, hessp: Any, constraints: Any
    ) -> None:
        checks.function("fun", fun)
        self.x0 = checks.array("x0", x0, ndim=1, dtype=np.float64, empty=False).copy()
        args = _tuple(args)
        self.nfev = self.njev = self.nhev = 0
        self.seen: set[str] = set()  # the Hessians that were looked at
        self.failure: Exception | None = None  # what the user's functions raised last
        self.n = self.x0.size
        self.jac_with_fun = jac is True
        self._objective(fun, args, jac, hess, hessp)
        self.blocks: list[Block] = blocks(constraints, self.x0)
        self.values = self._first_values()
        self.m = self.values[2].size
        if self.m > self.n:
            raise ValueError(
                f"there are {self.m} constraints for {self.n} variables; at most as many are wanted"
            )

    def _objective(self, fun: Any, args: tuple[Any, ...], jac: Any, hess: Any, hessp: Any) -> None:
        """Bind the arguments, and let JAX derive what is missing."""

        def bound(function: Any) -> Any:
            return (lambda *xs: function(*xs, *args)) if callable(function) and args else function

        if isinstance(hess, HessianUpdateStrategy) or hess == "bfgs":
            raise ValueError(f"hess is a quasi-Newton update, {NO_UPDATES}")
        jac, hess = known(jac), known(hess)
        f, jac, hess, hessp = (bound(part) for part in (fun, jac, hess, hessp))
        if jac is True:
            if not callable(hess) and not callable(hessp) and hess != "2-point":
                raise ValueError(
                    "hess or hessp is needed with jac=True; hess='2-point' differences the gradient"
                )
            self.f, self.g = f, None
        needs = jac is None or jac == "jax" or (hess in {None, "jax"} and hessp is None)
        derived = Derivatives(f) if needs and jac is not True and traceable(f, self.x0) else None
        if jac is not True:
            self.f = f if derived is None else derived.value
            if not callable(jac) and jac not in {None, "2-point", "jax"}:
                raise ValueError(f"jac must be callable, True, '2-point' or 'jax', got {jac!r}")
            if not callable(jac) and jac != "2-point" and derived is None:
                raise ValueError(f"jac is needed (or jac='2-point'): {why_not('fun')}")
            g = jac if callable(jac) else None
            g = g or ((lambda x: differences(f)(x)[0]) if jac == "2-point" else derived.gradient)  # type: ignore[union-attr]
            self.g = g
        if hess is not None and not callable(hess) and hess not in {"2-point", "jax"}:
            raise ValueError(f"hess must be callable, '2-point' or 'jax', got {hess!r}")
        checks.function("hessp", hessp, optional=True)
        self.hessp = hessp if not callable(hess) else None
        if callable(hess):
            self.hess = hess
        elif self.hessp is not None:
            self.hess = None
        elif hess == "2-point":
            self.hess = lambda x: _symmetric(differences(self._gradient)(x))
        elif derived is None:
            raise ValueError(f"hess or hessp is needed (or hess='2-point'): {why_not('fun')}")
        else:
            self.hess = derived.hessian

    def _gradient(self, x: Array) -> Array:
        return np.asarray(self.f(x)[1] if self.g is None else self.g(x), dtype=float)

    # -- values ------------------------------------------------------------------------------------

    def _first_values(self) -> tuple[Any, ...]:
        self.sizes: list[int] = []
        for index, block in enumerate(self.blocks):
            value = np.atleast_1d(np.asarray(block.value(self.x0.copy())))
            checks.array(f"constraint {index}", value, ndim=1, check_finite=False)
            self.sizes.append(value.size)
        self.units = Units(1.0, np.ones(sum(self.sizes)))
        values: tuple[Any, ...] | None = self.evaluate(self.x0)
        if values is None:
            raise ValueError(
                "fun, the constraints and their derivatives must be finite numbers at x0"
            ) from self.failure
        return values

    def choose_units(self) -> None:
        """Units of f and of each equation in which none is extreme at x0: one, nearly always."""
        x, f, c, g, G, _ = self.values
        unit, size = 1.0, largest(g)
        if not LEAST < size < MOST:  # a start may also be close to a solution: the curvature tells
            curved = self._hess_of_fun(x)
            curved = curved @ np.ones(self.n) if isinstance(curved, LinearOperator) else curved
            unit = _unit(max(size, largest(curved.data if sp.issparse(curved) else curved)))
        rows = np.maximum(row_norms(G), np.abs(c) / max(1.0, arrays.norm(np, x))) if self.m else c
        self.units = Units(unit, np.array([_unit(row) for row in rows]))
        u = self.units
        self.values = x, f / u.f, c / u.c, g / u.f, rows_times(G, 1.0 / u.c), u

    def evaluate(self, x: Array, at_most: Callable[[float, Array], bool] | None = None) -> Any:
        """(x, f, c, g, G, units) in the solver's units.

        None where a number is not finite, or `at_most(f, c)` says no before derivatives are computed.
        """
        self.nfev += 1
        u = self.units
        with np.errstate(all="ignore"), self._noting_failures():
            first = self.f(x.copy())
            g = None
            if self.jac_with_fun:
                first, g = first
            f = self._scalar(first)
            c = self._constraint_values(x) / u.c
            f /= u.f
            if not (math.isfinite(f) and np.isfinite(c).all()) or (at_most is not None and not at_most(f, c)):
                return None
            self.njev += 1
            g = self.g(x.copy()) if self.g is not None else g
            g = checks.array("the gradient of fun", g, shape=(self.n,), dtype=np.float64, check_finite=False)
            G = self._jacobian(x)
            entries = G.data if sp.issparse(G) else G
            if np.isfinite(g).all() and (isinstance(G, LinearOperator) or np.isfinite(entries).all()):
                return x, f, c, g / u.f, rows_times(G, 1.0 / u.c), u
        return None

    @contextlib.contextmanager
    def _noting_failures(self) -> Iterator[None]:
        """A point where the arithmetic of the user's functions fails is none."""
        try:
            yield
        except (FloatingPointError, OverflowError, ZeroDivisionError) as error:
            self.failure = error

    @staticmethod
    def _scalar(value: Any) -> float:
        value = np.asarray(value)
        if value.size != 1:
            raise ValueError(f"fun must return a number, got an array of shape {value.shape}")
        return float(checks.array("the value of fun", value.reshape(()), check_finite=False))

    def _constraint_values(self, x: Array) -> Array:
        parts = [np.zeros(0)]
        for index, block in enumerate(self.blocks):
            value = np.atleast_1d(np.asarray(block.value(x.copy())))
            want = (self.sizes[index],)
            parts.append(
                checks.array(f"constraint {index}", value, shape=want, dtype=np.float64, check_finite=False)
            )
        return np.concatenate(parts)

    def _jacobian(self, x: Array) -> Matrix:
        parts: list[Any] = []
        for index, block in enumerate(self.blocks):
            G = block.jac(x.copy())
            want = (self.sizes[index], self.n)
            if not (sp.issparse(G) or isinstance(G, LinearOperator)):
                G = np.array(G, dtype=float)  # a copy: the user may use the same array again
                G = G.reshape(want) if G.shape == (self.n,) and want[0] == 1 else G
            if tuple(G.shape) != want:
                raise ValueError(
                    f"the Jacobian of constraint {index} must have shape {want}, got {tuple(G.shape)}"
                )
            parts.append(G)
        if not parts:
            return np.zeros((0, self.n))
        if any(isinstance(G, LinearOperator) for G in parts):
            return parts[0] if len(parts) == 1 else _stacked(parts, self.n)
        if any(sp.issparse(G) for G in parts):
            return sp.csr_array(sp.vstack([sp.csr_array(G) for G in parts]), dtype=float)
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    # -- second derivatives ------------------------------------------------------------------------

    @property
    def matrix_free(self) -> bool:
        """Whether only products with the Hessian of fun are at hand."""
        return self.hessp is not None

    def hessian(self, x: Array, lam: Array) -> Any:
        """H_L: a matrix, dense or sparse, or an operator if a part of it is one; in the solver's units."""
        self.nhev += 1
        with np.errstate(all="ignore"):
            H = self._hess_of_fun(x)
            parts = [H if self.units.f == 1.0 else H * (1.0 / self.units.f), *self._curvatures(x, lam)]
        if any(isinstance(H, LinearOperator) for H in parts):
            return _sum(parts, self.n)
        if all(sp.issparse(H) for H in parts):
            return sp.csr_array(sum(parts[1:], parts[0]))
        return sum((H.toarray() if sp.issparse(H) else H for H in parts[1:]), _array(parts[0]))

    def hessian_of_constraints(self, x: Array, v: Array) -> Array:
        """The Hessian of v'c, dense."""
        total = np.zeros((self.n, self.n))
        with np.errstate(all="ignore"):
            for H in self._curvatures(x, v):
                total += H @ np.eye(self.n) if isinstance(H, LinearOperator) else _array(H)
        return total

    def _curvatures(self, x: Array, v: Array) -> Iterator[Any]:
        v, first = v / self.units.c, 0
        for index, (block, size) in enumerate(zip(self.blocks, self.sizes, strict=True)):
            if block.hess is not None:
                H = block.hess(x.copy(), v[first : first + size].copy())
                yield self._checked(f"the Hessian of constraint {index}", H)
            first += size

    def _hess_of_fun(self, x: Array) -> Any:
        if self.hess is not None:
            return self._checked("the Hessian of fun", self.hess(x.copy()))
        x, hessp = x.copy(), checks.function("hessp", self.hessp)

        def product(p: Array) -> Array:
            self.nhev += 1
            out = checks.array("the result of hessp", hessp(x.copy(), p.reshape(-1).copy()), shape=(self.n,),
                               check_finite=False)  # fmt: skip
            return np.array(out, dtype=float)

        self.nhev -= 1
        return LinearOperator((self.n, self.n), matvec=product, rmatvec=product, dtype=np.dtype(float))

    def _checked(self, name: str, H: Any) -> Any:
        """A Hessian of the right shape; at x0 it must also be finite and symmetric."""
        if isinstance(H, LinearOperator):
            matrix = H
        elif sp.issparse(H):
            matrix = checks.csr(name, H, check_finite=False)
        else:
            matrix = checks.array(name, H, dtype=np.float64, check_finite=False)
        if tuple(matrix.shape) != (self.n, self.n):
            raise ValueError(f"{name} must have shape {(self.n, self.n)}, got {tuple(matrix.shape)}")
        if name not in self.seen and not isinstance(matrix, LinearOperator):
            self.seen.add(name)
            if not np.isfinite(matrix.data if sp.issparse(matrix) else matrix).all():
                raise ValueError(f"{name} must hold finite numbers at x0")
            odd = abs(matrix - matrix.T).max()
            if odd > ASYMMETRY * abs(matrix).max():
                raise ValueError(f"{name} must be symmetric; two entries differ by {odd:.2g} at x0")
        return matrix


def _sum(parts: list[Any], n: int) -> LinearOperator:
    def product(p: Array) -> Array:
        p = p.reshape(-1)
        return np.asarray(sum(H @ p for H in parts))

    return LinearOperator((n, n), matvec=product, rmatvec=product, dtype=np.dtype(float))


def _stacked(parts: list[Any], n: int) -> LinearOperator:
    sizes = np.cumsum([0] + [G.shape[0] for G in parts])

    def forth(p: Array) -> Array:
        return np.concatenate([G @ p.reshape(-1) for G in parts])

    def back(v: Array) -> Array:
        v = v.reshape(-1)
        return np.asarray(sum(G.T @ v[a:b] for G, a, b in zip(parts, sizes[:-1], sizes[1:], strict=True)))

    return LinearOperator((int(sizes[-1]), n), matvec=forth, rmatvec=back, dtype=np.dtype(float))


def _array(H: Any) -> Array:
    return H.toarray() if sp.issparse(H) else np.asarray(H)


def _symmetric(H: Array) -> Array:
    return np.asarray(0.5 * (H + H.T))


def _unit(size: float) -> float:
    """A power of two near an extreme size, and one for others."""
    extreme = 0.0 < size < math.inf and not LEAST < size < MOST
    return math.ldexp(1.0, min(max(math.frexp(size)[1], -1000), 1000)) if extreme else 1.0


def _tuple(args: Any) -> tuple[Any, ...]:
    return args if isinstance(args, tuple) else (args,)
