"""What people write: programs that are right, and what they come to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from singac.diagnostics import Failed
from singac.layers.expression import Scalar, Variable, add, mul, show
from singac.model.choices import Choices
from singac.model.types import Every
from tests.programs import HERE, POINTS, TRAIN, let, model, models, plan, set_to, small
from tests.reference.expressions import evaluate

NET = "features -> fc1: dense(8) -> tanh -> fc2: dense(3)\n[fc2, label] -> softmax_loss"


def shapes(text: str, choices: Choices | None = None) -> dict[str, tuple[int, ...]]:
    return {layer.name: layer.shape for layer in model(text, choices).net.graph.layers()}


# -- equations -------------------------------------------------------------------------------------


def test_an_own_layer() -> None:
    own = "layer swish(slope = 1) {\n y = x * sigmoid(slope * x)\n}\n"
    made = model(small(NET.replace("tanh", "swish(slope = 2)"), extra=own))
    layer = made.net.graph.layer("swish")
    assert layer.settings == {"slope": 2.0}


def test_an_own_layer_replaces_a_built_in_one_and_reads_lets() -> None:
    own = "let gain = 3/2\nlayer tanh(shift = gain / 3) { z = gain * x  y = z + shift }\n"
    text = small(NET, extra=own)
    made = plan(text)
    then = made.stretches[0].operations[0].then  # type: ignore[union-attr]
    assert show(then.assigns[-1].value) == "((1.5 * fc1) + 0.5)"
    made = plan(text, Choices(changes=(let("gain", "3"),)))
    then = made.stretches[0].operations[0].then  # type: ignore[union-attr]
    assert show(then.assigns[-1].value) == "((3 * fc1) + 1)"


LION = """updater Lion(rate, beta1 = 0.9, beta2 = 0.99) {
    state m = 0
    w = w - rate * sign(beta1 * m + (1 - beta1) * g)
    m = beta2 * m + (1 - beta2) * g
}
"""


def test_an_own_updater() -> None:
    train = TRAIN.replace("SGD(rate = 0.1)", "Lion(rate = 0.1, beta1 = 0.5, weight_decay = 0.01)")
    update = model(small(NET, train=train, extra=LION)).train.update
    assert update.states == (("m", 0.0),)
    w, g = Variable("w"), Variable("g")
    decayed = add(g, mul(Scalar("weight_decay"), w))
    assert update.assigns[0] == ("g", decayed)
    step = {"w": np.ones(3), "g": np.array([-1.0, 0.0, 2.0]), "m": np.array([1.0, 0.0, -1.0])}
    after = evaluate(update.assigns[1][1], step, {"rate": 0.1})
    np.testing.assert_allclose(after, [1.0, 1.0, 0.9])
    assert update.weight_decay == 0.01


def test_sgd_without_momentum_keeps_no_state() -> None:
    assert model(small(NET)).train.update.states == ()
    train = TRAIN.replace("0.1)", "0.1, momentum = 0.9)")
    assert model(small(NET, train=train)).train.update.states == (("v", 0.0),)


def test_an_updater_with_clip_and_decay_of_its_own() -> None:
    own = """updater Own(rate, clip = 2, weight_decay = 3) {
        w = w - rate * (clip * g + weight_decay)
    }
    """
    update = model(small(NET, train=TRAIN.replace("SGD", "Own"), extra=own)).train.update
    assert [name for name, _ in update.assigns] == ["w"]
    assert update.weight_decay == 3.0


@pytest.mark.parametrize(
    ("written", "kind", "settings"),
    [
        ("SGD(0.5)", "fixed", (("rate", (0.5,)),)),
        ("Adam", "fixed", (("rate", (0.001,)),)),
        ("SGD(fixed(1/2))", "fixed", (("rate", (0.5,)),)),
        ("SGD(rate = fixed_step(0.1, 10, 0.01, 20, 0.001))", "fixed_step",
         (("rates", (0.1, 10.0, 0.01, 20.0, 0.001)),)),
        ("SGD(rate = step(0.1, gamma = 1/2, every = 200), clip = 1)", "step",
         (("rate", (0.1,)), ("gamma", (0.5,)), ("every", (200.0,)))),
    ],
)  # fmt: skip
def test_rates(written: str, kind: str, settings: object) -> None:
    train = TRAIN.replace("SGD(rate = 0.1)", written)
    rate = model(small(NET, train=train)).train.update.rate
    assert (rate.kind, rate.settings) == (kind, settings)


# -- lets and changes ------------------------------------------------------------------------------


def test_arithmetic_is_exact() -> None:
    extra = "let hidden = 3 * (2 + 0.1 * 10) - 1\nlet third = 1/3\n"
    net = "features -> a: dense(hidden) -> b: dense(hidden * third * 3 + 1)\n" + NET
    found = shapes(small(net, extra=extra))
    assert (found["a"], found["b"]) == ((8,), (9,))


def test_changes_of_the_command_line() -> None:
    extra = "let hidden = 8\nlet double = 2 * hidden\n"
    text = small(NET.replace("8", "double"), extra=extra)
    assert shapes(text)["fc1"] == (16,)
    assert shapes(text, Choices(changes=(let("hidden", "5"),)))["fc1"] == (10,)
    changes = (
        set_to("train.steps", "1000"),
        set_to("train.updater", "Adam(rate = 0.01)"),
        set_to("small.batch", "12"),
        set_to("data.test", "0.25"),
        set_to("points.scale", "1/10"),
        set_to("train.display", "every(50)"),
    )
    made = model(text, Choices(changes=changes))
    assert made.train.training.steps == 1000
    assert made.train.training.batch == 12
    assert made.train.training.display == Every(50)
    assert made.train.update.name == "Adam"
    assert made.dataset.facts.test == 3
    assert made.dataset.facts.fields[0].scale == 0.1
    moved = model(text, Choices(changes=(set_to("data.path", f'"{HERE}/data/points.csv"'),)))
    assert moved.dataset.facts.train == 12


def test_a_cluster_is_changed() -> None:
    cluster = "cluster two { 1 worker group of 2\n 1 server group of 1 }\n"
    text = small(NET, extra=cluster)
    assert model(text).cluster.topology.processes == 2
    changes = (set_to("cluster.servers", "separate"),)
    assert model(text, Choices(changes=changes)).cluster.topology.processes == 3


def test_a_change_that_is_two_lines_is_refused() -> None:
    with pytest.raises(Failed) as failed:
        model(small(NET, extra="let a = 1\n"), Choices(changes=(let("a", "2\nlet b = 3"),)))
    assert [d.code for d in failed.value.diagnostics] == ["SG0107"]


# -- nets ------------------------------------------------------------------------------------------


def test_blocks_in_blocks_and_repeats() -> None:
    blocks = """
        block unit(n, slope) { input -> dense(n) -> relu(slope) }
        block stack(n, depth) {
            input -> repeat depth { unit(n, slope = 1/10) } -> last: unit(n, 0)
        }
    """
    net = "features -> body: stack(5, 2) -> head: dense(3)\n[head, label] -> softmax_loss"
    found = list(shapes(small(net, extra=blocks)))
    assert found == [
        "features", "label", "body.unit1.dense", "body.unit1.relu", "body.unit2.dense",
        "body.unit2.relu", "body.last.dense", "body.last.relu", "head", "softmax_loss",
    ]  # fmt: skip


def test_layers_inside_a_block_are_sources_and_owners_of_params() -> None:
    block = "block unit(n) { input -> inner: dense(n) -> tanh }\n"
    net = """
        features -> u: unit(4)
        u.inner -> side: dense(4, weight = u.inner.weight)
        u -> v: dense(3)
        [v, label] -> softmax_loss
        [side, u] -> euclidean_loss"""
    made = model(small(net, extra=block))
    assert list(made.net.graph.params) == [
        "u.inner.weight", "u.inner.bias", "side.bias", "v.weight", "v.bias",
    ]  # fmt: skip
    assert made.net.graph.layer("euclidean_loss").sources == ("side", "u.tanh")


def test_each_use_of_a_block_has_its_own_shared_params() -> None:
    block = """block twice(n) {
        param w ~ gaussian(std = 0.1)
        input -> a: dense(n, weight = w) -> b: dense(n, weight = w)
    }
    """
    net = "features -> p: twice(4) -> q: twice(4) -> d: dense(3)\n[d, label] -> softmax_loss"
    made = model(small(net, extra=block))
    assert list(made.net.graph.params)[:2] == ["p.w", "q.w"]


def test_numbers_come_after_names_that_are_taken() -> None:
    net = "features -> tanh -> relu1: dense(3) -> relu -> relu -> d: dense(3)\n" + (
        "[d, label] -> softmax_loss"
    )
    assert list(shapes(small(net)))[2:7] == ["tanh", "relu1", "relu2", "relu3", "d"]


def test_an_autoencoder_with_tied_weights() -> None:
    net = """
        param w ~ gaussian(std = 0.1)
        features -> encode: dense(2, weight = w) -> sigmoid -> decode: dense(4, weight = w')
        [decode, features] -> euclidean_loss"""
    made = plan(small(net), Choices(np=2))
    assert [p.name for p in made.params] == ["w", "encode.bias", "decode.bias"]
    assert made.params[0].shape == (4, 2)
    assert made.metrics == ("loss",)


def test_words_of_other_places_are_names() -> None:
    net = """
        features -> worker: dense(4) -> of: tanh -> step: dense(4) -> at: relu -> on: dense(4)
                 -> BP: square -> SGD: dense(4) -> every: tanh -> batch: dense(3)
        [batch, label] -> loss: softmax_loss"""
    assert model(small(net)).net.graph.layer("loss").sources == ("batch", "label")


def test_a_path_between_two_layers() -> None:
    net = """
        features -> a: dense(4) -> b: tanh -> c: dense(4) -> d: tanh -> e: dense(3)
        a -> side: dense(4)
        [e, label] -> softmax_loss
        [side, d] -> euclidean_loss"""
    rule = "partition p of small { a .. d on batch\n e at 0 }\n"
    made = model(small(net, extra=rule))
    assert made.rules is not None
    assert list(made.rules.cuts) == ["a", "b", "c", "d", "e"]
    assert made.rules.cuts["e"].worker == 0


def test_data_without_labels() -> None:
    data = 'data plain = csv("data/points.csv", label = none)\n'
    net = "features -> a: dense(2) -> b: dense(5)\n[b, features] -> euclidean_loss"
    made = plan(small(net, data=data))
    assert [f.name for f in made.data.fields] == ["features"]
    assert made.metrics == ("loss",)
    assert made.processes[0].test is None


# -- several blocks --------------------------------------------------------------------------------

TWO = POINTS + """
net first on points { features -> a: dense(3)
    [a, label] -> softmax_loss }
net second on points { features -> b: dense(3)
    [b, label] -> softmax_loss }
train first  { updater = SGD(0.1)  batch = 6  steps = 10 }
train second { updater = SGD(0.2)  batch = 6  epochs = 5/2 }
partition halves of second { b on batch }
cluster lone { 1 worker group of 1 }
cluster wide { 1 worker group of np
    1 server group of 2 }
"""  # fmt: skip


def test_several_trains_are_done_in_order() -> None:
    found = models(TWO, Choices(cluster="lone"))
    assert [m.train.training.net for m in found] == ["first", "second"]
    assert [m.train.training.steps for m in found] == [10, 5]
    (chosen,) = models(TWO, Choices(cluster="lone", train="second", partition="halves"))
    assert chosen.rules is not None


def test_a_cluster_of_as_many_as_there_are() -> None:
    for count in (2, 5):
        topology = models(TWO, Choices(np=count, cluster="wide"))[0].cluster.topology
        assert (topology.workers, topology.servers, topology.processes) == (count, 2, count)


def test_servers_apart_leave_the_rest_to_workers() -> None:
    cluster = "cluster apart { 1 server group of 2\n servers = separate }\n"
    topology = model(small(NET, extra=cluster), Choices(np=6)).cluster.topology
    assert (topology.workers, topology.servers, topology.processes) == (4, 2, 6)


@pytest.mark.parametrize(
    ("choices", "code"),
    [
        (Choices(), "SG0402"),
        (Choices(cluster="wise"), "SG0402"),
        (Choices(cluster="wide"), "SG0403"),
        (Choices(cluster="lone", np=3), "SG0401"),
        (Choices(cluster="lone", train="third"), "SG0176"),
        (Choices(cluster="lone", partition="quarters"), "SG0177"),
    ],
)
def test_choices_that_cannot_be(choices: Choices, code: str) -> None:
    with pytest.raises(Failed) as failed:
        models(TWO, choices)
    found = failed.value.diagnostics
    assert [d.code for d in found] == [code] * len(found)
    assert all(d.help for d in found)


def test_a_net_with_a_partition_can_be_put_on_batch_whole() -> None:
    ruled = small(NET, extra="partition wide of small { fc1 on feature }\n")
    assert model(ruled, Choices(np=2)).rules is not None
    assert model(ruled, Choices(np=2, partition="batch")).rules is None


def test_comments_and_layout_change_nothing() -> None:
    text = small(NET)
    other = "# a comment\n" + text.replace(" -> ", "\n  -> ").replace("batch = 6", "batch=6 # so\n")
    one, two = (replace(plan(t), layers=(), places=()) for t in (text, other))
    assert one == two
