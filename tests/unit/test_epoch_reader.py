"""Reading an epoch in the driver gives what the tasks of the source give, under the same ledger."""

from pathlib import Path
from typing import Any

import pytest

from lakehouse.engine.enrich import values
from streaming.epoch_reader import EpochReader
from streaming.kinesis_options import KinesisOptions
from streaming.kinesis_rows import SCHEMA
from streaming.shards import Offset
from tests.unit.fake_kinesis import ONE, ZERO, FakeKinesis, Query, numbered, refusal


@pytest.fixture
def reader(query: Query) -> EpochReader:
    return EpochReader(KinesisOptions.parse(query.options))


def planned(query: Query) -> Offset:
    """What the source plans next, as Spark writes it down."""
    offset: Any = query.reader.latestOffset()
    return Offset.from_json(offset)


def data(reader: EpochReader, offset: Offset) -> list[bytes]:
    rows = reader.read(offset)
    assert rows.schema.equals(SCHEMA)
    return sorted(values(rows["data"]))


def test_all_shards_of_an_epoch_are_read_and_again_the_same(
    stream: FakeKinesis, query: Query, reader: EpochReader
) -> None:
    stream.put(ZERO, *numbered(0, 5))
    stream.put(ONE, *numbered(5, 9))
    offset = planned(query)
    assert data(reader, offset) == sorted(numbered(0, 9))
    # What comes after the epoch is decided is of a later one, for another process too.
    stream.put(ZERO, *numbered(10, 12))
    again = EpochReader(KinesisOptions.parse(query.options))
    assert data(reader, offset) == data(again, offset) == sorted(numbered(0, 9))


def test_the_tasks_of_the_source_read_what_the_driver_has_decided(
    stream: FakeKinesis, query: Query, reader: EpochReader
) -> None:
    stream.put(ZERO, *numbered(0, 5))
    end: Any = query.reader.latestOffset()
    found = data(reader, Offset.from_json(end))
    stream.put(ZERO, *numbered(5, 9))
    assert sorted(row["data"] for row in query.rows(query.reader.initialOffset(), end)) == found


def test_an_epoch_without_records_has_none_and_no_ledger_is_needed_for_none(
    stream: FakeKinesis, query: Query, reader: EpochReader, tmp_path: Path
) -> None:
    assert data(reader, planned(query)) == []
    nothing = Offset.from_json(query.reader.initialOffset())
    assert reader.read(nothing).num_rows == 0


def test_what_fails_once_is_tried_again(stream: FakeKinesis, query: Query, reader: EpochReader) -> None:
    stream.put(ZERO, *numbered(0, 3))
    offset = planned(query)
    stream.fail("get_records", refusal("ProvisionedThroughputExceededException"), shard_id=ZERO)
    assert data(reader, offset) == numbered(0, 3)
