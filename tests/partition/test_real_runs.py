"""Nets cut on feature and between workers, trained by real processes: one worker's numbers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "errors" / "data" / "points.csv"
PROGRAM = """
data points = csv("{data}", test = 0.3)
net small on points {{ {net} }}
partition cut of small {{ {rules} }}
train small {{
    updater = SGD(rate = 0.01, momentum = 0.5{clip})
    batch = {batch}  steps = {steps}  test = every(7)  checkpoint = every(4)
}}
"""
CHAIN = """
    features -> a: dense(40) -> h: tanh -> d: dropout(0.4) -> b: dense(37) -> r: relu -> c: dense(3)
    [c, label] -> loss: softmax_loss"""
# Two nets side by side, which nothing joins but the batch.
APART = """
    features -> a: dense(40) -> h: tanh -> b: dense(3)
    features -> c: dense(20) -> g: tanh -> e: dense(3)
    [b, label] -> loss: softmax_loss
    [e, label] -> other: softmax_loss"""
TIED = """
    param w ~ gaussian(std = 0.3)
    features -> a: dense(36, weight = w) -> h: tanh
    features -> c: dense(36, weight = w) -> k: tanh
    [h, k] -> p: add -> q: dense(3)
    [q, label] -> loss: softmax_loss"""
# A field that a worker reads twice, each time for all rows: as words, and as what they mean.
WORDS = """
    label -> e: embedding(3, 36) -> h: tanh -> b: dense(3)
    [b, label] -> loss: softmax_loss"""
HYBRID = "a .. b on feature  c at 1"
SUMS = "a .. d on feature  b on input  r on feature  c on auto"
ASIDE = "a .. loss at 1  c .. other at 2"
BESIDE = ""  # a server beside each worker
APART_FROM_WORKERS = "1 worker group of 3  1 server group of 2  servers = separate"
FEWER = "1 worker group of 3  1 server group of 2"
THREADS = "1 worker group of 4  1 server group of 2  workers_per_process = 2"

# fmt: off
RUNS = [
    # net   rules                        processes  cluster
    (CHAIN, HYBRID,                      3,         BESIDE),
    (CHAIN, HYBRID,                      5,         APART_FROM_WORKERS),
    (CHAIN, HYBRID,                      3,         FEWER),
    (CHAIN, HYBRID,                      2,         THREADS),
    (CHAIN, SUMS,                        3,         BESIDE),
    (CHAIN, "a .. loss at 1",            3,         BESIDE),
    (APART, ASIDE,                       3,         BESIDE),
    (APART, ASIDE,                       2,         THREADS),
    (WORDS, "e on feature  loss at 0",   3,         BESIDE),
    (TIED,  "a .. h at 0  c .. k at 2",  3,         BESIDE),
    (TIED,  "a .. h at 0  c .. k at 2",  2,         THREADS),
]
# fmt: on


def trained(
    folder: Path, text: str, processes: int, transport: str = "shared", resume: bool = False
) -> dict[str, np.ndarray]:
    """All params and states at the end."""
    folder.mkdir(exist_ok=True)
    file = folder / "program.singa"
    file.write_text(text)
    command = ["-m", "singac.cli", "run", str(file), "-np", str(processes)]
    command += ["--partition", "cut", "--run-dir", str(folder / "run")]
    command += ["--resume"] if resume else []
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SINGAC_TRANSPORT": transport}
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    *_, last = sorted((folder / "run" / "checkpoints").glob("step-*"))
    files = (load_file(last / f"{name}.safetensors") for name in ("params", "states"))
    return {name: tensor for file in files for name, tensor in file.items()}


def program(
    net: str, rules: str, cluster: str = "", clip: str = "", steps: int = 20, batch: int = 6
) -> str:
    text = PROGRAM.format(data=DATA, net=net, rules=rules, clip=clip, steps=steps, batch=batch)
    return text + (f"cluster here {{ {cluster} }}\n" if cluster else "")


@pytest.mark.slow
@pytest.mark.parametrize("clip", ["", ", clip_norm = 0.1"])
@pytest.mark.parametrize(("net", "rules", "processes", "cluster"), RUNS)
def test_both_transports_train_what_one_worker_does(
    net: str, rules: str, processes: int, cluster: str, clip: str, tmp_path: Path
) -> None:
    one = trained(tmp_path / "one", program(net, "", clip=clip), 1)
    text = program(net, rules, cluster, clip)
    shared, messages = (trained(tmp_path / t, text, processes, t) for t in ("shared", "messages"))
    for name, tensor in one.items():
        assert np.array_equal(shared[name], messages[name]), name
        assert np.linalg.norm(shared[name] - tensor) <= 1e-5 * np.linalg.norm(tensor), name


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["shared", "messages"])
def test_a_checkpoint_is_of_one_step(transport: str, tmp_path: Path) -> None:
    """Workers that wait for nobody do not go on while their params are saved."""
    through = trained(tmp_path / "through", program(APART, ASIDE, steps=12), 3, transport)
    trained(tmp_path / "again", program(APART, ASIDE, steps=8), 3, transport)
    again = trained(tmp_path / "again", program(APART, ASIDE, steps=12), 3, transport, resume=True)
    for name, tensor in through.items():
        assert np.array_equal(again[name], tensor), name


FEATURE = (8, "a .. c on feature")  # workers and rules
BATCH = (3, "")


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [(FEATURE, BATCH), (BATCH, FEATURE)])
def test_any_partition_resumes_any_checkpoint(
    first: tuple[int, str], then: tuple[int, str], tmp_path: Path
) -> None:
    """50 steps more by other workers, cut otherwise, beside those of the same."""

    def steps(number: int, cut: tuple[int, str]) -> tuple[str, int]:
        return program(CHAIN, cut[1], steps=number, batch=8), cut[0]

    trained(tmp_path / "run", *steps(20, first))
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    same = trained(tmp_path / "run", *steps(70, first), resume=True)
    other = trained(tmp_path / "other", *steps(70, then), resume=True)
    for name, tensor in same.items():
        assert np.linalg.norm(other[name] - tensor) <= 1e-5 * np.linalg.norm(tensor), name
