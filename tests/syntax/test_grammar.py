"""The grammar itself: no conflict, and every word a name where it can be one."""

from __future__ import annotations

import logging

import pytest
from lark import Lark, logger

from singac.diagnostics import Source
from singac.syntax import tree
from singac.syntax.engine import build_parser
from singac.syntax.parse import parse


def test_the_grammar_has_no_conflict(caplog: pytest.LogCaptureFixture) -> None:
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(caplog.handler)
    try:
        build_parser(debug=True)
    finally:
        logger.removeHandler(caplog.handler)
        logger.setLevel(level)
    assert [r.getMessage() for r in caplog.records if "onflict" in r.getMessage()] == []


def test_lark_would_tell_a_conflict(caplog: pytest.LogCaptureFixture) -> None:
    """What the test above relies on: an ambiguous grammar leaves such a record."""
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(caplog.handler)
    try:
        Lark('start: "x" | "if" start | "if" start "else" start', parser="lalr", debug=True)
    finally:
        logger.removeHandler(caplog.handler)
        logger.setLevel(level)
    assert any("onflict" in r.getMessage() for r in caplog.records)


WORDS = [
    "batch", "feature", "auto", "worker", "server", "group", "groups", "of", "on", "at", "t",
    "state", "from", "checkpoint", "updater", "step", "h", "x", "np", "input", "label", "first",
]  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_a_word_of_another_place_is_a_name(word: str) -> None:
    text = f"""
        let {word} = {word} + 1
        data {word} = {word}({word}, {word} = {word})
        net {word} on {word} {{
            param {word}, {word} ~ {word}({word})
            param {word} from checkpoint {word}
            {word} -> {word}: {word}({word}, {word} = {word}, {word} ~ {word}) -> {word}
            [{word}, {word}[t-1]] -> {word} <-> {word}: {word}
            [{word}, {word}] -> repeat {word} {{ {word} -> {word} }}
            unroll {word} {{ {word} -> {word} }}
        }}
        block {word}({word}) {{ {word} -> {word} }}
        partition {word} of {word} {{ {word} .. {word} on batch  {word} at 1 }}
        partition {word} of {word} {{ {word}.{word} on auto  {word} on feature }}
        train {word} {{ {word} = {word}  {word}.{word} = {word} }}
        cluster {word} {{ {word} worker groups of {word}  {word} = {word} }}
        layer {word}({word}, {word} = {word}) {{ {word} = {word} * {word}({word}) }}
        updater {word}({word}) {{ state {word} = {word}  {word} = {word} - {word} }}
    """
    kinds = [type(item).__name__ for item in parse(Source("words.singa", text)).items]
    assert kinds == [
        "Let", "Data", "Net", "Block", "Partition", "Partition", "Train", "Cluster", "LayerDef",
        "UpdaterDef",
    ]  # fmt: skip


@pytest.mark.parametrize("word", ["data", "net", "train", "layer", "block", "param", "repeat"])
def test_a_word_that_starts_a_block_is_a_setting_in_parentheses(word: str) -> None:
    (data,) = parse(Source("words.singa", f'data d = csv("a.csv",\n{word} = 1)')).items
    assert isinstance(data, tree.Data)
    setting = data.call.arguments[1]
    assert isinstance(setting, tree.Named)
    assert setting.path.text == word
