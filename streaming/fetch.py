"""Reading one shard's part of an epoch out of Kinesis into Arrow: up to the limits, or a known range once more."""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import pyarrow as pa
from pyspark.sql.datasource import InputPartition

from lakehouse.errors import LakehouseError
from runtime.metrics import GAPS, metrics
from streaming.kinesis_client import (
    IteratorExpired,
    NotFound,
    Page,
    PositionRefused,
    StreamClient,
    Unavailable,
)
from streaming.kinesis_options import KinesisOptions
from streaming.kinesis_rows import record_batch
from streaming.ledger import Entry, Reading
from streaming.shards import Kind, Position

LOG = logging.getLogger(__name__)

# The most that Kinesis gives in one answer.
PAGE_RECORDS = 10_000
# An answer smaller than this that says "nothing behind" is the tip; a bigger one may just have been cut.
TIP_BYTES = 1_000_000
# Kinesis allows five GetRecords a second and shard; pages without records come at this pace.
EMPTY_PAGE_PAUSE_SECONDS = 0.2
# A shard is walked over empty pages for this many times maxFetchSeconds before the batch gives up finding a record.
EMPTY_PATIENCE = 6
# How much older than the retention minus this a position must be before records behind it can have been trimmed.
RETENTION_MARGIN_SECONDS = 600.0
# Iterators are good for five minutes.
ITERATOR_SECONDS = 240.0


class DataLossError(LakehouseError):
    """Records left the stream before they were read."""


@dataclass(frozen=True)
class ShardRange(InputPartition):
    """What a task must know: which shard to read, from where, for which epoch. Ends are decided by the task."""

    shard_id: str
    epoch: int
    start: Position
    retention_seconds: float


# Where this process stopped reading, and the iterator that goes on there: saves a call for each batch and shard.
_CONTINUE: dict[tuple[str, str], tuple[str, str, float]] = {}


