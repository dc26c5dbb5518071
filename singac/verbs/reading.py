"""Verbs about what training has left: checkpoints, and nets with their params."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from singac.diagnostics import Exit
from singac.verbs.common import (
    Arguments,
    alone,
    data_folder,
)

if TYPE_CHECKING:
    from runtime.process.alone import Tester
    from singac.model.resolve import Model
    from singac.plan.plan import Plan


def evaluate(arguments: Arguments) -> int:
    """Loss and metrics of a trained net over a whole part of the data."""
    from singac.verbs import trained

    model = trained.model_of(arguments.file, alone(arguments), data_folder())
    plan = trained.plan_of(model, arguments.part)
    folder, tester = _tester(arguments, plan, model)
    (loss, value), *metrics = tester.measure(arguments.part).items()
    examples = plan.data.examples(arguments.part)
    if arguments.json:
        measured = {loss: value, "metrics": dict(metrics)}
        told = {"format_version": "1.0", "event": arguments.part, "net": plan.net}
        where = {"checkpoint": folder, "step": tester.step, "examples": examples}
        print(json.dumps(told | where | measured))
        return 0
    values = "  ".join([f"{loss} {value:.5g}", *(f"{n} {v:.4g}" for n, v in metrics)])
    print(f"{plan.net} at step {tester.step}, {examples:,} examples to {arguments.part}: {values}")
    return 0


def predict(arguments: Arguments) -> int:
    """A file of what a layer gives for each example of a part, in the order of the data."""
    from runtime.process import answers
    from singac.verbs import trained

    model = trained.model_of(arguments.file, alone(arguments), data_folder())
    reading = trained.reading_of(model, arguments.layer)
    plan = trained.plan_of(model, arguments.part, reading)
    _, tester = _tester(arguments, plan, model)
    results = tester.results(arguments.part, reading.tensor)
    batches = answers.answered(results, reading.answer, reading.scores)
    examples = answers.write(arguments.out, reading.layer, reading.shape, batches)
    print(f"{arguments.out}: {reading.layer} of {examples:,} examples", file=sys.stderr)
    return 0


def sample(arguments: Arguments) -> int:
    """Text that a trained model of characters or words writes, as it is written."""
    from runtime.checkpoints import resume
    from runtime.process.sampler import Choice, Sampler
    from singac.verbs import sampling, trained

    model = trained.model_of(arguments.file, alone(arguments), data_folder())
    net = sampling.sampled(model, arguments.layer)
    prompt = net.numbers(arguments.prompt)
    folder = resume.find(Path(arguments.checkpoint), net.plan, "take params from")
    choice = Choice(arguments.temperature, arguments.seed)
    drawn = Sampler(net.plan, folder, net.scores).tokens(prompt, arguments.length, choice)
    for piece in net.written(arguments.prompt, drawn):
        print(piece, end="", flush=True)
    print()
    return 0


def _tester(arguments: Arguments, plan: Plan, model: Model) -> tuple[str, Tester]:
    """The checkpoint that was found, and the net with its params."""
    from runtime.checkpoints import resume
    from runtime.process.alone import Tester
    from singac.sources.prepare import prepare

    folder = resume.find(Path(arguments.checkpoint), plan, "take params from")
    data = prepare(model.dataset.request, model.dataset.facts, data_folder())
    return str(folder), Tester(plan, folder, data)


def checkpoint(arguments: Arguments) -> int:
    """The checkpoints at a path; exit 4 when there is none, or one that is proved unsound."""
    from runtime.checkpoints import inventory

    found = inventory.look(Path(arguments.path), proves=arguments.what == "verify")
    print(inventory.as_json(found) if arguments.json else inventory.as_text(found))
    return 0 if all(entry.is_sound for entry in found) else int(Exit.DAMAGED)
