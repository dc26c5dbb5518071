"""Data blocks -> what a net finds in them: the request of a source, and the facts of its files."""

from __future__ import annotations

from dataclasses import dataclass

from singac.diagnostics import Diagnostic, Exit, Failed, Report, did_you_mean
from singac.layers.kind import Sizes
from singac.model.arguments import collect
from singac.model.program import Change, gather
from singac.model.values import Scope
from singac.settings import Given, Setting
from singac.sources.kind import Facts, Request
from singac.sources.probe import probe, request_of
from singac.sources.table import SOURCES
from singac.syntax import tree


@dataclass(frozen=True, slots=True)
class Dataset:
    """A resolved data block."""

    name: str
    request: Request
    facts: Facts

    @property
    def shapes(self) -> dict[str, Sizes]:
        return {f.name: f.shape for f in self.facts.fields}


def resolve_data(
    program: tree.Program, name: str | None, changes: tuple[Change, ...], cache: str | None = None
) -> Dataset:
    """The data block of this name, or the only one; the rest of the program is not looked at.

    Raises `Failed`.
    """
    report = Report()
    blocks = gather(program, changes, report)
    report.stop_if_any()
    if name is None and len(blocks.data) == 1:
        name = next(iter(blocks.data))
    if name is None or name not in blocks.data:
        message = "say which data block" if name is None else f"there is no data `{name}`"
        help = did_you_mean(name or "", blocks.data) or "the program has none"
        raise Failed([Diagnostic("SG0178", message, help=help, exit=Exit.USAGE)])
    dataset = resolve_dataset(blocks.data[name], blocks.scope, report, cache)
    report.stop_if_any()
    assert dataset is not None, "what is refused is reported"
    return dataset


def resolve_dataset(
    data: tree.Data, scope: Scope, report: Report, cache: str | None
) -> Dataset | None:
    kind = data.call.path.text
    if kind not in SOURCES:
        help = did_you_mean(kind, SOURCES)
        message = f"there is no data kind `{kind}`"
        report.error("SG0170", message, data.call.path.span, help=help)
        return None
    given = _given(data.call, SOURCES[kind].settings, scope, report)
    if given is None:
        return None
    request = request_of(kind, given, data.call.span, report)
    facts = None if request is None else probe(request, report, cache)
    return None if request is None or facts is None else Dataset(data.name.text, request, facts)


def _given(
    call: tree.Apply, table: tuple[Setting, ...], scope: Scope, report: Report
) -> dict[str, Given] | None:
    before = len(report.found)
    found = collect(call.arguments, table, scope, report, ())
    return found.given if len(report.found) == before else None
