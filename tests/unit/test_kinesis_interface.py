"""The Kinesis source against an in-process Kinesis: payloads as they are, what Spark is handed, and options."""

import json
import os
import pickle
import re
from pathlib import Path

import botocore.parsers
import botocore.session
import pytest

from streaming import kinesis_client
from streaming.fetch import ShardRange
from streaming.kinesis import KinesisDataSource, KinesisStreamReader
from streaming.kinesis_options import OPTION_NAMES, KinesisOptions, OptionError
from streaming.shards import Kind, Offset
from tests.unit.fake_kinesis import HOUR, ONE, ZERO, FakeKinesis, Query

# Every kind of payload


def test_payloads_come_as_they_are(stream: FakeKinesis, query: Query) -> None:
    payloads = [b"", b"\xff\xfe not text", b"x" * 1_048_576, b"\xf3\x89\x9a\xc2 no aggregate", "zürich".encode()]
    stream.put(ZERO, *payloads)
    query.drain()
    assert query.data == payloads


def test_the_parser_of_answers_agrees_with_botocores_own() -> None:
    answer = {
        "Records": [
            {"SequenceNumber": "1", "ApproximateArrivalTimestamp": 1795423214.323, "Data": "", "PartitionKey": "a"},
            {"SequenceNumber": "2", "ApproximateArrivalTimestamp": 1795423215, "Data": "/w==", "PartitionKey": "b"},
        ],
        "NextShardIterator": "next",
        "MillisBehindLatest": 5,
    }
    response = {"body": json.dumps(answer).encode(), "headers": {}, "status_code": 200, "context": {}}
    model = botocore.session.Session().get_service_model("kinesis").operation_model("GetRecords")
    assert model.output_shape is not None
    endpoint = kinesis_client.connect("us-east-1", None)._endpoint  # type: ignore[attr-defined]
    ours = endpoint._response_parser_factory.create_parser("json").parse(response, model.output_shape)
    theirs = botocore.parsers.create_parser("json").parse(response, model.output_shape)
    for record in theirs["Records"]:
        record["ApproximateArrivalTimestamp"] = record["ApproximateArrivalTimestamp"].timestamp()
    assert ours == theirs
    assert [record["Data"] for record in ours["Records"]] == [b"", b"\xff"]


# The interface to Spark


def test_the_reader_can_be_pickled_and_holds_no_credentials(
    stream: FakeKinesis, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "AWS_SECRET_ACCESS_KEY", "planted-secret")
    monkeypatch.setitem(os.environ, "AWS_ACCESS_KEY_ID", "planted-key")
    stream.put(ZERO, b"x")
    fresh = KinesisDataSource(query.options).streamReader(None)  # type: ignore[arg-type]
    query.drain()
    pickled = pickle.dumps(fresh) + "".join(query.offsets).encode()
    assert b"planted" not in pickled
    assert isinstance(pickle.loads(pickle.dumps(fresh)), KinesisStreamReader)


def test_a_reader_that_was_only_made_has_called_nothing(stream: FakeKinesis, tmp_path: Path) -> None:
    reader = KinesisDataSource({"stream": "clicks", "ledger": str(tmp_path)}).streamReader(None)  # type: ignore[arg-type]
    assert reader.initialOffset() == Offset().to_json()
    assert stream.calls == []


def test_a_foreign_offset_is_refused(query: Query) -> None:
    with pytest.raises(Exception, match=r"was not written by this Kinesis source"):
        query.reader.partitions({"shardId-0": "1"}, {"shardId-0": "2"})


def test_a_tasks_partition_says_all_it_needs(stream: FakeKinesis, query: Query) -> None:
    stream.put(ONE, b"x")
    (partition,) = query.reader.partitions(query.reader.initialOffset(), query.reader.latestOffset())
    assert isinstance(partition, ShardRange)
    assert (partition.shard_id, partition.epoch, partition.start.kind) == (ONE, 1, Kind.TRIM_HORIZON)
    assert partition.retention_seconds == 24 * HOUR


# Options


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("initalPosition", "LATEST", r"unknown option 'initalPosition'; there are stream, ledger, .*failOnDataLoss"),
        ("initialPosition", "EARLIEST", r"initialPosition = 'EARLIEST': allowed are TRIM_HORIZON, LATEST, and AT_TIME"),
        ("initialPosition", "AT_TIMESTAMP yesterday", r"initialPosition = 'AT_TIMESTAMP yesterday': allowed are"),
        ("maxRecordsPerShard", "0", r"maxRecordsPerShard = '0': allowed are whole numbers from 1 to 1000000"),
        ("maxRecordsPerShard", "ten", r"maxRecordsPerShard = 'ten': allowed are whole numbers"),
        ("maxFetchSeconds", "nan", r"maxFetchSeconds = 'nan': allowed are seconds from 0.1 to 600"),
        ("failOnDataLoss", "maybe", r"failOnDataLoss = 'maybe': allowed are true and false"),
        ("stream", "", r"option stream is required: the name of the Kinesis stream"),
        ("ledger", " ", r"option ledger is required: a folder or s3://"),
    ],
)
def test_a_wrong_option_is_refused_with_what_is_allowed(option: str, value: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        KinesisDataSource({"stream": "clicks", "ledger": "/tmp/ledger", option: value})


def test_options_are_read_whatever_their_case() -> None:
    options = KinesisOptions.parse(
        {
            "STREAM": "clicks",
            "ledger": "l",
            "maxrecordspershard": "5",
            "initialposition": "at_timestamp 2026-01-31T00:00Z",
        }
    )
    assert (options.stream, options.max_records_per_shard) == ("clicks", 5)
    assert options.initial_position.timestamp == 1769817600.0


def test_the_documented_table_lists_every_option_and_its_default() -> None:
    rows = re.findall(r"^\s*\| `(\w+)` \| (.+?) \|", KinesisDataSource.__doc__ or "", re.MULTILINE)
    assert tuple(name for name, _ in rows) == (
        "stream", "ledger", "region", "endpoint", "initialPosition", "maxRecordsPerShard", "maxBytesPerShard",
        "maxFetchSeconds", "minPollSeconds", "shardRefreshSeconds", "maxRetrySeconds", "failOnDataLoss",
    ) == OPTION_NAMES  # fmt: skip
    defaults = KinesisOptions("s", "l")
    documented = dict(rows)
    assert documented["maxRecordsPerShard"] == str(defaults.max_records_per_shard)
    assert documented["maxBytesPerShard"] == str(defaults.max_bytes_per_shard)
    assert documented["maxFetchSeconds"] == f"{defaults.max_fetch_seconds:g}"
    assert documented["minPollSeconds"] == f"{defaults.min_poll_seconds:g}"
    assert documented["shardRefreshSeconds"] == f"{defaults.shard_refresh_seconds:g}"
    assert documented["maxRetrySeconds"] == f"{defaults.max_retry_seconds:g}"
    assert documented["failOnDataLoss"] == f"`{str(defaults.fail_on_data_loss).lower()}`"
