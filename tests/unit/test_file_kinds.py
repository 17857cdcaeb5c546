"""JSON that is no JSON lines, archives, and Parquet as tools write it: every record once, no fault costs another."""

import base64
import bz2
import gzip
import io
import json
import zipfile
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.file_tasks import record_id
from batch.landing_area import LandingFile
from batch.lines import UNREADABLE, UTF8, Limits, Row
from batch.readers import read_rows
from lakehouse.contracts import load_contracts
from lakehouse.settings import CONTRACTS

POS = load_contracts(CONTRACTS).source("pos")
CAMPAIGNS = load_contracts(CONTRACTS).source("campaigns")


def rows(path: str, content: bytes, limits: Limits | None = None, chunk: int = 1 << 20, source: Any = POS) -> list[Row]:
    pieces = (content[start : start + chunk] for start in range(0, len(content), chunk))
    return list(read_rows(path, pieces, len(content), limits or Limits(), source))


def payloads(found: list[Row]) -> list[tuple[int, str]]:
    assert {row.encoding for row in found} <= {UTF8}
    return [(row.line, row.payload) for row in found]


@pytest.mark.parametrize("chunk", [1, 3, 1000])
@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ('[{"a": 1.10}, {"b": "]}"}]', ['{"a": 1.10}', '{"b": "]}"}']),
        ('{"a":1}{"b":2}\n{"c":3}', ['{"a":1}', '{"b":2}', '{"c":3}']),
        ('{"a":1},\n{"b":2}\n', ['{"a":1}', '{"b":2}']),
        ('\x1e{"a":1}\n\x1e{"b":2}\n', ['{"a":1}', '{"b":2}']),
        ('[\n  {\n    "a": "\\"{"\n  },\n  {"b": [1]}\n]\n', ['{\n    "a": "\\"{"\n  }', '{"b": [1]}']),
        ('[{"a":1}]\n[{"b":2}]', ['{"a":1}', '{"b":2}']),
        ('[1, "x", null, {"a":1}]', ["1", '"x"', "null", '{"a":1}']),
        ("[]", None),
        ("[", None),
    ],
)
def test_values_are_records_however_they_follow_each_other(content: str, wanted: list[str] | None, chunk: int) -> None:
    found = rows("pos/f.json", content.encode(), chunk=chunk)
    if wanted is None:
        assert [(row.encoding, json.loads(row.payload)["error"]) for row in found] == [
            (UNREADABLE, "it holds no record")
        ]
    else:
        assert payloads(found) == list(enumerate(wanted, 1))


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_a_broken_value_costs_no_other(chunk: int) -> None:
    broken = b'{"a": "quan\n{"b":2}\n{"c": {\n{"d":4}\n{"e":5}'
    lines = ['{"a": "quan', '{"b":2}', '{"c": {', '{"d":4}', '{"e":5}']
    assert payloads(rows("pos/f.json", broken, chunk=chunk)) == list(enumerate(lines, 1))
    cut = gzip.compress(b'[{"a":1},\n{"b":2},\n{"c":')[:-4]
    found = rows("pos/f.json.gz", cut, chunk=chunk)
    assert [row.payload for row in found[:3]] == ['{"a":1}', '{"b":2}', '{"c":']
    assert (found[3].line, found[3].encoding) == (4, UNREADABLE)


def test_an_array_on_one_line_may_be_longer_than_any_line() -> None:
    content = b"[" + b",".join(b'{"n":%d}' % number for number in range(1000)) + b"]"
    found = rows("pos/f.json", content, Limits(line_bytes=64), chunk=50)
    assert payloads(found) == [(number + 1, f'{{"n":{number}}}') for number in range(1000)]


VALUES = st.lists(
    st.dictionaries(st.text(max_size=3), st.one_of(st.integers(), st.text(max_size=4)), min_size=1, max_size=3),
    min_size=1,
)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    VALUES,
    st.sampled_from(["", ",", "\n", ",\n", "\x1e", " "]),
    st.sampled_from([None, 2]),
    st.booleans(),
    st.integers(1, 30),
)
def test_values_come_out_as_they_were_written(
    values: list[Any], between: str, indent: int | None, in_array: bool, chunk: int
) -> None:
    text = between.join(json.dumps(value, indent=indent) for value in values)
    found = rows("pos/f.json", (f"[{text}]" if in_array else text).encode(), chunk=chunk, source=None)
    assert [json.loads(row.payload) for row in found] == values


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from([b"[", b"]", b"{", b"}", b'"', b"\\", b"\n", b",", b":", b"1", b'{"a":1}', b"\xff"])).map(
        b"".join
    ),
    st.integers(1, 20),
)
def test_no_byte_of_a_value_is_lost(content: bytes, chunk: int) -> None:
    """Save what stands between values: brackets of arrays, commas, white space."""
    found = [row for row in rows("pos/f.json", b"[" + content, Limits(), chunk, None) if row.encoding != UNREADABLE]
    skipped = b"[], \t\r\n\x1e\0\x1a"

    kept = b"".join(row.payload.encode() if row.encoding == UTF8 else base64.b64decode(row.payload) for row in found)
    assert kept.translate(None, skipped) == content.translate(None, skipped)


CSV = b"transaction_id,store_id\nT1,1\nT2,1\n"
RECORDS = ['{"transaction_id":"T1","store_id":"1"}', '{"transaction_id":"T2","store_id":"1"}']


