"""Solves of every column that would take minutes: for Ctrl-C from outside and for time limits.

`LASTING` maps ``"linear.cg, dense"`` to a `Lasting`. Most are the long calls of the columns' own contracts
(``contract.Call.long``); those of solvers that stand in no contract are made here. `linear.train_dcdm` and
`linear.train_npsd` are missing, for they compile a step in each call: a process that ends soon after Ctrl-C
in that may crash in JAX's own thread.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from contract import Conduct
from scipy.sparse.linalg import aslinearoperator
from scipy.spatial.distance import cdist

from numsolve import (
    Status,
    atomic,
    bilevel,
    fractional,
    implicit,
    linear,
    monotone,
    neural_ode,
    sketch,
    special,
    transport,
)

if TYPE_CHECKING:
    from collections.abc import Callable

JAX = importlib.util.find_spec("jax") is not None
SKLEARN = importlib.util.find_spec("sklearn") is not None

#: Where the contracts are, a column for each module.
CONTRACTS = {
    "transport": ("transport.test_conduct", "transport.test_conduct_clouds"),
    "linear": ("linear.test_conduct", "linear.poisson.test_conduct"),
    "monotone": ("monotone.test_conduct",),
    "fractional": ("fractional.test_conduct",),
    "atomic": ("atomic.test_conduct",),
    "bilevel": ("bilevel.test_conduct",),
    "sketch": ("sketch.test_conduct",),
    **({"neural_ode": ("neural_ode.test_training",)} if JAX else {}),
}


@dataclass(frozen=True)
class Lasting:
    """A solve of minutes.

    Attributes
    ----------
    run : callable
        ``run(**settings)`` starts it, with settings of the run.
    watched : bool
        Whether it takes a callback.
    limited : bool
        Whether it takes a time limit.
    keeps : bool
        Whether Ctrl-C gives a result once something was done; without, it raises.
    partial : bool
        Whether x says by NaN what is not known yet.
    """

    run: Callable[..., Any]
    watched: bool = True
    limited: bool = True
    keeps: bool = True
    partial: bool = False


def contracts(area: str) -> dict[str, Lasting]:
    found = {}
    for module in CONTRACTS.get(area, ()):
        for kind in vars(importlib.import_module(module)).values():
            if inspect.isclass(kind) and issubclass(kind, Conduct) and kind is not Conduct:
                found |= {
                    name: Lasting(call.long, partial=name == "heuristics")
                    for name, call in kind.calls.items()
                    if call.long
                }
    return found


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@cache
def plane() -> tuple[Any, Any]:
    return linear.problems.laplacian(400), rng().standard_normal(160_000)


@cache
def obstacles() -> tuple[Any, Any]:
    grid = linear.problems.random_obstacles((512, 512), 4, rng=0)
    return linear.poisson_multigrid(grid), rng().standard_normal((*grid.shape, 60))


@cache
def costs() -> Any:
    return rng().random((20_000, 40, 40))


@cache
def programs() -> tuple[Any, ...]:
    """Costs of many programs, and what they share."""
    n, m = 90, 60
    rows, free = rng().random((m, n)), np.full(n, np.inf)
    cost = -rng().random((400, n))
    return cost, (rows, np.full(m, -np.inf), np.ones(m), np.zeros(n), free)


@cache
def rough_model() -> sketch.GLM:
    A, b = sketch.problems.ill_conditioned(20_000, 400, 1e8, rng=0)
    return sketch.GLM(A, b > 0, l2=1e-14)


@cache
def on_sphere() -> Any:
    X = rng().standard_normal((20_000, 5))
    return X / np.linalg.norm(X, axis=1, keepdims=True)


@cache
def in_groups() -> Any:
    X, Y = rng().random((2, 4000, 8))
    weights = rng().random((2, 4000)) + 1e-3
    return cdist(X, Y**2, "sqeuclidean"), *(weights / weights.sum(axis=1, keepdims=True))


@cache
def scattered() -> Any:
    weights = rng().random((2, 4000)) + 1e-3
    return rng().random((4000, 4000)), *(weights / weights.sum(axis=1, keepdims=True))


@cache
def domains() -> tuple[Any, Any]:
    X = rng().random((20_000, 3))
    return X, X**2


def adapted(**settings: Any) -> Any:
    source, target = domains()
    own = {"reg": 1e-4, "tol": 1e-14, "maxiter": 10**6}
    return transport.DomainAdaptation(**own, **settings).fit(source, Xt=target).result_


@cache
def classes() -> tuple[Any, Any]:
    A, b = sketch.problems.ill_conditioned(40_000, 400, 1e6, rng=0)
    return A, b > 0


def classified(**settings: Any) -> Any:
    own = {"C": 1e9, "norm": 1.0, "tol": 1e-300, "maxiter": 10**6}
    return sketch.ConstrainedLogisticRegression(**own, **settings).fit(*classes()).result_


@cache
def nested() -> Any:
    return bilevel.problems.quadratic(1500, 10, kappa=1e7, rng=0)


def chain() -> tuple[Any, ...]:
    """A chain of slow functions, as in the contract of `sketch.minimize`."""
    module = importlib.import_module("sketch.test_conduct")
    return (lambda x: float(np.sum(np.abs(x) ** 4) + np.sum(np.diff(x) ** 4))), module


def decay(t: Any, y: Any, params: Any) -> Any:
    return -params * y


def loss(params: Any, data: Any, coefficient: Any, key: Any) -> Any:
    sol = neural_ode.odesolve(decay, data, (0.0, 1.0), params, max_steps=32)
    return (sol.y**2).sum(), sol


@cache
def descent() -> Any:
    """One optimiser for all: with another one the step is compiled anew."""
    import optax

    return optax.sgd(1e-6)


def training(**settings: Any) -> Any:
    data = np.linspace(1, 2, 64, dtype=np.float32)
    run = {"batch_size": 1, "epochs": 10**6, "rng": 0, **settings}
    return neural_ode.train(loss, np.float32(1.0), data, descent(), **run)


def multigrid_weights(**settings: Any) -> Any:
    """A training of days; what it returns before its last step counts as ended from outside."""
    weights = linear.train_multigrid(2, **{"rng": 0, "maxiter": 10**7, "time_limit": None, **settings})
    return SimpleNamespace(status=Status.INTERRUPTED, x=weights["numbers"], nit=1)


@cache
def tall() -> tuple[Any, Any]:
    """Least squares with so many rows that the tens of iterations of a refinement take seconds."""
    rows, columns = 150_000, 400
    A = sp.random_array((rows, columns), density=0.03, format="csr", rng=rng())
    return A, rng().standard_normal(rows)


def adasketch(**settings: Any) -> Any:
    fun, of = chain()
    own = {"jac": of.chain_gradient, "hess": of.chain_hessian, "tol": 0.0, "maxiter": 10**6, "rng": 0}
    return sketch.adasketch_newton(fun, np.linspace(1, 2, 60), **own, **settings)


OTHERS: dict[str, dict[str, Lasting]] = {
    "transport": {
        "solve, batch": Lasting(lambda **kw: transport.solve(costs(), reg=1e-3, tol=1e-13, **kw)),
        "solve_many": Lasting(
            lambda **kw: transport.solve_many(((M,) for M in costs()), reg=1e-3, tol=1e-13, **kw),
            watched=False,
        ),
        "exact": Lasting(lambda **kw: transport.solve(*in_groups(), reg=0, **kw), watched=False),
        "exact, scattered": Lasting(lambda **kw: transport.solve(*scattered(), reg=0, **kw)),
        **({"DomainAdaptation": Lasting(adapted)} if SKLEARN else {}),
    },
    "linear": {
        "solve_poisson": Lasting(lambda **kw: linear.solve_poisson(*obstacles(), rtol=1e-12, **kw)),
        "dcdm": Lasting(
            lambda **kw: linear.dcdm(*plane(), lambda r: r, **{"rtol": 1e-15, "maxiter": 10**7, **kw})
        ),
        "gmres, operator": Lasting(
            lambda **kw: linear.gmres(
                aslinearoperator(plane()[0]), plane()[1], **{"rtol": 1e-15, "maxiter": 10**7, **kw}
            )
        ),
        "train_multigrid": Lasting(multigrid_weights),
        "solve_sequence": Lasting(
            lambda: list(
                linear.solve_sequence(((t * plane()[0], plane()[1]) for t in range(1, 10**6)), "ssor_cg")
            ),
            watched=False,
            limited=False,
            keeps=False,
        ),
    },
    "monotone": {
        "solve_lp, batch": Lasting(
            lambda **kw: monotone.solve_lp(
                programs()[0], *programs()[1], **{"tol": 1e-300, "maxiter": 10**9, **kw}
            )
        ),
        "solve_lps": Lasting(
            lambda **kw: monotone.solve_lps(((c, *programs()[1]) for c in programs()[0]), tol=1e-9, **kw),
            watched=False,
        ),
    },
    "fractional": {
        "solve_riesz_2d": Lasting(
            lambda **kw: fractional.solve_riesz_2d(
                lambda x, y: np.sin(9 * x * y),
                1.2,
                n=512,
                method="gmres",
                **{"rtol": 0.0, "maxiter": 10**6, **kw},
            )
        ),
    },
    "atomic": {
        "solve_atoms": Lasting(
            lambda **kw: atomic.solve_atoms([92 - k % 40 for k in range(1200)], **kw), watched=False
        ),
        "AtomDFT.run, gradient": Lasting(
            lambda **kw: atomic.AtomDFT(92, xc="pbe", mixing="linear", mixing_alpha=1e-3, tol=1e-14).run(
                **{"maxiter": 10**6, **kw}
            )
        ),
        "AtomDFT.run, spin": Lasting(
            lambda **kw: atomic.AtomDFT(
                91, spin_polarized=True, mixing="linear", mixing_alpha=1e-3, tol=1e-14
            ).run(**{"maxiter": 10**6, **kw})
        ),
    },
    "implicit": {
        name: Lasting(
            lambda name=name, **kw: getattr(implicit, name)(
                lambda v: plane()[0] @ v, plane()[1], tol=1e-300, maxiter=10**7
            ),
            watched=False,
            limited=False,
            keeps=False,
        )
        for name in ("solve_cg", "solve_bicgstab", "solve_gmres")
    },
    "bilevel": {
        "hypergradient": Lasting(
            lambda **kw: bilevel.hypergradient(
                nested(), np.ones(10), np.zeros(1500), **{"tol": 1e-300, "maxiter": 10**7, **kw}
            ),
            watched=False,  # its callback comes after a whole solve
            keeps=False,
        ),
        "hypergradient, unrolled": Lasting(
            lambda **kw: bilevel.hypergradient(
                nested(), np.ones(10), np.zeros(1500), method="unrolled", n_steps=10**7, **kw
            ),
            watched=False,
            keeps=False,
        ),
    },
    "sketch": {
        "newton_sketch": Lasting(
            lambda **kw: sketch.newton_sketch(
                rough_model(), rng=0, precondition=False, **{"tol": 0.0, "maxiter": 10**7, **kw}
            )
        ),
        "adasketch_newton": Lasting(adasketch),
        "lstsq": Lasting(lambda **kw: sketch.lstsq(*tall(), method="lsqr", tol=0.0, rng=0, **kw)),
        **({"ConstrainedLogisticRegression": Lasting(classified)} if SKLEARN else {}),
    },
    "neural_ode": {"train": Lasting(training)} if JAX else {},
    "special": {
        "VMFMixture": Lasting(
            lambda **kw: special.VMFMixture(20, tol=0.0, rng=0, n_init=10**6, **kw).fit(on_sphere()).result_
        ),
    },
}

LASTING = {
    f"{area}.{name}": solve
    for area, others in OTHERS.items()
    for name, solve in (contracts(area) | others).items()
}
