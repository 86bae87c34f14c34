r"""Halpern's iteration with variance reduction, for means of many operators.

X. Cai, A. Alacaoglu, J. Diakonikolas, "Variance reduced Halpern iteration for finite-sum monotone
inclusions", ICLR 2024, arXiv 2310.02987. Wanted is u with 0 in F(u) + G(u), ``F = (1/n) sum_i F_i``; J is
the resolvent of G.

Algorithm 1, for components that are cocoercive on average. With lam_k = 2 / (k + 4) and the anchor u_0,

    u_{k+1} = J(lam_k u_0 + (1 - lam_k) u_k - eta g_k),                                            (1)
    g_k = F(u_k) with probability p_k,  else  g_{k-1} + (1/b) sum_{i in B_k} F_i(u_k) - F_i(u_{k-1}).   (2)

Algorithm 2, for components that are Lipschitz on average: Halpern's iteration, lam_k = 1 / (k + 2), with the
resolvent R of ``eta (F + G)``, ``eta = sqrt(n) / L``, in the place of T,

    u_{k+1} = lam_k u_0 + (1 - lam_k) R(u_k).                                                      (3)

``R(u)`` is the zero of ``H(v) + eta G(v)`` with the strongly monotone ``H(v) = v - u + eta F(v)``, which is
found inexactly by variance-reduced forward-reflected-backward steps (A. Alacaoglu, Y. Malitsky, V. Cevher,
NeurIPS 2021), one component i each:

    v <- J(alpha v + (1 - alpha) w - gamma [H(w) + H_i(v) - H_i(w_old)]),  w_old <- w,             (4)
    w <- v with probability p = 1 - alpha.                                                         (5)

Between two evaluations of F the iteration runs in chunks, which end where the time or `max_epochs` is over.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from numsolve._core import checks
from numsolve._core.codes import RUNNING
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.monitor import CHUNK_SECONDS, FIRST_SECONDS, GROWTH, Monitor
from numsolve._core.result import Status, caller_level

from ._tuples import COUNTS, Estimator, Resolvent, Splitting, record
from .finite_sum import AffineFiniteSum, BilinearGame, FiniteSum
from .halpern import Restarts, distance
from .prox import catalogued, resolvent, same_kind
from .result import MonotoneResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, ArrayLike, Callback, Kernels, RandomState

    from .prox import Prox

Assumption = Literal["auto", "cocoercive", "lipschitz"]
Schedule = Literal["tuned", "paper"]
Sampling = Literal["uniform", "importance"]
MAXITER = 2**62
#: The tuned form of Algorithm 1: the batch over sqrt(n), the iterations of a late cycle over 1 + sqrt(n).
BATCH, CYCLE = 0.3, 1.6
#: The tuned form of Algorithm 2: the inner steps over n. More do not pay, nor does stopping by accuracy.
INNER = 0.2
#: The largest probability of Algorithm 2.
HALF = 0.5
#: When the time is over, the residual is measured once more if so many evaluations of F were paid since the
#: last one.
WORTH_A_LOOK = 5.0


@answers(rtol="tol", atol="tol", max_iter="maxiter")
def vr_halpern(
    problem: FiniteSum | AffineFiniteSum | BilinearGame,
    x0: ArrayLike,
    *,
    L: float | None = None,
    prox: Prox | None = None,
    assumption: Assumption = "auto",
    step: float | None = None,
    batch: int | None = None,
    prob: float | None = None,
    schedule: Schedule = "tuned",
    sampling: Sampling = "uniform",
    restart: Literal["auto", "adaptive"] | None = "auto",
    tol: float = 1e-6,
    max_epochs: float = 1000,
    rng: RandomState = None,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> MonotoneResult:
    """Find a zero of F + G where F is a mean of n operators, from samples of them.

    The residual is exact: it is computed where the full operator is evaluated anyway, and at the end.

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
    assumption : {"auto", "cocoercive", "lipschitz"}
        Algorithm 1 or Algorithm 2. Games are only Lipschitz: "auto" is that for a `BilinearGame`, and
        cocoercive for everything else.
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
        Largest cost, in evaluations of the full operator; one more tells the residual at the end.
    rng : None, int or numpy.random.Generator
        Where the samples come from.
    maxiter, callback, progress, time_limit : optional
        As in `halpern`, but with no limit of iterations by default, and the callback is called after each
        exact residual.

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
        If `batch` is larger than n; then it is n. In Algorithm 2, if `batch` is given, which it does not
        have, or `prob` is above 1/2; then it is 1/2.

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
    limits = Limits(maxiter, time_limit, callback, progress)
    if not isinstance(problem, FiniteSum | AffineFiniteSum | BilinearGame):
        raise TypeError(
            "problem must be a FiniteSum, an AffineFiniteSum or a BilinearGame, "
            f"got one of type {type(problem).__name__}"
        )
    checks.choice("assumption", assumption, get_args(Assumption))
    checks.choice("schedule", schedule, get_args(Schedule))
    checks.choice("sampling", sampling, get_args(Sampling))
    if restart is not None:
        checks.choice("restart", restart, ("auto", "adaptive"))
    x0 = np.array(checks.array("x0", x0, dtype=np.float64, ndim=1, shape=(getattr(problem, "size", None),)))
    L = problem.constant(sampling) if L is None else checks.real("L", L, low=0.0, open_low=True)
    if step is not None:
        step = checks.real("step", step, low=0.0, open_low=True)
    if prob is not None:
        prob = checks.real("prob", prob, low=0.0, high=1.0, open_low=True)
    if batch is not None and (batch := checks.integer("batch", batch, low=1)) > problem.n:
        _tell(f"batch = {batch} is more than the {problem.n} components; all of them are taken")
        batch = problem.n
    if assumption == "auto":
        assumption = "lipschitz" if isinstance(problem, BilinearGame) else "cocoercive"
    if assumption == "lipschitz" and batch is not None:
        _tell(f"batch = {batch} is ignored: Algorithm 2, for Lipschitz operators, draws one component a step")
    if assumption == "lipschitz" and prob is not None and prob > HALF:
        _tell(f"prob = {prob:g} is more than Algorithm 2 allows; it is 1/2")
        prob = HALF
    max_epochs = checks.real("max_epochs", max_epochs, low=0.0, infinite=True)
    components = _components(problem, prox, sampling, x0, checks.generator(rng))
    rule = Restarts(restart == "adaptive" or (restart == "auto" and schedule == "tuned"))
    it = Monitor(limits, atol=tol, maxiter=MAXITER, label="variance-reduced Halpern", columns=("epochs",))
    run = _Run(it, components, rule, max_epochs * problem.n, components.seconds)
    largest_step = 1.0 / max(L, 1e-300)
    if assumption == "cocoercive":
        gamma = largest_step * (1.0 if schedule == "tuned" else 0.25) if step is None else step
        _single_loop(run, x0, _estimator(problem.n, gamma, batch, prob, schedule))
    else:
        gamma = largest_step
        _double_loop(run, x0, gamma, _splitting(problem.n, gamma, step, prob), schedule)
    cost = components.cost
    return it.result(MonotoneResult, nfev=cost, epochs=cost / problem.n, nrestart=rule.count, gamma=gamma)


