"""One tiny call of each public solver and tuner, for `python -m numsolve warm`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def _system() -> tuple[Any, Any]:
    import numpy as np

    from .problems import laplacian

    return laplacian(5), np.ones(25)


def _solve(name: str, **settings: Any) -> Callable[[], object]:
    """A call of a solver."""

    def call() -> object:
        from numsolve import linear

        return getattr(linear, name)(*_system(), **settings)

    return call


def _sweeps(iterations: int) -> Callable[[], object]:
    def call() -> object:
        import numpy as np

        from numsolve import linear

        A, b = _system()
        x = np.zeros_like(b)
        linear.sweep(linear.SweepPlan(A), x, b, 1.5, "symmetric", iterations)
        return x

    return call


def _operator() -> object:
    from numsolve import linear

    A, b = _system()
    return linear.SSOR(A, 1.5) @ b


def _factored(name: str, factors: str) -> Callable[[], object]:
    """A solver with factors, and the factors by themselves."""

    def call() -> object:
        from numsolve import linear

        A, b = _system()
        M = getattr(linear, factors)(A, 1e-2)
        return getattr(linear, name)(A, b, M=M), M @ b, M.T @ b

    return call


def _colours() -> object:
    from numsolve import linear

    return linear.SweepPlan(_system()[0], "multicolor")


def _tuner(name: str, **settings: Any) -> Callable[[], object]:
    """Rounds of a tuner; the second cost makes a bound of ChebCB active."""

    def call() -> object:
        from numsolve import linear

        tuner = getattr(linear, name)([1.0, 1.5], rng=0, **settings)
        for t in range(12):
            tuner.suggest(t / 12)
            tuner.observe(3 + t % 5)
        return tuner

    return call


def _tuned() -> object:
    from numsolve import linear

    solver = linear.TunedSolver("ssor_cg", rng=0)
    return [solver(*_system()) for _ in range(3)]


def _automatic(*arm: Any) -> Callable[[], object]:
    """One arm, on two matrices."""

    def call() -> object:
        import numpy as np

        from numsolve import linear

        solver, A = linear.TunedSolver("auto", arms=[arm]), linear.problems.laplacian(30)
        sides = np.ones((900, 2)) if arm[0] == "block_cg" else np.ones(900)
        return [solver(t * A, sides) for t in (1.0, 2.0)]

    return call


def _tridiagonal() -> object:
    """The second system goes by the short way."""
    import numpy as np

    from numsolve import linear

    solver, A = linear.TunedSolver("auto"), linear.problems.laplacian(200, dim=1)
    return [solver(A, np.ones(200)) for _ in range(2)]


def _poisson(*shape: int) -> Callable[[], object]:
    """Enough unknowns for a few levels."""

    def call() -> object:
        import numpy as np

        from numsolve import linear

        flags = np.zeros(shape, dtype=int)
        flags[0], flags[1::3, ::3] = 2, 1
        return linear.solve_poisson(flags, np.ones(shape), rtol=1e-8)

    return call


def _dcdm() -> object:
    from numsolve import linear

    A, b = _system()
    return linear.dcdm(A, b, lambda r: r, rtol=1e-8)


RANGE = (0.0, 1.0)
CALLS: dict[str, Callable[[], object]] = {
    "ssor_cg": _solve("ssor_cg"),
    "cg": _solve("cg"),
    "ict_cg": _factored("ict_cg", "ICT"),
    "bicgstab": _factored("bicgstab", "ILU"),
    "gmres": _factored("gmres", "ILU"),
    "sor": _solve("sor", omega=1.5),
    "sor, adaptive": _solve("sor", omega="adaptive"),
    "ssor": _solve("ssor", omega=1.5),
    "sweep": _sweeps(1),
    "sweep, many": _sweeps(5),
    "SSOR": _operator,
    "SweepPlan, multicolor": _colours,
    "TsallisINF": _tuner("TsallisINF"),
    "ChebCB": _tuner("ChebCB", context_range=RANGE),
    "SmoothCB": _tuner("SmoothCB"),
    "TunedSolver": _tuned,
    "TunedSolver, auto, CG": _automatic("cg"),
    "TunedSolver, auto, block CG": _automatic("block_cg", 1e-2, 4),
    "TunedSolver, auto, BiCGSTAB": _automatic("bicgstab", 0.0, 4),
    "TunedSolver, auto, direct": _automatic("direct", 4),
    "TunedSolver, auto, tridiagonal": _tridiagonal,
    "dcdm": _dcdm,
    "solve_poisson": _poisson(40, 40),
    "solve_poisson, 3-D": _poisson(12, 12, 12),
}
