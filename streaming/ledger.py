"""The Kinesis source's ledger: which range of a shard belongs to an epoch is decided once, and then never again.

Kinesis cannot say what a shard's latest record is, so the task that reads a shard decides where its batch ends. It
writes that end here, put-if-absent, before it hands over a row. The folder belongs to one query's checkpoint:

    <epoch>/<shard>.json       what the epoch took from the shard, and where the next epoch goes on
    <epoch>/<shard>.gap.json   which of it had left the stream when the range was read once more
    idle.json                  until when a stream without new records was seen to have none
    resume.json                where a new query goes on behind records that an earlier checkpoint brought into its sink
"""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from lakehouse.errors import LakehouseError
from runtime.failpoints import failpoint
from runtime.storage import Storage
from streaming.shards import Position

# Epochs that stay readable behind the running one: for a checkpoint put back by some batches, and for people.
KEPT_EPOCHS = 100
# Ledger requests at once; each is one small object.
CONNECTIONS = 16
IDLE = "idle.json"
RESUME = "resume.json"
GAP = ".gap.json"
# How a query goes on without its ledger.
ANEW = (
    "Put the ledger folder back from a copy, or start with a new checkpoint folder: the lake's bronze query then goes "
    "on behind the records of its table (docs/operating.md); another query needs initialPosition AT_TIMESTAMP a little "
    "before the last record in its sink (what is read twice is settled there by record_id)"
)


class LedgerError(LakehouseError):
    """The ledger does not fit the checkpoint; going on could lose or double records."""


@dataclass(frozen=True)
class Entry:
    """What one epoch took from one shard.

    The range lies after `start` and ends at `end`, where the next epoch goes on. `records` counts Kinesis records (an
    aggregate once), `first` is the first one's sequence number. `behind`: more was waiting when the task stopped.
    `gap` tells in words what may have been lost before the range, `retries` how many calls were repeated.
    """

    start: Position
    end: Position
    records: int
    first: str | None = None
    behind: bool = False
    gap: str | None = None
    retries: int = 0

    def to_bytes(self) -> bytes:
        """The entry as its object holds it."""
        content: dict[str, Any] = {
            "start": self.start.to_json(),
            "end": self.end.to_json(),
            "records": self.records,
            "first": self.first,
            "behind": self.behind,
            "gap": self.gap,
            "retries": self.retries,
        }
        return json.dumps(content).encode()

    @classmethod
    def from_bytes(cls, key: str, data: bytes) -> "Entry":
        """Raises LedgerError naming the entry when it is damaged."""
        try:
            content = json.loads(data)
            start, end = Position.from_json(content.pop("start")), Position.from_json(content.pop("end"))
            return cls(start=start, end=end, **content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LedgerError(f"ledger entry {key} is damaged ({error}). {ANEW}") from error


@dataclass(frozen=True)
class Reading:
    """Records read from one shard, and the entry that describes exactly them, but for those that the `gap` tells of."""

    entry: Entry
    batches: Sequence[pa.RecordBatch]
    gap: str | None = None


@dataclass(frozen=True)
class Ledger:
    """The entries of one query."""

    storage: Storage

    def find(self, epoch: int, shard_id: str) -> Entry | None:
        """The entry of a shard in an epoch, or None as long as nobody has decided."""
        key = _key(epoch, shard_id)
        data = self.storage.read(key)
        return None if data is None else Entry.from_bytes(f"{self.storage.uri}/{key}", data)

    def add(self, epoch: int, shard_id: str, entry: Entry) -> Entry:
        """Writes the entry unless there is one; returns the one that holds."""
        if self.storage.put_if_absent(_key(epoch, shard_id), entry.to_bytes()):
            return entry
        held = self.find(epoch, shard_id)
        if held is None:
            raise LedgerError(
                f"{self.storage.uri}/{_key(epoch, shard_id)} was there and is gone: what else removes ledger entries?"
            )
        return held

    def of_epoch(self, epoch: int, shard_ids: Sequence[str]) -> dict[str, Entry]:
        """The entries of a finished epoch's shards. Raises LedgerError if one is missing."""
        with ThreadPoolExecutor(min(CONNECTIONS, max(1, len(shard_ids)))) as pool:
            entries = dict(zip(shard_ids, pool.map(lambda each: self.find(epoch, each), shard_ids), strict=True))
        missing = [
            f"{self.storage.uri}/{_key(epoch, shard_id)}" for shard_id, entry in entries.items() if entry is None
        ]
        if missing:
            raise LedgerError(
                f"epoch {epoch} is done but {', '.join(missing)} is missing, so nobody knows where it ended. {ANEW}. A "
                "query that does not read every shard of its batch (limit, a foreachBatch that ignores its rows) "
                "cannot use this source."
            )
        return {shard_id: entry for shard_id, entry in entries.items() if entry is not None}

    def note_gap(self, epoch: int, shard_id: str, gap: str) -> None:
        """Remembers what had left the stream when the epoch's range was read once more; the first note stays."""
        self.storage.put_if_absent(f"{epoch}/{shard_id}{GAP}", json.dumps({"gap": gap}).encode())

    def gaps_of(self, epoch: int) -> dict[str, str]:
        """What `note_gap` noted of the epoch, by shard."""
        keys = [each.key for each in self.storage.list(str(epoch)) if each.key.endswith(GAP)]
        found = {key: json.loads(self.storage.read(key) or b"{}") for key in keys}
        return {key.rpartition("/")[2].removesuffix(GAP): str(content.get("gap")) for key, content in found.items()}

    def note_idle(self, epoch: int, complete_until: float) -> None:
        """Remembers that no shard had a record after the epoch's end by then (epoch seconds)."""
        self.storage.put(IDLE, json.dumps({"epoch": epoch, "complete_until": complete_until}).encode())

    def idle_until(self, epoch: int) -> float | None:
        """Until when nothing had arrived after the epoch; None if that was not noted."""
        content = json.loads(self.storage.read(IDLE) or b"{}")
        return float(content["complete_until"]) if content.get("epoch") == epoch else None

    def note_resume(self, read: Mapping[str, Position]) -> None:
        """Tells a query that has no epoch yet the last record of each shard that its sink holds."""
        self.storage.put(RESUME, json.dumps({shard: position.to_json() for shard, position in read.items()}).encode())

    def resume(self) -> dict[str, Position]:
        """The last record of each shard that the sink holds; empty where nothing was noted."""
        content = json.loads(self.storage.read(RESUME) or b"{}")
        return {shard: Position.from_json(position) for shard, position in content.items()}

    def forget_before(self, epoch: int) -> None:
        """Removes the entries of all earlier epochs."""
        old = [
            each.key
            for each in self.storage.list()
            if each.key.split("/")[0].isdigit() and int(each.key.split("/")[0]) < epoch
        ]
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(self.storage.delete, old))


