r"""Newton's method on the semi-dual of entropic optimal transport, with scaling of the regularisation.

With P_ij = exp((f_i + g_j - M_ij)/eps), the potential g = g(f) that makes the columns exact is known:

    g_j(f) = eps log b_j - eps log sum_i exp((f_i - M_ij)/eps),        F(f) = a.f + b.g(f) -> max,

    grad F = a - r,   r = P 1,         -eps Hess F = S = diag(r) - P diag(1/b) P'.

S is the Laplacian of a weighted graph: singular along 1 only, which changes nothing in P. So plain Newton
steps S x = a - r, df = eps x with backtracking on the concave F converge from any start (semi-dual: Cuturi
and Peyre, "A smoothed dual approach for variational Wasserstein problems", SIAM J. Imaging Sci. 9, 2016;
Newton on the pair (f, g): Brauer, Clason, Lorenz and Wirth, "A Sinkhorn-Newton method for entropic optimal
transport", 2017). To make them few, eps falls by a factor of 4 a stage, and each stage but the last is left
at an error of 1e-2 (scaling of eps: Schmitzer, SIAM J. Sci. Comput. 41, 2019).

What a step costs:

- F, P and r at a trial f take one exponential an entry, because the old g stabilises the sums.
- S is applied with the entries of P that matter at the present error (Tang et al., ICLR 2024, drop a fixed
  share of them; here each row and column loses at most 0.1 error of its weight, and the diagonal nothing,
  so that S stays positive definite and the convergence superlinear).
- The system is solved by conjugate gradients with the diagonal of S, as far as the present error deserves;
  once that has cost as much as a Cholesky factorisation, the rest of the stage factorises.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays
from numsolve._core.result import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.monitor import Monitor

    from ._problem import Problem
    from .result import TransportResult

#: eps of the first stage over the range of the cost, and the factor from stage to stage.
FIRST_STAGE, STAGE_FACTOR = 0.05, 0.25
#: Error at which a stage but the last is left.
STAGE_TOL = 1e-2
#: Share of the entries of P beyond which the products with S use all of them.
SPARSE_BELOW = 0.08
#: Entries of the cost beyond which threads share a look at it, and those that one takes at a time.
THREADED_ABOVE, BLOCK = 1_000_000, 250_000
#: Unknowns beyond which S is not stored.
DENSE_BELOW = 5000
#: Steps without progress after which a stage is given up.
PATIENCE = 40


@dataclass
class State:
    """A point on the way: g = g(f), the plan, its row sums and what they should be, F, and the error."""

    f: Any
    g: Any
    P: Any
    r: Any
    goal: Any
    fun: float
    error: float


class SemiDual:
    """The problem with its smaller side as f, and the memory of one plan."""

    #: Whether S is singular along 1.
    singular = True

    def __init__(self, problem: Problem) -> None:
        xp = self.xp = problem.xp
        self.k = arrays.kernels_for(xp, __package__)
        self.system = arrays.kernels_for(xp, __package__, "newton")
        self.swapped = problem.M.shape[1] < problem.M.shape[0]
        self.dtype = problem.M.dtype
        M = problem.M.T if self.swapped else problem.M
        self.a, self.b = (problem.b, problem.a) if self.swapped else (problem.a, problem.b)
        self.P: Any = None
        if arrays.is_numpy(xp):  # the kernels want rows in one piece; float32 comes back at the end
            M = np.ascontiguousarray(M, dtype=np.float64)
            self.a, self.b = self.a.astype(np.float64), self.b.astype(np.float64)
            if self.singular:  # float32 sums are one to 1e-7
                self.a, self.b = self.a / self.a.sum(), self.b / self.b.sum()
            self.P = np.empty(M.shape)
        self.M = M
        self.n, self.m = M.shape
        self.blocks: list[slice] = []
        if self.P is not None and self.n * self.m > THREADED_ABOVE:
            rows = max(1, BLOCK // self.m)
            self.blocks = [slice(i, i + rows) for i in range(0, self.n, rows)]
            self.pool = ThreadPoolExecutor(self.k.threads())
        self.log_a = xp.log(self.a)
        self.unit = float(xp.finfo(M.dtype).eps)
        self.rounding = min(self.unit * (8 + problem.range / problem.reg), self.unit**0.5)
        self.counts = {"nsinkhorn": 0, "nnewton": 0, "ncg": 0}
        self.damping = 1.0

    def original(self, x: tuple[Any, Any]) -> tuple[Any, Any]:
        """Potentials in the order and the dtype of the problem."""
        f, g = x[::-1] if self.swapped else x
        return self.xp.astype(f, self.dtype), self.xp.astype(g, self.dtype)

    def close(self) -> None:
        """Let the threads go."""
        if self.blocks:
            self.pool.shutdown()

    def at(self, f: Any, g: Any, reg: float) -> State:
        """Evaluate everything at f, with g as the stabiliser."""
        P, g, r = self.transform(f, g, reg)
        goal = self.row_goal(f, reg)
        return State(f, g, P, r, goal, self.value(f, g, reg), self._l1(r - goal))

    def transform(self, f: Any, g: Any, reg: float) -> tuple[Any, Any, Any]:
        """Return the plan at f and g(f), g(f), and the row sums."""
        if self.blocks:
            return self._transform_in_blocks(f, g, reg)
        result: tuple[Any, Any, Any] = self.k.transform(self.M, f, g, self.b, reg, self.P)
        return result

    def row_goal(self, f: Any, reg: float) -> Any:  # noqa: ARG002
        """What the row sums are at the solution."""
        return self.a

    def value(self, f: Any, g: Any, reg: float) -> float:  # noqa: ARG002
        """F, without constants."""
        return self._dot(self.a, f) + self._dot(self.b, g)

    def row_step(self, f: Any, g: Any, log_r: Any, reg: float) -> Any:  # noqa: ARG002
        """Return the f that makes the rows right for the present g."""
        return f + reg * (self.log_a - log_r)

    def diagonals(self, s: State, reg: float) -> tuple[Any, Any]:  # noqa: ARG002
        """Return d and b of S = diag(d) - P diag(1/b) P'."""
        return s.r, self.b

    def goals(self, s: State, reg: float) -> tuple[Any, Any]:  # noqa: ARG002
        """What the row and column sums of the problem, not swapped, should be."""
        return self.original((s.goal, self.b))

    def _transform_in_blocks(self, f: Any, g: Any, reg: float) -> tuple[Any, Any, Any]:
        """`transform` by threads: the blocks of rows, and so the answer, do not depend on their number."""
        k, M, P = self.k, self.M, self.P

        def column_sums(g: Any) -> Any:
            return sum(self.pool.map(lambda i: k.plan_column_sums(M[i], f[i], g, reg), self.blocks))

        c = column_sums(g)
        if not k.has_all_digits(c):
            g = k.least_in_columns(M, f)
            c = column_sums(g)
        g = g + reg * np.log(self.b / c)
        r = list(self.pool.map(lambda i: k.plan_rows(M[i], f[i], g, reg, P[i]), self.blocks))
        return P, g, np.concatenate(r)

    def sweep(self, s: State, reg: float) -> State:
        """One iteration of Sinkhorn: the rows exact, then the columns."""
        self.counts["nsinkhorn"] += 1
        if float(self.xp.min(s.r)) > 1e-290:
            log_r = self.xp.log(s.r)
        else:
            log_r = self.k.log_row_sums(self.M, s.f, s.g, reg)
        with np.errstate(invalid="ignore"):
            f = self.row_step(s.f, s.g, log_r, reg)
        return self.at(f, s.g, reg)

    def newton_step(self, s: State, reg: float, x: Any) -> State:
        """Go along x as far as F rises enough; sweep once if that leaves rows far off."""
        self.counts["nnewton"] += 1
        f, g, fun, error = s.f, s.g, s.fun, s.error
        slope = reg * self._dot(s.goal - s.r, x)
        noise = self.noise(s)
        for halvings in range(13):
            step = 0.5**halvings
            new = self.at(f + (step * reg) * x, g, reg)
            # Near the solution F has no digits left for Armijo's test, but the error still has.
            level = new.fun >= fun - 300 * noise
            if new.fun >= fun + 1e-4 * step * slope - noise or (level and new.error < 0.5 * error):
                break
        else:
            new = self.at(f, g, reg)
        # Steps that had to be cut are damped in their origin: rows of little weight ask for too much.
        if halvings >= 4:
            self.damping = min(self.damping * 10, 1e6)
        elif halvings < 3:
            self.damping = max(1.0, self.damping / 10)
        if halvings > 0 or self._far_off(new):
            new = self.sweep(new, reg)
        return new

    def _far_off(self, s: State) -> bool:
        """Whether a row is off by a factor of 8: a sweep repairs at once what Newton does in bits."""
        ratio = s.r / s.goal
        return not (float(self.xp.max(ratio)) < 8 and float(self.xp.min(ratio)) > 1 / 8)

    def direction(self, s: State, reg: float, tol: float, direct: bool) -> tuple[Any, bool]:
        """Solve (S + sigma diag(max(a, r))) x = a - r, and say whether factorising is the cheaper way.

        sigma fades with the error. It bounds x where S is all but singular: sets of rows that exchange
        next to no mass with the others, and rows of next to no weight.
        """
        k, xp, a, n, m = self.system, self.xp, s.goal, self.n, self.m
        small = min(1.0, s.error)
        d, b = self.diagonals(s, reg)
        d = d + min(0.1, 1e-3 * small * self.damping) * xp.maximum(a, s.r)
        rhs = a - s.r
        if self.singular:
            rhs = rhs - float(xp.sum(rhs)) * a
        # Forcing by the error makes the convergence quadratic; more than the tolerance needs is not asked.
        stop = max(min(0.1, s.error), 0.3 * tol / s.error) * self._l1(rhs)

        drop = 0.1 * small
        kept, *entries = k.compress(s.P, (drop / m) * a, (drop / n) * b, int(SPARSE_BELOW * n * m) + m)
        sparse = kept >= 0
        # Nanoseconds of one CG step and of one factorisation: their ratio bounds the steps.
        step_cost = 2.0 * kept + 8 * n if sparse else 0.22 * n * m
        factor_cost = n**3 / 75 + (0 if sparse else n * n * m / 25)
        x = None
        if not (direct and n <= DENSE_BELOW):
            limit = max(20, int(factor_cost / step_cost)) if n <= DENSE_BELOW else 300
            if sparse:
                x, steps, done = k.schur_cg_sparse(*entries, d, b, rhs, stop, limit)
            else:
                x, steps, done = k.schur_cg(s.P, d, b, rhs, stop, limit)
            self.counts["ncg"] += steps
            if done or n > DENSE_BELOW:
                return x, False

        def matrix(d: Any) -> Any:
            return k.schur_matrix_sparse(*entries, d, b) if sparse else k.schur_matrix(s.P, d, b)

        return _factorised(k, xp, matrix, d, rhs, x), True

    def noise(self, s: State) -> float:
        """The rounding error of F."""
        size = self._dot(self.a, self.xp.abs(s.f)) + self._dot(self.b, self.xp.abs(s.g))
        return 2 * self.unit * size

    def _dot(self, x: Any, y: Any) -> float:
        return float(x @ y)

    def _l1(self, x: Any) -> float:
        return float(self.xp.sum(self.xp.abs(x)))


