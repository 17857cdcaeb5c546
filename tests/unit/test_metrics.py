"""The jobs' metrics: what is sent, how often, and that nobody's job ends because of them."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws

from runtime import metrics as reporting
from runtime.metrics import FRESHNESS, GAPS, NAMESPACE, REJECT_RATIO, RETRIES, Metrics, metrics
from streaming import fetch, kinesis_client, silver
from streaming.fetch import DataLossError, ShardRange, ShardReader
from streaming.freshness import Freshness
from streaming.kinesis_client import StreamClient
from streaming.kinesis_options import KinesisOptions
from streaming.shards import Kind, Position
from streaming.silver import faulty
from tests.unit.oracle_deliveries import records
from tests.unit.silver_lake import SilverLake


class Service:
    """Takes requests, at a time that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.down = False
        self.requests: list[tuple[str, list[dict[str, Any]]]] = []

    def put(self, namespace: str, data: list[dict[str, Any]]) -> None:
        if self.down:
            raise EndpointConnectionError(endpoint_url="https://monitoring")
        self.requests.append((namespace, data))

    def clock(self) -> float:
        return self.now

    @property
    def sent(self) -> dict[tuple[str, ...], dict[str, float]]:
        """The values of the last request by metric and dimensions."""
        return {
            (datum["MetricName"], *(each["Value"] for each in datum["Dimensions"])): datum["StatisticValues"]
            for datum in self.requests[-1][1]
        }


class Query:
    """A streaming query as far as freshness looks at it."""

    def __init__(self, message: str = "Waiting for data to arrive") -> None:
        self.status = {"message": message}
        self.isActive = True
        self.lastProgress: dict[str, Any] | None = None


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def reported(service: Service) -> Metrics:
    return Metrics("Lakehouse/test", service.put, service.clock)


@pytest.fixture
def no_process_metrics() -> Iterator[None]:
    metrics.cache_clear()
    yield
    metrics.cache_clear()


def test_values_are_summed_up_and_sent_once_a_minute(service: Service, reported: Metrics) -> None:
    reported.observe(RETRIES, 1, Stream="crm")
    reported.flush()
    reported.observe(RETRIES, 1, Stream="crm")
    reported.observe(RETRIES, 3, Stream="crm")
    service.now = 59.0
    reported.flush()
    assert len(service.requests) == 1

    service.now = 60.0
    reported.flush()

    assert service.sent == {(RETRIES, "crm"): {"SampleCount": 2, "Sum": 4, "Minimum": 1, "Maximum": 3}}
    reported.flush(at_once=True)
    assert len(service.requests) == 2, "nothing new, no request"


def test_the_average_of_a_share_is_the_share_over_all_batches(service: Service, reported: Metrics) -> None:
    reported.share(REJECT_RATIO, 1, 1, Source="pos")
    reported.share(REJECT_RATIO, 0, 99, Source="pos")
    reported.share(REJECT_RATIO, 0, 0, Source="pos")
    reported.flush()

    values = service.sent[(REJECT_RATIO, "pos")]
    assert values["Sum"] / values["SampleCount"] == 0.01
    assert values["SampleCount"] == 100, "the alarm asks how many records there were"


def test_a_service_that_does_not_answer_costs_nothing_but_time(service: Service, reported: Metrics) -> None:
    service.down = True
    reported.observe(RETRIES, 1, Stream="crm")
    reported.flush()
    service.down, service.now = False, 60.0
    reported.observe(RETRIES, 1, Stream="crm")
    reported.flush()

    assert service.sent[(RETRIES, "crm")]["Sum"] == 2, "what could not be sent is sent later"


@pytest.mark.usefixtures("no_process_metrics")
def test_without_a_namespace_nothing_is_kept_or_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAMESPACE, raising=False)
    monkeypatch.setattr(reporting, "_put", lambda *_: pytest.fail("a laptop has no CloudWatch"))

    assert not metrics().on
    metrics().observe(RETRIES, 1, Stream="crm")
    metrics().share(REJECT_RATIO, 1, 2, Source="pos")
    metrics().flush(at_once=True)


@pytest.mark.usefixtures("no_process_metrics")
def test_cloudwatch_takes_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {NAMESPACE: "Lakehouse/test", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
                        "AWS_REGION": "eu-central-1"}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        metrics().share(REJECT_RATIO, 1, 4, Source="pos")
        metrics().observe(FRESHNESS, 7, Layer="gold", Table="sales_kpis")
        metrics().flush()

        client: Any = boto3.client("cloudwatch", region_name="eu-central-1")
        listed = client.list_metrics(Namespace="Lakehouse/test")["Metrics"]

    found = {each["MetricName"]: {dim["Name"]: dim["Value"] for dim in each["Dimensions"]} for each in listed}
    assert found == {REJECT_RATIO: {"Source": "pos"}, FRESHNESS: {"Layer": "gold", "Table": "sales_kpis"}}


