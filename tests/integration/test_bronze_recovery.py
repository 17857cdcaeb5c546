"""The bronze query on LocalStack when its progress is poisoned or its records are gone: exact or refused.

One test runs in a session. The others keep the checkpoint as Spark does, and call what it would call.
"""

import json
import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, override

import pytest
from deltalake import DeltaTable
from pyspark.errors import StreamingQueryException
from pyspark.sql import SparkSession

from lakehouse.contracts import load_contracts
from lakehouse.settings import CONTRACTS
from runtime.checkpoints import CheckpointError, batch_offsets, progress
from runtime.lineage import ShardInput
from runtime.restores import RestoredTableError
from runtime.tables import open_table, table_exists, table_version
from streaming import bronze
from streaming.bronze import BronzeStream
from streaming.fetch import DataLossError
from streaming.kinesis import KinesisDataSource
from streaming.ledger import LedgerError
from streaming.shards import Kind, Position
from tests.integration.test_kinesis_resilience import Bronze
from tests.integration.test_kinesis_source import Producer
from tests.unit.fake_kinesis import Crash

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient


class WithoutSpark(Bronze):
    """The same query with the logs of its checkpoint as Spark keeps them, each batch in this process."""

    def __init__(self, stream: str, root: Path) -> None:
        super().__init__(None, stream, root)  # type: ignore[arg-type]

    @override
    def drain(self) -> None:
        """A new process: what is remembered is in the logs."""
        table = BronzeStream(self.settings, load_contracts(CONTRACTS), "web_logs")
        table.restores.refuse()
        if table.planned() < 0:
            table.ledger.note_resume(self.last_records())
            self.write("metadata", {"id": str(uuid.uuid4())})
        reader = KinesisDataSource(table.options).streamReader(None)  # type: ignore[arg-type]
        logs = progress(table.checkpoint)
        planned, finished = logs.planned, logs.finished
        (last,) = batch_offsets(table.checkpoint, planned) or (None,)
        if last is not None:
            assert reader.partitions(last, last) == []
        while True:
            if planned == finished:
                latest = reader.latestOffset()
                if latest == last:
                    return
                reader.partitions(last or reader.initialOffset(), latest)
                planned, last = planned + 1, latest
                self.write(f"offsets/{planned}", {"batchWatermarkMs": 0}, latest)
            table.append(planned)
            assert last is not None
            finished = planned
            self.write(f"commits/{finished}", {"nextBatchWatermarkMs": 0})
            reader.commit(last)

    def write(self, name: str, *lines: object) -> None:
        file = self.checkpoint / name
        file.parent.mkdir(parents=True, exist_ok=True)
        version = [] if name == "metadata" else ["v1"]
        file.write_text("\n".join([*version, *map(json.dumps, lines)]))

    def last_records(self) -> dict[str, Position]:
        if not table_exists(self.uri):
            return {}
        rows = open_table(self.uri).read(["record_id", "arrived_at"]).to_pylist()
        places = sorted((row["record_id"].split("/")[1:], row["arrived_at"].timestamp()) for row in rows)
        return {shard: Position(Kind.AFTER_SEQUENCE_NUMBER, last, at) for (shard, last), at in places}


@pytest.fixture
def producer(kinesis: "KinesisClient", stream_name: str) -> Producer:
    return Producer(kinesis, stream_name)


@pytest.fixture
def lake(stream_name: str, tmp_path: Path) -> WithoutSpark:
    return WithoutSpark(stream_name, tmp_path / "lake")


@pytest.mark.parametrize("way_out", ["a copy of the ledger", "a new checkpoint"])
def test_a_batch_in_the_table_whose_ledger_entry_is_gone_is_refused_before_it_is_read_afresh(
    lake: WithoutSpark, producer: Producer, tmp_path: Path, way_out: str
) -> None:
    """Read afresh it would reach further, and Delta would leave it out: the records in between were lost."""
    producer.put(10)
    lake.drain()
    producer.put(10)
    lake.drain()
    before, entries = sorted(producer.records), lake.checkpoint / "ledger" / "2"
    lake.forget("commits", 1)
    shutil.move(entries, tmp_path / "copy")
    producer.put(10)
    for _ in range(2):
        with pytest.raises(LedgerError, match=rf"epoch 2 is done but {entries}/.* new checkpoint folder"):
            lake.drain()
        assert lake.records() == before
        assert not entries.exists()
    if way_out == "a new checkpoint":
        shutil.rmtree(lake.checkpoint)
    else:
        shutil.move(tmp_path / "copy", entries)
    lake.drain()
    assert lake.records() == sorted(producer.records)


def test_a_ledger_entry_that_says_another_range_than_the_table_took_is_refused(
    lake: WithoutSpark, producer: Producer
) -> None:
    producer.put(20)
    lake.drain()
    lake.forget("commits", 0)
    shard = producer.first_open()
    producer.put(10)
    taken = next(each for each in lake.commits()[0].inputs if isinstance(each, ShardInput) and each.shard == shard)
    last = max(number for number, _ in producer.records)
    lake.edit_entry(1, shard, end={"from": "AFTER_SEQUENCE_NUMBER", "value": last})
    told = f"{taken.first} to {taken.last} from {shard} in batch 0, the ledger says {taken.first} to {last}: "
    with pytest.raises(LedgerError, match=told):
        lake.drain()
    shutil.rmtree(lake.checkpoint)
    lake.drain()
    assert lake.records() == sorted(producer.records)


