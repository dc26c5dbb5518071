"""What a direct convolution computes, group by group, in which tiles and in what memory."""

from __future__ import annotations

from dataclasses import dataclass

from singac.codegen.ir import FLOAT_BYTES, HALF
from singac.codegen.runs import Runs, Sheets, plane
from singac.layers.operations import Role
from singac.layers.windows import Windows
from singac.plan.plan import padded

MOST_RUNS = 4  # of a tile on any machine: two vectors of two
L1_FLOATS = 7168  # what of a block of examples should stay in the nearest cache
# Rows of a tile, where the register tile of a product has more: the vectors of a tile are joined
# of runs in registers.
MOST_ROWS = 12

# Filters and taps of a tile of the weight's gradient, and runs of its vectors, by vector bits.
# fmt: off
GRADIENT_TILES = {
    512: (5, 5, 2),   # 25 accumulators of 32 registers
    256: (3, 4, 1),   # 12 of 16
    128: (2, 2, 1),   # 4 pairs
    32:  (1, 2, 1),
}
# fmt: on


@dataclass(frozen=True, slots=True)
class Group:
    """Filters, channels and taps of one of the groups of a convolution."""

    windows: Windows
    role: Role
    groups: int
    filters: int
    channels: int

    @property
    def taps(self) -> int:
        """Taps of a filter over all its channels."""
        return self.channels * self.windows.taps

    @property
    def block(self) -> int:
        """Examples whose part of a tile of the weight's gradient stays in the nearest cache."""
        filters = max(tile[0] for tile in GRADIENT_TILES.values())
        each = filters * Runs(self.windows).count * HALF + plane(self.windows)
        return max(1, L1_FLOATS // each)

    @property
    def examples(self) -> int:
        """Sheets there is room for."""
        return self.block if self.role is Role.WEIGHT_GRADIENT else 1

    @property
    def sheets(self) -> Sheets:
        return Sheets(self.windows, self.examples)

    @property
    def lies_in_runs(self) -> bool:
        """Whether a result is its runs, whatever the tile."""
        runs = Runs(self.windows)
        return runs.whole and runs.slots(MOST_RUNS) == runs.count

    @property
    def filter_bytes(self) -> int:
        """From one filter's gradients in runs to the next's."""
        return Runs(self.windows).slots(MOST_RUNS) * HALF * FLOAT_BYTES

    @property
    def gradient_floats(self) -> int:
        """Of an example's gradient of the result, run by run."""
        return self.filters * Runs(self.windows).slots(MOST_RUNS) * HALF

    @property
    def floats(self) -> tuple[int, ...]:
        """Working memory for sheets, gradients in runs, and the packed weight."""
        laid_out = self.role is not Role.FORWARD and not self.lies_in_runs
        weighs = self.role is not Role.WEIGHT_GRADIENT
        return (
            self.sheets.floats,
            self.examples * self.gradient_floats if laid_out else 0,
            padded(self.groups * self.filters * self.taps) if weighs else 0,
        )


def suits(windows: Windows) -> bool:
    """Whether few lanes of the runs of a row would be idle."""
    width = windows.places[1]
    return width >= 0.7 * Runs(windows).per_row * HALF


def scratch_bytes(group: Group) -> int:
    """Bytes of 64-byte aligned working memory on any machine."""
    return sum(group.floats) * FLOAT_BYTES


def tiles(count: int, most: int) -> list[tuple[int, int, int]]:
    """`count` in as few tiles as there must be, as even as can be: (start, stop, size) of both."""
    number = -(-count // most)
    size, larger = divmod(count, number)
    middle = larger * (size + 1)
    tiles = [(0, middle, size + 1), (middle, count, size)]
    return [tile for tile in tiles if tile[0] < tile[1]]
