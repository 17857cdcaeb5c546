"""Readers of landing files: every physical record is one row, whatever the bytes are, and nothing ever raises."""

import base64
import csv
import gzip
import io
import json
import tracemalloc
import zlib
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.csv_records import csv_records
from batch.lines import BASE64, LINE, UNREADABLE, UTF8, Limits, Row, at_any_line_break, physical_lines
from batch.readers import SUFFIXES, FileFormat, file_format, read_rows

DELIVER = "deliver it under its own suffix, or as text"
SMALL = Limits(line_bytes=64, record_lines=4, header_bytes=40, free_bytes=1000, expansion=20, expanded_bytes=5000)


def rows(path: str, content: bytes, limits: Limits = SMALL, chunk: int = 1 << 20) -> list[Row]:
    pieces = (content[start : start + chunk] for start in range(0, len(content), chunk))
    return list(read_rows(path, pieces, len(content), limits))


def objects(found: list[Row]) -> list[tuple[int, Any]]:
    assert {row.encoding for row in found} <= {UTF8}
    return [(row.line, json.loads(row.payload)) for row in found]


def fault(row: Row) -> tuple[int, str, str]:
    assert row.encoding == UNREADABLE
    content = json.loads(row.payload)
    assert set(content) == {"file", "error"}
    return row.line, content["file"], content["error"]


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("pos/2010-12-01.csv", FileFormat("csv")),
        ("pos/A.CSV.GZ", FileFormat("csv", "gz")),
        ("inventory/2010-12-01/08.jsonl.gz", FileFormat("json", "gz")),
        ("x.ndjson", FileFormat("json")),
        ("x.json", FileFormat("json")),
        ("x.parquet", FileFormat("parquet")),
        ("x.parquet.gz", None),
        ("x.gz", None),
        ("x.xlsx", None),
        ("folder.csv/file", None),
        (".csv", None),
        ("csv", None),
        ("", None),
    ],
)
def test_the_suffix_says_the_format(path: str, wanted: FileFormat | None) -> None:
    assert file_format(path) == wanted


def test_csv_rows_are_objects_of_text_with_null_for_an_empty_cell() -> None:
    content = b'b,a\r\n1,"x ""y"" z"\r\n,""\r\n'
    assert objects(rows("f.csv", content)) == [(2, {"b": "1", "a": 'x "y" z'}), (3, {"b": None, "a": None})]


def test_a_record_in_quotes_spans_lines_and_is_numbered_by_its_first() -> None:
    content = b'a,b\n1,"two\r\nlines"\n\n3,4'
    assert objects(rows("f.csv", content)) == [(2, {"a": "1", "b": "two\r\nlines"}), (5, {"a": "3", "b": "4"})]


def test_the_carriage_returns_of_old_spreadsheets_end_lines() -> None:
    assert objects(rows("f.csv", b"a,b\r1,2\r3,4\r")) == [(2, {"a": "1", "b": "2"}), (3, {"a": "3", "b": "4"})]


def test_a_byte_order_mark_is_no_part_of_the_first_column() -> None:
    assert objects(rows("f.csv", b"\xef\xbb\xbfa\n1\n")) == [(2, {"a": "1"})]
    assert objects(rows("f.json", b'\xef\xbb\xbf{"a":1}\n', chunk=1)) == [(1, {"a": 1})]


def test_a_csv_record_that_is_not_well_formed_keeps_its_text_and_the_next_ones_go_on() -> None:
    content = b'a,b\n1\n1,2,3\n1,"2"x\n5," \n6,7\n8,9'
    assert rows("f.csv", content) == [
        Row(2, "1", UTF8),
        Row(3, "1,2,3", UTF8),
        Row(4, '1,"2"x', UTF8),
        Row(5, '5," ', UTF8),
        Row(6, '{"a":"6","b":"7"}', UTF8),
        Row(7, '{"a":"8","b":"9"}', UTF8),
    ]


def test_an_open_quote_costs_one_line_and_the_record_where_it_shows_is_read_whole() -> None:
    content = b'a,b\n1,"x\n2,y\n3,"two\nlines"\n4,z\n'
    assert rows("f.csv", content) == [
        Row(2, '1,"x', UTF8),
        Row(3, '{"a":"2","b":"y"}', UTF8),
        Row(4, '{"a":"3","b":"two\\nlines"}', UTF8),
        Row(6, '{"a":"4","b":"z"}', UTF8),
    ]


