"""Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011).

A number depends on its place alone: element e of stream s at a step is word e % 4 of

    philox(counter = (e / 4 low, e / 4 high, step low, step high), key = (seed low, s))

16 consecutive elements from any e on touch 5 blocks of 4 words at most:

    block      e/4       e/4 + 1   e/4 + 2   e/4 + 3   e/4 + 4
    words    . . [ x x   x x x x   x x x x   x x x x   x x ] .
"""

from collections.abc import Sequence

from llvmlite import ir

from singac.codegen.ir import (
    FLOAT_BYTES,
    I32,
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

# Blocks computed at once: 5 are needed, 8 fill a vector.
BLOCKS = 8
WORDS = ir.VectorType(I32, BLOCKS)
WIDE = ir.VectorType(ir.IntType(64), BLOCKS)


def uniform(
    builder: ir.IRBuilder, seed: ir.Value, stream: int, step: ir.Value, element: ir.Value
) -> ir.Value:
    """Numbers of elements `element` to `element` + 15: multiples of 2 ** -24 in [0, 1).

    Seed, step and element are 64-bit; of the seed the low half counts.
    """
    words = _consecutive_words(builder, seed, stream, step, element)
    mantissas = builder.lshr(words, ints(8))
    return builder.fmul(builder.sitofp(mantissas, VECTOR), vector(2.0**-24))


def _consecutive_words(
    builder: ir.IRBuilder, seed: ir.Value, stream: int, step: ir.Value, element: ir.Value
) -> ir.Value:
    first = builder.lshr(element, i64(2))
    following = ir.Constant(WIDE, list(range(BLOCKS)))
    block = builder.add(_splat(builder, first, WIDE), following)
    counter = [*_halves(builder, block), *_halves(builder, _splat(builder, step, WIDE))]
    words = _philox(builder, counter, [builder.trunc(seed, I32), i32(stream)])
    # The words go through memory, where a vector may begin at any of them.
    room = slot(builder, ir.ArrayType(INTS, 2))
    for i, vector_of_words in enumerate(_in_order(builder, words)):
        builder.store(vector_of_words, offset(builder, room, i * VECTOR_BYTES), align=VECTOR_BYTES)
    begin = offset(builder, room, builder.and_(element, i64(3)), FLOAT_BYTES)
    return builder.load(begin, align=FLOAT_BYTES, typ=INTS)


def _philox(
    builder: ir.IRBuilder, counter: Sequence[ir.Value], key: Sequence[ir.Value]
) -> Sequence[ir.Value]:
    """The four words of each lane's counter."""
    for turn in range(ROUNDS):
        if turn:
            key = [builder.add(k, i32(s)) for k, s in zip(key, KEY_STEPS, strict=True)]
        low0, high0 = _multiply(builder, counter[0], MULTIPLIERS[0])
        low1, high1 = _multiply(builder, counter[2], MULTIPLIERS[1])
        k0, k1 = (_splat(builder, k, WORDS) for k in key)
        mixed0 = builder.xor(builder.xor(high1, counter[1]), k0)
        mixed2 = builder.xor(builder.xor(high0, counter[3]), k1)
        counter = [mixed0, low1, mixed2, low0]
    return counter


def _multiply(builder: ir.IRBuilder, words: ir.Value, by: int) -> tuple[ir.Value, ir.Value]:
    """Low and high word of a product."""
    wide = builder.mul(builder.zext(words, WIDE), ir.Constant(WIDE, [by] * BLOCKS))
    low, high = _halves(builder, wide)
    return low, high


def _halves(builder: ir.IRBuilder, wide: ir.Value) -> list[ir.Value]:
    shift = ir.Constant(WIDE, [32] * BLOCKS)
    return [builder.trunc(wide, WORDS), builder.trunc(builder.lshr(wide, shift), WORDS)]


def _in_order(builder: ir.IRBuilder, words: Sequence[ir.Value]) -> list[ir.Value]:
    """Four vectors, word w of all blocks in each -> the words of block 0, of block 1, ..."""
    pairs = [i // 2 + i % 2 * BLOCKS for i in range(LANES)]
    low = _shuffle(builder, words[0], words[1], pairs)
    high = _shuffle(builder, words[2], words[3], pairs)
    fours = [i // 4 * 2 + i % 2 + i // 2 % 2 * LANES for i in range(2 * LANES)]
    return [_shuffle(builder, low, high, part) for part in (fours[:LANES], fours[LANES:])]


def _shuffle(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, places: list[int]) -> ir.Value:
    return builder.shuffle_vector(a, b, ir.Constant(INTS, places))


def _splat(builder: ir.IRBuilder, scalar: ir.Value, kind: ir.VectorType) -> ir.Value:
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, i32(0))
    zeros = ir.Constant(ir.VectorType(I32, kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, undefined, zeros)
