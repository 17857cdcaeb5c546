"""The state of every table, from Delta logs and file statistics: rows, freshness, what the last commits did."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from lakehouse.contract_model import Contracts
from lakehouse.errors import LakehouseError
from local.dashboard.readings import REST, Readings
from local.dashboard.waiting import waiting_since
from local.sql import Snapshot
from runtime.delta_log import Commit, DeltaLog

RECENT_COMMITS = 60
SHORT = 12


# Why a record is rejected that breaks no rule: it came twice, or a later one of its identity corrects it.
DUPLICATE, SUPERSEDED = "duplicate", "superseded"


@dataclass(frozen=True)
class TableHealth:
    """One table as it is now. `newest` is the newest record's arrival, for gold tables the newest day.

    `commits` are the latest ones, newest first; `agreed` is the freshness that its contract promises. `waiting_since`
    is when the first of the records that it has yet to take in was ready for it; None when it has all.
    """

    name: str
    version: int
    rows: int
    newest: datetime | date | None
    commits: tuple[Commit, ...]
    agreed: timedelta | None
    waiting_since: datetime | None = None

    @property
    def layer(self) -> str:
        """The table's layer, such as `silver`."""
        return self.name.partition(".")[0]

    @property
    def arrived_at(self) -> datetime | None:
        """When its newest record arrived; None for gold and for a table without rows."""
        return self.newest if isinstance(self.newest, datetime) else None


@dataclass(frozen=True)
class SourceBalance:
    """Where the records of one source are; `under_way` is bronze less silver and rejected.

    Of those rejected, `duplicates` came twice and `corrected` ones gave way to a later record of their identity.
    """

    source: str
    bronze: int
    silver: int
    rejected: int
    duplicates: int = 0
    corrected: int = 0

    @property
    def faults(self) -> int:
        """Records that broke a rule."""
        return max(0, self.rejected - self.duplicates - self.corrected)

    @property
    def under_way(self) -> int:
        """Records of bronze that neither silver nor rejected holds yet."""
        return self.bronze - self.silver - self.rejected


@dataclass(frozen=True)
class Rejects:
    """How many rows of a source broke each rule, the most frequent first."""

    source: str
    rules: tuple[tuple[str, int], ...]

    @property
    def faults(self) -> tuple[tuple[str, int], ...]:
        """The rules that records broke."""
        return tuple(each for each in self.rules if each[0] not in (DUPLICATE, SUPERSEDED))

    @property
    def others(self) -> tuple[tuple[str, int], ...]:
        """What is no fault: duplicates and corrections."""
        return tuple(each for each in self.rules if each[0] in (DUPLICATE, SUPERSEDED))


