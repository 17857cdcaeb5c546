"""Each KPI against numbers worked out by hand from a few silver rows, among them refunds, nulls and midnight."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from lakehouse.contracts import Contracts, load_contracts
from lakehouse.engine import gold
from lakehouse.engine.schemas import arrow_schema
from lakehouse.kpi_model import Contribution
from lakehouse.kpi_tables import TABLES, kpis_of, sources_of
from lakehouse.kpis import KPIS
from lakehouse.settings import CONTRACTS

D1, D2 = date(2026, 2, 28), date(2026, 3, 1)


def at(day: date, time: str) -> datetime:
    return datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=UTC)


def line(
    when: datetime, store: int, region: str, category: str, quantity: int, price: str, **more: Any
) -> dict[str, Any]:
    return {
        "event_time": when,
        "store_id": store,
        "region": region,
        "category": category,
        "quantity": quantity,
        "unit_price": Decimal(price),
        "type": "sale" if quantity > 0 else "refund",
        "is_first_line": True,
    } | more


def event(when: datetime, kind: str, region: str, position: int, seconds: str | None, **more: Any) -> dict[str, Any]:
    row = {"event_time": when, "session_started_at": when, "event_type": kind, "region": region, "position": position}
    return row | {"seconds_since_previous": None if seconds is None else Decimal(seconds)} | more


def reading(when: datetime, warehouse: int, category: str, level: int, *previous: int, **more: Any) -> dict[str, Any]:
    row = {"event_time": when, "warehouse_id": warehouse, "type": category, "stock_level": level}
    row |= {"is_restock": False, "is_stockout": False}
    return row | dict(zip(("previous_level", "seconds_since_previous"), previous, strict=False)) | more


def contact(
    day: date, kind: str, channel: str | None, rating: int | None = None, seconds: str | None = None
) -> dict[str, Any]:
    row = {"event_time": at(day, "09:00:00"), "interaction_type": kind, "channel": channel, "rating": rating}
    return row | {"resolution_seconds": None if seconds is None else Decimal(seconds)}


LATE = at(D1, "23:50:00")
TOY, FOOD = {"product_id": "X", "category": "toys"}, {"product_id": "Y", "category": "food"}
SILVER = {
    "silver.validated_pos": [
        line(at(D1, "00:00:00"), 1, "uk", "toys", 3, "2.5", discount_applied=Decimal("0.5")),
        line(at(D1, "00:00:00"), 1, "uk", "food", 1, "10", is_first_line=False),
        line(at(D1, "23:59:59.999999"), 2, "europe", "toys", 2, "0.3333", discount_applied=Decimal("0.0333")),
        line(at(D1, "12:00:00"), 1, "uk", "toys", -1, "2.5"),
        line(at(D2, "00:00:00"), 1, "uk", "toys", 4, "1.25"),
        line(at(D2, "08:00:00"), 1, "uk", "food", 1, "0.0001"),
    ],
    "silver.sessionized_web_logs": [
        event(LATE, "impression", "uk", 1, None, campaign_id="C1", last_touch_campaign="C1"),
        event(at(D1, "23:51:00"), "click", "uk", 2, "60.123456", campaign_id="C1", last_touch_campaign="C1")
        | {"session_started_at": LATE},
        event(at(D2, "00:01:00"), "view", "uk", 3, "600", last_touch_campaign="C1", **TOY)
        | {"session_started_at": LATE},
        event(at(D2, "00:01:30"), "purchase", "uk", 4, "30.5", last_touch_campaign="C1", **TOY)
        | {"session_started_at": LATE, "order_value": Decimal("99.99")},
        event(at(D2, "10:00:00"), "view", "europe", 1, None, **TOY),
        event(at(D2, "10:00:02"), "view", "europe", 2, "2", **FOOD),
        event(at(D2, "11:00:00"), "view", "uk", 1, None),
        event(at(D2, "11:00:10"), "add_to_cart", "uk", 2, "10", **TOY),
        event(at(D2, "11:00:15"), "purchase", "uk", 3, "5", **TOY),
        event(at(D2, "12:00:00"), "scroll", "uk", 1, None, campaign_id="C2", last_touch_campaign="C2"),
        event(at(D2, "12:00:01"), "impression", "uk", 2, "1.00005", campaign_id="C2", last_touch_campaign="C2"),
        event(at(D2, "13:00:00"), "view", "overseas", 1, None),
    ],
    "silver.campaign_spend": [
        {"campaign_id": "C1", "date": D1, "spend": Decimal(20)},
        {"campaign_id": "C1", "date": D2, "spend": Decimal(30)},
        {"campaign_id": "C2", "date": D2, "spend": Decimal(0)},
    ],
    "silver.customer_interactions": [
        contact(D1, "feedback", "mail", rating=5),
        contact(D1, "feedback", "mail", rating=4),
        contact(D1, "complaint", "mail", rating=4),
        contact(D1, "complaint", "phone", seconds="100.123456"),
        contact(D1, "loyalty", None),
        *(contact(D2, "complaint", "phone", seconds=each) for each in ("40", "10", "30", "20")),
        contact(D2, "feedback", "phone"),
    ],
    "silver.enriched_inventory": [
        reading(at(D1, "06:00:00"), 1, "toys", 5),
        reading(at(D1, "07:00:00"), 1, "toys", 0, 5, 3600, is_stockout=True),
        reading(at(D2, "09:00:00"), 1, "toys", 7, 0, 7200, is_restock=True),
        reading(at(D1, "06:00:01"), 2, "food", 3, 4, 1),
        reading(at(D1, "06:00:02"), 2, "food", 3, 5, 1),
    ],
}

# Per KPI: day, dimensions that are not null, numerator, denominator, value, contributions.
EXPECTED: dict[str, list[tuple[date, dict[str, object], str, str, str | None, int]]] = {
    "revenue_by_store": [
        (D1, {"store_id": 1}, "17.5", "1", "17.5", 2),
        (D1, {"store_id": 2}, "0.6666", "1", "0.6666", 1),
        (D2, {"store_id": 1}, "5.0001", "1", "5.0001", 2),
    ],
    "revenue_by_region": [
        (D1, {"region": "uk"}, "17.5", "1", "17.5", 2),
        (D1, {"region": "europe"}, "0.6666", "1", "0.6666", 1),
        (D2, {"region": "uk"}, "5.0001", "1", "5.0001", 2),
    ],
    "units_sold": [
        (D1, {"category": "toys"}, "5", "1", "5", 2),
        (D1, {"category": "food"}, "1", "1", "1", 1),
        (D2, {"category": "toys"}, "4", "1", "4", 1),
        (D2, {"category": "food"}, "1", "1", "1", 1),
    ],
    "average_basket": [
        (D1, {"store_id": 1}, "17.5", "1", "17.5", 2),
        (D1, {"store_id": 2}, "0.6666", "1", "0.6666", 1),
        (D2, {"store_id": 1}, "5.0001", "2", "2.50005", 2),
    ],
    "product_conversion_rate": [
        (D2, {"product_id": "X", "category": "toys"}, "2", "2", "1", 4),
        (D2, {"product_id": "Y", "category": "food"}, "0", "1", "0", 1),
    ],
    "daily_revenue": [(D1, {}, "18.1666", "1", "18.1666", 3), (D2, {}, "5.0001", "1", "5.0001", 2)],
    "refunds": [(D1, {}, "2.5", "1", "2.5", 1)],
    "discounts": [(D1, {}, "0.5333", "1", "0.5333", 4), (D2, {}, "0", "1", "0", 2)],
    "net_sales": [(D1, {}, "15.1333", "1", "15.1333", 4), (D2, {}, "5.0001", "1", "5.0001", 2)],
    "click_through_rate": [
        (D1, {"campaign_id": "C1"}, "1", "1", "1", 2),
        (D2, {"campaign_id": "C2"}, "0", "1", "0", 1),
    ],
    "campaign_roi": [
        (D1, {"campaign_id": "C1"}, "-20", "20", "-1", 1),
        (D2, {"campaign_id": "C1"}, "69.99", "30", "2.333", 2),
        (D2, {"campaign_id": "C2"}, "0", "0", None, 1),
    ],
    "funnel_stage": [
        (D1, {"stage": "impression"}, "1", "1", "1", 1),
        (D1, {"stage": "click"}, "1", "1", "1", 1),
        (D2, {"stage": "impression"}, "1", "1", "1", 1),
        (D2, {"stage": "view"}, "5", "1", "5", 5),
        (D2, {"stage": "cart"}, "1", "1", "1", 1),
        (D2, {"stage": "purchase"}, "2", "1", "2", 2),
    ],
    "session_duration": [
        (D1, {"region": "uk"}, "690.6235", "1", "690.6235", 4),
        (D2, {"region": "europe"}, "2", "1", "2", 2),
        (D2, {"region": "uk"}, "16.0001", "2", "8.00005", 5),
        (D2, {"region": "overseas"}, "0", "1", "0", 1),
    ],
    "bounce_rate": [
        (D1, {"region": "uk"}, "0", "1", "0", 2),
        (D2, {"region": "europe"}, "0", "1", "0", 2),
        (D2, {"region": "uk"}, "0", "2", "0", 4),
        (D2, {"region": "overseas"}, "1", "1", "1", 1),
    ],
    "engagement": [
        (D1, {"region": "uk"}, "2", "1", "2", 4),
        (D2, {"region": "europe"}, "0", "1", "0", 2),
        (D2, {"region": "uk"}, "3", "2", "1.5", 5),
        (D2, {"region": "overseas"}, "0", "1", "0", 1),
    ],
    "feedback_score": [(D1, {"channel": "mail"}, "13", "3", "4.3333333333", 3)],
    "interaction_volume": [
        (D1, {"interaction_type": "feedback", "channel": "mail"}, "2", "1", "2", 2),
        (D1, {"interaction_type": "complaint", "channel": "mail"}, "1", "1", "1", 1),
        (D1, {"interaction_type": "complaint", "channel": "phone"}, "1", "1", "1", 1),
        (D1, {"interaction_type": "loyalty"}, "1", "1", "1", 1),
        (D2, {"interaction_type": "complaint", "channel": "phone"}, "4", "1", "4", 4),
        (D2, {"interaction_type": "feedback", "channel": "phone"}, "1", "1", "1", 1),
    ],
    "complaint_share": [
        (D1, {"channel": "mail"}, "1", "3", "0.3333333333", 3),
        (D1, {"channel": "phone"}, "1", "1", "1", 1),
        (D1, {}, "0", "1", "0", 1),
        (D2, {"channel": "phone"}, "4", "5", "0.8", 5),
    ],
    "resolution_time": [
        (D1, {"interaction_type": "complaint", "statistic": "mean"}, "100.1235", "1", "100.1235", 1),
        (D1, {"interaction_type": "complaint", "statistic": "p50"}, "100.1235", "1", "100.1235", 1),
        (D1, {"interaction_type": "complaint", "statistic": "p90"}, "100.1235", "1", "100.1235", 1),
        (D2, {"interaction_type": "complaint", "statistic": "mean"}, "100", "4", "25", 4),
        (D2, {"interaction_type": "complaint", "statistic": "p50"}, "20", "1", "20", 4),
        (D2, {"interaction_type": "complaint", "statistic": "p90"}, "40", "1", "40", 4),
    ],
    "loyalty_activity": [(D1, {}, "1", "1", "1", 1)],
    "stock_availability": [
        (D1, {"warehouse_id": 1}, "1", "2", "0.5", 2),
        (D1, {"warehouse_id": 2}, "2", "2", "1", 2),
        (D2, {"warehouse_id": 1}, "1", "1", "1", 1),
    ],
    "stockouts": [(D1, {"warehouse_id": 1}, "1", "1", "1", 1)],
    "restocks": [(D2, {"warehouse_id": 1}, "1", "1", "1", 1)],
    # Stock days: 5 * 3600 / 86400 = 0.2083; 4 / 86400 and 5 / 86400 round to 0.0000 and 0.0001 each.
    "inventory_turnover": [
        (D1, {"category": "toys"}, "5", "0.2083", "24.0038406145", 3),
        (D1, {"category": "food"}, "1", "0.0001", "10000", 3),
        (D2, {"category": "toys"}, "4", "0", None, 2),
        (D2, {"category": "food"}, "1", "0", None, 1),
    ],
}


@pytest.fixture(scope="module")
def contracts() -> Contracts:
    return load_contracts(CONTRACTS)


@pytest.fixture(scope="module")
def rows(contracts: Contracts) -> dict[str, list[dict[str, Any]]]:
    """The rows of each KPI, computed from SILVER."""
    silver = {
        source: pa.Table.from_pylist(rows, arrow_schema(contracts.table(source))) for source, rows in SILVER.items()
    }
    found: dict[str, list[dict[str, Any]]] = {kpi.name: [] for kpi in KPIS}
    for table in TABLES:
        read = {source: silver[source] for source in sources_of(table)}
        computed = gold.recompute(contracts[table], read, duckdb.connect())
        assert computed.column_names == list(contracts[table].column_names)
        for row in computed.to_pylist():
            found[row["kpi_name"]].append(row)
    return found


@pytest.mark.parametrize("kpi", KPIS, ids=lambda kpi: kpi.name)
def test_kpi_has_the_numbers_worked_out_by_hand(kpi: Any, rows: dict[str, list[dict[str, Any]]]) -> None:
    def exactly(number: Decimal | None) -> str | None:
        return None if number is None else format(number, "f")

    found = [
        tuple(exactly(value) if isinstance(value, Decimal) else value for value in row.values())
        for row in rows[kpi.name]
    ]
    columns = list(rows[kpi.name][0])
    expected = []
    for day, dimensions, numerator, denominator, value, contributions in EXPECTED[kpi.name]:
        row = dict.fromkeys(columns, None) | dimensions | {"kpi_name": kpi.name, "period_start": day}
        row |= {"month": f"{day:%Y-%m}", "contributions": contributions}
        row |= {"numerator": f"{Decimal(numerator):.4f}", "denominator": f"{Decimal(denominator):.4f}"}
        row |= {"value": None if value is None else f"{Decimal(value):.10f}"}
        expected.append(tuple(row.values()))
    assert sorted(found, key=str) == sorted(expected, key=str)


def test_the_contracts_name_exactly_the_declared_kpis(contracts: Contracts) -> None:
    declared = {table: tuple(kpi.name for kpi in kpis_of(table)) for table in TABLES}
    assert declared == {
        name: contracts[name].column("kpi_name").enum for name in contracts if contracts[name].kind == "gold"
    }


def test_dimensions_are_columns_of_the_gold_contract(contracts: Contracts) -> None:
    used = {
        (table, name)
        for table in TABLES
        for kpi in kpis_of(table)
        for each in kpi.contributions
        for name in each.dimensions
    }
    assert {(table, name) for table, name in used if name not in contracts[table].identity} == set()


def test_a_kpi_is_either_a_sum_or_a_ratio_throughout() -> None:
    """A key that mixes both would have a denominator of 1 or not, depending on which rows came."""
    kinds = {(kpi.name, each.dimensions.get("statistic")): set[bool]() for kpi in KPIS for each in kpi.contributions}
    for kpi in KPIS:
        for each in kpi.contributions:
            kinds[kpi.name, each.dimensions.get("statistic")].add(each.denominator is None)
    assert {name for name, kind in kinds.items() if len(kind) > 1} == set()


@pytest.mark.parametrize("percentile", [0, 101])
def test_a_percentile_outside_1_to_100_is_refused(percentile: int) -> None:
    with pytest.raises(ValueError, match="between 1 and 100"):
        Contribution("silver.customer_interactions", "rating", percentile=percentile)
