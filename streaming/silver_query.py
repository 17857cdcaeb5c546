"""The long-running query of a silver table: from its bronze table's stream, batch by batch, on its checkpoint."""

import json
import logging
import time
from collections.abc import Mapping
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from lakehouse.layout import spark_path
from lakehouse.schemas import envelope_type
from lakehouse.settings import Settings
from runtime.checkpoints import CheckpointError, Progress, checkpoint_id, delta_range, progress
from runtime.commits import last_transaction, transaction_ids
from runtime.compaction import compact, due
from runtime.delta_log import DeltaLog
from runtime.failpoints import failpoint
from runtime.lineage import TableInput
from runtime.manifests import CataloguedPartitions, write_manifests
from runtime.metrics import REJECT_RATIO, metrics
from runtime.restores import Restores
from runtime.storage import Storage
from runtime.tables import refuse_altered
from streaming.redrive import shut_out
from streaming.silver import ATTEMPTS, Origin, SilverTable, rejected_id

log = logging.getLogger(__name__)


def start(spark: SparkSession, settings: Settings, table: SilverTable, trigger: Mapping[str, Any]) -> StreamingQuery:
    """Starts the long-running query of one silver table on its bronze table's checkpoint.

    `trigger` is what Spark's `DataStreamWriter.trigger` takes, such as `{"processingTime": "1 second"}`.

    Raises LakehouseError when the table does not fit its contract, somebody restored it to an older version, or its
    checkpoint is damaged, older than the table, or new while the table is not.
    """
    table.ensure(spark)
    refuse_altered(spark, table.bronze_uri, envelope_type(table.contracts))
    names = (f"silver.{table.silver.name}", f"rejected.{table.source.name}")
    restores = [Restores(DeltaLog(settings.root, name)) for name in names]
    for each in restores:
        each.refuse()
    shut_out(spark, table)
    checkpoint = Storage.open(table.checkpoint)
    found = progress(checkpoint)
    if found.planned >= 0:
        _refuse_older(spark, table, checkpoint, found)
    else:
        _refuse_new(spark, table, checkpoint)
    recover = found.torn
    partitions = CataloguedPartitions.of(settings, table.silver, table.silver_uri)
    if partitions is not None:
        # A job that died after it wrote manifests has told the catalog nothing.
        partitions.update()

    def run(bronze: DataFrame, batch: int) -> None:
        nonlocal recover
        for each in restores:
            each.refuse()
        identity = checkpoint_id(checkpoint)
        first, last = delta_range(checkpoint, batch)
        read = TableInput(f"bronze.{table.source.name}", first, last)
        origin = Origin(f"{identity}:{batch}", f"{identity}:silver.{table.silver.name}", batch, (read,))
        started = time.monotonic()
        tally = table.process(bronze, origin, recover)
        recover = False
        if tally is not None:
            metrics().share(REJECT_RATIO, tally.faulty, tally.rows_in, Source=table.source.name)
        if due(batch, settings.compact_batches):
            keep_up()
        told = "was over already" if tally is None else json.dumps(tally.counts().to_json())
        log.info("silver.%s batch %d: %s in %.1f s", table.silver.name, batch, told, time.monotonic() - started)
        failpoint("silver.done")

    def keep_up() -> None:
        """What the owner does for its tables now and then: few files, and what Redshift Spectrum reads."""
        compact(spark, table.silver_uri)
        compact(spark, table.rejected_uri)
        if settings.symlink_manifests:
            write_manifests(spark, table.silver_uri)
        if partitions is not None:
            partitions.update()

    # A backlog is worked off in bites that the driver can hold, however long the job was away.
    stream = spark.readStream.format("delta").option("maxBytesPerTrigger", settings.silver_batch_bytes)
    rows = stream.load(spark_path(table.bronze_uri))
    writer = rows.writeStream.queryName(f"silver.{table.silver.name}").foreachBatch(run)
    return writer.option("checkpointLocation", spark_path(table.checkpoint)).trigger(**trigger).start()


def _refuse_new(spark: SparkSession, table: SilverTable, checkpoint: Storage) -> None:
    """Raises CheckpointError for a checkpoint that was lost while its tables were kept: from the start of bronze, what
    was rejected would be rejected again, and the last batch may have left its rejected rows without its silver rows.
    """
    query = f":silver.{table.silver.name}"
    ids = [*transaction_ids(spark, table.silver_uri), *transaction_ids(spark, table.rejected_uri)]
    if any(each.removesuffix(":rejected").endswith(query) and not each.startswith("redrive:") for each in ids):
        raise CheckpointError(
            f"{checkpoint.uri} is new, but the tables of {table.silver.name} hold another checkpoint's batches: put "
            f"that checkpoint back, or remove {table.silver_uri}, {table.rejected_uri} and {checkpoint.uri} together: "
            "they are made again from bronze (docs/operating.md)"
        )


def _refuse_older(spark: SparkSession, table: SilverTable, checkpoint: Storage, found: Progress) -> None:
    """Raises CheckpointError for a checkpoint that was put back to an earlier state: Delta would take its next batches
    for old ones, and leave them out without a word.
    """
    app_id = f"{checkpoint_id(checkpoint)}:silver.{table.silver.name}"
    attempted = last_transaction(spark, table.rejected_uri, rejected_id(app_id))
    committed = last_transaction(spark, table.silver_uri, app_id)
    newest = max(-1 if committed is None else committed, -1 if attempted is None else attempted // ATTEMPTS)
    if newest > found.planned:
        raise CheckpointError(
            f"{checkpoint.uri} ends at batch {found.planned}, but the tables of {table.silver.name} hold batch "
            f"{newest}: put the checkpoint's newest state back (docs/operating.md)"
        )
