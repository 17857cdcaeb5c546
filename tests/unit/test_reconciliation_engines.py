"""Two implementations of the silver rules, held against each other without a lake: `lakehouse/engine` in Arrow, and
`batch/reconciliation/recomputed` in Spark. What they agree on is compared with the oracle elsewhere.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from batch.reconciliation.cached import cached
from batch.reconciliation.recomputed.enrich import enrich, versions_of
from batch.reconciliation.recomputed.parsing import parse
from batch.reconciliation.recomputed.silver import silver_after, silver_at_once
from batch.reconciliation.spark_schemas import envelope_type, struct_type
from lakehouse.contracts import Contracts, load_contracts
from lakehouse.engine.batch import Outcome, settle_batch
from lakehouse.engine.contest import keys
from lakehouse.engine.enrich import ReferenceRows
from lakehouse.engine.neighbours import Neighbours, Span, read_neighbours
from lakehouse.engine.parse import parse as parse_in_arrow
from lakehouse.engine.recent import columns_before
from lakehouse.engine.schemas import arrow_schema, envelope_schema
from lakehouse.settings import CONTRACTS
from tests.unit import test_parsing as hostile

FACTS = ("pos", "inventory", "web_logs", "crm", "campaigns")
CASES, MOST_RECORDS = 60, 9
MOST_SHOWN = 3
START = datetime(2010, 12, 31, 10, tzinfo=UTC)
ARRIVED = datetime(2026, 1, 1, tzinfo=UTC)
Rows = list[dict[str, Any]]

few = settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@cache
def contracts() -> Contracts:
    return load_contracts(CONTRACTS)


# --- each payload gives the same values and breaks the same rules ---


@pytest.mark.parametrize("source", hostile.RECORDS)
def test_any_payload_is_parsed_alike(spark: SparkSession, source: str) -> None:
    fields = hostile.RECORDS[source]
    every = [hostile.record(source, **{field: scalar}) for field in fields for scalar in hostile.SCALARS[::3]]
    every += [frame.replace("%", hostile.record(source)) for frame in hostile.FRAMES]

    @few
    @given(st.lists(hostile.payloads(source), min_size=200, max_size=200))
    def parsed_alike(payloads: list[str]) -> None:
        assert_parsed_alike(spark, source, payloads)

    assert_parsed_alike(spark, source, every)
    parsed_alike()


@pytest.mark.parametrize("encoding", ["base64", "unreadable"])
def test_what_gives_no_fields_is_parsed_alike(spark: SparkSession, encoding: str) -> None:
    assert_parsed_alike(spark, "pos", ["{}", "/w==", '{"file":"a.csv","error":"ends early"}'], encoding)


def assert_parsed_alike(spark: SparkSession, source: str, payloads: Sequence[str], encoding: str = "utf8") -> None:
    contract, bronze = contracts().source(source), hostile.bronze(contracts(), payloads, encoding)
    names = ["record_id", *contract.column_names]
    ours = parse_in_arrow(bronze, contract).select([*names, "errors"])
    theirs = parse(spark.createDataFrame(bronze, envelope_type(contracts())), contract)
    found = {row["record_id"]: row for row in rows_of(theirs.select(*names, "errors"))}
    for payload, row in zip(payloads, plain_rows(ours), strict=True):
        expected = row | {"errors": [without_text(each) for each in row["errors"]]}
        assert differing(expected, found[row["record_id"]]) == {}, payload[:300]


# --- any records give the same silver rows, at once and as a change ---


def at(hours: float) -> str:
    return (START + timedelta(hours=hours)).isoformat()


def fields_of(source: str, case: int) -> dict[str, Sequence[Any]]:
    """The values that each field may have; whatever makes two records meet is the case's own."""

    def mine(*values: str | None) -> list[str | None]:
        return [value and f"{case}-{value}" for value in values]

    def times(*hours: float) -> list[str]:
        return [(START + timedelta(hours=each)).isoformat() for each in hours]

    product = ("A", "A", "B", "GHOST")
    fields: dict[str, dict[str, Sequence[Any]]] = {
        "pos": {
            "transaction_id": mine("T1", "T2"),
            "line_number": (1, 2, 2, 0),
            "store_id": (1, 1, 2, 9),
            "product_id": product,
            "quantity": (1, 2, -1),
            "unit_price": ("2.50", "0.005", "2.50", None),
            "revenue": ("2.50", "2.50", "2.50", "x"),
            "timestamp": times(0, 1, 1, 24, 24.001, 36, 1_000_000),
        },
        "inventory": {
            "inventory_id": mine("i1", "i2", "i3"),
            "product_id": product,
            "warehouse_id": (case,),
            "stock_level": (0, 1, 5, 5, -1),
            "last_updated": times(0, 1, 1.0000001, 48, 48.0001, 49, 97),
        },
        "web_logs": {
            "event_id": mine("e1", "e2", "e3", "e4", "e5"),
            "user_id": mine("ann", "bob", None),
            "session_id": mine("s1", "s2", None),
            "client_ip": (f"203.0.113.{case}", None),
            "page": ("/", "/a", "/b"),
            "event_type": ("view", "click", "purchase", "jump"),
            "campaign_id": (None, "C1", "C2"),
            "country": (None, "GB", "DE", "FR", "JP", "gb"),
            "timestamp": times(0, 0.2, 0.5, 0.500001, 0.9, 1.3, 13.5, 14.1),
        },
        "crm": {
            "interaction_id": mine("k1", "k2", "k3", "k4"),
            "case_id": mine("c1", "c1", "c2", None),
            "customer_id": ("ann", "bob"),
            "interaction_type": ("complaint", "complaint", "feedback", "song"),
            "status": ("opened", "opened", "resolved", "resolved", "pending", None),
            "channel": ("mail", "mail", "Mail", None),
            "rating": (1, 5, 6, None),
            "timestamp": times(0, 1, 2, 3, 24 * 30, 24 * 30 + 1, 24 * 31),
        },
        "campaigns": {
            "campaign_id": mine("C1", "C2"),
            "name": ("one", "two"),
            "channel": ("search", "search", "Search"),
            "date": ("2010-12-31", "2011-01-01", "2010-02-30"),
            "spend": ("12.50", "0", "-1", 1e3),
        },
    }
    return fields[source]


