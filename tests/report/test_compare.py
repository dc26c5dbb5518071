"""Plans held against each other, single tensors, and graphs for graphviz."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from singac.cli import main
from singac.diagnostics import Failed
from singac.model.choices import Choices
from singac.plan.encode import to_json
from singac.report.compare import compare
from singac.report.dot import as_dot
from singac.report.tensor import show_tensor
from tests.plan.orders import NETS
from tests.plan.test_plan import MLP, mlp
from tests.programs import plan, small

NAMES = ("this", "other")


def test_a_plan_does_not_differ_from_itself() -> None:
    assert compare(mlp(3), mlp(3), NAMES) == ""


def test_other_processes_differ_in_topology_pieces_bytes_and_memory() -> None:
    text = compare(mlp(2), mlp(4), NAMES)
    lines = {re.split(r"\s{2,}", line)[0]: line for line in text.splitlines()}
    assert lines["processes"].split() == ["processes", "2", "4"]
    assert "2 of 96 x 256" in lines["fc1"]
    assert "4 of 48 x 256" in lines["fc1"]
    for word in ("memory of all", "bytes a step of all", "fc2.weight", "process 3"):
        assert word in lines
    assert "batch" not in lines


def test_what_only_one_has_is_told() -> None:
    one = plan(small(NETS["perceptron"]))
    other = plan(small("features -> out: dense(3)\n[out, label] -> softmax_loss"))
    assert re.search(r"^tanh +tanh 5, .* -$", compare(one, other, NAMES), re.MULTILINE)


def test_a_difference_that_has_no_line_is_still_told() -> None:
    made = mlp(2)
    process = replace(made.processes[0], memory=replace(made.processes[0].memory, arena=2**20))
    other = replace(made, stretches=made.stretches[::-1])
    assert "differ only in how buffers" in compare(made, other, NAMES)
    assert "memory" in compare(made, replace(made, processes=(process, made.processes[1])), NAMES)


def test_the_command_compares_with_files_and_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["plan", str(MLP), "-np", "2"]
    saved = tmp_path / "two.json"
    assert main([*words, "--format", "json", "-o", str(saved)]) == 0
    assert main([*words, "--diff", str(saved)]) == 0
    assert main(["plan", str(saved), "--diff", f"{MLP} -np 2"]) == 0
    assert capsys.readouterr().out == ""
    assert main([*words, "--diff", "-np 3"]) == 1
    assert "64 x 256" in capsys.readouterr().out
    assert main([*words, "--diff", "--let hidden=64"]) == 1
    assert "dense 64" in capsys.readouterr().out


@pytest.mark.parametrize("other", ["--speed 3", "'", "nowhere.json", "-np 0"])
def test_what_cannot_be_compared_with(other: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(MLP), "--diff", other]) == 2
    assert capsys.readouterr().err.startswith("error[SG06")


# -- tensors ---------------------------------------------------------------------------------------


def test_a_param_lies_in_slices_at_its_servers() -> None:
    made = mlp(4)
    lines = show_tensor(made, "fc2.weight").splitlines()
    assert "256 x 128" in lines[0]
    assert "used by fc2 (mlp.singa:14:17)" in lines[1]
    assert [line.split()[0] for line in lines[4:]] == ["1", "2", "3"]
    param = next(p for p in made.params if p.name == "fc2.weight")
    assert lines[4].split()[2:5] == ["0", "to", "9,167"]
    assert f"{param.start * 4:,}" in lines[4]


def test_a_result_lies_at_its_workers() -> None:
    text = show_tensor(mlp(2), "fc1")
    assert "cut on batch, written at mlp.singa:13:17" in text
    assert "rows 96 to 191, columns 0 to 255" in text
    assert "96 x 256" in text


def test_a_result_that_is_fused_away_lies_nowhere() -> None:
    assert "never lies in memory" in show_tensor(mlp(2), "gelu1")


def test_a_gradient_lies_at_its_workers_too() -> None:
    assert "96 x 256" in show_tensor(mlp(2), "d(fc1)")


def test_an_unknown_tensor_is_refused_with_the_nearest() -> None:
    with pytest.raises(Failed) as failed:
        show_tensor(mlp(1), "fc1.wieght")
    assert failed.value.diagnostics[0].help == "did you mean `fc1.weight`?"


# -- dot -------------------------------------------------------------------------------------------


def test_every_layer_is_a_node_and_every_source_an_edge() -> None:
    made = plan(small(NETS["branches"]), Choices(np=2))
    text = as_dot(made)
    assert text.count(" -> ") == sum(len(layer.sources) for layer in made.layers)
    assert text.count("fillcolor=") == len(made.layers)
    assert "on batch, rows 0 to 2 | 3 to 5" in text


def test_names_are_quoted() -> None:
    made = mlp(1)
    layers = (replace(made.layers[0], name='a"b\\'), *made.layers[1:])
    assert '"a\\"b\\\\" [label="a\\"b\\\\\\n64"' in as_dot(replace(made, layers=layers))


@pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz is not installed")
def test_graphviz_takes_it() -> None:
    done = subprocess.run(
        ["dot", "-Tjson"], input=as_dot(mlp(4)), capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    names = [node["name"] for node in json.loads(done.stdout)["objects"]]
    assert names == [layer.name for layer in mlp(4).layers]


# -- plans of files --------------------------------------------------------------------------------


def test_a_saved_plan_is_shown_like_its_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "plan.json"
    assert main(["plan", str(MLP), "-np", "3", "--format", "json", "-o", str(saved)]) == 0
    for words in ([], ["--format", "dot"], ["--process", "1"], ["--tensor", "fc1.bias"]):
        assert main(["plan", str(MLP), "-np", "3", *words]) == 0
        direct = capsys.readouterr().out
        assert main(["plan", str(saved), *words]) == 0
        assert capsys.readouterr().out == direct
    assert main(["plan", str(saved), "--show", "graph"]) == 2
    assert "SG0604" in capsys.readouterr().err
    saved.write_text(to_json(mlp(1)).replace('"1.0"', '"7.0"', 1))
    assert main(["plan", str(saved)]) == 4
    assert "a plan of format 7.0, not 1.0" in capsys.readouterr().err


def test_a_graph_of_several_trains_asks_for_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = MLP.read_text().replace("data/digits", f"{MLP.parent}/data/digits")
    net, train = text.index("net mlp"), text.index("train mlp")
    text += text[net:train].replace("net mlp", "net second")
    text += text[train:].split("net second")[0].replace("train mlp", "train second")
    (tmp_path / "two.singa").write_text(text)
    assert main(["plan", str(tmp_path / "two.singa"), "--format", "dot"]) == 2
    assert "choose one with --train mlp (or second)" in capsys.readouterr().err
    words = ["--train", "second", "--format", "dot"]
    assert main(["plan", str(tmp_path / "two.singa"), *words]) == 0
    assert capsys.readouterr().out.startswith('digraph "second"')
