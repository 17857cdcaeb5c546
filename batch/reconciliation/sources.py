"""One source at pinned versions: the frames that `differences.py` compares."""

from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from batch.reconciliation.cached import cached
from batch.reconciliation.differences import (
    arrivals,
    changed_ids,
    expected,
    moved_rejected,
    strange_changes,
    strange_rejected,
    waiting,
)
from batch.reconciliation.pins import EMPTY, SourcePins
from batch.reconciliation.recomputed.dialect import refuse_patterns
from batch.reconciliation.recomputed.enrich import enrich
from batch.reconciliation.recomputed.parsing import parse
from batch.reconciliation.recomputed.silver import silver_after, silver_at_once
from batch.reconciliation.references import References
from batch.reconciliation.spark_schemas import envelope_type, rejected_type, struct_type
from lakehouse.contracts import Contract, Contracts
from lakehouse.layout import Layout, spark_path
from runtime.delta_log import DeltaLog
from runtime.lineage import TableInput, read_lineage

_WAITS = "_waits"


@dataclass(frozen=True)
class Frames:
    """What must be there (`expected`) and what is, of all records or of those that a change touches.

    `same_identities`: the silver rows whose identities must be unique. Only where a change is proved: `strange` changes
    of silver and `rewritten` rejected rows, both of them differences.
    """

    expected: DataFrame
    in_silver: DataFrame
    in_rejected: DataFrame
    same_identities: DataFrame
    strange: DataFrame | None = None
    rewritten: DataFrame | None = None


@dataclass(frozen=True)
class _Taken:
    """Records taken into silver: what must become of them, and the rows that the rules make of them."""

    expected: DataFrame
    recomputed: DataFrame


