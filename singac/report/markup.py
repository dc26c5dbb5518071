"""Elements of a page. Everything is built as a tree and written by the standard library, which
escapes all text and all attributes: no markup is ever put together from strings.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element, tostring

from singac.diagnostics import printable

DOCTYPE = "<!DOCTYPE html>\n"


def element(tag: str, *content: Element | str, **attributes: str | float) -> Element:
    """`element("p", "text", class_="note", data_key="x")`; children and texts in their order."""
    made = Element(tag, {_name(k): _value(v) for k, v in attributes.items()})
    last: Element | None = None
    for part in content:
        if isinstance(part, Element):
            made.append(part)
            last = part
        elif last is None:
            made.text = (made.text or "") + printable(part)
        else:
            last.tail = (last.tail or "") + printable(part)
    return made


def _name(keyword: str) -> str:
    return keyword.rstrip("_").replace("_", "-")


def _value(value: str | float) -> str:
    return printable(value) if isinstance(value, str) else f"{value:.6g}"


def page(root: Element) -> str:
    """The text of a whole page."""
    return DOCTYPE + tostring(root, encoding="unicode", method="html") + "\n"
