"""Programs with something changed in them: told what is wrong, or compiled to a verified plan."""

from __future__ import annotations

import pytest

from singac.diagnostics import Failed, show
from singac.model.choices import Choices
from singac.model.resolve import Model
from singac.plan.encode import from_json, to_json
from tests.chunked import snippets
from tests.fuzz import mutant
from tests.plan.orders import NETS
from tests.programs import HERE, diagnostics, models, plan_of, small, source

PARTS = 12
MUTANTS = 20


def seeds() -> list[str]:
    files = sorted(p for p in HERE.glob("*.singa") if p.name != "syntax.singa")
    wrong = [text for path in files for _, text in snippets(path)]
    return [small(net) for net in NETS.values()] + wrong


@pytest.mark.parametrize("part", range(PARTS))
def test_mutants(part: int) -> None:
    programs = seeds()
    for number in range(part * MUTANTS, (part + 1) * MUTANTS):
        text = mutant(number, programs)
        choices = Choices(np=(None, 1, 3)[number % 3])
        found = diagnostics(source(text), choices)
        assert bool(show(found)) is bool(found)
        if not found:
            _compiles(text, choices)


def _compiles(text: str, choices: Choices) -> None:
    made, left_open = _models(text, choices)
    assert left_open <= {"SG0176", "SG0177", "SG0402", "SG0403"}, "only choices may be open"
    for model in made:
        plan = plan_of(model)
        assert from_json(to_json(plan)) == plan


def _models(text: str, choices: Choices) -> tuple[tuple[Model, ...], set[str]]:
    """The models, or the codes of why there are none."""
    try:
        return models(text, choices), set()
    except Failed as failed:
        return (), {d.code for d in failed.diagnostics}