def _tell(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=caller_level())


def _estimator(n: int, step: float, batch: int | None, prob: float | None, schedule: Schedule) -> Estimator:
    """The numbers of Algorithm 1."""
    root, paper = math.isqrt(n), schedule == "paper"
    if batch is None:
        batch = root if paper else math.ceil(BATCH * root)
    if prob is not None:
        return Estimator(step, batch, prob, -1.0)
    return (
        Estimator(step, batch, 4.0, 1.0 + root)
        if paper
        else Estimator(step, batch, 1.0, CYCLE * (1.0 + root))
    )


def _splitting(n: int, gamma: float, eta: float | None, prob: float | None) -> Splitting:
    """The numbers of the inner loop of Algorithm 2."""
    L = 1.0 / gamma
    eta = math.sqrt(n) / L if eta is None else eta
    p = 1.0 / max(n, 2) if prob is None else prob
    return Splitting(eta, math.sqrt(p * (1.0 - p)) / (eta * L + 1.0), p)


@dataclass
class _Run:
    """What both loops share: who watches, what is sampled, when to restart, and what may be paid."""

    it: Monitor
    components: _Components
    rule: Restarts
    budget: float  #: calls of components
    seconds: float  #: what a step takes: a guess, and then what the last ones took
    last: int = 0  #: the steps of the last chunk

    def chunk(self, cycle: Callable[[int], tuple[int, bool]], calls: int, most: int) -> tuple[int, bool]:
        """Do steps of `calls` calls each: at most so many, for a moment at most, and within the budget."""
        left = (self.budget - self.components.cost) / calls
        moment = CHUNK_SECONDS if self.last else FIRST_SECONDS
        steps = min(min(moment, self.it.limits.seconds_left) / self.seconds, left, most)
        if self.last:
            steps = min(steps, GROWTH * self.last)
        began = perf_counter()
        self.last, refresh = cycle(max(1, int(steps)))
        self.seconds = max(perf_counter() - began, 1e-9) / self.last
        return self.last, refresh

    @property
    def is_spent(self) -> bool:
        """Whether nothing more may be paid."""
        return self.components.cost >= self.budget

    @property
    def epochs(self) -> float:
        """What was paid, in evaluations of F."""
        return self.components.cost / self.components.n

    def stop_if_spent(self) -> None:
        """End the run when the budget is."""
        if self.it.status is None and self.is_spent:
            self.it.stop(Status.MAXITER, "The budget of max_epochs is spent.")


