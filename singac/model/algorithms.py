"""How gradients are found: the algorithms of a `train` block, and what nets they train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from singac.diagnostics import Place, Report, Span, did_you_mean
from singac.model.arguments import match_settings
from singac.model.graph import Layer, NetGraph
from singac.model.values import Called, Scope, Word, describe, evaluate
from singac.settings import AT_LEAST_ONE, Setting, Sort
from singac.syntax import tree


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A row of the table.

    It `contrasts` when it trains pairs joined by `<->` and no losses; `persistent` chains go on
    from batch to batch.
    """

    summary: str
    settings: tuple[Setting, ...] = ()
    contrasts: bool = False
    persistent: bool = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """An algorithm by name, the Gibbs steps of one that takes some, the layers another carries."""

    name: str
    gibbs: int = 0
    carry: tuple[tree.Named, ...] = ()


GIBBS = Setting(
    "gibbs", "Gibbs steps, up and down and up again", (Sort.INTEGER,), default=1,
    positional=True, within=AT_LEAST_ONE,
)  # fmt: skip
CARRY = Setting(
    "carry", "the name of a layer whose state goes on from batch to batch; may be repeated",
    (Sort.WORD,), default="none", choices=("all", "none"),
)  # fmt: skip
BP, BPTT = "BP", "BPTT"
# fmt: off
ALGORITHMS: Mapping[str, Algorithm] = {
    "BP": Algorithm("back-propagation: the gradient of the loss"),
    "BPTT": Algorithm("back-propagation through time: the gradient of the loss over all steps of "
                      "an unroll, and none of what is carried into it", (CARRY,)),
    "CD": Algorithm("contrastive divergence of the RBMs at the top; layers below run forward",
                    (GIBBS,), contrasts=True),
    "PCD": Algorithm("persistent contrastive divergence: CD whose Gibbs steps go on where those "
                     "of the batch before ended, a chain for each of its rows",
                     (GIBBS,), contrasts=True, persistent=True),
}
# fmt: on


def resolve_algorithm(node: tree.Value | None, scope: Scope, report: Report) -> Chosen | None:
    """What `algorithm = ...` says, BP where nothing does; None after reporting."""
    if node is None:
        return Chosen(BP)
    value = evaluate(node, scope, report)
    name = ""
    if isinstance(value, Word | Called):
        name = value.text if isinstance(value, Word) else value.name
    if name not in ALGORITHMS:
        help = did_you_mean(name, ALGORITHMS)
        message = f"there is no algorithm `{name}`" if name else "an algorithm is needed here"
        label = f"this is {describe(value)}" if value is not None and not name else ""
        report.error("SG0162", message, node.span, label, help=help)
        return None
    settings = ALGORITHMS[name].settings
    if isinstance(value, Called) and not settings:
        message = f"`{name}` takes no settings"
        report.error("SG0162", message, node.span, help=f"algorithm = {name}")
        return None
    arguments = value.arguments if isinstance(value, Called) else ()
    if name == BPTT:
        return resolve_carry(arguments, report)
    matched = match_settings(arguments, settings, scope, node.span, report)
    if matched is None:
        return None
    gibbs = matched.values.get(GIBBS.name, 0)
    assert isinstance(gibbs, int), "a whole number was checked"
    return Chosen(name, gibbs)


def resolve_carry(arguments: tuple[tree.Argument, ...], report: Report) -> Chosen | None:
    """`carry = h` once or more; what the names mean is known with the net."""
    named = [a for a in arguments if isinstance(a, tree.Named) and a.path.text == CARRY.name]
    for argument in arguments:
        if argument not in named:
            message, help = "`BPTT` takes nothing but `carry`", "algorithm = BPTT(carry = h)"
            report.error("SG0100", message, argument.span, help=help)
    return Chosen(BPTT, carry=tuple(named)) if len(named) == len(arguments) else None


def trains(name: str, net: NetGraph, span: Span, net_span: Span, report: Report) -> bool:
    """Whether an algorithm has something to train in a net, and all of it; reports otherwise."""
    pairs = [hidden for _, hidden in net.pairs()]
    losses = [layer for layer in net.layers() if layer.kind is not None and layer.kind.is_loss]
    if ALGORITHMS[name].contrasts:
        return _contrasts(name, net, pairs, losses, span, net_span, report)
    if pairs:
        related = (Place(pairs[0].span, "this RBM"),)
        message = f"`{name}` does not train the RBM `{pairs[0].partner}` <-> `{pairs[0].name}`"
        help = "algorithm = CD(1)"
        report.error("SG0137", message, span, related=related, help=help)
    elif not losses:
        related = (Place(net_span, "this net"),)
        message = f"the net `{net.name}` has no loss to train by"
        help = "end it in a loss: [fc2, label] -> softmax_loss"
        report.error("SG0175", message, span, related=related, help=help)
    return bool(losses) and not pairs


def _contrasts(
    name: str,
    net: NetGraph,
    pairs: list[Layer],
    losses: list[Layer],
    span: Span,
    net_span: Span,
    report: Report,
) -> bool:
    if losses:
        related = (Place(losses[0].span, "this loss"),)
        message = f"`{name}` trains RBMs, and `{losses[0].name}` is a loss of layers above"
        help = "give it a net of its own, with params from this one's checkpoint"
        report.error("SG0137", message, span, related=related, help=help)
    elif not pairs:
        related = (Place(net_span, "this net"),)
        message = f"the net `{net.name}` has no RBM at its top for `{name}` to train"
        help = "end it in one: -> vis: rbm_visible(units) <-> hid: rbm_hidden(units)"
        report.error("SG0137", message, span, related=related, help=help)
    return bool(pairs) and not losses
