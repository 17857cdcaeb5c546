"""Silver to gold: one query per gold table owns it and keeps it by merging the change feeds of silver tables."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from lakehouse import gold
from lakehouse.contracts import Contract, Contracts
from lakehouse.errors import LakehouseError
from lakehouse.layout import Layout, spark_path
from lakehouse.schemas import struct_type
from lakehouse.settings import Settings
from runtime.checkpoints import batch_offsets, checkpoint_id, delta_range
from runtime.commits import CODE_VERSION, last_transaction, transaction
from runtime.storage import Storage
from runtime.tables import ensure_table, table_exists

GOLD_TABLES = gold.TABLES
FINGERPRINT = "lakehouse.fingerprint"
ADDED = ("insert", "update_postimage")


class MissingSilverTableError(LakehouseError):
    """A silver table that a KPI reads is not there."""


@dataclass(frozen=True)
class Versions:
    """Which versions of a silver table a batch reads; `read` is False when the batch has nothing of it."""

    from_version: int
    to_version: int
    read: bool


class GoldTable:
    """One gold table, and the protocols that keep it equal to a recomputation from silver."""

    def __init__(self, settings: Settings, contracts: Contracts, table: str) -> None:
        """`table` is one of `GOLD_TABLES`. Raises LakehouseError for any other name."""
        layout = Layout(settings.root)
        self.contract: Contract = contracts.table(f"gold.{table}")
        self.name = f"gold.{table}"
        self.uri = layout.table(self.name)
        self.silver = {source: layout.table(source) for source in gold.sources_of(table)}
        self.checkpoints = layout.checkpoint("gold", table)
        self.properties = {
            "delta.enableDeletionVectors": "false",
            "delta.checkpointInterval": "200",
            "delta.compatibility.symlinkFormatManifest.enabled": str(settings.symlink_manifests).lower(),
        }

    def prepare(self, spark: SparkSession) -> str:
        """Makes, widens or empties the table and gives the address of the checkpoint that its query goes on with.

        The table's property `lakehouse.fingerprint` holds its generation, `<fingerprint>-<number>`, which is also the
        name of the checkpoint folder: what was merged into the table and how far the query came belong together.

        1. Same declarations and a checkpoint that knows of all the table holds: go on with both.
        2. Otherwise the table is built anew: take the next number whose folder does not exist.
        3. One Delta commit empties the table, gives it the contract's columns and sets the new generation.
        4. The query makes the folder when it starts.

        Death before 3 changes nothing; after 3 the table is empty and fits a folder that does not exist, which 1 lets
        pass. Raises MissingSilverTableError, or IncompatibleTableError where 1 meets a table that was altered by hand.
        """
        print_of_now = gold.fingerprint(self.contract, self._silver_ids(spark))
        generation, filled = self._state(spark)
        # 1
        if generation and generation.rpartition("-")[0] == print_of_now and self._fits(spark, generation, filled):
            properties = self.properties | {FINGERPRINT: generation}
            ensure_table(spark, self.uri, struct_type(self.contract), self.contract.partitions, properties)
            return f"{self.checkpoints}/{generation}"
        # 2
        number = int(generation.rpartition("-")[2]) + 1 if generation else 1
        while Storage.open(f"{self.checkpoints}/{print_of_now}-{number}").list():
            number += 1
        generation = f"{print_of_now}-{number}"
        # 3
        builder = DeltaTable.createOrReplace(spark).location(spark_path(self.uri))
        builder = builder.addColumns(struct_type(self.contract)).partitionedBy(*self.contract.partitions)
        for name, value in (self.properties | {FINGERPRINT: generation}).items():
            builder = builder.property(name, value)
        builder.execute()
        # 4
        return f"{self.checkpoints}/{generation}"

    def _silver_ids(self, spark: SparkSession) -> list[str]:
        missing = [source for source, uri in self.silver.items() if not table_exists(spark, uri)]
        if missing:
            raise MissingSilverTableError(
                f"{self.name} needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not there yet: "
                "start `lakehouse stream silver` first"
            )
        return [str(_detail(spark, uri)["id"]) for uri in self.silver.values()]

    def _state(self, spark: SparkSession) -> tuple[str | None, bool]:
        """The generation that the table is of, and whether it holds anything."""
        if not table_exists(spark, self.uri):
            return None, False
        detail = _detail(spark, self.uri)
        return detail["properties"].get(FINGERPRINT), detail["numFiles"] > 0

    def _fits(self, spark: SparkSession, generation: str, filled: bool) -> bool:
        """Whether the generation's checkpoint is where the table's rows came from, and not behind them."""
        checkpoint = Storage.open(f"{self.checkpoints}/{generation}")
        if checkpoint.read("metadata") is None:
            return not filled and not checkpoint.list()
        merged = last_transaction(spark, self.uri, self._app_id(checkpoint))
        if merged is None:
            return not filled
        offsets = (each.key.rpartition("/")[2] for each in checkpoint.list("offsets"))
        return merged <= max((int(name) for name in offsets if name.isdecimal()), default=-1)

    def _app_id(self, checkpoint: Storage) -> str:
        return f"{checkpoint_id(checkpoint)}:{self.name}"

    def changes(self, spark: SparkSession) -> DataFrame:
        """The stream of signed contributions: every row that silver tables hold, then every change."""
        sign = F.when(F.col("_change_type").isin(*ADDED), 1).otherwise(-1)
        streams = (
            gold.contributions(_change_feed(spark, uri), source, self.contract, sign)
            for source, uri in self.silver.items()
        )
        return reduce(DataFrame.unionByName, streams)

    def merge(self, changes: DataFrame, batch: int, checkpoint: Storage, recover: bool = False) -> None:
        """Brings one micro-batch of signed contributions into the table, once.

        1. A batch that the table has committed is over.
        2. Add the contributions up per key, leave out keys at which everything nets to zero, keep the sums and look at
           what they touch (one Spark job).
        3. What does not add up (percentiles) is computed from silver for the touched keys, at the version to which
           this batch has read silver: what came later is in a later batch.
        4. Nothing left: no commit.
        5. One merge under the batch's transaction id, confined to the partitions and days touched.
        """
        spark = changes.sparkSession
        app_id = self._app_id(checkpoint)
        # 1
        if recover and (last_transaction(spark, self.uri, app_id) or -1) >= batch:
            return
        # 2
        sums = gold.sums(changes, self.contract).where(gold.changes())
        collected = sums.toArrow()
        touched = gold.survey(collected)
        # 3
        if touched is None:
            return
        signed = spark.createDataFrame(collected, sums.schema)
        # 4
        versions = self._versions(checkpoint, batch)
        source = self._with_percentiles(signed, touched, versions) if touched.percentiles else signed
        # 5
        with transaction(spark, app_id, batch, self._lineage(batch, versions, touched)):
            merge_into(DeltaTable.forPath(spark, spark_path(self.uri)), source, self.contract, touched)

    def _with_percentiles(
        self, signed: DataFrame, touched: gold.Touched, versions: Mapping[str, Versions]
    ) -> DataFrame:
        spark = signed.sparkSession
        silver = {
            source: spark.read.format("delta")
            .option("versionAsOf", versions[source].to_version)
            .load(spark_path(self.silver[source]))
            for source in gold.ranked_sources_of(self.contract.name)
        }
        keys = signed.where(f"{gold.PERCENTILE} IS NOT NULL")
        added = signed.where(f"{gold.PERCENTILE} IS NULL")
        return added.unionByName(gold.recomputed(keys, silver, self.contract, touched.days))

    def _versions(self, checkpoint: Storage, batch: int) -> dict[str, Versions]:
        """Which versions of each silver table the batch reads, from the offsets that Spark noted for it."""
        before, after = batch_offsets(checkpoint, batch - 1), batch_offsets(checkpoint, batch)
        return {
            source: Versions(
                *delta_range(checkpoint, batch, number), read=before[number : number + 1] != after[number : number + 1]
            )
            for number, source in enumerate(self.silver)
        }

    def _lineage(self, batch: int, versions: Mapping[str, Versions], touched: gold.Touched) -> str:
        document = {
            "job": "gold",
            "query": self.contract.name,
            "batch": batch,
            "code": CODE_VERSION,
            "contract": self.contract.version,
            "inputs": [
                {"table": source, "from_version": each.from_version, "to_version": each.to_version}
                for source, each in versions.items()
                if each.read
            ],
            "counts": {"keys": touched.keys},
        }
        return json.dumps(document, sort_keys=True)


def start(
    spark: SparkSession, settings: Settings, contracts: Contracts, table: str, trigger: Mapping[str, str]
) -> StreamingQuery:
    """Starts the long-running query `gold.<table>`, on a new checkpoint where the table has to be built anew.

    Raises MissingSilverTableError as long as a silver table that it reads is not there.
    """
    target = GoldTable(settings, contracts, table)
    folder = target.prepare(spark)
    checkpoint = Storage.open(folder)
    if settings.symlink_manifests:
        DeltaTable.forPath(spark, spark_path(target.uri)).generate("symlink_format_manifest")
    writer = target.changes(spark).writeStream.queryName(target.name)
    writer = writer.foreachBatch(lambda changes, batch: target.merge(changes, batch, checkpoint))
    return writer.option("checkpointLocation", spark_path(folder)).trigger(**trigger).start()  # type: ignore[arg-type]


def merge_into(target: DeltaTable, source: DataFrame, contract: Contract, touched: gold.Touched) -> None:
    """Adds sums and sets percentiles in a gold table; a row that nothing supports any more goes."""
    clauses = gold.Merge(contract, touched)
    merge = target.alias("t").merge(source.alias("s"), clauses.condition)
    merge = merge.whenMatchedDelete(clauses.delete_if)
    merge = merge.whenMatchedUpdate(set=dict(clauses.update))
    merge.whenNotMatchedInsert(clauses.insert_if, dict(clauses.insert)).execute()


def _change_feed(spark: SparkSession, uri: str) -> DataFrame:
    """Without a starting version Delta gives the rows that are there as inserts, then what changes."""
    return spark.readStream.format("delta").option("readChangeFeed", "true").load(spark_path(uri))


def _detail(spark: SparkSession, uri: str) -> Row:
    detail = DeltaTable.forPath(spark, spark_path(uri)).detail().select("id", "properties", "numFiles").first()
    assert detail is not None, "a Delta table has one row of detail"
    return detail
