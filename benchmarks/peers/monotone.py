"""Linear programs beside PDLP (OR-tools) and HiGHS (SciPy); games and finite sums beside their rivals.

Linear programs are stopped by each side's own test at 1e-6 and then measured by one independent function: the
largest of the relative primal residual, dual residual and gap, in the 2-norm. PDLP has absolute and relative
tolerances of 1e-6 (its default norm), one thread, and no presolve, which is its default; its iterations are
those of its log. Numsolve's are those of the result, without the 40 products that estimate the norm of the
matrix; set-up and scaling are inside both sides' clocks. Two rows sum up the eleven Netlib programs by
geometric means. Finite sums count calls of components; "published" is the published schedule of the same
algorithm at the same step, not at its own, which is four times shorter.

How far from the floor. An iteration on 25fv47 (10 400 nonzeros, 2392 rows and columns) takes 17 microseconds:
two sparse products at 0.5 ns a nonzero would take 10, and the rest are the updates of the iterates.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.optimize
import scipy.sparse as sp

from _harness import Case, Peer, main
from numsolve import monotone

NETLIB = Path(__file__).parents[2] / "tests" / "monotone" / "data" / "netlib.npz"
SMALL = ("afiro", "adlittle", "israel", "standata", "standmps", "etamacro")
ALL = (*SMALL, "e226", "stair", "scrs8", "shell", "25fv47")
TOL = 1e-6
Program = tuple[Any, Any, Any, Any, Any, Any]


def netlib(name: str) -> Program:
    """One program of the collection."""
    with np.load(NETLIB) as file:
        part = {key.partition(".")[2]: file[key] for key in file if key.startswith(f"{name}.")}
    indices, indptr = part["indices"].astype(np.int32), part["indptr"].astype(np.int32)
    A = sp.csr_array((part["data"], indices, indptr), shape=tuple(part["shape"]))
    return part["c"], A, part["lc"], part["uc"], part["lx"], part["ux"]


def residual(lp: Program, point: tuple[Any, ...]) -> float:
    """The largest relative residual of a point (x, y, iterations)."""
    (c, A, lc, uc, lx, ux), (x, y, _) = lp, point
    b = np.maximum(np.where(np.isfinite(lc), abs(lc), 0), np.where(np.isfinite(uc), abs(uc), 0))
    ax, r = A @ x, c - A.T @ y
    primal = np.linalg.norm(np.append(ax - np.clip(ax, lc, uc), x - np.clip(x, lx, ux)))
    bound, dual = 0.0, 0.0
    for v, low, high in ((y, lc, uc), (r, lx, ux)):
        limit = np.where(v > 0, low, high)
        finite = np.isfinite(limit)
        bound += float(v[finite] @ limit[finite])
        dual = math.hypot(dual, float(np.linalg.norm(v[~finite])))
    gap = abs(c @ x - bound) / (1 + abs(c @ x) + abs(bound))
    return max(primal / (1 + np.linalg.norm(b)), dual / (1 + np.linalg.norm(c)), gap)


def by_numsolve(lp: Program, **settings: Any) -> tuple[Any, ...]:
    """x, y and the iterations."""
    r = monotone.solve_lp(*lp, tol=TOL, **settings)
    return r.x, r.y, r.nit


def by_pdlp(lp: Program, limit: float = math.inf) -> tuple[Any, ...]:
    """The same by OR-tools."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ortools.pdlp import solvers_pb2
        from ortools.pdlp.python import pdlp

    c, A, lc, uc, lx, ux = lp
    program, params = pdlp.QuadraticProgram(), solvers_pb2.PrimalDualHybridGradientParams()
    program.objective_vector, program.constraint_matrix = c, sp.csc_matrix(A)
    program.constraint_lower_bounds, program.constraint_upper_bounds = lc, uc
    program.variable_lower_bounds, program.variable_upper_bounds = lx, ux
    criteria = params.termination_criteria.simple_optimality_criteria
    criteria.eps_optimal_absolute = criteria.eps_optimal_relative = TOL
    params.termination_criteria.time_sec_limit = limit
    r = pdlp.primal_dual_hybrid_gradient(program, params)
    return np.array(r.primal_solution), np.array(r.dual_solution), r.solve_log.iteration_count


