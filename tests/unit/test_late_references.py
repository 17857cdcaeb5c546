"""A reference row that comes after the facts that it governs: silver and gold are as if it had come before them."""

import json
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from lakehouse.kpi_tables import TABLES
from local.oracle.deliveries import DeliveredRecord
from runtime.tables import open_table
from streaming.layers import flow_of
from tests.unit.oracle_deliveries import web
from tests.unit.silver_lake import SilverLake

ARRIVED = datetime(2026, 1, 1, tzinfo=UTC)
Wave = tuple[str, list[dict[str, Any]]]

STORES: Wave = ("stores", [{"store_id": 1, "region": "north", "country": "GB", "valid_from": "2009-01-01T00:00Z"}])
MOVED: Wave = ("stores", [{"store_id": 1, "region": "südwest", "country": "DE", "valid_from": "2010-12-01T12:00Z"}])
PRODUCTS: Wave = (
    "products",
    [{"product_id": "A", "category": "toys", "unit_cost": 1, "valid_from": "2009-01-01T00:00Z"}],
)
DEARER: Wave = (
    "products",
    [{"product_id": "A", "category": "gifts", "unit_cost": 2, "valid_from": "2010-12-01T10:00Z"}],
)


def line(number: int, time: str) -> dict[str, Any]:
    fields = {"transaction_id": "t1", "line_number": number, "store_id": 1, "product_id": "A", "quantity": number}
    return fields | {"unit_price": "2.50", "revenue": "2.50", "timestamp": time}


TILLS: Wave = ("pos", [line(1, "2010-12-01T09:00Z"), line(2, "2010-12-01T11:00Z"), line(3, "2010-12-01T13:00Z")])
EVENTS: Wave = (
    "web_logs",
    [
        web("e1", "2010-12-01T09:00:00Z", product_id="A", event_type="view"),
        web("e2", "2010-12-01T11:00:00Z", product_id="A", event_type="purchase", order_value="9.99"),
        web("e3", "2010-12-01T11:00:00Z", event_type="view"),
    ],
)


class Lake:
    """A lake that takes in one wave of records after the other."""

    def __init__(self, root: Path) -> None:
        self.lake = SilverLake(root)
        self.flow = flow_of(self.lake.settings, self.lake.contracts)
        self.flow.ensure_silver()
        self.delivered = 0

    def deliver(self, wave: Wave) -> None:
        source, rows = wave
        self.lake.deliver(
            [
                DeliveredRecord(source, source, f"shard-{source}", f"{number:09}", ARRIVED, json.dumps(row).encode())
                for number, row in enumerate(rows, self.delivered)
            ]
        )
        self.delivered += len(rows)

    def catch_up(self) -> None:
        self.flow.follow_bronze()
        self.flow.follow_silver()

    def content(self) -> dict[str, list[dict[str, Any]]]:
        """Silver facts without the number that a record got here, and gold."""
        names = ["silver.validated_pos", "silver.sessionized_web_logs", *(f"gold.{table}" for table in TABLES)]
        found = {}
        for name in names:
            rows = open_table(self.lake.layout.table(name)).read(self.lake.contracts.table(name).column_names)
            listed = [{key: value for key, value in row.items() if key != "record_id"} for row in rows.to_pylist()]
            found[name] = sorted(listed, key=lambda row: json.dumps(row, default=str, sort_keys=True))
        return found


@pytest.fixture(scope="module")
def in_order(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    lake = Lake(tmp_path_factory.mktemp("in-order"))
    for wave in (STORES, PRODUCTS, MOVED, DEARER, TILLS, EVENTS):
        lake.deliver(wave)
    lake.catch_up()
    return lake.content()


def test_in_order_is_what_was_meant(in_order: dict[str, list[dict[str, Any]]]) -> None:
    rows = sorted(in_order["silver.validated_pos"], key=lambda row: int(row["line_number"]))
    assert [(row["region"], row["category"], row["unit_cost"]) for row in rows] == [
        ("north", "toys", 1),
        ("north", "gifts", 2),
        ("südwest", "gifts", 2),
    ]


@pytest.mark.parametrize(
    "late", [*permutations((MOVED, DEARER, TILLS, EVENTS))], ids=lambda ws: "-".join(w[0] for w in ws)
)
def test_the_order_of_arrival_does_not_show(
    late: tuple[Wave, ...], in_order: dict[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    lake = Lake(tmp_path)
    for wave in (STORES, PRODUCTS):
        lake.deliver(wave)
    lake.catch_up()
    for wave in late:
        lake.deliver(wave)
        lake.catch_up()
    assert lake.content() == in_order


def test_two_reference_tables_change_at_once(in_order: dict[str, list[dict[str, Any]]], tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for wave in (STORES, PRODUCTS, TILLS, EVENTS):
        lake.deliver(wave)
    lake.catch_up()
    for wave in (MOVED, DEARER):
        lake.deliver(wave)
    lake.catch_up()
    assert lake.content() == in_order


def test_a_new_process_goes_on_where_the_one_before_was(
    in_order: dict[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    for wave in (STORES, PRODUCTS, TILLS, EVENTS, MOVED, DEARER):
        lake = Lake(tmp_path)
        lake.delivered = 100 * len(list((tmp_path / "bronze").glob("*/_delta_log/*.json")))
        lake.deliver(wave)
        lake.catch_up()
    assert Lake(tmp_path).content() == in_order


def test_what_is_looked_up_again_without_a_difference_makes_no_commit(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for wave in (STORES, PRODUCTS, TILLS):
        lake.deliver(wave)
    lake.catch_up()
    silver = lake.lake.layout.table("silver.validated_pos")
    before = open_table(silver).version
    lake.deliver(("stores", [{"store_id": 1, "region": "east", "country": "GB", "valid_from": "2011-01-01T00:00Z"}]))
    lake.catch_up()
    assert open_table(silver).version == before


def forget_references(lake: Lake) -> None:
    """As release 0.1.0 left its tables: no commit says which reference rows were looked up."""
    for name in ("validated_pos", "sessionized_web_logs"):
        for file in (Path(lake.lake.layout.table(f"silver.{name}")) / "_delta_log").glob("*.json"):
            actions = [json.loads(each) for each in file.read_text().splitlines()]
            kept = [each for each in actions if not each.get("txn", {}).get("appId", "").startswith("silver.")]
            file.write_text("\n".join(map(json.dumps, kept)))


def test_rows_of_the_release_before_are_held_against_what_has_come_since(
    in_order: dict[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    lake = Lake(tmp_path)
    for wave in (STORES, PRODUCTS, TILLS, EVENTS):
        lake.deliver(wave)
    lake.catch_up()
    for wave in (MOVED, DEARER):
        lake.deliver(wave)
    for table in lake.flow.silver:
        if table.source.name in ("stores", "products"):
            table.follow()
    assert lake.content() != in_order
    forget_references(lake)
    Lake(tmp_path).catch_up()
    assert Lake(tmp_path).content() == in_order
