"""Gold kept by signed sums equals gold recomputed, however silver's changes are cut into batches."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.contracts import Contract, load_contracts
from lakehouse.engine import gold
from lakehouse.engine.schemas import arrow_schema
from lakehouse.kpi_checks import CHECKS
from lakehouse.kpi_model import Contribution, Kpi, quotient
from lakehouse.kpi_tables import TABLES, fingerprint, kpis_of, sources_of
from lakehouse.settings import CONTRACTS

Rows = dict[int, dict[str, Any]]
# One commit of silver tables: row number -> its table and new content, None where it is deleted.
Commit = Mapping[int, dict[str, Any] | None]

CRM, SPEND = "silver.customer_interactions", "silver.campaign_spend"
CONTRACT_SET = load_contracts(CONTRACTS)
CONNECTION = duckdb.connect(config={"threads": 1})
TIMES = [
    datetime(2026, 2, 28, 23, 59, 59, 999999, UTC),
    datetime(2026, 3, 1, tzinfo=UTC),
    datetime(2026, 3, 1, 9, tzinfo=UTC),
]
SECONDS = [None, Decimal("0.00005"), Decimal(1), Decimal(2), Decimal(3), Decimal("86400.123456")]
PRICES = [Decimal("0.0001"), Decimal("2.5"), Decimal("99999999999999.9999")]
TEXTS = [None, "", "a", "ä"]
# Values of the columns that KPIs read; a column that is not named here has a few of its type.
CHOICES: dict[str, Sequence[Any]] = {
    "event_time": TIMES,
    "session_started_at": TIMES,
    "interaction_type": ["complaint", "loyalty", "feedback"],
    "channel": [None, "mail"],
    "rating": [None, 1, 5],
    "resolution_seconds": SECONDS,
    "seconds_since_previous": SECONDS,
    "event_type": ["impression", "click", "view", "scroll", "add_to_cart", "purchase"],
    "position": [1, 2, 3],
    "type": ["sale", "refund"],
    "quantity": [-3, 0, 1, 1_000_000],
    "unit_price": PRICES,
    "discount_applied": [None, *PRICES],
    "order_value": [None, *PRICES],
    "spend": [None, *PRICES],
    "date": [date(2026, 2, 28), date(2026, 3, 1)],
}
PLAIN: dict[str, Sequence[Any]] = {
    "string": TEXTS,
    "int": [None, 0, 1, 7, 2_147_483_647],
    "bigint": [None, 0, 1, 3600, 315_360_000],
    "boolean": [True, False],
}


def rows_of(source: str, gold_table: str) -> st.SearchStrategy[dict[str, Any]]:
    """Rows of a silver table, whose columns that no KPI reads are null."""
    silver = CONTRACT_SET.table(source)
    read = gold.columns_of(CONTRACT_SET[gold_table], silver)
    strategies = {name: st.sampled_from(_choices(silver, name)) for name in read}
    return st.fixed_dictionaries(strategies).map(lambda row: row | {"_source": source})


def _choices(silver: Contract, name: str) -> Sequence[Any]:
    column = silver.column(name)
    found = PLAIN.get(column.type, ())
    if name in CHOICES and (name != "type" or silver.name == "validated_pos"):
        found = CHOICES[name]
    # Whole seconds in one table, fractions in another.
    whole = [each for each in found if not isinstance(each, Decimal) or column.type != "bigint" or each == int(each)]
    return [each for each in whole if each is not None or not column.required]


def tables_of(rows: Sequence[Mapping[str, Any]], table: str, signed: bool) -> dict[str, pa.Table]:
    """The rows by their silver tables; columns that a row does not name are null."""
    found = {}
    for source in sources_of(table):
        schema = arrow_schema(CONTRACT_SET.table(source))
        if signed:
            schema = schema.append(pa.field("_sign", pa.int8()))
        found[source] = pa.Table.from_pylist([row for row in rows if row["_source"] == source], schema)
    return found


def changes_of(state: Rows, commit: Commit) -> list[dict[str, Any]]:
    """The signed rows of one commit, which is then part of `state`."""
    feed: list[dict[str, Any]] = []
    for number, row in commit.items():
        before = state.pop(number, None)
        if before is not None:
            feed.append(before | {"_sign": -1})
        if row is not None:
            state[number] = row
            feed.append(row | {"_sign": 1})
    return feed


def taken_in(there: pa.Table, feed: Sequence[Mapping[str, Any]], state: Rows, table: str) -> pa.Table:
    """The gold table after one batch, as `streaming.gold` works it out."""
    contract = CONTRACT_SET[table]
    sums = gold.signed_sums(tables_of(feed, table, signed=True), contract, CONNECTION)
    ranked = sums.filter(sums["_percentile"].is_valid())
    if ranked.num_rows:
        silver = tables_of([*state.values()], table, signed=False)
        days = list[date](set[Any](ranked["period_start"].to_pylist()))
        sums = pa.concat_tables([sums, gold.percentiles(silver, contract, CONNECTION, days)])
    return gold.apply_sums(sums, there, contract)


def recomputed(state: Rows, table: str) -> pa.Table:
    return gold.recompute(CONTRACT_SET[table], tables_of([*state.values()], table, signed=False), CONNECTION)


def nothing(table: str) -> pa.Table:
    return arrow_schema(CONTRACT_SET[table]).empty_table()


def shown(rows: pa.Table) -> list[str]:
    return sorted(str(tuple(row.values())) for row in rows.to_pylist())


@st.composite
def commits(draw: st.DrawFn, table: str) -> list[Commit]:
    row = st.one_of(*(rows_of(source, table) for source in sources_of(table)))
    return draw(
        st.lists(st.dictionaries(st.integers(0, 9), st.one_of(st.none(), row, row), min_size=1), min_size=2, max_size=5)
    )


@pytest.mark.parametrize("table", TABLES)
@given(data=st.data(), cuts=st.lists(st.booleans(), min_size=5, max_size=5))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_changes_taken_in_equal_a_recomputation(table: str, data: st.DataObject, cuts: list[bool]) -> None:
    history = data.draw(commits(table))
    state: Rows = {}
    feed: list[dict[str, Any]] = []
    there = nothing(table)
    for number, commit in enumerate(history):
        feed += changes_of(state, commit)
        if cuts[number] or number == len(history) - 1:
            there, feed = taken_in(there, feed, state, table), []
    assert shown(there) == shown(recomputed(state, table))


@pytest.mark.parametrize("table", TABLES)
@given(data=st.data())
@settings(max_examples=20, deadline=None, derandomize=True)
def test_the_order_of_rows_does_not_matter(table: str, data: st.DataObject) -> None:
    row = st.one_of(*(rows_of(source, table) for source in sources_of(table)))
    rows = data.draw(st.lists(row, max_size=12))
    mixed = data.draw(st.permutations(rows))
    assert shown(recomputed(dict(enumerate(rows)), table)) == shown(recomputed(dict(enumerate(mixed)), table))


@pytest.mark.parametrize("table", TABLES)
@given(data=st.data())
@settings(max_examples=20, deadline=None, derandomize=True)
def test_kpis_equal_the_independent_queries(table: str, data: st.DataObject) -> None:
    """`CHECKS` are what `lakehouse reconcile` holds gold against; here in DuckDB instead of Spark."""
    row = st.one_of(*(rows_of(source, table) for source in sources_of(table)))
    state = dict(enumerate(data.draw(st.lists(row, max_size=12))))
    found = [
        (
            row["kpi_name"],
            row["period_start"],
            *dimensions_of(row),
            row["numerator"],
            row["denominator"],
            row["contributions"],
        )
        for row in recomputed(state, table).to_pylist()
    ]
    assert sorted(map(str, found)) == sorted(map(str, checked(state, table)))


def dimensions_of(row: Mapping[str, Any]) -> list[Any]:
    fixed = {"kpi_name", "period_start", "month", "numerator", "denominator", "value", "contributions", "day"}
    return [value for _, value in sorted(row.items()) if _ not in fixed]


def checked(state: Rows, table: str) -> list[tuple[Any, ...]]:
    """The rows of a gold table by `CHECKS`."""
    contract = CONTRACT_SET[table]
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("CREATE MACRO wide(price) AS CAST(price AS DECIMAL(28, 4))")
    ten_thousandths = "(CAST(level AS HUGEINT) * seconds * 20000 + 86400) // 172800"
    connection.execute(f"CREATE MACRO days(level, seconds) AS CAST({ten_thousandths} AS DECIMAL(28, 0)) * 0.0001")
    for source, rows in tables_of([*state.values()], table, signed=False).items():
        connection.register(source.removeprefix("silver."), rows)
    dimensions = [name for name in contract.identity if name not in ("kpi_name", "period_start")]
    found = []
    for kpi in kpis_of(table):
        sql = sqlglot.transpile(exact(CHECKS[kpi.name]), read="spark", write="duckdb")[0]
        for row in connection.execute(sql).to_arrow_table().to_pylist():
            key = [row.get(name) for name in sorted(dimensions)]
            amounts = [amount(row["numerator"]), amount(row.get("denominator", 1))]
            found.append((kpi.name, row["day"], *key, *amounts, row["contributions"]))
    return found


def exact(sql: str) -> str:
    """DuckDB divides decimals as doubles, and multiplies them in the width of the wider one."""
    division = "previous_level * cast(seconds_since_previous AS decimal(12, 0)) / 86400.0"
    return sql.replace(division, "days(previous_level, seconds_since_previous)").replace(
        "unit_price", "wide(unit_price)"
    )


def amount(number: Any) -> Decimal:
    return Decimal(number).quantize(Decimal("0.0001"), ROUND_HALF_UP)


def interaction(**columns: Any) -> dict[str, Any]:
    row = {"_source": CRM, "event_time": TIMES[2], "interaction_type": "complaint", "channel": "mail", "rating": None}
    return row | {"resolution_seconds": None} | columns


def test_a_change_that_counts_nowhere_touches_nothing() -> None:
    feed = [interaction(message_excerpt="a", _sign=-1), interaction(message_excerpt="b", _sign=1)]
    sums = gold.signed_sums(
        tables_of(feed, "customer_insights", signed=True), CONTRACT_SET["customer_insights"], CONNECTION
    )
    assert sums.num_rows == 0


def test_percentiles_follow_values_that_leave_the_sum_alone() -> None:
    """1 + 5 becomes 2 + 4: the mean's sums stay, the median does not."""
    state: Rows = {}
    there = nothing("customer_insights")
    first = {number: interaction(resolution_seconds=Decimal(number)) for number in (1, 5)}
    swap = {1: interaction(resolution_seconds=Decimal(2)), 5: interaction(resolution_seconds=Decimal(4))}
    for commit in (first, swap):
        there = taken_in(there, changes_of(state, commit), state, "customer_insights")
    rows = [row for row in there.to_pylist() if row["kpi_name"] == "resolution_time"]
    assert {row["statistic"]: (row["value"], row["contributions"]) for row in rows} == {
        "mean": (Decimal("3.0000000000"), 2),
        "p50": (Decimal("2.0000000000"), 2),
        "p90": (Decimal("4.0000000000"), 2),
    }


