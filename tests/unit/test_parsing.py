"""The parser against an independent one in plain Python, over payloads made to break it."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lakehouse.contracts import Contracts, load_contracts
from lakehouse.engine.parse import parse
from lakehouse.engine.schemas import ERROR, arrow_schema, arrow_type, envelope_schema
from lakehouse.engine.types import typed, value
from lakehouse.settings import CONTRACTS
from tests.unit import reference_parser
from tests.unit.reference_parser import Parsed

ARRIVED = datetime(2010, 12, 1, 12, 0, tzinfo=UTC)
RECORDS: dict[str, dict[str, Any]] = {
    "pos": {
        "transaction_id": "536365",
        "line_number": 1,
        "store_id": 7,
        "product_id": "85123A",
        "quantity": 6,
        "unit_price": 2.55,
        "revenue": 15.3,
        "discount_applied": None,
        "customer_id": "17850",
        "timestamp": "2010-12-01T08:26:00Z",
    },
    "web_logs": {
        "event_id": "e-1",
        "session_id": "s-1",
        "user_id": None,
        "client_ip": "203.0.113.9",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
        "page": "/products/85123A?ref=mail",
        "event_type": "purchase",
        "product_id": "85123A",
        "campaign_id": "winter",
        "transaction_id": "536365",
        "order_value": 15.3,
        "referrer": "-",
        "country": "GB",
        "timestamp": 1291191960.123456,
    },
    "crm": {
        "interaction_id": "i-1",
        "case_id": "c-1",
        "customer_id": "17850",
        "interaction_type": "complaint",
        "status": "opened",
        "channel": "email",
        "rating": 2,
        "message_excerpt": "The heart came broken.",
        "timestamp": "2010-12-01 08:26:00.5+01:00",
    },
    "campaigns": {
        "campaign_id": "winter",
        "name": "Winter",
        "channel": "search",
        "date": "2010-12-01",
        "spend": "12.5",
    },
}
FRAMES = (
    *("%", " \t\r\n%\n", "%}", "%]", "%] junk", "%,", "%%", "%,%", '%,{"":""}] junk', "%//", "%\x00", "[%]", '"%"'),
    *("\ufeff%", "\x0b%", "\u00a0%", "(%)", "%;", "{%}", '{"payload":%}', "%\n%", "", " ", "null", "1", "{}", "{", "}"),
)
SCALARS = (
    *("null", "true", "false", "nul", "True", "NaN", "Infinity", "-INF", "'x'", "x", "undefined", "", "-", "+1", ".5"),
    *(
        "0",
        "-0",
        "-0.0",
        "00",
        "01",
        "-01",
        "1.",
        "1.0",
        "1.50",
        "6.000",
        "6.01",
        "0x10",
        "1_000",
        "1,000",
        "1e5",
        "1E-5",
    ),
    *("1e", "1e+", "1.5e1", "0e0", "0.5e-0", "2147483647", "2147483648", "-2147483648", "-2147483649", "1e400"),
    *("1e-400", "0e999999999999999999999", "1e-999999999999999999999", "1e999999999999999999999", "1e0000000000002"),
    *("99999999999999.99994", "99999999999999.99995", "-99999999999999.99995", "123456789012345678901234567890.5"),
    *("0.00005", "-0.00005", "0.00004999999999999999999999999999999999999999999999999999999", "0.1000000000000000055"),
    *("9007199254740993", "9007199254740993.0", "1291191960.1234565", "1291191960123", "99999999999", "99999999999.9"),
    *(
        "100000000000",
        "99999999999.9999994",
        "-62135596800",
        "-99999999999",
        "946684799.999999",
        "946684800",
        "1291291200",
    ),
    *("1291291200.000001", "3e9", '"12,5"', '"1 000"', '"\\u0665"', '"\\uff11"', '" 5 "', '"\\t5\\r\\n"', '"\\u000b5"'),
    *('"\\u00a05"', '"\\u00005"', '"5\\u0000"', '"+5"', '"--5"', '"5-"', '".5"', '"5."', '"."', '"+"', '"1e3"', '" "'),
    *('""', '"\\n"', '"null"', '"NaN"', '"true"', '"0x1p3"', '"1d"', '"1f"', '"1L"', '"Infinity"', '"1e5.0"', '"-"'),
    *(
        '"2010-12-01"',
        '"2010-12-01T08:26"',
        '"2010-12-01 08:26Z"',
        '"2010-12-01T08:26+01:00"',
        '"2010-12-01T08:26:00."',
    ),
    *('"2010-12-01T08:26:00.1234567"', '"2010-12-01T08:26:00.123456-18:00"', '"2010-12-01T08:26:00+18:01"'),
    *('"2010-12-01T08:26:00+05:60"', '"2010-12-01T24:00:00"', '"2010-12-01T08:60:00"', '"2010-12-01T08:26:60"'),
    *('"2010-02-29T00:00:00"', '"2000-02-29T00:00:00"', '"1999-12-31T23:59:59.999999Z"', '"2000-01-01T00:59:59+01:00"'),
    *(
        '"2010-12-02T12:00:00Z"',
        '"2010-12-02T12:00:00.000001Z"',
        '"0000-01-01T00:00:00"',
        '"0000-02-30"',
        '"9999-12-31"',
    ),
    *('"2010-12-1T08:26:00"', '"12010-12-01T08:26:00"', '"2010-12-01t08:26:00z"', '"2010-12-01T08:26:00 Z"', '"now"'),
    *(
        '"2010-12-01T08:26:00 UTC"',
        '"2010-12-01T08:26:00[UTC]"',
        '"T08:26"',
        '"today"',
        '"epoch"',
        '"2010-335"',
        '"2010"',
    ),
    *(
        '"2010-13-01"',
        '"2010-12-00"',
        '"2010-12-01T"',
        '" 2010-12-01\\n"',
        '"2010-12-02"',
        '"2010-12-03"',
        '"1999-12-31"',
    ),
    *("{}", "[]", "[1]", '{"a":1.50}', '"{}"', '"[]"', '"{\\"a\\":1}"', '"[1.50, 2]"', '"{"', '"["', '"={"', '[["x"]]'),
    *(
        '"GB"',
        '"GB\\n"',
        '"gb"',
        '"GBR"',
        '"view"',
        '"View"',
        '"view "',
        '"x\\u0000y"',
        '"\\ud800"',
        '"\\ud83d\\ude00"',
    ),
    *('"\\udc00\\ud800x"', '"\\x"', '"\\u12"', '"\\\'"', '"a\\/b\\b\\f"', '"a\tb"', '"a\x01b"', '"a\x7fb"', '"\u2028"'),
    *(
        '"\x00"',
        '"é"',
        '"e\\u0301"',
        '"😀"',
        '"\ufeff"',
        '"a"b"',
        '"a',
        'a"',
        '"\\"',
        '"\\\\"',
        '"1.5,\\"x\\":2.5,"',
        '"=x"',
    ),
    *(
        f'"{"x" * 128}"',
        f'"{"x" * 129}"',
        f'"{"😀" * 128}"',
        f'"{"0" * 999}5"',
        f'"{"0" * 1000}5"',
        "1" * 900,
        "1" * 1200,
    ),
    *("0." + "1" * 900, "0." + "1" * 1200, "-" + "1" * 1300 + ".5", "[" * 99 + "]" * 99, "[" * 100 + "]" * 100),
    *(
        '{"a":' * 99 + "1" + "}" * 99,
        '{"a":' * 100 + "1" + "}" * 100,
        "[" * 50 + "]" * 49,
        "[1.5,[2.5,{}]]",
        "/**/1",
        "1//",
    ),
)


@pytest.fixture(scope="module")
def contracts() -> Contracts:
    return load_contracts(CONTRACTS)


def bronze(contracts: Contracts, payloads: Sequence[str | None], encoding: str | None = "utf8") -> pa.Table:
    rows = [
        (f"s/0/{n}", payload, encoding, ARRIVED, ARRIVED, "k", ARRIVED.date()) for n, payload in enumerate(payloads)
    ]
    schema = envelope_schema(contracts)
    columns = zip(*rows, strict=True) if rows else [[] for _ in schema]
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def as_text(column: "pa.ChunkedArray[Any]") -> list[str | None]:
    """Values as the reference writes them: Python has neither a year 0 nor one way to write a decimal."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    if pa.types.is_decimal(column.type):
        return [None if number is None else f"{number:f}" for number in column.to_pylist()]
    return column.cast(pa.string()).to_pylist()


