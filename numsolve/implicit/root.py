r"""Implicit differentiation of any solver.

If x*(theta) satisfies F(x*, theta) = 0, then with A = dF/dx and B = dF/dtheta at the solution

    A dx = -B dtheta              (forward mode: one linear solve for each direction),
    A' u = -c,   dtheta' = B' u   (reverse mode: one linear solve for each cotangent c),

whatever the solver did to find x*. (M. Blondel, Q. Berthet, M. Cuturi, R. Frostig, S. Hoyer,
F. Llinares-López, F. Pedregosa, J.-P. Vert, "Efficient and modular implicit differentiation", NeurIPS 2022.)

Here the first line is the rule (`jax.custom_jvp`), and its solve is a `jax.lax.custom_linear_solve`, which
JAX can transpose and differentiate again: derivatives of every order and mode follow from the one rule,
through `jit` and `vmap`, and none of them looks into the solver.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal, Unpack

from numsolve._core import checks
from numsolve._core.foreign import answers

from ._settings import VMAP_METHODS, positions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._settings import HostSettings, RootSettings, TracedSolve, VmapMethod

#: What is said of an argument of JAX's `custom_jvp`.
CONSTANTS = "argnums are the positions that do have derivatives; all others are constants"


@answers(implicit_diff_solve="solve", linear_solver="solve", rtol="tol", nondiff_argnums=CONSTANTS)
def custom_root(
    optimality_fun: Callable[..., Any],
    *,
    has_aux: bool = False,
    solve: TracedSolve = "auto",
    symmetric: bool = False,
    argnums: int | Sequence[int] | None = None,
    host: bool | Literal["auto"] = False,
    result_shape: Any = None,
    vmap_method: VmapMethod = "sequential",
    reference_signature: Any = None,
    check: bool = False,
    tol: float | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a solver with the derivatives of its solution.

    The decorated ``solver(init_params, *args, **kwargs)`` is a JAX function: `jax.grad`, `jacfwd`, `jacrev`,
    `hessian`, `jit` and `vmap` apply to it in any order and number. The derivative in `init_params` is zero.
    Complex unknowns count as pairs of real ones.

    Parameters
    ----------
    optimality_fun : callable
        ``F(x, *args, **kwargs)``, traceable by JAX, zero at the solution, and of the structure of x.
        ``args`` and ``kwargs`` are those of the solver.
    has_aux : bool
        The solver returns ``(x, aux)``; `aux` has no derivative.
    solve : {"auto", "dense", "cholesky", "cg", "gmres", "bicgstab", "lsmr", "host", "factor"} or callable
        How the linear system with dF/dx is solved, or ``solve(matvec, b)`` as in jaxopt. "auto" factorises
        up to 2000 unknowns (from 300 on, only if n / 3 products of GMRES were not enough) and iterates
        beyond (`cg` if symmetric, else `gmres`). A factorised matrix that is singular gives the solution of
        least norm. See `numsolve.implicit.solve_dense` and its neighbours. "factor" takes what a host solver
        has left: it returns ``(x, factor)``, with ``factor.solve(b, "N" or "T")`` as SciPy's SuperLU, or a
        pair of functions that solve with dF/dx and with its transpose, for vectors of all unknowns. One
        product verifies it.
    symmetric : bool
        dF/dx is symmetric, as for F = grad f. It chooses the method; nothing depends on it being true.
    argnums : int or sequence of int, optional
        The positions of the solver's arguments that have derivatives, the initial point being 0; all of
        them by default. The others count as constants.
    host : bool or "auto"
        The solver is not traceable (NumPy, SciPy, Numba, ...): it is called with NumPy arrays, outside of
        JAX, and must not call JAX itself. With "auto" the first call of each structure of arguments tries:
        a solver that JAX cannot trace runs outside.
    result_shape : pytree of `jax.ShapeDtypeStruct`, or callable, optional
        What a host solver returns, `aux` included. Needed under `jit` and `vmap` if there is an
        `aux` or no `init_params` to take the shape from. A callable gets the arguments' structs.
    vmap_method : {"sequential", "expand_dims", "broadcast_all", "sequential_unrolled"}
        How a batch calls a host solver: one by one, or once with leading axes, as in `jax.pure_callback`.
    reference_signature : callable or inspect.Signature, optional
        Where keyword arguments find their positions for `optimality_fun`; by default they are handed over
        by name.
    check : bool
        Spend four more linear solves to estimate the error of x and the smallest singular value of dF/dx, and
        look whether a matrix that is said to be symmetric is.
    tol : float, optional
        Relative residual of the linear solves: 1e-10, or 1e-5 in single precision.

    Returns
    -------
    callable
        The decorator.

    Raises
    ------
    ValueError
        If F is not of the structure of x, if the shape of the solution is not known where it must be, or if
        `argnums` are not positions of the solver's arguments.
    TypeError
        If F does not take the solver's arguments.
    FloatingPointError
        With ``check=True``, if F is not finite at the solution.

    Warns
    -----
    RuntimeWarning
        If a linear system was not solved to ten times `tol`; with ``check=True`` also if x is off by more
        than 1e-4, relatively, or if the matrix is not symmetric though it should be. If the solver says
        that it failed, or x is not finite; under `jit` the derivative is nan then.
    PrecisionWarning
        Once, if a host solver's float64 is rounded to float32 because JAX is in its 32-bit mode.

    Notes
    -----
    Leaves of the arguments that are neither arrays nor floats (strings, functions, Python integers) are
    handed over to the solver as they are. So are Python integers to F where it needs them as such (sizes);
    otherwise it is compiled once for all their values. What `functools.partial` has bound to the solver is
    given to F only where F has an argument of that name. A solver that returns an object with an
    attribute ``x`` (of SciPy or numsolve) is understood. So is a solver without an initial point, if F takes
    one argument more, or if the names of the solver's first and of F's second argument are the same. A
    wrapped solver pickles if its functions do: lambdas and closures do not.

    References
    ----------
    M. Blondel et al., "Efficient and modular implicit differentiation", NeurIPS 2022.

    Examples
    --------
    Ridge regression, solved by hand, and how its solution moves with the penalty:

    >>> import jax, jax.numpy as jnp
    >>> from numsolve.implicit import custom_root
    >>> X, y = jnp.array([[1.0, 0.0], [1.0, 2.0], [0.0, 1.0]]), jnp.array([1.0, 2.0, 3.0])
    >>> def objective(w, lam):
    ...     return ((X @ w - y) ** 2).sum() / 2 + lam * (w**2).sum() / 2
    >>> @custom_root(jax.grad(objective), symmetric=True)
    ... def ridge(init, lam):
    ...     return jnp.linalg.solve(X.T @ X + lam * jnp.eye(2), X.T @ y)
    >>> print(jax.jacfwd(ridge, argnums=1)(None, 1.0).round(4))
    [ 0.0306 -0.1888]
    """
    from .traced.root import DifferentiableSolver
    from .traced.rule import Rule

    rule = Rule(
        optimality_fun=checks.function("optimality_fun", optimality_fun),
        has_aux=checks.flag("has_aux", has_aux),
        solve=solve,
        symmetric=checks.flag("symmetric", symmetric),
        argnums=positions(argnums),
        host=None if isinstance(host, str) and host == "auto" else checks.flag("host", host),
        result_shape=result_shape,
        vmap_method=checks.choice("vmap_method", vmap_method, VMAP_METHODS),
        reference_signature=reference_signature,
        check=checks.flag("check", check),
        tol=None if tol is None else checks.real("tol", tol, low=0.0),
    )

    def decorate(solver: Callable[..., Any]) -> DifferentiableSolver:
        return DifferentiableSolver(rule, checks.function("solver", solver))

    return decorate


