"""Each rule with the message that people read, and the records that break it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pyspark.sql import SparkSession

from lakehouse.contracts import Column, Contracts, load_contracts
from lakehouse.parsing import parse
from lakehouse.quality import CHECKS, Rule, literal, rules
from lakehouse.schemas import envelope_type
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
            [
                Rule("required", "must have a value", "`quantity` is null"),
                Rule(
                    "range",
                    "must be at least -1000000 and at most 1000000",
                    "`quantity` < -1000000 or `quantity` > 1000000",
                ),
            ],
        ),
        ("pos", "discount_applied", []),
        (
            "crm",
            "channel",
            [
                Rule(
                    "pattern",
                    "must match ^[a-z][a-z0-9_ -]*$",
                    r"not rlike(`channel`, '\\A(?:^[a-z][a-z0-9_ -]*$)\\z')",
                ),
                Rule("length", "must have at most 64 characters", "char_length(`channel`) > 64"),
            ],
        ),
        (
            "crm",
            "status",
            [
                Rule(
                    "enum",
                    "must be one of opened, updated, resolved",
                    "`status` not in ('opened', 'updated', 'resolved')",
                )
            ],
        ),
        (
            "campaigns",
            "date",
            [
                Rule("required", "must have a value", "`date` is null"),
                Rule("event_time", TIME, "`date` < date '2000-01-01' or `date` > arrived_at + interval 24 hours"),
            ],
        ),
    ],
)
def test_rules_of_a_column(contracts: Contracts, source: str, column: str, expected: list[Rule]) -> None:
    contract = contracts.source(source)
    assert list(rules(contract.column(column), contract)) == expected


def test_a_quote_in_a_valid_value_stays_a_text(contracts: Contracts) -> None:
    column = Column("c", "c", "string", False, "c", "public", enum=("it's", "a\\b"))
    (rule,) = rules(column, contracts.source("pos"))
    assert rule.broken == r"`c` not in ('it\'s', 'a\\b')"
    assert literal("x' or 1=1 --") == r"'x\' or 1=1 --'"


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


def test_each_broken_rule_is_named_with_field_value_and_message(spark: SparkSession, contracts: Contracts) -> None:
    for source in GOOD:
        cases = [(changes, errors) for name, changes, errors in BROKEN if name == source]
        rows = [
            (f"s/0/{n}", json.dumps(GOOD[source] | changes), "utf8", ARRIVED, ARRIVED, None, ARRIVED.date())
            for n, (changes, _) in enumerate(cases)
        ]
        parsed = parse(spark.createDataFrame(rows, envelope_type(contracts)), contracts.source(source))
        found = {row["record_id"]: [tuple(each) for each in row["errors"]] for row in parsed.collect()}
        assert found == {f"s/0/{n}": errors for n, (_, errors) in enumerate(cases)}