def parsed(contracts: Contracts, source: str, payloads: Sequence[str]) -> list[Parsed]:
    """What the engine makes of the payloads, after seeing that each came out once, in its place."""
    contract = contracts.source(source)
    rows = parse(bronze(contracts, payloads), contract)
    rows.validate(full=True)
    assert rows["payload"].to_pylist() == payloads
    names = contract.column_names
    values = zip(*(as_text(rows[name]) for name in names), strict=True)
    return [
        Parsed(
            values=dict(zip(names, each, strict=True)),
            errors=[(error["rule"], error["column"]) for error in row["errors"]],
            undeclared=row["undeclared"],
        )
        for each, row in zip(values, rows.select(["errors", "undeclared"]).to_pylist(), strict=True)
    ]


def assert_like_reference(contracts: Contracts, source: str, payloads: Sequence[str]) -> None:
    contract = contracts.source(source)
    for payload, got in zip(payloads, parsed(contracts, source, payloads), strict=True):
        assert got == reference_parser.parse(payload, "utf8", ARRIVED, contract), payload[:300]


def record(source: str, **fields: str) -> str:
    """A good record as JSON text, with the source text of some of its fields replaced."""
    texts = {name: json.dumps(value) for name, value in RECORDS[source].items()} | fields
    return "{" + ",".join(f"{json.dumps(name)}: {text}" for name, text in texts.items()) + "}"


