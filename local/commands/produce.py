"""`lakehouse produce`: the lines of a file as records of a Kinesis stream, bytes as they are."""

import hashlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from json import dumps, loads
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from tenacity import RetryError, Retrying, retry_if_result, stop_after_attempt, wait_random_exponential

from lakehouse.contracts import load_contracts
from lakehouse.errors import LakehouseError
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_kinesis.type_defs import PutRecordsRequestEntryTypeDef

KEY_FIELDS = ("user_id", "session_id", "customer_id")
LONGEST_KEY = 256
MOST_RECORDS, MOST_BYTES = 500, 5 * 1024 * 1024  # what one PutRecords call may hold
ATTEMPTS = 10
SMOOTHNESS_SECONDS = 0.1


class ProduceError(LakehouseError):
    """Records cannot be put on the stream."""


@dataclass(frozen=True)
class Record:
    """One line of the file."""

    line: int
    data: bytes
    key: str

    @property
    def size(self) -> int:
        """What Kinesis counts, in bytes: the data and its key."""
        return len(self.data) + len(self.key.encode())


@dataclass
class ShardRange:
    """The records that a shard acknowledged."""

    records: int = 0
    first: str = ""
    last: str = ""

    def add(self, sequence: str) -> None:
        """Counts a record with this sequence number."""
        self.records += 1
        self.first = min(self.first or sequence, sequence, key=int)
        self.last = max(self.last or sequence, sequence, key=int)


@dataclass
class Produced:
    """What was acknowledged so far."""

    stream: str
    records: int = 0
    bytes: int = 0
    seconds: float = 0.0
    shards: dict[str, ShardRange] = field(default_factory=dict)


def run(stream: str, file: Path, rate: float | None, json: bool, settings: Settings) -> None:
    """Puts every line of the file on the stream in order and prints the count and the sequence range per shard.

    A line's bytes are taken without the newline and otherwise as they are; an empty line is an empty record. `rate`
    is in records per second, None as fast as it goes. Ctrl-C prints what was acknowledged until then.
    Raises ProduceError when there is no such stream, or a record is too large or not accepted.
    """
    produced = Produced(settings.streams.get(stream, stream))
    try:
        produce(file, rate, settings, produced)
    finally:
        _print(produced, file, json)


def produce(file: Path, rate: float | None, settings: Settings, produced: Produced) -> None:
    """Puts the lines of the file on `produced.stream` and counts in `produced` what is acknowledged.

    Calls follow one another, and what a call did not accept is put again before the next one: so the records of one
    key keep their order but for those around a partial failure. A call whose answer is lost is repeated, which may
    store its records twice, as with any Kinesis producer.
    Raises ProduceError.
    """
    retries = Config(retries={"mode": "standard", "max_attempts": ATTEMPTS})
    kinesis = boto3.client("kinesis", region_name=settings.region, config=retries)
    begin = time.monotonic()
    try:
        largest = _largest_record(kinesis, produced.stream)
        most = MOST_RECORDS if rate is None else min(MOST_RECORDS, math.ceil(rate * SMOOTHNESS_SECONDS))
        identity = identity_of(produced.stream, settings)
        for batch in _batches(read(file, identity), most, largest, file):
            if rate is not None:
                time.sleep(max(0.0, begin + produced.records / rate - time.monotonic()))
            _put(kinesis, batch, produced)
    except (ClientError, BotoCoreError) as error:
        raise ProduceError(
            f"stream {produced.stream}, after {produced.records} records of {file}: {error} "
            "(`lakehouse status` lists the local stack's streams)"
        ) from error
    finally:
        produced.seconds = round(time.monotonic() - begin, 3)


def identity_of(stream: str, settings: Settings) -> tuple[str, ...]:
    """The fields that make two records of the stream the same; none for a stream that is no source of the lake."""
    for source, name in settings.streams.items():
        if name == stream:
            contract = load_contracts(settings.contracts_directory).source(source)
            return tuple(contract.column(each).name for each in contract.identity)
    return ()


