"""Of two attempts at one batch the newer one decides; a checkpoint put back to yesterday is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from delta.tables import DeltaTable
from pyspark.errors import StreamingQueryException
from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from lakehouse.layout import spark_path
from local.oracle.deliveries import DeliveredRecord
from runtime.checkpoints import CheckpointError
from runtime.manifests import FOLDER, CataloguedPartitions
from runtime.restores import RestoredTableError
from streaming import silver_query
from streaming.silver import SilverTable
from tests.unit.oracle_deliveries import records
from tests.unit.silver_lake import REFERENCE, SilverLake, with_references
from tests.unit.test_silver_batches import basket_line

LINE = basket_line(Random(1)) | {"store_id": 1, "product_id": "A", "unit_price": "2.50", "line_number": 1}
RECORDS = records("pos", LINE, LINE | {"line_number": 2}, LINE | {"unit_price": "2.75"}, b"{", LINE | {"store_id": 99})


def assert_as_the_oracle_says(lake: SilverLake, delivered: list[DeliveredRecord]) -> None:
    differences = lake.compared([*REFERENCE, *delivered]).differences
    assert differences == (), "\n".join(map(str, differences))


@pytest.mark.parametrize("overtaken_before", ["_append_rejected", "_write_silver"])
def test_an_attempt_that_was_overtaken_changes_nothing_any_more(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overtaken_before: str
) -> None:
    """A process that was taken for dead goes on just before a write, after another one has done its batch."""
    first, *rest = RECORDS
    old = with_references(spark, tmp_path)
    old.process([first], 0)
    real: Callable[..., None] = getattr(SilverTable, overtaken_before)
    overtaken: list[bool] = []

    def overtake(table: SilverTable, *given: Any) -> None:
        if not overtaken:
            overtaken.append(True)
            SilverLake(spark, tmp_path).process(rest, 1, recover=True)
        real(table, *given)

    monkeypatch.setattr(SilverTable, overtaken_before, overtake)
    old.process(rest, 1)

    assert overtaken, "nobody came in between"
    assert_as_the_oracle_says(old, [first, *rest])


class Stream:
    """The silver query of the tills, run batch by batch over a bronze table."""

    def __init__(self, spark: SparkSession, root: Path) -> None:
        self.lake = with_references(spark, root)
        self.settings = self.lake.settings
        self.table = self.lake.table("pos")
        self.checkpoint = Path(self.table.checkpoint)

    def deliver(self, delivered: list[DeliveredRecord]) -> None:
        self.lake.bronze(delivered).write.format("delta").mode("append").save(spark_path(self.table.bronze_uri))

    def start(self, **trigger: Any) -> StreamingQuery:
        return silver_query.start(self.lake.spark, self.settings, self.table, trigger)

    def run(self) -> None:
        query = self.start(availableNow=True)
        query.awaitTermination(120)
        assert query.exception() is None


def test_a_backlog_is_worked_off_in_bounded_batches(spark: SparkSession, tmp_path: Path) -> None:
    stream = Stream(spark, tmp_path)
    stream.settings = stream.settings.model_copy(update={"silver_batch_bytes": 1})
    for record in RECORDS:
        stream.deliver([record])
    stream.run()
    batches = sorted(int(each.name) for each in (stream.checkpoint / "commits").iterdir() if each.name.isdecimal())
    # A batch takes at least one file; every record was delivered in a file of its own.
    assert batches == list(range(len(RECORDS)))
    assert_as_the_oracle_says(stream.lake, RECORDS)


def test_manifests_come_when_the_table_is_compacted_and_the_catalog_hears_of_them_at_every_start(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Stream(spark, tmp_path)
    manifests = Path(stream.table.silver_uri) / FOLDER
    updates: list[bool] = []
    told = SimpleNamespace(update=lambda: updates.append(manifests.exists()))
    monkeypatch.setattr(CataloguedPartitions, "of", lambda settings, contract, uri: told)
    stream.settings = stream.settings.model_copy(update={"symlink_manifests": True, "compact_batches": 2})
    stream.deliver(RECORDS[:1])
    stream.run()
    assert updates == [False], "one batch: nothing is compacted yet"
    stream.deliver(RECORDS[1:2])
    stream.run()
    assert updates == [False, False, True]


@pytest.mark.parametrize("later", [RECORDS[2:3], RECORDS[3:4]], ids=["a correction", "nothing but a broken record"])
def test_a_checkpoint_of_yesterday_is_refused(
    spark: SparkSession, tmp_path: Path, later: list[DeliveredRecord]
) -> None:
    """Its next batch would have a number that the tables have seen: Delta would leave it out without a word."""
    stream = Stream(spark, tmp_path / "lake")
    stream.deliver(RECORDS[:2])
    stream.run()
    shutil.copytree(stream.checkpoint, tmp_path / "yesterday")
    stream.deliver(later)
    stream.run()
    shutil.rmtree(stream.checkpoint)
    shutil.copytree(tmp_path / "yesterday", stream.checkpoint)
    stream.deliver(RECORDS[4:])

    told = f"{stream.checkpoint} ends at batch 0, but the tables of validated_pos hold batch 1: put the"
    with pytest.raises(CheckpointError, match=told):
        stream.run()


def test_tables_restored_to_yesterday_are_refused_until_they_are_brought_back(
    spark: SparkSession, tmp_path: Path
) -> None:
    stream = Stream(spark, tmp_path)
    for delivered in (RECORDS[:2], RECORDS[2:4]):
        stream.deliver(delivered)
        stream.run()
    stream.deliver(RECORDS[4:])
    for uri in (stream.table.silver_uri, stream.table.rejected_uri):
        table = DeltaTable.forPath(spark, uri)
        newest = table.history(1).collect()[0]["version"]
        table.restoreToVersion(newest - 1)
        told = f"{uri} was restored to an older state, .* TO VERSION AS OF {newest} "
        with pytest.raises(RestoredTableError, match=told):
            stream.run()
        table.restoreToVersion(newest)
    stream.run()
    assert_as_the_oracle_says(stream.lake, [*RECORDS])


@pytest.mark.parametrize("name", ["silver", "rejected"])
def test_a_table_restored_between_two_batches_stops_the_query_until_it_is_brought_back(
    spark: SparkSession, tmp_path: Path, name: str
) -> None:
    stream = Stream(spark, tmp_path)
    uri = stream.table.silver_uri if name == "silver" else stream.table.rejected_uri
    stream.deliver(RECORDS[:2])
    query = stream.start(processingTime="0 seconds")
    try:
        query.processAllAvailable()
        stream.deliver(RECORDS[2:4])
        query.processAllAvailable()
        table = DeltaTable.forPath(spark, uri)
        newest = table.history(1).collect()[0]["version"]
        table.restoreToVersion(newest - 1)
        stream.deliver(RECORDS[4:])
        told = f"{uri} was restored to an older state, .* TO VERSION AS OF {newest} "
        with pytest.raises(StreamingQueryException, match=told):
            query.processAllAvailable()
    finally:
        query.stop()
    with pytest.raises(RestoredTableError, match=told):
        stream.run()
    table.restoreToVersion(newest)
    stream.run()
    assert_as_the_oracle_says(stream.lake, [*RECORDS])


@pytest.mark.parametrize("log", ["offsets", "commits"])
def test_a_checkpoint_that_was_cut_short_is_refused(spark: SparkSession, tmp_path: Path, log: str) -> None:
    stream = Stream(spark, tmp_path)
    stream.deliver(RECORDS)
    stream.run()
    damaged = stream.checkpoint / log / "0"
    damaged.write_bytes(damaged.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match=f"{damaged} is damaged"):
        stream.run()


@pytest.mark.parametrize("torn", ["commits/1", "offsets/2"])
def test_a_batch_whose_end_nobody_noted_is_repeated_with_the_same_outcome(
    spark: SparkSession, tmp_path: Path, torn: str
) -> None:
    """Spark died after the batch, before its commit log; or is about to begin the next one."""
    stream = Stream(spark, tmp_path)
    stream.deliver(RECORDS[:2])
    stream.run()
    stream.deliver(RECORDS[2:4])
    stream.run()
    if torn == "commits/1":
        for file in stream.checkpoint.glob("commits/*1*"):
            file.unlink()
    stream.deliver(RECORDS[4:])
    stream.run()
    assert_as_the_oracle_says(stream.lake, [*RECORDS])


def test_a_deleted_checkpoint_over_kept_tables_is_refused_and_all_three_are_made_again(
    spark: SparkSession, tmp_path: Path
) -> None:
    """From the start of bronze, what was rejected would be rejected a second time."""
    stream = Stream(spark, tmp_path)
    stream.deliver([*RECORDS])
    stream.run()
    shutil.rmtree(stream.checkpoint)
    told = f"{stream.checkpoint} is new, but the tables of validated_pos hold another checkpoint's batches: put that"
    with pytest.raises(CheckpointError, match=told):
        stream.run()
    assert_as_the_oracle_says(stream.lake, [*RECORDS])
    for folder in (stream.table.silver_uri, stream.table.rejected_uri):
        shutil.rmtree(folder)
    stream.run()
    assert_as_the_oracle_says(stream.lake, [*RECORDS])