@pytest.mark.parametrize("source", RECORDS)
def test_good_record_has_no_errors(contracts: Contracts, source: str) -> None:
    (got,) = parsed(contracts, source, [record(source)])
    assert (got.errors, got.undeclared) == ([], [])
    assert got == reference_parser.parse(record(source), "utf8", ARRIVED, contracts.source(source))


def test_good_record_gives_these_values(contracts: Contracts) -> None:
    source = contracts.source("pos")
    rows = parse(bronze(contracts, [record("pos")]), source)
    assert rows.schema.equals(
        pa.schema(
            [
                *envelope_schema(contracts),
                *arrow_schema(source),
                pa.field("errors", pa.list_(ERROR)),
                pa.field("undeclared", pa.list_(pa.string())),
            ]
        )
    )
    assert rows.to_pylist() == [
        {
            "record_id": "s/0/0",
            "payload": record("pos"),
            "payload_encoding": "utf8",
            "arrived_at": ARRIVED,
            "ingested_at": ARRIVED,
            "partition_key": "k",
            "ingest_date": ARRIVED.date(),
            "transaction_id": "536365",
            "line_number": 1,
            "store_id": 7,
            "product_id": "85123A",
            "quantity": 6,
            "unit_price": Decimal("2.5500"),
            "revenue": Decimal("15.3000"),
            "discount_applied": None,
            "customer_id": "17850",
            "event_time": datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
            "errors": [],
            "undeclared": [],
        }
    ]


@pytest.mark.parametrize("source", RECORDS)
def test_a_batch_may_be_empty_and_come_in_pieces(contracts: Contracts, source: str) -> None:
    contract = contracts.source(source)
    nothing, one = parse(bronze(contracts, []), contract), parse(bronze(contracts, [record(source)]), contract)
    assert (nothing.num_rows, nothing.schema) == (0, one.schema)
    some = bronze(contracts, [record(source), "{", record(source, extra="1")])
    pieces = pa.concat_tables([some.slice(0, 2), some.slice(2), some.slice(3)])
    assert parse(pieces, contract).to_pylist() == parse(some, contract).to_pylist()