def read(file: Path, identity: Sequence[str] = ()) -> Iterator[Record]:
    """The lines of the file as records."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            data = line.removesuffix(b"\n")
            yield Record(number, data, partition_key(data, identity))


def partition_key(data: bytes, identity: Sequence[str] = ()) -> str:
    """The key that decides a record's shard: its visitor or customer, else a hash of the fields of its `identity`, else
    one of its bytes.

    Records of one visitor or customer stay in order in one shard, as a real producer would have it, so that sessions
    arrive nearly in order and silver rewrites little. A correction follows its original for the same reason: two
    shards may take them in one moment, and then the lake cannot tell which of them was the later one.
    """
    try:
        content = loads(data)
    except (ValueError, RecursionError):  # no JSON; broken records must reach the stream too
        content = None
    if isinstance(content, dict):
        for name in KEY_FIELDS:
            value = content.get(name)
            if isinstance(value, str) and 0 < len(value) <= LONGEST_KEY and value.isprintable():
                return value
        if identity and all(content.get(name) not in (None, "") for name in identity):
            data = dumps([content[name] for name in identity]).encode()
    return hashlib.sha256(data).hexdigest()


def _largest_record(kinesis: "KinesisClient", stream: str) -> int:
    """The size limit of the stream's records, in bytes: 1 MiB unless the stream was set otherwise."""
    summary = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    return int(summary.get("MaxRecordSizeInKiB") or 1024) * 1024


def _batches(records: Iterator[Record], most: int, largest: int, file: Path) -> Iterator[list[Record]]:
    """Groups records into calls within Kinesis' limits. Raises ProduceError for a record that no call may hold."""
    batch: list[Record] = []
    size = 0
    for record in records:
        if record.size > largest:
            if batch:
                yield batch
            raise ProduceError(
                f"{file} line {record.line}: the record has {record.size} bytes with its key, the stream takes "
                f"{largest}: shorten it (the lines before it were put)"
            )
        if batch and (len(batch) == most or size + record.size > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += record.size
    if batch:
        yield batch


def _put(kinesis: "KinesisClient", batch: list[Record], produced: Produced) -> None:
    """Puts the batch, and what was not accepted again, with growing random pauses, at most `ATTEMPTS` times."""
    left = batch
    refusals: list[str] = []

    def put_what_is_left() -> int:
        nonlocal left, refusals
        entries: list[PutRecordsRequestEntryTypeDef] = [{"Data": one.data, "PartitionKey": one.key} for one in left]
        answers = kinesis.put_records(StreamName=produced.stream, Records=entries)["Records"]
        refused = []
        refusals = []
        for record, answer in zip(left, answers, strict=True):
            if answer.get("ErrorCode"):
                refused.append(record)
                refusals.append(f"{answer['ErrorCode']}: {answer.get('ErrorMessage', '')}")
                continue
            produced.records += 1
            produced.bytes += len(record.data)
            produced.shards.setdefault(answer["ShardId"], ShardRange()).add(answer["SequenceNumber"])
        left = refused
        return len(left)

    try:
        Retrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.1, max=5),
            retry=retry_if_result(bool),
        )(put_what_is_left)
    except RetryError as error:
        raise ProduceError(
            f"stream {produced.stream} refused {len(left)} records {ATTEMPTS} times, the first of them line "
            f"{left[0].line} with {refusals[0]}: lower --rate, or give the stream more shards"
        ) from error


def _print(produced: Produced, file: Path, json: bool) -> None:
    shards = dict(sorted(produced.shards.items()))
    if json:
        print(dumps(asdict(produced) | {"shards": {name: asdict(one) for name, one in shards.items()}}))
        return
    print(
        f"{produced.records} records, {produced.bytes} bytes of {file} put on {produced.stream} "
        f"in {produced.seconds:.1f} s"
    )
    for name, one in shards.items():
        print(f"{name}  {one.records} records  {one.first} .. {one.last}")
