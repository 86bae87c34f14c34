r"""Halpern's iteration with variance reduction, for means of many operators.

X. Cai, A. Alacaoglu, J. Diakonikolas, "Variance reduced Halpern iteration for finite-sum monotone
inclusions", ICLR 2024, arXiv 2310.02987. Wanted is u with 0 in F(u) + G(u), ``F = (1/n) sum_i F_i``; J is
the resolvent of G.

Algorithm 1, for components that are cocoercive on average. With lam_k = 2 / (k + 4) and the anchor u_0,

    u_{k+1} = J(lam_k u_0 + (1 - lam_k) u_k - eta g_k),
    g_k = F(u_k) with probability p_k,  else  g_{k-1} + (1/b) sum_{i in B_k} F_i(u_k) - F_i(u_{k-1}).

Algorithm 2, for components that are Lipschitz on average: Halpern's iteration, lam_k = 1 / (k + 2), with the
resolvent R of ``eta (F + G)``, ``eta = sqrt(n) / L``, in the place of T. ``R(u)`` is the zero of the strongly
monotone ``v - u + eta (F + G)(v)``, which is solved inexactly by variance-reduced forward-reflected-backward
steps (A. Alacaoglu, Y. Malitsky, V. Cevher, NeurIPS 2021).
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import checks
from numsolve._core.monitor import RUNNING, Monitor
from numsolve._core.result import Status, caller_level

from ._tuples import Resolvent
from .finite_sum import BilinearGame
from .halpern import Restarts, distance, same_kind
from .prox import catalogued, resolvent
from .result import MonotoneResult

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEDULES = ("tuned", "paper")
MAXITER = 2**62
#: The tuned form of Algorithm 1: the batch over sqrt(n), the iterations of a late cycle over 1 + sqrt(n).
BATCH, CYCLE = 0.3, 1.6
#: The tuned form of Algorithm 2: the inner steps over n. More do not pay, nor does stopping by accuracy.
INNER = 0.2


def vr_halpern(
    problem: Any,
    x0: Any,
    *,
    L: float | None = None,
    prox: Callable[..., Any] | None = None,
    assumption: str = "cocoercive",
    step: float | None = None,
    batch: int | None = None,
    prob: float | None = None,
    schedule: str = "tuned",
    sampling: str = "uniform",
    restart: str | None = "auto",
    tol: float = 1e-6,
    max_epochs: float = 1000,
    rng: Any = None,
    maxiter: int | None = None,
    callback: Callable[..., Any] | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> MonotoneResult:
    """Find a zero of F + G where F is a mean of n operators, from samples of them.

    The residual is exact: it is computed where the full operator is evaluated anyway, and the method stops
    only there.

    Parameters
    ----------
    problem : FiniteSum, AffineFiniteSum or BilinearGame
        F. The last two are compiled; a `BilinearGame` brings its G.
    x0 : array of shape (d,)
        The start.
    L : float, optional
        The constant on average, ``mean_i |F_i(u) - F_i(v)|^2 <= L^2 |u - v|^2``; the problem's by default.
    prox : callable, optional
        ``prox(v, gamma)``, the resolvent of ``gamma G``. Those of this package run in compiled code.
    assumption : {"cocoercive", "lipschitz"}
        Algorithm 1 or Algorithm 2. Games are only Lipschitz.
    step : float, optional
        eta. By default 1/L, with ``schedule="paper"`` 1/(4 L), in Algorithm 1; sqrt(n)/L in Algorithm 2.
    batch : int, optional
        b, the size of a batch; in Algorithm 1 only. By default ``ceil(0.3 sqrt(n))``, in the paper's schedule
        ``floor(sqrt(n))``.
    prob : float, optional
        A constant p_k in (0, 1]. By default ``1 / (1 + min(k, 1.6 (1 + sqrt(n))))``, in the paper's schedule
        ``4 / (4 + min(k, 1 + sqrt(n)))``; in Algorithm 2, 1/n.
    schedule : {"tuned", "paper"}
        The constants that need fewest calls here, or the published ones. The convergence proofs cover the
        published ones only.
    sampling : {"uniform", "importance"}
        Draw all components alike, or in proportion to their size; for compiled problems. It helps where
        their sizes differ much.
    restart : {"auto", "adaptive", None}
        "adaptive" moves the anchor to the iterate when the residual has fallen to a fifth of what it was at
        the last restart, or grows again: then the convergence is linear where the residual bounds the
        distance to the solutions. "auto" does so with the tuned schedule, and not with the paper's.
    tol : float
        Largest residual ``|u - J(u - gamma F(u))| / gamma``, which is ``|F(u)|`` without G; gamma is eta, in
        Algorithm 2 1/L.
    max_epochs : float
        Largest cost, in evaluations of the full operator.
    rng : None, int or numpy.random.Generator
        Where the samples come from.
    maxiter : int, optional
        Largest number of iterations; none by default.
    callback : callable, optional
        Called after each exact residual with u, or with an ``intermediate_result``; returning True stops.
    progress : bool
        Show a progress bar.
    time_limit : float, optional
        Seconds.

    Returns
    -------
    MonotoneResult
        With `nfev`, the calls of components, `epochs`, the same over n, and `nrestart`; the history has a
        column `epochs`.

    Raises
    ------
    ValueError
        If an argument has the wrong shape or range, or L is not known.
    TypeError
        If `problem` is not a finite sum, or an array is complex.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached; the result is the best iterate.
    UserWarning
        If `batch` is larger than n; then it is n.

    See Also
    --------
    numsolve.monotone.halpern : The deterministic iteration.
    numsolve.monotone.solve_game : For matrix games, by far the faster method.

    References
    ----------
    X. Cai, A. Alacaoglu, J. Diakonikolas, "Variance reduced Halpern iteration for finite-sum monotone
    inclusions", ICLR 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import monotone
    >>> rng = np.random.default_rng(0)
    >>> Z, b = rng.normal(size=(1000, 5)), rng.normal(size=1000)
    >>> problem = monotone.AffineFiniteSum(Z, b)
    >>> result = monotone.vr_halpern(problem, np.zeros(5), prox=monotone.prox_nonnegative, rng=0)
    >>> result.success, bool((result.x >= 0).all()), result.epochs < 100
    (True, True, True)
    """
    for name in ("n", "full", "constant"):
        if not hasattr(problem, name):
            raise TypeError(
                "problem must be a FiniteSum, an AffineFiniteSum or a BilinearGame, "
                f"got one of type {type(problem).__name__}"
            )
    checks.choice("assumption", assumption, ("cocoercive", "lipschitz"))
    checks.choice("schedule", schedule, SCHEDULES)
    checks.choice("sampling", sampling, ("uniform", "importance"))
    if restart is not None:
        checks.choice("restart", restart, ("auto", "adaptive"))
    x0 = np.array(checks.array("x0", x0, dtype=np.float64, ndim=1, shape=(getattr(problem, "size", None),)))
    L = problem.constant(sampling) if L is None else checks.real("L", L, low=0.0, open_low=True)
    if step is not None:
        step = checks.real("step", step, low=0.0, open_low=True)
    if prob is not None:
        prob = checks.real("prob", prob, low=0.0, high=1.0, open_low=True)
    if batch is not None and checks.integer("batch", batch, low=1) > problem.n:
        message = f"batch = {batch} is more than the {problem.n} components; all of them are taken"
        warnings.warn(message, UserWarning, stacklevel=caller_level())
        batch = problem.n
    max_epochs = checks.real("max_epochs", max_epochs, low=0.0, infinite=True)
    components = _components(problem, prox, sampling, x0, checks.generator(rng))
    rule = Restarts(restart == "adaptive" or (restart == "auto" and schedule == "tuned"))
    it = Monitor(
        atol=tol,
        maxiter=MAXITER if maxiter is None else maxiter,
        time_limit=time_limit,
        callback=callback,
        progress=progress,
        label="variance-reduced Halpern",
        columns=("epochs",),
    )
    budget = max_epochs * problem.n
    if assumption == "cocoercive":
        gamma = (1.0 if schedule == "tuned" else 0.25) / max(L, 1e-300) if step is None else step
        _single_loop(it, components, x0, gamma, batch, prob, schedule, rule, budget)
    else:
        gamma = 1.0 / max(L, 1e-300)
        _double_loop(it, components, x0, gamma, step, prob, schedule, rule, budget)
    cost = components.cost
    return it.result(MonotoneResult, nfev=cost, epochs=cost / problem.n, nrestart=rule.count, gamma=gamma)


def _single_loop(
    it: Monitor,
    c: Any,
    u: Any,
    step: float,
    batch: int | None,
    prob: float | None,
    schedule: str,
    rule: Restarts,
    budget: float,
) -> None:
    """Algorithm 1."""
    root, paper = math.isqrt(c.n), schedule == "paper"
    if batch is None:
        batch = root if paper else math.ceil(BATCH * root)
    share, flat = (4.0, 1.0 + root) if paper else (1.0, CYCLE * (1.0 + root))
    if prob is not None:
        share, flat = prob, -1.0
    with it:
        anchor, g = u.copy(), c.full(u)
        residual = c.residual(u, g, step)
        it.record(residual, u, epochs=c.cost / c.n)
        done = 0
        while it.running:
            if rule.due(residual, done):
                anchor, c.age = u.copy(), 0
            limit = it.maxiter - it.nit
            done, refresh = c.page_cycle(anchor, u, g, step, batch, share, flat, limit)
            rows = []
            if refresh:
                g[:] = c.full(u)
                residual = c.residual(u, g, step)
                rows = [residual]
            it.extend(rows, RUNNING, u, steps=done, epochs=[c.cost / c.n for _ in rows])
            _stop_at(it, c, budget)


def _double_loop(
    it: Monitor,
    c: Any,
    u: Any,
    gamma: float,
    eta: float | None,
    prob: float | None,
    schedule: str,
    rule: Restarts,
    budget: float,
) -> None:
    """Algorithm 2."""
    n, L = c.n, 1.0 / gamma
    eta = math.sqrt(n) / L if eta is None else eta
    p = 1.0 / max(n, 2) if prob is None else min(prob, 0.5)
    inner = math.sqrt(p * (1.0 - p)) / (eta * L + 1.0)
    with it:
        anchor, k, f = u.copy(), 0, c.full(u)
        residual = c.residual(u, f, gamma)
        it.record(residual, u, epochs=c.cost / n)
        for _ in it:
            # The paper's proof asks for 56 max(n, ...) log(1.252 (k + 2)^4) steps; its script takes these.
            steps = int(0.05 * n * math.log(k + 2)) if schedule == "paper" else math.ceil(INNER * n)
            v = _resolvent(c, u, f, eta, inner, p, max(1, steps))
            if rule.due(residual):
                anchor, k = v.copy(), -1
            lam = 1.0 / (k + 2)
            u, k = lam * anchor + (1.0 - lam) * v, k + 1
            f = c.full(u)
            residual = c.residual(u, f, gamma)
            it.record(residual, u, epochs=c.cost / n)
            _stop_at(it, c, budget)


def _resolvent(c: Any, u: Any, f: Any, eta: float, gamma: float, p: float, steps: int) -> Any:
    """R(u), inexactly: some steps towards the zero of ``v - u + eta (F + G)(v)``; f is F(u)."""
    v, w, w_old, h = u.copy(), u.copy(), u.copy(), eta * f
    while steps > 0:
        done, refresh = c.forb_cycle(v, w, w_old, h, eta, gamma, 1.0 - p, p, steps)
        steps -= done
        if refresh:
            w[:] = v
            h = eta * c.full(w) + w - u
    return v


def _stop_at(it: Monitor, c: Any, budget: float) -> None:
    if it.status is None and c.cost >= budget:
        it.stop(Status.MAXITER, "The budget of max_epochs is spent.")


def _components(problem: Any, prox: Any, sampling: str, x0: Any, rng: Any) -> Any:
    """The compiled form of a problem where there is one and its resolvent is in the catalogue."""
    game = isinstance(problem, BilinearGame)
    if game and prox is not None:
        raise ValueError("prox must be left out for a BilinearGame, which brings its own")
    if hasattr(problem, "_compiled"):
        known = (
            (5, float(problem.A.shape[1]), np.empty(0), np.empty(0)) if game else catalogued(prox, x0.size)
        )
        if known is not None:
            return _Compiled(problem, problem.prox if game else prox, sampling, known, rng)
    if sampling != "uniform":
        raise ValueError("sampling by importance needs compiled components and a prox of this package")
    return _Called(problem, prox, x0, rng)


class _Components:
    """A finite sum, its resolvent, and what was paid so far."""

    def __init__(self, problem: Any, prox: Any, rng: Any) -> None:
        self.problem, self.n, self.rng = problem, problem.n, rng
        self.J = resolvent(prox)
        self.counts = np.zeros(3, dtype=np.int64)

    @property
    def cost(self) -> int:
        """Calls of components."""
        return int(self.counts[1])

    @property
    def age(self) -> int:
        """Iterations since the anchor was set."""
        return int(self.counts[0])

    @age.setter
    def age(self, value: int) -> None:
        self.counts[0] = value

    def full(self, u: Any) -> Any:
        """F(u)."""
        self.counts[1] += self.n
        return same_kind("full", self.problem.full(u), u, np)

    def residual(self, u: Any, f: Any, gamma: float) -> float:
        """The residual of u, where f is F(u)."""
        return distance(np, u, self.J(u - gamma * f, gamma)) / gamma


class _Compiled(_Components):
    """The cycles by the kernels of `_cpu_vr`."""

    def __init__(self, problem: Any, prox: Any, sampling: str, known: Any, rng: Any) -> None:
        from . import _cpu_vr

        super().__init__(problem, prox, rng)
        self.kernels: Any = _cpu_vr
        self.P, self.map = problem._compiled(sampling), Resolvent(*known)

    def page_cycle(self, anchor: Any, u: Any, g: Any, *settings: Any) -> Any:
        *constants, limit = settings
        return self.kernels.page_cycle(
            *(self.P, self.map, anchor, u, g), *constants, self.counts, limit, self.rng
        )

    def forb_cycle(self, *settings: Any) -> Any:
        *constants, limit = settings
        return self.kernels.forb_cycle(self.P, self.map, *constants, self.counts, limit, self.rng)


class _Called(_Components):
    """The same cycles with functions of the user."""

    def __init__(self, problem: Any, prox: Any, like: Any, rng: Any) -> None:
        super().__init__(problem, prox, rng)
        self.like = like

    def _difference(self, u: Any, v: Any, batch: int) -> Any:
        """The mean over a batch of F_i(u) - F_i(v)."""
        index = self.rng.choice(self.n, size=batch, replace=False)
        self.counts[1] += 2 * batch
        at_u, at_v = (same_kind("batch", self.problem.batch(z, index), self.like, np) for z in (u, v))
        return at_u - at_v

    def page_cycle(
        self, anchor: Any, u: Any, g: Any, step: float, batch: int, share: float, flat: float, limit: int
    ) -> tuple[int, bool]:
        for done in range(1, limit + 1):
            lam = 2.0 / (self.age + 4.0)
            new = self.J(lam * anchor + (1.0 - lam) * u - step * g, step)
            old = u.copy()
            u[:] = new
            self.age += 1
            if self.rng.random() < (share if flat < 0 else share / (share + min(self.age, flat))):
                return done, True
            g += self._difference(u, old, batch)
        return limit, False

    def forb_cycle(
        self,
        v: Any,
        w: Any,
        w_old: Any,
        h: Any,
        eta: float,
        gamma: float,
        alpha: float,
        p: float,
        limit: int,
    ) -> tuple[int, bool]:
        for done in range(1, limit + 1):
            change = eta * self._difference(v, w_old, 1) + v - w_old
            v[:] = self.J(alpha * v + (1.0 - alpha) * w - gamma * (h + change), gamma * eta)
            w_old[:] = w
            if self.rng.random() < p:
                return done, True
        return limit, False
