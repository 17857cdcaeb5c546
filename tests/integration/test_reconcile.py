"""`lakehouse reconcile` over a lake that the real queries filled: silent when all is well, and it finds what was done
behind the jobs' backs, with the commits that did it.
"""

import json
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from batch.reconciliation import reconcile as reconciling
from batch.reconciliation.pins import NotReconcilableError, source_pins
from lakehouse.kpi_checks import CHECKS
from lakehouse.kpi_tables import TABLES
from lakehouse.kpis import KPIS
from runtime.storage import Storage
from streaming import silver
from streaming.references import References
from streaming.silver import SilverTable
from tests.integration.queried_lake import QueriedLake, found, later, sale


@pytest.fixture
def one_gold_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are compared in the same way: a lake without differences has them all."""
    monkeypatch.setattr(reconciling, "TABLES", ("sales_kpis",))


@pytest.fixture
def no_gold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gold is compared with silver as it is, whatever that is."""
    monkeypatch.setattr(reconciling, "TABLES", ())


def test_every_kpi_has_a_check_of_its_own() -> None:
    assert set(CHECKS) == {kpi.name for kpi in KPIS}


def test_a_lake_that_kept_its_promise_has_no_differences(finished_lake: QueriedLake) -> None:
    report = finished_lake.reconciled()
    assert found(report) == []
    assert (report.differences, report.redrivable, report.late_references) == (0, {}, {})
    rows = {(each.table, each.what): each.rows for each in report.compared}
    assert rows == {
        ("bronze.stores", "records = silver + rejected"): 3,
        ("silver.stores", "one row an identity"): 3,
        ("silver.stores", "values = recomputation"): 3,
        ("bronze.warehouses", "records = silver + rejected"): 1,
        ("silver.warehouses", "one row an identity"): 1,
        ("silver.warehouses", "values = recomputation"): 1,
        ("bronze.products", "records = silver + rejected"): 2,
        ("silver.products", "one row an identity"): 2,
        ("silver.products", "values = recomputation"): 2,
        ("bronze.pos", "records = silver + rejected"): 9,
        ("silver.validated_pos", "one row an identity"): 4,
        ("silver.validated_pos", "values = recomputation"): 4,
        ("bronze.inventory", "records = silver + rejected"): 2,
        ("silver.enriched_inventory", "one row an identity"): 2,
        ("silver.enriched_inventory", "values = recomputation"): 2,
        ("bronze.web_logs", "records = silver + rejected"): 6,
        ("silver.sessionized_web_logs", "one row an identity"): 6,
        ("silver.sessionized_web_logs", "values = recomputation"): 6,
        ("bronze.crm", "records = silver + rejected"): 3,
        ("silver.customer_interactions", "one row an identity"): 3,
        ("silver.customer_interactions", "values = recomputation"): 3,
        ("bronze.campaigns", "records = silver + rejected"): 1,
        ("silver.campaign_spend", "one row an identity"): 1,
        ("silver.campaign_spend", "values = recomputation"): 1,
        **{(f"gold.{table}", "KPIs = independent SQL"): _rows(finished_lake, table) for table in TABLES},
    }
    assert {table: _rows(finished_lake, table) for table in TABLES} == {
        "sales_kpis": 16, "marketing_funnel": 10, "customer_insights": 9, "operations_kpis": 4,
    }  # fmt: skip


def _rows(lake: QueriedLake, table: str) -> int:
    return lake.spark.read.format("delta").load(lake.layout.table(f"gold.{table}")).count()


@pytest.mark.usefixtures("one_gold_table")
def test_the_change_alone_is_proved_since_a_version(finished_lake: QueriedLake) -> None:
    report = finished_lake.reconciled("pos", since=1)
    assert found(report) == []
    rows = {(each.table, each.what): each.rows for each in report.compared}
    assert rows[("bronze.pos", "records = silver + rejected")] == 2
    assert rows[("silver.validated_pos", "values = recomputation")] == 2
    assert rows[("silver.validated_pos", "no other changes")] == 2
    assert rows[("gold.sales_kpis", "KPIs = independent SQL")] == 16, "an hour later, on the same day and another"


