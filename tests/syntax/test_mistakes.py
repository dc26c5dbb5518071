"""Known mistakes: each wrong text gets its own sentence."""

from __future__ import annotations

from collections import defaultdict

import pytest

from singac.diagnostics import Failed, Source
from singac.syntax.codes import CODES
from singac.syntax.parse import parse
from singac.syntax.sentences import Key, Mistake, keys, miss_of, mistakes

SNIPPETS = [(mistake, text) for mistake in mistakes() for text in mistake.snippets]


def test_every_wrong_text_gets_its_own_sentence() -> None:
    wrong = []
    for mistake, text in SNIPPETS:
        with pytest.raises(Failed) as failed:
            parse(Source("mistake.singa", text))
        told = failed.value.diagnostics[0]
        assert told.place is not None
        own = mistake.message.replace("{word}", told.place.span.text)
        if (told.code, told.message, told.help) != (mistake.code, own, mistake.help):
            wrong.append(f"{text}\n    is told: {told.message}\n    not: {own}")
    assert not wrong, "\n".join(wrong)


def test_no_two_sentences_have_one_place() -> None:
    sentences: dict[Key, list[Mistake]] = defaultdict(list)
    for mistake, text in SNIPPETS:
        if not mistake.after:
            key = keys(mistake, miss_of(text))[0]
            if mistake not in sentences[key]:
                sentences[key].append(mistake)
    assert [[m.message for m in ms] for ms in sentences.values() if len(ms) > 1] == []


def test_every_sentence_has_a_known_code_and_its_texts() -> None:
    assert [m.message for m in mistakes() if m.code not in CODES] == []
    assert [m.message for m in mistakes() if not m.snippets] == []
    assert [m.message for m in mistakes() if m.message.endswith(".") or m.help.endswith(".")] == []


@pytest.mark.parametrize(
    ("known", "similar"),
    [
        ("let a = 5%", "train n { rate = f(0.5%) }"),
        ("net n on d { a -> relu; b -> c }", "partition p of n { a at 1; b at 2 }"),
        ("net n on d { a -> conv(96 3x3) }", "data d = f(g(3x3 7))"),
        ("train n { batch = 'a' }", "cluster c { wire = 'a' }"),
    ],
)
def test_a_sentence_holds_in_other_surroundings(known: str, similar: str) -> None:
    messages = []
    for text in (known, similar):
        with pytest.raises(Failed) as failed:
            parse(Source("mistake.singa", text))
        messages.append(failed.value.diagnostics[0].help)
    assert messages[0] == messages[1]
