"""The works that are raced: a net, how ours may be cut, and the peers at their best."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import data

CORES = 2

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Peer:
    """A framework, `ours` among them, and words that say how it is used."""

    framework: str
    words: Words = ()

    @property
    def name(self) -> str:
        return " ".join((self.framework, *self.words))


@dataclass(frozen=True, slots=True)
class Work:
    """`ours` are words of `singac bench`, the fastest of which counts, as of the peers.

    `net` is a file of `bench/works`, compiled with `lets`; `ranks` how many processes peers have;
    `goal` the ratio to reach. Of a work that `draws` losses cannot be compared: no two draw alike.
    """

    net: str
    ours: tuple[Words, ...]
    peers: tuple[Peer, ...]
    goal: float
    lets: Words = ()
    ranks: int = 1
    draws: bool = False


def _torch(*words: str) -> tuple[Peer, ...]:
    """With and without what each word says where it may be left out (`word?`)."""
    found: list[Words] = [()]
    for word in words:
        added = [(*before, word.rstrip("?")) for before in found]
        found = [*found, *added] if word.endswith("?") else added
    return tuple(Peer("torch", each) for each in found)


JAX = Peer("jax")
TWO: Words = ("-np", "2")
BATCH: Words = (*TWO, "--partition", "batch")  # else a file's only partition counts
SIXTEEN: Words = ("-np", "16", "--partition", "batch")
CUTS = (BATCH, (*TWO, "--partition", "hybrid"), (*TWO, "--partition", "auto"))
SMALL: Words = ("--let", "examples=64")
DENSE = (*_torch("fused?"), *_torch("fused", "compiled"), JAX)
IMAGES = (*_torch("fused?", "channels_last?"), *_torch("fused", "channels_last?", "compiled"), JAX)
GRU = (*_torch("fused", "gathered?"), *_torch("fused", "gathered", "compiled"), JAX)
RBM = (*_torch("compiled?"), JAX)
DDP = _torch("ddp", "fused", "small_buckets?")
DDP_IMAGES = _torch("ddp", "fused", "channels_last?", "small_buckets?")
OURS = (Peer("ours", BATCH),)

# fmt: off
WORKS: Mapping[str, Work] = {
    "MLP, batch 1000":      Work("mnist_mlp",   CUTS,       DENSE,      1.08),
    "MLP, batch 64":        Work("mnist_mlp",   CUTS,       DENSE,      1.5,  SMALL),
    "LeNet, batch 64":      Work("lenet",       (BATCH,),   IMAGES,     2.2),
    "CIFAR, batch 100":     Work("cifar_quick", (BATCH,),   IMAGES,     2.0),
    "GRU, batch 50":        Work("char_gru",    (BATCH,),   GRU,        1.8),
    "RBM, batch 100":       Work("rbm",         (BATCH,),   RBM,        1.4,  draws=True),
    "MLP, batch 1000, DDP": Work("mnist_mlp",   CUTS,       DDP,        1.45, ranks=2),
    "MLP, batch 64, DDP":   Work("mnist_mlp",   CUTS,       DDP,        4.0,  SMALL, ranks=2),
    "LeNet, batch 64, DDP": Work("lenet",       (BATCH,),   DDP_IMAGES, 3.0,  ranks=2),
    "MLP, 16 processes":    Work("mnist_mlp",   (SIXTEEN,), OURS,       0.7),
}
FILL: Mapping[str, Callable[[Path], None]] = {
    "mnist_mlp":   lambda folder: data.pictures(folder, 28, 28),
    "lenet":       lambda folder: data.pictures(folder, 28, 28),
    "cifar_quick": lambda folder: data.pictures(folder, 3, 32, 32),
    "char_gru":    data.text,
    "rbm":         lambda folder: data.pictures(folder, 28, 28),
}
# fmt: on
