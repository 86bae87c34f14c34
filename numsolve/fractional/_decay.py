r"""Decay in time by Jacobi modes: ``du/dt = -kappa R u`` without steps.

Tested with the modes of the adjoint operator, ``omega' Q_j``, the coefficients c of the modes satisfy

    B dz/dt = -kappa z,   z = Lambda^(1/2) c,   B = Lambda^(-1/2) M Lambda^(-1/2),       (1)
    M_jk = int (1 - y^2)^alpha Q_j P_k dy,      Lambda = diag(lambda_k),                 (2)

where a Gauss rule has the integrals exactly. With ``B = V diag(mu) V^-1`` it has the solution

    z(t) = V diag(exp(-kappa t / mu) / mu) V^-1 B z(0),                                  (3)

and ``B z(0)`` are the moments of the start, over ``Lambda^(1/2)``. B is symmetric for equal weights. Where
its eigenvectors are of no use (one-sided operators of an order below one have none), exponentials of matrices
by scaling and squaring take their place. With a drift there is a matrix K beside B,

    B dz/dt = -K z,   K = kappa + Lambda^(-1/2) D Lambda^(-1/2),   K^-1 B = V diag(mu) V^-1,  (4)

with D from `_drift`, and ``K^-1 B z(0)`` in the place of ``B z(0)``.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import eig, eigh, expm

from ._drift import drift_matrix
from ._estimate import difference, from_levels
from ._settings import keep_time
from .jacobi import (
    JacobiSolution,
    basis,
    both_bases,
    exponents,
    gauss_rule,
    image_basis,
    image_rule,
    laplacian_scale,
    to_unit,
)
from .jacobi import eigenvalues as mode_eigenvalues

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from numsolve._core.limits import Limits

    from ._modes import Modes

    Array = NDArray[np.float64]
    Function = Callable[[Array], Array]

#: Numbers of modes that are tried, until the last three agree.
LEVELS = (16, 32, 64, 128, 256, 512)
#: Agreement at which no more modes are tried.
ENOUGH = 1e-10
#: Condition of the eigenvectors of a skewed operator, in Frobenius norms, up to which they are used.
MOST_CONDITION = 1e9
#: Points of the rule for the moments of a start, for each mode: it need not be smooth.
SAMPLES, FEWER_SAMPLES = 4, 3


class Decay:
    """The semigroup on N modes; with a drift v, that of ``kappa R u + v u'``, see `_drift`."""

    def __init__(self, modes: Modes, N: int, kappa: float = 1.0, drift: Function | None = None) -> None:
        self.modes, self.N = modes, N
        alpha, weights = modes.alpha, modes.weights
        y, w = gauss_rule(N, alpha)
        P, Q = both_bases(N, alpha, y, weights)
        self.root = np.sqrt(mode_eigenvalues(N, alpha, weights))
        self.B = Q.T @ (w[:, None] * P) / np.outer(self.root, self.root)  # (1), (2)
        self.rate = kappa * laplacian_scale(modes.interval, alpha)
        self.K = self.rate * np.eye(N)
        self.V: Any = None
        if drift is not None:
            self.K += drift_matrix(drift, modes, N) / np.outer(self.root, self.root)
            self.rate = 1.0
        if weights[0] == weights[1] and drift is None:
            self.mu, self.V = eigh(self.B)
            self.inverse: Any = self.V.T
        else:
            mu, V = eig(self.B if drift is None else np.linalg.solve(self.K, self.B))  # (4)
            try:
                inverse = np.linalg.inv(V)
            except np.linalg.LinAlgError:
                return
            condition = np.linalg.norm(V) * np.linalg.norm(inverse)
            if drift is not None:
                inverse = np.linalg.solve(self.K.T, inverse.T).T
            if condition <= MOST_CONDITION:
                self.mu, self.V, self.inverse = mu, V, inverse

    def moments(self, u0: Callable[[Array], Array], samples: int = SAMPLES) -> Array:
        """``B z(0)`` of a function, from so many samples for each mode."""
        alpha, weights = self.modes.alpha, self.modes.weights
        if isinstance(u0, JacobiSolution) and (u0.alpha, u0.weights, u0.interval) == (
            alpha,
            weights,
            self.modes.interval,
        ):
            c = np.zeros(self.N)
            kept = min(self.N, u0.coefficients.size)
            c[:kept] = u0.coefficients[:kept]
            return np.asarray(self.B @ (self.root * c))
        y, w = image_rule(samples * self.N, alpha, weights)
        a, b = self.modes.interval
        values = u0((a + b) / 2 + (b - a) / 2 * y)
        return np.asarray(image_basis(self.N, y.size, alpha, weights).T @ (w * values)) / self.root

    def states(self, moments: Array, elapsed: Array, *, rate: bool = False) -> Array:
        """Coefficients at these times (of kappa one), one row each: (3); or of ``-du/dt``."""
        if self.V is None:
            z = self._by_exponentials(moments, elapsed)
            return (z @ self.generator.T if rate else z) / self.root
        good = self.mu.real > 0
        share = np.where(good, (self.inverse @ moments) / np.where(good, self.mu, 1.0), 0.0)
        rates = np.where(good, self.rate / np.where(good, self.mu, 1.0), 0.0)
        share = share * rates if rate else share
        with np.errstate(over="ignore"):  # after so long a time there is nothing left
            z = np.exp(-np.multiply.outer(elapsed, rates)) * share @ self.V.T
        return np.asarray(z.real / self.root)

    def _by_exponentials(self, moments: Array, elapsed: Array) -> Array:
        generator = -self.generator
        z, now, out = self.backwards @ moments, 0.0, []
        step, propagator = -1.0, np.eye(self.N)
        for t in elapsed:
            if abs(t - now - step) > 1e-12 * t:
                step = t - now
                propagator = expm(step * generator)
            z, now = propagator @ z, t
            out.append(z)
        return np.array(out)

    def integrals(self, moments: Array, k: int) -> Array:
        """Coefficients of the integral of ``k t^(k-1) u(t)`` over all times, for rate one: ``k! B^(k-1)``."""
        z = moments
        for j in range(2, k + 1):
            z = j * (self.B @ z)
        return np.asarray(z / self.root)

    @cached_property
    def backwards(self) -> Array:
        """The inverse of B."""
        return np.asarray(np.linalg.inv(self.B))

    @cached_property
    def generator(self) -> Array:
        """What dz/dt is minus the product of."""
        return np.asarray(self.backwards @ self.K)

    def at_witnesses(self, coefficients: Array) -> Array:
        """The functions with these rows of coefficients where solutions are compared."""
        return np.asarray(coefficients @ self._at_witnesses)

    @cached_property
    def _at_witnesses(self) -> Array:
        return self._functions(to_unit(self.modes.witnesses(), self.modes.interval))

    def _functions(self, y: Array) -> Array:
        """The modes, a row for each."""
        a, b = exponents(self.modes.alpha, self.modes.weights)
        functions = basis(self.N, self.modes.alpha, y, self.modes.weights)
        return np.asarray((1 + y) ** a * (1 - y) ** b * functions.T)


