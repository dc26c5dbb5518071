"""A `train` block -> steps, batch, updater, and when to show, test and save."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from singac.diagnostics import Place, Report, Span, did_you_mean
from singac.model.algorithms import Chosen, resolve_algorithm
from singac.model.arguments import as_number, as_whole, given_twice, match_settings
from singac.model.equations import Updater
from singac.model.types import Every, Training, Update
from singac.model.updaters import resolve_update
from singac.model.values import Called, Scope, Value, describe, evaluate, show_number
from singac.settings import AT_LEAST_ONE, NOT_NEGATIVE, Setting, Sort
from singac.syntax import tree

# fmt: off
SETTINGS: Mapping[str, str] = {
    "algorithm":  "how gradients are found",
    "updater":    "how params change by their gradients",
    "batch":      "examples one worker group takes a step",
    "steps":      "how long to train, in steps",
    "epochs":     "how long to train, in passes over the data",
    "seed":       "where random numbers start",
    "display":    "every(n, after =): when to print loss and metrics",
    "test":       "every(n, steps =, after =): when to test",
    "validate":   "every(n, steps =, after =): when to validate",
    "checkpoint": "every(n, after =, keep =): when to save",
    "early_stop": "after(k): stop when k validations in a row were no better than the best",
}
EVERY: Mapping[str, Setting] = {
    s.name: s for s in (
        Setting("every", "steps between two times",
                sorts=(Sort.INTEGER,), positional=True, within=AT_LEAST_ONE),
        Setting("steps", "batches to take; the whole part when left out",
                sorts=(Sort.INTEGER,), default=0, within=NOT_NEGATIVE),
        Setting("after", "the step from which it counts",
                sorts=(Sort.INTEGER,), default=0, within=NOT_NEGATIVE),
        Setting("keep", "checkpoints to keep; all when left out",
                sorts=(Sort.INTEGER,), default=0, within=NOT_NEGATIVE),
    )
}
TIMES: Mapping[str, tuple[str, ...]] = {
    "display":    ("every", "after"),
    "test":       ("every", "steps", "after"),
    "validate":   ("every", "steps", "after"),
    "checkpoint": ("every", "after", "keep"),
}
AFTER = Setting("validations", "how many in a row were no better than the best",
                sorts=(Sort.INTEGER,), positional=True, within=AT_LEAST_ONE)
# fmt: on
LARGEST = 10**12
DISPLAYS = 100  # times a run is shown when the text does not say when


@dataclass(frozen=True, slots=True)
class TrainBlock:
    """A resolved train block; spans are where settings stand, for later disagreements.

    `epochs` is None where steps were given, and then each worker group does as many.
    What `carry` names is looked up in the net (`model/carry.py`).
    """

    training: Training
    update: Update
    spans: Mapping[str, Span]
    epochs: Fraction | None = None
    carry: tuple[tree.Named, ...] = ()


def for_groups(train: TrainBlock, groups: int, train_examples: int) -> TrainBlock:
    """The block for so many worker groups: together they go through the epochs once."""
    if train.epochs is None or groups == 1:
        return train
    training = train.training
    steps = math.ceil(train.epochs * train_examples / (training.batch * groups))
    display = training.display
    if "display" not in train.spans:
        display = Every(max(1, steps // DISPLAYS))
    return replace(train, training=replace(training, steps=steps, display=display))


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
        self.epochs: Fraction | None = None

    def _given(self) -> dict[str, tree.Named]:
        given: dict[str, tree.Named] = {}
        for setting in self.block.settings:
            name = setting.path.text
            if name not in SETTINGS:
                help = did_you_mean(name, SETTINGS)
                message = f"there is no setting `{name}` in a train block"
                self.report.error("SG0100", message, setting.path.span, help=help)
            elif name in given:
                given_twice(name, given[name].span, setting.span, self.report)
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
        early_stop = self._early_stop()
        times = {name: self._every(name) for name in TIMES}
        if len(self.report.found) > before:
            return None
        if algorithm is None or update is None or batch is None or seed is None or steps is None:
            return None
        display = times["display"] or Every(max(1, steps // DISPLAYS))
        test, checkpoint = times["test"] or Every(), times["checkpoint"] or Every()
        validate, net = times["validate"] or Every(), self.block.net.text
        times_of = (display, test, checkpoint, validate, early_stop)
        training = Training(net, algorithm.name, batch, steps, seed, *times_of, algorithm.gibbs)
        spans = {n: s.span for n, s in self.given.items()}
        return TrainBlock(training, update, spans, self.epochs, algorithm.carry)

    def _missing(self, name: str, help: str) -> None:
        message = f"setting `{name}` is missing"
        self.report.error("SG0202", message, self.block.net.span, help=help)

    def _value(self, name: str) -> Value | None:
        return evaluate(self.given[name].value, self.scope, self.report)

    def _algorithm(self) -> Chosen | None:
        given = self.given.get("algorithm")
        return resolve_algorithm(given.value if given else None, self.scope, self.report)

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
        return as_whole(value, f"`{name}`", span, self.report, self.scope, least, LARGEST)

    def _steps(self, batch: int | None, train_examples: int | None) -> int | None:
        """`steps`, or as many as `epochs` passes take, the last one rounded up."""
        if "steps" in self.given and "epochs" in self.given:
            related = (Place(self.given["steps"].span, "steps here"),)
            span = self.given["epochs"].span
            message = "a train block has `steps` or `epochs`, not both"
            self.report.error("SG0163", message, span, "epochs here", related=related)
            return None
        if "epochs" not in self.given:
            if "steps" not in self.given:
                self._missing("steps", "steps = 1000, or epochs = 10")
                return None
            return self._whole("steps", 1)
        value = self._value("epochs")
        if value is None:
            return None
        span = self.given["epochs"].value.span
        epochs = as_number(value, "`epochs`", span, self.report, self.scope)
        if epochs is None or batch is None:
            return None
        if epochs <= 0:
            label = f"this is {show_number(epochs)}"
            self.report.error("SG0201", "`epochs` must be a number above 0", span, label)
            return None
        self.epochs = epochs
        steps = math.ceil(epochs * (train_examples or 1) / batch)
        if steps > LARGEST:
            label = f"comes to {steps:.3g} steps"
            self.report.error("SG0201", f"a run has at most {LARGEST:,} steps", span, label)
            return None
        return steps

    def _every(self, name: str) -> Every | None:
        """`every(n, ...)`; a bare number is n."""
        if name not in self.given:
            return None
        value = self._value(name)
        span = self.given[name].value.span
        if isinstance(value, Fraction):
            what = f"`{name}`"
            whole = as_whole(value, what, span, self.report, self.scope, least=1, most=LARGEST)
            return None if whole is None else Every(whole)
        if not isinstance(value, Called) or value.name != "every":
            if value is not None:
                label = f"this is {describe(value)}"
                message = f"`{name}` must be every(n)"
                self.report.error("SG0164", message, span, label, help=f"{name} = every(100)")
            return None
        table = tuple(EVERY[s] for s in TIMES[name])
        matched = match_settings(value.arguments, table, value.scope, span, self.report)
        if matched is None:
            return None
        return Every(**{n: v for n, v in matched.values.items() if isinstance(v, int)})

    def _early_stop(self) -> int:
        """The k of `after(k)`, or of a bare k; 0 for never or after reporting."""
        if "early_stop" not in self.given:
            return 0
        given = self.given["early_stop"]
        value, span = self._value("early_stop"), given.value.span
        if "validate" not in self.given:
            message = "`early_stop` goes by validations, and this train block has none"
            self.report.error("SG0166", message, span, help="add validate = every(100)")
        if isinstance(value, Fraction):
            return as_whole(value, "`early_stop`", span, self.report, self.scope, 1, LARGEST) or 0
        if isinstance(value, Called) and value.name == "after":
            matched = match_settings(value.arguments, (AFTER,), value.scope, span, self.report)
            found = matched.values[AFTER.name] if matched is not None else 0
            assert isinstance(found, int), "a whole number was checked"
            return found
        if value is not None:
            label, help = f"this is {describe(value)}", "early_stop = after(3)"
            message = "`early_stop` must be after(k)"
            self.report.error("SG0164", message, span, label, help=help)
        return 0
