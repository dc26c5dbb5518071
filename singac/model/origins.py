"""`param w from checkpoint ...`: where a param comes from, and whether it can be had there.

Nothing of a checkpoint is read but what it says it holds. That of another train block need not be
there yet: the shapes are those of the net it trains.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from singac.diagnostics import Exit, Place, Report, Span, did_you_mean
from singac.layers.kind import Sizes
from singac.model.graph import NetGraph, NetParam
from singac.model.types import Saved
from singac.saved import Unreadable, candidates, shapes
from singac.settings import shape_text
from singac.syntax import tree


def saved(origin: tree.Name | tree.String) -> Saved:
    """A train's name, or a path relative to the file that says it."""
    if isinstance(origin, tree.Name):
        return Saved(train=origin.text)
    folder = os.path.dirname(origin.span.source.path) or os.curdir
    return Saved(path=os.path.join(folder, origin.text))


def check_origins(
    nets: Mapping[str, NetGraph],
    trains: Sequence[tree.Train],
    broken: Sequence[str],
    report: Report,
) -> None:
    """Reports params that are not where they are taken from, or have another shape there.

    `broken` are the nets of which that is not known.
    """
    for net in nets.values():
        for origin in dict.fromkeys(p.initialiser for p in net.params.values()):
            params = [p for p in net.params.values() if p.initialiser == origin]
            if isinstance(origin, Saved) and origin.path:
                _check_path(origin, params, report)
            elif isinstance(origin, Saved) and origin.train not in broken:
                _check_train(origin.train, net.name, params, nets, trains, report)


def _check_path(origin: Saved, params: Sequence[NetParam], report: Report) -> None:
    found, span = candidates(Path(origin.path)), params[0].span
    if not found:
        help = "a checkpoint is a folder step-...; a run folder, whose newest is taken, serves too"
        label = f"nothing in {origin.path}"
        report.error(
            "SG0169", "there is no checkpoint here", span, label, help=help, exit=Exit.DAMAGED
        )
        return
    try:
        held = shapes(found[0])
    except Unreadable:
        return  # a run passes over a damaged one, and says so
    for param in params:
        if held.get(param.name) != param.shape:
            _differs(param, held, str(found[0]), (), report, Exit.DAMAGED)


def _check_train(
    train: str,
    net: str,
    params: Sequence[NetParam],
    nets: Mapping[str, NetGraph],
    trains: Sequence[tree.Train],
    report: Report,
) -> None:
    span, order = params[0].span, [t.net.text for t in trains]
    if train not in order:
        help = did_you_mean(train, order) or "write its train block, or give a path in quotes"
        report.error("SG0167", f"no train block trains `{train}`", span, help=help)
    elif train == net:
        help = "what an earlier run of it has saved is gone on from with --resume"
        report.error("SG0167", f"`{net}` would start from its own checkpoint", span, help=help)
    elif net in order and order.index(net) < order.index(train):
        block = trains[order.index(train)]
        related = (Place(block.net.span, f"`{train}` is trained here"),)
        message = f"`{net}` is trained before `{train}`, whose checkpoint it starts from"
        help = "a run takes train blocks in the order of the file"
        report.error(
            "SG0167", message, trains[order.index(net)].net.span, related=related, help=help
        )
    else:
        there = nets[train].params
        for param in params:
            _compare(param, train, there, report)


def _compare(param: NetParam, train: str, there: Mapping[str, NetParam], report: Report) -> None:
    held = {n: p.shape for n, p in there.items()}
    if held.get(param.name) != param.shape:
        other = there.get(param.name)
        places = [(other.span, f"{shape_text(other.shape)} in `{train}`")] if other else []
        _differs(param, held, f"`{train}`", places, report, Exit.FAILED)


def _differs(
    param: NetParam,
    held: Mapping[str, Sizes],
    where: str,
    places: Sequence[tuple[Span, str]],
    report: Report,
    exit: Exit,
) -> None:
    name, shape = param.name, held.get(param.name)
    if shape is None:
        message = f"{where} has no param `{name}`"
        help = did_you_mean(name, held)
        report.error("SG0168", message, param.span, help=help, exit=exit)
        return
    related = tuple(Place(span, label) for span, label in places)
    message = f"`{name}` has another shape in {where}"
    label = f"{shape_text(param.shape)} here, {shape_text(shape)} there"
    turned = tuple(reversed(shape)) == param.shape
    help = f"its transpose fits: {name}'" if turned else None
    report.error("SG0168", message, param.span, label, related=related, help=help, exit=exit)
