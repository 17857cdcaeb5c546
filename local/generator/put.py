"""Puts records on Kinesis in their order and at a rate, and tells which were taken."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from threading import Event
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from lakehouse.errors import LakehouseError
from local.generator.events import StreamEvent
from local.generator.ledger import Acknowledged

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

# Kinesis takes at most 500 records and 5 MB in one PutRecords.
MOST_RECORDS, MOST_BYTES = 500, 4_500_000
CALLS_PER_SECOND = 5
ATTEMPTS = 8
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
INTERNAL_ERROR = 500
BUSY = ("ProvisionedThroughputExceededException", "LimitExceededException", "KMSThrottlingException", "Throttling")


class PutError(LakehouseError):
    """Kinesis did not take records, however often they were put; the message names the stream and its answer."""


def put_records(
    records: Sequence[StreamEvent],
    kinesis: "KinesisClient",
    streams: Mapping[str, str],
    rate: float,
    acknowledged: Callable[[Sequence[Acknowledged]], None],
    stop: Event,
) -> int:
    """Puts the records in order, at most `rate` a second (0: as fast as it goes); gives how many were taken.

    `streams` maps a source to its stream. After each call to Kinesis `acknowledged` is given what it took. What it
    refused is put again, after the rest of its call: records of one key may change places then, and the sequence
    numbers tell. When `stop` is set, it ends after the calls under way. Raises PutError when a record is refused for
    good.
    """
    started, done = time.monotonic(), 0
    for chunk in _chunks(records, rate):
        ahead = done / rate - (time.monotonic() - started) if rate else 0.0
        if stop.wait(max(0.0, ahead)):
            break
        for source, same in groupby(sorted(chunk, key=lambda record: record.source), key=lambda record: record.source):
            _put(list(same), kinesis, streams[source], acknowledged)
        done += len(chunk)
    return done


def _chunks(records: Sequence[StreamEvent], rate: float) -> Iterator[list[StreamEvent]]:
    """Runs of records that one call may hold and that are due at about the same time."""
    most = min(MOST_RECORDS, max(1, round(rate / CALLS_PER_SECOND))) if rate else MOST_RECORDS
    chunk: list[StreamEvent] = []
    size = 0
    for record in records:
        weight = len(record.data) + len(record.partition_key.encode())
        if chunk and (len(chunk) == most or size + weight > MOST_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(record)
        size += weight
    if chunk:
        yield chunk


def _put(
    records: list[StreamEvent],
    kinesis: "KinesisClient",
    stream: str,
    acknowledged: Callable[[Sequence[Acknowledged]], None],
) -> None:
    waiting = records
    answer, attempt = "", 0
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1)))
        try:
            response = kinesis.put_records(
                StreamName=stream,
                Records=[{"Data": record.data, "PartitionKey": record.partition_key} for record in waiting],
            )
        except ClientError as error:
            answer = str(error)
            if not _passes(error):
                break
            continue
        except BotoCoreError as error:
            answer = str(error)
            continue
        now = datetime.now(UTC)
        answers = list(zip(waiting, response["Records"], strict=True))
        acknowledged(
            [
                Acknowledged(record, stream, result["ShardId"], result["SequenceNumber"], now)
                for record, result in answers
                if result.get("SequenceNumber")
            ]
        )
        answer = next((str(result.get("ErrorMessage")) for _, result in answers if result.get("ErrorCode")), "")
        waiting = [record for record, result in answers if not result.get("SequenceNumber")]
        if not waiting:
            return
    raise PutError(
        f"stream {stream} did not take {len(waiting)} records (attempts: {attempt + 1}; the first is number "
        f"{waiting[0].index} of the plan): {answer}"
    )


def _passes(error: ClientError) -> bool:
    """Whether the call may go through later: the service is busy or broken, not asked for something impossible."""
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status >= INTERNAL_ERROR or error.response["Error"]["Code"] in BUSY