def test_gold_rows_go_with_the_last_row_that_supports_them() -> None:
    state: Rows = {}
    there = nothing("customer_insights")
    for commit in ({1: interaction(resolution_seconds=Decimal(1), rating=3)}, {1: None}):
        there = taken_in(there, changes_of(state, commit), state, "customer_insights")
    assert there.num_rows == 0


def test_rows_of_other_keys_pass_unchanged() -> None:
    state: Rows = {}
    there = taken_in(nothing("customer_insights"), changes_of(state, {1: interaction()}), state, "customer_insights")
    more = taken_in(there, changes_of(state, {2: interaction(event_time=TIMES[0])}), state, "customer_insights")
    assert set(shown(there)) < set(shown(more))


@pytest.mark.parametrize("images", [[-1], [-1, 1]], ids=["deleted", "updated"])
def test_taking_back_what_gold_never_had_is_refused(images: list[int]) -> None:
    feed = [interaction(rating=3 + sign, _sign=sign) for sign in images]
    with pytest.raises(gold.UnsupportedRowsError, match="lacks rows that silver takes back"):
        taken_in(nothing("customer_insights"), feed, {}, "customer_insights")


def spend(amount: Decimal, **columns: Any) -> dict[str, Any]:
    return {"_source": SPEND, "campaign_id": "C1", "date": TIMES[2].date(), "spend": amount} | columns


