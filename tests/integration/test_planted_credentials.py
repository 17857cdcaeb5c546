"""Credentials stay in the environment: planted ones are looked for in all that jobs print, plan and write."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lakehouse.settings import Settings
from tests.e2e.processes import lakehouse
from tests.integration.faulty_endpoint import FaultyEndpoint
from tests.integration.test_kinesis_source import Producer

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_s3 import S3Client

# The emulator takes any. Put together here, so that the scan of this repository does not find them.
PLANTED = {
    "AWS_ACCESS_KEY_ID": "PLANTED" + "KEYID7731",
    "AWS_SECRET_ACCESS_KEY": "planted-" + "secret-9417",
    "AWS_SESSION_TOKEN": "planted-" + "token-2265",
}
LONGEST_SECONDS = 240
pytestmark = pytest.mark.timeout(LONGEST_SECONDS + 60)


@pytest.fixture
def producer(kinesis: "KinesisClient", stream_name: str) -> Producer:
    producer = Producer(kinesis, stream_name)
    producer.put(10)
    return producer


@pytest.fixture
def proxy(kinesis: "KinesisClient") -> Iterator[FaultyEndpoint]:
    """It knows who signed what comes by."""
    with FaultyEndpoint(kinesis.meta.endpoint_url) as proxy:
        yield proxy


def planted_in(data: bytes) -> list[str]:
    return [name for name, value in PLANTED.items() if value.encode() in data]


def test_a_job_neither_prints_nor_writes_its_credentials(
    emulator: Settings, producer: Producer, proxy: FaultyEndpoint, s3: "S3Client", bucket: str, tmp_path: Path
) -> None:
    environment = PLANTED | {
        "AWS_ENDPOINT_URL_KINESIS": proxy.endpoint,
        "LAKEHOUSE_STATE_DIRECTORY": str(tmp_path / "state"),
        "LAKEHOUSE_STREAMS": json.dumps({"web_logs": producer.stream}),
    }
    root = f"s3://{bucket}/lake"
    proxy.fail("GetRecords", "ProvisionedThroughputExceededException", 4)  # what failed is told in the log
    done = lakehouse(["stream", "bronze", "--drain", "--root", root], environment, tmp_path, LONGEST_SECONDS)
    assert done.returncode == 0, done.stderr[-3000:]
    assert proxy.signed_by == {PLANTED["AWS_ACCESS_KEY_ID"]}
    assert proxy.done.total() == 4
    assert planted_in((done.stdout + done.stderr).encode()) == []

    listed = [
        each["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket) for each in page["Contents"]
    ]
    kinds = {key.removeprefix("lake/").partition("/")[0] for key in listed}
    assert {"bronze", "checkpoints"} <= kinds
    for part in ("/ledger/", "/offsets/", "/commits/", "/_delta_log/", ".parquet"):
        assert any(part in key for key in listed), part
    written = {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in listed}
    written |= {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert any(b"record 9" in content for content in written.values())
    assert {name: found for name, content in written.items() if (found := planted_in(name.encode() + content))} == {}


def test_no_plan_and_nothing_that_goes_to_a_task_has_credentials(
    producer: Producer, proxy: FaultyEndpoint, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.planning_driver", producer.stream, str(tmp_path)],
        cwd=Path(__file__).resolve().parents[2],
        env=os.environ | PLANTED | {"AWS_ENDPOINT_URL_KINESIS": proxy.endpoint},
        capture_output=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert proxy.signed_by == {PLANTED["AWS_ACCESS_KEY_ID"]}
    told = done.stdout.decode()
    assert told.count("pickled:") == 4  # the source, its reader, and two shards
    assert told.count("shardId-") >= 2
    assert told.count("== Physical Plan ==") == 2
    assert "MicroBatchScan" in told
    assert planted_in(done.stdout + done.stderr) == []
