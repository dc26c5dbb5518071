"""The micro-kernel as the processor sees it: everything in registers through the k loop."""

import re

import pytest

from singac.codegen import compiler
from singac.codegen.gemm_tile import UNROLL, tile_kernel
from singac.codegen.host import INSTRUCTION_SETS, Host, Tile, describe
from singac.codegen.ir import new_module

MULTIPLY = re.compile(r"vfmadd|mulps|fmla")

# fmt: off
NEON = Host("aarch64-unknown-linux-gnu", "neoverse-n1", "+neon", 128, Tile(5, 1))
HOSTS = {isa: describe(isa) for isa in ("avx512", "avx2", "baseline")} | {"neon": NEON}

# Instruction sets with fused multiply-add: register name, and how many make 16 floats.
FUSED = {"avx2": ("ymm", 2), "avx512": ("zmm", 1)}
# fmt: on


def k_loop(host: Host) -> list[str]:
    """The instructions of the basic block that multiplies most."""
    module = new_module(host)
    # Without a caller an internal function would be dropped.
    tile_kernel(module, host.tile).linkage = ""
    blocks = re.split(r"^\.L\w+:.*$", compiler.assembly(str(module), host), flags=re.MULTILINE)
    block = max(blocks, key=lambda text: len(MULTIPLY.findall(text)))
    return [line.strip() for line in block.splitlines() if line.startswith("\t")]


def test_neon_tile_is_the_one_in_use():
    assert {name: tile for name, _, tile in INSTRUCTION_SETS}["neon"] == NEON.tile


@pytest.mark.parametrize("isa", HOSTS)
def test_k_loop_has_no_spill(isa):
    assert not [line for line in k_loop(HOSTS[isa]) if re.search(r"\(%rsp|\[sp", line)]


@pytest.mark.parametrize("isa", FUSED)
def test_k_loop_multiplies_and_loads_no_more_than_it_must(isa):
    register, parts = FUSED[isa]
    tile, lines = HOSTS[isa].tile, k_loop(HOSTS[isa])
    products = [line for line in lines if line.startswith("vfmadd") and register in line]
    broadcasts = [line for line in lines if "broadcastss" in line or "{1to16}" in line]
    moves = [line for line in lines if re.match(r"vmov[au]ps", line)]
    assert len(products) == UNROLL * tile.rows * tile.vectors * parts
    assert len(broadcasts) == UNROLL * tile.rows
    assert len(moves) <= UNROLL * tile.vectors * parts
