"""PyTorch as a peer: `python -m bench.peers.pytorch NET GIVEN WORD...`

Words say how: `fused` (the fused SGD), `channels_last`, `compiled` (torch.compile), `gathered` (a
GRU by hand), `ddp` (one of several processes, by the environment that torchrun would set).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from bench.peers.torch_nets import CLASSIFIERS, SHAPES, CharGru, GatheredGru, tensor
from bench.peers.turns import MOMENTUM, RATES, Given, Step, kept, serve


def main() -> None:
    net, folder, *words = sys.argv[1:]
    torch.set_flush_denormal(True)
    if "ddp" in words:
        torch.set_num_threads(1)
        torch.distributed.init_process_group("gloo")
    given = Given(folder)
    serve(NETS[net](net, given, words))


def _sgd(net: nn.Module, rate: float, words: Sequence[str]) -> torch.optim.SGD:
    learnt = [p for p in net.parameters() if p.requires_grad]
    fused = True if "fused" in words else None
    return torch.optim.SGD(learnt, rate, MOMENTUM, fused=fused)


def _compiled(net: nn.Module, words: Sequence[str]) -> nn.Module | Callable[..., Tensor]:
    return torch.compile(net) if "compiled" in words else net


def _step(loss_of: Callable[[int], Tensor], optimizer: torch.optim.Optimizer) -> Step:
    def step(number: int) -> Tensor:
        optimizer.zero_grad()
        loss = loss_of(number)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def classifier(name: str, given: Given, words: Sequence[str]) -> Step:
    net = CLASSIFIERS[name](given.params)
    layout = torch.channels_last if "channels_last" in words else torch.contiguous_format
    if len(SHAPES[name]) == 3:
        net = net.to(memory_format=layout)
    images, labels = given.batches("image"), given.batches("label")
    own = _own_rows(images.shape[1], words)

    def batch(number: int) -> tuple[Tensor, Tensor]:
        image = tensor(images[number, own]).reshape(-1, *SHAPES[name])
        if image.ndim == 4:
            image = image.contiguous(memory_format=layout)
        return image, tensor(labels[number, own, 0]).long()

    batches, run = kept(batch), _compiled(_parallel(net, words), words)
    return _step(lambda k: run(*batches(k)), _sgd(net, RATES[name], words))


def _own_rows(batch: int, words: Sequence[str]) -> slice:
    """The rows of a batch that this process trains on."""
    if "ddp" not in words:
        return slice(None)
    rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    rows = batch // size
    return slice(rank * rows, (rank + 1) * rows)


def _parallel(net: nn.Module, words: Sequence[str]) -> nn.Module:
    if "ddp" not in words:
        return net
    small = {"bucket_cap_mb": 1} if "small_buckets" in words else {}
    return DistributedDataParallel(net, gradient_as_bucket_view=True, static_graph=True, **small)


def char_gru(name: str, given: Given, words: Sequence[str]) -> Step:
    by_hand = "gathered" in words
    net = GatheredGru(given.params, "compiled" in words) if by_hand else CharGru(given.params)
    chars, followings = (given.batches(field) for field in ("char", "next"))
    batches = kept(lambda k: (tensor(chars[k].T).long(), tensor(followings[k].T).long()))
    state = torch.zeros(chars.shape[1], given.params["h.weight_h"].shape[0])

    def loss_of(number: int) -> Tensor:
        nonlocal state
        loss, state = net(*batches(number), state)
        return loss

    return _step(loss_of, _sgd(net, RATES[name], words))


def rbm(name: str, given: Given, words: Sequence[str]) -> Step:
    """By hand: products that add to the momentum itself leave nothing to an optimizer."""
    w, b, c = (tensor(given.params[p]) for p in ("w", "b", "c"))
    change = [torch.zeros_like(p) for p in (w, b, c)]
    images = given.batches("image")
    batches = kept(lambda k: tensor(images[k]))

    def contrast(data: Tensor) -> Tensor:
        share = 1 / len(data)
        h0 = torch.sigmoid(torch.addmm(c, data, w))
        v1 = torch.sigmoid(torch.addmm(b, torch.bernoulli(h0), w.T))
        h1 = torch.sigmoid(torch.addmm(c, v1, w))
        change[0].addmm_(v1.T, h1, beta=MOMENTUM, alpha=share)
        change[0].addmm_(data.T, h0, alpha=-share)
        change[1].mul_(MOMENTUM).add_((v1 - data).mean(0))
        change[2].mul_(MOMENTUM).add_((h1 - h0).mean(0))
        for param, moved in zip((w, b, c), change, strict=True):
            param.sub_(moved, alpha=RATES[name])
        return (v1 - data).square().sum() * share

    run = torch.compile(contrast) if "compiled" in words else contrast

    @torch.no_grad()
    def step(number: int) -> Tensor:
        return run(batches(number))

    return step


NETS: dict[str, Callable[[str, Given, Sequence[str]], Step]] = {
    **dict.fromkeys(CLASSIFIERS, classifier),
    "char_gru": char_gru,
    "rbm": rbm,
}

if __name__ == "__main__":
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    main()
