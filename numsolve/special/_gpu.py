"""The functions for CuPy: one elementwise CUDA kernel each, after the formulas and names of the CPU kernels.

A thread computes one entry, in double precision whatever the arrays are. The device code is in `PREAMBLE`;
the ends of the domain come first, so that no formula sees them.
"""

import cupy

from ._tuples import (
    DEBYE,
    ETA,
    FAR,
    GAUSS_NODES,
    GAUSS_WEIGHTS,
    NEAR_ROOT,
    RECIPROCAL_GAMMA,
    ROOT,
    ROOT_REST,
    SLOPES,
    TERMS,
)

__all__ = ["KERNELS", "put"]


def _table(name, values):
    """A constant table in CUDA C."""
    numbers = ", ".join(repr(float(value)) for value in values.ravel())
    return f"__device__ const double {name}[{values.size}] = {{{numbers}}};\n"


TABLES = (
    _table("DEBYE", DEBYE[:, : TERMS + 1])
    + _table("SLOPES", SLOPES[:, : TERMS + 1])
    + _table("ETA", ETA)
    + _table("GAMMA", RECIPROCAL_GAMMA)
    + _table("NODES", GAUSS_NODES)
    + _table("WEIGHTS", GAUSS_WEIGHTS)
    + f"#define TERMS {TERMS}\n#define N_ETA {ETA.size}\n#define N_GAMMA {RECIPROCAL_GAMMA.size}\n"
    + f"#define N_NODES {GAUSS_NODES.size}\n"
    + f"#define FAR {FAR!r}\n#define NEAR_ROOT {NEAR_ROOT!r}\n"
    + f"#define ROOT {ROOT!r}\n#define ROOT_REST {ROOT_REST!r}\n"
)

