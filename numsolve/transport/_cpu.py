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

Memory is allocated by the Python function that stands before a kernel: an allocation in compiled code costs a
tenth of a second of compilation, and one for each kind of argument. Rows are taken four at a time; where the
last group is short, its last row is taken again, with nothing of it where that would count.
"""

import numpy as np
from numba import get_num_threads

from numsolve._core.compiled import as_float64, as_int64, inner, kernel

LOG2E = 1.4426950408889634
_MAGIC = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to an integer, kept in the low bits

_ELEMENTWISE = {"contract", "nsz"}
_REDUCTION = {"contract", "nsz", "reassoc"}


@inner(fastmath=_ELEMENTWISE)
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
    return as_float64(as_int64(q) + (as_int64(k) << 52))


@kernel(fastmath=_ELEMENTWISE)
def exp2(t):
    """2^t for each entry of a vector."""
    out = np.empty(t.size)
    for i in range(t.size):
        out[i] = _exp2(t[i])
    return out


def threads():
    """How many threads Numba may use: NUMBA_NUM_THREADS, numba.set_num_threads."""
    return get_num_threads()


def _scaled(x, rate):
    """A potential in units of reg log 2, in double precision."""
    return np.multiply(x, rate, dtype=np.float64)


# --- plans and their sums -------------------------------------------------------------------------


def plan(M, f, g, reg):
    """P, stored."""
    P = np.empty(M.shape, M.dtype)
    fill_plan(M, f, g, reg, P)
    return P


def fill_plan(M, f, g, reg, P):
    """Write the plan into the memory of P."""
    rate = LOG2E / reg
    _fill_plan(M, _scaled(f, rate), _scaled(g, rate), rate, P)


@kernel
def _fill_plan(M, f, g, rate, P):
    for i in range(f.size):
        _row_plan(M[i], g, f[i], rate, P[i])


@inner(fastmath=_REDUCTION)
def _row_plan(cost, g, fi, rate, p):
    for j in range(cost.size):
        p[j] = _exp2((fi + g[j]) - cost[j] * rate)


def plan_row_sums(M, f, g, reg):
    """sum_j P_ij."""
    rate = LOG2E / reg
    r = np.empty(M.shape[0], M.dtype)
    _plan_row_sums(M, _scaled(f, rate), _scaled(g, rate), rate, r)
    return r


@kernel
def _plan_row_sums(M, f, g, rate, r):
    for h in range(0, f.size, 4):
        rest = f.size - h
        i = h + (rest > 1)
        k = i + (rest > 2)
        q = k + (rest > 3)
        r[h], r[i], r[k], r[q] = _four_row_sums(M[h], M[i], M[k], M[q], f[h], f[i], f[k], f[q], g, rate)


@inner(fastmath=_REDUCTION)
def _four_row_sums(M0, M1, M2, M3, f0, f1, f2, f3, g, rate):
    r0 = r1 = r2 = r3 = 0.0
    for j in range(g.size):
        r0 += _exp2((f0 + g[j]) - M0[j] * rate)
        r1 += _exp2((f1 + g[j]) - M1[j] * rate)
        r2 += _exp2((f2 + g[j]) - M2[j] * rate)
        r3 += _exp2((f3 + g[j]) - M3[j] * rate)
    return r0, r1, r2, r3


@inner(fastmath=_REDUCTION)
def _row_sum(cost, g, fi, rate):
    total = 0.0
    for j in range(cost.size):
        total += _exp2((fi + g[j]) - cost[j] * rate)
    return total


def plan_column_sums(M, f, g, reg):
    """sum_i P_ij."""
    rate = LOG2E / reg
    c = np.zeros(M.shape[1])
    _plan_column_sums(M, _scaled(f, rate), _scaled(g, rate), rate, c)
    return c.astype(M.dtype, copy=False)


@kernel
def _plan_column_sums(M, f, g, rate, c):
    for h in range(0, f.size, 4):
        rest = f.size - h
        i = h + (rest > 1)
        k = i + (rest > 2)
        q = k + (rest > 3)
        f1 = f[i] if i > h else -np.inf
        f2 = f[k] if k > i else -np.inf
        f3 = f[q] if q > k else -np.inf
        _four_rows_into_columns(M[h], M[i], M[k], M[q], f[h], f1, f2, f3, g, rate, c)


@inner(fastmath=_ELEMENTWISE)
def _four_rows_into_columns(M0, M1, M2, M3, f0, f1, f2, f3, g, rate, column_sums):
    """Four streams of memory are read faster than one, and the sums are stored a quarter as often."""
    for j in range(g.size):
        top = _exp2((f0 + g[j]) - M0[j] * rate) + _exp2((f1 + g[j]) - M1[j] * rate)
        column_sums[j] += top + (_exp2((f2 + g[j]) - M2[j] * rate) + _exp2((f3 + g[j]) - M3[j] * rate))


def log_row_sums(M, f, g, reg):
    """log(sum_j P_ij), safe for any potentials: the largest exponent of a row is taken out first."""
    rate = LOG2E / reg
    out = np.empty(M.shape[0], M.dtype)
    _log_row_sums(M, f, g, _scaled(g, rate), reg, out)
    return out


@kernel
def _log_row_sums(M, f, g, scaled, reg, out):
    rate = LOG2E / reg
    for i in range(f.size):
        row = M[i]
        least = np.inf
        for j in range(row.size):
            least = min(least, row[j] - g[j])
        out[i] = (f[i] - least) / reg + np.log(_row_sum(row, scaled, least * rate, rate))


def log_column_sums(M, f, g, reg):
    """log(sum_i P_ij), safe for any potentials."""
    least = least_in_columns(M, f)
    c = np.zeros(M.shape[1])
    rate = LOG2E / reg
    _plan_column_sums(M, _scaled(f, rate), _scaled(least, rate), rate, c)
    return ((g - least) / reg + np.log(c)).astype(M.dtype, copy=False)


def least_in_columns(M, f):
    """min_i (M_ij - f_i), the hard c-transform of f."""
    g = np.full(M.shape[1], np.inf)
    _least_in_columns(M, f, g)
    return g


@kernel
def _least_in_columns(M, f, g):
    for i in range(f.size):
        row = M[i]
        for j in range(g.size):
            g[j] = min(g[j], row[j] - f[i])


def transform(M, f, g, b, reg, P):
    """The soft c-transform of f, and the plan of the pair, in one look at each entry of M.

    For a plan that stays in a cache. The g that comes in, of a nearby f or another reg, serves as the
    stabiliser; where that leads to overflow or underflow the hard c-transform takes its place. Returns P (in
    the memory of ``P``; its column sums are b), the new g, and the row sums of P.
    """
    n, m = M.shape
    r, new, columns = np.empty(n), np.empty(m), np.empty((2, m))
    transform_into(M, f, g, b, reg, P, new, r, columns)
    return P, new, r


@kernel
def transform_into(M, f, g, b, reg, P, new, r, columns):
    """`transform` into given memory: the new g (which may be g itself), r, and two rows for the columns."""
    rate = LOG2E / reg
    scaled, c = columns[0], columns[1]
    for j in range(b.size):
        new[j] = g[j]
    for attempt in range(2):
        for j in range(b.size):
            scaled[j] = new[j] * rate
            c[j] = 0.0
        for i in range(f.size):
            _row_plan_into_columns(M[i], scaled, f[i] * rate, rate, P[i], c)
        good = True
        for j in range(b.size):
            good &= 1e-290 < c[j] < 1e290  # not too small, too large, or nan
        if good or attempt == 1:
            break
        for j in range(b.size):
            new[j] = np.inf
        for i in range(f.size):
            for j in range(b.size):
                new[j] = min(new[j], M[i, j] - f[i])
    for j in range(b.size):
        scaled[j] = b[j] / c[j]
        new[j] += reg * np.log(scaled[j])
    for i in range(f.size):
        r[i] = _row_scaled(P[i], scaled)


@inner(fastmath=_ELEMENTWISE)
def _row_plan_into_columns(cost, g, fi, rate, p, column_sums):
    for j in range(cost.size):
        v = _exp2((fi + g[j]) - cost[j] * rate)
        p[j] = v
        column_sums[j] += v


@inner(fastmath=_REDUCTION)
def _row_scaled(p, scale):
    total = 0.0
    for j in range(p.size):
        v = p[j] * scale[j]
        p[j] = v
        total += v
    return total


# --- products with a stored plan ------------------------------------------------------------------


def column_products(P, p):
    """P' p, four rows at a time.

    As fast as a BLAS on one thread. A BLAS would share such short products among its threads, and come to a
    halt where another process keeps one of them waiting.
    """
    u = np.empty(P.shape[1], P.dtype)
    into_columns(P, p, u)
    return u


def row_products(P, u):
    """P u, four rows at a time."""
    out = np.empty(P.shape[0], P.dtype)
    into_rows(P, u, out)
    return out


@kernel(fastmath=_REDUCTION)
def into_columns(P, p, u):
    """Write P' p into u."""
    u[:] = 0.0
    for h in range(0, p.size, 4):
        rest = p.size - h
        i = h + (rest > 1)
        k = i + (rest > 2)
        q = k + (rest > 3)
        P0, P1, P2, P3 = P[h], P[i], P[k], P[q]
        a = p[h]
        b = p[i] if i > h else 0.0
        c = p[k] if k > i else 0.0
        d = p[q] if q > k else 0.0
        for j in range(u.size):
            u[j] += (a * P0[j] + b * P1[j]) + (c * P2[j] + d * P3[j])


@kernel(fastmath=_REDUCTION)
def into_rows(P, u, out):
    """Write P u into out."""
    for h in range(0, out.size, 4):
        rest = out.size - h
        i = h + (rest > 1)
        k = i + (rest > 2)
        q = k + (rest > 3)
        P0, P1, P2, P3 = P[h], P[i], P[k], P[q]
        a = b = c = d = 0.0
        for j in range(u.size):
            v = u[j]
            a += P0[j] * v
            b += P1[j] * v
            c += P2[j] * v
            d += P3[j] * v
        out[h], out[i], out[k], out[q] = a, b, c, d
