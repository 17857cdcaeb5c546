"""What the oracle makes of single records and files: values, rules, identities."""

import gzip
import io
import zlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from local.oracle.deliveries import DeliveredFile
from local.oracle.identities import Fate
from local.oracle.lexical import Malformed, WrongType, cast, fields_of
from tests.unit.oracle_deliveries import (
    ARRIVED,
    DAY,
    POS_HEADER,
    by_id,
    expected,
    figures,
    file,
    pos,
    records,
    web,
)


def test_the_latest_delivery_of_a_record_stands() -> None:
    line = "T1,1,1,A,{},2.00,2.00,,,2010-12-01T10:00:00Z"
    other = "T2,1,1,A,1,2,2.0,,,{}"
    found = expected(
        file("pos/a.csv", POS_HEADER, line.format(1), other.format("2010-12-01T10:00:00Z")),
        file("pos/b.csv", POS_HEADER, line.format(7), minutes=5),
        file("pos/c.csv", POS_HEADER, other.format("1291197600.0"), minutes=-5),
    )
    assert {row["record_id"]: row["quantity"] for row in found.silver["validated_pos"]} == {
        "pos/b.csv#2": 7,
        "pos/a.csv#3": 1,
    }
    assert found.fates["pos"]["pos/a.csv#2"] == Fate("rejected.pos", frozenset({"superseded"}))
    assert found.fates["pos"]["pos/c.csv#2"] == Fate("rejected.pos", frozenset({"duplicate"}))
    assert figures(found, "daily_revenue") == {(DAY,): ("16", "1", "16")}


def test_within_a_file_the_record_id_decides_as_text() -> None:
    lines = [f"T{number},1,1,A,1,2.00,2.00,,,2010-12-01T10:00:00Z" for number in range(3, 10)]
    found = expected(pos(lines[0], *lines, lines[6]))
    assert found.fates["pos"]["pos/a.csv#2"].rules == {"duplicate"}
    assert found.fates["pos"]["pos/a.csv#9"] == Fate("silver.validated_pos")
    assert found.fates["pos"]["pos/a.csv#10"].rules == {"duplicate"}


def test_among_three_deliveries_the_first_loser_may_carry_either_rule() -> None:
    first, second = web("1", "2010-12-01T10:00:00Z"), web("1", "2010-12-01T10:00:00Z", page="/new")
    found = expected(streams=records("web_logs", first, first, second))
    assert found.fates["web_logs"] == {
        "web_logs/shard-0/1": Fate("rejected.web_logs", frozenset({"duplicate", "superseded"})),
        "web_logs/shard-0/2": Fate("rejected.web_logs", frozenset({"superseded"})),
        "web_logs/shard-0/3": Fate("silver.sessionized_web_logs"),
    }


@pytest.mark.parametrize(
    ("type_name", "text", "value"),
    [
        ("int", "6", 6),
        ("int", " +6.00\t", 6),
        ("int", "-2147483648", -(2**31)),
        ("int", "", None),
        ("bigint", "9223372036854775807", 2**63 - 1),
        ("string", "", None),
        ("string", " x ", " x "),
        ("decimal(18,4)", "2.00005", Decimal("2.0001")),
        ("decimal(18,4)", "-2.00005", Decimal("-2.0001")),
        ("decimal(18,4)", ".5e1", Decimal(5)),
        ("decimal(18,4)", "99999999999999.9999", Decimal("99999999999999.9999")),
        ("decimal(18,4)", "1e-999999", Decimal(0)),
        ("timestamp", "1291197600", 1_291_197_600_000_000),
        ("timestamp", "1291197600.0000005", 1_291_197_600_000_001),
        ("timestamp", "2010-12-01T10:00", 1_291_197_600_000_000),
        ("timestamp", "2010-12-01 11:00:00.5+01:00", 1_291_197_600_500_000),
        ("date", "2010-12-01", DAY),
    ],
)
def test_text_becomes_a_value(type_name: str, text: str, value: object) -> None:
    assert cast(text, type_name) == value


@pytest.mark.parametrize(
    ("type_name", "text"),
    [
        ("int", "6.5"),
        ("int", "six"),
        ("int", "1e3"),
        ("int", "0x10"),
        ("int", "2147483648"),
        ("int", "\u0666"),
        ("bigint", "9" * 5000),
        ("decimal(18,4)", "99999999999999.99995"),
        ("decimal(18,4)", "1E+400"),
        ("decimal(18,4)", "1e99999999999999999999"),
        ("decimal(18,4)", "1,5"),
        ("decimal(18,4)", "Infinity"),
        ("timestamp", "1291197600000"),
        ("timestamp", "2010-02-30T10:00:00Z"),
        ("timestamp", "2010-12-01"),
        ("timestamp", "2010-12-01T10:00:00.1234567Z"),
        ("timestamp", "yesterday"),
        ("date", "2010-12-1"),
        ("date", "2010-13-01"),
        ("date", "2010-12-01T00:00:00Z"),
    ],
)
def test_text_of_another_type_is_refused(type_name: str, text: str) -> None:
    with pytest.raises(WrongType):
        cast(text, type_name)


