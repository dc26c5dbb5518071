"""What starts a contestant: commands and variables, one for each of its processes."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from bench.contestant import Entry
from bench.works import CORES, Peer, Words, Work

ROOT = Path(__file__).parent.parent
MODULES = {"torch": "bench.peers.pytorch", "jax": "bench.peers.jit"}
OURS = {"PYTHONPATH": str(ROOT)}


def ours(file: Path, words: Words, work: Work) -> Entry:
    command = (sys.executable, "-m", "bench.ours", str(file), *words, *work.lets)
    return Entry(" ".join(("ours", *words)), (command,), (OURS,))


def peer(peer: Peer, file: Path, work: Work, python: str) -> Entry:
    """A peer of a work, by its interpreter; what it is given lies beside the file."""
    if peer.framework == "ours":
        return ours(file, peer.words, work)
    module = MODULES[peer.framework]
    command = (python, "-m", module, work.net, str(file.parent), *peer.words)
    ranks = range(work.ranks)
    group = _group(work.ranks) if work.ranks > 1 else {}
    threads = str(CORES // work.ranks)
    common = {**OURS, **group, "OMP_NUM_THREADS": threads, "THP_MEM_ALLOC_ENABLE": "1"}
    variables = tuple(common | ({"RANK": str(rank)} if group else {}) for rank in ranks)
    return Entry(peer.name, (command,) * work.ranks, variables)


def _group(ranks: int) -> dict[str, str]:
    """What torchrun would set, but for the rank."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