def _single_loop(run: _Run, u: Array, plan: Estimator) -> None:
    """Algorithm 1."""
    it, c, rule = run.it, run.components, run.rule
    with it:
        anchor, g = u.copy(), c.full(u)
        residual, since, paid = c.residual(u, g, plan.step), 0, c.cost
        it.record(residual, u, epochs=run.epochs)
        run.stop_if_spent()
        refresh = True
        while it.running:
            if refresh and rule.due(residual, since):
                anchor, c.age = u.copy(), 0
            if refresh:
                since, paid = 0, c.cost
            done, refresh = run.chunk(
                lambda steps: c.page_cycle(anchor, u, g, plan, steps),  # noqa: B023  # called at once
                2 * plan.batch,
                it.maxiter - it.nit,
            )
            since += done
            last = run.is_spent or it.nit + done >= it.maxiter
            refresh |= last or (it.time_is_up and c.cost - paid >= WORTH_A_LOOK * c.n)
            rows = []
            if refresh:
                g[:] = c.full(u)  # (2)
                residual = c.residual(u, g, plan.step)
                rows = [residual]
            it.extend(rows, RUNNING, u, steps=done, epochs=[run.epochs for _ in rows])
            run.stop_if_spent()


def _double_loop(run: _Run, u: Array, gamma: float, plan: Splitting, schedule: Schedule) -> None:
    """Algorithm 2; the residual is that of a step gamma."""
    it, c, n = run.it, run.components, run.components.n
    with it:
        anchor, k, f = u.copy(), 0, c.full(u)
        residual = c.residual(u, f, gamma)
        it.record(residual, u, epochs=run.epochs)
        run.stop_if_spent()
        for _ in it:
            # The paper's proof asks for 56 max(n, ...) log(1.252 (k + 2)^4) steps; its script takes these.
            steps = int(0.05 * n * math.log(k + 2)) if schedule == "paper" else math.ceil(INNER * n)
            v = _resolvent(run, u, f, plan, max(1, steps))
            if run.rule.due(residual):
                anchor, k = v.copy(), -1
            lam = 1.0 / (k + 2)
            u, k = lam * anchor + (1.0 - lam) * v, k + 1  # (3)
            f = c.full(u)
            residual = c.residual(u, f, gamma)
            it.record(residual, u, epochs=run.epochs)
            run.stop_if_spent()


def _resolvent(run: _Run, u: Array, f: Array, plan: Splitting, steps: int) -> Array:
    """R(u), inexactly: some steps towards the zero of H + eta G, as far as time and budget go; f is F(u)."""
    c = run.components
    v, w, w_old, h = u.copy(), u.copy(), u.copy(), plan.eta * f
    while steps > 0 and not (run.is_spent or run.it.time_is_up):
        done, refresh = run.chunk(
            lambda most: c.forb_cycle(v, w, w_old, h, plan, most),  # noqa: B023  # called at once
            2,
            steps,
        )
        steps -= done
        if refresh:
            w[:] = v  # (5)
            h = plan.eta * c.full(w) + w - u
    return v


def _components(
    problem: FiniteSum | AffineFiniteSum | BilinearGame,
    prox: Prox | None,
    sampling: Sampling,
    x0: Array,
    rng: np.random.Generator,
) -> _Components:
    """The compiled form of a problem where there is one and its resolvent is in the catalogue."""
    if isinstance(problem, BilinearGame):
        if prox is not None:
            raise ValueError("prox must be left out for a BilinearGame, which brings its own")
        known = Resolvent.two_simplices(split=problem.A.shape[1])
        return _Compiled(problem, problem.prox, sampling, known, rng)
    if isinstance(problem, AffineFiniteSum) and (known_map := catalogued(prox, x0.size)) is not None:
        return _Compiled(problem, prox, sampling, known_map, rng)
    if sampling != "uniform":
        raise ValueError("sampling by importance needs compiled components and a prox of this package")
    return _Called(problem, prox, x0, rng)


