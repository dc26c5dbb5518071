"""The settings of a data block -> a checked request -> what compiling needs to know of the data."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

from singac.diagnostics import Diagnostic, Failed, Place, Report, Span
from singac.settings import Given, SettingValue, Sort, check_settings, shape_text
from singac.sources.damage import damaged, placed
from singac.sources.declared import check_classes, declared_facts, warning
from singac.sources.kind import Facts, FieldFacts, LabelFacts, Part, Request, Survey
from singac.sources.parts import held_out_counts
from singac.sources.prepare import known_facts, read
from singac.sources.statistics import check_files, files_of, numbers_of
from singac.sources.table import SOURCES

_SEPARATORS = ",;:|/!&%$#@~^*_="


def request_of(kind: str, given: Mapping[str, Given], span: Span, report: Report) -> Request | None:
    """The data block `kind(given)` at `span` with its values checked; None when one is reported."""
    table = SOURCES[kind].settings
    values = check_settings(table, given, span, report)
    if values is None or not _separator_is_one(values, given, report):
        return None
    words = {s.name: s.choices for s in table if Sort.PATH in s.sorts}
    pairs = tuple(
        (n, _joined(v, given[n].span) if isinstance(v, str) and v not in words.get(n, (v,)) else v)
        for n, v in values.items()
    )
    return Request(kind, pairs, span, tuple((n, g.span) for n, g in given.items()))


def probe(request: Request, report: Report, cache: str | None = None) -> Facts | None:
    """What the data holds; files that are missing or damaged are reported and give None.

    Data that was prepared in the folder `cache` before is not read again. Of data that is not
    there the facts are those declared, if they are, and the report has a warning.
    """
    try:
        known = known_facts(request, cache) if cache else None
        return known or facts_of(request)
    except Failed as failed:
        facts = declared_facts(request, failed)
        if facts is not None:
            report.warnings.append(warning(failed))
            return facts
        report.found.extend(d for d in failed.diagnostics if d not in report.found)
        return None


def facts_of(request: Request) -> Facts:
    """What the data holds; raises `Failed`."""
    kind = SOURCES[request.kind]
    parts = kind.locate(request)
    surveys = []
    for part in parts:
        with placed(request.span_of(part.setting)):
            surveys.append(kind.survey(request, part))
            _check_same_shape(part, surveys[0], surveys[-1])
    counts = {"train": 0, "test": 0, "validate": 0}
    counts |= {p.name: s.examples for p, s in zip(parts, surveys, strict=True)}
    for name, count in held_out_counts(request, counts["train"]).items():
        counts[name] = count
        counts["train"] -= count
    shuffle = request.get("shuffle") is True
    fields, label = _fields(request, surveys[0]), _label(surveys)
    check_classes(request, label)
    tokens = surveys[0].vocabulary
    return Facts(fields, **counts, shuffle=shuffle, label=label, vocabulary=tokens)


def _fields(request: Request, survey: Survey) -> tuple[FieldFacts, ...]:
    """The fields of the survey, the first as the settings say."""
    (first, own), *rest = survey.fields
    shape = _shape(request, own)
    others = (FieldFacts(name, shape) for name, shape in rest)
    return (_standardised(request, first, shape), *others)


def _standardised(request: Request, field: str, shape: tuple[int, ...]) -> FieldFacts:
    """The first field; the training part is read where something is computed of it."""
    numbers = numbers_of(request, lambda: read(request)["train"][field])
    if files_of(request):
        check_files(request, shape)
        return FieldFacts(field, shape)  # the prepared data is standardised already
    return FieldFacts(field, shape, request.number("scale"), numbers["mean"], numbers["std"])


def _label(surveys: list[Survey]) -> LabelFacts | None:
    found = [s.label for s in surveys if s.label is not None]
    return max(found, key=lambda f: f.largest) if len(found) == len(surveys) else None


def _shape(request: Request, own: tuple[int, ...]) -> tuple[int, ...]:
    shape = request.get("shape")
    if not isinstance(shape, tuple):
        return own
    wanted, values = math.prod(shape), math.prod(own)
    if wanted == values:
        return shape
    span = request.span_of("shape")
    message = f"the shape {shape_text(shape)} does not fit the data"
    product = f"{' x '.join(map(str, shape))} = {wanted}" if len(shape) > 1 else str(wanted)
    label = f"takes {product} values an example"
    help = f"the file has {shape_text(own)}, {values} values an example"
    raise Failed([Diagnostic("SG0214", message, Place(span, label) if span else None, help=help)])


def _check_same_shape(part: Part, train: Survey, other: Survey) -> None:
    if train.fields == other.fields:
        return
    own, wanted = (", ".join(f"{n} {shape_text(s)}" for n, s in f.fields) for f in (other, train))
    message = f"the {part.name} part has examples of {own}, the training part of {wanted}"
    raise damaged("SG0228", message, part.files[0])


def _separator_is_one(
    values: Mapping[str, SettingValue], given: Mapping[str, Given], report: Report
) -> bool:
    """Whether the separator of a csv, if it is one, cannot be taken for a part of a number."""
    separator = str(values.get("separator", ","))
    if separator in ("tab", "space", "\t") or (len(separator) == 1 and separator in _SEPARATORS):
        return True
    report.error(
        "SG0215",
        "`separator` must be one character that is no part of a number",
        given["separator"].span,
        help=f"one of {' '.join(_SEPARATORS)}, or `tab`, or `space` for any white space",
    )
    return False


def _joined(path: str, span: Span) -> str:
    """A path as seen from the folder of the file that says it."""
    return os.path.join(os.path.dirname(span.source.path), path)
