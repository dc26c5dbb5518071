"""The stages of a compile as text, for `singac plan --show`."""

from __future__ import annotations

from functools import partial

from singac.codegen import compiler, load, native
from singac.compile import Compiled
from singac.diagnostics import Diagnostic, Exit, Failed
from singac.model.graph import Layer, NetGraph
from singac.partition.partition import PartitionedNet
from singac.plan import show
from singac.plan.plan import Plan
from singac.report import screen
from singac.settings import shape_text

BEFORE_PLANS = ("graph", "partition")


def stage(plan: Plan, compiled: Compiled | None, name: str) -> str:
    """The text of a stage; those before plans are asked for only where there is a compile."""
    match name:
        case "graph" if compiled is not None:
            return graph(compiled.net.graph)
        case "partition" if compiled is not None:
            return partition(compiled.net)
        case "llvm":
            return "\n".join(_modules(plan))
        case "asm":
            return "\n".join(compiler.assembly(text) for text in _modules(plan))
    raise AssertionError(f"there is no stage {name} to show")


def check_rank(plan: Plan, process: int) -> None:
    """Raises `Failed` for a process the plan does not have."""
    if not 0 <= process < plan.topology.processes:
        message = f"there is no process {process}"
        help = f"the plan has processes 0 to {plan.topology.processes - 1}"
        raise Failed([Diagnostic("SG0906", message, help=help, exit=Exit.USAGE)])


def graph(net: NetGraph) -> str:
    """The net: a line a layer with its sources, shape and params."""
    rows = [
        (
            layer.name,
            layer.kind.name if layer.kind else "field",
            ", ".join(layer.sources) or "-",
            shape_text(layer.shape) or "-",
            _params(layer, net),
        )
        for layer in net.layers()
    ]
    return show.table(("layer", "kind", "sources", "shape", "params"), rows) + "\n"


def _params(layer: Layer, net: NetGraph) -> str:
    names = (u.name + ("'" if u.transposed else "") for u in layer.params)
    shapes = (shape_text(net.params[u.name].shape) for u in layer.params)
    return ", ".join(f"{n} {s}" for n, s in zip(names, shapes, strict=True)) or "-"


def partition(net: PartitionedNet) -> str:
    """The partitioned net: every sub-layer with its rows, every slice with its server, and what
    the compiler chose.
    """
    layers = [
        (
            s.name,
            s.cut if s.cut.startswith("at") else f"on {s.cut}",
            f"{s.part.row} to {s.part.row + s.part.rows - 1}",
            f"{s.part.column} to {s.part.column + s.part.columns - 1}",
        )
        for s in net.sublayers
    ]
    slices = [
        (
            net.params[s.param].name,
            s.server,
            "all" if s.workers is None else ", ".join(map(str, s.workers)),
            f"{s.start} to {s.stop - 1}",
        )
        for s in net.slices
    ]
    tables = [
        show.table(("sub-layer", "cut", "examples", "columns"), layers),
        show.table(("slice of", "server", "workers", "floats"), slices),
    ]
    if net.chosen is not None:
        cells = [screen.choice_cells(c) for c in net.chosen.choices]
        tables.append(show.table(screen.CHOICE_COLUMNS, cells))
        tables.append(screen.expectation(net.chosen))
    return "\n\n".join(tables) + "\n"


def _modules(plan: Plan) -> list[str]:
    """Of each kernel and of each function that kernels share, once, and of the update."""
    texts: dict[str, str] = {}
    kernels = load.kernels_of(plan).items()
    waiting: dict[str, native.Build] = {n: partial(load.kernel_source, n, k) for n, k in kernels}
    while waiting:
        name, build = waiting.popitem()
        if name not in texts:
            source = build()
            texts[name] = source.text
            waiting |= source.needs
    return [*texts.values(), load.update_ir(plan.update)]
