"""Exchanges among the workers of a group: what one sends another one takes, and nothing else."""

from __future__ import annotations

from collections.abc import Container, Sequence

from singac.plan.faults import (
    DuplicateReceive,
    DuplicateSend,
    MisplacedPart,
    MissingReceive,
    MissingSend,
    SharedTag,
    TagsDiffer,
    UnheldPart,
)
from singac.plan.plan import Exchange, Part, Plan, Process, Receive, Send, Step


def parts_match(plan: Plan, phase: str) -> None:
    """In every exchange of a phase, who holds what another one needs sends it, once, to takers."""
    size = plan.topology.workers_per_group
    steps = [(p, s) for p in plan.processes for s in _steps_of(p, phase)]
    ends = [(p, s) for p, s in steps if isinstance(s, Send | Receive)]
    _tags_agree([s for _, s in ends])
    places: dict[tuple[type, int, int], None] = {}
    for process, step in ends:
        assert process.worker is not None, "only workers exchange parts of layers"
        place = (type(step), step.exchange, process.worker)
        if place in places:
            twice = DuplicateSend if isinstance(step, Send) else DuplicateReceive
            raise twice(f"process {process.rank} is in {plan.exchanges[step.exchange].name} twice")
        places[place] = None
        _part_fits(plan.exchanges[step.exchange], process.worker % size, step)
    for number in dict.fromkeys(step.exchange for _, step in ends):
        for group in _groups_of(plan, phase):
            workers = range(group * size, (group + 1) * size)
            senders = {k: w for k, w in enumerate(workers) if (Send, number, w) in places}
            takers = {k: w for k, w in enumerate(workers) if (Receive, number, w) in places}
            _ends_meet(plan.exchanges[number], senders, takers)


def _groups_of(plan: Plan, phase: str) -> list[int]:
    """The worker groups that have the phase: the first alone tests."""
    groups = [
        plan.topology.group_of_worker(p.worker)
        for p in plan.processes
        if p.worker is not None and _steps_of(p, phase)
    ]
    return list(dict.fromkeys(groups))


def _steps_of(process: Process, phase: str) -> tuple[Step, ...]:
    program = process.train if phase == "train" else process.test
    return program.steps if program is not None else ()


def _tags_agree(ends: Sequence[Send | Receive]) -> None:
    tags: dict[int, int] = {}
    exchanges: dict[int, int] = {}
    for step in ends:
        if tags.setdefault(step.exchange, step.tag) != step.tag:
            raise TagsDiffer(f"exchange {step.exchange} has tags {tags[step.exchange]}, {step.tag}")
    for exchange, tag in tags.items():
        if tag in exchanges:
            raise SharedTag(f"exchanges {exchanges[tag]} and {exchange} have the tag {tag}")
        exchanges[tag] = exchange


def _part_fits(exchange: Exchange, member: int, step: Send | Receive) -> None:
    held, wanted = exchange.held[member], exchange.wanted[member]
    places = [(step.source, held)] if step.source is not None else []
    places += [(step.out, wanted)] if isinstance(step, Receive) else []
    for buffer, part in places:
        if (buffer.rows, buffer.columns) != (part.rows, part.columns):
            raise MisplacedPart(f"{buffer.name} is not the part that {exchange.name} moves")
    if isinstance(step, Receive) and step.source is None and held.shared_with(wanted).elements:
        raise MisplacedPart(f"worker {member} does not use its own part in {exchange.name}")


def _ends_meet(exchange: Exchange, senders: Container[int], takers: Container[int]) -> None:
    for member in range(len(exchange.held)):
        if exchange.sends(member) and member not in senders:
            raise MissingSend(f"worker {member} does not send its part of {exchange.name}")
        if exchange.receives(member) and member not in takers:
            raise MissingReceive(f"worker {member} does not take its parts of {exchange.name}")
        if exchange.receives(member) and not (exchange.zeros or _is_held(exchange, member)):
            raise UnheldPart(f"nobody holds all that worker {member} wants of {exchange.name}")


def _is_held(exchange: Exchange, member: int) -> bool:
    """Whether the parts held cover what one worker wants.

    Between the edges of the parts lie cells that are held whole or not at all: each must be held.
    """
    wanted = exchange.wanted[member]
    if wanted in exchange.held:
        return True
    parts = [p for held in exchange.held if (p := wanted.shared_with(held)).elements]
    if _side_by_side(parts, wanted):
        return True
    rows = {edge for p in (wanted, *parts) for edge in (p.row, p.row + p.rows)}
    columns = {edge for p in (wanted, *parts) for edge in (p.column, p.column + p.columns)}
    corners = [Part(r, 1, c, 1) for r in sorted(rows) for c in sorted(columns)]
    inside = [c for c in corners if c.shared_with(wanted).elements]
    return all(any(c.shared_with(p).elements for p in parts) for c in inside)


def _side_by_side(parts: Sequence[Part], wanted: Part) -> bool:
    """Whether the parts are whole rows, or whole columns, without a gap."""
    rows = all((p.column, p.columns) == (wanted.column, wanted.columns) for p in parts)
    columns = all((p.row, p.rows) == (wanted.row, wanted.rows) for p in parts)
    if not rows and not columns:
        return False
    ranges = sorted((p.row, p.rows) if rows else (p.column, p.columns) for p in parts)
    at, size = (wanted.row, wanted.rows) if rows else (wanted.column, wanted.columns)
    end = at + size
    for start, length in ranges:
        if start > at:
            return False
        at = max(at, start + length)
    return at == end
