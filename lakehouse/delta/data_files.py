"""Data files of a Delta table as they are written: one per partition, with the statistics that readers prune by."""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lakehouse.delta.log import Action, milliseconds
from lakehouse.delta.store import TableStore
from lakehouse.errors import LakehouseError

NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"
# As Hive escapes a partition's value in the name of its folder, and Spark after it.
_ESCAPED = {*map(chr, range(1, 0x20)), *"\"#%'*/:=?\\\x7f{[]^"}
# Readers prune by the first columns only, as Spark writes them.
COLUMNS_WITH_STATISTICS = 32
LONGEST_BOUND = 64
_HIGHEST = "\U0010ffff"
# Readers parse decimals in statistics as floats, which hold so many digits.
FLOAT_DIGITS = 15
# Rows that are read together: a few corrected rows should not cost the reading of a large file.
ROWS_IN_GROUP = 32_768

# A partition's values, and rows of it without its columns.
Part = tuple[dict[str, str | None], pa.Table]


def write_files(
    store: TableStore, rows: pa.Table, partitions: Sequence[str], compress: bool = False, data_change: bool = True
) -> list[Action]:
    """Writes the rows, one file for each partition; returns the `add` actions. With `compress` smaller and slower.

    The columns are the table's, in its order and types.
    """
    return write_parts(store, split(rows, partitions), compress, data_change)


def write_parts(
    store: TableStore, parts: Iterable[Part], compress: bool = False, data_change: bool = True
) -> list[Action]:
    """As `write_files`, for rows that are split already: a file for each part, in their order."""

    def write(part: Part) -> Action:
        values, content = part
        key = "/".join([*_folders(values), f"part-{uuid.uuid4()}.{'zstd' if compress else 'snappy'}.parquet"])
        sink = pa.BufferOutputStream()
        pq.write_table(
            content,
            sink,
            row_group_size=ROWS_IN_GROUP,
            compression="zstd" if compress else "snappy",
            use_dictionary=compress,
            store_decimal_as_integer=True,
        )
        data = sink.getvalue()
        store.put(key, data)
        return {
            "add": {
                "path": url_encoded(key),
                "partitionValues": values,
                "size": data.size,
                "modificationTime": milliseconds(),
                "dataChange": data_change,
                "stats": statistics(content),
            }
        }

    return store.each(write, parts)


def fitted(uri: str, rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows with the table's columns in its order; one that they lack is null, for it came to the table later.

    Raises LakehouseError for a column that the table does not have.
    """
    unknown = [name for name in rows.column_names if name not in schema.names]
    if unknown:
        raise LakehouseError(f"{uri} has no column {', '.join(unknown)}: start the job again, which adds new columns")
    columns = [
        rows[each.name].cast(each.type) if each.name in rows.column_names else pa.nulls(len(rows), each.type)
        for each in schema
    ]
    return pa.table(columns, schema=schema)


def split(rows: pa.Table, partitions: Sequence[str]) -> Iterator[Part]:
    """The rows of each partition without its columns, in the order that they had, and the partition's values."""
    if not len(rows):
        return
    if not partitions:
        yield {}, rows
        return
    ordered = rows.take(pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in partitions]))
    columns = [ordered[name].combine_chunks() for name in partitions]
    # Where any of the columns changes, a partition ends.
    ends = np.unique(np.concatenate([_run_ends(each) for each in columns]))
    content = ordered.drop_columns(list(partitions))
    for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        values = {name: partition_text(column[start].as_py()) for name, column in zip(partitions, columns, strict=True)}
        yield values, content.slice(start, end - start)


def _run_ends(column: Any) -> "np.ndarray[Any, np.dtype[Any]]":
    """Where runs of one value end. A null is a value like any other here."""
    encoded: Any = pc.call_function("run_end_encode", [column])
    ends: np.ndarray[Any, np.dtype[Any]] = encoded.run_ends.to_numpy()
    return ends


def partition_text(value: object) -> str | None:
    """A partition's value as the log has it. An empty text is null there, as in every Delta table."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | Decimal) or (isinstance(value, date) and not isinstance(value, datetime)):
        return str(value)
    raise LakehouseError(f"no table is partitioned by a {type(value).__name__}")


def partition_folder(values: Mapping[str, str | None]) -> str:
    """The folder of a partition below the table, such as `region=uk/month=2026-11`; empty without partitions."""
    return "/".join(_folders(values))


def url_encoded(key: str) -> str:
    """The key as a path in the log, encoded just as Spark does: its VACUUM compares texts, and would remove a file that
    the log spells in another way.
    """
    return quote(key, safe="!'()*,;:$&+=@/")


def statistics(rows: pa.Table) -> str:
    """Row count, and bounds and nulls of the first columns, as the log's JSON has them.

    Bounds may be wider than the values, never narrower: timestamps are told in milliseconds, long texts cut.
    """
    lowest: list[str] = []
    highest: list[str] = []
    nulls: dict[str, int] = {}
    for name in rows.column_names[:COLUMNS_WITH_STATISTICS]:
        column = rows[name]
        if pa.types.is_nested(column.type):
            continue
        nulls[name] = column.null_count
        if pa.types.is_boolean(column.type) or pa.types.is_floating(column.type) or pa.types.is_binary(column.type):
            continue
        bounds: Any = pc.min_max(column).as_py()
        for found, told in ((_lower(bounds["min"]), lowest), (_upper(bounds["max"]), highest)):
            if found is not None:
                told.append(f"{json.dumps(name)}:{found}")
    return (
        f'{{"numRecords":{len(rows)},"minValues":{{{",".join(lowest)}}},"maxValues":{{{",".join(highest)}}},'
        f'"nullCount":{json.dumps(nulls, separators=(",", ":"))},"tightBounds":true}}'
    )


def _lower(value: Any) -> str | None:
    return _text(value[:LONGEST_BOUND]) if isinstance(value, str) else _bound(value)


def _upper(value: Any) -> str | None:
    if isinstance(value, str) and len(value) > LONGEST_BOUND:
        # What is cut off may be anything: the highest character stands for it, unless it is there itself.
        return None if value[LONGEST_BOUND] == _HIGHEST else _text(value[:LONGEST_BOUND] + _HIGHEST)
    if isinstance(value, datetime) and value.microsecond % 1000:
        value += timedelta(milliseconds=1)
    return _bound(value)


def _bound(value: Any) -> str | None:
    if isinstance(value, datetime):
        instant = value.astimezone(UTC)
        return f'"{instant:%Y-%m-%dT%H:%M:%S}.{instant.microsecond // 1000:03}Z"'
    if isinstance(value, date):
        return f'"{value.isoformat()}"'
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Decimal):
        return f"{value:f}" if len(value.as_tuple().digits) <= FLOAT_DIGITS else None
    return None if value is None else str(value)


def _folders(values: Mapping[str, str | None]) -> list[str]:
    return [f"{_escaped(name)}={NULL_FOLDER if value is None else _escaped(value)}" for name, value in values.items()]


def _escaped(text: str) -> str:
    """As Hive names folders. Other alphabets are escaped too: writers encode them in several ways in the log."""
    return "".join(quote(each, safe="") if each in _ESCAPED or not each.isascii() else each for each in text)


def _text(value: str) -> str:
    """As JSON, each character as it is: of those beyond 16 bits not every reader understands the two-part escapes."""
    return json.dumps(value, ensure_ascii=False)
