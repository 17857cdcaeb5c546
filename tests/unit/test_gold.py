"""Gold kept by signed sums equals gold recomputed, however silver's changes are cut into batches."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from delta.tables import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.errors import ArithmeticException, SparkRuntimeException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StringType

from lakehouse import gold
from lakehouse.contracts import Contract, Contracts, load_contracts
from lakehouse.schemas import struct_type
from lakehouse.settings import CONTRACTS
from runtime.tables import ensure_table
from streaming.gold import merge_into

Rows = dict[int, dict[str, Any]]
# One commit of a silver table: row number -> its new content, None where it is deleted.
Commit = Mapping[int, dict[str, Any] | None]

TIMES = [
    datetime(2026, 2, 28, 23, 59, 59, 999999, UTC),
    datetime(2026, 3, 1, tzinfo=UTC),
    datetime(2026, 3, 1, 9, tzinfo=UTC),
]
SECONDS = [None, Decimal("0.00005"), Decimal(1), Decimal(2), Decimal(3), Decimal("86400.123456")]
INTERACTIONS = st.fixed_dictionaries(
    {
        "event_time": st.sampled_from(TIMES),
        "interaction_type": st.sampled_from(["complaint", "loyalty"]),
        "channel": st.sampled_from([None, "mail"]),
        "rating": st.sampled_from([None, 1, 5]),
        "resolution_seconds": st.sampled_from(SECONDS),
    }
)
COMMITS = st.lists(
    st.dictionaries(st.integers(0, 5), st.one_of(st.none(), INTERACTIONS, INTERACTIONS), min_size=1),
    min_size=2,
    max_size=5,
)


@pytest.fixture(scope="module")
def contracts() -> Contracts:
    return load_contracts(CONTRACTS)


def frame(spark: SparkSession, contract: Contract, rows: Sequence[Mapping[str, Any]]) -> DataFrame:
    """Silver rows, or changes of them; columns that a row does not name are null."""
    schema = struct_type(contract).add("_change_type", StringType())
    return spark.createDataFrame(pa.Table.from_pylist([*rows], to_arrow_schema(schema)), schema)


def changes_of(state: Rows, commit: Commit) -> list[dict[str, Any]]:
    """The change feed of one commit, which is then part of `state`."""
    feed: list[dict[str, Any]] = []
    for number, row in commit.items():
        before = state.pop(number, None)
        if row is not None:
            state[number] = row
        if before is not None:
            feed.append(before | {"_change_type": "delete" if row is None else "update_preimage"})
        if row is not None:
            feed.append(row | {"_change_type": "insert" if before is None else "update_postimage"})
    return feed


def merge_batch(
    spark: SparkSession, uri: str, contracts: Contracts, feed: Sequence[Mapping[str, Any]], state: Rows
) -> gold.Touched | None:
    """One batch of customer_insights as `streaming.gold` merges it."""
    contract, source = contracts["customer_insights"], "silver.customer_interactions"
    sign = F.when(F.col("_change_type").isin("insert", "update_postimage"), 1).otherwise(-1)
    changes = frame(spark, contracts.table(source), feed)
    sums = gold.sums(gold.contributions(changes, source, contract, sign), contract).where(gold.changes())
    collected = sums.toArrow()
    touched = gold.survey(collected)
    if touched is None:
        return None
    signed = spark.createDataFrame(collected, sums.schema)
    silver = {source: frame(spark, contracts.table(source), [*state.values()])}
    merge_into(DeltaTable.forPath(spark, uri), gold.merge_source(signed, silver, contract, touched), contract, touched)
    return touched


def content(rows: DataFrame, contract: Contract) -> list[str]:
    return sorted(str(tuple(row)) for row in rows.select(*contract.column_names).collect())


@given(commits=COMMITS, cuts=st.lists(st.booleans(), min_size=5, max_size=5))
@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_merged_changes_equal_a_recomputation(
    spark: SparkSession,
    contracts: Contracts,
    tmp_path_factory: pytest.TempPathFactory,
    commits: list[Commit],
    cuts: list[bool],
) -> None:
    contract = contracts["customer_insights"]
    uri = str(tmp_path_factory.mktemp("gold"))
    ensure_table(spark, uri, struct_type(contract), contract.partitions, {})
    state: Rows = {}
    feed: list[dict[str, Any]] = []
    for number, commit in enumerate(commits):
        feed += changes_of(state, commit)
        if cuts[number] or number == len(commits) - 1:
            merge_batch(spark, uri, contracts, feed, state)
            feed = []
    silver = frame(spark, contracts.table("silver.customer_interactions"), [*state.values()])
    expected = gold.recompute(contract, {"silver.customer_interactions": silver})
    assert content(spark.read.format("delta").load(uri), contract) == content(expected, contract)


def interaction(**columns: Any) -> dict[str, Any]:
    row = {"event_time": TIMES[2], "interaction_type": "complaint", "channel": "mail", "rating": None}
    return row | {"resolution_seconds": None} | columns


@pytest.fixture
def table(spark: SparkSession, contracts: Contracts, tmp_path: Path) -> str:
    contract = contracts["customer_insights"]
    ensure_table(spark, str(tmp_path), struct_type(contract), contract.partitions, {})
    return str(tmp_path)


def test_a_change_that_counts_nowhere_touches_nothing(spark: SparkSession, contracts: Contracts, table: str) -> None:
    state: Rows = {}
    assert merge_batch(spark, table, contracts, changes_of(state, {1: interaction(message_excerpt="a")}), state)
    assert merge_batch(spark, table, contracts, changes_of(state, {1: interaction(message_excerpt="b")}), state) is None


def test_percentiles_follow_values_that_leave_the_sum_alone(
    spark: SparkSession, contracts: Contracts, table: str
) -> None:
    """1 + 5 becomes 2 + 4: the mean's sums stay, the median does not."""
    state: Rows = {}
    first = {number: interaction(resolution_seconds=Decimal(number)) for number in (1, 5)}
    merge_batch(spark, table, contracts, changes_of(state, first), state)
    swap = {1: interaction(resolution_seconds=Decimal(2)), 5: interaction(resolution_seconds=Decimal(4))}
    merge_batch(spark, table, contracts, changes_of(state, swap), state)
    rows = spark.read.format("delta").load(table).where("kpi_name = 'resolution_time'").collect()
    assert {row["statistic"]: (row["value"], row["contributions"]) for row in rows} == {
        "mean": (Decimal("3.0000000000"), 2),
        "p50": (Decimal("2.0000000000"), 2),
        "p90": (Decimal("4.0000000000"), 2),
    }


