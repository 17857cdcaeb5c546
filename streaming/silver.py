"""Bronze to silver: one owner per source moves records into its silver table or its rejected rows, each exactly once."""

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from lakehouse.contracts import Contract, Contracts
from lakehouse.delta.follow import TableLog
from lakehouse.delta.table import OwnedTable
from lakehouse.engine.batch import Outcome, settle_batch
from lakehouse.engine.schemas import arrow_schema, rejected_schema
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
from streaming.handover import Handed
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

    @property
    def tag(self) -> str:
        """What marks the batch's rows in rejected."""
        return tag_of(self.app_id, self.number)


def tag_of(app_id: str, number: int) -> str:
    """The `batch` of the rejected rows of a transaction."""
    return f"{app_id}:{number}"


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
        self._connection = duckdb.connect()
        self._fenced = False
        self._bronze: TableLog | None = None
        self._tables: tuple[OwnedTable, OwnedTable] | None = None
        self._rows: SilverRows | None = None
        self._upkeep: Upkeep | None = None

    def ensure(self) -> None:
        """Makes or widens both tables; raises IncompatibleTableError where the contract changed too much."""
        schema = arrow_schema(self.silver)
        silver = ensure_table(self.silver_uri, schema, self.silver.partitions, SILVER_PROPERTIES)
        rejected = ensure_table(
            self.rejected_uri, rejected_schema(self.contracts), ["ingest_date"], REJECTED_PROPERTIES
        )
        self._tables = silver, rejected
        self._rows = SilverRows(silver, self.source, self.silver, self.references)
        self._upkeep = Upkeep(self.settings, [silver, rejected], self.silver)

    @property
    def rejected(self) -> OwnedTable:
        """The table of the rejected rows."""
        return self._owned()[1]

    def follow(self, handed: Handed | None = None, stopped: Callable[[], bool] = lambda: False) -> list[Handed]:
        """Takes in what bronze has and silver has not, batch by batch; gives what each batch changed.

        `handed` is a commit that bronze has just made, with its rows: they need not be read again if nothing else is
        missing. Where `stopped` says so, the rest is left for later.
        """
        with self.turn:
            if self._tables is None:
                self.ensure()
            bronze = self._bronze = self._bronze or open_log(self.bronze_uri)
            app_id = f"bronze.{self.source.name}@{bronze.id}"
            done: list[Handed] = []
            while not stopped():
                taken = self.taken(app_id)
                if handed is not None and handed.table_id == bronze.id and handed.first == taken + 1:
                    first, last, rows = handed.first, handed.last, handed.rows
                else:
                    bite = bronze.added(taken, self.settings.silver_batch_bytes)
                    if bite is None or not bite.rows.num_rows:
                        break
                    first, last, rows = bite.first, bite.last, bite.rows
                handed = None
                outcome = self.process(
                    rows, Batch(app_id, last, (TableInput(f"bronze.{self.source.name}", first, last),))
                )
                if outcome is not None and outcome.changes.num_rows:
                    done.append(self._handed(outcome))
            return done

    def taken(self, app_id: str) -> int:
        """The version of bronze that silver has taken in; -1 for none."""
        silver, _ = self._owned()
        silver.refresh()
        found = silver.transaction(app_id)
        return -1 if found is None else found

    def process(self, records: pa.Table, batch: Batch, still_ours: Callable[[], None] = lambda: None) -> Outcome | None:
        """Moves a batch of bronze records into silver or rejected. The silver commit decides: before it the batch has
        not happened, with it the batch is over. Each commit becomes the version after the one that was looked at, or
        fails: nobody can come in between.

        1. Look at both tables as they are now. Refuse what somebody restored. A batch that silver has taken in is over.
        2. An attempt that died may have left its rows in rejected, whose transaction is then ahead of silver's.
        3. Compute the outcome from the records and from silver as it is.
        4. Write what is faulty, beaten or displaced to rejected, and take out what 2 found, in one commit. The first
           batch of a process commits to rejected in any case: an older attempt that sleeps somewhere can then no
           longer commit there behind it.
        5. Write what is new or changed to silver in one commit with the batch's transaction. `still_ours` raises
           where this process may no longer write.
        6. Remember the newest rows.

        Raises CommitConflictError where somebody else wrote one of the tables meanwhile.
        """
        started = time.monotonic()
        silver, rejected = self._owned()
        failpoint("silver.started")
        # 1
        silver.refresh()
        rejected.refresh()
        for each in self._restores:
            each.refuse()
        taken = silver.transaction(batch.app_id)
        if taken is not None and taken >= batch.number:
            return None
        # 2
        attempted = rejected.transaction(batch.app_id)
        left_over = attempted if attempted is not None and attempted > (-1 if taken is None else taken) else None
        # 3
        assert self._rows is not None
        outcome = settle_batch(records, self._rows, self.source, self.silver, self._connection)
        lineage = self._lineage(outcome, batch)
        transaction = {batch.app_id: batch.number}
        # 4
        failpoint("silver.before_rejected")
        if outcome.rejected.num_rows or left_over is not None or not self._fenced:
            rows = self._bad_rows(outcome, batch)
            if left_over is None:
                rejected.append(rows, transaction, lineage)
            else:
                tags = {tag_of(batch.app_id, left_over), batch.tag}
                where = " OR ".join(f"batch = '{tag}'" for tag in sorted(tags))
                rejected.overwrite_where(where, rows, transaction, lineage)
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
        self._report(outcome, batch, time.monotonic() - started)
        return outcome

    def keep_up(self) -> None:
        """What the owner does for its tables now and then: few files, and what Redshift Spectrum reads."""
        with self.turn:
            assert self._rows is not None and self._upkeep is not None
            if self._rows.up_to_date and self._upkeep.run():
                self._rows.still_there()
            else:
                self._upkeep.run()

    def _owned(self) -> tuple[OwnedTable, OwnedTable]:
        if self._tables is None:
            self.ensure()
        assert self._tables is not None
        return self._tables

    def _handed(self, outcome: Outcome) -> Handed:
        silver, _ = self._owned()
        return Handed(self.name, silver.id, silver.version, silver.version, outcome.changes)

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
