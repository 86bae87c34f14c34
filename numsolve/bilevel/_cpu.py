"""Kernels of total variation.

x, y, v : (images, rows, columns); weight: half of e^t0; smooth: e^(2 t1).
The sum of sqrt(d^2 + smooth) over the differences d along rows and columns has the derivative d / sqrt and the
second derivative smooth / sqrt^3.
"""

from __future__ import annotations

import math

import numpy as np

from numsolve._core.compiled import kernel


@kernel
def tv_gradient(x, y, weight, smooth):
    """X - y + weight * (the gradient of the sum)."""
    out = np.empty_like(x)
    images, rows, columns = x.shape
    for k in range(images):
        for i in range(rows):
            for j in range(columns):
                out[k, i, j] = x[k, i, j] - y[k, i, j]
        for i in range(rows):
            for j in range(columns):
                if i + 1 < rows:
                    d = x[k, i + 1, j] - x[k, i, j]
                    g = weight * d / math.sqrt(d * d + smooth)
                    out[k, i + 1, j] += g
                    out[k, i, j] -= g
                if j + 1 < columns:
                    d = x[k, i, j + 1] - x[k, i, j]
                    g = weight * d / math.sqrt(d * d + smooth)
                    out[k, i, j + 1] += g
                    out[k, i, j] -= g
    return out


@kernel
def tv_product(x, v, weight, smooth):
    """V + weight * (the Hessian of the sum) v."""
    out = v.copy()
    images, rows, columns = x.shape
    scale = weight * smooth
    for k in range(images):
        for i in range(rows):
            for j in range(columns):
                if i + 1 < rows:
                    d = x[k, i + 1, j] - x[k, i, j]
                    s = d * d + smooth
                    g = scale * (v[k, i + 1, j] - v[k, i, j]) / (s * math.sqrt(s))
                    out[k, i + 1, j] += g
                    out[k, i, j] -= g
                if j + 1 < columns:
                    d = x[k, i, j + 1] - x[k, i, j]
                    s = d * d + smooth
                    g = scale * (v[k, i, j + 1] - v[k, i, j]) / (s * math.sqrt(s))
                    out[k, i, j + 1] += g
                    out[k, i, j] -= g
    return out


@kernel
def tv_cross(x, q, weight, smooth):
    """The derivatives of q'(gradient) in t0 and t1."""
    first = 0.0
    second = 0.0
    images, rows, columns = x.shape
    for k in range(images):
        for i in range(rows):
            for j in range(columns):
                if i + 1 < rows:
                    d = x[k, i + 1, j] - x[k, i, j]
                    s = d * d + smooth
                    part = d * (q[k, i + 1, j] - q[k, i, j]) / math.sqrt(s)
                    first += part
                    second -= part * smooth / s
                if j + 1 < columns:
                    d = x[k, i, j + 1] - x[k, i, j]
                    s = d * d + smooth
                    part = d * (q[k, i, j + 1] - q[k, i, j]) / math.sqrt(s)
                    first += part
                    second -= part * smooth / s
    return weight * first, weight * second
