"""Whether memory grows over many solves: ``python tests/conduct/memory.py [-n 1000] [names that begin so]``.

Each solver of the table solves its problem `n` times more after a fifth of that for warming up, with Python's
garbage collector switched off: what grows is kept by somebody, or held in a circle of references. Beside the
table stand solves that fail, that a callback ends by an error or by Ctrl-C, and the first calls of new
functions, for which JAX compiles anew.

Prints a row for each: objects and kilobytes that a solve leaves behind, and objects in circles; ends with 1
where memory grows.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402
import scipy.sparse as sp  # noqa: E402
from solvers import JAX, SOLVERS, masses, program, system  # noqa: E402

from numsolve import atomic, bilevel, linear, monotone, transport  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

#: Objects, kilobytes and members of circles that a solve may leave: what Python and the allocator round to.
LEFT, KILOBYTES, CIRCLED = 0.5, 4.0, 0.5


def raises(error: type[BaseException], after: int = 2) -> Callable[[Any], None]:
    count = [0]

    def callback(_: Any) -> None:
        count[0] += 1
        if count[0] >= after:
            raise error

    return callback


def cut(solve: Callable[..., Any]) -> dict[str, Callable[[], Any]]:
    """Ways in which a solve ends early."""

    def failing() -> None:
        try:
            solve(callback=raises(ZeroDivisionError))
        except ZeroDivisionError:
            return

    return {
        "few iterations": lambda: solve(maxiter=1),
        "no time": lambda: solve(time_limit=0.0),
        "Ctrl-C": lambda: solve(callback=raises(KeyboardInterrupt)),
        "an error": failing,
    }


CUT = {
    "linear.cg": lambda **kw: linear.cg(*system(0), **kw),
    "transport.solve": lambda **kw: transport.solve(*masses(0), reg=0.02, **kw),
    "monotone.solve_lp": lambda **kw: monotone.solve_lp(*program(0), **kw),
    "atomic.AtomDFT": lambda **kw: atomic.AtomDFT(2).run(**kw),
    "bilevel.minimize_bilevel": lambda **kw: bilevel.minimize_bilevel(
        bilevel.problems.quadratic(8, 2, rng=0), np.zeros(2), np.zeros(8), method="hoag", tol=1.0, **kw
    ),
}


def new_matrices() -> Callable[[], Any]:
    """A pattern that was never seen before, in each call."""
    rng = np.random.default_rng(0)

    def run() -> Any:
        extra = sp.random_array((40, 40), density=0.05, rng=rng)
        A = sp.csr_array(extra @ extra.T + 4 * sp.eye_array(40))
        return linear.ssor_cg(A, np.ones(40)), linear.ict_cg(A, np.ones(40))

    return run


def new_meshes() -> Callable[[], Any]:
    charge = iter(1.0 + 1e-3 * k for k in range(10**6))

    def run() -> Any:
        Z = next(charge)
        return atomic.solve_radial_schroedinger(lambda r: -Z / r, 0, 1, Z=Z)

    return run


def new_functions() -> dict[str, Callable[[], Any]]:
    """Functions that JAX has not seen before, of the same shapes."""
    import jax

    from numsolve import implicit, neural_ode, sketch

    one = np.ones(2, np.float32)

    def ode() -> Any:
        return neural_ode.odesolve(lambda t, y, p: -p * y, one, (0.0, 1.0), np.float32(1.0), max_steps=16)

    def sde() -> Any:
        rates = (lambda t, y, p: -p * y), (lambda t, y, p: 0.1 * y)
        return neural_ode.sdesolve(*rates, one, (0.0, 1.0), 1.0, key=jax.random.key(0), max_steps=16)

    def root() -> Any:
        solver = implicit.custom_root(lambda x, t: x**3 - t)(lambda x0, t: t ** (1 / 3))
        return jax.grad(lambda t: solver(one, t).sum())(one)

    def host() -> Any:
        solver = implicit.differentiable(lambda x0, t: np.cbrt(t), lambda x, t: x**3 - t, host=True)
        return jax.grad(lambda t: solver(one, t).sum())(one)

    def vjp() -> Any:
        return implicit.root_vjp(lambda x, t: x**3 - t, jax.numpy.ones(2), (jax.numpy.ones(2),), one)

    def two_levels() -> Any:
        problem = bilevel.BilevelProblem(
            lambda x, t: ((x - 1) ** 2).sum(), lambda x, t: ((x - t) ** 2).sum(), backend="jax", mu=2.0, L=2.0
        )
        return bilevel.hypergradient(problem, np.zeros(2), np.zeros(2))

    def smallest() -> Any:
        return sketch.minimize(
            lambda x: (x**2).sum() + jax.numpy.exp(x[0]), np.ones(2), jac="jax", hess="jax"
        )

    return {f.__name__: f for f in (ode, sde, root, host, vjp, two_levels, smallest)}


def resident() -> float:
    """Kilobytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


def growth(run: Callable[[], Any], n: int) -> tuple[float, float, float]:
    """What one of `n` solves leaves behind: objects, kilobytes, objects in circles."""
    for _ in range(max(n // 5, 3)):
        run()
    gc.collect()
    gc.disable()
    try:
        blocks, before = sys.getallocatedblocks(), resident()
        for _ in range(n):
            run()
        kilobytes, circled = (
            resident() - before,
            gc.collect(),
        )  # which empties Python's lists of spare objects
        left = sys.getallocatedblocks() - blocks
    finally:
        gc.enable()
    return left / n, kilobytes / n, circled / n


def cases() -> dict[str, tuple[Callable[[], Any], bool]]:
    """Name: a solve, and whether it is a slow one."""
    every: dict[str, tuple[Callable[[], Any], bool]] = {
        name: (lambda solver=solver: solver.run(0), solver.slow) for name, solver in SOLVERS.items()
    }
    for name, solve in CUT.items():
        every |= {f"cut.{name}, {how}": (run, False) for how, run in cut(solve).items()}
    every |= {"new.patterns": (new_matrices(), False), "new.meshes": (new_meshes(), False)}
    if JAX:
        every |= {f"new.functions, {name}": (run, True) for name, run in new_functions().items()}
    return every


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=1000, help="solves of each solver; a tenth for slow ones")
    parser.add_argument("names", nargs="*", help="how the names begin; all by default")
    settings = parser.parse_args()
    warnings.simplefilter("ignore")
    grown = []
    for name, (run, slow) in cases().items():
        if settings.names and not name.startswith(tuple(settings.names)):
            continue
        left, kilobytes, circled = growth(run, settings.n // 10 if slow else settings.n)
        bad = left > LEFT or kilobytes > KILOBYTES or circled > CIRCLED
        print(f"{name:48} {left:9.2f} {kilobytes:9.2f} {circled:9.2f} {'grows' if bad else ''}", flush=True)
        if bad:
            grown.append(name)
    return bool(grown)


if __name__ == "__main__":
    sys.exit(main())
