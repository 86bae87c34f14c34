"""One call of a wrapped solver, for one structure of its arguments: its host calls, its tangent rule."""

from __future__ import annotations

import functools
import warnings
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import checks
from numsolve._core.result import PrecisionWarning, caller_level
from numsolve._core.unheard import unheard
from numsolve.implicit import _report
from numsolve.implicit._jax import float_dtype, is_array, is_floating, require_jax
from numsolve.implicit._numbers import as_float
from numsolve.implicit._signatures import (
    has_no_start,
    signature_of,
    takes,
)

from . import _host
from ._factors import STORE, Factor, digest, new_owner
from ._linear import check_solution, like, linear_solve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .rule import Rule

#: Integers up to here are floats of single precision, too.
EXACT_IN_SINGLE = 2**24


@dataclass(frozen=True)
class Places:
    """Which leaves of a call's arguments are arrays, and which are Python integers."""

    structure: Any
    moving: tuple[int, ...]
    counts: tuple[int, ...]


class Call:
    """A solver's call with one structure of arguments, as a function of its integers and its arrays.

    The solver gets Python integers as they are. The optimality function gets them traced, as numbers, so that
    another value compiles nothing; those that it needs as they are (sizes, powers in a shape) it gets so.
    """

    def __init__(self, rule: Rule, solver: Any, places: Places, fixed: Any) -> None:
        jax = self.jax = require_jax()
        self.rule, self.solver, self.structure = rule, solver, places.structure
        self.moving, self.counts = places.moving, places.counts
        others, taken = iter(fixed), {*places.moving, *places.counts}
        self.template = [None if k in taken else next(others) for k in range(places.structure.num_leaves)]
        self.owners = [self._owner(k) for k in self.moving]
        args, kwargs = self.structure.unflatten(range(self.structure.num_leaves))
        reference = rule.optimality_fun if rule.reference_signature is None else rule.reference_signature
        #: how many of the solver's arguments, the initial point, are none of F's
        self.start = 0 if has_no_start(solver, reference, args, kwargs) else 1
        self.misfit = takes(reference, (None, *args[self.start :]), kwargs)
        self.owner = new_owner()
        weakref.finalize(self, STORE.forget, self.owner)
        #: whether the solver runs outside of JAX, where that is known
        self.host: bool | None = True if rule.by_factor else rule.host
        self.numeric: tuple[int, ...] | None = None
        self.tangents: dict[Any, Any] = {}
        self.solution = jax.custom_jvp(self._solve, nondiff_argnums=(0,))
        self.solution.defjvp(self._tangent_rule, symbolic_zeros=True)

    # -- arguments ---------------------------------------------------------------------------------

    def _arguments(self, numbers: Any, arrays: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        leaves = list(self.template)
        for k, value in zip((*self.counts, *self.moving), (*numbers, *arrays), strict=True):
            leaves[k] = value
        args, kwargs = self.structure.unflatten(leaves)
        return args, kwargs

    def _owner(self, k: int) -> int | str:
        """The position or the name of the argument that a leaf belongs to."""
        args, kwargs = self.structure.unflatten(range(self.structure.num_leaves))
        everything = [*enumerate(args), *kwargs.items()]
        owner: int | str
        owner, _ = next(pair for pair in everything if k in self.jax.tree.leaves(pair[1]))
        return owner

    def _varies(self, k: int) -> bool:
        """Whether the solution is differentiated in this array's argument."""
        owner, argnums = self.owners[k], self.rule.argnums
        return (owner != 0 or not self.start) and (argnums is None or owner in argnums)

    # -- the solution ------------------------------------------------------------------------------

    def _solve(self, numbers: tuple[int, ...], *arrays: Any) -> tuple[Any, Any]:
        """The solution, and whether the solver vouches for it; without jit a warning tells that."""
        jax = self.jax
        if self._runs_outside(numbers, arrays):
            return self._call_host(numbers, arrays)
        out, fine, message = self._call_traced(numbers, arrays)
        leaves = jax.tree.leaves(out[0] if self.rule.has_aux else out)
        if not any(isinstance(leaf, jax.core.Tracer) for leaf in (*leaves, fine)):
            self._tell(leaves, fine, message)
            fine = jax.numpy.asarray(True)
        return out, fine

    def _call_traced(self, numbers: tuple[int, ...], arrays: Any) -> tuple[Any, Any, Any]:
        jax = self.jax
        args, kwargs = self._arguments(numbers, arrays)
        out, fine, message = self._plain(self.solver(*args, **kwargs))
        return jax.tree.map(jax.numpy.asarray, out), jax.numpy.all(jax.numpy.asarray(fine)), message

    def _runs_outside(self, numbers: tuple[int, ...], arrays: Any) -> bool:
        """Whether the solver is called with NumPy arrays; with ``host="auto"`` one trial tells."""
        if self.host is None:
            try:
                with unheard():
                    self.jax.eval_shape(lambda arrays: self._call_traced(numbers, arrays)[:2], list(arrays))
            except Exception:  # whatever a solver raises for an array without values
                self.host = True
            else:
                self.host = False
        return self.host

    def _plain(self, out: Any) -> tuple[Any, Any, Any]:
        """Results of SciPy and numsolve stand for their x, and integers for floats."""
        x, aux = out if self.rule.has_aux else (out, None)
        x, fine, message = _x_of(x)
        x = self.jax.tree.map(_plain_leaf, x)
        return ((x, aux) if self.rule.has_aux else x), fine, message

    @staticmethod
    def _tell(leaves: Any, fine: Any, message: Any) -> bool:
        """Warn if the solver failed."""
        finite = all(np.isfinite(leaf).all() for leaf in leaves)
        succeeded = finite and (fine is True or bool(np.all(fine)))
        if not succeeded:
            _report.failed(message if finite else "x is not finite")
        return succeeded

    def _call_host(self, numbers: tuple[int, ...], arrays: Any) -> tuple[Any, Any]:
        jax = self.jax
        shape = self._result_shape(numbers, arrays)
        single = float_dtype(jax) == np.float32  # asked here, as it is a thread's own
        known = None if shape is None else jax.tree.flatten(shape)
        host = functools.partial(self._on_host, known, single, numbers)
        if not any(isinstance(array, jax.core.Tracer) for array in arrays):
            return jax.tree.map(jax.numpy.asarray, host(*map(np.array, arrays))[0]), jax.numpy.asarray(True)
        if shape is None:
            raise ValueError(
                "the shape of the solution is not known under jit or vmap: give result_shape, or an initial "
                f"point with that shape{' (aux is returned too)' if self.rule.has_aux else ''}"
            )
        vouched = jax.ShapeDtypeStruct((), np.dtype(bool))
        answer: tuple[Any, Any] = _host.call(
            host, (shape, vouched), *arrays, vmap_method=self.rule.vmap_method
        )
        return answer

    def _result_shape(self, numbers: tuple[int, ...], arrays: Any) -> Any:
        """Shapes and dtypes of what the solver returns, where they are known before it is called."""
        jax = self.jax
        args, kwargs = self._arguments(numbers, arrays)
        shape = self.rule.result_shape
        if shape is None:
            if self.rule.has_aux or not self.start or not jax.tree.leaves(args[0]):
                return None
            return jax.tree.map(lambda leaf: _struct(jax, leaf, floating=True), args[0])
        if callable(shape):
            structs = jax.tree.map(
                lambda leaf: _struct(jax, leaf) if is_array(jax, leaf) else leaf, (args, kwargs)
            )
            shape = shape(*structs[0], **structs[1])
        if self.rule.has_aux:
            x, aux = shape
            return (
                jax.tree.map(lambda leaf: _struct(jax, leaf, floating=True), x),
                jax.tree.map(lambda leaf: _struct(jax, leaf), aux),
            )
        return jax.tree.map(lambda leaf: _struct(jax, leaf, floating=True), shape)

    def _on_host(self, known: Any, single: bool, numbers: tuple[int, ...], *arrays: Any) -> Any:
        """Call the solver with NumPy arrays. JAX must not be called from here: it could wait for itself."""
        args, kwargs = self._arguments(numbers, arrays)
        key = self._key(numbers, arrays) if self.rule.by_factor else None  # before the solver overwrites them
        out = self.solver(*args, **kwargs)
        if key is not None:
            out, factor = self._with_factor(out)
            STORE.put(key, factor)
        out, fine, message = self._plain(out)
        fine = self._tell(self.jax.tree.leaves(out[0] if self.rule.has_aux else out), fine, message)
        leaves, structure = self.jax.tree.flatten(out)
        leaves = [np.asarray(leaf) for leaf in leaves]
        if single and not self.rule.warned and any(x.dtype == np.float64 for x in leaves):
            self.rule.warned.append("float64")
            warnings.warn(
                "the host solver's float64 is rounded to float32 because JAX is in its 32-bit mode; "
                'jax.config.update("jax_enable_x64", True) switches to double precision',
                PrecisionWarning,
                stacklevel=caller_level(),
            )
        if known is None:
            return structure.unflatten(leaves), np.asarray(fine)
        wanted, wanted_structure = known
        batched = self.rule.vmap_method in {"expand_dims", "broadcast_all"}
        shapes = [x.shape for x in leaves], [w.shape for w in wanted]
        if structure != wanted_structure or (shapes[0] != shapes[1] and not batched):
            raise ValueError(
                f"the solver returned arrays of shape {structure.unflatten(shapes[0])}, "
                f"{wanted_structure.unflatten(shapes[1])} is wanted (result_shape, or the initial point)"
            )
        vouched = np.asarray(fine)
        if leaves and batched:
            vouched = np.full(leaves[0].shape[: leaves[0].ndim - len(wanted[0].shape)], fine)
        return structure.unflatten(
            [x.astype(w.dtype, copy=False) for x, w in zip(leaves, wanted, strict=True)]
        ), vouched

    # -- the factorisation that the solver leaves --------------------------------------------------

    def _key(self, numbers: Any, arrays: Any) -> tuple[int, tuple[int, ...], bytes]:
        return self.owner, tuple(numbers), digest(arrays)

    def _with_factor(self, out: Any) -> tuple[Any, Factor]:
        """What the solver returned, without the factorisation, and that."""
        x, aux = out if self.rule.has_aux else (out, None)
        if not (isinstance(x, tuple) and len(x) == 2 and (isinstance(x[1], tuple) or hasattr(x[1], "solve"))):
            raise TypeError(
                "with solve='factor' the solver must return (x, factor), the second with a method "
                f"solve(b, 'N' or 'T') or a pair of functions; got {type(x).__name__}"
            )
        return ((x[0], aux) if self.rule.has_aux else x[0]), Factor(x[1])

    def _factor_of(self, places: tuple[int, ...], numbers: Any, *given: Any) -> Factor:
        """The factorisation of a solve; if it is no longer there, the solver is called again."""
        values = [int(value) for value in given[: len(places)]]
        numbers, arrays = (
            _filled(numbers, places, values),
            [np.array(array) for array in given[len(places) :]],
        )
        args, kwargs = self._arguments(numbers, arrays)
        return STORE.get(
            self._key(numbers, arrays), lambda: self._with_factor(self.solver(*args, **kwargs))[1]
        )

    def _by_factor(self, kept: tuple[int | None, ...], x: Any, values: Any, arrays: Any) -> Any:
        """A linear solver by the factorisation that the host solver has left for these arguments."""
        from jax.flatten_util import ravel_pytree

        if any(self.jax.numpy.iscomplexobj(leaf) for leaf in self.jax.tree.leaves(x)):
            raise ValueError("solve='factor' needs real unknowns, got complex ones")
        find = functools.partial(self._factor_of, tuple(k for k, n in enumerate(kept) if n is None), kept)

        def solve(_: Any, b: Any, *, transpose: bool = False) -> Any:
            flat, unravel = ravel_pytree(b)
            arguments = [*map(self.jax.numpy.asarray, values), *arrays]
            return unravel(_host.left_behind(find, arguments, flat, transpose=transpose))

        return solve

    # -- its tangents ------------------------------------------------------------------------------

    def _tangent_rule(self, numbers: tuple[int, ...], arrays: Any, tangents: Any) -> Any:
        jax = self.jax
        if self.misfit is not None:
            raise TypeError(
                f"optimality_fun does not take the solver's arguments ({self.misfit}), of which the first is "
                "the initial point, or None; bind options to the solver with functools.partial"
            )
        out, fine = self.solution(numbers, *arrays)
        x, aux = out if self.rule.has_aux else (out, None)
        zero = jax.custom_derivatives.SymbolicZero
        active = tuple(
            k
            for k, t in enumerate(tangents)
            if self._varies(k) and not isinstance(t, zero) and is_floating(jax, t)
        )
        if active:
            traced = self._traced(numbers, x, arrays)
            kept = tuple(None if k in traced else number for k, number in enumerate(numbers))
            if (active, kept) not in self.tangents:
                self.tangents[active, kept] = jax.jit(functools.partial(self._tangent, active, kept))
            values = [float(numbers[k]) for k in traced]
            directions = [jax.numpy.asarray(tangents[k]) for k in active]
            dx = self.tangents[active, kept](values, x, fine, tuple(arrays), directions)
        else:
            dx = jax.tree.map(_zero_tangent, x)
        change = (dx, jax.tree.map(_zero_tangent, aux)) if self.rule.has_aux else dx
        return (out, fine), (change, _zero_tangent(fine))

    def _traced(self, numbers: tuple[int, ...], x: Any, arrays: Any) -> tuple[int, ...]:
        """The places of the integers that the optimality function takes as traced numbers."""
        if not numbers:
            return ()
        if self.numeric is None:
            everything = tuple(range(len(numbers)))
            alone = ((k,) for k in everything)
            if self._takes(everything, numbers, x, arrays):
                self.numeric = everything
            else:
                self.numeric = tuple(k for (k,) in alone if self._takes((k,), numbers, x, arrays))
        return tuple(k for k in self.numeric if abs(numbers[k]) <= EXACT_IN_SINGLE)

    def _takes(self, places: tuple[int, ...], numbers: tuple[int, ...], x: Any, arrays: Any) -> bool:
        """Try whether the optimality function takes these integers as traced numbers."""

        def trial(values: Any, x: Any, arrays: Any) -> Any:
            return self._optimality(x, _filled(numbers, places, values), arrays)

        try:
            self.jax.eval_shape(trial, [float(numbers[k]) for k in places], x, arrays)
        except Exception:  # whatever F raises for a number that is no integer, or has no value yet
            return False
        return True

    def _tangent(
        self,
        active: tuple[int, ...],
        kept: tuple[int | None, ...],
        values: Any,
        x: Any,
        fine: Any,
        arrays: Any,
        tangents: Any,
    ) -> Any:
        """Solve dF/dx dx = -dF/dtheta dtheta; nan if there is no solution."""
        numbers = _filled(kept, [k for k, number in enumerate(kept) if number is None], values)

        def F(x: Any, *theta: Any) -> Any:  # noqa: N802
            return self._optimality(x, numbers, _filled(arrays, active, theta))

        theta = [arrays[k] for k in active]
        value, change = self.jax.jvp(lambda *theta: F(x, *theta), tuple(theta), tuple(tangents))
        rhs = self.jax.tree.map(lambda v: -v, like(x, change))
        rule = self.rule
        solve = self._by_factor(kept, x, values, arrays) if rule.by_factor else rule.solve
        settings: dict[str, Any] = {"solve": solve, "symmetric": rule.symmetric, "tol": rule.tol}
        if rule.check:
            check_solution(lambda x: F(x, *theta), x, like(x, value), **settings)
        dx = linear_solve(lambda x: F(x, *theta), x, rhs, **settings)
        jnp = self.jax.numpy
        for leaf in self.jax.tree.leaves(x):
            fine = fine & jnp.all(jnp.isfinite(leaf))
        return self.jax.tree.map(lambda leaf: leaf * jnp.where(fine, 1, jnp.nan).astype(leaf.dtype), dx)

    def _optimality(self, x: Any, numbers: Any, arrays: Any) -> Any:
        args, kwargs = self._arguments(numbers, arrays)
        theta: Sequence[Any] = args[self.start :]
        if self.rule.reference_signature is not None:
            bound = signature_of(self.rule.reference_signature).bind(x, *theta, **kwargs)
            bound.apply_defaults()
            (_, *theta), kwargs = bound.args, bound.kwargs
        return self.rule.optimality_fun(x, *theta, **kwargs)


def _filled(values: Any, places: Any, others: Any) -> list[Any]:
    """The values with others in some places."""
    out = list(values)
    for k, other in zip(places, others, strict=True):
        out[k] = other
    return out


def _zero_tangent(x: Any) -> Any:
    jax = require_jax()
    return jax.numpy.zeros_like(x) if is_floating(jax, x) else np.zeros(np.shape(x), jax.dtypes.float0)


def _struct(jax: Any, leaf: Any, *, floating: bool = False) -> Any:
    dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
    if floating and not jax.numpy.issubdtype(dtype, jax.numpy.inexact):
        dtype = np.dtype(np.float64)
    return jax.ShapeDtypeStruct(np.shape(leaf), jax.dtypes.canonicalize_dtype(dtype))


def _plain_leaf(leaf: Any) -> Any:
    if type(leaf) is np.ndarray and leaf.dtype == np.float64:  # most are, and are well as they are
        return leaf
    checks.refuse_masked("the solution", leaf)
    return as_float(leaf)


def _x_of(out: Any) -> tuple[Any, Any, Any]:
    """The solution in a result object, whether the solver vouches for it, and what it says."""
    if type(out) in {np.ndarray, tuple, list, dict}:
        return out, True, None
    message = getattr(out, "message", None)
    if hasattr(out, "x"):
        for name in ("success", "converged", "status"):
            if hasattr(out, name):
                vouched = getattr(out, name)
                return out.x, vouched == 0 if name == "status" else vouched, message
    if hasattr(out, "root") and hasattr(out, "converged"):  # scipy.optimize.root_scalar
        return out.root, out.converged, getattr(out, "flag", None)
    return out, True, None
