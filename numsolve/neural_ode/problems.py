"""Problems that the area's tests, pages and benchmarks share: right-hand sides ``f(t, y, params)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numsolve._core import checks

from ._field import require_jax

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["geometric_brownian", "mlp", "mlp_params", "spiral", "van_der_pol"]


def __dir__() -> list[str]:
    """What is public."""
    return list(__all__)


def spiral(t: Any, y: Any, A: Any) -> Any:
    """Return the slope of the cubic spiral, y' = y^3 A.

    Parameters
    ----------
    t : float
        Unused.
    y : array of shape (..., 2)
        The state.
    A : array of shape (2, 2)
        ``[[-0.1, 2.0], [-2.0, -0.1]]`` in the papers.

    Returns
    -------
    array of shape (..., 2)

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from numsolve.neural_ode import problems
    >>> problems.spiral(0.0, jnp.array([2.0, 0.0]), jnp.array([[-0.1, 2.0], [-2.0, -0.1]])).tolist()
    [-0.8..., 16.0]
    """
    del t
    return y**3 @ A


def van_der_pol(t: Any, y: Any, mu: Any) -> Any:
    """Return the slope of the oscillator of van der Pol, x'' = mu (1 - x^2) x' - x.

    Parameters
    ----------
    t : float
        Unused.
    y : array of shape (..., 2)
        Position and velocity.
    mu : float or array of shape (...)
        Stiffness; one for each sample.

    Returns
    -------
    array of shape (..., 2)

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from numsolve.neural_ode import problems
    >>> problems.van_der_pol(0.0, jnp.array([2.0, 1.0]), 1.0).tolist()
    [1.0, -5.0]
    """
    del t
    jnp = require_jax().numpy
    x, v = y[..., 0], y[..., 1]
    return jnp.stack([v, mu * (1 - x**2) * v - x], axis=-1)


def mlp_params(key: Any, sizes: Sequence[int], *, time: bool = True) -> list[Any]:
    """Return random weights and biases of a network, for `mlp`.

    Parameters
    ----------
    key : array
        Key of `jax.random`.
    sizes : sequence of int
        Units of input, hidden layers and output.
    time : bool
        Whether each layer sees the time too.

    Returns
    -------
    list of tuple of array
        For each layer the weights, with a standard deviation of the root of 1 / inputs, and zeros.

    Examples
    --------
    >>> import jax
    >>> from numsolve.neural_ode import problems
    >>> [w.shape for w, b in problems.mlp_params(jax.random.key(0), (2, 50, 2))]
    [(3, 50), (51, 2)]
    """
    jax = require_jax()
    jnp = jax.numpy
    layers = []
    keys = jax.random.split(key, len(sizes) - 1)
    for own, m, n in zip(keys, sizes[:-1], sizes[1:], strict=True):
        inputs = checks.integer("sizes", m, low=1) + int(time)
        w = jax.random.normal(own, (inputs, checks.integer("sizes", n, low=1))) / jnp.sqrt(inputs)
        layers.append((w, jnp.zeros(n)))
    return layers


def mlp(t: Any, y: Any, layers: Any) -> Any:
    """Return the output of a network with tanh between its layers.

    Parameters
    ----------
    t : float, or array of shape (B, 1)
        The time, which each layer sees if its weights have a row more than it has inputs.
    y : array of shape (..., n)
        The state.
    layers : list of tuple of array
        Weights and biases.

    Returns
    -------
    array of shape (..., m)

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from numsolve.neural_ode import problems
    >>> layers = problems.mlp_params(jax.random.key(0), (2, 50, 2))
    >>> problems.mlp(0.0, jnp.ones((8, 2)), layers).shape
    (8, 2)
    """
    jnp = require_jax().numpy
    for k, (w, b) in enumerate(layers):
        y = jnp.tanh(y) if k else y
        n = y.shape[-1]
        out = y @ w[:n] + b
        y = out + jnp.asarray(t, y.dtype) * w[n] if w.shape[0] > n else out
    return y


def geometric_brownian(t0: float, t1: float, y0: Any, mu: float, sigma: float, W: Any) -> Any:
    """Return the exact end of dy = mu y dt + sigma y dW, for an increment of its Brownian path.

    Parameters
    ----------
    t0, t1 : float
        The span.
    y0 : array
        The start.
    mu, sigma : float
        Drift and volatility.
    W : array
        ``W(t1) - W(t0)``.

    Returns
    -------
    array

    Examples
    --------
    >>> from numsolve.neural_ode import problems
    >>> float(problems.geometric_brownian(0.0, 1.0, 1.0, 0.5, 1.0, 0.0))
    1.0
    """
    jnp = require_jax().numpy
    return y0 * jnp.exp((mu - 0.5 * sigma**2) * (t1 - t0) + sigma * W)
