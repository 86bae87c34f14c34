r"""Halpern's iteration for monotone inclusions, and the methods that it is measured against.

Wanted is u with ``0 in F(u) + G(u)``; J is the resolvent of ``gamma G``, and ``T(u) = J(u - gamma F(u))``.
With the anchor u_0 and ``lam_k = 1 / (k + 2)``, k = 0, 1, ...:

    halpern   u <- lam_k u_0 + (1 - lam_k) T(u)                                          (1)
    eag       z = J(lam_k u_0 + (1 - lam_k) u - gamma F(u)),
              u <- J(lam_k u_0 + (1 - lam_k) u - gamma F(z))                             (2)
    popov     z = J(u - gamma F(z_old)),  u <- J(u - gamma F(z))                         (3)
    eg        z = J(u - gamma F(u)),      u <- J(u - gamma F(z))                         (4)

Halpern's iteration (B. Halpern, 1967) with these weights has ``|u_k - T(u_k)| <= 2 |u_0 - u*| / (k + 1)``,
which cannot be improved (F. Lieder, "On the convergence rate of the Halpern-iteration", Optim. Letters 15,
2021); it needs T to be nonexpansive, hence F to be cocoercive. The anchored extragradient method (T. Yoon,
E. Ryu, ICML 2021), Popov's optimistic one (1980) and the extragradient one (G. Korpelevich, 1976) need only
a monotone Lipschitz F.

Each method is a generator of its iterates. It has no end of its own: `halpern` asks it for the next one as
long as the monitor's limits allow.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor

from ._norms import norm
from .prox import resolvent, same_kind
from .result import MonotoneResult

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numsolve._core.typing import Array, ArrayLike, Callback, Namespace

    from .prox import Prox

    #: Yields an iterate u and what J makes of a step from it; is sent whether to restart.
    Iterates: TypeAlias = Generator[tuple[Array, Array], bool, None]
    Resolve: TypeAlias = Callable[[Array, float], Array]

Method = Literal["halpern", "eag", "popov", "eg"]

#: The step of each method times L: the largest that its convergence proof allows, or just below.
STEPS = {"halpern": 1.0, "eag": 1 / 8, "popov": 1 / 3, "eg": 0.7}
#: The methods with an anchor, which restarts move.
ANCHORED = ("halpern", "eag")
MAXITER = 10_000
#: The step where L is so small that its inverse is none.
LONGEST = 1e300
#: A step this many roundings of u long has its length to four digits.
SWALLOWED = 2.0**13


@answers(rtol="tol", atol="tol", M="it is called operator here")
def halpern(
    operator: Callable[[Any], Any],
    x0: ArrayLike,
    *,
    L: float,
    prox: Prox | None = None,
    gamma: float | None = None,
    method: Method = "halpern",
    restart: Literal["auto", "adaptive"] | None = "auto",
    tol: float = 1e-6,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> MonotoneResult:
    """Find a zero of F + G by Halpern's iteration, or by an extragradient method.

    Parameters
    ----------
    operator : callable
        F, from an array like `x0` to one of the same shape.
    x0 : array
        The start, which is also the anchor.
    L : float
        With "halpern", F must be (1/L)-cocoercive, as a gradient with the Lipschitz constant L is; with the
        other methods, monotone with the Lipschitz constant L. This is not checked: on a skew operator
        "halpern" does not converge.
    prox : callable, optional
        ``prox(v, gamma)``, the resolvent of ``gamma G``; a projection or proximal map of this package, or any
        function. Without it there is no G.
    gamma : float, optional
        The step; by default the largest that the method's theory allows: 1/L, for "eag" 1/(8 L), for
        "popov" 1/(3 L), for "eg" 0.7/L.
    method : {"halpern", "eag", "popov", "eg"}
        Halpern's, the extra-anchored gradient, Popov's and the extragradient method.
    restart : {"auto", "adaptive", None}
        "adaptive" moves the anchor to the iterate when the residual has fallen to a fifth of what it was at
        the last restart, or grows again, which makes the convergence linear where the residual bounds the
        distance to the solutions. "auto" does so in "halpern" and "eag", which alone have an anchor. None is
        the published iteration.
    tol : float
        Largest residual ``|u - J(u - gamma F(u))| / gamma``, which is ``|F(u)|`` without G. Where gamma F(u)
        is longer than u, or lost in its rounding errors, it is measured with a gamma that avoids this, too.
    maxiter, callback, progress, time_limit : optional
        Most iterations (10 000 by default); called after each iteration with u, or with an
        ``intermediate_result``, and true ends the run; a progress bar; seconds.

    Returns
    -------
    MonotoneResult
        With `nfev`, the calls of the operator, and `nrestart`.

    Raises
    ------
    ValueError
        If an argument has the wrong range, or the operator returns another shape.
    TypeError
        If `x0` is complex, or a function is not callable.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached; the result is the best iterate.

    See Also
    --------
    numsolve.monotone.vr_halpern : For operators that are sums of many.

    References
    ----------
    B. Halpern, "Fixed points of nonexpanding maps", Bull. Amer. Math. Soc. 73, 1967; F. Lieder, "On the
    convergence rate of the Halpern-iteration", Optim. Letters 15, 2021.
    T. Yoon, E. Ryu, "Accelerated algorithms for smooth convex-concave minimax problems with O(1/k^2) rate on
    squared gradient norm", ICML 2021.
    L. D. Popov, "A modification of the Arrow-Hurwicz method for search of saddle points", Math. Notes 28,
    1980.
    G. Korpelevich, "The extragradient method for finding saddle points and other problems", Matecon 12, 1976.

    Examples
    --------
    The minimum of a quadratic on a box, and a rotation, which only the other methods can do:

    >>> import numpy as np
    >>> from numsolve import monotone
    >>> A = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> result = monotone.halpern(
    ...     lambda u: A @ u - [2.0, 5.0], [0.0, 0.0], L=3.0, prox=monotone.project_box
    ... )
    >>> result.x.round(6)
    array([0.5, 1. ])
    >>> turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    >>> result = monotone.halpern(lambda u: turn @ u, [1.0, 1.0], L=1.0, method="eg")
    >>> result.success, result.nfev
    (True, 199)
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    checks.function("operator", operator)
    L = checks.real("L", L, low=0.0, open_low=True)
    tol = checks.real("tol", tol, low=0.0)
    checks.choice("method", method, get_args(Method))
    if restart is not None:
        checks.choice("restart", restart, ("auto", "adaptive"))
        if restart == "adaptive" and method not in ANCHORED:
            raise ValueError(f"restart moves an anchor, which {method!r} does not have")
    xp = arrays.array_namespace(x0=x0)
    J = resolvent(prox, xp)
    start = checks.array("x0", x0, xp=xp, empty=False)
    if gamma is None:
        gamma = min(STEPS[method] / L, LONGEST)
    gamma = checks.real("gamma", gamma, low=0.0, open_low=True)
    F, reach = _Counted(operator, start, xp), distance(xp, start, xp.zeros_like(start))
    with Monitor(limits, atol=tol, maxiter=MAXITER, label=method, keep="reference") as it:
        steps = _METHODS[method](F, J, start, gamma)
        u, z = next(steps)
        rule = Restarts(restart is not None and method in ANCHORED)
        residual = displacement(xp, J, (u, F.value, z), gamma, tol, reach)
        it.record(residual, u)
        for _ in it:
            u, z = steps.send(rule.due(residual))
            residual = displacement(xp, J, (u, F.value, z), gamma, tol, reach)
            it.record(residual, u)
    return it.result(MonotoneResult, nfev=F.calls, epochs=float(F.calls), nrestart=rule.count, gamma=gamma)


