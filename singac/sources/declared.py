"""Facts of data that is not there, as its block declares them.

With `shape` and `classes` a program can be checked and planned before its data has been fetched;
how many examples there are is not known, so all counts are 0. Data that is there has to agree.
"""

from __future__ import annotations

from dataclasses import replace

from singac.diagnostics import Diagnostic, Failed
from singac.sources.damage import damaged, placed
from singac.sources.kind import Facts, FieldFacts, LabelFacts, Request
from singac.sources.table import SOURCES

_ABSENT = "SG0210"


def declared_facts(request: Request, failed: Failed) -> Facts | None:
    """What compiling needs, where files are missing and the block says enough; else None."""
    shape, classes = request.get("shape"), request.get("classes")
    fields = SOURCES[request.kind].declared
    absent = all(d.code == _ABSENT for d in failed.diagnostics)
    if not (absent and fields and isinstance(shape, tuple) and isinstance(classes, int)):
        return None
    first, last = fields
    label = LabelFacts(classes - 1, "its data block", f"classes = {classes}")
    known = FieldFacts(first, shape), FieldFacts(last, (1,))
    return Facts(known, 0, 0, 0, request.get("shuffle") is True, label)


def warning(failed: Failed) -> Diagnostic:
    """What is said instead of the failure."""
    (first, *_) = failed.diagnostics
    help = "shape and classes are declared, so it can be checked and planned; a run needs it"
    return replace(first, message="the data is not there", help=help, severity="warning")


def check_classes(request: Request, label: LabelFacts | None) -> None:
    """Labels are below the number of classes that was declared; raises `Failed` (SG0249)."""
    classes = request.get("classes")
    if not isinstance(classes, int) or label is None or label.largest < classes:
        return
    message = f"label {label.largest} at {label.place}, and `classes` is {classes}"
    help = f"labels are 0 to {classes - 1}: write classes = {label.largest + 1}, or mend the data"
    with placed(request.span_of("classes")):
        raise damaged("SG0249", message, label.file, help)
