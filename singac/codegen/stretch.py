"""A kernel -> its native function; the only place that knows every operation.

kernel(places, scalars)
places: addresses of the working memory and of the kernel's buffers
scalars: five 64-bit integers, step, seed, first row, valid rows, valid rows of a whole batch
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from llvmlite import ir

from singac.codegen import columns, conv, crop, gemm, lookup, lrn, norms, pool, rows
from singac.codegen.calls import Kernel
from singac.codegen.elementwise import Frame, emit_assigns, emit_pointwise
from singac.codegen.host import Host
from singac.codegen.ir import (
    I64,
    LONG_BYTES,
    POINTER,
    VOID,
    Module,
    Shared,
    i64,
    loop,
    new_module,
    offset,
    shared_module,
)
from singac.codegen.native import Source
from singac.layers.access import reads, writes
from singac.layers.operations import (
    Best,
    ChannelSum,
    ColumnSum,
    Concat,
    Convolution,
    Crop,
    CropGradient,
    GroupSum,
    Hits,
    Lookup,
    LookupGradient,
    Loop,
    Lrn,
    LrnGradient,
    Measure,
    Normalise,
    NormaliseGradient,
    OneHot,
    Operation,
    Pointwise,
    Pool,
    PoolGradient,
    Product,
    Redistribute,
    Role,
    Softmax,
    SoftmaxGradient,
    SoftmaxLoss,
    Spread,
    Steps,
)
from singac.plan.plan import Buffer, Layout


def build(name: str, kernel: Kernel, host: Host) -> Source:
    """The module of a kernel, and those of the functions that it shares with others.

    Small modules: in a function that holds hundreds of operations LLVM takes many times as long to
    find registers, modules compile on several cores at once, and what kernels have in common, the
    tiles of products above all, is made once.
    """
    apart: dict[str, Shared] = {}
    return _source(_module(name, kernel, host, apart), host, apart)


def _source(module: Module, host: Host, apart: Mapping[str, Shared]) -> Source:
    return Source(str(module), {n: partial(_shared, n, made, host) for n, made in apart.items()})


def _shared(name: str, made: Shared, host: Host) -> Source:
    apart: dict[str, Shared] = {}
    return _source(shared_module(host, name, made, apart), host, apart)


def _module(name: str, kernel: Kernel, host: Host, apart: dict[str, Shared]) -> Module:
    """The kernel as a function of the places of its buffers."""
    module = new_module(host, apart)
    function = ir.Function(module, ir.FunctionType(VOID, [POINTER] * 2), name)
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    places, scalars = function.args

    def place(number: int) -> ir.Value:
        at = offset(builder, places, number * LONG_BYTES)
        return builder.load(at, align=LONG_BYTES, typ=POINTER)

    scratch = place(0)
    spaces = {space: place(k) for k, space in enumerate(kernel.spaces, 1)}
    step, seed, first_row, valid_rows, valid_batch = (
        builder.load(offset(builder, scalars, k * LONG_BYTES), align=LONG_BYTES, typ=I64)
        for k in range(5)
    )
    frame = Frame(
        builder,
        {b.name: spaces[b.space] if spaces else place(k) for k, b in enumerate(kernel.buffers, 1)},
        {b.name: b for b in kernel.buffers},
        step,
        seed,
        first_row,
        valid_rows,
        valid_batch,
        kernel.rows,
        kernel.batch,
    )
    _emit(frame, kernel.operation, host, scratch)
    builder.ret_void()
    return module


def _emit_column_sum(frame: Frame, operation: ColumnSum) -> None:
    source = frame.buffers[operation.source]
    places = frame.start(operation.source), frame.start(operation.out)
    gemm.emit_column_sum(frame.builder, source.rows, source.columns, *places, operation.accumulate)


# What emits an operation: those that the frame is enough for, and those that want scratch as well.
# Products, convolutions and loops, which want more, are told apart in `_emit`.
# fmt: off
KERNELS: Mapping[type[Operation], Callable[[Frame, Any], None]] = {
    Pointwise:         emit_pointwise,
    ColumnSum:         _emit_column_sum,
    ChannelSum:        conv.emit_channel_sum,
    Lrn:               lrn.emit_lrn,
    Measure:           rows.emit_measure,
    SoftmaxLoss:       rows.emit_softmax_loss,
    Hits:              rows.emit_hits,
    Best:              rows.emit_best,
    Spread:            columns.emit_spread,
    Concat:            columns.emit_concat,
    Steps:             columns.emit_steps,
    Softmax:           norms.emit_softmax,
    SoftmaxGradient:   norms.emit_softmax_gradient,
    Normalise:         norms.emit_normalise,
    NormaliseGradient: norms.emit_normalise_gradient,
    Lookup:            lookup.emit_lookup,
    LookupGradient:    lookup.emit_lookup_gradient,
    OneHot:            lookup.emit_onehot,
}
IN_SCRATCH: Mapping[type[Operation], Callable[[Frame, Any, ir.Value], None]] = {
    Pool:              pool.emit_pool,
    PoolGradient:      pool.emit_pool_gradient,
    Crop:              crop.emit_crop,
    CropGradient:      crop.emit_crop_gradient,
    LrnGradient:       lrn.emit_lrn_gradient,
}
# fmt: on


def _emit(frame: Frame, operation: Operation, host: Host, scratch: ir.Value) -> None:
    match operation:
        case Product():
            _emit_product(frame, operation, host, scratch)
        case Convolution():
            conv.emit_convolution(frame, operation, host, scratch)
        case Loop():
            _emit_loop(frame, operation, host, scratch)
        case GroupSum() | Redistribute():
            raise AssertionError("what workers exchange lies between stretches")
        case _ if type(operation) in IN_SCRATCH:
            IN_SCRATCH[type(operation)](frame, operation, scratch)
        case _:
            KERNELS[type(operation)](frame, operation)


def _emit_loop(frame: Frame, over: Loop, host: Host, scratch: ir.Value) -> None:
    """The operations of a loop, step after step of it."""
    with loop(frame.builder, i64(0), i64(over.steps)) as turn:
        t = frame.builder.sub(i64(over.steps - 1), turn) if over.back else turn
        names = [n for o in over.operations for n in (*reads(o), *writes(o))]
        inside = frame.at_step(over.steps, t, names)
        for operation in over.operations:
            _emit(inside, operation, host, scratch)


def scratch_bytes(operation: Operation, buffers: Mapping[str, Buffer]) -> int:
    """Bytes of 64-byte aligned working memory that an operation needs on any machine."""
    match operation:
        case Product():
            return gemm.scratch_bytes(product_of(operation, buffers))
        case Convolution():
            return conv.scratch_bytes(operation, buffers[conv.weight_of(operation)])
        case Pool() | PoolGradient():
            return pool.scratch_bytes(operation)
        case Crop() | CropGradient():
            return crop.scratch_bytes(operation)
        case LrnGradient():
            return lrn.scratch_bytes(operation)
        case Loop(_, _, operations):
            one = {n: replace(b, rows=b.rows // b.steps, steps=1) for n, b in buffers.items()}
            return max(scratch_bytes(inner, one) for inner in operations)
    return 0


def _emit_product(frame: Frame, operation: Product, host: Host, scratch: ir.Value) -> None:
    then = operation.then
    product = product_of(operation, frame.buffers)
    width = product.inputs if operation.role is Role.INPUT_GRADIENT else product.outputs

    def epilogue(builder: ir.IRBuilder, result: ir.Value, row: ir.Value, column: ir.Value) -> None:
        assert then is not None, "the epilogue is passed only where there is one"
        emit_assigns(frame, then, width, row, column, {operation.out: result})

    gemm.emit(
        frame.builder,
        host.tile,
        product,
        frame.start(operation.left),
        frame.start(operation.right),
        frame.start(operation.out) if operation.out in frame.buffers else scratch,
        scratch,
        epilogue if then else None,
    )


def product_of(operation: Product, buffers: Mapping[str, Buffer]) -> gemm.Product:
    """Sizes of a product, read off its operands: the weight is the one that lies in panels."""
    weight = _weight(operation, buffers)
    left = buffers[operation.left]
    return gemm.Product(
        operation.role.value, left.rows, weight.rows, weight.columns, operation.accumulate
    )


def _weight(operation: Product, buffers: Mapping[str, Buffer]) -> Buffer:
    name = operation.out if operation.role is Role.WEIGHT_GRADIENT else operation.right
    weight = buffers[name]
    assert weight.layout is Layout.PANELS, f"{name} is a weight and lies in panels"
    return weight
