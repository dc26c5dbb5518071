"""A `train` block -> steps, batch, updater, and when to show, test and save."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from singac.diagnostics import Place, Report, Span, did_you_mean
from singac.model.arguments import as_number, as_whole, match_settings
from singac.model.equations import Updater
from singac.model.types import Every, Training, Update
from singac.model.updaters import resolve_update
from singac.model.values import Called, Scope, Value, Word, describe, evaluate
from singac.settings import AT_LEAST_ONE, NOT_NEGATIVE, Setting, Sort
from singac.syntax import tree

ALGORITHMS: Mapping[str, str] = {
    "BP": "back-propagation",
}
LATER_ALGORITHMS = ("BPTT", "CD", "PCD")
# fmt: off
SETTINGS: Mapping[str, str] = {
    "algorithm":  "how gradients are found",
    "updater":    "how params change by their gradients",
    "batch":      "examples one worker group takes a step",
    "steps":      "how long to train, in steps",
    "epochs":     "how long to train, in passes over the data",
    "seed":       "where random numbers start",
    "display":    "every(n): when to print loss and metrics",
    "test":       "every(n, steps =, after =): when to test",
    "validate":   "every(n, steps =, after =): when to validate",
    "checkpoint": "every(n, after =, keep =): when to save",
    "early_stop": "when to stop early",
}
EVERY = (
    Setting("every", "steps between two times",
            sorts=(Sort.INTEGER,), positional=True, within=AT_LEAST_ONE),
    Setting("steps", "batches to take; the whole part when left out",
            sorts=(Sort.INTEGER,), default=0, within=NOT_NEGATIVE),
    Setting("after", "the step from which it counts",
            sorts=(Sort.INTEGER,), default=0, within=NOT_NEGATIVE),
    Setting("keep", "checkpoints to keep; all when left out",
            sorts=(Sort.INTEGER,), default=0, within=NOT_NEGATIVE),
)
# fmt: on
LARGEST = 10**12
DISPLAYS = 100  # times a run is shown when the text does not say when


@dataclass(frozen=True, slots=True)
class TrainBlock:
    """A resolved train block; spans are where settings stand, for later disagreements."""

    training: Training
    update: Update
    spans: Mapping[str, Span]


def resolve_train(
    block: tree.Train,
    train_examples: int | None,
    updaters: Mapping[str, Updater],
    scope: Scope,
    report: Report,
) -> TrainBlock | None:
    """The training, or None after reporting; `train_examples` is None when the data failed."""
    return _Resolver(block, updaters, scope, report).resolve(train_examples)


class _Resolver:
    def __init__(
        self, block: tree.Train, updaters: Mapping[str, Updater], scope: Scope, report: Report
    ) -> None:
        self.block, self.updaters, self.scope, self.report = block, updaters, scope, report
        self.given = self._given()

    def _given(self) -> dict[str, tree.Named]:
        given: dict[str, tree.Named] = {}
        for setting in self.block.settings:
            name = setting.path.text
            if name not in SETTINGS:
                help = did_you_mean(name, SETTINGS)
                message = f"there is no setting `{name}` in a train block"
                self.report.error("SG0100", message, setting.path.span, help=help)
            elif name in given:
                related = (Place(given[name].span, "first given here"),)
                self.report.error(
                    "SG0111", f"`{name}` is given twice", setting.span, related=related
                )
            else:
                given[name] = setting
        return given

    def resolve(self, train_examples: int | None) -> TrainBlock | None:
        before = len(self.report.found)
        algorithm = self._algorithm()
        update = self._update()
        batch = self._whole("batch", 1)
        seed = self._whole("seed", 0, default=0)
        steps = self._steps(batch, train_examples)
        for later in ("validate", "early_stop"):
            if later in self.given:
                message = f"`{later}` is parsed but cannot be compiled yet"
                self.report.error("SG0190", message, self.given[later].span)
        times = {name: self._every(name) for name in ("display", "test", "checkpoint")}
        if len(self.report.found) > before:
            return None
        if algorithm is None or update is None or batch is None or seed is None or steps is None:
            return None
        display = times["display"] or Every(max(1, steps // DISPLAYS))
        test, checkpoint = times["test"] or Every(), times["checkpoint"] or Every()
        net = self.block.net.text
        training = Training(net, algorithm, batch, steps, seed, display, test, checkpoint)
        return TrainBlock(training, update, {n: s.span for n, s in self.given.items()})

    def _missing(self, name: str, help: str) -> None:
        message = f"setting `{name}` is missing"
        self.report.error("SG0202", message, self.block.net.span, help=help)

    def _value(self, name: str) -> Value | None:
        return evaluate(self.given[name].value, self.scope, self.report)

    def _algorithm(self) -> str | None:
        if "algorithm" not in self.given:
            return "BP"
        value = self._value("algorithm")
        span = self.given["algorithm"].value.span
        name = value.text if isinstance(value, Word) else None
        if isinstance(value, Called):
            name = value.name
        if name in LATER_ALGORITHMS:
            message = f"`{name}` is parsed but cannot be compiled yet"
            self.report.error("SG0190", message, span)
            return None
        if name not in ALGORITHMS or not isinstance(value, Word):
            help = did_you_mean(name or "", [*ALGORITHMS, *LATER_ALGORITHMS])
            self.report.error("SG0162", "there is no such algorithm", span, help=help)
            return None
        return name

    def _update(self) -> Update | None:
        if "updater" not in self.given:
            self._missing("updater", "updater = SGD(rate = 0.1, momentum = 0.9)")
            return None
        node = self.given["updater"].value
        return resolve_update(node, self.updaters, self.scope, self.report)

    def _whole(self, name: str, least: int, default: int | None = None) -> int | None:
        if name not in self.given:
            if default is None:
                self._missing(name, f"{name} = 64")
            return default
        value = self._value(name)
        if value is None:
            return None
        span = self.given[name].value.span
        found = as_whole(value, f"`{name}`", span, self.report, least)
        if found is not None and found > LARGEST:
            self.report.error("SG0201", f"`{name}` is at most {LARGEST:,}", span)
            return None
        return found

    def _steps(self, batch: int | None, train_examples: int | None) -> int | None:
        """`steps`, or as many as `epochs` passes take, the last one rounded up."""
        if "steps" in self.given and "epochs" in self.given:
            related = (Place(self.given["steps"].span, "steps here"),)
            span = self.given["epochs"].span
            message = "a train block has `steps` or `epochs`, not both"
            self.report.error("SG0163", message, span, related=related)
            return None
        if "epochs" not in self.given:
            if "steps" not in self.given:
                self._missing("steps", "steps = 1000, or epochs = 10")
                return None
            return self._whole("steps", 1)
        value = self._value("epochs")
        if value is None:
            return None
        epochs = as_number(value, "`epochs`", self.given["epochs"].value.span, self.report)
        if epochs is None or batch is None or train_examples is None:
            return None
        if not 0 < epochs <= LARGEST:
            span = self.given["epochs"].value.span
            self.report.error("SG0201", "`epochs` must be above 0", span)
            return None
        return math.ceil(epochs * train_examples / batch)

    def _every(self, name: str) -> Every | None:
        """`every(n, ...)`; a bare number is n."""
        if name not in self.given:
            return None
        value = self._value(name)
        span = self.given[name].value.span
        if isinstance(value, Fraction):
            whole = as_whole(value, f"`{name}`", span, self.report, least=1)
            return None if whole is None else Every(whole)
        if not isinstance(value, Called) or value.name != "every":
            if value is not None:
                label = f"this is {describe(value)}"
                message = f"`{name}` must be every(n)"
                self.report.error("SG0164", message, span, label, help=f"{name} = every(100)")
            return None
        matched = match_settings(value.arguments, EVERY, value.scope, span, self.report)
        if matched is None:
            return None
        numbers = [v for v in matched.values.values() if isinstance(v, int)]
        return Every(*numbers)
