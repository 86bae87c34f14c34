"""The words and settings of this column as types, which a type checker compares, and their checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypedDict

from numsolve._core import arrays, checks

#: The linear solvers.
Method: TypeAlias = Literal["auto", "dense", "cholesky", "cg", "gmres", "bicgstab", "lsmr", "host"]
METHODS = ("auto", "dense", "cholesky", "cg", "gmres", "bicgstab", "lsmr", "host")
#: How a batch calls a solver on the host, in `jax.pure_callback`'s words.
VmapMethod: TypeAlias = Literal["sequential", "sequential_unrolled", "expand_dims", "broadcast_all"]
VMAP_METHODS = ("sequential", "sequential_unrolled", "expand_dims", "broadcast_all")
#: Unknowns up to which a matrix is formed and factorised.
DENSE_UP_TO = 2000
#: Where the products of a Jacobian come from.
Differences: TypeAlias = Literal["auto", "complex-step", "forward", "central", "jax"]
DIFFERENCES = ("auto", "complex-step", "forward", "central", "jax")

#: What jaxopt, and others, call their linear solvers.
FOREIGN = {
    "lu": "it is called 'dense' here",
    "inv": "'dense' factorises",
    "qr": "'dense' factorises, and gives the solution of least norm where the matrix is singular",
    "svd": "'dense' gives the solution of least norm where the matrix is singular",
    "normal_cg": "'lsmr' does its work without squaring the condition number",
    "factor": "that is of host solvers under JAX; hand over the factorisation itself",
    "pinv": "'dense' gives the solution of least norm where the matrix is singular",
}

#: What is said of a tangent of an argument that has no derivative.
CONSTANT = (
    "tangents must be zero for arguments that are no numbers to optimality_fun: words, truth values, and "
    "integers that it takes as sizes, indices or switches"
)

#: What SciPy and lineax call the settings of a linear solver.
FOREIGN_SETTINGS = {"x0": "init", "rtol": "tol", "max_steps": "maxiter", "trans": "transpose"}


class Factorisation(Protocol):
    """What solves with a matrix and with its transpose, as SciPy's SuperLU does."""

    def solve(self, b: Any, trans: Any = "N", /) -> Any:
        """Solve with the matrix, or with its transpose ("T")."""


class Multiplies(Protocol):
    """A matrix or a linear operator: what has a product with a vector."""

    def __matmul__(self, other: Any, /) -> Any:
        """The product."""


#: How the linear systems are solved: a method's name, or jaxopt's ``solve(matvec, b)``.
Solve: TypeAlias = Method | Callable[..., Any]
#: The same without JAX, where a factorisation, or a pair of functions, may be left of the forward solve.
PlainSolve: TypeAlias = Solve | tuple[Callable[[Any], Any], Callable[[Any], Any]] | Factorisation
#: The same under JAX, where a host solver may leave its factorisation.
TracedSolve: TypeAlias = Solve | Literal["factor"]
#: A square matrix: its product with a vector as a function, or the matrix.
MatVec: TypeAlias = Callable[[Any], Any] | Multiplies | Sequence[Sequence[float]]


class AdapterSettings(TypedDict, total=False):
    """The settings of `numsolve.implicit.custom_root` that an adapter of jaxopt's solvers leaves open."""

    solve: TracedSolve
    symmetric: bool
    argnums: int | Sequence[int] | None
    result_shape: Any
    vmap_method: VmapMethod
    reference_signature: Any
    check: bool
    tol: float | None


class RootSettings(AdapterSettings, total=False):
    """The settings of `numsolve.implicit.custom_root`, which explains them, but for `host`."""

    has_aux: bool


class HostSettings(RootSettings, total=False):
    """The settings of `numsolve.implicit.custom_root`, `host` among them."""

    host: bool | Literal["auto"]


def check_solve(solve: Any) -> Any:
    """Return the name of a method; functions pass."""
    return solve if callable(solve) else checks.choice("solve", solve, METHODS, foreign=FOREIGN)


def check_plain_solve(solve: Any) -> Any:
    """Return what solves without JAX: a name, a function, a pair of functions, a factorisation."""
    if isinstance(solve, str):
        return checks.choice("solve", solve, METHODS, foreign=FOREIGN)
    if isinstance(solve, tuple) and not (len(solve) == 2 and all(map(callable, solve))):
        raise TypeError("solve must be a pair of functions that solve with dF/dx and with its transpose")
    if not (isinstance(solve, tuple) or hasattr(solve, "solve") or callable(solve)):
        raise TypeError(f"solve must be a word, a function or a factorisation, got {type(solve).__name__}")
    return solve


def shared(solve: Any, symmetric: bool, check: bool, tol: float | None) -> dict[str, Any]:
    """Check the settings that every derivative has."""
    return {
        "solve": solve,
        "symmetric": checks.flag("symmetric", symmetric),
        "check": checks.flag("check", check),
        "tol": None if tol is None else checks.real("tol", tol, low=0.0),
    }


def positions(argnums: Any) -> tuple[int, ...] | None:
    """The positions as a tuple, whatever kind of integers they are."""
    if argnums is None:
        return None
    several = (argnums,) if arrays.ndim(argnums) == 0 else argnums
    return tuple(checks.integer("argnums", k, low=0) for k in several)
