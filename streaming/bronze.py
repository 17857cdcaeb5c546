"""Kinesis to bronze: every record as it came, in the one envelope of the bronze tables."""

import json
import logging
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from lakehouse.contracts import Contracts
from lakehouse.layout import Layout, spark_path
from lakehouse.schemas import envelope_type
from lakehouse.settings import Settings
from runtime.checkpoints import CheckpointError, batch_offsets, checkpoint_id, progress
from runtime.commits import code_version, last_transaction, transaction
from runtime.compaction import compact, due
from runtime.delta_log import DeltaLog
from runtime.failpoints import failpoint
from runtime.lineage import Counts, Lineage, ShardInput, read_lineage, starting_point
from runtime.restores import Restores
from runtime.storage import Storage
from runtime.tables import ensure_table
from streaming.kinesis import KinesisDataSource
from streaming.ledger import ANEW, Ledger, LedgerError
from streaming.shards import Kind, Offset, Position

log = logging.getLogger(__name__)
BEHIND = "a new one goes on behind the table's records (docs/operating.md)"
BRONZE_PROPERTIES = {"delta.appendOnly": "true", "delta.checkpointInterval": "200"}


def envelope(records: DataFrame, ingested_at: Column) -> DataFrame:
    """Kinesis records in the bronze envelope.

    Takes the columns of the Kinesis source. Data that is no UTF-8 becomes base64, marked in `payload_encoding`.
    """
    text = F.try_validate_utf8(F.col("data").cast("string"))
    # Spark's base64 breaks lines at 76 characters, what batch jobs write does not.
    encoded = F.translate(F.base64("data"), "\r\n", "")
    parts = ("stream", "shard_id", "sequence_number", F.col("sub_sequence_number").cast("string"))
    return records.select(
        F.concat_ws("/", *parts).alias("record_id"),
        F.coalesce(text, encoded).alias("payload"),
        F.when(text.isNull(), "base64").otherwise("utf8").alias("payload_encoding"),
        "arrived_at",
        ingested_at.alias("ingested_at"),
        "partition_key",
        F.to_date("arrived_at").alias("ingest_date"),
    )


def start(
    spark: SparkSession, settings: Settings, contracts: Contracts, source: str, trigger: dict[str, str]
) -> StreamingQuery:
    """Starts the long-running query that appends the source's stream to its bronze table.

    With a new checkpoint it goes on behind the records that the table holds. Raises LakehouseError when somebody
    restored the table to an older version, or the checkpoint is damaged or older than the table.
    """
    table = BronzeStream(settings, source)
    ensure_table(spark, table.uri, envelope_type(contracts), ["ingest_date"], BRONZE_PROPERTIES)
    table.restores.refuse()
    if table.planned(spark) < 0:
        table.ledger.note_resume(_last_records(spark, table.uri, settings.streams[source]))
    spark.dataSource.register(KinesisDataSource)
    records = (
        spark.readStream.format("kinesis")
        .option("stream", settings.streams[source])
        .option("region", settings.region)
        .option("ledger", table.ledger.storage.uri)
        .option("maxRecordsPerShard", settings.batch_records)
        .option("failOnDataLoss", str(settings.fail_on_data_loss).lower())
        .load()
    )
    writer = records.writeStream.queryName(table.name).foreachBatch(table.append)
    return writer.option("checkpointLocation", spark_path(table.checkpoint.uri)).trigger(**trigger).start()


