"""Kinesis to bronze: every record as it came, in the one envelope of the bronze tables."""

import base64
import json
import logging
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from lakehouse.contracts import Contracts
from lakehouse.engine.enrich import values
from lakehouse.engine.schemas import TIMESTAMP, envelope_schema
from lakehouse.layout import Layout, spark_path
from lakehouse.settings import Settings
from runtime.checkpoints import CheckpointError, batch_offsets, checkpoint_id, progress
from runtime.commits import code_version
from runtime.delta_log import DeltaLog
from runtime.failpoints import failpoint
from runtime.lineage import Counts, Lineage, ShardInput, read_lineage, starting_point
from runtime.restores import Restores
from runtime.storage import Storage
from runtime.tables import ensure_table
from runtime.upkeep import Upkeep
from streaming.epoch_reader import EpochReader
from streaming.handover import Continuity, Handed
from streaming.kinesis_options import KinesisOptions
from streaming.ledger import ANEW, Ledger, LedgerError
from streaming.shards import Kind, Offset, Position

log = logging.getLogger(__name__)
BEHIND = "a new one goes on behind the table's records (docs/operating.md)"
BRONZE_PROPERTIES = {"delta.appendOnly": "true", "delta.checkpointInterval": "200"}


def envelope(records: pa.Table, ingested_at: datetime) -> pa.Table:
    """Kinesis records in the bronze envelope.

    Takes the columns of the Kinesis source. Data that is no UTF-8 becomes base64, marked in `payload_encoding`.
    """
    count = records.num_rows
    record_id = _joined(records["stream"], records["shard_id"], records["sequence_number"])
    inside = records["sub_sequence_number"]
    if inside.null_count < count:
        within = _joined(record_id, inside.cast(pa.string()))
        record_id = pc.if_else(pc.is_null(inside), record_id, within)
    payload, encoding = _as_text(records["data"])
    return pa.table(
        {
            "record_id": record_id,
            "payload": payload,
            "payload_encoding": encoding,
            "arrived_at": records["arrived_at"],
            "ingested_at": pa.repeat(pa.scalar(ingested_at, TIMESTAMP), count),
            "partition_key": records["partition_key"],
            "ingest_date": records["arrived_at"].cast(pa.timestamp("us")).cast(pa.date32()),
        }
    )


def _joined(*parts: Any) -> Any:
    """Columns of text as one, with a slash between; the stubs of Arrow refuse a separator."""
    join: Any = pc.binary_join_element_wise
    return join(*parts, "/")


def _as_text(data: "pa.ChunkedArray[Any]") -> "tuple[Any, Any]":
    """Payloads and how they are written: as they are where all of them are UTF-8, which is looked at as a whole."""
    try:
        return data.cast(pa.string()), pa.repeat(pa.scalar("utf8"), len(data))
    except pa.ArrowInvalid:
        found = [_text(each) for each in values(data)]
        payloads, encodings = zip(*found, strict=True)
        return pa.array(payloads, pa.string()), pa.array(encodings, pa.string())


def _text(data: bytes) -> tuple[str, str]:
    try:
        return data.decode(), "utf8"
    except UnicodeDecodeError:
        return base64.b64encode(data).decode("ascii"), "base64"