def _halpern(F: _Counted, J: Resolve, u: Array, gamma: float) -> Iterates:
    """Yield u and T(u); told to restart, put the anchor on T(u)."""
    anchor, k = u, 0
    while True:
        t = J(_step(u, gamma, F(u)), gamma)
        if (yield u, t):
            anchor, k = t, 0
        lam = 1.0 / (k + 2)
        u = _between(anchor, t, lam)  # (1)
        k += 1


def _eag(F: _Counted, J: Resolve, u: Array, gamma: float) -> Iterates:
    anchor, k = u, 0
    while True:
        f = F(u)
        if (yield u, J(_step(u, gamma, f), gamma)):
            anchor, k = u, 0
        lam = 1.0 / (k + 2)
        pulled = _between(anchor, u, lam)
        z = J(_step(pulled, gamma, f), gamma)
        u = J(_step(pulled, gamma, F(z)), gamma)  # (2)
        k += 1


def _popov(F: _Counted, J: Resolve, u: Array, gamma: float) -> Iterates:
    z = u
    while True:
        f = F(z)
        yield z, J(_step(z, gamma, f), gamma)
        u = J(_step(u, gamma, f), gamma)  # (3)
        z = J(_step(u, gamma, f), gamma)


def _eg(F: _Counted, J: Resolve, u: Array, gamma: float) -> Iterates:
    while True:
        z = J(_step(u, gamma, F(u)), gamma)
        yield u, z
        u = J(_step(u, gamma, F(z)), gamma)  # (4)


