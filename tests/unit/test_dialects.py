"""A source's dialect: what its contract may say, what that makes of a record, and that twice is as once."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.lines import LINE, UTF8, Limits, Row
from batch.readers import read_rows
from lakehouse.contracts import Contract, ContractError, load_contracts
from lakehouse.dialect import PLAIN, Dialect, DialectError, as_property, read_dialect
from lakehouse.odcs import read_contract
from lakehouse.path_fields import path_fields
from lakehouse.rereading import reread
from lakehouse.settings import CONTRACTS

POS = load_contracts(CONTRACTS).source("pos")
FIELDS = tuple(column.name for column in POS.columns)
HEADER = ",".join(FIELDS)


def spoken(**dialect: Any) -> Contract:
    return replace(POS, dialect=read_dialect(dialect, FIELDS))


def rows(content: str | bytes, contract: Contract, path: str = "pos/f.csv") -> list[Row]:
    raw = content if isinstance(content, bytes) else content.encode()
    return list(read_rows(path, iter([raw]), len(raw), Limits(), contract))


def values(contract: Contract, **cells: str) -> dict[str, Any]:
    """What a record with these cells becomes, and that reading it again leaves it as it is."""
    line = ",".join('"' + cells.get(name, "").replace('"', '""') + '"' for name in FIELDS)
    (row,) = rows(f"{HEADER}\n{line}\n", contract)
    assert reread("pos/f.csv#2", row.payload, row.encoding, contract) == (row.payload, UTF8)
    (plain,) = rows(f"{HEADER}\n{line}\n", replace(POS, dialect=PLAIN))
    assert reread("pos/f.csv#2", plain.payload, plain.encoding, contract) == (row.payload, UTF8)
    found = json.loads(row.payload, parse_float=str)
    return {name: found[name] for name in cells}


def test_the_shipped_contracts_read_the_words_that_mean_null_in_fields_that_may_be_missing() -> None:
    assert values(POS, customer_id="NULL", discount_applied="N/A") == {"customer_id": None, "discount_applied": None}
    assert values(POS, transaction_id="NULL", product_id="nan") == {"transaction_id": "NULL", "product_id": "nan"}
    assert values(spoken(), customer_id="NULL") == {"customer_id": "NULL"}
    assert values(spoken(nullWords=["-"], nullColumns=["product_id"]), product_id="-", customer_id="-") == {
        "product_id": None,
        "customer_id": "-",
    }


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,50", "1.50"),
        ("-1,5", "-1.5"),
        ("+007", 7),
        ("1.234", 1234),
        ("1.234.567,89", "1234567.89"),
        ("1 234,5", "1234.5"),
        ("1\u00a0234,5", "1234.5"),
        ("1'234,5", "1234.5"),
        ("1.50", "1.50"),
        ("12.34,5", "12.34,5"),
        ("", None),
        ("1e3", "1e3"),
    ],
)
def test_a_decimal_comma_is_read_to_the_digit_and_once(text: str, number: Any) -> None:
    assert values(spoken(decimal=","), unit_price=text, transaction_id="1,50") == {
        "unit_price": number,
        "transaction_id": "1,50",
    }


@pytest.mark.parametrize(
    ("times", "text", "time"),
    [
        ({"formats": ["%d.%m.%Y %H:%M"]}, "01.03.2024 10:00", "2024-03-01T10:00:00Z"),
        ({"formats": ["%d.%m.%Y"], "zone": "Europe/Berlin"}, "01.07.2024", "2024-06-30T22:00:00Z"),
        ({"formats": ["%d/%m/%Y %H:%M %z"]}, "01/03/2024 10:00 +0200", "2024-03-01T08:00:00Z"),
        ({"formats": ["%d.%m.%Y"]}, "2024-03-01T10:00:00Z", "2024-03-01T10:00:00Z"),
        ({"formats": ["%d.%m.%Y"]}, "31.02.2024", "31.02.2024"),
        ({"zone": "Europe/London"}, "2024-07-01 12:00:00.1234567", "2024-07-01T11:00:00.1234567Z"),
        ({"zone": "Europe/London"}, "2024-07-01 12:00:00+00:00", "2024-07-01 12:00:00+00:00"),
        ({"zone": "Europe/London"}, "2024-07-01", "2024-06-30T23:00:00Z"),
        ({"zone": "Europe/London"}, "1709287200", "1709287200"),
        ({"surplus": "truncate"}, "2024-07-01 12:00:00.123456789+01:00", "2024-07-01 12:00:00.123456+01:00"),
        ({"surplus": "reject"}, "2024-07-01 12:00:00.123456789Z", "2024-07-01 12:00:00.123456789Z"),
    ],
)
def test_times_are_read_as_the_dialect_says(times: dict[str, Any], text: str, time: str) -> None:
    assert values(spoken(times=times), timestamp=text) == {"timestamp": time}


def test_names_and_path_give_fields() -> None:
    contract = spoken(aliases={"Kasse": "transaction_id"}, path=r"store-(?P<store_id>\d+)/")
    assert path_fields("pos/store-11/customer_id=C%2F1/x.csv", contract) == {"customer_id": "C/1", "store_id": "11"}
    (row,) = rows("kasse,customer_id\nT1,\n", contract, "pos/store-11/customer_id=C1/x.csv")
    assert json.loads(row.payload) == {"transaction_id": "T1", "customer_id": None, "store_id": "11"}
    (row,) = rows('{"Kasse": 1.10, "other": [0.10]}', contract, "pos/store-11/x.jsonl")
    assert row.payload == '{"transaction_id":1.10,"other":[0.10],"store_id":"11"}'
    payload = '{"Kasse":"T1"}'
    again, _ = reread("pos/store_id=3/x.jsonl#1", payload, UTF8, contract)
    assert json.loads(again) == {"transaction_id": "T1", "store_id": "3"}
    assert path_fields("pos/store_id=__HIVE_DEFAULT_PARTITION__/x", POS) == {"store_id": None}


def test_files_whose_names_say_nothing_are_read_in_the_declared_format_and_encoding() -> None:
    contract = spoken(format="csv", encoding="cp1252", quote="'", delimiter="|")
    (row,) = rows("customer_id|product_id\n'Café|1'|2\n".encode("cp1252"), contract, "pos/delivery")
    assert json.loads(row.payload) == {"customer_id": "Café|1", "product_id": "2"}
    (row,) = rows("x", POS, "pos/delivery")
    assert json.loads(row.payload)["error"].endswith(
        "or .parquet: declare `format` in the dialect of pos, if all its files are of one kind"
    )


def test_a_line_waits_where_the_dialect_does_not_help() -> None:
    waiting = rows("x;y\n1;2\n", spoken())[1]
    assert waiting.encoding == LINE
    for dialect in ({"delimiter": "|"}, {"columns": ["store_id", "product_id", "quantity"]}):
        found = reread("pos/f.csv#2", waiting.payload, LINE, spoken(**dialect))
        assert found == (waiting.payload, LINE)
    for payload in ("", "{}", "[]", '{"line": 1}', '{"line": "a", "header": 2}', "[" * 100_000):
        assert reread("pos/f.csv#2", payload, LINE, spoken(delimiter="|")) == (payload, LINE)
        assert reread("pos/f.csv#2", payload, UTF8, POS) == (payload, UTF8)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"delimeter": ";"}, "delimeter: there is no such key: there are format, delimiter,"),
        ({"delimiter": ";;"}, "delimiter: ';;' is not one character"),
        ({"nullWords": [None]}, r"nullWords: \[None\] is no list of texts: put words such as NULL or no in quotes"),
        ({"nullColumns": ["x"]}, "nullColumns: 'x' is no field of the contract"),
        ({"aliases": {"a": "x"}}, "aliases: 'x' is no field of the contract"),
        ({"encoding": "latin-12"}, "encoding: 'latin-12': unknown encoding"),
        ({"encoding": "idna"}, "encoding: 'idna'"),
        ({"times": {"zone": "Europe/Atlantis"}}, "times.zone: 'Europe/Atlantis'"),
        ({"times": {"surplus": "round"}}, "times.surplus: 'round' is none of reject, truncate"),
        ({"path": "(?P<shop>.*)"}, r"path: .* must be fields of the contract"),
        ({"decimal": ";"}, "decimal: ';' is none of ., ,"),
        (["csv"], "must be a mapping of format"),
    ],
)
def test_what_no_dialect_says_is_refused_by_its_key(written: Any, message: str) -> None:
    with pytest.raises(DialectError, match=message):
        read_dialect(written, FIELDS)


def test_a_contract_names_its_file_and_the_key(tmp_path: Path) -> None:
    file = tmp_path / "pos.odcs.yaml"
    text = (CONTRACTS / "pos.odcs.yaml").read_text(encoding="utf-8")
    file.write_text(text.replace("surplus: truncate", "surplus: round"), encoding="utf-8")
    with pytest.raises(ContractError, match=r"^pos\.odcs\.yaml: customProperties\.dialect\.times\.surplus: 'round'"):
        read_contract(file)


NAMES = st.lists(st.sampled_from(FIELDS), unique=True, max_size=3).map(tuple)
WORDS = st.lists(st.text(min_size=1, max_size=4), unique=True, max_size=3).map(tuple)
DIALECTS = st.builds(
    Dialect,
    format=st.sampled_from([None, "csv", "json", "parquet"]),
    delimiter=st.sampled_from([None, ";", "\t"]),
    quote=st.sampled_from(['"', "'", ""]),
    encoding=st.sampled_from([None, "cp1252"]),
    columns=NAMES,
    exact_case=st.booleans(),
    aliases=st.lists(st.tuples(st.text(max_size=4), st.sampled_from(FIELDS)), unique_by=lambda each: each[0]).map(
        tuple
    ),
    null_words=WORDS,
    null_columns=st.one_of(st.none(), st.lists(st.sampled_from(FIELDS), unique=True, min_size=1).map(tuple)),
    decimal=st.sampled_from([".", ","]),
    time_formats=st.sampled_from([(), ("%d.%m.%Y %H:%M",)]),
    zone=st.sampled_from([None, "Europe/London"]),
    truncate=st.booleans(),
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(DIALECTS)
def test_what_is_proposed_is_what_a_contract_reads(dialect: Dialect) -> None:
    assert read_dialect(as_property(dialect), FIELDS) == dialect


TEXTS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["1.234", "1.234,5", "NULL", "01.03.2024 10:00", "2024-03-01 10:00:00.1234567", "2024-03-01"]),
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(DIALECTS, st.dictionaries(st.sampled_from([*FIELDS, "x", "y"]), TEXTS, max_size=4))
def test_reading_a_record_again_changes_nothing_more(dialect: Dialect, fields: dict[str, str]) -> None:
    contract = replace(POS, dialect=dialect)
    once = reread("pos/store_id=1/f.csv#2", json.dumps(fields), UTF8, contract)
    assert reread("pos/store_id=1/f.csv#2", *once, contract) == once
