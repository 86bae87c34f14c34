"""The products of dx*/dtheta for vectors x and theta of NumPy, CuPy and other plain arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks

from . import _differences, _plain_solvers, _report
from ._settings import check_plain_solve

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array


class SolutionMap:
    """The products of dx*/dtheta for vectors x and theta; what they need is made when it is first needed."""

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
    ) -> None:
        self.xp, self.F, self.x, self.theta, self.method = xp, F, x, theta, method
        self.way, self.symmetric, self.tol = check_plain_solve(solve), symmetric, tol
        self.sparsity = sparsity if isinstance(sparsity, tuple) else (sparsity, None)
        self.jvp_theta, self.vjp_theta, self.jac_theta = jvp_theta, vjp_theta, jac_theta
        self.jvp_x, self.vjp_x, self.jac_x = jvp_x, vjp_x, jac_x
        self._solves: Any = None
        self._steps: dict[str, str] = {}
        n, p = x.shape[0], theta.shape[0]
        self.jac_theta = jac_theta = _plain_solvers.as_matrix(xp, jac_theta, x.dtype)
        _check_shape("jac_x", jac_x, (n, n))
        _check_shape("jac_theta", jac_theta, (n, p))
        _check_entries("jac_x", jac_x, xp)
        _check_entries("jac_theta", jac_theta, xp)
        if F is not None:
            self._check_value(F(x, theta), check)

    def forward(self, t: Any) -> Any:
        """J t."""
        return -self.solve(self.push(self.xp.reshape(t, (-1,))))

    def adjoint(self, c: Any) -> Any:
        """J' c."""
        return -self.pull(self.rsolve(self.xp.reshape(c, (-1,))))

    # -- dF/dx -------------------------------------------------------------------------------------

    def solve(self, b: Array) -> Array:
        """A^{-1} b."""
        out: Array = self._factorised()[0](b)
        return out

    def rsolve(self, c: Array) -> Array:
        """A'^{-1} c."""
        out: Array = self._factorised()[1](c)
        return out

    def _factorised(self) -> Any:
        if self._solves is None:
            self._solves = _plain_solvers.factorise(self._operator(), self.way, self.symmetric, self.tol)
        return self._solves

    def _operator(self) -> _plain_solvers.Operator:
        n, users = self.x.shape[0], not isinstance(self.way, str)
        if self.jac_x is None and self.jvp_x is None and not users:
            self.jac_x = self._jacobian("x", self.sparsity[0])
        if self.jac_x is not None:
            return _plain_solvers.Operator(self.xp, self.jac_x, n, self.x.dtype)
        pull = self.jvp_x if self.symmetric else self.vjp_x
        push = self.jvp_x if self.jvp_x is not None else self._push_x
        return _plain_solvers.Operator(self.xp, push, n, self.x.dtype, pull)

    def _push_x(self, v: Any) -> Any:
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
            F = self._function("jvp_theta or jac_theta")
            out = self._directional("theta", lambda theta: F(self.x, theta), self.theta, t)
        return out

    def pull(self, u: Array) -> Array:
        """B' u."""
        out: Array
        if self.vjp_theta is not None:
            out = self.xp.asarray(self.vjp_theta(u))
        else:
            if self.jac_theta is None:
                self.jac_theta = self._jacobian("theta", self.sparsity[1])
            out = self.jac_theta.T @ u
        return out

    # -- differences -------------------------------------------------------------------------------

    def _jacobian(self, name: str, sparsity: Any) -> Any:
        F = self._function(f"jac_{name}, or products for {name},")
        point = self.x if name == "x" else self.theta

        def of_one(z: Any) -> Any:
            return F(z, self.theta) if name == "x" else F(self.x, z)

        method = self._step_for(name, of_one, point)
        if sparsity is None:
            return _differences.jacobian(of_one, point, method, self.xp)
        _check_shape(f"sparsity of dF/d{name}", sparsity, (self.x.shape[0], point.shape[0]))
        return _differences.sparse_jacobian(of_one, point, method, sparsity)

    def _directional(self, name: str, F: Any, point: Any, v: Any) -> Any:
        return _differences.directional(F, point, v, self._step_for(name, F, point), self.xp)

    def _step_for(self, name: str, F: Any, point: Any) -> str:
        if self.method != "auto":
            return self.method
        if name not in self._steps:
            self._steps[name] = _differences.usable(F, point, self.xp, name)
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
                f"the solution has {self.x.shape[0]}"
            )
        _report.nonfinite(arrays.to_host(value))
        if not check:
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
        step = self._factorised()[0](value)
        _report.check(float(xp.max(xp.abs(value))), arrays.norm(xp, step), arrays.norm(xp, self.x), skew)


def _check_shape(name: str, matrix: Any, shape: tuple[int, int]) -> None:
    if (
        matrix is not None
        and tuple(np.shape(matrix) if not hasattr(matrix, "shape") else matrix.shape) != shape
    ):
        raise ValueError(f"{name} must have shape {shape}, got {tuple(matrix.shape)}")


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
