"""LLVM: IR text -> object code or assembly, and objects that are not linked without it."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import llvmlite.binding as llvm

from singac.codegen import host as hosts
from singac.codegen.host import Host


def compile_object(ir_text: str, host: Host) -> bytes:
    """Machine code of a module; its kernels are explicit vectors, so no IR pass runs before."""
    code: bytes = _target_machine(host).emit_object(_parse(ir_text, host))
    return code


def assembly(ir_text: str, host: Host | None = None) -> str:
    """The assembly text of a module, for readers and for tests that look for spills."""
    host = host or hosts.current()
    text: str = _target_machine(host).emit_assembly(_parse(ir_text, host))
    return text


class Linked:
    """Objects that LLVM has linked, for systems whose objects `link` does not know."""

    def __init__(self, objects: Sequence[bytes], names: Sequence[str]) -> None:
        self._compiler = llvm.create_lljit_compiler(_target_machine(hosts.current()))
        builder = llvm.JITLibraryBuilder()
        for code in objects:
            builder.add_object_img(code)
        for name in names:
            builder.export_symbol(name)
        self._symbols = builder.link(self._compiler, "singac")

    def address(self, name: str) -> int:
        """Where a function is."""
        return int(self._symbols[name])


@functools.cache
def _target_machine(host: Host) -> llvm.TargetMachine:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple(host.triple)
    return target.create_target_machine(
        cpu=host.cpu, features=host.features, opt=3, reloc="pic", codemodel="small"
    )


def _parse(ir_text: str, host: Host) -> llvm.ModuleRef:
    module = llvm.parse_assembly(ir_text)
    module.triple = host.triple
    module.data_layout = str(_target_machine(host).target_data)
    module.verify()
    return module
