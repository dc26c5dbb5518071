"""Pointwise operations -> done by the operation that produces their operand.

A product has its result in registers; a bias, an activation or a derivative that follows costs
nothing there and saves a pass through memory. The pointwise operation moves up to its producer
when nothing between the two minds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from singac.layers.expression import Variable
from singac.layers.operations import Assign, Operation, Pointwise, Product, Role, reads, writes
from singac.plan.order import Item, PullParam, PushParam

Columns = Mapping[str, int]


def fuse(items: Sequence[Item], columns: Columns) -> tuple[Item, ...]:
    """The items with every pointwise operation merged into its producer where it can be.

    `columns` are those of every tensor of a layer. The result of each operation is unchanged.
    """
    done: list[Item] = []
    for item in items:
        carrier = _carrier(item, done, columns) if isinstance(item, Pointwise) else None
        if carrier is None or not isinstance(item, Pointwise):
            done.append(item)
        else:
            done[carrier] = _merged(done[carrier], item)
    return tuple(done)


def _carrier(item: Pointwise, done: list[Item], columns: Columns) -> int | None:
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
            return position if _can_carry(other, item, columns) else None
        if _touch((*reads(other), *writes(other)), writes(item)):
            return None
    return None


def _touch(some: Sequence[str], others: Sequence[str]) -> bool:
    return any(name in others for name in some)


def _can_carry(carrier: Operation, item: Pointwise, columns: Columns) -> bool:
    match carrier:
        case Product(role, out, left, right, accumulate):
            if role is Role.WEIGHT_GRADIENT or accumulate:
                return False
            # Other columns of a row are computed after these: its operands must stay as they are.
            overwritten = _touch((left, right), writes(item))
            return columns[out] == columns[item.like] and not overwritten
        case Pointwise(like):
            return columns[like] == columns[item.like]
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
    for item in items:
        if not isinstance(item, PullParam | PushParam):
            found |= dict.fromkeys(reads(item))
        if not isinstance(item, PullParam | PushParam | Pointwise | Product):
            found |= dict.fromkeys(writes(item))
    return tuple(found)
