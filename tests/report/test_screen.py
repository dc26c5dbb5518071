"""Plans on a screen: what they tell, and that any number of processes and layers fits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from singac.model.choices import Choices
from singac.partition.machine import Machine
from singac.plan.plan import Plan, Push
from singac.plan.show import header
from singac.report.screen import show
from singac.report.survey import crowds, moves, ranges, strata
from singac.report.worries import worries
from tests.plan.orders import NETS
from tests.plan.test_plan import mlp
from tests.programs import plan, small

LINES, CHARACTERS = 50, 112
DEEP = "features -> " + " -> ".join(["dense(8) -> tanh"] * 60) + " -> out: dense(3)\n"
DEEP += "[out, label] -> softmax_loss"
FAST = Machine(exchange=1e15)
LARGE = "train small { updater = SGD(rate = 0.1)  batch = 2000  steps = 10 }\n"


@pytest.mark.parametrize("np", [1, 4, 16, 64, 1000])
def test_a_deep_net_on_any_number_of_processes_fits_a_screen(np: int) -> None:
    made = plan(small(DEEP, LARGE), Choices(np=min(np, 8)))
    text = show(made if np <= 8 else multiplied(made, np))
    lines = text.splitlines()
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= CHARACTERS
    assert "features .. softmax_loss  batch" in text
    assert np == 1 or "--process 0 shows all" in text


def multiplied(made: Plan, np: int) -> Plan:
    """The plan with process 0 repeated: compiling for so many takes seconds."""
    processes = tuple(replace(made.processes[0], rank=k, worker=k, server=k) for k in range(np))
    topology = replace(made.topology, workers_per_group=np, servers_per_group=np)
    layers = []
    for layer in made.layers:
        pieces = tuple(replace(layer.pieces[0], worker=k, row=k) for k in range(np))
        layers.append(replace(layer, pieces=pieces))
    return replace(made, processes=processes, topology=topology, layers=tuple(layers))


def test_what_moves_is_what_processes_send() -> None:
    for np in (1, 2, 5):
        made = mlp(np)
        assert sum(m.total for m in moves(made)) == sum(p.bytes_sent for p in made.processes)


def test_a_param_moves_to_all_other_processes_and_back() -> None:
    made = mlp(4)
    (move,) = [m for m in moves(made) if m.what == "fc3.weight"]
    assert (move.there, move.back) == (3 * 8192, 3 * 8192)
    assert move.receiver == "server 3"


def test_processes_that_do_alike_are_told_once() -> None:
    made = mlp(13)
    first, second = crowds(made, 8)
    assert first.ranks == tuple(range(10))  # 192 = 10 x 15 + 3 x 14
    assert second.ranks == tuple(range(10, 13))
    assert [c.ranks for c in crowds(made, 13)] == [(k,) for k in range(13)]
    assert len(crowds(made, 1)) == 1


def test_layers_cut_alike_are_one_stratum() -> None:
    (stratum,) = strata(mlp(2))
    assert stratum.span == "features .. softmax_loss"
    assert [(h.row, h.rows) for h in stratum.pieces] == [(0, 96), (96, 96)]


def test_every_layer_has_its_place_in_the_source() -> None:
    places = {layer.name: layer.place for layer in mlp(2).layers}
    text = Path("models/mlp.singa").read_text(encoding="utf-8").splitlines()
    for name in ("fc1", "fc2", "fc3"):
        file, line, column = places[name].split(":")
        assert file == "mlp.singa"
        assert text[int(line) - 1][int(column) - 1 :].startswith(f"{name}: dense(")


# -- warnings --------------------------------------------------------------------------------------


def told(made: Plan, machine: Machine = FAST) -> list[tuple[str, str]]:
    return [(w.message, w.place) for w in worries(made, machine)]


def test_a_plan_without_trouble_has_no_warning() -> None:
    assert told(mlp(4)) == []


def test_exchange_dearer_than_computing_names_what_moves_most() -> None:
    ((message, place),) = told(mlp(4), Machine(exchange=1e8))
    assert "exchange is dearer than computing" in message
    assert message.endswith("most is fc2.weight")
    assert place.startswith("mlp.singa:14:")


def test_a_server_without_params_is_idle() -> None:
    made = plan(small("features -> out: dense(3, bias = none)\n[out, label] -> softmax_loss"),
                Choices(np=6))  # fmt: skip
    assert ("servers 4 to 5 own no param", "") in told(made)


def test_a_param_without_loss_learns_nothing() -> None:
    made = plan(small(f"{NETS['perceptron']}\nfeatures -> aside: dense(5)"))
    messages = [message for message, _ in told(made)]
    assert messages == [f"aside.{role} learns nothing: no loss depends on it"
                        for role in ("weight", "bias")]  # fmt: skip


def test_a_server_with_most_params_is_named() -> None:
    made = mlp(2)
    uneven = tuple(replace(s, server=0) if k else s for k, s in enumerate(made.slices))
    assert ("server 0 owns 100% of all params", "") in told(replace(made, slices=uneven))


def test_an_uneven_batch_is_named_with_one_that_is_even() -> None:
    text = "train small { updater = SGD(rate = 0.1)  batch = 5  steps = 10 }\n"
    made = plan(small(NETS["perceptron"], text), Choices(np=4))
    (worry,) = [w for w in worries(made, FAST) if "the mean" in w.message]
    assert "process 0 computes" in worry.message
    assert worry.place == "program.singa:7:42"
    assert worry.help == "a batch of 8 is even on 4 workers"


def test_a_worker_without_pieces_is_idle() -> None:
    made = mlp(2)
    layers = tuple(replace(x, pieces=x.pieces[:1]) for x in made.layers)
    assert ("worker 1 has nothing to compute", "") in told(replace(made, layers=layers))


def test_ranges_in_words() -> None:
    assert ranges([]) == ""
    assert ranges([3]) == "3"
    assert ranges([5, 0, 1, 2, 7]) == "0 to 2, 5, 7"


def test_pushes_are_counted_by_the_steps_of_programs() -> None:
    """Not by what params there are: what is not pushed does not move."""
    made = mlp(2)
    silent = []
    for p in made.processes:
        steps = tuple(s for s in p.train.steps if not isinstance(s, Push))
        silent.append(replace(p, train=replace(p.train, steps=steps)))
    assert moves(replace(made, processes=tuple(silent))) == ()


def test_layers_below_an_rbm_are_to_come_from_a_checkpoint() -> None:
    """Drawn params that stay so are a worry; those of a checkpoint have learnt."""
    net = """
        ORIGIN
        features -> below: dense(5, weight = w, bias = none)
                 -> vis: rbm_visible(5) <-> hid: rbm_hidden(3)
    """
    train = "train small { algorithm = CD(2)  updater = SGD(rate = 0.1)  batch = 6  steps = 9 }\n"
    other = """net other on points {
        param w ~ gaussian(std = 1)
        features -> a: dense(5, weight = w)  [a, a] -> euclidean_loss
    }
    train other { updater = SGD(rate = 0.1)  batch = 6  steps = 9 }
    """
    found = []
    for origin in ("~ gaussian(std = 1)", "from checkpoint other"):
        text = small(net.replace("ORIGIN", f"param w {origin}"), train, extra=other)
        made = plan(text, Choices(np=1, train="small"))
        assert "9 steps of CD(2)" in header(made)
        found.append([message for message, _ in told(made)])
    assert found == [["w learns nothing: it lies below the RBM"], []]
