"""The products of dx*/dtheta for vectors x and theta of NumPy, CuPy and other plain arrays."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.unheard import unheard
from numsolve.implicit import _report
from numsolve.implicit._operator import Operator, as_matrix
from numsolve.implicit._settings import DENSE_UP_TO, check_plain_solve
from numsolve.implicit._watch import GIVEN, LinearInfo, default_tol, watch

from . import _differences, _structure
from .solve import automatic, factorise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numsolve._core.typing import Array

#: Entries of a Jacobian in theta that are kept; a larger one is made anew for each product.
KEPT = 4_000_000
#: How well a product with what the caller gave has to agree with one by differences, for each kind of them.
AGREE = {"central": 1e-5, "forward": 1e-3}


class SolutionMap:
    """The products of dx*/dtheta for vectors x and theta; what they need is made when it is first needed.

    ``blocks`` are the places of arguments in theta, ``leaves`` the arguments: dF/dx may be one of them.
    ``names`` are what the caller calls F and x.
    """

    def __init__(
        self,
        xp: Any,
        F: Callable[[Any, Any], Any] | None,
        x: Any,
        theta: Any,
        *,
        jvp_x: Any = None,
        vjp_x: Any = None,
        jvp_theta: Any = None,
        vjp_theta: Any = None,
        jac_x: Any = None,
        jac_theta: Any = None,
        method: str = "auto",
        sparsity: Any = None,
        solve: Any = "auto",
        symmetric: bool = False,
        check: bool = False,
        tol: float | None = None,
        blocks: Sequence[_structure.Block] = (),
        leaves: Sequence[Any] = (),
        traced: dict[str, Any] | None = None,
        names: tuple[str, str] = ("optimality_fun", "sol"),
    ) -> None:
        self.xp, self.F, self.x, self.theta, self.method = xp, F, x, theta, method
        self.way, self.symmetric, self.tol = check_plain_solve(solve), symmetric, tol
        self.sparsity = sparsity if isinstance(sparsity, tuple) else (sparsity, None)
        given = (jvp_x, vjp_x, jvp_theta, vjp_theta, jac_x, jac_theta)
        #: whether the caller has handed over what might be of another matrix
        self.believed = not isinstance(solve, str) or any(
            part is not None for part in (*given, *self.sparsity)
        )
        #: the exact products that JAX has made of F
        self.traced = traced or {}
        self.jvp_theta, self.vjp_theta, self.jac_theta = jvp_theta, vjp_theta, jac_theta
        self.jvp_x, self.vjp_x, self.jac_x = jvp_x, vjp_x, jac_x
        self.blocks, self.leaves = blocks, list(leaves)
        self._solves: Any = None
        self._matrix: Any = None
        self._last: Any = None
        self._pulls: Any = None
        self._steps: dict[str, str] = {}
        n, p = x.shape[0], theta.shape[0]
        for name, matrix in (("jac_x", jac_x), ("jac_theta", jac_theta)):
            if hasattr(matrix, "dtype") and not hasattr(matrix, "astype"):  # a tensor of torch
                arrays.array_namespace(x=x, **{name: matrix})
                arrays.refuse_recording(name, matrix)
        self.jac_theta = jac_theta = as_matrix(xp, jac_theta, x.dtype)
        _check_shape("jac_x", jac_x, (n, n))
        _check_shape("jac_theta", jac_theta, (n, p))
        _check_entries("jac_x", jac_x, xp)
        _check_entries("jac_theta", jac_theta, xp)
        self._names = names
        self._value: Any = None
        if F is not None:
            self._value = F(x, theta)
            self._check_value(self._value, check)

    def forward(self, t: Any) -> Any:
        """J t."""
        t = self.xp.reshape(t, (-1,))
        return self.moved(t, self.push(t))

    def moved(self, t: Array | None, change: Array) -> Array:
        """-A^{-1} of the change B t of F; with t, what the caller gave is compared with one product of F."""
        z: Array = -self.solve(change)
        if self.believed and self.F is not None and t is not None:
            product = self._both(z, t)
            if not self._agrees(product, change):
                watch(self._push_x, -z, self._push_theta(t), self._what(), self._tolerance())
        return z

    def adjoint(self, c: Any) -> Any:
        """J' c."""
        c = self.xp.reshape(c, (-1,))
        u = self.rsolve(c)
        pulled = -self.pull(u)
        if self.believed and self.F is not None:
            self._compare(u, c, pulled)
        return pulled

    # -- what the caller gave: one product with F itself tells --------------------------------------

    def _both(self, v: Array, t: Array) -> Array:
        """A v + B t: the derivative of F in both of its arguments at once."""
        if self.traced:
            out: Array = self.traced["push_x"](v) + self.traced["push_theta"](t)
            return out
        F, n = self._function("F"), self.x.shape[0]
        both = self.xp.concat([self.x, self.theta])
        direction = self.xp.concat([v, self.xp.astype(t, v.dtype)])
        method = self._steps.get("x", self._steps.get("theta", self.method))
        method = "complex-step" if method == "auto" else method
        try:
            with unheard(np.exceptions.ComplexWarning):  # a wrong product is seen
                out = _differences.directional(lambda z: F(z[:n], z[n:]), both, direction, method, self.xp)
        except (TypeError, ValueError, NotImplementedError):  # no F for complex numbers
            out = self.xp.nan * v
        return out

    def _agrees(self, r: Array, b: Array) -> bool:
        """Whether a residual is small in each row, beside the right-hand side there."""
        xp = self.xp
        return bool(xp.all(xp.abs(r) <= 10 * self._tolerance() * xp.abs(b)))

    def _compare(self, u: Array, c: Array, pulled: Array) -> None:
        """Look whether A'u = c and -B'u is what was pulled: u'(A v + B t) = c'v - pulled't at random."""
        xp, rng = self.xp, np.random.default_rng(0)
        v, t = (xp.asarray(rng.standard_normal(k.shape[0]), dtype=c.dtype) for k in (c, self.theta))

        def off(product: Array, tol: float, v: Array, t: Array) -> tuple[bool, float]:
            size = arrays.norm(xp, c) + arrays.norm(xp, pulled)
            error = abs(float(u @ product) - float(c @ v) + float(pulled @ t))
            terms = arrays.norm(xp, u) * arrays.norm(xp, product) + size * arrays.norm(xp, v)
            noise = 100 * float(xp.finfo(c.dtype).eps) * terms
            return not error <= 10 * tol * size + noise, error / size if size else error

        wrong, error = off(self._both(v, t), self._tolerance(), v, t)
        if wrong:  # F may have no complex steps: a second look
            product, tol = self._push_x(v) + self._push_theta(t), self._tolerance()
            wrong, error = off(product, tol, v, t)
        _report.linear(wrong, error, method=self._what())

    def _tolerance(self) -> float:
        tol = default_tol(self.x.dtype) if self.tol is None else self.tol
        kinds = [self.method, *self._steps.values()]
        return max([tol, *(AGREE[kind] for kind in kinds if kind in AGREE and not self.traced)])

    def _what(self) -> str:
        if not isinstance(self.way, str):
            return GIVEN
        return "symmetric=True" if self.symmetric else "what was given of the Jacobians"

    # -- dF/dx -------------------------------------------------------------------------------------

    def solve(self, b: Array) -> Array:
        """A^{-1} b."""
        out: Array = self._factorised()[0](b)
        self._last = out
        return out

    def rsolve(self, c: Array) -> Array:
        """A'^{-1} c."""
        out: Array = self._factorised()[1](c)
        self._last = out
        return out

    def info(self, b: Array, *, transpose: bool) -> LinearInfo:
        """How the last system, A z = b or A' u = b, was solved; one product tells what is left of it."""
        A = self._matrix
        name = GIVEN if not isinstance(self.way, str) else self.way
        name = automatic(A, self.symmetric) if name == "auto" else name
        if transpose and not A.has_both:
            return LinearInfo(name, math.nan)
        left = (A.rmatvec if transpose else A.matvec)(self._last) - b
        return LinearInfo(name, arrays.norm(self.xp, left) / (arrays.norm(self.xp, b) or 1.0))

    def _factorised(self) -> Any:
        if self._solves is None:
            self._matrix = self._operator()
            self._solves = factorise(self._matrix, self.way, self.symmetric, self.tol, watched=self.F is None)
        return self._solves

    def _operator(self) -> Operator:
        n, way = self.x.shape[0], self.way
        products = not isinstance(way, str) or way in {"cg", "gmres", "bicgstab", "lsmr"}
        products = products or (way == "auto" and n > DENSE_UP_TO)
        if self.jac_x is None and self.jvp_x is None:
            self.jac_x = self._found_matrix()
            if self.jac_x is None and (not products or self.sparsity[0] is not None):
                self.jac_x = self._jacobian("x", self.sparsity[0])
        if self.jac_x is not None:
            return Operator(self.xp, self.jac_x, n, self.x.dtype)
        push = self.jvp_x if self.jvp_x is not None else self._push_x
        pull = self.vjp_x if self.vjp_x is not None else self.traced.get("pull_x")
        if self.symmetric and pull is None:
            pull, self.believed = push, True
        return Operator(self.xp, push, n, self.x.dtype, pull)

    def _found_matrix(self) -> Any:
        """The argument of F that is dF/dx, as in A x - b."""
        if not self.leaves or not arrays.is_numpy(self.xp) or self._step("x") != "complex-step":
            return None
        return _structure.matrix_of(self.leaves, self._push_x, self.x)

    def _push_x(self, v: Any) -> Any:
        if self.traced:
            return self.traced["push_x"](v)
        F = self._function("the product dF/dx v")
        return self._directional("x", lambda x: F(x, self.theta), self.x, v)

    # -- dF/dtheta ---------------------------------------------------------------------------------

    def push(self, t: Array) -> Array:
        """B t."""
        out: Array
        if self.jvp_theta is not None:
            out = self.xp.asarray(self.jvp_theta(t))
        elif self.jac_theta is not None:
            out = self.jac_theta @ t
        else:
            out = self._push_theta(t)
        return out

    def _push_theta(self, t: Array) -> Array:
        out: Array
        if self.traced:
            out = self.traced["push_theta"](t)
            return out
        F = self._function("jvp_theta or jac_theta")
        out = self._directional("theta", lambda theta: F(self.x, theta), self.theta, t)
        return out

    def pull(self, u: Array) -> Array:
        """B' u."""
        out: Array
        if self.vjp_theta is not None:
            out = self.xp.asarray(self.vjp_theta(u))
        elif self.jac_theta is not None:
            out = self.jac_theta.T @ u
        elif self.traced:
            out = self.traced["pull_theta"](u)
        elif self.sparsity[1] is not None:
            self.jac_theta = self._jacobian("theta", self.sparsity[1])
            out = self.jac_theta.T @ u
        else:
            if self._pulls is None:
                whole = _structure.Block(0, self.theta.shape[0], (self.theta.shape[0],), None)
                self._pulls = [self._pull_of(block) for block in self.blocks or (whole,)]
            out = self.xp.concat([pull(u) for pull in self._pulls]) if self._pulls else 0 * self.theta
        return out

    def _pull_of(self, block: _structure.Block) -> Any:
        """The transposed derivative in one block of theta: by its structure, or by all of its entries."""
        xp, n, size = self.xp, self.x.shape[0], block.stop - block.start

        def push(v: Array) -> Array:
            whole = [xp.zeros(k, dtype=v.dtype) for k in (block.start, self.theta.shape[0] - block.stop)]
            return self._push_theta(xp.concat([whole[0], v, whole[1]]))

        if size > _structure.FEW and self._step("theta") == "complex-step":
            found = _structure.pull_of(block, push, self.theta[block.start : block.stop], self.x, n, xp)
            if found is not None:
                return found

        def column(k: int) -> Array:
            return push(xp.astype(xp.arange(size) == k, self.x.dtype))

        if n * size > KEPT:
            return lambda u: xp.stack([u @ column(k) for k in range(size)])
        matrix = xp.stack([column(k) for k in range(size)]) if size else xp.zeros((0, n), dtype=self.x.dtype)
        return lambda u: matrix @ u

    # -- differences -------------------------------------------------------------------------------

    def _jacobian(self, name: str, sparsity: Any) -> Any:
        if name == "x" and sparsity is None and self.traced:
            return self.traced["jac_x"]()
        push = self._push_x if name == "x" else self._push_theta
        self._function(f"jac_{name}, or products for {name},")
        point = self.x if name == "x" else self.theta
        if sparsity is None:
            return _differences.jacobian(push, point, self.x, self.xp)
        _check_shape(f"sparsity of dF/d{name}", sparsity, (self.x.shape[0], point.shape[0]))
        return _differences.sparse_jacobian(push, point, sparsity)

    def _directional(self, name: str, F: Any, point: Any, v: Any) -> Any:
        return _differences.directional(F, point, v, self._step_for(name, F, point), self.xp)

    def _step(self, name: str) -> str:
        """The kind of differences in x or theta."""
        F = self._function(f"products for {name}")
        if name == "x":
            return self._step_for(name, lambda x: F(x, self.theta), self.x)
        return self._step_for(name, lambda theta: F(self.x, theta), self.theta)

    def _step_for(self, name: str, F: Any, point: Any) -> str:
        if self.traced:
            return "jax"
        if name not in self._steps:
            automatic = self.method == "auto"
            kind = _differences.usable(F, point, self.xp, name) if automatic else self.method
            if kind in AGREE:
                _report.far(_differences.are_lost(F, point, self._value, kind, self.xp), self._value)
            self._steps[name] = kind
        return self._steps[name]

    def _function(self, what: str) -> Callable[[Any, Any], Any]:
        if self.F is None:
            raise ValueError(f"{what} must be given where F is None")
        return self.F

    # -- checks ------------------------------------------------------------------------------------

    def _check_value(self, value: Any, check: bool) -> None:
        xp = self.xp
        if tuple(value.shape) != tuple(self.x.shape):
            raise ValueError(
                f"the optimality function must be square: it returns {value.shape[0]} numbers, "
                f"{self._names[1]} has {self.x.shape[0]}; {self._names[0]} must have one equation for each"
            )
        _report.nonfinite(arrays.to_host(value))
        if not check or not self.x.shape[0]:
            return
        A = self._operator()
        rng = np.random.default_rng(0)
        u, v = (xp.asarray(rng.standard_normal(A.n), dtype=self.x.dtype) for _ in range(2))
        Au, Av = A.matvec(u), A.matvec(v)
        skew = (
            float(xp.abs(u @ Av - v @ Au)) / (arrays.norm(xp, u) * arrays.norm(xp, Av))
            if self.symmetric
            else 0.0
        )
        forward, adjoint = self._factorised()
        # Inverse iteration with A'A, one step from a random vector: the smallest singular value, from above.
        z = adjoint(forward(u / arrays.norm(xp, u)))
        size = arrays.norm(xp, z)
        least = 1 / arrays.norm(xp, forward(z / size)) if size else 0.0
        residual, step, x = (arrays.to_host(k) for k in (value, forward(value), self.x))
        _report.check(residual, step, x, skew, least)


def _check_shape(name: str, matrix: Any, shape: tuple[int, int]) -> None:
    if matrix is None:
        return
    found = np.shape(matrix) if not hasattr(matrix, "shape") else tuple(matrix.shape)
    if found != shape:
        raise ValueError(f"{name} must have shape {shape}, got {found}")


def _check_entries(name: str, matrix: Any, xp: Any) -> None:
    """Refuse entries that are complex or not finite; operators have none to look at."""
    if matrix is None:
        return
    if "complex" in str(getattr(matrix, "dtype", "")):
        raise TypeError(f"{name} must be real, got {matrix.dtype}")
    if arrays.is_sparse(matrix):
        checks.finite(name, matrix.tocsr().data, xp=xp)
    elif not arrays.is_operator(matrix):
        checks.array(name, matrix, xp=xp)