def test_a_checkpoint_that_lost_its_identity_is_refused(lake: WithoutSpark, producer: Producer) -> None:
    """Spark would give it a new one, under which Delta takes the repeated batch for a new one."""
    producer.put(10)
    lake.drain()
    lake.forget("commits", 0)
    for file in lake.checkpoint.glob("*metadata*"):
        file.unlink()
    with pytest.raises(CheckpointError, match=f"{lake.checkpoint}/metadata is missing or damaged"):
        lake.drain()
    shutil.rmtree(lake.checkpoint)
    lake.drain()
    assert lake.records() == sorted(producer.records)


def test_a_checkpoint_put_back_in_place_of_the_one_that_followed_it_is_refused(
    lake: WithoutSpark, producer: Producer, tmp_path: Path
) -> None:
    """It would read once more what its follower has brought into the table."""
    producer.put(10)
    lake.drain()
    shutil.move(lake.checkpoint, tmp_path / "old")
    producer.put(10)
    lake.drain()
    shutil.rmtree(lake.checkpoint)
    shutil.move(tmp_path / "old", lake.checkpoint)
    producer.put(10)
    with pytest.raises(CheckpointError, match=f"{lake.uri} was written by another checkpoint since {lake.checkpoint}"):
        lake.drain()
    shutil.rmtree(lake.checkpoint)
    lake.drain()
    assert lake.records() == sorted(producer.records)


@pytest.mark.parametrize("log", ["offsets", "commits"])
def test_a_checkpoint_of_bronze_that_was_cut_short_is_refused(lake: WithoutSpark, producer: Producer, log: str) -> None:
    producer.put(10)
    lake.drain()
    damaged = lake.checkpoint / log / "0"
    damaged.write_bytes(damaged.read_bytes()[:-4])
    producer.put(10)
    with pytest.raises(CheckpointError, match=rf"{damaged} is damaged \(cut short\?\): put it back .*operating\.md"):
        lake.drain()
    shutil.rmtree(lake.checkpoint)
    lake.drain()
    assert lake.records() == sorted(producer.records)


def test_a_table_restored_between_two_batches_stops_the_query_until_it_is_brought_back(
    spark: SparkSession, stream_name: str, producer: Producer, tmp_path: Path
) -> None:
    """In a session: the query goes on from batch to batch, and its error reaches whoever waits for it."""
    lake = Bronze(spark, stream_name, tmp_path / "lake")
    query = lake.start()
    try:
        for _ in range(2):
            producer.put(10)
            query.processAllAvailable()
        newest = table_version(lake.uri)
        DeltaTable(lake.uri).restore(newest - 1)
        producer.put(10)
        with pytest.raises(StreamingQueryException, match=f"was restored to an older .* VERSION AS OF {newest} "):
            query.processAllAvailable()
    finally:
        query.stop()
    with pytest.raises(RestoredTableError, match=f"VERSION AS OF {newest} "):
        lake.drain()
    DeltaTable(lake.uri).restore(newest)
    lake.drain()
    assert lake.records() == sorted(producer.records)


@pytest.mark.parametrize("accepted", ["all the time", "until the crash"])
def test_records_that_were_gone_before_a_later_batch_are_a_gap_of_its_commit(
    lake: WithoutSpark, producer: Producer, monkeypatch: pytest.MonkeyPatch, accepted: str
) -> None:
    """Nothing was read for longer than the stream keeps records, and no record tells that nothing is gone."""
    shard = producer.first_open()
    producer.put(20)
    lake.drain()
    time.sleep(1.1)
    place = {"from": "AT_TIMESTAMP", "value": repr(time.time()), "complete_until": 1e9}
    lake.edit_entry(1, shard, end=place)
    (lake.checkpoint / "ledger" / "idle.json").unlink(missing_ok=True)
    time.sleep(1.1)
    producer.put(20)
    lake.accept_losses(True)
    if accepted == "until the crash":
        with monkeypatch.context() as patch:
            patch.setattr(bronze, "failpoint", dies_at("bronze.before_commit"))
            with pytest.raises(Crash, match=r"died at bronze\.before_commit"):
                lake.drain()
        lake.accept_losses(False)
    lake.drain()
    first, second = lake.commits()
    assert (first.gaps, second.batch) == ((), 1)
    (gap,) = second.gaps
    assert f"shard {shard}, after {place['value']}: nothing was read for longer than the stream keeps records" in gap
    assert lake.records() == sorted(producer.records)


def test_records_that_left_the_stream_before_a_batch_was_repeated_are_a_gap_of_its_commit(
    lake: WithoutSpark, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = producer.first_open()
    producer.put(10)
    lake.drain()
    producer.put(20)
    with monkeypatch.context() as patch:
        patch.setattr(bronze, "failpoint", dies_at("bronze.before_commit"))
        with pytest.raises(Crash, match=r"died at bronze\.before_commit"):
            lake.drain()
    entry = lake.entry(2, shard)
    lake.edit_entry(2, shard, records=entry["records"] + 1)
    producer.put(20)
    with pytest.raises(DataLossError, match="were found again; records may be lost"):
        lake.drain()
    lake.accept_losses(True)
    lake.drain()
    first, second, third = lake.commits()
    assert (first.gaps, second.batch, third.gaps) == ((), 1, ())
    (gap,) = second.gaps
    found = f"{entry['records']} of the {entry['records'] + 1} records up to {entry['end']['value']} were found again"
    assert f"shard {shard}, after {entry['start']['value']}: {found}" in gap
    assert lake.records() == sorted(producer.records)


def dies_at(wanted: str) -> Callable[[str], None]:
    def passed(name: str) -> None:
        if name == wanted:
            raise Crash(f"died at {name}")

    return passed
