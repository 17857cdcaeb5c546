"""From the text of a payload to fields, and from the text of a field to a typed value."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from typing import Any

DEEPEST = 100
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BLANKS = " \t\r\n"

INTEGER = re.compile(r"[+-]?[0-9]+(\.0+)?")
DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6}))?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})?"
)
DECIMAL_TYPE = re.compile(r"decimal\((\d+),(\d+)\)")


class Malformed(ValueError):
    """The payload is not one JSON object."""


class WrongType(ValueError):
    """The text is no value of the wanted type."""


class Object(list[tuple[str, Any]]):
    """A JSON object as its names and values, so that one that comes twice can be seen."""


class Nested:
    """Stands for an object or an array where a scalar was due."""


NESTED = Nested()
Text = str | Nested | None


def fields_of(payload: str) -> dict[str, Text]:
    """The fields of a JSON object as text: numbers as they were written, true and false, None for null.

    Raises Malformed for anything but one JSON object, for one that has a field twice, and for one nested deeper than
    `DEEPEST`.
    """
    try:
        value = _DECODER.decode(payload)
    except (ValueError, RecursionError) as error:
        raise Malformed(str(error)) from error
    if not isinstance(value, Object):
        raise Malformed("not an object")
    if len({name for name, _ in value}) < len(value):
        raise Malformed("a field twice")
    if payload.count("{") + payload.count("[") > DEEPEST and _depth(value) > DEEPEST:
        raise Malformed(f"nested deeper than {DEEPEST}")
    return {name: text_of(field) for name, field in value}


def text_of(value: object) -> Text:
    """A scalar's text; `NESTED` for an object or an array."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return NESTED


def cast(text: Text, type_name: str) -> Any:
    """The value of a field's text: str, int, Decimal, date, or microseconds since 1970 for a timestamp; None for null.

    Raises WrongType.
    """
    if text is None:
        return None
    if isinstance(text, Nested):
        raise WrongType("an object or an array")
    if type_name == "string":
        return text or None
    text = text.strip(BLANKS)
    if not text:
        return None
    if type_name.startswith("decimal"):
        return _decimal(text, type_name)
    return _CASTS[type_name](text)


def time_of(microseconds: int) -> datetime:
    """The UTC time so many microseconds after 1970."""
    return EPOCH + timedelta(microseconds=microseconds)


def microseconds_of(time: datetime) -> int:
    """Microseconds since 1970; a time without a zone counts as UTC."""
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(microseconds=1)


def rounded(value: Decimal, digits: int) -> Decimal:
    """The value with so many digits after the point, half away from zero."""
    with localcontext(prec=500):
        return value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_refuse_constant, object_pairs_hook=Object)


def _depth(value: object) -> int:
    deepest, open_values = 0, [(value, 1)]
    while open_values:
        each, depth = open_values.pop()
        if isinstance(each, list):
            deepest = max(deepest, depth)
            inner = [part for _, part in each] if isinstance(each, Object) else each
            open_values.extend((part, depth + 1) for part in inner)
    return deepest


def _integer(text: str, bits: int) -> int:
    if not INTEGER.fullmatch(text):
        raise WrongType(f"{text[:200]!r} is no whole number")
    digits = text.partition(".")[0]
    magnitude = digits.lstrip("+-0") or "0"
    if len(magnitude) > 20:
        raise WrongType(f"{text[:200]!r} is too large")
    value = -int(magnitude) if digits.startswith("-") else int(magnitude)
    if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        raise WrongType(f"{value} is too large")
    return value


def _number(text: str) -> Decimal:
    if not DECIMAL.fullmatch(text):
        raise WrongType(f"{text[:200]!r} is no number")
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise WrongType(f"{text[:200]!r} is beyond all numbers") from error
    if value.adjusted() < -100 or not value:
        return Decimal(0)
    if value.adjusted() > 100:
        raise WrongType(f"{text[:200]!r} is too large")
    return value


def _decimal(text: str, type_name: str) -> Decimal:
    match = DECIMAL_TYPE.fullmatch(type_name)
    assert match is not None
    precision, scale = int(match[1]), int(match[2])
    value = rounded(_number(text), scale)
    if value and value.adjusted() >= precision - scale:
        raise WrongType(f"{text[:200]!r} does not fit {type_name}")
    return value


def _timestamp(text: str) -> int:
    if DECIMAL.fullmatch(text):
        seconds = _number(text)
        if abs(seconds) >= 10**11:
            raise WrongType(f"{text[:200]!r} is no time in seconds")
        return int(rounded(seconds * 1_000_000, 0))
    match = TIMESTAMP.fullmatch(text)
    if match is None:
        raise WrongType(f"{text[:200]!r} is no time")
    day, hour, minute, second, fraction, zone = match.groups()
    if zone not in (None, "Z") and zone[1:] > "18:00":
        raise WrongType(f"{zone} is no zone")
    iso = f"{day}T{hour}:{minute}:{second or '00'}.{(fraction or '0').ljust(6, '0')}"
    try:
        return microseconds_of(datetime.fromisoformat(iso + ("+00:00" if zone in (None, "Z") else zone)))
    except ValueError as error:
        raise WrongType(str(error)) from error


def _date(text: str) -> date:
    if not DATE.fullmatch(text):
        raise WrongType(f"{text[:200]!r} is no date")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise WrongType(str(error)) from error


_CASTS: Mapping[str, Callable[[str], Any]] = {
    "int": lambda text: _integer(text, 32),
    "bigint": lambda text: _integer(text, 64),
    "timestamp": _timestamp,
    "date": _date,
}
