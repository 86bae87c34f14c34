"""The kernels of `_generic` for CuPy: row sums, products and minima without a tile in memory.

One thread has one row; the columns come through shared memory, `COLUMNS` at a time. What is asked for once a
solve is plain array code from `_generic`.
"""

import cupy

from . import _generic
from ._generic import cost_gradients, costs, mean_costs, paired_costs, tiles

__all__ = [
    "cost_gradients",
    "costs",
    "least",
    "mean_costs",
    "paired_costs",
    "products",
    "row_sums",
    "tiles",
]

COLUMNS, LARGEST_D = 128, 64
KINDS = {"squared": 0, "euclidean": 1, "cityblock": 2, "power": 3}

#: sum_j P_ij v_j (v null: all ones), or min_j (c_ij - g_j) if `minimum`.
BODY = """
extern "C" __global__ void over_pairs(
    const int n, const int m, const int d, const int kind, const REAL p, const REAL factor,
    const REAL* X, const REAL* f, const REAL* Y, const REAL* g, const REAL* v,
    const REAL rate, const int minimum, REAL* out)
{
    extern __shared__ unsigned char memory[];
    REAL* y = (REAL*)memory;           // COLUMNS x d
    REAL* potential = y + blockDim.x * d;
    REAL* weight = potential + blockDim.x;
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    REAL x[LARGEST_D];
    for (int k = 0; k < d; ++k) x[k] = i < n ? X[(long long)i * d + k] : REAL(0);
    const REAL own = (i < n && !minimum) ? f[i] : REAL(0);
    REAL total = minimum ? REAL(LARGEST) : REAL(0);
    for (int start = 0; start < m; start += blockDim.x) {
        const int count = min((int)blockDim.x, m - start);
        __syncthreads();
        for (int q = threadIdx.x; q < count * d; q += blockDim.x) y[q] = Y[(long long)start * d + q];
        if (threadIdx.x < count) {
            potential[threadIdx.x] = g[start + threadIdx.x];
            weight[threadIdx.x] = v ? v[start + threadIdx.x] : REAL(1);
        }
        __syncthreads();
        for (int j = 0; j < count; ++j) {
            REAL c = 0;
            for (int k = 0; k < d; ++k) {
                const REAL e = x[k] - y[j * d + k];
                c += kind == 2 ? fabs(e) : kind == 3 ? pow(fabs(e), p) : e * e;
            }
            c = factor * (kind == 1 ? sqrt(c) : c);
            if (minimum) total = min(total, c - potential[j]);
            else total += weight[j] * exp2((own + potential[j] - c) * rate);
        }
    }
    if (i < n) out[i] = total;
}
"""

HEAD = f"#define LARGEST_D {LARGEST_D}\n"
SOURCES = {
    "float32": HEAD + "#define REAL float\n#define LARGEST 3.4e38\n" + BODY,
    "float64": HEAD + "#define REAL double\n#define LARGEST 1.7e308\n" + BODY,
}
_kernels: dict[str, cupy.RawKernel] = {}


def row_sums(metric, X, f, Y, g, reg):
    """sum_j P_ij."""
    if X.shape[1] > LARGEST_D:
        return _generic.row_sums(metric, X, f, Y, g, reg)
    return _over_pairs(metric, X, f, Y, g, None, reg, False)


def products(metric, X, f, Y, g, reg, V):
    """sum_j P_ij V_jk."""
    if X.shape[1] > LARGEST_D:
        return _generic.products(metric, X, f, Y, g, reg, V)
    columns = [_over_pairs(metric, X, f, Y, g, V[:, k], reg, False) for k in range(V.shape[1])]
    return cupy.stack(columns, axis=1)


def least(metric, X, Y, g):
    """min_j (c_ij - g_j)."""
    if X.shape[1] > LARGEST_D:
        return _generic.least(metric, X, Y, g)
    return _over_pairs(metric, X, g, Y, g, None, 1.0, True)


def _over_pairs(metric, X, f, Y, g, v, reg, minimum):
    dtype = X.dtype
    (n, d), m = X.shape, Y.shape[0]
    if dtype.name not in _kernels:
        _kernels[dtype.name] = cupy.RawKernel(SOURCES[dtype.name], "over_pairs")
    X, f, Y, g = (cupy.ascontiguousarray(x, dtype=dtype) for x in (X, f, Y, g))
    v = cupy.intp(0) if v is None else cupy.ascontiguousarray(v, dtype=dtype)
    out = cupy.empty(n, dtype)
    scalars = cupy.int32(KINDS[metric.kind]), dtype.type(metric.p), dtype.type(metric.factor)
    arguments = (cupy.int32(n), cupy.int32(m), cupy.int32(d), *scalars, X, f, Y, g, v)
    rate = dtype.type(1.4426950408889634 / reg)
    _kernels[dtype.name](
        (-(-n // COLUMNS),),
        (COLUMNS,),
        (*arguments, rate, cupy.int32(minimum), out),
        shared_mem=COLUMNS * (d + 2) * dtype.itemsize,
    )
    return out