class SourceTables:
    """The tables of one source, read as of versions."""

    def __init__(
        self, spark: SparkSession, root: str, contracts: Contracts, source: str, references: References
    ) -> None:
        """Raises UntranslatableError for a contract that Spark cannot check."""
        layout = Layout(root)
        self.spark = spark
        self.source: Contract = contracts.source(source)
        self.silver: Contract = contracts.silver_of(source)
        self._references = references
        self._uris = {
            "bronze": layout.table(f"bronze.{source}"),
            "silver": layout.table(f"silver.{self.silver.name}"),
            "rejected": layout.table(f"rejected.{source}"),
        }
        self._schemas = {
            "bronze": envelope_type(contracts),
            "silver": struct_type(self.silver),
            "rejected": rejected_type(contracts),
        }
        self._silver_log = DeltaLog(root, f"silver.{self.silver.name}")
        self._reference_tables = {f"silver.{each.reference[0]}" for each in self.source.columns if each.reference}
        refuse_patterns(spark, self.source)

    def whole(self, pins: SourcePins) -> Frames:
        """Everything that bronze holds, as if it arrived at once.

        What waits in rejected for a reference row takes no part: silver is what the other records make.
        """
        in_silver, in_rejected = self._at("silver", pins.silver), self._at("rejected", pins.rejected)
        records = self._enriched(self._at("bronze", pins.bronze), waiting(in_rejected))
        recomputed = silver_at_once(_competing(records), self.silver)
        return Frames(
            expected(records, recomputed, _sitting_out(records), self.silver), in_silver, in_rejected, in_silver
        )

    def change(self, before: SourcePins, now: SourcePins) -> Frames:
        """What bronze gained between two points, taken into silver as it was before.

        1. The new records alone.
        2. Older records that moved all the same (a redrive does so, and whoever writes by hand) are taken in once
           more, together with the new ones: where they are now must be where they belong. So are those that the job
           looked up again, because reference data came after them.
        """
        in_silver, in_rejected = self._at("silver", now.silver), self._at("rejected", now.rejected)
        past, feed = self._at("silver", before.silver), self._changes(before.silver, now.silver)
        waits = cached(waiting(in_rejected))
        # 1
        new = self._new_records(before.bronze, now.bronze)
        taken = self._taken_in(new, past, waits, waits.limit(0))
        # 2
        rejected = cached(moved_rejected(self._at("rejected", before.rejected), in_rejected))
        moved = rejected.select("record_id").union(arrivals(feed)).distinct()
        moved = cached(moved.join(taken.expected, "record_id", how="left_anti"))
        looked_up = self._looked_up_again(feed, before.silver, now.silver)
        if looked_up is not None or not moved.isEmpty():
            past, again = self._without(past, looked_up)
            there = cached(moved.join(past, "record_id", how="left_semi"))
            away = moved.join(there, "record_id", how="left_anti").union(again).distinct()
            bronze = self._at("bronze", before.bronze).join(away, "record_id", how="left_semi")
            taken = self._taken_in(new.unionByName(bronze), past, waits, there)
        ids = cached(taken.expected.select("record_id").union(moved).distinct())
        rows, rejected_rows = (each.join(ids, "record_id", how="left_semi") for each in (in_silver, in_rejected))
        identity = list(self.silver.identity)
        identities = taken.expected.where(F.col("wanted").isNotNull()).select(*(f"wanted.{name}" for name in identity))
        return Frames(
            taken.expected,
            rows,
            rejected_rows,
            in_silver.join(identities.distinct(), identity, how="left_semi"),
            strange_changes(feed, _either(changed_ids(taken.recomputed), looked_up)),
            strange_rejected(rejected, before.rejected),
        )

    def _at(self, layer: str, version: int) -> DataFrame:
        """The table of a layer as of a version, with the columns of its contract; empty before its first."""
        schema = self._schemas[layer]
        if version == EMPTY:
            return self.spark.createDataFrame([], schema)
        rows = self.spark.read.format("delta").option("versionAsOf", version).load(spark_path(self._uris[layer]))
        return rows.select(*(_column(rows, schema, name) for name in schema.names))

    def _changes(self, before: int, now: int) -> DataFrame:
        feed = self.spark.read.format("delta").option("readChangeFeed", "true")
        if now <= before:
            names = "record_id string, _change_type string, _commit_version bigint"
            return self.spark.createDataFrame([], names)
        feed = feed.option("startingVersion", before + 1).option("endingVersion", now)
        return feed.load(spark_path(self._uris["silver"]))

    def _looked_up_again(self, feed: DataFrame, before: int, now: int) -> DataFrame | None:
        """The `record_id`s whose rows a commit changed that took in reference data; None where there is none."""
        versions = []
        for version in range(before + 1, now + 1):
            commit = self._silver_log.commit(version)
            lineage = read_lineage(commit.metadata) if commit else None
            inputs = {each.table for each in lineage.inputs if isinstance(each, TableInput)} if lineage else set()
            if inputs.intersection(self._reference_tables):
                versions.append(version)
        if not versions:
            return None
        return cached(feed.where(F.col("_commit_version").isin(versions)).select("record_id").distinct())

    def _without(self, past: DataFrame, looked_up: DataFrame | None) -> tuple[DataFrame, DataFrame]:
        """Silver as it was without the rows that were looked up again since, and the `record_id`s of those."""
        if looked_up is None:
            return past, past.select("record_id").limit(0)
        again = cached(past.select("record_id").join(looked_up, "record_id", how="left_semi"))
        return past.join(again, "record_id", how="left_anti"), again

    def _new_records(self, before: int, now: int) -> DataFrame:
        """The rows of bronze files that the later version has and the earlier has not. Bronze only grows: a compacted
        file brings older records along, which are left out by name.
        """
        old = set() if before == EMPTY else self._files("bronze", before)
        all_now = self._files("bronze", now)
        new = sorted(all_now - old)
        schema = self._schemas["bronze"]
        if not new:
            return self.spark.createDataFrame([], schema)
        stored = StructType([field for field in schema if field.name != "ingest_date"])
        rows = self.spark.read.schema(stored).parquet(*new).withColumn("ingest_date", F.to_date("arrived_at"))
        gone = sorted(old - all_now)
        if gone:
            known = self.spark.read.schema(stored).parquet(*gone).select("record_id")
            rows = rows.join(known, "record_id", how="left_anti")
        return rows.select(*schema.names)

    def _files(self, layer: str, version: int) -> set[str]:
        """The addresses of a version's data files."""
        rows = self.spark.read.format("delta").option("versionAsOf", version).load(spark_path(self._uris[layer]))
        return set(rows.inputFiles())

    def _enriched(self, bronze: DataFrame, waits: DataFrame) -> DataFrame:
        """Bronze records with typed, looked-up and computed columns, their errors, and whether they wait."""
        rows = enrich(parse(bronze, self.source), self.source, self.silver, self._references.of(self.source))
        known = waits.withColumn(_WAITS, F.lit(True))
        return cached(rows.join(known, "record_id", how="left").fillna(False, [_WAITS]))

    def _taken_in(self, bronze: DataFrame, past: DataFrame, waits: DataFrame, there: DataFrame) -> _Taken:
        """Bronze records taken into silver as it was, but for those that wait. `there` are ids of past silver rows
        that must have stayed in silver if none of the records beats them.
        """
        records = self._enriched(bronze, waits)
        recomputed = cached(silver_after(_competing(records), past, self.silver))
        stay = there.join(recomputed, "record_id", how="left_anti").select("record_id", F.lit(False).alias("delivered"))
        others = _sitting_out(records).unionByName(stay)
        return _Taken(cached(expected(records, recomputed, others, self.silver)), recomputed)


def _either(ids: DataFrame, others: DataFrame | None) -> DataFrame:
    return ids if others is None else ids.union(others)


def _competing(records: DataFrame) -> DataFrame:
    return records.where((F.size("errors") == 0) & ~F.col(_WAITS))


def _sitting_out(records: DataFrame) -> DataFrame:
    """The valid records that wait all the same, because their reference row came later."""
    waits = records.where((F.size("errors") == 0) & F.col(_WAITS))
    return waits.select("record_id", F.lit(True).alias("delivered"))


def _column(rows: DataFrame, schema: StructType, name: str) -> Any:
    """A column that a later contract added is null in versions before it."""
    return F.col(name) if name in rows.columns else F.lit(None).cast(schema[name].dataType).alias(name)