def by_highs(lp: Program, method: str) -> tuple[Any, ...]:
    """The same by HiGHS."""
    c, A, lc, uc, lx, ux = lp
    equal = lc == uc
    high, low = np.isfinite(uc) & ~equal, np.isfinite(lc) & ~equal
    rows = {"A_ub": sp.vstack([A[high], -A[low]]), "b_ub": np.concatenate([uc[high], -lc[low]])}
    if equal.any():
        rows |= {"A_eq": A[equal], "b_eq": uc[equal]}
    r = scipy.optimize.linprog(c, **rows, bounds=np.stack([lx, ux], axis=1), method=method)
    y, k = np.zeros(len(lc)), int(high.sum())
    y[high] = r.ineqlin.marginals[:k]
    y[low] -= r.ineqlin.marginals[k:]
    y[equal] = r.eqlin.marginals
    return r.x, y, r.nit


def lp_case(name: str, lp: Program, repeats: int) -> Case:
    """One program, by everybody."""
    return Case(
        name,
        ours=partial(by_numsolve, lp),
        peers=[
            Peer("ortools", partial(by_pdlp, lp), name="OR-tools PDLP", note="no presolve"),
            Peer("scipy", partial(by_highs, lp, "highs-ds"), name="SciPy HiGHS simplex"),
            Peer("scipy", partial(by_highs, lp, "highs-ipm"), name="SciPy HiGHS interior point"),
        ],
        metric="time to 1e-6",
        error=partial(residual, lp),
        tol=1.01 * TOL,
        repeats=repeats,
        budget=20.0,
        first_call=False,
    )


def option_case(name: str, lp: Program, tol: float, repeats: int, **settings: Any) -> Case:
    """One program with an option of ours, beside ours without it and the simplex method of HiGHS."""
    text = ", ".join(f"{key}={value!r}" for key, value in settings.items())
    return Case(
        f"{name}, {text}",
        ours=partial(by_numsolve, lp, **settings),
        peers=[
            Peer("numsolve", partial(by_numsolve, lp), name="numsolve without it, to 1e-6"),
            Peer("scipy", partial(by_highs, lp, "highs-ds"), name="SciPy HiGHS simplex"),
        ],
        metric=f"time to {tol:.0e}",
        error=partial(residual, lp),
        tol=1.01 * tol,
        repeats=repeats,
        budget=20.0,
        first_call=False,
    )


def boxed(lp: Program) -> Program:
    """The same program with each missing upper bound at 10^9."""
    c, A, lc, uc, lx, ux = lp
    return c, A, lc, uc, lx, np.minimum(ux, 1e9)


def lasso_case(repeats: int) -> Case:
    """A lasso with 20 000 rows and 80 columns: Halpern on the Gram matrix, sampling, scikit-learn."""
    rng = np.random.default_rng(0)
    n, d, weight = 20_000, 80, 0.01
    Z = rng.normal(size=(n, d)) @ (np.eye(d) + 0.3 / math.sqrt(d) * rng.normal(size=(d, d)))
    b = Z[:, :10] @ rng.normal(size=10) + 0.1 * rng.normal(size=n)
    prox = partial(monotone.prox_l1, weight=weight)

    def by_gram() -> Any:
        G, h = Z.T @ Z / n, Z.T @ b / n
        L = np.linalg.norm(G, 2)
        return monotone.halpern(lambda u: G @ u - h, np.zeros(d), L=L, prox=prox, tol=TOL).x

    def by_sampling() -> Any:
        problem = monotone.AffineFiniteSum(Z, b)
        return monotone.vr_halpern(problem, np.zeros(d), prox=prox, tol=TOL, rng=0).x

    def by_sklearn() -> Any:
        from sklearn.linear_model import Lasso

        return Lasso(alpha=weight, fit_intercept=False, tol=1e-8).fit(Z, b).coef_

    def error(u: Any) -> float:
        return float(np.linalg.norm(u - prox(u - Z.T @ (Z @ u - b) / n, 1.0)))

    return Case(
        "lasso, 20 000 x 80",
        ours=by_gram,
        peers=[
            Peer("scikit-learn", by_sklearn, name="scikit-learn Lasso"),
            Peer("numsolve", by_sampling, name="numsolve vr_halpern"),
        ],
        metric="time to a residual of 1e-6",
        error=error,
        tol=2 * TOL,
        repeats=repeats,
        budget=20.0,
        first_call=False,
        note="ours is halpern on the Gram matrix, whose product is inside the clock",
    )


