"""A training step drawn: a lane a process, its steps as bars in time, exchanges as arrows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from xml.etree.ElementTree import Element

from singac.plan.plan import Plan, Process, Pull, Push, Receive, Run, Send, Serve
from singac.plan.show import size, words
from singac.report.costs import duration
from singac.report.markup import element
from singac.report.schedule import Arrow, Bar, Doing, Schedule
from singac.report.survey import crowds

MOST_LANES = 16
LEFT, WIDTH, LANE, BAR, TOP = 130, 1000, 44, 22, 22
THINNEST = 3.0
LETTER = 6.6  # width of one, at the size of labels
MARKS = 8
MOST_ARROWS, MOST_LOUD = 600, 60  # drawn at all; drawn so that each can be seen


def shown_ranks(plan: Plan) -> tuple[int, ...]:
    """All processes, or of many the first of each kind and as many others as there is room for."""
    if len(plan.processes) <= MOST_LANES:
        return tuple(p.rank for p in plan.processes)
    kinds = crowds(plan, MOST_LANES // 2)
    room = MOST_LANES // len(kinds)
    return tuple(sorted(rank for crowd in kinds for rank in crowd.ranks[:room]))


def draw(plan: Plan, played: Schedule) -> Element:
    """The lanes as SVG; arrows of a bar light up with it."""
    ranks = shown_ranks(plan)
    lane_of = {rank: k for k, rank in enumerate(ranks)}
    scale = WIDTH / max(played.seconds, 1e-9)
    height = TOP + len(ranks) * LANE + 8
    bars = [b for b in played.bars if b.rank in lane_of]
    arrows = [a for a in played.arrows if a.sender in lane_of and a.receiver in lane_of]
    arrows = sorted(arrows, key=lambda a: -a.bytes)[:MOST_ARROWS]
    quiet = "quiet" if len(arrows) > MOST_LOUD else ""
    return element(
        "svg",
        element("defs", _head()),
        element("g", *_axis(played.seconds, scale, height), class_="axis"),
        *(_lane(plan, plan.processes[rank], lane_of, bars, scale) for rank in ranks),
        element("g", *_arrows(arrows, lane_of, scale), class_=f"arrows {quiet}"),
        viewBox=f"0 0 {LEFT + WIDTH + 16} {height}",
        width=LEFT + WIDTH + 16,
        height=height,
        role="group",
        aria_label=f"A training step of {len(ranks)} processes",
        class_="lanes",
    )


def _head() -> Element:
    path = element("path", d="M0 0L8 4L0 8z", class_="arrow-head")
    return element(
        "marker", path, id="sent", viewBox="0 0 8 8", refX=7, refY=4, markerWidth=6,
        markerHeight=6, orient="auto",
    )  # fmt: skip


def _axis(seconds: float, scale: float, height: float) -> Iterator[Element]:
    """A line each round number of milliseconds or so."""
    step = 10.0 ** len(str(int(seconds * 1e6 / MARKS))) / 1e6
    while seconds / step < MARKS / 2:
        step /= 2
    at = 0.0
    while at <= seconds:
        x = LEFT + at * scale
        yield element("path", d=f"M{x:.6g} {TOP - 4}V{height}")
        yield element("text", duration(at), x=x + 3, y=12)
        at += step


def _lane(
    plan: Plan,
    process: Process,
    lane_of: Mapping[int, int],
    bars: Sequence[Bar],
    scale: float,
) -> Element:
    y = TOP + lane_of[process.rank] * LANE
    roles = [f"worker {process.worker}"] if process.worker is not None else []
    roles += [f"server {process.server}"] if process.server is not None else []
    own = [b for b in bars if b.rank == process.rank and b.stop > b.start]
    return element(
        "g",
        element("rect", x=0, y=y, width=LEFT + WIDTH + 16, height=LANE - 6, rx=4, class_="lane"),
        element("text", f"process {process.rank}", x=8, y=y + 16, class_="name"),
        element("text", ", ".join(roles), x=8, y=y + 31, class_="note"),
        *(_bar(plan, process, bar, y, scale) for bar in own),
        role="group",
        aria_label=f"process {process.rank}, {', '.join(roles)}",
    )


def _bar(plan: Plan, process: Process, bar: Bar, y: float, scale: float) -> Element:
    step = process.train.steps[bar.position]
    verb, what = words(plan, step)
    if bar.doing is Doing.WAIT:
        verb, what = "wait", f"to {verb} {what}"
    x, width = LEFT + bar.start * scale, max((bar.stop - bar.start) * scale, THINNEST)
    text = f"{verb} {what}"
    fits = len(text) * LETTER < width - 6
    short = text if fits else verb if len(verb) * LETTER < width - 6 else ""
    took = duration(bar.stop - bar.start)
    detail = f"process {process.rank}, step {bar.position}: {text}; {took}"
    about = _about(plan, process, bar.position)
    return element(
        "g",
        element("title", detail),
        element("rect", x=x, y=y + 8, width=width, height=BAR, rx=2),
        element("text", short, x=x + 4, y=y + 23),
        class_=f"item bar {bar.doing}",
        tabindex="-1",
        role="img",
        aria_label=detail,
        data_detail=detail,
        data_lane=str(process.rank),
        data_words=f"{text} {about} process {process.rank}",
        data_about=about,
    )


def _about(plan: Plan, process: Process, position: int) -> str:
    """Names of the params, exchanges or tensors that a step is about."""
    match process.train.steps[position]:
        case Pull(param) | Push(param):
            return plan.params[param].name
        case Serve(index):
            return plan.params[plan.slices[index].param].name
        case Send(number) | Receive(number):
            return plan.exchanges[number].name
        case Run(stretch):
            layers = {layer.name for layer in plan.layers}
            names = [b.name for b in plan.stretches[stretch].buffers]
            return " ".join(n for n in names if n in layers)
    return ""


def _arrows(arrows: Sequence[Arrow], lane_of: Mapping[int, int], scale: float) -> Iterator[Element]:
    for arrow in arrows:
        x0, x1 = LEFT + arrow.left * scale, LEFT + arrow.arrived * scale
        y0 = TOP + lane_of[arrow.sender] * LANE + 8 + BAR / 2
        y1 = TOP + lane_of[arrow.receiver] * LANE + 8 + BAR / 2
        bend = (x1 - x0) / 2 + 6
        title = (
            f"{arrow.what}: {size(arrow.bytes)} from process {arrow.sender} "
            f"to process {arrow.receiver}"
        )
        yield element(
            "path",
            element("title", title),
            d=f"M{x0:.6g} {y0:.6g}C{x0 + bend:.6g} {y0:.6g} {x1 - bend:.6g} {y1:.6g} "
            f"{x1:.6g} {y1:.6g}",
            class_="sent",
            marker_end="url(#sent)",
            data_about=arrow.what,
            data_ends=f"{arrow.sender} {arrow.receiver}",
        )