@pytest.mark.parametrize(
    "payload",
    [
        *(
            "",
            "null",
            "[1]",
            '"x"',
            "{'a': 1}",
            '{"a": 1,}',
            '{"a": 1} {}',
            "{a: 1}",
            '{"a": NaN}',
            '{"a": 1, "a": 1}',
            '{"a": 01}',
            '{"a": "\n"}',
        ),
        *('{"a": ' * 101 + "1" + "}" * 101, '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"),
    ],
)
def test_what_is_not_one_json_object_is_malformed(payload: str) -> None:
    with pytest.raises(Malformed):
        fields_of(payload)


def test_numbers_keep_their_text() -> None:
    fields = fields_of('{"a": 1.10, "b": 1E+3, "c": true, "d": null, "e": "x", "deep": ' + "[" * 99 + "]" * 99 + "}")
    assert {name: fields[name] for name in "abcde"} == {"a": "1.10", "b": "1E+3", "c": "true", "d": None, "e": "x"}


@pytest.mark.parametrize(
    ("change", "rule", "column"),
    [
        ({"timestamp": "1999-12-31T23:59:59Z"}, "event_time", "timestamp"),
        ({"timestamp": "2099-01-01T00:00:00Z"}, "event_time", "timestamp"),
        ({"timestamp": {"at": 1}}, "type", "timestamp"),
        ({"event_type": "hover"}, "enum", "event_type"),
        ({"country": "gb"}, "pattern", "country"),
        ({"order_value": -0.01}, "range", "order_value"),
        ({"page": "/" * 4097}, "length", "page"),
        ({"page": ""}, "required", "page"),
        ({"event_id": "e" * 129}, "length", "event_id"),
        ({"product_id": "Z"}, "reference", "product_id"),
        ({"product_id": "Z", "country": "gb"}, "pattern", "country"),
        ({"timestamp": None, "order_value": "x"}, "type", "order_value"),
    ],
)
def test_the_first_rule_broken_in_column_order_is_named(change: dict[str, Any], rule: str, column: str) -> None:
    found = expected(streams=records("web_logs", web("1", "2010-12-01T10:00:00Z") | change))
    assert found.fates["web_logs"] == {"web_logs/shard-0/1": Fate("rejected.web_logs", frozenset({rule}), column)}
    assert found.silver["sessionized_web_logs"] == []


def test_bytes_that_are_no_text_and_no_record_at_all() -> None:
    found = expected(streams=records("crm", b"\xff{}", b"", b'{"a"'))
    assert [fate.rules for fate in found.fates["crm"].values()] == [
        {"not_utf8"},
        {"malformed_json"},
        {"malformed_json"},
    ]


def test_every_record_of_a_file_has_a_fate() -> None:
    whole = f"{POS_HEADER}\nT1,1,1,A,1,2,2,,,2010-12-01T10:00Z\nT2,1,1,A,1,2,2,,,2010-12-01T10:00Z\n".encode()
    compressor = zlib.compressobj(wbits=31)
    cut = compressor.compress(whole[: whole.index(b"T2")]) + compressor.flush(zlib.Z_SYNC_FLUSH)
    buffer = io.BytesIO()
    table = {
        "transaction_id": ["T8"],
        "line_number": [1],
        "store_id": [1],
        "product_id": ["A"],
        "quantity": [2],
        "unit_price": [Decimal("2.50")],
        "revenue": [Decimal("5.00")],
        "timestamp": [datetime(2010, 12, 1, 10, 0, 0, 5, UTC)],
    }
    pq.write_table(pa.table(table), buffer)
    found = expected(
        DeliveredFile("pos/cut.csv.gz", ARRIVED, cut),
        DeliveredFile("pos/whole.csv.gz", ARRIVED, gzip.compress(whole)),
        DeliveredFile("pos/empty.csv", ARRIVED, b""),
        DeliveredFile("pos/header.csv", ARRIVED, POS_HEADER.encode()),
        DeliveredFile("pos/no.parquet", ARRIVED, b"PAR1"),
        DeliveredFile("pos/p.parquet", ARRIVED, buffer.getvalue()),
        file(
            "pos/lines.csv",
            POS_HEADER,
            "a,b",
            '"T9\nnext",1,1,A,1,2,2,,,2010-12-01T10:00Z',
            "",
            "T7," * 12,
            "x",
        ),
        DeliveredFile("pos/bytes.jsonl", ARRIVED, b'{"transaction_id": "\xe9"}\n\n{}\n'),
    )
    assert {record: (fate.table, *fate.rules) for record, fate in found.fates["pos"].items()} == {
        "pos/cut.csv.gz#2": ("rejected.pos", "duplicate"),
        "pos/cut.csv.gz#3": ("rejected.pos", "unreadable_file"),
        "pos/whole.csv.gz#2": ("silver.validated_pos",),
        "pos/whole.csv.gz#3": ("silver.validated_pos",),
        "pos/empty.csv#1": ("rejected.pos", "unreadable_file"),
        "pos/no.parquet#1": ("rejected.pos", "unreadable_file"),
        "pos/p.parquet#1": ("silver.validated_pos",),
        "pos/lines.csv#2": ("rejected.pos", "malformed_json"),
        "pos/lines.csv#3": ("silver.validated_pos",),
        "pos/lines.csv#6": ("rejected.pos", "malformed_json"),
        "pos/lines.csv#7": ("rejected.pos", "malformed_json"),
        "pos/bytes.jsonl#1": ("rejected.pos", "not_utf8"),
        "pos/bytes.jsonl#3": ("rejected.pos", "required"),
    }
    row = by_id(found, "validated_pos")["pos/p.parquet#1"]
    assert (row["event_time"], row["unit_price"], row["discount_applied"]) == (
        datetime(2010, 12, 1, 10, 0, 0, 5, UTC),
        Decimal("2.5000"),
        None,
    )
