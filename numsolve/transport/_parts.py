# mypy: disable-error-code=no-any-return
# (array libraries, kernels and SciPy have no types: what they return is an Array by our word)
r"""The adjoint system of a plan of any sharpness, as that of a graph whose vertices are the rows of the plan.

With W = P * Q the system of `_adjoint` is, after v is eliminated, that of a weighted graph,

    sum_k K_ik (u_i - u_k) = sum_k F_ik + e_i,      K = P diag(1/(beta c)) P',                         (1)
    F = A - A',  A = W diag(1/(beta c)) P',         e = p - P (q/(beta c)),                            (2)

with one more vertex for unbalanced problems, where u = 0, K_i0 = (alpha - 1/beta) r_i and
F_i0 = (1 - 1/beta) (W 1)_i. The entries of K and F are sums without cancellation, however small. A sharp plan
makes parts whose edges to the rest are 1e-30 of those inside; as a matrix (1) is then singular. So it is
solved within the parts; they become the vertices of a smaller graph, which has only the edges between parts
and what is left of F there; and what flows between the parts is taken into account within them at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from numsolve._core import arrays

if TYPE_CHECKING:
    from numsolve._core.typing import Array, Namespace

#: Rows of a part that are solved as a dense matrix.
DENSE_BELOW = 2000
#: Edges of a larger part, per row, up to which it is factorised as a sparse matrix.
EDGES_PER_ROW = 50
#: Share of its row and its column below which an entry of a stored plan does not count.
NOTHING = 1e-17
#: In rounding units: a part that exchanges less than this share of its mass exchanges nothing.
ALONE = 500.0


class Alone(Exception):  # noqa: N818  (not an error here: the caller says what it means)
    """A loss depends on the constant between two parts that exchange nothing."""


class Graph(NamedTuple):
    """The system (1): edges, flows, sources e and the size of what they are differences of, masses."""

    edges: Array
    flows: Array
    e: Array
    size: Array
    mass: Array


def solve(
    xp: Namespace, P: Array, W: Array, sides: tuple[Array, Array], rates: tuple[float, float]
) -> tuple[Array, Array, bool]:
    """Solve alpha diag(r) u + P v = W 1 + p,  P' u + beta diag(c) v = W' 1 + q,  for sides p and q.

    The last return value tells whether no part of the plan is alone. Else u and v have an arbitrary constant
    in each part; a loss that depends on it raises `Alone`.
    """
    (p, q), (alpha, beta) = sides, rates
    if P.shape[0] > P.shape[1]:
        v, u, whole = solve(xp, P.T, W.T, (q, p), (beta, alpha))
        return u, v, whole
    r, c = xp.sum(P, axis=1), xp.sum(P, axis=0)
    share = xp.where(c > 0, 1 / (beta * xp.where(c > 0, c, xp.ones_like(c))), xp.zeros_like(c))
    A = (W * share) @ P.T
    e, size = p - P @ (q * share), xp.abs(p) + P @ (xp.abs(q) * share)  # (2)
    e = xp.where(r > 0, e, xp.zeros_like(e))
    graph = Graph((P * share) @ P.T, A - A.T, e, size, r)  # (1), (2)
    surplus = (alpha - 1) + (beta - 1) / beta
    if surplus > 0:
        graph = _grounded(xp, graph, surplus * r, (1 - 1 / beta) * xp.sum(W, axis=1))
    u, whole = _potential(xp, graph)
    if surplus > 0:
        u = u[:-1] - u[-1]
    return u, (xp.sum(W, axis=0) + q - P.T @ u) * share, whole


def _grounded(xp: Namespace, graph: Graph, edges: Array, flows: Array) -> Graph:
    """Add the vertex at which u is zero; it takes what the sources bring."""

    def bordered(x: Array, column: Array, sign: float) -> Array:
        x = xp.concat([x, column[:, None]], axis=1)
        row = xp.concat([sign * column, xp.zeros((1,), dtype=x.dtype)])
        return xp.concat([x, row[None, :]], axis=0)

    def longer(x: Array, last: Array) -> Array:
        return xp.concat([x, xp.reshape(last, (1,))])

    e, size, mass = graph.e, graph.size, graph.mass
    zero = xp.zeros_like(xp.sum(e))
    return Graph(
        bordered(graph.edges, edges, 1.0),
        bordered(graph.flows, flows, -1.0),
        longer(e, -xp.sum(e)),
        longer(size, xp.sum(size)),
        longer(mass, zero),
    )


def _potential(xp: Namespace, graph: Graph) -> tuple[Array, bool]:
    """Solve (1), and say whether no part is alone."""
    K, F, e, size, mass = graph
    n = e.shape[0]
    K = xp.where(xp.eye(n, dtype=xp.bool), xp.zeros_like(K), K)
    degree = xp.sum(K, axis=1)
    unit = float(xp.finfo(K.dtype).eps)
    alone = degree < ALONE * unit * mass
    several = int(xp.sum(xp.astype(mass > 0, xp.int64))) > 1
    whole = not (several and bool(xp.any(alone)))
    if not whole:
        if bool(xp.any(alone & (xp.abs(e) > unit**0.5 * size))):
            raise Alone
        e = xp.where(alone, xp.zeros_like(e), e)
    # One floor for all edges: a part that hangs together by it, and not link by link, can be factorised.
    count, part = _components(arrays.to_host(K > unit**0.5 * xp.max(degree)))
    if count == n:
        return xp.zeros_like(e), whole
    inside = xp.asarray(part[:, None] == part[None, :])
    heaviest = _first_of_parts(part, -arrays.to_host(degree))
    fixed = xp.asarray(np.isin(np.arange(n), heaviest))

    def within(rhs: Array) -> Array:
        return _solve_within(xp, xp.where(inside, K, xp.zeros_like(K)), rhs, fixed)

    x = within(xp.sum(xp.where(inside, F, xp.zeros_like(F)), axis=1) + e)
    if count == 1:
        return x, whole

    def left(x: Array) -> Array:
        return F - K * (x[:, None] - x[None, :])

    Z = xp.asarray(part[:, None] == np.arange(count), dtype=K.dtype)
    between = xp.where(inside, xp.zeros_like(K), xp.ones_like(K))
    coarse = Graph(
        Z.T @ ((K * between) @ Z), Z.T @ ((left(x) * between) @ Z), Z.T @ e, Z.T @ size, Z.T @ mass
    )
    s, coarse_whole = _potential(xp, coarse)
    x = x + Z @ s
    return x + within(xp.sum(left(x), axis=1) + e), whole and coarse_whole


def _solve_within(xp: Namespace, K: Array, rhs: Array, fixed: Array) -> Array:
    """Solve (1) in each part, with u = 0 at the vertex that is fixed; degrees are sums, and do not cancel."""
    diagonal = xp.eye(rhs.shape[0], dtype=xp.bool)
    degree = xp.where(fixed, xp.ones_like(rhs), xp.sum(K, axis=1))
    K = xp.where(fixed[:, None] | fixed[None, :], xp.zeros_like(K), K)
    S = xp.where(diagonal, degree[None, :], -K)
    return xp.linalg.solve(S, xp.where(fixed, xp.zeros_like(rhs), rhs)[:, None])[:, 0]


def _components(joined: Array) -> tuple[int, Array]:
    """Number the parts of a graph, on the host; a vertex that is joined to all others saves the search."""
    n = joined.shape[0]
    if n == 1 or bool(np.any(np.count_nonzero(joined, axis=1) >= n - 1)):
        return 1, np.zeros(n, dtype=np.int64)
    return connected_components(csr_array(joined), directed=False)


def _first_of_parts(part: Array, order: Array) -> Array:
    """The vertex of each part that comes first in an order."""
    sorted_vertices = np.lexsort((order, part))
    return sorted_vertices[np.unique(part[sorted_vertices], return_index=True)[1]]


# -- large and sparse plans ------------------------------------------------------------------------


def solve_sparse(P: csr_array, W: csr_array, p: Array, q: Array) -> tuple[Array, Array, bool, bool]:
    """`solve` for a balanced plan that is stored by its entries, part by part; NumPy only.

    Between the parts nothing is exchanged here. The last return value tells whether each part was solved.
    """
    n, m = P.shape
    rows, columns = P.tocoo().coords
    joined = coo_array((np.ones(rows.size, dtype=bool), (rows, n + columns)), shape=(n + m, n + m))
    count, part = connected_components(joined.tocsr(), directed=False)
    u, v, solved = np.zeros(n), np.zeros(m), True
    whole = count == 1 + np.count_nonzero(np.bincount(part, minlength=count) == 1)
    by_row, by_column = np.argsort(part[:n], kind="stable"), np.argsort(part[n:], kind="stable")
    starts = np.arange(count + 1)
    row_ends = np.searchsorted(part[:n][by_row], starts)
    column_ends = np.searchsorted(part[n:][by_column], starts)
    P, W = P[by_row], W[by_row]
    for k in range(count):
        i, j = by_row[row_ends[k] : row_ends[k + 1]], by_column[column_ends[k] : column_ends[k + 1]]
        if i.size == 0 or j.size == 0:
            continue
        own = slice(row_ends[k], row_ends[k + 1])
        P_k, W_k = P[own][:, j], W[own][:, j]
        if min(i.size, j.size) <= DENSE_BELOW:
            u[i], v[j], inner = solve(np, P_k.toarray(), W_k.toarray(), (p[i], q[j]), (1.0, 1.0))
            whole = whole and inner
        else:
            u[i], v[j], done = _solve_large(P_k, W_k, p[i], q[j])
            solved = solved and done
        if not whole and abs(p[i].sum() - q[j].sum()) > 1e-8 * (np.abs(p[i]).sum() + np.abs(q[j]).sum()):
            raise Alone
    return u, v, whole, solved


def _solve_large(P: csr_array, W: csr_array, p: Array, q: Array) -> tuple[Array, Array, bool]:
    """Solve a part: by a sparse factorisation of (1) if that has few entries, else by conjugate gradients."""
    if P.shape[0] > P.shape[1]:
        v, u, done = _solve_large(P.T.tocsr(), W.T.tocsr(), q, p)
        return u, v, done
    r, c = P.sum(axis=1), P.sum(axis=0)
    per_column = np.bincount(P.indices, minlength=c.size).astype(np.float64)
    share = diags_array(1 / c)
    e = p - P @ (q / c)
    if per_column @ per_column <= EDGES_PER_ROW * r.size:
        K, A = (P @ share @ P.T).tocoo(), (W @ share @ P.T).tocsr()
        rhs = (A - A.T).sum(axis=1) + e
        off = K.row != K.col
        edges = coo_array((K.data[off], (K.row[off], K.col[off])), shape=K.shape).tocsr()
        degree = edges.sum(axis=1)
        free = np.arange(r.size) != np.argmax(degree)
        S = (diags_array(degree) - edges).tocsr()[free][:, free]
        u, done = np.zeros(r.size), True
        factors = splu(S.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
        u[free] = factors.solve(rhs[free])
    else:
        k = arrays.kernels_for(np, __package__, "newton")
        rhs = W.sum(axis=1) - P @ (W.sum(axis=0) / c) + e
        rhs = rhs - (rhs.sum() / r.sum()) * r
        size = float(np.abs(rhs).sum())
        entries = P.indptr.astype(np.int64), P.indices.astype(np.int32), P.data
        u, _, done = k.schur_cg_sparse(*entries, r, c, rhs, 1e-12 * size, 20_000)
        done = done or size == 0.0
    return u, (W.sum(axis=0) + q - P.T @ u) / c, done
