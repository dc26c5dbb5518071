"""Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011).

A number depends on its place alone: element e of stream s at a step is word e % 4 of

    philox(counter = (e / 4 low, e / 4 high, step low, step high), key = (seed low, s))

16 consecutive elements from any e on touch 5 blocks of 4 words at most, and 4 if e begins one:

    block      e/4       e/4 + 1   e/4 + 2   e/4 + 3   e/4 + 4
    words    . . [ x x   x x x x   x x x x   x x x x   x x ] .

A block is computed in a lane of 64 bits, for a product of words has as many. Of what stands for a
word the low half counts; the high half is whatever was left there.
"""

from collections.abc import Sequence

from llvmlite import ir

from singac.codegen.ir import (
    FLOAT_BYTES,
    I32,
    I64,
    INTS,
    LANES,
    VECTOR,
    VECTOR_BYTES,
    i32,
    i64,
    ints,
    offset,
    slot,
    vector,
)

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
WORDS_A_BLOCK = 4
LOW_HALF = 0xFFFFFFFF


def uniform(
    builder: ir.IRBuilder,
    seed: ir.Value,
    stream: int,
    step: ir.Value,
    element: ir.Value,
    aligned: bool = False,
) -> ir.Value:
    """Numbers of elements `element` to `element` + 15: multiples of 2 ** -24 in [0, 1).

    Seed, step and element are 64-bit; of the seed the low half counts. `aligned` says that the
    element is a multiple of 4, which halves the work.
    """
    key = [builder.trunc(seed, I32), i32(stream)]
    first = builder.lshr(element, i64(2))
    if aligned:
        (words,) = _words(builder, key, step, first, LANES // WORDS_A_BLOCK)
    else:
        # They go through memory, where a vector may begin at any of them.
        room = slot(builder, ir.ArrayType(INTS, 2))
        for i, some in enumerate(_words(builder, key, step, first, 2 * LANES // WORDS_A_BLOCK)):
            builder.store(some, offset(builder, room, i * VECTOR_BYTES), align=VECTOR_BYTES)
        begin = offset(builder, room, builder.and_(element, i64(3)), FLOAT_BYTES)
        words = builder.load(begin, align=FLOAT_BYTES, typ=INTS)
    mantissas = builder.lshr(words, ints(8))
    return builder.fmul(builder.sitofp(mantissas, VECTOR), vector(2.0**-24))


def _words(
    builder: ir.IRBuilder, key: Sequence[ir.Value], step: ir.Value, first: ir.Value, count: int
) -> list[ir.Value]:
    """The words of `count` blocks from block `first` on, 16 a vector."""
    following = ir.Constant(ir.VectorType(I64, count), list(range(count)))
    block = builder.add(_splat(builder, first, count), following)
    steps = _splat(builder, step, count)
    counter = [block, _high_half(builder, block), steps, _high_half(builder, steps)]
    w0, w1, w2, w3 = _philox(builder, counter, key)
    firsts, lasts = _joined(builder, w0, w1), _joined(builder, w2, w3)
    in_order = [k // 2 + k % 2 * count for k in range(2 * count)]
    half = LANES // 2
    parts = [in_order[k : k + half] for k in range(0, 2 * count, half)]
    return [builder.bitcast(_shuffle(builder, firsts, lasts, part), INTS) for part in parts]


def _philox(
    builder: ir.IRBuilder, counter: Sequence[ir.Value], key: Sequence[ir.Value]
) -> Sequence[ir.Value]:
    """The four words of each lane's counter."""
    count = counter[0].type.count
    for turn in range(ROUNDS):
        if turn:
            key = [builder.add(k, i32(s)) for k, s in zip(key, KEY_STEPS, strict=True)]
        low0, low1 = (_product(builder, counter[2 * i], by) for i, by in enumerate(MULTIPLIERS))
        k0, k1 = (_splat(builder, builder.zext(k, I64), count) for k in key)
        mixed0 = builder.xor(builder.xor(_high_half(builder, low1), counter[1]), k0)
        mixed2 = builder.xor(builder.xor(_high_half(builder, low0), counter[3]), k1)
        counter = [mixed0, low1, mixed2, low0]
    return counter


def _product(builder: ir.IRBuilder, words: ir.Value, by: int) -> ir.Value:
    """64 bits of each low half times a constant."""
    return builder.mul(_low_half(builder, words), ir.Constant(words.type, [by] * words.type.count))


def _low_half(builder: ir.IRBuilder, wide: ir.Value) -> ir.Value:
    return builder.and_(wide, ir.Constant(wide.type, [LOW_HALF] * wide.type.count))


def _high_half(builder: ir.IRBuilder, wide: ir.Value) -> ir.Value:
    return builder.lshr(wide, ir.Constant(wide.type, [32] * wide.type.count))


def _joined(builder: ir.IRBuilder, low: ir.Value, high: ir.Value) -> ir.Value:
    """One word in the low half of each lane, the other in the high one."""
    shifted = builder.shl(high, ir.Constant(high.type, [32] * high.type.count))
    return builder.or_(_low_half(builder, low), shifted)


def _shuffle(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, places: list[int]) -> ir.Value:
    kind = ir.VectorType(I32, len(places))
    return builder.shuffle_vector(a, b, ir.Constant(kind, places))


def _splat(builder: ir.IRBuilder, scalar: ir.Value, count: int) -> ir.Value:
    kind = ir.VectorType(I64, count)
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, i32(0))
    zeros = ir.Constant(ir.VectorType(I32, count), [0] * count)
    return builder.shuffle_vector(first, undefined, zeros)
