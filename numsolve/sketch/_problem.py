"""The user's problem with its checks and counters, and the exact augmented Lagrangian.

min f(x) subject to c(x) = 0, with G the Jacobian of c, L = f + lam'c, g_L = grad f + G'lam, H_L its Hessian::

    M = f + lam'c + eta1 / 2 ||c||^2 + eta2 / 2 ||g_L||^2                                              (1)
    grad_x M = g_L + eta2 H_L g_L + eta1 G'c,    grad_lam M = c + eta2 G g_L                            (2)
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg
from scipy.sparse.linalg import LinearOperator

from numsolve._core import arrays, checks

from ._constraints import Block, blocks, differences
from ._jaxed import Derivatives, traceable

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, Matrix

#: Steps of LSMR for the first multipliers of sparse Jacobians: a start need not be exact.
LSMR_STEPS = 50
#: Sizes of derivatives at x0 within which a function keeps its unit.
LEAST, MOST = 1e-6, 1e10


@dataclass(frozen=True, eq=False)
class Units:
    """The solver works on f / `f` and c / `c`, powers of two that are 1 unless the user's units are extreme."""

    f: float
    c: Array


@dataclass(frozen=True, eq=False)
class Point:
    """x and the multipliers, with all that was evaluated there, in the solver's units but for K."""

    x: Array
    lam: Array
    f: float
    c: Array
    g: Array
    G: Matrix
    units: Units
    gL: Array  # noqa: N815  # the paper's name
    K: float  # the KKT residual in the user's units

    @classmethod
    def make(cls, values: tuple[Any, ...], lam: Array) -> Point:
        """The point with these multipliers."""
        x, f, c, g, G, units = values
        with np.errstate(over="ignore", invalid="ignore"):
            gL = g + G.T @ lam
            K = math.hypot(arrays.norm(np, gL) * units.f, arrays.norm(np, c * units.c))
        return cls(x, lam, f, c, g, G, units, gL, K)

    def with_multipliers(self, lam: Array) -> Point:
        """The same x."""
        return Point.make((self.x, self.f, self.c, self.g, self.G, self.units), lam)

    def in_user_units(self) -> Point:
        """The same point as the user's functions give it."""
        u = self.units
        lam, g, G = self.lam * (u.f / u.c), self.g * u.f, _rows_times(self.G, u.c)
        ones = Units(1.0, np.ones_like(u.c))
        return Point(
            self.x, lam, self.f * u.f, self.c * u.c, g, G, ones, self.gL * u.f, self.K
        )

    def merit(self, eta1: float, eta2: float) -> float:
        """(1)."""
        return self.without_gradient(eta1) + 0.5 * eta2 * float(self.gL @ self.gL)

    def without_gradient(self, eta1: float) -> float:
        """The part of (1) that needs no derivatives: a lower bound."""
        return self.f + float(self.lam @ self.c) + 0.5 * eta1 * float(self.c @ self.c)

    def slope(self, H: Any, dx: Array, dl: Array, eta1: float, eta2: float) -> float:
        """The derivative of (1) along a step, by (2)."""
        along = self.gL @ dx + eta2 * (self.gL @ (H @ dx)) + eta1 * (self.c @ (self.G @ dx))
        return float(along + self.c @ dl + eta2 * (self.gL @ (self.G.T @ dl)))

    def scaled_residual(self) -> float:
        """The residual in units that do not depend on those of f and of each equation."""
        size = max(1.0, _largest(self.g), _largest(self.gL - self.g))
        return max(_largest(self.gL) / size, _largest(self.c / np.maximum(1.0, _row_norms(self.G))))


