"""A plan on one screen: who has which piece of which layer, what moves, costs and warnings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from singac.plan.plan import Choice, Chosen, Held, Param, Plan, Process
from singac.plan.show import count, header, imbalance, owners, program, size, table
from singac.report.costs import duration, machine_of
from singac.report.survey import Crowd, Move, Stratum, crowds, moves, owned, ranges, strata
from singac.report.worries import Worry, worries

FLOAT_BYTES = 4
# How much of each there is room for; what is left out is summed up in a line.
MOST_STRATA, MOST_PARAMS, MOST_MOVES, MOST_CROWDS, MOST_WORRIES = 7, 8, 4, 8, 5
MOST_CHOICES = 6
MOST_STEPS = 13
MOST_PIECES, MOST_OWNERS, WIDTH = 4, 3, 110


def show(plan: Plan) -> str:
    """The whole plan, whatever its size: about fifty lines of at most 110 characters."""
    machine = machine_of(plan)
    parts = [
        header(plan),
        _layers(plan),
        _chosen(plan),
        _params(plan),
        _moves(plan),
        _processes(plan),
        _program(plan),
        worries_text(worries(plan, machine)),
    ]
    return "\n\n".join(p for p in parts if p) + "\n"


# -- layers ----------------------------------------------------------------------------------------


def _layers(plan: Plan) -> str:
    found = strata(plan)
    rows = [(s.span, s.cut, pieces_text(s)) for s in found[:MOST_STRATA]]
    return _with_rest(("layers", "cut on", "pieces, by worker of a group"), rows, len(found), False)


def pieces_text(stratum: Stratum) -> str:
    """`rows 0 to 47 | 48 to 95`; of many workers the sizes alone."""
    pieces = stratum.pieces
    if not pieces:
        return "-"
    if stratum.cut == "input":
        return _inputs_text(pieces)
    by_rows = _differ(pieces, lambda h: h.row) or not _differ(pieces, lambda h: h.column)
    cut: Callable[[Held], tuple[int, int]]
    cut = (lambda h: (h.row, h.rows)) if by_rows else (lambda h: (h.column, h.columns))
    noun = "rows" if by_rows else "columns"
    if len(pieces) <= MOST_PIECES:
        return f"{noun} " + " | ".join(_extent(*cut(h)) for h in pieces)
    sizes = [cut(h)[1] for h in pieces]
    return f"{between(sizes, lambda n: f'{n:,}')} {noun} at each of {len(pieces)} workers"


def _inputs_text(pieces: Sequence[Held]) -> str:
    """Of partial sums, the columns of the source that each worker adds up."""
    if len(pieces) <= MOST_PIECES:
        return "sums over columns " + " | ".join(_extent(h.input, h.inputs) for h in pieces)
    sizes = between([h.inputs for h in pieces], lambda n: f"{n:,}")
    return f"sums over {sizes} columns at each of {len(pieces)} workers"


def _differ(pieces: Sequence[Held], part: Callable[[Held], int]) -> bool:
    return len(dict.fromkeys(map(part, pieces))) > 1


def _extent(start: int, size: int) -> str:
    return f"{start} to {start + size - 1}" if size else "none"


def _chosen(plan: Plan) -> str:
    """The dearest layers among those whose cut the compiler chose, in their order."""
    if plan.chosen is None:
        return ""
    choices = plan.chosen.choices
    dearest = sorted(choices, key=lambda c: -c.seconds)[:MOST_CHOICES]
    rows = [choice_cells(c) for c in choices if c in dearest]
    text = table(CHOICE_COLUMNS, rows) if rows else "no layer could be cut in more than one way"
    rest = f"and {len(choices) - len(rows)} more; " if len(rows) < len(choices) else ""
    return f"{text}\n{rest}{expectation(plan.chosen)}"


CHOICE_COLUMNS = ("chosen for", "on", "takes of a step", "next best", "a step would take")


def choice_cells(choice: Choice) -> tuple[str, str, str, str, str]:
    """A layer, its cut, what that costs, and the next best."""
    more = f"{duration(choice.seconds_more)} more" if choice.runner_up else ""
    return choice.layer, choice.cut, duration(choice.seconds), choice.runner_up or "none", more


def expectation(chosen: Chosen) -> str:
    """What a step should take, and what with all on batch, by which rates."""
    return (
        f"a step should take {duration(chosen.seconds)}, on batch {duration(chosen.on_batch)}"
        f" (rates: {chosen.machine.source})"
    )


# -- params ----------------------------------------------------------------------------------------


def _params(plan: Plan) -> str:
    """All params, or the largest in their order and the sum of the others."""
    largest = sorted(plan.params, key=lambda p: -p.floats)[:MOST_PARAMS]
    told = [k for k, p in enumerate(plan.params) if p in largest][:MOST_PARAMS]
    rows = [param_cells(plan, k, plan.params[k]) for k in told]
    text = table(("param", "shape", "bytes", "on servers"), rows)
    others = [p for k, p in enumerate(plan.params) if k not in told]
    if not others:
        return text
    rest = size(sum(p.floats for p in others) * FLOAT_BYTES)
    return f"{text}\nand {count(len(others), 'smaller param')}, {rest}"


def param_cells(plan: Plan, index: int, param: Param) -> tuple[str, str, str, str]:
    """A param, its shape and bytes, and the servers that own it."""
    found = owners(plan, index)
    told = ranges(found) if len(found) > MOST_OWNERS else ", ".join(found.values())
    return param.name, " x ".join(map(str, param.shape)), size(param.floats * FLOAT_BYTES), told


# -- what moves ------------------------------------------------------------------------------------


def _moves(plan: Plan) -> str:
    found = moves(plan)
    if not found:
        return ""
    rows = [move_cells(m) for m in found[:MOST_MOVES]]
    text = table(("moves in a step", "there", "back", "between"), rows)
    rest = found[MOST_MOVES:]
    total = sum(m.total for m in found)
    others = f"and {len(rest)} more, {size(sum(m.total for m in rest))}; " if rest else ""
    return f"{text}\n{others}{size(total)} in all"


def move_cells(move: Move) -> tuple[str, str, str, str]:
    """What moves, bytes there and back, and between whom."""
    back = size(move.back) if move.back else "-"
    return move.what, size(move.there), back, f"{move.sender} and {move.receiver}"


# -- processes -------------------------------------------------------------------------------------

PROCESS_COLUMNS = (
    "process", "worker", "rows", "server", "owns", "memory", "MFLOP a step", "sent", "received",
)  # fmt: skip


def _processes(plan: Plan) -> str:
    rows = [crowd_cells(plan, crowd) for crowd in crowds(plan, MOST_CROWDS)]
    text = table(PROCESS_COLUMNS, rows)
    return f"{text}\nimbalance {imbalance(plan):.2f} (most over mean floating-point operations)"


def crowd_cells(plan: Plan, crowd: Crowd) -> tuple[str, ...]:
    """Processes that do alike, what they have and what a step costs them."""
    members = crowd.processes
    workers = [p.worker for p in members if p.worker is not None]
    servers = [p.server for p in members if p.server is not None]
    owns = [sum(s.stop - s.start for s in owned(plan, k)) * FLOAT_BYTES for k in servers]
    return (
        _short(ranges(crowd.ranks)),
        _short(ranges(workers)) or "-",
        _rows(members) if workers else "-",
        _short(ranges(servers)) or "-",
        between(owns, size) if servers else "-",
        between([p.memory.total for p in members], size),
        between([p.flops for p in members], lambda n: f"{n / 1e6:,.2f}"),
        between([p.bytes_sent for p in members], size),
        between([p.bytes_received for p in members], size),
    )


def _rows(members: Sequence[Process]) -> str:
    if len(members) == 1:
        return _extent(members[0].first_row, members[0].rows)
    return f"{between([p.rows for p in members], str)} each"


def _short(text: str) -> str:
    return text if len(text) <= 18 else f"{text[:14].rpartition(',')[0]}, ..."


def between(numbers: Iterable[int], text: Callable[[int], str]) -> str:
    """The least and the most, or one text where both have it: `3`, `3 to 4`, `1 to 2 KB`."""
    told = list(numbers)
    least, most = text(min(told)), text(max(told))
    if least == most:
        return most
    start, _, unit = least.partition(" ")
    return f"{start if unit == most.partition(' ')[2] else least} to {most}"


# -- the rest --------------------------------------------------------------------------------------


def _program(plan: Plan) -> str:
    process = plan.processes[0]
    head, *lines = program(plan, process).splitlines()
    if len(lines) > MOST_STEPS:
        half = MOST_STEPS // 2
        hidden = f"  ... {len(lines) - MOST_STEPS} more; --process {process.rank} shows all"
        lines = [*lines[:half], hidden, *lines[-half:]]
    return "\n".join(_clipped(line) for line in (head, *lines))


def _clipped(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 4]} ..."


def worries_text(found: Sequence[Worry]) -> str:
    """A line a warning, and one for its remedy."""
    lines = []
    for worry in found[:MOST_WORRIES]:
        at = f"{worry.place}: " if worry.place else ""
        lines += [f"warning: {at}{worry.message}", f"  help: {worry.help}"]
    if len(found) > MOST_WORRIES:
        lines.append(f"and {len(found) - MOST_WORRIES} more warnings")
    return "\n".join(lines)


def _with_rest(head: Sequence[str], rows: Sequence[Sequence[object]], of: int, right: bool) -> str:
    text = table(head, rows, right)
    return text if of == len(rows) else f"{text}\nand {of - len(rows)} more"
