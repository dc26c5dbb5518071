"""The page of a plan: whole, self-contained, escaped; and as a browser shows it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from singac.cli import main
from singac.model.choices import Choices
from singac.partition.machine import Machine
from singac.plan.plan import Plan, Push
from singac.report.netgraph import HEIGHT, WIDTH, place
from singac.report.page import as_page
from singac.report.schedule import Doing, schedule
from tests.plan.orders import NETS
from tests.plan.test_plan import mlp
from tests.programs import plan, small

ROOT = Path(__file__).parent.parent.parent
VOID = ("meta", "br", "input")
HOSTILE = "<script>alert('\"&')</script>"


class Tags(HTMLParser):
    """Every tag of a page with its attributes; fails where one is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.all: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def of_class(self, name: str) -> Iterator[dict[str, str | None]]:
        yield from (a for _, a in self.all if name in (a.get("class") or "").split())


@pytest.fixture(scope="module")
def made() -> Plan:
    return mlp(4)


@pytest.fixture(scope="module")
def text(made: Plan) -> str:
    return as_page(made)


def test_every_layer_lane_and_arrow_is_there(made: Plan, text: str) -> None:
    tags = Tags(text)
    words = [str(a["data-words"]).split()[0] for a in tags.of_class("layer")]
    assert words == [layer.name for layer in made.layers]
    assert len(list(tags.of_class("lane"))) == 4
    across = [s for s in made.slices for p in made.processes if p.server != s.server]
    assert len(list(tags.of_class("sent"))) == len(across)
    for told in ("1.2 MB", "54.5 MFLOP", "AllReduce", "mlp.singa:13:17", "serve fc2.weight"):
        assert told in text


def test_nothing_is_fetched(text: str) -> None:
    for tag, attributes in Tags(text).all:
        assert "src" not in attributes
        assert tag != "link"
        assert not str(attributes.get("href", "#")).startswith("http")
    assert "default-src 'none'" in text
    assert not re.search(r"url\((?!#)|@import|fetch\(|XMLHttp", text)


def test_every_item_can_be_reached_and_says_what_it_is(text: str) -> None:
    for attributes in Tags(text).of_class("item"):
        assert attributes["tabindex"] == "-1"
        assert attributes["aria-label"]


def test_what_a_plan_holds_is_text_and_never_markup(made: Plan) -> None:
    layers = (replace(made.layers[0], name=HOSTILE, place=HOSTILE), *made.layers[1:])
    params = tuple(replace(p, name=HOSTILE + p.name) for p in made.params)
    page = as_page(replace(made, net=HOSTILE, layers=layers, params=params))
    assert [tag for tag, _ in Tags(page).all].count("script") == 1
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("name", NETS)
def test_boxes_do_not_touch(name: str) -> None:
    boxes = list(place(plan(small(NETS[name])).layers).values())
    for k, a in enumerate(boxes):
        for b in boxes[:k]:
            assert abs(a.x - b.x) >= WIDTH or abs(a.y - b.y) >= HEIGHT


def test_an_arrow_is_red_where_something_changes_hands() -> None:
    """Not before a layer on input that reads what lies with its worker."""
    net = "features -> a: dense(40) -> h: tanh -> b: dense(33) -> c: dense(3)\n"
    rules = "partition cut of small { a .. h on feature  b on input  c on feature }\n"
    text = small(f"{net}[c, label] -> loss: softmax_loss") + rules
    page = as_page(plan(text, Choices(np=2, partition="cut")))
    red = re.findall(r"<title>(\w+ to \w+), changes hands", page)
    assert red == ["b to c", "c to loss"]
    assert "sums over columns 0 to 31 | 32 to 39" in page


# -- the step played through -----------------------------------------------------------------------


@pytest.mark.parametrize("np", [1, 3])
def test_a_played_step_is_in_order(np: int) -> None:
    made = mlp(np)
    played = schedule(made, Machine())
    for process in made.processes:
        bars = [b for b in played.bars if b.rank == process.rank]
        assert all(a.stop == b.start for a, b in pairwise(bars))
        positions = [b.position for b in bars]
        assert positions == sorted(positions)
        assert positions[-1] == len(process.train.steps) - 1


def test_a_server_updates_after_the_last_push(made: Plan) -> None:
    played = schedule(made, Machine())
    for bar in played.bars:
        if bar.doing is Doing.SERVE:
            step = made.processes[bar.rank].train.steps[bar.position]
            param = made.slices[step.slice].param  # type: ignore[union-attr]
            pushes = [
                b.stop
                for b in played.bars
                if made.processes[b.rank].train.steps[b.position] == Push(param)
            ]
            assert len(pushes) == 4
            assert bar.start >= max(pushes)


def test_exchanges_of_a_group_are_played() -> None:
    made = plan(small(NETS["perceptron"]), Choices(np=2))
    assert all(a.bytes > 0 for a in schedule(made, Machine()).arrows)


# -- in a browser ----------------------------------------------------------------------------------

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")
def test_a_browser_without_network_shows_graph_and_lanes(tmp_path: Path) -> None:
    page, picture = tmp_path / "plan.html", tmp_path / "plan.png"
    words = ["plan", str(ROOT / "models/alexnet.singa"), "-np", "8", "--partition", "auto"]
    assert main([*words, "--format", "html", "-o", str(page)]) == 0
    assert BROWSER is not None
    done = subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1300,3000",
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}",
            f"--screenshot={picture}", "--dump-dom", f"file://{page}",
        ],
        capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    assert picture.stat().st_size > 50_000
    assert 'tabindex="0"' in done.stdout, "the script has run"
    parts = ('class="sent', 'class="arrow changes', "Chosen by the compiler")
    for told in ("conv1", "fc6", "process 7", "moved a step", *parts):
        assert told in done.stdout