def test_a_record_of_too_many_lines_is_taken_for_an_open_quote() -> None:
    content = b'a,b\n1,"x\n2,y\n3,y\n4,y\n5,y"\n6,z\n'
    assert [row.payload for row in rows("f.csv", content)] == [
        '1,"x',
        '{"a":"2","b":"y"}',
        '{"a":"3","b":"y"}',
        '{"a":"4","b":"y"}',
        '{"a":"5","b":"y\\""}',
        '{"a":"6","b":"z"}',
    ]


def test_hostile_quotes_cost_no_more_than_a_few_scans() -> None:
    # Each line both closes a quote and opens the next: no record ever ends, wherever one starts.
    content = b"a,b\n" + b'b","x\n' * 200_000
    found = rows("f.csv", content, Limits())
    assert len(found) == 200_000
    assert {row.payload for row in found} == {'b","x'}


def test_bytes_that_are_no_utf8_are_kept_as_base64_and_the_next_rows_go_on() -> None:
    raw = b"caf\xe9,2"
    wanted = Row(2, base64.b64encode(raw).decode(), BASE64)
    assert rows("f.csv", b"a,b\n" + raw + b"\r\n3,4\n") == [wanted, Row(3, '{"a":"3","b":"4"}', UTF8)]
    raw = b'{"a":"\xff"}'
    wanted = Row(1, base64.b64encode(raw).decode(), BASE64)
    assert rows("f.json", raw + b"\r\n{}\n") == [wanted, Row(2, "{}", UTF8)]


def test_json_lines_are_kept_as_they_are() -> None:
    content = b'{"a": 1.10}\r\n\n  \n not json \n{"b":\r2}'
    assert rows("f.jsonl", content) == [
        Row(1, '{"a": 1.10}', UTF8),
        Row(4, " not json ", UTF8),
        Row(5, '{"b":\r2}', UTF8),
    ]


def test_a_header_alone_gives_no_rows() -> None:
    assert rows("f.csv", b"a,b\n") == rows("f.csv", b"a,b") == []
    assert rows("f.parquet", parquet(pa.table({"a": pa.array([], pa.int32())})), Limits()) == []


@pytest.mark.parametrize("path", ["f.csv", "f.json", "f.parquet", "f.csv.gz", "f.json.gz"])
def test_an_empty_file_is_one_unreadable_row(path: str) -> None:
    assert [fault(row) for row in rows(path, b"")] == [(1, path, "empty file")]


@pytest.mark.parametrize("path", ["f.csv.gz", "f.json.gz"])
def test_a_packed_empty_file_is_one_unreadable_row(path: str) -> None:
    assert [fault(row) for row in rows(path, gzip.compress(b""))] == [(1, path, "empty file")]


@pytest.mark.parametrize(
    ("path", "content", "line", "reason"),
    [
        ("f.xlsx", b"PK", 1, f"the suffix is not one of {SUFFIXES}"),
        ("f.csv", b"PK\x03\x04", 1, "it is an Excel workbook or a zip archive, whatever its name says: " + DELIVER),
        ("f.csv", b"\n\r\n", 1, "empty file"),
        ("f.json", b"\n \n", 3, "empty file"),
        ("f.csv.gz", b"a,b\n1,2", 1, "broken gz: Error -3 while decompressing data: incorrect header check"),
        ("f.parquet", b"a,b\n1,2", 1, None),
    ],
)
def test_a_file_that_cannot_be_read_says_why(path: str, content: bytes, line: int, reason: str | None) -> None:
    (row,) = rows(path, content)
    found = fault(row)
    assert found[:2] == (line, path)
    assert found[2] == reason if reason is not None else found[2].startswith("broken Parquet: ")


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"caf\xe9,b\n1,2", 1, "the header is not UTF-8 text"),
        (b"a\0,b\n1,2", 1, "the header is not UTF-8 text"),
        (b"\n\na,b,a\n1,2", 3, "the header names a column twice; found 'a'"),
        (b'a,"b\n1,2', 1, "the header has wrong quotes"),
    ],
)
def test_a_header_that_cannot_be_used_is_told_once_and_every_line_waits_with_it(
    content: bytes, line: int, reason: str
) -> None:
    header = content.strip().partition(b"\n")[0].decode("utf-8", "surrogateescape")
    told, waiting = rows("f.csv", content)
    assert (told.line, told.encoding) == (line, UNREADABLE)
    assert json.loads(told.payload) == {"file": "f.csv", "error": reason, "line": header}
    assert (waiting.line, waiting.encoding) == (line + 1, LINE)
    error = f"the header of its file is not understood: see record f.csv#{line}"
    assert json.loads(waiting.payload) == {"error": error, "header": header, "line": "1,2"}


