"""One micro-batch of 1 000 web events through all layers in one session: how long, and where the time goes."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, override

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from bench.result import Goal, Result, Table
from bench.web_events import event
from bench.web_lake import SOURCE, ensure_dimensions, session, settings_of
from lakehouse.contracts import load_contracts
from lakehouse.layout import Layout, spark_path
from lakehouse.schemas import envelope_type
from lakehouse.settings import CONTRACTS
from runtime.commits import transaction
from runtime.tables import ensure_table
from streaming import bronze, gold, silver, silver_query
from streaming.kinesis_rows import SCHEMA
from streaming.references import References

EVENTS = 1_000
WARM_UP, ROUNDS = 10, 10
QUICK_WARM_UP, QUICK_ROUNDS = 3, 3
GOLD = ("sales_kpis", "marketing_funnel")
MOST_SECONDS = 2.5
NO_TRIGGER = {"processingTime": "0 seconds"}
Step = tuple[float, float]


class Steps:
    """Seconds and Spark jobs of each step, batch by batch."""

    def __init__(self, spark: SparkSession) -> None:
        scheduler: Any = spark.sparkContext._jsc.sc().dagScheduler()
        self._jobs = scheduler.numTotalJobs
        self.taken: dict[str, list[Step]] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measures the `with` block."""
        jobs, started = self._jobs(), time.monotonic()
        yield
        self.add(name, time.monotonic() - started, self._jobs() - jobs)

    def add(self, name: str, seconds: float, jobs: float = 0) -> None:
        """Notes what was measured otherwise."""
        self.taken.setdefault(name, []).append((seconds, jobs))

    def last(self, beginning: str) -> Step:
        """The sum over the last batch of the steps whose names begin so."""
        found = [taken[-1] for name, taken in self.taken.items() if name.startswith(beginning)]
        return sum(seconds for seconds, _ in found), sum(jobs for _, jobs in found)


class TimedSilver(silver.SilverTable):
    """The silver table, with a clock at each step of its protocol."""

    steps: Steps

    @override
    def _survey(self, *given: Any) -> Any:
        with self.steps.step("silver: parse, check, enrich (3)"):
            return super()._survey(*given)

    @override
    def _settle(self, *given: Any) -> Any:
        with self.steps.step("silver: find neighbours, plan settling (4)"):
            return super()._settle(*given)

    @override
    def _count(self, *given: Any) -> Any:
        with self.steps.step("silver: contest and settle (4)"):
            return super()._count(*given)

    @override
    def _append_rejected(self, *given: Any) -> None:
        with self.steps.step("silver: append rejected (5)"):
            super()._append_rejected(*given)

    @override
    def _write_silver(self, *given: Any) -> None:
        with self.steps.step("silver: write and commit (6)"):
            super()._write_silver(*given)


def run(quick: bool, folder: Path) -> Result:
    """Sends batches one after the other through bronze, silver and two gold tables, each as soon as it can go on."""
    spark = session(folder, "micro-batch")
    settings = settings_of(folder / "micro-batch")
    contracts = load_contracts(CONTRACTS)
    layout = Layout(settings.root)
    steps = Steps(spark)
    try:
        ensure_dimensions(spark, settings, contracts)
        bronze_uri = layout.table(f"bronze.{SOURCE}")
        ensure_table(spark, bronze_uri, envelope_type(contracts), ["ingest_date"], bronze.BRONZE_PROPERTIES)
        table = TimedSilver(settings, contracts, SOURCE, References(contracts, layout))
        table.steps = steps
        silver_running = silver_query.start(spark, settings, table, NO_TRIGGER)
        queries = {name: gold.start(spark, settings, contracts, name, NO_TRIGGER) for name in GOLD}
        jobs: dict[str, set[int]] = {name: set() for name in GOLD}
        warm_up = QUICK_WARM_UP if quick else WARM_UP
        for batch in range(warm_up + (QUICK_ROUNDS if quick else ROUNDS)):
            if batch == warm_up:
                steps.taken.clear()
            _one(spark, batch, bronze_uri, silver_running, queries, jobs, steps)
        for query in (silver_running, *queries.values()):
            query.stop()
    finally:
        spark.stop()
    return _result(steps)


