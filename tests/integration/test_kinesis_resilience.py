"""The bronze query on LocalStack when its checkpoint or its stream is taken away: every record once, or a refusal.

In a session, for its checkpoint is Spark's.
"""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.errors import StreamingQueryException
from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from lakehouse.contracts import load_contracts
from lakehouse.layout import Layout
from lakehouse.settings import CONTRACTS, Settings
from local.lineage_text import describe_counts
from runtime.checkpoints import CheckpointError
from runtime.delta_log import DeltaLog
from runtime.lineage import Lineage, read_lineage
from runtime.tables import open_table, table_version
from streaming.layers import start_bronze
from tests.integration.test_kinesis_source import Producer

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient


class Bronze:
    """The bronze query of web_logs on a stream of its own."""

    def __init__(self, spark: SparkSession, stream: str, root: Path) -> None:
        self.spark = spark
        self.settings = Settings(root=str(root), state_directory=root, streams={"web_logs": stream})
        layout = Layout(str(root))
        self.uri, self.checkpoint = layout.table("bronze.web_logs"), Path(layout.checkpoint("bronze", "web_logs"))

    def start(self) -> StreamingQuery:
        return start_bronze(self.spark, self.settings, load_contracts(CONTRACTS), "web_logs", seconds=0)

    def drain(self) -> None:
        query = self.start()
        try:
            query.processAllAvailable()
        finally:
            query.stop()

    def records(self) -> list[tuple[str, bytes]]:
        rows = open_table(self.uri).read(["record_id", "payload"]).to_pylist()
        return sorted((row["record_id"].split("/")[2], row["payload"].encode()) for row in rows)

    def commits(self) -> list[Lineage]:
        """The lineage of the query's commits, oldest first."""
        log = DeltaLog(self.settings.root, "bronze.web_logs")
        commits = filter(None, (log.commit(version) for version in range(table_version(self.uri) + 1)))
        return [found for each in commits if (found := read_lineage(each.metadata)) is not None]

    def accept_losses(self, accept: bool) -> None:
        self.settings = self.settings.model_copy(update={"fail_on_data_loss": not accept})

    def forget(self, log: str, batch: int) -> None:
        """Removes what Spark noted of a batch."""
        for name in (f"{batch}", f".{batch}.crc"):
            (self.checkpoint / log / name).unlink(missing_ok=True)

    def entry(self, epoch: int, shard: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.checkpoint / "ledger" / str(epoch) / f"{shard}.json").read_text())
        return found

    def edit_entry(self, epoch: int, shard: str, **changes: Any) -> None:
        changed = json.dumps(self.entry(epoch, shard) | changes)
        (self.checkpoint / "ledger" / str(epoch) / f"{shard}.json").write_text(changed)


@pytest.fixture
def producer(kinesis: "KinesisClient", stream_name: str) -> Producer:
    return Producer(kinesis, stream_name)


@pytest.fixture
def lake(spark: SparkSession, stream_name: str, tmp_path: Path) -> Bronze:
    return Bronze(spark, stream_name, tmp_path)


def test_a_deleted_checkpoint_of_bronze_adds_no_record_twice_and_loses_none(lake: Bronze, producer: Producer) -> None:
    producer.put(20)
    lake.drain()
    producer.split(producer.first_open())
    producer.put(20)
    lake.drain()
    producer.put(20)
    producer.merge_lowest()
    producer.put(20)
    shutil.rmtree(lake.checkpoint)
    lake.drain()
    producer.put(20)
    lake.drain()
    assert lake.records() == sorted(producer.records)


def test_a_checkpoint_of_yesterday_is_refused_and_a_new_one_goes_on(
    lake: Bronze, producer: Producer, tmp_path: Path
) -> None:
    """Delta would take its next batches for old ones, and leave their records out."""
    producer.put(10)
    lake.drain()
    shutil.copytree(lake.checkpoint, tmp_path / "yesterday")
    producer.put(10)
    lake.drain()
    shutil.rmtree(lake.checkpoint)
    shutil.copytree(tmp_path / "yesterday", lake.checkpoint)
    producer.put(10)
    with pytest.raises(CheckpointError, match=f"{lake.checkpoint} ends at batch 0, but {lake.uri} holds batch 1"):
        lake.drain()
    shutil.rmtree(lake.checkpoint)
    lake.drain()
    assert lake.records() == sorted(producer.records)


def test_a_stream_that_was_deleted_and_made_again_is_refused_and_then_gone_on_with(
    lake: Bronze, producer: Producer, kinesis: "KinesisClient"
) -> None:
    """The refusal says to start with a new checkpoint: that adds what the new stream has, and notes the gap."""
    producer.put(10)
    lake.drain()
    kinesis.delete_stream(StreamName=producer.stream, EnforceConsumerDeletion=True)
    kinesis.get_waiter("stream_not_exists").wait(
        StreamName=producer.stream, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    kinesis.create_stream(StreamName=producer.stream, ShardCount=2)
    kinesis.get_waiter("stream_exists").wait(StreamName=producer.stream, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    producer.put(10)
    with pytest.raises(StreamingQueryException, match=r"was deleted and made again.*new checkpoint folder"):
        lake.drain()
    shutil.rmtree(lake.checkpoint)
    lake.drain()
    assert lake.records() == sorted(producer.records)
    first, second = lake.commits()
    assert first.gaps == ()
    (gap,) = second.gaps
    assert f"stream {producer.stream}: an earlier stream of this name was read up to" in gap
    assert f"GAP: {gap}" in describe_counts(second)
