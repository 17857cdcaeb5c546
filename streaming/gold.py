"""Silver to gold: one query per gold table owns it and keeps it by merging the change feeds of silver tables."""

import logging
from collections.abc import Mapping
from functools import reduce
from typing import Any

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
from runtime.checkpoints import CheckpointError, batch_offsets, checkpoint_id, delta_range, delta_version, progress
from runtime.commits import code_version, last_transaction, transaction
from runtime.compaction import compact, due
from runtime.delta_log import DeltaLog
from runtime.failpoints import failpoint
from runtime.lineage import Counts, Lineage, TableInput
from runtime.manifests import CataloguedPartitions
from runtime.restores import RestoredTableError, Restores
from runtime.storage import Storage
from runtime.tables import ensure_table, refuse_altered, table_exists

log = logging.getLogger(__name__)
GOLD_TABLES = gold.TABLES
FINGERPRINT = "lakehouse.fingerprint"
ADDED = ("insert", "update_postimage")
# What sets a table's columns anew. Delta reads no change feed across it, even where the columns are back.
REWRITING = ("WRITE", "CREATE", "REPLACE", "DROP COLUMNS", "RENAME COLUMN")


class MissingSilverTableError(LakehouseError):
    """A silver table that a KPI reads is not there."""


class GoldTable:
    """One gold table, and the two protocols that keep it equal to a recomputation from silver."""

    def __init__(self, settings: Settings, contracts: Contracts, table: str) -> None:
        """`table` is one of `GOLD_TABLES`. Raises LakehouseError for any other name."""
        layout = Layout(settings.root)
        self.name = f"gold.{table}"
        self.contract: Contract = contracts.table(self.name)
        self.uri = layout.table(self.name)
        self.root = settings.root
        self.silver = {source: layout.table(source) for source in gold.sources_of(table)}
        self.silver_schemas = {source: struct_type(contracts.table(source)) for source in self.silver}
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

        1. Same declarations, a checkpoint that knows of all that the table holds, and nobody restored the table to an
           older version: go on with both.
        2. Otherwise the table is built anew: take the next number whose folder does not exist.
        3. One Delta commit empties the table, gives it the contract's columns and sets the new generation.
        4. The query makes the folder when it starts.

        Death before 3 changes nothing; after 3 the table is empty and its folder does not exist, which 1 lets pass.
        Raises MissingSilverTableError, or IncompatibleTableError where a silver table, or the one that 1 meets, was
        altered by hand.
        """
        fingerprint = gold.fingerprint(self.contract, self._silver_ids(spark))
        generation, filled = self._state(spark)
        # 1
        fits = generation and generation.rpartition("-")[0] == fingerprint and self._fits(spark, generation, filled)
        if not fits:
            # 2
            number = int(generation.rpartition("-")[2]) + 1 if generation else 1
            while Storage.open(f"{self.checkpoints}/{fingerprint}-{number}").list():
                number += 1
            generation = f"{fingerprint}-{number}"
            # 3
            self._replace(spark, self.properties | {FINGERPRINT: generation})
            failpoint("gold.replaced")
        properties = self.properties | {FINGERPRINT: str(generation)}
        ensure_table(spark, self.uri, struct_type(self.contract), self.contract.partitions, properties)
        # 4
        return f"{self.checkpoints}/{generation}"

    def _replace(self, spark: SparkSession, properties: Mapping[str, str]) -> None:
        """Makes the table, or empties it, in one commit. In SQL: Delta's table builder cannot replace by path."""
        view = f"empty {self.name}"
        empty = spark.createDataFrame([], struct_type(self.contract))
        empty.createOrReplaceTempView(f"`{view}`")
        assignments = ", ".join(f"'{name}' = '{value}'" for name, value in properties.items())
        partitions = ", ".join(self.contract.partitions)
        target = f"delta.`{spark_path(self.uri)}` USING delta PARTITIONED BY ({partitions})"
        spark.sql(f"CREATE OR REPLACE TABLE {target} TBLPROPERTIES ({assignments}) AS SELECT * FROM `{view}`")  # noqa: S608
        spark.catalog.dropTempView(view)

    def changes(self, spark: SparkSession) -> DataFrame:
        """The stream of signed contributions: of every row that silver tables hold, then of every change.

        Without a starting version Delta's change feed begins with the rows that are there, as inserts.
        """
        sign = F.when(F.col("_change_type").isin(*ADDED), 1).otherwise(-1)
        feeds = {
            source: spark.readStream.format("delta").option("readChangeFeed", "true").load(spark_path(uri))
            for source, uri in self.silver.items()
        }
        contributions = (gold.contributions(feed, source, self.contract, sign) for source, feed in feeds.items())
        return reduce(DataFrame.unionByName, contributions)

    def merge(self, changes: DataFrame, batch: int, checkpoint: Storage, recover: bool) -> bool:
        """Brings one micro-batch of signed contributions into the table, once. Whether that took a commit.

        1. A batch that the table has committed is over. Only a new process can meet one (`recover`).
        2. Add the contributions up per key and leave out keys at which everything nets to zero (one Spark job). The
           sums are few: they come to the driver, and what follows plans with them as literals.
        3. Nothing left: no commit.
        4. What does not add up (percentiles) is computed from silver for the touched keys, at the version to which
           this batch has read silver: what came later is in a later batch.
        5. One merge under the batch's transaction id, confined to the partitions and days touched.
        """
        spark = changes.sparkSession
        app_id = self._app_id(checkpoint)
        # 1
        committed = last_transaction(spark, self.uri, app_id) if recover else None
        if committed is not None and committed >= batch:
            return False
        # 2
        sums = gold.sums(changes, self.contract).where(gold.changes())
        collected = sums.toArrow()
        # 3
        touched = gold.survey(collected)
        if touched is None:
            return False
        # 4
        signed = spark.createDataFrame(collected, sums.schema)
        ranked = gold.ranked_sources_of(self.contract.name) if touched.percentiles else ()
        silver = {source: self._silver_at(spark, source, checkpoint, batch) for source in ranked}
        source = gold.merge_source(signed, silver, self.contract, touched)
        # 5
        failpoint("gold.before_merge")
        refuse_altered(spark, self.uri, struct_type(self.contract))
        with transaction(spark, app_id, batch, self._lineage(checkpoint, batch, touched).to_json()):
            merge_into(DeltaTable.forPath(spark, spark_path(self.uri)), source, self.contract, touched)
        failpoint("gold.after_merge")
        return True

    def _silver_ids(self, spark: SparkSession) -> list[str]:
        missing = [source for source, uri in self.silver.items() if not table_exists(spark, uri)]
        if missing:
            raise MissingSilverTableError(
                f"{self.name} reads {', '.join(missing)}, not there yet: start `lakehouse stream silver` first"
            )
        for source, uri in self.silver.items():
            refuse_altered(spark, uri, self.silver_schemas[source])
        return [str(_detail(spark, uri)["id"]) for uri in self.silver.values()]

    def _state(self, spark: SparkSession) -> tuple[str | None, bool]:
        """The generation that the table is of, and whether it holds anything."""
        if not table_exists(spark, self.uri):
            return None, False
        detail = _detail(spark, self.uri)
        return detail["properties"].get(FINGERPRINT), detail["numFiles"] > 0

    def _fits(self, spark: SparkSession, generation: str, filled: bool) -> bool:
        """Whether the table's rows came from the generation's checkpoint, and the checkpoint is not behind them."""
        checkpoint = Storage.open(f"{self.checkpoints}/{generation}")
        try:
            Restores(DeltaLog(self.root, self.name)).refuse()
            if checkpoint.read("metadata") is None:
                return not filled and not checkpoint.list()
            found = progress(checkpoint)
            committed = last_transaction(spark, self.uri, self._app_id(checkpoint))
            rewritten = self._rewritten(checkpoint, found.finished)
        except (RestoredTableError, CheckpointError) as error:
            log.warning("%s is built anew: %s", self.name, error)
            return False
        if rewritten:
            log.warning("%s is built anew: somebody rewrote %s", self.name, rewritten)
            return False
        return not filled if committed is None else committed <= found.planned

    def _rewritten(self, checkpoint: Storage, finished: int) -> str | None:
        """The silver table whose columns were set anew since the checkpoint's last finished batch; None: none."""
        for number, source in enumerate(self.silver if finished >= 0 else ()):
            silver = DeltaLog(self.root, source)
            read, newest = delta_version(checkpoint, finished, number), silver.newest()
            for version in range(read + 1, (newest or 0) + 1) if read >= 0 else ():
                commit = silver.commit(version)
                if commit and commit.configuration is not None and commit.operation.startswith(REWRITING):
                    return source
        return None

    def _app_id(self, checkpoint: Storage) -> str:
        return f"{checkpoint_id(checkpoint)}:{self.name}"

    def _silver_at(self, spark: SparkSession, source: str, checkpoint: Storage, batch: int) -> DataFrame:
        _, version = delta_range(checkpoint, batch, list(self.silver).index(source))
        return spark.read.format("delta").option("versionAsOf", version).load(spark_path(self.silver[source]))

    def _lineage(self, checkpoint: Storage, batch: int, touched: gold.Touched) -> Lineage:
        """Where the batch comes from; a silver table whose offset it does not move is no input."""
        before, after = batch_offsets(checkpoint, batch - 1), batch_offsets(checkpoint, batch)
        inputs = (
            TableInput(source, *delta_range(checkpoint, batch, number))
            for number, source in enumerate(self.silver)
            if before[number : number + 1] != after[number : number + 1]
        )
        counts = Counts(read=touched.contributions)
        version = self.contract.version
        return Lineage("gold", self.contract.name, batch, code_version(), version, tuple(inputs), counts)


