"""The JSON Schema of a plan, made from its dataclasses; `plan.schema.json` beside this file has it.

    python -m singac.plan.schema     writes the file anew

A plan is a contract with whoever reads its JSON: a change of these dataclasses shows in that file.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Union, get_args, get_origin, get_type_hints

from singac.plan.encode import KINDS
from singac.plan.plan import FORMAT_VERSION, Plan

FILE = Path(__file__).with_name("plan.schema.json")
Schema = dict[str, object]
# fmt: off
PLAIN: Mapping[object, Schema] = {
    bool:     {"type": "boolean"},
    int:      {"type": "integer"},
    float:    {"type": "number"},
    str:      {"type": "string"},
    NoneType: {"type": "null"},
}
# fmt: on


def schema() -> Schema:
    """The schema of `to_json` of a plan."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A plan of singac, format {FORMAT_VERSION}",
        "$ref": f"#/$defs/{Plan.__name__}",
        "$defs": {kind.__name__: _object(kind) for kind in KINDS},
    }


def text() -> str:
    """The file's text."""
    return json.dumps(schema(), indent=1) + "\n"


def _object(kind: type) -> Schema:
    hints = hints_of(kind)
    properties = {name: _value(hint) for name, hint in hints.items()}
    if kind is Plan:
        properties["format_version"] = {"const": FORMAT_VERSION}
    return {
        "description": (kind.__doc__ or "").partition("\n")[0],
        "type": "object",
        "properties": {"is": {"const": kind.__name__}, **properties},
        "required": ["is", *hints],
        "additionalProperties": False,
    }


@cache
def hints_of(kind: type) -> Mapping[str, object]:
    """The type of each field, in order."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _value(hint: object) -> Schema:
    if hint in PLAIN:
        return PLAIN[hint]
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return {"enum": [member.value for member in hint]}
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return {"$ref": f"#/$defs/{hint.__name__}"}
    if get_origin(hint) in (Union, UnionType):
        return {"anyOf": [_value(one) for one in get_args(hint)]}
    assert get_origin(hint) is tuple, f"a plan holds {hint}"
    first, *others = get_args(hint)
    if others == [...]:
        return {"type": "array", "items": _value(first)}
    members = [_value(one) for one in (first, *others)]
    return {"type": "array", "prefixItems": members, "items": False, "minItems": len(members)}


# -- the same, asked of a plan ---------------------------------------------------------------------


def misfit(value: object, hint: object = Plan, at: str = "plan") -> str | None:
    """Where a value read from JSON is not of its type, and what stands there; None if nowhere."""
    if get_origin(hint) in (Union, UnionType):
        found = [misfit(value, one, at) for one in get_args(hint)]
        return min((f for f in found if f), key=len, default=None) if all(found) else None
    if get_origin(hint) is tuple:
        return _misfit_in_tuple(value, get_args(hint), at)
    wanted = (int, float) if hint is float else hint
    assert isinstance(wanted, type | tuple), "what is left is a class"
    if not isinstance(value, wanted) or (isinstance(value, bool) and hint is not bool):
        return f"{at} is {str(value)[:40]!r}"
    if not dataclasses.is_dataclass(value):
        return None
    kind: type = type(value)
    parts = ((getattr(value, n), h, f"{at}.{n}") for n, h in hints_of(kind).items())
    return next((wrong for part in parts if (wrong := misfit(*part))), None)


def _misfit_in_tuple(value: object, hints: tuple[object, ...], at: str) -> str | None:
    if not isinstance(value, tuple):
        return f"{at} is {str(value)[:40]!r}"
    if hints[1:] == (...,):
        hints = hints[:1] * len(value)
    if len(hints) != len(value):
        return f"{at} has {len(value)} members"
    parts = ((v, h, f"{at}[{k}]") for k, (v, h) in enumerate(zip(value, hints, strict=True)))
    return next((wrong for part in parts if (wrong := misfit(*part))), None)


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
