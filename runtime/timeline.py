"""Notes of all processes -> spans of time, and those as a trace that Chrome and Perfetto show.

    process 0   compute    run fc1 ..   run fc2 ..           run d(fc2) ..
                exchange             push                                 serve fc1
                wait       params                  gradients
                in flight                fc2.weight ....................................

A row for computing, for exchanges and for waits, and one for what is on its way meanwhile: from the
push of a gradient until its param is there again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from runtime import trace
from runtime.job import Job
from runtime.progress import DOING, WAITING, Phase
from runtime.trace import END, STEPS, Label, Traced, is_phase
from singac.plan.plan import Plan, Push, Serve, Slice

Event = dict[str, object]


class Row(IntEnum):
    """Rows of a process, from top to bottom."""

    STEPS = 0
    COMPUTE = 1
    EXCHANGE = 2
    WAIT = 3


COMPUTES = ("feed", "run")
WITHIN = (Phase.AWAITING_GRADIENTS, Phase.AWAITING_PARAMS, Phase.AWAITING_PARTS)
MOST_ARROWS = 20_000


@dataclass(frozen=True, slots=True)
class Span:
    """Nanoseconds `start` to `stop` of process `rank`, in training step `step`.

    `label` is the step of the program it belongs to, if it is of one.
    """

    rank: int
    row: Row
    name: str
    start: int
    stop: int
    step: int
    label: Label | None = None


def spans(rank: int, traced: Traced) -> tuple[Span, ...]:
    """What a process did, in order of time; of one row no two spans overlap."""
    reader = _Reader(rank, traced.labels)
    for code, time in traced.notes:
        reader.take(code, time)
    reader.end()
    return tuple(sorted(reader.found, key=lambda s: (s.start, s.row)))


class _Reader:
    """Notes in order: each ends what went on before it."""

    def __init__(self, rank: int, labels: Sequence[Label]) -> None:
        self.rank, self.labels = rank, labels
        self.found: list[Span] = []
        self.label: Label | None = None
        self.doing: tuple[Row, str, int] | None = None  # within a program, and since when
        self.around: tuple[Row, str, int] | None = None  # between programs
        self.step: int | None = None
        self.step_began = self.now = 0

    def take(self, code: int, time: int) -> None:
        self.now = time
        if code >= STEPS:
            self._leave_step()
            self.step, self.step_began = code - STEPS, time
        elif (phase := is_phase(code)) is not None:
            self._phase(phase)
        elif code == END:
            self._close()
            self.label = None
        else:
            self._close()
            self.label = self.labels[code]
            self._resume()

    def end(self) -> None:
        self._close()
        self._leave_step()

    def _phase(self, phase: Phase) -> None:
        if phase in WITHIN and self.label is not None:
            self._close()
            self.doing = (Row.WAIT, DOING[phase], self.now)
        elif phase is Phase.COMPUTING and self.label is not None:
            self._close()
            self._resume()
        else:
            self._leave()
            if phase is Phase.AWAITING_END:
                self.step = None
            if phase > Phase.COMPUTING:
                waits = phase in WAITING or phase is Phase.AWAITING_END
                self.around = (Row.WAIT if waits else Row.STEPS, DOING[phase], self.now)

    def _resume(self) -> None:
        assert self.label is not None, "only what has begun goes on"
        verb, what = self.label.verb, self.label.what
        row = Row.COMPUTE if verb in COMPUTES else Row.EXCHANGE
        self.doing = (row, what if verb == "run" else f"{verb} {what}".rstrip(), self.now)

    def _close(self) -> None:
        if self.doing is not None:
            row, name, start = self.doing
            self._add(row, name, start, self.label)
            self.doing = None

    def _leave(self) -> None:
        if self.around is not None:
            row, name, start = self.around
            self._add(row, name, start, None)
            self.around = None

    def _leave_step(self) -> None:
        self._leave()
        if self.step is not None:
            self._add(Row.STEPS, f"step {self.step}", self.step_began, None)

    def _add(self, row: Row, name: str, start: int, label: Label | None) -> None:
        if self.now > start:
            step = -1 if self.step is None else self.step
            self.found.append(Span(self.rank, row, name, start, self.now, step, label))


def read_all(job: Job) -> tuple[Traced, ...]:
    """What the processes of a run that was traced have left; none of one that never began."""
    paths = [job.notes(rank) for rank in range(job.processes)]
    return tuple(trace.read(p) for p in paths if p.with_suffix(".json").exists())


def remove(job: Job) -> None:
    """The notes, once they are read."""
    for rank in range(job.processes):
        for path in (job.notes(rank), job.notes(rank).with_suffix(".json")):
            path.unlink(missing_ok=True)


# -- trace events ----------------------------------------------------------------------------------


def as_trace(plan: Plan, all_spans: Sequence[Sequence[Span]]) -> str:
    """JSON of trace events: times in microseconds from the first."""
    first = min((s.start for own in all_spans for s in own), default=0)
    shifted = [
        [replace(s, start=s.start - first, stop=s.stop - first) for s in own] for own in all_spans
    ]
    events = [*_names(plan)]
    for own in shifted:
        events += [_slice(span) for span in own]
        events += _flights(own)
    events += _arrows(plan, shifted)
    told = {"net": plan.net, "processes": len(plan.processes), "plan": plan.digest}
    return json.dumps(
        {"traceEvents": events, "displayTimeUnit": "ms", "otherData": told}, separators=(",", ":")
    )


def _names(plan: Plan) -> Iterator[Event]:
    for process in plan.processes:
        roles = [f"worker {process.worker}"] if process.worker is not None else []
        roles += [f"server {process.server}"] if process.server is not None else []
        name = f"process {process.rank} ({', '.join(roles)})"
        yield _named("process_name", process.rank, 0, {"name": name})
        yield _named("process_sort_index", process.rank, 0, {"sort_index": process.rank})
        for row in Row:
            yield _named("thread_name", process.rank, row, {"name": row.name.lower()})
            yield _named("thread_sort_index", process.rank, row, {"sort_index": row.value})


def _named(what: str, rank: int, row: int, arguments: Event) -> Event:
    return {"name": what, "ph": "M", "pid": rank, "tid": int(row), "ts": 0, "args": arguments}


def _slice(span: Span) -> Event:
    arguments: Event = {"step": span.step}
    if span.label is not None:
        label = span.label
        arguments |= {"of": f"{label.verb} {label.what}".rstrip(), "program": label.phase}
    return {
        "name": span.name,
        "cat": span.row.name.lower(),
        "ph": "X",
        "ts": span.start / 1e3,
        "dur": (span.stop - span.start) / 1e3,
        "pid": span.rank,
        "tid": int(span.row),
        "args": arguments,
    }


def _flights(own: Sequence[Span]) -> Iterator[Event]:
    """From the push of a param's gradient until it is pulled again: what computing overlaps."""
    left: dict[str, Span] = {}
    for span in own:
        label = span.label
        if label is None or label.phase != "train":
            continue
        if label.verb == "push":
            left[label.what] = span
        elif label.verb == "pull" and (pushed := left.pop(label.what, None)) is not None:
            name = f"{label.what} in flight"
            common: Event = {
                "name": name, "cat": "in flight", "pid": span.rank, "tid": int(Row.EXCHANGE),
                "id": f"{span.rank}:{label.what}:{span.step}",
            }  # fmt: skip
            yield common | {"ph": "b", "ts": pushed.stop / 1e3}
            yield common | {"ph": "e", "ts": span.stop / 1e3}


