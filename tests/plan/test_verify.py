"""Every way a plan can be broken is found, by its own name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from singac.model.choices import Choices
from singac.plan import faults as v
from singac.plan.plan import (
    Buffer,
    Clip,
    Exchange,
    Feed,
    Memory,
    Norm,
    Part,
    Plan,
    Process,
    Program,
    Pull,
    Push,
    Receive,
    Run,
    Send,
    Serve,
    Slice,
    Space,
    Step,
)
from singac.plan.verify import verify
from tests.plan.orders import NETS
from tests.programs import plan, small

Broken = tuple[type[v.BrokenPlan], Callable[[Plan], Plan]]


def good(np: int = 3, name: str = "perceptron") -> Plan:
    return plan(small(NETS[name]), Choices(np=np), scratch=256)


def gathering() -> Plan:
    """Every worker gathers the scores of all, to no purpose."""
    made = good()
    held = tuple(Part(p.first_row, p.rows, 0, 3) for p in made.processes)
    wanted = (Part(0, 6, 0, 3),) * 3
    processes = tuple(_gathers(p) for p in made.processes)
    return replace(made, processes=processes, exchanges=(Exchange("all", held, wanted),))


def _gathers(process: Process) -> Process:
    memory = replace(process.memory, arena=process.memory.arena + 6 * 64)
    own = next(b for b in process.train.buffers if b.name == "b")
    out = Buffer("all", Space.ARENA, process.memory.arena, 6, 3)
    steps = [s for s in process.train.steps if not isinstance(s, Serve)]
    served = [s for s in process.train.steps if isinstance(s, Serve)]
    ends = [
        Send(0, 7, replace(own, first=0, last=0)),
        Receive(0, 7, out, replace(own, first=0, last=0)),
    ]
    train = replace(
        process.train,
        steps=(*steps, *ends, *served),
        buffers=(*process.train.buffers, out),
    )
    return replace(process, train=train, memory=memory)


def end_changed(kind: type, **change: object) -> Plan:
    """One end of the exchange of process 1 changed."""
    return with_steps(
        gathering(),
        1,
        lambda steps: [replace(s, **change) if type(s) is kind else s for s in steps],
    )


def two_exchanges_one_tag() -> Plan:
    made = gathering()
    for rank in range(3):
        more = [replace(s, exchange=1) for s in made.processes[rank].train.steps
                if isinstance(s, Send | Receive)]  # fmt: skip
        made = with_steps(made, rank, lambda steps, more=more: [*steps, *more])
    return replace(made, exchanges=made.exchanges * 2)


def held_by_others() -> Plan:
    made = gathering()
    (exchange,) = made.exchanges
    held = tuple(replace(p, rows=p.rows - 1) for p in exchange.held)
    return replace(made, exchanges=(replace(exchange, held=held),))


def held_by_nobody() -> Plan:
    made = gathering()
    (exchange,) = made.exchanges
    wanted = tuple(replace(p, row=p.row + 1) for p in exchange.wanted)
    return replace(made, exchanges=(replace(exchange, wanted=wanted),))


def sent_after_it_is_taken() -> Plan:
    """Each waits for the others before it sends what they wait for."""
    made = gathering()
    for rank in range(3):
        made = with_steps(
            made, rank, lambda steps: sorted(steps, key=lambda s: isinstance(s, Send))
        )
    return made


def clipping() -> Plan:
    train = "train small { updater = SGD(0.1, clip_norm = 2)  batch = 6  steps = 1 }"
    return plan(small(NETS["perceptron"], train=train), Choices(np=3), scratch=256)


def late_clip(steps: list[Step]) -> list[Step]:
    return [*(s for s in steps if not isinstance(s, Clip)), Clip()]


def clip_before_push(steps: list[Step]) -> list[Step]:
    """The servers' part of a step before the worker's: it waits for pushes that come after."""
    served = [s for s in steps if isinstance(s, Norm | Clip | Serve)]
    return [*served, *(s for s in steps if s not in served)]


def with_steps(made: Plan, rank: int, change: Callable[[list[Step]], list[Step]]) -> Plan:
    """The plan with the training steps of one process changed."""
    process = made.processes[rank]
    train = replace(process.train, steps=tuple(change(list(process.train.steps))))
    return with_train(made, rank, train)


def with_train(made: Plan, rank: int, train: Program) -> Plan:
    processes = list(made.processes)
    processes[rank] = replace(processes[rank], train=train)
    return replace(made, processes=tuple(processes))


def without(kind: type, which: int = 0) -> Callable[[list[Step]], list[Step]]:
    def change(steps: list[Step]) -> list[Step]:
        chosen = [s for s in steps if isinstance(s, kind)][which]
        return [s for s in steps if s is not chosen]

    return change


def twice(kind: type) -> Callable[[list[Step]], list[Step]]:
    def change(steps: list[Step]) -> list[Step]:
        chosen = next(s for s in steps if isinstance(s, kind))
        at = steps.index(chosen)
        return [*steps[:at], chosen, *steps[at:]]

    return change


def moved(made: Plan, name: str, offset: int) -> Plan:
    """A buffer of process 0 moved, in its program and in the stretches it runs."""

    def change(buffers: tuple[Buffer, ...]) -> tuple[Buffer, ...]:
        return tuple(replace(b, offset=offset) if b.name == name else b for b in buffers)

    train = made.processes[0].train
    runs = [s.stretch for s in train.steps if isinstance(s, Run)]
    stretches = tuple(
        replace(s, buffers=change(s.buffers)) if k in runs else s
        for k, s in enumerate(made.stretches)
    )
    made = with_train(made, 0, replace(train, buffers=change(train.buffers)))
    return replace(made, stretches=stretches)


def first_slice(made: Plan, **change: int) -> Plan:
    return replace(made, slices=(replace(made.slices[0], **change), *made.slices[1:]))


def longer(slices: tuple[Slice, ...]) -> tuple[Slice, ...]:
    """The last slice one vector longer than its param."""
    return (*slices[:-1], replace(slices[-1], stop=slices[-1].stop + 16))


def stretch_changed(made: Plan, **change: object) -> Plan:
    first = replace(made.stretches[0], **change)  # type: ignore[arg-type]
    return replace(made, stretches=(first, *made.stretches[1:]))


def overlapping(made: Plan) -> Plan:
    fields = [i.buffer for i in made.processes[0].train.inputs]
    return moved(made, fields[0].name, fields[1].offset)


def scratch_over_a_buffer(made: Plan) -> Plan:
    arena = [b for b in made.processes[0].train.buffers if b.space is Space.ARENA]
    return stretch_changed(made, scratch=arena[0].offset)


def outside(made: Plan) -> Plan:
    return moved(made, "features", made.processes[0].memory.arena)


def scratch_outside(made: Plan) -> Plan:
    return stretch_changed(made, scratch=made.processes[0].memory.arena)


def stray(made: Plan) -> Plan:
    first = made.stretches[0]
    changed = (replace(first.buffers[0], offset=first.buffers[0].offset + 64), *first.buffers[1:])
    return stretch_changed(made, buffers=changed)


def other_rows(made: Plan) -> Plan:
    return stretch_changed(made, rows=made.stretches[0].rows + 1)


def param_elsewhere(made: Plan) -> Plan:
    return moved(made, "b.weight", 0)


def early_read(made: Plan) -> Plan:
    """The last stretch of forward first: it reads what earlier ones have yet to write."""

    def change(steps: list[Step]) -> list[Step]:
        runs = [k for k, s in enumerate(steps) if isinstance(s, Run)]
        steps[runs[0]], steps[runs[1]] = steps[runs[1]], steps[runs[0]]
        pulls = [s for s in steps if isinstance(s, Pull)]
        return [steps[0], *pulls, *(s for s in steps[1:] if not isinstance(s, Pull))]

    return with_steps(made, 0, change)


def late_pull(made: Plan) -> Plan:
    return with_steps(made, 1, without(Pull))


def early_push(made: Plan) -> Plan:
    """The push of the last layer's weight before the stretch that writes its gradient again."""

    def change(steps: list[Step]) -> list[Step]:
        runs = [k for k, s in enumerate(steps) if isinstance(s, Run)]
        push = next(s for s in steps if isinstance(s, Push))
        return [*steps[: runs[-1]], push, steps[runs[-2]], *steps[runs[-1] :]]

    return with_steps(made, 0, change)


