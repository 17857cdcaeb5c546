"""`lakehouse reconcile` and reference data: late rows and waiting records are no differences, and hide none."""

from dataclasses import replace
from datetime import timedelta

import pytest

from batch.reconciliation import reconcile as reconciling
from batch.reconciliation.report import Report
from local.oracle.deliveries import DeliveredRecord
from streaming.redrive import redrive
from tests.integration.queried_lake import DAY, QueriedLake, found, later, sale
from tests.unit.oracle_deliveries import web
from tests.unit.silver_lake import REFERENCE

GHOST = {"product_id": "GHOST", "category": "ghosts", "unit_cost": 1, "valid_from": "2009-01-01T00:00Z"}
# Begins to hold between the first row of product A and all sales.
GAMES = {"product_id": "A", "category": "games", "unit_cost": 1, "valid_from": "2010-01-01T00:00Z"}


@pytest.fixture(autouse=True)
def _no_gold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gold is compared with silver as it is, whatever that is: these tests have no need of it."""
    monkeypatch.setattr(reconciling, "TABLES", ())


def again(source: str) -> list[DeliveredRecord]:
    """All reference data of a source, delivered once more after all facts."""
    return [
        replace(each, sequence=f"{each.sequence}00", acknowledged_at=each.acknowledged_at + timedelta(hours=2))
        for each in REFERENCE
        if each.source == source
    ]


def cells(report: Report) -> list[tuple[str, str, str, str, str]]:
    return sorted((each.kind, each.key, each.column, each.expected, each.found) for each in report.shown)


def test_reference_data_delivered_again_hides_no_changed_value(lake: QueriedLake) -> None:
    for source in lake.contracts.references:
        lake.deliver(again(source))
    lake.drain(lake.contracts.references, [])
    lake.change("silver.validated_pos", "UPDATE {table} SET unit_cost = 9.99 WHERE transaction_id = 'T1'")
    lake.change("silver.validated_pos", "UPDATE {table} SET category = 'bags' WHERE transaction_id = 'T2'")
    # The store was in the south later that day: bronze knows the region, no lookup at that time ever gave it.
    moved = "region = 'south', month = '2010-11', type = 'sale', basket_key = 'T6'"
    lake.change("silver.validated_pos", f"UPDATE {{table}} SET {moved} WHERE transaction_id = 'T6'")
    lake.change("silver.enriched_inventory", "UPDATE {table} SET type = 'bags' WHERE inventory_id = 'i8'")
    report = lake.reconciled("pos", "inventory")
    assert cells(report) == [
        ("value", "inventory/shard-0/1", "type", "toys", "bags"),
        ("value", "pos/shard-0/5", "unit_cost", "1.1000", "9.9900"),
        ("value", "pos/shard-0/7", "basket_key", "T6|refund", "T6"),
        ("value", "pos/shard-0/7", "month", "2010-12", "2010-11"),
        ("value", "pos/shard-0/7", "region", "north", "south"),
        ("value", "pos/shard-0/7", "type", "refund", "sale"),
        ("value", "pos/shard-0/8", "category", "toys", "bags"),
    ]
    assert (report.differences, report.late_references) == (7, {})


def test_a_late_reference_row_is_waited_for_and_then_seen_in_every_row(lake: QueriedLake) -> None:
    lake.deliver(later("products", 3, GAMES, hours=2))
    lake.drain(["products"], [])
    report = lake.reconciled("pos")
    assert (found(report), report.late_references) == ([], {"pos": 4})
    lake.deliver(later("pos", 10, sale(10), hours=3))
    lake.drain(["pos"], [])
    for since in (None, 1):
        report = lake.reconciled("pos", since=since)
        assert (found(report), report.late_references) == ([], {})
    lake.change(
        "silver.validated_pos",
        "UPDATE {table} SET unit_cost = 9.99 WHERE transaction_id = 'T1'",
        # What product A was before, which a row may have no longer.
        "UPDATE {table} SET category = 'toys', unit_cost = 1.10 WHERE transaction_id = 'T10'",
    )
    for since in (None, 1):
        report = lake.reconciled("pos", since=since)
        assert cells(report) == [
            ("value", "pos/shard-0/10", "category", "games", "toys"),
            ("value", "pos/shard-0/10", "unit_cost", "1.0000", "1.1000"),
            ("value", "pos/shard-0/5", "unit_cost", "1.0000", "9.9900"),
        ]
        assert report.late_references == {}


def waiting(lake: QueriedLake) -> None:
    """A first line, a correction and a visit of a product that is not known, among others that are; then it is."""
    line = {"transaction_id": "T20", "quantity": 1}
    lake.deliver(
        later(
            "pos",
            10,
            sale(20, **line, product_id="GHOST"),
            sale(20, **line, line_number=2),
            sale(20, **line, line_number=3),
            sale(1, product_id="GHOST", quantity=9),  # corrects T1
        )
    )
    ghost = web("e20", f"{DAY}10:02:00Z", product_id="GHOST", event_type="click", campaign_id="C2")
    lake.deliver(later("web_logs", 20, ghost))
    lake.drain(["pos", "web_logs"], [])
    lake.deliver(later("products", 3, GHOST, hours=2))
    lake.drain(["products"], [])


def test_records_that_wait_for_a_redrive_change_nothing_around_them(lake: QueriedLake) -> None:
    waiting(lake)
    report = lake.reconciled("pos", "web_logs")
    assert (found(report), report.redrivable) == ([], {"pos": 3, "web_logs": 1})
    since = lake.reconciled("pos", since=2)
    assert (found(since), since.redrivable) == ([], {"pos": 2})
    assert found(lake.reconciled("web_logs", since=2)) == []
    lines = "UPDATE {table} SET is_first_line = true WHERE transaction_id = 'T20' AND line_number = 3"
    lake.change("silver.validated_pos", lines)
    tampered = [("value", "pos/shard-0/12", "is_first_line", "false", "true")]
    assert cells(lake.reconciled("pos")) == tampered
    assert cells(lake.reconciled("pos", since=2)) == tampered


def test_a_redrive_since_then_is_proved_like_new_records(lake: QueriedLake) -> None:
    waiting(lake)
    for source in ("pos", "web_logs"):
        redrive(lake.settings, lake.contracts, source)
    whole = lake.reconciled("pos", "web_logs")
    assert (found(whole), whole.redrivable) == ([], {})
    assert found(lake.reconciled("pos", "web_logs", since=2)) == []
    lake.change("silver.validated_pos", "UPDATE {table} SET quantity = 8 WHERE transaction_id = 'T3'")
    assert cells(lake.reconciled("pos", since=2)) == [("value", "pos/shard-0/3", "quantity", "3", "8")]
