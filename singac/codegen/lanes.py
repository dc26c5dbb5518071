"""Vectors taken apart: their halves, and the sums of all their lanes."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from singac.codegen.ir import HALF, I32, LANES, ZERO, call_intrinsic


def halves(builder: ir.IRBuilder, value: ir.Value) -> list[ir.Value]:
    kind = ir.VectorType(I32, HALF)
    sides = (range(HALF), range(HALF, LANES))
    return [builder.shuffle_vector(value, ZERO, ir.Constant(kind, [*side])) for side in sides]


def fma_of(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    return call_intrinsic(builder, f"llvm.fmuladd.v{a.type.count}f32", a.type, [a, b, c])


def across(builder: ir.IRBuilder, values: Sequence[ir.Value]) -> ir.Value:
    """The sum of all lanes of each of some vectors, as a vector of as many.

    Two vectors become one that has the sums of their halves, until one is left; then halves of
    what each has of it.

        a a a a | b b b b  +  c c c c | d d d d   ->   a a  b b  c c  d d   ->   a b c d
    """
    width, vectors = values[0].type.count, list(values)
    while len(vectors) & (len(vectors) - 1):
        vectors.append(vectors[-1])
    share = width  # lanes each value has of a vector
    while share > 1:
        share //= 2
        if len(vectors) > 1:
            pairs = zip(vectors[::2], vectors[1::2], strict=True)
            vectors = [_fold_lanes(builder, a, b, share) for a, b in pairs]
        else:
            vectors = [_fold_lanes(builder, vectors[0], None, share)]
    kept = ir.Constant(ir.VectorType(I32, len(values)), [*range(len(values))])
    return builder.shuffle_vector(vectors[0], vectors[0], kept)


def _fold_lanes(builder: ir.IRBuilder, a: ir.Value, b: ir.Value | None, share: int) -> ir.Value:
    """Groups of 2 `share` lanes become `share`: those of `a`, then those of `b`."""
    lanes = a.type.count * (1 if b is None else 2)
    firsts = [lane for lane in range(lanes) if lane % (2 * share) < share]
    kind, other = ir.VectorType(I32, len(firsts)), a if b is None else b
    low = builder.shuffle_vector(a, other, ir.Constant(kind, firsts))
    high = builder.shuffle_vector(a, other, ir.Constant(kind, [lane + share for lane in firsts]))
    return builder.fadd(low, high)
