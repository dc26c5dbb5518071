"""The machine code is generated for: target, features, register tile and cache blocks."""

import functools
import os
from dataclasses import dataclass

import llvmlite.binding as llvm

ISA_VARIABLE = "SINGAC_ISA"


@dataclass(frozen=True, slots=True)
class Tile:
    """A register tile of `rows` x (16 * `vectors`) float32 accumulators."""

    rows: int
    vectors: int


@dataclass(frozen=True, slots=True)
class Host:
    """What the generator and LLVM need to know of a machine; `key` names it in the object cache."""

    triple: str
    cpu: str
    features: str
    vector_bits: int
    tile: Tile
    key: str


# Widest instruction set first: (feature LLVM names, vector bits, register tile).
# The accumulators of a tile, a row of B and a broadcast must fit the registers, and LLVM wants one
# or two more to load ahead. These are the highest tiles whose k loop it compiles without a spill:
#   avx512   32 of 16 floats:  14*2 + 2 + 1 = 31      avx2   16 of 8 floats:  6*2 + 2 + 1 = 15
#   neon     32 of 4 floats:    5*4 + 4 + 1 = 25      sse2   16 of 4 floats:  2*4 + 4 + 1 = 13
# On Zen 3, 6x16 reaches 97 % of the peak; 7x16 and 3x32, which spill, half of it.
# fmt: off
INSTRUCTION_SETS = (
    ("avx512f", 512, Tile(rows=14, vectors=2)),
    ("avx2",    256, Tile(rows=6,  vectors=1)),
    ("neon",    128, Tile(rows=5,  vectors=1)),
    ("sse2",    128, Tile(rows=2,  vectors=1)),
)

# The values of SINGAC_ISA: an x86 machine with that much and no more.
REDUCED_CPUS = {
    "avx512":   ("x86-64-v4", "+avx512f,+avx2"),
    "avx2":     ("x86-64-v3", "+avx2"),
    "baseline": ("x86-64",    "+sse2"),
}
# fmt: on
SCALAR = (32, Tile(rows=2, vectors=1))


@functools.cache
def describe(isa: str | None) -> Host:
    """The machine this process runs on, or an x86 one of the instruction set `isa`."""
    triple = llvm.get_default_triple()
    if isa is None:
        cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    elif isa in REDUCED_CPUS:
        cpu, features = REDUCED_CPUS[isa]
    else:
        raise ValueError(f"{ISA_VARIABLE} is {isa}; known are {', '.join(REDUCED_CPUS)}")
    vector_bits, tile = _registers(features)
    return Host(triple, cpu, features, vector_bits, tile, f"{triple} {cpu} {features} {tile}")


def current() -> Host:
    """The host, reduced as the environment asks; ValueError on an unknown instruction set."""
    return describe(os.environ.get(ISA_VARIABLE) or None)


def _registers(features: str) -> tuple[int, Tile]:
    present = features.split(",")
    for name, vector_bits, tile in INSTRUCTION_SETS:
        if f"+{name}" in present:
            return vector_bits, tile
    return SCALAR
