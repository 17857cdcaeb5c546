"""The text of a field as a value of its column's type.

What the text may look like, spaces, tabs and line ends around it aside:

| type | text |
|---|---|
| string | any text as it is |
| int, bigint | digits with an optional sign, in range; `6.0` counts as 6 |
| decimal(p,s) | digits, optional point, optional exponent; rounded half up to s places; must fit |
| timestamp | seconds since 1970 as a decimal, below 1e11; or `2010-12-01T08:26`, seconds, microseconds, zone optional |
| date | `2010-12-01` |
| boolean | `true`, `false` |

An empty text is null. A text of more than 1,000 characters is no number and no time. Zones go from -18:00 to +18:00;
without one it is UTC.

`value` says it for one text. `typed` gives the same for a column: texts of the plain form that nearly all have go
through Arrow's casts, which are forty times as fast, all others through `value`.
"""

import re
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.engine.schemas import arrow_type

SPACE = " \t\r\n"
LONGEST = 1_000

_INTEGER = re.compile(r"([+-]?[0-9]+)(?:\.0+)?")
_NUMBER = re.compile(r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:[eE]([+-]?[0-9]+))?")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6}))?)?"
    r"(?:Z|([+-])([0-9]{2}):([0-9]{2}))?"
)
_TRUTHS = {"true": True, "false": False}

_BITS = {"int": 31, "bigint": 63}
_EPOCH = date(1970, 1, 1)
_LONGEST_CYCLE = (400, 146_097)  # the calendar repeats itself after so many years, which are so many days
_FARTHEST_ZONE = timedelta(hours=18)
_LATEST_SECONDS = Decimal(10) ** 11
_EXACT = Context(prec=LONGEST + 100, rounding=ROUND_HALF_UP)

# Texts that Arrow casts to exactly what `value` makes of them. Of the dates all that exist, except 29 February.
_PLAIN_DATE = (
    r"(?:19|20)[0-9]{2}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_PLAIN_TIME = (
    rf"{_PLAIN_DATE}[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{{1,6}})?"
    r"(?:Z|[+-](?:0[0-9]|1[0-7]):[0-5][0-9])"
)
_PLAIN = {
    "int": "-?[0-9]{1,9}",
    "bigint": "-?[0-9]{1,18}",
    "boolean": "true|false",
    "date": _PLAIN_DATE,
    "timestamp": _PLAIN_TIME,
}


def value(text: str, type_name: str) -> str | bool | int | Decimal | None:
    """The value of a text, None where there is none or it is not of that type.

    A timestamp is given in microseconds and a date in days since 1970: Python's own know no year 0.
    """
    if type_name == "string":
        return text or None
    trimmed = text.strip(SPACE)
    if not trimmed or len(text) > LONGEST:
        return None
    if type_name in _BITS:
        return _integer(trimmed, _BITS[type_name])
    if type_name == "timestamp":
        return _microseconds(trimmed)
    if type_name == "date":
        match = _DATE.fullmatch(trimmed)
        return None if match is None else _days(match)
    if type_name == "boolean":
        return _TRUTHS.get(trimmed)
    kind = arrow_type(type_name)
    assert isinstance(kind, pa.Decimal128Type), f"no field of a payload can be {type_name}"
    return _decimal(trimmed, kind.precision, kind.scale)


def typed(texts: pa.StringArray, type_name: str) -> "pa.Array[Any]":
    """The values of a column of texts, as `value` has them; null stays null."""
    if type_name == "string":
        return _only(texts, pc.not_equal(texts, pa.scalar("")))
    kind: Any = arrow_type(type_name)
    if texts.null_count == len(texts):
        none: pa.Array[Any] = pa.nulls(len(texts), kind)
        return none
    plain = _is_plain(texts, type_name)
    values: pa.Array[Any] = pc.cast(_only(texts, plain), kind)
    if plain.true_count + texts.null_count == len(texts):
        return values
    others = _where(pc.invert(plain))
    found = [value(str(text), type_name) for text in texts.filter(others).to_pylist()]
    mended: pa.Array[Any] = pc.replace_with_mask(values, others, pa.array(found, kind))
    return mended


