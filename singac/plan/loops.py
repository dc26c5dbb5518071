"""Operations of an unrolled net -> loops over steps, and what is done for all steps at once.

An operation that a later step of its own depends on is done step by step, together with all that
lies on the way round; everything else once, on the rows of all steps. So a recurrent layer's
product with x comes before the loop and the gradients of its params behind it, each as one product
of steps x batch rows, and layers that hand nothing on from step to step are in no loop at all:

    x Wx, all steps  ->  for t: h[t-1] Wh, gates, h  ->  scores, losses, all steps

This is loop distribution by the strongly connected components of the dependence graph (Allen and
Kennedy, Optimizing Compilers for Modern Architectures, chapter 5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from singac.layers.access import flat, reads, writes
from singac.layers.operations import Loop, Operation, Pointwise
from singac.layers.time import base_of, shift_of
from singac.model.graph import components
from singac.plan.items import Item, PullParam, PushParam, gradient_of, operations_of


def distribute(items: Sequence[Item], steps: Mapping[str, int]) -> tuple[Item, ...]:
    """The items in an order that respects all that they read and write, in loops where they must.

    `steps` are those of every tensor. Items that hand nothing on between steps stay as they are.
    """
    if not any(shift_of(n) for o in operations_of(items) for n in reads(o)):
        return tuple(items)
    sources = _sources(items)
    done: list[Item] = []
    for group in components({str(k): tuple(map(str, s)) for k, s in sources.items()}):
        members = [int(k) for k in group]
        if len(members) == 1 and members[0] not in sources[members[0]]:
            done.append(items[members[0]])
        else:
            done.append(_loop([items[k] for k in sorted(members)], steps))
    return tuple(done)


def _loop(items: Sequence[Item], steps: Mapping[str, int]) -> Loop:
    operations = tuple(o for o in items if not isinstance(o, PullParam | PushParam))
    assert len(operations) == len(items), "params are exchanged once a batch, not once a step"
    (count,) = dict.fromkeys(steps[base_of(n)] for o in operations for n in writes(o))
    written = [base_of(n) for o in operations for n in writes(o)]
    shifts = [shift_of(n) for o in operations for n in reads(o) if base_of(n) in written]
    return Loop(count, max(shifts) > 0, operations)


def _sources(items: Sequence[Item]) -> dict[int, tuple[int, ...]]:
    """For each item, those that must be done before it, at its own step or another."""
    writers: dict[str, list[int]] = {}
    readers: dict[str, list[tuple[int, bool]]] = {}
    before: dict[int, dict[int, None]] = {k: {} for k in range(len(items))}
    for k, item in enumerate(items):
        taken, made = _touched(item)
        for name in taken:
            readers.setdefault(base_of(name), []).append((k, shift_of(name) != 0))
        for name in made:
            writers.setdefault(base_of(name), []).append(k)
    for name, writing in writers.items():
        for writer in writing:
            for reader, other_step in readers.get(name, ()):
                _arrow(before, writer, reader, other_step)
            for other in writing:
                _arrow(before, writer, other, False)
    return {k: tuple(found) for k, found in before.items()}


def _arrow(before: dict[int, dict[int, None]], writer: int, reader: int, other_step: bool) -> None:
    """What is read of another step is always written first, what of this one as the text says."""
    if other_step or writer < reader:
        before[reader][writer] = None
    elif reader < writer:
        before[writer][reader] = None


def _touched(item: Item) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What an item reads and writes. After a push nobody may touch the param or its gradient."""
    match item:
        case PullParam(param):
            return (), (param,)
        case PushParam(param):
            return (), (param, gradient_of(param))
        case _:
            return reads(item), writes(item)


def of_one_step(items: Sequence[Item], steps: Mapping[str, int]) -> dict[str, int]:
    """`steps`, with 1 for tensors that one loop alone writes and reads, step by step.

    They need room for one step only, and stay in the cache.
    """
    loops: dict[str, dict[int, None]] = {}
    kept: dict[str, None] = {}
    for k, item in enumerate(items):
        inside = isinstance(item, Loop)
        for operation in flat(operations_of([item])):
            # A tensor that is looked at for its size has all its rows.
            like = (operation.like,) if isinstance(operation, Pointwise) else ()
            for name in (*reads(operation), *writes(operation), *like):
                loops.setdefault(base_of(name), {})[k] = None
                if not inside or name != base_of(name):
                    kept[base_of(name)] = None
    small = [n for n, places in loops.items() if len(places) == 1 and n not in kept]
    return {**steps, **{n: 1 for n in small if n in steps}}


def names_in(items: Sequence[Item]) -> tuple[str, ...]:
    """Every name an operation uses, inside loops too, in order."""
    operations: Sequence[Operation] = flat(operations_of(items))
    return tuple(dict.fromkeys(n for o in operations for n in (*reads(o), *writes(o))))