def test_gold_rows_go_with_the_last_row_that_supports_them(
    spark: SparkSession, contracts: Contracts, table: str
) -> None:
    state: Rows = {}
    resolved = interaction(resolution_seconds=Decimal(1), rating=3)
    merge_batch(spark, table, contracts, changes_of(state, {1: resolved}), state)
    merge_batch(spark, table, contracts, changes_of(state, {1: None}), state)
    assert spark.read.format("delta").load(table).isEmpty()


def test_taking_back_what_gold_never_had_is_refused(spark: SparkSession, contracts: Contracts, table: str) -> None:
    with pytest.raises(SparkRuntimeException, match="lacks rows that silver takes back"):
        merge_batch(spark, table, contracts, [interaction() | {"_change_type": "delete"}], {})
    assert spark.read.format("delta").load(table).isEmpty()


def test_a_sum_beyond_the_column_raises_instead_of_becoming_null(spark: SparkSession, contracts: Contracts) -> None:
    contract, source = contracts["marketing_funnel"], "silver.campaign_spend"
    spend = {"campaign_id": "C1", "date": TIMES[2].date(), "spend": Decimal(10) ** 13}
    rows = frame(spark, contracts.table(source), [spend]).crossJoin(spark.range(10))
    contributed = gold.contributions(rows, source, contract)
    huge = contributed.withColumn("numerator", F.expr("numerator * 10000000000").cast(gold.AMOUNT))
    with pytest.raises(ArithmeticException, match="cannot be represented as Decimal"):
        gold.sums(huge, contract).collect()


def test_the_fingerprint_follows_declarations_contract_and_silver_tables(contracts: Contracts) -> None:
    contract = contracts["sales_kpis"]
    same = gold.fingerprint(contract, ["a", "b"])
    assert gold.fingerprint(contract, ["a", "b"]) == same
    assert gold.fingerprint(contract, ["a", "c"]) != same
    assert gold.fingerprint(contracts["operations_kpis"], ["a", "b"]) != same
