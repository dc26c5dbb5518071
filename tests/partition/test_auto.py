"""What the compiler chooses where a partition says `on auto`, and what it expects of a choice."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from singac.diagnostics import Report
from singac.layers.kind import Dimension
from singac.model.choices import Choices
from singac.model.program import Change
from singac.model.resolve import Model, resolve
from singac.model.rules import AUTO
from singac.partition.assign import checked
from singac.partition.auto import Ways, choose, priced
from singac.partition.chosen import Chosen
from singac.partition.machine import BUILT_IN, Machine
from singac.partition.partition import partition
from singac.partition.solve import Arrow, Problem, cheapest
from singac.partition.split import split
from singac.report.screen import show
from singac.syntax import tree
from singac.syntax.parse import parse
from singac.syntax.read import read
from tests.partition.nets import case
from tests.partition.test_cuts import agree
from tests.programs import POINTS, diagnostics, model, plan_of, small, source

ROOT = Path(__file__).resolve().parents[2]
MODELS = sorted(p for p in ROOT.glob("models/*.singa") if p.stem != "clusters")
INFINITE = float("inf")
MOVING = Machine("test", arithmetic=INFINITE, memory=INFINITE, exchange=1.0, latency=0.0)
WIDE = """
    features -> first: dense({inputs}) -> before: relu
             -> wide: dense({outputs}, bias = none) -> after: relu -> last: dense(3)
    [last, label] -> loss: softmax_loss"""
TRAIN = "train small {{ updater = SGD(rate = 0.1)  batch = {batch}  steps = 10 }}\n"
VGG16 = """
data imagenet = records("nowhere.records", shape = 3x224x224, classes = 1000)
block vgg(filters, depth) {
    input -> repeat depth { conv(filters, 3x3, pad = 1) -> relu } -> max_pool(2x2)
}
net vgg on imagenet {
    image -> vgg(64, 2) -> vgg(128, 2) -> vgg(256, 3) -> vgg(512, 3) -> vgg(512, 3)
          -> fc6: dense(4096) -> relu -> dropout(0.5)
          -> fc7: dense(4096) -> relu -> dropout(0.5)
          -> fc8: dense(1000)
    [fc8, label] -> softmax_loss
}
train vgg { updater = SGD(rate = 0.01, momentum = 0.9)  batch = 64  steps = 10 }
"""


def on_auto(text: str, np: int, batch: int | None = None) -> Model:
    changes = () if batch is None else (Change("set", "train.batch", str(batch)),)
    return model(text, Choices(np=np, partition=AUTO, changes=changes))


def chosen(made: Model, machine: Machine = BUILT_IN) -> tuple[Chosen, dict[str, str]]:
    found = partition(made, machine).chosen
    assert found is not None, "something was left to the compiler"
    return found, {choice.layer: choice.cut for choice in found.choices}


# -- the closed form -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_a_dense_layer_goes_on_feature_where_that_moves_less(seed: int) -> None:
    """Two workers, everything else on batch: where B (O + 2 I) < 2 I O, and nowhere else."""
    chance = random.Random(seed)
    inputs, outputs = 32 * chance.randint(1, 8), 32 * chance.randint(1, 8)
    even = 2 * inputs * outputs / (outputs + 2 * inputs)
    batch = 2 * max(1, round(even * chance.choice((0.25, 0.45, 0.49, 0.51, 0.55, 1))))
    text = small(WIDE.format(inputs=inputs, outputs=outputs), TRAIN.format(batch=batch))
    made = model(text + "partition p of small { wide on auto }\n", Choices(np=2, partition="p"))
    _, cuts = chosen(made, MOVING)
    wins = batch * (outputs + 2 * inputs) < 2 * inputs * outputs
    if batch * (outputs + 2 * inputs) != 2 * inputs * outputs:
        assert cuts == {"wide": "feature" if wins else "batch"}


# -- known nets ------------------------------------------------------------------------------------


def of_file(name: str, batch: int) -> Model:
    changes = (Change("set", "train.batch", str(batch)),)
    program = parse(read(str(ROOT / f"models/{name}.singa")))
    (made,) = resolve(program, Choices(np=4, partition=AUTO, changes=changes))
    return made


@pytest.mark.parametrize(
    "made", [of_file("alexnet", 64), on_auto(VGG16, 4, 64)], ids=["alexnet", "vgg"]
)
def test_convolutions_go_on_batch_and_wide_dense_layers_on_feature(made: Model) -> None:
    _, cuts = chosen(made)
    dense = {name: cut for name, cut in cuts.items() if name.startswith("fc")}
    convolutions = [cut for name, cut in cuts.items() if "conv" in name or "pool" in name]
    assert list(dict.fromkeys(convolutions)) == ["batch"]
    # The last one gives its sum to whom it is wanted by: one exchange where there were two.
    assert list(dense.values()) == ["feature", "feature", "input"]


@pytest.mark.parametrize(
    "made", [of_file("alexnet", 4096), on_auto(VGG16, 4, 4096)], ids=["alexnet", "vgg"]
)
def test_a_large_batch_stays_on_batch(made: Model) -> None:
    found, cuts = chosen(made)
    assert list(dict.fromkeys(cuts.values())) == ["batch"]
    assert found.seconds == found.on_batch


def test_convolutions_of_few_pixels_are_like_dense_layers() -> None:
    """Of 2 x 2 pixels in 512 channels an example has 2,048 values, and the weight 2.4 million."""
    _, cuts = chosen(of_file("vgg", 64))
    on_feature = [name for name, cut in cuts.items() if "conv" in name and cut == "feature"]
    assert on_feature == ["vgg5.conv1", "vgg5.conv2", "vgg5.conv3"]
    assert (cuts["fc1"], cuts["fc2"]) == ("feature", "input")
    assert list(dict.fromkeys(chosen(of_file("vgg", 4096))[1].values())) == ["batch"]


# -- the cheapest ----------------------------------------------------------------------------------


def random_problem(chance: random.Random) -> Problem:
    """Some layers in a graph, of one to four ways each, with a few pairs that are not offered."""
    counts = [chance.randint(1, 4) for _ in range(chance.randint(2, 6))]
    asked = [chance.randint(1, 3) for _ in counts]
    arrows = []
    for reader in range(1, len(counts)):
        for before in chance.sample(range(reader), chance.randint(1, min(2, reader))):
            asks = tuple(chance.randrange(-1, asked[before]) for _ in range(counts[reader]))
            pairs = product(range(counts[before]), range(1, counts[reader]))
            barred = tuple(pair for pair in pairs if chance.random() < 0.1)
            arrows.append(Arrow(before, reader, asks, barred))
    seconds = tuple(tuple(chance.random() * 1e-3 for _ in range(n)) for n in counts)
    sizes = tuple(tuple(chance.randint(1, 100) for _ in range(n)) for n in counts)

    def exchange() -> float:
        return chance.choice((0, chance.random() * 1e-3))

    exchanges = tuple(
        tuple(tuple(exchange() for _ in range(k)) for _ in range(n))
        for n, k in zip(counts, asked, strict=True)
    )
    room = chance.choice((0, 0, 40 * len(counts)))
    return Problem(seconds, sizes, exchanges, tuple(arrows), room)


@pytest.mark.parametrize("seed", range(60))
def test_nothing_is_cheaper_than_what_is_found(seed: int) -> None:
    problem = random_problem(random.Random(seed))
    every = product(*(range(len(of_layer)) for of_layer in problem.seconds))
    offered = [ways for ways in every if problem.is_offered(ways)]
    found = cheapest(problem)
    if not offered:
        assert found is None
        return
    assert found is not None
    assert problem.is_offered(found)
    assert problem.total(found) <= min(map(problem.total, offered)) + 1e-9  # a nanosecond


def ways_of(made: Model, machine: Machine = BUILT_IN) -> Ways:
    rows = split(made.train.training.batch, made.cluster.topology.workers_per_group)
    return priced(made, checked(made, Report()), rows, machine)


def check_cheapest(made: Model, by_hand: Mapping[str, str]) -> None:
    """Nothing is expected to be faster than what is chosen: not all layers on batch, on feature or
    on input where they can be, nor at one worker, nor dense layers alone on feature, nor a
    partition written by hand.
    """
    ways = ways_of(made)
    found, cuts = chosen(made)
    dense = [x.kind is not None and x.kind.name == "dense" for x in ways.layers]
    wide = tuple(
        ways.number(k, "feature") or 0 if is_dense else 0 for k, is_dense in enumerate(dense)
    )
    hybrid = tuple(ways.number(k, by_hand.get(x.name, "")) or 0 for k, x in enumerate(ways.layers))
    others = [*(ways.uniform(d) for d in Dimension), ways.uniform("at 0"), wide, hybrid]
    best = min(ways.problem.total(o) for o in others if ways.problem.is_offered(o))
    assert found.seconds <= best + 2e-9
    own = tuple(ways.number(k, cuts.get(x.name, "")) or 0 for k, x in enumerate(ways.layers))
    assert found.seconds == pytest.approx(ways.problem.total(own), abs=1e-9)
    assert found.on_batch == pytest.approx(ways.problem.total(ways.uniform("batch")), abs=1e-9)


@pytest.mark.parametrize("seed", range(25))
def test_no_partition_is_expected_to_be_faster(seed: int) -> None:
    drawn = case(seed)
    workers = max(drawn.workers, 2)
    made = on_auto(replace(drawn, batch=8 * workers).text, workers)
    rules = (rule.split(" ", 1) for rule in drawn.rules.splitlines())
    check_cheapest(made, {name: rule.removeprefix("on ") for name, rule in rules})


@pytest.mark.parametrize("workers", [2, 4, 7])
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_nor_of_any_model(path: Path, workers: int) -> None:
    program = parse(read(str(path)))
    texts: dict[str, str] = {}
    if any(isinstance(i, tree.Partition) and i.name.text == "hybrid" for i in program.items):
        (ruled,) = resolve(program, Choices(np=workers, partition="hybrid"))
        assert ruled.rules is not None, "it has been asked for"
        texts = {name: cut.text for name, cut in ruled.rules.cuts.items()}
    for made in resolve(program, Choices(np=workers, partition=AUTO)):
        if partition(made).chosen is not None:
            check_cheapest(made, texts)


@pytest.mark.parametrize("seed", [3, 8])
def test_what_is_chosen_trains_as_one_worker_does(seed: int) -> None:
    drawn = case(seed)
    names = re.findall(r"(l\d+):", drawn.net)
    agree(replace(drawn, rules="\n".join(f"{name} on auto" for name in names)))


# -- rules, memory, what is told -------------------------------------------------------------------


def test_what_is_written_by_hand_stays() -> None:
    text = small(WIDE.format(inputs=512, outputs=512), TRAIN.format(batch=8))
    rules = "first .. last on auto"
    free = model(f"{text}partition p of small {{ {rules} }}", Choices(np=2, partition="p"))
    hand = "first .. before on auto wide at 1 after .. last on auto"
    ruled = model(f"{text}partition p of small {{ {hand} }}", Choices(np=2, partition="p"))
    assert chosen(free)[1]["wide"] == "feature"
    assert "wide" not in chosen(ruled)[1]
    assert {s.name: s.cut for s in partition(ruled).sublayers}["wide@1"] == "at 1"
    assert chosen(free)[0].seconds < chosen(ruled)[0].seconds


def test_layers_that_share_a_param_are_cut_alike() -> None:
    net = """
    param w ~ gaussian(std = 0.3)
    features -> a: dense(512, weight = w) -> x: relu
    features -> b: dense(512, weight = w) -> y: relu
    [x, y] -> c: add -> d: dense(3)
    [d, label] -> loss: softmax_loss"""
    text = small(net, TRAIN.format(batch=8))
    ruled = f"{text}partition p of small {{ a on feature b on auto }}"
    made = partition(model(ruled, Choices(np=2, partition="p")))
    assert {s.layer.name: s.cut for s in made.sublayers}["b"] == "feature"
    _, cuts = chosen(on_auto(text, 2))
    assert cuts["a"] == cuts["b"]


def test_memory_decides_where_it_must() -> None:
    made = on_auto(small(WIDE.format(inputs=512, outputs=512), TRAIN.format(batch=4096)), 4)
    free, cuts = chosen(made)
    assert cuts["wide"] == "batch"
    problem = ways_of(made).problem
    taken = [min(of_layer) for of_layer in problem.bytes]
    tight, others = chosen(made, replace(BUILT_IN, room=sum(taken)))
    assert tight.seconds >= free.seconds
    report = Report()
    rows = split(4096, 4)
    choose(made, checked(made, report), rows, replace(BUILT_IN, room=sum(taken) // 2), report)
    (found,) = report.found
    assert (found.code, "more workers" in str(found.help)) == ("SG0306", True)
    assert others.keys() == cuts.keys()


def test_what_is_unrolled_is_left_on_batch() -> None:
    net = """
    unroll 3 {
        [features, h[t-1]] -> h: rnn(8)
    }
    h -> c: dense(3)
    [c, label] -> loss: softmax_loss"""
    train = "train small { algorithm = BPTT  updater = SGD(rate = 0.1)  batch = 6  steps = 10 }\n"
    made = partition(on_auto(small(net, train), 2))
    assert {s.layer.name: s.cut for s in made.sublayers}["h"] == "batch"


def test_a_plan_tells_what_was_chosen_and_the_next_best() -> None:
    made = on_auto(small(WIDE.format(inputs=512, outputs=512), TRAIN.format(batch=8)), 2)
    text = show(plan_of(made))
    line = next(line for line in text.splitlines() if line.startswith("wide "))
    assert line.split()[1:4:2] == ["feature", "us"]
    assert line.endswith("more")
    assert "a step should take" in text
    assert "(rates: built in)" in text


def test_on_auto_needs_no_more_than_a_word() -> None:
    """What a rule of a partition leaves open is checked as the rest is."""
    text = small(WIDE.format(inputs=64, outputs=64), data=POINTS)
    rules = "partition p of small { first .. last on auto loss on feature }\n"
    (found,) = diagnostics(source(text + rules), Choices(np=2, partition="p"))
    assert found.code == "SG0304"
