"""Bronze to silver: one owner a source moves records into its silver table or its rejected rows, each exactly once."""

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.contracts import Contract, Contracts
from lakehouse.delta.follow import TableLog
from lakehouse.delta.table import OwnedTable
from lakehouse.engine.batch import Outcome, settle_batch, signed
from lakehouse.engine.schemas import arrow_schema, rejected_schema
from lakehouse.errors import LakehouseError
from lakehouse.layout import Layout
from lakehouse.settings import Settings
from runtime.commits import code_version
from runtime.delta_log import DeltaLog
from runtime.failpoints import failpoint
from runtime.lineage import Counts, Lineage, TableInput
from runtime.metrics import REJECT_RATIO, metrics
from runtime.restores import Restores
from runtime.tables import ensure_table, open_log
from runtime.upkeep import Upkeep
from streaming.earlier_checkpoint import Progress, earlier_progress
from streaming.handover import Continuity, Handed
from streaming.re_enrichment import LateReferences
from streaming.references import References
from streaming.silver_rows import SilverRows

log = logging.getLogger(__name__)
SILVER_PROPERTIES = {
    "delta.enableChangeDataFeed": "true",
    "delta.enableDeletionVectors": "true",
    "delta.checkpointInterval": "50",
}
REJECTED_PROPERTIES = {"delta.enableDeletionVectors": "true", "delta.checkpointInterval": "50"}
RIVAL_RULES = ("duplicate", "superseded")


@dataclass(frozen=True)
class Batch:
    """Which batch writes: its transaction id (`app_id`, `number`), and the versions that it takes in."""

    app_id: str
    number: int
    inputs: tuple[TableInput, ...] = ()
    # Of rows that an unfinished batch of the release before left in rejected.
    left_over: str | None = None

    @property
    def tag(self) -> str:
        """What marks the batch's rows in rejected."""
        return tag_of(self.app_id, self.number)


def tag_of(app_id: str, number: int) -> str:
    """The `batch` of the rejected rows of a transaction."""
    return f"{app_id}:{number}"


class RemadeTableError(LakehouseError):
    """The bronze table is another one than silver was made of."""


