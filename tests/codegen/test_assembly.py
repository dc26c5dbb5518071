"""The micro-kernel as the processor sees it: everything in registers through the k loop."""

import re

import pytest

from singac.codegen import native
from singac.codegen.gemm_tile import UNROLL, tile_kernel
from singac.codegen.host import describe
from singac.codegen.ir import new_module

# fmt: off
REGISTERS = {"avx2": ("ymm", 2), "avx512": ("zmm", 1)}   # name, and how many make 16 floats
# fmt: on


def k_loop(isa: str) -> list[str]:
    """The instructions of the basic block with most multiply-adds."""
    host = describe(isa)
    module = new_module(host)
    # Without a caller an internal function would be dropped.
    tile_kernel(module, host.tile).linkage = ""
    blocks = re.split(r"^\.L\w+:.*$", native.assembly(str(module), host), flags=re.MULTILINE)
    block = max(blocks, key=lambda text: text.count("vfmadd"))
    return [line.strip() for line in block.splitlines() if line.startswith("\t")]


@pytest.mark.parametrize("isa", REGISTERS)
def test_k_loop_has_no_spill(isa):
    assert not [line for line in k_loop(isa) if "(%rsp" in line or "(%rbp" in line]


@pytest.mark.parametrize("isa", REGISTERS)
def test_k_loop_multiplies_and_loads_no_more_than_it_must(isa):
    register, parts = REGISTERS[isa]
    tile, lines = describe(isa).tile, k_loop(isa)
    products = [line for line in lines if line.startswith("vfmadd") and register in line]
    broadcasts = [line for line in lines if "broadcastss" in line or "{1to16}" in line]
    moves = [line for line in lines if re.match(r"vmov[au]ps", line)]
    assert len(products) == UNROLL * tile.rows * tile.vectors * parts
    assert len(broadcasts) == UNROLL * tile.rows
    assert len(moves) <= UNROLL * tile.vectors * parts
