"""One way for each layer, the cheapest in all: an integer program, solved by HiGHS.

    x[l, w]     1 if layer l goes way w                       one of each layer's is 1
    y[e, v, w]  1 if arrow e leads from way v to way w        its sums over w and over v are the x
    z[l, v, k]  1 if layer l on way v must be handed over as k    no less than y of every arrow

Only the x need be asked to be whole: with them the y are, and so the z, for they cost something.
Layers that read the same of a source share one exchange, so it is z that costs, not y.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

MOST_NODES = 20_000  # of the search; a bound in seconds would not find the same on every machine
# What is as good is chosen by order: each later way costs so much more. In microseconds.
PREFERENCE = 1e-5


@dataclass(frozen=True, slots=True)
class Arrow:
    """One source of a layer: layers by number, and which exchange each way of the reader asks for.

    `asks[w]` is a number of an exchange of the source (-1: it reads nothing). `barred` has the
    pairs of ways, of source and reader, that are not offered together.
    """

    source: int
    reader: int
    asks: tuple[int, ...]
    barred: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """Seconds and bytes of each way of each layer, and seconds of each exchange.

    `exchanges[l][v][k]` is what it costs to hand layer l, on way v, over as its reader k asks.
    """

    seconds: tuple[tuple[float, ...], ...]
    bytes: tuple[tuple[int, ...], ...]
    exchanges: tuple[tuple[tuple[float, ...], ...], ...]
    arrows: tuple[Arrow, ...]
    room: int = 0

    def total(self, ways: Sequence[int]) -> float:
        """Seconds of a step if each layer goes this way."""
        asked: dict[tuple[int, int], None] = {}
        for arrow in self.arrows:
            if (k := arrow.asks[ways[arrow.reader]]) >= 0:
                asked[arrow.source, k] = None
        own = sum(seconds[way] for seconds, way in zip(self.seconds, ways, strict=True))
        return own + sum(self.exchanges[layer][ways[layer]][k] for layer, k in asked)

    @property
    def least(self) -> float:
        """Seconds of a step if each layer goes its first way."""
        return self.total((0,) * len(self.seconds))

    def is_offered(self, ways: Sequence[int]) -> bool:
        """Whether no two ways are barred, and memory suffices."""
        pairs = all((ways[a.source], ways[a.reader]) not in a.barred for a in self.arrows)
        taken = sum(sizes[way] for sizes, way in zip(self.bytes, ways, strict=True))
        return pairs and (not self.room or taken <= self.room)


@dataclass(slots=True)
class _Program:
    """Columns and rows of the integer program while it is written; costs in microseconds."""

    costs: list[float] = field(default_factory=list)
    integral: int = 0
    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def column(self, cost: float = 0.0) -> int:
        self.costs.append(cost)
        return len(self.costs) - 1

    def row(self, terms: Sequence[tuple[int, float]], lower: float, upper: float) -> None:
        self.starts.append(len(self.columns))
        self.columns += [column for column, _ in terms]
        self.values += [value for _, value in terms]
        self.lower.append(lower)
        self.upper.append(upper)


def cheapest(problem: Problem) -> tuple[int, ...] | None:
    """The way of each layer, the same for the same problem; None if memory never suffices."""
    program = _Program()
    chosen = [
        [program.column(s * 1e6 + w * PREFERENCE) for w, s in enumerate(seconds)]
        for seconds in problem.seconds
    ]
    program.integral = len(program.costs)
    for ways in chosen:
        program.row([(x, 1.0) for x in ways], 1.0, 1.0)
    if problem.room:
        sizes = zip(chosen, problem.bytes, strict=True)
        terms = [(x, b / problem.room) for ways, of in sizes for x, b in zip(ways, of, strict=True)]
        program.row(terms, 0.0, 1.0)
    asked = _asked(program, problem)
    for arrow in problem.arrows:
        _lead(program, arrow, chosen, asked[arrow.source])
    values = _solution(program)
    if values is None:
        return None
    return tuple(max(range(len(ways)), key=lambda w: values[ways[w]]) for ways in chosen)


def _asked(program: _Program, problem: Problem) -> list[list[list[int]]]:
    """The columns z; what costs nothing needs none (-1)."""
    return [
        [[program.column(s * 1e6) if s > 0 else -1 for s in of_way] for of_way in of_layer]
        for of_layer in problem.exchanges
    ]


def _lead(program: _Program, arrow: Arrow, chosen: list[list[int]], asked: list[list[int]]) -> None:
    """The columns y of an arrow, and what they have to do with x and z."""
    sources, readers = chosen[arrow.source], chosen[arrow.reader]
    pairs = {
        (v, w): program.column()
        for v in range(len(sources))
        for w in range(len(readers))
        if (v, w) not in arrow.barred
    }
    for v, x in enumerate(sources):
        program.row([(y, 1.0) for (a, _), y in pairs.items() if a == v] + [(x, -1.0)], 0.0, 0.0)
    for w, x in enumerate(readers):
        program.row([(y, 1.0) for (_, b), y in pairs.items() if b == w] + [(x, -1.0)], 0.0, 0.0)
    for v, of_way in enumerate(asked):
        for k, z in enumerate(of_way):
            asking = [
                (y, -1.0) for (a, w), y in pairs.items() if a == v and arrow.asks[w] == k and z >= 0
            ]
            if asking:
                program.row([(z, 1.0), *asking], 0.0, float("inf"))


def _solution(program: _Program) -> list[float] | None:
    """The values of the columns, or None where there is no solution."""
    import highspy
    import numpy as np

    class Silent(highspy.Highs):
        """Enabling callbacks, which making it does, prints a banner unless told not to."""

        def enableCallbacks(self) -> None:
            self.setOptionValue("output_flag", False)
            super().enableCallbacks()  # type: ignore[no-untyped-call]

    lp = highspy.HighsLp()
    count = len(program.costs)
    lp.num_col_, lp.num_row_ = count, len(program.lower)
    lp.col_cost_ = np.array(program.costs)
    lp.col_lower_, lp.col_upper_ = np.zeros(count), np.ones(count)
    lp.row_lower_, lp.row_upper_ = np.array(program.lower), np.array(program.upper)
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = np.array([*program.starts, len(program.columns)])
    lp.a_matrix_.index_ = np.array(program.columns)
    lp.a_matrix_.value_ = np.array(program.values)
    whole, real = highspy.HighsVarType.kInteger, highspy.HighsVarType.kContinuous
    lp.integrality_ = [whole if k < program.integral else real for k in range(count)]
    highs = Silent()  # type: ignore[no-untyped-call]
    highs.setOptionValue("threads", 1)
    highs.setOptionValue("mip_rel_gap", 0.0)
    highs.setOptionValue("mip_max_nodes", MOST_NODES)
    highs.passModel(lp)
    highs.run()
    if highs.getModelStatus() == highspy.HighsModelStatus.kInfeasible:
        return None
    return list(highs.getSolution().col_value)