def misfits(texts: pa.StringArray, values: "pa.Array[Any]") -> pa.BooleanArray:
    """Which texts say something, but not a value of the type."""
    if texts.null_count == values.null_count:
        return pa.repeat(False, len(texts))
    says_something = _where(pc.match_substring_regex(texts, f"[^{SPACE}]"))
    misfit: pa.BooleanArray = pc.and_(values.is_null(), says_something)
    return misfit


def _only(texts: pa.StringArray, wanted: pa.BooleanArray) -> pa.StringArray:
    """The texts, null where they are not wanted."""
    if wanted.true_count + texts.null_count == len(texts):
        return texts
    those: pa.StringArray = pc.if_else(wanted, texts, pa.scalar(None, pa.string()))
    return those


def _where(condition: Any) -> Any:
    """The condition, false where it is null."""
    return pc.fill_null(condition, False)


def _is_plain(texts: pa.StringArray, type_name: str) -> pa.BooleanArray:
    pattern = _PLAIN.get(type_name) or _plain_decimal(arrow_type(type_name))
    return pc.match_substring_regex(texts, rf"\A(?:{pattern})\z")


def _plain_decimal(kind: pa.DataType) -> str:
    """As many digits before and after the point as there is room for."""
    assert isinstance(kind, pa.Decimal128Type), f"no field of a payload can be {kind}"
    whole, places = kind.precision - kind.scale, kind.scale
    return (f"-?[0-9]{{1,{whole}}}" if whole else "-?0") + (rf"(?:\.[0-9]{{1,{places}}})?" if places else "")


def _integer(text: str, bits: int) -> int | None:
    match = _INTEGER.fullmatch(text)
    if match is None:
        return None
    number = int(match[1])
    return number if -(1 << bits) <= number < 1 << bits else None


def _decimal(text: str, precision: int, scale: int) -> Decimal | None:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    mantissa, exponent = _EXACT.create_decimal(match[1]), int(match[2] or 0)
    places = Decimal(1).scaleb(-scale)
    # The place of the first digit, before the number is written out: an exponent may have a thousand digits.
    first = mantissa.adjusted() + exponent
    if mantissa.is_zero() or first < -scale - 1:
        return Decimal(0).quantize(places)
    if first >= precision - scale:
        return None
    number = _EXACT.quantize(_EXACT.scaleb(mantissa, exponent), places)
    if len(number.as_tuple().digits) > precision:
        return None
    return abs(number) if number.is_zero() else number


def _microseconds(text: str) -> int | None:
    match = _TIME.fullmatch(text)
    if match is None:
        seconds = _decimal(text, 38, 6)
        return None if seconds is None or abs(seconds) >= _LATEST_SECONDS else int(seconds.scaleb(6))
    days, offset = _days(match), _offset(match)
    hour, minute, second = (int(part or 0) for part in match.group(4, 5, 6))
    if days is None or offset is None or hour > 23 or minute > 59 or second > 59:
        return None
    micros = int((match[7] or "").ljust(6, "0"))
    local = timedelta(days=days, hours=hour, minutes=minute, seconds=second, microseconds=micros)
    return (local - offset) // timedelta(microseconds=1)


def _days(match: re.Match[str]) -> int | None:
    year, month, day = (int(part) for part in match.group(1, 2, 3))
    years, days = (0, 0) if year else _LONGEST_CYCLE
    try:
        return (date(year + years, month, day) - _EPOCH).days - days
    except ValueError:
        return None


def _offset(match: re.Match[str]) -> timedelta | None:
    sign, hours, minutes = match.group(8, 9, 10)
    if sign is None:
        return timedelta(0)
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    if int(minutes) > 59 or offset > _FARTHEST_ZONE:
        return None
    return -offset if sign == "-" else offset