def circle(made: Plan) -> Plan:
    """A server that serves before its own worker has pushed."""

    def change(steps: list[Step]) -> list[Step]:
        serve = next(s for s in steps if isinstance(s, Serve))
        rest = [s for s in steps if s is not serve]
        return [rest[0], serve, *rest[1:]]

    return with_steps(made, 0, change)


def served_by_another(made: Plan) -> Plan:
    serve = next(s for s in made.processes[0].train.steps if isinstance(s, Serve))
    made = with_steps(made, 0, without(Serve))
    return with_steps(made, 1, lambda steps: [*steps, serve])


def unwritten_gradient(made: Plan) -> Plan:
    """A push before anything was computed."""

    def change(steps: list[Step]) -> list[Step]:
        push = next(s for s in steps if isinstance(s, Push))
        return [steps[0], push, *(s for s in steps[1:] if s is not push)]

    return with_steps(made, 0, change)


# fmt: off
BROKEN: tuple[Broken, ...] = (
    (v.OverlappingBuffers, overlapping),
    (v.OverlappingBuffers, scratch_over_a_buffer),
    (v.BufferOutside,      outside),
    (v.BufferOutside,      scratch_outside),
    (v.StrayBuffer,        stray),
    (v.StrayBuffer,        other_rows),
    (v.StrayBuffer,        param_elsewhere),
    (v.CutInsideVector,    lambda p: first_slice(p, stop=p.slices[0].stop - 8)),
    (v.UnownedParam,       lambda p: replace(p, slices=p.slices[1:])),
    (v.UnownedParam,       lambda p: replace(p, slices=p.slices[:-1])),
    (v.TwoOwners,          lambda p: replace(p, slices=(p.slices[0], *p.slices))),
    (v.TwoOwners,          lambda p: replace(p, slices=longer(p.slices))),
    (v.UnwrittenBuffer,    early_read),
    (v.UnwrittenBuffer,    unwritten_gradient),
    (v.UnwrittenBuffer,    lambda p: with_steps(p, 0, without(Feed))),
    (v.MissingPull,        late_pull),
    (v.EarlyPush,          early_push),
    (v.MissingPush,        lambda p: with_steps(p, 1, without(Push))),
    (v.DuplicatePush,      lambda p: with_steps(p, 1, twice(Push))),
    (v.StrayGradient,      lambda p: first_slice(p, workers=(0,))),
    (v.MissingServe,       lambda p: with_steps(p, 0, without(Serve))),
    (v.MissingServe,       served_by_another),
    (v.DuplicateServe,     lambda p: with_steps(p, 0, twice(Serve))),
    (v.UnclippedServe,     lambda _: with_steps(clipping(), 1, without(Norm))),
    (v.UnclippedServe,     lambda _: with_steps(clipping(), 1, without(Clip))),
    (v.UnclippedServe,     lambda _: with_steps(clipping(), 1, late_clip)),
    (v.MissingSend,        lambda _: with_steps(gathering(), 1, without(Send))),
    (v.MissingReceive,     lambda _: with_steps(gathering(), 1, without(Receive))),
    (v.DuplicateSend,      lambda _: with_steps(gathering(), 1, twice(Send))),
    (v.DuplicateReceive,   lambda _: with_steps(gathering(), 1, twice(Receive))),
    (v.TagsDiffer,         lambda _: end_changed(Send, tag=8)),
    (v.TagsDiffer,         lambda _: end_changed(Receive, tag=8)),
    (v.SharedTag,          lambda _: two_exchanges_one_tag()),
    (v.MisplacedPart,      lambda _: end_changed(Receive, source=None)),
    (v.MisplacedPart,      lambda _: held_by_others()),
    (v.UnheldPart,         lambda _: held_by_nobody()),
    (v.Deadlock,           lambda _: sent_after_it_is_taken()),
    (v.Deadlock,           circle),
    (v.Deadlock,           lambda _: with_steps(clipping(), 0, clip_before_push)),
)
# fmt: on


