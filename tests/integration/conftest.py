"""AWS clients, buckets and streams on the emulator, and a lake that the real queries filled."""

import itertools
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import localstack_client.session
import pytest
from pyspark.sql import SparkSession

from lakehouse.settings import Settings
from streaming import job
from streaming.job import Declaration
from tests.integration.background_job import BackgroundJob
from tests.integration.queried_lake import QueriedLake, finished

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_s3 import S3Client

numbers = itertools.count(1)


@pytest.fixture(scope="session")
def aws(emulator: Settings) -> localstack_client.session.Session:
    """A session whose clients talk to the emulator and to nothing else."""
    return localstack_client.session.Session("test", "test", region_name=emulator.region)


@pytest.fixture(scope="session")
def s3(aws: localstack_client.session.Session) -> "S3Client":
    client: S3Client = aws.client("s3")
    return client


@pytest.fixture(scope="session")
def kinesis(aws: localstack_client.session.Session) -> "KinesisClient":
    client: KinesisClient = aws.client("kinesis")
    return client


@pytest.fixture
def bucket(s3: "S3Client") -> str:
    """The name of a bucket that no other test uses."""
    name = f"test-{time.time_ns()}-{next(numbers)}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def stream_name(kinesis: "KinesisClient") -> Iterator[str]:
    """The name of an active stream of two shards that no other test uses."""
    name = f"test-{time.time_ns()}-{next(numbers)}"
    kinesis.create_stream(StreamName=name, ShardCount=2)
    waiter = kinesis.get_waiter("stream_exists")
    waiter.wait(StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    yield name
    kinesis.delete_stream(StreamName=name, EnforceConsumerDeletion=True)


@pytest.fixture(scope="session")
def finished_lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> QueriedLake:
    """A lake in a folder that all queries have read to the end. Not to be changed: `lake` is for that."""
    return finished(spark, tmp_path_factory.mktemp("finished"))


@pytest.fixture
def lake(finished_lake: QueriedLake, tmp_path: Path) -> QueriedLake:
    """A copy of `finished_lake`, to be changed."""
    shutil.copytree(finished_lake.settings.root, tmp_path / "lake")
    return QueriedLake(finished_lake.spark, tmp_path / "lake")


@pytest.fixture
def run_beside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Sequence[Declaration], int], BackgroundJob]]:
    """Starts a job of these queries with so many restarts after short pauses; it ends with the test."""
    monkeypatch.setattr(job, "FIRST_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(job, "LONGEST_PAUSE_SECONDS", 2.0)
    started: list[BackgroundJob] = []

    def start(queries: Sequence[Declaration], max_restarts: int) -> BackgroundJob:
        started.append(BackgroundJob(queries, max_restarts))
        return started[-1]

    yield start
    for each in started:
        each.stop()
