"""The rows of a gold table in the files that a batch touches: which files, their rows, and which rows lie together.

The days of a KPI that a batch touches get files of their own, which later batches are likely to touch again: so what
is read and written again stays small, however large the month. Compaction brings them together.
"""

from collections.abc import Collection, Sequence
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.delta.snapshot import DataFile
from lakehouse.delta.table import OwnedTable

# Rows that are kept between batches: some tens of megabytes.
MOST_KEPT = 100_000
# A batch that touches more days of a month writes the month as a whole.
MOST_DAYS_APART = 4

type Day = tuple[str, date]


def days_of(rows: pa.Table) -> set[Day]:
    """The KPI and the day of each row."""
    found = rows.group_by(["kpi_name", "period_start"]).aggregate([])
    return {(row["kpi_name"], row["period_start"]) for row in found.to_pylist()}


def files_of(days: Collection[Day], files: Collection[DataFile]) -> list[DataFile]:
    """The files that can hold rows of these days, by their partitions and bounds."""
    wanted: dict[tuple[str | None, str | None], list[str]] = {}
    for kpi, day in days:
        wanted.setdefault((kpi, f"{day:%Y-%m}"), []).append(day.isoformat())
    found = []
    for file in files:
        asked = wanted.get((file.partition_values.get("kpi_name"), file.partition_values.get("month")))
        if asked and any(_may_hold(file, day) for day in asked):
            found.append(file)
    return found


def _may_hold(file: DataFile, day: str) -> bool:
    low = (file.stats.get("minValues") or {}).get("period_start")
    high = (file.stats.get("maxValues") or {}).get("period_start")
    return low is None or high is None or low <= day <= high


def parts_of(rows: pa.Table, days: Collection[Day]) -> list[pa.Table]:
    """The rows as they are to lie in files: of one KPI and month each, where few days are touched these apart."""
    touched: dict[tuple[str, str], set[date]] = {}
    for kpi, day in days:
        touched.setdefault((kpi, f"{day:%Y-%m}"), set()).add(day)
    apart = [f"{kpi} {day}" for (kpi, _), some in touched.items() if len(some) <= MOST_DAYS_APART for day in some]
    by_day, by_month = (_named(rows["kpi_name"], each) for each in (rows["period_start"], rows["month"]))
    place = pc.if_else(pc.is_in(by_day, pa.array(apart, pa.string())), by_day, by_month)
    ordered = rows.append_column("_place", place).sort_by([("_place", "ascending"), ("period_start", "ascending")])
    places: Any = pc.call_function("run_end_encode", [ordered["_place"].combine_chunks()])
    ends = places.run_ends.to_pylist()
    rows = ordered.drop_columns(["_place"])
    return [rows.slice(start, end - start) for start, end in zip([0, *ends[:-1]], ends, strict=True)] if ends else []


def _named(kpi: Any, time: Any) -> Any:
    """A KPI's day or month as one text; the stubs of Arrow's functions refuse columns and texts together."""
    return pc.binary_join_element_wise(kpi, time.cast(pa.string()), " ")


class RecentFiles:
    """The rows of the files that batches wrote and read last. A file never changes, so they stay right."""

    def __init__(self, schema: pa.Schema) -> None:
        """`schema` has the columns that are read; the table may have got more by somebody's hand."""
        self._schema = schema
        self._rows: dict[str, pa.Table] = {}

    def read(self, table: OwnedTable, files: Sequence[DataFile]) -> pa.Table:
        """The rows of these files."""
        found = [self._schema.empty_table()]
        for file in files:
            rows = self._rows.pop(file.path, None)
            if rows is None:
                rows = table.read_file(file).select(self._schema.names).cast(self._schema)
            self._rows[file.path] = rows
            found.append(rows)
        return pa.concat_tables(found)

    def replaced(self, old: Sequence[DataFile], new: Sequence[DataFile], rows: Sequence[pa.Table]) -> None:
        """Takes in that files have gone, and others come with these rows."""
        for file in old:
            self._rows.pop(file.path, None)
        for file, content in zip(new, rows, strict=True):
            self._rows[file.path] = content
        kept = sum(each.num_rows for each in self._rows.values())
        while kept > MOST_KEPT:
            kept -= self._rows.pop(next(iter(self._rows))).num_rows
