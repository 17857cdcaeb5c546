"""From parsed rows to the columns of the silver contract that need no other row: looked up, then computed.

A reference table is effective-dated: of the rows with a key, the one that holds at an event time is the latest that
began by then (an as-of join).
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.contracts import Column, Contract
from lakehouse.engine.parse import VALUE_CHARACTERS
from lakehouse.engine.schemas import ERROR, arrow_type

# Which row of a batch a row of DuckDB's answer is of.
NUMBER = "_number"


def microseconds(times: "pa.ChunkedArray[Any]") -> "pa.ChunkedArray[Any]":
    """Timestamps as microseconds since 1970, dates as those of their midnight in UTC: what Python compares fastest."""
    if pa.types.is_date(times.type):
        times = times.cast(pa.timestamp("us"))
    return times.cast(pa.int64())


def values(column: "pa.ChunkedArray[Any]") -> list[Any]:
    """A column as Python sees it, a value a row; the stubs of Arrow take each for one that may be null."""
    found: list[Any] = column.to_pylist()
    return found


class ReferenceRows:
    """The rows of one reference table, to be found by key and event time."""

    def __init__(self, rows: pa.Table, contract: Contract) -> None:
        """`rows` are the reference's silver rows, with the columns of `contract`, in any order."""
        self.rows = rows
        self._starts: dict[Any, tuple[list[int], list[int]]] = {}
        key, start = contract.reference_key, str(contract.event_time)
        found = zip(values(microseconds(rows[start])), values(rows[key]), range(rows.num_rows), strict=True)
        for begins, value, place in sorted(found, key=lambda each: int(each[0])):
            starts, places = self._starts.setdefault(value, ([], []))
            starts.append(begins)
            places.append(place)

    def places(self, keys: Sequence[Any], times: Sequence[int | None]) -> list[int | None]:
        """For each key and event time (microseconds) the place of the row that holds; None where none does."""
        return [self._place(key, time) for key, time in zip(keys, times, strict=True)]

    def _place(self, key: Any, time: int | None) -> int | None:
        found = self._starts.get(key) if key is not None and time is not None else None
        if found is None or time is None:
            return None
        starts, places = found
        before = bisect_right(starts, time)
        return places[before - 1] if before else None


def look_up(parsed: pa.Table, source: Contract, silver: Contract, references: Mapping[str, ReferenceRows]) -> pa.Table:
    """Parsed rows plus every looked-up column of the silver contract, in the same order.

    `references` holds each reference table that the source names. A key that is not known at the row's event time adds
    an error of rule `reference` to `errors`.
    """
    rows = parsed
    for column in source.columns:
        if column.reference is not None:
            rows = _look_up(rows, column, silver, references[column.reference[0]])
    return rows


def _look_up(rows: pa.Table, column: Column, silver: Contract, reference: ReferenceRows) -> pa.Table:
    """Adds the columns taken from the reference row that holds at the event time; notes unknown keys."""
    assert column.reference is not None, f"{column.name} refers to nothing"
    table = column.reference[0]
    keys, times = values(rows[column.stored_as]), values(microseconds(rows[str(silver.event_time)]))
    places = reference.places(keys, times)
    taken = pa.array(places, pa.int64())
    for each in silver.columns:
        if each.lookup and each.lookup[0] == table:
            rows = rows.append_column(
                each.stored_as, reference.rows[each.lookup[1]].take(taken).cast(arrow_type(each.type))
            )
    unknown = [
        number
        for number, (key, time, place) in enumerate(zip(keys, times, places, strict=True))
        if place is None and key is not None and time is not None
    ]
    return _with_errors(rows, {number: _unknown(column.stored_as, keys[number], table) for number in unknown})


def _unknown(column: str, key: Any, table: str) -> dict[str, str]:
    message = f"not in {table} at the event time: deliver the reference row, then redrive"
    return {"rule": "reference", "column": column, "value": str(key)[:VALUE_CHARACTERS], "message": message}


def _with_errors(rows: pa.Table, found: Mapping[int, Mapping[str, str]]) -> pa.Table:
    """The rows with one more error for some of them, by the number of the row."""
    if not found:
        return rows
    errors = values(rows["errors"])
    for number, error in found.items():
        errors[number] = [*errors[number], error]
    place = rows.column_names.index("errors")
    return rows.set_column(place, "errors", pa.array(errors, pa.list_(ERROR)))


def compute(rows: pa.Table, silver: Contract, connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Rows plus every computed column of the silver contract, in the same order.

    Expressions are DuckDB SQL; they see timestamps as UTC without a zone, and give NULL where DuckDB cannot compute.
    """
    columns = [column for column in silver.columns if column.expression]
    if not columns:
        return rows
    computed = ", ".join(f'TRY({column.expression}) AS "{column.stored_as}"' for column in columns)
    numbered = without_zones(rows).append_column(NUMBER, pa.array(range(rows.num_rows), pa.int64()))
    connection.register("batch", numbered)
    try:
        found = connection.execute(f'SELECT {computed}, "{NUMBER}" FROM batch').to_arrow_table()  # noqa: S608
    finally:
        connection.unregister("batch")
    # An expression may be a join to DuckDB, as a long IN list is: then the rows of several chunks come in any order.
    found = found.sort_by(NUMBER)
    for column in columns:
        rows = rows.append_column(column.stored_as, found[column.stored_as].cast(arrow_type(column.type)))
    return rows


def without_zones(rows: pa.Table) -> pa.Table:
    """The rows with timestamps as DuckDB's TIMESTAMP: UTC, whatever the session's time zone. Nothing is copied."""
    fields = [
        pa.field(field.name, pa.timestamp("us")) if pa.types.is_timestamp(field.type) else field
        for field in rows.schema
    ]
    return rows.cast(pa.schema(fields))


def valid(rows: pa.Table) -> pa.Table:
    """The rows without errors."""
    return rows.filter(pc.equal(pc.list_value_length(rows["errors"]), pa.scalar(0)))
