"""Each rule with the message that people read, and the records that break it."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from lakehouse.contracts import Column, Contracts, load_contracts
from lakehouse.engine.check import CHECKS, rules
from lakehouse.engine.parse import parse
from lakehouse.engine.schemas import TIMESTAMP, arrow_type, envelope_schema
from lakehouse.settings import CONTRACTS

ARRIVED = datetime(2010, 12, 1, 12, 0, tzinfo=UTC)
TIME = "must be from 2000-01-01 on, at most 24 hours after the record arrived"
GOOD: dict[str, dict[str, Any]] = {
    "pos": {
        "transaction_id": "536365",
        "line_number": 1,
        "store_id": 7,
        "product_id": "85123A",
        "quantity": 6,
        "unit_price": "2.55",
        "revenue": "15.30",
        "timestamp": "2010-12-01T08:26:00Z",
    },
    "crm": {
        "interaction_id": "i-1",
        "customer_id": "17850",
        "interaction_type": "feedback",
        "timestamp": 1291191960,
    },
    "web_logs": {"event_id": "e-1", "page": "/", "event_type": "view", "timestamp": 1291191960},
    "inventory": {
        "inventory_id": "r-1",
        "product_id": "85123A",
        "warehouse_id": 1,
        "stock_level": 5,
        "last_updated": 1291191960,
    },
    "campaigns": {"campaign_id": "winter", "name": "Winter", "channel": "email", "date": "2010-12-01", "spend": 1},
}


@pytest.fixture(scope="module")
def contracts() -> Contracts:
    return load_contracts(CONTRACTS)


def test_checks_are_listed_in_the_order_they_are_tried() -> None:
    names = ["required", "in_range", "one_of", "like_pattern", "not_too_long", "in_time"]
    assert [check.__name__ for check in CHECKS] == names


@pytest.mark.parametrize(
    ("source", "column", "expected"),
    [
        (
            "pos",
            "quantity",
            [("required", "must have a value"), ("range", "must be at least -1000000 and at most 1000000")],
        ),
        ("pos", "discount_applied", []),
        (
            "crm",
            "channel",
            [("pattern", "must match ^[a-z][a-z0-9_ -]*$"), ("length", "must have at most 64 characters")],
        ),
        ("crm", "status", [("enum", "must be one of opened, updated, resolved")]),
        ("campaigns", "date", [("required", "must have a value"), ("event_time", TIME)]),
    ],
)
def test_rules_of_a_column(contracts: Contracts, source: str, column: str, expected: list[tuple[str, str]]) -> None:
    contract = contracts.source(source)
    assert [(rule.name, rule.message) for rule in rules(contract.column(column), contract)] == expected


def column(type_name: str, **rule: Any) -> Column:
    return Column("c", "c", type_name, False, "c", "public", **rule)


@pytest.mark.parametrize(
    ("ruled", "kept", "broken"),
    [
        (
            column("string", enum=("it's", "a\\b", "x|y")),
            ["it's", "a\\b", "x|y"],
            ["its", "a\\\\b", "x", "x|y ", "IT'S"],
        ),
        (column("string", pattern="a|ab"), ["a", "ab"], ["b", "abc", "xa", "a\n", "\na"]),
        (column("string", pattern="[A-Z]{2}"), ["GB"], ["gb", "GBR", "G", "ÄÖ"]),
        (column("string", pattern=r"\d+$"), ["1", "25"], ["\u0663", "1\n"]),
        (column("string", max_length=2), ["", "é", "😀😀"], ["😀😀😀", "e\u0301x"]),
        (column("int", minimum=Decimal("1.5")), [2, 2**31 - 1], [1, 0, -(2**31)]),
        (column("int", maximum=Decimal(10**12)), [2**31 - 1], []),
        (column("bigint", minimum=Decimal("1E+3"), maximum=Decimal(2**53 + 1)), [1000, 2**53 + 1], [999, 2**53 + 2]),
        (column("decimal(38,2)", minimum=Decimal("0.001")), [Decimal("0.01"), Decimal("9" * 36)], [Decimal("-0.01")]),
        (column("decimal(38,38)", maximum=Decimal("1E+20")), [Decimal("0." + "9" * 38)], []),
        (column("decimal(18,4)", maximum=Decimal("0.1")), [Decimal("0.1000"), Decimal("-1")], [Decimal("0.1001")]),
    ],
)
def test_a_rule_is_broken_by_these_values_and_never_by_null(
    contracts: Contracts, ruled: Column, kept: list[Any], broken: list[Any]
) -> None:
    (rule,) = rules(ruled, contracts.source("pos"))
    values = pa.array([*kept, None, *broken], arrow_type(ruled.type))
    arrived_at = pa.array([ARRIVED] * len(values), TIMESTAMP)
    found = rule.broken(values, arrived_at).fill_null(False).to_pylist()
    assert found == [False] * len(kept) + [False] + [True] * len(broken)


def test_no_event_time_is_early_or_late_for_a_record_of_unknown_arrival_unless_it_is_before_2000(
    contracts: Contracts,
) -> None:
    contract = contracts.source("campaigns")
    *_, rule = rules(contract.column("date"), contract)
    values = pa.array([date(1999, 12, 31), date(2000, 1, 1), None], pa.date32())
    assert rule.broken(values, pa.array([None] * 3, TIMESTAMP)).to_pylist() == [True, None, None]


BROKEN: list[tuple[str, dict[str, Any], list[tuple[str, str, str | None, str]]]] = [
    ("pos", {}, []),
    ("pos", {"transaction_id": None}, [("required", "transaction_id", None, "must have a value")]),
    ("pos", {"transaction_id": ""}, [("required", "transaction_id", "", "must have a value")]),
    ("pos", {"quantity": " "}, [("required", "quantity", " ", "must have a value")]),
    ("pos", {"quantity": "six"}, [("type", "quantity", "six", "must be int")]),
    ("pos", {"quantity": [6]}, [("type", "quantity", "[6]", "must be int")]),
    ("pos", {"quantity": "6.0"}, []),
    ("pos", {"quantity": 0}, []),
    ("pos", {"quantity": -1_000_000}, []),
    (
        "pos",
        {"quantity": 1_000_001},
        [("range", "quantity", "1000001", "must be at least -1000000 and at most 1000000")],
    ),
    ("pos", {"unit_price": "-0.01"}, [("range", "unit_price", "-0.01", "must be at least 0")]),
    ("pos", {"unit_price": "-0.00001"}, []),
    ("pos", {"unit_price": 0}, []),
    ("pos", {"customer_id": "x" * 128}, []),
    ("pos", {"customer_id": "x" * 300}, [("length", "customer_id", "x" * 200, "must have at most 128 characters")]),
    ("pos", {"product_id": {"id": 1}}, [("type", "product_id", '{"id":1}', "must be string")]),
    ("pos", {"product_id": '{"id":1}'}, []),
    (
        "pos",
        {"product_id": ["ü", 'a"b', {"x": 1.50, "y": None, "z": [True, {}]}]},
        [("type", "product_id", r'["ü","a\"b",{"x":1.5,"y":null,"z":[true,{}]}]', "must be string")],
    ),
    ("pos", {"quantity": True, "product_id": True}, [("type", "quantity", "true", "must be int")]),
    ("pos", {"quantity": {"n": ["x" * 300]}}, [("type", "quantity", '{"n":["' + "x" * 193, "must be int")]),
    ("pos", {"timestamp": "1999-12-31T23:59:59Z"}, [("event_time", "timestamp", "1999-12-31T23:59:59Z", TIME)]),
    ("pos", {"timestamp": "2010-12-02T12:00:00Z"}, []),
    ("pos", {"timestamp": "2010-12-02T12:00:01Z"}, [("event_time", "timestamp", "2010-12-02T12:00:01Z", TIME)]),
    ("pos", {"timestamp": 1291191960123}, [("type", "timestamp", "1291191960123", "must be timestamp")]),
    (
        "pos",
        {"timestamp": None, "quantity": "x", "unit_price": -1},
        [
            ("type", "quantity", "x", "must be int"),
            ("range", "unit_price", "-1", "must be at least 0"),
            ("required", "timestamp", None, "must have a value"),
        ],
    ),
    (
        "crm",
        {"interaction_type": "praise"},
        [("enum", "interaction_type", "praise", "must be one of feedback, loyalty, complaint")],
    ),
    ("crm", {"rating": 6}, [("range", "rating", "6", "must be at least 1 and at most 5")]),
    ("crm", {"rating": 0, "status": None}, [("range", "rating", "0", "must be at least 1 and at most 5")]),
    ("crm", {"channel": "E-Mail"}, [("pattern", "channel", "E-Mail", "must match ^[a-z][a-z0-9_ -]*$")]),
    ("crm", {"channel": "email\n"}, [("pattern", "channel", "email\n", "must match ^[a-z][a-z0-9_ -]*$")]),
    ("web_logs", {"country": "uk"}, [("pattern", "country", "uk", "must match ^[A-Z]{2}$")]),
    ("web_logs", {"order_value": -1}, [("range", "order_value", "-1", "must be at least 0")]),
    ("web_logs", {"page": "/" * 4097}, [("length", "page", "/" * 200, "must have at most 4096 characters")]),
    ("inventory", {"stock_level": -1}, [("range", "stock_level", "-1", "must be at least 0")]),
    ("campaigns", {"date": "1999-12-31"}, [("event_time", "date", "1999-12-31", TIME)]),
    ("campaigns", {"date": "2010-12-02"}, []),
    ("campaigns", {"date": "2010-12-03"}, [("event_time", "date", "2010-12-03", TIME)]),
    ("campaigns", {"date": "2010-12-01T00:00"}, [("type", "date", "2010-12-01T00:00", "must be date")]),
    ("campaigns", {"spend": -1}, [("range", "spend", "-1", "must be at least 0")]),
]


def test_each_broken_rule_is_named_with_field_value_and_message(contracts: Contracts) -> None:
    schema = envelope_schema(contracts)
    for source in GOOD:
        cases = [(changes, errors) for name, changes, errors in BROKEN if name == source]
        rows = [
            (f"s/0/{n}", json.dumps(GOOD[source] | changes), "utf8", ARRIVED, ARRIVED, None, ARRIVED.date())
            for n, (changes, _) in enumerate(cases)
        ]
        bronze = pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)
        parsed = parse(bronze, contracts.source(source)).to_pylist()
        found = {row["record_id"]: [tuple(each.values()) for each in row["errors"]] for row in parsed}
        assert found == {f"s/0/{n}": errors for n, (_, errors) in enumerate(cases)}
