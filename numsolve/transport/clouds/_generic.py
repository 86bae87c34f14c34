# mypy: disable-error-code=no-any-return
# (array libraries, kernels and SciPy have no types: what they return is an Array by our word)
"""The kernels of `_cpu` in plain array-API code, a tile of some rows at a time.

They are the reference in tests, the path of other array libraries, and that of a cost of the user's.
Points are (n, d), potentials and regularisation are the caller's, and no pair is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from array_api_compat import array_namespace

from numsolve.transport import _kernels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numsolve._core.typing import Array, Kernels, Namespace

    from ._metric import Metric

#: Entries of a tile: 2 MB, so that it stays in a cache.
TILE = 1 << 18
#: Rows of a tile that is a product of matrices, at least: each reads all of Y.
LEAST_ROWS = 64


def costs(metric: Metric, X: Array, Y: Array) -> Array:
    """The costs of all pairs, as an array (n, m)."""
    if metric.function is not None:
        from . import _cpu_user

        xp = array_namespace(X)
        M = xp.empty((X.shape[0], Y.shape[0]))
        _cpu_user.fill_costs(metric.function, X, Y, metric.swapped, M)
        return M
    xp = array_namespace(X, Y)
    if metric.kind == "inner":
        return X @ (Y.T * (-2 * metric.factor))
    total = xp.zeros((X.shape[0], Y.shape[0]), dtype=X.dtype)
    for k in range(X.shape[1]):
        total = total + _of_difference(xp, metric, X[:, k][:, None] - Y[:, k][None, :])
    return metric.factor * (xp.sqrt(total) if metric.kind == "euclidean" else total)


def paired_costs(metric: Metric, X: Array, Y: Array) -> Array:
    """The costs between each x_i and its y_i; for "inner" products the squared distances."""
    xp = array_namespace(X, Y)
    if metric.function is not None:
        from . import _cpu_user

        c = xp.empty(X.shape[0])
        _cpu_user.fill_paired_costs(metric.function, X, Y, metric.swapped, c)
        return c
    total = xp.sum(_of_difference(xp, metric, X - Y), axis=1)
    return metric.factor * (xp.sqrt(total) if metric.kind == "euclidean" else total)


def _of_difference(xp: Namespace, metric: Metric, e: Array) -> Array:
    if metric.kind == "cityblock":
        return xp.abs(e)
    if metric.kind == "power":
        return xp.abs(e) ** metric.p
    return e * e


def slopes(metric: Metric, x: Array, y: Array, M: Array) -> Array:
    """dc(x, y)/dx of one coordinate for all pairs, from that coordinate and the costs."""
    xp = array_namespace(x, y)
    e = x[:, None] - y[None, :]
    if metric.kind == "cityblock":
        return metric.factor * xp.sign(e)
    if metric.kind == "power":
        size = xp.where(e == 0, xp.ones_like(e), xp.abs(e))
        return metric.factor * metric.p * xp.sign(e) * size ** (metric.p - 1)
    if metric.kind == "euclidean":
        return metric.factor * e / xp.where(M == 0, xp.ones_like(M), M)
    return 2 * metric.factor * e


# --- sums over the pairs --------------------------------------------------------------------------


def row_sums(metric: Metric, X: Array, f: Array, Y: Array, g: Array, reg: float) -> Array:
    """sum_j P_ij."""
    xp, k = _libraries(X)
    return xp.concat([k.plan_row_sums(M, f[i], g, reg) for i, M in tiles(metric, X, Y)])


def least(metric: Metric, X: Array, Y: Array, g: Array) -> Array:
    """min_j (c_ij - g_j)."""
    xp = array_namespace(X)
    return xp.concat([xp.min(M - g[None, :], axis=1) for _, M in tiles(metric, X, Y)])


def products(metric: Metric, X: Array, f: Array, Y: Array, g: Array, reg: float, V: Array) -> Array:
    """sum_j P_ij V_jk."""
    xp, k = _libraries(X)
    return xp.concat([k.plan(M, f[i], g, reg) @ V for i, M in tiles(metric, X, Y)])


def mean_costs(metric: Metric, X: Array, f: Array, Y: Array, g: Array, reg: float) -> Array:
    """sum_j P_ij c_ij."""
    xp, k = _libraries(X)
    return xp.concat([xp.sum(k.plan(M, f[i], g, reg) * M, axis=1) for i, M in tiles(metric, X, Y)])


def cost_gradients(
    metric: Metric, X: Array, f: Array, Y: Array, g: Array, reg: float, A: Array, B: Array
) -> Array:
    """sum_j (A B')_ij P_ij dc(x_i, y_j)/dx_i as an array (n, d); 0 where the cost has a kink."""
    xp, k = _libraries(X)
    parts = []
    for i, M in tiles(metric, X, Y):
        P = k.plan(M, f[i], g, reg) * (A[i, :] @ B.T)
        if metric.kind == "inner":  # the derivatives of the squared distance
            parts.append(2 * metric.factor * (X[i, :] * xp.sum(P, axis=1)[:, None] - P @ Y))
            continue
        each = [slopes(metric, X[i, axis], Y[:, axis], M) for axis in range(X.shape[1])]
        parts.append(xp.stack([xp.sum(P * slope, axis=1) for slope in each], axis=1))
    return xp.concat(parts)


def tiles(metric: Metric, X: Array, Y: Array) -> Iterator[tuple[slice, Array]]:
    """The costs, some rows at a time, with the slice of these rows."""
    rows = max(LEAST_ROWS if metric.kind == "inner" else 1, TILE // Y.shape[0])
    for start in range(0, X.shape[0], rows):
        i = slice(start, min(start + rows, X.shape[0]))
        yield i, costs(metric, X[i, :], Y)


def _libraries(X: Array) -> tuple[Namespace, Kernels]:
    xp = array_namespace(X)
    return xp, _kernels.of_plans(xp)
