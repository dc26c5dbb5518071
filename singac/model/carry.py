"""`BPTT(carry = h)`: the layers whose states go on from batch to batch."""

from __future__ import annotations

from dataclasses import replace

from singac.diagnostics import Place, Report, did_you_mean
from singac.model.algorithms import BPTT
from singac.model.graph import NetGraph
from singac.model.training import TrainBlock
from singac.syntax import tree

ALL, NONE = "all", "none"


def carrying(train: TrainBlock, net: NetGraph, examples: int | None, report: Report) -> TrainBlock:
    """The train block with the names of its carried layers; what is wrong is reported."""
    delayed = tuple(dict.fromkeys(d.delay.of for d in net.layers() if d.delay is not None))
    if train.training.algorithm == BPTT and all(layer.steps == 1 for layer in net.layers()):
        _not_unrolled(train, net, delayed, report)
    carry: dict[str, None] = {}
    for named in train.carry:
        written = named.value.path.text if isinstance(named.value, tree.Reference) else ""
        if written == ALL:
            carry |= dict.fromkeys(delayed)
        elif written in delayed:
            carry[written] = None
        elif written != NONE:
            _no_state(named, written, net, delayed, report)
    if carry and examples is not None and train.training.batch > examples:
        _no_room(train, examples, report)
    return replace(train, training=replace(train.training, carry=tuple(carry)))


def _not_unrolled(
    train: TrainBlock, net: NetGraph, delayed: tuple[str, ...], report: Report
) -> None:
    """A net unrolled in one step is unrolled all the same."""
    if not delayed:
        message = f"the net `{net.name}` has no unroll, and `BPTT` goes back through its steps"
        help = "algorithm = BP, or unroll 50 { ... } around the layers of a step"
        report.error("SG0183", message, train.spans["algorithm"], help=help)


def _no_state(
    named: tree.Named, written: str, net: NetGraph, delayed: tuple[str, ...], report: Report
) -> None:
    known = {layer.name: layer for layer in net.layers()}
    help = did_you_mean(written, [*delayed, ALL, NONE]) or ""
    related: tuple[Place, ...] = ()
    if written in known:
        message = f"nothing reads `{written}` at a later step, so it has no state to carry"
        related = (Place(known[written].span, f"`{written}`"),)
        help = f"states there are: {', '.join(delayed)}" if delayed else f"read {written}[t-1]"
    elif written:
        message = f"no layer is named `{written}`"
    else:
        message = "`carry` is the name of a layer, `all` or `none`"
    report.error("SG0183", message, named.value.span, related=related, help=help)


def _no_room(train: TrainBlock, examples: int, report: Report) -> None:
    batch = train.training.batch
    message = f"a batch of {batch} rows cannot go on from batch to batch over {examples} examples"
    help = f"take a batch of at most {examples}, shorter examples or more text"
    report.error("SG0184", message, train.spans["batch"], help=help)