def test_columns_that_a_caller_adds_stay_as_they_are(contracts: Contracts) -> None:
    rows = bronze(contracts, [record("pos"), "{"]).append_column("batch", pa.array([7, None]))
    assert parse(rows, contracts.source("pos"))["batch"].to_pylist() == [7, None]


@pytest.mark.parametrize(
    ("source", "fields"),
    [
        ("pos", ("transaction_id", "quantity", "unit_price", "timestamp")),
        ("web_logs", ("event_id", "event_type", "country", "timestamp")),
        ("crm", ("message_excerpt", "rating", "timestamp")),
        ("campaigns", ("date", "spend")),
    ],
)
def test_every_hostile_field_is_judged_as_the_reference_judges_it(
    contracts: Contracts, source: str, fields: Sequence[str]
) -> None:
    hostile = [record(source, **{field: scalar}) for field in fields for scalar in SCALARS]
    assert_like_reference(contracts, source, hostile)


def test_every_hostile_frame_is_judged_as_the_reference_judges_it(contracts: Contracts) -> None:
    good = record("crm")
    framed = [frame.replace("%", good) for frame in FRAMES]
    doubled = [record("crm")[:-1] + f",{extra}}}" for extra in ('"rating":3', '"new":1,"new":2', '"a":{"x":1,"x":2}')]
    renamed = [good.replace('"rating"', name) for name in ("rating", "'rating'", '"Rating"', '"rating "', '""', "5")]
    cut = [good[:length] for length in range(0, len(good), 7)]
    assert_like_reference(contracts, "crm", framed + doubled + renamed + cut)


def test_huge_payloads_are_judged_as_the_reference_judges_them(contracts: Contracts) -> None:
    megabyte = 2**20
    huge = [
        record("crm", message_excerpt=f'"{"x" * megabyte}"'),
        record("crm", message_excerpt='"' + '\\"' * megabyte + '"'),
        record("crm", message_excerpt="[" * megabyte),
        record("crm", message_excerpt='{"a":' * 5000 + "1" + "}" * 5000),
        record("crm", rating="1" * 10 * megabyte),
        record("crm", rating="0." + "1" * 10 * megabyte),
        record("crm", rating=f'"{"1" * 10 * megabyte}"'),
        record("crm", rating=f'"{" " * megabyte}5"'),
        record("crm", timestamp=f'"{"0" * megabyte}"'),
        record("crm", rating="1" + " " * megabyte),
        record("crm", rating="1.5," * megabyte + '"x":1'),
        record("crm")[:-1] + "".join(f',"f{n}":{n}.5' for n in range(50_000)) + "}",
        record("crm")[:-1] + f',"{"n" * 50_100}":1}}',
        '"' * 3 * megabyte,
        "\\" * megabyte,
        "-" * megabyte,
    ]
    contract = contracts.source("crm")
    got = parsed(contracts, "crm", huge)
    expected = [reference_parser.parse(payload, "utf8", ARRIVED, contract) for payload in huge]
    assert [each.errors for each in got] == [each.errors for each in expected]
    assert [each.values for each in got] == [each.values for each in expected]
    assert [each.undeclared for each in got] == [each.undeclared[:100] for each in expected]


@cache
def numberish() -> st.SearchStrategy[str]:
    return st.from_regex(r"\A[+-]?[0-9]{0,24}(\.[0-9]{0,24})?([eE][+-]?[0-9]{1,6})?\Z")


@cache
def times() -> st.SearchStrategy[str]:
    return st.from_regex(
        r"\A([0-9]{4}|(19|20)[0-9]{2})-[01][0-9]-[0-3][0-9]"
        r"([T ][0-2][0-9]:[0-6][0-9](:[0-6][0-9](\.[0-9]{1,7})?)?(Z|[+-][0-2][0-9]:[0-6][0-9])?)?\Z"
    )


