"""Small tables for the tests of `lakehouse.delta`: their columns, rows, and what several readers see in them."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder

from lakehouse.delta.rows import live_rows
from lakehouse.delta.store import TableStore
from lakehouse.delta.table import OwnedTable
from local.duckdb_reader import extension_path, literal

COLUMNS: "list[pa.Field[Any]]" = [
    pa.field("id", pa.string(), metadata={"comment": 'What "it" is called: ü.'}),
    pa.field("at", pa.timestamp("us", "UTC")),
    pa.field("amount", pa.decimal128(18, 4)),
    pa.field("number", pa.int32()),
    pa.field("large", pa.int64()),
    pa.field("day", pa.date32()),
    pa.field("sure", pa.bool_()),
    pa.field("region", pa.string()),
    pa.field("month", pa.string()),
    pa.field("errors", pa.list_(pa.struct([pa.field("rule", pa.string())]))),
]
SCHEMA = pa.schema(COLUMNS)
PARTITIONS = ("region", "month")
KEY = ("id", "at")
SILVER = {"delta.enableDeletionVectors": "true", "delta.enableChangeDataFeed": "true", "delta.checkpointInterval": "10"}
START = datetime(2026, 1, 31, 23, 0, tzinfo=UTC)
Row = dict[str, Any]


def schema_of(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind) for name, kind in columns.items()])


def row(number: int, **other: Any) -> Row:
    """A row that is like no other number's, with every type of column filled."""
    at = START + timedelta(minutes=number, microseconds=number * 7 + 123_456)
    values: Row = {
        "id": f"r{number:05}",
        "at": at,
        "amount": Decimal(number) / 4 - 3,
        "number": number,
        "large": number * 10**12,
        "day": date(2026, 1, 1) + timedelta(days=number % 50),
        "sure": number % 3 == 0,
        "region": ("uk", "europe")[number % 2],
        "month": f"{at:%Y-%m}",
        "errors": [{"rule": f"rule {number}"}] * (number % 3),
    }
    return values | other


def table_of(rows: Sequence[Row], schema: pa.Schema = SCHEMA) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=schema)


def rows_of(numbers: Sequence[int] | range, **other: Any) -> pa.Table:
    return table_of([row(number, **other) for number in numbers])


NOTHING = table_of([])


def made(folder: Path, properties: dict[str, str] = SILVER, schema: pa.Schema = SCHEMA) -> OwnedTable:
    return OwnedTable.ensure(str(folder), schema, PARTITIONS, properties)


def sorted_rows(rows: pa.Table) -> list[Row]:
    """The rows in an order that only depends on them."""
    return sorted(rows.to_pylist(), key=lambda each: repr(sorted((name, str(value)) for name, value in each.items())))


def seen_by_us(table: OwnedTable) -> list[Row]:
    """The rows file by file, as compaction and followers read them."""
    store = TableStore(table.uri)
    parts = [live_rows(store, file, table.schema, table.partitions) for file in table.files()]
    return sorted_rows(pa.concat_tables([table.schema.empty_table(), *parts]))


def seen_by_delta_rs(uri: str) -> list[Row]:
    found = pa.table(QueryBuilder().register("t", DeltaTable(uri)).execute("SELECT * FROM t").read_all())
    return sorted_rows(found.cast(pa.schema([found.schema.field(each.name).with_type(each.type) for each in SCHEMA])))


def seen_by_duckdb(uri: str) -> list[Row]:
    with duckdb.connect() as database:
        database.execute(f"LOAD {literal(str(extension_path('delta')))}")
        database.execute("SET TimeZone = 'UTC'")
        found = database.execute("SELECT * FROM delta_scan(?)", [uri]).to_arrow_table()
        return sorted_rows(found.cast(SCHEMA))


def assert_all_see(table: OwnedTable, expected: Sequence[Row]) -> None:
    """This package, delta-rs and DuckDB see exactly these rows."""
    wanted = sorted_rows(table_of(expected))
    assert seen_by_us(table) == wanted
    assert seen_by_delta_rs(table.uri) == wanted
    assert seen_by_duckdb(table.uri) == wanted
