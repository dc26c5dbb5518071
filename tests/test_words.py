"""`singac list`: every table of the language as text and as JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from singac.arguments import WORDS
from singac.cli import main
from singac.layers.table import KINDS
from singac.model.equations import UNTOLD
from singac.schedules import SCHEDULES
from singac.sources.table import SOURCES
from singac.words import LISTS, as_json, as_text

# fmt: off
KNOWN = {
    "layers":       (*KINDS, "relu", "sigmoid", "tanh", "stanh", "gelu"),
    "updaters":     ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam", "AdaMax"),
    "schedules":    tuple(SCHEDULES),
    "sources":      tuple(SOURCES),
    "algorithms":   ("BP",),
    "initialisers": ("constant", "gaussian", "uniform", "glorot", "he"),
}
# fmt: on


def test_every_list_is_offered() -> None:
    assert tuple(LISTS) == WORDS == tuple(KNOWN)


@pytest.mark.parametrize("what", KNOWN)
def test_text_has_a_line_for_every_word_and_setting(what: str) -> None:
    lines = as_text(what).splitlines()
    firsts = [line.split()[0] for line in lines if line and line[0] != " "]
    assert firsts[0] == what
    assert [n for n in KNOWN[what] if n not in firsts] == []
    assert not any(line != line.rstrip() for line in lines)
    settings = sum(len(w.settings) for w in LISTS[what]())
    assert len(lines) == 1 + len(LISTS[what]()) + settings


@pytest.mark.parametrize("what", KNOWN)
def test_json_has_what_the_text_has(what: str) -> None:
    read = json.loads(as_json(what))
    assert read["format_version"] == "1.0"
    words = {w["name"]: w for w in read[what]}
    assert [n for n in KNOWN[what] if n not in words] == []
    assert all(w["meaning"] for w in words.values())
    for word in words.values():
        for setting in word["settings"]:
            assert setting["doc"]
            assert setting["accepts"] or setting["choices"]
            assert not (setting["required"] and setting["default"] is not None)


def test_settings_are_those_of_the_language() -> None:
    adam = next(w for w in json.loads(as_json("updaters"))["updaters"] if w["name"] == "Adam")
    defaults = {s["name"]: s["default"] for s in adam["settings"]}
    assert defaults == {
        "rate": 0.001, "beta1": 0.9, "beta2": 0.999, "delta": 1e-8, "weight_decay": 0.0,
        "clip": None, "clip_norm": None,
    }  # fmt: skip
    assert "y = x * sigmoid(slope * x)" in as_text("layers")


def test_layers_tell_their_sources_and_params() -> None:
    told = {w["name"]: w for w in json.loads(as_json("layers"))["layers"]}
    assert told["dense"]["params"] == ["weight", "bias"]
    assert (told["concat"]["sources"], told["concat"]["or_more"]) == (2, True)
    lines = as_text("layers").splitlines()
    (add,) = (line for line in lines if line.startswith("add "))
    assert add.endswith("2 or more sources")
    assert sum(line.endswith("; params weight, bias") for line in lines) > 1


def test_the_command_line_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "schedules"]) == 0
    assert capsys.readouterr().out == as_text("schedules") + "\n"
    assert main(["list", "schedules", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schedules"]


# -- every word is told, shown and held against something -----------------------------------------

ROOT = Path(__file__).parent.parent
EXAMPLES = [*(ROOT / "models").glob("*.singa"), *(ROOT / "tests/valid").glob("*.singa")]
# Where each list has its references: formulas or readers that a word is held against.
# fmt: off
REFERENCES = {
    "layers":       ("tests/layers/test_every_kind.py", "tests/layers/test_prelude.py"),
    "updaters":     ("tests/codegen/test_update.py",),
    "schedules":    ("tests/codegen/test_update.py", "tests/test_schedules.py"),
    "sources":      ("tests/sources",),
    "algorithms":   (),
    "initialisers": ("tests/test_initialisers.py",),
}
# An algorithm is an order of operations: held against NumPy's, where its name may not be said.
ORDERS = {
    "BP":   "tests/plan/test_order.py",
    "BPTT": "tests/plan/test_loops.py",
    "CD":   "tests/layers/test_rbm.py",
    "PCD":  "tests/layers/test_rbm.py",
}
# fmt: on


def named_in(text: str, word: str) -> bool:
    return re.search(rf"\b{word}\b", text) is not None


@pytest.mark.parametrize("what", KNOWN)
def test_every_word_is_documented_with_all_its_settings(what: str) -> None:
    for word in LISTS[what]():
        assert len(word.meaning.split()) > 1, f"{word.name} has no meaning"
        assert all(len(s.doc.split()) > 1 for s in word.settings), word.name
        assert all(s.doc != UNTOLD for s in word.settings), word.name


@pytest.mark.parametrize("what", KNOWN)
def test_every_word_has_a_reference(what: str) -> None:
    text = "".join(map(_text, REFERENCES[what]))
    if what == "algorithms":
        text = " ".join(name for name, file in ORDERS.items() if (ROOT / file).exists())
    assert [w.name for w in LISTS[what]() if not named_in(text, w.name)] == []


def _text(place: str) -> str:
    path = ROOT / place
    files = sorted(path.rglob("test_*.py")) if path.is_dir() else [path]
    own = [file for file in files if file != Path(__file__)]
    return "\n".join(file.read_text(encoding="utf-8") for file in own)


@pytest.mark.parametrize("what", KNOWN)
def test_every_word_has_an_example(what: str) -> None:
    """In a model, or in a program of the tests that compiles."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(EXAMPLES))
    text = re.sub("#.*", "", text)
    assert [w.name for w in LISTS[what]() if not named_in(text, w.name)] == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tests/valid").glob("*.singa")), ids=lambda path: path.stem
)
def test_examples_of_the_tests_compile_and_are_formatted(path: Path) -> None:
    assert main(["check", str(path), "-np", "2"]) == main(["fmt", "--check", str(path)]) == 0
