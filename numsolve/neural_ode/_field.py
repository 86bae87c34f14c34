"""A user's right-hand side as a function of one array, with everything that it closes over as an argument.

The right-hand side is traced once. What it closed over comes out of the trace as arrays; they are handed to
the solver with the parameters, so that a closure is differentiated like an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks, extras

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array


def require_jax() -> Any:
    """JAX, or a hint how to install it."""
    return extras.require("jax", "solving a differential equation that can be differentiated")


@dataclass(frozen=True)
class Packing:
    """A state of any structure as one array: (B, n) with ``norm="sample"``, else of any shape."""

    tree: Any
    shapes: tuple[tuple[int, ...], ...]
    dtype: Any
    lanes: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array; a state that is one array keeps its own."""
        if len(self.shapes) == 1:
            return self.shapes[0]
        if self.lanes:
            return (self.shapes[0][0], sum(self._widths()))
        return (sum(self._widths()),)

    def pack(self, tree: Any, lead: int = 0) -> Any:
        """One array of a state; `lead` axes stand in front of it."""
        import jax
        import jax.numpy as jnp

        leaves = [jnp.asarray(arrays.usual(leaf), self.dtype) for leaf in jax.tree.leaves(tree)]
        if len(leaves) == 1:
            return leaves[0]
        kept = lead + (1 if self.lanes else 0)
        return jnp.concatenate([leaf.reshape(*leaf.shape[:kept], -1) for leaf in leaves], axis=-1)

    def unpack(self, y: Array) -> Any:
        """The state of an array, which may have further axes in front."""
        import jax

        if len(self.shapes) == 1:
            return jax.tree.unflatten(self.tree, [y])
        inner = 2 if self.lanes else 1
        front = y.shape[: y.ndim - inner]
        leaves, at = [], 0
        for shape, width in zip(self.shapes, self._widths(), strict=True):
            leaves.append(y[..., at : at + width].reshape(*front, *shape))
            at += width
        return jax.tree.unflatten(self.tree, leaves)

    def check_weights(self, error_weight: Any) -> tuple[float, ...] | None:
        """One number for each array of the state, as the argument `error_weight` gives them."""
        import jax

        if error_weight is None:
            return None
        leaves = jax.tree.leaves(error_weight)
        if len(leaves) != len(self.shapes):
            raise ValueError(
                f"error_weight must have a number for each of the {len(self.shapes)} arrays of y0, "
                f"got {len(leaves)}"
            )
        weights = tuple(checks.real("error_weight", leaf, low=0.0) for leaf in leaves)
        if not any(weights):
            raise ValueError("error_weight must not be 0 everywhere")
        return weights

    def weights(self, weight: tuple[float, ...] | None) -> Any:
        """The weight of each entry in the norm of the error, or None where all are one."""
        import numpy as np

        if weight is None or all(w == 1.0 for w in weight):
            return None
        if len(self.shapes) == 1:
            return np.full(self.shapes[0], weight[0])
        flat = np.repeat(weight, self._widths())
        return np.broadcast_to(flat, self.shape)

    def _widths(self) -> list[int]:
        import math

        return [math.prod(shape[1:] if self.lanes else shape) for shape in self.shapes]


def make_packing(y0: Any, *, lanes: bool) -> Packing:
    """How to pack the states of a solve that starts at `y0`."""
    import jax
    import jax.numpy as jnp

    leaves, tree = jax.tree.flatten(y0)
    if not leaves:
        raise ValueError("y0 must hold at least one array, got an empty structure")
    start = []
    for leaf in leaves:
        checks.refuse_masked("y0", leaf)
        if isinstance(leaf, str | bytes):
            raise TypeError(f"y0 must hold numbers, got {leaf!r}")
        array = _as_jax("y0", leaf)
        if jnp.issubdtype(array.dtype, jnp.complexfloating):
            raise TypeError(
                f"y0 is complex ({array.dtype}); complex states are not supported: stack real and imaginary "
                "parts"
            )
        if array.dtype == bool:
            raise TypeError(f"y0 must hold numbers, got {leaf!r}")
        if array.size == 0:
            raise ValueError(f"y0 must not be empty, got an array of shape {tuple(array.shape)}")
        start.append(array)
    dtype = jnp.result_type(*(a.dtype for a in start))
    if not jnp.issubdtype(dtype, jnp.floating):
        dtype = jnp.result_type(float)
    shapes = tuple(tuple(a.shape) for a in start)
    if lanes and (any(not shape for shape in shapes) or len({shape[0] for shape in shapes}) > 1):
        raise ValueError(
            f'norm="sample" needs a common leading axis in all of y0, '
            f"got shapes {', '.join(map(str, shapes))}"
        )
    return Packing(tree, shapes, dtype, lanes)