def test_a_sum_beyond_the_column_raises_instead_of_becoming_null() -> None:
    contract = CONTRACT_SET["marketing_funnel"]
    there = nothing("marketing_funnel").schema
    full = {"kpi_name": "campaign_roi", "month": "2026-03", "period_start": TIMES[2].date(), "campaign_id": "C1"}
    full |= {"numerator": Decimal(-1), "denominator": Decimal("999999999999999999999999.9999"), "contributions": 1}
    sums = gold.signed_sums(tables_of([spend(Decimal(1), _sign=1)], contract.name, signed=True), contract, CONNECTION)
    with pytest.raises(gold.KpiError, match=r"exceeds decimal\(28,4\)"):
        gold.apply_sums(sums, pa.Table.from_pylist([full], there), contract)
    (half,) = sums.to_pylist()
    with pytest.raises(gold.KpiError, match=r"exceeds decimal\(28,4\)"):
        gold.added_up([pa.Table.from_pylist([half | {"denominator": full["denominator"]}], sums.schema)] * 2, contract)


def test_a_contribution_beyond_the_column_names_table_and_silver(monkeypatch: pytest.MonkeyPatch) -> None:
    huge = (
        Kpi(
            "x",
            "gold.marketing_funnel",
            "",
            "",
            "",
            (Contribution(SPEND, "spend * 1000000000000::hugeint", day="date"),),
        ),
    )
    monkeypatch.setattr("lakehouse.kpi_tables.KPIS", huge)
    rows = tables_of([spend(Decimal(10**13))], "marketing_funnel", signed=False)
    with pytest.raises(gold.KpiError, match=r"the KPIs of gold.marketing_funnel from silver.campaign_spend: "):
        gold.signed_sums(rows, CONTRACT_SET["marketing_funnel"], CONNECTION)


