"""Silver to gold: changes of silver rows become changes of KPIs. A gold table's commits say how far it has come."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from threading import Lock

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.contracts import Contract, Contracts
from lakehouse.delta.follow import AlteredTableError, LogGoneError
from lakehouse.delta.manifests import partition_of, write_manifests
from lakehouse.delta.snapshot import DataFile
from lakehouse.delta.table import CommitConflictError, OwnedTable
from lakehouse.engine import gold
from lakehouse.engine.schemas import arrow_schema
from lakehouse.errors import LakehouseError
from lakehouse.kpi_tables import TABLES, fingerprint, ranked_sources_of, sources_of
from lakehouse.layout import Layout
from lakehouse.settings import Settings
from runtime.commits import code_version
from runtime.delta_log import DeltaLog
from runtime.failpoints import failpoint
from runtime.lineage import Counts, Lineage, TableInput
from runtime.manifests import CataloguedPartitions
from runtime.tables import options, table_exists
from runtime.upkeep import Upkeep
from streaming.gold_fit import FINGERPRINT, fitting_table, misfit
from streaming.gold_rows import RecentFiles, days_of, files_of, parts_of
from streaming.gold_sources import SilverSource
from streaming.handover import Handed

log = logging.getLogger(__name__)
GOLD_TABLES = TABLES
# How often a batch looks again after somebody else has made the version that it was to be.
ATTEMPTS = 3
LOOKED_AT_AGAIN = (CommitConflictError, AlteredTableError, LogGoneError)


class MissingSilverTableError(LakehouseError):
    """A silver table that a KPI reads is not there."""


class GoldTable:
    """One gold table, and the protocol that keeps it equal to a recomputation from silver.

    The queries of one process share it: safe between threads, which take turns.
    """

    def __init__(self, settings: Settings, contracts: Contracts, table: str) -> None:
        """`table` is one of `GOLD_TABLES`. Raises LakehouseError for any other name."""
        layout = Layout(settings.root)
        self.name = f"gold.{table}"
        self.contract: Contract = contracts.table(self.name)
        self.uri = layout.table(self.name)
        self.silver = {source: layout.table(source) for source in sources_of(table)}
        self.properties = {
            "delta.enableDeletionVectors": "false",
            "delta.checkpointInterval": "200",
            "delta.compatibility.symlinkFormatManifest.enabled": str(settings.symlink_manifests).lower(),
        }
        self._settings = settings
        self._contracts = contracts
        self._log = DeltaLog(settings.root, self.name)
        self._schema = arrow_schema(self.contract)
        self._lock = Lock()
        # A small batch is done before a second thread has started.
        self._connection = duckdb.connect(config={"threads": 1})
        self._recent = RecentFiles(self._schema)
        self._table: OwnedTable | None = None
        self._sources: dict[str, SilverSource] = {}
        self._fingerprint = ""
        # Why the rows that are there cannot be gone on with; None where they can.
        self._misfit: str | None = None
        # Versions of silver tables that no commit tells of, for they had no rows.
        self._passed: dict[str, int] = {}
        self._partitions: CataloguedPartitions | None = None
        self._upkeep: Upkeep | None = None

    def ensure(self) -> None:
        """Makes or widens the table, and looks whether silver's changes may be added to what it holds.

        Raises MissingSilverTableError, or IncompatibleTableError where this table or a silver table was altered by
        hand.
        """
        with self._lock:
            self._open()

    def follow(self, handed: Mapping[str, Handed] | None = None, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Takes in what its silver tables' logs have that it has not, until there is no more or the job is `stopped`;
        whether there was anything.

        `handed` are commits that silver tables have just made in this process: where they are just what comes next,
        they are taken from memory, and the logs are not looked at.
        """
        found = False
        while not stopped():
            with self._lock:
                if not self._follow_once(handed or {}):
                    break
            found = True
            if handed:
                break
        return found

    def keep_up(self) -> None:
        """Compacts the table once in so many batches; not when somebody else has just written it."""
        with self._lock:
            try:
                if self._upkeep is not None and self._table is not None and self._upkeep.run():
                    self._publish(self._table)
            except CommitConflictError as error:
                self._table = None
                log.warning("%s is not compacted: %s", self.name, error)

    def _follow_once(self, handed: Mapping[str, Handed]) -> bool:
        """One batch, or the table anew: when it does not fit, or a silver table's log does not give every change.

        After any failure all is looked at again, by the next call; at once when somebody else has made the version that
        the commit would have been.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                table = self._table or self._open()
                return self._build(table) if self._misfit else self._take_in(table, handed)
            except Exception as error:
                # Whatever it was: what is remembered of the tables may be why.
                self._table = None
                if attempt == ATTEMPTS or not isinstance(error, LOOKED_AT_AGAIN):
                    raise
                if isinstance(error, CommitConflictError):
                    log.warning("%s is looked at again: %s", self.name, error)
                else:
                    self._open(str(error))
        raise AssertionError("the last attempt returns or raises")

    def _take_in(self, table: OwnedTable, handed: Mapping[str, Handed]) -> bool:
        """One batch.

        1. What comes next, of one silver table or several. Nothing: no commit.
        2. What its rows add to each key.
        3. Percentiles of the days touched, from silver at the version with which the batch ends.
        4. The rows of the files that can hold the days touched, with all that applied, in one commit that says how far
           the table has come by now. Where nothing changes it says only that. Versions without rows need no commit.
        """
        # 1
        batch = self._next(table, handed)
        if not batch:
            return False
        failpoint("gold.started")
        taken = {name: changes.last for name, changes in batch.items()}
        changed = {name: changes.rows for name, changes in batch.items() if changes.rows.num_rows}
        if not changed:
            self._passed |= taken
            return True
        # 2
        sums = gold.signed_sums(changed, self.contract, self._connection)
        contributions = _contributions(sums)
        # 3
        days = sorted({day for _, day in days_of(sums.filter(sums[gold.PERCENTILE].is_valid()))})
        if days:
            ranked = {
                name: self._sources[name].rows_of(days, taken[name])
                for name in ranked_sources_of(self.contract.name)
                if name in taken
            }
            found = gold.percentiles(ranked, self.contract, self._connection, days)
            sums = pa.concat_tables([sums, found])
        # 4
        touched = days_of(sums)
        files = files_of(touched, table.files())
        rows = gold.apply_sums(sums, self._recent.read(table, files), self.contract)
        since = {name: self._committed(table, name) for name in taken}
        self._commit(table, files, parts_of(rows, touched), since, taken, contributions)
        return True

    def _build(self, table: OwnedTable) -> bool:
        """The table anew, from whole silver tables as they are now.

        1. What all rows add up to, a month at a time.
        2. One commit puts it in place of what is there: readers see the old rows, or the new.
        3. The fingerprint says of which declarations the rows are. Death before it: the table is built once more.
        """
        # 1
        taken = {name: source.newest() for name, source in self._sources.items()}
        sums, found = gold.signed_sums({}, self.contract, self._connection), []
        for name, source in self._sources.items():
            for month in source.whole():
                added = gold.signed_sums({name: month}, self.contract, self._connection)
                sums = gold.added_up([sums, added], self.contract)
                found.append(gold.percentiles({name: month}, self.contract, self._connection))
        rows = gold.apply_sums(pa.concat_tables([sums, *found]), self._schema.empty_table(), self.contract)
        # 2
        since = dict.fromkeys(taken, -1)
        self._commit(table, list(table.files()), parts_of(rows, ()), since, taken, _contributions(sums))
        failpoint("gold.replaced")
        # 3
        table.set_property(FINGERPRINT, self._fingerprint)
        self._misfit = None
        log.info("%s is built of %s", self.name, ", ".join(f"{each} to version {taken[each]}" for each in taken))
        return True

    def _next(self, table: OwnedTable, handed: Mapping[str, Handed]) -> dict[str, Handed]:
        """What comes after what was taken in. Where all that was handed over is that, nothing else is looked for."""
        taken = {name: max(self._committed(table, name), self._passed.get(name, -1)) for name in self._sources}
        found = {
            name: each
            for name, each in handed.items()
            if name in taken and each.table_id == self._sources[name].id and each.first == taken[name] + 1
        }
        if found and len(found) == len(handed):
            return found
        for name in taken.keys() - found.keys():
            changes = self._sources[name].changes(taken[name], self._settings.silver_batch_bytes)
            if changes is not None:
                found[name] = changes
        return found

    def _committed(self, table: OwnedTable, source: str) -> int:
        """The version of a silver table that the table's commits say was taken in last."""
        found = table.transaction(self._sources[source].transaction)
        return -1 if found is None else found

    def _commit(
        self,
        table: OwnedTable,
        files: Sequence[DataFile],
        parts: Sequence[pa.Table],
        since: Mapping[str, int],
        taken: Mapping[str, int],
        contributions: int,
    ) -> None:
        """Puts rows in place of files, and says that silver's versions after `since` up to `taken` are in."""
        transactions = {self._sources[name].transaction: last for name, last in taken.items()}
        inputs = tuple(TableInput(name, since[name] + 1, last) for name, last in taken.items())
        counts, version = Counts(read=contributions), self.contract.version
        lineage = Lineage("gold", self.contract.name, table.version + 1, code_version(), version, inputs, counts)
        failpoint("gold.before_merge")
        new = table.replace_files(files, parts, transactions, lineage.to_json())
        failpoint("gold.after_merge")
        self._recent.replaced(files, new, parts)
        self._publish(table, {partition_of(file) for file in (*files, *new)})
        failpoint("gold.done")

    def _publish(self, table: OwnedTable, partitions: Collection[str] | None = None) -> None:
        """What Redshift Spectrum reads of the table, or of these partitions, where the settings ask for it."""
        if self._settings.symlink_manifests:
            failpoint("gold.before_manifest")
            write_manifests(self.uri, table.files(), partitions, options(self.uri))
        if self._partitions is not None:
            self._partitions.update()

    def _open(self, known: str | None = None) -> OwnedTable:
        """Looks at everything anew; `known` is why the rows do not fit, where that is known."""
        missing = [source for source, uri in self.silver.items() if not table_exists(uri)]
        if missing:
            raise MissingSilverTableError(
                f"{self.name} reads {', '.join(missing)}, not there yet: start `lakehouse stream silver` first"
            )
        self._log.forget()
        self._sources = {
            name: SilverSource(self.contract, self._contracts.table(name), uri) for name, uri in self.silver.items()
        }
        self._fingerprint = fingerprint(self.contract, [each.id for each in self._sources.values()])
        table = fitting_table(self.uri, self._schema, self.contract.partitions, self.properties, self._fingerprint)
        taken = [table.transaction(each.transaction) for each in self._sources.values()]
        self._misfit = known or misfit(table, self._log, self._fingerprint, taken)
        if self._misfit and FINGERPRINT in table.properties:
            log.warning("%s is built anew: %s", self.name, self._misfit)
        self._passed = {}
        self._recent = RecentFiles(self._schema)
        self._upkeep = Upkeep(self._settings, [table])
        self._partitions = CataloguedPartitions.of(self._settings, self.contract, self.uri)
        self._table = table
        # A job that died after a commit has told nobody of it.
        self._publish(table)
        return table


def _contributions(sums: pa.Table) -> int:
    """How many contributions signed sums are made of."""
    return int(pc.sum(sums[gold.ROWS]).as_py() or 0)
