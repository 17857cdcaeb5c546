"""Values of Parquet columns as JSON has them: exact, null where there is none, and times as text in UTC."""

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.contract_model import Column

# What Arrow raises for bytes that are no Parquet, or a kind of Parquet that it does not know; OSError is ArrowIOError.
ARROW_FAULTS = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)
MIDNIGHT = "T00:00:00Z"
_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EPOCH = datetime(1970, 1, 1)


def values_of(column: "pa.Array[Any]", field: Column | None = None, zone: str | None = None) -> list[Any]:
    """The column's values as JSON has them. Arrow's own conversion raises for a few values; here none does.

    `field` is what the contract makes of the column. A date where it wants a time is its midnight, a midnight where it
    wants a date is its date, and a float where it wants text is a whole number's digits, for that is what tools make
    of identifiers with gaps. Times without a zone are text without one if there is a `zone` to read them in, else UTC.
    """
    kind = column.type
    if isinstance(kind, pa.DictionaryType):
        return values_of(column.cast(kind.value_type), field, zone)
    wanted = "" if field is None else field.type
    if pa.types.is_timestamp(kind):
        local = zone is not None and kind.tz is None
        texts = _each(column.cast(pa.int64()).to_pylist(), lambda value: _timestamp(value, kind.unit))
        if wanted == "date":
            return _each(texts, lambda text: text.removesuffix(MIDNIGHT))
        return _each(texts, lambda text: text.removesuffix("Z")) if local else texts
    if pa.types.is_date(kind):
        if pa.types.is_date64(kind):
            texts = _each(column.cast(pa.timestamp("ms")).cast(pa.int64()).to_pylist(), _date_of_milliseconds)
        else:
            texts = _each(column.cast(pa.int32()).to_pylist(), _date)
        midnight = MIDNIGHT if zone is None else MIDNIGHT.removesuffix("Z")
        return (
            _each(texts, lambda text: text + midnight if " " not in text else text) if wanted == "timestamp" else texts
        )
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        # As bytes, since a writer may have put anything into a text column.
        return _each(column.cast(pa.large_binary()).to_pylist(), _plain)
    if pa.types.is_floating(kind):
        # By way of text where Python has no such float: 0.1 stays 0.1 instead of 0.10000000149011612.
        wide = pa.types.is_float64(kind)
        floats = column.to_pylist() if wide else _each(column.cast(pa.string()).to_pylist(), float)
        return _each(floats, _whole_number if wanted == "string" else _plain)
    try:
        values = column.to_pylist()
    except (*ARROW_FAULTS, KeyError):
        values = [_value_or_fault(column[index]) for index in range(len(column))]
    return _each(values, _plain)


def exact_int96(batch: pa.RecordBatch, nanoseconds: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with its times in nanoseconds, all of a column, where each of them has such a value."""
    for name in nanoseconds.schema.names:
        place = batch.schema.get_field_index(name)
        coarse, fine = batch.column(place), nanoseconds.column(name)
        back = pc.divide(fine.cast(pa.int64()), 1000)
        # Division rounds towards zero, the coarse value is the floor.
        apart = pc.abs(pc.subtract(back, coarse.cast(pa.int64())))
        if pc.max(apart).as_py() in (None, 0, 1):
            batch = batch.set_column(place, pa.field(name, fine.type), fine)
    return batch


def first_line(error: BaseException) -> str:
    """What an error of Arrow says first, bounded."""
    return (str(error) or type(error).__name__).splitlines()[0][:300]


def _whole_number(value: float) -> Any:
    return str(int(value)) if math.isfinite(value) and value.is_integer() else _plain(value)


def _date_of_milliseconds(value: int) -> str:
    days, rest = divmod(value, 86_400_000)
    return _date(days) if not rest else f"{value} ms since 1970-01-01"


def _each(values: list[Any], convert: Callable[[Any], Any]) -> list[Any]:
    return [None if value is None else convert(value) for value in values]


def _value_or_fault(scalar: "pa.Scalar[Any]") -> Any:
    """The value, or a text that no contract accepts where Python has no such value (a date of the year 12000)."""
    try:
        return scalar.as_py()
    except (*ARROW_FAULTS, KeyError) as error:
        return f"unreadable {scalar.type}: {first_line(error)}"


def _timestamp(value: int, unit: str) -> str:
    """ISO-8601 in UTC with as many fraction digits as the value has; beyond the calendar its number and unit."""
    seconds, fraction = divmod(value, _UNITS[unit])
    try:
        whole = (_EPOCH + timedelta(seconds=seconds)).isoformat()
    except OverflowError:
        return f"{value} {unit} since 1970-01-01"
    digits = len(str(_UNITS[unit])) - 1
    return f"{whole}.{fraction:0{digits}d}".rstrip("0") + "Z" if fraction else f"{whole}Z"


def _date(value: int) -> str:
    try:
        return (_EPOCH + timedelta(days=value)).date().isoformat()
    except OverflowError:
        return f"{value} days since 1970-01-01"


def _plain(value: Any) -> Any:
    """A Python value as one that JSON has."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            if math.isnan(value):
                return None
            return value if math.isfinite(value) else str(value)
        case Decimal():
            return format(value, "f")
        case bytes():
            return value.decode("utf-8", "surrogateescape")
        case datetime():
            return (value if value.tzinfo is None else value.astimezone(UTC)).replace(tzinfo=None).isoformat() + "Z"
        case date() | time():
            return value.isoformat()
        case dict():
            return {str(name): _plain(part) for name, part in value.items()}
        case list() | tuple():
            return [_plain(part) for part in value]
        case _:
            return str(value)
