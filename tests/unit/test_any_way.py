"""The whole lake is a function of its records: whatever the order, the batches, the moments at which gold looks, and
reference data that comes after the facts, silver, rejected and gold are the oracle's, row for row.
"""

import json
from collections.abc import Callable, Iterable
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from lakehouse.kpi_tables import TABLES
from lakehouse.kpis import KPIS
from local.demo.proof import lake_rows
from local.oracle.comparison import Comparison, compare
from local.oracle.deliveries import DeliveredRecord
from local.oracle.expectation import expect
from local.sql import Lake
from streaming.gold import GoldTable
from streaming.redrive import redrive
from tests.unit.silver_lake import REFERENCE, SilverLake, copied, with_references
from tests.unit.test_silver_batches import ARRIVED, MAKE, START, deliveries

RECORDS = 40
LAKES = 4
EVENTS = ("impression", "click", "view", "scroll", "add_to_cart", "purchase", "hover")
KINDS = ("complaint", "complaint", "feedback", "loyalty", "praise")


def spend(random: Random) -> dict[str, Any]:
    return {
        "campaign_id": random.choice(["c1", "c2"]),
        "name": random.choice(["Spring", "Autumn"]),
        "channel": random.choice(["search", "social", "tv"]),
        "date": (START + timedelta(days=random.randrange(3))).date().isoformat(),
        "spend": random.choice(["10.00", "0.25", "-1"]),
    }


def purchase(random: Random) -> dict[str, Any]:
    return {"event_type": random.choice(EVENTS), "order_value": random.choice([None, "12.50", "7.25"])}


# What nobody knows when the facts come, and everybody afterwards.
LATE = {
    "products": {"product_id": "GHOST", "category": "masks", "unit_cost": 3, "valid_from": "2009-01-01T00:00Z"},
    "stores": {"store_id": 99, "region": "west", "country": "IE", "valid_from": "2009-01-01T00:00Z"},
    "warehouses": {"warehouse_id": 6, "region": "west", "country": "IE", "valid_from": "2009-01-01T00:00Z"},
}
FACTS: dict[str, Callable[[Random], dict[str, Any]]] = {
    **MAKE,
    "web_logs": lambda random: MAKE["web_logs"](random) | purchase(random),
    "crm": lambda random: MAKE["crm"](random) | {"interaction_type": random.choice(KINDS)},
    # One product in one warehouse, or its stock hardly ever falls to zero.
    "inventory": lambda random: (
        MAKE["inventory"](random) | {"product_id": "A", "warehouse_id": 5, "stock_level": random.choice([0, 5])}
        if random.random() < 0.7
        else MAKE["inventory"](random)
    ),
    "campaigns": spend,
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> SilverLake:
    """A lake that knows the first reference data, with every table that gold reads."""
    lake = with_references(tmp_path_factory.mktemp("base"))
    for source in FACTS:
        lake.table(source)
    return lake


def test_silver_rejected_and_gold_are_the_oracles_whatever_way_the_records_took(
    base: SilverLake, tmp_path_factory: pytest.TempPathFactory
) -> None:
    seen: set[str] = set()
    for seed in range(LAKES):
        lake = copied(base, tmp_path_factory.mktemp("lake"))
        found, expected = compared(lake, taken_in(lake, Random(seed)))
        assert (seed, [str(each) for each in found.differences]) == (seed, [])
        assert all(expected.silver[table] for table in expected.silver), "a table without rows would prove nothing"
        seen |= {key.kpi for key in expected.gold}
    assert seen == {kpi.name for kpi in KPIS}, "every KPI has rows"


def taken_in(lake: SilverLake, random: Random) -> list[DeliveredRecord]:
    """Fills the lake in one of the many ways there are; gives all that was delivered to it."""
    facts = {source: deliveries(source, random, make, RECORDS) for source, make in FACTS.items()}
    late = [late_reference(source, fields) for source, fields in LATE.items()]
    batches = [batch for source in facts for batch in cut(random, facts[source])]
    random.shuffle(batches)
    looks = random.sample(range(1, len(batches)), 2)
    gold = [GoldTable(lake.settings, lake.contracts, name) for name in TABLES]

    for number, batch in enumerate(batches, 1):
        lake.process(batch, number)
        if number in looks:
            look(gold)
    for each in late:
        lake.process([each], 1)
    for source in facts:
        redrive(lake.settings, lake.contracts, source)
    look(gold)
    return [*REFERENCE, *late, *(each for source in facts for each in facts[source])]


def cut(random: Random, delivered: list[DeliveredRecord]) -> list[list[DeliveredRecord]]:
    """The records of one source in any order, in two batches."""
    shuffled = random.sample(delivered, len(delivered))
    middle = random.randrange(1, len(shuffled))
    return [shuffled[:middle], shuffled[middle:]]


def late_reference(source: str, fields: dict[str, Any]) -> DeliveredRecord:
    return DeliveredRecord(
        source, source, "shard-0", "late", ARRIVED + timedelta(minutes=1), json.dumps(fields).encode()
    )


def look(tables: Iterable[GoldTable]) -> None:
    """Brings gold up to what silver holds."""
    for table in tables:
        table.follow()


def compared(lake: SilverLake, delivered: list[DeliveredRecord]) -> tuple[Comparison, Any]:
    """The lake against the oracle, with every delivered record counted as in bronze; and what the oracle expects."""
    expected = expect([], delivered)
    with Lake(str(lake.settings.root)) as opened:
        rows = lake_rows(opened)
    bronze: dict[str, list[dict[str, Any]]] = {}
    for each in delivered:
        bronze.setdefault(each.source, []).append({"record_id": each.record_id})
    return compare(type(rows)(bronze, rows.silver, rows.rejected, rows.gold), expected), expected
