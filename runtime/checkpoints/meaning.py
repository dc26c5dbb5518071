"""What params mean: the layers that use them, and the vocabulary of the text they read.

A checkpoint says it in its manifest. Names and shapes alone would let a net with other layers
between them, or a text whose characters have other numbers, take its params without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from runtime.checkpoints.checkpoint import Manifest
from singac.diagnostics import Diagnostic, Exit
from singac.plan.plan import Plan


def layers_of(plan: Plan) -> Mapping[str, str]:
    """`{"h": "gru(units = 64, ...) of x, h[t-1]"}`: layers that have params or that others read.

    Those at the ends, losses and the like, give params no other meaning.
    """
    read = tuple(dict.fromkeys(source for layer in plan.layers for source in layer.sources))
    made = (x for x in plan.layers if x.definition and (x.params or x.name in read))
    return {layer.name: f"{layer.definition} of {', '.join(layer.sources)}" for layer in made}


def differing(folder: Path, manifest: Manifest, plan: Plan) -> Diagnostic | None:
    """An error where the plan reads another vocabulary, a warning where its layers are others.

    Layers that only one of the two has say nothing: whoever reads a net may add to its end.
    """
    if manifest.vocabulary and manifest.vocabulary != plan.data.vocabulary:
        message = "this checkpoint is of a text with another vocabulary"
        help = "give the text that it was trained on as `vocab` of the data block"
        return Diagnostic("SG0925", message, help=help, file=str(folder), exit=Exit.DAMAGED)
    here, there = layers_of(plan), manifest.layers
    others = [name for name in here if there.get(name, here[name]) != here[name]]
    if not others:
        return None
    first = others[0]
    message = f"`{first}` is {here[first]}, and this checkpoint was trained with {there[first]}"
    message += f"; {len(others) - 1} more layers differ" if len(others) > 1 else ""
    help = "its params fit by name and shape alone: mend the net, or train it as it is now"
    return Diagnostic("SG0924", message, help=help, file=str(folder), severity="warning")
