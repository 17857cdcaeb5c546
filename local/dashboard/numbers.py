"""Numbers, times and names as people read them, and the measures that a card or chart can have."""

import html
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from local.rendering import visible

Number = Decimal | float
Format = Callable[[Number], str]

# All money of the lake is in pounds: the contracts say so, and every figure of money shows it.
CURRENCY = "£"
LONGEST_LABEL = 48
NOTHING = "–"  # noqa: RUF001 (an en dash is what stands for "no value" in print)


def amount(value: Number) -> str:
    """Money at a glance: `£1,234,568`, with pence below a thousand."""
    text = f"{abs(value):,.0f}" if abs(float(value)) >= 1000 else f"{abs(value):,.2f}"
    return f"{_minus(value)}{CURRENCY}{text}"


def exact_amount(value: Number) -> str:
    """Money to the penny, and beyond where there is more: `£1,234,567.89`, `£0.6666`."""
    return f"{_minus(value)}{CURRENCY}{_digits(value, 2)}"


def whole(value: Number) -> str:
    """A count: `1,234,568`."""
    return f"{value:,.0f}"


def exact(value: Number) -> str:
    """A number with all its digits: `1,234.5`."""
    return f"{_minus(value)}{_digits(value, 0)}"


def ratio(value: Number) -> str:
    """A plain ratio: `1.234`."""
    return f"{value:,.2f}" if abs(float(value)) >= 10 else f"{value:,.3f}"


def percent(value: Number) -> str:
    """A share: `12.3 %`."""
    return f"{float(value) * 100:,.1f} %" if abs(float(value)) >= 0.1 else f"{float(value) * 100:,.2f} %"


def exact_percent(value: Number) -> str:
    """A share with four places: `12.3457 %`."""
    return f"{float(value) * 100:,.4f} %"


def rating(value: Number) -> str:
    """A mean rating: `3.87`."""
    return f"{value:,.2f}"


def exact_rating(value: Number) -> str:
    """A mean rating with four places: `3.8667`."""
    return f"{value:,.4f}"


def duration(seconds: Number) -> str:
    """A length of time: `45 s`, `4 min 5 s`, `3 h 20 min`, `2 d 4 h`."""
    total = round(abs(float(seconds)))
    sign = "-" if seconds < 0 else ""
    for unit, size, lesser, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if total >= size:
            rest = total % size // part
            return f"{sign}{total // size} {unit}" + (f" {rest} {lesser}" if rest else "")
    return f"{sign}{total} s"


def exact_duration(seconds: Number) -> str:
    """A length of time, and the seconds that it is: `4 min 5 s (245.25 s)`."""
    return f"{duration(seconds)} ({float(seconds):,.2f} s)"


@dataclass(frozen=True)
class Measure:
    """How the values of one kind are shown.

    `short` is for cards and bars, `full` for what hovering shows. An axis counts in `unit`s and prints its ticks by the
    d3 format `axis` after `prefix`. The change of a value `in_points` is a difference of percentages, else a share of
    the value before.
    """

    short: Format
    full: Format
    axis: str
    prefix: str = ""
    unit: int = 1
    in_points: bool = False


MONEY = Measure(amount, exact_amount, "~s", CURRENCY)
COUNT = Measure(whole, exact, "~s")
SHARE = Measure(percent, exact_percent, ".1~%", in_points=True)
RATIO = Measure(ratio, exact, ".2~f")
RATING = Measure(rating, exact_rating, ".1f")
SECONDS = Measure(duration, exact_duration, "~s")
HOURS = Measure(duration, exact_duration, ".1~f", unit=3600)


def day(value: date) -> str:
    """A day: `9 Dec 2010`."""
    return f"{value.day} {value:%b %Y}"


def weekday(value: date) -> str:
    """A day with its weekday: `Thu 9 Dec`."""
    return f"{value:%a} {value.day} {value:%b}"


def span(first: date, last: date) -> str:
    """Some days: `9 Dec 2010`, `1 to 9 Dec 2010`, `28 Nov to 4 Dec 2010`, `31 Dec 2010 to 2 Jan 2011`."""
    if first == last:
        return day(first)
    if first.year != last.year:
        return f"{day(first)} to {day(last)}"
    return f"{first.day}{'' if first.month == last.month else f' {first:%b}'} to {day(last)}"


def label(value: object) -> str:
    """A value from data as a chart's label: short, and inert (charts read a few HTML tags and entities)."""
    if value is None:
        return "(none)"
    text = visible(str(value))
    return html.escape(text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…", quote=False)


def _minus(value: Number) -> str:
    return "-" if value < 0 else ""


def _digits(value: Number, least: int) -> str:
    """The digits of a value's size, at least so many behind the point and at most six, no zeros beyond those."""
    whole_part, _, places = f"{value:,.6f}".removeprefix("-").partition(".")
    kept = places.rstrip("0").ljust(least, "0")
    return f"{whole_part}.{kept}" if kept else whole_part