def start(
    spark: SparkSession, settings: Settings, contracts: Contracts, table: str, trigger: Mapping[str, Any]
) -> StreamingQuery:
    """Starts the long-running query `gold.<table>`, on a new checkpoint where the table has to be built anew.

    `trigger` is what Spark's `DataStreamWriter.trigger` takes, such as `{"processingTime": "1 second"}`.

    Raises MissingSilverTableError as long as a silver table that it reads is not there.
    """
    target = GoldTable(settings, contracts, table)
    folder = target.prepare(spark)
    if settings.symlink_manifests:
        failpoint("gold.before_manifest")
        DeltaTable.forPath(spark, spark_path(target.uri)).generate("symlink_format_manifest")
    partitions = CataloguedPartitions.of(settings, target.contract, target.uri)
    if partitions is not None:
        # A job that died after a commit has not told the catalog of it.
        partitions.update()
    checkpoint = Storage.open(folder)
    restores = Restores(DeltaLog(settings.root, target.name))
    restores.refuse()
    recover = True

    def run(changes: DataFrame, batch: int) -> None:
        nonlocal recover
        failpoint("gold.started")
        restores.refuse()
        committed = target.merge(changes, batch, checkpoint, recover)
        recover = False
        if committed and partitions is not None:
            partitions.update()
        if due(batch, settings.compact_batches):
            compact(spark, target.uri)
        failpoint("gold.done")

    writer = target.changes(spark).writeStream.queryName(target.name).foreachBatch(run)
    return writer.option("checkpointLocation", spark_path(folder)).trigger(**trigger).start()


def merge_into(target: DeltaTable, source: DataFrame, contract: Contract, touched: gold.Touched) -> None:
    """Adds sums and sets percentiles in a gold table; a row that nothing supports any more goes."""
    clauses = gold.Merge(contract, touched)
    merge = target.alias("t").merge(source.alias("s"), clauses.condition)
    merge = merge.whenMatchedDelete(clauses.delete_if)
    merge = merge.whenMatchedUpdate(set=dict(clauses.update))
    merge.whenNotMatchedInsert(clauses.insert_if, dict(clauses.insert)).execute()


def _detail(spark: SparkSession, uri: str) -> Row:
    detail = DeltaTable.forPath(spark, spark_path(uri)).detail().select("id", "properties", "numFiles").first()
    assert detail is not None, "a Delta table has one row of detail"
    return detail
