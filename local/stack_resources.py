"""The buckets and streams of an emulator: made where they are missing, and listed. It starts and stops nothing."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.emulator_process import EmulatorError

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_s3 import S3Client

SHARDS = 2
STREAM_SECONDS = 60


@dataclass(frozen=True)
class Stream:
    """A Kinesis stream as `status` shows it."""

    name: str
    shards: int
    state: str


def ensure(variables: Mapping[str, str], buckets: Iterable[str], streams: Iterable[str]) -> None:
    """Makes the buckets and the streams, of 2 shards each, that do not exist yet.

    `variables` are the AWS_* variables that lead to the emulator. The first call to Kinesis starts it, which takes 2 s.
    Raises EmulatorError when the endpoint does not answer, or a stream does not become active.
    """
    with _clients(variables) as (s3, kinesis):
        existing = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
        for bucket in sorted(set(buckets) - existing):
            _create_bucket(s3, bucket, variables["AWS_REGION"])
        wanted = sorted(set(streams))
        for stream in wanted:
            _create_stream(kinesis, stream)
        for stream in wanted:
            _wait_until_active(kinesis, stream)


def describe(variables: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[Stream, ...]]:
    """The names of all buckets, and all streams, in the order of their names.

    Raises EmulatorError when the endpoint does not answer.
    """
    with _clients(variables) as (s3, kinesis):
        buckets = tuple(sorted(bucket["Name"] for bucket in s3.list_buckets()["Buckets"]))
        pages = kinesis.get_paginator("list_streams").paginate()
        names = sorted(name for page in pages for name in page["StreamNames"])
        described = [kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"] for name in names]
    return buckets, tuple(Stream(one["StreamName"], one["OpenShardCount"], one["StreamStatus"]) for one in described)


@contextmanager
def _clients(variables: Mapping[str, str]) -> Iterator[tuple["S3Client", "KinesisClient"]]:
    import boto3  # here, so that `lakehouse --help` and `lakehouse down` do not wait for it
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    endpoint, region = variables["AWS_ENDPOINT_URL"], variables["AWS_REGION"]
    session = boto3.Session(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"], region_name=region)
    patient = Config(connect_timeout=5, read_timeout=90, s3={"addressing_style": "path"})
    try:
        yield (
            session.client("s3", endpoint_url=endpoint, config=patient),
            session.client("kinesis", endpoint_url=endpoint, config=patient),
        )
    except (BotoCoreError, ClientError, ValueError) as error:
        raise EmulatorError(
            f"{endpoint} does not answer as AWS would: {error} (start what AWS_ENDPOINT_URL names, or unset it)"
        ) from error


def _create_bucket(s3: "S3Client", bucket: str, region: str) -> None:
    try:
        if region == "us-east-1":  # the one region that S3 does not take as a constraint
            s3.create_bucket(Bucket=bucket)
        else:
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})  # type: ignore[typeddict-item]
    except s3.exceptions.BucketAlreadyOwnedByYou:
        return


def _create_stream(kinesis: "KinesisClient", stream: str) -> None:
    try:
        kinesis.create_stream(StreamName=stream, ShardCount=SHARDS)
    except kinesis.exceptions.ResourceInUseException:
        return


def _wait_until_active(kinesis: "KinesisClient", stream: str) -> None:
    deadline = time.monotonic() + STREAM_SECONDS
    while True:
        state = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamStatus"]
        if state in ("ACTIVE", "UPDATING"):
            return
        if time.monotonic() > deadline:
            raise EmulatorError(f"stream {stream} is still {state} after {STREAM_SECONDS} s")
        time.sleep(0.1)
