"""Pointwise operations -> done by the operation that produces their operand.

A product has its result in registers; a bias, an activation or a derivative that follows costs
nothing there and saves a pass through memory. The pointwise operation moves up to its producer
when nothing between the two minds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from singac.layers.access import flat, reads, writes
from singac.layers.expression import Variable
from singac.layers.operations import Assign, Loop, Operation, Pointwise, Product, Role
from singac.layers.time import base_of
from singac.plan.items import Item, PullParam, PushParam, gradient_of

Extents = Mapping[str, object]


def fuse(items: Sequence[Item], extents: Extents) -> tuple[Item, ...]:
    """The items with every pointwise operation merged into its producer where it can be.

    `extents` are equal for tensors of a layer that have the same elements. The result of each
    operation is unchanged. What is inside a loop stays inside.
    """
    done: list[Item] = []
    for item in items:
        if isinstance(item, Loop):
            done.append(replace(item, operations=_operations(fuse(item.operations, extents))))
            continue
        carrier = _carrier(item, done, extents) if isinstance(item, Pointwise) else None
        if carrier is None or not isinstance(item, Pointwise):
            done.append(item)
        else:
            done[carrier] = _merged(done[carrier], item)
    return tuple(done)


def _operations(items: Sequence[Item]) -> tuple[Operation, ...]:
    return tuple(i for i in items if not isinstance(i, PullParam | PushParam))


def _carrier(item: Pointwise, done: list[Item], extents: Extents) -> int | None:
    """Position of the operation that can do `item` as well, or None.

    Going up from the end: the first operation that writes something `item` reads is the producer.
    Until then, an operation that touches what `item` writes is in the way.
    """
    for position in range(len(done) - 1, -1, -1):
        other = done[position]
        if isinstance(other, PullParam):
            if other.param in reads(item):
                return None
            continue
        if isinstance(other, PushParam):
            continue
        if _touch(writes(other), reads(item)):
            return position if _can_carry(other, item, extents) else None
        if _touch_elsewhere(other, item):
            return None
        if _touch((*reads(other), *writes(other)), writes(item)):
            return None
    return None


def _touch(some: Sequence[str], others: Sequence[str]) -> bool:
    return any(name in others for name in some)


def _touch_elsewhere(other: Operation, item: Operation) -> bool:
    """Whether one writes other steps of a tensor than the other reads or writes."""
    written, read = (_bases(names) for names in (writes(other), reads(other)))
    wanted, made = (_bases(names) for names in (reads(item), writes(item)))
    return _touch(written, (*wanted, *made)) or _touch(read, made)


def _bases(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(base_of(n) for n in names)


def _can_carry(carrier: Operation, item: Pointwise, extents: Extents) -> bool:
    match carrier:
        case Product(role, out, left, right, accumulate):
            if role is Role.WEIGHT_GRADIENT or accumulate:
                return False
            # Other columns of a row are computed after these: its operands must stay as they are.
            overwritten = _touch((left, right), writes(item))
            return extents[base_of(out)] == extents[base_of(item.like)] and not overwritten
        case Pointwise(like):
            return extents[base_of(like)] == extents[base_of(item.like)]
    return False


def _merged(carrier: Item, item: Pointwise) -> Operation:
    match carrier:
        case Product(out=out, then=then):
            before = then.assigns if then else (Assign(out, Variable(out)),)
            return replace(carrier, then=Pointwise(out, (*before, *item.assigns)))
        case Pointwise(like, assigns):
            return Pointwise(like, (*assigns, *item.assigns))
    raise AssertionError("only products and pointwise operations carry others")


def stored(items: Sequence[Item]) -> tuple[str, ...]:
    """Names that lie in memory; what is assigned and read by no other operation does not.

    A product or pointwise operation can leave such a result in registers, others write it out.
    """
    found: dict[str, None] = {}
    for operation in flat(_operations(items)):
        found |= dict.fromkeys(reads(operation))
        if not isinstance(operation, Pointwise | Product):
            found |= dict.fromkeys(writes(operation))
    return tuple(found)


def live(items: Sequence[Item], kept: Sequence[str]) -> tuple[Item, ...]:
    """The items without pointwise operations and products whose results nobody reads.

    Results that are `kept` and gradients that are pushed are read. A worker whose columns of a
    concat are all of a field's has a gradient of them that nobody wants.
    """
    pushed = [gradient_of(i.param) for i in items if isinstance(i, PushParam)]
    while True:
        read = dict.fromkeys(base_of(n) for n in (*stored(items), *kept, *pushed))
        left = tuple(i for i in items if not _is_dead(i, read))
        if len(left) == len(items):
            return left
        items = left


def _is_dead(item: Item, read: Mapping[str, None]) -> bool:
    """Whether an operation that stores what is read, and no more, stores nothing."""
    if not isinstance(item, Pointwise | Product):
        return False
    return not any(base_of(n) in read for n in writes(item))
