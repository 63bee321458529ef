"""Elements of SVG, escaped."""

from __future__ import annotations

from markupsafe import Markup, escape

Value = str | float | None


def element(tag: str, /, *children: str, **attributes: Value) -> Markup:
    """One element: text children are escaped, markup is kept; ``stroke_width`` becomes ``stroke-width``, ``class_``
    becomes ``class``; attributes that are None are left out; numbers are written with at most two decimals."""
    written = Markup("").join(
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), number(value))
        for name, value in attributes.items()
        if value is not None
    )
    return Markup("<{}{}>{}</{}>").format(tag, written, join(children), tag)


def join(parts: tuple[str, ...] | list[str]) -> Markup:
    """Parts one after another, each escaped unless it is markup."""
    return Markup("").join(escape(part) for part in parts)


def number(value: str | float) -> str:
    """``12.30`` as ``12.3``; text as it is."""
    if isinstance(value, str):
        return value
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"


def share(value: float) -> str:
    """A share 0..1 as an SVG percentage, so that a figure grows with the page while its dots stay round."""
    return number(100 * value) + "%"
