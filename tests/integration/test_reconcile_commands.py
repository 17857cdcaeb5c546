"""`lakehouse reconcile` as people and the daily job meet it: exit codes, what is printed, the metric, and jobs that run
at the same time.
"""

import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from pyspark.sql import SparkSession

from batch import glue
from batch.reconciliation import reconcile as reconciling
from batch.reconciliation.pins import GoldPins, SourcePins
from batch.reconciliation.reconcile import Scope, reconcile
from batch.reconciliation.report import Report
from lakehouse.contracts import Contracts
from lakehouse.errors import LakehouseError
from runtime.metrics import Metrics
from streaming.gold import GoldTable
from streaming.references import References
from streaming.silver import SilverTable
from tests.e2e.processes import lakehouse
from tests.integration.queried_lake import QueriedLake, found, later, sale

# Found nowhere but where a test puts it.
MAIL = "erika.mustermann@example.com"
FOREIGN = "UPDATE by something else than the lake's jobs"
LONGEST_SECONDS = 400


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[dict[str, Any]]]]:
    """The requests that CloudWatch would have got."""
    requests: list[tuple[str, list[dict[str, Any]]]] = []
    double = Metrics("Lakehouse/test", lambda namespace, data: requests.append((namespace, data)))
    monkeypatch.setattr(reconciling, "metrics", lambda: double)
    return requests


@pytest.fixture
def daily_job(lake: QueriedLake, monkeypatch: pytest.MonkeyPatch) -> QueriedLake:
    """A lake whose daily job runs in the tests' session, and proves two sources and one gold table."""

    def of_two(spark: SparkSession, root: str, contracts: Contracts, scope: Scope) -> Report:
        assert scope == Scope(contracts.sources)
        return reconcile(spark, root, contracts, Scope(("pos", "web_logs")))

    class Session:
        def __init__(self, *_: object) -> None:
            self.session = lambda: lake.spark

    monkeypatch.setattr(glue, "SparkOnDemand", Session)
    monkeypatch.setattr(glue, "reconcile", of_two)
    monkeypatch.setattr(reconciling, "TABLES", ("marketing_funnel",))
    return lake


def datum(differences: float) -> dict[str, Any]:
    values = {"SampleCount": 1.0, "Sum": differences, "Minimum": differences, "Maximum": differences}
    return {"MetricName": "ReconcileDifferences", "Dimensions": [], "Unit": "Count", "StatisticValues": values}


def test_the_command_prints_what_differs_with_its_commits_and_exits_1(lake: QueriedLake, tmp_path: Path) -> None:
    lake.change("silver.validated_pos", "UPDATE {table} SET unit_price = 2.51 WHERE transaction_id = 'T6'")
    lake.change("silver.validated_pos", f"UPDATE {{table}} SET customer_id = '{MAIL}' WHERE transaction_id = 'T1'")
    command = ["reconcile", "pos", "--root", lake.settings.root]
    environment = {"LAKEHOUSE_STATE_DIRECTORY": str(tmp_path / "state")}
    done = lakehouse(command, environment, tmp_path, LONGEST_SECONDS)
    assert done.returncode == 1, done.stderr
    lines = [" ".join(line.replace("│", " ").split()) for line in done.stdout.splitlines()]
    at = "bronze.pos 2, silver.validated_pos 4, rejected 2"
    gold = "gold.sales_kpis 3 of silver.validated_pos 2, silver.sessionized_web_logs 2"
    for row in (
        f"bronze.pos records = silver + rejected 9 0 {at}",
        f"silver.validated_pos one row an identity 4 0 {at}",
        f"silver.validated_pos values = recomputation 4 2 {at}",
        f"gold.sales_kpis KPIs = independent SQL 16 0 {gold}",
    ):
        assert row in lines, done.stdout
    t1, t6 = (lines.index(line) for line in (
        "silver.validated_pos value: pos/shard-0/5 (customer_id): expected (personal), found (personal)",
        "silver.validated_pos value: pos/shard-0/7 (unit_price): expected 2.5000, found 2.5100",
    ))  # fmt: skip
    assert FOREIGN in lines[t1 + 1]
    assert "silver.validated_pos version 4" in lines[t1 + 1]
    assert FOREIGN in lines[t6 + 1]
    assert "silver.validated_pos version 3" in lines[t6 + 1]
    assert "silver batch 1 from bronze.pos 0..1" in lines[t6 + 2]
    assert lines[-1] == "2 differences"
    assert MAIL not in done.stdout + done.stderr