@pytest.mark.usefixtures("no_gold")
def test_a_change_reaches_the_rows_that_it_settles_anew(finished_lake: QueriedLake) -> None:
    report = finished_lake.reconciled("web_logs", since=1)
    assert found(report) == []
    rows = {(each.table, each.what): each.rows for each in report.compared}
    assert rows[("bronze.web_logs", "records = silver + rejected")] == 1
    assert rows[("silver.sessionized_web_logs", "values = recomputation")] == 6


@pytest.mark.usefixtures("one_gold_table")
def test_what_was_done_behind_the_jobs_backs_is_found_with_the_commit_that_did_it(lake: QueriedLake) -> None:
    """A row deleted, a row doubled, a cent changed, a KPI changed, a rejected row gone, a reason changed."""
    lake.change("silver.validated_pos", "DELETE FROM {table} WHERE transaction_id = 'T1'")
    lake.change("silver.validated_pos", "INSERT INTO {table} SELECT * FROM {table} WHERE transaction_id = 'T2'")
    lake.change("silver.validated_pos", "UPDATE {table} SET unit_price = 2.51 WHERE transaction_id = 'T6'")
    lake.change("rejected.pos", "DELETE FROM {table} WHERE rule = 'malformed_json'")
    lake.change("rejected.pos", "UPDATE {table} SET rule = 'range' WHERE rule = 'reference'")
    lake.change("gold.sales_kpis", "UPDATE {table} SET numerator = numerator + 0.01 WHERE kpi_name = 'daily_revenue'")
    report = lake.reconciled("pos")
    assert [each for each in found(report) if not each[0].startswith("gold")] == [
        ("bronze.pos", "lost", "pos/shard-0/4", "rejected: malformed_json", "neither in silver nor in rejected"),
        ("bronze.pos", "lost", "pos/shard-0/5", "silver", "neither in silver nor in rejected"),
        ("bronze.pos", "misplaced", "pos/shard-0/3", "rejected: reference", "rejected: range"),
        ("bronze.pos", "twice", "pos/shard-0/8", "silver", "2 x silver"),
        ("silver.validated_pos", "twice", "T2, 1, 2010-12-01 10:00:00", "one row of this identity",
         "2 rows: pos/shard-0/8, pos/shard-0/8"),
        ("silver.validated_pos", "value", "pos/shard-0/7", "2.5000", "2.5100"),
    ]  # fmt: skip
    by_key = {(each.kind, each.key): each for each in report.shown}
    deleted = by_key["lost", "pos/shard-0/5"].commits
    assert "DELETE by something else than the lake's jobs" in deleted[0]
    assert "silver batch 1 from bronze.pos 0..1" in deleted[1]
    cent = by_key["value", "pos/shard-0/7"]
    assert (cent.column, "UPDATE by something else than the lake's jobs" in cent.commits[0]) == ("unit_price", True)
    gold = [each for each in report.shown if each.table == "gold.sales_kpis"]
    keys = [json.loads(each.key) for each in gold]
    assert [(key["kpi_name"], key["period_start"]) for key in keys] == [
        ("daily_revenue", "2010-12-01"),
        ("daily_revenue", "2010-12-03"),
    ]
    assert all("UPDATE by something else than the lake's jobs" in each.commits[0] for each in gold)
    assert report.differences == 8

    since = lake.reconciled("pos", since=1)
    assert [each for each in found(since) if not each[0].startswith("gold")] == [
        ("bronze.pos", "lost", "pos/shard-0/4", "rejected: malformed_json", "neither in silver nor in rejected"),
        ("bronze.pos", "misplaced", "pos/shard-0/3", "rejected: reference", "rejected: range"),
        ("bronze.pos", "twice", "pos/shard-0/8", "silver", "2 x silver"),
        ("silver.validated_pos", "changed", "pos/shard-0/5", "no change", "delete in version 3"),
        ("silver.validated_pos", "changed", "pos/shard-0/7", "no change", "update_postimage in version 5"),
        ("silver.validated_pos", "twice", "T2, 1, 2010-12-01 10:00:00", "one row of this identity",
         "2 rows: pos/shard-0/8, pos/shard-0/8"),
    ]  # fmt: skip
    assert [each for each in since.shown if each.table == "gold.sales_kpis"] == gold
    assert since.differences == 8


