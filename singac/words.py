"""What the language offers, for `singac list`: the compiler's own tables, prelude included."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from singac.initialisers import INITIALISERS
from singac.model.algorithms import ALGORITHMS
from singac.model.definitions import built_in
from singac.model.equations import UNTOLD, Updater
from singac.model.net import kinds_of
from singac.model.updaters import rate_of, settings_of
from singac.plan.show import table
from singac.schedules import SCHEDULES
from singac.settings import Setting, SettingValue, Sort, shape_text
from singac.sources.table import SOURCES

# What numbers in the equations of the prelude are for; those of one word alone have it before them.
# fmt: off
NUMBERS = {
    "slope":              "the slope below 0",
    "swish.slope":        "how sharply values below 0 are held back",
    "alpha":              "what it comes to far below 0 is -alpha",
    "momentum":           "the share of the last change that goes on",
    "rho":                "the share of the past in the running mean of g * g",
    "beta1":              "the share of the past in the running mean of g",
    "beta2":              "the share of the past in the running mean of g * g",
    "AdaMax.beta2":       "the share of the largest g so far that is left of it",
    "delta":              "added to what divides, which is never 0 then",
    "AdamW.weight_decay": "rate times this times the param is taken off it, whatever its gradient",
}
# fmt: on


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the language, what it means, and the settings it takes.

    A layer is fed by so many `sources` (`or_more`), and has params in these `roles`.
    """

    name: str
    meaning: str
    settings: tuple[Setting, ...]
    sources: int = 1
    or_more: bool = False
    roles: tuple[str, ...] = ()

    @property
    def whole_meaning(self) -> str:
        """What it means, with its sources where they are not one, and its params."""
        more = " or more" if self.or_more else ""
        fed = (f"{self.sources}{more} sources",) if more or self.sources > 1 else ()
        params = (f"params {', '.join(self.roles)}",) if self.roles else ()
        return "; ".join((self.meaning, *fed, *params))


def layers() -> tuple[Word, ...]:
    pointwise, _ = built_in()
    return tuple(
        Word(k.name, k.summary, _told(k.name, k.settings), k.sources, k.or_more, k.roles)
        for k in kinds_of(pointwise).values()
    )


def updaters() -> tuple[Word, ...]:
    _, found = built_in()
    return tuple(
        Word(u.name, _equations(u), (rate_of(u), *_told(u.name, settings_of(u))))
        for u in found.values()
    )


def _told(word: str, settings: Sequence[Setting]) -> tuple[Setting, ...]:
    """Settings that are numbers in equations, with what these are for."""
    return tuple(
        replace(s, doc=NUMBERS.get(f"{word}.{s.name}", NUMBERS.get(s.name, UNTOLD)))
        if s.doc == UNTOLD
        else s
        for s in settings
    )


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
        rows.append((word.name, "", "", word.whole_meaning))
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
    words = [_word_json(word) | _layer_json(word, what) for word in LISTS[what]()]
    return json.dumps({"format_version": "1.0", what: words}, indent=1, ensure_ascii=False)


def _word_json(word: Word) -> dict[str, object]:
    settings = [_setting_json(s) for s in word.settings]
    return {"name": word.name, "meaning": word.meaning, "settings": settings}


def _layer_json(word: Word, what: str) -> dict[str, object]:
    if what != "layers":
        return {}
    return {"sources": word.sources, "or_more": word.or_more, "params": list(word.roles)}


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
