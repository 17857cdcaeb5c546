"""The oracle reads landing files by rules of its own, and finds the records that the readers find."""

import json
from datetime import UTC, datetime

from hypothesis import example, given, settings
from hypothesis import strategies as st

from batch.lines import BASE64, LINE, UNREADABLE, Limits
from batch.readers import read_rows
from lakehouse.contracts import load_contracts
from lakehouse.settings import CONTRACTS
from local.oracle.checking import arrivals_of_file
from local.oracle.deliveries import DeliveredFile
from local.oracle.lexical import Malformed, fields_of

CONTRACT_OF = load_contracts(CONTRACTS)
NOW = datetime(2024, 3, 1, tzinfo=UTC)
HEADER = b"store_id,region,country,valid_from"
LINES = [
    HEADER,
    HEADER.upper() + b",,",
    HEADER.replace(b",", b" , "),
    HEADER.replace(b",", b";"),
    b"store_id,region,region",
    b"region,note",
    b"1,North,GB,2010-01-01T00:00:00Z",
    b"1,North,GB,2010-01-01T00:00:00Z,",
    b"1,North",
    b"caf\xe9,North,GB,2010",
    b"Report of the stores",
    b"",
    b"sep=;",
    b"1;2;3;4",
]
TILL = b"transaction_id,discount_applied,customer_id,timestamp\nNULL,NULL,nan,2024-03-01T10:00:00.123456789Z\n"


def found(path: str, content: bytes) -> list[tuple[str, object]]:
    """What the readers find: each record's number with its fields, or what it breaks."""
    result: list[tuple[str, object]] = []
    source = CONTRACT_OF.source(path.partition("/")[0])
    for row in read_rows(path, iter([content]), len(content), Limits(), source):
        rule = {BASE64: "not_utf8", LINE: "malformed_json", UNREADABLE: "unreadable_file"}.get(row.encoding)
        result.append((f"{path}#{row.line}", rule or _fields(row.payload)))
    return result


def _fields(payload: str) -> object:
    try:
        return fields_of(payload)
    except Malformed:
        return "malformed_json"


def expected(path: str, content: bytes) -> list[tuple[str, object]]:
    return [
        (arrival.record_id, arrival.rule or dict(arrival.fields))
        for arrival in arrivals_of_file(DeliveredFile(path, NOW, content))
    ]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from(LINES), min_size=1, max_size=8),
    st.sampled_from([b"\n", b"\r\n"]),
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.sampled_from([b"", b"\0" * 64]),
)
@example([HEADER, LINES[6], HEADER, LINES[6]], b"\n", b"", b"")
def test_the_oracle_finds_the_records_of_a_file_whatever_its_header(
    lines: list[bytes], line_break: bytes, mark: bytes, filling: bytes
) -> None:
    content = mark + line_break.join([*lines, b""]) + filling
    wanted = expected("stores/f.csv", content)
    # A file of nothing is told by the readers; the oracle has no record of it to follow.
    assert found("stores/f.csv", content) == (wanted or [("stores/f.csv#1", "unreadable_file")]) or not wanted


def test_the_oracle_knows_words_for_null_and_arrays() -> None:
    assert found("pos/f.csv", TILL) == expected("pos/f.csv", TILL)
    assert expected("pos/f.csv", TILL)[0][1] == {
        "transaction_id": "NULL",
        "discount_applied": None,
        "customer_id": None,
        "timestamp": "2024-03-01T10:00:00.123456Z",
    }
    array = json.dumps([{"customer_id": "-"}, {"customer_id": "C1"}]).encode()
    assert found("pos/f.json", array) == expected("pos/f.json", array)
    text = (HEADER + b"\n" + LINES[6]).decode().encode("utf-16")
    assert found("stores/f.csv", text) == expected("stores/f.csv", text)
