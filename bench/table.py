"""Rows -> the lines of a Markdown table."""

from __future__ import annotations

from collections.abc import Sequence

from bench.contest import Rival, Row

HEAD = (
    "work", "ours", "ms", "best peer", "ms", "ratio (95 %)", "at least", "reached", "memory",
    "losses differ by", "rounds",
)  # fmt: skip


def head() -> str:
    return "\n".join((_cells(HEAD), _cells(["---"] * len(HEAD))))


def line(row: Row) -> str:
    """A work: ours beside the fastest peer."""
    return _cells(_line(row))


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


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