def _arrows(plan: Plan, all_spans: Sequence[Sequence[Span]]) -> Iterator[Event]:
    """From each push to the serves of its slices, step by step, while there is room."""
    served: dict[tuple[int, int], list[tuple[Slice, Span]]] = {}
    for own in all_spans:
        for span in own:
            step = _step_of(plan, span)
            if isinstance(step, Serve) and span.row is Row.EXCHANGE:
                piece = plan.slices[step.slice]
                served.setdefault((span.step, piece.param), []).append((piece, span))
    number = 0
    for own in all_spans:
        for span in own:
            step = _step_of(plan, span)
            if not isinstance(step, Push) or number > MOST_ARROWS:
                continue
            worker = plan.processes[span.rank].worker or 0
            for piece, serve in served.get((span.step, step.param), []):
                if not piece.is_of(plan.topology.member(worker)):
                    continue
                if serve.rank != span.rank and serve.start >= span.start:
                    number += 1
                    yield _end("s", number, span, span.start)
                    yield _end("f", number, serve, serve.start) | {"bp": "e"}


def _step_of(plan: Plan, span: Span) -> object:
    if span.label is None or span.label.phase != "train":
        return None
    return plan.processes[span.rank].train.steps[span.label.position]


def _end(kind: str, number: int, span: Span, time: int) -> Event:
    return {
        "name": "gradient", "cat": "gradient", "ph": kind, "id": number, "pid": span.rank,
        "tid": int(span.row), "ts": time / 1e3,
    }  # fmt: skip