@lru_cache(maxsize=12)
def kept_decay(modes: Modes, N: int) -> Decay:
    """The semigroup on N modes; those asked for last are kept."""
    return Decay(modes, N)


def _nothing(_: int) -> float:
    """What is missed of a start that is known everywhere."""
    return 0.0


def follow(
    modes: Modes,
    u0: Callable[[Array], Array],
    elapsed: Array,
    most: int,
    limits: Limits | None = None,
    size: float = 0.0,
    *,
    rate: bool = False,
    missed: Callable[[int], float] = _nothing,
    make: Callable[[int], Decay] | None = None,
) -> tuple[Array, float]:
    """Coefficients at the times, which ascend from zero, and the estimated error at those above.

    It is relative to the largest value at those, or to `size` where that is larger. With `rate` they are the
    coefficients of ``-du/dt``. `missed` is the share of the start that samples for N modes do not see, and
    `make` makes semigroups other than those of R.
    """
    later, sampling = elapsed > 0, 0.0

    def level(decay: Decay) -> tuple[Array, Array]:
        nonlocal sampling
        states = decay.states(decay.moments(u0), elapsed, rate=rate)
        if later.any():
            other = decay.states(decay.moments(u0, FEWER_SAMPLES), elapsed, rate=rate)
            sampling = difference(*(decay.at_witnesses(c[later]) for c in (states, other)))
        return states, states[later]

    states, estimate = refine(modes, level, most, limits, size, missed, make)
    return states, max(estimate + sampling, missed(states.shape[1]) if later.any() else 0.0)


def refine(
    modes: Modes,
    level: Callable[[Decay], tuple[Array, Array]],
    most: int,
    limits: Limits | None = None,
    size: float = 0.0,
    missed: Callable[[int], float] = _nothing,
    make: Callable[[int], Decay] | None = None,
) -> tuple[Array, float]:
    """Double the number of modes, up to `most`, until what `level` makes of them does not change.

    It gives rows of coefficients, and those of them that are compared.
    """
    levels: list[Array] = []
    states, estimate = np.zeros((0, 1)), float("inf")
    for N in [*(N for N in LEVELS if N < most), most]:
        keep_time(limits)
        decay = kept_decay(modes, N) if make is None else make(N)
        states, compared = level(decay)
        levels.insert(0, np.append(decay.at_witnesses(compared), size))
        if compared.shape[0] == 0:
            estimate = 0.0
        elif len(levels) > 1:
            estimate = from_levels(levels[0], *levels[1:3])
        if estimate <= ENOUGH and missed(N) == 0.0:
            break
    return states, estimate
