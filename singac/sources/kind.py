"""What a kind of source is: its settings, its fields, and how its files are found and read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from singac.diagnostics import Span
from singac.settings import AT_LEAST_ONE, BELOW_ONE, POSITIVE, Setting, SettingValue, Sort

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Request:
    """A data block, checked: plain values, every path joined to the folder of the file saying it.

    Spans serve diagnostics only; a request read back from JSON has none.
    """

    kind: str
    values: tuple[tuple[str, SettingValue], ...]
    span: Span | None = field(default=None, compare=False, repr=False)
    spans: tuple[tuple[str, Span], ...] = field(default=(), compare=False, repr=False)

    def get(self, name: str) -> SettingValue | None:
        """Value of a setting, None where an optional one was left out."""
        return dict(self.values).get(name)

    def text(self, name: str) -> str:
        """Value of a setting that is a text."""
        value = self.get(name)
        assert isinstance(value, str), f"{name} is a checked text"
        return value

    def number(self, name: str) -> float:
        """Value of a setting that is a number."""
        value = self.get(name)
        assert isinstance(value, int | float), f"{name} is a checked number"
        return float(value)

    def span_of(self, name: str) -> Span | None:
        """Where a setting was written, else the data block."""
        return dict(self.spans).get(name, self.span)

    def as_json(self) -> str:
        """One line that `request_from_json` reads back; the same for the same settings."""
        return json.dumps([self.kind, self.values])


def request_from_json(text: str) -> Request:
    """The request `as_json` wrote, without spans."""
    kind, values = json.loads(text)
    pairs = ((n, tuple(v) if isinstance(v, list) else v) for n, v in values)
    return Request(kind, tuple(pairs))


@dataclass(frozen=True, slots=True)
class Part:
    """The files of one part, and the setting that led to them."""

    name: str
    setting: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LabelFacts:
    """The largest class label of a file and where it stands, for example at `line 17`.

    It bounds the whole numbers of `fields`; without names, of the last field.
    """

    largest: int
    file: str
    place: str
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Survey:
    """What the files of one part hold: examples, fields in order, the largest label of classes.

    A field is its name and its shape an example. The first holds the values that `shape`, `scale`,
    `mean` and `std` are about; class labels are in the last. Of a text `vocabulary` is a digest of
    the tokens in the order of their numbers.
    """

    examples: int
    fields: tuple[tuple[str, tuple[int, ...]], ...]
    label: LabelFacts | None = None
    vocabulary: str = ""


@dataclass(frozen=True, slots=True)
class FieldFacts:
    """A field, its shape an example, and `(raw * scale - mean) / std` on reading."""

    name: str
    shape: tuple[int, ...]
    scale: float = 1.0
    mean: float = 0.0
    std: float = 1.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What compiling needs to know of the data: fields, and examples of each part (0: none).

    `label` is the largest label over all files where labels are classes; None where they are
    real numbers or there is none. Of data that is only declared all counts are 0. The `vocabulary`
    is that of the survey.
    """

    fields: tuple[FieldFacts, ...]
    train: int
    test: int
    validate: int
    shuffle: bool
    label: LabelFacts | None
    vocabulary: str = ""

    @property
    def absent(self) -> bool:
        """Whether these are facts of data that is not there; data has an example at least."""
        return self.train == 0

    def as_json(self) -> str:
        """One line that `facts_from_json` reads back."""
        return json.dumps(dataclasses.asdict(self))


def facts_from_json(text: str) -> Facts:
    """The facts `as_json` wrote."""
    read = json.loads(text)
    label = read.pop("label")
    fields = tuple(FieldFacts(**f | {"shape": tuple(f["shape"])}) for f in read.pop("fields"))
    if label:
        label["fields"] = tuple(label.get("fields", ()))
    return Facts(fields, label=LabelFacts(**label) if label else None, **read)


@dataclass(frozen=True, slots=True)
class SourceKind:
    """A file format.

    locate(request)          the files of each part, train first; looks at names only
    survey(request, part)    what they hold, from headers where the format has them
    load(request, part)      raw values of each field, one row an example

    All three raise `Failed` with exit code DAMAGED where files are missing or not what they
    should be. `gives` names the fields for a reader. `declared` are the fields of values and of
    class labels that are taken to be there where the files are missing; None where nothing is.
    Examples of a text follow one another, each going on where the one before ends.
    """

    name: str
    doc: str
    settings: tuple[Setting, ...]
    gives: str
    locate: Callable[[Request], tuple[Part, ...]]
    survey: Callable[[Request, Part], Survey]
    load: Callable[[Request, Part], dict[str, Array]]
    declared: tuple[str, str] | None = None
    is_text: bool = False


COMPUTED = "computed"

_PART = (Sort.FRACTION, Sort.PATH)
_STATISTIC = (Sort.WORD, Sort.NUMBER, Sort.PATH)

# fmt: off
COMMON_SETTINGS = (
    Setting("shape", "the shape of an example, the file's own when left out",
            sorts=(Sort.SHAPE,), optional=True, within=AT_LEAST_ONE),
    Setting("classes", "labels are below it; with `shape`, programs compile before data is there",
            sorts=(Sort.INTEGER,), optional=True, within=AT_LEAST_ONE),
    Setting("scale", "raw values are multiplied by it", default=1.0),
    Setting("mean", "then it is subtracted; computed: one number, over the training part; "
            "a file: an array in .npy of a value for each value of an example",
            sorts=_STATISTIC, choices=(COMPUTED,), default=0.0),
    Setting("std", "then it divides them; computed likewise",
            sorts=_STATISTIC, choices=(COMPUTED,), default=1.0, within=POSITIVE),
    Setting("shuffle", "every epoch of training in an order of its own",
            sorts=(Sort.BOOLEAN,), default=True),
    Setting("test", "the part of the examples held out for testing, or a file of them",
            sorts=_PART, optional=True, within=BELOW_ONE),
    Setting("validate", "the part of the examples held out for validation, or a file of them",
            sorts=_PART, optional=True, within=BELOW_ONE),
)
# fmt: on