@dataclass(frozen=True)
class Field:
    """A right-hand side after its trace: ``field(theta, t, y)`` on packed states.

    ``theta = (floats, others)``: the arrays of `params` and of the closure that have derivatives, and the
    rest.
    """

    jaxpr: Any
    floats: tuple[int, ...]
    packing: Packing

    def __call__(self, theta: tuple[list[Any], list[Any]], t: Any, y: Array) -> Array:
        import jax

        floats, others = iter(theta[0]), iter(theta[1])
        count = len(theta[0]) + len(theta[1])
        given = [next(floats) if k in self.floats else next(others) for k in range(count)]
        consts, params = given[: len(self.jaxpr.constvars)], given[len(self.jaxpr.constvars) :]
        leaves = jax.tree.leaves(self.packing.unpack(y))
        t = jax.numpy.reshape(t, self.jaxpr.invars[0].aval.shape)  # packed states have fewer axes
        out = jax.core.eval_jaxpr(self.jaxpr, consts, t, *leaves, *params)
        slope: Array = self.packing.pack(out)
        return slope


def hoist(
    name: str, f: Callable[..., Any], t: Any, packing: Packing, params: Any
) -> tuple[Field, tuple[list[Any], list[Any]]]:
    """Trace a right-hand side once and check what it returns."""
    import jax

    leaves, tree = jax.tree.flatten(params)
    for leaf in leaves:
        if getattr(getattr(leaf, "dtype", None), "kind", "") == "O":
            raise TypeError(
                "params must hold arrays of numbers, got an array of objects: give a list of them"
            )
    places = [k for k, leaf in enumerate(leaves) if _is_array(leaf)]

    def call(t: Any, state: list[Any], given: list[Any]) -> Any:
        full = list(leaves)
        for k, leaf in zip(places, given, strict=True):
            full[k] = leaf
        return f(t, jax.tree.unflatten(packing.tree, state), jax.tree.unflatten(tree, full))

    state = [struct(jax)(shape, packing.dtype) for shape in packing.shapes]
    given = [_as_jax("params", leaves[k]) if not _is_key(leaves[k]) else leaves[k] for k in places]
    closed, out = jax.make_jaxpr(call, return_shape=True)(t, state, given)
    _check_output(name, out, packing)
    every = [*closed.consts, *given]
    floats = tuple(k for k, leaf in enumerate(every) if _is_float(leaf))
    theta = [every[k] for k in floats], [leaf for k, leaf in enumerate(every) if k not in floats]
    return Field(closed.jaxpr, floats, packing), theta


def text(field: Field) -> tuple[str, tuple[Any, ...]]:
    """What tells a traced function from another: its operations, and the constants of its compiled parts."""
    import jax
    import numpy as np

    constants: list[Any] = []

    def visit(jaxpr: Any) -> None:
        for equation in jaxpr.eqns:
            values = list(equation.params.values())
            for part in jax.tree.leaves(values, is_leaf=lambda x: hasattr(x, "eqns")):
                if hasattr(part, "eqns"):
                    constants.extend(getattr(part, "consts", ()))
                    visit(getattr(part, "jaxpr", part))

    visit(field.jaxpr)
    values = (np.asarray(jax.random.key_data(c) if _is_key(c) else c) for c in constants)
    return str(field.jaxpr), tuple((a.shape, str(a.dtype), a.tobytes()) for a in values)


class Same:
    """An object that is equal to itself alone, and kept, so that no other can take its place in memory."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.value is other.value


def struct(jax: Any) -> Any:
    """JAX's word for a shape and a type, which checkers do not know."""
    return jax.ShapeDtypeStruct


def _check_output(name: str, out: Any, packing: Packing) -> None:
    import jax

    leaves, tree = jax.tree.flatten(out)
    if tree != packing.tree:
        raise ValueError(f"{name} must return the structure of y0, {packing.tree}; it returns {tree}")
    for leaf, shape in zip(leaves, packing.shapes, strict=True):
        if tuple(leaf.shape) != shape:
            raise ValueError(f"{name} must return shape {shape}, that of y0; it returns {tuple(leaf.shape)}")
        if leaf.dtype != packing.dtype:
            raise ValueError(
                f"{name} must return {packing.dtype}, the type of the state; it returns {leaf.dtype}"
            )


def _is_array(leaf: Any) -> bool:
    """What is traced: arrays of numbers and Python's floats; all else may steer Python code."""
    dtype = getattr(leaf, "dtype", None)
    if isinstance(dtype, np.dtype) and (dtype.kind in "OSUMm" or dtype.names is not None):
        return False
    return dtype is not None or isinstance(leaf, float)


def _as_jax(name: str, leaf: Any) -> Any:
    """An array of JAX's, or an error that names the argument."""
    import jax

    checks.refuse_masked(name, leaf)
    try:
        with np.errstate(over="ignore"):  # in 32-bit mode; `check_start` looks
            return jax.numpy.asarray(arrays.usual(leaf))
    except OverflowError as error:
        raise ValueError(
            f"{name} has the integer {arrays.in_short(leaf)}, too long for an integer of JAX: give a float"
        ) from error
    except (TypeError, ValueError, RuntimeError) as error:
        arrays.refuse_recording(name, leaf)
        raise TypeError(f"{name} must hold numbers, got {leaf!r}") from error


def _is_key(leaf: Any) -> bool:
    import jax

    return isinstance(leaf, jax.Array) and bool(jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _is_float(leaf: Any) -> bool:
    import jax.numpy as jnp

    return not _is_key(leaf) and bool(jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.inexact))