class SilverTable:
    """One silver table with its rejected rows, and the protocol that moves records into exactly one of them.

    How far it has come stands in its own commits: the transaction id `bronze.<source>@<id of the bronze table>` is the
    version of bronze that is taken in.
    """

    def __init__(self, settings: Settings, contracts: Contracts, source: str, references: References) -> None:
        layout = Layout(settings.root)
        self.settings, self.contracts = settings, contracts
        self.source: Contract = contracts.source(source)
        self.silver: Contract = contracts.silver_of(source)
        self.references = references
        self.name = f"silver.{self.silver.name}"
        self.bronze_uri = layout.table(f"bronze.{source}")
        self.silver_uri = layout.table(self.name)
        self.rejected_uri = layout.table(f"rejected.{source}")
        self.checkpoint = layout.checkpoint("silver", self.silver.name)
        # Several queries of one process may bring the table up to date: they take turns.
        self.turn = threading.RLock()
        self._restores = [Restores(DeltaLog(settings.root, name)) for name in (self.name, f"rejected.{source}")]
        # A small batch is done before a second thread has started.
        self._connection = duckdb.connect(config={"threads": 1})
        self._late = LateReferences(contracts, layout, source, references)
        self._fenced = False
        self._continuity = Continuity()
        self._bronze: TableLog | None = None
        self._tables: tuple[OwnedTable, OwnedTable] | None = None
        self._schemas: tuple[pa.Schema, ...] = ()
        self._rows: SilverRows | None = None
        self._upkeep: Upkeep | None = None

    def ensure(self) -> None:
        """Makes or widens both tables, and looks at them anew. Raises IncompatibleTableError where the contract changed
        too much, or somebody altered a table, and RestoredTableError where somebody restored one.
        """
        with self.turn:
            schemas = arrow_schema(self.silver), rejected_schema(self.contracts)
            silver = ensure_table(self.silver_uri, schemas[0], self.silver.partitions, SILVER_PROPERTIES)
            rejected = ensure_table(self.rejected_uri, schemas[1], ["ingest_date"], REJECTED_PROPERTIES)
            for each in self._restores:
                each.refuse()
            self._tables, self._schemas = (silver, rejected), schemas
            self._rows = SilverRows(silver, self.source, self.silver, self.references)
            self._upkeep = Upkeep(self.settings, [silver, rejected], self.silver)

    @property
    def rejected(self) -> OwnedTable:
        """The table of the rejected rows."""
        return self._owned()[1]

    def follow(self, handed: Handed | None = None, stopped: Callable[[], bool] = lambda: False) -> list[Handed]:
        """Takes in what bronze has and silver has not, batch by batch; gives what each batch changed. Before that, rows
        that late reference rows govern are looked up again.

        `handed` is a commit that bronze has just made, with its rows: they need not be read again if nothing else is
        missing. Where `stopped` says so, the rest is left for later.
        """
        with self.turn:
            if self._tables is None:
                self.ensure()
            bronze = self._bronze = self._bronze or open_log(self.bronze_uri)
            app_id = f"bronze.{self.source.name}@{bronze.id}"
            done = self._look_up_again()
            while not stopped():
                progress = self._progress(bronze, app_id)
                if handed is not None and handed.table_id == bronze.id and handed.first == progress.taken + 1:
                    first, last, rows = handed.first, handed.last, handed.rows
                else:
                    bite = bronze.added(progress.taken, self.settings.silver_batch_bytes)
                    if bite is None or not bite.rows.num_rows:
                        break
                    first, last, rows = bite.first, bite.last, bite.rows
                handed = None
                if progress.partly:
                    rows = self._not_yet_here(rows)
                inputs = (TableInput(f"bronze.{self.source.name}", first, last),)
                outcome = self.process(rows, Batch(app_id, last, inputs, progress.left_over))
                if outcome is not None and (changes := outcome.changes).num_rows:
                    done.append(self._handed(changes))
            return done

    def _progress(self, bronze: TableLog, app_id: str) -> Progress:
        """How far silver has come with this bronze table. Raises RemadeTableError where it was made of another."""
        silver, _ = self._owned()
        silver.refresh()
        found = silver.transaction(app_id)
        if found is not None:
            return Progress(found)
        if any(each.startswith(f"bronze.{self.source.name}@") for each in silver.transactions()):
            raise RemadeTableError(
                f"{self.bronze_uri} is not the table that {self.silver_uri} was made of: put that one back, or remove "
                f"{self.silver_uri} and {self.rejected_uri} together: they are made again from bronze "
                "(docs/operating.md)"
            )
        return earlier_progress(self.checkpoint, bronze.id, silver, self.name) or Progress()

    def _look_up_again(self) -> list[Handed]:
        """Brings silver's rows up to date with reference rows that came after them, a commit a reference table."""
        silver, _ = self._owned()
        assert self._rows is not None
        done: list[Handed] = []
        silver.refresh()
        for change in self._late.changes(silver, self._connection):
            self._look()
            known = self._rows.up_to_date
            inputs = (TableInput(change.reference, change.first, change.last),)
            counts = Counts(updated=change.new.num_rows)
            lineage = Lineage(
                "silver", self.silver.name, change.last, code_version(), self.silver.version, inputs, counts
            )
            none, transaction = silver.schema.empty_table(), {change.app_id: change.last}
            silver.replace_rows(change.old, change.new, none, self.silver.identity, transaction, lineage.to_json())
            self._late.applied.pop(change.app_id, None)
            if known:
                # Looking up changes nothing that is remembered of the newest rows.
                self._rows.still_there()
            done.append(self._handed(signed(none, change.old, change.new)))
            log.info("%s: %d rows looked up again in %s", self.name, change.new.num_rows, change.reference)
        return done

    def _look(self) -> None:
        """Looks at both tables as they are now, before something is decided on them."""
        for table, schema in zip(self._owned(), self._schemas, strict=True):
            table.refresh()
            table.refuse_altered(schema)
        for each in self._restores:
            each.refuse()
        self._continuity.found(self._owned()[0].version)

    def _not_yet_here(self, records: pa.Table) -> pa.Table:
        """The records that are neither in silver nor in rejected: of a version that was taken in by half."""
        held = [table.read(["record_id"])["record_id"] for table in self._owned()]
        known = pc.or_(*(pc.is_in(records["record_id"], each) for each in held))
        return records.filter(pc.invert(known))

    def process(self, records: pa.Table, batch: Batch, still_ours: Callable[[], None] = lambda: None) -> Outcome | None:
        """Moves a batch of bronze records into silver or rejected. The silver commit decides: before it the batch has
        not happened, with it the batch is over. Each commit becomes the version after the one that was looked at, or
        fails: nobody can come in between.

        1. Look at both tables as they are now. Refuse what somebody restored, altered or made anew. A batch that silver
           has taken in is over.
        2. An attempt that died may have left its rows in rejected, whose transaction is then ahead of silver's. In case
           it only sleeps, an empty commit to silver comes first: it can then no longer finish what is taken out here.
        3. Compute the outcome from the records and from silver as it is.
        4. Write what is faulty, beaten or displaced to rejected, and take out what 2 found, in one commit. The first
           batch of a process commits to rejected in any case: an older attempt that sleeps somewhere can then no
           longer commit there behind it.
        5. Write what is new or changed to silver in one commit with the batch's transaction. `still_ours` raises
           where this process may no longer write.
        6. Remember the newest rows.

        Raises CommitConflictError where somebody else wrote one of the tables meanwhile, RemadeTableError,
        RestoredTableError and IncompatibleTableError.
        """
        started = time.monotonic()
        silver, rejected = self._owned()
        failpoint("silver.started")
        # 1
        self._look()
        together = f"{self.name}@{silver.id}"
        self._refuse_another_silver(together)
        taken = silver.transaction(batch.app_id)
        if taken is not None and taken >= batch.number:
            return None
        # 2
        attempted = rejected.transaction(batch.app_id)
        left_over = {batch.left_over} if batch.left_over else set()
        if attempted is not None and attempted > (-1 if taken is None else taken):
            left_over.add(tag_of(batch.app_id, attempted))
        if left_over:
            empty = Lineage("silver", self.silver.name, batch.number, code_version(), self.silver.version)
            silver.append(silver.schema.empty_table(), {}, empty.to_json())
        # 3
        assert self._rows is not None
        outcome = settle_batch(records, self._rows, self.source, self.silver, self._connection)
        lineage = self._lineage(outcome, batch)
        transaction = {batch.app_id: batch.number} | self._late.applied
        both = transaction | {together: batch.number}
        # 4
        failpoint("silver.before_rejected")
        if outcome.rejected.num_rows or left_over or not self._fenced:
            rows = self._bad_rows(outcome, batch)
            if left_over:
                where = " OR ".join(f"batch = '{tag}'" for tag in sorted(left_over | {batch.tag}))
                rejected.overwrite_where(where, rows, both, lineage)
            else:
                rejected.append(rows, both, lineage)
            self._fenced = True
        failpoint("silver.after_rejected")
        # 5
        still_ours()
        if outcome.old.num_rows:
            identity = self.silver.identity
            silver.replace_rows(outcome.old, outcome.new, outcome.inserts, identity, transaction, lineage)
        else:
            silver.append(outcome.inserts, transaction, lineage)
        failpoint("silver.after_merge")
        # 6
        self._rows.changed(outcome.inserts, outcome.old, outcome.new)
        if not outcome.changes.num_rows:
            self._continuity.unchanged(silver.version)
        self._report(outcome, batch, time.monotonic() - started)
        return outcome

    def keep_up(self) -> None:
        """What the owner does for its tables now and then: few files, and what Redshift Spectrum reads."""
        with self.turn:
            assert self._rows is not None and self._upkeep is not None
            silver, _ = self._owned()
            known, before = self._rows.up_to_date, silver.version
            self._continuity.found(before)
            if self._upkeep.run() and silver.version != before:
                self._continuity.unchanged(silver.version)
                if known:
                    self._rows.still_there()

    def _owned(self) -> tuple[OwnedTable, OwnedTable]:
        if self._tables is None:
            self.ensure()
        assert self._tables is not None
        return self._tables

    def _refuse_another_silver(self, together: str) -> None:
        """Silver would be made again from bronze, and what was rejected rejected a second time."""
        _, rejected = self._owned()
        known = [each for each in rejected.transactions() if each.startswith(f"{self.name}@")]
        if known and together not in known:
            raise RemadeTableError(
                f"{self.silver_uri} is not the table that {self.rejected_uri} was written with: put that one back, or "
                f"remove both together: they are made again from bronze (docs/operating.md)"
            )

    def _handed(self, changes: pa.Table) -> Handed:
        silver, _ = self._owned()
        first = self._continuity.changed(silver.version)
        return Handed(self.name, silver.id, first, silver.version, changes)

    def _bad_rows(self, outcome: Outcome, batch: Batch) -> pa.Table:
        number = outcome.rejected.num_rows
        rows = outcome.rejected.append_column("batch", pa.repeat(pa.scalar(batch.tag), number))
        rows = rows.append_column("batch_number", pa.repeat(pa.scalar(batch.number, pa.int64()), number))
        schema = rejected_schema(self.contracts)
        return rows.select(schema.names).cast(schema)

    def _report(self, outcome: Outcome, batch: Batch, seconds: float) -> None:
        metrics().share(REJECT_RATIO, faulty(outcome.rules), outcome.rows_in, Source=self.source.name)
        told = json.dumps(counts(outcome).to_json())
        log.info("%s takes in version %d: %s in %.2f s", self.name, batch.number, told, seconds)

    def _lineage(self, outcome: Outcome, batch: Batch) -> str:
        return Lineage(
            job="silver",
            query=self.silver.name,
            batch=batch.number,
            code=code_version(),
            contract=self.silver.version,
            inputs=batch.inputs,
            counts=counts(outcome),
            drift=outcome.drift,
        ).to_json()


def counts(outcome: Outcome) -> Counts:
    """The figures as lineage shows them; `duplicate` also counts corrections, as their loser leaves silver."""
    return Counts(
        read=outcome.rows_in,
        valid=outcome.candidates,
        rejected=dict(outcome.rules),
        duplicate=sum(outcome.rules[rule] for rule in RIVAL_RULES),
        inserted=outcome.inserts.num_rows,
        updated=outcome.new.num_rows,
    )


def faulty(rules: Counter[str]) -> int:
    """Records that broke a rule: without those that only lost to another delivery of the same record."""
    return rules.total() - sum(rules[rule] for rule in RIVAL_RULES)