class Health:
    """Follows the tables of a lake; each new commit is read once. Safe between threads."""

    def __init__(self, readings: Readings, contracts: Contracts) -> None:
        self._readings = readings
        self._contracts = contracts
        self._lock = Lock()
        self._opened: dict[str, DeltaTable] = {}
        self._kept: dict[str, TableHealth] = {}
        self._rests_until = float("-inf")

    def tables(self) -> list[TableHealth]:
        """Every table of the contracts that exists, layer by layer.

        Looking again waits until four times the length of the last look has passed: the jobs come first. Raises
        LakehouseError when there is no lake.
        """
        with self._lock:
            if time.monotonic() >= self._rests_until:
                began = time.monotonic()
                self._look_at_all()
                self._rests_until = time.monotonic() + REST * (time.monotonic() - began)
            return [self._kept[name] for name in self._contracts.tables if name in self._kept]

    def _look_at_all(self) -> None:
        versions = self._readings.versions(self._contracts.tables)
        for name in [each for each in self._kept if each not in versions]:
            del self._kept[name]
            self._opened.pop(name, None)
        for name, version in versions.items():
            if name not in self._kept or self._kept[name].version != version:
                self._kept[name] = self._look(name, version)
        for name, table in self._kept.items():
            self._kept[name] = replace(table, waiting_since=waiting_since(name, self._kept, self._contracts, self.log))

    def log(self, table: str) -> DeltaLog:
        """The log of a table, with the commits that were read before."""
        return self._readings.lake().log(table)

    def balances(self, tables: Sequence[TableHealth], rejects: Sequence[Rejects] = ()) -> list[SourceBalance]:
        """Each source that has a bronze table, with the rows of its silver and rejected tables."""
        rows = {each.name: each.rows for each in tables}
        rules = {each.source: dict(each.rules) for each in rejects}
        return [
            SourceBalance(
                source,
                rows[f"bronze.{source}"],
                rows.get(f"silver.{self._contracts.silver_of(source).name}", 0),
                rows.get(f"rejected.{source}", 0),
                rules.get(source, {}).get(DUPLICATE, 0),
                rules.get(source, {}).get(SUPERSEDED, 0),
            )
            for source in self._contracts.sources
            if f"bronze.{source}" in rows
        ]

    def rejects(self) -> list[Rejects]:
        """The rejected rows of each source by rule; sources without any are left out."""
        found = [Rejects(source, self._rejects_of(source)) for source in self._contracts.sources]
        return [each for each in found if each.rules]

    def _rejects_of(self, source: str) -> tuple[tuple[str, int], ...]:
        table = f"rejected.{source}"
        statement = f"select rule, count(*) as rows from {table} group by rule order by rows desc, rule"  # noqa: S608

        def ask(snapshot: Snapshot) -> tuple[tuple[str, int], ...]:
            return tuple((row["rule"], row["rows"]) for row in snapshot.query(statement))

        reading = self._readings.read(("rejects", source), [table], ask)
        return reading.answer if reading else ()

    def failing_rows(self, source: str, rule: str, most: int) -> list[dict[str, Any]]:
        """The rows of a source that were rejected by a rule first of all, the last to arrive first, at most `most`."""
        table = f"rejected.{self._contracts.source(source).name}"
        statement = (
            'select record_id, "column", value, message, arrived_at, left(payload, 2000) as payload, '  # noqa: S608
            f"len(payload) as size from {table} where rule = $rule order by arrived_at desc, record_id desc limit $most"
        )

        def ask(snapshot: Snapshot) -> list[dict[str, Any]]:
            return snapshot.query(statement, {"rule": rule, "most": most})

        reading = self._readings.read(("failing", source, rule), [table], ask)
        return reading.answer if reading else []

    def _look(self, name: str, version: int) -> TableHealth:
        known = self._kept.get(name)
        log = self.log(name)
        newest_known = known.commits[0].version if known and known.commits else -1
        depth = RECENT_COMMITS if name.startswith("bronze.") else SHORT
        fresh = [
            commit
            for number in range(version, max(newest_known, version - depth), -1)
            if (commit := log.commit(number)) is not None
        ]
        commits = (*fresh, *(known.commits if known else ()))[:depth]
        rows, newest = self._measure(name)
        return TableHealth(name, version, rows, newest, commits, self._contracts.table(name).freshness)

    def _measure(self, name: str) -> tuple[int, datetime | date | None]:
        """Rows and newest record from the statistics in the log, without a look at data files."""
        table = self._open(name)
        files = pa.table(table.get_add_actions(flatten=True))
        rows = sum(each.as_py() or 0 for each in files["num_records"])
        if "deletionVectors" in (table.protocol().reader_features or ()):
            rows -= sum(map(_deleted, pa.RecordBatchReader.from_stream(table.deletion_vectors())))
        statistic = "max.period_start" if name.startswith("gold.") else "max.arrived_at"
        values = [each.as_py() for each in files[statistic]] if statistic in files.schema.names else []
        return rows, max((each for each in values if each is not None), default=None)

    def _open(self, name: str) -> DeltaTable:
        """The table at its newest version; one that was opened before reads the new commits only."""
        try:
            if name in self._opened:
                self._opened[name].update_incremental()
            else:
                uri = self._readings.lake().address(name)
                self._opened[name] = DeltaTable(uri, storage_options=_storage_options())
            return self._opened[name]
        except (DeltaError, OSError) as error:
            self._opened.pop(name, None)
            first = str(error).partition("\n")[0]
            raise LakehouseError(f"{name} cannot be read: {first}") from error


def _deleted(vectors: pa.RecordBatch) -> int:
    """How many rows some files' deletion vectors take away: a flag per row, false for a deleted one."""
    flags = pc.list_flatten(vectors["selection_vector"])
    return len(flags) - int(pc.sum(flags).as_py() or 0)


def latest_commits(tables: Sequence[TableHealth], most: int) -> list[tuple[str, Commit]]:
    """The last commits to any table, newest first."""
    found = [(each.name, commit) for each in tables for commit in each.commits]
    return sorted(found, key=lambda each: (each[1].committed_at, each[0]), reverse=True)[:most]


def _storage_options() -> dict[str, str]:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    return {"allow_http": "true"} if endpoint.startswith("http://") else {}
