"""Which rows of which files leave a table, found by their keys, and the actions that say so by deletion vectors."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyroaring import BitMap64

from lakehouse.delta.data_files import split
from lakehouse.delta.deletion_vectors import read_vector, write_vector
from lakehouse.delta.log import Action, AlteredTableError, milliseconds
from lakehouse.delta.rows import open_file
from lakehouse.delta.snapshot import DataFile
from lakehouse.delta.store import TableStore

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Found:
    """Rows of one file: their positions, those deleted before, the file's row count, and the keys in that order."""

    file: DataFile
    positions: list[int]
    keys: list[Key]
    deleted: BitMap64
    rows: int


def find_rows(
    store: TableStore, files: Iterable[DataFile], old: pa.Table, key: Sequence[str], partitions: Sequence[str]
) -> list[Found]:
    """Where the rows of `old` lie, by the columns of `key`; `old` also has the partition columns.

    Only files are opened whose partition and statistics allow one of the keys. Raises AlteredTableError unless each
    row is there exactly once.
    """
    stored = [name for name in key if name not in partitions]
    by_partition: dict[tuple[str | None, ...], list[DataFile]] = {}
    for file in files:
        values = tuple(file.partition_values.get(name) or None for name in partitions)
        by_partition.setdefault(values, []).append(file)
    searches: list[tuple[DataFile, pa.Table]] = []
    wanted = 0
    for partition, rows in split(old.select([*stored, *partitions]), partitions):
        for file in by_partition.get(tuple(partition.values()), []):
            possible = _possible(rows, file.stats)
            if len(possible):
                searches.append((file, possible))
        wanted += len(rows)
    found = [each for each in store.each(lambda search: _in_file(store, *search), searches) if each.positions]
    _refuse_unless_once(store.uri, old, key, wanted, found)
    return found


def removal_actions(store: TableStore, found: Sequence[Found]) -> list[Action]:
    """The actions that delete these rows. A file that has no other rows leaves as a whole."""

    def actions(each: Found) -> list[Action]:
        removed = remove_action(each.file)
        deleted = each.deleted | BitMap64(each.positions)
        if len(deleted) == each.rows:
            return [removed]
        added = {
            "path": each.file.path,
            "partitionValues": dict(each.file.partition_values),
            "size": each.file.size,
            "modificationTime": each.file.modified,
            "dataChange": True,
            "stats": _loosened(each.file.stats_text, each.rows),
            "deletionVector": write_vector(store, deleted),
        }
        return [removed, {"add": added}]

    return [action for some in store.each(actions, found) for action in some]


def remove_action(file: DataFile, data_change: bool = True) -> Action:
    """The action that takes a file out of the table."""
    removed: dict[str, Any] = {
        "path": file.path,
        "deletionTimestamp": milliseconds(),
        "dataChange": data_change,
        "extendedFileMetadata": True,
        "partitionValues": dict(file.partition_values),
        "size": file.size,
    }
    if file.deletion_vector is not None:
        removed["deletionVector"] = dict(file.deletion_vector)
    return {"remove": removed}


def _possible(rows: pa.Table, stats: Mapping[str, Any]) -> pa.Table:
    """The rows that the file may hold by its bounds. First those of all rows, which is cheap and mostly enough."""
    lowest, highest = stats.get("minValues") or {}, stats.get("maxValues") or {}
    for name in rows.column_names:
        column = rows[name]
        low, high = _bound(lowest.get(name), column.type), _bound(highest.get(name), column.type)
        if low is None or high is None:
            continue
        if pa.types.is_timestamp(column.type):
            high += timedelta(milliseconds=1)  # some writers cut it off
        above: Any = pc.greater_equal(column, pa.scalar(low, column.type))
        below: Any = pc.less_equal(column, pa.scalar(high, column.type))
        rows = rows.filter(pc.fill_null(pc.and_(above, below), True))
        if not len(rows):
            break
    return rows


