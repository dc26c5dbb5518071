"""Plans as text and on the screen; what a plan must be whatever the net."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from singac.diagnostics import Source
from singac.model.choices import Choices
from singac.model.resolve import resolve
from singac.plan.encode import UnreadablePlan, from_json, to_json
from singac.plan.plan import Plan, Push, Run, Serve
from singac.plan.show import show_process
from singac.report.screen import show
from singac.syntax.parse import parse
from tests.plan.orders import NETS
from tests.programs import plan, plan_of, small

ROOT = Path(__file__).parent.parent.parent
MLP = ROOT / "models" / "mlp.singa"


def mlp(np: int) -> Plan:
    (model,) = resolve(parse(Source(str(MLP), MLP.read_text())), Choices(np=np))
    return plan_of(model, scratch=4096)


@pytest.mark.parametrize("name", NETS)
def test_json_gives_the_plan_back(name: str) -> None:
    made = plan(small(NETS[name]), Choices(np=3))
    text = to_json(made)
    assert from_json(text) == made
    assert to_json(from_json(text)) == text


def test_what_is_no_plan_is_refused() -> None:
    made = plan(small(NETS["perceptron"]))
    for text in ("", "{}", "[1]", '{"is": "Plan"}', '{"is": "Feed"}', to_json(made)[:-3]):
        with pytest.raises(UnreadablePlan):
            from_json(text)
    with pytest.raises(UnreadablePlan, match=r"format 0\.9"):
        from_json(to_json(replace(made, format_version="0.9")))


def test_plans_are_the_same_byte_for_byte_in_every_process() -> None:
    code = (
        "from tests.plan.test_plan import *\n"
        "texts = [to_json(plan(small(n), Choices(np=4))) for n in list(NETS.values())[::3]]\n"
        "texts.append(to_json(mlp(3)))\n"
        "texts.append(to_json(plan(small(NETS['branches']), Choices(np=4, partition='auto'))))\n"
        "print(hashlib.sha256(''.join(texts).encode()).hexdigest())"
    )
    found = set()
    for seed in ("0", "1"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT,
            env=environment, timeout=100,
        )  # fmt: skip
        found.add(run.stdout)
    assert len(found) == 1
    assert len(found.pop().strip()) == len(hashlib.sha256().hexdigest())


def test_a_lone_process_runs_a_whole_step_at_once() -> None:
    (process,) = plan(small(NETS["branches"])).processes
    kinds = [type(s) for s in process.train.steps]
    assert kinds.count(Run) == 1
    assert kinds.index(Push) > kinds.index(Run)
    assert kinds[-1] is Serve


def test_stretches_of_equal_workers_are_shared() -> None:
    one = plan(small(NETS["perceptron"]), Choices(np=2))
    many = plan(small(NETS["perceptron"]), Choices(np=6))
    assert len(many.stretches) == len(one.stretches)
    assert [p.rows for p in many.processes] == [1] * 6
    uneven = plan(small(NETS["perceptron"]), Choices(np=4))
    assert [p.rows for p in uneven.processes] == [2, 2, 1, 1]
    assert len(uneven.stretches) == 2 * len(one.stretches)


def test_bytes_sent_are_bytes_received() -> None:
    for np in (1, 2, 5):
        processes = mlp(np).processes
        assert sum(p.bytes_sent for p in processes) == sum(p.bytes_received for p in processes)
        assert (processes[0].bytes_sent == 0) is (np == 1)


def test_a_layer_may_have_any_name() -> None:
    """Names of the compiler's own, of metrics and of settings are free for layers."""
    net = """
        features -> scratch: dense(4) -> loss: tanh -> rate: dense(4) -> metric: square
                 -> step: dense(4) -> params: tanh -> batch: dense(3)
        [batch, label] -> accuracy: softmax_loss
        [batch, label] -> w: accuracy"""
    made = plan(small(net), Choices(np=2), scratch=512)
    assert made.metrics == ("loss", "accuracy", "accuracy.accuracy")


# -- on the screen ---------------------------------------------------------------------------------


@pytest.mark.parametrize("np", [1, 2, 4])
def test_a_plan_fits_a_screen(np: int) -> None:
    lines = show(mlp(np)).splitlines()
    assert len(lines) <= 45
    assert max(map(len, lines)) <= 110
    assert not any(line != line.rstrip() for line in lines)


def test_a_plan_tells_who_does_what() -> None:
    text = show(mlp(4))
    for word in ("fc1.weight", "AllReduce", "serve", "imbalance", "batch 192"):
        assert word in text


def test_a_process_in_detail() -> None:
    text = show_process(mlp(4), 2)
    assert "process 2" in text
    assert "features" in text
    assert max(map(len, text.splitlines())) <= 110