@cache
def texts() -> st.SearchStrategy[str]:
    """What a field of type string may bring, most of it nearly a value of some other type."""
    whole = st.from_regex(r"\A-?[0-9]{1,24}(\.[0-9]{1,6})?\Z")
    odd = st.sampled_from(("true", "false", "", " ", "TRUE", "-", "\u0663", "\uff11"))
    nearly = st.one_of(whole, numberish(), times(), odd)
    padded = st.tuples(st.sampled_from(("", " ", "\n", "\u00a0", "+")), nearly, st.sampled_from(("", "\t", "\n", "\0")))
    return st.one_of(nearly, padded.map("".join), st.text(st.characters(exclude_categories=["Cs"]), max_size=6))


@cache
def scalars() -> st.SearchStrategy[str]:
    texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
    return st.one_of(
        st.sampled_from(SCALARS),
        numberish(),
        numberish().map(json.dumps),
        times().map(json.dumps),
        texts.map(json.dumps),
        texts.map(lambda text: f'"{text}"'),
    )


@st.composite
def payloads(draw: st.DrawFn, source: str) -> str:
    edits = draw(st.dictionaries(st.sampled_from([*RECORDS[source], "extra"]), scalars(), max_size=3))
    text = record(source, **edits)
    if draw(st.integers(0, 9)) == 0:
        text = draw(st.sampled_from(FRAMES)).replace("%", text)
    if draw(st.integers(0, 9)) == 0:
        place = draw(st.integers(0, len(text)))
        text = (
            text[:place]
            + draw(st.sampled_from(["", '"', "\\", "{", "}", "[", "]", ",", ":", "0", "e", "\x00"]))
            + text[place + 1 :]
        )
    return text


search = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("source", ["pos", "web_logs", "crm", "campaigns"])
def test_any_payload_is_judged_as_the_reference_judges_it(contracts: Contracts, source: str) -> None:
    @search
    @given(st.lists(payloads(source), min_size=1, max_size=20))
    def judged_alike(batch: list[str]) -> None:
        assert_like_reference(contracts, source, batch)

    judged_alike()


TYPES = ("string", "int", "bigint", "boolean", "timestamp", "date", "decimal(18,4)", "decimal(5,0)", "decimal(38,38)")


@pytest.mark.parametrize("type_name", TYPES)
def test_a_column_of_texts_has_the_values_that_each_text_has(type_name: str) -> None:
    @settings(search, max_examples=60)
    @given(st.lists(st.none() | texts(), max_size=20))
    def alike(batch: list[str | None]) -> None:
        expected = [None if text is None else value(text, type_name) for text in batch]
        found = typed(pa.array(batch, pa.string()), type_name)
        assert found.equals(pa.array(expected, arrow_type(type_name))), (batch, found, expected)

    alike()


@pytest.mark.parametrize(
    ("encoding", "payload", "error"),
    [
        ("utf8", "", ("malformed_json", None, "", "must be one JSON object with each field once")),
        ("utf8", "x" * 300, ("malformed_json", None, "x" * 200, "must be one JSON object with each field once")),
        ("base64", "/w==", ("not_utf8", None, "/w==", "must be UTF-8 text; the payload is kept as base64")),
        (
            "unreadable",
            '{"file":"pos/a.csv.gz","error":"gzip ends early"}',
            ("unreadable_file", None, "pos/a.csv.gz", "the file could not be read to its end: gzip ends early"),
        ),
        ("unreadable", "?", ("unreadable_file", None, None, "the file could not be read to its end: reason unknown")),
        ("unreadable", None, ("unreadable_file", None, None, "the file could not be read to its end: reason unknown")),
        ("utf8", None, ("malformed_json", None, None, "must be one JSON object with each field once")),
        (None, "{}", ("malformed_json", None, "{}", "must be one JSON object with each field once")),
    ],
)
def test_record_that_gives_no_fields_says_why(
    contracts: Contracts, encoding: str | None, payload: str | None, error: tuple[Any, ...]
) -> None:
    (row,) = parse(bronze(contracts, [payload], encoding), contracts.source("pos")).to_pylist()
    assert [tuple(each.values()) for each in row["errors"]] == [error]
    assert row["undeclared"] == []
    assert row["transaction_id"] is None
