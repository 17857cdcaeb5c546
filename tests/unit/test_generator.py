"""The production is real where it can be, the same every time, and holds every kind of fault that it promises."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from local.generator.access_log import log_events
from local.generator.file_faults import RAW, TEXT, TYPED
from local.generator.production import PlanError, Production, plan
from local.generator.shop import products
from local.generator.stock import reading_hours
from local.generator.stream_faults import DAMAGE, RULES
from local.oracle.deliveries import DeliveredFile, DeliveredRecord
from local.oracle.expectation import Expected, expect
from local.sample import till_days, till_lines
from runtime.storage import Storage

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOUND = ("duplicate", "correction", "late", "repeated", "undeclared field", "extra column", None)
# What becomes of a record with a fault; a record of a sound kind may also lose to another one.
VERDICTS: dict[str, set[tuple[str, str | None]]] = {
    "null": {("required", "quantity"), ("required", "stock_level"), ("required", "timestamp")}
    | {("required", "campaign_id"), ("required", "product_id")},
    "missing": {("required", "customer_id")},
    "empty text": {("required", "page")},
    "missing column": {("required", "quantity")},
    "unknown place": {("reference", "store_id"), ("reference", "warehouse_id")},
    "unknown product": {("reference", "product_id")},
    "negative price": {("range", "unit_price"), ("range", "stock_level"), ("range", "spend"), ("range", "unit_cost")},
    "negative": {("range", "order_value")},
    "out of range": {("range", "rating")},
    "long ago": {("event_time", "timestamp"), ("event_time", "last_updated")},
    "far ahead": {("event_time", "timestamp"), ("event_time", "last_updated")},
    "milliseconds": {("type", "timestamp"), ("type", "last_updated")},
    "no time": {("type", "timestamp"), ("type", "last_updated"), ("type", "date")},
    "wrong type": {("type", column) for column in ("quantity", "stock_level", "spend", "order_value", "rating")},
    "fraction": {("type", "quantity"), ("type", "stock_level")},
    "too many": {("type", "quantity"), ("type", "stock_level")},
    "huge number": {("type", column) for column in ("quantity", "stock_level", "order_value", "rating")},
    "nested": {("type", "timestamp")},
    "unknown enum": {("enum", "event_type"), ("enum", "interaction_type")},
    "unknown status": {("enum", "status")},
    "pattern": {("pattern", "country"), ("pattern", "channel")},
    "long identifier": {("length", "product_id"), ("length", "event_id"), ("length", "interaction_id")},
    "one megabyte": {("length", "page"), ("length", "message_excerpt")},
    "not utf8": {("not_utf8", None)},
    "truncated bytes": {("not_utf8", None)},
    "empty": {("malformed_json", None), ("unreadable_file", None)},
    "not parquet": {("unreadable_file", None)},
    "cut short": {("duplicate", None), ("unreadable_file", None)},
    **{
        kind: {("malformed_json", None)}
        for kind in (
            *("single quotes", "trailing comma", "two objects", "not a number", "no object", "plain text", "truncated"),
            *("deep nesting", "broken line"),
        )
    },
}


@pytest.fixture(scope="module")
def production() -> Production:
    return plan(days=3, seed=7)


@pytest.fixture(scope="module")
def outcome(production: Production) -> Expected:
    return expect(delivered_files(production), delivered_records(production))


def delivered_files(production: Production) -> list[DeliveredFile]:
    return [
        DeliveredFile(file.path, NOW + timedelta(seconds=place), file.data)
        for place, file in enumerate(production.files)
    ]


def delivered_records(production: Production) -> list[DeliveredRecord]:
    return [
        DeliveredRecord(record.source, record.source, "shard-0", str(record.index), NOW, record.data)
        for record in production.records
    ]


def digest_of(production: Production) -> str:
    digest = hashlib.sha256()
    for file in production.files:
        digest.update(f"{file.path} {len(file.data)} {file.due} {file.fault}\n".encode() + file.data)
    for record in production.records:
        digest.update(f"{record.index} {record.source} {record.partition_key} {record.fault}\n".encode() + record.data)
    return digest.hexdigest()


def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    code = (
        "from local.generator.production import plan; from tests.unit.test_generator import digest_of; "
        "print(digest_of(plan(days=1, seed=11, hours=2, visits=20, log_lines=50)))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "4711", "PYTHONPATH": os.getcwd()}
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert other.stdout.strip() == digest_of(plan(days=1, seed=11, hours=2, visits=20, log_lines=50))


def test_another_seed_gives_another_production() -> None:
    small = {"hours": 2, "visits": 20, "log_lines": 50}
    assert digest_of(plan(1, 11, **small)) != digest_of(plan(1, 12, **small))


def test_the_shipped_sample_is_whole() -> None:
    days = till_days()
    assert (str(days[0]), str(days[-1]), len(days)) == ("2010-12-01", "2011-02-28", 68)
    assert sum(len(till_lines(day)) for day in days) == 105_335
    assert len(products()) == 3_159


def test_every_real_till_line_reaches_silver_once(production: Production, outcome: Expected) -> None:
    real = Counter((line.invoice, line.line_number, line.time) for day in production.days for line in till_lines(day))
    rows = outcome.silver["validated_pos"]
    assert Counter((row["transaction_id"], row["line_number"], row["event_time"]) for row in rows) == real
    assert len(rows) == 7_419


def test_volumes_of_three_days(production: Production, outcome: Expected) -> None:
    counts = {source: len(fates) for source, fates in outcome.fates.items()}
    assert 7_419 < counts["pos"] < 7_700
    assert 8_000 < counts["web_logs"] < 12_000
    assert 1_000 < counts["crm"] < 1_500
    assert 3_000 < counts["inventory"] < 5_000
    assert counts["campaigns"] == 31
    assert counts["stores"] == 11


def test_every_file_format_occurs_in_three_days(production: Production) -> None:
    endings: dict[str, set[str]] = defaultdict(set)
    for file in production.files:
        if file.fault is None:
            endings[file.source].add(file.path.rpartition("/")[2].partition(".")[2])
    assert endings["pos"] == {"csv", "csv.gz", "jsonl.gz", "parquet"}
    assert endings["inventory"] == {"csv", "csv.gz", "jsonl", "parquet"}
    assert endings["campaigns"] == {"csv", "jsonl", "parquet"}


def test_reference_data_lands_first_and_columns_change_places(production: Production) -> None:
    assert [file.source for file in production.files[:5]] == ["stores", "warehouses", "products", "stores", "products"]
    assert not {file.source for file in production.files[5:]} & {"stores", "warehouses", "products"}
    headers = {file.data.split(b"\n")[0] for file in production.files if file.path.endswith("pos/2010-12-01.csv")}
    headers |= {file.data.split(b"\n")[0] for file in production.files if "redelivered" in file.path}
    assert len(headers) == 2
    assert len({tuple(sorted(header.split(b","))) for header in headers}) == 1


def test_every_fault_is_rejected_for_its_own_reason(production: Production, outcome: Expected) -> None:
    wrong = []
    for source, record_id, kind in _faults(production, outcome):
        fate = outcome.fates[source][record_id]
        found = {(rule, fate.column) for rule in fate.rules}
        if kind in SOUND:
            right = found <= {("duplicate", None), ("superseded", None)}
        else:
            right = bool(found) and found <= VERDICTS[kind]
        if not right:
            wrong.append((source, record_id, kind, fate))
    assert wrong == []


def test_every_kind_of_fault_occurs(production: Production, outcome: Expected) -> None:
    kinds: dict[str, set[str | None]] = defaultdict(set)
    for source, _, kind in _faults(production, outcome):
        kinds[source].add(kind)
    for source in ("web_logs", "crm"):
        wanted = {*RULES[source], *DAMAGE, "one megabyte", "duplicate", "correction", "late", "undeclared field"}
        assert wanted <= kinds[source]
    assert {*TEXT, *TYPED, *RAW, "repeated", "duplicate", "correction", "late"} <= kinds["pos"]
    assert {*TEXT, *TYPED, *RAW, "repeated", "duplicate", "correction"} <= kinds["inventory"]
    whole = {file.fault for file in production.files if file.source == "pos"}
    assert whole == {"empty", "header only", "not parquet", "missing column", "extra column", "cut short", None}


def test_about_one_in_a_hundred_records_is_faulty(production: Production, outcome: Expected) -> None:
    faulty = Counter(source for source, _, kind in _faults(production, outcome) if kind not in SOUND)
    shares = {source: count / len(outcome.fates[source]) for source, count in faulty.items()}
    assert 0.004 < shares["web_logs"] < 0.015
    assert 0.005 < shares["pos"] < 0.02


def _faults(production: Production, outcome: Expected) -> list[tuple[str, str, str | None]]:
    """Source, record id and kind of fault of every record."""
    found: list[tuple[str, str, str | None]] = [
        (record.source, f"{record.source}/shard-0/{record.index}", record.fault) for record in production.records
    ]
    for file in production.files:
        for record_id in outcome.fates[file.source]:
            path, _, number = record_id.rpartition("#")
            if path == file.path:
                found.append((file.source, record_id, file.faults.get(int(number)) or file.fault))
    return found


def test_without_faults_every_stream_record_reaches_silver() -> None:
    sound = plan(1, 7, hours=3, visits=40, log_lines=100, faults=0)
    found = expect(delivered_files(sound), delivered_records(sound))
    for source in ("web_logs", "crm"):
        assert all(not fate.rules for fate in found.fates[source].values())
    assert {record.fault for record in sound.records} == {None, "late"}


def test_records_fit_into_kinesis(production: Production) -> None:
    sizes = [len(record.data) + len(record.partition_key.encode()) for record in production.records]
    assert max(sizes) <= 1024 * 1024
    assert sum(size > 1_000_000 for size in sizes) == 2
    assert all(1 <= len(record.partition_key) <= 256 for record in production.records)


def test_purchases_are_real_receipts(production: Production, outcome: Expected) -> None:
    receipts: dict[str, Decimal] = defaultdict(Decimal)
    times: dict[str, set[datetime]] = defaultdict(set)
    for line in (line for day in production.days for line in till_lines(day)):
        if line.quantity > 0 and line.unit_price > 0:
            receipts[line.invoice] += line.quantity * line.unit_price
            times[line.invoice].add(line.time)
    corrected = {
        json.loads(record.data)["event_id"]
        for record in production.records
        if record.fault == "correction" and record.source == "web_logs"
    }
    purchases = [row for row in outcome.silver["sessionized_web_logs"] if row["event_type"] == "purchase"]
    assert len(purchases) > 200
    for row in purchases:
        added = 10 if row["event_id"] in corrected else 0
        assert row["order_value"] == receipts[row["transaction_id"]] + added
        assert min(row["event_time"] - time for time in times[row["transaction_id"]]) < timedelta(minutes=1)


def test_the_access_log_is_replayed_as_it_is() -> None:
    events = log_events(10_000)
    assert len(events) == 10_000
    assert events[0].record == {
        "event_id": "log-000001",
        "client_ip": "83.149.9.216",
        "user_agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/32.0.1700.77 Safari/537.36",
        "page": "/presentations/logstash-monitorama-2013/images/kibana-search.png",
        "event_type": "view",
        "referrer": "http://semicomplete.com/presentations/logstash-monitorama-2013/",
        "timestamp": datetime(2015, 5, 17, 10, 5, 3, tzinfo=UTC),
    }
    assert sum(later.time < earlier.time for earlier, later in pairwise(events)) > 1_000


def test_some_events_arrive_late_and_sessions_cross_midnight(production: Production, outcome: Expected) -> None:
    rows = outcome.silver["sessionized_web_logs"]
    assert any(row["session_started_at"].date() < row["event_time"].date() for row in rows)
    times: dict[str, list[Any]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: int(row["record_id"].rpartition("/")[2])):
        times[row["session_key"]].append(row["event_time"])
    assert sum(moments != sorted(moments) for moments in times.values()) > 10


@pytest.mark.parametrize(
    ("count", "hours"), [(1, [14]), (8, list(range(10, 18))), (12, list(range(8, 20))), (24, list(range(24)))]
)
def test_stock_is_read_in_shop_hours(count: int, hours: list[int]) -> None:
    assert reading_hours(count) == hours


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"days": 0}, "days is 0: it may be 1 to 68"),
        ({"days": 69}, "days is 69: it may be 1 to 68"),
        ({"hours": 25}, "hours is 25: it may be 1 to 24"),
        ({"log_lines": 10_001}, "log_lines is 10001: it may be 0 to 10000"),
        ({"faults": 0.6}, "faults is 0.6: it may be 0 to 0.5"),
    ],
)
def test_a_plan_beyond_the_sample_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        plan(**options)


def test_landing_twice_changes_nothing_and_another_file_is_left_alone(tmp_path: Path) -> None:
    small = plan(1, 7, hours=2, visits=8, log_lines=0)
    storage = Storage.open(str(tmp_path))
    first = small.write_landing(storage)
    assert [(file.path, file.data) for file in first] == [(file.path, file.data) for file in small.files]
    assert first == sorted(first, key=lambda file: file.modified)
    assert small.write_landing(storage) == first
    (tmp_path / "pos" / "2010-12-01.csv").write_bytes(b"else")
    with pytest.raises(
        PlanError, match=r"pos/2010-12-01.csv is another file than the plan has: empty the landing area"
    ):
        small.write_landing(storage)
    assert (tmp_path / "pos" / "2010-12-01.csv").read_bytes() == b"else"