class _Components:
    """A finite sum, its resolvent, and what was paid so far."""

    #: A guess of what a step of a cycle takes.
    seconds = 1e-2

    def __init__(
        self,
        problem: FiniteSum | AffineFiniteSum | BilinearGame,
        prox: Prox | None,
        rng: np.random.Generator,
    ) -> None:
        self.problem, self.n, self.rng = problem, problem.n, rng
        self.J = resolvent(prox, np)
        self.counts = record(COUNTS)

    @property
    def cost(self) -> int:
        """Calls of components."""
        return int(self.counts.cost)

    @property
    def age(self) -> int:
        """Iterations since the anchor was set."""
        return int(self.counts.age)

    @age.setter
    def age(self, value: int) -> None:
        self.counts.age = value

    def full(self, u: Array) -> Array:
        """F(u)."""
        self.counts.cost += self.n
        return same_kind("full", self.problem.full(u), u, np)

    def residual(self, u: Array, f: Array, gamma: float) -> float:
        """The residual of u, where f is F(u)."""
        return distance(np, u, self.J(u - gamma * f, gamma)) / gamma

    def page_cycle(self, anchor: Array, u: Array, g: Array, plan: Estimator, steps: int) -> tuple[int, bool]:
        """Steps (1) and (2) until F is to be evaluated; returns the steps done and whether it is."""
        raise NotImplementedError

    def forb_cycle(
        self, v: Array, w: Array, w_old: Array, h: Array, plan: Splitting, steps: int
    ) -> tuple[int, bool]:
        """Steps (4) until (5) is due; h is H(w). Returns the steps done and whether it is."""
        raise NotImplementedError


class _Compiled(_Components):
    """The cycles by the kernels of `_cpu_vr`."""

    def __init__(
        self,
        problem: AffineFiniteSum | BilinearGame,
        prox: Prox | None,
        sampling: Sampling,
        known: Resolvent,
        rng: np.random.Generator,
    ) -> None:
        from . import _cpu_vr

        super().__init__(problem, prox, rng)
        self.kernels: Kernels = _cpu_vr
        self.P, self.map = problem._compiled(sampling), known
        self.work, self.change = np.empty(problem.size), np.empty(problem.size)
        self.seconds = 1e-7 + 4e-9 * problem.size

    def page_cycle(self, anchor: Array, u: Array, g: Array, plan: Estimator, steps: int) -> tuple[int, bool]:
        done, refresh = self.kernels.page_cycle(
            *(self.P, self.map, anchor, u, g, self.work), plan, self.counts, steps, self.rng
        )
        return done, refresh

    def forb_cycle(
        self, v: Array, w: Array, w_old: Array, h: Array, plan: Splitting, steps: int
    ) -> tuple[int, bool]:
        done, refresh = self.kernels.forb_cycle(
            *(self.P, self.map, v, w, w_old, h, self.work, self.change), plan, self.counts, steps, self.rng
        )
        return done, refresh


class _Called(_Components):
    """The same cycles with functions of the user."""

    def __init__(
        self,
        problem: FiniteSum | AffineFiniteSum,
        prox: Prox | None,
        like: Array,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(problem, prox, rng)
        self.batch, self.like = problem.batch, like

    def _difference(self, u: Array, v: Array, batch: int) -> Array:
        """The mean over a batch of F_i(u) - F_i(v)."""
        index = self.rng.choice(self.n, size=batch, replace=False)
        self.counts.cost += 2 * batch
        at_u, at_v = (same_kind("batch", self.batch(z, index), self.like, np) for z in (u, v))
        return at_u - at_v

    def page_cycle(self, anchor: Array, u: Array, g: Array, plan: Estimator, steps: int) -> tuple[int, bool]:
        for done in range(1, steps + 1):
            lam = 2.0 / (self.age + 4.0)
            new = self.J(lam * anchor + (1.0 - lam) * u - plan.step * g, plan.step)  # (1)
            old = u.copy()
            u[:] = new
            self.age += 1
            p = plan.share if plan.flat < 0 else plan.share / (plan.share + min(self.age, plan.flat))
            if self.rng.random() < p:
                return done, True
            g += self._difference(u, old, plan.batch)  # (2)
        return steps, False

    def forb_cycle(
        self, v: Array, w: Array, w_old: Array, h: Array, plan: Splitting, steps: int
    ) -> tuple[int, bool]:
        alpha = 1.0 - plan.odds
        for done in range(1, steps + 1):
            change = plan.eta * self._difference(v, w_old, 1) + v - w_old
            v[:] = self.J(
                alpha * v + (1.0 - alpha) * w - plan.gamma * (h + change), plan.gamma * plan.eta
            )  # (4)
            w_old[:] = w
            if self.rng.random() < plan.odds:
                return done, True
        return steps, False
