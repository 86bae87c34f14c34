"""Equality constraints in all the forms that SciPy knows, and what is said of inequalities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks

from ._jaxed import Derivatives, traceable, why_not

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array

PEERS = (
    "scipy.optimize.minimize(method='trust-constr' or 'SLSQP') and IPOPT (package cyipopt) take them, and "
    "the guide shows how slack variables turn them into equalities"
)

#: The step of central differences, over max(1, |x|), that balances their error with that of rounding.
STEP = float(np.finfo(float).eps) ** (1 / 3)


@dataclass(frozen=True)
class Block:
    """Some equations c(x) = 0."""

    value: Callable[[Array], Any]
    jac: Callable[[Array], Any]
    hess: Callable[[Array, Array], Any] | None  # hess(x, v), of v'c; None where it is zero
    linear: bool = False


def blocks(constraints: Any, x0: Array) -> list[Block]:
    """The blocks of an argument `constraints`."""
    if constraints is None:
        return []
    if isinstance(constraints, tuple) and constraints and callable(constraints[0]):
        words = all(callable(part) or part is None or isinstance(part, str) for part in constraints)
        if words:
            return [_pair(constraints, x0)]
    if isinstance(constraints, list | tuple):
        return [block for part in constraints for block in blocks(part, x0)]
    return [_block(constraints, x0)]


def _block(constraint: Any, x0: Array) -> Block:
    if isinstance(constraint, dict):
        return _from_dict(constraint, x0)
    kind = type(constraint).__name__
    if kind == "Bounds":
        raise ValueError(f"constraints has bounds, which sketch.minimize does not take: {PEERS}")
    if kind == "LinearConstraint":
        return _linear(constraint, x0)
    if kind == "NonlinearConstraint":
        return _nonlinear(constraint, x0)
    if callable(constraint):
        return _pair((constraint,), x0)
    raise TypeError(
        "constraints must be LinearConstraint, NonlinearConstraint, a dictionary, a function c, a pair "
        f"(c, jac), or a list of these; got {kind}"
    )


def _pair(parts: tuple[Any, ...], x0: Array) -> Block:
    """(c,), (c, jac) or (c, jac, hess)."""
    if len(parts) > 3:
        raise ValueError(f"constraints as functions are (c, jac) or (c, jac, hess), got {len(parts)} of them")
    c, jac, hess = (*parts, None, None)[:3]
    checks.function("constraints[0]", c)
    return _made("constraints", c, jac, hess, x0)


def _from_dict(constraint: dict[str, Any], x0: Array) -> Block:
    kind = constraint.get("type")
    if kind == "ineq":
        raise ValueError(f"constraints has type 'ineq'; only equalities are taken: {PEERS}")
    if kind != "eq":
        raise ValueError(f"constraints['type'] must be 'eq', got {kind!r}")
    if unknown := set(constraint) - {"type", "fun", "jac", "hess", "args"}:
        raise ValueError(
            f"constraints has the unknown key {min(unknown)!r}; known: type, fun, jac, hess, args"
        )
    args = tuple(constraint.get("args", ()))
    fun, jac, hess = (constraint.get(key) for key in ("fun", "jac", "hess"))
    checks.function("constraints['fun']", fun)

    def bound(function: Any) -> Any:
        return (lambda x, *v: function(x, *v, *args)) if callable(function) and args else function

    return _made("constraints", bound(fun), bound(jac), bound(hess), x0)


def _linear(constraint: Any, x0: Array) -> Block:
    A = constraint.A
    A = checks.csr("constraints.A", A) if arrays.is_sparse(A) else checks.array(
        "constraints.A", np.atleast_2d(A), ndim=2, dtype=np.float64
    )  # fmt: skip
    if A.shape[1] != x0.size:
        raise ValueError(f"constraints.A must have {x0.size} columns, as x0 has entries; got {A.shape[1]}")
    b = _right_side(constraint, A.shape[0])
    return Block(lambda x: A @ x - b, lambda x: A, None, linear=True)  # noqa: ARG005


def _nonlinear(constraint: Any, x0: Array) -> Block:
    fun = constraint.fun
    b = _right_side(constraint, None)
    given = known(constraint.jac)
    jac = given if callable(given) else None
    hess = constraint.hess if callable(constraint.hess) else None
    if jac is None and given not in {None, "2-point"}:
        raise ValueError(f"constraints.jac must be callable, '2-point' or '3-point', got {constraint.jac!r}")

    def shifted(x: Any) -> Any:
        value = fun(x)
        if b.ndim and np.shape(value) != b.shape:
            raise ValueError(f"constraints has lb of shape {b.shape} for values of shape {np.shape(value)}")
        return value - b if b.size else value

    # SciPy's default asks for differences, which nobody had to write: JAX has the better derivatives.
    wanted = jac if jac is not None or traceable(shifted, x0) else given
    wish = constraint.hess if isinstance(constraint.hess, str) else None
    return _made("constraints", shifted, wanted, hess or wish, x0)


def _right_side(constraint: Any, m: int | None) -> Array:
    lb, ub = (np.asarray(side, dtype=float) for side in (constraint.lb, constraint.ub))
    try:
        lb, ub = np.broadcast_arrays(lb, ub)
    except ValueError as error:
        raise ValueError(f"constraints has lb of shape {lb.shape} and ub of shape {ub.shape}") from error
    if not np.array_equal(lb, ub):
        raise ValueError(f"constraints has lb != ub; only equalities are taken: {PEERS}")
    if not np.isfinite(lb).all():
        raise ValueError("constraints.lb must hold finite numbers")
    return np.broadcast_to(lb, (m,)).copy() if m is not None else np.array(lb)


def _made(name: str, c: Any, jac: Any, hess: Any, x0: Array) -> Block:
    """A block from what the user gave; JAX or, where they are asked for, differences make the rest."""
    jac, hess = known(jac), known(hess)
    derivatives = None
    if (not callable(jac) and jac != "2-point") or (not callable(hess) and hess != "2-point"):
        derivatives = Derivatives(c) if traceable(c, x0) else None
    if not callable(jac):
        if jac not in {None, "2-point", "jax"}:
            raise ValueError(f"{name} has jac = {jac!r}; a function, '2-point' or 'jax' is wanted")
        if jac == "2-point":
            jac = differences(c)
        elif derivatives is None:
            raise ValueError(f"{name} needs jac: a function, or '2-point'; {why_not('c')}")
        else:
            jac = derivatives.jacobian
    if not callable(hess):
        if hess not in {None, "2-point", "jax"}:
            raise ValueError(
                f"{name} has hess = {hess!r}; a function hess(x, v), '2-point' or 'jax' is wanted"
            )
        if hess == "2-point" or (hess is None and derivatives is None and _constant(jac, x0)):
            hess = _second_differences(jac)
        elif derivatives is None:
            raise ValueError(
                f"{name} needs hess(x, v), the Hessian of v'c, or hess='2-point': {why_not('c')}"
            )
        else:
            hess = derivatives.hessian
    value = c if derivatives is None else derivatives.value
    return Block(value, jac, hess)


def _constant(jac: Any, x0: Array) -> bool:
    """Whether the Jacobian looks the same at three points: linear equations, whose Hessian is zero."""
    try:
        first, *others = (_dense(jac(x0 + shift)) for shift in (0.0, 0.37, -1.19))
    except Exception:  # a point outside of its domain
        return False
    return all(np.array_equal(first, other) for other in others)


def known(derivative: Any) -> Any:
    """SciPy's other word for central differences."""
    return "2-point" if isinstance(derivative, str) and derivative == "3-point" else derivative


def differences(function: Any) -> Any:
    """The Jacobian by central differences."""

    def at(x: Array) -> Array:
        return np.atleast_1d(np.asarray(function(x), dtype=float))

    def jac(x: Array) -> Array:
        columns = []
        for j, h in enumerate(STEP * np.maximum(1.0, np.abs(x))):
            above, below = x.copy(), x.copy()
            above[j] += h
            below[j] -= h
            columns.append((at(above) - at(below)) / (above[j] - below[j]))
        return np.stack(columns, axis=1)

    return jac


def _second_differences(jac: Any) -> Any:
    def hess(x: Array, v: Array) -> Array:
        H = differences(lambda y: _dense(jac(y)).T @ v)(x)
        return np.asarray(0.5 * (H + H.T))

    return hess


def _dense(G: Any) -> Array:
    return np.atleast_2d(np.asarray(G.toarray() if arrays.is_sparse(G) else G, dtype=float))
