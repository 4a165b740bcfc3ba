"""Elements of HTML and SVG. What isn't markup already is escaped: text can't become a tag."""

from __future__ import annotations

from html import escape

CHILDLESS = {"line", "rect", "circle", "path"}


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(tag: str, *children: str | None, **attributes: str | float | None) -> Markup:
    """``<tag attributes>children</tag>``.

    Args:
        tag: Its name.
        children: Markup, or plain text, which is escaped; None is left out.
        attributes: Escaped, too; None is left out. ``class_`` is written ``class``, and ``_``
            becomes ``-``.
    """
    texts = (
        f' {name.rstrip("_").replace("_", "-")}="{escape(_text(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    start = f"<{tag}{''.join(texts)}>"
    if tag in CHILDLESS and not children:
        return Markup(f"{start[:-1]}/>")
    return Markup(f"{start}{joined(*children)}</{tag}>")


def joined(*children: str | None) -> Markup:
    """Children without an element around them."""
    return Markup("".join(c if isinstance(c, Markup) else escape(c) for c in children if c))


def name_label(name: str) -> Markup:
    """A layer's name in little room: the style cuts off its beginning, for the end tells more."""
    return element("span", element("bdi", name), title=name, class_="label")


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"
