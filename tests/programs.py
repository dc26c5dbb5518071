"""Programs as text -> what the compiler's middle says of them, without generating code."""

from __future__ import annotations

from pathlib import Path

from singac.diagnostics import Diagnostic, Failed, Source
from singac.model.choices import Choices
from singac.model.program import Change
from singac.model.resolve import Model, resolve
from singac.partition.partition import check, partition
from singac.plan.plan import Plan
from singac.plan.project import project
from singac.plan.verify import verify
from singac.syntax.parse import parse

HERE = Path(__file__).parent / "errors"
POINTS = 'data points = csv("data/points.csv")\n'  # 4 features, 3 classes, 12 examples
TARGETS = 'data targets = csv("data/targets.csv")\n'  # 4 features and a real number
# Declared alone; 3x9x10 values and 3 classes.
IMAGES = 'data images = cifar("data/nowhere", shape = 3x9x10, classes = 3)\n'
TRAIN = "train small { updater = SGD(rate = 0.1)  batch = 6  steps = 10 }\n"


def source(text: str) -> Source:
    """A text as a file in a folder that has the data of the tests."""
    return Source(str(HERE / "program.singa"), text)


def let(name: str, value: str) -> Change:
    return Change("let", name, value)


def set_to(name: str, value: str) -> Change:
    return Change("set", name, value)


def diagnostics(text: Source, choices: Choices | None = None) -> list[Diagnostic]:
    """All that is wrong with a program, syntax errors included."""
    try:
        return check(parse(text), choices or Choices())
    except Failed as failed:
        return list(failed.diagnostics)


def models(text: str, choices: Choices | None = None) -> tuple[Model, ...]:
    return resolve(parse(source(text)), choices or Choices())


def model(text: str, choices: Choices | None = None) -> Model:
    """The model of a program with one train block."""
    (only,) = models(text, choices)
    return only


def small(net: str, train: str = TRAIN, data: str = POINTS, extra: str = "") -> str:
    """A program around the statements of a net; the data's name is the word after `data`."""
    return f"{data}{extra}net small on {data.split()[1]} {{\n{net}\n}}\n{train}"


def plan_of(made: Model, scratch: int = 0) -> Plan:
    """The verified plan of a model."""
    plan = project(partition(made), made, "digest", lambda *_: scratch)
    verify(plan)
    return plan


def plan(text: str, choices: Choices | None = None, scratch: int = 0) -> Plan:
    return plan_of(model(text, choices), scratch)
