"""Params of a net: each layer's own, and those that several layers share.

A layer's arguments may draw a param (`weight ~ gaussian(std = 0.01)`), tie it to another
(`weight = w`, `weight = w'`), leave it out (`bias = none`) or scale its rates
(`bias.lr_scale = 2`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from singac.diagnostics import Place, Report, Span, did_you_mean, nearest
from singac.initialisers import INITIALISERS, check_initialiser
from singac.layers.kind import ParamSpec, Sizes
from singac.model.arguments import Matched, as_number, given_twice, match_settings
from singac.model.expand import Placed, PlacedParam
from singac.model.graph import Layer, NetParam, ParamUse
from singac.model.origins import saved
from singac.model.types import Initialiser, Saved
from singac.model.values import Scope, Tied, Word, describe, evaluate
from singac.settings import NOT_NEGATIVE, shape_text
from singac.syntax import tree

SCALES = ("lr_scale", "wd_scale")
NONE = "none"
LARGEST = 2**31  # elements of one param


@dataclass(slots=True)
class _Known:
    """A param in the making; its shape is that of its first use."""

    name: str
    span: Span
    origin: tuple[tree.Apply | tree.Name | tree.String, Scope] | None
    shape: Sizes | None = None
    shaped_at: Span | None = None
    default: ParamSpec | None = None
    scales: dict[str, tuple[float, Span]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RoleArguments:
    """What a layer's arguments say of its params."""

    drawn: dict[str, tree.Drawn]
    tied: dict[str, tree.Named]
    scales: tuple[tree.Named, ...]


def split_arguments(
    arguments: Sequence[tree.Argument], roles: Sequence[str], report: Report
) -> tuple[list[tree.Argument], RoleArguments]:
    """Arguments that are settings of the layer, and those that speak of its params."""
    settings: list[tree.Argument] = []
    whole: dict[str, tree.Drawn | tree.Named] = {}
    scales: list[tree.Named] = []
    for argument in arguments:
        role, *rest = _names(argument) or [""]
        if isinstance(argument, tree.Positional) or role not in roles or len(rest) > 1:
            settings.append(argument)
        elif not rest and role in whole:
            given_twice(role, whole[role].span, argument.span, report)
        elif not rest:
            whole[role] = argument
        elif isinstance(argument, tree.Named):
            scales.append(argument)
        else:
            settings.append(argument)
    drawn = {role: a for role, a in whole.items() if isinstance(a, tree.Drawn)}
    tied = {role: a for role, a in whole.items() if isinstance(a, tree.Named)}
    return settings, RoleArguments(drawn, tied, tuple(scales))


def unaliased(
    arguments: Sequence[tree.Argument], aliases: Mapping[str, tuple[str, ...]]
) -> list[tree.Argument]:
    """The arguments, those of a word that stands for several roles once for each of them."""
    found: list[tree.Argument] = []
    for argument in arguments:
        role, *_ = _names(argument) or [""]
        if isinstance(argument, tree.Positional) or role not in aliases:
            found.append(argument)
        else:
            first, *rest = argument.path.names
            named = (replace(first, text=own) for own in aliases[role])
            paths = (replace(argument.path, names=(name, *rest)) for name in named)
            found += [replace(argument, path=path) for path in paths]
    return found


def _names(argument: tree.Argument) -> list[str]:
    return [] if isinstance(argument, tree.Positional) else [n.text for n in argument.path.names]


def role_is_none(role: str, placed: Placed) -> bool:
    """Whether a layer's arguments leave the param out."""
    named = [a for a in placed.step.arguments if isinstance(a, tree.Named)]
    return any(a.path.text == role and a.value.span.text == NONE for a in named)


