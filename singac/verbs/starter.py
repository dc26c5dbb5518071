"""`singac new NAME`: a small program that trains as it is, and data for it."""

from __future__ import annotations

import math
from pathlib import Path

from singac.diagnostics import Diagnostic, Exit, Failed, Source
from singac.syntax.parse import parse

PROGRAM = """\
# Three arms of a spiral, told apart by where a point lies: change anything and run it again.
#
#     singac check NAME.singa           every mistake, with its place
#     singac run NAME.singa -np 2       train on two processes

let hidden = 32

data points = csv("NAME.csv", test = 0.2)

net NAME on points {
    features -> fc1: dense(hidden) -> tanh
             -> fc2: dense(hidden) -> tanh
             -> fc3: dense(3)
    [fc3, label] -> softmax_loss
}

train NAME {
    updater    = Adam(rate = 0.01)
    batch      = 60
    steps      = 1000
    display    = every(100)
    test       = every(500)
    checkpoint = every(500, keep = 2)
}
"""
ARMS, POINTS, TURNS = 3, 200, 1.5
GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples spread evenly: scatter without random numbers


def write(path: str) -> tuple[Path, Path]:
    """The program and its data, of the name that `path` ends in; raises Failed."""
    program = Path(path).with_suffix(".singa")
    name, data = program.stem, program.with_suffix(".csv")
    texts = {program: PROGRAM.replace("NAME", name), data: _spirals()}
    try:
        parse(Source(str(program), texts[program]))
    except Failed:
        message = f"`{name}` is no name for a net"
        help = "a name is letters, digits and _, a letter first, and no word of the language"
        raise Failed([Diagnostic("SG0914", message, help=help, exit=Exit.USAGE)]) from None
    for file in texts:
        if file.exists():
            message = "this file is there already and is left as it is"
            raise Failed([Diagnostic("SG0914", message, file=str(file), exit=Exit.USAGE)])
    try:
        for file, text in texts.items():
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"the file cannot be written: {error.strerror}"
        raise Failed(
            [Diagnostic("SG0904", message, file=str(file), exit=Exit.ENVIRONMENT)]
        ) from None
    return program, data


def _spirals() -> str:
    lines = ["x,y,arm"]
    for k in range(ARMS * POINTS):
        arm, radius = k % ARMS, (k // ARMS + 1) / POINTS
        scatter = 0.3 * ((k * GOLDEN) % 1.0 - 0.5)
        angle = 2 * math.pi * (arm / ARMS + TURNS * radius / 2) + scatter
        lines.append(f"{radius * math.cos(angle):.4f},{radius * math.sin(angle):.4f},{arm}")
    return "\n".join(lines) + "\n"