def test_an_idle_table_is_fresh_and_a_failing_one_grows_old(service: Service, reported: Metrics) -> None:
    freshness = Freshness(reported, service.clock)
    idle, failing = Query(), Query()
    service.now = 1_000.0
    freshness.look([("silver.stores", idle), ("silver.products", failing)])  # type: ignore[list-item]
    service.now = 1_100.0
    freshness.look([("silver.stores", idle), ("silver.products", None)])  # type: ignore[list-item]

    assert service.sent[(FRESHNESS, "silver", "stores")]["Maximum"] == 0
    assert service.sent[(FRESHNESS, "silver", "products")]["Maximum"] == 100
    assert service.sent[(FRESHNESS, "silver")]["Maximum"] == 100, "a layer is as old as its oldest table"


def test_a_busy_table_is_as_old_as_the_start_of_its_last_batch(service: Service, reported: Metrics) -> None:
    freshness = Freshness(reported, service.clock)
    query = Query("Processing new data")
    service.now = 1_000.0
    freshness.look([("gold.sales_kpis", query)])  # type: ignore[list-item]
    query.lastProgress = {"timestamp": "1970-01-01T00:17:30.000Z"}
    service.now = 1_090.0
    freshness.look([("gold.sales_kpis", query)])  # type: ignore[list-item]

    assert service.sent[(FRESHNESS, "gold", "sales_kpis")]["Maximum"] == 40


def test_a_query_stuck_in_its_first_look_at_the_source_grows_old(service: Service, reported: Metrics) -> None:
    freshness = Freshness(reported, service.clock)
    for service.now, message in ((1_000.0, "Initializing sources"), (1_300.0, "Getting offsets from Kinesis")):
        freshness.look([("bronze.crm", Query(message))])  # type: ignore[list-item]

    assert service.sent[(FRESHNESS, "bronze", "crm")]["Maximum"] == 300


def test_what_never_started_is_not_reported(service: Service, reported: Metrics) -> None:
    service.now = 1_000.0
    Freshness(reported, service.clock).look([("silver.stores", None)])

    assert service.requests == []


def test_a_repeated_call_to_kinesis_is_reported(
    service: Service, reported: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Throttled:
        calls = 0

        def list_shards(self, **_: str) -> dict[str, Any]:
            self.calls += 1
            if self.calls == 1:
                refused: Any = {
                    "Error": {"Code": "LimitExceededException"},
                    "ResponseMetadata": {"HTTPStatusCode": 400},
                }
                raise ClientError(refused, "ListShards")
            return {"Shards": []}

    api = Throttled()
    monkeypatch.setattr(kinesis_client, "connect", lambda region, endpoint: api)
    monkeypatch.setattr(kinesis_client, "metrics", lambda: reported)

    assert StreamClient("shop-crm", "eu-central-1", None, 10.0).shards() == []

    assert service.sent == {(RETRIES, "shop-crm"): {"SampleCount": 1, "Sum": 1, "Minimum": 1, "Maximum": 1}}


def test_a_gap_is_reported_before_the_query_fails_because_of_it(
    service: Service, reported: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "metrics", lambda: reported)
    client = StreamClient("shop-crm", "eu-central-1", None, 10.0)
    options = KinesisOptions("shop-crm", "/nowhere")
    task = ShardRange("shardId-0", 0, Position(Kind.AFTER_SEQUENCE_NUMBER, "7"), 86_400.0)

    with pytest.raises(DataLossError):
        ShardReader(client, options, task)._lost("records were trimmed")

    assert service.sent[(GAPS, "shop-crm")]["Sum"] == 1


def test_a_record_that_came_twice_is_not_faulty() -> None:
    assert faulty(Counter({"duplicate": 3, "superseded": 2, "type": 1})) == 1
    assert faulty(Counter()) == 0


def test_the_share_of_faulty_records_is_reported_of_every_batch(
    service: Service, reported: Metrics, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(silver, "metrics", lambda: reported)
    lake = SilverLake(tmp_path)
    spend = {"campaign_id": "c", "name": "Spring", "channel": "tv", "date": "2010-12-01", "spend": "10"}
    lake.process(records("campaigns", spend, spend, b"{", b"["), 0)
    reported.flush()

    assert service.sent[(REJECT_RATIO, "campaigns")] == {"SampleCount": 4, "Sum": 2, "Minimum": 0, "Maximum": 1}
