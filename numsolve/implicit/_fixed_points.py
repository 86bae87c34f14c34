r"""Maps T(x, theta) that leave a solution where it is: the steps of first-order methods and of Newton's."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from numsolve._core import arrays, checks

from . import _trees
from ._jax import require_jax
from ._made import remade
from ._numbers import as_floats

if TYPE_CHECKING:
    from collections.abc import Callable

    Function = Callable[..., Any]


@remade
def proximal_gradient(
    fun: Function, prox: Function, *, stepsize: float = 1.0, grad: Function | None = None
) -> Function:
    """The fixed point of a proximal gradient step: T = prox_{s g}(x - s grad f(x, theta_f), theta_g).

    Any step gives the same derivative of the solution.

    Parameters
    ----------
    fun : callable
        The smooth part, ``f(x, *theta_f)``.
    prox : callable
        ``prox(x, theta_g, s)``, as jaxopt's.
    stepsize : float
        The step s.
    grad : callable, optional
        The gradient of `fun`, which then may be None.

    Returns
    -------
    callable
        ``T(x, theta_g, *theta_f)``.

    Examples
    --------
    The lasso with one unknown, min (x - y)^2 / 2 + lam abs(x), without JAX:

    >>> import numpy as np
    >>> from numsolve.implicit import optimality
    >>> def soft(x, lam, s):
    ...     return np.sign(x) * np.maximum(np.abs(x) - s * lam, 0)
    >>> T = optimality.proximal_gradient(None, soft, grad=lambda x, y: x - y)
    >>> print(T(np.array([2.0]), 1.0, 3.0))
    [2.]
    """
    slope = gradient(fun, grad)

    def T(x: Any, theta_g: Any, *theta_f: Any) -> Any:  # noqa: N802
        return prox(_descend(x, slope(x, *theta_f), stepsize), theta_g, stepsize)

    return T


@remade
def projected_gradient(
    fun: Function, projection: Function, *, stepsize: float = 1.0, grad: Function | None = None
) -> Function:
    """The fixed point of a projected gradient step: T = proj_C(x - s grad f(x, theta_f), theta_C).

    Parameters
    ----------
    fun : callable
        ``f(x, *theta_f)``.
    projection : callable
        ``projection(x, theta_C)``, as jaxopt's.
    stepsize : float
        The step s; any one gives the same derivative.
    grad : callable, optional
        The gradient of `fun`, which then may be None.

    Returns
    -------
    callable
        ``T(x, theta_C, *theta_f)``.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve.implicit import optimality
    >>> T = optimality.projected_gradient(None, np.minimum, grad=lambda x, y: x - y)
    >>> print(T(np.array([1.0, 0.5]), 1.0, np.array([2.0, 0.5])))
    [1.  0.5]
    """
    return proximal_gradient(fun, lambda x, theta, _: projection(x, theta), stepsize=stepsize, grad=grad)


@remade
def mirror_descent(
    fun: Function,
    projection: Function,
    mapping: Function,
    *,
    stepsize: float = 1.0,
    grad: Function | None = None,
) -> Function:
    """The fixed point of a mirror descent step: T = proj(grad psi(x) - s grad f(x, theta_f), theta_C).

    On the simplex with the entropy as psi, `mapping` is the logarithm and `projection` is softmax.

    Parameters
    ----------
    fun : callable
        ``f(x, *theta_f)``.
    projection : callable
        The Bregman projection ``projection(y, theta_C)`` of a point of the dual space.
    mapping : callable
        ``grad psi(x)``, into the dual space.
    stepsize : float
        The step s; any one gives the same derivative.
    grad : callable, optional
        The gradient of `fun`, which then may be None.

    Returns
    -------
    callable
        ``T(x, theta_C, *theta_f)``.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from numsolve.implicit import optimality
    >>> T = optimality.mirror_descent(lambda x, c: c @ x + jnp.sum(x * jnp.log(x)),
    ...                               lambda y, _: jax.nn.softmax(y), jnp.log)
    >>> c = jnp.array([0.0, 1.0])
    >>> print(T(jax.nn.softmax(-c), None, c) - jax.nn.softmax(-c))
    [0. 0.]
    """
    slope = gradient(fun, grad)

    def T(x: Any, theta_C: Any, *theta_f: Any) -> Any:  # noqa: N802
        return projection(_descend(mapping(x), slope(x, *theta_f), stepsize), theta_C)

    return T


@remade
def block_proximal_gradient(
    fun: Function, prox: Any, *, stepsizes: Any = 1.0, grad: Function | None = None
) -> Function:
    """The fixed point of proximal gradient steps on blocks, each with its own step.

    ``[T]_j = prox_{s_j g_j}(x_j - s_j [grad f]_j, theta_j)``, the fixed point of block coordinate descent.

    Parameters
    ----------
    fun : callable
        ``f(x, *theta_f)``; x is an array whose rows are the blocks, or a tuple of arrays.
    prox : callable, or tuple of them
        ``prox(x_j, theta_g, s_j)`` for all blocks with common parameters, as jaxopt's; or, for a tuple x,
        one each, with one entry of ``theta_g`` each.
    stepsizes : float or sequence of float
        The steps s_j.
    grad : callable, optional
        The gradient of `fun`, which then may be None.

    Returns
    -------
    callable
        ``T(x, theta_g, *theta_f)``.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve.implicit import optimality
    >>> def clip(x, bound, s):
    ...     return np.minimum(x, bound)
    >>> T = optimality.block_proximal_gradient(None, (clip, clip), stepsizes=(1.0, 0.5),
    ...                                        grad=lambda x, y: (x[0] - y[0], x[1] - y[1]))
    >>> print(*T((np.array([1.0]), np.array([2.0])), (1.0, 3.0), (np.array([5.0]), np.array([2.0]))))
    [1.] [2.]
    """
    slope = gradient(fun, grad)

    def T(x: Any, theta_g: Any, *theta_f: Any) -> Any:  # noqa: N802
        slopes = slope(x, *theta_f)
        steps = [stepsizes] * len(x) if arrays.ndim(stepsizes) == 0 else list(stepsizes)
        if isinstance(x, tuple):
            prox_of = prox if isinstance(prox, tuple) else (prox,) * len(x)
            theta_of = theta_g if isinstance(prox, tuple) else (theta_g,) * len(x)
            blocks = zip(prox_of, x, slopes, theta_of, steps, strict=True)
            return tuple(p(_descend(block, g, s), theta, s) for p, block, g, theta, s in blocks)
        xp = arrays.array_namespace(x=x)
        return xp.stack([prox(x[j, ...] - s * slopes[j, ...], theta_g, s) for j, s in enumerate(steps)])

    return T


@remade
def newton(equation: Function, *, stepsize: float = 1.0) -> Function:
    """The fixed point of Newton's iteration: T = x - s (dG/dx)^{-1} G(x, theta).

    Its derivative is that of G itself, which is cheaper: prefer ``custom_root(G)``.

    Parameters
    ----------
    equation : callable
        ``G(x, *theta)`` for a vector x.
    stepsize : float
        The step s.

    Returns
    -------
    callable
        ``T(x, *theta)``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from numsolve.implicit import optimality
    >>> T = optimality.newton(lambda x, theta: x**2 - theta)
    >>> print(T(jnp.array([1.5]), 2.0))
    [1.4167]
    """

    def T(x: Any, *theta: Any) -> Any:  # noqa: N802
        jax = require_jax()
        x = as_floats("x", x)
        matrix = jax.jacfwd(equation)(x, *theta)
        return x - stepsize * jax.numpy.linalg.solve(matrix, equation(x, *theta))

    return T


def gradient(fun: Function | None, grad: Function | None = None) -> Function:
    """``grad`` if it is given, else JAX's gradient of ``fun`` in its first argument."""
    if grad is not None:
        return checks.function("grad", grad)  # type: ignore[no-any-return]
    checks.function("fun", fun)

    @functools.wraps(fun)  # type: ignore[arg-type]  # just checked
    def gradient(x: Any, *theta: Any) -> Any:
        return require_jax().grad(fun)(as_floats("x", x), *theta)

    return gradient


def _descend(x: Any, slope: Any, step: Any) -> Any:
    """X - step * slope, leaf by leaf."""
    pairs = zip(_trees.leaves(x), _trees.leaves(slope), strict=True)
    return _trees.rebuild(x, [a - step * b for a, b in pairs])