class BronzeStream:
    """One bronze table of a stream as its running query sees it, and the protocol that appends each batch once."""

    def __init__(self, settings: Settings, contracts: Contracts, source: str) -> None:
        layout = Layout(settings.root)
        self.source, self.name = source, f"bronze.{source}"
        self.uri = layout.table(self.name)
        self.checkpoint = Storage.open(layout.checkpoint("bronze", source))
        self.ledger = Ledger(Storage.open(f"{layout.checkpoint('bronze', source)}/ledger"))
        self.options: dict[str, str] = {
            "stream": settings.streams[source],
            "region": settings.region,
            "ledger": self.ledger.storage.uri,
            "maxRecordsPerShard": str(settings.batch_records),
            "minPollSeconds": str(min(1.0, max(0.2, settings.trigger_seconds))),
            "failOnDataLoss": str(settings.fail_on_data_loss).lower(),
        }
        self.table = ensure_table(self.uri, envelope_schema(contracts), ["ingest_date"], BRONZE_PROPERTIES)
        self._reader = EpochReader(KinesisOptions.parse(self.options))
        self._upkeep = Upkeep(settings, [self.table])
        self._log = DeltaLog(settings.root, self.name)
        self.restores = Restores(self._log)
        self._settings = settings
        self._first = True
        self._continuity = Continuity()

    def append(self, batch: int) -> Handed | None:
        """Brings one micro-batch of the Kinesis source into the table, once; gives what it added.

        1. Refuse to write to a table that somebody restored. A batch that the table has committed is over, and nothing
           of it may be read; only a new process can meet one.
        2. Read the ranges of the batch's epoch, as the ledger has them or decides now.
        3. Append them in one commit with the batch's transaction, which becomes the version after the one that 1 looked
           at, or fails.
        """
        failpoint("bronze.started")
        # 1
        self._continuity.found(self.table.refresh())
        self.restores.refuse()
        if self._first and self._is_over(batch):
            self._first = False
            log.info("%s batch %d: was over already", self.name, batch)
            return None
        # 2
        offset = self._offset(batch)
        records = self._reader.read(offset)
        ranges = shard_ranges(records)
        # A query that stops at a gap can only have passed one over where it began, or before it was told to stop.
        gaps = self._gaps(batch) if self._first or not self._settings.fail_on_data_loss else ()
        # 3
        failpoint("bronze.before_commit")
        handed = None
        if ranges or gaps:
            rows = envelope(records, datetime.now(UTC))
            version = self.table.append(rows, {self._app_id(): batch}, lineage(self.source, batch, ranges, gaps))
            handed = Handed(self.name, self.table.id, self._continuity.changed(version), version, rows)
        failpoint("bronze.after_commit")
        self._first = False
        log.info("%s batch %d: %d records", self.name, batch, records.num_rows)
        return handed

    def keep_up(self) -> None:
        """What the owner does for its table now and then."""
        self._continuity.found(self.table.version)
        if self._upkeep.run():
            self._continuity.unchanged(self.table.version)

    def planned(self) -> int:
        """The last batch that the checkpoint plans; -1 for a new one.

        Raises CheckpointError for a checkpoint that was put back to an earlier state: its next batches would be taken
        for old ones, and left out without a word. For one that was put back in place of a newer one: what that brought
        in would come once more. And for one that lost its identity: Spark would give it a new one, under which the
        batch that it repeats would go in twice.
        """
        planned = progress(self.checkpoint).planned
        if planned < 0 and self.checkpoint.read("metadata") is None:
            return planned
        newest = self.table.transaction(self._app_id())
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

    def _is_over(self, batch: int) -> bool:
        """Whether the table has the batch. Raises LedgerError when the ledger says another end of it than the table
        took: the next batch would begin there.
        """
        committed = self.table.transaction(self._app_id())
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


def last_records(spark: SparkSession, uri: str, stream: str) -> dict[str, Position]:
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


def shard_ranges(records: pa.Table) -> tuple[ShardInput, ...]:
    """What came from each shard: its first and last sequence number, and how many records."""
    found = []
    for shard in sorted(set(values(records["shard_id"]))):
        of_shard = records.filter(pc.equal(records["shard_id"], pa.scalar(shard)))
        stream, sequences = values(of_shard["stream"])[0], values(of_shard["sequence_number"])
        first, last = (str(choose(sequences, key=lambda each: (len(each), each))) for choose in (min, max))
        found.append(ShardInput(stream, shard, first, last, of_shard.num_rows))
    return tuple(found)


def lineage(source: str, batch: int, ranges: tuple[ShardInput, ...], gaps: tuple[str, ...] = ()) -> str:
    """What the commit of such a batch says of where it is from, as JSON."""
    count = sum(each.records for each in ranges)
    return Lineage(
        job="bronze",
        query=source,
        batch=batch,
        code=code_version(),
        contract="",
        inputs=ranges,
        counts=Counts(read=count, valid=count, inserted=count),
        gaps=gaps,
    ).to_json()