AMOUNTS = st.decimals(Decimal(-(10**23)), Decimal(10**23), places=4)


@given(numerators=st.lists(AMOUNTS, min_size=1, max_size=20), denominator=AMOUNTS)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_a_value_is_the_exact_quotient_half_up(numerators: list[Decimal], denominator: Decimal) -> None:
    contract = CONTRACT_SET["marketing_funnel"]
    first = date(2026, 3, 1)
    rows = [
        {"kpi_name": "campaign_roi", "month": "2026-03", "period_start": first + timedelta(days=number)}
        | {"numerator": numerator, "denominator": denominator, "contributions": 1}
        for number, numerator in enumerate(numerators)
    ]
    there = pa.Table.from_pylist(rows, arrow_schema(contract))
    sums = gold.signed_sums({}, contract, CONNECTION)
    with localcontext(prec=100):
        expected = [
            (each / denominator).quantize(Decimal("1e-10"), ROUND_HALF_UP) if denominator else None
            for each in numerators
        ]
    if any(each is not None and abs(each) >= 10**28 for each in expected):
        with pytest.raises(gold.KpiError, match=r"exceeds decimal\(38,10\)"):
            gold.apply_sums(sums, there, contract)
        return
    found = gold.apply_sums(sums, there, contract).sort_by("period_start")
    assert found["value"].to_pylist() == expected


@given(numerator=st.integers(-(10**18), 10**18), denominator=st.integers(1, 10**6))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_quotient_is_exact_and_half_up(numerator: int, denominator: int) -> None:
    sql = f"SELECT {quotient(f'CAST({numerator} AS HUGEINT)', denominator)}"
    row = CONNECTION.execute(sql).fetchone()
    assert row is not None
    with localcontext(prec=60):
        assert row[0] == (Decimal(numerator) / denominator).quantize(Decimal("0.0001"), ROUND_HALF_UP)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
def test_days_are_utc_whatever_the_time_zone_of_the_connection(zone: str) -> None:
    connection = duckdb.connect()
    connection.execute(f"SET TimeZone = '{zone}'")
    rows = tables_of([interaction(event_time=each) for each in TIMES], "customer_insights", signed=False)
    found = gold.recompute(CONTRACT_SET["customer_insights"], rows, connection)
    days = {
        row["period_start"]: row["contributions"]
        for row in found.to_pylist()
        if row["kpi_name"] == "interaction_volume"
    }
    assert days == {date(2026, 2, 28): 1, date(2026, 3, 1): 2}


@pytest.mark.parametrize("table", TABLES)
def test_percentiles_are_of_days_of_event_time(table: str) -> None:
    """A month of silver, by whose partitions gold is built anew, has all rows of its days."""
    ranked = [each for kpi in kpis_of(table) for each in kpi.contributions if each.percentile is not None]
    assert [each for each in ranked if each.day != CONTRACT_SET.table(each.source).event_time] == []


def test_the_fingerprint_follows_declarations_contract_and_silver_tables() -> None:
    contract = CONTRACT_SET["sales_kpis"]
    same = fingerprint(contract, ["a", "b"])
    assert fingerprint(contract, ["a", "b"]) == same
    assert fingerprint(contract, ["a", "c"]) != same
    assert fingerprint(CONTRACT_SET["operations_kpis"], ["a", "b"]) != same
