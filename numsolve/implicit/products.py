r"""Derivatives of a solution x*(theta) of F(x, theta) = 0 as products, without changing the solver.

With A = dF/dx and B = dF/dtheta at the solution, J = dx*/dtheta = -A^{-1} B, so that

    J t = -A^{-1} (B t),          J' c = -B' (A'^{-1} c):

one linear solve for each direction, however many parameters there are. A and B come from JAX, from the
caller, or from differences of F, by default complex steps, which are exact to rounding.
(M. Blondel et al., "Efficient and modular implicit differentiation", NeurIPS 2022, equations 2 and 3.)
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.result import PrecisionWarning, caller_level

from . import _trees
from ._solution_map import SolutionMap
from .linear_solve import has_jax_leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

METHODS = ("auto", "complex-step", "forward", "central", "jax")


def root_vjp(
    optimality_fun: Callable[..., Any],
    sol: Any,
    args: Sequence[Any],
    cotangent: Any,
    *,
    solve: Any = "auto",
    symmetric: bool = False,
    check: bool = False,
    tol: float | None = None,
) -> tuple[Any, ...]:
    """Pull a derivative with respect to a solution back to the arguments: J' c, by one linear solve.

    Parameters
    ----------
    optimality_fun : callable
        ``F(x, *args)``, zero at the solution, of the structure of x. JAX differentiates it if it returns JAX
        arrays; otherwise complex steps do, which ask that it is analytic and works for complex arrays.
    sol : array or pytree
        The solution x.
    args : sequence
        Arrays or pytrees.
    cotangent : like sol
        The derivative c of a loss with respect to x.
    solve : str, callable, pair of callables, or factorisation
        As in `numsolve.implicit.custom_root`. For NumPy and CuPy also what the forward solve has left: a
        factorisation of dF/dx with a method ``solve(b, "N" or "T")`` as SciPy's SuperLU, or a pair of
        functions that solve with dF/dx and with its transpose.
    symmetric : bool
        dF/dx is symmetric.
    check : bool
        Spend one more solve to estimate the error of `sol`, and look at the symmetry.
    tol : float, optional
        Relative residual of the solve: 1e-10, or 1e-5 in single precision.

    Returns
    -------
    tuple
        One entry for each of `args`, of its structure. Integer arrays get zeros.

    Raises
    ------
    ValueError
        If the structure of `cotangent` is not that of `sol`, or F is not square.
    FloatingPointError
        If F is not finite at the solution (with JAX: if ``check=True``).

    Warns
    -----
    RuntimeWarning
        If the linear system was not solved, or ``check=True`` finds that `sol` is none.
    PrecisionWarning
        If F turns out not to be analytic; central differences are used then.

    Examples
    --------
    A linear system, without JAX: the derivative of ``x.sum()`` with respect to the matrix and to the
    right-hand side.

    >>> import numpy as np
    >>> from numsolve.implicit import root_vjp
    >>> A, b = np.array([[2.0, 1.0], [0.0, 4.0]]), np.array([4.0, 8.0])
    >>> x = np.linalg.solve(A, b)
    >>> dA, db = root_vjp(lambda x, A, b: A @ x - b, x, (A, b), np.ones(2))
    >>> print(dA, db)
    [[-0.5   -1.  ] [-0.125 -0.25 ]] [0.5   0.125]
    """
    args = tuple(args)
    _same_structure("cotangent", cotangent, "sol", sol)
    settings: dict[str, Any] = {"solve": solve, "symmetric": symmetric, "check": check, "tol": tol}
    if _speaks_jax(optimality_fun, sol, args):
        from ._jax_products import root_vjp as traced

        return tuple(_as_given(traced(optimality_fun, sol, args, cotangent, **settings), sol, args))
    xp = _trees.namespace(sol, args, cotangent)
    c, _ = _trees.ravel("cotangent", cotangent, xp)
    F, x, theta, moving = _one_parameter(optimality_fun, sol, args, xp)
    pulled = SolutionMap(xp, F, x, theta, **settings).adjoint(c)
    return tuple(moving(pulled))


def root_jvp(
    optimality_fun: Callable[..., Any],
    sol: Any,
    args: Sequence[Any],
    tangents: Sequence[Any],
    *,
    solve: Any = "auto",
    symmetric: bool = False,
    check: bool = False,
    tol: float | None = None,
) -> Any:
    """Push changes of the arguments forward to the solution: J t, by one linear solve.

    Parameters
    ----------
    optimality_fun, sol, args : object
        As in `numsolve.implicit.root_vjp`.
    tangents : sequence
        Changes of `args`, each of the structure of its argument.
    solve, symmetric, check, tol : object
        As in `numsolve.implicit.root_vjp`.

    Returns
    -------
    like sol
        The change of the solution.

    Raises
    ------
    ValueError
        If `tangents` and `args` differ in number or structure, or F is not square.
    FloatingPointError
        If F is not finite at the solution (with JAX: if ``check=True``).

    See Also
    --------
    numsolve.implicit.root_vjp : The transposed product, with the arguments explained.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve.implicit import root_jvp
    >>> x = np.array([2.0])  # the root of x^2 - theta at theta = 4; dx/dtheta = 1/4
    >>> print(root_jvp(lambda x, theta: x**2 - theta, x, (np.array([4.0]),), (np.array([1.0]),)))
    [0.25]
    """
    args, tangents = tuple(args), tuple(tangents)
    if len(args) != len(tangents):
        raise ValueError(
            f"tangents must have one entry for each of args, got {len(tangents)} for {len(args)}"
        )
    for k, (arg, tangent) in enumerate(zip(args, tangents, strict=True)):
        _same_structure(f"tangents[{k}]", tangent, f"args[{k}]", arg)
    settings: dict[str, Any] = {"solve": solve, "symmetric": symmetric, "check": check, "tol": tol}
    if _speaks_jax(optimality_fun, sol, args):
        from ._jax_products import root_jvp as traced

        return _as_given(traced(optimality_fun, sol, args, tangents, **settings), sol, args)
    xp = _trees.namespace(sol, args, tangents)
    F, x, theta, _ = _one_parameter(optimality_fun, sol, args, xp)
    _, back = _trees.ravel("sol", sol, xp)
    kept = [
        t for arg, t in zip(_trees.leaves(args), _trees.leaves(tangents), strict=True) if _is_float(arg, xp)
    ]
    t, _ = _trees.ravel("tangents", kept, xp)
    return back(SolutionMap(xp, F, x, theta, **settings).forward(t))


def solution_jacobian(
    F: Callable[..., Any] | None,
    x: Any,
    theta: Any,
    *,
    jvp_x: Callable[[Any], Any] | None = None,
    vjp_x: Callable[[Any], Any] | None = None,
    jvp_theta: Callable[[Any], Any] | None = None,
    vjp_theta: Callable[[Any], Any] | None = None,
    jac_x: Any = None,
    jac_theta: Any = None,
    method: str = "auto",
    sparsity: Any = None,
    solve: Any = "auto",
    symmetric: bool = False,
    check: bool = False,
    tol: float | None = None,
) -> Any:
    """Make the Jacobian of a solution, dx*/dtheta, a `LinearOperator` of shape (n, p).

    Its products cost one linear solve each; a factorisation is made once, when it is first needed.

    Parameters
    ----------
    F : callable or None
        ``F(x, theta)``, zero at the solution; None if all that is needed is given below.
    x : array or pytree
        The solution; n entries in all.
    theta : array or pytree
        The parameter; p entries in all.
    jvp_x, vjp_x : callable, optional
        Products of dF/dx at the solution, and of its transpose, with a vector (n,).
    jvp_theta, vjp_theta : callable, optional
        Products of dF/dtheta with a vector (p,), and of its transpose with one of (n,).
    jac_x, jac_theta : matrix, optional
        The same as matrices (n, n) and (n, p): dense, sparse, or a `LinearOperator`.
    method : {"auto", "complex-step", "forward", "central", "jax"}
        Where the products that are not given come from. "auto" is JAX if F returns its arrays, else complex
        steps, unless they disagree with a central difference.
    sparsity : sparse matrix, or pair of them, optional
        Where dF/dx (and dF/dtheta) may have entries: then the Jacobian takes one evaluation of F for each
        colour of its columns in place of each column, and is factorised as a sparse matrix.
    solve, symmetric, check, tol : object
        As in `numsolve.implicit.root_vjp`.

    Returns
    -------
    LinearOperator
        Of SciPy (NumPy and JAX arrays) or CuPy.

    Raises
    ------
    ValueError
        If a shape does not fit, or F is needed but was not given.
    FloatingPointError
        If F is not finite at the solution.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve.implicit import solution_jacobian
    >>> theta = np.array([1.0, 4.0, 9.0])
    >>> J = solution_jacobian(lambda x, theta: x**2 - theta, np.sqrt(theta), theta)
    >>> print(J @ np.ones(3))
    [0.5    0.25   0.1667]
    >>> print(J.T @ np.ones(3))
    [0.5    0.25   0.1667]
    """
    checks.choice("method", method, METHODS)
    given = {
        "jvp_x": jvp_x,
        "vjp_x": vjp_x,
        "jvp_theta": jvp_theta,
        "vjp_theta": vjp_theta,
        "jac_x": jac_x,
        "jac_theta": jac_theta,
    }
    if F is not None and (method == "jax" or (method == "auto" and _speaks_jax(F, x, (theta,)))):
        from ._jax_products import products

        x, theta, found = products(F, x, theta)
        given = found | {name: value for name, value in given.items() if value is not None}
        F = None
    xp = _trees.namespace(x, theta)
    flat_x, x_back = _trees.ravel("x", x, xp)
    flat_theta, theta_back = _trees.ravel("theta", theta, xp)
    flat_F = None if F is None else _flat(F, x_back, theta_back, xp)
    solution = SolutionMap(
        xp,
        flat_F,
        flat_x,
        flat_theta,
        method=method,
        sparsity=sparsity,
        solve=solve,
        symmetric=symmetric,
        check=check,
        tol=tol,
        **given,
    )
    shape = (flat_x.shape[0], flat_theta.shape[0])
    return arrays.linear_operator(xp, shape, solution.forward, solution.adjoint, dtype=flat_x.dtype)


def _one_parameter(F: Callable[..., Any], sol: Any, args: tuple[Any, ...], xp: Any) -> Any:
    """F as a function of two vectors: the solution, and all floats among the arguments."""
    x, x_back = _trees.ravel("sol", sol, xp)
    everything = _trees.leaves(args)
    moves = [_is_float(leaf, xp) for leaf in everything]
    theta, theta_back = _trees.ravel(
        "args", [leaf for leaf, m in zip(everything, moves, strict=True) if m], xp
    )

    def with_others(values: list[Any], others: Callable[[Any], Any]) -> Any:
        pieces = iter(values)
        return _trees.rebuild(
            args, [next(pieces) if m else others(leaf) for leaf, m in zip(everything, moves, strict=True)]
        )

    def flat(x: Any, theta: Any) -> Any:
        arguments = with_others(theta_back(theta), lambda leaf: leaf)
        return _trees.concatenate([xp.asarray(v) for v in _trees.leaves(F(x_back(x), *arguments))], xp)

    def zeros(leaf: Any) -> Any:
        return xp.zeros(leaf.shape) if hasattr(leaf, "shape") else None

    return flat, x, theta, lambda vector: with_others(theta_back(vector), zeros)


def _flat(F: Callable[..., Any], x_back: Any, theta_back: Any, xp: Any) -> Callable[[Any, Any], Any]:
    def flat(x: Any, theta: Any) -> Any:
        out = F(x_back(x), theta_back(theta))
        return _trees.concatenate([xp.asarray(v) for v in _trees.leaves(out)], xp)

    return flat


def _is_float(leaf: Any, xp: Any) -> bool:
    if isinstance(leaf, float | list):
        return True
    return hasattr(leaf, "dtype") and bool(xp.isdtype(leaf.dtype, "real floating"))


def _speaks_jax(F: Callable[..., Any], sol: Any, args: tuple[Any, ...]) -> bool:
    """Whether F is a function for JAX: by its arguments, or by what it returns."""
    return has_jax_leaves(sol, args) or has_jax_leaves(F(sol, *args))


def _as_given(tree: Any, *inputs: Any) -> Any:
    """NumPy arrays where the caller gave no JAX array."""
    if has_jax_leaves(*inputs):
        return tree
    leaves = [np.asarray(leaf) for leaf in _trees.leaves(tree)]
    if any(leaf.dtype == np.float32 for leaf in leaves):
        doubles = [x for x in _trees.leaves(inputs) if getattr(x, "dtype", None) == np.float64]
        if doubles:
            warnings.warn(
                "float64 arrays were differentiated in single precision because JAX is in its 32-bit mode; "
                'jax.config.update("jax_enable_x64", True) switches to double precision',
                PrecisionWarning,
                stacklevel=caller_level(),
            )
    return _trees.rebuild(tree, leaves)


def _same_structure(name: str, tree: Any, reference: str, other: Any) -> None:
    def shapes(tree: Any) -> Any:
        return _trees.rebuild(tree, [np.shape(leaf) for leaf in _trees.leaves(tree)])

    got, wanted = shapes(tree), shapes(other)
    if got != wanted:
        raise ValueError(f"{name} must have the structure of {reference}, {wanted}; got {got}")
