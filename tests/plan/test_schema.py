"""The published schema of plans, and plans handed over as files."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from singac.diagnostics import Exit, Failed
from singac.model.choices import Choices
from singac.plan import schema
from singac.plan.encode import to_json
from singac.plan.read import read_plan
from tests.plan.orders import NETS
from tests.programs import plan, small

VALIDATOR = jsonschema.Draft202012Validator(json.loads(schema.FILE.read_text()))


def test_the_published_schema_is_that_of_the_dataclasses() -> None:
    jsonschema.Draft202012Validator.check_schema(schema.schema())
    assert schema.FILE.read_text() == schema.text(), "run make schema"


@pytest.mark.parametrize("name", NETS)
def test_plans_are_as_the_schema_says(name: str) -> None:
    made = plan(small(NETS[name]), Choices(np=2))
    VALIDATOR.validate(json.loads(to_json(made)))
    assert schema.misfit(made) is None


# What is done to the JSON of a plan, and the name of what is then wrong with it.
# fmt: off
SPOILT = {
    "version":    (lambda p: p.update(format_version="0.9"),         "a plan of format 0.9, not"),
    "missing":    (lambda p: p.pop("slices"),                        "slices"),
    "stranger":   (lambda p: p.update(colour="red"),                 "colour"),
    "kind":       (lambda p: p["params"][0].update({"is": "Tensor"}), "Tensor"),
    "no kind":    (lambda p: p["params"][0].pop("is"),               "is"),
    "text":       (lambda p: p["slices"][0].update(start="0"),       "slices[0].start is '0'"),
    "truth":      (lambda p: p["slices"][0].update(start=True),      "[0].start is 'True'"),
    "null":       (lambda p: p.update(processes=None),               "plan.processes is 'None'"),
    "layout":     (lambda p: p["params"][0].update(layout="tiles"),  "tiles"),
    "other kind": (lambda p: p["processes"].append(p["params"][0]),  "plan.processes[2]"),
    "two owners": (lambda p: p["slices"].append(p["slices"][0]),     "TwoOwners"),
    "no stretch": (lambda p: p["stretches"].clear(),                 "a part that it does not"),
}
# fmt: on


@pytest.mark.parametrize(("spoil", "told"), SPOILT.values(), ids=SPOILT)
def test_a_spoilt_plan_is_refused_with_what_is_wrong(spoil, told: str, tmp_path: Path) -> None:
    spoilt = json.loads(to_json(plan(small(NETS["perceptron"]), Choices(np=2))))
    spoil(spoilt)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(spoilt))
    with pytest.raises(Failed) as failed:
        read_plan(str(path))
    (diagnostic,) = failed.value.diagnostics
    assert told in diagnostic.message
    assert diagnostic.exit is Exit.DAMAGED
    assert diagnostic.file == str(path)


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 10_000, b"\xff\xfe", b'"plan"', b"null"])
def test_what_is_no_plan_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(Failed, match="this is no plan"):
        read_plan(str(path))


def test_a_plan_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="the plan cannot be read: No such file") as failed:
        read_plan(str(tmp_path / "plan.json"))
    assert failed.value.exit is Exit.USAGE


def test_a_file_is_the_plan_it_was_written_from(tmp_path: Path) -> None:
    made = plan(small(NETS["branches"]), Choices(np=3))
    (tmp_path / "plan.json").write_text(to_json(made))
    assert read_plan(str(tmp_path / "plan.json")) == made
