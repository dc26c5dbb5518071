"""The machine code is generated for: target, features, register tile and cache blocks."""

import functools
import os
from dataclasses import dataclass
from pathlib import Path

ISA_VARIABLE = "SINGAC_ISA"


@dataclass(frozen=True, slots=True)
class Tile:
    """A register tile of `rows` x (16 * `vectors`) float32 accumulators."""

    rows: int
    vectors: int


@dataclass(frozen=True, slots=True)
class Host:
    """What the generator and LLVM need to know of a machine."""

    triple: str
    cpu: str
    features: str
    vector_bits: int
    tile: Tile


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

PROCESSORS = Path("/proc/cpuinfo")
CHANGING = ("processor", "cpu MHz", "bogomips", "BogoMIPS", "core id", "apicid", "initial apicid")


@functools.cache
def describe(isa: str | None) -> Host:
    """The machine this process runs on, or an x86 one of the instruction set `isa`."""
    import llvmlite.binding as llvm

    triple = llvm.get_default_triple()
    if isa is None:
        cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    else:
        cpu, features = REDUCED_CPUS[isa]
    return Host(triple, cpu, features, *_registers(features))


def current() -> Host:
    """The host, reduced as the environment asks; ValueError on an unknown instruction set."""
    return describe(_isa())


def key() -> str:
    """What code for the host depends on, told without LLVM where Linux tells of its processor."""
    return _isa() or _processor()


def _isa() -> str | None:
    isa = os.environ.get(ISA_VARIABLE) or None
    if isa is not None and isa not in REDUCED_CPUS:
        raise ValueError(f"{ISA_VARIABLE} is {isa}; known are {', '.join(REDUCED_CPUS)}")
    return isa


@functools.cache
def _processor() -> str:
    """What tells one kind of processor from another."""
    try:
        text = PROCESSORS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return str(describe(None))
    first = text.partition("\n\n")[0].splitlines()
    return "\n".join(line for line in first if not line.startswith(CHANGING))


def _registers(features: str) -> tuple[int, Tile]:
    present = features.split(",")
    for name, vector_bits, tile in INSTRUCTION_SETS:
        if f"+{name}" in present:
            return vector_bits, tile
    return SCALAR
