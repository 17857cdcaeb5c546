"""What a field's text means in a source's dialect: null, a number with a decimal comma, a time of the shop's zone.

Every rule gives the same again when it meets its own result, so that a record may be read once more after a dialect
was declared. What no rule fits stays as it is, for parsing to judge.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from lakehouse.contract_model import Column, Contract
from lakehouse.dialect import Dialect

# Thousands in groups of three behind points, spaces (also those that do not break) or apostrophes.
_COMMA = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]{1,3}(?:[.\u0020\u00a0\u202f'][0-9]{3})+|[0-9]+)(?:,(?P<part>[0-9]+))?"
)
_NO_ZONE = re.compile(
    r"(?P<whole>[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?P<part>\.[0-9]{1,9})?"
)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SURPLUS = re.compile(r"(?P<kept>:[0-9]{2}\.[0-9]{6})[0-9]{1,3}(?![0-9])")
_NUMBERS = ("int", "bigint", "decimal")
_LONGEST = 1000
# As long as a time with microseconds: one that is no longer has no surplus.
_NO_SURPLUS = len("2024-03-01T10:00:00.123456")


class Number(str):
    """The text of a JSON number, digit by digit; a payload has it without quotes, any other `str` with them."""

    __slots__ = ()


Value = str | Number | None


def conversion(contract: Contract) -> Callable[[dict[str, Value]], None] | None:
    """What gives the fields of a record, in place, the values that their texts have in the contract's dialect.

    None where the dialect leaves every text alone.
    """
    dialect = contract.dialect
    touched = {column.name: column for column in contract.columns if _is_touched(column, dialect)}
    if not touched:
        return None

    def convert(fields: dict[str, Value]) -> None:
        for name, column in touched.items():
            text = fields.get(name)
            if type(text) is str:
                fields[name] = value_of(text, column, dialect)

    return convert


def _is_touched(column: Column, dialect: Dialect) -> bool:
    if dialect.null_words and _may_be_null(column, dialect):
        return True
    if column.type in ("timestamp", "date"):
        return bool(dialect.time_formats or dialect.zone or dialect.truncate)
    return dialect.decimal == "," and column.type.startswith(_NUMBERS)


def value_of(text: str, column: Column, dialect: Dialect) -> Value:
    """What the text of this field is in this dialect: null, a number, a time in UTC, or the text itself."""
    if text in dialect.null_words and _may_be_null(column, dialect):
        return None
    if len(text) > _LONGEST:
        return text
    if dialect.decimal == "," and column.type.startswith(_NUMBERS):
        return _with_comma(text)
    if column.type in ("timestamp", "date"):
        if dialect.zone is None and not dialect.time_formats and len(text) <= _NO_SURPLUS:
            return text
        return _time(text, column.type, dialect)
    return text


def _may_be_null(column: Column, dialect: Dialect) -> bool:
    return not column.required if dialect.null_columns is None else column.name in dialect.null_columns


def _with_comma(text: str) -> Value:
    match = _COMMA.fullmatch(text.strip(" \t\u00a0"))
    if match is None:
        return text
    whole = re.sub(r"[^0-9]", "", match["whole"]).lstrip("0") or "0"
    sign = match["sign"].replace("+", "")
    return Number(f"{sign}{whole}.{match['part']}" if match["part"] else f"{sign}{whole}")


def _time(text: str, type_name: str, dialect: Dialect) -> str:
    stripped = text.strip(" \t")
    for each in dialect.time_formats:
        try:
            moment = datetime.strptime(stripped, each)
        except (ValueError, OverflowError, re.error):
            continue
        if type_name == "date":
            return moment.date().isoformat()
        return _in_utc(moment, dialect)
    if type_name == "date":
        return text
    if dialect.truncate and len(text) > _NO_SURPLUS:
        text = _SURPLUS.sub(r"\g<kept>", text)
    if dialect.zone is None:
        return text
    match = _NO_ZONE.fullmatch(f"{stripped}T00:00" if _DAY.fullmatch(stripped) else text.strip(" \t"))
    if match is None:
        return text
    try:
        whole = _in_utc(datetime.fromisoformat(match["whole"]), dialect)
    except (ValueError, OverflowError):
        return text
    return f"{whole.removesuffix('Z')}{match['part'] or ''}Z"


def _in_utc(moment: datetime, dialect: Dialect) -> str:
    """ISO 8601 in UTC. Of an hour that the clocks repeat the first one is meant."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=_zone(dialect.zone) if dialect.zone else UTC)
    try:
        return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    except OverflowError:
        return moment.isoformat()


@lru_cache(maxsize=8)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
