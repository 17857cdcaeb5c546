"""An S3 that refuses, is full or is gone under running jobs: a line says what to do, and once it works all is exact.

Bronze from LocalStack's Kinesis, silver and gold run in one job; their tables and checkpoints lie in S3 behind a proxy.
In a session, for the job's queries and the checkpoint of bronze are Spark's.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, override

import pytest
from obstore.store import S3Store
from pyspark.sql import SparkSession

from lakehouse.contracts import load_contracts
from lakehouse.delta import store as tables_store
from lakehouse.layout import Layout
from lakehouse.settings import CONTRACTS, Settings
from local.demo.proof import lake_rows
from local.oracle.comparison import compare
from local.oracle.deliveries import DeliveredRecord
from local.oracle.expectation import expect
from local.sql import Lake
from local.stress.faults import refuse
from local.stress.proxy import Proxy, Request
from runtime import storage
from runtime.tables import open_table, table_version
from streaming import job, layers
from streaming.job import Declaration, QueryFailedError
from tests.integration.background_job import GOLD, SILVER, BackgroundJob, crm_flow
from tests.integration.queried_lake import case
from tests.unit.oracle_deliveries import contact

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

OUTAGE_SECONDS = 20.0
TABLES = {"bronze": "bronze.crm", "silver": SILVER, "gold": GOLD}
QUERIES = {"bronze": "bronze.crm", "silver": "silver", "gold": "gold"}
TRIGGER_SECONDS = 0.2
ALLOW = "give the job's role the right to read and write objects there"
FREE = "free space there and start again: what was begun is taken up where it stopped"
REACH = "see whether it can be reached, and try again"


@dataclass(frozen=True)
class Refusal:
    """What a store answers to writes of objects whose path has both parts; status 0: nothing, to any request."""

    status: int
    code: str = ""
    folder: str = ""
    name: str = ""

    def meets(self, method: str, path: str) -> bool:
        return self.status == 0 or (method in ("PUT", "POST") and self.folder in path and self.name in path)


class RefusingS3(Proxy):
    """Passes on all but what `refusal` says."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        self.refusal: Refusal | None = None

    @contextmanager
    def refusing(self, refusal: Refusal) -> Iterator[None]:
        self.refusal = refusal
        try:
            yield
        finally:
            self.refusal = None

    @override
    def meet(self, request: Request, body: bytes) -> None:
        refusal = self.refusal
        if refusal is None or not refusal.meets(request.command, request.path):
            request.pass_on(body)
        elif refusal.status == 0:
            request.hang_up()
        else:
            refuse(request, refusal.status, refusal.code)


@dataclass
class Streamed:
    """The crm stream, the lake that a job makes of it, and what was put onto the stream."""

    spark: SparkSession
    kinesis: "KinesisClient"
    settings: Settings
    delivered: list[DeliveredRecord] = field(default_factory=list)
    deliveries: int = 0

    def uri(self, layer: str) -> str:
        return Layout(self.settings.root).table(TABLES[layer])

    def deliver(self) -> None:
        """A case and its resolution, a contact, a correction of the one before, and a record that is none."""
        number, stream = self.deliveries, self.settings.streams["crm"]
        self.deliveries += 1
        hour = f"2010-12-01T{number:02}"
        before = f"2010-12-01T{max(0, number - 1):02}:45:00Z"
        rows = [
            {**case(f"o{number}", f"{hour}:00:00Z", "opened"), "case_id": f"case {number}"},
            {**case(f"r{number}", f"{hour}:30:00Z", "resolved"), "case_id": f"case {number}"},
            contact(f"i{max(0, number - 1)}", before, rating=1 + number % 5),
            contact(f"i{number}", f"{hour}:45:00Z", rating=3),
            {"interaction_id": "none"},
        ]
        for row in rows:
            data = json.dumps(row).encode()
            # One shard: only there is it certain which of two records comes later.
            put = self.kinesis.put_record(StreamName=stream, PartitionKey="key", Data=data)
            self.delivered.append(
                DeliveredRecord("crm", stream, put["ShardId"], put["SequenceNumber"], datetime.now(UTC), data)
            )

    def differences(self) -> list[str]:
        """What the lake holds against what it must hold: every record, silver row and KPI."""
        with Lake(self.settings.root) as lake:
            return [str(each) for each in compare(lake_rows(lake), expect([], self.delivered)).differences]

    def settled(self) -> bool:
        """Whether each layer says that it has taken in all of the one below."""
        bronze, silver, gold = (open_table(self.uri(layer)) for layer in TABLES)
        return (
            silver.transaction(f"{TABLES['bronze']}@{bronze.id}") == bronze.version
            and gold.transaction(f"{SILVER}@{silver.id}") == silver.version
        )

    def files(self, layer: str) -> set[str]:
        return {file.path for file in open_table(self.uri(layer)).files()}

    def versions(self) -> dict[str, int]:
        return {layer: table_version(self.uri(layer)) for layer in TABLES}

    def queries(self) -> list[Declaration]:
        """What a job of all layers has, for this one source."""
        spark, settings, contracts = self.spark, self.settings, load_contracts(CONTRACTS)
        flow = crm_flow(settings, contracts)
        (silver,), (gold,) = flow.silver, flow.gold
        below = [silver.bronze_uri], [*gold.silver.values()]
        return [
            layers._bronze(spark, settings, contracts, "crm", TRIGGER_SECONDS, flow),
            layers._following(
                spark, "silver", [silver.name], below[0], flow.ensure_silver, flow.follow_bronze, TRIGGER_SECONDS, 1
            ),
            layers._following(
                spark, "gold", [gold.name], below[1], flow.ensure_gold, flow.follow_silver, TRIGGER_SECONDS, 2
            ),
        ]


