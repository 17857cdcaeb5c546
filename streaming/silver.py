"""Bronze to silver: one query per source owns its silver table and its rejected rows, and nobody else writes them."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from lakehouse import drift, silver
from lakehouse.contracts import Contract, Contracts
from lakehouse.layout import Layout, spark_path
from lakehouse.parsing import parse
from lakehouse.schemas import rejected_type, struct_type
from lakehouse.settings import Settings
from lakehouse.silver import INSERT, UPDATE, Bounds
from runtime.commits import code_version, last_transaction, transaction
from runtime.failpoints import failpoint
from runtime.lineage import Counts, Lineage, TableInput
from runtime.tables import ensure_table, refuse_altered
from streaming.references import References

SILVER_PROPERTIES = {
    "delta.enableChangeDataFeed": "true",
    "delta.enableDeletionVectors": "true",
    "delta.checkpointInterval": "50",
}
# An attempt's number is the batch's, followed by ten digits of seconds.
ATTEMPTS = 10_000_000_000
REJECTED_PROPERTIES = {"delta.enableDeletionVectors": "true", "delta.checkpointInterval": "50"}

# What a commit to silver happens inside of.
type Committing = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Origin:
    """Which batch writes: `tag` marks its rejected rows, (`app_id`, `number`) its silver commit."""

    tag: str
    app_id: str
    number: int
    inputs: tuple[TableInput, ...] = ()


@dataclass
class Tally:
    """What a batch did, for its commit's lineage."""

    rows_in: int = 0
    valid: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    drift: dict[str, int] = field(default_factory=dict)

    @property
    def faulty(self) -> int:
        """Records that broke a rule: without those that only lost to another delivery of the same record."""
        return self.rejected.total() - self.rejected["duplicate"] - self.rejected["superseded"]

    def counts(self) -> Counts:
        """The figures as lineage shows them; `duplicate` also counts corrections, as their loser leaves silver."""
        return Counts(
            read=self.rows_in,
            valid=self.valid,
            rejected=dict(self.rejected),
            duplicate=self.rejected["duplicate"] + self.rejected["superseded"],
            inserted=self.outcomes[INSERT],
            updated=self.outcomes[UPDATE],
        )


