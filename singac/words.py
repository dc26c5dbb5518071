"""What the language offers, for `singac list`: the compiler's own tables, prelude included."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from singac.initialisers import INITIALISERS
from singac.model.algorithms import ALGORITHMS
from singac.model.definitions import built_in
from singac.model.equations import Updater
from singac.model.net import kinds_of
from singac.model.updaters import rate_of, settings_of
from singac.plan.show import table
from singac.schedules import SCHEDULES
from singac.settings import Setting, SettingValue, Sort, shape_text
from singac.sources.table import SOURCES


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the language, what it means, and the settings it takes."""

    name: str
    meaning: str
    settings: tuple[Setting, ...]


def layers() -> tuple[Word, ...]:
    pointwise, _ = built_in()
    return tuple(Word(k.name, k.summary, k.settings) for k in kinds_of(pointwise).values())


def updaters() -> tuple[Word, ...]:
    _, found = built_in()
    return tuple(Word(u.name, _equations(u), (rate_of(u), *settings_of(u))) for u in found.values())


def _equations(updater: Updater) -> str:
    return "; ".join(" ".join(part.span.text.split()) for part in updater.definition.body)


def schedules() -> tuple[Word, ...]:
    return tuple(Word(s.name, s.formula, s.settings) for s in SCHEDULES.values())


def sources() -> tuple[Word, ...]:
    return tuple(Word(s.name, f"{s.doc}; gives {s.gives}", s.settings) for s in SOURCES.values())


def algorithms() -> tuple[Word, ...]:
    return tuple(Word(name, a.summary, a.settings) for name, a in ALGORITHMS.items())


def initialisers() -> tuple[Word, ...]:
    return tuple(Word(i.name, i.formula, i.settings) for i in INITIALISERS.values())


LISTS: Mapping[str, Callable[[], tuple[Word, ...]]] = {
    "layers": layers,
    "updaters": updaters,
    "schedules": schedules,
    "sources": sources,
    "algorithms": algorithms,
    "initialisers": initialisers,
}


def as_text(what: str) -> str:
    """The words of a list, each with a line for each setting."""
    rows: list[tuple[str, str, str, str]] = []
    for word in LISTS[what]():
        rows.append((word.name, "", "", word.meaning))
        rows += [("", _name(s), _default(s), f"{s.doc}; {s.accepts}") for s in word.settings]
    return table((what, "setting", "default", "meaning"), rows, right=False)


def _name(setting: Setting) -> str:
    """`units`; in brackets what may stand without its name: `(units)`."""
    return f"({setting.name})" if setting.positional else setting.name


def _default(setting: Setting) -> str:
    if setting.required:
        return "needed"
    return "none" if setting.default is None else _written(setting.default, setting)


def _written(value: SettingValue, setting: Setting) -> str:
    """A value as it is written in a program."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return shape_text(value)
    if isinstance(value, str):
        return value if value in setting.choices else f'"{value}"'
    return f"{value:.8g}"


def as_json(what: str) -> str:
    """The words of a list as a JSON object with its format version."""
    words = [
        {
            "name": word.name,
            "meaning": word.meaning,
            "settings": [_setting_json(s) for s in word.settings],
        }
        for word in LISTS[what]()
    ]
    return json.dumps({"format_version": "1.0", what: words}, indent=1, ensure_ascii=False)


def _setting_json(setting: Setting) -> dict[str, object]:
    return {
        "name": setting.name,
        "doc": setting.doc,
        "accepts": [s.value for s in setting.sorts if s is not Sort.WORD],
        "choices": list(setting.choices),
        "default": setting.default,
        "required": setting.required,
        "positional": setting.positional,
    }
