"""What producers hand over: landing files and acknowledged stream records. The oracle's only input."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class DeliveredFile:
    """A landing file as written: `path` below the landing area (its first folder names the source).

    `modified` is the last-modified time that a listing of the landing area gives.
    """

    path: str
    modified: datetime
    data: bytes

    @property
    def source(self) -> str:
        """The source that the file belongs to."""
        return self.path.partition("/")[0]


@dataclass(frozen=True)
class DeliveredRecord:
    """A stream record that Kinesis acknowledged: `source` is the lake's name for what `stream` carries.

    `acknowledged_at` stands in for the arrival time, which a producer is not told. It orders records of different
    shards and is good enough for the limit on event times, if no record comes within a day of that limit.
    """

    source: str
    stream: str
    shard: str
    sequence: str
    acknowledged_at: datetime
    data: bytes

    @property
    def record_id(self) -> str:
        """The record's name in the lake."""
        return f"{self.stream}/{self.shard}/{self.sequence}"
