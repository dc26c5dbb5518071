"""Costs of a plan, counted by hand on small nets."""

from __future__ import annotations

from singac.model.choices import Choices
from singac.plan.plan import Plan
from tests.programs import plan, small

NET = "features -> a: dense(5) -> b: dense(3)\n[b, label] -> softmax_loss"
BATCH, IN, HIDDEN, OUT = 6, 4, 5, 3
# Forward and the weight's gradient of both layers, the input's gradient of the second only.
PRODUCTS = 2 * BATCH * (2 * IN * HIDDEN + 3 * HIDDEN * OUT)
BIASES = 2 * BATCH * (HIDDEN + OUT)  # added forward, summed backward
LOSS = 6 * BATCH * OUT
PARAM_FLOATS = IN * 16 + 16 + HIDDEN * 16 + 16
UPDATE = 3  # v = -(rate * g), w = w + v: operations an element


def made(np: int, extra: str = "") -> Plan:
    return plan(small(NET, extra=extra), Choices(np=np))


def test_operations_of_a_lone_process() -> None:
    (process,) = made(1).processes
    assert process.flops == PRODUCTS + BIASES + LOSS + UPDATE * PARAM_FLOATS
    assert process.bytes_sent == process.bytes_received == 0


def test_operations_are_shared_by_workers() -> None:
    """What is more is the sum over workers, one addition less than there are workers."""
    processes = made(3).processes
    shared = PRODUCTS + BIASES + LOSS + (UPDATE + 2) * PARAM_FLOATS
    assert sum(p.flops for p in processes) == shared


def test_operations_of_rows() -> None:
    """Forward and backward of a softmax 5 + 4 a value, of a norm 5 + 7, a one-hot vector none."""
    net = "label -> o: onehot(3) -> a: dense(3, bias = none){}\n[{}, label] -> softmax_loss"
    plain, softmax, norm = (
        plan(small(net.format(layer, name))).processes[0].flops
        for layer, name in (
            ("", "a"),
            (" -> p: softmax", "p"),
            (" -> n: layer_norm(scale = none, shift = none)", "n"),
        )
    )
    assert softmax - plain == BATCH * OUT * (5 + 4)
    assert norm - plain == BATCH * OUT * (5 + 7)


def test_bytes_of_gradients_and_params() -> None:
    """Each of 3 workers sends two thirds of its gradients and serves a third to the two others."""
    total = PARAM_FLOATS * 4
    processes = made(3).processes
    assert sum(p.bytes_sent for p in processes) == 3 * total * 2 // 3 * 2
    assert max(p.bytes_sent for p in processes) - min(p.bytes_sent for p in processes) <= 2 * 64


def test_memory_of_a_process() -> None:
    servers = "cluster apart { 1 worker group of 2\n 1 server group of 1\n servers = separate }\n"
    plan = made(3, servers)
    first, worker, server = plan.processes
    assert worker.memory.params == worker.memory.gradients == PARAM_FLOATS * 4
    assert worker.memory.states == worker.memory.others == first.memory.others == 0
    assert server.memory.others == 2 * PARAM_FLOATS * 4, "what two workers push"
    assert (server.memory.arena, server.memory.gradients) == (0, 0)
    assert server.memory.params == PARAM_FLOATS * 4
    assert worker.memory.data == 2 * 8 * plan.data.train, "the order of the examples"
    assert worker.memory.total == PARAM_FLOATS * 8 + worker.memory.arena + worker.memory.data
