"""jaxopt's solvers with the derivatives of this column: the one file that imports jaxopt.

jaxopt is no longer maintained. Its solvers, projections and proximal operators still work; what its implicit
differentiation lacks (forward mode, Hessians, linear solves that do not square the condition number) comes
from `numsolve.implicit.custom_root`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from numsolve._core import extras

from .root import custom_root

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._settings import AdapterSettings


def from_jaxopt(solver: Any, **settings: Unpack[AdapterSettings]) -> Callable[..., Any]:
    """Make a function of a jaxopt solver whose solution can be differentiated in any mode and order.

    Parameters
    ----------
    solver : jaxopt solver
        Any object with `run` and `optimality_fun`.
    **settings
        Those of `numsolve.implicit.custom_root`.

    Returns
    -------
    callable
        ``run(init_params, *args, **kwargs)``, which returns ``(params, state)`` as the solver's own.

    Raises
    ------
    ModuleNotFoundError
        If jaxopt is not installed.
    TypeError
        If the solver is none of jaxopt's.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from numsolve._core.extras import require
    >>> from numsolve.implicit import from_jaxopt
    >>> jaxopt = require("jaxopt", "this example")
    >>> solver = jaxopt.GradientDescent(lambda x, theta: jnp.sum((x - theta) ** 2) + theta**4 * jnp.sum(x))
    >>> run = from_jaxopt(solver, symmetric=True)
    >>> print(jax.hessian(lambda theta: run(jnp.zeros(1), theta).params[0])(1.0))
    -6.0
    """
    jaxopt = extras.require("jaxopt", "from_jaxopt")
    if not hasattr(solver, "run"):
        raise TypeError(f"solver must be one of jaxopt's, got {type(solver).__name__}")
    if not hasattr(solver, "optimality_fun"):
        raise TypeError(
            f"solver must have an optimality_fun, and {type(solver).__name__} has none: give custom_root the "
            "conditions of its solution, such as optimality.quadratic_program for jaxopt.OSQP"
        )
    settings.setdefault("reference_signature", getattr(solver, "reference_signature", None))

    def run(init_params: Any, *args: Any, **kwargs: Any) -> Any:
        params, state = solver.run(init_params, *args, **kwargs)
        return params, state

    solution = custom_root(solver.optimality_fun, has_aux=True, **settings)(run)

    def stepped(init_params: Any, *args: Any, **kwargs: Any) -> Any:
        return jaxopt.OptStep(*solution(init_params, *args, **kwargs))

    return stepped
