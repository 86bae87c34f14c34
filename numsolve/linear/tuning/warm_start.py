r"""Where to start the solve of the next system of a sequence, from the solutions of the last ones.

"previous" takes the last solution, "linear" and "quadratic" extrapolate the last two or three in the index
of the sequence, and "galerkin:k" takes the best start, in the energy norm of a symmetric positive definite
A, among the combinations of the last k solutions and b: with an orthonormal basis V of those, x0 = V y with
V'AV y = V'b (P. F. Fischer, "Projection techniques for iterative solution of Ax = b with successive
right-hand sides", CMAME 163, 1998).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from numsolve._core import checks

if TYPE_CHECKING:
    from numsolve._core.typing import Array, Matrix

#: The rules that checkers know; any other number of vectors works, too.
Rule: TypeAlias = Literal[
    "zero",
    "previous",
    "linear",
    "quadratic",
    "galerkin:1",
    "galerkin:2",
    "galerkin:3",
    "galerkin:4",
    "galerkin:5",
    "galerkin:6",
    "galerkin:7",
    "galerkin:8",
    "galerkin:9",
    "galerkin:10",
    "galerkin:12",
    "galerkin:15",
    "galerkin:20",
]
EXTRAPOLATIONS: dict[str, tuple[float, ...]] = {
    "zero": (),
    "previous": (1.0,),
    "linear": (2.0, -1.0),
    "quadratic": (3.0, -3.0, 1.0),
}


class WarmStart:
    """Remember solutions, and make a start of them.

    Parameters
    ----------
    rule : str
        "zero", "previous", "linear", "quadratic", or "galerkin:k" with a number k.
    """

    def __init__(self, rule: str) -> None:
        head, colon, count = str(rule).partition(":")
        if head == "galerkin" and colon and count.isdigit() and int(count) > 0:
            self.depth = int(count)
        else:
            checks.choice("warm_start", rule, (*EXTRAPOLATIONS, "galerkin:k"))
            if rule == "galerkin:k":
                raise ValueError("warm_start='galerkin:k' needs a number in place of k, as in 'galerkin:6'")
            self.depth = len(EXTRAPOLATIONS[rule])
        self.rule = rule
        self.solutions: deque[Array] = deque(maxlen=self.depth)

    def start(self, A: Matrix, b: Array) -> Array | None:
        """The start for A x = b; None for zero."""
        past = [x for x in self.solutions if x.shape == np.shape(b)]
        if not past:
            return None
        if self.rule.startswith("galerkin"):
            return self._galerkin(A, np.asarray(b), past)
        weights = {len(w): w for w in EXTRAPOLATIONS.values()}[len(past)]
        start: Array = weights[0] * past[0]
        for w, x in zip(weights[1:], past[1:], strict=True):
            start = start + w * x
        return start

    def remember(self, x: Array) -> None:
        """Take note of a solution."""
        self.solutions.appendleft(x)

    def _galerkin(self, A: Matrix, b: Array, past: list[Array]) -> Array:
        # Several right-hand sides share all vectors.
        columns = [v.reshape(b.shape[0], -1) for v in (*past, b)]
        V = np.linalg.qr(np.concatenate(columns, axis=1))[0]
        small = V.T @ (A @ V)
        try:
            y = np.linalg.solve(small, V.T @ columns[-1])
        except np.linalg.LinAlgError:  # A is singular on these vectors
            return past[0]
        start: Array = (V @ y).reshape(b.shape)
        return start