def custom_fixed_point(
    fixed_point_fun: Callable[..., Any], **settings: Unpack[HostSettings]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a solver of x = T(x, theta) with the derivatives of its solution.

    Parameters
    ----------
    fixed_point_fun : callable
        ``T(x, *args, **kwargs)``, traceable by JAX, equal to x at the solution.
    **settings
        Those of `numsolve.implicit.custom_root`.

    Returns
    -------
    callable
        The decorator.

    See Also
    --------
    numsolve.implicit.custom_root : The same for F(x, theta) = 0, with all settings explained.

    Examples
    --------
    Kepler's equation E = M + e sin E:

    >>> import jax, jax.numpy as jnp
    >>> from numsolve.implicit import custom_fixed_point
    >>> @custom_fixed_point(lambda E, M, e: M + e * jnp.sin(E))
    ... def kepler(E, M, e):
    ...     return jax.lax.fori_loop(0, 60, lambda _, E: M + e * jnp.sin(E), E)
    >>> print(jax.grad(kepler, argnums=2)(1.0, 1.0, 0.3))
    1.048
    """
    return custom_root(FixedPointResidual(checks.function("fixed_point_fun", fixed_point_fun)), **settings)


def differentiable(
    solver: Callable[..., Any],
    optimality_fun: Callable[..., Any],
    *,
    host: bool | Literal["auto"] = True,
    **settings: Unpack[RootSettings],
) -> Callable[..., Any]:
    """Make a JAX function of any solver: NumPy, SciPy, Numba, or one of numsolve's.

    Parameters
    ----------
    solver : callable
        ``solver(init_params, *args, **kwargs)``, called with NumPy arrays; it must be a function of its
        arguments alone and must not call JAX. A result object with an attribute ``x`` is understood.
    optimality_fun : callable
        ``F(x, *args, **kwargs)``, traceable by JAX, zero at the solution.
    host : bool or "auto"
        Whether the solver runs outside of JAX; False is `custom_root`, and "auto" finds out.
    **settings
        Those of `numsolve.implicit.custom_root`.

    Returns
    -------
    callable
        ``solver``, with derivatives.

    See Also
    --------
    numsolve.implicit.custom_root : The same as a decorator, with all settings explained.

    References
    ----------
    M. Blondel et al., "Efficient and modular implicit differentiation", NeurIPS 2022.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, scipy.optimize
    >>> from numsolve.implicit import differentiable
    >>> jax.config.update("jax_enable_x64", True)
    >>> def equation(x, theta):
    ...     return x**3 + theta * x - 1
    >>> root = differentiable(lambda x, theta: scipy.optimize.root(lambda x: x**3 + theta * x - 1, x),
    ...                       equation)
    >>> x0 = jnp.ones(1)
    >>> print(jax.jit(jax.jacrev(root, argnums=1))(x0, 2.0))
    [-0.1733]
    """
    return custom_root(optimality_fun, host=host, **settings)(solver)


class FixedPointResidual:
    """F = T - x, with the signature of T."""

    def __init__(self, fixed_point_fun: Callable[..., Any]) -> None:
        functools.update_wrapper(self, fixed_point_fun, updated=())
        self.fixed_point_fun = fixed_point_fun

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """The residual at x."""
        import jax

        return jax.tree.map(lambda new, old: new - old, self.fixed_point_fun(x, *args, **kwargs), x)

    def __reduce__(self) -> Any:
        return FixedPointResidual, (self.fixed_point_fun,)
