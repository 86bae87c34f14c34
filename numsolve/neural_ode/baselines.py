"""What else makes dynamics cheap: TayNODE and STEER, to compare with.

TayNODE adds the mean square of a total derivative along the solution to the loss,

    R_K = int |d^K y / dt^K|^2 / dim dt,                                                    (1)

which costs an evaluation of the derivatives at every stage of training, and nothing later. STEER ends each
solve of training at a random time.

[1] J. Kelly, J. Bettencourt, M. J. Johnson, D. Duvenaud, "Learning differential equations that are easy to
solve", NeurIPS 2020.
[2] A. Ghosh, H. S. Behl, E. Dupont, P. H. S. Torr, V. Namboodiri, "STEER: Simple temporal regularization for
neural ODEs", NeurIPS 2020.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numsolve._core import checks

from ._field import require_jax
from ._settings import check_span, check_times, is_traced, key_data

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["steer_end", "steer_times", "taylor_dynamics"]


def taylor_dynamics(
    f: Callable[[Any, Any, Any], Any], order: int = 3
) -> tuple[Callable[[Any, Any, Any], Any], Callable[[Any], tuple[Any, Any]]]:
    """Return dynamics that integrate (1) beside the state (TayNODE).

    Parameters
    ----------
    f : callable
        The right-hand side, ``f(t, y, params)``.
    order : int
        K, the derivative of y that is penalised.

    Returns
    -------
    f_augmented : callable
        Dynamics of the pair (y, c): start at c = 0.0 (with ``norm="sample"``, at zeros of shape (B,)), and
        give the pair to `odesolve` with ``error_weight=(1.0, 0.0)``.
    split : callable
        ``split(sol.y)`` is the state and the penalty (1), a number.

    Raises
    ------
    ValueError
        If `order` is below 1.

    References
    ----------
    J. Kelly, J. Bettencourt, M. J. Johnson, D. Duvenaud, "Learning differential equations that are easy to
    solve", NeurIPS 2020.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from numsolve.neural_ode import odesolve, taylor_dynamics
    >>> augmented, split = taylor_dynamics(lambda t, y, p: -y, order=2)
    >>> start = (jnp.ones(1), jnp.zeros(()))
    >>> sol = odesolve(augmented, start, (0.0, 1.0), error_weight=(1.0, 0.0))
    >>> y, penalty = split(sol.y)
    >>> print(f"{penalty:.4f}")  # the integral of exp(-2 t)
    0.4323
    """
    jax = require_jax()
    jnp = jax.numpy
    checks.function("f", f)
    order = checks.integer("order", order, low=1)

    def augmented(t: Any, pair: Any, params: Any) -> Any:
        y, c = pair
        slope, top = _derivatives(f, t, y, params, order)
        leaves = jax.tree.leaves(top)
        axes = [tuple(range(c.ndim, leaf.ndim)) for leaf in leaves]
        squares = sum(jnp.sum(leaf**2, axis=ax) for leaf, ax in zip(leaves, axes, strict=True))
        size = sum(leaf.size for leaf in leaves) / c.size
        return slope, (squares / size).astype(c.dtype)

    def split(pair: Any) -> tuple[Any, Any]:
        y, c = pair
        return y, jnp.mean(c)

    return augmented, split


def _derivatives(f: Any, t: Any, y: Any, params: Any, order: int) -> tuple[Any, Any]:
    """The first and the K-th total derivative along the solution."""
    import jax

    jnp = jax.numpy
    leaves, tree = jax.tree.flatten(y)
    t = jnp.asarray(t, leaves[0].dtype)

    def g(*args: Any) -> list[Any]:
        *state, time = args
        return list(jax.tree.leaves(f(time, jax.tree.unflatten(tree, state), params)))

    first = g(*leaves, t)
    if order == 1:
        return jax.tree.unflatten(tree, first), jax.tree.unflatten(tree, first)
    try:
        top = _by_jet(g, leaves, t, first, order)
    except (NotImplementedError, KeyError):  # an operation that jet does not know
        top = _by_jvp(g, leaves, t, order)
    return jax.tree.unflatten(tree, first), jax.tree.unflatten(tree, top)


def _by_jet(g: Any, leaves: list[Any], t: Any, first: list[Any], order: int) -> list[Any]:
    """Taylor-mode differentiation: each pass gives one derivative more."""
    import jax.numpy as jnp
    from jax.experimental import jet as taylor

    jet: Any = taylor.jet

    series = [[slope] for slope in first]
    for k in range(1, order):
        clock = [jnp.ones_like(t)] + [jnp.zeros_like(t)] * (k - 1)
        _, more = jet(g, (*leaves, t), (*series, clock))
        series = [[*known, new[-1]] for known, new in zip(series, more, strict=True)]
    return [known[-1] for known in series]


def _by_jvp(g: Any, leaves: list[Any], t: Any, order: int) -> list[Any]:
    """The same by nested forward mode."""
    import jax
    import jax.numpy as jnp

    def along(function: Any) -> Any:
        def derivative(*args: Any) -> Any:
            return jax.jvp(function, args, (*g(*args), jnp.ones_like(args[-1])))[1]

        return derivative

    top = g
    for _ in range(order - 1):
        top = along(top)
    out: list[Any] = top(*leaves, t)
    return out


def steer_end(key: Any, t_span: tuple[Any, Any], b: float) -> tuple[Any, Any]:
    """Return the span with its end moved by a random number of [-b, b] (STEER).

    Parameters
    ----------
    key : array
        Key of `jax.random`, a new one for each step of training.
    t_span : tuple of float
        The span of prediction.
    b : float
        Less than the length of the span.

    Returns
    -------
    tuple
        The start, and the new end.

    Raises
    ------
    ValueError
        If `b` is negative or not less than the span.

    References
    ----------
    A. Ghosh, H. S. Behl, E. Dupont, P. H. S. Torr, V. Namboodiri, "STEER: Simple temporal regularization for
    neural ODEs", NeurIPS 2020.

    Examples
    --------
    >>> import jax
    >>> from numsolve.neural_ode import steer_end
    >>> t0, t1 = steer_end(jax.random.key(0), (0.0, 1.0), b=0.5)
    >>> t0, bool(0.5 <= t1 <= 1.5)
    (0.0, True)
    """
    jax = require_jax()
    key_data(key)
    t0, t1, plain = check_span(t_span)
    b = checks.real("b", b, low=0.0)
    if plain and b >= abs(t1 - t0):
        raise ValueError(f"b must be less than the span, {abs(t1 - t0):g}, got {b:g}")
    return t0, t1 + jax.random.uniform(key, (), minval=-b, maxval=b)


def steer_times(key: Any, ts: Any, t_span: tuple[Any, Any]) -> Any:
    """Move each time to save by a random part of up to half its distance from the one before (STEER).

    Parameters
    ----------
    key : array
        Key of `jax.random`.
    ts : array_like
        Sorted times.
    t_span : tuple of float
        The span, which the new times do not leave.

    Returns
    -------
    array
        The new times, sorted.

    References
    ----------
    A. Ghosh, H. S. Behl, E. Dupont, P. H. S. Torr, V. Namboodiri, "STEER: Simple temporal regularization for
    neural ODEs", NeurIPS 2020.

    Examples
    --------
    >>> import jax
    >>> from numsolve.neural_ode import steer_times
    >>> ts = steer_times(jax.random.key(0), [0.2, 0.6, 1.0], (0.0, 1.0))
    >>> bool((ts[1:] >= ts[:-1]).all() and (ts <= 1.0).all())
    True
    """
    jax = require_jax()
    jnp = jax.numpy
    key_data(key)
    t0, t1, _ = check_span(t_span)
    times = ts if is_traced(ts) else jnp.asarray(check_times(ts, t0, t1))
    gaps = jnp.diff(times, prepend=t0)
    moved = times + 0.5 * gaps * jax.random.uniform(key, times.shape, times.dtype, -1.0, 1.0)
    forwards = jnp.asarray(t1 > t0)
    moved = jnp.where(forwards, jnp.sort(moved), -jnp.sort(-moved))
    return jnp.clip(moved, jnp.minimum(t0, t1), jnp.maximum(t0, t1))
