"""Contracts speak DuckDB SQL and RE2; what Spark is asked instead must mean the same."""

from dataclasses import replace

import duckdb
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from batch.reconciliation.recomputed.dialect import UntranslatableError, refuse_patterns, spark_sql, whole_text
from lakehouse.contracts import load_contracts
from lakehouse.settings import CONTRACTS

PATTERNS = (
    *(
        r"^[A-Z]{2}$",
        "a.c",
        r"\s+",
        r"[\s_]+",
        r"\S",
        r"[^\s]",
        r"\v",
        r"[\v]",
        "[[:alpha:]]+",
        "[^[:digit:]x]",
        "[]a]+",
    ),
    *(
        "[^]a]+",
        "[a[b]+",
        "[a&&b]+",
        "(?P<x>a)b",
        "(?:a|b)c",
        r"\d{2}",
        r"\w*",
        r"\pL+",
        r"a\Qb.c\E",
        "a|b",
        "",
        "[^^]+",
    ),
    *(r"\x{1F600}", r"[a\]b]+", "a$", "^b", r"[[:space:]]+", r"(a|b)*", r"[\d.-]+"),
)
TEXTS = (
    *(
        "GB",
        "GB\n",
        "gb",
        "abc",
        "a\nc",
        "a\rc",
        "a\u2028c",
        " ",
        "\t\n",
        "\x0b",
        "_",
        "é",
        "1",
        "12",
        "x",
        "]",
        "]a",
        "a]",
    ),
    *(
        "[",
        "a[b",
        "&",
        "a&b",
        "b",
        "ab",
        "ac",
        "bc",
        "b.c",
        "ab.c",
        "abxc",
        "",
        "^",
        "^x",
        "😀",
        "\u0085",
        "\u00a0",
        "٣",
        "-1.5",
    ),
)


def test_every_pattern_means_what_it_means_to_re2(spark: SparkSession) -> None:
    duck = duckdb.connect()
    ours = {
        pattern: [bool(duck.execute("SELECT regexp_matches(?, ?)", [text, whole]).fetchall()[0][0]) for text in TEXTS]
        for pattern, whole in ((each, rf"\A(?:{each})\z") for each in PATTERNS)
    }
    rows = spark.createDataFrame([(number, text) for number, text in enumerate(TEXTS)], "n int, text string")
    likes = (F.rlike("text", F.lit(whole_text(pattern))) for pattern in PATTERNS)
    found = rows.orderBy("n").select(*likes).collect()
    assert {pattern: [row[place] for row in found] for place, pattern in enumerate(PATTERNS)} == ours


@pytest.mark.parametrize("pattern", [r"\bx", r"\B", "(?i)x", "(?s:.)", r"[\S]", r"\1", r"\101", "[[:^alpha:]]", r"\C"])
def test_what_java_takes_otherwise_is_refused(pattern: str) -> None:
    with pytest.raises(UntranslatableError, match="to Java than to RE2"):
        whole_text(pattern)


def test_a_pattern_that_java_does_not_know_names_its_column(spark: SparkSession) -> None:
    crm = load_contracts(CONTRACTS)["crm"]
    columns = [replace(each, pattern=r"\p{Greek}+") if each.name == "channel" else each for each in crm.columns]
    with pytest.raises(UntranslatableError, match=r"contract crm, column channel: .*\\p\{Greek\}"):
        refuse_patterns(spark, replace(crm, columns=tuple(columns)))
    for contract in load_contracts(CONTRACTS).values():
        refuse_patterns(spark, contract)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("strftime(event_time, '%Y-%m')", "DATE_FORMAT(event_time, 'yyyy-MM')"),
        ("id || if(quantity < 0, '|refund', '|sale')", "id || IF(quantity < 0, '|refund', '|sale')"),
        ("\"type\" = 'it''s'", "`type` = 'it\\'s'"),
        ("a // b", "a DIV b"),
    ],
)
def test_expressions_are_translated(expression: str, expected: str) -> None:
    assert spark_sql(expression) == expected


def test_an_expression_that_nobody_can_read_is_named() -> None:
    with pytest.raises(UntranslatableError, match=r"'if\(' cannot be said in Spark SQL"):
        spark_sql("if(")
