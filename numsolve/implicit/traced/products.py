"""`root_vjp`, `root_jvp` and the products of `solution_jacobian` where JAX differentiates F."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve.implicit._jax import require_jax
from numsolve.implicit._numbers import is_integer
from numsolve.implicit._settings import CONSTANT, check_solve

from ._linear import check_solution, like, linear_info, linear_solve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numsolve.implicit._watch import LinearInfo


def root_vjp(
    F: Callable[..., Any],
    sol: Any,
    args: tuple[Any, ...],
    given: tuple[Any, ...],
    cotangent: Any,
    *,
    check: bool,
    info: bool,
    **settings: Any,
) -> tuple[tuple[Any, ...], LinearInfo | None]:
    """-B' A'^{-1} c; `given` are the arguments before integers became floats."""
    jax = require_jax()
    sol, cotangent = (jax.tree.map(jax.numpy.asarray, tree) for tree in (sol, cotangent))
    G = _at(F, args, sol, check, settings)
    (solved,) = jax.linear_transpose(lambda rhs: linear_solve(G, sol, rhs, **settings), sol)(cotangent)
    told = None
    if info:
        product = jax.linear_transpose(jax.linearize(lambda x: like(sol, G(x)), sol)[1], sol)
        told = linear_info(product(solved)[0], cotangent, **settings)
    u = jax.tree.leaves(solved)
    arguments = _Arguments(F, sol, args, given)

    def pulled(places: Sequence[int]) -> Any:
        value, pull = jax.vjp(arguments.function(places), *arguments.at(places))
        leaves, structure = jax.tree.flatten(value)
        return pull(structure.unflatten([-v.astype(w.dtype) for v, w in zip(u, leaves, strict=True)]))

    out: list[Any] = [None] * len(arguments.leaves)
    for k, derivative in zip(arguments.floats, pulled(arguments.floats), strict=True):
        out[k] = derivative
    for k in arguments.integers:
        try:
            (out[k],) = pulled([k])
        except Exception:  # F takes it as a number, but not as one without a value: it has no derivative
            continue
    return tuple(arguments.structure.unflatten(out)), told


def root_jvp(
    F: Callable[..., Any],
    sol: Any,
    args: tuple[Any, ...],
    given: tuple[Any, ...],
    tangents: tuple[Any, ...],
    *,
    check: bool,
    info: bool,
    **settings: Any,
) -> tuple[Any, LinearInfo | None]:
    """-A^{-1} B t; `given` are the arguments before integers became floats."""
    jax = require_jax()
    sol = jax.tree.map(jax.numpy.asarray, sol)
    G = _at(F, args, sol, check, settings)
    arguments = _Arguments(F, sol, args, given)
    directions = jax.tree.leaves(tangents)
    counted = [
        k for k in range(len(directions)) if k not in arguments.floats and not _is_zero(jax, directions[k])
    ]
    if not set(counted) <= set(arguments.integers):
        raise TypeError(CONSTANT)
    places = [*arguments.floats, *counted]
    primals = [jax.numpy.asarray(leaf) for leaf in arguments.at(places)]
    tangent = [jax.numpy.asarray(directions[k], dtype=p.dtype) for k, p in zip(places, primals, strict=True)]
    try:
        _, change = jax.jvp(arguments.function(places), primals, tangent)
    except jax.errors.JAXTypeError as error:
        if counted:
            raise TypeError(CONSTANT) from error
        raise
    rhs = jax.tree.map(lambda v: -v, like(sol, change))
    moved = linear_solve(G, sol, rhs, **settings)
    told = linear_info(like(sol, jax.jvp(G, (sol,), (moved,))[1]), rhs, **settings) if info else None
    return moved, told


class _Arguments:
    """The leaves of F's arguments: floats, integers that became floats, and others."""

    def __init__(self, F: Any, sol: Any, args: Any, given: Any) -> None:
        jax = require_jax()
        self.F, self.sol = F, sol
        self.leaves, self.structure = jax.tree.flatten(args)
        before = jax.tree.leaves(given)
        self.integers = [
            k for k, leaf in enumerate(self.leaves) if is_integer(before[k]) and not is_integer(leaf)
        ]
        self.floats = [
            k for k, leaf in enumerate(self.leaves) if k not in self.integers and _is_inexact(jax, leaf)
        ]

    def at(self, places: Sequence[int]) -> list[Any]:
        return [self.leaves[k] for k in places]

    def function(self, places: Sequence[int]) -> Callable[..., Any]:
        """F as a function of the leaves in some places."""

        def of(*values: Any) -> Any:
            leaves = list(self.leaves)
            for k, value in zip(places, values, strict=True):
                leaves[k] = value
            return self.F(self.sol, *self.structure.unflatten(leaves))

        return of


def products(F: Callable[..., Any], x: Any, theta: Any) -> tuple[Any, Any, Any, dict[str, Any]]:
    """NumPy copies of x and theta, F of such vectors, and its derivatives as products by JAX."""
    jax = require_jax()
    from jax.flatten_util import ravel_pytree

    flat_x, x_back = ravel_pytree(jax.tree.map(jax.numpy.asarray, x))
    flat_theta, theta_back = ravel_pytree(jax.tree.map(jax.numpy.asarray, theta))

    def flat(x: Any, theta: Any) -> Any:
        return ravel_pytree(F(x_back(x), theta_back(theta)))[0]

    def value(x: Any, theta: Any) -> Any:
        return np.asarray(flat(jax.numpy.asarray(x), jax.numpy.asarray(theta)))

    found: dict[str, Any] = {}
    for name, of, point in (
        ("x", lambda x: flat(x, flat_theta), flat_x),
        ("theta", lambda theta: flat(flat_x, theta), flat_theta),
    ):
        push, pull = _both_ways(of, point)
        found |= {f"push_{name}": push, f"pull_{name}": pull}
    found["jac_x"] = lambda: np.asarray(jax.jacfwd(flat)(flat_x, flat_theta))
    return np.asarray(flat_x), np.asarray(flat_theta), value, found


def _both_ways(of: Callable[[Any], Any], point: Any) -> tuple[Any, Any]:
    """The products with a derivative and with its transpose, of NumPy vectors."""
    jax = require_jax()
    value, push = jax.linearize(of, point)
    compiled = jax.jit(push)
    pull = jax.jit(lambda u: jax.linear_transpose(push, point)(u)[0])
    return (
        lambda v: np.array(compiled(v.astype(point.dtype))),
        lambda u: np.array(pull(u.astype(value.dtype))),
    )


def _at(F: Any, args: Any, sol: Any, check: bool, settings: dict[str, Any]) -> Callable[[Any], Any]:
    check_solve(settings["solve"])

    def G(x: Any) -> Any:  # noqa: N802
        return F(x, *args)

    if check:
        check_solution(G, sol, like(sol, G(sol)), **settings)
    return G


def _is_inexact(jax: Any, leaf: Any) -> bool:
    if isinstance(leaf, float | complex):
        return True
    return hasattr(leaf, "dtype") and bool(jax.numpy.issubdtype(leaf.dtype, jax.numpy.inexact))


def _is_zero(jax: Any, tangent: Any) -> bool:
    """Whether a tangent is known to be zero, or is none."""
    if isinstance(tangent, jax.core.Tracer):
        return False
    try:
        values = np.asarray(tangent)
        return values.dtype.kind not in "biufc" or not values.any()
    except (TypeError, ValueError):
        return True
