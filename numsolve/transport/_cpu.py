"""Compiled kernels of entropic optimal transport: pure functions on arrays.

Notation, the same in every file of this column: cost ``M`` (n, m), potentials ``f`` (n,) and ``g`` (m,),
weights ``a`` (n,) and ``b`` (m,), regularisation ``reg``, and the plan

    P_ij = exp((f_i + g_j - M_ij)/reg) = 2^((f_i + g_j - M_ij) * rate),   rate = log2(e)/reg.

Every exponential goes through `_exp2`, which LLVM turns into packed vector instructions: the reduction of a
*binary* exponent is exact, so it needs neither the Cody-Waite correction nor the extra multiplication that
exp needs, and ``rate`` absorbs the change of base. Exponents and sums are float64 whatever the arrays are.
A forbidden pair has M_ij = inf and gets P_ij = 0 exactly.

Inner loops over one row are functions of their own: in one loop nest LLVM reloads the polynomial's
coefficients in every iteration, in a function of one loop it keeps them in registers. Reductions carry
``reassoc`` so that they vectorise; ``nnan`` and ``ninf`` are never set, because infinite costs are legal.
``_exp2`` itself must not carry ``reassoc``: its rounding by a magic number would be simplified away.
"""

import numpy as np
from numba import get_num_threads, njit, types
from numba.extending import intrinsic

LOG2E = 1.4426950408889634
_MAGIC = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to an integer, kept in the low bits

_ELEMENTWISE = {"contract", "nsz"}
_REDUCTION = {"contract", "nsz", "reassoc"}


@intrinsic
def _as_int64(typingctx, x):  # noqa: ARG001
    def codegen(context, builder, signature, args):  # noqa: ARG001
        return builder.bitcast(args[0], context.get_value_type(types.int64))

    return types.int64(types.float64), codegen


@intrinsic
def _as_float64(typingctx, x):  # noqa: ARG001
    def codegen(context, builder, signature, args):  # noqa: ARG001
        return builder.bitcast(args[0], context.get_value_type(types.float64))

    return types.float64(types.int64), codegen


@njit(cache=True, fastmath=_ELEMENTWISE, error_model="numpy")
def _exp2(t):
    """2^t to 2 units in the last place for -1022 <= t <= 1023; 0 for t <= -1023 and for -inf.

    t = k + r with |r| <= 1/2; 2^r is the minimax polynomial of degree 10 (relative error 2.2e-16);
    k is added to the exponent bits. At the lower clamp k = -1023 and r = 0 give the bits of +0.
    Above 1023 the result stays 2^1023: sums beyond 1e290 count as overflow.
    """
    t = max(t, -1023.0)
    t = min(t, 1023.0)
    k = t + _MAGIC
    r = t - (k - _MAGIC)
    q = 7.038152694657191e-09
    q = q * r + 1.020835323334902e-07
    q = q * r + 1.3215654012200803e-06
    q = q * r + 1.525265927941876e-05
    q = q * r + 0.00015403529992802047
    q = q * r + 0.0013333558226035992
    q = q * r + 0.009618129107984862
    q = q * r + 0.0555041086644805
    q = q * r + 0.24022650695909095
    q = q * r + 0.6931471805599492
    q = q * r + 1.0
    return _as_float64(_as_int64(q) + (_as_int64(k) << 52))


@njit(cache=True, fastmath=_ELEMENTWISE, error_model="numpy")
def exp2(t):
    """2^t for each entry of a vector."""
    out = np.empty(t.size)
    for i in range(t.size):
        out[i] = _exp2(t[i])
    return out


def threads():
    """How many threads Numba may use: NUMBA_NUM_THREADS, numba.set_num_threads."""
    return get_num_threads()


# --- plans and their sums -------------------------------------------------------------------------


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _row_plan(cost, g, fi, rate, p):
    for j in range(cost.size):
        p[j] = _exp2((fi + g[j]) - cost[j] * rate)


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _four_row_sums(M, i, f, g, rate):
    f0, f1, f2, f3 = f[i], f[i + 1], f[i + 2], f[i + 3]
    M0, M1, M2, M3 = M[i], M[i + 1], M[i + 2], M[i + 3]
    r0 = r1 = r2 = r3 = 0.0
    for j in range(g.size):
        r0 += _exp2((f0 + g[j]) - M0[j] * rate)
        r1 += _exp2((f1 + g[j]) - M1[j] * rate)
        r2 += _exp2((f2 + g[j]) - M2[j] * rate)
        r3 += _exp2((f3 + g[j]) - M3[j] * rate)
    return r0, r1, r2, r3


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _row_sum(cost, g, fi, rate):
    total = 0.0
    for j in range(cost.size):
        total += _exp2((fi + g[j]) - cost[j] * rate)
    return total


