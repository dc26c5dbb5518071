"""Plan <-> JSON text: one object a dataclass, its name under `is`, keys in the order of its fields.

The text is the same for the same plan, byte for byte.
"""

from __future__ import annotations

import dataclasses
import json
from enum import StrEnum
from functools import cache
from typing import get_type_hints

from singac.layers import exchange, expression, operations, windows
from singac.plan import plan

# fmt: off
KINDS: tuple[type, ...] = (
    expression.Constant, expression.Variable, expression.Scalar, expression.Draw, expression.Call,
    operations.Assign, operations.Pointwise, operations.Product, operations.ColumnSum,
    operations.Measure, operations.SoftmaxLoss, operations.Hits,
    operations.ColumnRange, operations.Concat, operations.Softmax, operations.SoftmaxGradient,
    operations.Normalise, operations.NormaliseGradient, operations.Lookup,
    operations.LookupGradient, operations.OneHot,
    windows.Windows, operations.Convolution, operations.ChannelSum, operations.Pool,
    operations.PoolGradient, operations.Response, operations.Lrn, operations.LrnGradient,
    operations.Crop, operations.CropGradient, operations.Best, operations.Steps, operations.Loop,
    operations.Spread,
    operations.GroupSum, operations.Redistribute, exchange.Part, exchange.Exchange,
    plan.Buffer, plan.Feed, plan.Run, plan.Push, plan.Pull, plan.Serve, plan.Norm, plan.Clip,
    plan.Send, plan.Receive,
    plan.Stretch, plan.Input, plan.Program, plan.Initialiser, plan.Saved, plan.Param, plan.Slice,
    plan.Schedule, plan.Update, plan.Memory, plan.Process, plan.Topology, plan.Reconcile,
    plan.Field, plan.Data, plan.Every, plan.Training, plan.Held, plan.PlacedLayer, plan.Place,
    plan.Machine, plan.Choice, plan.Chosen, plan.Plan,
)
# fmt: on
BY_NAME = {kind.__name__: kind for kind in KINDS}


class UnreadablePlan(ValueError):
    """The text is not a plan of this format version."""


def to_json(value: object) -> str:
    """A plan, or any part of one, as JSON text ending in a line end.

    A line for each field, and for each part where a field has several: what is within a line is
    written by the C encoder, without which a plan for a thousand processes takes a minute.
    """
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return _text(value) + "\n"
    fields = (f' "{name}": {_lines(getattr(value, name))}' for name in _names(type(value)))
    return "{\n" + ",\n".join((f' "is": "{type(value).__name__}"', *fields)) + "\n}\n"


def _lines(value: object) -> str:
    if not isinstance(value, tuple) or not value:
        return _text(value)
    return "[\n" + ",\n".join(f"  {_text(part)}" for part in value) + "\n ]"


def from_json(text: str) -> plan.Plan:
    """The plan a text holds.

    Raises UnreadablePlan for anything `to_json` did not write.
    """
    try:
        value = _decode(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadablePlan(f"not a plan: {error}") from error
    if not isinstance(value, plan.Plan):
        raise UnreadablePlan("not a plan: the text holds something else")
    if value.format_version != plan.FORMAT_VERSION:
        raise UnreadablePlan(f"a plan of format {value.format_version}, not {plan.FORMAT_VERSION}")
    return value


def _fields(value: object) -> dict[str, object]:
    kind = type(value)
    assert dataclasses.is_dataclass(kind), f"a plan holds {value!r}"
    return {"is": kind.__name__, **{name: getattr(value, name) for name in _names(kind)}}


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(f.name for f in dataclasses.fields(kind))


_text = json.JSONEncoder(ensure_ascii=False, check_circular=False, default=_fields).encode


def _decode(value: object) -> object:
    if isinstance(value, list):
        return tuple(_decode(v) for v in value)
    if not isinstance(value, dict):
        return value
    kind = BY_NAME[value.pop("is")]
    enums = _enum_fields(kind)
    fields = {k: enums[k](v) if k in enums else _decode(v) for k, v in value.items()}
    return kind(**fields)


@cache
def _enum_fields(kind: type) -> dict[str, type[StrEnum]]:
    hints = get_type_hints(kind)
    return {
        name: hint
        for name, hint in hints.items()
        if isinstance(hint, type) and issubclass(hint, StrEnum)
    }