def _bound(told: Any, kind: pa.DataType) -> Any:
    """A bound in a file's statistics as a value, of the types that keys have; None where there is none."""
    if told is None:
        return None
    if pa.types.is_timestamp(kind):
        instant = datetime.fromisoformat(told)
        return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    if pa.types.is_date(kind):
        return date.fromisoformat(told)
    return told if pa.types.is_string(kind) or pa.types.is_integer(kind) else None


def _in_file(store: TableStore, file: DataFile, wanted: pa.Table) -> Found:
    positions: list[int] = []
    keys: list[Key] = []
    deleted = read_vector(store, file.deletion_vector)
    searched = set(_keys(wanted))
    names = wanted.column_names
    with open_file(store, file) as content:
        before = 0
        for group in range(content.num_row_groups):
            length = content.metadata.row_group(group).num_rows
            if _group_may_hold(content, group, wanted):
                rows = content.read_row_group(group, columns=names, use_threads=False)
                rows = pa.table([rows[name].cast(wanted.schema.field(name).type) for name in names], names=names)
                near = _near(rows, wanted)
                for place, found in zip(near.tolist(), _keys(rows.take(pa.array(near))), strict=True):
                    if found in searched and before + place not in deleted:
                        positions.append(before + place)
                        keys.append(found)
            before += length
    return Found(file, positions, keys, deleted, before)


def _near(rows: pa.Table, wanted: pa.Table) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """The places of rows whose columns, each for itself, have a value of the wanted rows: few others among them."""
    mask = None
    for name in wanted.column_names:
        one = pc.is_in(rows[name], value_set=wanted[name].combine_chunks())
        mask = one if mask is None else pc.and_(mask, one)
    assert mask is not None, "a key has a column"
    return np.flatnonzero(mask.to_numpy())


def _group_may_hold(content: pq.ParquetFile, group: int, wanted: pa.Table) -> bool:
    """Whether the bounds of a row group allow one of the rows. Texts are left out: writers may cut theirs."""
    metadata = content.metadata.row_group(group)
    for place in range(metadata.num_columns):
        column = metadata.column(place)
        name = column.path_in_schema
        if name not in wanted.column_names or pa.types.is_string(wanted.schema.field(name).type):
            continue
        bounds = column.statistics
        if bounds is None or not bounds.has_min_max:
            continue
        asked: Any = pc.min_max(wanted[name]).as_py()
        low, high = _aware(bounds.min), _aware(bounds.max)
        if asked["min"] is not None and (asked["max"] < low or asked["min"] > high):
            return wanted[name].null_count > 0
    return True


def _aware(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def _keys(rows: pa.Table) -> list[Key]:
    """The rows as tuples; instants as numbers, for Python makes its own slowly."""
    columns = (
        rows[name].cast(pa.int64()) if pa.types.is_timestamp(rows[name].type) else rows[name]
        for name in rows.column_names
    )
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


def _refuse_unless_once(uri: str, old: pa.Table, key: Sequence[str], wanted: int, found: Sequence[Found]) -> None:
    there = sum(len(each.keys) for each in found)
    distinct = {(tuple(each.file.partition_values.items()), one) for each in found for one in each.keys}
    if there == len(distinct) == wanted:
        return
    missing = wanted - len(distinct)
    what = f"{missing} of them are not there" if missing else f"{there - len(distinct)} of them are there twice"
    first = old.select(list(key)).slice(0, 1).to_pylist()
    raise AlteredTableError(
        f"{uri}: {wanted} rows are to be replaced, and {what} (the first of all is {first}): the table was changed by "
        "somebody else, or rows are given twice; see DESCRIBE HISTORY for who wrote it, and docs/operating.md"
    )


def _loosened(stats: str | None, rows: int) -> str:
    """Statistics of a file that has deleted rows: its bounds may be wider than what is left. Kept as text, for numbers
    with many digits would suffer.
    """
    if not stats or '"numRecords"' not in stats:
        return f'{{"numRecords":{rows},"tightBounds":false}}'
    if '"tightBounds":true' in stats:
        return stats.replace('"tightBounds":true', '"tightBounds":false')
    if '"tightBounds":false' in stats:
        return stats
    return stats.rstrip().removesuffix("}") + ',"tightBounds":false}'