def records(source: str, chance: Random) -> tuple[Rows, Rows]:
    """Bronze records of many cases, those of each in two batches; some arrive in the same moment."""
    batches: tuple[Rows, Rows] = ([], [])
    for case in range(CASES):
        fields = fields_of(source, case)
        first = chance.randrange(MOST_RECORDS)
        for number in range(chance.randrange(1, MOST_RECORDS)):
            payload = {name: chance.choice(values) for name, values in fields.items()}
            arrived = ARRIVED + timedelta(seconds=chance.randrange(4))
            batches[number >= first].append(bronze_row(f"{source}/{case}/{number}", json.dumps(payload), arrived))
    return batches


def bronze_row(record_id: str, payload: str, arrived: datetime) -> dict[str, Any]:
    told = {"payload": payload, "payload_encoding": "utf8", "partition_key": "k", "ingest_date": arrived.date()}
    return {"record_id": record_id, "arrived_at": arrived, "ingested_at": arrived, **told}


REFERENCE: dict[str, Rows] = {
    "stores": [
        {"store_id": 1, "region": "north", "country": "GB", "valid_from": START - timedelta(days=900)},
        {"store_id": 1, "region": "south", "country": "GB", "valid_from": START + timedelta(hours=1)},
        {"store_id": 2, "region": "europe", "country": "DE", "valid_from": START + timedelta(hours=24)},
    ],
    "warehouses": [
        {"warehouse_id": case, "region": "north", "country": "GB", "valid_from": START - timedelta(days=900)}
        for case in range(CASES)
    ],
    "products": [
        {"product_id": "A", "category": "toys", "unit_cost": 1, "valid_from": START - timedelta(days=900)},
        {"product_id": "A", "category": "games", "unit_cost": 2, "valid_from": START + timedelta(hours=1)},
        {"product_id": "B", "category": "bags", "unit_cost": 2, "valid_from": START - timedelta(days=900)},
    ],
}  # fmt: skip


class RowsInMemory:
    """A silver table as the engine asks for it."""

    def __init__(self, source: str) -> None:
        self._source = contracts().source(source)
        self.silver = contracts().silver_of(source)
        self.rows = arrow_schema(self.silver).empty_table()

    def references(self) -> Mapping[str, ReferenceRows]:
        names = {column.reference[0] for column in self._source.columns if column.reference}
        return {name: ReferenceRows(reference(name), contracts().source(name)) for name in names}

    def rivals(self, identities: Sequence[tuple[Any, ...]]) -> pa.Table:
        wanted = {*identities}
        return self._where([each in wanted for each in keys(self.rows, self.silver.identity)])

    def neighbours(self, spans: Mapping[str, Span]) -> Neighbours:
        return read_neighbours(spans, self._within, self.silver, columns_before(self.silver))

    def take_in(self, outcome: Outcome) -> None:
        old = {*outcome.old["record_id"].to_pylist()}
        stay = self._where([each not in old for each in self.rows["record_id"].to_pylist()])
        self.rows = pa.concat_tables([stay, outcome.new, outcome.inserts])

    def _within(self, spans: Mapping[str, Span]) -> pa.Table:
        assert self.silver.group is not None
        places = keys(self.rows, [self.silver.group.key, str(self.silver.event_time)])
        return self._where([name in spans and spans[name].first <= at <= spans[name].last for name, at in places])

    def _where(self, mask: list[bool]) -> pa.Table:
        return self.rows.filter(pa.array(mask, pa.bool_()))


