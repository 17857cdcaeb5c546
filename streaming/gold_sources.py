"""What a gold table reads of one silver table: its changes since a version, and its rows as of one."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import pyarrow as pa
from deltalake import DeltaTable

from lakehouse.contracts import Contract
from lakehouse.delta.delta_rs import answer
from lakehouse.engine.gold import columns_of
from lakehouse.engine.schemas import arrow_schema
from lakehouse.kpi_tables import contributions_of
from runtime.tables import open_log, open_table, options
from streaming.handover import Handed


class SilverSource:
    """A silver table as a gold table sees it, which another query writes."""

    def __init__(self, gold: Contract, silver: Contract, uri: str) -> None:
        """Raises IncompatibleTableError where somebody took a column out of the silver table or changed its type."""
        self.name = f"silver.{silver.name}"
        self._uri = uri
        self._log = open_log(uri)
        self._table = open_table(uri)
        schema = arrow_schema(silver)
        self._table.refuse_altered(schema)
        self._schema = pa.schema([schema.field(name) for name in columns_of(gold, silver)])
        ranked = (each for _, each in contributions_of(gold.name, self.name) if each.percentile is not None)
        self._ranked_by = sorted({each.day for each in ranked})

    @property
    def id(self) -> str:
        """What tells the table from another that was made anew in its place."""
        return self._log.id

    @property
    def transaction(self) -> str:
        """The id under which gold's commits say how far they have taken in the table."""
        return f"{self.name}@{self.id}"

    def changes(self, taken: int, most_bytes: int) -> Handed | None:
        """What the log has after version `taken`, as much as `most_bytes` or one version; None where it has no more.

        Raises AlteredTableError or LogGoneError where the log does not give every change since.
        """
        bite = self._log.changed(taken, most_bytes)
        return None if bite is None else Handed(self.name, self.id, bite.first, bite.last, bite.rows)

    def newest(self) -> int:
        """Takes in the table's newest version, which `whole` then reads."""
        return self._table.refresh()

    def whole(self) -> Iterator[pa.Table]:
        """All rows as of the version that `newest` gave, a month at a time: the columns that KPIs name."""
        months = {file.partition_values.get("month") for file in self._table.files()}
        for month in sorted(months, key=str):
            condition = "month IS NULL" if month is None else f"month = '{month}'"
            yield self._table.read(self._schema.names, condition)

    def rows_of(self, days: Sequence[date], version: int) -> pa.Table:
        """At least all rows of these days that percentiles are taken of, as of `version`."""
        ranges = (
            f"({column} >= TIMESTAMP '{first} 00:00:00' AND {column} < TIMESTAMP '{last + timedelta(days=1)} 00:00:00')"
            for column in self._ranked_by
            for first, last in _runs(days)
        )
        condition = " OR ".join(ranges)
        if self._table.version < version:
            self._table.refresh()
        if self._table.version == version:
            return self._table.read(self._schema.names, condition)
        then = DeltaTable(self._uri, version=version, storage_options=options(self._uri) or None)
        query = f"SELECT {', '.join(self._schema.names)} FROM t WHERE {condition}"  # noqa: S608
        return answer(then, query).cast(self._schema)


def _runs(days: Sequence[date]) -> list[tuple[date, date]]:
    """The days as ranges, first and last included."""
    runs: list[tuple[date, date]] = []
    for day in sorted(days):
        if runs and day - runs[-1][1] <= timedelta(days=1):
            runs[-1] = (runs[-1][0], day)
        else:
            runs.append((day, day))
    return runs