@njit(cache=True, fastmath=_ELEMENTWISE, error_model="numpy")
def _four_rows_into_columns(M, i, f, g, rate, column_sums):
    """Four streams of memory are read faster than one, and the sums are stored a quarter as often."""
    f0, f1, f2, f3 = f[i], f[i + 1], f[i + 2], f[i + 3]
    M0, M1, M2, M3 = M[i], M[i + 1], M[i + 2], M[i + 3]
    for j in range(g.size):
        top = _exp2((f0 + g[j]) - M0[j] * rate) + _exp2((f1 + g[j]) - M1[j] * rate)
        column_sums[j] += top + (_exp2((f2 + g[j]) - M2[j] * rate) + _exp2((f3 + g[j]) - M3[j] * rate))


@njit(cache=True, fastmath=_ELEMENTWISE, error_model="numpy")
def _row_into_columns(cost, g, fi, rate, column_sums):
    for j in range(cost.size):
        column_sums[j] += _exp2((fi + g[j]) - cost[j] * rate)


@njit(cache=True, error_model="numpy")
def plan(M, f, g, reg):
    """P, stored."""
    rate = LOG2E / reg
    scaled = g * rate
    P = np.empty(M.shape, M.dtype)
    for i in range(M.shape[0]):
        _row_plan(M[i], scaled, f[i] * rate, rate, P[i])
    return P


@njit(cache=True, error_model="numpy", nogil=True)
def plan_row_sums(M, f, g, reg):
    """sum_j P_ij."""
    rate = LOG2E / reg
    scaled_f, scaled_g = f * rate, g * rate
    n = M.shape[0]
    r = np.empty(n, M.dtype)
    for i in range(0, n - n % 4, 4):
        r[i], r[i + 1], r[i + 2], r[i + 3] = _four_row_sums(M, i, scaled_f, scaled_g, rate)
    for i in range(n - n % 4, n):
        r[i] = _row_sum(M[i], scaled_g, scaled_f[i], rate)
    return r


@njit(cache=True, error_model="numpy", nogil=True)
def plan_column_sums(M, f, g, reg):
    """sum_i P_ij."""
    rate = LOG2E / reg
    return _column_sums(M, f * rate, g * rate, rate).astype(M.dtype)


@njit(cache=True, error_model="numpy")
def _column_sums(M, f, g, rate):
    n = f.size
    c = np.zeros(g.size)
    for i in range(0, n - n % 4, 4):
        _four_rows_into_columns(M, i, f, g, rate, c)
    for i in range(n - n % 4, n):
        _row_into_columns(M[i], g, f[i], rate, c)
    return c


@njit(cache=True, error_model="numpy")
def log_row_sums(M, f, g, reg):
    """log(sum_j P_ij), safe for any potentials: the largest exponent of a row is taken out first."""
    rate = LOG2E / reg
    scaled = g * rate
    out = np.empty(M.shape[0], M.dtype)
    for i in range(M.shape[0]):
        row = M[i]
        least = np.inf
        for j in range(row.size):
            least = min(least, row[j] - g[j])
        out[i] = (f[i] - least) / reg + np.log(_row_sum(row, scaled, least * rate, rate))
    return out


@njit(cache=True, error_model="numpy", nogil=True)
def least_in_columns(M, f):
    """min_i (M_ij - f_i), the hard c-transform of f."""
    g = np.full(M.shape[1], np.inf)
    for i in range(M.shape[0]):
        row = M[i]
        for j in range(g.size):
            g[j] = min(g[j], row[j] - f[i])
    return g


@njit(cache=True, error_model="numpy", nogil=True)
def least_in_rows(M, g):
    """min_j (M_ij - g_j), the hard c-transform of g."""
    f = np.full(M.shape[0], np.inf)
    for i in range(f.size):
        f[i] = _least(M[i], g)
    return f


@njit(cache=True, fastmath={"reassoc", "nsz", "nnan"}, error_model="numpy")
def _least(row, g):
    least = np.inf
    for j in range(row.size):
        least = min(least, row[j] - g[j])
    return least


@njit(cache=True, error_model="numpy")
def scaled_cost(P, M, x, y):
    """sum_ij x_i P_ij y_j M_ij over the pairs with P_ij > 0."""
    total = 0.0
    for i in range(x.size):
        total += x[i] * _row_cost(P[i], M[i], y)
    return total


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _row_cost(p, cost, y):
    total = 0.0
    for j in range(p.size):
        total += p[j] * y[j] * cost[j] if p[j] > 0.0 else 0.0
    return total


