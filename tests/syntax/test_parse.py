"""Texts -> trees: what each construct becomes, and the limits of a text."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from singac.diagnostics import Diagnostic, Failed, Source
from singac.syntax import tree
from singac.syntax.codes import CODES
from singac.syntax.parse import MAX_NESTING, parse
from tests.syntax.meaning import stripped

TOUR = sorted((Path(__file__).parent / "tour").glob("*.singa"))


def program(text: str) -> tree.Program:
    return parse(Source("test.singa", text))


def refused(text: str) -> list[Diagnostic]:
    with pytest.raises(Failed) as failed:
        program(text)
    return list(failed.value.diagnostics)


def statements(text: str) -> tuple[tree.Statement, ...]:
    (net,) = program(f"net n on d {{ {text} }}").items
    assert isinstance(net, tree.Net)
    return net.statements


def value(text: str) -> tree.Value:
    (let,) = program(f"let a = {text}").items
    assert isinstance(let, tree.Let)
    return let.value


def shown(value: tree.Value) -> str:
    """A value with all its parentheses."""
    match value:
        case tree.Binary(operator, left, right):
            return f"({shown(left)} {operator} {shown(right)})"
        case tree.Negate(operand):
            return f"(-{shown(operand)})"
        case tree.Apply(path, arguments):
            inner = [shown(a.value) for a in arguments if isinstance(a, tree.Positional)]
            return f"{path.text}({', '.join(inner)})"
        case _:
            return value.span.text


@pytest.mark.parametrize("path", TOUR, ids=lambda p: p.stem)
def test_the_tour_of_the_language_parses(path: Path) -> None:
    assert program(path.read_text(encoding="utf-8")).items


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("1/255", "(1 / 255)"),
        ("a - b - c", "((a - b) - c)"),
        ("a + b * c", "(a + (b * c))"),
        ("-a * -b", "((-a) * (-b))"),
        ("-(a + b)", "(-(a + b))"),
        ("a / (b / c)", "(a / (b / c))"),
        ("pow(beta1, step)", "pow(beta1, step)"),
        ("1 - f(x, 2)/3", "(1 - (f(x, 2) / 3))"),
    ],
)
def test_arithmetic_binds_as_in_mathematics(text: str, meaning: str) -> None:
    assert shown(value(text)) == meaning


def test_numbers_keep_their_text_and_shapes_their_sizes() -> None:
    assert stripped(value("0.10")) == ("Number", "0.10")
    assert stripped(value("1e-3")) == ("Number", "1e-3")
    assert stripped(value("3x227x227")) == ("Shape", (3, 227, 227))
    assert stripped(value('"a # b"')) == ("String", "a # b")
    assert stripped(value("w'")) == ("Transposed", ("Path", (("Name", "w"),)))


def test_a_chain_has_sources_and_links() -> None:
    (chain,) = statements("[x, h[t-2]] -> h: gru(512, bias.lr_scale = 2) <-> relu")
    assert isinstance(chain, tree.Chain)
    assert [(s.path.text, s.delay) for s in chain.sources] == [("x", 0), ("h", 2)]
    assert chain.joined
    assert [link.undirected for link in chain.links] == [False, True]
    gru = chain.links[0].step
    assert isinstance(gru, tree.LayerStep)
    assert gru.name is not None
    assert (gru.name.text, gru.kind.text, len(gru.arguments)) == ("h", "gru", 2)


def test_spans_are_tight() -> None:
    (chain,) = statements("image ->  fc1 : dense( 10 )  # words\n")
    assert chain.span.text == "image ->  fc1 : dense( 10 )"
    assert isinstance(chain, tree.Chain)
    step = chain.links[0].step
    assert isinstance(step, tree.LayerStep)
    assert step.span.text == "fc1 : dense( 10 )"
    assert step.arguments[0].span.text == "10"
    assert shown(value("(a + b) * c")) == "((a + b) * c)"
    assert value("(a + b) * c").span.text == "(a + b) * c"


def test_spans_hold_in_every_block_of_a_file() -> None:
    items = program("# first\nlet a = 1\n\nlet b = 2  # second\ntrain n { b = 3 }\n").items
    assert [i.span.text for i in items] == ["let a = 1", "let b = 2", "train n { b = 3 }"]


@pytest.mark.parametrize(
    ("text", "count", "size"),
    [
        ("2 worker groups of 4", "2", "4"),
        ("np worker groups of 1", "np", "1"),
        ("np - 1 worker groups of 2*(n + 1)", "np - 1", "2*(n + 1)"),
        ("np/2 server group of n/2", "np/2", "n/2"),
    ],
)
def test_groups_are_counted_by_arithmetic(text: str, count: str, size: str) -> None:
    (cluster,) = program(f"cluster c {{ servers = separate {text} 1 server group of 2 }}").items
    assert isinstance(cluster, tree.Cluster)
    group = cluster.members[1]
    assert isinstance(group, tree.Group)
    assert (group.count.span.text, group.size.span.text) == (count, size)


def test_rules_name_a_dimension_or_a_worker() -> None:
    (cut,) = program(
        "partition p of n { a .. b.c on feature  d at 3  e on auto  f on input }"
    ).items
    assert isinstance(cut, tree.Partition)
    found = [
        (r.first.text, r.last.text if r.last else None, r.dimension, r.worker) for r in cut.rules
    ]
    assert found == [
        ("a", "b.c", "feature", None),
        ("d", None, None, 3),
        ("e", None, "auto", None),
        ("f", None, "input", None),
    ]


def test_comments_are_kept_in_order() -> None:
    comments = program('# a\nlet s = "# no"  # b\n\tlet t = 1 # c').comments
    assert [c.text for c in comments] == ["# a", "# b", "# c"]
    assert all(c.span.text == c.text for c in comments)


def test_lines_may_end_in_any_way() -> None:
    text = "let a = 1  # words\r\ntrain n {\r\n    b = a\r\n}\r\n"
    assert stripped(program(text).items) == stripped(program(text.replace("\r\n", "\n")).items)
    assert program(text).comments[0].text == "# words"
    assert stripped(program("\ufefflet a = 1").items) == stripped(program("let a = 1").items)
    assert program("").items == ()


# -- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "let a = " + "(" * 200_000,
        "let a = " + "(" * 5_000 + "1" + ")" * 5_000,
        "let a = " + "1 + " * 5_000 + "1",
        "let a = " + "-" * 5_000 + "1",
        "let a = " + "f(" * 5_000,
        "net n on d {" + "unroll 2 {" * 5_000,
        "net n on d { a -> " + "repeat 2 {" * 300 + " b " + "}" * 301,
    ],
)  # fmt: skip
def test_deep_texts_are_refused(text: str) -> None:
    assert [d.code for d in refused(text)] == ["SG0008"]


def test_texts_are_not_refused_up_to_the_limit() -> None:
    deep = MAX_NESTING - 1
    assert program("let a = " + "(" * deep + "1" + ")" * deep).items
    assert program("let a = " + "1 + " * deep + "1").items
    assert program("let a = " + "f(" * deep + "1" + ")" * deep).items


@pytest.mark.parametrize("bad", [*"\0\x1b\x7f\u202e\u2066\u200f\r\ud800"])
@pytest.mark.parametrize("text", ['let s = "a{}b"', "let a{}b = 1", "let a = 1 # {} words"])
def test_characters_that_mislead_are_refused(bad: str, text: str) -> None:
    (diagnostic,) = refused(text.format(bad))
    assert diagnostic.code == "SG0005"
    assert diagnostic.place is not None
    assert diagnostic.place.span.start == text.index("{}")


def test_long_texts_are_refused() -> None:
    (diagnostic,) = refused("#" * (8 * 2**20 + 1))
    assert diagnostic.code == "SG0006"


def test_the_end_of_a_text_is_inside_the_file() -> None:
    (diagnostic,) = refused("let a = 1\nnet n on d {\n    a -> b  # words\n\n\n")
    assert diagnostic.code == "SG0002"
    assert diagnostic.place is not None
    source = diagnostic.place.span.source
    assert source.position(diagnostic.place.span.start) == (3, 20)
    assert diagnostic.related[0].span.text == "net n on d {"


def test_the_errors_of_a_hopeless_file_are_not_all_told() -> None:
    assert len(refused("let a\n" * 3_000)) == 100


def test_the_codes_are_those_in_use() -> None:
    root = Path(__file__).parents[2]
    files = [*(root / "singac" / "syntax").glob("*.py"), root / "grammar" / "mistakes.txt"]
    texts = [f.read_text(encoding="utf-8") for f in files if f.stem != "codes"]
    assert sorted({code for text in texts for code in re.findall(r"SG\d{4}", text)}) == list(CODES)


def test_a_file_of_usual_length_is_parsed_quickly() -> None:
    """In 15 ms on a quiet machine; the bound leaves room for a busy one."""
    text = "".join(path.read_text(encoding="utf-8") for path in TOUR)
    lines = len(text.splitlines())
    program(text)
    began = time.process_time()
    program(text)
    assert (time.process_time() - began) * 35 / lines < 0.045
