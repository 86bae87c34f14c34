"""Every public solver of the ten columns, each on small problems that a number tells apart.

`SOLVERS` maps a name, ``"linear.cg"`` or ``"linear.cg, dense"``, to a `Solver`; what stands before the comma
is public. Calls with one number share their arguments, the objects of the package among them (plans,
preconditioners, operators, meshes), as threads of a user's program do.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

from numsolve import (
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
from numsolve._core.history import History

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

JAX = importlib.util.find_spec("jax") is not None
INF = float("inf")

#: Fields of results that tell how long something took, or hold a function in place of numbers.
TIMES = {"seconds", "setup_time", "solve_time"}


@dataclasses.dataclass(frozen=True)
class Solver:
    """A public solver.

    Attributes
    ----------
    run : callable
        ``run(k)`` solves the k-th problem: with the same number the same arguments, objects and answer.
    random : callable, optional
        ``random(rng)`` solves one that takes `rng`, so that its numbers depend on it.
    slow : bool
        Whether a call takes more than some twentieth of a second.
    """

    run: Callable[[int], Any]
    random: Callable[[Any], Any] | None = None
    slow: bool = False


def numbers(value: Any, *, seen: int = 0) -> Iterator[Any]:
    """All public numbers in what a solver returned, but for times."""
    if seen > 6:
        return
    if isinstance(value, History):
        value = {name: value[name] for name in value}
    elif sp.issparse(value):
        value = (value.shape, sp.csr_array(value).data, sp.csr_array(value).indices)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.name[0] != "_"}
    if isinstance(value, dict):
        for name, part in value.items():
            if name not in TIMES:
                yield from numbers(part, seen=seen + 1)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from numbers(part, seen=seen + 1)
    elif isinstance(value, int | float | complex | np.generic | np.ndarray) or type(
        value
    ).__module__.startswith("jax"):
        yield np.asarray(value)


def same(x: Any, y: Any) -> bool:
    """Whether two results have the same numbers, bit for bit."""
    left, right = list(numbers(x)), list(numbers(y))
    return len(left) == len(right) and all(
        a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
        for a, b in zip(left, right, strict=True)
    )


def generator(k: int) -> np.random.Generator:
    return np.random.default_rng(100 + k)


# -- transport -------------------------------------------------------------------------------------


@cache
def masses(k: int) -> tuple[Any, Any, Any]:
    rng = generator(k)
    a, b = rng.uniform(0.1, 1, 12 + k), rng.uniform(0.1, 1, 17)
    return rng.random((12 + k, 17)), a / a.sum(), b / b.sum()


@cache
def clouds(k: int) -> tuple[Any, Any]:
    return transport.problems.clouds(60 + k, 2, rng=k)


@cache
def batch(k: int) -> Any:
    return generator(k).random((4, 8, 9 + k))


@cache
def tall(k: int) -> Any:
    """Beyond what stays in a cache: threads share a look at the cost."""
    return generator(k).random((1300, 400 + k))


def entropic(**settings: Any) -> Callable[[int], Any]:
    return lambda k: transport.solve(*masses(k), **{"reg": 0.02, **settings})


def by_pot(name: str, *rest: Any, **settings: Any) -> Callable[[int], Any]:
    def run(k: int) -> Any:
        M, a, b = masses(k)
        return getattr(transport, name)(a, b, M, *rest, **settings)

    return run


TRANSPORT = {
    "solve": Solver(entropic()),
    "solve, exact": Solver(entropic(reg=0)),
    "solve, unbalanced": Solver(entropic(unbalanced=1.0)),
    "solve, log": Solver(entropic(method="sinkhorn_log", reg=0.05)),
    "solve, batch": Solver(lambda k: transport.solve(batch(k), reg=1e-2)),
    "solve, large": Solver(lambda k: transport.solve(tall(k), reg=0.3), slow=True),
    "solve_many": Solver(lambda k: transport.solve_many([masses(k), masses(k + 1)], reg=0.05)),
    "sinkhorn": Solver(by_pot("sinkhorn", 0.1)),
    "sinkhorn_unbalanced": Solver(by_pot("sinkhorn_unbalanced", 0.1, 1.0)),
    "sinkhorn_newton_sparse": Solver(by_pot("sinkhorn_newton_sparse", 0.05, density=0.5)),
    "quadratic": Solver(by_pot("quadratic", 1.0)),
    "sparsity_constrained": Solver(by_pot("sparsity_constrained", 1.0, 3)),
    "solve_sample": Solver(lambda k: transport.solve_sample(*clouds(k), reg=0.05)),
    "sinkhorn_divergence": Solver(lambda k: transport.sinkhorn_divergence(*clouds(k), reg=0.1)),
}

# -- linear ----------------------------------------------------------------------------------------


@cache
def system(k: int) -> tuple[Any, Any]:
    n = 12 + k
    return linear.problems.laplacian(n), generator(k).standard_normal(n * n)


@cache
def windy(k: int) -> tuple[Any, Any]:
    A, b = system(k)
    n = round(len(b) ** 0.5)
    return sp.csr_array(A + 2.0 * sp.diags_array([-1.0, 1.0], offsets=[-n, 0], shape=A.shape)), b


@cache
def plan(k: int) -> linear.SweepPlan:
    return linear.SweepPlan(system(k)[0])


@cache
def preconditioner(kind: str, k: int) -> Any:
    A = (windy if kind == "ILU" else system)(k)[0]
    return linear.SSOR(A, 1.3) if kind == "SSOR" else getattr(linear, kind)(A, 1e-2)


@cache
def channel(k: int) -> tuple[Any, Any]:
    flags = np.zeros((12, 13 + k), dtype=int)
    flags[0], flags[1::3, ::3] = 2, 1
    return flags, generator(k).standard_normal(flags.shape)


@cache
def multigrid(k: int) -> linear.PoissonMultigrid:
    return linear.poisson_multigrid(channel(k)[0])


@cache
def untrained(k: int) -> linear.DCDMNet:
    return linear.DCDMNet(2, channels=2, n_top=0, n_low=1, n_up=1, rng=k)


def of_system(name: str, make: Callable[[int], Any] = system, **settings: Any) -> Solver:
    def run(k: int) -> Any:
        own = {word: value(k) if callable(value) else value for word, value in settings.items()}
        return getattr(linear, name)(*make(k), **{"rtol": 1e-8, **own})

    return Solver(run)


def swept(k: int) -> Any:
    b = system(k)[1]
    x = np.zeros_like(b)
    linear.sweep(plan(k), x, b, 1.5, "symmetric", 3)
    return x


def tuned(solver: str, **settings: Any) -> Callable[[Any], Any]:
    def run(rng: Any) -> Any:
        own = linear.TunedSolver(solver, rng=rng, rtol=1e-8, **settings)
        results = [own(t * system(0)[0], system(0)[1]) for t in (1.0, 2.0, 3.0, 4.0)]
        return [r.x for r in results], [r.nit for r in results], list(own.history.arms)

    return run


def sequence(rng: Any) -> Any:
    systems = [(t * system(0)[0], system(0)[1]) for t in (1.0, 2.0, 3.0, 4.0)]
    return [r.x for r in linear.solve_sequence(systems, "ssor_cg", context=None, rng=rng)]


def rounds(name: str, **settings: Any) -> Callable[[Any], Any]:
    """What a tuner proposes in some rounds."""

    def run(rng: Any) -> Any:
        tuner, told = getattr(linear, name)([1.0, 1.3, 1.6, 1.9], rng=rng, **settings), []
        for t in range(12):
            told.append(float(tuner.suggest(t / 12)))
            tuner.observe(3 + t % 5)
        return told

    return run


def trained(name: str, *args: Any, **settings: Any) -> Callable[[Any], Any]:
    def run(rng: Any) -> Any:
        made = getattr(linear, name)(*args, rng=rng, **settings)
        return made if isinstance(made, dict) else [np.asarray(numbers) for numbers in made.numbers()]

    return run


def seeded(random: Callable[[Any], Any], *, slow: bool = False) -> Solver:
    """One whose k-th problem is told by its `rng`."""
    return Solver(random, random, slow)


FLAGS = [np.pad(np.zeros((7, 8), dtype=int), ((1, 0), (0, 0)), constant_values=2)]
LINEAR = {
    "sor": of_system("sor", omega=0.9),
    "sor, adaptive": of_system("sor", omega="adaptive"),
    "sor, shared plan": of_system("sor", omega=1.5, plan=plan),
    "ssor": of_system("ssor", omega=1.5),
    "gauss_seidel": of_system("gauss_seidel"),
    "cg": of_system("cg"),
    "cg, dense": of_system("cg", lambda k: (system(k)[0].toarray(), system(k)[1])),
    "cg, operator": of_system("cg", lambda k: (aslinearoperator(system(k)[0]), system(k)[1])),
    "cg, shared SSOR": of_system("cg", M=lambda k: preconditioner("SSOR", k)),
    "ssor_cg": of_system("ssor_cg"),
    "ict_cg": of_system("ict_cg"),
    "ict_cg, shared ICT": of_system("ict_cg", M=lambda k: preconditioner("ICT", k)),
    "bicgstab": of_system("bicgstab", windy),
    "bicgstab, shared ILU": of_system("bicgstab", windy, M=lambda k: preconditioner("ILU", k)),
    "gmres": of_system("gmres", windy),
    "sweep": Solver(swept),
    "optimal_omega": Solver(lambda k: linear.optimal_omega(system(k)[0])),
    "automatic_context": Solver(lambda k: linear.automatic_context(system(k)[0])),
    "SSOR": Solver(lambda k: preconditioner("SSOR", k) @ system(k)[1]),
    "ICT": Solver(lambda k: preconditioner("ICT", k) @ system(k)[1]),
    "ILU": Solver(lambda k: preconditioner("ILU", k).T @ system(k)[1]),
    "SweepPlan": Solver(lambda k: linear.SweepPlan(system(k)[0], "multicolor").order),
    "dcdm": Solver(lambda k: linear.dcdm(*system(k), lambda r: r, rtol=1e-8)),
    "TunedSolver": seeded(tuned("ssor_cg", context=None)),
    "TunedSolver, context": Solver(tuned("ssor_cg")),
    "solve_sequence": seeded(sequence),
    "TsallisINF": seeded(rounds("TsallisINF")),
    "TsallisINFCB": seeded(rounds("TsallisINFCB", context_range=(0.0, 1.0))),
    "ChebCB": Solver(rounds("ChebCB", context_range=(0.0, 1.0))),
    "SmoothCB": seeded(rounds("SmoothCB", exploration="ts")),
    "solve_poisson": Solver(lambda k: linear.solve_poisson(*channel(k), rtol=1e-8)),
    "solve_poisson, shared": Solver(lambda k: linear.solve_poisson(multigrid(k), channel(k)[1], rtol=1e-8)),
    "poisson_multigrid": Solver(lambda k: multigrid(k) @ np.ones(multigrid(k).shape[1])),
    "GridPoisson": Solver(lambda k: linear.GridPoisson(channel(k)[0]).n_components),
    "DCDMNet": Solver(lambda k: untrained(k)(channel(0)[1])),
    "ritz_training_vectors": seeded(lambda rng: linear.ritz_training_vectors(system(0)[0], 5, 3, rng=rng)),
}
if JAX:
    few = {"maxiter": 2, "grids": FLAGS}
    LINEAR |= {
        "train_multigrid": seeded(trained("train_multigrid", **few), slow=True),
        "train_npsd": seeded(trained("train_npsd", n_ritz=5, n_samples=4, n_levels=1, **few), slow=True),
        "train_dcdm": seeded(
            trained("train_dcdm", FLAGS[0], n_ritz=5, n_samples=4, channels=2, maxiter=2), slow=True
        ),
    }

# -- monotone --------------------------------------------------------------------------------------


@cache
def program(k: int) -> tuple[Any, ...]:
    n = 11 + k
    return (
        -np.ones(n),
        generator(k).random((8, n)),
        np.full(8, -INF),
        np.ones(8),
        np.zeros(n),
        np.full(n, INF),
    )


@cache
def affine(k: int) -> monotone.AffineFiniteSum:
    return monotone.AffineFiniteSum(generator(k).normal(size=(60, 5)), np.arange(60.0) / 60)


@cache
def called(k: int) -> monotone.FiniteSum:
    known = affine(k)
    return monotone.FiniteSum(60, known.full, known.batch, L=known.constant("uniform"))


@cache
def game(k: int) -> Any:
    return generator(k).uniform(-1, 1, (12, 9 + k))


@cache
def bilinear(k: int) -> monotone.BilinearGame:
    return monotone.BilinearGame(np.array([[3.0, 0.0], [1.0, 2.0 + k]]))


def step(k: int) -> Any:
    H = np.diag(np.arange(1.0, 6.0))
    return monotone.halpern(lambda u: H @ u - 1, np.full(5, float(k)), L=5.0, tol=1e-2, maxiter=100_000)


MONOTONE = {
    "solve_lp": Solver(lambda k: monotone.solve_lp(*program(k))),
    "solve_lp, sparse": Solver(
        lambda k: monotone.solve_lp(program(k)[0], sp.csr_array(program(k)[1]), *program(k)[2:])
    ),
    "solve_lp, batch": Solver(
        lambda k: monotone.solve_lp(np.stack([program(k)[0], 2 * program(k)[0]]), *program(k)[1:])
    ),
    "solve_lp, polished": Solver(lambda k: monotone.solve_lp(*program(k), polish="basic")),
    "solve_lps": Solver(lambda k: monotone.solve_lps([program(k), program(k + 1)])),
    "linprog": Solver(lambda k: monotone.linprog(program(k)[0], program(k)[1], np.ones(8))),
    "solve_game": Solver(lambda k: monotone.solve_game(game(k))),
    "solve_game, lp": Solver(lambda k: monotone.solve_game(game(k), method="lp")),
    "halpern": Solver(step),
    "vr_halpern": seeded(lambda rng: monotone.vr_halpern(affine(0), np.zeros(5), rng=rng)),
    "vr_halpern, called": Solver(lambda k: monotone.vr_halpern(called(k), np.zeros(5), rng=k)),
    "vr_halpern, game": Solver(
        lambda k: monotone.vr_halpern(
            bilinear(k), bilinear(k).start(), assumption="lipschitz", tol=1e-2, rng=k
        )
    ),
    "project_simplex": Solver(lambda k: monotone.project_simplex(game(k))),
    "project_box": Solver(lambda k: monotone.project_box(game(k), 0.0, 0.5)),
    "project_l2_ball": Solver(lambda k: monotone.project_l2_ball(game(k), 0.5)),
    "prox_l1": Solver(lambda k: monotone.prox_l1(game(k), 0.1)),
    "prox_nonnegative": Solver(lambda k: monotone.prox_nonnegative(game(k), 0.1)),
}

# -- fractional ------------------------------------------------------------------------------------


@cache
def riesz(k: int) -> fractional.RieszSolver:
    return fractional.RieszSolver(1.5, n=30 + k, p=3)


def order(k: int) -> float:
    return 1.3 + 0.1 * k


FRACTIONAL = {
    "solve_riesz_bvp": Solver(
        lambda k: fractional.solve_riesz_bvp(np.exp, order(k), n=40, p=3, method="spline")
    ),
    "solve_riesz_bvp, modes": Solver(lambda k: fractional.solve_riesz_bvp(np.exp, order(k))),
    "solve_riesz_bvp, sines": Solver(
        lambda k: fractional.solve_riesz_bvp(1.0, order(k), definition="spectral", n=16)
    ),
    "RieszSolver": Solver(lambda k: riesz(k).solve(np.cos(riesz(k).points))),
    "RieszSplineOperator": Solver(lambda k: fractional.RieszSplineOperator(30, 3, order(k)) @ np.ones(31)),
    "solve_riesz_eig": Solver(lambda k: fractional.solve_riesz_eig(order(k), 3)),
    "solve_fractional_diffusion": Solver(
        lambda k: fractional.solve_fractional_diffusion(1.0, order(k), (0, 0.1), n=16, p=3, dt=0.05)
    ),
    "solve_riesz_2d": Solver(lambda k: fractional.solve_riesz_2d(1.0, order(k), n=16)),
    "solve_riesz_disc": Solver(lambda k: fractional.solve_riesz_disc(1.0, order(k), n=8)),
    "survival_probability": Solver(lambda k: fractional.survival_probability(order(k), [0.5, 1.0])),
    "exit_time_density": Solver(lambda k: fractional.exit_time_density(order(k), [0.5, 1.0])),
    "exit_time_moments": Solver(lambda k: fractional.exit_time_moments(order(k), 2)),
    "analyze_symbol": Solver(lambda k: fractional.analyze_symbol(3, order(k))),
    "bspline_fractional_derivative": Solver(
        lambda k: fractional.bspline_fractional_derivative(3, np.linspace(0, 4, 9), order(k))
    ),
    "riesz_symbol": Solver(lambda k: fractional.riesz_symbol(np.linspace(0.1, 3, 9), 3, order(k))),
    "mass_symbol": Solver(lambda k: fractional.mass_symbol(np.linspace(0.1, 3, 9), 3 + k)),
    "good_n": Solver(lambda k: fractional.good_n(100 + k, 3)),
}

# -- atomic ----------------------------------------------------------------------------------------


@cache
def mesh(k: int) -> atomic.RadialMesh:
    return atomic.solve_radial_schroedinger(lambda r: -1 / r, Z=1.0 + k).mesh


ATOMIC = {
    "AtomDFT": Solver(lambda k: atomic.AtomDFT(2 + k).run()),
    "AtomDFT, Dirac": Solver(lambda k: atomic.AtomDFT(2 + k, relativistic=True).run()),
    "AtomDFT, spin": Solver(lambda k: atomic.AtomDFT(3 + 2 * k, spin_polarized=True).run()),
    "AtomDFT, gradient": Solver(lambda k: atomic.AtomDFT(2 + k, xc="pbe").run()),
    "solve_atoms": Solver(lambda k: atomic.solve_atoms([1 + k, 2 + k])),
    "solve_radial_schroedinger": Solver(
        lambda k: atomic.solve_radial_schroedinger(lambda r: -(1 + k) / r, 0, 2, Z=1.0 + k)
    ),
    "solve_radial_schroedinger, shared mesh": Solver(
        lambda k: atomic.solve_radial_schroedinger(lambda r: -(1 + k) / r, 0, 2, Z=1.0 + k, mesh=mesh(k))
    ),
    "solve_radial_dirac": Solver(lambda k: atomic.solve_radial_dirac(lambda r: -(1 + k) / r, Z=1.0 + k)),
    "ground_configuration": Solver(lambda k: atomic.ground_configuration(20 + k)),
    "hydrogenic_energy": Solver(lambda k: atomic.hydrogenic_energy(1 + k, 2)),
    "thomas_fermi_potential": Solver(lambda k: atomic.thomas_fermi_potential(np.linspace(0.1, 3, 9), 5 + k)),
    "vwn_lda": Solver(lambda k: atomic.vwn_lda(np.linspace(0.1, 3, 9) + k)),
    "vwn_lsda": Solver(lambda k: atomic.vwn_lsda(np.linspace(0.1, 3, 9) + k, np.full(9, 0.2))),
}

# -- implicit --------------------------------------------------------------------------------------


@cache
def diffusion(k: int) -> tuple[Any, ...]:
    problem = implicit.problems.Diffusion(3)
    theta = 0.1 * generator(k).standard_normal((4, 4))
    return problem, theta, problem.solve(theta)[0]


def cubic(x: Any, theta: Any) -> Any:
    return x**3 + x - theta


def jacobian(k: int) -> Any:
    problem, theta, u = diffusion(k)
    J = implicit.solution_jacobian(problem.equation, u, theta, sparsity=problem.matrix(theta))
    return J @ np.ones(16), J.T @ np.ones(u.size)


@cache
def spd(k: int) -> Any:
    G = generator(k).standard_normal((8, 8))
    return G @ G.T + 8 * np.eye(8)


def by_solve(name: str) -> Solver:
    return Solver(lambda k: getattr(implicit, name)(lambda v: spd(k) @ v, np.arange(1.0, 9.0)))


def root(k: int) -> Any:
    return np.array([0.1, 0.4]) + k


IMPLICIT = {
    "root_vjp": Solver(
        lambda k: implicit.root_vjp(cubic, root(k), (root(k) ** 3 + root(k),), np.array([1.0, 2.0]))
    ),
    "root_jvp": Solver(
        lambda k: implicit.root_jvp(cubic, root(k), (root(k) ** 3 + root(k),), (np.array([1.0, 2.0]),))
    ),
    "solution_jacobian": Solver(jacobian),
    **{
        name: by_solve(name)
        for name in (
            *("solve_bicgstab", "solve_cg", "solve_cholesky", "solve_dense"),
            *("solve_gmres", "solve_host", "solve_lsmr"),
        )
    },
}


@cache
def wrapped(how: str) -> Any:
    """Solvers of x**3 + x = theta with derivatives, by JAX."""
    import jax

    def newton(x0: Any, theta: Any) -> Any:
        for _ in range(60):
            x0 = x0 - cubic(x0, theta) / (3 * x0**2 + 1)
        return x0

    if how == "custom_fixed_point":
        solver = implicit.custom_fixed_point(lambda x, t: x - cubic(x, t) / (3 * x**2 + 1))(newton)
    elif how == "differentiable":
        solver = implicit.differentiable(newton, cubic, host=True)
    else:
        solver = implicit.custom_root(cubic)(newton)
    return jax.grad(lambda t: solver(np.zeros(2, np.float32), t).sum())


if JAX:
    IMPLICIT |= {
        how: Solver(lambda k, how=how: wrapped(how)(np.array([0.3, 0.7 + k], np.float32)))
        for how in ("custom_root", "custom_fixed_point", "differentiable")
    }

# -- bilevel ---------------------------------------------------------------------------------------


@cache
def nested(k: int) -> Any:
    return bilevel.problems.quadratic(20, 4, kappa=3.0, rng=k)


@cache
def blocks(k: int) -> bilevel.BlockOracle:
    return bilevel.problems.multiblock_quadratic(6, 4, 2, rng=k)[0]


@cache
def noisy(k: int) -> tuple[Any, Any]:
    clean = np.zeros((1, 6, 6))
    image = clean + 0.1 * generator(k).standard_normal(clean.shape)
    return bilevel.problems.tv_denoising(image, clean), image


def by_level(method: str, **settings: Any) -> Solver:
    return Solver(
        lambda k: bilevel.minimize_bilevel(nested(k), np.zeros(4), np.zeros(20), method=method, **settings)
    )


def stochastic(rng: Any) -> Any:
    settings = {"block_batch": 3, "step_theta": 0.05, "step_x": 0.9, "variant": "v1", "tol": 1e-1}
    return bilevel.bsvrb(blocks(0), np.zeros(2), np.zeros(4), rng=rng, **settings)


BILEVEL = {
    "minimize_bilevel": by_level("qn", step=0.1),
    "minimize_bilevel, maid": by_level("maid", tol=1.0),
    "minimize_bilevel, hoag": by_level("hoag", tol=1.0),
    "minimize_bilevel, penalty": by_level("penalty", tol=0.3),
    "minimize_bilevel, images": Solver(
        lambda k: bilevel.minimize_bilevel(noisy(k)[0], [-3.0, -3.0], noisy(k)[1], maxiter=2)
    ),
    "hypergradient": Solver(lambda k: bilevel.hypergradient(nested(k), np.ones(4), np.zeros(20))),
    "bsvrb": seeded(stochastic),
}

# -- sketch ----------------------------------------------------------------------------------------


@cache
def rows(k: int) -> tuple[Any, Any]:
    return sketch.problems.ill_conditioned(200, 6, 100.0, rng=k)


@cache
def model(k: int) -> sketch.GLM:
    A, b = rows(k)
    return sketch.GLM(A, b > 0, l2=1e-2)


@cache
def constrained(k: int) -> Any:
    return sketch.problems.control(3 + k)


def minimum(k: int, solve: Any = sketch.minimize, **settings: Any) -> Any:
    p = constrained(k)
    return solve(p.fun, p.x0, jac=p.jac, hess=p.hess, constraints=p.constraints, **settings)


SQUARE = np.eye(12) + 0.2 * generator(0).normal(size=(12, 12))
SKETCH = {
    "minimize": Solver(minimum),
    "adasketch_newton": seeded(lambda rng: minimum(0, sketch.adasketch_newton, rng=rng)),
    "lstsq": seeded(lambda rng: sketch.lstsq(*rows(0), rng=rng)),
    "lstsq, sparse": Solver(lambda k: sketch.lstsq(sp.csr_array(rows(k)[0]), rows(k)[1], rng=k)),
    "newton_sketch": seeded(lambda rng: sketch.newton_sketch(model(0), rng=rng)),
    "sketch_project": seeded(lambda rng: sketch.sketch_project(SQUARE, np.ones(12), rng=rng)),
    "make_sketch": seeded(lambda rng: sketch.make_sketch("sparse-sign", 8, 20, rng=rng) @ np.eye(20)),
    "make_sketch, srht": seeded(lambda rng: sketch.make_sketch("srht", 8, 20, rng=rng) @ np.eye(20)),
    "make_sketch, gaussian": seeded(lambda rng: sketch.make_sketch("gaussian", 8, 20, rng=rng) @ np.eye(20)),
    "GLM": Solver(lambda k: model(k).jac(np.full(6, 0.1))),
}

# -- neural_ode ------------------------------------------------------------------------------------


def decay(t: Any, y: Any, params: Any) -> Any:
    return -params * y


def noise(t: Any, y: Any, params: Any) -> Any:
    return 0.1 * y


def loss(params: Any, data: Any, coefficient: Any, key: Any) -> Any:
    sol = neural_ode.odesolve(decay, data, (0.0, 1.0), params, max_steps=32)
    return (sol.y**2).sum() + coefficient * neural_ode.error_penalty(sol), sol


@cache
def descent() -> Any:
    """One optimiser for all: with another one the step is compiled anew."""
    import optax

    return optax.sgd(0.01)


def training(seed: int) -> Any:
    data = np.linspace(1, 2, 6, dtype=np.float32)
    return neural_ode.train(loss, np.float32(1.0), data, descent(), batch_size=2, epochs=2, rng=seed)


def ode(k: int) -> Any:
    y0 = np.array([1.0, 2.0 + k], np.float32)
    return neural_ode.odesolve(decay, y0, (0.0, 1.0), np.float32(1.5), max_steps=32)


def key(k: int) -> Any:
    import jax

    return jax.random.key(k)


START = np.array([1.0, 2.0], np.float32)
NEURAL_ODE = {
    "heuristics": Solver(lambda k: neural_ode.heuristics(lambda _, y: -(k + 1) * y, (0.0, 1.0), np.ones(2)))
}
if JAX:
    NEURAL_ODE |= {
        "odesolve": Solver(ode),
        "sdesolve": Solver(lambda k: neural_ode.sdesolve(decay, noise, START, (0.0, 1.0), 1.5, key=key(k))),
        "train": Solver(training, slow=True),
        "brownian_path": Solver(lambda k: neural_ode.brownian_path(key(k), START, (0.0, 1.0), [0.5, 1.0])),
        "error_penalty": Solver(lambda k: neural_ode.error_penalty(ode(k))),
        "stiffness_penalty": Solver(lambda k: neural_ode.stiffness_penalty(ode(k))),
        "cost_penalty": Solver(lambda k: neural_ode.cost_penalty(ode(k))),
        "local_penalty": Solver(lambda k: neural_ode.local_penalty(decay, ode(k), 1.5, key(k))),
        "steer_end": Solver(lambda k: neural_ode.steer_end(key(k), (0.0, 1.0), 0.5)),
        "steer_times": Solver(lambda k: neural_ode.steer_times(key(k), [0.5, 1.0], (0.0, 1.0))),
    }

# -- special ---------------------------------------------------------------------------------------


@cache
def directions(k: int) -> Any:
    return special.vmf_sample(np.eye(3)[0], 3.0, 50, rng=k)


def points(k: int) -> Any:
    return np.linspace(0.1, 30, 200) + k


SPECIAL = {
    **{
        name: Solver(lambda k, name=name: getattr(special, name)(2.5, points(k)))
        for name in (
            "log_iv",
            "log_kv",
            "log_ive",
            "log_kve",
            "iv_ratio",
            "kv_ratio",
            "log_iv_grad",
            "log_kv_grad",
        )
    },
    "log_iv, many": Solver(lambda k: special.log_iv(2.5, np.linspace(0.1, 30, 20_000) + k)),
    "matern": Solver(lambda k: special.matern(points(k), 1.5)),
    "matern_grad": Solver(lambda k: special.matern_grad(points(k), 1.5, 0.3)),
    "matern_log_det": Solver(
        lambda k: special.matern_log_det(abs(points(k)[:9, None] - points(k)[:9]), 1.5, noise=0.1)
    ),
    "vmf_fit": Solver(lambda k: special.vmf_fit(directions(k))),
    "vmf_log_prob": Solver(lambda k: special.vmf_log_prob(directions(k), np.eye(3)[0], 2.0)),
    "vmf_log_norm": Solver(lambda k: special.vmf_log_norm(3, points(k))),
    "vmf_entropy": Solver(lambda k: special.vmf_entropy(3, points(k))),
    "vmf_sample": seeded(lambda rng: special.vmf_sample(np.eye(3)[0], 3.0, 10, rng=rng)),
}

COLUMNS = {
    "transport": TRANSPORT,
    "linear": LINEAR,
    "monotone": MONOTONE,
    "fractional": FRACTIONAL,
    "atomic": ATOMIC,
    "implicit": IMPLICIT,
    "bilevel": BILEVEL,
    "sketch": SKETCH,
    "neural_ode": NEURAL_ODE,
    "special": SPECIAL,
}
SOLVERS = {f"{area}.{name}": solver for area, table in COLUMNS.items() for name, solver in table.items()}
