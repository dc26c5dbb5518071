"""Rows -> a Markdown table."""

from __future__ import annotations

from collections.abc import Sequence

from bench.contest import Rival, Row

HEAD = (
    "work", "ours", "ms", "best peer", "ms", "ratio (95 %)", "at least", "reached", "memory",
    "losses differ by", "rounds",
)  # fmt: skip


def as_table(rows: Sequence[Row]) -> str:
    """A line for each work: ours beside the fastest peer."""
    lines = [HEAD, tuple("---" for _ in HEAD), *map(_line, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _line(row: Row) -> tuple[str, ...]:
    peer = row.rivals[0]
    return (
        row.work,
        row.ours.removeprefix("ours "),
        _milliseconds(row.seconds),
        peer.name,
        _milliseconds(peer.seconds),
        f"{peer.ratio.median:.2f} ({peer.ratio.low:.2f} to {peer.ratio.high:.2f})",
        f"{row.goal:g}",
        "yes" if peer.ratio.median >= row.goal else "no",
        _memory(row, peer),
        f"{peer.difference:.0e}" if peer.difference is not None else "-",
        f"{row.rounds - row.left_out} of {row.rounds}",
    )


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.3g}"


def _memory(row: Row, peer: Rival) -> str:
    return f"{row.memory / 2**20:.0f} / {peer.memory / 2**20:.0f} MiB"