@pytest.mark.parametrize(("kind", "breaks"), BROKEN)
def test_a_broken_plan_is_refused(kind: type[v.BrokenPlan], breaks: Callable[[Plan], Plan]) -> None:
    broken = breaks(good())
    with pytest.raises(v.BrokenPlan) as found:
        verify(broken)
    assert type(found.value) is kind
    assert str(found.value)


def test_every_kind_is_made_by_some_test() -> None:
    kinds = [c for c in vars(v).values() if isinstance(c, type) and issubclass(c, v.BrokenPlan)]
    assert set(kinds) - {v.BrokenPlan} == {kind for kind, _ in BROKEN}


@pytest.mark.parametrize("processes", [1, 2, 4, 6])
@pytest.mark.parametrize("name", NETS)
def test_good_plans_are_good(name: str, processes: int) -> None:
    verify(good(processes, name))


def test_a_plan_that_clips_by_the_norm_is_good() -> None:
    kinds = [type(s) for s in clipping().processes[1].train.steps]
    assert kinds.index(Norm) < kinds.index(Clip) < kinds.index(Serve)


GROUPS = "cluster c { 3 worker groups of 2  2 server groups of 2 }\n"


def groups(np: int = 6) -> Plan:
    return plan(small(NETS["branches"], extra=GROUPS), Choices(np=np), scratch=256)


