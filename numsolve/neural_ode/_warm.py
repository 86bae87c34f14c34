"""What can be compiled ahead, for ``python -m numsolve warm neural_ode``: nothing that lasts.

JAX compiles for the shapes and functions of each program; the plain solve loads what the others share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _plain() -> object:
    import numpy as np

    from numsolve.neural_ode import heuristics

    return heuristics(lambda _, y: -y, (0.0, 1.0), np.ones(2))


CALLS: dict[str, Callable[[], object]] = {"heuristics": _plain}
