"""Connections between workers: layers of the partitioned net, with their adjoint for a gradient.

What a connection does follows from how its source is cut, how the layer that it feeds is cut, and
whether a piece of that layer needs the same piece of the source or all of it. `split` gives
everybody the same, `slice` each a part; a `bridge` carries it; `concat` puts it together.

    fc1@0 ---- split ---- concat -- fc2@0          relu@0 -- slice ----- concat -- fc1@0
               |   \\__ bridge ___                          \\__ bridge ___ /
    fc1@1 ---- split ---- concat -- fc2@1          relu@1 -- slice ----- concat -- fc1@1
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from singac.layers.exchange import NOTHING, Exchange
from singac.layers.kind import Connection, Dimension, LayerKind, Use, Wanted, same_shape
from singac.layers.operations import Operation, Redistribute
from singac.partition.placing import Placing

BATCH, FEATURE, INPUT = Dimension.BATCH, Dimension.FEATURE, Dimension.INPUT
ONE, ALL = Connection.ONE_TO_ONE, Connection.ONE_TO_ALL

# fmt: off
CONNECTIONS: Mapping[tuple[Dimension | None, Dimension | None, Connection], str] = {
    # source, own,     a piece needs      what stands between them (None: whole at one worker)
    (BATCH,   BATCH,   ONE): "",
    (BATCH,   BATCH,   ALL): "",
    (FEATURE, FEATURE, ONE): "",
    (FEATURE, FEATURE, ALL): "split, bridge, concat of columns",
    (BATCH,   FEATURE, ALL): "split, bridge, concat of rows",
    (BATCH,   FEATURE, ONE): "slice of columns, bridge, concat of rows",
    (FEATURE, BATCH,   ONE): "slice of rows, bridge, concat of columns",
    (FEATURE, BATCH,   ALL): "slice of rows, bridge, concat of columns",
    (BATCH,   None,    ONE): "bridge, concat of rows",
    (BATCH,   None,    ALL): "bridge, concat of rows",
    (FEATURE, None,    ONE): "bridge, concat of columns",
    (FEATURE, None,    ALL): "bridge, concat of columns",
    (None,    BATCH,   ONE): "slice of rows, bridge",
    (None,    BATCH,   ALL): "slice of rows, bridge",
    (None,    FEATURE, ONE): "slice of columns, bridge",
    (None,    FEATURE, ALL): "split, bridge",
    (None,    None,    ONE): "bridge",
    (None,    None,    ALL): "bridge",
    # What is on input is read in part; what it gives are partial sums.
    (BATCH,   INPUT,   ONE): "slice of columns, bridge, concat of rows",
    (FEATURE, INPUT,   ONE): "",
    (None,    INPUT,   ONE): "slice of columns, bridge",
    (INPUT,   BATCH,   ONE): "slice of rows, bridge, sum",
    (INPUT,   BATCH,   ALL): "slice of rows, bridge, sum",
    (INPUT,   FEATURE, ONE): "slice of columns, bridge, sum",
    (INPUT,   FEATURE, ALL): "split, bridge, sum",
    (INPUT,   INPUT,   ONE): "slice of columns, bridge, sum",
    (INPUT,   None,    ONE): "bridge, sum",
    (INPUT,   None,    ALL): "bridge, sum",
}
# fmt: on


def words(source: Placing, own: Placing, exchange: Exchange) -> str:
    """What a connection is made of; it needs all of the source where its workers want the same."""
    wanted = [part for part in exchange.wanted if part != NOTHING]
    needs_all = own.dimension is FEATURE and wanted[0] == wanted[-1] and len(wanted) > 1
    known = CONNECTIONS[source.dimension, own.dimension, ALL if needs_all else ONE]
    # Both on feature, and cut in different places: a margin of channels, or another number of them.
    return known or "slice of columns, bridge, concat of columns"


def connection(exchange: Exchange, summary: str) -> LayerKind:
    """The kind of layer that does one exchange."""
    return LayerKind(
        name="connection",
        summary=summary,
        settings=(),
        sources=1,
        shape=same_shape,
        forward=partial(_forward, exchange),
        backward=partial(_backward, exchange),
    )


def _forward(exchange: Exchange, use: Use, training: bool) -> tuple[Operation, ...]:
    """This worker may get nothing (then it has no columns), or have nothing to give."""
    out = use.name if 0 not in use.shape else None
    source = use.sources[0].name if use.sources else None
    return (Redistribute(exchange, out, source),)


def _backward(exchange: Exchange, use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    """The adjoint, whose name no layer can have."""
    out = wanted.sources[0] if wanted.sources else None
    return (Redistribute(exchange.adjoint(f"d({exchange.name})"), out, wanted.own),)
