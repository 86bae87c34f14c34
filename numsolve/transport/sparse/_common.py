"""Where the solvers of this room begin and end: the data are checked and turned, and the plan is put back."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import arrays
from numsolve.transport._problem import Problem, check_values, prepare

from .result import SparseTransportResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numsolve._core.monitor import Monitor
    from numsolve._core.typing import Array, ArrayLike

    from ._relaxed import Point, Relaxed

#: Words of other packages for what the solvers of sparse plans take.
FOREIGN = {
    "stopThr": "tol",
    "numItermax": "maxiter",
    "log": "the result has the history and the potentials, always",
    "reg_type": "the regularisation is quadratic here; numsolve.transport.solve has others",
    "warmstart": "potentials_init",
}
#: Costs from the inverse of this up to it are solved as they come; squares of others would leave the range.
LARGEST = 1e100


def prepared(a: ArrayLike | None, b: ArrayLike | None, M: ArrayLike, reg: float) -> tuple[Problem, float]:
    """Check the arguments, as everywhere in this column; the solvers here are for NumPy only.

    Costs and regularisation of extreme size come multiplied with a power of two, which is returned too.
    """
    problem = prepare(M, a, b, reg)
    if not arrays.is_numpy(problem.xp):
        name = arrays.namespace_name(problem.xp)
        raise TypeError(
            f"M is a {name} array; quadratic and sparsity-constrained transport take NumPy's: bring the "
            "data to the host first, as with numpy.asarray or cupy.asnumpy"
        )
    size = max(problem.range, problem.reg * problem.mass / max(problem.M.shape))
    if 1 / LARGEST < size < LARGEST or not math.isfinite(size):
        return problem, 1.0
    unit = math.ldexp(1.0, -math.frexp(size)[1])
    scaled = {name: unit * getattr(problem, name) for name in ("M", "reg", "up", "over", "range", "highest")}
    return replace(problem, **scaled), unit


def transposed(problem: Problem) -> Problem:
    """The problem with its sides exchanged."""
    return replace(
        problem, M=problem.M.T, a=problem.b, b=problem.a, up=problem.over, over=problem.up,
        rows=problem.columns, columns=problem.rows, shape=problem.shape[::-1],
    )  # fmt: skip


def start(
    relaxed: Relaxed, potentials: Sequence[ArrayLike] | None, swapped: bool
) -> tuple[Array, Array] | None:
    """The caller's potentials as those of the reduced problem."""
    if potentials is None:
        return None
    if swapped and isinstance(potentials, tuple | list):
        potentials = tuple(potentials)[::-1]
    # No logarithm of the mass is in these potentials, and the shifts are in our unit.
    problem, unit = relaxed.problem, relaxed.unit
    f, g = replace(problem, mass=1.0, up=0.0, over=0.0).start(potentials)
    return unit * f.astype(np.float64) - problem.up, unit * g.astype(np.float64) - problem.over


def presented(relaxed: Relaxed, x: Point, swapped: bool) -> tuple[Array, Array]:
    """The caller's potentials."""
    problem, unit = relaxed.problem, relaxed.unit
    dtype = problem.M.dtype
    f, g = (((p + q) / unit).astype(dtype) for p, q in ((x.f, problem.up), (x.g, problem.over)))
    f, g = replace(problem, mass=1.0, up=0.0, over=0.0).potentials((f, g))
    return (g, f) if swapped else (f, g)


def finished(
    relaxed: Relaxed,
    it: Monitor,
    x: Point,
    swapped: bool,
    T: Array,
    value: float,
    gap: float,
    *,
    return_plan: bool,
    unplaced: float = 0.0,
    max_nz: int | None = None,
) -> SparseTransportResult:
    """Put a reduced plan T and its value into the caller's terms."""
    problem, mass, unit = relaxed.problem, relaxed.problem.mass, relaxed.unit
    T = T.astype(problem.M.dtype, copy=False)
    rows, columns = T.sum(axis=1), T.sum(axis=0)
    residual = float(np.abs(rows - problem.a).sum() + np.abs(columns - problem.b).sum())
    inside = T > 0
    t, pairs = T[inside].astype(np.float64), np.outer(relaxed.a, relaxed.b)[inside]
    kl = float(t @ np.log(t / pairs)) - float(np.log(mass)) * float(t.sum())
    linear = float(t @ problem.M[inside].astype(np.float64)) + problem.shift_of(rows, columns)
    low, high = problem.bounds_in_time(it, T, x.f)
    plan = problem.plan(T) if return_plan else None
    values = {
        "value": mass * (value + problem.shift_of(problem.a, problem.b)) / unit,
        "value_linear": mass * linear / unit,
        "kl": mass * kl,
    }
    check_values(it, values)
    return it.result(
        SparseTransportResult,
        x=presented(relaxed, x, swapped),
        plan=plan.T if plan is not None and swapped else plan,
        residual=residual,
        **values,
        bounds=(low / unit, high / unit),
        reg=problem.reg / unit,
        reg_path=(problem.reg / unit,),
        nnz_max=int(inside.sum(axis=int(swapped and max_nz is None)).max()),
        max_nz=max_nz,
        axis=int(swapped and max_nz is not None),
        gap=mass * gap / unit,
        unplaced_mass=mass * unplaced,
        **relaxed.counts,
    )
