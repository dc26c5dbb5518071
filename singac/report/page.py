"""A plan as one page that needs nothing else: no network, no mouse; readable on paper too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from xml.etree.ElementTree import Element

from singac.plan.plan import Plan
from singac.plan.show import count, header, imbalance, size
from singac.report import lanes, netgraph, screen
from singac.report.costs import duration, machine_of
from singac.report.markup import element, page
from singac.report.schedule import schedule
from singac.report.survey import Stratum, crowds, moves
from singac.report.worries import worries

# Nothing may be fetched, whatever a plan holds.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
MOST_ROWS = 400
Row = Sequence[str]


def as_page(plan: Plan) -> str:
    """The text of the page, the same for the same plan."""
    root = element(
        "html",
        _head(plan),
        element("body", _banner(plan), _main(plan), _details(), element("script", _file("js"))),
        lang="en",
    )
    return page(root)


def _file(suffix: str) -> str:
    return files("singac.report").joinpath(f"page.{suffix}").read_text(encoding="utf-8")


def _head(plan: Plan) -> Element:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{plan.net} on {_processes(plan)}"),
        element("style", _file("css")),
    )


def _processes(plan: Plan) -> str:
    return count(len(plan.processes), "process", "processes")


def _banner(plan: Plan) -> Element:
    search = element(
        "input", type="search", id="search", placeholder="Search layers, params, steps",
        aria_label="Search layers, params and steps", autocomplete="off",
    )  # fmt: skip
    return element(
        "header",
        element("h1", plan.net, element("small", f" on {_processes(plan)}")),
        element("p", *_lines(header(plan)), class_="facts"),
        element(
            "p",
            search,
            element("output", "", id="found", for_="search"),
            element("span", "Press ", element("kbd", "/"), " to search, ", element("kbd", "Tab"),
                    " and the arrow keys to go from item to item.", class_="note"),
            class_="finder",
        ),
    )  # fmt: skip


def _lines(text: str) -> list[Element | str]:
    found: list[Element | str] = []
    for line in text.splitlines():
        found += [line, element("br")]
    return found[:-1]


def _main(plan: Plan) -> Element:
    played = schedule(plan, machine_of(plan))
    return element(
        "main",
        _totals(plan, played.seconds),
        *_worries(plan),
        _section("The net", _net_note(), _scrolled(netgraph.draw(plan))),
        _section("A training step", _lanes_note(plan), _scrolled(lanes.draw(plan, played))),
        _section("Layers", _layers(plan)),
        *_chosen(plan),
        _section("Params", _params(plan)),
        _section("What moves in a step", _moves(plan)),
        _section("Processes", _crowds(plan)),
    )


def _section(title: str, *content: Element) -> Element:
    return element("section", element("h2", title), *content)


def _scrolled(drawing: Element) -> Element:
    return element("div", drawing, class_="scrolled")


def _details() -> Element:
    return element("aside", "", id="details", role="status", aria_live="polite")


# -- totals and warnings ---------------------------------------------------------------------------


def _totals(plan: Plan, seconds: float) -> Element:
    processes = plan.processes
    totals = (
        ("moved a step", size(sum(p.bytes_sent for p in processes))),
        ("computed a step", _operations(sum(p.flops for p in processes))),
        ("memory, largest process", size(max(p.memory.total for p in processes))),
        ("memory of all", size(sum(p.memory.total for p in processes))),
        ("params", size(plan.param_floats * screen.FLOAT_BYTES)),
        ("imbalance", f"{imbalance(plan):.2f}"),
        ("expected of a step", duration(seconds)),
    )
    pairs = [element("div", element("dt", k), element("dd", v)) for k, v in totals]
    return element("dl", *pairs, class_="totals")


def _operations(flops: int) -> str:
    return f"{flops / 1e9:,.1f} GFLOP" if flops > 1e9 else f"{flops / 1e6:,.1f} MFLOP"


def _worries(plan: Plan) -> Iterable[Element]:
    found = worries(plan, machine_of(plan))
    if found:
        items = []
        for worry in found:
            place: list[Element | str] = []
            if worry.place:
                place = [element("code", worry.place), " "]
            help = element("span", worry.help, class_="note")
            items.append(element("li", *place, worry.message, element("br"), help))
        yield element("section", element("h2", "Warnings"), element("ul", *items), class_="worries")


# -- legends ---------------------------------------------------------------------------------------


def _legend(entries: Iterable[tuple[str, str]], note: str) -> Element:
    keys = [element("span", element("i", class_=f"key {k}"), text) for k, text in entries]
    return element("p", *keys, element("span", note, class_="note"), class_="legend")


def _net_note() -> Element:
    entries = (
        ("batch", "on batch"),
        ("feature", "on feature"),
        ("input", "on input"),
        ("whole", "otherwise"),
        ("field", "field of the data"),
    )
    note = "The square shows the cuts: examples down, values across; Σ for partial sums."
    return _legend(entries, f"{note} Along red arrows something changes hands.")


def _lanes_note(plan: Plan) -> Element:
    entries = (
        ("compute", "compute"),
        ("exchange", "exchange"),
        ("serve", "update"),
        ("wait", "wait"),
    )
    shown = lanes.shown_ranks(plan)
    note = "Times are expected of a usual core, not measured. Arrows: what one hands another."
    if len(shown) < len(plan.processes):
        note += f" {len(shown)} of {len(plan.processes)} processes; the others do alike."
    return _legend(entries, note)


# -- tables ----------------------------------------------------------------------------------------


def _table(head: Row, rows: Sequence[Row], numbers: Sequence[int] = ()) -> Element:
    """Each row can be searched for; columns in `numbers` are to the right."""
    body = [
        element(
            "tr",
            *(element("td", c, class_="number" if k in numbers else "") for k, c in enumerate(row)),
            class_="row",
            data_words=" ".join(row),
        )
        for row in rows[:MOST_ROWS]
    ]
    top = element("tr", *(element("th", c, scope="col") for c in head))
    made = element("table", element("thead", top), element("tbody", *body))
    hidden = len(rows) - MOST_ROWS
    more = [element("p", f"and {hidden} more", class_="note")] if hidden > 0 else []
    return element("div", made, *more, class_="scrolled")


def _layers(plan: Plan) -> Element:
    rows = []
    for layer in plan.layers:
        stratum = Stratum((layer.name,), layer.cut, layer.pieces)
        shape = "x".join(map(str, layer.shape)) or "a number"
        sources = ", ".join(layer.sources) or "-"
        pieces = screen.pieces_text(stratum)
        cut = layer.cut or "-"
        rows.append((layer.name, layer.kind, sources, shape, cut, pieces, layer.place))
    head = ("layer", "kind", "sources", "shape", "cut on", "pieces, by worker", "written at")
    return _table(head, rows)


def _chosen(plan: Plan) -> Iterable[Element]:
    """Why layers are cut as they are, where the compiler chose."""
    if plan.chosen is not None:
        note = element("p", f"{screen.expectation(plan.chosen)}.", class_="note")
        rows = [screen.choice_cells(choice) for choice in plan.chosen.choices]
        yield _section("Chosen by the compiler", note, _table(screen.CHOICE_COLUMNS, rows, (2, 4)))


def _params(plan: Plan) -> Element:
    rows = [screen.param_cells(plan, k, p) for k, p in enumerate(plan.params)]
    return _table(("param", "shape", "bytes", "on servers"), rows, (2,))


def _moves(plan: Plan) -> Element:
    rows = [screen.move_cells(move) for move in moves(plan)]
    if not rows:
        return element("p", "Nothing: it is one process.")
    return _table(("what", "there", "back", "between"), rows, (1, 2))


def _crowds(plan: Plan) -> Element:
    rows = [screen.crowd_cells(plan, crowd) for crowd in crowds(plan, 32)]
    return _table(screen.PROCESS_COLUMNS, rows, range(4, len(screen.PROCESS_COLUMNS)))
