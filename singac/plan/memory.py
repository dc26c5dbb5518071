"""What a phase keeps in memory: each tensor's rows and lifetime, and the names that mean its rows.

An unrolled tensor that is read at other steps takes room for those before its first and behind its
last; a delay is the same memory from another row on:

    memory of h    | -1 | 0 | 1 | 2 |      h from row 0 of step 0, h[t-1] from row 0 of step -1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from singac.layers.time import base_of, window
from singac.plan.fuse import stored
from singac.plan.items import Item, PullParam, PushParam
from singac.plan.loops import names_in
from singac.plan.order import Order
from singac.plan.place import Wish
from singac.plan.plan import Buffer, Space, padded

FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Memory:
    """A tensor of `steps` steps that is kept from `first` to `last`.

    It has room for the `before` steps in front of its own and the `after` steps behind them. Its
    rows are a worker's, or with a `batch` all of so many; one `of_batch` has one row in any case.
    """

    name: str
    columns: int
    steps: int
    before: int
    after: int
    first: int
    last: int
    of_batch: bool = False
    batch: int = 0

    def step_rows(self, own: int) -> int:
        """Rows of a step, where a worker has `own` rows of a batch."""
        return 1 if self.of_batch else self.batch or own

    def step_bytes(self, rows: int) -> int:
        return self.step_rows(rows) * padded(self.columns) * FLOAT_BYTES

    def bytes(self, rows: int) -> int:
        return (self.before + self.steps + self.after) * self.step_bytes(rows)

    def wish(self, rows: int) -> Wish:
        return Wish(self.name, self.bytes(rows), self.first, self.last)

    def view(self, name: str, rows: int, offset: int) -> Buffer:
        """The rows a name means, of memory that lies at `offset`."""
        part = window(name, self.steps)
        start = offset + (self.before + part.start) * self.step_bytes(rows)
        return Buffer(
            name,
            Space.ARENA,
            start,
            part.steps * self.step_rows(rows),
            self.columns,
            first=self.first,
            last=self.last,
            steps=part.steps,
        )


def memories(
    items: Sequence[Item],
    order: Order,
    fields: Sequence[str],
    watched: Sequence[str],
    batch: int,
) -> dict[str, Memory]:
    """Tensors that some operation reads, from their first to their last touch.

    Tensors to be watched are kept to the end, and carried states from the beginning.
    """
    used = [base_of(n) for n in (*stored(items), *watched)]
    kept = [n for n in dict.fromkeys(used) if n in order.columns]
    first, last = _lifetimes(items)
    first |= dict.fromkeys(fields, 0) | dict.fromkeys(order.carried, 0)
    last |= dict.fromkeys(watched, len(items)) | dict.fromkeys(order.carried, len(items))
    windows: dict[str, list[tuple[int, int]]] = {}
    steps = {**dict.fromkeys(kept, 1), **order.steps, **order.carried}
    for name in names_in(items):
        part = window(name, steps.get(base_of(name), 1))
        windows.setdefault(part.base, []).append((part.start, part.stop))
    found = {}
    for name in kept:
        parts = windows.get(name, [])
        before = max([0, *(-start for start, _ in parts)])
        after = max([0, *(stop - steps[name] for _, stop in parts)])
        room, alive = (steps[name], before, after), (first[name], last[name])
        rows = name in order.of_batch, batch if name in order.whole else 0
        found[name] = Memory(name, order.columns[name], *room, *alive, *rows)
    return found


def _lifetimes(items: Sequence[Item]) -> tuple[dict[str, int], dict[str, int]]:
    """First and last position at which each tensor is touched."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for position, item in enumerate(items):
        if isinstance(item, PullParam | PushParam):
            continue
        for name in names_in([item]):
            first.setdefault(base_of(name), position)
            last[base_of(name)] = position
    return first, last


def views(
    items: Sequence[Item], tensors: Mapping[str, Memory], rows: int, offsets: Mapping[str, int]
) -> dict[str, Buffer]:
    """A buffer for each name that means rows of a tensor in memory."""
    names = dict.fromkeys((*tensors, *names_in(items)))
    return {
        n: tensors[base_of(n)].view(n, rows, offsets[base_of(n)])
        for n in names
        if base_of(n) in tensors
    }
