"""The JAX function that `custom_root` makes of a solver: its structure, its host calls, its tangent rule."""

from __future__ import annotations

import functools
import inspect
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import checks, extras
from numsolve._core.result import PrecisionWarning, caller_level

from . import _jax_host, _jax_solvers, _report

if TYPE_CHECKING:
    from collections.abc import Callable


def require_jax() -> Any:
    """JAX, or a hint how to install it."""
    return extras.require("jax", "differentiating a JAX function of a solver")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The settings of `custom_root`."""

    optimality_fun: Callable[..., Any]
    has_aux: bool
    solve: Any
    symmetric: bool
    argnums: Any
    host: bool
    result_shape: Any
    vmap_method: str
    reference_signature: Any
    check: bool
    tol: float | None
    warned: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        require_jax()
        check_solve(self.solve)

    def wrap(self, solver: Callable[..., Any]) -> Callable[..., Any]:
        """The solver as a JAX function."""
        jax = require_jax()
        calls: dict[Any, _Call] = {}
        signature = _signature(solver)

        @functools.wraps(solver, updated=())
        def solution(*args: Any, **kwargs: Any) -> Any:
            if signature is not None:
                bound = signature.bind(*args, **kwargs)
                bound.apply_defaults()
                args, kwargs = bound.args, bound.kwargs
            if not args:
                raise TypeError("the initial point must be the solver's first positional argument")
            leaves, structure = jax.tree.flatten((args, kwargs))
            moving = tuple(k for k, leaf in enumerate(leaves) if _is_array(jax, leaf))
            fixed = tuple(leaf for k, leaf in enumerate(leaves) if k not in moving)
            key = (structure, moving, tuple(map(type, fixed)), fixed)
            try:
                call = calls.get(key)
            except TypeError:  # a leaf without a hash cannot be looked up
                return _Call(self, solver, structure, moving, fixed).solution(*(leaves[k] for k in moving))
            if call is None:
                call = calls[key] = _Call(self, solver, structure, moving, fixed)
            return call.solution(*(leaves[k] for k in moving))

        return solution


class _Call:
    """A solver's call with one structure of arguments, as a function of its arrays alone."""

    def __init__(self, rule: Rule, solver: Any, structure: Any, moving: tuple[int, ...], fixed: Any) -> None:
        jax = self.jax = require_jax()
        self.rule, self.solver, self.structure = rule, solver, structure
        self.moving = moving
        others = iter(fixed)
        self.template = [None if k in moving else next(others) for k in range(structure.num_leaves)]
        self.owners = [self._owner(k) for k in moving]
        self.tangents: dict[tuple[int, ...], Any] = {}
        self.solution = jax.custom_jvp(self._solve)
        self.solution.defjvp(self._tangent_rule, symbolic_zeros=True)

    # -- arguments ---------------------------------------------------------------------------------

    def _arguments(self, arrays: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        leaves = list(self.template)
        for k, array in zip(self.moving, arrays, strict=True):
            leaves[k] = array
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
        if owner == 0:
            return False
        if argnums is None:
            return True
        wanted = {argnums} if isinstance(argnums, int) else set(argnums)
        return owner in wanted

    # -- the solution ------------------------------------------------------------------------------

    def _solve(self, *arrays: Any) -> Any:
        if self.rule.host:
            return self._call_host(arrays)
        args, kwargs = self._arguments(arrays)
        out = self.solver(*args, **kwargs)
        return self.jax.tree.map(self.jax.numpy.asarray, self._plain(out))

    def _plain(self, out: Any) -> Any:
        """Results of SciPy and numsolve stand for their x."""
        if self.rule.has_aux:
            x, aux = out
            return _x_of(x), aux
        return _x_of(out)

    def _call_host(self, arrays: Any) -> Any:
        jax = self.jax
        shape = self._result_shape(arrays)
        single = _canonical(jax, np.dtype(np.float64)) == np.float32  # asked here, as it is a thread's own
        known = None if shape is None else jax.tree.flatten(shape)
        host = functools.partial(self._on_host, known, single)
        if not any(isinstance(array, jax.core.Tracer) for array in arrays):
            return jax.tree.map(jax.numpy.asarray, host(*map(np.array, arrays)))
        if shape is None:
            raise ValueError(
                "the shape of the solution is not known under jit or vmap: give result_shape, or an initial "
                f"point with that shape{' (aux is returned too)' if self.rule.has_aux else ''}"
            )
        return _jax_host.call(host, shape, *arrays, vmap_method=self.rule.vmap_method)

    def _result_shape(self, arrays: Any) -> Any:
        """Shapes and dtypes of what the solver returns, where they are known before it is called."""
        jax = self.jax
        args, kwargs = self._arguments(arrays)
        shape = self.rule.result_shape
        if shape is None:
            if self.rule.has_aux or not jax.tree.leaves(args[0]):
                return None
            return jax.tree.map(lambda leaf: _struct(jax, leaf, floating=True), args[0])
        if callable(shape):
            structs = jax.tree.map(
                lambda leaf: _struct(jax, leaf) if _is_array(jax, leaf) else leaf, (args, kwargs)
            )
            shape = shape(*structs[0], **structs[1])
        return jax.tree.map(lambda leaf: _struct(jax, leaf), shape)

    def _on_host(self, known: Any, single: bool, *arrays: Any) -> Any:
        """Call the solver with NumPy arrays. JAX must not be called from here: it could wait for itself."""
        args, kwargs = self._arguments(arrays)
        leaves, structure = self.jax.tree.flatten(self._plain(self.solver(*args, **kwargs)))
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
            return structure.unflatten(leaves)
        wanted, wanted_structure = known
        batched = self.rule.vmap_method in {"expand_dims", "broadcast_all"}
        shapes = [x.shape for x in leaves], [w.shape for w in wanted]
        if structure != wanted_structure or (shapes[0] != shapes[1] and not batched):
            raise ValueError(
                f"the solver returned arrays of shape {structure.unflatten(shapes[0])}, "
                f"{wanted_structure.unflatten(shapes[1])} is wanted (result_shape, or the initial point)"
            )
        return structure.unflatten(
            [x.astype(w.dtype, copy=False) for x, w in zip(leaves, wanted, strict=True)]
        )

    # -- its tangents ------------------------------------------------------------------------------

    def _tangent_rule(self, arrays: Any, tangents: Any) -> Any:
        jax = self.jax
        out = self.solution(*arrays)
        x, aux = out if self.rule.has_aux else (out, None)
        zero = jax.custom_derivatives.SymbolicZero
        active = tuple(
            k
            for k, t in enumerate(tangents)
            if self._varies(k) and not isinstance(t, zero) and _is_floating(jax, t)
        )
        if active:
            if active not in self.tangents:
                self.tangents[active] = jax.jit(functools.partial(self._tangent, active))
            dx = self.tangents[active](x, tuple(arrays), [tangents[k] for k in active])
        else:
            dx = jax.tree.map(_zero_tangent, x)
        return out, ((dx, jax.tree.map(_zero_tangent, aux)) if self.rule.has_aux else dx)

    def _tangent(self, active: tuple[int, ...], x: Any, arrays: Any, tangents: Any) -> Any:
        """Solve dF/dx dx = -dF/dtheta dtheta."""

        def F(x: Any, *values: Any) -> Any:  # noqa: N802
            changed = list(arrays)
            for k, value in zip(active, values, strict=True):
                changed[k] = value
            return self._optimality(x, changed)

        theta = [arrays[k] for k in active]
        value, change = self.jax.jvp(lambda *values: F(x, *values), tuple(theta), tuple(tangents))
        rhs = self.jax.tree.map(lambda v: -v, like(x, change))
        rule = self.rule
        settings = {"solve": rule.solve, "symmetric": rule.symmetric, "tol": rule.tol}
        if rule.check:
            check_solution(lambda x: F(x, *theta), x, like(x, value), **settings)
        return linear_solve(lambda x: F(x, *theta), x, rhs, **settings)

    def _optimality(self, x: Any, arrays: Any) -> Any:
        args, kwargs = self._arguments(arrays)
        if self.rule.reference_signature is not None:
            from .root import signature_of

            bound = signature_of(self.rule.reference_signature).bind(*args, **kwargs)
            bound.apply_defaults()
            args, kwargs = bound.args, bound.kwargs
        try:
            inspect.signature(self.rule.optimality_fun).bind(x, *args[1:], **kwargs)
        except TypeError as error:
            raise TypeError(
                f"optimality_fun does not take the solver's arguments ({error}); bind options to the solver "
                "with functools.partial"
            ) from error
        except ValueError:  # a callable without a signature
            pass
        return self.rule.optimality_fun(x, *args[1:], **kwargs)


# -- linear systems with dF/dx, shared with products.py ----------------------------------------------


def linear_solve(
    G: Callable[[Any], Any],
    x: Any,
    rhs: Any,
    *,
    solve: Any,
    symmetric: bool,
    tol: float | None,
    transpose: bool = False,
) -> Any:
    """Solve dG/dx(x) z = rhs, or the transposed system, in a way that JAX differentiates and transposes."""
    jax = require_jax()
    from jax.flatten_util import ravel_pytree

    # One vector: JAX cannot transpose a solve of which some leaves of the right-hand side are constant.
    flat, unravel = ravel_pytree(x)
    b = ravel_pytree(rhs)[0]
    _, product = jax.linearize(G, x)

    def operator(v: Any) -> Any:
        return ravel_pytree(like(x, product(unravel(v))))[0]

    if transpose and not symmetric:
        pull = jax.linear_transpose(operator, flat)
        operator = lambda v: pull(v)[0]  # noqa: E731
    if callable(solve):

        def method(matvec: Any, b: Any) -> Any:
            z = solve(lambda v: unravel(matvec(ravel_pytree(v)[0])), unravel(b))
            return ravel_pytree(z)[0]

    else:
        name = _jax_solvers.automatic(symmetric, flat.size) if solve == "auto" else solve

        def method(matvec: Any, b: Any) -> Any:
            return _jax_solvers.solve(name, matvec, b, tol=tol)

    return unravel(
        jax.lax.custom_linear_solve(operator, b, solve=method, transpose_solve=method, symmetric=symmetric)
    )


def check_solve(solve: Any) -> None:
    """Refuse what is neither a method's name nor a function."""
    if not callable(solve):
        checks.choice("solve", solve, ("auto", *(name for name in _jax_solvers.METHODS if name != "hybrid")))


def like(x: Any, value: Any) -> Any:
    """The leaves of F in the structure of x, which must have the same shapes."""
    jax = require_jax()
    leaves, structure = jax.tree.flatten(x)
    values = jax.tree.leaves(value)
    if [leaf.shape for leaf in leaves] != [leaf.shape for leaf in values]:
        raise ValueError(
            "the optimality function must be square: it returns arrays of shape "
            f"{[tuple(leaf.shape) for leaf in values]}, the solution has "
            f"{[tuple(leaf.shape) for leaf in leaves]}"
        )
    return structure.unflatten([v.astype(leaf.dtype) for v, leaf in zip(values, leaves, strict=True)])


def check_solution(
    G: Callable[[Any], Any], x: Any, value: Any, *, solve: Any, symmetric: bool, tol: float | None
) -> None:
    """Estimate the error of x by a Newton step, and try the symmetry on one pair of vectors."""
    jax = require_jax()
    jnp = jax.numpy
    from jax.flatten_util import ravel_pytree

    step = ravel_pytree(linear_solve(G, x, value, solve=solve, symmetric=symmetric, tol=tol))[0]
    flat, unravel = ravel_pytree(x)
    product = jax.linearize(G, x)[1]
    rng = np.random.default_rng(0)
    u, v = (jnp.asarray(rng.standard_normal(flat.size), flat.dtype) for _ in range(2))
    Au, Av = (ravel_pytree(product(unravel(w)))[0] for w in (u, v))
    skew = jnp.abs(u @ Av - v @ Au) / (jnp.linalg.norm(u) * jnp.linalg.norm(Av))
    residual = jnp.max(jnp.abs(ravel_pytree(value)[0]), initial=0.0)
    jax.debug.callback(
        _report.check, residual, jnp.linalg.norm(step), jnp.linalg.norm(flat), skew if symmetric else 0.0
    )


def _is_array(jax: Any, leaf: Any) -> bool:
    return isinstance(leaf, float | complex | np.ndarray | np.generic | jax.Array)


def _is_floating(jax: Any, x: Any) -> bool:
    return bool(jax.numpy.issubdtype(x.dtype, jax.numpy.inexact))


def _zero_tangent(x: Any) -> Any:
    jax = require_jax()
    return jax.numpy.zeros_like(x) if _is_floating(jax, x) else np.zeros(x.shape, jax.dtypes.float0)


def _canonical(jax: Any, dtype: Any) -> Any:
    return jax.dtypes.canonicalize_dtype(dtype)


def _struct(jax: Any, leaf: Any, *, floating: bool = False) -> Any:
    dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
    if floating and not jax.numpy.issubdtype(dtype, jax.numpy.inexact):
        dtype = np.dtype(np.float64)
    return jax.ShapeDtypeStruct(np.shape(leaf), _canonical(jax, dtype))


def _x_of(out: Any) -> Any:
    """The solution in a result object."""
    return out.x if hasattr(out, "x") and hasattr(out, "success") else out


def _signature(solver: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(solver)
    except (TypeError, ValueError):
        return None
