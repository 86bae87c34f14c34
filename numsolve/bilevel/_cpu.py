"""Kernels of total variation.

x, y, v : (images, rows, columns); weight: half of e^t0; smooth: e^(2 t1). The sum of sqrt(d^2 + smooth)
over the differences d along rows and columns has the derivative d / sqrt and the second derivative smooth /
sqrt^3.
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


@kernel
def elastic_net(gram, right, w, l1, l2, tol, sweeps):
    """Coordinate descent for w'gram w / 2 - right'w + sum(l1 |w| + l2 w^2 / 2), from w on, in place.

    Ends when the subgradient of least norm is at most tol.
    """
    d = w.size
    g = np.empty(d)  # gram w - right
    for i in range(d):
        g[i] = -right[i]
        for j in range(d):
            g[i] += gram[i, j] * w[j]
    for _ in range(sweeps):
        for j in range(d):
            curvature = gram[j, j] + l2[j]
            if curvature <= 0.0:
                continue
            z = gram[j, j] * w[j] - g[j]
            new = 0.0
            if z > l1[j]:
                new = (z - l1[j]) / curvature
            elif z < -l1[j]:
                new = (z + l1[j]) / curvature
            change = new - w[j]
            if change != 0.0:
                w[j] = new
                for i in range(d):
                    g[i] += gram[i, j] * change
        square = 0.0
        for j in range(d):
            r = g[j] + l2[j] * w[j]
            if w[j] > 0.0:
                r += l1[j]
            elif w[j] < 0.0:
                r -= l1[j]
            else:
                r = max(abs(r) - l1[j], 0.0)
            square += r * r
        if math.sqrt(square) <= 0.5 * tol:
            break
    return w