def test_a_header_that_is_too_long_is_not_beside_its_lines() -> None:
    told, waiting = rows("f.csv", b"a" * 41 + b"\n1")
    assert json.loads(told.payload)["error"] == "the header is longer than 40 bytes"
    assert json.loads(told.payload)["line"] == "a" * 41
    assert set(json.loads(waiting.payload)) == {"error", "line"}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_text_of_other_unicode_encodings_is_read(encoding: str, chunk: int) -> None:
    text = "name,b\né,2\n"
    assert objects(rows("f.csv", text.encode(encoding), chunk=chunk)) == [(2, {"name": "é", "b": "2"})]


def test_a_gz_cut_short_keeps_the_rows_before_the_cut() -> None:
    content = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(2000)))
    found = rows("f.csv.gz", content[: len(content) // 2], Limits())
    kept = len(found) - 1
    assert 100 < kept < 1900
    assert objects(found[:kept]) == [(n + 2, {"a": str(n), "b": str(n * n)}) for n in range(kept)]
    assert fault(found[kept]) == (kept + 2, "f.csv.gz", "broken gz: cut short")


def test_a_fault_inside_a_record_of_several_lines_is_numbered_by_the_records_first_line() -> None:
    packer = zlib.compressobj(wbits=31)
    content = packer.compress(b'a\n1\n"2\n3\n') + packer.flush(zlib.Z_SYNC_FLUSH)
    found = rows("f.csv.gz", content)
    assert found[0] == Row(2, '{"a":"1"}', UTF8)
    assert [fault(row) for row in found[1:]] == [(3, "f.csv.gz", "broken gz: cut short")]


def test_members_of_a_gz_follow_each_other_and_zeros_may_pad_its_end() -> None:
    content = gzip.compress(b"") + gzip.compress(b"a\n1\n2") + gzip.compress(b"3\n") + b"\0" * 9
    for chunk in (1, 7, 1000):
        assert objects(rows("f.csv.gz", content, chunk=chunk)) == [(2, {"a": "1"}), (3, {"a": "23"})]


def test_a_wrong_checksum_is_a_fault_after_the_rows() -> None:
    content = bytearray(gzip.compress(b"{}\n{}\n"))
    content[-8] ^= 1
    found = rows("f.json.gz", bytes(content))
    assert found[:-1] == [] or objects(found[:-1]) == [(1, {}), (2, {})]
    assert fault(found[-1])[2] == "broken gz: Error -3 while decompressing data: incorrect data check"


def test_a_zip_bomb_ends_at_the_limit() -> None:
    content = gzip.compress(b"{}\n" * 100_000)
    found = rows("f.json.gz", content)
    assert fault(found[-1])[2].startswith("it unpacks to more than ")
    assert len(found) < 2000


@pytest.mark.parametrize("path", ["f.csv.gz", "f.json.gz"])
def test_a_large_file_is_never_in_memory_as_a_whole(path: str) -> None:
    line = b'{"a":"' + b"x" * 1000 + b'"}\n'
    packer = zlib.compressobj(wbits=31)
    content = b"".join(packer.compress(line * 1000) for _ in range(32)) + packer.flush()
    tracemalloc.start()
    count = sum(1 for _ in read_rows(path, iter([content]), len(content), Limits(expansion=2000)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 32_000 - (path == "f.csv.gz")
    assert peak < 8_000_000


def test_payloads_that_grow_far_beyond_the_file_end_at_the_limit() -> None:
    content = b"a" * 30 + b"\n" + b"1\n" * 300
    found = rows("f.csv", content)
    limit = SMALL.allowed(len(content))
    assert fault(found[-1]) == (len(found) + 1, "f.csv", f"its rows take more than {limit} bytes")
    assert limit - 50 < sum(len(row.payload) for row in found[:-1]) <= limit


@pytest.mark.parametrize("chunk", [7, 1000])
def test_a_line_beyond_the_limit_ends_the_file_there(chunk: int) -> None:
    reason = "line 2 is longer than 64 bytes"
    found = rows("f.json", b"{}\n" + b"1" * 100 + b"\n{}\n", chunk=chunk)
    assert (found[0], fault(found[1]), len(found)) == (Row(1, "{}", UTF8), (2, "f.json", reason), 2)
    (only,) = rows("f.csv", b"a\n" + b"1" * 100 + b"\n2\n", chunk=chunk)
    assert fault(only) == (2, "f.csv", reason)


def test_a_cell_beyond_the_csv_modules_own_limit_is_read() -> None:
    found = rows("f.csv", b"a\n" + b"x" * 200_000 + b"\n", Limits())
    assert objects(found) == [(2, {"a": "x" * 200_000})]


def test_parquet_values_are_exact() -> None:
    table = pa.table(
        {
            "decimal": pa.array([Decimal("1.10"), Decimal("0E-10"), None], pa.decimal128(20, 10)),
            "double": pa.array([0.1, float("nan"), float("-inf")]),
            "float": pa.array([0.1, float("nan"), 2.0], pa.float32()),
            "us": pa.array([datetime(2010, 12, 1, 8, 26), datetime(1969, 12, 31, 23, 59, 59, 500000), None]),
            "ns": pa.array([1_500_000_001, 1_500_000_000, -1], pa.timestamp("ns", "UTC")),
            "far": pa.array([2**60, -(2**60), 0], pa.timestamp("us")),
            "zone": pa.array([datetime(2011, 7, 1, 12, tzinfo=ZoneInfo("Europe/London"))] * 3),
            "date": pa.array([date(2010, 12, 1), None, None]),
            "later": pa.array([2**31 - 1, 0, None], pa.int32()).cast(pa.date32()),
            "text": pa.array(["", "é", None]),
            "binary": pa.array([b"85123A", b"", None]),
            "category": pa.array(["a", "b", "a"]).dictionary_encode(),
            "whole": pa.array([2**63 - 1, 0, None]),
            "flag": pa.array([True, False, None]),
            "list": pa.array([[Decimal("1.5")], [], None]),
            "struct": pa.array([{"at": datetime(2010, 12, 1)}, None, None]),
            "nothing": pa.nulls(3),
        }
    )
    found = objects(rows("f.parquet", parquet(table, row_group_size=2), Limits()))
    assert [line for line, _ in found] == [1, 2, 3]
    columns = {name: [row[name] for _, row in found] for name in table.column_names}
    assert columns == {
        "decimal": ["1.1000000000", "0.0000000000", None],
        "double": [0.1, None, "-inf"],
        "float": [0.1, None, 2.0],
        "us": ["2010-12-01T08:26:00Z", "1969-12-31T23:59:59.5Z", None],
        "ns": ["1970-01-01T00:00:01.500000001Z", "1970-01-01T00:00:01.5Z", "1969-12-31T23:59:59.999999999Z"],
        "far": [f"{2**60} us since 1970-01-01", f"{-(2**60)} us since 1970-01-01", "1970-01-01T00:00:00Z"],
        "zone": ["2011-07-01T11:00:00Z"] * 3,
        "date": ["2010-12-01", None, None],
        "later": [f"{2**31 - 1} days since 1970-01-01", "1970-01-01", None],
        "text": ["", "é", None],
        "binary": ["85123A", "", None],
        "category": ["a", "b", "a"],
        "whole": [2**63 - 1, 0, None],
        "flag": [True, False, None],
        "list": [["1.5"], [], None],
        "struct": [{"at": "2010-12-01T00:00:00Z"}, None, None],
        "nothing": [None, None, None],
    }


def test_a_parquet_text_that_is_no_utf8_makes_its_row_base64() -> None:
    column = pa.array([b"x", b"caf\xe9"]).view(pa.string())
    found = rows("f.parquet", parquet(pa.table({"a": column})), Limits())
    assert found == [Row(1, '{"a":"x"}', UTF8), Row(2, base64.b64encode(b'{"a":"caf\xe9"}').decode(), BASE64)]


def test_a_nested_value_that_python_has_not_is_text_in_its_row() -> None:
    column = pa.array([[0], [2**60]], pa.list_(pa.int64())).cast(pa.list_(pa.timestamp("us")))
    found = objects(rows("f.parquet", parquet(pa.table({"a": column})), Limits()))
    assert found[0] == (1, {"a": ["1970-01-01T00:00:00Z"]})
    assert found[1][1]["a"].startswith("unreadable list<")


def test_a_parquet_file_with_a_column_twice_or_damaged_later_says_so() -> None:
    twice = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    (row,) = rows("f.parquet", parquet(twice), Limits())
    assert fault(row) == (1, "f.parquet", "it names a column twice: 'a'")
    content = bytearray(parquet(pa.table({"a": [f"value {n}" for n in range(5000)]}), row_group_size=2500))
    second = pq.ParquetFile(io.BytesIO(bytes(content))).metadata.row_group(1).column(0)
    start = second.dictionary_page_offset
    assert start is not None
    content[start : start + 20] = b"\xff" * 20
    found = rows("f.parquet", bytes(content), Limits())
    assert objects(found[:-1]) == [(n + 1, {"a": f"value {n}"}) for n in range(2500)]
    line, path, reason = fault(found[-1])
    assert (line, path) == (2501, "f.parquet")
    assert reason.startswith("broken Parquet: ")


def test_a_parquet_bomb_ends_at_the_limit() -> None:
    content = parquet(pa.table({"a": pa.array(["x" * 1000] * 100_000)}))
    assert len(content) < 20_000
    found = rows("f.parquet", content, Limits(free_bytes=1_000_000, expansion=100))
    assert "more than" in fault(found[-1])[2]
    assert len(found) < 2000


def test_what_the_source_of_the_bytes_raises_goes_through() -> None:
    def failing() -> Iterator[bytes]:
        yield b"{}\n"
        raise ConnectionError("reset")

    for path in ("f.json", "f.csv", "f.parquet"):
        with pytest.raises(ConnectionError, match="reset"):
            list(read_rows(path, failing(), 10, SMALL))


PATHS = ["f.csv", "f.json", "f.parquet", "f.csv.gz", "f.json.gz", "f.csv.bz2", "f.zip", "f.tsv", "f.txt", "f.x"]
CSV_LIKE = st.lists(st.sampled_from([b'"', b",", b"\n", b"\r", b"a", b"\xc3\xa9", b"\xff", b"\0", b" "])).map(b"".join)
HOSTILE = st.one_of(st.binary(), CSV_LIKE)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.sampled_from(PATHS), HOSTILE, st.booleans(), st.integers(1, 40))
def test_no_bytes_raise_and_line_numbers_grow(path: str, content: bytes, packed: bool, chunk: int) -> None:
    stored = gzip.compress(content) if packed else content
    found = rows(path, stored, chunk=chunk)
    lines = [row.line for row in found]
    assert lines == sorted(set(lines))
    kinds = {row.encoding for row in found[:-1]}
    assert kinds <= {UTF8, BASE64} or (found[0].encoding, kinds) in [
        (UNREADABLE, {UNREADABLE}),
        (UNREADABLE, {UNREADABLE, LINE}),
    ]
    for row in found:
        row.payload.encode()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=8))
def test_no_damage_to_a_parquet_file_raises(position: int, damage: bytes) -> None:
    content = bytearray(parquet(pa.table({"a": [1, 2, 3], "b": ["x", None, "z"]})))
    content[position : position + len(damage)] = damage
    for row in rows("f.parquet", bytes(content), Limits()):
        row.payload.encode()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(CSV_LIKE, st.integers(1, 40))
def test_every_csv_byte_is_in_exactly_one_record(content: bytes, chunk: int) -> None:
    limits = Limits(record_lines=4)
    pieces = (content[start : start + chunk] for start in range(0, len(content), chunk))
    found = list(csv_records(physical_lines(pieces, limits, at_any_line_break), limits))
    lines = content.splitlines(keepends=True)
    blank = {number for number, line in enumerate(lines, 1) if not line.strip(b"\r\n")}
    covered: set[int] = set()
    for record in found:
        numbers = range(record.line, record.line + len(record.raw.splitlines()))
        assert record.raw == b"".join(lines[number - 1] for number in numbers)
        assert covered.isdisjoint(numbers)
        covered.update(numbers)
    assert set(range(1, len(lines) + 1)) - covered <= blank


@settings(max_examples=300, deadline=None, derandomize=True)
@given(HOSTILE, st.integers(1, 40))
def test_every_json_line_is_exactly_one_row(content: bytes, chunk: int) -> None:
    content = b"{}\n" + content
    lines = [line.removesuffix(b"\r") for line in content.split(b"\n")]
    wanted = [(number, line) for number, line in enumerate(lines, 1) if line and not line.isspace()]
    found = rows("f.json", content, Limits(), chunk)
    assert [
        (row.line, base64.b64decode(row.payload) if row.encoding == BASE64 else row.payload.encode()) for row in found
    ] == wanted


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(st.lists(CELL, min_size=3, max_size=3), max_size=8),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.integers(1, 40),
)
def test_well_formed_csv_reads_as_pythons_own_reader_does(
    cells: list[list[str]], line_break: str, quoting: Any, chunk: int
) -> None:
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, lineterminator=line_break, quoting=quoting)
    writer.writerows([["a", "b", "c"], *cells])
    wanted = list(csv.DictReader(io.StringIO(sink.getvalue(), newline="")))
    found = objects(rows("f.csv", sink.getvalue().encode(), Limits(), chunk))
    assert [row for _, row in found] == [{name: cell or None for name, cell in row.items()} for row in wanted]
