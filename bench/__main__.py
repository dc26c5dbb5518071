"""`python -m bench`: training races against PyTorch and JAX; a Markdown table on stdout."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench import table
from bench.contest import Settings, contest
from bench.contestant import Broken
from bench.works import CORES, WORKS, Work
from singac.codegen.host import current
from singac.codegen.peak import Machine

VERSIONS = "import torch, jax; print(f'PyTorch {torch.__version__}, JAX {jax.__version__}')"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("works", nargs="*", metavar="WORK", help="part of a name; all by default")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each in a final [15]")
    parser.add_argument("--python", default=sys.executable, help="of the peers, with torch and jax")
    parser.add_argument(
        "--losses", type=int, default=50, help="of how many steps losses are compared [50]"
    )
    parser.add_argument(
        "--peer", action="append", metavar="NAME", help="only these, as in --peer 'torch fused'"
    )
    options = parser.parse_args(words)
    peers = _versions(options.python)
    if peers is None:
        print("the peers are missing: pip install 'singac[bench]'", file=sys.stderr)
        return 3
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    settings = Settings(options.python, options.rounds, options.losses, Machine(CORES).gflops, _say)
    print(f"{CORES} cores ({current().cpu}), {peers}\n\n{table.head()}", flush=True)
    for title in _chosen(options.works):
        _race(title, _with_peers(WORKS[title], options.peer), settings)
    return 0


def _versions(python: str) -> str | None:
    """What the interpreter of the peers has; None where one of them is missing."""
    asked = subprocess.run([python, "-c", VERSIONS], capture_output=True, text=True)
    return asked.stdout.strip() or None


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _chosen(wanted: Sequence[str]) -> list[str]:
    """Titles of works: those that are named, or have the words in them, or all."""
    if not wanted:
        return list(WORKS)
    named = [[w] if w in WORKS else [title for title in WORKS if w in title] for w in wanted]
    return list(dict.fromkeys(title for titles in named for title in titles))


def _with_peers(work: Work, names: Sequence[str] | None) -> Work:
    peers = tuple(peer for peer in work.peers if names is None or peer.name in names)
    return replace(work, peers=peers or work.peers)


def _race(title: str, work: Work, settings: Settings) -> None:
    """The line of a work, as soon as it has been raced."""
    _say(f"-- {title}")
    with tempfile.TemporaryDirectory(prefix="singac-race-") as folder:
        try:
            print(table.line(contest(title, work, Path(folder), settings)), flush=True)
        except Broken as broken:
            _say(f"{title} could not be raced: {broken}")


if __name__ == "__main__":
    sys.exit(main())
