"""A stream under load: what is sent, what each layer has of it, what the job's processes hold in memory."""

import time
from collections import Counter
from dataclasses import dataclass

from bench.result import Table
from bench.stream_run import GOLD, SILVER, NotThroughError, StreamRun
from bench.web_events import SOURCE, step
from local.repeating import Repeating
from local.sql import Lake
from runtime.delta_log import DeltaLog
from runtime.lineage import Lineage, ShardInput, TableInput, read_lineage

MOST_IN_A_CALL = 500
SAMPLE_SECONDS = 2.0
# In the middle of the first shard's range of hash keys.
HOT_KEY = str(2**126)
DRAIN_SECONDS = 3600
# Of the wall clock, in the tables.
ROW_SECONDS = 60


@dataclass(frozen=True)
class Sample:
    """A moment: seconds since the beginning, events sent and those that each layer has, resident memory in bytes."""

    phase: str
    at: float
    sent: int
    bronze: int
    silver: int
    gold: int
    jvm: int
    python: int

    @property
    def lag(self) -> int:
        """Events that Kinesis took and gold has not."""
        return self.sent - self.gold


class LoadRun(Repeating):
    """Sends events, and takes a sample every few seconds while the `with` block lasts."""

    def __init__(self, stream: StreamRun) -> None:
        self.samples: list[Sample] = []
        self._stream = stream
        self._reached = _Reached(stream.settings.root)
        self._phase = ""
        self._started = time.monotonic()
        super().__init__("samples", lambda: SAMPLE_SECONDS, self._sample)

    def begin(self) -> None:
        """What is measured begins now."""
        self.samples.clear()
        self._started = time.monotonic()

    def idle(self, seconds: float) -> None:
        """Nothing for so long."""
        self._phase = "idle"
        time.sleep(seconds)

    def send(self, rate: int, seconds: float, phase: str) -> None:
        """So many events a second for so long; in the phase `hot` all into one shard."""
        self._phase = phase
        started, first = time.monotonic(), self._stream.sent
        while (passed := time.monotonic() - started) < seconds:
            self._put_up_to(first + round(passed * rate), HOT_KEY if phase == "hot" else None)
            time.sleep(0.05)

    def burst(self, records: int) -> float:
        """So many events at once; the seconds until gold has them all."""
        self._phase = "burst"
        started = time.monotonic()
        self._put_up_to(self._stream.sent + records)
        self.drain()
        return time.monotonic() - started

    def drain(self) -> None:
        """Waits until gold has everything. Raises NotThroughError when that takes an hour."""
        self._phase = "drain"
        deadline = time.monotonic() + DRAIN_SECONDS
        while not self.samples or self.samples[-1].lag or self.samples[-1].sent != self._stream.sent:
            self._stream.check()
            self.check()
            if time.monotonic() > deadline:
                raise NotThroughError(f"gold lacks {self.samples[-1].lag:,} events after {DRAIN_SECONDS} s")
            time.sleep(0.5)

    def _put_up_to(self, number: int, hash_key: str | None = None) -> None:
        while self._stream.sent < number:
            self._stream.put(min(MOST_IN_A_CALL, number - self._stream.sent), hash_key)

    def _sample(self) -> None:
        jvm, python = self._stream.memory()
        sent, reached, at = self._stream.sent, self._reached.now(), time.monotonic() - self._started
        self.samples.append(Sample(self._phase, at, sent, *reached, jvm, python))


