"""Values of settings: numbers are exact fractions, names are looked up in a scope.

A name that no scope knows becomes a `Word`; whoever asked for the value knows whether a word may
stand there (`separate`, `last`, `none`) or whether it is a mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from singac.diagnostics import Diagnostic, Place, Report, Span, did_you_mean
from singac.syntax import tree

MOST_BITS = 4096  # of a numerator or denominator; beyond it no setting is meant
LARGEST = 10**38  # what float32 holds, nearly


@dataclass(frozen=True, slots=True)
class Word:
    """A name without a value: `last`, `BP`, or a spelling mistake."""

    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Called:
    """`step(0.1, gamma = 0.5)`; its arguments are matched by whoever knows the word.

    `scope` is what the names in the arguments mean where the call stands.
    """

    name: str
    arguments: tuple[tree.Argument, ...]
    span: Span
    scope: Scope


@dataclass(frozen=True, slots=True)
class Tied:
    """`w'`, a param transposed."""

    name: str
    span: Span


Value = Fraction | tuple[int, ...] | str | Word | Called | Tied


@dataclass(frozen=True, slots=True)
class Binding:
    """A named value and the place that named it.

    What was written there may have no value; the mistakes in it are then those of each use.
    """

    value: Value | None
    span: Span | None
    mistakes: tuple[Diagnostic, ...] = ()


Scope = Mapping[str, Binding]


def bind(node: tree.Value | None, span: Span, scope: Scope, report: Report) -> Binding:
    """What a name stands for from here on; nothing for no node, whose mistakes are told.

    What is wrong with a name for a name is told where the value is used.
    """
    if isinstance(node, tree.Reference) and node.path.text in scope:
        return replace(scope[node.path.text], span=span)
    before = len(report.found)
    value = None if node is None else evaluate(node, scope, report)
    return Binding(value, span, tuple(report.found[before:]))


def evaluate(node: tree.Value, scope: Scope, report: Report) -> Value | None:
    """The value of an expression, or None after reporting why it has none."""
    match node:
        case tree.Number(text, span):
            return _number(text, span, report)
        case tree.Shape(sizes):
            return sizes
        case tree.String(text):
            return text
        case tree.Reference(path, span):
            return _named(path.text, span, scope, report)
        case tree.Transposed(path, span):
            return Tied(path.text, span)
        case tree.Apply(path, arguments, span):
            return Called(path.text, arguments, span, scope)
        case tree.Negate(operand):
            value = _as_number(operand, scope, report)
            return None if value is None else -value
        case tree.Binary():
            return _binary(node, scope, report)


def _named(name: str, span: Span, scope: Scope, report: Report) -> Value | None:
    if name not in scope:
        return Word(name, span)
    binding = scope[name]
    report.found += binding.mistakes
    return binding.value


def _number(text: str, span: Span, report: Report) -> Fraction | None:
    """The exact value; the exponent is looked at first, since 1e999999999 would fill memory."""
    if float(text) == float("inf"):
        help = "float32 goes up to 3e38"
        report.error("SG0103", f"the number {text[:40]} is too large", span, help=help)
        return None
    return Fraction(text) if float(text) else Fraction(0)


def _as_number(node: tree.Value, scope: Scope, report: Report) -> Fraction | None:
    value = evaluate(node, scope, report)
    if value is None or isinstance(value, Fraction):
        return value
    if isinstance(value, Word):
        unknown_name(value, scope, report)
        return None
    related = _named_at(node, scope)
    report.error("SG0104", "arithmetic needs numbers", node.span, describe(value), related=related)
    return None


def _named_at(node: tree.Value, scope: Scope) -> tuple[Place, ...]:
    if isinstance(node, tree.Reference) and (span := scope[node.path.text].span):
        return (Place(span, "named here"),)
    return ()


def _binary(node: tree.Binary, scope: Scope, report: Report) -> Fraction | None:
    left = _as_number(node.left, scope, report)
    right = _as_number(node.right, scope, report)
    if left is None or right is None:
        return None
    if node.operator == "/" and right == 0:
        label = f"`{node.right.span.text}` is 0"
        report.error("SG0105", "division by zero", node.span, label)
        return None
    result = _OPERATIONS[node.operator](left, right)
    bits = max(result.numerator.bit_length(), result.denominator.bit_length())
    if bits > MOST_BITS or abs(result) > LARGEST:
        message = "the result of this arithmetic is too large or too long a number"
        report.error("SG0103", message, node.span, help="float32 goes up to 3e38")
        return None
    return result


_OPERATIONS = {
    "+": Fraction.__add__,
    "-": Fraction.__sub__,
    "*": Fraction.__mul__,
    "/": Fraction.__truediv__,
}


def unknown_name(word: Word, scope: Scope, report: Report) -> None:
    """Reports a word that stands where a value is needed."""
    if word.text in scope:
        _named_too_late(word, scope[word.text], report)
        return
    help = did_you_mean(word.text, scope) or f"name it before: let {word.text} = ..."
    report.error("SG0101", f"nothing is named `{word.text}`", word.span, help=help)


def _named_too_late(word: Word, binding: Binding, report: Report) -> None:
    """A `let` that uses itself, or one that stands after it."""
    related = (Place(binding.span, "named here"),) if binding.span else ()
    message = f"`{word.text}` has no value yet where it is used"
    help = "a `let` knows those before it; give it a number, or move it up"
    report.error("SG0101", message, word.span, related=related, help=help)


def describe(value: Value) -> str:
    """A value in words, for messages."""
    match value:
        case Fraction():
            return f"the number {show_number(value)}"
        case tuple():
            return f"the shape {'x'.join(map(str, value))}"
        case str():
            return f'the text "{value}"'
        case Word(text):
            return f"the word `{text}`"
        case Called(name):
            return f"`{name}(...)`"
        case Tied(name):
            return f"the transposed param `{name}`"


def show_number(value: Fraction) -> str:
    """A number as short as it is exact enough to recognise."""
    return f"{value.numerator:,}" if value.denominator == 1 else f"{float(value):.6g}"
