"""Which piece of a tensor lies where: a param at its servers, a layer's result at its workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from singac.diagnostics import Diagnostic, Exit, Failed, did_you_mean
from singac.plan.plan import Buffer, Param, PlacedLayer, Plan, Process, Space
from singac.plan.show import size, table
from singac.report.survey import hosts, member_of, ranges

FLOAT_BYTES = 4
MOST_ROWS = 40


def show_tensor(plan: Plan, name: str) -> str:
    """The pieces of one tensor. Raises `Failed` for a name the plan does not have."""
    param = next((k for k, p in enumerate(plan.params) if p.name == name), None)
    if param is not None:
        return _param(plan, param)
    buffers = list(_buffers(plan, name))
    layer = next((x for x in plan.layers if x.name == name), None)
    if layer is None and not buffers:
        raise _unknown(plan, name)
    return _tensor(plan, name, layer, buffers)


def _unknown(plan: Plan, name: str) -> Failed:
    own = [*(p.name for p in plan.params), *(x.name for x in plan.layers)]
    inner = [b.name for p in plan.processes[:1] for b in p.train.buffers]
    message = f"the plan has no tensor `{name}`"
    help = did_you_mean(name, dict.fromkeys([*own, *inner]))
    return Failed([Diagnostic("SG0602", message, help=help, exit=Exit.USAGE)])


def _param(plan: Plan, index: int) -> str:
    param, places = plan.params[index], hosts(plan)
    rows, columns = param.matrix
    head = (
        f"param {param.name}: {_shape(param.shape)}, {size(param.floats * FLOAT_BYTES)}, as "
        f"{rows} x {columns} in {param.layout.value}, at byte {param.start * FLOAT_BYTES:,}\n"
        f"{_users(plan, param)}"
    )
    slices = [
        (
            s.server,
            places[s.server],
            f"{(s.start - param.start):,} to {s.stop - param.start - 1:,}",
            f"{s.start * FLOAT_BYTES:,}",
            size((s.stop - s.start) * FLOAT_BYTES),
            f"{(s.stop - s.start) / param.floats:.1%}",
            "all" if s.workers is None else ranges(s.workers),
        )
        for s in plan.slices
        if s.param == index
    ]
    columns_of_table = (
        "server",
        "process",
        "floats",
        "offset in bytes",
        "bytes",
        "share",
        "workers",
    )
    return f"{head}\n\n{_clipped(columns_of_table, slices)}\n"


def _users(plan: Plan, param: Param) -> str:
    users = [f"{x.name} ({x.place})" for x in plan.layers if param.name in x.params]
    return f"used by {', '.join(users)}" if users else "no layer uses it"


def _buffers(plan: Plan, name: str) -> Iterator[tuple[Process, str, Buffer]]:
    for process in plan.processes:
        for program in (process.train, process.test):
            for buffer in program.buffers if program else ():
                if buffer.name == name and buffer.space is Space.ARENA:
                    assert program is not None, "a buffer is of a program"
                    yield process, program.phase, buffer


def _tensor(
    plan: Plan, name: str, layer: PlacedLayer | None, buffers: list[tuple[Process, str, Buffer]]
) -> str:
    told = [f"tensor {name}"]
    if layer is not None:
        cut = f", cut on {layer.cut}" if layer.cut else ""
        shape = _shape(layer.shape) or "one number a batch"
        told = [f"{layer.kind} {name}: {shape} an example{cut}, written at {layer.place}"]
    if not buffers:
        return f"{told[0]}\nit never lies in memory: what reads it is done with what makes it\n"
    rows = [
        (
            process.rank,
            "-" if process.worker is None else process.worker,
            _part(plan, process, layer),
            phase,
            f"{b.rows} x {b.columns}",
            f"{b.offset:,}",
            size(b.floats * FLOAT_BYTES),
            f"{b.first} to {b.last}",
        )
        for process, phase, b in buffers
    ]
    head = ("process", "worker", "part", "phase", "shape", "offset", "bytes", "kept")
    notes = "(offsets in bytes of the arena; kept between two operations of the step, by number)"
    return f"{told[0]}\n\n{_clipped(head, rows)}\n{notes}\n"


def _part(plan: Plan, process: Process, layer: PlacedLayer | None) -> str:
    if layer is None or process.worker is None:
        return "-"
    held = [h for h in layer.pieces if h.worker == member_of(plan, process)]
    return ", ".join(
        f"rows {h.row} to {h.row + h.rows - 1}, columns {h.column} to {h.column + h.columns - 1}"
        for h in held
    )


def _clipped(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = table(head, rows[:MOST_ROWS])
    hidden = len(rows) - MOST_ROWS
    return f"{text}\nand {hidden} more" if hidden > 0 else text


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