class ShardReader:
    """Reads one task's range."""

    def __init__(self, client: StreamClient, options: KinesisOptions, task: ShardRange) -> None:
        self._client, self._options, self._task = client, options, task
        self._reached = task.start
        self._patience: float | None = None

    def read_to_limit(self) -> Reading:
        """The records from the start on: to the shard's tip or end, or to the first of the limits.

        Raises DataLossError when records before the range were trimmed and failOnDataLoss is on.
        """
        try:
            iterator, gap = self._first_iterator()
        except NotFound as error:
            gap = self._lost(f"the shard is gone ({error})")
            return Reading(Entry(self._task.start, replace(self._task.start, finished=True), 0, gap=gap), [])
        progress = _Progress(self._options)
        batches: list[pa.RecordBatch] = []
        first: str | None = None

        def room(page: Page) -> int:
            if page.records:  # With records in hand a throttled call is not worth waiting for long.
                self._patience = self._options.max_fetch_seconds
            return progress.after(page)

        try:
            for page in self._pages(iterator, progress.room(), room):
                if page.records:
                    first = first or page.records[0]["SequenceNumber"]
                    batches.append(record_batch(self._client.stream, self._task.shard_id, page.records))
        except Unavailable:
            if not batches:
                raise
            progress.behind = True  # What was read is a batch: progress is kept, the rest is the next epoch's.
        entry = Entry(
            self._task.start,
            self._reached,
            progress.records,
            first,
            behind=progress.behind,
            gap=gap,
            retries=self._client.retries,
        )
        return Reading(entry, batches)

    def read_exactly(self, entry: Entry) -> Reading:
        """The entry's range again, with the gap in it when it is not all there any more.

        Raises DataLossError for such a gap when failOnDataLoss is on.
        """
        if entry.records == 0:
            return Reading(entry, [])
        batches: list[pa.RecordBatch] = []
        last, found, deadline = int(entry.end.value), 0, time.monotonic() + self._options.max_retry_seconds

        def more(page: Page) -> int:
            nonlocal found, deadline
            within = [each for each in page.records if int(each["SequenceNumber"]) <= last]
            found += len(within)
            if within:
                deadline = time.monotonic() + self._options.max_retry_seconds
                batches.append(record_batch(self._client.stream, self._task.shard_id, within))
            past = len(within) < len(page.records) or found >= entry.records or page.next_iterator is None
            return 0 if past or time.monotonic() > deadline else min(PAGE_RECORDS, entry.records - found)

        try:
            iterator = self._iterator()
            for _ in self._pages(iterator, min(PAGE_RECORDS, entry.records), more):
                pass
        except (NotFound, PositionRefused) as error:
            return Reading(entry, batches, self._lost(f"the range is gone ({error})"))
        gap = None
        if found != entry.records or int(self._reached.value or 0) < last:
            gap = self._lost(f"{found} of the {entry.records} records up to {entry.end.value} were found again")
        return Reading(entry, batches, gap)

    def _pages(self, iterator: str, limit: int, room: Callable[[Page], int]) -> Iterator[Page]:
        """Pages in order, the next one under way while the caller works on this one.

        `room` is told each page and answers how many records the next may hold; 0 ends.
        """
        with ThreadPoolExecutor(1) as ahead:
            coming: Future[Page] | None = ahead.submit(self._page, iterator, limit, 0.0)
            while coming is not None:
                page = coming.result()
                self._note(page)
                limit = room(page)
                if limit == 0 or page.next_iterator is None:
                    coming = None
                else:
                    pause = 0.0 if page.records else EMPTY_PAGE_PAUSE_SECONDS
                    coming = ahead.submit(self._page, page.next_iterator, limit, pause)
                yield page

    def _page(self, iterator: str, limit: int, pause: float) -> Page:
        if pause:
            time.sleep(pause)
        try:
            return self._client.records(self._task.shard_id, iterator, limit, self._patience)
        except IteratorExpired:
            iterator = self._client.iterator(self._task.shard_id, self._reached)
            return self._client.records(self._task.shard_id, iterator, limit, self._patience)

    def _note(self, page: Page) -> None:
        """Moves the position that was reached to the page's end."""
        complete_until = self._reached.complete_until
        if page.records:
            last = page.records[-1]
            complete_until = last["ApproximateArrivalTimestamp"]
            self._reached = Position(Kind.AFTER_SEQUENCE_NUMBER, last["SequenceNumber"], complete_until)
        if page.next_iterator is None:
            self._reached = replace(self._reached, finished=True)
            return
        if page.behind_milliseconds == 0:
            self._reached = replace(self._reached, complete_until=page.asked_at)
        if self._reached.kind is Kind.AFTER_SEQUENCE_NUMBER:
            key = (self._client.stream, self._task.shard_id)
            _CONTINUE[key] = (self._reached.value, page.next_iterator, page.asked_at)

    def _iterator(self) -> str:
        start = self._task.start
        held = _CONTINUE.pop((self._client.stream, self._task.shard_id), None)
        if held is not None and start.kind is Kind.AFTER_SEQUENCE_NUMBER:
            value, iterator, made_at = held
            if value == start.value and time.time() - made_at < ITERATOR_SECONDS:
                return iterator
        return self._client.iterator(self._task.shard_id, start)

    def _first_iterator(self) -> tuple[str, str | None]:
        """The iterator to start with, and in words what may be missing before it."""
        hours = self._task.retention_seconds / 3600
        try:
            if not past_retention(self._task.start, self._task.retention_seconds) or self._still_there():
                return self._iterator(), None
            gap = self._lost(f"nothing was read for longer than the stream keeps records ({hours:g} hours)")
            return self._iterator(), gap
        except PositionRefused as error:
            gap = self._lost(f"the position is not in the stream any more ({error})")
            return self._client.iterator(self._task.shard_id, Position(Kind.TRIM_HORIZON)), gap

    def _still_there(self) -> bool:
        """Whether the record that the position follows can still be read: then nothing after it was trimmed."""
        if self._task.start.kind is not Kind.AFTER_SEQUENCE_NUMBER:
            return False
        iterator: str | None = self._client.iterator(self._task.shard_id, self._task.start, at=True)
        deadline = time.monotonic() + self._options.max_fetch_seconds
        while iterator is not None and time.monotonic() < deadline:
            page = self._client.records(self._task.shard_id, iterator, 1)
            if page.records:
                return page.records[0]["SequenceNumber"] == self._task.start.value
            if page.behind_milliseconds == 0:
                return False
            iterator = page.next_iterator
            time.sleep(EMPTY_PAGE_PAUSE_SECONDS)
        return False

    def _lost(self, what: str) -> str:
        """The loss in words, for the entry and the log. Raises DataLossError if losses are not accepted."""
        start = self._task.start
        message = (
            f"stream {self._client.stream}, shard {self._task.shard_id}, after {start.value or start.kind.value}: "
            f"{what}; records may be lost"
        )
        metrics().observe(GAPS, 1, Stream=self._client.stream)
        metrics().flush(at_once=True)
        if self._options.fail_on_data_loss:
            raise DataLossError(
                f"{message}. Bring them back from the archive, then go on without them with failOnDataLoss=false, or "
                "start with a new checkpoint folder and the initialPosition of your choice"
            )
        LOG.error("%s (failOnDataLoss=false: going on)", message)
        return message


def past_retention(position: Position, retention_seconds: float) -> bool:
    """Whether records after the position may have been trimmed already, unless the record it follows is still there."""
    if position.complete_until is None:
        return False
    return time.time() - position.complete_until > retention_seconds - RETENTION_MARGIN_SECONDS


class _Progress:
    """How much a first reading has taken, and whether it may go on."""

    def __init__(self, options: KinesisOptions) -> None:
        self._options, self._started = options, time.monotonic()
        self.records = self.bytes = 0
        self.behind = False

    def room(self) -> int:
        return min(PAGE_RECORDS, self._options.max_records_per_shard - self.records)

    def after(self, page: Page) -> int:
        """How many records the next page may hold; 0: this was the last page of the batch."""
        size = sum(len(each["Data"]) for each in page.records)
        cut = len(page.records) >= self.room() or size >= TIP_BYTES
        self.records += len(page.records)
        self.bytes += size
        if page.next_iterator is None or (page.behind_milliseconds == 0 and not cut):
            self.behind = False
            return 0
        # Without a record the position has not moved, so a batch ended here would walk the same way again.
        seconds = self._options.max_fetch_seconds * (1 if self.records else EMPTY_PATIENCE)
        full = self.room() <= 0 or self.bytes >= self._options.max_bytes_per_shard
        self.behind = page.behind_milliseconds > 0 and self.records > 0
        return 0 if full or time.monotonic() - self._started > seconds else self.room()
