"""Programs -> canonical text."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from singac.diagnostics import Source
from singac.syntax.format import format_program
from singac.syntax.parse import parse
from tests.syntax.meaning import same_meaning

TOUR = sorted((Path(__file__).parent / "tour").glob("*.singa"))


def formatted(text: str) -> str:
    """The canonical text, after the properties every formatting has."""
    program = parse(Source("test.singa", text))
    result = format_program(program)
    again = parse(Source("formatted.singa", result))
    assert same_meaning(program, again)
    assert [c.text for c in again.comments] == [c.text for c in program.comments]
    assert format_program(again) == result
    return result


def assert_formats(before: str, after: str) -> None:
    assert formatted(dedent(before)) == dedent(after).lstrip("\n")


def assert_stands(text: str) -> None:
    assert_formats(text, text)


@pytest.mark.parametrize("path", TOUR, ids=lambda p: p.stem)
def test_the_tour_of_the_language_nearly_stands(path: Path) -> None:
    """In two files columns inside chains close up and a line of 104 columns is broken."""
    before = path.read_text(encoding="utf-8")
    after = formatted(before)
    assert after.split() == before.split()
    assert path.stem in ("hybrid", "rbm") or after == before


def test_the_prelude_keeps_its_meaning() -> None:
    formatted((Path(__file__).parents[2] / "grammar" / "prelude.singa").read_text(encoding="utf-8"))


def test_signs_and_settings_are_spaced() -> None:
    assert_formats(
        """
        let a=1/255
        net n on d{image->fc1:dense(hidden/2,weight~gaussian( std=0.1 ),b = -1)<->relu}
        """,
        """
        let a = 1/255
        net n on d { image -> fc1: dense(hidden/2, weight ~ gaussian(std = 0.1), b = -1) <-> relu }
        """,
    )


def test_a_block_on_several_lines_has_a_row_a_line() -> None:
    assert_formats(
        """
        train n { batch = 64 updater = SGD(rate=0.1)
          a.b = 2 }
        cluster c { 2 worker group of np/2
          1 server groups of 3  sync_every=3 }
        partition p of n { conv1..pool5 on batch fc6 .. fc7 on feature
          fc8 at 0 }
        """,
        """
        train n {
            batch   = 64
            updater = SGD(rate = 0.1)
            a.b     = 2
        }
        cluster c {
            2 worker groups of np/2
            1 server group  of 3
            sync_every = 3
        }
        partition p of n {
            conv1 .. pool5 on batch
            fc6   .. fc7   on feature
            fc8            at 0
        }
        """,
    )


def test_parentheses_are_kept_where_they_mean_something() -> None:
    assert_formats(
        """
        let a = (1)+(2*3)
        let b = (1+2)*3-(4-(5))
        let c = -(a+b)*-(a)
        let d = a/(b/c)
        let e = ((a/b))/c
        """,
        """
        let a = 1 + 2 * 3
        let b = (1 + 2) * 3 - (4 - 5)
        let c = -(a + b) * -a
        let d = a / (b/c)
        let e = a/b / c
        """,
    )


def test_a_call_without_settings_stays_a_call_in_a_value() -> None:
    assert_stands(
        """
        let a = f()
        let b = f
        """
    )


def test_long_chains_are_broken_before_arrows() -> None:
    long = " -> ".join(f"l{i}: dense({i}00)" for i in range(1, 9))
    assert_formats(
        f"net n on d {{\nimage -> {long}\n}}\n",
        """
        net n on d {
            image -> l1: dense(100) -> l2: dense(200) -> l3: dense(300) -> l4: dense(400) -> l5: dense(500)
                  -> l6: dense(600) -> l7: dense(700) -> l8: dense(800)
        }
        """,  # noqa: E501
    )


def test_long_settings_are_broken_inside_their_parentheses() -> None:
    settings = "filters, kernel, stride = 2, pad = pad, weight ~ gaussian(std = 0.01), bias = zero"
    assert_formats(
        f"net n on d {{\nimage -> conv({settings}) -> relu\n}}\n",
        """
        net n on d {
            image -> conv(filters, kernel, stride = 2, pad = pad, weight ~ gaussian(std = 0.01),
                          bias = zero) -> relu
        }
        """,
    )


def test_breaks_between_links_are_the_writers() -> None:
    assert_stands(
        """
        net n on d {
            image -> a
                  -> b -> c
                  -> conv(3,
                          4)
            [a, b] -> add
            c -> repeat 3 { conv(3)
                            -> relu }
        }
        """
    )


def test_arrows_of_neighbours_stand_under_each_other() -> None:
    assert_formats(
        """
        net n on d {
            image -> vis: rbm_visible(784)
            vis <-> hid: rbm_hidden(10)

            alone -> relu
        }
        """,
        """
        net n on d {
            image -> vis: rbm_visible(784)
            vis  <-> hid: rbm_hidden(10)

            alone -> relu
        }
        """,
    )


def test_blank_lines_are_kept_one_by_one() -> None:
    assert_formats(
        """


        let a = 1
        let b = 2



        train n {

            a = 1


            b = 2

        }
        """,
        """
        let a = 1
        let b = 2

        train n {
            a = 1

            b = 2
        }
        """,
    )


def test_comments_keep_their_places() -> None:
    assert_stands(
        """
        # at the top

        let a = 1  # behind
        # before
        data d = idx("a",  # in parentheses
                     # on its own
                     scale = 1/255)
        net n on d {  # behind a head
            # first in a block
            param w ~ gaussian(std = 0.1)      # in a column

            # before a chain
            image -> a  # behind a link
                  # between links
                  -> b
            unroll 3 {
                # alone in a block
            }
            # last in a block
        }  # behind a block
        # at the end
        """
    )


def test_comments_inside_a_row_follow_it() -> None:
    assert_formats(
        """
        let a = 1 +  # one
                2
        train  # two
        n {
            b  # three
              = 3
        }
        """,
        """
        let a = 1  # one
                + 2
        train n {  # two
            b =  # three
                3
        }
        """,
    )


def test_only_comments_and_nothing() -> None:
    assert formatted("") == ""
    assert formatted("\n\n") == ""
    assert formatted("\n  # a\n\n\n# b") == "# a\n\n# b\n"


def test_line_ends_are_one_kind() -> None:
    assert formatted("\ufefflet a = 1  # b\r\n\r\nlet c = 2\r\n") == "let a = 1  # b\n\nlet c = 2\n"


def test_what_opens_far_right_continues_at_the_left() -> None:
    name = "very_" * 18 + "long"
    after = formatted(f"updater {name}(rate, momentum = 0.9, delta = 1) {{\n    w = g\n}}\n")
    assert after.splitlines()[1] == "    momentum = 0.9, delta = 1) {"
