"""What can be compiled ahead, for ``python -m numsolve warm implicit``: the colouring of a sparse pattern.

JAX compiles for the shapes and functions of each program, and keeps nothing that another one could use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _coloured() -> object:
    import numpy as np

    from numsolve.implicit import problems, solution_jacobian

    problem = problems.Diffusion(3)
    theta = np.zeros((4, 4))
    u, _ = problem.solve(theta)
    J = solution_jacobian(problem.equation, u, theta, sparsity=problem.matrix(theta))
    return J @ np.ones(16)


CALLS: dict[str, Callable[[], object]] = {"solution_jacobian": _coloured}
