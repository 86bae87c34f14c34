r"""Multigrid for Poisson's equation on grids with obstacles, as a preconditioner.

A level is a graph whose nodes sit in the cells of a grid. The nodes in a block of 2^d cells that are
connected *within the block* become one node of the next level, so that a thin wall never merges its two
sides; a block may hold several. An edge (i, j) of weight c between different blocks counts on the next level
as the resistance (the rule of resistors in series)

    1 / g = 1 / c + 1 / (2 c_i) + 1 / (2 c_j),                            (1)

where c_i is the weight of the edges of i inside its block in the opposite direction (half of that block is
to be passed, too), and likewise c_j; a term without such edges is left out. Parallel edges add up. In open
space this is the Laplacian of the coarse grid, near walls and open cells it has the right distances. The
contacts with open cells follow the same rule with one inner side.

Neighbours have opposite parity, so a sweep of Gauss-Seidel does the red nodes, then the black ones. One
cycle sweeps red, black; corrects by the next level; sweeps black, red. It is symmetric, and positive
definite whatever the coarse weights are (S. F. McCormick's and others' two-grid analysis: the sweeps
contract in the energy norm), so conjugate gradients around it reach any tolerance. The cycle works in single
precision, the conjugate gradients in double.

A. McAdams, E. Sifakis, J. Teran, "A parallel multigrid Poisson solver for fluids simulation on large grids",
SCA 2010, have the geometric ancestor of this method.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.sparse.linalg import LinearOperator

from numsolve._core import arrays, checks

from ._given import checked_flags
from ._hierarchy import build
from ._weights import read
from .grid import TINY, GridPoisson

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike

    from ._layout import Cells
    from ._levels import Level

#: The precisions of the cycle.
DTYPES = ("float32", "float64")
#: Sweeps before and after the correction by the next level.
MOST_SWEEPS = 100
#: Of the logarithms and powers that are learned.
MOST_LEARNED = 10.0


class PoissonMultigrid(LinearOperator):  # type: ignore[misc]  # SciPy has no types
    """One multigrid cycle as an operator on the unknowns; made by `poisson_multigrid`.

    Attributes
    ----------
    problem : GridPoisson
        The matrix that it is for.
    levels : list of int
        Unknowns of each level; nodes that have no neighbour left do not count.
    setup_time : float
        Seconds that the last set-up took.
    setup_blocks : list of tuple of int
        For each coarse level the blocks that the last set-up worked on, and all there are.
    """

    def __init__(
        self,
        problem: GridPoisson,
        *,
        n_smooth: int,
        dtype: str,
        coarse_size: int,
        learned: Array | None = None,
    ) -> None:
        self.n_smooth, self.precision, self.coarse_size = n_smooth, dtype, coarse_size
        self.learned = learned
        #: Held by whoever works in the arrays of the hierarchy.
        self.lock = Lock()
        self._set_up(problem)

    def _set_up(
        self, problem: GridPoisson, before: list[Level] | None = None, changed: Cells | None = None
    ) -> None:
        began = perf_counter()
        built = build(problem, np.dtype(self.precision), self.coarse_size, self.learned, before, changed)
        with self.lock:
            self.problem, self.hierarchy, self.levels = problem, built.hierarchy, built.counts
            self.setup_blocks, self.kept = built.blocks, (problem, built.levels)
        self.setup_time = perf_counter() - began
        super().__init__(np.dtype(float), (problem.n, problem.n))

    def refit(self, flags: ArrayLike) -> PoissonMultigrid:
        """Set up for obstacles that moved: on each level, the blocks at which a coefficient changed.

        The numbers are those of a new set-up. Where more than half of the blocks of a level would be set up,
        all are, there and on the coarser ones. Beside these, only blocks that hold several nodes are touched;
        they are few. With face coefficients the finest level is made anew, and if the largest of them that
        counts is another one, so is all.

        Parameters
        ----------
        flags : array of int
            The new flags, on a grid of the same shape; spacing and face coefficients stay.

        Returns
        -------
        PoissonMultigrid
            Itself; `problem` has the new matrix.
        """
        with self.lock:
            old, kept = self.problem, self.kept
        new_flags = checked_flags(flags)
        if np.array_equal(new_flags, old.flags):
            return self
        problem, changed = old.moved(new_flags)
        # The levels that are kept change on the way: others, and after a failure we, have none.
        before = None
        if kept[0] is old:
            before = list(kept[1])
            kept[1].clear()
        self._set_up(problem, before or None, changed)
        return self

    def as_it_is(self) -> PoissonMultigrid:
        """The same preconditioner, in the same memory, which a later `refit` of this one does not change.

        Returns
        -------
        PoissonMultigrid
        """
        out = object.__new__(PoissonMultigrid)
        with self.lock:
            out.__dict__.update(vars(self))
        return out

    def cycle(self, places: Array) -> Array:
        """One cycle for a right-hand side in the order of the kernels; the answer in double precision."""
        from ._cpu_cg import cg

        h, n, problem, nothing = self.hierarchy, places.size, self.problem, np.empty(0)
        with self.lock, np.errstate(over="ignore"):
            h.f[:n] = places
            cg(h, self.n_smooth, problem.row, *problem.arguments(), np.empty((4, 0)), nothing, 0.0, nothing)
            answer: Array = h.u[:n].astype(float)
        return answer

    def in_double_precision(self) -> PoissonMultigrid:
        """The same operator with a cycle in double precision.

        Returns
        -------
        PoissonMultigrid
        """
        return _again(self.problem, self.n_smooth, "float64", self.coarse_size, self.learned)

    def _matvec(self, x: Array) -> Array:
        arrays.working_dtype(np, x=x)
        x = np.asarray(x, dtype=float).reshape(-1)
        size = float(np.max(np.abs(x), initial=0.0))
        if size == 0.0:
            return np.zeros_like(x)
        if size < TINY:  # its reciprocal is beyond the range of floats
            small: Array = self._matvec(x * 2.0**100) * 2.0**-100
            return small
        z = self.cycle(self.problem.spread(x, 1.0 / size))
        return self.problem.collect(z, size / self.problem.scale, packed=True)

    def _rmatvec(self, x: Array) -> Array:
        return self._matvec(x)

    def _adjoint(self) -> PoissonMultigrid:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.problem, self.n_smooth, self.precision, self.coarse_size, self.learned)


def _again(
    problem: GridPoisson, n_smooth: int, dtype: str, coarse_size: int, learned: Array | None
) -> PoissonMultigrid:
    return PoissonMultigrid(problem, n_smooth=n_smooth, dtype=dtype, coarse_size=coarse_size, learned=learned)


def learned_numbers(weights: Any, ndim: int) -> Array | None:
    """The learned numbers of given weights; None for the rule (1), which is the default.

    Parameters
    ----------
    weights : "default", None, path or dict
        As in `poisson_multigrid`.
    ndim : int
        Axes of the grid.

    Returns
    -------
    array of shape (levels, 3) or None
    """
    if weights is None or (isinstance(weights, str) and weights == "default"):
        return None
    if isinstance(weights, str | Path):
        settings, flat = read(weights, "multigrid")
        weights = {**settings, "numbers": flat.reshape(-1, 3) if flat.size % 3 == 0 else flat}
    if not isinstance(weights, dict) or not {"ndim", "numbers"} <= set(weights):
        raise TypeError(
            f"weights must be 'default', None, a path, or a dict with ndim and numbers, as train_multigrid "
            f"returns it; got {type(weights).__name__}"
        )
    if int(weights["ndim"]) != ndim:
        raise ValueError(f"weights must be for grids of {ndim} axes, got {int(weights['ndim'])}")
    numbers: Array = checks.array("weights['numbers']", weights["numbers"]).astype(float)
    if numbers.ndim != 2 or numbers.shape[1] != 3 or not len(numbers) or np.abs(numbers).max() > MOST_LEARNED:
        raise ValueError(
            f"weights['numbers'] must have rows of 3 numbers between -{MOST_LEARNED:g} and {MOST_LEARNED:g}, "
            f"got shape {numbers.shape}"
        )
    return numbers


def poisson_multigrid(
    problem: GridPoisson | ArrayLike,
    *,
    weights: str | Path | dict[str, Any] | None = "default",
    n_smooth: int = 1,
    dtype: Literal["float32", "float64"] = "float32",
    coarse_size: int = 100,
) -> PoissonMultigrid:
    """Set up a multigrid preconditioner for a grid with obstacles.

    Parameters
    ----------
    problem : GridPoisson or array of int
        The matrix, or its flags.
    weights : "default", None, path or dict
        None is the rule of resistors; a file or the dict of `train_multigrid` has learned factors for the
        coarse weights. "default" is what wins time, which is the rule.
    n_smooth : int
        Sweeps before and after the correction by the next level, at most 100.
    dtype : {"float32", "float64"}
        The precision of the cycle.
    coarse_size : int
        A level of at most so many unknowns is solved directly.

    Returns
    -------
    PoissonMultigrid
        A `LinearOperator` on vectors of the unknowns, symmetric positive definite (on components that touch
        no open cell, up to constants); it works as ``M=`` in `numsolve.linear.cg` and SciPy's.

    See Also
    --------
    numsolve.linear.solve_poisson : The whole solve, faster than with the operator.

    References
    ----------
    A. McAdams, E. Sifakis, J. Teran, "A parallel multigrid Poisson solver for fluids simulation on large
    grids", SCA 2010, for the geometric ancestor of the method.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import linear
    >>> flags = np.zeros((64, 64), dtype=int)
    >>> flags[:, -1], flags[20:40, 30] = 2, 1
    >>> A = linear.GridPoisson(flags)
    >>> M = linear.poisson_multigrid(A)
    >>> linear.cg(A, np.ones(A.n), M=M, rtol=1e-8).nit < 20
    True
    """
    if not isinstance(problem, GridPoisson):
        problem = GridPoisson(checked_flags(problem, "problem"))
    n_smooth = checks.integer("n_smooth", n_smooth, low=1, high=MOST_SWEEPS)
    coarse_size = checks.integer("coarse_size", coarse_size, low=1, high=5000)
    dtype_name = checks.choice("dtype", dtype, DTYPES)
    return PoissonMultigrid(
        problem,
        n_smooth=n_smooth,
        dtype=dtype_name,
        coarse_size=coarse_size,
        learned=learned_numbers(weights, problem.ndim_grid),
    )
