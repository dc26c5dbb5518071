"""Unrolled nets: their gradients, what is done step by step and what all at once, their memory."""

from __future__ import annotations

import numpy as np
import pytest

from singac.codegen.stretch import scratch_bytes
from singac.layers.operations import Loop, Operation, Product, Role
from singac.model.choices import Choices
from singac.model.graph import NetGraph
from singac.partition.partition import partition
from singac.plan.items import gradient_of, operations_of
from singac.plan.metrics import metrics_of
from singac.plan.order import Order, train_order
from singac.plan.order import test_order as order_of_testing
from singac.plan.plan import Plan, metric_buffer
from singac.plan.project import project
from singac.plan.verify import verify
from tests.inprocess import InProcess
from tests.plan.orders import examples, params
from tests.plan.unrolled import BATCH, LEARNING, NETS, done
from tests.programs import model, small
from tests.reference.steps import Buffers


def graph_of(name: str) -> NetGraph:
    return model(small(NETS[name])).net.graph


def loss(graph: NetGraph, values: Buffers) -> float:
    tested = done(order_of_testing(graph, BATCH, ()), examples(), values)
    return float(tested["metric:loss"][0]) / BATCH


@pytest.mark.parametrize("name", LEARNING)
def test_gradients_are_those_of_the_printed_loss(name: str) -> None:
    """The slope in a random direction of all params, and in that of each by itself."""
    graph = graph_of(name)
    values, random = params(graph), np.random.default_rng(5)
    tensors = done(train_order(graph, BATCH), examples(), values)
    learnt = [n for n in graph.params if gradient_of(n) in tensors]
    assert learnt == list(graph.params)
    direction = {n: random.standard_normal(values[n].shape) for n in learnt}
    for moved in (learnt, *([n] for n in learnt)):
        slope = sum(
            float((tensors[gradient_of(n)].reshape(direction[n].shape) * direction[n]).sum())
            for n in moved
        )
        step = 1e-5
        high, low = (
            loss(graph, {**values, **{n: values[n] + sign * step * direction[n] for n in moved}})
            for sign in (1, -1)
        )
        assert slope == pytest.approx((high - low) / (2 * step), rel=1e-5, abs=1e-8), moved


@pytest.mark.parametrize("name", LEARNING)
def test_training_measures_what_testing_measures(name: str) -> None:
    graph = graph_of(name)
    values = params(graph)
    trained = done(train_order(graph, BATCH), examples(), values)
    tested = done(order_of_testing(graph, BATCH, ()), examples(), values)
    for metric in metrics_of(graph):
        np.testing.assert_allclose(trained[f"metric:{metric}"], tested[f"metric:{metric}"])


def plan_of(name: str, workers: int = 1) -> Plan:
    made = model(small(NETS[name]), Choices(np=workers))
    plan = project(partition(made), made, "digest", scratch_bytes)
    verify(plan)
    return plan


def check_native(name: str, workers: int) -> None:
    """The reference drops other values than native code, so nets that drop are left out."""
    graph = graph_of(name)
    machine = InProcess(plan_of(name, workers))
    values = {n: machine.param(n) for n in graph.params}
    metrics = machine.step(examples())
    tensors = done(train_order(graph, BATCH), examples(), values)
    for metric, value in zip(machine.plan.metrics, metrics, strict=True):
        assert value == pytest.approx(tensors[metric_buffer(metric)][0], rel=1e-5), metric
    for param in machine.plan.params:
        wanted = tensors[gradient_of(param.name)].reshape(param.shape)
        difference = np.linalg.norm(machine.gradient(param.name) - wanted)
        assert difference <= 1e-4 * np.linalg.norm(wanted) + 1e-7, param.name


TYPICAL = ("lstm", "down_and_up", "two_delays", "from_outside", "encoder_and_decoder", "normed")


@pytest.mark.parametrize("name", TYPICAL)
def test_native_code_agrees_with_numpy(name: str) -> None:
    check_native(name, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in LEARNING if n not in TYPICAL])
def test_native_code_of_others_agrees_with_numpy(name: str) -> None:
    check_native(name, 1)


def test_workers_together_find_the_gradients_of_one() -> None:
    check_native("gru", 3)


def test_dropout_between_layers_is_the_same_for_every_cut() -> None:
    gradients = []
    for workers, step in ((1, 0), (2, 0), (1, 1)):
        machine = InProcess(plan_of("stacked", workers))
        machine.step(examples(), step)
        gradients.append(machine.gradient("high.weight_x"))
    assert gradients[0] == pytest.approx(gradients[1], rel=1e-4, abs=1e-7)
    assert not np.allclose(gradients[0], gradients[2])


def loops(order: Order) -> list[Loop]:
    return [o for o in operations_of(order.items) if isinstance(o, Loop)]


def products(operations: list[Operation] | tuple[Operation, ...]) -> list[tuple[Role, str]]:
    return [(o.role, o.right) for o in operations if isinstance(o, Product)]


def test_only_the_product_with_the_state_is_done_step_by_step() -> None:
    order = train_order(graph_of("gru"), BATCH)
    label, forward, backward = loops(order)
    assert (label.back, forward.back, backward.back) == (False, False, True)
    assert products(forward.operations) == [(Role.FORWARD, "h.weight_h")]
    assert products(backward.operations) == [(Role.INPUT_GRADIENT, "h.weight_h")]
    outside = [o for o in operations_of(order.items) if isinstance(o, Product)]
    assert [o.right for o in outside if o.role is Role.FORWARD] == [
        "x.weight", "h.weight_x", "o.weight",
    ]  # fmt: skip
    assert [o.out for o in outside if o.role is Role.WEIGHT_GRADIENT] == [
        "d(o.weight)", "d(h.weight_x)", "d(h.weight_h)", "d(x.weight)",
    ]  # fmt: skip


def test_what_hands_nothing_on_is_in_no_loop() -> None:
    only_label = loops(train_order(graph_of("no_recurrence"), BATCH))
    assert [len(loop.operations) for loop in only_label] == [1]
    assert len(loops(train_order(graph_of("delay_alone"), BATCH))) == 1


def test_layers_on_one_round_trip_share_a_loop_and_others_do_not() -> None:
    stacked = [loop.back for loop in loops(train_order(graph_of("stacked"), BATCH))]
    assert stacked == [False, False, False, True, True]
    together = [loop.back for loop in loops(train_order(graph_of("down_and_up"), BATCH))]
    assert together == [False, False, True]


def test_what_a_step_alone_needs_has_room_for_one_step() -> None:
    order = train_order(graph_of("gru"), BATCH)
    assert (order.steps["h/by_state"], order.steps["h/hz"], order.steps["h/direct"]) == (1, 1, 1)
    assert (order.steps["h/hc"], order.steps["h/z"], order.steps["h/delta_state"]) == (4, 4, 4)


def test_a_delay_is_the_same_memory() -> None:
    program = plan_of("two_delays").processes[0].train
    buffers = {b.name: b for b in program.buffers}
    step = BATCH * buffers["h"].stride * 4
    assert buffers["h"].offset - buffers["h[t-1]"].offset == step
    assert buffers["h[-3:0]"].offset == buffers["h[t-3]"].offset == buffers["h"].offset - 3 * step
    assert buffers["h[t-3]"].rows == buffers["h"].rows == 4 * BATCH
