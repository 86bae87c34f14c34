"""Compiled kernels for a cost that the user compiled: the same loops, specialised on the function."""

from numba.core.caching import NullCache

from numsolve._core.compiled import kernel


@kernel
def fill_costs(cost, X, Y, swapped, M):
    """M_ij = cost(x_i, y_j), or cost(y_j, x_i)."""
    for i in range(M.shape[0]):
        for j in range(M.shape[1]):
            M[i, j] = cost(Y[j], X[i]) if swapped else cost(X[i], Y[j])


@kernel
def fill_paired_costs(cost, X, Y, swapped, c):
    """c_i = cost(x_i, y_i), or cost(y_i, x_i)."""
    for i in range(c.size):
        c[i] = cost(Y[i], X[i]) if swapped else cost(X[i], Y[i])


# A function of the user's is another one in each session: its files would pile up and never be found again.
for _kernel in (fill_costs, fill_paired_costs):
    setattr(_kernel, "_cache", NullCache())  # noqa: B010 - types do not know it
