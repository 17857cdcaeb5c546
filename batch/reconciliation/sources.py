"""One source at pinned versions: the frames that `lakehouse/reconciliation.py` compares."""

from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from batch.reconciliation.pins import EMPTY, SourcePins
from lakehouse import silver
from lakehouse.contracts import Contract, Contracts
from lakehouse.layout import Layout, spark_path
from lakehouse.parsing import parse
from lakehouse.reconciliation import (
    ANYWHERE,
    SILVER,
    Wanted,
    arrivals,
    changed_ids,
    moved_rejected,
    strange_rejected,
    waiting,
    wanted,
)
from lakehouse.schemas import envelope_type, rejected_type, struct_type
from lakehouse.silver import Bounds
from streaming.references import References
from streaming.silver import held

# Of so many parts a sample takes its share.
PARTS = 10_000


@dataclass(frozen=True)
class Sample:
    """A seeded share of silver's partitions, between 0 and 1."""

    share: float
    seed: int

    def takes(self, partitions: tuple[str, ...]) -> Any:
        """Whether a row's partition is in the sample."""
        part = F.pmod(F.xxhash64(F.lit(self.seed), *(F.col(name) for name in partitions)), F.lit(PARTS))
        return part < int(self.share * PARTS)


@dataclass(frozen=True)
class Frames:
    """What must be there and what is. Only where a change is proved: `changed` (ids), `feed` (silver's changes) and
    `rewritten` (differences of rejected rows that no job touches).
    """

    wanted: Wanted
    in_silver: DataFrame
    in_rejected: DataFrame
    rows_in_silver: DataFrame
    records: int
    changed: DataFrame | None = None
    feed: DataFrame | None = None
    rewritten: DataFrame | None = None


@dataclass(frozen=True)
class _Taken:
    """Records taken into silver: what must be there, the outcomes of the contest, and how many records they are."""

    due: Wanted
    settled: DataFrame
    records: int