class _Reached:
    """How many events of the source each layer has, from the lineage of its commits: new ones are read, once each."""

    def __init__(self, root: str) -> None:
        self._logs = [DeltaLog(root, name) for name in (f"bronze.{SOURCE}", SILVER, GOLD)]
        self._next = [0, 0, 0]
        # Events up to a version of the table, for each layer.
        self._known: list[dict[int, int]] = [{-1: 0}, {-1: 0}, {-1: 0}]

    def now(self) -> tuple[int, int, int]:
        """Events in bronze, silver and gold."""
        # Gold first: what it has is then known of the layers before it.
        newest = {log: log.newest() for log in reversed(self._logs)}
        for layer, log in enumerate(self._logs):
            last = newest[log]
            for version in range(self._next[layer], -1 if last is None else last + 1):
                commit = log.commit(version)
                lineage = read_lineage(commit.metadata) if commit else None
                self._known[layer][version] = self._through(layer, version, lineage)
            self._next[layer] = max(self._known[layer]) + 1
        bronze, silver, gold = (each[max(each)] for each in self._known)
        return bronze, silver, gold

    def _through(self, layer: int, version: int, lineage: Lineage | None) -> int:
        before = self._known[layer][version - 1]
        if lineage is None:
            return before
        if layer == 0:
            return before + sum(each.records for each in lineage.inputs if isinstance(each, ShardInput))
        read = self._logs[layer - 1].name
        ends = [each.last for each in lineage.inputs if isinstance(each, TableInput) and each.table == read]
        known = self._known[layer - 1]
        return max([before, *(known[min(end, max(known))] for end in ends)])


@dataclass(frozen=True)
class Found:
    """What the tables hold of the events, and how many counts are not as they must be."""

    wrong: int
    rows: tuple[tuple[str, str], ...]


def proven(stream: StreamRun) -> Found:
    """Every event is in bronze and in silver once, none is rejected, and the funnel counts them all."""
    sent = stream.sent
    steps = Counter(step(number).removeprefix("add_to_") for number in range(sent))
    with Lake(stream.settings.root) as lake:
        [bronze] = lake.query("SELECT count(*) AS rows, count(DISTINCT record_id) AS records FROM bronze.web_logs")
        [silver] = lake.query(
            "SELECT count(*) AS rows, count(DISTINCT event_id) AS events, max(event_id[2:]::BIGINT) + 1 AS last "
            "FROM silver.sessionized_web_logs"
        )
        [rejected] = lake.query("SELECT count(*) AS rows FROM rejected.web_logs")
        funnel = lake.query(
            "SELECT stage, sum(numerator)::BIGINT AS events FROM gold.marketing_funnel "
            "WHERE kpi_name = 'funnel_stage' GROUP BY stage ORDER BY stage"
        )
    counted = {each["stage"]: each["events"] for each in funnel}
    checks = [
        ("rows in bronze", bronze["rows"], sent),
        ("distinct records in bronze", bronze["records"], sent),
        ("rows in silver", silver["rows"], sent),
        ("distinct events in silver", silver["events"], sent),
        ("number of the last event in silver", silver["last"], sent),
        ("rows in rejected", rejected["rows"], 0),
        *((f"{stage} in gold's funnel", counted.get(stage, 0), number) for stage, number in sorted(steps.items())),
    ]
    wrong = sum(found != wanted for _, found, wanted in checks)
    return Found(wrong, tuple((name, f"{found:,} of {wanted:,}") for name, found, wanted in checks))


def flat_memory(samples: list[Sample]) -> float:
    """The most memory in the second half of the time, over the most in the first."""
    middle = samples[-1].at / 2
    first = max(each.jvm + each.python for each in samples if each.at <= middle)
    return max(each.jvm + each.python for each in samples if each.at > middle) / first


def minutes(samples: list[Sample], every: int = ROW_SECONDS) -> Table:
    """A row for every so many seconds: where the events are, and the memory at its highest in that time."""
    rows = []
    for start in range(0, int(samples[-1].at) + 1, every):
        within = [each for each in samples if start <= each.at < start + every]
        if not within:
            continue
        last = within[-1]
        counts = (f"{number:,}" for number in (last.sent, last.bronze, last.silver, last.gold, last.lag))
        memory = (max(each.jvm for each in within), max(each.python for each in within))
        rows.append((f"{last.at:.0f}", last.phase, *counts, *(f"{each / 2**20:,.0f}" for each in memory)))
    columns = ("s", "phase", "sent", "bronze", "silver", "gold", "lag", "RSS of the JVM, MiB", "RSS of Python, MiB")
    return Table(columns, tuple(rows))
