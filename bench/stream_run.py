"""`lakehouse stream all` as a process on a fast emulator, and a producer of web events beside it."""

import json
import os
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import psutil

from bench.ministack import MiniStack, ministack
from bench.web_events import PRODUCTS, SOURCE, event
from lakehouse.settings import CONTRACTS, Settings
from local import stack
from local.demo.jobs import Job, Jobs
from runtime.delta_log import DeltaLog
from runtime.lineage import Lineage, ShardInput, TableInput, read_lineage
from runtime.storage import Storage

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

SILVER, GOLD = "silver.sessionized_web_logs", "gold.marketing_funnel"
CALLS_PER_SECOND = 5
START_SECONDS, TAIL_SECONDS = 240, 120


class NotThroughError(Exception):
    """Events did not reach gold in time."""


@dataclass(frozen=True)
class Sent:
    """One event that Kinesis took: when PutRecords was called (epoch seconds), and its place."""

    at: float
    shard: str
    sequence: int


@dataclass(frozen=True)
class Way:
    """When (epoch seconds) an event was in bronze, in silver and in gold."""

    bronze: float
    silver: float
    gold: float


class StreamRun:
    """The running job, its lake, and its stream."""

    def __init__(
        self, settings: Settings, emulator: MiniStack, job: Job, jobs: Jobs, variables: Mapping[str, str]
    ) -> None:
        self.settings = settings
        # Under which another command works on the same lake.
        self.variables = variables
        self.emulator = emulator
        self._job = job
        self._jobs = jobs
        self._kinesis: KinesisClient = boto3.client("kinesis")
        self._logs = {name: DeltaLog(settings.root, name) for name in (f"bronze.{SOURCE}", SILVER, GOLD)}
        self._number = 0

    def send(self, rate: int, seconds: float) -> list[Sent]:
        """Puts so many events a second for so long, five calls a second."""
        sent: list[Sent] = []
        started = time.monotonic()
        chunk = rate // CALLS_PER_SECOND
        for call in range(round(seconds * CALLS_PER_SECOND)):
            time.sleep(max(0.0, call / CALLS_PER_SECOND - (time.monotonic() - started)))
            sent += self.put(chunk)
        self._jobs.check()
        return sent

    def wait(self, sent: list[Sent], seconds: float = TAIL_SECONDS) -> list[Way]:
        """When each event was in which layer. Raises NotThroughError when gold lacks some after so many seconds."""
        deadline = time.monotonic() + seconds
        while True:
            self._jobs.check()
            paths = self.follow(sent)
            if paths is not None:
                return paths
            if time.monotonic() > deadline:
                log = self._job.log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise NotThroughError(f"events are missing in {GOLD} {seconds:.0f} s after they were sent:\n{log}")
            time.sleep(1)

    def follow(self, sent: list[Sent]) -> list[Way] | None:
        """Each event's way, from the lineage of commits: sequence number, bronze version, silver version, gold commit.

        None when one is not in gold yet.
        """
        bronze = Commits.of(self._logs[f"bronze.{SOURCE}"], lambda lineage: _shards(lineage))
        silver = Commits.of(self._logs[SILVER], lambda lineage: _versions(lineage, f"bronze.{SOURCE}"))
        gold = Commits.of(self._logs[GOLD], lambda lineage: _versions(lineage, SILVER))
        found: list[Way] = []
        for each in sent:
            in_bronze = bronze.first(each.shard, each.sequence)
            in_silver = in_bronze and silver.first(f"bronze.{SOURCE}", in_bronze[0])
            in_gold = in_silver and gold.first(SILVER, in_silver[0])
            if not (in_bronze and in_silver and in_gold):
                return None
            found.append(Way(in_bronze[1], in_silver[1], in_gold[1]))
        return found

    def put(self, count: int, hash_key: str | None = None) -> list[Sent]:
        """Puts so many events in one call, all into the shard of `hash_key` where that is given."""
        made = [event(self._number + each, datetime.now(UTC)) for each in range(count)]
        place = {} if hash_key is None else {"ExplicitHashKey": hash_key}
        records: list[Any] = [{"PartitionKey": key, "Data": data, **place} for key, data in made]
        at = time.time()
        answer = self._kinesis.put_records(StreamName=self.settings.streams[SOURCE], Records=records)
        assert answer["FailedRecordCount"] == 0, answer
        self._number += count
        return [Sent(at, each["ShardId"], int(each["SequenceNumber"])) for each in answer["Records"]]

    @property
    def sent(self) -> int:
        """How many events were put so far; they are numbered from 0."""
        return self._number

    def start(self) -> None:
        """Starts the job, or starts it again."""
        self._job.start()

    def start_again(self) -> None:
        """SIGKILL to the job and all that it started; then it is started again at once."""
        self._job.kill()
        self._job.start()

    def run(self, name: str, *arguments: str) -> None:
        """Runs another command of the product beside the job, to its end."""
        command = [sys.executable, "-m", "local", *arguments]
        beside = self._jobs.add(Job(name, command, self.settings.state_directory / f"{name}.log", self.variables))
        beside.start()
        if not beside.wait(START_SECONDS):
            raise NotThroughError(f"`lakehouse {name}` did not end within {START_SECONDS} s: {beside.log}")

    def commits(self, table: str, below: str) -> "Commits":
        """The commits of a table by the versions of the table `below` that they took in."""
        return Commits.of(DeltaLog(self.settings.root, table), lambda lineage: _versions(lineage, below))

    def newest(self, table: str) -> int:
        """The newest version of a table; -1 where there is none."""
        version = DeltaLog(self.settings.root, table).newest()
        return -1 if version is None else version

    def brought(self, table: str, below: str, after: int) -> bool:
        """Whether a commit of the table behind version `after` took in something: records, or versions of `below`."""
        log = DeltaLog(self.settings.root, table)
        for version in range(after + 1, self.newest(table) + 1):
            commit = log.commit(version)
            lineage = read_lineage(commit.metadata) if commit else None
            if lineage is not None and (any(_shards(lineage)) or any(_versions(lineage, below))):
                return True
        return False

    def check(self) -> None:
        """Raises JobFailedError when the job has ended with an error."""
        self._jobs.check()

    def memory(self) -> tuple[int, int]:
        """Resident bytes of the job's JVM, and of its Python processes."""
        jvm = python = 0
        for each in self._job.family():
            try:
                size = each.memory_info().rss
                jvm, python = (jvm + size, python) if each.name() == "java" else (jvm, python + size)
            except psutil.NoSuchProcess:
                continue
        return jvm, python

    def cpu_seconds(self) -> float:
        """Processor time so far of the job and its descendants: JVM and Python workers."""
        total = 0.0
        for each in psutil.Process().children(recursive=True):
            try:
                if each.pid != self.emulator.process:
                    times = each.cpu_times()
                    # What ended meanwhile counts with the parent that waited for it.
                    total += times.user + times.system + times.children_user + times.children_system
            except psutil.NoSuchProcess:
                continue
        return total


