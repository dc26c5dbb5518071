"""Numbers that are none end all processes in their step, named; the last good checkpoint stays."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtime.checkpoints import checkpoint
from singac.cli import main

POINTS = Path(__file__).parents[1] / "errors/data/points.csv"
PROGRAM = f"""
data points = csv("{POINTS}")
layer root {{
    y = sqrt(abs(x))
}}
updater Spoiling(rate) {{
    w = SPOILT
}}
net small on points {{
    NET
}}
train small {{
    updater    = Spoiling(rate = 1)
    batch      = 6
    steps      = 50
    display    = every(1)
    checkpoint = every(1, keep = 1)
}}
"""


@dataclass(frozen=True)
class Case:
    """A weight spoilt by an updater, what is told of it, and the last step that was good."""

    net: str
    spoilt: str
    told: str
    good: int


SCORES = "features -> fc: dense(3, bias = none) -> root\n    [root, label] -> softmax_loss"
COPIES = "features -> fc: dense(4, bias = none)\n    [fc, features] -> euclidean_loss"
CASES = {
    # The slope of a root at 0: the loss of step 4 is a number.
    "gradient": Case(
        SCORES, "w * max(3 - step, 0)", "the gradient of fc.weight is not finite in step 4", 3
    ),
    # The square of a large number: the gradient of step 3 is a number.
    "loss": Case(COPIES, "w * 100000000000", "loss of fc became inf in step 3", 2),
    # Never saved, though loss and gradient of step 4 were numbers.
    "param": Case(COPIES, "w / (4 - step)", "fc.weight is not finite after step 4", 3),
}


@pytest.mark.parametrize(
    ("name", "processes", "transport"),
    [("gradient", 1, "shared"), ("gradient", 3, "shared"), ("gradient", 3, "messages"),
     ("loss", 1, "messages"), ("loss", 3, "shared"), ("param", 3, "messages")],
)  # fmt: skip
def test_all_processes_stop_in_the_step_that_is_named(
    name: str, processes: int, transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("SINGAC_TRANSPORT", transport)
    case, program = CASES[name], tmp_path / "net.singa"
    text = PROGRAM.replace("NET", case.net).replace("SPOILT", case.spoilt)
    program.write_text(text, encoding="utf-8")
    run = tmp_path / "run"
    assert main(["run", str(program), "-np", str(processes), "--run-dir", str(run), "--json"]) == 1
    out, err = capfd.readouterr()
    assert f"error[SG0912]: {case.told}, seen by process " in err
    events = [json.loads(line) for line in out.splitlines()]
    assert max(e["step"] for e in events if e["event"] in ("step", "checkpoint")) <= case.good + 1
    assert [p.name for p in checkpoint.listed(run / "checkpoints")] == [
        checkpoint.folder_name(case.good)
    ]
    assert events[-1]["status"] == "failed"