@cache
def reference(name: str) -> pa.Table:
    schema = arrow_schema(contracts().silver_of(name))
    rows = [{column: row.get(column) for column in schema.names} for row in REFERENCE[name]]
    return pa.Table.from_pylist(rows, schema)


@pytest.mark.parametrize("source", FACTS)
def test_any_records_give_the_same_silver_rows(spark: SparkSession, source: str) -> None:
    contract, silver = contracts().source(source), contracts().silver_of(source)
    batches = records(source, Random(source))
    ours, past, outcomes = RowsInMemory(source), arrow_schema(silver).empty_table(), []
    for batch in batches:
        past = ours.rows
        bronze = pa.Table.from_pylist(batch, envelope_schema(contracts()))
        outcomes.append(settle_batch(bronze, ours, contract, silver, duckdb.connect()))
        ours.take_in(outcomes[-1])
    rows = by_id(plain_rows(ours.rows))
    rejected = by_id([row for outcome in outcomes for row in outcome.rejected.to_pylist()])
    assert len(rows) > CASES, "too few rows to see anything"

    both = enriched(spark, source, [*batches[0], *batches[1]])
    at_once = rows_of(silver_at_once(both.where("size(errors) = 0"), silver))
    assert differing(rows, by_id([plain(row) for row in at_once if row["_won"]])) == {}
    faults = by_id([row for row in rows_of(both.select("record_id", "errors")) if row["errors"]])
    beaten = {row["record_id"] for row in at_once if not row["_won"]}
    assert {*rejected} == {*faults} | beaten
    told = {record_id: [without_text(each) for each in rejected[record_id]["errors"]] for record_id in faults}
    assert differing(told, {record_id: row["errors"] for record_id, row in faults.items()}) == {}

    known = frame(spark, past, struct_type(silver))
    after = rows_of(silver_after(enriched(spark, source, batches[1]).where("size(errors) = 0"), known, silver))
    last = outcomes[-1]
    changed = {each for part in (last.inserts, last.old, last.new) for each in part["record_id"].to_pylist()}
    assert {row["record_id"] for row in after if row["_changed"]} == changed
    standing = by_id([plain(row) for row in after if row["_won"]])
    assert differing({record_id: rows.get(record_id) for record_id in standing}, standing) == {}
    assert {row["record_id"] for row in after if not row["_won"]}.isdisjoint(rows)


def differing(expected: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """A few of the keys whose values differ, with both: whole tables would fill the screen."""
    names = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
    return {name: (expected.get(name), found.get(name)) for name in names[:MOST_SHOWN]}


def by_id(rows: Rows) -> dict[str, dict[str, Any]]:
    """Rows by the record that they are; of those that were rejected twice one stands for both."""
    return {row["record_id"]: row for row in rows}


def enriched(spark: SparkSession, source: str, rows: Rows) -> DataFrame:
    contract = contracts().source(source)
    bronze = frame(spark, pa.Table.from_pylist(rows, envelope_schema(contracts())), envelope_type(contracts()))
    names = {column.reference[0] for column in contract.columns if column.reference}
    versions = {
        name: versions_of(
            frame(spark, reference(name), struct_type(contracts().silver_of(name))), contracts().source(name)
        )
        for name in names
    }
    return cached(enrich(parse(bronze, contract), contract, contracts().silver_of(source), versions))


def frame(spark: SparkSession, rows: pa.Table, schema: StructType) -> DataFrame:
    # Spark drops rows of a table whose first piece is empty.
    return spark.createDataFrame(rows.combine_chunks(), schema)


def rows_of(found: DataFrame) -> Rows:
    return plain_rows(found.toArrow())


def plain_rows(rows: pa.Table) -> Rows:
    """Rows as Python compares them, times as numbers: Python knows no year 0, which a record may name."""
    for place, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type):
            rows = rows.set_column(place, field.name, rows[field.name].cast(pa.int64()))
        elif pa.types.is_date(field.type):
            rows = rows.set_column(place, field.name, rows[field.name].cast(pa.int32()))
    return list(rows.to_pylist())


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.startswith("_")}


def without_text(error: Mapping[str, Any]) -> dict[str, Any]:
    return {"rule": error["rule"], "column": error["column"]}
