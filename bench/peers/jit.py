"""JAX as a peer, each step compiled whole: `python -m bench.peers.jit NET GIVEN`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bench.peers.turns import MOMENTUM, RATES, Given, Step, kept, serve

Params = dict[str, Any]
Loss = Callable[..., Any]


def main() -> None:
    net, folder = sys.argv[1:]
    given = Given(folder)
    serve(NETS[net](given), jax.block_until_ready)


def _dense(params: Params, name: str, x: Any) -> Any:
    return x @ params[f"{name}.weight"] + params[f"{name}.bias"]


def _cross_entropy(scores: Any, labels: Any) -> Any:
    logs = jax.nn.log_softmax(scores)
    return -jnp.take_along_axis(logs, labels[..., None], -1).mean()


def _conv(params: Params, name: str, x: Any, pad: int = 0) -> Any:
    """Pixels before channels, as the compiler likes them."""
    weight = params[f"{name}.weight"].transpose(2, 3, 1, 0)
    pads, order = [(pad, pad)] * 2, ("NHWC", "HWIO", "NHWC")
    found = lax.conv_general_dilated(x, weight, (1, 1), pads, dimension_numbers=order)
    return found + params[f"{name}.bias"]


def _pool(x: Any, size: int, stride: int, maximum: bool) -> Any:
    """The last window may reach past the image."""
    over = -(x.shape[1] - size) % stride
    pads = ((0, 0), (0, over), (0, over), (0, 0))
    window, strides = (1, size, size, 1), (1, stride, stride, 1)
    if maximum:
        return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, pads)
    sums = lax.reduce_window(x, 0.0, lax.add, window, strides, pads)
    ones = lax.reduce_window(jnp.ones_like(x[:1, :, :, :1]), 0.0, lax.add, window, strides, pads)
    return sums / ones


def _lrn(x: Any) -> Any:
    sums = lax.reduce_window(
        x * x, 0.0, lax.add, (1, 1, 1, 3), (1, 1, 1, 1), ((0, 0), (0, 0), (0, 0), (1, 1))
    )
    return x * (1 + 5e-5 / 3 * sums) ** -0.75


def _flat(x: Any) -> Any:
    return x.transpose(0, 3, 1, 2).reshape(len(x), -1)


def mnist_mlp(params: Params, image: Any, label: Any) -> Any:
    for k in range(1, 6):
        image = jnp.tanh(_dense(params, f"fc{k}", image))
    return _cross_entropy(_dense(params, "fc6", image), label)


def lenet(params: Params, image: Any, label: Any) -> Any:
    for name in ("conv1", "conv2"):
        image = _pool(_conv(params, name, image), 2, 2, maximum=True)
    hidden = jax.nn.relu(_dense(params, "fc1", _flat(image)))
    return _cross_entropy(_dense(params, "fc2", hidden), label)


def cifar_quick(params: Params, image: Any, label: Any) -> Any:
    x = _lrn(jax.nn.relu(_pool(_conv(params, "conv1", image, 2), 3, 2, maximum=True)))
    x = _lrn(_pool(jax.nn.relu(_conv(params, "conv2", x, 2)), 3, 2, maximum=False))
    x = _pool(jax.nn.relu(_conv(params, "conv3", x, 2)), 3, 2, maximum=False)
    return _cross_entropy(_dense(params, "ip1", _flat(x)), label)


SHAPES = {mnist_mlp: (784,), lenet: (1, 28, 28), cifar_quick: (3, 32, 32)}


def classifier(net: Loss, given: Given) -> Step:
    images, labels = given.batches("image"), given.batches("label")

    def batch(number: int) -> tuple[Any, Any]:
        image = images[number].reshape(-1, *SHAPES[net])
        if image.ndim == 4:
            image = image.transpose(0, 2, 3, 1)
        return jnp.asarray(image), jnp.asarray(labels[number, :, 0].astype(np.int32))

    batches = kept(batch)
    params = {name: jnp.asarray(value) for name, value in given.params.items()}
    state = (params, jax.tree.map(jnp.zeros_like, params))

    @partial(jax.jit, donate_argnums=0)
    def train(state: Any, image: Any, label: Any) -> Any:
        loss, gradient = jax.value_and_grad(net)(state[0], image, label)
        return _moved(state, gradient, RATES[net.__name__]), loss

    def step(number: int) -> Any:
        nonlocal state
        state, loss = train(state, *batches(number))
        return loss

    return step


def _moved(state: Any, gradient: Params, rate: float) -> Any:
    change = jax.tree.map(lambda v, g: MOMENTUM * v + g, state[1], gradient)
    return jax.tree.map(lambda w, v: w - rate * v, state[0], change), change


def gru(params: Params, char: Any, following: Any, first: Any) -> Any:
    """Fields [steps][batch]; gates in our order, update, reset, candidate."""
    given = params["h.weight_x"][char] + params["h.bias"]

    def cell(state: Any, x: Any) -> Any:
        update_x, reset_x, new_x = jnp.split(x, 3, 1)
        update_h, reset_h, new_h = jnp.split(state @ params["h.weight_h"], 3, 1)
        update, reset = jax.nn.sigmoid(update_x + update_h), jax.nn.sigmoid(reset_x + reset_h)
        new = jnp.tanh(new_x + reset * new_h)
        state = update * state + (1 - update) * new
        return state, state

    last, states = lax.scan(cell, first, given)
    return _cross_entropy(_dense(params, "score", states), following), last


def char_gru(given: Given) -> Step:
    chars, followings = (given.batches(field) for field in ("char", "next"))

    def batch(number: int) -> tuple[Any, Any]:
        by_step = (field[number].T.astype(np.int32) for field in (chars, followings))
        char, following = map(jnp.asarray, by_step)
        return char, following

    batches = kept(batch)
    params = {name: jnp.asarray(value) for name, value in given.params.items()}
    first = jnp.zeros((chars.shape[1], params["h.weight_h"].shape[0]))
    state = ((params, jax.tree.map(jnp.zeros_like, params)), first)

    @partial(jax.jit, donate_argnums=0)
    def train(state: Any, char: Any, following: Any) -> Any:
        (loss, last), gradient = jax.value_and_grad(gru, has_aux=True)(
            state[0][0], char, following, state[1]
        )
        return (_moved(state[0], gradient, RATES["char_gru"]), last), loss

    def step(number: int) -> Any:
        nonlocal state
        state, loss = train(state, *batches(number))
        return loss

    return step


def rbm(given: Given) -> Step:
    images = given.batches("image")
    batches = kept(lambda k: jnp.asarray(images[k]))
    params = {name: jnp.asarray(given.params[name]) for name in ("w", "b", "c")}
    state = ((params, jax.tree.map(jnp.zeros_like, params)), jax.random.key(0))

    @partial(jax.jit, donate_argnums=0)
    def train(state: Any, data: Any) -> Any:
        (params, _), key = state
        key, drawn = jax.random.split(key)
        w, b, c = params["w"], params["b"], params["c"]
        h0 = jax.nn.sigmoid(data @ w + c)
        sample = jax.random.bernoulli(drawn, h0).astype(jnp.float32)
        v1 = jax.nn.sigmoid(sample @ w.T + b)
        h1 = jax.nn.sigmoid(v1 @ w + c)
        gradient = {
            "w": (v1.T @ h1 - data.T @ h0) / len(data),
            "b": (v1 - data).mean(0),
            "c": (h1 - h0).mean(0),
        }
        return (_moved(state[0], gradient, RATES["rbm"]), key), ((v1 - data) ** 2).sum() / len(data)

    def step(number: int) -> Any:
        nonlocal state
        state, loss = train(state, batches(number))
        return loss

    return step


NETS: dict[str, Callable[[Given], Step]] = {
    **{net.__name__: partial(classifier, net) for net in SHAPES},
    "char_gru": char_gru,
    "rbm": rbm,
}

if __name__ == "__main__":
    main()