class ParamTable:
    """All params of one net, in the order in which they are declared or first used."""

    def __init__(self, shared: Sequence[PlacedParam], report: Report) -> None:
        self._report = report
        self._known: dict[str, _Known] = {}
        for param in shared:
            if param.name in self._known:
                first = (Place(self._known[param.name].span, "first named here"),)
                message = f"`{param.name}` is named twice"
                report.error("SG0109", message, param.span, related=first)
            self._known[param.name] = _Known(param.name, param.span, (param.origin, param.scope))
        self._shared = tuple(self._known)

    def uses(
        self, placed: Placed, specs: Sequence[ParamSpec], roles: RoleArguments
    ) -> tuple[ParamUse, ...]:
        """The params of one layer, entered in the table."""
        found = [self._use(placed, spec, roles) for spec in specs]
        uses = {u.role: u for u in found if u is not None}
        for scale in roles.scales:
            self._scale(scale, placed, uses)
        return tuple(uses.values())

    def _use(self, placed: Placed, spec: ParamSpec, roles: RoleArguments) -> ParamUse | None:
        if spec.role in roles.tied:
            return self._tie(placed, spec, roles.tied[spec.role])
        name = f"{placed.name}.{spec.role}"
        drawn = roles.drawn.get(spec.role)
        span = drawn.span if drawn else placed.step.span
        if name in self._shared:
            return self._said(name, spec, drawn, span)
        known = _Known(name, span, (drawn.call, placed.scope) if drawn else None)
        self._known[name] = known
        self._shape(known, spec, spec.shape, span)
        return ParamUse(spec.role, name)

    def _said(self, name: str, spec: ParamSpec, drawn: tree.Drawn | None, span: Span) -> ParamUse:
        """A layer's own param of which a `param` statement says how it starts."""
        known = self._known[name]
        if drawn is not None:
            related = (Place(known.span, "said here already"),)
            message = f"`{name}` starts in two ways"
            self._report.error("SG0109", message, span, related=related, help="leave one out")
        self._shape(known, spec, spec.shape, span)
        return ParamUse(spec.role, name)

    def _tie(self, placed: Placed, spec: ParamSpec, named: tree.Named) -> ParamUse | None:
        value = evaluate(named.value, placed.scope, self._report)
        if isinstance(value, Word) and value.text == NONE:
            if not spec.optional:
                message = f"a layer `{placed.step.kind.text}` needs its `{spec.role}`"
                self._report.error("SG0157", message, named.span, help="leave this out to draw it")
            return None
        if not isinstance(value, Word | Tied):
            if value is not None:
                message = f"`{spec.role}` must be the name of a param"
                label = f"this is {describe(value)}"
                self._report.error("SG0150", message, named.value.span, label)
            return None
        written = value.text if isinstance(value, Word) else value.name
        known = self._known.get(placed.prefix + written) or self._known.get(written)
        if known is None:
            self._unknown(written, spec, named.value.span)
            return None
        transposed = isinstance(value, Tied)
        if transposed and len(spec.shape) != 2:
            message = f"`{spec.role}` is no matrix and has no transpose"
            label = f"its shape is {shape_text(spec.shape)}"
            help = f"{spec.role} = {written}"
            self._report.error("SG0158", message, named.value.span, label, help=help)
            return None
        shape = tuple(reversed(spec.shape)) if transposed else spec.shape
        self._shape(known, spec, shape, named.span)
        return ParamUse(spec.role, known.name, transposed)

    def _unknown(self, written: str, spec: ParamSpec, span: Span) -> None:
        near = nearest(written, [*self._known, *([NONE] if spec.optional else [])])
        if near is not None:
            help = f"did you mean `{near}`?"
        elif "." in written:
            help = "tie the later layer to the earlier one, or both to a param of the net"
        else:
            help = f"name it first: param {written} ~ gaussian(std = 0.01)"
        self._report.error("SG0151", f"no param is named `{written}`", span, help=help)

    def _shape(self, known: _Known, spec: ParamSpec, shape: Sizes, span: Span) -> None:
        if known.shape is None:
            known.shape, known.shaped_at, known.default = shape, span, spec
        elif known.shape != shape and known.shaped_at is not None:
            related = (Place(known.shaped_at, f"{shape_text(known.shape)} here"),)
            message = f"`{known.name}` cannot have two shapes"
            label = f"{shape_text(shape)} here"
            turned = len(shape) == 2 and known.shape == tuple(reversed(shape))
            help = f"its transpose fits: {known.name}'" if turned else None
            self._report.error("SG0152", message, span, label, related=related, help=help)
        elif known.default is not None and (known.default.follows or spec.follows):
            related = (Place(known.shaped_at or known.span, "used here"),)
            message = f"`{known.name}` is measured by one layer and cannot be shared"
            self._report.error("SG0182", message, span, "and here", related=related)

    def _scale(self, named: tree.Named, placed: Placed, uses: dict[str, ParamUse]) -> None:
        role, scale = _names(named)
        if scale not in SCALES:
            help = did_you_mean(scale, SCALES)
            message = f"a param has no setting `{scale}`"
            self._report.error("SG0100", message, named.path.span, help=help)
            return
        value = evaluate(named.value, placed.scope, self._report)
        if value is None:
            return
        span = named.value.span
        number = as_number(value, f"`{scale}`", span, self._report, placed.scope)
        if number is None:
            return
        if float(number) not in NOT_NEGATIVE:
            message, label = f"`{scale}` must be at least 0", f"this is {float(number):g}"
            self._report.error("SG0201", message, span, label)
        elif role in uses:
            self._set_scale(scale, float(number), named.span, uses[role])
        elif role_is_none(role, placed):
            message = f"`{placed.name}` has no `{role}` to scale"
            self._report.error("SG0159", message, named.span, help=f"leave out {role} = none")

    def _set_scale(self, scale: str, number: float, span: Span, use: ParamUse) -> None:
        known = self._known[use.name]
        earlier = known.scales.setdefault(scale, (number, span))
        if earlier[0] != number:
            related = (Place(earlier[1], f"{earlier[0]:g} here"),)
            message = f"`{known.name}` cannot have two values of `{scale}`"
            label = f"{number:g} here"
            self._report.error("SG0153", message, span, label, related=related)

    def check_names(self, layers: Mapping[str, Layer]) -> None:
        """A param and a layer of one name could not be told apart."""
        for name in self._shared:
            if name in layers:
                place = Place(self._known[name].span, "this param")
                message = f"`{name}` names a param and a layer"
                span = layers[name].span
                self._report.error("SG0109", message, span, related=(place,))

    def finish(self) -> tuple[NetParam, ...]:
        """Every param with its shape and initialiser; reports params that no layer uses."""
        return tuple(p for k in self._known.values() if (p := self._finished(k)) is not None)

    def _finished(self, known: _Known) -> NetParam | None:
        if known.shape is None or known.default is None:
            help = "name it in a layer: weight = " + known.name
            self._report.error("SG0154", f"no layer uses `{known.name}`", known.span, help=help)
            return None
        elements = 1
        for size in known.shape:
            elements *= size
        if elements > LARGEST:
            label = f"{shape_text(known.shape)} is {elements:,} numbers"
            help = f"at most {LARGEST:,} are possible"
            message = f"`{known.name}` is too large"
            self._report.error("SG0155", message, known.span, label, help=help)
            return None
        initialiser = self._initialiser(known, known.shape, known.default)
        scales = (known.scales.get(s, (1.0, known.span))[0] for s in SCALES)
        lr_scale, wd_scale = scales
        if initialiser is None:
            return None
        in_panels = known.default.in_panels
        return NetParam(
            known.name,
            known.shape,
            initialiser,
            lr_scale,
            wd_scale,
            known.span,
            in_panels,
            known.default.follows,
        )

    def _initialiser(
        self, known: _Known, shape: Sizes, spec: ParamSpec
    ) -> Initialiser | Saved | None:
        if known.origin is None:
            kind, given = spec.initialiser
            matched = match_settings(
                (), INITIALISERS[kind].settings[len(given) :], {}, known.span, self._report
            )
            assert matched is not None, "default initialisers need no more settings"
            return _initialiser(kind, Matched({**given, **matched.values}, {}))
        call, scope = known.origin
        if not isinstance(call, tree.Apply):
            return saved(call)
        kind = call.path.text
        if kind not in INITIALISERS:
            help = did_you_mean(kind, INITIALISERS)
            message = f"`{kind}` draws no params"
            self._report.error("SG0156", message, call.path.span, help=help)
            return None
        table = INITIALISERS[kind].settings
        matched = match_settings(call.arguments, table, scope, call.span, self._report)
        if matched is None:
            return None
        initialiser = _initialiser(kind, matched)
        settings = dict(initialiser.settings)
        fits = check_initialiser(kind, settings, shape, call.span, self._report)
        return initialiser if fits else None


def _initialiser(kind: str, matched: Matched) -> Initialiser:
    values = []
    for name, value in matched.values.items():
        assert isinstance(value, int | float), "initialisers take numbers"
        values.append((name, float(value)))
    return Initialiser(kind, tuple(values))
