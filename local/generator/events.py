"""What is put on the streams."""

from dataclasses import dataclass
from datetime import datetime

from local.generator.formats import Record


@dataclass(frozen=True)
class Event:
    """An event of the shop: `key` is its partition key, `record` its fields; `late` if it reaches the stream late."""

    source: str
    key: str
    time: datetime
    record: Record
    late: bool = False


@dataclass(frozen=True)
class StreamEvent:
    """A record for a stream, the `index`th of the production. `fault` names what is wrong or special about it."""

    index: int
    source: str
    partition_key: str
    data: bytes
    fault: str | None = None
