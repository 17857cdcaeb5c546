"""The four calls to Kinesis that the source makes, repeated with growing pauses while a fault may pass.

Errors come out as what they mean to the caller. Clients are made per process, and again when credentials expired.
"""

import binascii
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TypedDict, cast

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError, NoRegionError
from botocore.model import Shape
from botocore.parsers import JSONParser, ResponseParser, ResponseParserFactory
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from lakehouse.errors import LakehouseError
from runtime.metrics import RETRIES, metrics
from runtime.region import region as named_region
from streaming.shards import Kind, Position, Shard

if TYPE_CHECKING:
    from mypy_boto3_kinesis.client import KinesisClient
    from mypy_boto3_kinesis.type_defs import ListShardsOutputTypeDef

LOG = logging.getLogger(__name__)

PASSING_CODES = {
    "ProvisionedThroughputExceededException",
    "LimitExceededException",
    "ThrottlingException",
    "KMSThrottlingException",
    "RequestLimitExceeded",
    "InternalFailure",
    "InternalFailureException",
    "ServiceUnavailable",
}
EXPIRED_CREDENTIALS = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
# Between two repeats: at first up to a tenth of a second, at most five seconds, drawn at random below that.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 5.0
# Beyond this difference the service's clock counts, not this machine's.
CLOCK_TOLERANCE_SECONDS = 2.0


class KinesisError(LakehouseError):
    """A call to Kinesis failed for good; the message names the stream and the shard."""


class NotFound(KinesisError):
    """The stream or the shard does not exist (any more)."""


class PositionRefused(KinesisError):
    """The service does not take the sequence number: it was trimmed, or is another stream's."""


class IteratorExpired(KinesisError):
    """The iterator is older than five minutes; a new one goes on at the same place."""


class Unavailable(KinesisError):
    """The service did not answer properly for as long as the caller was willing to wait."""


class Record(TypedDict):
    """A record as the service gives it; its arrival is in epoch seconds."""

    SequenceNumber: str
    ApproximateArrivalTimestamp: float
    PartitionKey: str
    Data: bytes


@dataclass(frozen=True)
class Page:
    """One answer of GetRecords. No `next_iterator`: the shard has ended. `asked_at` is in epoch seconds."""

    records: list[Record]
    next_iterator: str | None
    behind_milliseconds: int
    asked_at: float


@dataclass(frozen=True)
class StreamSummary:
    """When the stream was made, for how long it keeps records, and the time now (epoch seconds; seconds)."""

    created: float | None
    retention_seconds: float
    now: float


@dataclass
class StreamClient:
    """One stream, seen from one process. `patience` is the longest time (seconds) that a call is repeated."""

    stream: str
    region: str | None
    endpoint: str | None
    patience: float
    retries: int = field(default=0, init=False)

    def summary(self) -> StreamSummary:
        """What the stream is. Raises NotFound when there is none of this name."""
        answer = self._call(
            "DescribeStreamSummary", "", lambda api: api.describe_stream_summary(StreamName=self.stream)
        )
        content = cast(Mapping[str, Any], answer["StreamDescriptionSummary"])
        created = content.get("StreamCreationTimestamp")
        now, date = time.time(), answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
        if date is not None and abs(now - (told := parsedate_to_datetime(date).timestamp())) > CLOCK_TOLERANCE_SECONDS:
            now = told
        return StreamSummary(
            None if created is None else float(created), float(content.get("RetentionPeriodHours", 24)) * 3600, now
        )

    def shards(self) -> list[Shard]:
        """Every listed shard, the closed ones within retention too."""
        listed: list[Shard] = []
        token: str | None = ""
        while token is not None:
            answer = self._call("ListShards", "", partial(_list_shards, self.stream, token))
            for each in answer["Shards"]:
                parents = (each.get("ParentShardId"), each.get("AdjacentParentShardId"))
                still_open = "EndingSequenceNumber" not in each["SequenceNumberRange"]
                listed.append(Shard(each["ShardId"], tuple(parent for parent in parents if parent), still_open))
            token = answer.get("NextToken")
        return listed

    def iterator(self, shard_id: str, position: Position, *, at: bool = False, patience: float | None = None) -> str:
        """An iterator that starts at the position; with `at`, on the record that the position follows."""
        start: dict[str, Any] = {"ShardIteratorType": position.kind.value}
        if position.kind is Kind.AFTER_SEQUENCE_NUMBER:
            start["StartingSequenceNumber"] = position.value
            if at:
                start["ShardIteratorType"] = "AT_SEQUENCE_NUMBER"
        elif position.kind is Kind.AT_TIMESTAMP:
            start["Timestamp"] = float(position.value)

        def get() -> str:
            answer = self._call(
                "GetShardIterator",
                shard_id,
                lambda api: api.get_shard_iterator(StreamName=self.stream, ShardId=shard_id, **start),
                patience,
            )
            return answer["ShardIterator"]

        try:
            return get()
        except PositionRefused:
            if position.kind is not Kind.AT_TIMESTAMP:
                raise
            # Times in the future are refused, and the service's clock may be a little behind this one.
            time.sleep(CLOCK_TOLERANCE_SECONDS)
            return get()

    def records(self, shard_id: str, iterator: str, limit: int, patience: float | None = None) -> Page:
        """The next records, at most `limit` (Kinesis: 10 000 and 10 MB)."""
        asked_at = time.time()
        answer = self._call(
            "GetRecords", shard_id, lambda api: api.get_records(ShardIterator=iterator, Limit=limit), patience
        )
        # The parser below leaves times as numbers; boto3's types cannot know that.
        records = cast(list[Record], answer["Records"])
        return Page(records, answer.get("NextShardIterator"), answer.get("MillisBehindLatest", 0), asked_at)

    def _call[Answer](
        self, operation: str, shard_id: str, call: Callable[["KinesisClient"], Answer], patience: float | None = None
    ) -> Answer:
        where = f"stream {self.stream}" + (f", shard {shard_id}" if shard_id else "")

        def note(state: RetryCallState) -> None:
            self.retries += 1
            metrics().observe(RETRIES, 1, Stream=self.stream)
            metrics().flush()
            error = state.outcome.exception() if state.outcome else None
            LOG.warning("%s: %s failed (attempt %d), again: %s", where, operation, state.attempt_number, error)
            if _code(error) in EXPIRED_CREDENTIALS:
                _connect.cache_clear()

        attempts = Retrying(
            retry=retry_if_exception(_may_pass),
            stop=stop_after_delay(self.patience if patience is None else patience),
            wait=wait_random_exponential(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS),
            before_sleep=note,
            reraise=True,
        )
        try:
            return attempts(lambda: call(connect(self.region, self.endpoint)))
        except NoRegionError as error:
            raise KinesisError(f"{where}: no AWS region: set the option region, or AWS_REGION") from error
        except (ClientError, BotoCoreError) as error:
            raise _meaning(error)(f"{where}: {operation} failed: {_told(error)}") from error