def test_groups_of_workers_and_of_servers() -> None:
    made = groups()
    assert [(p.worker, p.server) for p in made.processes] == [
        (0, 0), (1, 1), (2, 2), (3, 3), (4, None), (5, None),
    ]  # fmt: skip
    assert [p.first_row for p in made.processes] == [0, 3] * 3
    # No worker takes turns with its server, which has other groups to serve.
    assert not any(isinstance(s, Serve) for p in made.processes for s in p.train.steps)
    assert [len(p.serve.steps) > 0 for p in made.processes[:4] if p.serve] == [True] * 4


def test_groups_cut_on_feature_whose_first_alone_tests() -> None:
    data = 'data points = csv("data/points.csv", test = 0.25)\n'
    net = "features -> a: dense(8) -> s: dense(3)\n[s, label] -> softmax_loss"
    extra = GROUPS + "partition wide of small { a .. s on feature }\n"
    made = plan(small(net, data=data, extra=extra), Choices(np=6), scratch=4096)
    tests = [p.test for p in made.processes]
    assert all(t is not None and t.steps for t in tests[:2])
    assert tests[2:] == [None] * 4
    assert made.exchanges


def test_a_server_group_that_leaves_out_a_slice_is_found() -> None:
    made = groups()
    last = made.processes[3]
    assert last.serve is not None
    fewer = replace(last, serve=replace(last.serve, steps=last.serve.steps[1:]))
    with pytest.raises(v.MissingServe):
        verify(replace(made, processes=(*made.processes[:3], fewer, *made.processes[4:])))


def test_two_servers_apart() -> None:
    cluster = "cluster c { 1 worker group of 3\n 1 server group of 2\n servers = separate }\n"
    made = plan(small(NETS["branches"], extra=cluster))
    assert [(p.worker, p.server) for p in made.processes] == [
        (0, None), (1, None), (2, None), (None, 0), (None, 1),
    ]  # fmt: skip
    assert made.topology.framework == "Sandblaster"
    assert all(p.test is None and not p.train.buffers for p in made.processes[3:])


@cache
def good_one() -> Plan:
    return good(1)


@st.composite
def buffers(draw: st.DrawFn) -> tuple[Buffer, ...]:
    found = []
    for number in range(draw(st.integers(1, 8))):
        first = draw(st.integers(0, 6))
        last = draw(st.integers(first, 8))
        offset, rows = 64 * draw(st.integers(0, 12)), draw(st.integers(1, 3))
        found.append(Buffer(f"b{number}", Space.ARENA, offset, rows, 16, first=first, last=last))
    return tuple(found)


@settings(max_examples=300, deadline=None)
@given(buffers())
def test_buffers_that_share_memory_are_found(some: tuple[Buffer, ...]) -> None:
    """The sweep over a program sees what comparing all with all sees."""
    overlap = any(
        a.first <= b.last and b.first <= a.last
        and a.offset < b.offset + b.floats * 4 and b.offset < a.offset + a.floats * 4
        for a, b in combinations(some, 2)
    )  # fmt: skip
    program = Program("train", (), some, ())
    process = Process(0, 0, 0, 0, 1, program, None, Memory(1 << 20, 0, 0, 0), 0, 0, 0)
    lone = replace(good_one(), processes=(process,))
    found = None
    try:
        verify(lone)
    except v.BrokenPlan as broken:
        found = type(broken)
    assert (found is v.OverlappingBuffers) is overlap