PREAMBLE = (
    TABLES
    + r"""
#define PI 3.141592653589793
#define INF (1.0 / 0.0)
#define NOTHING (0.0 / 0.0)

__device__ double correction(const double* table, double q, double p) {
    double total = 0.0;
    for (int k = TERMS; k > 0; --k) {
        double row = table[k * (TERMS + 1) + k];
        for (int j = k - 1; j >= 0; --j) row = row * p + table[k * (TERMS + 1) + j];
        total = (total + row) * q;
    }
    return total;
}

// A power of two by which v and x are multiplied where r + v might overflow.
__device__ double scale_of(double v, double x) { return fmax(v, x) > 1e300 ? 9.5367431640625e-07 : 1.0; }

__device__ double asinh_quotient(double v, double x) {
    const double c = scale_of(v, x), turn = 1.0 + c * v / (hypot(c * v, c * x) + c * x);
    return v > 1e200 * x ? log(v) - log(x) + log(turn) : log1p(v / x * turn);
}

__device__ double root_of_exponent(double v, double x) {
    const double front = (double)(float)v;
    const double miss = ((x - ROOT * front) - ROOT * (v - front)) - ROOT_REST * v;
    const double u = miss / (x + (ROOT + ROOT_REST) * v);
    double eta = 0.0;
    for (int k = N_ETA - 1; k >= 0; --k) eta = (eta + ETA[k]) * u;
    return v * eta;
}

__device__ double log_far(double v, double x, double sign, bool scaled) {
    const double asinh_q = asinh_quotient(v, x), c = scale_of(v, x);
    v *= c;
    x *= c;
    const double r = hypot(v, x), t = v / r;
    const double tail = log1p(correction(DEBYE, sign / r, t * t))
        - 0.5 * (log(sign > 0.0 ? 2.0 * PI : 2.0 / PI) + log(r) - log(c));
    double exponent;
    if (scaled) exponent = v * (v / (r + x) - asinh_q);
    else if (fabs(x - ROOT * v) < NEAR_ROOT * (x + ROOT * v) && v < 1e30) exponent = root_of_exponent(v, x);
    else exponent = r * (1.0 - t * asinh_q);
    return sign * exponent / c + tail;
}

// log(x / 2), also where x / 2 is no normal number.
__device__ double log_half(double x) { return x < 1e-300 ? log(x) - log(2.0) : log(0.5 * x); }

__device__ void gamma_parts(double m, double* even, double* odd) {
    *even = 0.0;
    *odd = 0.0;
    for (int k = N_GAMMA - 2; k >= 0; k -= 2) {
        *even = *even * (m * m) + GAMMA[k];
        *odd = *odd * (m * m) + GAMMA[k + 1];
    }
}

__device__ double log_iv_near(double v, double x) {
    const int n = (int)(v + 0.5);
    const double m = v - n, h = 0.5 * x, y = h * h;
    double power = 1.0, product = 1.0, total = 1.0, term = 1.0, even, odd;
    for (int k = 1; k <= n; ++k) {
        power *= h;
        product *= m + k;
    }
    for (int k = 1; k < 100; ++k) {
        term *= y / (k * (v + k));
        total += term;
        if (term < 1e-17 * total) break;
    }
    gamma_parts(m, &even, &odd);
    total *= (even + m * odd) / product;
    return h < 1e-8 ? v * log_half(x) + log(total) : m * log(h) + log(power * total);
}

__device__ double iv_ratio_near(double v, double x) {
    const double y = 0.25 * x * x;
    double above = 0.0, here = 1.0;
    for (int k = (int)(20.0 + 1.7 * x); k > 0; --k) {
        const double below = (v + k) * here + y * above;
        above = here;
        here = below;
    }
    return 0.5 * x * above / here;
}

__device__ void kv_by_series(double m, double x, double* low, double* high) {
    double even, odd;
    gamma_parts(m, &even, &odd);
    const double at_plus = even + m * odd, at_minus = even - m * odd, y = 0.25 * x * x;
    const double L = -log_half(x), s = m * L, grown = exp(s);
    const double shc = s == 0.0 ? 1.0 : sinh(s) / s;
    double f = (even * L * shc - odd * cosh(s)) / (at_plus * at_minus);
    double p = 0.5 * grown / at_plus, q = 0.5 / (grown * at_minus), c = 1.0;
    *low = f;
    *high = p;
    for (int k = 1; k < 100; ++k) {
        const double inverse = 1.0 / (k * (double)k - m * m);
        f = (k * f + p + q) * inverse;
        p *= (k + m) * inverse;
        q *= (k - m) * inverse;
        c *= y / k;
        *low += c * f;
        *high += c * (p - k * f);
        if (c * f < 1e-17 * *low) break;
    }
}

__device__ void kv_by_fraction(double m, double x, double* low, double* high) {
    double following = 0.0, here = 1.0, total = 1.0;
    for (int k = (int)(10.0 + 160.0 / x); k > 0; --k) {
        const double before = 2.0 * (k + x) * here - ((k + 0.5) * (k + 0.5) - m * m) * following;
        following = here;
        here = before;
        total = here + ((k - 0.5) * (k - 0.5) - m * m) / k * total;
    }
    *low = here / total;
    *high = *low * (m + x + 0.5 - (0.25 - m * m) * following / here) / x;
}

__device__ double kv_near(double v, double x, bool ratio, bool scaled) {
    const int n = (int)(v + 0.5);
    const double m = v - n, h = 0.5 * x;
    const bool small = x <= 2.0;
    double low, high;
    if (small) kv_by_series(m, x, &low, &high);
    else kv_by_fraction(m, x, &low, &high);
    for (int k = 1; k <= n; ++k) {
        const double next = small ? (m + k) * high + h * h * low : 2.0 * (m + k) / x * high + low;
        low = high;
        high = next;
    }
    if (ratio) return small ? 2.0 * (high / low) / x : high / low;
    if (small) return log(low) - n * log_half(x) + (scaled ? x : 0.0);
    return log(low * sqrt(0.5 * PI / x)) - (scaled ? 0.0 : x);
}

__device__ bool illegal(double v, double x) { return !(v >= 0.0 && x >= 0.0) || (isinf(v) && isinf(x)); }

__device__ double log_iv(double v, double x, bool scaled) {
    if (illegal(v, x)) return NOTHING;
    if (isinf(x)) return scaled ? -INF : INF;
    if (x == 0.0 || isinf(v)) return v == 0.0 ? 0.0 : -INF;
    if (hypot(v, x) >= FAR) return log_far(v, x, 1.0, scaled);
    return log_iv_near(v, x) - (scaled ? x : 0.0);
}

__device__ double log_kv(double v, double x, bool scaled) {
    v = fabs(v);
    if (illegal(v, x)) return NOTHING;
    if (isinf(x)) return -INF;
    if (x == 0.0 || isinf(v)) return INF;
    return hypot(v, x) >= FAR ? log_far(v, x, -1.0, scaled) : kv_near(v, x, false, scaled);
}

__device__ double ratio_far(double v, double x, double sign) {
    const double c = scale_of(v, x), r = hypot(c * v, c * x);
    v *= c;
    x *= c;
    const double q = sign / r, p = (v / r) * (v / r);
    const double part = x / r * (correction(SLOPES, q, p) / (1.0 + correction(DEBYE, q, p)));
    return (sign > 0.0 ? x / (r + v) : (r + v) / x) - part;
}

__device__ double iv_ratio(double v, double x) {
    if (illegal(v, x)) return NOTHING;
    if (isinf(x) || x == 0.0 || isinf(v)) return isinf(x) ? 1.0 : 0.0;
    return hypot(v, x) >= FAR ? ratio_far(v, x, 1.0) : iv_ratio_near(v, x);
}

__device__ double kv_ratio(double v, double x) {
    if (illegal(v, x)) return NOTHING;
    if (isinf(x) || x == 0.0 || isinf(v)) return isinf(x) ? 1.0 : INF;
    return hypot(v, x) >= FAR ? ratio_far(v, x, -1.0) : kv_near(v, x, true, false);
}

__device__ double slope_far(double v, double x, double sign) {
    const double asinh_q = asinh_quotient(v, x), c = scale_of(v, x);
    v *= c;
    x *= c;
    const double r = hypot(v, x), t = v / r, q = sign / r, p = t * t;
    const double turn = 2.0 * t * (x / r) * (x / r) / r;
    double total = 0.0, change = 0.0;
    for (int k = TERMS; k > 0; --k) {
        double row = DEBYE[k * (TERMS + 1) + k], slope = 0.0;
        for (int j = k - 1; j >= 0; --j) {
            slope = slope * p + row;
            row = row * p + DEBYE[k * (TERMS + 1) + j];
        }
        total = (total + row) * q;
        change = (change + (slope * turn - k * (t / r) * row)) * q;
    }
    const double slope = change / (1.0 + total) - 0.5 * t / r - sign * asinh_q;
    if (sign < 0.0 || v >= 1e-6 || x >= 700.0) return slope;
    return slope - PI * exp(-2.0 * x) * (1.0 + correction(DEBYE, -q, p)) / (1.0 + total);
}

__device__ double iv_slope_by_integral(double v, double x) {
    const double end = acosh(1.0 + 42.0 / x), sine = sin(PI * v), cosine = cos(PI * v);
    double value = 0.0, change = 0.0;
    for (int i = 0; i < N_NODES; ++i) {
        const double t = PI * NODES[i], u = end * NODES[i], s = sin(0.5 * t);
        const double wave = PI * WEIGHTS[i] * exp(-2.0 * x * s * s);
        const double decay = end * WEIGHTS[i] * exp(-x * (cosh(u) + 1.0) - v * u);
        value += wave * cos(v * t) - decay * sine;
        change += wave * t * sin(v * t) + decay * (PI * cosine - u * sine);
    }
    return -change / value;
}

__device__ double iv_order_slope(double v, double x) {
    if (illegal(v, x)) return NOTHING;
    if (isinf(x) || x == 0.0 || isinf(v)) return isinf(x) ? 0.0 : -INF;
    if (hypot(v, x) >= FAR) return slope_far(v, x, 1.0);
    if (v < 0.5 && x > 2.0) return iv_slope_by_integral(v, x);
    const int n = (int)(v + 0.5);
    const double m = v - n, h = 0.5 * x;
    double g = 0.0, slope = 0.0;
    for (int k = N_GAMMA - 1; k >= 0; --k) {
        slope = slope * m + g;
        g = g * m + GAMMA[k];
    }
    double digamma = -slope / g, total = 1.0, weighted = 0.0, term = 1.0, harmonic = 0.0;
    for (int k = 1; k <= n; ++k) digamma += 1.0 / (m + k);
    for (int k = 1; k < 100; ++k) {
        term *= h * h / (k * (v + k));
        harmonic += 1.0 / (v + k);
        total += term;
        weighted += term * harmonic;
        if (term * harmonic < 1e-17 * weighted) break;
    }
    return log_half(x) - digamma - weighted / total;
}

__device__ double kv_order_slope(double v, double x) {
    if (illegal(v, x)) return NOTHING;
    if (isinf(x) || x == 0.0 || isinf(v)) return isinf(x) || v == 0.0 ? 0.0 : INF;
    const double r = hypot(v, x);
    if (r >= FAR) return slope_far(v, x, -1.0);
    const double peak = asinh_quotient(v, x), right = acosh(1.0 + 42.0 / r);
    double left = x > 1e-150 ? acosh(1.0 + 42.0 * (r + v) / (x * x)) : peak;
    if (v > 0.0) left = fmin(left, 42.0 / v + sqrt(84.0 / v));
    left = fmin(left, peak);
    const int nodes = max(96, (int)(5.0 * (left + right)));
    const double step = (left + right) / nodes;
    double total = 0.0, moment = 0.0;
    for (int i = 0; i <= nodes; ++i) {
        const double w = i * step - left, u = peak + w, half = sinh(0.5 * w);
        const double fall = w < -1.0
            ? 0.5 * (r + v) * expm1(w) + 0.5 * x * x / (r + v) * expm1(-w) - v * w
            : 2.0 * r * half * half + 2.0 * v * half * cosh(0.5 * w) - v * w;
        const double weight = exp(-fall) * (i == 0 ? 0.5 : 1.0);
        total += weight * (1.0 + exp(-2.0 * v * u));
        moment -= weight * u * expm1(-2.0 * v * u);
    }
    return moment / total;
}
"""
)

CALLS = {
    "log_iv": "log_iv(v, x, false)",
    "log_ive": "log_iv(v, x, true)",
    "log_kv": "log_kv(v, x, false)",
    "log_kve": "log_kv(v, x, true)",
    **{name: f"{name}(v, x)" for name in ("iv_ratio", "kv_ratio", "iv_order_slope", "kv_order_slope")},
}

LOG_IV, LOG_IVE, LOG_KV, LOG_KVE, IV_RATIO, KV_RATIO, IV_ORDER_SLOPE, KV_ORDER_SLOPE = (
    cupy.ElementwiseKernel("T v, T x", "T y", f"y = (T){call}", f"special_{name}", preamble=PREAMBLE)
    for name, call in CALLS.items()
)
KERNELS = dict(
    zip(
        CALLS,
        (LOG_IV, LOG_IVE, LOG_KV, LOG_KVE, IV_RATIO, KV_RATIO, IV_ORDER_SLOPE, KV_ORDER_SLOPE),
        strict=True,
    )
)


def put(values, where, out):
    """Write values into `out`, or into an array of nan, where a mask holds."""
    where = cupy.asarray(where)
    if out is None:
        return cupy.where(where, values, cupy.nan)
    out[...] = cupy.where(where, values, out)
    return out