@njit(cache=True, error_model="numpy")
def spread_cost(M, u, v):
    """sum_ij u_i v_j M_ij over the pairs with u_i v_j > 0."""
    total = 0.0
    ones = np.ones(v.size)
    for i in range(u.size):
        if u[i] > 0.0:
            total += u[i] * _row_cost(v, M[i], ones)
    return total


@njit(cache=True, error_model="numpy")
def log_column_sums(M, f, g, reg):
    """log(sum_i P_ij), safe for any potentials."""
    rate = LOG2E / reg
    least = least_in_columns(M, f)
    c = _column_sums(M, f * rate, least * rate, rate)
    return ((g - least) / reg + np.log(c)).astype(M.dtype)


@njit(cache=True, error_model="numpy", nogil=True)
def fill_plan(M, f, g, reg, P):
    """Write the plan into the memory of P."""
    rate = LOG2E / reg
    scaled = g * rate
    for i in range(M.shape[0]):
        _row_plan(M[i], scaled, f[i] * rate, rate, P[i])


@njit(cache=True, fastmath=_ELEMENTWISE, error_model="numpy")
def _row_plan_into_columns(cost, g, fi, rate, p, column_sums):
    for j in range(cost.size):
        v = _exp2((fi + g[j]) - cost[j] * rate)
        p[j] = v
        column_sums[j] += v


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _row_scaled(p, scale):
    total = 0.0
    for j in range(p.size):
        v = p[j] * scale[j]
        p[j] = v
        total += v
    return total


@njit(cache=True, error_model="numpy")
def _plan_columns(M, f, g, reg, P):
    """Write the plan into the memory of P; return its column sums."""
    rate = LOG2E / reg
    scaled = g * rate
    c = np.zeros(M.shape[1])
    for i in range(M.shape[0]):
        _row_plan_into_columns(M[i], scaled, f[i] * rate, rate, P[i], c)
    return c


@njit(cache=True, error_model="numpy")
def transform(M, f, g, b, reg, P):
    """The soft c-transform of f, and the plan of the pair, in one look at each entry of M.

    For a plan that stays in a cache. The g that comes in, of a nearby f or another reg, serves as the
    stabiliser; where that leads to overflow or underflow the hard c-transform takes its place. Returns P (in
    the memory of ``P``; its column sums are b), the new g, and the row sums of P.
    """
    c = _plan_columns(M, f, g, reg, P)
    if not (1e-290 < np.min(c) and np.max(c) < 1e290):  # too small, too large, or nan
        g = least_in_columns(M, f)
        c = _plan_columns(M, f, g, reg, P)
    scale = b / c
    r = np.empty(f.size)
    for i in range(f.size):
        r[i] = _row_scaled(P[i], scale)
    return P, g + reg * np.log(scale), r


# --- products with a stored plan ------------------------------------------------------------------


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _add_rows(P, i, p, u):
    a, b, c, d = p[i], p[i + 1], p[i + 2], p[i + 3]
    P0, P1, P2, P3 = P[i], P[i + 1], P[i + 2], P[i + 3]
    for j in range(u.size):
        u[j] += (a * P0[j] + b * P1[j]) + (c * P2[j] + d * P3[j])


@njit(cache=True, fastmath=_REDUCTION, error_model="numpy")
def _dot_rows(P, i, u):
    P0, P1, P2, P3 = P[i], P[i + 1], P[i + 2], P[i + 3]
    a = b = c = d = 0.0
    for j in range(u.size):
        v = u[j]
        a += P0[j] * v
        b += P1[j] * v
        c += P2[j] * v
        d += P3[j] * v
    return a, b, c, d


@njit(cache=True, error_model="numpy")
def column_products(P, p):
    """P' p, four rows at a time.

    As fast as a BLAS on one thread. A BLAS would share such short products among its threads, and come to a
    halt where another process keeps one of them waiting.
    """
    n = p.size
    u = np.zeros(P.shape[1], P.dtype)
    for i in range(0, n - n % 4, 4):
        _add_rows(P, i, p, u)
    for i in range(n - n % 4, n):
        u += p[i] * P[i]
    return u


@njit(cache=True, error_model="numpy")
def row_products(P, u):
    """P u, four rows at a time."""
    n = P.shape[0]
    out = np.empty(n, P.dtype)
    for i in range(0, n - n % 4, 4):
        out[i], out[i + 1], out[i + 2], out[i + 3] = _dot_rows(P, i, u)
    for i in range(n - n % 4, n):
        out[i] = np.sum(P[i] * u)
    return out
