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
def context_features(z, out):
    """T_0(z), T_1(z), ..., and at the end a 1, for what drifts whatever the context."""
    chebyshev(z, out[:-1])
    out[-1] = 1.0


@njit(cache=True, error_model="numpy")
def features(arm_features, z_features, out):
    """The features of one arm in one context: the products of both."""
    q = z_features.size
    for a in range(arm_features.size):
        own = arm_features[a]
        for b in range(q):
            out[a * q + b] = own * z_features[b]


@njit(cache=True, error_model="numpy")
def learn(cov, theta, prior, keep, phi, y, variance):
    """A step of Kalman's filter: observe y = phi' theta + noise, then let theta drift.

    Each theta_i becomes keep_i theta_i + noise, with the noise that leaves the prior as it is.
    """
    n = phi.size
    gain = cov @ phi
    spread = phi @ gain + variance
    error = (y - phi @ theta) / spread
    for i in range(n):
        theta[i] = keep[i] * (theta[i] + gain[i] * error)
        for j in range(i + 1):
            cov[i, j] = keep[i] * keep[j] * (cov[i, j] - gain[i] * gain[j] / spread)
            cov[j, i] = cov[i, j]
        cov[i, i] += (1 - keep[i] ** 2) * prior[i] ** 2


@njit(cache=True, error_model="numpy")
def relearn(cov, theta, prior, keep, arm_features, arms, contexts, targets, variances):
    """The state after a whole history."""
    m = prior.size
    cov[:] = 0
    theta[:] = 0
    for i in range(m):
        cov[i, i] = prior[i] ** 2
    z, phi = np.empty(m // arm_features.shape[1]), np.empty(m)
    for t in range(arms.size):
        context_features(contexts[t], z)
        features(arm_features[arms[t]], z, phi)
        learn(cov, theta, prior, keep, phi, targets[t], variances[t])


@njit(cache=True, error_model="numpy")
def predict(cov, theta, arm_features, context):
    """Mean and standard deviation of each arm in a context."""
    d, p = arm_features.shape
    q = theta.size // p
    z = np.empty(q)
    context_features(context, z)
    mean, square = np.zeros(p), np.zeros((p, p))  # of the coefficients of the arms' features
    for a in range(p):
        mean[a] = theta[a * q : (a + 1) * q] @ z
        for b in range(p):
            for i in range(q):
                row = cov[a * q + i, b * q : (b + 1) * q]
                square[a, b] += z[i] * (row @ z)
    std = np.empty(d)
    for arm in range(d):
        w = arm_features[arm]
        std[arm] = np.sqrt(max(w @ (square @ w), 0.0))
    return arm_features @ mean, std
