"""The whole compiler, read down the page: `.singa` text -> plans."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from singac.codegen.stretch import scratch_bytes
from singac.diagnostics import Diagnostic, Source
from singac.model import resolve
from singac.model.choices import Choices
from singac.model.resolve import Model
from singac.partition import partition as cut
from singac.partition.machine import BUILT_IN, Machine
from singac.partition.partition import PartitionedNet, partition
from singac.plan.encode import to_json
from singac.plan.plan import Plan, Saved
from singac.plan.project import project, project_test
from singac.plan.verify import verify
from singac.sources.kind import Request
from singac.syntax.parse import parse
from singac.syntax.read import read


@dataclass(frozen=True, slots=True)
class Compiled:
    """One train block compiled, with what each stage gave."""

    model: Model
    net: PartitionedNet
    plan: Plan

    @property
    def request(self) -> Request:
        return self.model.dataset.request

    @property
    def origins(self) -> tuple[str, ...]:
        """Trains and paths that params start from."""
        found = (p.initialiser for p in self.plan.params)
        return tuple(dict.fromkeys(o.key for o in found if isinstance(o, Saved)))


def compile_file(
    path: str, choices: Choices, cache: str | None = None, machine: Machine = BUILT_IN
) -> tuple[Compiled, ...]:
    """A plan for each train block of a file, in order.

    `cache` is a folder of prepared data that spares reading data again; by what the `machine` can
    do is decided what a partition leaves open. Raises `Failed`.
    """
    return compile_source(read(path), choices, cache, machine)


def compile_source(
    source: Source, choices: Choices, cache: str | None = None, machine: Machine = BUILT_IN
) -> tuple[Compiled, ...]:
    """The same for a text at hand."""
    models = resolve.resolve(parse(source), choices, cache)
    return tuple(_compile(model, machine) for model in models)


def _compile(model: Model, machine: Machine) -> Compiled:
    net = partition(model, machine)
    plan = project(net, model, _digest(model, net), scratch_bytes)
    verify(plan)
    return Compiled(model, net, plan)


def compile_test(model: Model, watched: Sequence[str]) -> Plan:
    """The plan of one process that tests a net and keeps the results of some layers."""
    net = partition(model)
    plan = project_test(net, model, _digest(model, net), scratch_bytes, watched)
    verify(plan)
    return plan


def check(
    source: Source, choices: Choices, cache: str | None = None, machine: Machine = BUILT_IN
) -> list[Diagnostic]:
    """Every diagnostic of a text, syntax errors raised as `Failed`."""
    return cut.check(parse(source), choices, cache, machine)


def _digest(model: Model, net: PartitionedNet) -> str:
    """What a checkpoint must share with the plan it resumes: params, update and training."""
    update = model.train.update
    parts = (
        net.params,
        update.states,
        update.assigns,
        update.scalars,
        update.rate,
        update.clip_norm,
    )
    return hashlib.sha256(to_json(parts).encode()).hexdigest()[:16]
