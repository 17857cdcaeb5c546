"""The streams and their archive."""

import json

import pytest

from tests.infra.declared import Program
from tests.infra.operations import one
from tests.infra.recorded_program import ACCOUNT, REGION, recorded, with_everything

STREAM, FIREHOSE = "aws:kinesis/stream:Stream", "aws:kinesis/firehoseDeliveryStream:FirehoseDeliveryStream"
CONSUMER, POLICY = "aws:kinesis/streamConsumer:StreamConsumer", "aws:iam/rolePolicy:RolePolicy"
SOURCES = ("web_logs", "crm")


@pytest.fixture(scope="module")
def program() -> Program:
    return with_everything("prod")


@pytest.mark.parametrize(
    ("stack", "shards", "mode", "hours"), [("dev", 1, "PROVISIONED", 24), ("prod", None, "ON_DEMAND", 168)]
)
def test_streams_have_the_capacity_that_is_configured(stack: str, shards: int | None, mode: str, hours: int) -> None:
    found = {
        each.at("name"): (
            each.at("shardCount"),
            each.at("streamModeDetails", "streamMode"),
            each.at("retentionPeriod"),
            each.at("encryptionType"),
            each.at("kmsKeyId"),
        )
        for each in recorded(stack).of(STREAM)
    }
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/keys-streams"
    assert found == {
        f"shopware-lakehouse-{stack}-{name}": (shards, mode, hours, "KMS", key) for name in ("web-logs", "crm")
    }


def test_iterator_age_is_measured_for_each_shard(program: Program) -> None:
    for each in program.of(STREAM):
        assert "IteratorAgeMilliseconds" in each.at("shardLevelMetrics")


@pytest.mark.parametrize("source", SOURCES)
def test_the_archive_takes_records_as_they_are_a_line_each_into_folders_by_day(program: Program, source: str) -> None:
    archive = one(program, FIREHOSE, f"streams-{source}-archive").at("extendedS3Configuration")
    stream = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/shopware-lakehouse-prod-{source.replace('_', '-')}"

    named = one(program, FIREHOSE, f"streams-{source}-archive")
    assert named.at("kinesisSourceConfiguration", "kinesisStreamArn") == stream
    assert archive["bucketArn"] == f"arn:aws:s3:::shopware-lakehouse-prod-lake-{ACCOUNT}-euc1"
    assert archive["prefix"] == f"archive/{source}/date=!{{timestamp:yyyy-MM-dd}}/"
    assert archive["errorOutputPrefix"].startswith(f"archive/{source}/errors/!{{firehose:error-output-type}}/")
    assert archive["compressionFormat"] == "GZIP"
    assert archive["kmsKeyArn"] == f"arn:aws:kms:{REGION}:{ACCOUNT}:key/keys-lake"
    assert archive["cloudwatchLoggingOptions"]["enabled"] is True
    [processor] = archive["processingConfiguration"]["processors"]
    assert processor["type"] == "AppendDelimiterToRecord"
    assert processor["parameters"] == [{"parameterName": "Delimiter", "parameterValue": "\\n"}]


@pytest.mark.parametrize("source", SOURCES)
def test_the_archive_may_read_its_stream_and_write_its_folder(program: Program, source: str) -> None:
    document = json.loads(one(program, POLICY, f"streams-{source}-archive").at("policy"))
    allowed = {each["Sid"]: each["Resource"] for each in document["Statement"]}
    lake = f"arn:aws:s3:::shopware-lakehouse-prod-lake-{ACCOUNT}-euc1"

    assert allowed["ReadStream"] == [
        f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/shopware-lakehouse-prod-{source.replace('_', '-')}"
    ]
    assert allowed["WriteArchive"] == [f"{lake}/archive/{source}/*"]
    writes = {a for each in document["Statement"] for a in each["Action"] if a.startswith(("s3:Put", "s3:Delete"))}
    assert writes == {"s3:PutObject"}


def test_dedicated_throughput_only_where_it_is_asked_for(program: Program) -> None:
    assert len(list(program.of(CONSUMER))) == len(SOURCES)
    assert not list(recorded("prod").of(CONSUMER))


def test_who_is_to_use_a_dedicated_consumer_is_told_its_arn(program: Program) -> None:
    consumer = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s/consumer/guest:1"
    assert program.outputs["fanOutConsumers"] == {"web_logs": consumer, "crm": consumer}


def test_without_the_archive_nothing_of_it_is_there() -> None:
    assert not [each for each in recorded("dev", switches={"archive": False}).resources if "archive" in each.name]