class _ParserFactory(ResponseParserFactory):
    """Reading records is mostly parsing them: this takes a sixth of the time of botocore's own parser."""

    def create_parser(self, protocol_name: str) -> ResponseParser:
        if protocol_name == "json":
            return _Parser(timestamp_parser=float, blob_parser=binascii.a2b_base64)
        return super().create_parser(protocol_name)


class _Parser(JSONParser):
    """Leaves records as JSON has them but for their data; times are numbers everywhere."""

    def _handle_list(self, shape: Shape, value: list[Any]) -> list[Any]:
        if shape.name != "RecordList":
            return cast(list[Any], super()._handle_list(shape, value))  # type: ignore[misc] # not in the stubs
        for record in value:
            record["Data"] = binascii.a2b_base64(record.get("Data") or "")
        return value


def connect(region: str | None, endpoint: str | None) -> "KinesisClient":
    """The process's client; endpoint and credentials that are not given come from the environment (`AWS_*`)."""
    return _connect(region, endpoint, os.getpid())


@lru_cache(maxsize=8)
def _connect(region: str | None, endpoint: str | None, process: int) -> "KinesisClient":
    core = botocore.session.Session()
    core.register_component("response_parser_factory", _ParserFactory())
    # One attempt a call: repeating is done above, in one place, and is counted there.
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=15, max_pool_connections=32)
    return boto3.session.Session(botocore_session=core).client(
        "kinesis", region_name=region or named_region(), endpoint_url=endpoint, config=config
    )


def _list_shards(stream: str, token: str, api: "KinesisClient") -> "ListShardsOutputTypeDef":
    return api.list_shards(NextToken=token) if token else api.list_shards(StreamName=stream)


def _code(error: BaseException | None) -> str:
    return str(error.response["Error"].get("Code", "")) if isinstance(error, ClientError) else ""


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, ClientError):
        status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
        return _code(error) in PASSING_CODES | EXPIRED_CREDENTIALS or status >= 500
    return isinstance(error, ConnectionError | HTTPClientError)


def _meaning(error: ClientError | BotoCoreError) -> type[KinesisError]:
    if _may_pass(error):
        return Unavailable
    meanings: dict[str, type[KinesisError]] = {
        "ResourceNotFoundException": NotFound,
        "InvalidArgumentException": PositionRefused,
        "ExpiredIteratorException": IteratorExpired,
    }
    if _code(error) == "ResourceNotFoundException" and "SequenceNumber" in str(error):
        return PositionRefused  # LocalStack's way to say it.
    return meanings.get(_code(error), KinesisError)


def _told(error: ClientError | BotoCoreError) -> str:
    if isinstance(error, ClientError):
        return f"{_code(error)}: {error.response['Error'].get('Message', '')}"
    return str(error)
