"""Eight numbers side by side: a vector type for compiled kernels.

The elements of a mesh are independent until their ends are joined, so that eight of them can be assembled
and eliminated at once, one in each lane of a vector register. LLVM does not find this by itself, because
it cannot rule out that the rows of a matrix overlap in memory. `Lanes` says it: a value of eight float64
(one AVX-512 register, two of AVX2, four of SSE or NEON), read by ``load`` and written by ``store``.

An array of shape (..., 8) is addressed in vectors: ``load(x, k)`` is ``x.reshape(-1, 8)[k]``. Arithmetic
between `Lanes` may fuse a multiplication and an addition, and never reorders, so signs of pivots are those
of the written formula.

The operators are instructions with a type, not functions: nothing is compiled for them, and nothing linked.
"""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from numsolve._core import compiled

WIDTH = 8


def kernel(function):
    """Compile a function that Python calls, as `numsolve._core.compiled.kernel` does; see `inner`."""
    return compiled.kernel(_nrt=False)(function)


def inner(function=None, **options):
    """Compile a function that other kernels call, as `numsolve._core.compiled.inner` does.

    Kernels of this column make no arrays, and count no references to those that they are given: code for
    that, at every use of an array of a tuple, is a quarter of the time to compile them.
    """
    return compiled.inner(function, _nrt=False, **options)


class LanesType(types.Type):
    """Numba's type of eight float64."""

    def __init__(self):
        super().__init__("Lanes")


LANES = LanesType()
_VECTOR = ir.VectorType(ir.DoubleType(), WIDTH)
_INT = ir.IntType(32)


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _VECTOR)


def _address(context, builder, kind, array, k):
    data = cgutils.create_struct_proxy(kind)(context, builder, value=array).data
    first = builder.gep(data, [builder.mul(k, ir.Constant(k.type, WIDTH))])
    return builder.bitcast(first, _VECTOR.as_pointer())


@intrinsic
def load(typingctx, array, k):  # noqa: ARG001
    """Read vector number k of a C-contiguous float64 array."""

    def codegen(context, builder, signature, args):
        return builder.load(_address(context, builder, signature.args[0], *args), align=8)

    return LANES(array, types.intp), codegen


@intrinsic
def store(typingctx, array, k, v):  # noqa: ARG001
    """Write vector number k of a C-contiguous float64 array."""

    def codegen(context, builder, signature, args):
        builder.store(args[2], _address(context, builder, signature.args[0], *args[:2]), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, LANES), codegen


@intrinsic
def splat(typingctx, x):  # noqa: ARG001
    """Put one number into all lanes."""

    def codegen(context, builder, signature, args):  # noqa: ARG001
        empty = ir.Constant(_VECTOR, ir.Undefined)
        one = builder.insert_element(empty, args[0], ir.Constant(_INT, 0))
        return builder.shuffle_vector(one, empty, ir.Constant(ir.VectorType(_INT, WIDTH), [0] * WIDTH))

    return LANES(types.float64), codegen


@intrinsic
def total(typingctx, v):  # noqa: ARG001
    """Sum over the lanes."""

    def codegen(context, builder, signature, args):  # noqa: ARG001
        lanes = [builder.extract_element(args[0], ir.Constant(_INT, i)) for i in range(WIDTH)]
        for _ in range(3):  # eight, four, two, one
            lanes = [builder.fadd(a, b) for a, b in zip(lanes[::2], lanes[1::2], strict=True)]
        return lanes[0]

    return types.float64(LANES), codegen


@intrinsic
def negatives(typingctx, v):  # noqa: ARG001
    """Count the lanes below zero."""

    def codegen(context, builder, signature, args):  # noqa: ARG001
        below = builder.fcmp_ordered("<", args[0], ir.Constant(_VECTOR, [0.0] * WIDTH))
        return builder.zext(builder.ctpop(builder.bitcast(below, ir.IntType(WIDTH))), ir.IntType(64))

    return types.int64(LANES), codegen


@intrinsic
def larger(typingctx, v, most):  # noqa: ARG001
    """In each lane, the larger of abs(v) and `most`; NaN in v is passed over."""

    def codegen(context, builder, signature, args):  # noqa: ARG001
        size = _absolute(builder, args[0])
        return builder.select(builder.fcmp_ordered(">", size, args[1]), size, args[1])

    return LANES(LANES, LANES), codegen


@intrinsic
def away_from_zero(typingctx, v, least):  # noqa: ARG001
    """In each lane v, or `least` with the sign of v where abs(v) is smaller; NaN stays."""

    def codegen(context, builder, signature, args):  # noqa: ARG001
        v, least = args
        signed = builder.select(_below_zero(builder, v), builder.fneg(least), least)
        return builder.select(builder.fcmp_ordered("<", _absolute(builder, v), least), signed, v)

    return LANES(LANES, LANES), codegen


def _below_zero(builder, v):
    return builder.fcmp_ordered("<", v, ir.Constant(_VECTOR, [0.0] * WIDTH))


def _absolute(builder, v):
    return builder.select(_below_zero(builder, v), builder.fneg(v), v)


class _BetweenLanes(ConcreteTemplate):
    cases = (signature(LANES, LANES, LANES),)


def _arithmetic(function, instruction):
    infer_global(function)(type(f"_{instruction}", (_BetweenLanes,), {"key": function}))

    @lower_builtin(function, LANES, LANES)
    def instruct(context, builder, signature, args):  # noqa: ARG001
        return getattr(builder, instruction)(*args, flags=("contract",))


for _function, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _arithmetic(_function, _instruction)