def read_once(
    ledger: Ledger,
    epoch: int,
    shard_id: str,
    start: Position,
    *,
    read_to_limit: Callable[[], Reading],
    read_exactly: Callable[[Entry], Reading],
) -> Reading:
    """Reads a shard's part of an epoch: at every attempt, in every process, the same records.

    1. Ask the ledger: an earlier attempt may have decided the range.
    2. If none has, read from the start position to the limits. No row leaves this function yet.
    3. Write where that ended, unless an entry is there by now. A write that fails ends the attempt, which loses
       nothing; one whose answer is lost leaves an entry that the next attempt finds.
    4. The entry in the ledger holds, whoever wrote it. If it describes what was read here, hand that over.
    5. Otherwise forget what was read, check that the entry starts where this epoch does, and read its range again,
       to the record. What is gone by now is noted before the rest is handed over.

    Raises LedgerError when the entry belongs to another query's epoch.
    """
    entry = ledger.find(epoch, shard_id)  # 1
    if entry is None:
        fresh = read_to_limit()  # 2
        failpoint("ledger.before_write")
        entry = ledger.add(epoch, shard_id, fresh.entry)  # 3
        failpoint("ledger.after_write")
        if entry == fresh.entry:
            return fresh  # 4
    if not entry.start.same_place(start):  # 5
        raise LedgerError(
            f"{ledger.storage.uri}/{_key(epoch, shard_id)} starts at {entry.start.to_json()}, the checkpoint's epoch "
            f"at {start.to_json()}: the ledger is another checkpoint's. Give every checkpoint its own ledger folder"
        )
    again = read_exactly(entry)
    if again.gap:
        ledger.note_gap(epoch, shard_id, again.gap)
    return again


def _key(epoch: int, shard_id: str) -> str:
    return f"{epoch}/{shard_id}.json"
