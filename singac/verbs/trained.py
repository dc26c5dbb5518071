"""A program and a layer's name -> a plan that tests a trained net, and what is read from it."""

from __future__ import annotations

from dataclasses import dataclass

from singac.compile import compile_test
from singac.diagnostics import Diagnostic, Exit, Failed, did_you_mean
from singac.layers.kind import Answer, Sizes, columns, inner_name
from singac.model.choices import Choices
from singac.model.graph import Layer
from singac.model.resolve import Model, resolve
from singac.plan.plan import Plan
from singac.syntax.parse import parse
from singac.syntax.read import read


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read of a layer: a tensor of the plan, what is made of it, its shape an example.

    A loss or metric has no result; its `answer` is made of the `scores` columns that it measures.
    An unrolled layer has a result for each step, the first dimension of the shape.
    """

    layer: str
    tensor: str
    answer: Answer | None
    shape: Sizes
    scores: int = 0


def model_of(path: str, choices: Choices, cache: str) -> Model:
    """The model of the one train block that is chosen; raises Failed."""
    models = resolve(parse(read(path)), choices, cache)
    if len(models) > 1:
        message = f"the program trains {len(models)} nets"
        first = models[0].train.training.net
        help = f"choose one with --train {first}"
        raise Failed([Diagnostic("SG0907", message, file=path, help=help, exit=Exit.USAGE)])
    return models[0]


def plan_of(model: Model, part: str, reading: Reading | None = None) -> Plan:
    """The plan that tests on a part; raises Failed when the data has no such part."""
    plan = compile_test(model, [] if reading is None else [reading.tensor])
    if plan.data.train and not plan.data.examples(part):
        message = f"the data `{plan.data.name}` has no {part} part"
        having = [p for p in ("train", "test", "validate") if plan.data.examples(p)]
        help = f"it has {' and '.join(having)}: give --part {having[0]}"
        raise Failed([Diagnostic("SG0909", message, help=help, exit=Exit.USAGE)])
    return plan


def reading_of(model: Model, name: str) -> Reading:
    """What is read of a layer, a field or a block; raises Failed when there is nothing to read."""
    layers = {layer.name: layer for layer in model.net.graph.layers()}
    layer = layers.get(model.net.outputs.get(name, name))
    if layer is None:
        help = did_you_mean(name, dict.fromkeys([*layers, *model.net.outputs]))
        raise Failed([_no_result(f"there is no layer `{name}`", help)])
    steps = (layer.steps,) if layer.steps > 1 else ()
    if layer.kind is None or layer.shape:
        return Reading(name, _tensor(model, layer), None, (*steps, *layer.shape))
    scores, answer = layers[layer.sources[0]], layer.kind.answer
    if answer is None:
        raise Failed([_no_result(f"`{name}` has no result", f"its source is `{scores.name}`")])
    width = columns(scores.shape)
    own = () if answer is Answer.HIGHEST else (width,)
    return Reading(name, scores.name, answer, (*steps, *own), width)


def _tensor(model: Model, layer: Layer) -> str:
    """A layer's result; of visible units at the top, what the hidden ones make of the data."""
    for visible, hidden in model.net.graph.pairs():
        energy = None if hidden.kind is None else hidden.kind.energy
        if visible.name == layer.name and energy is not None:
            return inner_name(layer.name, energy.reconstruction)
    return layer.name


def _no_result(message: str, help: str | None) -> Diagnostic:
    return Diagnostic("SG0908", message, help=help, exit=Exit.USAGE)
