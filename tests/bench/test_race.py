"""Races: turns of real processes, medians of pairs, and what of a bad moment is left out."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import race, table
from bench.__main__ import main
from bench.contest import Rival, Row
from bench.contestant import Broken, Contestant, Entry
from bench.race import Ratio, Turn

ROOT = Path(__file__).parents[2]
SLEEPER = """
import sys, time
from bench.peers.turns import serve
serve(lambda number: time.sleep({milliseconds} / 1e3) or 1 / (number + 1))
"""


def entry(name: str, milliseconds: float, processes: int = 1) -> Entry:
    """A peer whose steps take so long."""
    command = (sys.executable, "-c", SLEEPER.format(milliseconds=milliseconds))
    return Entry(name, (command,) * processes, ({"PYTHONPATH": str(ROOT)},) * processes)


@pytest.fixture
def sleepers(tmp_path: Path) -> Iterator[list[Contestant]]:
    runners = [Contestant(entry("quick", 2), tmp_path), Contestant(entry("slow", 6, 2), tmp_path)]
    yield runners
    for runner in runners:
        runner.end()


def test_trivial_peers_take_turns(sleepers: list[Contestant]) -> None:
    """One of two processes, too: its losses are the mean of theirs, its time that of the slower."""
    quick, slow = sleepers
    assert quick.losses(3) == slow.losses(3) == pytest.approx([1, 1 / 2, 1 / 3])
    turns = race.take_turns(sleepers, 4, probe=lambda: 1.0, turn_seconds=0.02)
    assert [len(own) for own in turns.values()] == [4, 4]
    found = race.ratio(turns["quick"], turns["slow"])
    assert 1.5 < found.low <= found.median <= found.high < 6
    assert slow.memory() > quick.memory() > 5_000_000


def test_a_peer_that_cannot_run_tells_why(tmp_path: Path) -> None:
    broken = Contestant(
        Entry("broken", ((sys.executable, "-c", "raise SystemExit('no compiler')"),)), tmp_path
    )
    with pytest.raises(Broken, match="no compiler"):
        broken.turn(1)
    broken.end()


def test_the_order_of_each_round_is_turned_round() -> None:
    order: list[str] = []

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        def turn(self, steps: int) -> float:
            order.append(self.name)
            return 0.1 * steps

    race.take_turns([Named("a"), Named("b")], 3, probe=lambda: 1.0)
    assert "".join(order) == "aabb" + "ab" + "ba" + "ab"


def test_rounds_of_a_bad_moment_are_left_out() -> None:
    good, bad = Turn(1.0, 100.0), Turn(9.0, 80.0)
    kept, left_out = race.sound({"a": [good, good, bad], "b": [good, bad, good]})
    assert kept == {"a": [good], "b": [good]}
    assert left_out == 2


def test_some_rounds_are_always_left() -> None:
    turns = [Turn(1.0, probe) for probe in (100.0, 70.0, 60.0, 90.0, 50.0, 40.0)]
    others = [Turn(2.0, 10.0 + turn.probe) for turn in reversed(turns)]
    kept, left_out = race.sound({"a": turns, "b": others})
    assert len(kept["a"]) == len(kept["b"]) == 6 - left_out >= 2


def test_a_ratio_is_the_median_of_pairs() -> None:
    ours = [Turn(seconds, 1.0) for seconds in (1.0, 2.0, 4.0)]
    theirs = [Turn(seconds, 1.0) for seconds in (2.0, 6.0, 8.0)]
    found = race.ratio(ours, theirs)
    assert (found.median, found.low, found.high) == (2.0, 2.0, 3.0)


def test_the_table() -> None:
    rival = Rival("torch fused", 0.02, Ratio(2.0, 1.9, 2.1), 300 << 20, 1.2e-5)
    row = Row("MLP", 1.5, "ours -np 2", 0.01, 100 << 20, (rival,), 1, 15)
    assert table.head().count("|") == 2 * table.line(row).count("|")
    assert table.line(row) == (
        "| MLP | -np 2 | 10 | torch fused | 20 | 2.00 (1.90 to 2.10) | 1.5 | yes | "
        "100 / 300 MiB | 1e-05 | 14 of 15 |"
    )


def test_missing_peers_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    nothing = shutil.which("false")
    assert nothing
    assert main(["--python", nothing]) == 3
    assert "pip install 'singac[bench]'" in capsys.readouterr().err
