"""A work raced from its text to a row of the table."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import entries, given, race
from bench.contestant import Broken, Contestant, Entry
from bench.race import Ratio, Turn
from bench.works import FILL, Words, Work
from singac import warm
from singac.compile import compile_file
from singac.model.choices import Choices
from singac.model.program import Change

QUALIFYING_ROUNDS = 3
FINALISTS = 2


@dataclass(frozen=True, slots=True)
class Settings:
    """How peers are started, how long the final is, of how many steps losses are compared, what
    looks at the machine, and who hears of it."""

    python: str
    rounds: int
    losses: int
    probe: Callable[[], float]
    say: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Rival:
    """A peer in the final: seconds a step, how many times as fast ours was, bytes it held, and the
    largest relative difference of its losses from ours, where they were compared."""

    name: str
    seconds: float
    ratio: Ratio
    memory: int
    difference: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """How a work came out; `rivals` from the fastest on, `left_out` of so many `rounds`."""

    work: str
    goal: float
    ours: str
    seconds: float
    memory: int
    rivals: tuple[Rival, ...]
    left_out: int
    rounds: int


def contest(title: str, work: Work, folder: Path, settings: Settings) -> Row:
    """Race a work in a folder of its own. Raises Broken where no ours or no peer can run."""
    file = folder / f"{work.net}.singa"
    shutil.copy(entries.ROOT / "bench" / "works" / file.name, file)
    FILL[work.net](folder)
    _give(file, work)
    mine = [entries.ours(file, words, work) for words in work.ours]
    others = [entries.peer(peer, file, work, settings.python) for peer in work.peers]
    with _running(mine, folder) as ours, _running(others, folder) as peers:
        compares = bool(settings.losses) and not work.draws
        losses = _losses(file, work)[: settings.losses] if compares else []
        differences = _compared(peers, losses, settings.say)
        if not peers:
            raise Broken("there is no peer that can run")
        runners = _qualified(ours, peers, settings)
        return _final(title, work, runners, differences, settings)


def _give(file: Path, work: Work) -> None:
    changes = tuple(Change("let", *text.split("=")) for text in work.lets[1::2])
    (compiled,) = compile_file(str(file), Choices(np=1, changes=changes), warm.data_folder())
    given.give(compiled, warm.data_folder(), file.parent)


@contextlib.contextmanager
def _running(entries: Sequence[Entry], folder: Path) -> Iterator[list[Contestant]]:
    runners = [Contestant(entry, folder) for entry in entries]
    try:
        yield runners
    finally:
        for runner in runners:
            runner.end()


# -- the same numbers ------------------------------------------------------------------------------


def _losses(file: Path, work: Work) -> list[float]:
    """What `singac run` prints of the first steps, on as many processes as the race has."""
    words: Words = (*work.ours[0], *work.lets, "--set", "train.display=every(1)", "--json")
    command = [sys.executable, "-m", "singac.cli", "run", str(file), *words]
    folder = ("--run-dir", str(file.parent / "run"))
    run = subprocess.run([*command, *folder], capture_output=True, text=True)
    if run.returncode:
        raise Broken(run.stderr)
    events = [json.loads(line) for line in run.stdout.splitlines()]
    return [event["loss"] for event in events if event["event"] == "step"]


def _compared(
    peers: list[Contestant], losses: Sequence[float], say: Callable[[str], None]
) -> dict[str, float]:
    """Largest relative difference of each peer's losses; who cannot run leaves the list."""
    found: dict[str, float] = {}
    for peer in [*peers]:
        try:
            if not losses or peer.name.startswith("ours"):
                peer.turn(2)
                continue
            theirs = peer.losses(len(losses))
            pairs = zip(losses, theirs, strict=True)
            differs = found[peer.name] = max(abs(a - b) / abs(a) for a, b in pairs)
            say(f"{peer.name}: loss {losses[-1]:.5f}, {theirs[-1]:.5f}, differs by {differs:.1e}")
        except Broken as broken:
            say(f"{peer.name} is left out: {str(broken).strip().splitlines()[-1:]}")
            peers.remove(peer)
            peer.end()
    return found


# -- the race --------------------------------------------------------------------------------------


def _qualified(
    ours: Sequence[Contestant], peers: Sequence[Contestant], settings: Settings
) -> list[Contestant]:
    """The fastest of ours, then the fastest peers; the others end."""
    turns = race.take_turns([*ours, *peers], QUALIFYING_ROUNDS, settings.probe)

    def seconds(runner: Contestant) -> float:
        return min(turn.seconds for turn in turns[runner.name])

    for runner in (*ours, *peers):
        settings.say(f"{runner.name}: {1e3 * seconds(runner):.2f} ms a step")

    mine, others = sorted(ours, key=seconds), sorted(peers, key=seconds)
    for left in (*mine[1:], *others[FINALISTS:]):
        left.end()
    return [mine[0], *others[:FINALISTS]]


def _final(
    title: str,
    work: Work,
    runners: Sequence[Contestant],
    differences: Mapping[str, float],
    settings: Settings,
) -> Row:
    all_turns = race.take_turns(runners, settings.rounds, settings.probe)
    turns, left_out = race.sound(all_turns)
    settings.say(race.told(all_turns))
    ours, *others = runners
    own = turns[ours.name]

    def rival(runner: Contestant) -> Rival:
        theirs: Sequence[Turn] = turns[runner.name]
        return Rival(
            runner.name,
            race.step_seconds(theirs),
            race.ratio(own, theirs),
            runner.memory(),
            differences.get(runner.name),
        )

    rivals = sorted(map(rival, others), key=lambda found: found.seconds)
    return Row(
        title,
        work.goal,
        ours.name,
        race.step_seconds(own),
        ours.memory(),
        tuple(rivals),
        left_out,
        settings.rounds,
    )