class ImpatientS3:
    """Clients that give a store up after a second; else it is three minutes."""

    RETRIES: ClassVar[Any] = {"max_retries": 1, "retry_timeout": timedelta(seconds=1)}

    def __new__(cls, *given: Any, **named: Any) -> S3Store:  # type: ignore[misc]
        return S3Store(*given, **named, retry_config=cls.RETRIES)

    @classmethod
    def from_url(cls, *given: Any, **named: Any) -> S3Store:
        return S3Store.from_url(*given, **named, retry_config=cls.RETRIES)


@pytest.fixture
def store(spark: SparkSession, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[RefusingS3]:
    """The proxy through which Spark and the small objects beside the tables see the bucket. Few, short retries."""
    configuration = spark.sparkContext._jsc.hadoopConfiguration()
    manager = "spark.sql.streaming.checkpointFileManagerClass"
    monkeypatch.setattr(tables_store, "S3Store", ImpatientS3)
    monkeypatch.setattr(storage, "S3Store", ImpatientS3)
    with RefusingS3(configuration.get("fs.s3a.endpoint")) as proxy:
        values = {"endpoint": proxy.endpoint, "attempts.maximum": "1", "retry.limit": "1", "retry.interval": "50ms"}
        for name, value in values.items():
            configuration.set(f"fs.s3a.bucket.{bucket}.{name}", value)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        spark.conf.set(manager, "org.apache.spark.internal.io.cloud.AbortableStreamBasedCheckpointFileManager")
        yield proxy
        spark.conf.unset(manager)


@pytest.fixture
def streamed(
    store: RefusingS3,
    spark: SparkSession,
    kinesis: "KinesisClient",
    stream_name: str,
    bucket: str,
    tmp_path: Path,
) -> Streamed:
    settings = Settings(root=f"s3://{bucket}/lake", state_directory=tmp_path, streams={"crm": stream_name})
    return Streamed(spark, kinesis, settings)


@pytest.fixture
def run(
    streamed: Streamed, run_beside: Callable[[Sequence[Declaration], int], BackgroundJob]
) -> Callable[[int], BackgroundJob]:
    """Starts bronze, silver and gold with so many restarts."""
    return lambda max_restarts: run_beside(streamed.queries(), max_restarts)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the job said of failures."""
    return [each.getMessage() for each in caplog.records if each.name == job.__name__]


@pytest.mark.timeout(600)
def test_a_store_that_refuses_a_layers_commits_is_told_with_the_way_out_and_then_all_is_exact(
    store: RefusingS3,
    streamed: Streamed,
    run: Callable[[int], BackgroundJob],
    caplog: pytest.LogCaptureFixture,
) -> None:
    streamed.deliver()
    running = run(1000)
    running.until(lambda: min(streamed.versions().values()) > 0)
    for layer, query in QUERIES.items():
        for status, code, name, way_out in (
            (403, "AccessDenied", "/_delta_log/", ALLOW),
            (507, "InsufficientStorage", "/part-", FREE),
        ):
            running.until(streamed.settled)
            caplog.clear()
            before, files = streamed.versions()[layer], streamed.files(layer)
            with (
                caplog.at_level(logging.WARNING, job.__name__),
                store.refusing(Refusal(status, code, f"/lake/{layer}/", name)),
            ):
                streamed.deliver()
                running.until(lambda: len(told(caplog)) >= 2)
                # A commit without rows may be made, to keep out an attempt that only sleeps.
                assert streamed.files(layer) == files, "rows came through"
            for message in told(caplog):
                assert message.startswith(f"{query} failed (")
                assert f"lake/{layer}/" in message
                assert message.endswith(f": {way_out}")
                assert "\n" not in message
            running.until(lambda: streamed.versions()[layer] > before and streamed.settled())  # noqa: B023
    running.drained()
    assert streamed.differences() == []


@pytest.mark.timeout(600)
def test_an_outage_longer_than_all_retries_ends_the_job_with_one_line_or_is_outlived(
    store: RefusingS3,
    streamed: Streamed,
    run: Callable[[int], BackgroundJob],
    caplog: pytest.LogCaptureFixture,
) -> None:
    streamed.deliver()
    impatient = run(0)
    impatient.until(lambda: min(streamed.versions().values()) > 0)
    with store.refusing(Refusal(0)):
        streamed.deliver()
        impatient.ended()
    assert isinstance(impatient.failure, QueryFailedError)
    assert "failed 1 times in a row and is given up: " in str(impatient.failure)
    assert str(impatient.failure).endswith(f": {REACH}")
    assert len(str(impatient.failure).splitlines()) == 1

    patient = run(1000)
    before = streamed.versions()
    patient.until(lambda: all(now > before[layer] for layer, now in streamed.versions().items()))
    with caplog.at_level(logging.WARNING, job.__name__), store.refusing(Refusal(0)):
        streamed.deliver()
        time.sleep(OUTAGE_SECONDS)
    assert told(caplog)
    assert [each for each in told(caplog) if not each.endswith(f": {REACH}")] == []
    streamed.deliver()
    patient.drained()
    assert streamed.differences() == []