def _one(
    spark: SparkSession,
    batch: int,
    bronze_uri: str,
    silver_running: StreamingQuery,
    queries: dict[str, StreamingQuery],
    jobs: dict[str, set[int]],
    steps: Steps,
) -> None:
    records = _records(spark, batch)
    started = time.monotonic()
    _append(spark, records, batch, bronze_uri, steps)
    silver_running.processAllAvailable()
    for query in queries.values():
        query.processAllAvailable()
    total = time.monotonic() - started
    trigger, added = _durations(silver_running)
    within, _ = steps.last("silver: ")
    steps.add("silver: the rest of the batch function", added - within)
    steps.add("silver: Spark's own logs and planning", trigger - added)
    for name, query in queries.items():
        trigger, _ = _durations(query)
        found = set(spark.sparkContext.statusTracker().getJobIdsForGroup(str(query.runId)))
        steps.add(f"gold: {name} (both at a time)", trigger, len(found - jobs[name]))
        jobs[name] |= found
    seconds = steps.last("bronze: ")[0] + steps.last("silver: ")[0]
    longest = max(steps.last(f"gold: {name}")[0] for name in queries)
    steps.add("between the layers (below 0: they overlap)", total - seconds - longest)
    batch_jobs = sum(steps.last(layer)[1] for layer in ("bronze: ", "silver: ", "gold: "))
    steps.add("total", total, batch_jobs)


def _durations(query: StreamingQuery) -> tuple[float, float]:
    """Seconds of the query's last batch as a whole, and of its batch function."""
    last = next(each for each in reversed(query.recentProgress) if "addBatch" in each["durationMs"])
    return last["durationMs"]["triggerExecution"] / 1000, last["durationMs"]["addBatch"] / 1000


def _append(spark: SparkSession, records: DataFrame, batch: int, uri: str, steps: Steps) -> None:
    """What the bronze query does with a batch (see streaming/bronze.py), without the Kinesis source."""
    held = records.persist()
    with steps.step("bronze: read and count by shard"):
        ranges = bronze.shard_ranges(held)
    with (
        steps.step("bronze: append and commit"),
        transaction(spark, "bench:bronze", batch, bronze.lineage(SOURCE, batch, ranges)),
    ):
        rows = bronze.envelope(held, F.current_timestamp())
        rows.coalesce(1).write.format("delta").mode("append").save(spark_path(uri))
    held.unpersist()


def _records(spark: SparkSession, batch: int) -> DataFrame:
    """The batch as the Kinesis source gives it: two shards, events two milliseconds apart."""
    begun = datetime(2026, 10, 15, tzinfo=UTC)
    numbers = range(batch * EVENTS, (batch + 1) * EVENTS)
    times = [begun + timedelta(milliseconds=2 * number) for number in numbers]
    keys, data = zip(*(event(number, at) for number, at in zip(numbers, times, strict=True)), strict=True)
    columns: dict[str, list[Any]] = {
        "stream": [SOURCE] * EVENTS,
        "shard_id": [f"shardId-{number % 2:012d}" for number in numbers],
        "sequence_number": [f"{number:056d}" for number in numbers],
        "sub_sequence_number": [None] * EVENTS,
        "partition_key": list(keys),
        "arrived_at": times,
        "data": list(data),
    }
    return spark.createDataFrame(pa.table(columns, schema=SCHEMA))


def _result(steps: Steps) -> Result:
    rows = tuple(
        (
            name,
            f"{statistics.median(seconds for seconds, _ in taken):.2f}",
            f"{statistics.median(jobs for _, jobs in taken):.0f}",
        )
        for name, taken in sorted(steps.taken.items(), key=lambda each: _order(each[0]))
    )
    totals = steps.taken["total"]
    seconds, most = statistics.median(each for each, _ in totals), max(each for each, _ in totals)
    return Result(
        title="One micro-batch of 1 000 events through all layers",
        method=(
            "1 000 web events, prepared as the Kinesis source gives them, appended to bronze; the streaming queries "
            f"of `sessionized_web_logs` and of the gold tables {' and '.join(f'`{name}`' for name in GOLD)} run in the "
            "same session and go on as soon as there is something (no trigger interval). Local files. Medians of "
            f"{len(totals)} batches after a warm-up; steps are medians of their own and need not add up to the total. "
            "Numbers in brackets are the steps of `SilverTable.process`."
        ),
        goals=(
            Goal(
                "bronze to both gold tables",
                f"<= {MOST_SECONDS} s",
                f"{seconds:.2f} s (slowest {most:.2f} s)",
                seconds <= MOST_SECONDS,
            ),
        ),
        tables=(Table(("step", "seconds", "Spark jobs"), rows),),
    )


def _order(name: str) -> int:
    return ["bronze", "silver", "gold", "between", "total"].index(name.partition(":")[0].partition(" ")[0])