# What overflows shows in the residual; the settings reach neither the caller's functions nor across a yield.


def _step(u: Array, gamma: float, f: Array) -> Array:
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        return u - gamma * f


def _between(u: Array, v: Array, lam: float) -> Array:
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        return lam * u + (1.0 - lam) * v


_METHODS = {"halpern": _halpern, "eag": _eag, "popov": _popov, "eg": _eg}


class Restarts:
    """The rule of the adaptive restarts, as in `numsolve.monotone.lp.pdhg` but for its shares."""

    SUFFICIENT, NECESSARY, ARTIFICIAL = 0.2, 0.8, 0.36

    def __init__(self, adaptive: bool) -> None:
        self.count = self.age = self.total = 0
        self._adaptive = adaptive
        self._first = self._last = float("inf")

    def due(self, residual: float, steps: int = 1) -> bool:
        """Whether to restart after `steps` more iterations, which led to this residual."""
        self.age, self.total = self.age + steps, self.total + steps
        if self._first == float("inf"):
            self._first = residual
        grows, self._last = residual > self._last, residual
        due = self._adaptive and (
            residual <= self.SUFFICIENT * self._first
            or (residual <= self.NECESSARY * self._first and grows)
            or self.age >= max(self.ARTIFICIAL * self.total, 2)
        )
        if due:
            self.count, self.age, self._first = self.count + 1, 0, residual
        return due


class _Counted:
    """The operator, which counts its calls, keeps its last value and checks what is returned."""

    value: Array

    def __init__(self, operator: Callable[[Array], Any], like: Array, xp: Namespace) -> None:
        self.calls = 0
        self._operator, self._like, self._xp = operator, like, xp

    def __call__(self, u: Array) -> Array:
        self.calls += 1
        # The function may write into what it is given.
        given = self._xp.asarray(u, copy=True)
        self.value = same_kind("operator", self._operator(given), self._like, self._xp)
        return self.value


def displacement(
    xp: Namespace, J: Resolve, step: tuple[Array, Array, Array], gamma: float, tol: float, reach: float
) -> float:
    """The residual |u - z| / gamma of u, where the step is u, f = F(u) and z = J(u - gamma f).

    Where gamma f is so short that u swallows it, or longer than all that can be moved, it is small wherever u
    is. What looks converged is therefore measured with a step between these as well; the larger one counts.
    For every maximal monotone G it falls with gamma, and vanishes for all or for none. `reach` is the size of
    the start: the solution may be zero, and what is left of u on the way to it is no measure of anything.
    """
    u, f, z = step
    residual = distance(xp, u, z) / gamma
    if not residual <= tol:
        return residual
    zero = xp.zeros_like(u)
    force, size = distance(xp, f, zero), max(reach, distance(xp, u, zero), distance(xp, z, zero))
    least = SWALLOWED * float(xp.finfo(u.dtype).eps) * size
    if not 0.0 < size < math.inf or force == 0.0 or least <= gamma * force <= size:
        return residual
    other = (least if gamma * force < least else size) / force
    if not 0.0 < other < math.inf:
        return residual
    return max(residual, distance(xp, u, J(_step(u, other, f), other)) / other)


def distance(xp: Namespace, u: Array, v: Array) -> float:
    """|u - v| in the 2-norm."""
    with np.errstate(over="ignore", invalid="ignore"):
        d = u - v
        return float(norm(xp, d)) if d.ndim == 1 else arrays.norm(xp, d)