def test_the_daily_job_logs_no_value_of_any_record_and_sends_the_metric(
    daily_job: QueriedLake, sent: list[tuple[str, list[dict[str, Any]]]], capfd: pytest.CaptureFixture[str]
) -> None:
    tampered = (
        ("silver.validated_pos", "customer_id", "transaction_id = 'T1'"),
        ("silver.validated_pos", "transaction_id", "transaction_id = 'T6'"),
        ("silver.sessionized_web_logs", "user_id", "event_id = 'e3'"),
        ("silver.sessionized_web_logs", "page", "event_id = 'e4'"),
        ("gold.marketing_funnel", "campaign_id", "kpi_name = 'click_through_rate'"),
    )
    for table, column, row in tampered:
        daily_job.change(table, f"UPDATE {{table}} SET {column} = '{MAIL}' WHERE {row}")
    # The identity of two rows is a personal value too.
    daily_job.change(
        "silver.validated_pos", f"INSERT INTO {{table}} SELECT * FROM {{table}} WHERE transaction_id = '{MAIL}'"
    )
    with pytest.raises(LakehouseError, match=r"^8 differences, see above: docs/runbooks/reconcile.md$") as refused:
        glue.run("reconcile", daily_job.settings)
    assert sent == [("Lakehouse/test", [datum(8.0)])]
    printed = capfd.readouterr()
    assert MAIL not in printed.out + printed.err + str(refused.value)
    lines = printed.out.splitlines()
    for line in (
        "silver.validated_pos value: pos/shard-0/5 (customer_id)",
        "silver.validated_pos twice: pos/shard-0/7, pos/shard-0/7 (transaction_id, line_number, event_time)",
        "silver.sessionized_web_logs value: web_logs/shard-0/3 (user_id)",
        "silver.sessionized_web_logs value: web_logs/shard-0/4 (page)",
    ):
        assert line in lines, printed.out
        assert "by something else than the lake's jobs" in lines[lines.index(line) + 1]
    kpis = [line for line in lines if line.startswith("gold.marketing_funnel ")]
    assert [line.partition(" (")[0] for line in kpis] == [
        "gold.marketing_funnel lost: click_through_rate 2010-12-01",
        "gold.marketing_funnel unknown: click_through_rate 2010-12-01",
    ]


def test_the_daily_job_ends_well_where_nothing_differs(
    daily_job: QueriedLake, sent: list[tuple[str, list[dict[str, Any]]]], capfd: pytest.CaptureFixture[str]
) -> None:
    glue.run("reconcile", daily_job.settings)
    lines = capfd.readouterr().out.splitlines()
    compared = {line.partition(":")[0] for line in lines if " differences at " in line}
    assert compared == {
        *("bronze.pos", "silver.validated_pos", "bronze.web_logs", "silver.sessionized_web_logs"),
        "gold.marketing_funnel",
    }
    assert lines[-1] == "0 differences"
    assert sent == [("Lakehouse/test", [datum(0.0)])]


def test_what_has_taken_in_nothing_yet_is_left_out_and_said(
    lake: QueriedLake, sent: list[tuple[str, list[dict[str, Any]]]]
) -> None:
    for name in ("silver.customer_interactions", "gold.customer_insights", "gold.marketing_funnel"):
        shutil.rmtree(lake.layout.table(name))
    lake.change("silver.campaign_spend", "UPDATE {table} SET spend = 12.51")
    report = lake.reconciled("crm", "campaigns")
    assert found(report) == [("silver.campaign_spend", "value", "campaigns/shard-0/1", "12.5000", "12.5100")]
    assert report.not_yet == {
        "crm": "silver.customer_interactions has taken in nothing yet: run `lakehouse stream silver`",
        "marketing_funnel": "there is no gold.marketing_funnel yet: run `lakehouse stream gold`",
        "customer_insights": "there is no gold.customer_insights yet: run `lakehouse stream gold`",
    }
    lines = [*report.log_lines()]
    assert [line for line in lines if ": not yet: " in line] == [
        f"{name}: not yet: {reason}" for name, reason in report.not_yet.items()
    ]
    assert lines[-1] == "1 differences"
    assert sent == [("Lakehouse/test", [datum(1.0)])]


@contextmanager
def running(lake: QueriedLake, source: str, table: str) -> Iterator[list[Future[None]]]:
    """The owners of a silver and of a gold table, batch after batch, until the end."""
    silver = SilverTable(lake.settings, lake.contracts, source, References(lake.contracts, lake.layout))
    gold = GoldTable(lake.settings, lake.contracts, table)
    ended = Event()

    def again_and_again(owner: SilverTable | GoldTable) -> None:
        while not ended.wait(0.05):
            owner.follow()
            owner.keep_up()
        owner.follow()

    with ThreadPoolExecutor() as threads:
        owners = [threads.submit(again_and_again, owner) for owner in (silver, gold)]
        try:
            yield owners
        finally:
            ended.set()


@pytest.mark.timeout(LONGEST_SECONDS + 500)
def test_beside_jobs_that_write_all_the_time_it_finds_nothing_time_after_time(
    lake: QueriedLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Corrections, duplicates, faults and new lines arrive before every run and are taken in during it."""
    monkeypatch.setattr(reconciling, "TABLES", ("sales_kpis",))
    pins: list[tuple[SourcePins | GoldPins, ...]] = []
    with running(lake, "pos", "sales_kpis") as owners:
        for number in (100, 200):
            sales = sale(1, quantity=number), sale(number), sale(number), sale(number + 1, transaction_id="T9")
            lake.deliver(later("pos", number, *sales, {"store_id": "x"}))
            report = lake.reconciled("pos")
            assert (found(report), report.differences) == ([], 0)
            pins.append(report.pins)
            assert [owner.done() for owner in owners] == [False, False]
    assert [owner.exception() for owner in owners] == [None, None]
    last = lake.reconciled("pos")
    assert (found(last), last.differences) == ([], 0)
    assert {each.table: each.rows for each in last.compared}["bronze.pos"] == 9 + 2 * 5
    assert pins[0] != last.pins, "the jobs went on meanwhile"
