"""Headers of landing files against their contract: whatever the header is, every line is a record or is told."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batch.csv_records import csv_records
from batch.lines import LINE, UNREADABLE, UTF8, Limits, Row, at_any_line_break, physical_lines
from batch.readers import read_rows
from lakehouse.contracts import Contract, load_contracts
from lakehouse.dialect import Dialect, read_dialect
from lakehouse.rereading import reread
from lakehouse.settings import CONTRACTS

STORES = load_contracts(CONTRACTS).source("stores")
FIELDS = tuple(column.name for column in STORES.columns)
HEADER = b"store_id,region,country,valid_from\n"
LINE_1 = b"1,North,GB,2010-01-01T00:00:00Z\n"
RECORD_1 = {"store_id": "1", "region": "North", "country": "GB", "valid_from": "2010-01-01T00:00:00Z"}


def rows(content: bytes, contract: Contract = STORES, chunk: int = 1 << 20, path: str = "stores/f.csv") -> list[Row]:
    pieces = (content[start : start + chunk] for start in range(0, len(content), chunk))
    return list(read_rows(path, pieces, len(content), Limits(), contract))


def with_dialect(**dialect: Any) -> Contract:
    return replace(STORES, dialect=read_dialect(dialect, FIELDS))


def objects(found: list[Row]) -> list[tuple[int, Any]]:
    assert {row.encoding for row in found} <= {UTF8}
    return [(row.line, json.loads(row.payload)) for row in found]


def test_a_file_without_a_header_loses_no_line_and_is_told_once() -> None:
    told, waiting = rows(LINE_1 + b"2,South,GB,2010-01-01T00:00:00Z\n")
    assert (told.line, told.encoding) == (1, UNREADABLE)
    assert json.loads(told.payload) == {
        "file": "stores/f.csv",
        "error": (
            "the header shares no name with the contract stores: declare the source's dialect (lakehouse try FILE "
            "--source stores shows it); expected store_id, region, country, valid_from; found "
            "'1,North,GB,2010-01-01T00:00:00Z'"
        ),
        "line": LINE_1.decode().strip(),
    }
    assert (waiting.line, waiting.encoding) == (2, LINE)
    assert json.loads(waiting.payload) == {
        "error": "the header of its file is not understood: see record stores/f.csv#1",
        "header": LINE_1.decode().strip(),
        "line": "2,South,GB,2010-01-01T00:00:00Z",
    }


def test_a_file_of_one_line_that_is_no_header_is_one_record() -> None:
    (told,) = rows(LINE_1)
    assert (told.line, told.encoding, json.loads(told.payload)["line"]) == (1, UNREADABLE, LINE_1.decode().strip())


def test_lines_of_a_file_without_a_header_are_read_once_their_columns_are_declared() -> None:
    contract = with_dialect(columns=list(FIELDS))
    found = [reread(f"stores/f.csv#{row.line}", row.payload, row.encoding, contract) for row in rows(LINE_1 * 2)]
    assert [(json.loads(payload), encoding) for payload, encoding in found] == [(RECORD_1, UTF8)] * 2
    assert objects(rows(LINE_1 * 2, contract)) == [(1, RECORD_1), (2, RECORD_1)]


def test_another_delimiter_is_named_and_its_lines_are_read_once_it_is_declared() -> None:
    content = (HEADER + LINE_1).replace(b",", b";")
    told, waiting = rows(content)
    assert "its delimiter is ';': declare the source's dialect" in json.loads(told.payload)["error"]
    contract = with_dialect(delimiter=";")
    payload, encoding = reread("stores/f.csv#2", waiting.payload, waiting.encoding, contract)
    assert (json.loads(payload), encoding) == (RECORD_1, UTF8)
    # The header stays what it is, a fault that was told.
    assert reread("stores/f.csv#1", told.payload, told.encoding, contract) == (told.payload, UNREADABLE)
    assert objects(rows(content, contract)) == [(2, RECORD_1)]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(HEADER.upper() + LINE_1, id="upper case"),
        pytest.param(HEADER.replace(b",", b" , ") + LINE_1, id="blanks around names"),
        pytest.param((HEADER + LINE_1).replace(b",", b", "), id="a blank behind every delimiter"),
        pytest.param(HEADER.replace(b"\n", b",,,\n") + LINE_1, id="names of empty columns"),
        pytest.param(HEADER + LINE_1.replace(b"\n", b",,\n"), id="empty cells behind the last"),
        pytest.param(HEADER.replace(b"\n", b",,,\n") + LINE_1.replace(b"\n", b",,\n"), id="some of each"),
        pytest.param(b"\xef\xbb\xbf\xef\xbb\xbf" + HEADER + LINE_1, id="two byte order marks"),
        pytest.param((HEADER + LINE_1).decode().encode("utf-16"), id="UTF-16"),
        pytest.param((HEADER + LINE_1).decode().encode("utf-16-be"), id="UTF-16 without a mark"),
        pytest.param(HEADER + LINE_1 + b"\x1a", id="the end of a DOS file"),
        pytest.param(HEADER + LINE_1 + b"\0" * 512, id="filled up with zeros"),
        pytest.param(b'"store_id","region","country","valid_from"\r\n' + LINE_1, id="a header in quotes"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 1000])
def test_what_tools_do_to_a_file_is_read_where_there_is_no_doubt(content: bytes, chunk: int) -> None:
    assert objects(rows(content, chunk=chunk)) == [(2, RECORD_1)]


def test_a_line_that_says_the_separator_is_obeyed() -> None:
    content = b'"sep=;"\r\n' + (HEADER + LINE_1).replace(b",", b";")
    assert objects(rows(content)) == [(3, RECORD_1)]


def test_lines_above_the_header_and_the_header_once_more_are_told_as_such() -> None:
    found = rows(b"Stores\nPrinted 2024-03-01, all regions\n\n" + HEADER + LINE_1 + HEADER + LINE_1)
    waiting = {"line": HEADER.decode().strip(), "error": "it is the header once more"}
    assert [(row.line, row.encoding) for row in found] == [(1, LINE), (2, LINE), (5, UTF8), (6, LINE), (7, UTF8)]
    assert json.loads(found[0].payload) == {"error": "it stands above the header", "line": "Stores"}
    assert json.loads(found[3].payload) == waiting
    assert json.loads(found[2].payload) == json.loads(found[4].payload) == RECORD_1


def test_what_is_in_a_column_without_a_name_is_kept_under_its_place() -> None:
    content = b",store_id,,region,country,valid_from,\n0,1,,North,GB,2010-01-01T00:00:00Z,note\n"
    assert objects(rows(content)) == [(2, {"column_1": "0", **RECORD_1, "column_7": "note"})]
    assert rows(HEADER + LINE_1.replace(b"\n", b",more\n")) == [Row(2, LINE_1.decode().strip() + ",more", UTF8)]


def test_a_fault_behind_a_header_that_lacks_a_column_costs_no_row_before_it() -> None:
    content = b"store_id,region\n1,North\n2,South\n" + b"x" * 200
    found = list(read_rows("stores/f.csv", iter([content]), len(content), Limits(line_bytes=100), STORES))
    assert [row.encoding for row in found] == [UTF8, UTF8, UNREADABLE]
    assert found[2].line == 4


PIECES = st.lists(
    st.sampled_from([HEADER, LINE_1, b"\n", b",", b'"', b"\r\n", b"store_id", b"a;b", b"\xff", b"1,2,3,4\n"])
).map(b"".join)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(PIECES, st.integers(1, 40))
@example(HEADER + HEADER, 1)
def test_every_line_is_a_record_or_told_whatever_the_header(content: bytes, chunk: int) -> None:
    """All records of the file but one at most, which is the header in force."""
    found = rows(content, chunk=chunk)
    told = [row.line for row in found]
    assert told == sorted(set(told))
    records = {each.line: each for each in csv_records(physical_lines(iter([content]), Limits(), at_any_line_break))}
    if not records:
        assert [row.encoding for row in found] == [UNREADABLE]
        return
    headers = [records[line].cells for line in records.keys() - set(told)]
    assert set(told) <= records.keys()
    if any(row.encoding == UNREADABLE for row in found):
        assert headers == []
    else:
        (header,) = headers
        assert set(header or ()) & set(FIELDS)


CELLS = st.text(st.sampled_from("aé1,;\t\"' "), min_size=1, max_size=6)
DIALECTS = [Dialect(delimiter=";"), Dialect(delimiter="\t"), Dialect(delimiter="|"), Dialect(columns=FIELDS)]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS), max_size=6), st.sampled_from(DIALECTS))
def test_a_line_read_again_is_as_if_its_dialect_had_been_declared_before(
    lines: list[tuple[str, ...]], dialect: Dialect
) -> None:
    contract = replace(STORES, dialect=dialect)
    content = "".join(_lines(lines, dialect)).encode()
    if not content:
        return
    before = rows(content)
    again = [(row.line, *reread(f"stores/f.csv#{row.line}", row.payload, row.encoding, contract)) for row in before]
    told = {row.line for row in before if row.encoding in (LINE, UNREADABLE)}
    wanted = {row.line: (row.payload, row.encoding) for row in rows(content, contract)}
    for line, payload, encoding in again:
        if line in told and wanted.get(line, ("", ""))[1] == UTF8 and wanted[line][0].startswith("{"):
            assert (payload, encoding) == wanted[line]
        assert reread(f"stores/f.csv#{line}", payload, encoding, contract) == (payload, encoding)


def _lines(lines: list[tuple[str, ...]], dialect: Dialect) -> Iterator[str]:
    delimiter = dialect.delimiter or ","
    for cells in lines if dialect.columns else [FIELDS, *lines]:
        yield delimiter.join('"' + cell.replace('"', '""') + '"' for cell in cells) + "\n"
