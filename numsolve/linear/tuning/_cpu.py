"""Compiled kernels of the tuners: sampling weights, posteriors and small least-squares problems.

Comparisons stand in place of `min` and `max`, each of which takes as long to compile as a small kernel.
"""
# ruff: noqa: PLR1730

import numpy as np

from numsolve._core.compiled import inner, kernel

_REDUCTION = {"contract", "nsz", "reassoc"}


@kernel
def tsallis_weights(losses, step, p):
    """Weights p_i = 4 / (step (l_i - x))^2 that sum to one, for x below all l_i, into `p`.

    Newton's method from the right end of the bracket ``min l - [2 sqrt(d), 2] / step``: there the sum is
    convex, increasing and at least one, so that the iterates fall monotonely to the solution.
    """
    least = losses[0]
    for i in range(p.size):
        if losses[i] < least:
            least = losses[i]
    low, x = -2 * np.sqrt(p.size) / step, -2 / step
    total = 1.0
    for _ in range(100):
        total = slope = 0.0
        for i in range(p.size):
            root = 2 / (step * ((losses[i] - least) - x))
            p[i] = root * root
            total += p[i]
            slope += root * root * root
        new = x - (total - 1) / (step * slope)
        if new < low:
            new = low
        if not new < x:
            break
        x = new
    for i in range(p.size):
        p[i] /= total


@inner(fastmath=_REDUCTION)
def _dot(u, v):
    total = 0.0
    for i in range(u.size):
        total += u[i] * v[i]
    return total


@inner(fastmath=_REDUCTION)
def _part(u, v, first, last):
    total = 0.0
    for i in range(first, last):
        total += u[i] * v[i]
    return total


@inner(fastmath={"contract", "nsz"})
def _shrink(row, keep, gain, own_keep, own_gain, inverse, first, last):
    """A row of a covariance after an observation and a drift; as that of the transpose, to the last bit."""
    for j in range(first, last):
        row[j] = (own_keep * keep[j]) * (row[j] - (own_gain * gain[j]) * inverse)


@kernel
def box_least_squares(G, g, bound, theta, ahead, new):
    """Minimise theta' G theta - 2 g' theta over |theta_j| <= bound_j by accelerated projected gradients.

    `theta` gets the solution; `ahead` and `new` are places to work in. The iteration starts from zero, so
    that of several minimisers one of small norm is found, and ends after 2000 steps at the latest: what is
    left then is less than what the costs of a solve scatter.
    """
    size, weight = 0.0, 1.0
    for j in range(g.size):
        size += G[j, j]
        theta[j] = ahead[j] = 0.0
    for _ in range(2000):
        after = (1 + np.sqrt(1 + 4 * weight * weight)) / 2
        most = 0.0
        for j in range(g.size):
            value = ahead[j] - (_dot(G[j], ahead) - g[j]) / size
            if value < -bound[j]:
                value = -bound[j]
            if value > bound[j]:
                value = bound[j]
            new[j] = value
            change = abs(value - theta[j]) / bound[j]
            if change > most:
                most = change
        for j in range(g.size):
            ahead[j] = new[j] + (weight - 1) / after * (new[j] - theta[j])
            theta[j] = new[j]
        weight = after
        if most < 1e-10:
            break


@kernel
def chebyshev(z, count, out):
    """T_0(z), T_1(z), ..., as many as `count`, into the first places of `out`."""
    for j in range(count):
        out[j] = 1.0 if j == 0 else z if j == 1 else 2 * z * out[j - 1] - out[j - 2]


@kernel
def learn(cov, theta, prior, keep, arm_features, blocks, first_of, arms, rounds, work):
    """Kalman's filter: observe ``y = phi' theta + noise`` in each of some rounds, then let theta drift.

    Each theta_i becomes keep_i theta_i + noise, with the noise that leaves the prior as it is. The columns of
    `rounds` are the context on [-1, 1], y, and the variance of the noise. The features phi are the products
    of those of the arm with those of the context: Chebyshev polynomials, and at the end a 1 for what drifts
    whatever the context. The rows of `work` are places for phi, for the gain and for the context's features.

    Families of arms have features of their own, a block of columns each: `blocks` has the ends of the block
    of each column, `first_of` the first column of each arm. Two blocks have no covariance.
    """
    n, q = theta.size, theta.size // arm_features.shape[1]
    phi, gain, z = work[0], work[1], work[2]
    for t in range(arms.size):
        chebyshev(rounds[t, 0], q - 1, z)
        z[q - 1] = 1.0
        own = first_of[arms[t]]
        first, last = np.uint64(blocks[own, 0] * q), np.uint64(blocks[own, 1] * q)
        for a in range(blocks[own, 0], blocks[own, 1]):
            for b in range(q):
                phi[a * q + b] = arm_features[arms[t], a] * z[b]
        for i in range(n):
            gain[i] = _part(cov[i], phi, first, last) if first <= i < last else 0.0
        spread = _part(phi, gain, first, last) + rounds[t, 2]
        error, inverse = (rounds[t, 1] - _part(phi, theta, first, last)) / spread, 1 / spread
        for i in range(n):
            theta[i] = keep[i] * (theta[i] + gain[i] * error)
            begin, end = np.uint64(blocks[i // q, 0] * q), np.uint64(blocks[i // q, 1] * q)
            _shrink(cov[i], keep, gain, keep[i], gain[i], inverse, begin, end)
            cov[i, i] += (1 - keep[i] * keep[i]) * prior[i] * prior[i]


@kernel(fastmath=_REDUCTION)
def predict(cov, theta, arm_features, blocks, context, z, mean, std):
    """Mean and standard deviation of each arm in a context, into the last two; `z` is a place to work in."""
    q = z.size
    chebyshev(context, q - 1, z)
    z[q - 1] = 1.0
    for arm in range(mean.size):
        mean[arm] = std[arm] = 0.0
    for a in range(arm_features.shape[1]):  # the coefficient of a feature of the arms, and its variance
        coefficient = 0.0
        for i in range(q):
            coefficient += theta[a * q + i] * z[i]
        for arm in range(mean.size):
            mean[arm] += arm_features[arm, a] * coefficient
        for b in range(blocks[a, 0], blocks[a, 1]):
            variance = 0.0
            for i in range(q):
                row = 0.0
                for j in range(q):
                    row += cov[a * q + i, b * q + j] * z[j]
                variance += z[i] * row
            for arm in range(mean.size):
                std[arm] += arm_features[arm, a] * variance * arm_features[arm, b]
    for arm in range(mean.size):
        std[arm] = np.sqrt(std[arm]) if std[arm] > 0 else 0.0


@kernel
def lean(mean, lower, rate, explore, p):
    """The probabilities of arms whose logarithmic costs have such means, into `p`.

    Those of the inverse gaps have the weight `explore`; the rest goes to the arm with the least `lower`.
    """
    best = low = 0
    for i in range(p.size):
        if mean[i] < mean[best]:
            best = i
        if lower[i] < lower[low]:
            low = i
    total = 0.0
    for i in range(p.size):
        gap = mean[i] - mean[best]
        if gap > 50.0:
            gap = 50.0
        if i != best:
            p[i] = explore / (p.size + rate * (np.exp(gap) - 1))
            total += p[i]
    p[best] = explore - total
    p[low] += 1 - explore
