"""What parsing must give, once more in plain Python: `json`, `decimal` and `re`, nothing of Arrow.

It is slow and knows the contract's columns only through their types and rules. Values are compared as text: a
timestamp as epoch microseconds, a decimal with all its places.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

from lakehouse.contracts import Column, Contract

EXACT = Context(prec=3000, Emax=999_999_999, Emin=-999_999_999, rounding=ROUND_HALF_UP)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SPACE = " \t\r\n"
INTEGER = re.compile(r"[+-]?[0-9]+(\.0+)?")
NUMBER = re.compile(r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:[eE]([+-]?[0-9]+))?")
TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6}))?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})?"
)
DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
INTEGERS = {"int": 2**31, "bigint": 2**63}


class Malformed(Exception):
    """The payload is not one JSON object."""


class Misfit(Exception):
    """The text is not of the column's type."""


class Composite:
    """A JSON object or array where a scalar should be."""


@dataclass(frozen=True)
class Parsed:
    """What comes of one record: typed values as text, broken rules as (rule, field), names of undeclared fields."""

    values: dict[str, str | None]
    errors: list[tuple[str, str | None]]
    undeclared: list[str]


def parse(payload: str, encoding: str, arrived_at: datetime, contract: Contract) -> Parsed:
    nothing: dict[str, str | None] = {column.stored_as: None for column in contract.columns}
    if encoding != "utf8":
        return Parsed(nothing, [("unreadable_file" if encoding == "unreadable" else "not_utf8", None)], [])
    try:
        fields = fields_of(payload)
    except Malformed:
        return Parsed(nothing, [("malformed_json", None)], [])
    values = dict(nothing)
    errors: list[tuple[str, str | None]] = []
    for column in contract.columns:
        try:
            value = typed(fields.get(column.name), column.type)
            values[column.stored_as] = written(value)
            rule = broken_rule(value, column, contract, arrived_at)
        except Misfit:
            rule = "type"
        if rule:
            errors.append((rule, column.name))
    declared = {column.name for column in contract.columns}
    return Parsed(values, errors, [name for name in fields if name not in declared])


def fields_of(payload: str) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise Malformed(constant)

    try:
        pairs = json.loads(
            payload, parse_int=number, parse_float=number, parse_constant=refuse, object_pairs_hook=Pairs
        )
    except (ValueError, RecursionError) as error:
        raise Malformed(payload[:50]) from error
    if not isinstance(pairs, Pairs) or deeper_than(100, pairs):
        raise Malformed(payload[:50])
    names = [representable(name) for name, _ in pairs]
    if len(set(names)) < len(names):
        raise Malformed("the same field twice")
    return {name: text_of(value) for name, (_, value) in zip(names, pairs, strict=True)}


