"""Kinesis to bronze: every record as it came, in the one envelope of the bronze tables."""

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
from runtime.commits import CODE_VERSION, last_transaction, transaction
from runtime.compaction import compact, due
from runtime.delta_log import DeltaLog
from runtime.failpoints import failpoint
from runtime.lineage import Counts, Lineage, ShardInput
from runtime.restores import refuse_restored
from runtime.storage import Storage
from runtime.tables import ensure_table
from streaming.kinesis import KinesisDataSource
from streaming.ledger import Ledger
from streaming.shards import Kind, Offset, Position

log = logging.getLogger(__name__)
BRONZE_PROPERTIES = {"delta.appendOnly": "true", "delta.checkpointInterval": "200"}


def envelope(records: DataFrame, ingested_at: Column) -> DataFrame:
    """Kinesis records in the bronze envelope.

    Takes the columns of the Kinesis source. Data that is no UTF-8 becomes base64, marked in `payload_encoding`.
    """
    text = F.try_validate_utf8(F.col("data").cast("string"))
    parts = ("stream", "shard_id", "sequence_number", F.col("sub_sequence_number").cast("string"))
    return records.select(
        F.concat_ws("/", *parts).alias("record_id"),
        F.coalesce(text, F.base64("data")).alias("payload"),
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
    layout = Layout(settings.root)
    uri, checkpoint = layout.table(f"bronze.{source}"), layout.checkpoint("bronze", source)
    ensure_table(spark, uri, envelope_type(contracts), ["ingest_date"], BRONZE_PROPERTIES)
    refuse_restored(DeltaLog(settings.root, f"bronze.{source}"))
    ledger = Ledger(Storage.open(f"{checkpoint}/ledger"))
    if _planned(spark, uri, Storage.open(checkpoint), source) < 0:
        ledger.note_resume(_last_records(spark, uri, settings.streams[source]))
    spark.dataSource.register(KinesisDataSource)

    def append(records: DataFrame, batch: int) -> None:
        """1 Read the batch once and hold it. 2 Count it by shard and look for gaps, for its lineage. 3 Append it in one
        commit whose transaction id makes a second attempt a no-op.
        """
        app_id = f"{checkpoint_id(Storage.open(checkpoint))}:bronze.{source}"
        # 1
        held = records.persist()
        # 2
        ranges = shard_ranges(held)
        # A query that stops at a gap can only have passed one over where it began.
        may_pass = batch == 0 or not settings.fail_on_data_loss
        gaps = _gaps(Storage.open(checkpoint), ledger, batch) if may_pass else ()
        # 3
        failpoint("bronze.before_commit")
        if ranges or gaps:
            with transaction(records.sparkSession, app_id, batch, lineage(source, batch, ranges, gaps)):
                rows = envelope(held, F.current_timestamp())
                rows.coalesce(1).write.format("delta").mode("append").save(spark_path(uri))
        failpoint("bronze.after_commit")
        if due(batch, settings.compact_batches):
            compact(records.sparkSession, uri)
        held.unpersist()
        log.info("bronze.%s batch %d: %d records", source, batch, sum(row["records"] for row in ranges))

    records = (
        spark.readStream.format("kinesis")
        .option("stream", settings.streams[source])
        .option("region", settings.region)
        .option("ledger", f"{checkpoint}/ledger")
        .option("maxRecordsPerShard", settings.batch_records)
        .option("failOnDataLoss", str(settings.fail_on_data_loss).lower())
        .load()
    )
    writer = records.writeStream.queryName(f"bronze.{source}").foreachBatch(append)
    return writer.option("checkpointLocation", spark_path(checkpoint)).trigger(**trigger).start()


def _planned(spark: SparkSession, uri: str, checkpoint: Storage, source: str) -> int:
    """The last batch that the checkpoint plans. Raises CheckpointError for a checkpoint that was put back to an earlier
    state: Delta would take its next batches for old ones, and leave them out without a word.
    """
    planned = progress(checkpoint).planned
    if checkpoint.read("metadata") is None:
        return planned
    newest = last_transaction(spark, uri, f"{checkpoint_id(checkpoint)}:bronze.{source}")
    if newest is not None and newest > planned:
        raise CheckpointError(
            f"{checkpoint.uri} ends at batch {planned}, but {uri} holds batch {newest}: put the checkpoint's newest "
            "state back, or remove the whole folder: a new one goes on behind the table's records (docs/operating.md)"
        )
    return planned


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


def _gaps(checkpoint: Storage, ledger: Ledger, batch: int) -> tuple[str, ...]:
    """What the batch passed over unread, in words, as planning and its tasks noted it."""
    (content,) = batch_offsets(checkpoint, batch)
    offset = Offset.from_json(content)
    entries = ledger.of_epoch(offset.epoch, offset.reads).values()
    return (*offset.losses, *(entry.gap for entry in entries if entry.gap))


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
        code=CODE_VERSION,
        contract="",
        inputs=inputs,
        counts=Counts(read=count, valid=count, inserted=count),
        gaps=gaps,
    ).to_json()
