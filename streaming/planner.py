"""Planning in the driver: which shards the next epoch reads, and from where. It asks only what it must.

A shard is read when its last epoch left records behind, or when a peek (GetRecords with limit 1, at most one a
shard in `minPollSeconds`) finds one. Without either the offset stays what it was, and Spark makes no batch.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import Enum, auto

from obstore.exceptions import BaseError as ObjectStoreError

from lakehouse.errors import LakehouseError
from runtime.metrics import GAPS, metrics
from runtime.storage import Storage
from streaming.fetch import DataLossError, ShardRange, past_retention
from streaming.kinesis_client import (
    IteratorExpired,
    NotFound,
    PositionRefused,
    StreamClient,
    StreamSummary,
    Unavailable,
)
from streaming.kinesis_options import KinesisOptions
from streaming.ledger import KEPT_EPOCHS, Ledger
from streaming.shards import (
    Kind,
    Offset,
    Position,
    Shard,
    ShardLineageError,
    advance,
    resume_positions,
    start_positions,
)

LOG = logging.getLogger(__name__)

# Peeks at once.
CONNECTIONS = 32
# Empty pages that one peek walks over when the service says that more lies behind them.
PAGES_PER_PEEK = 5
# How long one peek is repeated; a shard that cannot be peeked does not hold up the others.
PEEK_PATIENCE_SECONDS = 2.0
# How often the ledger learns that an idle stream is still idle (its retention is at least a day).
IDLE_NOTE_SECONDS = 600.0
# How often old ledger entries are cleared away, in epochs.
CLEANING_EPOCHS = 25


class StreamReplaced(LakehouseError):
    """Another stream has the name now."""


class Tip(Enum):
    """What a peek found after a position."""

    RECORDS = auto()
    NOTHING = auto()
    END = auto()
    UNKNOWN = auto()


@dataclass
class Watch:
    """The iterator that peeks at a shard from `position` on; times are of the monotonic clock."""

    position: Position
    iterator: str | None = None
    due: float = 0.0
    failing_since: float | None = None


class Planner:
    """Lives in the planning process as long as the query runs, and is made anew from an offset at a restart."""

    def __init__(self, client: StreamClient, options: KinesisOptions) -> None:
        self._client, self._options = client, options
        self._ledger = Ledger(Storage.open(options.ledger))
        self._current: Offset | None = None
        self._positions: dict[str, Position] | None = None
        self._behind: set[str] = set()
        self._watches: dict[str, Watch] = {}
        self._summary: StreamSummary | None = None
        self._listing: list[Shard] = []
        self._listed_at = self._noted_at = float("-inf")
        self._listing_doubted = False
        self._losses: list[str] = []

    def resume(self, offset: Offset) -> None:
        """Takes the offset as the epoch that is running or done; all after it is planned from there."""
        if self._current is None or offset.epoch != self._current.epoch:
            self._current, self._positions, self._losses = offset, None, []

    def ranges(self, offset: Offset) -> list[ShardRange]:
        """The tasks of the offset's batch."""
        summary = self._summary or self._refresh(offset)
        return [
            ShardRange(shard_id, offset.epoch, offset.shards[shard_id], summary.retention_seconds)
            for shard_id in offset.reads
        ]

    def latest(self) -> Offset:
        """The next epoch if there is something to read, else the current one unchanged.

        1. Find the positions at which the current epoch ended: in the ledger, or for a new query in its options.
        2. Let children take over from parents that have been read to their end.
        3. Peek at every shard where nothing is known to wait, until all have answered or one has records. A shard that
           turns out to have ended has no more: back to 2.
        4. If a shard has records, they are the next epoch's batch.

        A query's first answer is always a new epoch, so that its start is fixed even when there is nothing yet.
        """
        if self._positions is None:
            self._positions = self._starts() if self._current is None else self._ends(self._current)  # 1
        tips = dict.fromkeys(self._behind, Tip.RECORDS)
        while True:
            self._positions = self._succeed(self._positions)  # 2
            ask = self._to_ask(self._positions, tips)
            if not ask:
                break
            tips |= self._peek(ask)  # 3
            ended = [each for each in ask if tips.get(each) is Tip.END]
            self._positions |= {each: replace(self._positions[each], finished=True) for each in ended}
        reads = tuple(each for each in self._positions if tips.get(each) is Tip.RECORDS)
        if self._current is not None and not reads:
            self._note_idle(self._current.epoch, self._positions)
            return self._current
        epoch = self._current.epoch + 1 if self._current else 1  # 4
        created = self._summary.created if self._summary else None
        return Offset(epoch, created, dict(self._positions), reads, tuple(self._losses))

    def clean(self, committed: Offset) -> None:
        """Removes ledger entries that no restart can need any more. A failure is for the next time to mend."""
        if committed.epoch % CLEANING_EPOCHS != 0:
            return
        try:
            self._ledger.forget_before(committed.epoch - KEPT_EPOCHS)
        except (OSError, ObjectStoreError) as error:
            LOG.warning("ledger %s: old entries stay for now: %s", self._options.ledger, error)

    def _starts(self) -> dict[str, Position]:
        summary, initial = self._refresh(Offset()), self._options.initial_position
        read = self._ledger.resume()
        if read:
            return self._behind_the_sink(read, summary)
        if initial.kind is Kind.TRIM_HORIZON:
            return start_positions(self._listing, Position(Kind.TRIM_HORIZON), open_only=False)
        # "Latest" is a time, fixed now: an iterator of that name would skip what arrives before its first use.
        moment = summary.now if initial.timestamp is None else initial.timestamp
        latest = initial.timestamp is None
        position = Position(Kind.AT_TIMESTAMP, repr(moment), moment if latest else None)
        return start_positions(self._listing, position, open_only=latest)

    def _behind_the_sink(self, read: Mapping[str, Position], summary: StreamSummary) -> dict[str, Position]:
        """The positions of a query whose sink holds records already; those of an earlier stream count for nothing."""
        created = summary.created or 0.0
        current = {each: position for each, position in read.items() if (position.complete_until or created) >= created}
        earlier = sorted(read.keys() - current.keys())
        if earlier:
            self._lost(
                f"an earlier stream of this name was read up to {', '.join(read[each].value for each in earlier)}"
            )
        return resume_positions(self._listing, current, summary.retention_seconds)

    def _ends(self, offset: Offset) -> dict[str, Position]:
        entries = self._ledger.of_epoch(offset.epoch, offset.reads)
        self._behind = {shard_id for shard_id, entry in entries.items() if entry.behind}
        for entry in entries.values():
            if entry.gap:
                LOG.error("epoch %d: %s", offset.epoch, entry.gap)
        ends = dict(offset.shards) | {shard_id: entry.end for shard_id, entry in entries.items()}
        # Of interest only to a process that has not seen the stream yet.
        idle_until = self._ledger.idle_until(offset.epoch) if self._summary is None else None
        return {shard_id: _complete(position, idle_until) for shard_id, position in ends.items()}

    def _succeed(self, positions: dict[str, Position]) -> dict[str, Position]:
        parents = {parent for shard in self._listing for parent in shard.parents}
        childless = any(position.finished and each not in parents for each, position in positions.items())
        most = self._options.min_poll_seconds if childless else self._options.shard_refresh_seconds
        if self._listing_doubted or time.monotonic() - self._listed_at >= most:
            self._refresh(self._current or Offset())
        try:
            positions, losses = advance(positions, self._listing, accept_loss=not self._options.fail_on_data_loss)
        except ShardLineageError as error:
            self._report_gap()
            raise DataLossError(
                f"stream {self._client.stream}: {error}. Records may be lost. Bring them back from the archive first, "
                "then go on without them with failOnDataLoss=false, or start with a new checkpoint folder"
            ) from error
        for loss in losses:
            self._lost(f"{loss} (failOnDataLoss=false: going on)")
        return positions

    def _lost(self, what: str) -> None:
        """Keeps the loss for the next epoch, whose offset carries it on."""
        self._losses.append(f"stream {self._client.stream}: {what}; records may be lost")
        LOG.error("%s", self._losses[-1])
        self._report_gap()

    def _report_gap(self) -> None:
        metrics().observe(GAPS, 1, Stream=self._client.stream)
        metrics().flush(at_once=True)

    def _refresh(self, known: Offset) -> StreamSummary:
        """Asks for the stream and its shards anew. Raises StreamReplaced when it is not the offset's stream."""
        summary = self._client.summary()
        created, now = known.stream_created, summary.created
        if created is not None and now is not None and abs(created - now) > 1.0:
            raise StreamReplaced(
                f"stream {self._client.stream} was deleted and made again: the checkpoint knows the one made at "
                f"{_utc(created)}, this one was made at {_utc(now)}. Records of the old one that were not read are "
                "gone. Start with a new checkpoint folder and initialPosition TRIM_HORIZON; the tables can stay"
            )
        self._summary, self._listing, self._listed_at = summary, self._client.shards(), time.monotonic()
        self._listing_doubted = False
        return summary

    def _to_ask(self, positions: Mapping[str, Position], tips: Mapping[str, Tip]) -> list[str]:
        """The shards to peek at. Once one has records, the others wait for their time (`minPollSeconds`)."""
        unread = [each for each, position in positions.items() if not position.finished]
        for each in unread:
            if each not in self._watches or not self._watches[each].position.same_place(positions[each]):
                self._watches[each] = Watch(positions[each])
        self._watches = {each: self._watches[each] for each in unread}
        if Tip.RECORDS in tips.values():
            return self._due([each for each in unread if each not in tips])
        return [each for each in unread if tips.get(each, Tip.UNKNOWN) is Tip.UNKNOWN]

    def _peek(self, shard_ids: Sequence[str]) -> dict[str, Tip]:
        """Peeks at those of the shards whose time has come, all at once; waits for the first."""
        time.sleep(max(0.0, min(self._watches[each].due for each in shard_ids) - time.monotonic()))
        due = self._due(shard_ids)
        with ThreadPoolExecutor(max(1, min(CONNECTIONS, len(due)))) as pool:
            return dict(zip(due, pool.map(self._look, due), strict=True))

    def _due(self, shard_ids: Sequence[str]) -> list[str]:
        return [shard_id for shard_id in shard_ids if self._watches[shard_id].due <= time.monotonic()]

    def _look(self, shard_id: str) -> Tip:
        watch = self._watches[shard_id]
        watch.due = time.monotonic() + self._options.min_poll_seconds
        if self._summary and past_retention(watch.position, self._summary.retention_seconds):
            return Tip.RECORDS  # Records may have been trimmed unread: that is for the task to find out.
        try:
            tip = self._walk(shard_id, watch)
        except PositionRefused:
            # Trimmed, or another stream by now. The listing tells the latter; for the former the task that reads the
            # shard says what is wrong, or accepts the gap.
            self._listing_doubted = True
            return Tip.RECORDS
        except (Unavailable, NotFound) as error:
            self._listing_doubted |= isinstance(error, NotFound)
            watch.failing_since = watch.failing_since or time.monotonic()
            if time.monotonic() - watch.failing_since > self._options.max_retry_seconds:
                raise
            return Tip.UNKNOWN
        watch.failing_since = None
        return tip

    def _walk(self, shard_id: str, watch: Watch) -> Tip:
        for _ in range(PAGES_PER_PEEK):
            if watch.iterator is None:
                watch.iterator = self._client.iterator(shard_id, watch.position, patience=PEEK_PATIENCE_SECONDS)
            try:
                page = self._client.records(shard_id, watch.iterator, 1, PEEK_PATIENCE_SECONDS)
            except IteratorExpired:
                self._listing_doubted = True  # Old, or of a stream that is no more.
                watch.iterator = self._client.iterator(shard_id, watch.position)
                page = self._client.records(shard_id, watch.iterator, 1, PEEK_PATIENCE_SECONDS)
            if page.records:
                watch.iterator = None
                return Tip.RECORDS
            watch.iterator = page.next_iterator
            if page.next_iterator is None:
                return Tip.END
            if page.behind_milliseconds == 0:
                self._watched_until(shard_id, page.asked_at)
                break
        return Tip.NOTHING

    def _watched_until(self, shard_id: str, moment: float) -> None:
        if self._positions is not None:
            position = replace(self._positions[shard_id], complete_until=moment)
            self._positions[shard_id] = self._watches[shard_id].position = position

    def _note_idle(self, epoch: int, positions: dict[str, Position]) -> None:
        """Lets a restart after a quiet day know that nothing was missed before it."""
        if time.monotonic() - self._noted_at < IDLE_NOTE_SECONDS:
            return
        known = [position.complete_until for position in positions.values() if position.complete_until is not None]
        if known and len(known) == len(positions) and time.time() - min(known) < IDLE_NOTE_SECONDS:
            self._ledger.note_idle(epoch, min(known))
            self._noted_at = time.monotonic()


def _complete(position: Position, until: float | None) -> Position:
    if until is None or (position.complete_until is not None and position.complete_until >= until):
        return position
    return replace(position, complete_until=until)


def _utc(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