@pytest.mark.usefixtures("no_gold")
def test_what_was_done_to_older_rejected_rows_is_found_since_a_version(lake: QueriedLake) -> None:
    lake.change("rejected.pos", "UPDATE {table} SET message = 'fine' WHERE rule = 'malformed_json'")
    lake.change("rejected.pos", "INSERT INTO {table} SELECT * FROM {table} WHERE rule = 'reference'")
    rejected = lake.spark.read.format("delta").load(lake.layout.table("rejected.pos"))
    made_up = rejected.where("rule = 'malformed_json'").withColumn("record_id", F.lit("x"))
    made_up.write.format("delta").mode("append").save(lake.layout.table("rejected.pos"))
    lake.change("rejected.pos", "DELETE FROM {table} WHERE record_id = 'pos/shard-0/1'")
    report = lake.reconciled("pos", since=1)
    assert found(report) == [
        ("bronze.pos", "lost", "pos/shard-0/1", "rejected", "neither in silver nor in rejected"),
        ("bronze.pos", "twice", "pos/shard-0/3", "rejected: reference", "2 x rejected: reference"),
        ("bronze.pos", "unknown", "x", "no such record in bronze", "rejected: malformed_json"),
        ("rejected.pos", "changed", "pos/shard-0/4", "no change", "another row than in version 1"),
    ]


@pytest.mark.usefixtures("no_gold")
def test_what_waits_for_a_redrive_and_late_reference_rows_are_told_apart_from_differences(lake: QueriedLake) -> None:
    ghost = {"product_id": "GHOST", "category": "ghosts", "unit_cost": 1, "valid_from": "2009-01-01T00:00Z"}
    toys = {"product_id": "A", "category": "games", "unit_cost": 1, "valid_from": "2010-01-01T00:00Z"}
    lake.deliver(later("products", 3, ghost, toys, hours=2))
    lake.drain(["products"], [])
    report = lake.reconciled("pos")
    assert (found(report), report.redrivable, report.late_references) == ([], {"pos": 1}, {"pos": 4})


@pytest.mark.usefixtures("no_gold")
def test_a_batch_under_way_is_left_out(lake: QueriedLake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next batch has committed its rejected rows and not yet its silver rows."""
    before = source_pins(lake.settings.root, lake.contracts, "pos")

    def die(name: str) -> None:
        if name == "silver.after_rejected":
            raise InterruptedError(name)

    monkeypatch.setattr(silver, "failpoint", die)
    lake.deliver(later("pos", 10, sale(1, quantity=3)))
    table = SilverTable(lake.settings, lake.contracts, "pos", References(lake.contracts, lake.layout))
    with pytest.raises(InterruptedError, match="silver.after_rejected"):
        table.follow()
    assert [row["rule"] for row in lake.rejected("pos", ["rule"])].count("superseded") == 3
    assert source_pins(lake.settings.root, lake.contracts, "pos") == before
    assert lake.reconciled("pos").differences == 0


def test_nothing_finished_yet_and_a_redrive_under_way_are_refused(lake: QueriedLake, tmp_path: Path) -> None:
    empty = QueriedLake(lake.spark, tmp_path / "empty")
    with pytest.raises(NotReconcilableError, match="silver.validated_pos has taken in nothing yet"):
        empty.reconciled("pos")
    with pytest.raises(NotReconcilableError, match="--since 9: silver has taken in bronze.pos up to version 2"):
        lake.reconciled("pos", since=9)
    notes = Storage.open(f"{lake.layout.checkpoint('silver', 'validated_pos')}_redrive")
    notes.put_if_absent("00000000.json", b"{}")
    with pytest.raises(NotReconcilableError, match="a redrive of pos is under way or died"):
        lake.reconciled("pos")
