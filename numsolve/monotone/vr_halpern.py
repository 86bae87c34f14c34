"""Halpern's iteration with variance reduction, for means of many operators: two algorithms, one function.

X. Cai, A. Alacaoglu, J. Diakonikolas, "Variance reduced Halpern iteration for finite-sum monotone
inclusions", ICLR 2024, arXiv 2310.02987. Wanted is u with 0 in F(u) + G(u), ``F = (1/n) sum_i F_i``; J is
the resolvent of G. Algorithm 1, for components that are cocoercive on average, is in the file `_single_loop`;
Algorithm 2, for components that are Lipschitz on average, in `_double_loop`.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from numsolve._core import checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.result import caller_level

from ._double_loop import double_loop, splitting
from ._sampling import Sampler, components_of
from ._single_loop import estimator, single_loop
from .finite_sum import AffineFiniteSum, BilinearGame, FiniteSum
from .halpern import Restarts
from .result import MonotoneResult

if TYPE_CHECKING:
    from numsolve._core.typing import ArrayLike, Callback, RandomState

    from .prox import Prox

Assumption = Literal["auto", "cocoercive", "lipschitz"]
Schedule = Literal["tuned", "paper"]
Sampling = Literal["uniform", "importance"]
MAXITER = 2**62
#: The largest probability of Algorithm 2.
HALF = 0.5


@answers(rtol="tol", atol="tol")
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
        Largest residual, as in `numsolve.monotone.halpern`; gamma is eta, in Algorithm 2 1/L.
    max_epochs : float
        Largest cost, in evaluations of the full operator; one more tells the residual at the end.
    rng : None, int or Generator
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
    tol = checks.real("tol", tol, low=0.0)
    max_epochs = checks.real("max_epochs", max_epochs, low=0.0, infinite=True)
    components = components_of(problem, prox, sampling, x0, checks.generator(rng))
    rule = Restarts(restart == "adaptive" or (restart == "auto" and schedule == "tuned"))
    it = Monitor(limits, atol=tol, maxiter=MAXITER, label="variance-reduced Halpern", columns=("epochs",))
    run = Sampler(it, components, rule, max_epochs * problem.n, components.seconds)
    largest_step = 1.0 / max(L, 1e-300)
    if assumption == "cocoercive":
        gamma = largest_step * (1.0 if schedule == "tuned" else 0.25) if step is None else step
        single_loop(run, x0, estimator(problem.n, gamma, batch, prob, schedule))
    else:
        gamma = largest_step
        double_loop(run, x0, gamma, splitting(problem.n, gamma, step, prob), schedule)
    cost = components.cost
    return it.result(MonotoneResult, nfev=cost, epochs=cost / problem.n, nrestart=rule.count, gamma=gamma)


def _tell(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=caller_level())
