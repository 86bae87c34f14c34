r"""Derivatives of a solution x*(theta) of F(x, theta) = 0 as products, without changing the solver.

With A = dF/dx and B = dF/dtheta at the solution, J = dx*/dtheta = -A^{-1} B, so that

    J t = -A^{-1} (B t),          J' c = -B' (A'^{-1} c):

one linear solve for each direction, however many parameters there are. A and B come from JAX, from the
caller, or from differences of F, by default complex steps, which are exact to rounding.
(M. Blondel et al., "Efficient and modular implicit differentiation", NeurIPS 2022, equations 2 and 3.)
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from numsolve._core import arrays, checks

from . import _trees
from ._numbers import as_floats, as_given, numbers_as_floats
from ._settings import CONSTANT, DIFFERENCES, shared
from ._signatures import known_signature
from .plain.arguments import Arguments, Part, is_nonzero, usual
from .plain.closed_form import by_closed_form, has_closed_form
from .plain.solution_map import SolutionMap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numsolve._core.typing import Matrix, Operator

    from ._settings import Differences, PlainSolve
    from ._watch import LinearInfo

Result = TypeVar("Result")


def root_vjp(
    optimality_fun: Callable[..., Any],
    sol: Any,
    args: Sequence[Any],
    cotangent: Any,
    *,
    solve: PlainSolve = "auto",
    symmetric: bool = False,
    check: bool = False,
    tol: float | None = None,
    info: bool = False,
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
        Arrays or pytrees; without JAX also sparse matrices, whose stored entries are the parameters.
    cotangent : like sol
        The derivative c of a loss with respect to x.
    solve : str, callable, pair of callables, or factorisation
        As in `numsolve.implicit.custom_root`. For NumPy and CuPy also what the forward solve has left: a
        factorisation of dF/dx with a method ``solve(b, "N" or "T")`` as SciPy's SuperLU, or a pair of
        functions that solve with dF/dx and with its transpose. One product with F verifies it.
    symmetric : bool
        dF/dx is symmetric.
    check : bool
        Spend four more solves to estimate the error of `sol` and the smallest singular value of dF/dx, and
        look at the symmetry.
    tol : float, optional
        Relative residual of the solve: 1e-10, or 1e-5 in single precision.
    info : bool
        Also tell how the linear system was solved, which costs one more product.

    Returns
    -------
    derivatives : tuple
        One entry for each of `args`, of its structure. Integers count as the floats of the same value; None
        stands for what has no derivative: words, truth values, integers that F takes as sizes or indices.
    info : named tuple
        Only with ``info=True``: `method`, by which the system was solved, and `residual`, what is left of it
        relative to its right-hand side, in the 2-norm (nan where no transposed product is known).

    Raises
    ------
    ValueError
        If the structure of `cotangent` is not that of `sol`, or F is not square.
    FloatingPointError
        If F is not finite at the solution (with JAX: if ``check=True``).

    Warns
    -----
    RuntimeWarning
        If the linear system was not solved, ``check=True`` finds that `sol` is none, or it is so far from one
        that differences of F are lost in rounding errors.
    PrecisionWarning
        If F turns out not to be analytic; central differences are used then.

    References
    ----------
    M. Blondel et al., "Efficient and modular implicit differentiation", NeurIPS 2022.

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

    How the linear system was solved:

    >>> _, info = root_vjp(lambda x, A, b: A @ x - b, x, (A, b), np.ones(2), info=True)
    >>> print(info.method, info.residual < 1e-15)
    dense True
    """
    checks.function("optimality_fun", optimality_fun)
    _same_structure("cotangent", cotangent, "sol", sol)
    sol, cotangent = as_floats("sol", sol), as_floats("cotangent", cotangent)
    given = usual(args)
    _check_taken("optimality_fun", optimality_fun, "args", (sol, *given))
    args = numbers_as_floats(optimality_fun, sol, given)
    settings = shared(solve, symmetric, check, tol)
    checks.flag("info", info)
    if _speaks_jax(optimality_fun, sol, args):
        from .traced.products import root_vjp as traced

        pulled, told = traced(optimality_fun, sol, args, given, cotangent, **settings, info=info)
        return _told(tuple(as_given(pulled, sol, args)), told)
    xp = _trees.namespace(sol, args, cotangent)
    c, _ = _trees.ravel("cotangent", cotangent, xp)
    checks.finite("cotangent", c, xp=xp)
    arguments = Arguments(optimality_fun, sol, args, given, xp)
    if has_closed_form(optimality_fun, sol, arguments, solve, xp):
        pulled, solution = by_closed_form(optimality_fun, sol, args, c, settings)
        return _told(pulled, solution.info(c, transpose=True) if info else None)
    solution = _map(arguments.floats, settings)
    out = arguments.floats.spread(solution.adjoint(c))
    if arguments.integers.places:  # apart: they need not be differentiable
        counted = _map(arguments.integers, settings | {"check": False})
        u = solution.rsolve(c)
        with np.errstate(all="ignore"):  # of a logarithm in the derivative of (-2)**k
            out = arguments.integers.spread(-counted.pull(u), out)
    return _told(tuple(_trees.rebuild(args, out)), solution.info(c, transpose=True) if info else None)