def zipped(**files: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("pos/f.csv.bz2", bz2.compress(CSV)),
        ("pos/f.csv.bz2", bz2.compress(CSV[:30]) + bz2.compress(CSV[30:])),
        ("pos/f.csv.zip", zipped(**{"f.csv": CSV, "__MACOSX/._f.csv": b"x"})),
        ("pos/F.ZIP", zipped(**{"day/f.CSV": CSV})),
        ("pos/f.csv", gzip.compress(CSV)),
    ],
)
@pytest.mark.parametrize("chunk", [5, 1000])
def test_packed_files_are_read_as_they_would_be_by_themselves(path: str, content: bytes, chunk: int) -> None:
    assert payloads(rows(path, content, chunk=chunk)) == list(zip((2, 3), RECORDS, strict=True))


def test_files_of_one_archive_are_told_apart_and_a_broken_one_costs_no_other() -> None:
    found = rows("pos/f.zip", zipped(**{"b.csv": CSV, "a#.csv": b"", "c.pdf": b"x", "d.jsonl": b'{"a":1}\n'}))
    file = LandingFile("pos/f.zip", 1, "e", datetime(2024, 3, 1, tzinfo=UTC))
    assert [(record_id(file, row), row.encoding) for row in found] == [
        ("pos/f.zip#a%23.csv#1", UNREADABLE),
        ("pos/f.zip#b.csv#2", UTF8),
        ("pos/f.zip#b.csv#3", UTF8),
        ("pos/f.zip#c.pdf#1", UNREADABLE),
        ("pos/f.zip#d.jsonl#1", UTF8),
    ]


@pytest.mark.parametrize(
    ("path", "content", "reason"),
    [
        ("pos/f.zip", b"PK\x03\x04", "broken zip: File is not a zip file"),
        ("pos/f.zip", zipped(), "the zip archive holds no file that matches '*'"),
        ("pos/f.csv.bz2", bz2.compress(CSV)[:20], "broken bz2: cut short"),
        ("pos/f.csv.bz2", b"no", "broken bz2: Invalid data stream"),
        ("pos/f.csv.zip", zipped(**{"f.csv": b"a" * 3_000_000}), "it unpacks to more than 1000000 bytes"),
    ],
)
def test_a_broken_archive_says_why(path: str, content: bytes, reason: str) -> None:
    found = rows(path, content, Limits(free_bytes=1_000_000, expansion=1))
    assert [json.loads(row.payload)["error"] for row in found] == [reason]


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def columns(content: bytes, source: Any = POS, path: str = "pos/f.parquet") -> dict[str, list[Any]]:
    found = [json.loads(payload) for _, payload in payloads(rows(path, content, source=source))]
    return {name: [row[name] for row in found] for name in found[0]}


def test_what_pandas_makes_of_gaps_is_null_and_whole_again() -> None:
    table = pa.table(
        {"Customer_ID": [float("nan"), 17850.0, 1.5, None], "discount_applied": [float("nan"), 0.1, 2.0, None]}
    )
    assert columns(parquet(table)) == {
        "customer_id": [None, "17850", 1.5, None],
        "discount_applied": [None, 0.1, 2.0, None],
    }


def test_times_and_dates_become_what_the_contract_wants() -> None:
    noon, day = datetime(2024, 3, 1, 12), date(2024, 3, 1)
    for unit in ("s", "ms", "us", "ns"):
        assert columns(parquet(pa.table({"timestamp": pa.array([noon], pa.timestamp(unit))}))) == {
            "timestamp": ["2024-03-01T12:00:00Z"]
        }
    for kind in (pa.date32(), pa.date64()):
        content = parquet(pa.table({"timestamp": pa.array([day, None], kind)}))
        assert columns(content) == {"timestamp": ["2024-03-01T00:00:00Z", None]}
        assert columns(parquet(pa.table({"date": pa.array([day], kind)})), CAMPAIGNS) == {"date": ["2024-03-01"]}
    midnights = pa.array([datetime(2024, 3, 1), noon], pa.timestamp("us"))
    assert columns(parquet(pa.table({"date": midnights})), CAMPAIGNS) == {
        "date": ["2024-03-01", "2024-03-01T12:00:00Z"]
    }


def test_nanoseconds_are_cut_as_the_contract_says_and_int96_is_exact_in_any_year() -> None:
    surplus = pa.array([1_709_287_200_123_456_789, 1_709_287_200_123_456_000], pa.timestamp("ns"))
    wanted = ["2024-03-01T10:00:00.123456Z", "2024-03-01T10:00:00.123456Z"]
    assert columns(parquet(pa.table({"timestamp": surplus}))) == {"timestamp": wanted}
    assert columns(parquet(pa.table({"timestamp": surplus}), use_deprecated_int96_timestamps=True)) == {
        "timestamp": wanted
    }
    plain = pa.table({"other": surplus})
    assert columns(parquet(plain, use_deprecated_int96_timestamps=True), None) == {
        "other": ["2024-03-01T10:00:00.123456789Z", "2024-03-01T10:00:00.123456Z"]
    }
    far = pa.table({"other": pa.array([datetime(9999, 12, 31), datetime(1, 1, 1)], pa.timestamp("us"))})
    assert columns(parquet(far, use_deprecated_int96_timestamps=True), None) == {
        "other": ["9999-12-31T00:00:00Z", "0001-01-01T00:00:00Z"]
    }


def test_columns_that_only_the_path_has_are_fields() -> None:
    content = parquet(pa.table({"transaction_id": ["T1"]}))
    assert columns(content, path="pos/store_id=11/part-0.parquet") == {"transaction_id": ["T1"], "store_id": ["11"]}