class SourceTables:
    """The tables of one source, read as of versions."""

    def __init__(self, spark: SparkSession, root: str, contracts: Contracts, source: str) -> None:
        layout = Layout(root)
        self.spark = spark
        self.contracts = contracts
        self.source: Contract = contracts.source(source)
        self.silver: Contract = contracts.silver_of(source)
        self.uris = {
            "bronze": layout.table(f"bronze.{source}"),
            "silver": layout.table(f"silver.{self.silver.name}"),
            "rejected": layout.table(f"rejected.{source}"),
        }
        self._schemas = {
            "bronze": envelope_type(contracts),
            "silver": struct_type(self.silver),
            "rejected": rejected_type(contracts),
        }
        self._layout = layout
        self._references = References(contracts, layout)

    def whole(self, pins: SourcePins, sample: Sample | None) -> Frames:
        """Everything that bronze holds, as if it arrived at once; values of a `sample` only, if there is one.

        What waits in rejected for a reference row takes no part: silver is what the other records make.
        """
        bronze = self._at("bronze", pins.bronze)
        in_silver, in_rejected = self._at("silver", pins.silver), self._at("rejected", pins.rejected)
        enriched = held(self._enriched(bronze))
        valid = enriched.where(F.size("errors") == 0)
        waits = held(waiting(in_silver, in_rejected))
        candidates = valid.join(waits, "record_id", how="left_anti")
        unsettled = valid.join(waits, "record_id", how="left_semi")
        rows_in_silver = in_silver
        if sample is not None:
            rows_in_silver = in_silver.where(sample.takes(self._partitions()))
            candidates = self._competing(candidates, rows_in_silver)
        settled = held(self._settled(candidates, self._nothing()))
        due = wanted(enriched, settled, unsettled, self.silver)
        if sample is not None:
            inside = settled.where(sample.takes(self._partitions()))
            due = self._sampled(due, enriched, inside.select("record_id").union(unsettled.select("record_id")), sample)
        return Frames(due, in_silver, in_rejected, rows_in_silver, enriched.count())

    def change(self, before: SourcePins, now: SourcePins) -> Frames:
        """What bronze gained between two points, taken into silver as it was before.

        1. The new records alone.
        2. Older records that moved all the same (a redrive does so, and whoever writes by hand) are taken in once
           more, together with the new ones: where they are now must be where they belong.
        """
        in_silver, in_rejected = self._at("silver", now.silver), self._at("rejected", now.rejected)
        past, feed = self._at("silver", before.silver), self._changes(before.silver, now.silver)
        waits = held(waiting(in_silver, in_rejected))
        # 1
        new = self._new_records(before.bronze, now.bronze)
        taken = self._taken_in(new, past, waits, waits.limit(0))
        # 2
        rejected = held(moved_rejected(self._at("rejected", before.rejected), in_rejected))
        moved = rejected.select("record_id").union(arrivals(feed)).distinct()
        moved = held(moved.join(taken.due.fates, "record_id", how="left_anti"))
        if not moved.isEmpty():
            there = held(moved.join(past, "record_id", how="left_semi"))
            away = moved.join(there, "record_id", how="left_anti")
            again = self._at("bronze", before.bronze).join(away, "record_id", how="left_semi")
            taken = self._taken_in(new.unionByName(again), past, waits, there)
        ids = held(taken.due.fates.select("record_id").union(moved).distinct())
        rows, rejected_rows = (each.join(ids, "record_id", how="left_semi") for each in (in_silver, in_rejected))
        return Frames(
            taken.due,
            rows,
            rejected_rows,
            rows,
            taken.records,
            changed_ids(taken.settled),
            feed,
            strange_rejected(rejected, before.rejected),
        )

    def deliveries(self, reference: str) -> DataFrame:
        """All rows of a reference source that passed its rules, as bronze holds them now."""
        uri = self._layout.table(f"bronze.{reference}")
        bronze = self.spark.read.format("delta").load(spark_path(uri))
        return parse(bronze, self.contracts.source(reference)).where(F.size("errors") == 0)

    def references(self) -> dict[str, DataFrame]:
        """The reference tables that the source names, as they are now, with `valid_to`."""
        names = {column.reference[0] for column in self.source.columns if column.reference}
        return self._references.current(self.spark, names)

    def rivals(self, frames: Frames, now: SourcePins) -> DataFrame:
        """The silver rows whose identities must be unique: all, or those of the rows that a change touches."""
        if frames.changed is None:
            return frames.in_silver
        identities = frames.wanted.rows.select(*self.silver.identity).distinct()
        return self._at("silver", now.silver).join(identities, list(self.silver.identity), how="left_semi")

    def _at(self, layer: str, version: int) -> DataFrame:
        """The table of a layer as of a version, with the columns of its contract; empty before its first."""
        schema = self._schemas[layer]
        if version == EMPTY:
            return self.spark.createDataFrame([], schema)
        rows = self.spark.read.format("delta").option("versionAsOf", version).load(spark_path(self.uris[layer]))
        return rows.select(*(_column(rows, schema, name) for name in schema.names))

    def _changes(self, before: int, now: int) -> DataFrame:
        feed = self.spark.read.format("delta").option("readChangeFeed", "true")
        if now <= before:
            names = "record_id string, _change_type string, _commit_version bigint"
            return self.spark.createDataFrame([], names)
        feed = feed.option("startingVersion", before + 1).option("endingVersion", now)
        return feed.load(spark_path(self.uris["silver"]))

    def _new_records(self, before: int, now: int) -> DataFrame:
        """The rows of bronze files that the later version has and the earlier has not. Bronze only grows: a compacted
        file brings older records along, which are left out by name.
        """
        old = set() if before == EMPTY else self._files("bronze", before)
        new = sorted(self._files("bronze", now) - old)
        schema = self._schemas["bronze"]
        if not new:
            return self.spark.createDataFrame([], schema)
        stored = StructType([field for field in schema if field.name != "ingest_date"])
        rows = self.spark.read.schema(stored).parquet(*new).withColumn("ingest_date", F.to_date("arrived_at"))
        gone = sorted(old - self._files("bronze", now))
        if gone:
            known = self.spark.read.schema(stored).parquet(*gone).select("record_id")
            rows = rows.join(known, "record_id", how="left_anti")
        return rows.select(*schema.names)

    def _files(self, layer: str, version: int) -> set[str]:
        """The addresses of a version's data files."""
        rows = self.spark.read.format("delta").option("versionAsOf", version).load(spark_path(self.uris[layer]))
        return set(rows.inputFiles())

    def _enriched(self, bronze: DataFrame) -> DataFrame:
        """Enriched records without their payload, which no comparison needs."""
        rows = silver.enrich(parse(bronze, self.source), self.source, self.silver, self.references())
        return rows.withColumn("payload", F.lit(None).cast("string"))

    def _taken_in(self, records: DataFrame, past: DataFrame, waits: DataFrame, there: DataFrame) -> "_Taken":
        """Bronze records taken into silver as it was, but for those that wait. `there` are ids of past silver rows
        that must have stayed in silver if none of the records beats them.
        """
        enriched = held(self._enriched(records))
        valid = enriched.where(F.size("errors") == 0)
        settled = held(self._settled_into(valid.join(waits, "record_id", how="left_anti"), past))
        stay = there.join(settled, "record_id", how="left_anti")
        unsettled = valid.join(waits, "record_id", how="left_semi").select("record_id").union(stay)
        return _Taken(wanted(enriched, settled, unsettled, self.silver), settled, enriched.count())

    def _settled(self, candidates: DataFrame, existing: DataFrame) -> DataFrame:
        return silver.outcomes(candidates, existing, self.source, self.silver)

    def _settled_into(self, candidates: DataFrame, existing: DataFrame) -> DataFrame:
        """As the silver batch does it: with the neighbours, and once more where a row leaves another group."""
        placing = candidates.select(*silver.placing(self.silver)).toArrow()
        bounds = Bounds.of(placing, self.silver)
        if bounds is None:
            return self._settled(candidates, self._nothing())
        rivals = self.spark.createDataFrame(silver.identities(placing, self.silver))
        strays: list[str] = []
        while True:
            touched = None
            if self.silver.group is not None:
                touched = self.spark.createDataFrame(silver.touched_groups(placing, self.silver, bounds, strays))
            near = silver.neighbourhood(existing, rivals, touched, self.silver, bounds)
            settled = held(self._settled(candidates, near))
            found = [str(row[0]) for row in settled.where("_stray IS NOT NULL").select("_stray").distinct().collect()]
            if not found or strays:
                return settled
            strays = sorted(found)

    def _nothing(self) -> DataFrame:
        empty = self.spark.createDataFrame([], self._schemas["silver"])
        return empty.withColumn("_since", F.lit(None).cast("timestamp"))

    def _partitions(self) -> tuple[str, ...]:
        return self.silver.partitions or self.silver.identity

    def _competing(self, candidates: DataFrame, sampled: DataFrame) -> DataFrame:
        """All candidates of the groups that have rows in a sample, and all that compete with those."""
        identity = list(self.silver.identity)
        members = [self.silver.group.key] if self.silver.group else identity
        inside = candidates.join(sampled.select(*members).distinct(), members, how="left_semi")
        return candidates.join(inside.select(*identity).distinct(), identity, how="left_semi")

    def _sampled(self, due: Wanted, enriched: DataFrame, inside: DataFrame, sample: Sample) -> Wanted:
        """Values and places of the sample, whose records are `inside`; every other valid record may be anywhere, but
        must be there once.
        """
        known = due.fates.where(F.col("place") == SILVER).join(inside, "record_id", how="left_semi")
        settled_fates = due.fates.where(F.col("place") != SILVER).unionByName(known)
        rest = enriched.where(F.size("errors") == 0).select("record_id")
        rest = rest.join(settled_fates.select("record_id"), "record_id", how="left_anti")
        anywhere = rest.select("record_id", F.lit(ANYWHERE).alias("place"), F.lit(None).cast("string").alias("rule"))
        return Wanted(due.rows.where(sample.takes(self._partitions())), settled_fates.unionByName(anywhere))


def _column(rows: DataFrame, schema: StructType, name: str) -> Any:
    """A column that a later contract added is null in versions before it."""
    return F.col(name) if name in rows.columns else F.lit(None).cast(schema[name].dataType).alias(name)