class BronzeStream:
    """One bronze table of a stream as its running query sees it, and the protocol that appends each batch once."""

    def __init__(self, settings: Settings, source: str) -> None:
        layout = Layout(settings.root)
        self.source, self.name = source, f"bronze.{source}"
        self.uri = layout.table(self.name)
        self.checkpoint = Storage.open(layout.checkpoint("bronze", source))
        self.ledger = Ledger(Storage.open(f"{layout.checkpoint('bronze', source)}/ledger"))
        self._log = DeltaLog(settings.root, self.name)
        self.restores = Restores(self._log)
        self._settings = settings
        self._first = True

    def append(self, records: DataFrame, batch: int) -> None:
        """Brings one micro-batch of the Kinesis source into the table, once.

        1. Refuse to write to a table that somebody restored. A batch that the table has committed is over, and nothing
           of it may be read; only a new process can meet one.
        2. Read the batch once and hold it.
        3. Count it by shard and look for gaps, for its lineage.
        4. Append it in one commit whose transaction id makes a second attempt a no-op.
        """
        spark = records.sparkSession
        failpoint("bronze.started")
        # 1
        self.restores.refuse()
        if self._first and self._is_over(spark, batch):
            self._first = False
            log.info("%s batch %d: was over already", self.name, batch)
            return
        # 2
        held = records.persist()
        try:
            # 3
            ranges = shard_ranges(held)
            # A query that stops at a gap can only have passed one over where it began, or before it was told to stop.
            gaps = self._gaps(batch) if self._first or not self._settings.fail_on_data_loss else ()
            # 4
            failpoint("bronze.before_commit")
            if ranges or gaps:
                with transaction(spark, self._app_id(), batch, lineage(self.source, batch, ranges, gaps)):
                    rows = envelope(held, F.current_timestamp())
                    rows.coalesce(1).write.format("delta").mode("append").save(spark_path(self.uri))
            failpoint("bronze.after_commit")
        finally:
            held.unpersist()
        self._first = False
        if due(batch, self._settings.compact_batches):
            compact(spark, self.uri)
        log.info("%s batch %d: %d records", self.name, batch, sum(row["records"] for row in ranges))
        failpoint("bronze.done")

    def planned(self, spark: SparkSession) -> int:
        """The last batch that the checkpoint plans; -1 for a new one.

        Raises CheckpointError for a checkpoint that was put back to an earlier state: Delta would take its next batches
        for old ones, and leave them out without a word. For one that was put back in place of a newer one: what that
        brought in would come once more. And for one that lost its identity: Spark would give it a new one, under which
        the batch that it repeats would go in twice.
        """
        planned = progress(self.checkpoint).planned
        if planned < 0 and self.checkpoint.read("metadata") is None:
            return planned
        newest = last_transaction(spark, self.uri, self._app_id())
        if newest is not None and newest > planned:
            raise CheckpointError(
                f"{self.checkpoint.uri} ends at batch {planned}, but {self.uri} holds batch {newest}: put the "
                f"checkpoint's newest state back, or remove the whole folder: {BEHIND}"
            )
        if newest is not None and not self._wrote_last():
            raise CheckpointError(
                f"{self.uri} was written by another checkpoint since {self.checkpoint.uri} wrote it last: put that one "
                f"back, or remove the whole folder: {BEHIND}"
            )
        return planned

    def _app_id(self) -> str:
        return f"{checkpoint_id(self.checkpoint)}:{self.name}"

    def _wrote_last(self) -> bool:
        """Whether the table's last batch is this checkpoint's."""
        version, _ = starting_point(self._log, None)
        actions = map(json.loads, self._log.actions(version))
        return any(action["txn"]["appId"] == self._app_id() for action in actions if "txn" in action)

    def _is_over(self, spark: SparkSession, batch: int) -> bool:
        """Whether the table has the batch. Raises LedgerError when the ledger says another end of it than the table
        took: the next batch would begin there.
        """
        committed = last_transaction(spark, self.uri, self._app_id())
        if committed is None or committed < batch:
            return False
        offset = self._offset(batch)
        entries, gaps = self.ledger.of_epoch(offset.epoch, offset.reads), self.ledger.gaps_of(offset.epoch)
        version, _ = starting_point(self._log, None)
        commit = self._log.commit(version)
        written = read_lineage(commit.metadata) if commit else None
        if written is None or written.batch != batch:
            return True
        taken = {each.shard: (each.first, each.last) for each in written.inputs if isinstance(each, ShardInput)}
        for shard, entry in entries.items():
            noted = (entry.first, entry.end.value) if entry.records else None
            if shard not in gaps and noted != taken.get(shard):
                raise LedgerError(
                    f"{self.uri} took {_told(taken.get(shard))} from {shard} in batch {batch}, the ledger says "
                    f"{_told(noted)}: going on would lose or double records. {ANEW}"
                )
        return True

    def _gaps(self, batch: int) -> tuple[str, ...]:
        """What the batch passed over unread, in words, as planning and its tasks noted it."""
        offset = self._offset(batch)
        entries = self.ledger.of_epoch(offset.epoch, offset.reads).values()
        found = (entry.gap for entry in entries if entry.gap)
        return (*offset.losses, *found, *self.ledger.gaps_of(offset.epoch).values())

    def _offset(self, batch: int) -> Offset:
        (content,) = batch_offsets(self.checkpoint, batch)
        return Offset.from_json(content)


def _told(places: tuple[str | None, str] | None) -> str:
    return "nothing" if places is None else f"{places[0]} to {places[1]}"


def _last_records(spark: SparkSession, uri: str, stream: str) -> dict[str, Position]:
    """The place of the last record of each shard of the stream that the table holds. Reads all of the table."""
    rows = spark.read.format("delta").load(spark_path(uri)).where(F.col("record_id").startswith(f"{stream}/shardId-"))
    part = F.split("record_id", "/")
    shard, sequence = part.getItem(1).alias("shard"), part.getItem(2)
    order = F.struct(F.length(sequence), sequence)
    arrived = F.unix_micros("arrived_at") / 1_000_000
    last = rows.groupBy(shard).agg(F.max_by(sequence, order).alias("last"), F.max_by(arrived, order).alias("arrived"))
    return {
        row["shard"]: Position(Kind.AFTER_SEQUENCE_NUMBER, row["last"], float(row["arrived"])) for row in last.collect()
    }


def shard_ranges(records: DataFrame) -> list[Row]:
    """A row a shard: `stream`, `shard_id`, first and last sequence number (`from`, `to`), and how many `records`."""
    shards = records.groupBy("stream", "shard_id")
    bounds = [F.min("sequence_number").alias("from"), F.max("sequence_number").alias("to")]
    return shards.agg(*bounds, F.count("*").alias("records")).orderBy("shard_id").collect()


def lineage(source: str, batch: int, ranges: Sequence[Row], gaps: tuple[str, ...] = ()) -> str:
    """What the commit of such a batch says of where it is from, as JSON."""
    inputs = tuple(ShardInput(row["stream"], row["shard_id"], row["from"], row["to"], row["records"]) for row in ranges)
    count = sum(each.records for each in inputs)
    return Lineage(
        job="bronze",
        query=source,
        batch=batch,
        code=code_version(),
        contract="",
        inputs=inputs,
        counts=Counts(read=count, valid=count, inserted=count),
        gaps=gaps,
    ).to_json()
