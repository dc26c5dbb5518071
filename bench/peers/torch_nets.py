"""The nets of the contests in PyTorch, from params in our canonical shapes.

A net is a module that takes the fields of a batch and gives its loss.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

Params = Mapping[str, np.ndarray]


def tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(values, order="C"))


def dense(params: Params, name: str) -> nn.Linear:
    weight, bias = tensor(params[f"{name}.weight"]), tensor(params[f"{name}.bias"])
    layer = nn.Linear(*weight.shape)
    layer.weight.data, layer.bias.data = weight.T.contiguous(), bias
    return layer


def conv(params: Params, name: str, pad: int = 0) -> nn.Conv2d:
    weight, bias = tensor(params[f"{name}.weight"]), tensor(params[f"{name}.bias"])
    filters, channels, *kernel = weight.shape
    layer = nn.Conv2d(channels, filters, tuple(kernel), padding=pad)
    layer.weight.data, layer.bias.data = weight, bias
    return layer


class Classifier(nn.Module):
    """Layers in a row, and the loss of their scores."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(self.layers(image), label)


def mnist_mlp(params: Params) -> nn.Module:
    hidden = [m for k in range(1, 6) for m in (dense(params, f"fc{k}"), nn.Tanh())]
    return Classifier(*hidden, dense(params, "fc6"))


def lenet(params: Params) -> nn.Module:
    convolutions = [m for k in (1, 2) for m in (conv(params, f"conv{k}"), nn.MaxPool2d(2))]
    fully = (nn.Flatten(), dense(params, "fc1"), nn.ReLU(), dense(params, "fc2"))
    return Classifier(*convolutions, *fully)


def cifar_quick(params: Params) -> nn.Module:
    def pooled(kind: type[nn.MaxPool2d] | type[nn.AvgPool2d]) -> nn.Module:
        return kind(3, 2, ceil_mode=True)

    def normalised() -> nn.Module:
        return nn.LocalResponseNorm(3, alpha=5e-5, beta=0.75, k=1.0)

    first = (conv(params, "conv1", 2), pooled(nn.MaxPool2d), nn.ReLU(), normalised())
    second = (conv(params, "conv2", 2), nn.ReLU(), pooled(nn.AvgPool2d), normalised())
    third = (conv(params, "conv3", 2), nn.ReLU(), pooled(nn.AvgPool2d))
    return Classifier(*first, *second, *third, nn.Flatten(), dense(params, "ip1"))


class CharGru(nn.Module):
    """PyTorch's own GRU on one-hot characters. Its second bias stays zero: our GRU has one."""

    def __init__(self, params: Params) -> None:
        super().__init__()
        weight_x, weight_h, bias = (_gates(params, f"h.{w}") for w in WEIGHTS)
        self.vocabulary, units = weight_x.shape[0], weight_h.shape[0]
        self.gru = nn.GRU(self.vocabulary, units)
        self.gru.weight_ih_l0.data = weight_x.T.contiguous()
        self.gru.weight_hh_l0.data = weight_h.T.contiguous()
        self.gru.bias_ih_l0.data = bias
        self.gru.bias_hh_l0.data.zero_()
        self.gru.bias_hh_l0.requires_grad_(False)
        self.score = dense(params, "score")

    def forward(self, char: Tensor, following: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Fields [steps][batch]; the state is [batch][units]."""
        given = F.one_hot(char, self.vocabulary).float()
        states, last = self.gru(given, state[None])
        scores = self.score(states).flatten(0, 1)
        return F.cross_entropy(scores, following.flatten()), last[0].detach()


class GatheredGru(nn.Module):
    """The same by hand: a product with one-hot rows only picks rows, so they are looked up.

    What is `compiled` is a cell: all steps together take minutes to compile.
    """

    def __init__(self, params: Params, compiled: bool) -> None:
        super().__init__()
        self.weight_x, self.weight_h, self.bias = (
            nn.Parameter(_gates(params, f"h.{w}")) for w in WEIGHTS
        )
        self.score = dense(params, "score")
        self.cell = torch.compile(_cell) if compiled else _cell

    def forward(self, char: Tensor, following: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        states = []
        for given in (F.embedding(char, self.weight_x) + self.bias).unbind():
            state = self.cell(given, state @ self.weight_h, state)
            states.append(state)
        scores = self.score(torch.stack(states)).flatten(0, 1)
        return F.cross_entropy(scores, following.flatten()), state.detach()


def _cell(x: Tensor, h: Tensor, state: Tensor) -> Tensor:
    reset_x, update_x, new_x = x.chunk(3, 1)
    reset_h, update_h, new_h = h.chunk(3, 1)
    reset, update = torch.sigmoid(reset_x + reset_h), torch.sigmoid(update_x + update_h)
    new = torch.tanh(new_x + reset * new_h)
    return new + update * (state - new)


WEIGHTS = ("weight_x", "weight_h", "bias")


def _gates(params: Params, name: str) -> Tensor:
    """In PyTorch's order, reset, update, new; ours is update, reset, candidate."""
    update, reset, new = np.split(params[name], 3, axis=-1)
    return tensor(np.concatenate([reset, update, new], axis=-1))


CLASSIFIERS = {"mnist_mlp": mnist_mlp, "lenet": lenet, "cifar_quick": cifar_quick}
SHAPES = {"mnist_mlp": (784,), "lenet": (1, 28, 28), "cifar_quick": (3, 32, 32)}
