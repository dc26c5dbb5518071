"""A model of running text -> a plan that reads it a token at a time, and the way to write tokens.

    unroll 50 { char -> x ... [score, next] -> softmax_loss }      as it is trained
    one step  { char -> x ... score }                              as it is sampled

The params are those of the unrolled net, since its steps share them; every state is carried.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from singac.compile import compile_test
from singac.diagnostics import Diagnostic, Exit, Failed, Place
from singac.layers.kind import Answer
from singac.model.graph import Layer, NetGraph
from singac.model.resolve import Model
from singac.plan.plan import Plan
from singac.sources.table import SOURCES
from singac.sources.text import END_OF_LINE, UNKNOWN, vocabulary, words_of


@dataclass(frozen=True, slots=True)
class Sampled:
    """The plan, the layer whose result scores the next token, and all tokens in their order."""

    plan: Plan
    scores: str
    vocabulary: tuple[str, ...]
    of_words: bool

    def numbers(self, prompt: str) -> list[int]:
        """What a prompt begins with; without one, a line has just ended. Raises Failed."""
        known = {token: number for number, token in enumerate(self.vocabulary)}
        tokens = self._tokens(prompt) or [END_OF_LINE if self.of_words else "\n"]
        unknown = known.get(UNKNOWN, -1) if self.of_words else -1
        if unknown < 0:
            _check_known(tokens, known, prompt)
        return [known.get(token, unknown) for token in tokens]

    def _tokens(self, prompt: str) -> list[str]:
        if not self.of_words:
            return list(prompt)
        tokens, begun = words_of(prompt), prompt.rpartition("\n")[2].split()
        return tokens[:-1] if begun else tokens  # a line that is begun has not ended

    def written(self, prompt: str, numbers: Iterable[int]) -> Iterator[str]:
        """The pieces of the text that goes on from a prompt, which is the first."""
        yield prompt
        if not self.of_words:
            yield from (self.vocabulary[n] for n in numbers)
            return
        space = "" if not prompt or prompt[-1].isspace() else " "
        for word in (self.vocabulary[n] for n in numbers):
            ends = word == END_OF_LINE
            yield "\n" if ends else space + word
            space = "" if ends else " "


def sampled(model: Model, layer: str | None) -> Sampled:
    """Raises Failed where the net scores no next token, or not step by step.

    `layer` is the softmax_loss that is meant where there are several.
    """
    request, graph = model.dataset.request, model.net.graph
    if not SOURCES[request.kind].is_text:
        message = f"the data `{model.dataset.name}` is no running text but `{request.kind}`"
        raise _no_model(message, "only nets on chars or words are sampled")
    loss = _loss(graph, model.dataset.facts.fields[-1].name, layer)
    leading = graph.leading_to(loss.sources[0])
    _check_steps(leading, loss, model)
    plan = compile_test(_one_step(model, leading), [loss.sources[0]])
    words = request.kind == "words"
    return Sampled(plan, loss.sources[0], tuple(vocabulary(request)), words)


def _loss(graph: NetGraph, following: str, name: str | None) -> Layer:
    """The loss that measures scores of what comes next."""
    found = [layer for layer in graph.layers() if _scores(graph, layer, following)]
    named = [layer for layer in found if name in (None, layer.name)]
    if len(named) == 1:
        return named[0]
    names = " and ".join(f"`{layer.name}`" for layer in found)
    if not found:
        message = f"the net `{graph.name}` has no softmax_loss of `{following}`"
        help = f"[score, {following}] -> softmax_loss, where score has vocab units"
    elif name is None:
        message, help = f"{names} score what comes next", f"choose one: --layer {found[0].name}"
    else:
        message, help = f"`{name}` does not score what comes next", f"{names} does"
    raise _no_model(message, help)


def _scores(graph: NetGraph, layer: Layer, following: str) -> bool:
    slot = None if layer.kind is None else layer.kind.label_slot
    if layer.kind is None or slot is None or layer.kind.answer is not Answer.SOFTMAX:
        return False
    return graph.origin(layer.sources[slot]).name == following


def _check_steps(leading: Sequence[Layer], loss: Layer, model: Model) -> None:
    """Every layer reads one token at a time, and none is told the next."""
    steps, facts = int(model.dataset.request.number("length")), model.dataset.facts
    for layer in leading:
        if layer.is_field and layer.name == facts.fields[-1].name:
            message = f"`{loss.name}` is told what comes next, `{layer.name}`"
            raise _no_model(message, f"feed its scores by `{facts.fields[0].name}` alone")
        if not layer.is_field and layer.steps != steps:
            message = f"`{layer.name}` reads all {steps} tokens of an example at once"
            help = f"unroll {steps} {{ ... }} around it, for one step a token"
            raise _no_model(message, help, layer)


def _one_step(model: Model, leading: Sequence[Layer]) -> Model:
    """The net of these layers alone, for one example of one token, carrying all its states."""
    layers = tuple(
        replace(layer, steps=1, shape=(1,) if layer.is_field else layer.shape) for layer in leading
    )
    graph = model.net.graph
    states = tuple(dict.fromkeys(d.delay.of for d in layers if d.delay is not None))
    facts = model.dataset.facts
    fields = tuple(replace(field, shape=(1,)) for field in facts.fields)
    training = replace(model.train.training, batch=1, carry=states)
    return replace(
        model,
        net=replace(model.net, graph=NetGraph(graph.name, layers, tuple(graph.params.values()))),
        dataset=replace(model.dataset, facts=replace(facts, fields=fields)),
        train=replace(model.train, training=training),
    )


def _check_known(tokens: Sequence[str], known: Mapping[str, int], prompt: str) -> None:
    lacking = list(dict.fromkeys(token for token in tokens if token not in known))
    if not lacking:
        return
    if not prompt:
        message = (
            "without a prompt a sample begins where a line has ended, and the text has no line ends"
        )
        help = "give it something to go on from: --prompt TEXT"
    else:
        told = ", ".join(map(repr, lacking[:8])) + (" ..." if len(lacking) > 8 else "")
        message = f"the text has none of this in its vocabulary: {told}"
        help = f"the vocabulary has {len(known)}, as {', '.join(map(repr, list(known)[-3:]))}"
    raise Failed([Diagnostic("SG0916", message, help=help, exit=Exit.USAGE)])


def _no_model(message: str, help: str, layer: Layer | None = None) -> Failed:
    place = Place(layer.span) if layer is not None else None
    return Failed([Diagnostic("SG0915", message, place, help=help, exit=Exit.USAGE)])
