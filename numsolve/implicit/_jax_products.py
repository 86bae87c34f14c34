"""`root_vjp`, `root_jvp` and the products of `solution_jacobian` where JAX differentiates F."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._jax_root import check_solution, check_solve, like, linear_solve, require_jax

if TYPE_CHECKING:
    from collections.abc import Callable


def root_vjp(
    F: Callable[..., Any], sol: Any, args: tuple[Any, ...], cotangent: Any, *, check: bool, **settings: Any
) -> tuple[Any, ...]:
    """-B' A'^{-1} c."""
    jax = require_jax()
    sol, cotangent = (jax.tree.map(jax.numpy.asarray, tree) for tree in (sol, cotangent))
    G = _at(F, args, sol, check, settings)
    u = linear_solve(G, sol, cotangent, transpose=True, **settings)
    value, pull = jax.vjp(lambda *args: F(sol, *args), *args)
    leaves, structure = jax.tree.flatten(value)
    given = jax.tree.leaves(u)
    return tuple(pull(structure.unflatten([-v.astype(w.dtype) for v, w in zip(given, leaves, strict=True)])))


def root_jvp(
    F: Callable[..., Any],
    sol: Any,
    args: tuple[Any, ...],
    tangents: tuple[Any, ...],
    *,
    check: bool,
    **settings: Any,
) -> Any:
    """-A^{-1} B t."""
    jax = require_jax()
    sol = jax.tree.map(jax.numpy.asarray, sol)
    G = _at(F, args, sol, check, settings)
    args, tangents = _floats(jax, args), _tangents(jax, args, tangents)
    _, change = jax.jvp(lambda *args: F(sol, *args), args, tangents)
    rhs = jax.tree.map(lambda v: -v, like(sol, change))
    return linear_solve(G, sol, rhs, **settings)


def products(F: Callable[..., Any], x: Any, theta: Any) -> tuple[Any, Any, dict[str, Any]]:
    """NumPy copies of x and theta, and dF/dx as a matrix and dF/dtheta as products, of vectors."""
    jax = require_jax()
    from jax.flatten_util import ravel_pytree

    flat_x, x_back = ravel_pytree(jax.tree.map(jax.numpy.asarray, x))
    flat_theta, theta_back = ravel_pytree(jax.tree.map(jax.numpy.asarray, theta))

    def flat(x: Any, theta: Any) -> Any:
        return ravel_pytree(F(x_back(x), theta_back(theta)))[0]

    _, push = jax.linearize(lambda theta: flat(flat_x, theta), flat_theta)
    pull = jax.jit(lambda u: jax.linear_transpose(push, flat_theta)(u)[0])
    push = jax.jit(push)
    found = {
        "jac_x": np.asarray(jax.jacfwd(flat)(flat_x, flat_theta)),
        "jvp_theta": lambda t: np.asarray(push(t.astype(flat_theta.dtype))),
        "vjp_theta": lambda u: np.asarray(pull(u.astype(flat_x.dtype))),
    }
    return np.asarray(flat_x), np.asarray(flat_theta), found


def _at(F: Any, args: Any, sol: Any, check: bool, settings: dict[str, Any]) -> Callable[[Any], Any]:
    check_solve(settings["solve"])

    def G(x: Any) -> Any:  # noqa: N802
        return F(x, *args)

    if check:
        check_solution(G, sol, like(sol, G(sol)), **settings)
    return G


def _floats(jax: Any, args: Any) -> Any:
    """The arguments as arrays (a Python float has no dtype that a tangent could match)."""
    return jax.tree.map(jax.numpy.asarray, args)


def _tangents(jax: Any, args: Any, tangents: Any) -> Any:
    def one(arg: Any, tangent: Any) -> Any:
        dtype = jax.numpy.asarray(arg).dtype
        if jax.numpy.issubdtype(dtype, jax.numpy.inexact):
            return jax.numpy.asarray(tangent, dtype=dtype)
        return np.zeros(np.shape(arg), jax.dtypes.float0)

    return jax.tree.map(one, args, tangents)
