"""Linear systems with dF/dx at a solution, in a way that JAX differentiates and transposes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve.implicit import _report
from numsolve.implicit._jax import norm, require_jax
from numsolve.implicit._signatures import is_ours, is_transposed, knows_transpose
from numsolve.implicit._watch import GIVEN, LinearInfo

from .solve import automatic, direct
from .solve import solve as solve_traced

if TYPE_CHECKING:
    from collections.abc import Callable


def linear_solve(
    G: Callable[[Any], Any], x: Any, rhs: Any, *, solve: Any, symmetric: bool, tol: float | None
) -> Any:
    """Solve dG/dx(x) z = rhs, in a way that JAX differentiates and transposes.

    Complex unknowns are pairs of real ones, so that G need not be holomorphic.
    """
    jax = require_jax()
    # One vector: JAX cannot transpose a solve of which some leaves of the right-hand side are constant.
    b, joined = as_reals(rhs)
    _, product = jax.linearize(G, x)

    def operator(v: Any) -> Any:
        return as_reals(like(x, product(joined(v))))[0]

    forward, backward = _methods(solve, symmetric, x, b.size, tol)
    return joined(jax.lax.custom_linear_solve(operator, b, solve=forward, transpose_solve=backward))


def linear_info(product: Any, rhs: Any, *, solve: Any, symmetric: bool, tol: float | None) -> LinearInfo:  # noqa: ARG001
    """How a system was solved, given the product of its matrix with the solution."""
    jax = require_jax()
    b, left = as_reals(rhs)[0], as_reals(product)[0]
    name = automatic(symmetric, b.size) if solve == "auto" else solve
    name = "gmres, or dense" if name == "hybrid" else name if isinstance(name, str) else GIVEN
    size = jax.numpy.linalg.norm(b)
    residual = jax.numpy.linalg.norm(left - b) / jax.numpy.where(size == 0, 1.0, size)
    return LinearInfo(name, residual if isinstance(residual, jax.core.Tracer) else float(residual))


def _methods(solve: Any, symmetric: bool, x: Any, n: int, tol: float | None) -> tuple[Any, Any]:
    """What solves with a matrix, given its product, and what with a transposed one, given that one's.

    A matrix that is said to be symmetric gets its method by that, not its transpose.
    """
    if not callable(solve):
        name = automatic(symmetric, n) if solve == "auto" else solve

        def method(matvec: Any, b: Any) -> Any:
            return solve_traced(name, matvec, b, tol=tol)

        return method, method

    jax = require_jax()
    vectors = _parts(x)  # complex leaves are pairs here, too

    def of_user(matvec: Any, b: Any, **turned: bool) -> Any:
        flat, unravel = _ravelled(vectors)
        z = _ravelled(solve(lambda v: unravel(matvec(_ravelled(v)[0])), unravel(b), **turned))[0]
        if is_ours(solve):
            return z  # it has looked itself
        product = (lambda v: jax.linear_transpose(matvec, flat)(v)[0]) if turned else matvec
        return direct(product, z, b, GIVEN, tol)

    if not knows_transpose(solve):
        return of_user, of_user

    def of_user_transposed(matvec: Any, b: Any) -> Any:
        """With the product of the matrix itself, to which what the solve knows (a pattern) belongs."""
        return of_user(lambda v: jax.linear_transpose(matvec, b)(v)[0], b, transpose=not is_transposed(solve))

    return of_user, of_user_transposed


def as_reals(tree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """All leaves as one vector of real numbers, and the function that undoes it."""
    jax = require_jax()
    flat, unravel = _ravelled(_parts(tree))
    leaves, structure = jax.tree.flatten(tree)
    paired = [_is_complex(jax, leaf) for leaf in leaves]

    def joined(vector: Any) -> Any:
        parts = unravel(vector)
        parts = [
            jax.lax.complex(*part) if pair else part
            for part, pair in zip(structure.flatten_up_to(parts), paired, strict=True)
        ]
        return structure.unflatten(parts)

    return flat, joined


def _parts(tree: Any) -> Any:
    """The nest with pairs of real arrays in place of complex ones."""
    jax = require_jax()
    return jax.tree.map(lambda leaf: (leaf.real, leaf.imag) if _is_complex(jax, leaf) else leaf, tree)


def _ravelled(tree: Any) -> tuple[Any, Callable[[Any], Any]]:
    from jax.flatten_util import ravel_pytree

    flat, unravel = ravel_pytree(tree)
    return flat, unravel


def _is_complex(jax: Any, leaf: Any) -> bool:
    return bool(jax.numpy.issubdtype(jax.numpy.result_type(leaf), jax.numpy.complexfloating))


def like(x: Any, value: Any) -> Any:
    """The leaves of F in the structure of x, which must have the same shapes, complex where x is."""
    jax = require_jax()
    leaves, structure = jax.tree.flatten(x)
    values = jax.tree.leaves(value)
    if [leaf.shape for leaf in leaves] != [leaf.shape for leaf in values]:
        raise ValueError(
            "the optimality function must be square: it returns arrays of shape "
            f"{[tuple(leaf.shape) for leaf in values]}, the solution has "
            f"{[tuple(leaf.shape) for leaf in leaves]}"
        )
    for leaf, of_value in zip(leaves, values, strict=True):
        if _is_complex(jax, leaf) != _is_complex(jax, of_value):
            raise ValueError(
                f"the optimality function must be square: it returns {of_value.dtype} where the solution is "
                f"{leaf.dtype}, and a complex number counts as two real ones"
            )
    return structure.unflatten([v.astype(leaf.dtype) for v, leaf in zip(values, leaves, strict=True)])


def check_solution(
    G: Callable[[Any], Any], x: Any, value: Any, *, solve: Any, symmetric: bool, tol: float | None
) -> None:
    """Estimate the error of x by a Newton step, and sigma_min; try the symmetry on one pair of vectors."""
    jax = require_jax()
    jnp = jax.numpy

    def solved(rhs: Any) -> Any:
        return as_reals(linear_solve(G, x, joined(rhs), solve=solve, symmetric=symmetric, tol=tol))[0]

    flat, joined = as_reals(x)
    residual = as_reals(value)[0]
    product = jax.linearize(G, x)[1]
    rng = np.random.default_rng(0)
    u, v = (jnp.asarray(rng.standard_normal(flat.size), flat.dtype) for _ in range(2))
    Au, Av = (as_reals(product(joined(w)))[0] for w in (u, v))
    skew = jnp.abs(u @ Av - v @ Au) / (norm(jax, u) * norm(jax, Av)) if symmetric else 0.0
    # Inverse iteration with A'A, one step from a random vector: the smallest singular value, from above.
    z = jax.linear_transpose(solved, u)(solved(u / norm(jax, u)))[0]
    least = 1 / norm(jax, solved(z / norm(jax, z)))
    jax.debug.callback(_report.check, residual, solved(residual), flat, skew, least)
