"""Reference rows that come after the facts that they govern: the facts are looked up once more.

So a silver row has what today's reference data says of its event time, whichever of the two came first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.contracts import Contract, Contracts
from lakehouse.delta.follow import TableLog
from lakehouse.delta.table import OwnedTable
from lakehouse.engine.contest import keys
from lakehouse.engine.enrich import microseconds
from lakehouse.engine.enrich_again import enriched_again
from lakehouse.layout import Layout
from runtime.tables import open_log, table_exists
from streaming.references import References
from streaming.silver_rows import MOST_VALUES, column, literal, timestamp

# A reference table is small: whatever it changed since the last time is taken at once.
NO_LIMIT = 2**62


@dataclass(frozen=True)
class Reenriched:
    """What versions `first` to `last` of a reference table change in silver: the row `old[n]` becomes `new[n]`."""

    reference: str
    app_id: str
    first: int
    last: int
    old: pa.Table
    new: pa.Table


class LateReferences:
    """Watches the reference tables of one silver table."""

    def __init__(self, contracts: Contracts, layout: Layout, source: str, references: References) -> None:
        self._contracts, self._layout, self._references = contracts, layout, references
        self._source: Contract = contracts.source(source)
        self._silver: Contract = contracts.silver_of(source)
        self._names = sorted({each.reference[0] for each in self._source.columns if each.reference})
        self._logs: dict[str, TableLog] = {}
        self.applied: dict[str, int] = {}
        """Versions of reference tables, by transaction id, that silver's rows are right for; for its next commit."""

    def changes(self, silver: OwnedTable, connection: duckdb.DuckDBPyConnection) -> Iterator[Reenriched]:
        """What has to be written, a reference table after the other: each sees what was written of the one before."""
        for name in self._names:
            found = self._changes_of(name, silver, connection)
            if found is not None:
                yield found

    def _changes_of(self, name: str, silver: OwnedTable, connection: duckdb.DuckDBPyConnection) -> Reenriched | None:
        uri = self._layout.table(f"silver.{name}")
        if name not in self._logs:
            if not table_exists(uri):
                return None
            self._logs[name] = open_log(uri)
        log = self._logs[name]
        app_id, newest = f"silver.{name}@{log.id}", log.newest()
        committed = silver.transaction(app_id)
        applied = max(-1 if committed is None else committed, self.applied.get(app_id, -1))
        if applied < 0 and silver.files():
            # Rows that nobody has held against this table: those of release 0.1.0, or from before it was made.
            return self._reenriched(
                name, app_id, 0, newest, self._references.current([name])[name].rows, silver, connection
            )
        if applied < 0:
            # What is written from now on is looked up in this version or a newer one.
            self.applied[app_id] = newest
        bite = log.changed(applied, NO_LIMIT) if 0 <= applied < newest else None
        if bite is None:
            return None
        return self._reenriched(name, app_id, bite.first, bite.last, bite.rows, silver, connection)

    def _reenriched(
        self,
        name: str,
        app_id: str,
        first: int,
        last: int,
        changed: pa.Table,
        silver: OwnedTable,
        connection: duckdb.DuckDBPyConnection,
    ) -> Reenriched | None:
        """What reference rows change in silver; where that is nothing, it is noted for silver's next commit."""
        found = self._again(name, changed, silver, connection) if changed.num_rows else []
        if not found:
            self.applied[app_id] = last
            return None
        old, new = (pa.concat_tables(parts) for parts in zip(*found, strict=True))
        return Reenriched(f"silver.{name}", app_id, first, last, old, new)

    def _again(
        self, name: str, changed: pa.Table, silver: OwnedTable, connection: duckdb.DuckDBPyConnection
    ) -> list[tuple[pa.Table, pa.Table]]:
        """The silver rows that changed reference rows govern and that differ, as they are and as they will be. A month
        is read after the other: there may be years of them.
        """
        reference = self._contracts.source(name)
        wanted = {key for (key,) in keys(changed, [reference.reference_key])}
        since = int(pc.min(microseconds(changed[str(reference.event_time)])).as_py() or 0)
        named = [each.stored_as for each in self._source.columns if (each.reference or ("",))[0] == name]
        scopes = " OR ".join(_scope(each, sorted(wanted)) for each in named)
        predicate = f"{column(str(self._silver.event_time))} >= {timestamp(since)} AND ({scopes})"
        current = self._references.current([name])
        found = []
        for month in sorted({str(file.partition_values.get("month")) for file in silver.files()}):
            of_month = f" AND {column('month')} = {literal(month)}" if "month" in self._silver.partitions else ""
            rows = silver.read(self._silver.column_names, predicate + of_month)
            old, new = enriched_again(rows, self._source, self._silver, current, connection)
            if old.num_rows:
                found.append((old, new))
        return found


def _scope(name: str, wanted: Sequence[object]) -> str:
    """SQL for rows that refer to one of the keys; too many keys are no help to a reader of files."""
    if len(wanted) > MOST_VALUES:
        return f"{column(name)} IS NOT NULL"
    return f"{column(name)} IN ({', '.join(literal(each) for each in wanted)})"
