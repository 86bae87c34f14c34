r"""The constants that the kernels of all array libraries share.

``DEBYE[k]`` holds the coefficients of P_k, with :math:`u_k(t) = t^k P_k(t^2)` the Debye polynomials
(DLMF 10.41.9)::

    u_0 = 1,    u_{k+1} = t^2 (1 - t^2) / 2 u_k' + (1/8) int_0^t (1 - 5 s^2) u_k(s) ds                   (1)

``SLOPES[k]`` holds those of Q_k, with :math:`W_k = t (u_{k-1} / 2 + t u_{k-1}') = t^k Q_k(t^2)`, which turn
the polynomials of the functions into those of their derivatives, ``v_k = u_k - (1 - t^2) W_k`` (DLMF
10.41.10).
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

__all__ = [
    "BY_P",
    "BY_Q",
    "DEBYE",
    "ETA",
    "FAR",
    "GAUSS_NODES",
    "GAUSS_WEIGHTS",
    "NEAR_ROOT",
    "RECIPROCAL_GAMMA",
    "ROOT",
    "ROOT_REST",
    "SLOPES",
    "TERMS",
]

#: From this radius sqrt(v^2 + x^2) on, the Debye expansion has all digits.
FAR = 25.0
#: Its terms: at `FAR` the next one is below 5e-17. The number is the same everywhere, so that a value does
#: not depend on the entries that are computed beside it.
TERMS = 17


def _debye(terms: int) -> np.ndarray:
    """Row k holds the coefficients of P_k, by (1) in exact fractions, and at least three zeros."""
    table = np.zeros((terms + 1, terms + 4))
    row = [Fraction(1)]
    for k in range(terms + 1):
        table[k, : k + 1] = [float(c) for c in row]
        following = [Fraction(0)] * (k + 2)
        for j, c in enumerate(row):
            power = k + 2 * j
            following[j] += c * (Fraction(power, 2) + Fraction(1, 8 * (power + 1)))
            following[j + 1] -= c * (Fraction(power, 2) + Fraction(5, 8 * (power + 3)))
        row = following
    return table


DEBYE = _debye(TERMS)
SLOPES = np.zeros_like(DEBYE)
for _k in range(1, TERMS + 1):
    SLOPES[_k, :_k] = DEBYE[_k - 1, :_k] * (_k - 0.5 + 2.0 * np.arange(_k))

#: The coefficients of the derivatives of U in log q and in p.
BY_Q = DEBYE * (np.arange(TERMS + 1.0)[:, None] * (np.arange(TERMS + 1) > 0)[:, None])
BY_P = np.roll(DEBYE * np.arange(DEBYE.shape[1]), -1, axis=1) * (np.arange(TERMS + 1) > 0)[:, None]

#: 1 / Gamma(1 + z) = sum d_k z^k (DLMF 5.7.1); for |z| <= 1/2 the next term is below 2e-18.
RECIPROCAL_GAMMA = np.array(
    [
        1.0,
        0.57721566490153286061,
        -0.65587807152025388108,
        -0.042002635034095235529,
        0.1665386113822914895,
        -0.042197734555544336748,
        -0.0096219715278769735621,
        0.0072189432466630995424,
        -0.0011651675918590651121,
        -0.00021524167411495097282,
        0.00012805028238811618615,
        -0.000020134854780788238656,
        -1.2504934821426706573e-6,
        1.1330272319816958824e-6,
        -2.0563384169776071035e-7,
        6.1160951044814158179e-9,
        5.0020076444692229301e-9,
        -1.1812745704870201446e-9,
        1.0434267116911005105e-10,
        7.782263439905071254e-12,
    ]
)

#: The root z_0 of eta(z) = sqrt(1 + z^2) - asinh(1 / z), in 24 bits and the rest.
ROOT = 0.6627433896064758
ROOT_REST = 2.9742705750896616e-08
#: eta as a series in (z - z_0) / (z + z_0), without the zeroth term, which is zero.
ETA = np.array(
    [
        2.3993572805154676678,
        0.73224416131353827096,
        1.62713210316350037,
        1.0857496908529796805,
        1.539723408680714849,
        1.1613663727950027111,
        1.4631763740793453032,
        1.196448904646287881,
        1.4371625933232553275,
        1.2281658567064195642,
        1.4176510486725314051,
        1.2412070559466263912,
        1.4009849527396579637,
    ]
)
#: Where it is used: below, the terms left out are below 1e-18.
NEAR_ROOT = 0.05

#: Gauss-Legendre quadrature from 0 to 1, for the integrals (10).
GAUSS_NODES, GAUSS_WEIGHTS = np.polynomial.legendre.leggauss(40)
GAUSS_NODES, GAUSS_WEIGHTS = 0.5 * (1.0 + GAUSS_NODES), 0.5 * GAUSS_WEIGHTS