def root_jvp(
    optimality_fun: Callable[..., Any],
    sol: Any,
    args: Sequence[Any],
    tangents: Sequence[Any],
    *,
    solve: PlainSolve = "auto",
    symmetric: bool = False,
    check: bool = False,
    tol: float | None = None,
    info: bool = False,
) -> Any:
    """Push changes of the arguments forward to the solution: J t, by one linear solve.

    Parameters
    ----------
    optimality_fun, sol, args : object
        As in `numsolve.implicit.root_vjp`.
    tangents : sequence
        Changes of `args`, each of the structure of its argument.
    solve, symmetric, check, tol, info : object
        As in `numsolve.implicit.root_vjp`.

    Returns
    -------
    change : like sol
        The change of the solution.
    info : named tuple
        Only with ``info=True``, as in `numsolve.implicit.root_vjp`.

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
    checks.function("optimality_fun", optimality_fun)
    given, tangents = usual(args), usual(tangents, "tangents")
    if len(given) != len(tangents):
        raise ValueError(
            f"tangents must have one entry for each of args, got {len(tangents)} for {len(given)}"
        )
    _check_taken("optimality_fun", optimality_fun, "args", (sol, *given))
    for k, (arg, tangent) in enumerate(zip(given, tangents, strict=True)):
        _same_structure(f"tangents[{k}]", tangent, f"args[{k}]", arg)
    sol, tangents = as_floats("sol", sol), as_floats("tangents", tangents)
    numbers = numbers_as_floats(optimality_fun, sol, given)
    settings = shared(solve, symmetric, check, tol)
    checks.flag("info", info)
    if _speaks_jax(optimality_fun, sol, numbers):
        from .traced.products import root_jvp as traced

        pushed, told = traced(optimality_fun, sol, numbers, given, tuple(tangents), **settings, info=info)
        return _told(as_given(pushed, sol, numbers), told)
    xp = _trees.namespace(sol, numbers, tangents)
    arguments = Arguments(optimality_fun, sol, numbers, given, xp)
    _, back = _trees.ravel("sol", sol, xp)
    directions = _trees.leaves(tangents)
    moved = [k for k, t in enumerate(directions) if k not in arguments.floats.places and is_nonzero(t)]
    if not set(moved) <= set(arguments.integers.places):
        raise TypeError(CONSTANT)
    solution = _map(arguments.floats, settings)
    moves = arguments.floats.gathered(directions)
    checks.finite("tangents", moves, xp=xp)
    change = solution.push(moves)
    if moved:
        counted = _map(arguments.integers, settings | {"check": False})
        change = change + counted.push(arguments.integers.gathered(directions))
    out = back(solution.moved(None if moved else moves, change))
    return _told(out, solution.info(change, transpose=False) if info else None)


def solution_jacobian(
    F: Callable[..., Any] | None,
    x: Any,
    theta: Any,
    *,
    jvp_x: Callable[[Any], Any] | None = None,
    vjp_x: Callable[[Any], Any] | None = None,
    jvp_theta: Callable[[Any], Any] | None = None,
    vjp_theta: Callable[[Any], Any] | None = None,
    jac_x: Matrix = None,
    jac_theta: Matrix = None,
    method: Differences = "auto",
    sparsity: Any = None,
    solve: PlainSolve = "auto",
    symmetric: bool = False,
    check: bool = False,
    tol: float | None = None,
) -> Operator:
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
        The same as matrices (n, n) and (n, p): dense, sparse, or a `LinearOperator`. What is given is
        verified by one product with F, if that is given, too.
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

    References
    ----------
    M. Blondel et al., "Efficient and modular implicit differentiation", NeurIPS 2022.

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
    checks.function("F", F, optional=True)
    if F is not None:
        _check_taken("F", F, "theta", (x, theta))
    checks.choice("method", method, DIFFERENCES)
    x, theta = as_floats("x", x), as_floats("theta", theta)
    given = {
        "jvp_x": jvp_x,
        "vjp_x": vjp_x,
        "jvp_theta": jvp_theta,
        "vjp_theta": vjp_theta,
        "jac_x": jac_x,
        "jac_theta": jac_theta,
    }
    traced: dict[str, Any] = {}
    if F is not None and (method == "jax" or (method == "auto" and _speaks_jax(F, x, (theta,)))):
        from .traced.products import products

        flat_x, flat_theta, flat_F, traced = products(F, x, theta)
        xp = _trees.namespace(flat_x)
    else:
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
        traced=traced,
        names=("F", "x"),
        **shared(solve, symmetric, check, tol),
        **given,
    )
    shape = (flat_x.shape[0], flat_theta.shape[0])
    J = arrays.linear_operator(xp, shape, solution.forward, solution.adjoint, dtype=flat_x.dtype)
    J.__class__ = _unpicklable(type(J))  # type: ignore[arg-type]  # a class has a hash
    return J


def _told(result: Result, info: LinearInfo | None) -> Result | tuple[Result, LinearInfo]:
    """The result, and beside it what was asked about its linear system."""
    return result if info is None else (result, info)


def _map(part: Part, settings: dict[str, Any]) -> SolutionMap:
    """The solution as a function of some of the arguments."""
    F, x, theta = part.function()
    blocks, leaves = part.known()
    return SolutionMap(part.xp, F, x, theta, blocks=blocks, leaves=leaves, **settings)


@functools.cache
def _unpicklable(kind: type) -> type:
    """The operators of a library, which say why they do not pickle."""

    def refuse(_self: Any, _protocol: Any = 2) -> Any:
        raise TypeError(
            "the Jacobian of a solution holds a factorisation and functions, which do not pickle: pickle x "
            "and theta, and call solution_jacobian again"
        )

    return type(
        "SolutionJacobian", (kind,), {"__reduce_ex__": refuse, "__copy__": _same, "__deepcopy__": _same}
    )


def _same(J: Any, _memo: Any = None) -> Any:
    """A copy: the operator itself, as nothing in it changes but what it makes when it is first needed."""
    return J


def _flat(F: Callable[..., Any], x_back: Any, theta_back: Any, xp: Any) -> Callable[[Any, Any], Any]:
    def flat(x: Any, theta: Any) -> Any:
        out = F(x_back(x), theta_back(theta))
        return _trees.concatenate([xp.asarray(v) for v in _trees.leaves(out)], xp)

    return flat


def _speaks_jax(F: Callable[..., Any], sol: Any, args: tuple[Any, ...]) -> bool:
    """Whether F is a function for JAX: by its arguments, or by what it returns."""
    return _trees.has_jax_leaves(sol, args) or _trees.has_jax_leaves(F(sol, *args))


def _check_taken(name: str, function: Callable[..., Any], of: str, given: tuple[Any, ...]) -> None:
    """Refuse a function that cannot be called with the solution and these arguments."""
    signature = known_signature(function)
    if signature is None:
        return
    try:
        signature.bind(*given)
    except TypeError as error:
        raise TypeError(
            f"{name} must take the solution and then {of}, {len(given) - 1} in number: {error}"
        ) from None


def _same_structure(name: str, tree: Any, reference: str, other: Any) -> None:
    def shapes(tree: Any) -> Any:
        return _trees.rebuild(tree, [np.shape(leaf) for leaf in _trees.leaves(tree)])

    got, wanted = shapes(tree), shapes(other)
    if got != wanted:
        raise ValueError(f"{name} must have the structure of {reference}, {wanted}; got {got}")
