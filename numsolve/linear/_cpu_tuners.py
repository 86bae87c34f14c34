"""Compiled kernels of the tuners: sampling weights, posteriors and small least-squares problems."""

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
def tsallis_weights(losses, step):
    """Weights p_i = 4 / (step (l_i - x))^2 that sum to one, for x below all l_i.

    Newton's method from the right end of the bracket ``min l - [2 sqrt(d), 2] / step``: there the sum is
    convex, increasing and at least one, so that the iterates fall monotonely to the solution.
    """
    least = np.min(losses)
    low, x = -2 * np.sqrt(losses.size) / step, -2 / step
    p = np.empty_like(losses)
    for _ in range(100):
        total = slope = 0.0
        for i in range(p.size):
            root = 2 / (step * ((losses[i] - least) - x))
            p[i] = root * root
            total += p[i]
            slope += root * root * root
        new = max(x - (total - 1) / (step * slope), low)
        if not new < x:
            break
        x = new
    return p / np.sum(p)


@njit(cache=True, error_model="numpy")
def chebyshev(z, out):
    """T_0(z), T_1(z), ... into `out`."""
    out[0] = 1.0
    if out.size > 1:
        out[1] = z
    for j in range(2, out.size):
        out[j] = 2 * z * out[j - 1] - out[j - 2]


@njit(cache=True, error_model="numpy")
def box_least_squares(G, g, bound):
    """Minimise theta' G theta - 2 g' theta over |theta_j| <= bound_j by accelerated projected gradients.

    They start from zero, so that of several minimisers one of small norm is found.
    """
    theta = np.zeros_like(g)
    ahead = theta
    size, weight = np.trace(G), 1.0
    for _ in range(2000):
        new = np.minimum(np.maximum(ahead - (G @ ahead - g) / size, -bound), bound)
        after = (1 + np.sqrt(1 + 4 * weight * weight)) / 2
        ahead = new + (weight - 1) / after * (new - theta)
        done = np.max(np.abs(new - theta) / bound) < 1e-10
        theta, weight = new, after
        if done:
            break
    return theta


@njit(cache=True, error_model="numpy")
def features(arm_features, z_features, out):
    """The features of one arm in one context: the products of both."""
    q = z_features.size
    for a in range(arm_features.size):
        own = arm_features[a]
        for b in range(q):
            out[a * q + b] = own * z_features[b]


@njit(cache=True, error_model="numpy")
def learn(precision, moment, phi, y, weight):
    """Add an observation y of the features phi to a Gaussian posterior in information form."""
    n = phi.size
    for i in range(n):
        own = weight * phi[i]
        if own != 0:
            moment[i] += own * y
            for j in range(i + 1):
                precision[i, j] += own * phi[j]


@njit(cache=True, error_model="numpy")
def relearn(precision, moment, prior, arm_features, arms, contexts, targets, weights, degree):
    """The posterior of a whole history."""
    m = prior.size
    precision[:] = 0
    moment[:] = 0
    for i in range(m):
        precision[i, i] = 1 / prior[i] ** 2
    z, phi = np.empty(degree + 1), np.empty(m)
    for t in range(arms.size):
        chebyshev(contexts[t], z)
        features(arm_features[arms[t]], z, phi)
        learn(precision, moment, phi, targets[t], weights[t])


@njit(cache=True, error_model="numpy")
def predict(precision, moment, arm_features, context, degree):
    """Mean and standard deviation of each arm in a context, by Cholesky's factorisation of the precision."""
    m, d = moment.size, arm_features.shape[0]
    C = precision.copy()
    for j in range(m):
        for k in range(j):
            own = C[j, k]
            for i in range(j, m):
                C[i, j] -= C[i, k] * own
        root = np.sqrt(C[j, j])
        for i in range(j, m):
            C[i, j] /= root
    h = moment.copy()
    for i in range(m):
        for k in range(i):
            h[i] -= C[i, k] * h[k]
        h[i] /= C[i, i]
    mean, std = np.zeros(d), np.zeros(d)
    z, phi = np.empty(degree + 1), np.empty(m)
    chebyshev(context, z)
    for arm in range(d):
        features(arm_features[arm], z, phi)
        for i in range(m):
            for k in range(i):
                phi[i] -= C[i, k] * phi[k]
            phi[i] /= C[i, i]
            mean[arm] += phi[i] * h[i]
            std[arm] += phi[i] * phi[i]
        std[arm] = np.sqrt(std[arm])
    return mean, std