class SilverTable:
    """One silver table with its rejected rows, and the protocol that moves records into exactly one of them."""

    def __init__(self, settings: Settings, contracts: Contracts, source: str, references: References) -> None:
        layout = Layout(settings.root)
        self.contracts = contracts
        self.source: Contract = contracts.source(source)
        self.silver: Contract = contracts.silver_of(source)
        self.references = references
        self.bronze_uri = layout.table(f"bronze.{source}")
        self.silver_uri = layout.table(f"silver.{self.silver.name}")
        self.rejected_uri = layout.table(f"rejected.{source}")
        self.checkpoint = layout.checkpoint("silver", self.silver.name)
        self._attempt = 0

    def ensure(self, spark: SparkSession) -> None:
        """Makes or widens both tables; raises IncompatibleTableError where the contract changed too much."""
        schema = struct_type(self.silver)
        ensure_table(spark, self.silver_uri, schema, self.silver.partitions, SILVER_PROPERTIES)
        ensure_table(spark, self.rejected_uri, rejected_type(self.contracts), ["ingest_date"], REJECTED_PROPERTIES)

    def process(
        self, bronze: DataFrame, origin: Origin, recover: bool, committing: Committing = nullcontext
    ) -> Tally | None:
        """Moves a batch of bronze records into silver or rejected. The silver commit decides: before it the batch has
        not happened, with it the batch is over.

        1. A batch that silver has committed is over: nothing to do (None). Only a new process can meet one, and what
           an attempt that died left in rejected (`recover`).
        2. This attempt takes a number above those of all attempts before it. It is the version of its commit to
           rejected, under an id of the table's owner: once it is in, an older attempt that still runs somewhere
           cannot commit to rejected any more.
        3. Parse, check and enrich; each record is now a candidate or faulty.
        4. Candidates compete with each other and with the existing rows of their identity; the winners settle together
           with their neighbours in the group. A row that leaves a group which no candidate touches so early widens the
           batch by that group, once.
        5. Append what is faulty, beaten or displaced to rejected, marked with the batch's tag. After a death the same
           commit takes out what the attempt before left: today the reference data or the contract may say something
           else.
        6. Write what is new or changed to silver in one commit under the batch's transaction id: an append where
           nothing that is there changes, else a merge. It happens inside `committing`, which may refuse it.
        """
        spark = bronze.sparkSession
        # 1
        committed = last_transaction(spark, self.silver_uri, origin.app_id) if recover else None
        if committed is not None and committed >= origin.number:
            return None
        # 2
        attempt = self._next_attempt(spark, origin, recover)
        failpoint("silver.started")
        # 3
        references = self.references.current(spark, {c.reference[0] for c in self.source.columns if c.reference})
        enriched = silver.enrich(parse(bronze, self.source), self.source, self.silver, references)
        enriched = held(enriched)
        tally, candidates = self._survey(enriched)
        # 4
        settled = self._settle(enriched, candidates) if candidates.num_rows else None
        change, strays = self._count(settled, tally) if settled else (None, [])
        if strays:
            settled = self._settle(enriched, candidates, strays)
            change, _ = self._count(settled, tally)
        # 5
        failpoint("silver.before_rejected")
        self._append_rejected(enriched, settled, tally, origin, attempt, recover)
        failpoint("silver.after_rejected")
        # 6
        if settled is not None and change:
            self._write_silver(spark, settled, change, tally, origin, committing)
        failpoint("silver.after_merge")
        return tally

    def _next_attempt(self, spark: SparkSession, origin: Origin, recover: bool) -> int:
        """The batch's number with seconds since 1970 behind it; one above the last where a clock stands still."""
        if recover:
            last = last_transaction(spark, self.rejected_uri, rejected_id(origin.app_id))
            self._attempt = max(self._attempt, last or 0)
        self._attempt = max(self._attempt + 1, origin.number * ATTEMPTS + int(time.time()))
        return self._attempt

    def _survey(self, enriched: DataFrame) -> tuple[Tally, pa.Table]:
        """Counts by leading rule and undeclared field, and where the candidates lie. One job, without a shuffle."""
        rule = F.get(F.col("errors"), 0)["rule"].alias("rule")
        undeclared = F.when(F.size("undeclared") > 0, F.slice("undeclared", 1, drift.MOST_FIELDS)).alias("undeclared")
        rows = enriched.select(*silver.placing(self.silver), rule, undeclared).toArrow()
        tally = Tally(rows_in=rows.num_rows)
        valid = pc.is_null(rows["rule"])
        tally.rejected = Counter(_texts(rows["rule"]))
        tally.valid = rows.num_rows - tally.rejected.total()
        tally.drift = drift.counted(str(name) for names in rows["undeclared"].to_pylist() if names for name in names)
        return tally, rows.filter(valid).select(silver.placing(self.silver))

    def _settle(self, enriched: DataFrame, candidates: pa.Table, strays: Sequence[str] = ()) -> DataFrame:
        spark = enriched.sparkSession
        bounds = Bounds.of(candidates, self.silver)
        assert bounds is not None, "without candidates nothing settles"
        existing = spark.read.format("delta").load(spark_path(self.silver_uri))
        rivals = spark.createDataFrame(silver.identities(candidates, self.silver))
        touched = None
        if self.silver.group is not None:
            touched = spark.createDataFrame(silver.touched_groups(candidates, self.silver, bounds, strays))
        near = silver.neighbourhood(existing, rivals, touched, self.silver, bounds)
        return held(silver.outcomes(enriched.where(F.size("errors") == 0), near, self.source, self.silver))

    def _count(self, settled: DataFrame, tally: Tally) -> tuple[Bounds | None, list[str]]:
        """Notes the outcomes; gives the reach of what changes, and the groups that lose a row without a candidate.

        One Spark job.
        """
        rows = settled.select(*silver.placing(self.silver), "_outcome", "_rule", "_stray").toArrow()
        tally.outcomes = Counter(_texts(rows["_outcome"]))
        beaten = rows.filter(pc.is_in(rows["_outcome"], pa.array([silver.LOSE, silver.DISPLACE])))
        for rule in ("duplicate", "superseded"):
            tally.rejected.pop(rule, None)
        tally.rejected.update(_texts(beaten["_rule"]))
        changing = rows.filter(pc.is_in(rows["_outcome"], pa.array([INSERT, UPDATE])))
        return Bounds.of(changing, self.silver), sorted(set(_texts(rows["_stray"])))

    def _append_rejected(
        self,
        enriched: DataFrame,
        settled: DataFrame | None,
        tally: Tally,
        origin: Origin,
        attempt: int,
        recover: bool,
    ) -> None:
        rivals = tally.outcomes[silver.LOSE] + tally.outcomes[silver.DISPLACE]
        parts = []
        if recover or sum(tally.rejected.values()) > rivals:
            parts.append(silver.rejected_faults(enriched, self.source, origin.tag, origin.number))
        if settled is not None and rivals:
            parts.append(silver.rejected_rivals(settled, self.source, origin.tag, origin.number))
        if not parts:
            return
        rows = parts[0] if len(parts) == 1 else parts[0].unionByName(parts[1])
        refuse_altered(rows.sparkSession, self.rejected_uri, rejected_type(self.contracts))
        writer = rows.coalesce(1).write.format("delta").mode("append")
        if recover:
            writer = writer.mode("overwrite").option("replaceWhere", f"batch = '{origin.tag}'")
        with transaction(enriched.sparkSession, rejected_id(origin.app_id), attempt, self._lineage(tally, origin)):
            writer.save(spark_path(self.rejected_uri))

    def _write_silver(
        self,
        spark: SparkSession,
        settled: DataFrame,
        change: Bounds,
        tally: Tally,
        origin: Origin,
        committing: Committing,
    ) -> None:
        names = self.silver.column_names
        rows = settled.where(F.col("_outcome").isin(INSERT, UPDATE)).select(*names)
        # The rows' neighbours have just been read.
        refuse_altered(spark, self.silver_uri, struct_type(self.silver), read_anew=False)
        with committing(), transaction(spark, origin.app_id, origin.number, self._lineage(tally, origin)):
            if not tally.outcomes[UPDATE]:
                spread = rows.repartition(*self.silver.partitions) if self.silver.partitions else rows.coalesce(1)
                spread.write.format("delta").mode("append").save(spark_path(self.silver_uri))
                return
            target = DeltaTable.forPath(spark, spark_path(self.silver_uri)).alias("t")
            same = " AND ".join(f"t.`{name}` = s.`{name}`" for name in self.silver.identity)
            merge = target.merge(rows.alias("s"), f"{self._scope(change)} AND {same}")
            # By name: the table may have columns that a newer contract has added.
            values: dict[str, str | Column] = {f"`{name}`": f"s.`{name}`" for name in names}
            merge.whenMatchedUpdate(set=values).whenNotMatchedInsert(values=values).execute()

    def _scope(self, change: Bounds) -> str:
        """The literal part of the merge condition: Delta opens only files that can hold these rows."""
        time = f"t.`{self.silver.event_time}`"
        scope = [f"{time} >= '{change.earliest}'", f"{time} <= '{change.latest}'"]
        if "month" in self.silver.partitions:
            scope.append(f"t.month IN ({', '.join(repr(month) for month in change.months)})")
        return " AND ".join(scope)

    def _lineage(self, tally: Tally, origin: Origin) -> str:
        return Lineage(
            job="silver",
            query=self.silver.name,
            batch=origin.number,
            code=code_version(),
            contract=self.silver.version,
            inputs=origin.inputs,
            counts=tally.counts(),
            drift=tally.drift,
        ).to_json()


def rejected_id(app_id: str) -> str:
    """The transaction id of a batch's rejected rows."""
    return f"{app_id}:rejected"


def _texts(values: "pa.ChunkedArray[Any]") -> list[str]:
    return [str(value) for value in values.to_pylist() if value is not None]


def held(rows: DataFrame) -> DataFrame:
    """The rows, computed once, by the first job that needs them.

    Not `persist`: plans that name a Delta table are planned again after every write to it, which costs more than a
    whole small batch. A local checkpoint forgets the plan; its memory is freed with the frame.
    """
    return rows.localCheckpoint(eager=False)