def newton(
    problem: Problem,
    *,
    tol: float,
    maxiter: int | None = None,
    potentials_init: tuple[Any, Any] | None = None,
    return_plan: bool = True,
    callback: Callable[..., Any] | None = None,
    progress: bool = False,
    time_limit: float | None = None,
    semidual: type[SemiDual] = SemiDual,
) -> TransportResult:
    """Solve a prepared problem; see `numsolve.transport.solve` for the arguments.

    One iteration is a Newton step or the change to the next eps.
    """
    with closing(semidual(problem)) as dual:
        with problem.monitor(
            "Newton",
            tol,
            1000 if maxiter is None else maxiter,
            time_limit=time_limit,
            callback=callback,
            progress=progress,
            present=lambda x: problem.potentials(dual.original(x)),
            rounding=0.0,  # judged in `_give_up`, at the last eps only
            divergence=float("inf"),  # a start can be exact for one eps and off for the next
            columns=("reg",),
        ) as it:
            s, path = _start(dual, problem, potentials_init)
            stage, reg = 0, path[0]
            watch = _Watch()
            best, x, direct = s, s.f, False
            _record(it, s, reg, problem.reg, tol)
            for _ in it:
                last = stage == len(path) - 1
                if not last and (s.error <= STAGE_TOL or watch.stuck >= PATIENCE):
                    stage, reg, direct = stage + 1, path[stage + 1], False
                    s = best = dual.sweep(dual.at(s.f, s.g, reg), reg)
                    watch = _Watch()
                else:
                    x, direct = dual.direction(s, reg, tol if last else STAGE_TOL, direct)
                    s = dual.newton_step(s, reg, x)
                    if s.error < best.error:
                        best = s
                    watch.see(s, dual.noise(s))
                _record(it, s, reg, problem.reg, tol)
                if it.status is None:
                    _give_up(it, watch, dual, problem, s, x, last)

        if it.status is not Status.CONVERGED:  # the memory of P may hold a later trial, or another eps
            s = dual.at(best.f, best.g, problem.reg)
            if not np.isfinite(s.error):  # at this eps their rounding errors are exponents that overflow
                s = dual.at(0 * dual.a, 0 * dual.b, problem.reg)

    # Both marginals are measured on the plan that is returned.
    xp, (f, g) = problem.xp, dual.original((s.f, s.g))
    P = xp.astype(s.P.T if dual.swapped else s.P, problem.M.dtype, copy=False)
    rows, columns = dual.goals(s, problem.reg)
    residual = float(xp.sum(xp.abs(xp.sum(P, axis=1) - rows)))
    residual += float(xp.sum(xp.abs(xp.sum(P, axis=0) - columns)))
    if it.status is Status.CONVERGED and residual > tol:
        it.stop(Status.ROUNDING, f"The residual is {residual:.3g}, the tolerance {tol:.3g}.")
    return problem.result(
        it, P, (f, g), return_plan, residual=residual, reg_path=tuple(path[: stage + 1]), **dual.counts
    )


