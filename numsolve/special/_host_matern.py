"""The Matérn correlation of NumPy arrays, by the compiled kernels; numbers as in ``matern``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import arrays

from . import _generic_matern
from ._host import CHUNK, Sorter

if TYPE_CHECKING:
    from numsolve._core.typing import Array

#: Larger orders are infinite: the correlation differs from its limit by less than 1 / order.
MOST = 1e100
#: Smaller scaled distances are taken by their logarithm.
LEAST = 1e-150
#: Larger ones are the same: the correlation is 0.
FARTHEST = 1e300
#: From this scaled distance on exp(-s) is 0.
GONE = 800.0
#: The smoothnesses whose correlation is formed in closed form.
HALVES = (0.5, 1.5, 2.5, 3.5)


def half_integer(r: Array, nu: float, length: Array) -> Array:
    """K of one nu = p + 1/2: exp(-s) times a polynomial (DLMF 10.49.12)."""
    p = int(nu)
    s = np.minimum(math.sqrt(2.0 * nu) * (r / length), GONE)
    polynomial = np.zeros_like(s)
    for j in range(p, -1, -1):
        coefficient = math.comb(p, j) * math.factorial(2 * p - j) * 2**j / math.factorial(2 * p)
        polynomial = polynomial * s + coefficient
    k: Array = polynomial * np.exp(-s)
    return k


def host_values(r: Array, nu: Array, length: Array, *, gradient: bool = False) -> tuple[Array, ...]:
    """K, and with `gradient` its derivatives in r, nu and length, of broadcast arrays."""
    if r.size and not gradient and (one := float(nu.flat[0])) in HALVES and (nu == one).all():
        with np.errstate(all="ignore"):
            return (half_integer(r, one, length),)
    out = tuple(np.empty(r.shape) for _ in range(4 if gradient else 1))
    flat = [a.reshape(-1) for a in out]
    sorter = Sorter(arrays.kernels_for(np, __package__, "matern"), min(r.size, CHUNK))
    arguments = np.nditer(
        [r, nu, length],
        flags=["external_loop", "buffered", "zerosize_ok"],
        order="C",
        buffersize=CHUNK,
    )
    start = 0
    with np.errstate(all="ignore"):
        for distance, order, scale in arguments:
            part = slice(start, start + distance.size)
            _fill(sorter, distance, order, scale, [a[part] for a in flat])
            start += distance.size
    return out


def _fill(sorter: Sorter, r: Array, nu: Array, length: Array, out: list[Array]) -> None:
    """Fill in a chunk."""
    v = np.minimum(nu, MOST)
    rate = np.sqrt(2.0 * v) / length
    s = np.minimum(np.sqrt(2.0 * v) * (r / length), FARTHEST)
    gradient = len(out) > 1
    values, ratio, in_order = np.empty((3, v.size))
    for kind, part in sorter.parts(v, np.where(s > 0.0, s, 1.0)):
        _fill_kind(sorter, kind, part, gradient=gradient)
    sorter.k.put_back(sorter.y, sorter.place, values)
    values[s == 0.0] = 1.0
    out[0][:] = values
    if gradient:
        sorter.k.put_back(sorter.z, sorter.place, ratio)
        sorter.k.put_back(sorter.w, sorter.place, in_order)
        slope = -values * ratio  # (2)
        at_0 = np.where(v > 0.5, 0.0, np.where(v == 0.5, -rate, -math.inf))
        out[1][:] = np.where(r > 0.0, slope * np.sqrt(2.0 * v) / length, at_0)  # the rate may overflow
        out[2][:] = np.where((nu < MOST) & (r > 0.0) & (values > 0.0), values * in_order, 0.0)
        out[3][:] = -slope * s / length
    tiny = (s < LEAST) & (r > 0.0)
    if tiny.any():
        for a, filled in zip(_next_to_zero(r[tiny], nu[tiny], length[tiny]), out, strict=False):
            filled[tiny] = a


def _fill_kind(sorter: Sorter, kind: int, part: slice, *, gradient: bool) -> None:
    """Fill in entries of one kind: k, K_{nu-1} / K_nu, and d log k / d nu at a fixed distance."""
    v, s, k, ratio, in_order = (a[part] for a in (sorter.v, sorter.x, sorter.y, sorter.z, sorter.w))
    kernels, xp, work = sorter.k, arrays.array_namespace(v=v), sorter.work
    one = v[:1] if (v == v[0]).all() else v  # formulas of nu alone
    if kind == kernels.NEITHER:
        k[:] = np.where(s < FARTHEST, _generic_matern.matern(xp, v, s), 0.0)
        ratio[:] = _generic_matern.lower_ratio(xp, v, s)
        in_order[:] = 0.0
    elif kind <= kernels.AT_ROOT:
        terms = kernels.TERMS[kind]
        kernels.matern_far(v, s, k, ratio, terms, work)
        k[:] = np.exp(
            _generic_matern.matern_exponent(xp, v, s) + k - _generic_matern.stirling(xp, one)
        )  # (4)
        if gradient:
            kernels.matern_order_far(v, s, in_order, terms, work)
            in_order -= _generic_matern.stirling_slope(xp, one)
    else:
        kernels.matern_near(v, s, k, ratio, kind == kernels.SMALL, work)
        if gradient:
            kernels.order_slope(v, s, in_order, False, -1.0, work)
            in_order += (
                np.log(0.5 * s / v) + _generic_matern.log_less_digamma(xp, one) - 0.5 * s / v * ratio
            )  # (3)


def _next_to_zero(r: Array, nu: Array, length: Array) -> tuple[Array, ...]:
    """The first two terms of K: k = 1 - Gamma(1 - nu) / Gamma(1 + nu) (s/2)^(2 nu), for nu < 1."""
    import scipy.special

    rough = nu < 1.0
    v = np.where(rough, nu, 0.5)
    log_h = 0.5 * np.log(0.5 * v) + np.log(r) - np.log(length)
    log_gap = 2.0 * v * log_h + _log_gamma_quotient(v)
    gap = np.exp(log_gap)
    in_order = 2.0 * log_h + 1.0 - scipy.special.psi(1.0 - v) - scipy.special.psi(1.0 + v)
    k = np.where(rough, -np.expm1(log_gap), 1.0)
    d_dr = np.where(rough, -2.0 * np.exp(log_gap + np.log(v) - np.log(r)), 0.0)
    d_dlength = np.where(rough, 2.0 * v * gap / length, 0.0)
    return k, d_dr, np.where(rough, -gap * in_order, 0.0), d_dlength


def _log_gamma_quotient(v: Array) -> Array:
    """Log(Gamma(1 - v) / Gamma(1 + v)), near v = 0 by its series."""
    import scipy.special

    series = 2.0 * v * np.euler_gamma
    for k in (3, 5, 7):
        series = series + 2.0 * scipy.special.zeta(k) * v**k / k
    whole: Array = scipy.special.gammaln(1.0 - v) - scipy.special.gammaln(1.0 + v)
    return np.where(v < 0.01, series, whole)