def summary_case(names: tuple[str, ...], metric: str, repeats: int) -> Case:
    """The geometric mean over all programs, of iterations or of seconds."""
    import time

    programs = [netlib(name) for name in names]

    def geometric_mean(solve: Any) -> tuple[float, float]:
        logs, worst = [], 0.0
        for lp in programs:
            start = time.perf_counter()
            point = solve(lp)
            seconds = time.perf_counter() - start
            logs.append(math.log(point[2] if metric == "iterations" else seconds))
            worst = max(worst, residual(lp, point))
        return math.exp(sum(logs) / len(logs)), worst

    return Case(
        f"{len(names)} Netlib programs, geometric mean",
        ours=partial(geometric_mean, by_numsolve),
        peers=[Peer("ortools", partial(geometric_mean, by_pdlp), name="OR-tools PDLP", note="no presolve")],
        metric=f"{metric} to 1e-6",
        unit="" if metric == "iterations" else "s",
        value=lambda result: result[0],
        error=lambda result: result[1],
        tol=1.01 * TOL,
        repeats=repeats,
        budget=60.0,
        first_call=False,
    )


def covering(n: int) -> Program:
    """Cover n elements by n random sets of ten elements each, on average."""
    rng = np.random.default_rng(0)
    A = sp.csr_array(sp.random_array((n, n), density=10 / n, rng=rng) > 0, dtype=float)
    need = np.minimum(1.0, A.sum(axis=1))
    return rng.uniform(1, 2, n), A, need, np.full(n, np.inf), np.zeros(n), np.full(n, np.inf)


def transport(n: int) -> Program:
    """Transport between n and n random points, at the squared distance."""
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0.1, 1, n), rng.uniform(0.1, 1, n)
    b *= a.sum() / b.sum()
    cost = ((rng.random((n, 1, 2)) - rng.random((1, n, 2))) ** 2).sum(axis=2).ravel()
    one, ones = sp.eye_array(n), np.ones((1, n))
    A = sp.csr_array(sp.vstack([sp.kron(one, ones), sp.kron(ones, one)]))
    right = np.concatenate([a, b])
    return cost, A, right, right, np.zeros(n * n), np.full(n * n, np.inf)


def game_case() -> Case:
    """Epochs of a uniform game to a residual of 1e-3, with the residual of the papers."""
    A = np.random.default_rng(0).uniform(-1, 1, (200, 200))
    game, L = monotone.BilinearGame(A), np.linalg.norm(A, 2)

    def error(r: Any) -> float:
        u = r.x if r.x.size == 400 else np.concatenate([r.x, r.y])
        return float(np.linalg.norm(u - game.prox(u - game.full(u), 1.0)))

    def rival(method: str) -> Any:
        return monotone.halpern(
            *(game.full, game.start()), L=L, prox=game.prox, method=method, tol=1e-3, maxiter=20_000
        )

    return Case(
        "uniform 200 x 200 game",
        ours=lambda: monotone.solve_game(A, tol=1e-3),
        peers=[
            Peer("numsolve", partial(rival, method), name=f"numsolve {name}", value=lambda r: r.nfev)
            for method, name in (("eg", "extragradient"), ("popov", "optimistic gradient"))
        ],
        metric="epochs to 1e-3",
        unit="",
        value=lambda r: r.nit,
        error=error,
        tol=1.01e-3,
        repeats=1,
        first_call=False,
        note="the peer is another method of this package",
    )


