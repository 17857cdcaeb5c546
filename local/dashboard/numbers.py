"""Numbers, times and names as people read them."""

import html
from collections.abc import Callable
from datetime import date
from decimal import Decimal

from local.rendering import visible

Number = Decimal | float
Format = Callable[[Number], str]

LONGEST_LABEL = 48
NOTHING = "–"  # noqa: RUF001 (an en dash is what stands for "no value" in print)


def amount(value: Number) -> str:
    """Money: `1,234,568`, with cents below a thousand."""
    return f"{value:,.0f}" if abs(float(value)) >= 1000 else f"{value:,.2f}"


def whole(value: Number) -> str:
    """A count: `1,234,568`."""
    return f"{value:,.0f}"


def ratio(value: Number) -> str:
    """A plain ratio: `1.234`."""
    return f"{value:,.2f}" if abs(float(value)) >= 10 else f"{value:,.3f}"


def percent(value: Number) -> str:
    """A share: `12.3 %`."""
    return f"{float(value) * 100:,.1f} %" if abs(float(value)) >= 0.1 else f"{float(value) * 100:,.2f} %"


def rating(value: Number) -> str:
    """A mean rating: `3.87`."""
    return f"{value:,.2f}"


def duration(seconds: Number) -> str:
    """A length of time: `45 s`, `4 min 5 s`, `3 h 20 min`, `2 d 4 h`."""
    total = round(abs(float(seconds)))
    sign = "-" if seconds < 0 else ""
    for unit, size, lesser, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if total >= size:
            rest = total % size // part
            return f"{sign}{total // size} {unit}" + (f" {rest} {lesser}" if rest else "")
    return f"{sign}{total} s"


def day(value: date) -> str:
    """A day: `9 Dec 2010`."""
    return f"{value.day} {value:%b %Y}"


def label(value: object) -> str:
    """A value from data as a chart's label: short, and inert (charts read a few HTML tags and entities)."""
    if value is None:
        return "(none)"
    text = visible(str(value))
    return html.escape(text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…", quote=False)