class Pairs(list[tuple[str, Any]]):
    """The fields of a JSON object in order, doubles included."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        if any(len(name) > 50_000 for name, _ in pairs):
            raise Malformed("a name of more than 50,000 characters")


class Number(str):
    """The source text of a number."""


def number(text: str) -> Number:
    if len(re.sub(r"[^0-9]", "", text)) > 1000:
        raise Malformed("a number of more than 1,000 digits")
    return Number(text)


def deeper_than(levels: int, value: Any) -> bool:
    if not isinstance(value, list):
        return False
    inside = [item for _, item in value] if isinstance(value, Pairs) else value
    return levels == 0 or any(deeper_than(levels - 1, item) for item in inside)


def representable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def text_of(value: Any) -> str | type[Composite] | None:
    if isinstance(value, list):
        return Composite
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if value is None else representable(value)


def typed(text: str | type[Composite] | None, type_name: str) -> Any:
    if text is Composite:
        raise Misfit
    if not isinstance(text, str) or text == "":
        return None
    if type_name == "string":
        return text
    trimmed = text.strip(SPACE)
    if not trimmed:
        return None
    if len(text) > 1000:
        raise Misfit
    if type_name in INTEGERS:
        return integer(trimmed, INTEGERS[type_name])
    if type_name == "timestamp":
        return timestamp(trimmed)
    if type_name == "date":
        return day(trimmed)
    precision, scale = re.findall(r"\d+", type_name)
    return decimal(trimmed, int(precision), int(scale))


def integer(text: str, limit: int) -> int:
    if not INTEGER.fullmatch(text):
        raise Misfit
    value = int(text.partition(".")[0])
    if not -limit <= value < limit:
        raise Misfit
    return value


def decimal(text: str, precision: int, scale: int) -> Decimal:
    match = NUMBER.fullmatch(text)
    if not match:
        raise Misfit
    mantissa, exponent = EXACT.create_decimal(match[1]), int(match[2] or 0)
    if mantissa.is_zero() or mantissa.adjusted() + exponent < -50:
        return Decimal(0).scaleb(-scale)
    if mantissa.adjusted() + exponent > 50:
        raise Misfit
    value = EXACT.quantize(EXACT.scaleb(mantissa, exponent), Decimal(1).scaleb(-scale))
    if len(value.as_tuple().digits) > precision:
        raise Misfit
    return abs(value) if value.is_zero() else value


def timestamp(text: str) -> int:
    """Microseconds since 1970."""
    if NUMBER.fullmatch(text):
        seconds = decimal(text, 38, 6)
        if abs(seconds) >= 10**11:
            raise Misfit
        return int(seconds.scaleb(6))
    match = TIME.fullmatch(text)
    if not match:
        raise Misfit
    hour, minute, second = (int(part or 0) for part in match.group(4, 5, 6))
    micros = int((match[7] or "").ljust(6, "0"))
    if hour > 23 or minute > 59 or second > 59:
        raise Misfit
    days = days_since_1970(*(int(part) for part in match.group(1, 2, 3)))
    time = timedelta(days=days, hours=hour, minutes=minute, seconds=second, microseconds=micros) - offset(match[8])
    return time // timedelta(microseconds=1)


def days_since_1970(year: int, month: int, day_of_month: int) -> int:
    """Python has no year 0: 400 years later the calendar is the same, 146,097 days on."""
    try:
        return (date(year or 400, month, day_of_month) - date(1970, 1, 1)).days - (0 if year else 146_097)
    except ValueError as error:
        raise Misfit from error


def offset(zone: str | None) -> timedelta:
    if zone is None or zone == "Z":
        return timedelta(0)
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if minutes > 59 or hours * 60 + minutes > 18 * 60:
        raise Misfit
    return timedelta(hours=hours, minutes=minutes) * (-1 if zone[0] == "-" else 1)


def day(text: str) -> str:
    match = DATE.fullmatch(text)
    if not match:
        raise Misfit
    days_since_1970(*(int(part) for part in match.groups()))
    return text


def written(value: Any) -> str | None:
    return None if value is None else f"{value:f}" if isinstance(value, Decimal) else str(value)


def broken_rule(value: Any, column: Column, contract: Contract, arrived_at: datetime) -> str | None:
    if value is None:
        return "required" if column.required else None
    if (column.minimum is not None and value < column.minimum) or (
        column.maximum is not None and value > column.maximum
    ):
        return "range"
    if column.enum and value not in column.enum:
        return "enum"
    if column.pattern and not re.fullmatch(column.pattern.removesuffix("$"), value, re.ASCII):
        return "pattern"
    if column.max_length is not None and len(value) > column.max_length:
        return "length"
    hours = 732 * 24 if contract.event_time == "valid_from" else 24
    if column.stored_as == contract.event_time and not in_time(value, arrived_at, hours):
        return "event_time"
    return None


def in_time(value: int | str, arrived_at: datetime, hours: int) -> bool:
    arrived = (arrived_at - EPOCH) // timedelta(microseconds=1)
    micros = value if isinstance(value, int) else timestamp(f"{value}T00:00")
    return timestamp("2000-01-01T00:00") <= micros <= arrived + hours * 3600 * 1_000_000
