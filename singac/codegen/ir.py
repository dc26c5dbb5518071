"""The small vocabulary all kernel generators share, on top of llvmlite's IR builder.

No IR pass runs over what is generated, so loops stay as rolled and vectors as wide as written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from llvmlite import ir

from singac.codegen.host import Host

LANES = 16
HALF = LANES // 2
FLOAT_BYTES = 4
LONG_BYTES = 8
VECTOR_BYTES = LANES * FLOAT_BYTES

# fmt: off
VOID    = ir.VoidType()
BYTE    = ir.IntType(8)
I32     = ir.IntType(32)
I64     = ir.IntType(64)
FLOAT   = ir.FloatType()
POINTER = ir.PointerType()
VECTOR  = ir.VectorType(FLOAT, LANES)
EIGHT   = ir.VectorType(FLOAT, HALF)
INTS    = ir.VectorType(I32, LANES)
LONGS   = ir.VectorType(I64, LANES)
# fmt: on


# Constants


def i32(value: int) -> ir.Constant:
    return ir.Constant(I32, value)


def i64(value: int) -> ir.Constant:
    return ir.Constant(I64, value)


def f32(value: float) -> ir.Constant:
    return ir.Constant(FLOAT, value)


def vector(value: float) -> ir.Constant:
    """The constant vector with `value` in every lane."""
    return ir.Constant(VECTOR, [value] * LANES)


def ints(value: int) -> ir.Constant:
    return ir.Constant(INTS, [value] * LANES)


def longs(value: int) -> ir.Constant:
    return ir.Constant(LONGS, [value] * LANES)


ZERO = vector(0.0)


# Functions


@dataclass(slots=True)
class Entry:
    """An entry point under construction: where to emit, the pointers it was given, its result."""

    builder: ir.IRBuilder
    arguments: tuple[ir.Value, ...]
    result: ir.Value


@dataclass(frozen=True, slots=True)
class Shared:
    """A function that modules share: its arguments, and what fills it."""

    types: tuple[ir.Type, ...]
    emit: Callable[[ir.Function], None]


class Module(ir.Module):  # type: ignore[misc]
    """A module that calls shared functions, which `apart` has, to be made in modules of their own.

    Without `apart` they are made in the module itself.
    """

    apart: dict[str, Shared] | None = None


def new_module(host: Host, apart: dict[str, Shared] | None = None) -> Module:
    module = Module()
    module.triple, module.apart = host.triple, apart
    return module


@contextmanager
def entry(module: ir.Module, name: str, arguments: int) -> Iterator[Entry]:
    """A function Python may call: pointers in, 0 out, denormals taken for zero within.

    What the `with` emits is its body; it returns where the `with` ends, another number than 0
    where it sets the `result`.
    """
    function = ir.Function(module, ir.FunctionType(I32, [POINTER] * arguments), name)
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    restore = _flush_denormals(builder)
    made = Entry(builder, tuple(function.args), i32(0))
    yield made
    restore()
    builder.ret(made.result)


def shared(
    module: Module, name: str, types: Sequence[ir.Type], emit: Callable[[ir.Function], None]
) -> ir.Function:
    """A function that several places of the module call, and with its `apart` several modules.

    `emit` fills it. It is never inlined, so that the registers are all its own; its name tells all
    that its code depends on.
    """
    function = module.globals.get(name)
    if function is None:
        function = ir.Function(module, ir.FunctionType(VOID, list(types)), name)
        function.attributes.add("noinline")
        if module.apart is None:
            function.linkage = "internal"
            emit(function)
        else:
            module.apart.setdefault(name, Shared(tuple(types), emit))
    return function


def shared_module(host: Host, name: str, made: Shared, apart: dict[str, Shared]) -> Module:
    """The module of a shared function."""
    module = new_module(host, apart)
    function = ir.Function(module, ir.FunctionType(VOID, list(made.types)), name)
    made.emit(function)
    return module


def table(module: ir.Module, name: str, values: Sequence[int]) -> ir.Value:
    """A constant array of 64-bit integers, made on first use in the module."""
    found = module.globals.get(name)
    if found is None:
        kind = ir.ArrayType(I64, len(values))
        found = ir.GlobalVariable(module, kind, name)
        found.global_constant, found.linkage = True, "internal"
        found.initializer = ir.Constant(kind, list(values))
    return found


def call_intrinsic(
    builder: ir.IRBuilder, name: str, result: ir.Type, arguments: Sequence[ir.Value]
) -> ir.Value:
    """A call of an LLVM intrinsic or another external function, by its full name."""
    function = builder.module.globals.get(name)
    if function is None:
        signature = ir.FunctionType(result, [argument.type for argument in arguments])
        function = ir.Function(builder.module, signature, name)
    return builder.call(function, list(arguments))


# Loops


@contextmanager
def loop(
    builder: ir.IRBuilder, start: ir.Value, stop: ir.Value, step: int = 1
) -> Iterator[ir.Value]:
    """`for index in range(start, stop, step)` around what the `with` emits."""
    head, index, after = _loop_head(builder, start, stop)
    yield index
    _loop_end(builder, head, index, step, after)


def fold(
    builder: ir.IRBuilder,
    start: ir.Value,
    stop: ir.Value,
    step: int,
    initial: Sequence[ir.Value],
    body: Callable[[ir.Value, Sequence[ir.Value]], Sequence[ir.Value]],
) -> Sequence[ir.Value]:
    """A loop that carries values in registers: `values = body(index, values)` in every turn."""
    before = builder.block
    head, index, after = _loop_head(builder, start, stop)
    inside = builder.block
    builder.position_after(index)
    carried = [builder.phi(value.type) for value in initial]
    builder.position_at_end(inside)
    results = body(index, carried)
    for phi, value, result in zip(carried, initial, results, strict=True):
        phi.add_incoming(value, before)
        phi.add_incoming(result, builder.block)
    _loop_end(builder, head, index, step, after)
    return carried


def _loop_head(
    builder: ir.IRBuilder, start: ir.Value, stop: ir.Value
) -> tuple[ir.Block, ir.PhiInstr, ir.Block]:
    before = builder.block
    head = builder.append_basic_block("head")
    body = builder.append_basic_block("body")
    after = builder.append_basic_block("after")
    builder.branch(head)
    builder.position_at_end(head)
    index = builder.phi(I64)
    index.add_incoming(start, before)
    builder.cbranch(builder.icmp_signed("<", index, stop), body, after)
    builder.position_at_end(body)
    return head, index, after


def _loop_end(
    builder: ir.IRBuilder, head: ir.Block, index: ir.PhiInstr, step: int, after: ir.Block
) -> None:
    index.add_incoming(builder.add(index, i64(step)), builder.block)
    builder.branch(head)
    builder.position_at_end(after)


# Memory


def offset(
    builder: ir.IRBuilder, pointer: ir.Value, index: ir.Value | int, stride: int = 1
) -> ir.Value:
    """`pointer` moved by `index` times `stride` bytes."""
    if isinstance(index, int):
        distance = i64(index * stride)
    else:
        distance = index if stride == 1 else builder.mul(index, i64(stride))
    return builder.gep(pointer, [distance], source_etype=BYTE)


def load(builder: ir.IRBuilder, pointer: ir.Value, align: int = VECTOR_BYTES) -> ir.Value:
    return builder.load(pointer, align=align, typ=VECTOR)


def store(
    builder: ir.IRBuilder, value: ir.Value, pointer: ir.Value, align: int = VECTOR_BYTES
) -> None:
    builder.store(value, pointer, align=align)


def slot(builder: ir.IRBuilder, kind: ir.Type, align: int = VECTOR_BYTES) -> ir.Value:
    """Room on the stack, made once however often the place of use is passed."""
    with builder.goto_entry_block():
        room = builder.alloca(kind)
    room.align = align
    room.type = POINTER
    return room


def prefetch(builder: ir.IRBuilder, pointer: ir.Value, locality: int = 3) -> None:
    """Ask for the cache line of `pointer`, to be read; locality 3 is the nearest cache."""
    arguments = [pointer, i32(0), i32(locality), i32(1)]
    call_intrinsic(builder, "llvm.prefetch.p0", VOID, arguments)


# Arithmetic on vectors


def splat(builder: ir.IRBuilder, scalar: ir.Value) -> ir.Value:
    """The vector with `scalar` in every lane."""
    kind = ir.VectorType(scalar.type, LANES)
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, i32(0))
    return builder.shuffle_vector(first, undefined, ints(0))


def broadcast(builder: ir.IRBuilder, pointer: ir.Value) -> ir.Value:
    """The float at `pointer` in every lane."""
    return splat(builder, builder.load(pointer, align=FLOAT_BYTES, typ=FLOAT))


def fma(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """a * b + c, rounded once where the machine has such an instruction and twice elsewhere."""
    return call_intrinsic(builder, "llvm.fmuladd.v16f32", VECTOR, [a, b, c])


def lanes(builder: ir.IRBuilder, start: ir.Value) -> ir.Value:
    """The 16 integers from `start` (a 64-bit one) on."""
    steps = ir.Constant(LONGS, list(range(LANES)))
    return builder.add(splat(builder, start), steps)


# Denormals
# A denormal operand costs about 150 cycles, and the control word that turns them to zero belongs
# to the thread: it is set on entry and put back on exit, for NumPy lives in the same thread.

# fmt: off
X86_FLUSH = 0x8040      # MXCSR: flush results to zero (bit 15), denormal operands are zero (bit 6)
ARM_FLUSH = 1 << 24     # FPCR: FZ
# fmt: on


def _flush_denormals(builder: ir.IRBuilder) -> Callable[[], object]:
    """Emit the switch to flushing; gives what emits the switch back."""
    architecture = builder.module.triple.split("-")[0]
    if architecture in ("x86_64", "i686", "i386"):
        return _flush_x86(builder)
    if architecture in ("aarch64", "arm64"):
        return _flush_arm(builder)
    return lambda: None


def _flush_x86(builder: ir.IRBuilder) -> Callable[[], object]:
    saved, flushing = builder.alloca(I32), builder.alloca(I32)
    call_intrinsic(builder, "llvm.x86.sse.stmxcsr", VOID, [saved])
    control = builder.or_(builder.load(saved, typ=I32), i32(X86_FLUSH))
    builder.store(control, flushing)
    call_intrinsic(builder, "llvm.x86.sse.ldmxcsr", VOID, [flushing])
    return lambda: call_intrinsic(builder, "llvm.x86.sse.ldmxcsr", VOID, [saved])


def _flush_arm(builder: ir.IRBuilder) -> Callable[[], object]:
    saved = call_intrinsic(builder, "llvm.aarch64.get.fpcr", I64, [])
    flushing = builder.or_(saved, i64(ARM_FLUSH))
    call_intrinsic(builder, "llvm.aarch64.set.fpcr", VOID, [flushing])
    return lambda: call_intrinsic(builder, "llvm.aarch64.set.fpcr", VOID, [saved])