def family(kind: str, n: int) -> monotone.AffineFiniteSum:
    """Least squares of some kind."""
    rng = np.random.default_rng(0)
    if kind == "isotropic":
        Z = rng.normal(size=(n, 50))
    elif kind == "row norms vary":
        Z = rng.normal(size=(n, 50)) * np.exp(0.7 * rng.normal(size=n))[:, None]
    elif kind == "columns decay":
        Z = rng.normal(size=(n, 100)) / np.arange(1, 101)
    else:
        from sklearn.datasets import load_breast_cancer

        X = load_breast_cancer().data
        X = (X - X.mean(axis=0)) / X.std(axis=0)
        Z = X[rng.integers(0, len(X), n)] + 0.1 * rng.normal(size=(n, 30))
    return monotone.AffineFiniteSum(Z, Z @ rng.normal(size=Z.shape[1]) + 0.1 * rng.normal(size=n))


def finite_sum_case(kind: str, n: int, seeds: int) -> Case:
    """Median calls of components, in epochs, to a hundredth of the first residual."""
    problem = family(kind, n)
    start = np.zeros(problem.size)
    tol, step = 1e-2 * float(np.linalg.norm(problem.full(start))), 1 / problem.constant("uniform")

    def epochs(**settings: Any) -> tuple[float, float]:
        runs = [
            monotone.vr_halpern(problem, start, tol=tol, max_epochs=20_000, rng=seed, **settings)
            for seed in range(seeds)
        ]
        return float(np.median([r.epochs for r in runs])), max(r.residual for r in runs) / tol

    def deterministic() -> tuple[float, float]:
        L = float(np.linalg.norm(problem.Z.T @ problem.Z / n, 2))
        r = monotone.halpern(problem.full, start, L=L, tol=tol, maxiter=20_000)
        return r.epochs, r.residual / tol

    return Case(
        f"least squares, {kind}, n = {n}",
        ours=partial(epochs, restart=None),
        peers=[
            Peer(
                "numsolve",
                partial(epochs, schedule="paper", step=step, restart=None),
                name="numsolve published schedule, same step",
            ),
            Peer("numsolve", deterministic, name="numsolve Halpern, deterministic"),
            Peer("numsolve", epochs, name="numsolve tuned, with restarts"),
        ],
        metric="epochs to 1e-2",
        unit="",
        value=lambda result: result[0],
        error=lambda result: result[1],
        tol=1.0,
        repeats=1,
        first_call=False,
        note=f"tuned without restarts; median of {seeds} seeds; all sides are this package's",
    )


def cases(quick: bool) -> Iterator[Case]:
    """Sums first, then single programs, then games and finite sums."""
    names = SMALL if quick else ALL
    for metric in ("iterations", "time"):
        yield summary_case(names, metric, 1 if metric == "iterations" else 5)
    for name in names[:3] if quick else names:
        yield lp_case(name, netlib(name), 5)
    yield lp_case("covering, 1000 x 1000", covering(1000), 3)
    if not quick:
        yield lp_case("covering, 3000 x 3000", covering(3000), 1)
        yield lp_case("transport, 200 x 200 points", transport(200), 3)
    for name in names[:1] if quick else ("stair", "scrs8", "25fv47"):
        yield option_case(name, netlib(name), TOL, 3, presolve=True)
        yield option_case(name, netlib(name), 1e-9, 3, polish="basic")
    yield option_case("adlittle in boxes of 1e9", boxed(netlib("adlittle")), TOL, 3, presolve=True)
    yield lasso_case(1 if quick else 5)
    yield game_case()
    for kind in ("isotropic", "row norms vary", "columns decay", "tabular data"):
        for n in (500,) if quick else (500, 4000):
            yield finite_sum_case(kind, n, 3 if quick else 7)


if __name__ == "__main__":
    main(cases)