class Commits:
    """A table's commits by what they took in: for each input its ends, ascending, with version and time."""

    def __init__(self) -> None:
        self._ends: dict[str, list[int]] = {}
        self._commits: dict[str, list[tuple[int, float]]] = {}

    @classmethod
    def of(cls, log: DeltaLog, ends: Any) -> "Commits":
        """`ends` gives the inputs of a lineage with their ends."""
        commits = cls()
        newest = log.newest()
        for version in range(0 if newest is None else newest + 1):
            commit = log.commit(version)
            lineage = read_lineage(commit.metadata) if commit else None
            if commit is None or lineage is None:
                continue
            for name, end in ends(lineage):
                commits._ends.setdefault(name, []).append(end)
                commits._commits.setdefault(name, []).append((version, commit.committed_at.timestamp()))
        return commits

    def first(self, name: str, place: int) -> tuple[int, float] | None:
        """Version and time of the first commit whose input `name` reaches `place`."""
        at = bisect_left(self._ends.get(name, []), place)
        return self._commits[name][at] if at < len(self._ends.get(name, [])) else None


def _shards(lineage: Lineage) -> Iterator[tuple[str, int]]:
    return ((each.shard, int(each.last)) for each in lineage.inputs if isinstance(each, ShardInput))


def _versions(lineage: Lineage, table: str) -> Iterator[tuple[str, int]]:
    inputs = (each for each in lineage.inputs if isinstance(each, TableInput) and each.table == table)
    return ((each.table, each.last) for each in inputs)


@contextmanager
def stream_all(
    folder: Path, endpoints: Mapping[str, Callable[[str], str]] | None = None, started: bool = True
) -> Iterator[StreamRun]:
    """MiniStack with a lake on its S3 that knows the products, and `lakehouse stream all` on it, all layers running.

    `endpoints` are variables of the job, each with a function from MiniStack's address to the value. The job is left
    to be started by the caller where `started` says so.
    """
    folder.mkdir(parents=True)
    with ministack() as emulator, Jobs() as jobs:
        settings = Settings(
            root="s3://bench-lake",
            landing="s3://bench-landing",
            state_directory=folder,
            contracts_directory=CONTRACTS,
        )
        stack.ensure_resources(settings)
        variables = {
            "LAKEHOUSE_ROOT": settings.root,
            "LAKEHOUSE_LANDING": settings.landing,
            "LAKEHOUSE_STREAMS": json.dumps(settings.streams),
            "LAKEHOUSE_STATE_DIRECTORY": str(folder),
            "LAKEHOUSE_CONTRACTS_DIRECTORY": str(settings.contracts_directory),
            "LAKEHOUSE_CONFIG": os.devnull,
        }
        _land_products(settings)
        variables |= {name: address(emulator.endpoint) for name, address in (endpoints or {}).items()}
        command = [sys.executable, "-m", "local", "stream", "all"]
        job = jobs.add(Job("stream all", command, folder / "stream.log", variables))
        running = StreamRun(settings, emulator, job, jobs, variables)
        running.run("batch reference", "batch", "reference")
        if started:
            running.start()
            running.wait(running.send(50, 2), START_SECONDS)
        yield running


def _land_products(settings: Settings) -> None:
    lines = ["product_id,category,unit_cost,valid_from"]
    lines += [f"p{number},category {number % 12},1.0000,2010-01-01T00:00:00Z" for number in range(PRODUCTS)]
    Storage.open(settings.landing).put("products/products.csv", "\n".join([*lines, ""]).encode())