class Problem:
    """The functions of the user, checked, with counters of their calls."""

    def __init__(
        self, fun: Any, x0: Any, args: tuple[Any, ...], jac: Any, hess: Any, hessp: Any, constraints: Any
    ) -> None:
        checks.function("fun", fun)
        self.x0 = checks.array("x0", x0, ndim=1, dtype=np.float64, empty=False).copy()
        args = _tuple(args)
        self.nfev = self.njev = self.nhev = 0
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
                raise ValueError("jac is needed (or jac='2-point'): fun is no function that JAX can trace")
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
            raise ValueError(
                "hess or hessp is needed (or hess='2-point'): fun is no function that JAX can trace"
            )
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
            raise ValueError("fun, the constraints and their derivatives must be finite numbers at x0")
        return values

    def choose_units(self) -> None:
        """Units of f and of each equation in which none is extreme at x0: one, nearly always."""
        x, f, c, g, G, _ = self.values
        unit, size = 1.0, _largest(g)
        if not LEAST < size < MOST:  # a start may also be close to a solution: the curvature tells
            curved = self._hess_of_fun(x)
            curved = curved @ np.ones(self.n) if isinstance(curved, LinearOperator) else curved
            unit = _unit(max(size, _largest(curved.data if sp.issparse(curved) else curved)))
        rows = np.maximum(_row_norms(G), np.abs(c) / max(1.0, arrays.norm(np, x))) if self.m else c
        self.units = Units(unit, np.array([_unit(row) for row in rows]))
        u = self.units
        self.values = x, f / u.f, c / u.c, g / u.f, _rows_times(G, 1.0 / u.c), u

    def evaluate(self, x: Array, at_most: Callable[[float, Array], bool] | None = None) -> Any:
        """(x, f, c, g, G, units), or None where one is not finite or `at_most(f, c)` says no before derivatives.

        The numbers are in the solver's units.
        """
        self.nfev += 1
        u = self.units
        with (
            np.errstate(all="ignore"),
            contextlib.suppress(FloatingPointError, OverflowError, ZeroDivisionError),
        ):
            first = self.f(x.copy())
            g = None
            if self.jac_with_fun:
                first, g = first
            f = float(checks.array("the value of fun", np.asarray(first).reshape(()), check_finite=False))
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
                return x, f, c, g / u.f, _rows_times(G, 1.0 / u.c), u
        return None

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
            parts = [H if self.units.f == 1.0 else H * (1.0 / self.units.f)]
            lam = lam / self.units.c
            first = 0
            for index, (block, size) in enumerate(zip(self.blocks, self.sizes, strict=True)):
                if block.hess is not None:
                    H = block.hess(x.copy(), lam[first : first + size].copy())
                    parts.append(self._checked(f"the Hessian of constraint {index}", H))
                first += size
        if any(isinstance(H, LinearOperator) for H in parts):
            return _sum(parts, self.n)
        if all(sp.issparse(H) for H in parts):
            return sp.csr_array(sum(parts[1:], parts[0]))
        total = np.zeros((self.n, self.n))
        for H in parts:
            total += H.toarray() if sp.issparse(H) else H
        return total

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
        H = H if sp.issparse(H) or isinstance(H, LinearOperator) else np.asarray(H, dtype=float)
        if tuple(H.shape) != (self.n, self.n):
            raise ValueError(f"{name} must have shape {(self.n, self.n)}, got {tuple(H.shape)}")
        return H


def multipliers(G: Matrix, g: Array) -> Array:
    """The least-squares multipliers: those that make ||g + G'lam|| least; zeros if they are large."""
    m = G.shape[0]
    if m == 0:
        return np.zeros(0)
    if isinstance(G, LinearOperator) or sp.issparse(G):
        from scipy.sparse.linalg import lsmr

        with np.errstate(all="ignore"):
            lam = lsmr(G.T, -g, atol=1e-10, btol=1e-10, maxiter=min(4 * m, LSMR_STEPS))[0]
    else:
        try:
            lam = np.linalg.lstsq(G.T, -g, rcond=None)[0]
        except np.linalg.LinAlgError:
            return np.zeros(m)
    lam = np.asarray(lam, dtype=float)
    good = np.isfinite(lam).all() and arrays.norm(np, lam) <= 1e3
    return lam if good else np.zeros(m)


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


def _symmetric(H: Array) -> Array:
    return np.asarray(0.5 * (H + H.T))


def _row_norms(G: Any) -> Array:
    if isinstance(G, LinearOperator):
        return np.zeros(G.shape[0])  # unknown without its entries
    return np.asarray(sp.linalg.norm(G, axis=1) if sp.issparse(G) else np.linalg.norm(G, axis=1))


def _rows_times(G: Any, weights: Array) -> Any:
    if (weights == 1.0).all():
        return G
    if isinstance(G, LinearOperator):
        return LinearOperator(
            G.shape, matvec=lambda p: weights * (G @ p.reshape(-1)),
            rmatvec=lambda v: G.T @ (weights * v.reshape(-1)), dtype=np.dtype(float),
        )  # fmt: skip
    return sp.csr_array(sp.diags_array(weights) @ G) if sp.issparse(G) else G * weights[:, None]


def _unit(size: float) -> float:
    """A power of two near an extreme size, and one for others."""
    extreme = 0.0 < size < math.inf and not LEAST < size < MOST
    return math.ldexp(1.0, min(max(math.frexp(size)[1], -1000), 1000)) if extreme else 1.0


def _largest(v: Array) -> float:
    return float(np.max(np.abs(v), initial=0.0))


def _tuple(args: Any) -> tuple[Any, ...]:
    return args if isinstance(args, tuple) else (args,)
