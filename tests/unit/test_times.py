"""Which times a record may bring, and the month it then lies in: each case by hand, for the lake and for the oracle."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lakehouse.contracts import Contracts, load_contracts
from lakehouse.engine.enrich import compute
from lakehouse.engine.parse import parse
from lakehouse.engine.schemas import envelope_schema
from lakehouse.settings import CONTRACTS
from local.oracle.checking import arrival_of_record, checked
from local.oracle.deliveries import DeliveredRecord
from local.oracle.rules import SOURCES

ARRIVED = datetime(2024, 3, 31, 12, tzinfo=UTC)

# The text as JSON, and the time in UTC that it is.
ACCEPTED: tuple[tuple[Any, str], ...] = (
    # Seconds since 1970, as a number or as text, to the microsecond; a value beyond that is rounded.
    (1711886400, "2024-03-31T12:00:00"),
    ("1711886400", "2024-03-31T12:00:00"),
    (1711886400.5, "2024-03-31T12:00:00.500000"),
    ("1711886400.1234565", "2024-03-31T12:00:00.123457"),
    ("1.7118864e9", "2024-03-31T12:00:00"),
    # ISO-8601: with a zone, as far as zones go, and without one, which is UTC.
    ("2024-03-31T12:00:00Z", "2024-03-31T12:00:00"),
    ("2024-03-31T12:00", "2024-03-31T12:00:00"),
    ("2024-03-31 12:00:00.000001", "2024-03-31T12:00:00.000001"),
    ("2024-03-31T14:00:00+02:00", "2024-03-31T12:00:00"),
    ("2024-03-31T17:45+05:45", "2024-03-31T12:00:00"),
    ("2024-04-01T06:00:00+18:00", "2024-03-31T12:00:00"),
    ("2024-03-30T18:00:00-18:00", "2024-03-31T12:00:00"),
    # Summer time began in Berlin at 02:00 and ended at 03:00: the skipped hour exists in UTC, and offsets tell the two
    # hours apart that a clock on the wall shows twice.
    ("2024-03-31T02:30:00", "2024-03-31T02:30:00"),
    ("2024-03-31T01:59:59+01:00", "2024-03-31T00:59:59"),
    ("2024-03-31T03:00:00+02:00", "2024-03-31T01:00:00"),
    ("2023-10-29T02:30:00+02:00", "2023-10-29T00:30:00"),
    ("2023-10-29T02:30:00+01:00", "2023-10-29T01:30:00"),
    # The leap day, and the last and first moments of months and years; a zone may move a time into another month.
    ("2024-02-29T23:59:59.999999Z", "2024-02-29T23:59:59.999999"),
    ("2024-03-01T00:00:00Z", "2024-03-01T00:00:00"),
    ("2024-03-01T00:30:00+01:00", "2024-02-29T23:30:00"),
    ("2023-12-31T23:30:00-01:00", "2024-01-01T00:30:00"),
    # A clock that is ahead by up to a day; the first moment that counts.
    ("2024-04-01T12:00:00Z", "2024-04-01T12:00:00"),
    ("2000-01-01T00:00:00Z", "2000-01-01T00:00:00"),
)

# The text as JSON, and the rule that it breaks.
REFUSED: tuple[tuple[Any, str], ...] = (
    # Milliseconds and microseconds since 1970 are not guessed at.
    (1711886400000, "type"),
    ("1711886400000", "type"),
    (1711886400000000, "type"),
    (100000000000, "type"),
    # Days, hours and zones that do not exist.
    ("2023-02-29T12:00:00Z", "type"),
    ("2100-02-29T12:00:00Z", "type"),
    ("2024-02-30T12:00:00Z", "type"),
    ("2024-03-31T24:00:00Z", "type"),
    ("2016-12-31T23:59:60Z", "type"),
    ("2024-03-31T12:00:00+18:01", "type"),
    ("2024-03-31T12:00:00+02", "type"),
    ("2024-03-31T12:00:00 Europe/Berlin", "type"),
    ("2024-03-31T12:00:00 CEST", "type"),
    # Other ways of writing.
    ("2024-03-31", "type"),
    ("20240331T120000Z", "type"),
    ("31.03.2024 12:00", "type"),
    ("2024-03-31T12:00:00,5Z", "type"),
    ("2024-03-31T12:00:00.1234567Z", "type"),
    ("2024-03-31t12:00:00z", "type"),
    ("NaN", "type"),
    ("now", "type"),
    (True, "type"),
    # More than a day ahead of its arrival, and before there was anything to sell.
    ("2024-04-01T12:00:00.000001Z", "event_time"),
    (99999999999, "event_time"),
    (0, "event_time"),
    ("1999-12-31T23:59:59.999999Z", "event_time"),
    (None, "required"),
    ("", "required"),
)


@pytest.fixture(scope="module")
def contracts() -> Contracts:
    return load_contracts(CONTRACTS)


def test_every_accepted_time_is_this_moment_in_this_month(contracts: Contracts) -> None:
    times = [time for time, _ in ACCEPTED]
    rows = _parsed(contracts, "crm", [_contact(time) for time in times])
    found = [(row["micros"], row["month"], [each["rule"] for each in row["errors"]]) for row in rows]
    wanted: list[tuple[int, str, list[str]]] = [(_micros(moment), moment[:7], []) for _, moment in ACCEPTED]
    for time, is_found, is_wanted in zip(times, found, wanted, strict=True):
        assert (time, is_found) == (time, is_wanted)


def test_every_other_time_is_refused_with_the_rule(contracts: Contracts) -> None:
    rows = _parsed(contracts, "crm", [_contact(time) for time, _ in REFUSED])
    for (time, rule), row in zip(REFUSED, rows, strict=True):
        errors = [(each["rule"], each["column"]) for each in row["errors"]]
        assert (time, errors) == (time, [(rule, "timestamp")])


def test_the_oracle_judges_the_same_times_alike() -> None:
    for time, moment in ACCEPTED:
        [judged] = checked([arrival_of_record(_delivered("crm", _contact(time)))], SOURCES["crm"])
        assert (time, judged.rule, judged.values.get("event_time")) == (
            time,
            None,
            datetime.fromisoformat(f"{moment}+00:00"),
        )
    for time, rule in REFUSED:
        [judged] = checked([arrival_of_record(_delivered("crm", _contact(time)))], SOURCES["crm"])
        assert (time, judged.rule) == (time, rule)


REFERENCES: dict[str, dict[str, Any]] = {
    "stores": {"store_id": 1, "region": "north", "country": "GB"},
    "warehouses": {"warehouse_id": 1, "region": "north", "country": "GB"},
    "products": {"product_id": "A", "category": "toys", "unit_cost": "1.10"},
}


@pytest.mark.parametrize("source", REFERENCES)
def test_reference_data_may_begin_to_hold_up_to_two_years_from_now(contracts: Contracts, source: str) -> None:
    last = ARRIVED + timedelta(days=732)
    times = {
        "2024-05-01T00:00:00Z": None,
        last.isoformat(): None,
        (last + timedelta(microseconds=1)).isoformat(): "event_time",
        "2204-05-01T00:00:00Z": "event_time",
        "1999-12-31T23:59:59Z": "event_time",
    }
    payloads = [REFERENCES[source] | {"valid_from": time} for time in times]
    rows = _parsed(contracts, source, payloads)
    assert [row["errors"][0]["rule"] if row["errors"] else None for row in rows] == list(times.values())
    assert rows[-1]["errors"][0]["message"] == "must be from 2000-01-01 on, at most 732 days after the record arrived"
    judged = checked([arrival_of_record(_delivered(source, payload)) for payload in payloads], SOURCES[source])
    assert [each.rule for each in judged] == list(times.values())


def _contact(time: Any) -> dict[str, Any]:
    return {"interaction_id": "i", "customer_id": "c", "interaction_type": "loyalty", "timestamp": time}


def _micros(moment: str) -> int:
    return (datetime.fromisoformat(f"{moment}+00:00") - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _delivered(source: str, payload: dict[str, Any]) -> DeliveredRecord:
    return DeliveredRecord(source, source, "0", "1", ARRIVED, json.dumps(payload).encode())


def _parsed(contracts: Contracts, source: str, payloads: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The parsed rows in order, with the event time in microseconds, and the month for sources that have one."""
    schema = envelope_schema(contracts)
    rows = [
        (f"s/0/{number:04}", json.dumps(payload), "utf8", ARRIVED, ARRIVED, None, ARRIVED.date())
        for number, payload in enumerate(payloads)
    ]
    bronze = pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)
    contract, table = contracts.source(source), contracts.silver_of(source)
    parsed = parse(bronze, contract)
    if source not in contracts.references:
        parsed = compute(parsed, table, duckdb.connect())
    return parsed.append_column("micros", pc.cast(parsed[str(table.event_time)], pa.int64())).to_pylist()