def _record(it: Monitor, s: State, reg: float, goal: float, tol: float) -> None:
    """Record a point; only at the last eps it may be the answer."""
    done = reg == goal and s.error <= 0.999 * tol  # the rest is for rounding in the columns
    it.record(s.error, (s.f, s.g), converged=done, reg=reg)


class _Watch:
    """How many steps a stage has gone without one per cent less error (stuck), and without more F (idle)."""

    def __init__(self) -> None:
        self.stuck = self.idle = 0
        self._error, self._fun = float("inf"), -float("inf")

    def see(self, s: State, noise: float) -> None:
        self.stuck += 1
        self.idle += 1
        if s.error < 0.99 * self._error:
            self._error, self.stuck, self.idle = s.error, 0, 0
        if s.fun > self._fun + noise:
            self._fun, self.idle = s.fun, 0


def _start(dual: SemiDual, problem: Problem, potentials_init: Any) -> tuple[State, list[float]]:
    """Return the first point and the path of eps: only the last one if the start is good enough for it."""
    f, g = problem.start(potentials_init)
    if dual.swapped:
        f, g = g, f
    if arrays.is_numpy(problem.xp):
        f, g = f.astype(np.float64), g.astype(np.float64)
    path = [problem.reg]
    if potentials_init is not None:
        if dual.singular:
            f = f - dual._dot(dual.a, f)  # a large constant would only eat digits
        s = dual.at(f, g, problem.reg)
        if s.error <= 0.1:
            return s, path
        zero = dual.at(0 * f, 0 * g, problem.reg)
        if not s.fun > zero.fun:
            f, g = zero.f, zero.g
    while path[0] / STAGE_FACTOR < FIRST_STAGE * problem.range * (1 + 1e-12):
        path.insert(0, path[0] / STAGE_FACTOR)
    s = dual.at(f, g, path[0])
    for _ in range(3):
        s = dual.sweep(s, path[0])
    return s, path


