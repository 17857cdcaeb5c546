"""Rows of single data files: without the deleted ones, with partition columns and those that came later."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyroaring import BitMap64

from lakehouse.delta.deletion_vectors import read_vector
from lakehouse.delta.snapshot import DataFile
from lakehouse.delta.store import TableStore


def live_rows(store: TableStore, file: DataFile, schema: pa.Schema, partitions: Sequence[str]) -> pa.Table:
    """The rows of a file that are not deleted, with the columns of `schema`."""
    with open_file(store, file) as content:
        rows = _completed(_read(content, range(content.num_row_groups), schema, partitions), file, schema, partitions)
    deleted = read_vector(store, file.deletion_vector)
    if not deleted:
        return rows
    keep = np.ones(len(rows), dtype=bool)
    keep[np.fromiter(deleted, dtype=np.int64, count=len(deleted))] = False
    return rows.filter(pa.array(keep))


def rows_at(
    store: TableStore, file: DataFile, positions: BitMap64, schema: pa.Schema, partitions: Sequence[str]
) -> pa.Table:
    """The rows at these positions, deleted or not, with the columns of `schema`."""
    with open_file(store, file) as content:
        groups, wanted, before, passed = [], [], 0, 0
        for group in range(content.num_row_groups):
            length = content.metadata.row_group(group).num_rows
            inside = positions & BitMap64(range(before, before + length))
            if inside:
                groups.append(group)
                wanted.append(np.fromiter(inside, dtype=np.int64, count=len(inside)) - before + passed)
                passed += length
            before += length
        if not groups:
            return schema.empty_table()
        rows = _read(content, groups, schema, partitions).take(np.concatenate(wanted))
    return _completed(rows, file, schema, partitions)


def open_file(store: TableStore, file: DataFile) -> pq.ParquetFile:
    """A data file to read in. Spark writes timestamps that are wider than Arrow's unless told the unit."""
    return pq.ParquetFile(store.open(file.key, file.size), coerce_int96_timestamp_unit="us", pre_buffer=store.on_s3)


def partition_scalar(text: str | None, kind: pa.DataType) -> "pa.Scalar[Any]":
    """A partition's value in the log as its column has it; an empty text is null in every Delta table."""
    return pa.array([text or None], pa.string()).cast(kind)[0]


def _read(content: pq.ParquetFile, groups: Sequence[int], schema: pa.Schema, partitions: Sequence[str]) -> pa.Table:
    stored = set(content.schema_arrow.names)
    columns = [name for name in schema.names if name in stored and name not in partitions]
    if not columns:
        rows = sum(content.metadata.row_group(group).num_rows for group in groups)
        return pa.table({"": pa.nulls(rows)})
    return content.read_row_groups(list(groups), columns=columns, use_threads=False)


def _completed(rows: pa.Table, file: DataFile, schema: pa.Schema, partitions: Sequence[str]) -> pa.Table:
    columns: list[Any] = []
    for each in schema:
        if each.name in partitions:
            value: Any = partition_scalar(file.partition_values.get(each.name), each.type)
            columns.append(pa.repeat(value, len(rows)))
        elif each.name in rows.column_names:
            columns.append(rows[each.name].cast(each.type))
        else:
            columns.append(pa.nulls(len(rows), each.type))
    return pa.table(columns, schema=schema)
