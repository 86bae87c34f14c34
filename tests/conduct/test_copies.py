"""What solvers return and what they are given can be copied and pickled, and works as before."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
import solvers
from solvers import SOLVERS, numbers, same

QUICK = [name for name, solver in SOLVERS.items() if not solver.slow]
WAYS = {"pickle": lambda x: pickle.loads(pickle.dumps(x)), "copy": copy.copy, "deepcopy": copy.deepcopy}


@pytest.fixture(autouse=True)
def quiet():
    """Some problems of the table end early on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("name", QUICK)
def test_a_copy_of_a_result_has_its_numbers(name):
    result = SOLVERS[name].run(0)
    for way in WAYS.values():
        back = way(result)
        assert type(back) is type(result)
        assert repr(back)
        assert same(back, result)


#: An object of the package, and what it is used for.
OBJECTS = {
    "SweepPlan": (lambda: solvers.plan(0), lambda p: p.order),
    "SSOR": (lambda: solvers.preconditioner("SSOR", 0), lambda M: M @ solvers.system(0)[1]),
    "ICT": (lambda: solvers.preconditioner("ICT", 0), lambda M: M @ solvers.system(0)[1]),
    "ILU": (lambda: solvers.preconditioner("ILU", 0), lambda M: M.T @ solvers.system(0)[1]),
    "PoissonMultigrid": (lambda: solvers.multigrid(0), lambda M: M @ np.ones(M.shape[1])),
    "DCDMNet": (lambda: solvers.untrained(0), lambda net: net(solvers.channel(0)[1])),
    "GridPoisson": (
        lambda: solvers.linear.GridPoisson(solvers.channel(0)[0]),
        lambda p: solvers.linear.solve_poisson(p, solvers.channel(0)[1]).x,
    ),
    "TunedSolver": (
        lambda: solvers.linear.TunedSolver("ssor_cg", rng=0),
        lambda s: [s(*solvers.system(0)).x for _ in range(3)],
    ),
    "TunedSolver, auto": (
        lambda: solvers.linear.TunedSolver("auto", arms=[("cg",)], rng=0),
        lambda s: s(*solvers.system(0)).x,
    ),
    **{
        name: (
            lambda name=name, settings=settings: getattr(solvers.linear, name)([1.0, 1.5], rng=0, **settings),
            lambda tuner: [(tuner.suggest(0.5), tuner.observe(3.0)) for _ in range(6)],
        )
        for name, settings in {
            "TsallisINF": {},
            "TsallisINFCB": {"context_range": (0.0, 1.0)},
            "ChebCB": {"context_range": (0.0, 1.0)},
            "SmoothCB": {},
        }.items()
    },
    "AffineFiniteSum": (
        lambda: solvers.affine(0),
        lambda p: solvers.monotone.vr_halpern(p, np.zeros(5), rng=0).x,
    ),
    "BilinearGame": (lambda: solvers.bilinear(0), lambda p: p.start()),
    "RieszSolver": (lambda: solvers.riesz(0), lambda s: s.solve(np.cos(s.points)).x),
    "RieszSplineOperator": (
        lambda: solvers.fractional.RieszSplineOperator(30, 3, 1.5),
        lambda A: A @ np.ones(31),
    ),
    "RadialMesh": (
        lambda: solvers.mesh(0),
        lambda m: solvers.atomic.solve_radial_schroedinger(lambda r: -1 / r, Z=1.0, mesh=m).x,
    ),
    "AtomDFT": (lambda: solvers.atomic.AtomDFT(2), lambda atom: atom.run().total_energy),
    "GLM": (lambda: solvers.model(0), lambda m: m.jac(np.full(6, 0.1))),
    "Sketch": (
        lambda: solvers.sketch.make_sketch("sparse-sign", 8, 20, rng=0),
        lambda S: (S @ np.eye(20), S.T @ np.ones(8)),
    ),
    "CostTarget": (lambda: solvers.neural_ode.CostTarget(nfev=20.0), lambda c: c.nfev),
    "ExponentialDecay": (lambda: solvers.neural_ode.ExponentialDecay(1.0, 0.1, 100), lambda e: e(50)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", OBJECTS)
def test_a_copy_of_an_object_does_what_it_did(name, way):
    """Before its first use, and after it; the original goes on from where it was."""
    make, use = OBJECTS[name]
    if way != "copy":  # a shallow copy shares the state that a use changes
        fresh = WAYS[way](make())
        assert same(use(fresh), use(WAYS[way](make())))
    used = WAYS["deepcopy"](make())
    use(used)
    back = WAYS["deepcopy"](WAYS[way](used))
    assert same(use(back), use(used))


@pytest.mark.parametrize("name", QUICK)
def test_what_is_written_into_a_result_reaches_no_later_solve(name):
    """Tables that the package keeps are not handed out."""
    for made in vars(solvers).values():
        if hasattr(made, "cache_clear"):
            made.cache_clear()
    run = SOLVERS[name].run
    before = [x.copy() for x in numbers(run(2))]
    for x in numbers(run(2)):
        if x.flags.writeable and x.ndim:
            x[...] = 0
    for made in vars(solvers).values():  # what the solver was given may be in its result
        if hasattr(made, "cache_clear"):
            made.cache_clear()
    after = list(numbers(run(2)))
    assert same(before, after)
