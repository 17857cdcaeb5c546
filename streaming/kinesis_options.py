"""The options of the Kinesis source: their names, defaults and limits, and what is wrong with a bad one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lakehouse.errors import LakehouseError
from streaming.shards import Kind


class OptionError(LakehouseError):
    """An option is unknown, missing or has a value that is not allowed."""


@dataclass(frozen=True)
class InitialPosition:
    """Where a new query starts: at the oldest records, now (`timestamp` None), or at a time (epoch seconds)."""

    kind: Kind
    timestamp: float | None = None


@dataclass(frozen=True)
class KinesisOptions:
    """The source's settings, checked. Times are in seconds."""

    stream: str
    ledger: str
    region: str | None = None
    endpoint: str | None = None
    initial_position: InitialPosition = InitialPosition(Kind.TRIM_HORIZON)
    max_records_per_shard: int = 100_000
    max_bytes_per_shard: int = 32 * 1024 * 1024
    max_fetch_seconds: float = 10.0
    min_poll_seconds: float = 1.0
    shard_refresh_seconds: float = 60.0
    max_retry_seconds: float = 60.0
    fail_on_data_loss: bool = True

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> "KinesisOptions":
        """The options of `spark.readStream`, whose names Spark compares without case.

        Raises OptionError naming the option, its value and what is allowed.
        """
        readers = {name.lower(): (name, field, read) for name, (field, read) in _OPTIONS.items()}
        values: dict[str, Any] = {}
        for name, text in given.items():
            if name.lower() not in readers:
                raise OptionError(f"kinesis source: unknown option {name!r}; there are {', '.join(_OPTIONS)}")
            spelling, field, read = readers[name.lower()]
            try:
                values[field] = read(text.strip())
            except ValueError as error:
                raise OptionError(f"kinesis source: option {spelling} = {text!r}: {error}") from error
        for name in ("stream", "ledger"):
            if not values.get(name):
                raise OptionError(f"kinesis source: option {name} is required: {_REQUIRED[name]}")
        return cls(**values)


_REQUIRED = {
    "stream": "the name of the Kinesis stream",
    "ledger": "a folder or s3://bucket/prefix beside the query's checkpoint, its own for every query",
}


def _text(text: str) -> str | None:
    return text or None


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("allowed are true and false")
    return text.lower() == "true"


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdigit() or not least <= int(text) <= most:
            raise ValueError(f"allowed are whole numbers from {least} to {most}")
        return int(text)

    return read


def _seconds(least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not least <= value <= most:
            raise ValueError(f"allowed are seconds from {least:g} to {most:g}")
        return value

    return read


def _initial_position(text: str) -> InitialPosition:
    allowed = "allowed are TRIM_HORIZON, LATEST, and AT_TIMESTAMP followed by a time such as 2026-01-31T00:00:00Z"
    name, _, time = text.partition(" ")
    if name.upper() == "TRIM_HORIZON" and not time:
        return InitialPosition(Kind.TRIM_HORIZON)
    if name.upper() == "LATEST" and not time:
        return InitialPosition(Kind.AT_TIMESTAMP)
    if name.upper() != "AT_TIMESTAMP":
        raise ValueError(allowed)
    try:
        moment = datetime.fromisoformat(time.strip())
    except ValueError:
        raise ValueError(allowed) from None
    return InitialPosition(Kind.AT_TIMESTAMP, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


_OPTIONS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "stream": ("stream", str),
    "ledger": ("ledger", str),
    "region": ("region", _text),
    "endpoint": ("endpoint", _text),
    "initialPosition": ("initial_position", _initial_position),
    "maxRecordsPerShard": ("max_records_per_shard", _whole(1, 1_000_000)),
    "maxBytesPerShard": ("max_bytes_per_shard", _whole(1, 1024**3)),
    "maxFetchSeconds": ("max_fetch_seconds", _seconds(0.1, 600)),
    "minPollSeconds": ("min_poll_seconds", _seconds(0, 3600)),
    "shardRefreshSeconds": ("shard_refresh_seconds", _seconds(0, 86_400)),
    "maxRetrySeconds": ("max_retry_seconds", _seconds(0, 3600)),
    "failOnDataLoss": ("fail_on_data_loss", _boolean),
}
OPTION_NAMES = tuple(_OPTIONS)