def _factorised(k: Any, xp: Any, matrix: Callable[..., Any], d: Any, rhs: Any, fallback: Any) -> Any:
    """Solve with the dense S, its diagonal raised as far as rounding makes it necessary."""
    shift = 1e-15
    while shift < 1e-3:
        try:
            x = k.cholesky_solve(matrix((1 + shift) * d), rhs)
            if bool(xp.all(xp.isfinite(x))):
                return x
        except Exception as error:  # each library has a LinAlgError of its own
            if type(error).__name__ != "LinAlgError":
                raise
        shift *= 100
    return rhs / d if fallback is None else fallback


def _give_up(
    it: Monitor, watch: _Watch, dual: SemiDual, problem: Problem, s: State, x: Any, last: bool
) -> None:
    """Stop where no further step can help, and say why."""
    if problem.forbidden:
        # Weak duality: no feasible plan (of mass one) costs more than the largest finite entry of M.
        bound = problem.highest + 1e-6 * (problem.range + abs(problem.highest))
        asked = watch.stuck > 0 and watch.stuck % 10 == 0
        if s.fun > bound or (asked and any(_overloaded(dual, by) for by in (x, s.f))):
            it.stop(Status.INFEASIBLE, "The allowed pairs cannot carry the weights a to the weights b.")
            return
    if not last:
        return
    if watch.stuck >= 6 and s.error <= 4 * dual.rounding:
        it.stop(Status.ROUNDING, f"The residual is {s.error:.3g}.")
    elif watch.idle >= PATIENCE:
        it.stop(Status.STAGNATED)


def _overloaded(dual: SemiDual, by: Any) -> bool:
    """Whether some rows weigh more than all columns that they may use together (Hall's condition fails).

    Where no plan exists F grows without bound along such a set, so its rows come first in the order of f
    and of the step. The test is exact for the sets that it looks at: the first k rows, for every k.
    """
    allowed = np.isfinite(arrays.to_host(dual.M))
    order = np.argsort(-arrays.to_host(by))
    weight = np.cumsum(arrays.to_host(dual.a)[order])
    first = np.argmax(allowed[order], axis=0)  # from how many rows on a column is within reach
    room = np.cumsum(np.bincount(first, weights=arrays.to_host(dual.b), minlength=dual.n))
    return bool(np.max(weight - room) > 1e-12)
