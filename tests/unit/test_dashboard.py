"""What the dashboard computes, without a browser: its numbers, its labels, and the state of the tables."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.contracts import load_contracts
from lakehouse.errors import LakehouseError
from lakehouse.kpis import KPIS
from lakehouse.layout import Layout
from lakehouse.settings import CONTRACTS
from local.dashboard import charts, readings
from local.dashboard.health import Health, SourceBalance, TableHealth, latest_commits, throughput
from local.dashboard.numbers import amount, duration, label, percent, ratio, whole
from local.dashboard.readings import Readings
from local.dashboard.team_pages import read_team
from local.dashboard.teams import FINANCE_TEAM, SALES_TEAM, TEAMS
from local.sql import Snapshot
from runtime.delta_log import Commit
from runtime.lineage import Counts, Lineage

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def commit(version: int, seconds: float, read: int | None) -> Commit:
    """A commit so many seconds before noon, which took in `read` records; None: it has no lineage."""
    lineage = None if read is None else Lineage("bronze", "pos", 0, "", "", (), Counts(read=read)).to_json()
    return Commit(version, NOW - timedelta(seconds=seconds), "WRITE", lineage)


def table(name: str, *commits: Commit, rows: int = 0) -> TableHealth:
    return TableHealth(name, len(commits), rows, None, commits, None)


def write(root: Path, name: str, rows: dict[str, Any], metadata: str | None = None) -> None:
    properties = CommitProperties(custom_metadata={"userMetadata": metadata}) if metadata else None
    write_deltalake(Layout(str(root)).table(name), pa.table(rows), mode="append", commit_properties=properties)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A lake with two days of two KPIs."""
    values = [Decimal("10.0001"), Decimal("0.0002"), Decimal("300"), Decimal("7")]
    write(
        tmp_path,
        "gold.sales_kpis",
        {
            "kpi_name": ["net_sales", "net_sales", "average_basket", "average_basket"],
            "period_start": [date(2010, 12, day) for day in (1, 9, 1, 9)],
            **{name: pa.array([None] * 4, pa.string()) for name in ("region", "category", "product_id", "store_id")},
            "numerator": pa.array(values, pa.decimal128(28, 4)),
            "denominator": pa.array([Decimal(each) for each in (1, 1, 3, 4)], pa.decimal128(28, 4)),
        },
    )
    return tmp_path


class TestNumbers:
    @pytest.mark.parametrize(
        ("shown", "expected"),
        [
            (amount(Decimal("1234567.89")), "1,234,568"),
            (amount(Decimal("-999.995")), "-1,000.00"),
            (amount(Decimal("0.5")), "0.50"),
            (whole(Decimal("1234567")), "1,234,567"),
            (percent(Decimal("0.1234")), "12.3 %"),
            (percent(Decimal("0.0123")), "1.23 %"),
            (percent(-2.5), "-250.0 %"),
            (ratio(Decimal("0.08784")), "0.088"),
            (ratio(Decimal("12.3456")), "12.35"),
            (duration(0.4), "0 s"),
            (duration(59.6), "1 min"),
            (duration(Decimal(245)), "4 min 5 s"),
            (duration(3600), "1 h"),
            (duration(12_000), "3 h 20 min"),
            (duration(187_200), "2 d 4 h"),
            (duration(-61), "-1 min 1 s"),
        ],
    )
    def test_formats(self, shown: str, expected: str) -> None:
        assert shown == expected

    def test_a_label_is_short_and_inert(self) -> None:
        assert label(None) == "(none)"
        assert label("<b>x</b> & \x1b") == r"&lt;b&gt;x&lt;/b&gt; &amp; \u001b"
        assert label("x" * 100) == "x" * 47 + "…"

    @given(st.text())
    def test_no_label_holds_a_tag(self, text: str) -> None:
        assert not set(label(text)) & {"<", ">"}


class TestTeamPages:
    def test_cards_are_exact_sums_and_ratios_of_sums(self, root: Path) -> None:
        reading = read_team(Readings(str(root)), FINANCE_TEAM, "all")
        baskets = read_team(Readings(str(root)), SALES_TEAM, "all")

        assert reading is not None
        assert baskets is not None
        assert reading.answer.cards[3].total == Decimal("10.0003")
        assert reading.answer.cards[3].daily == (
            (date(2010, 12, 1), Decimal("10.0001")),
            (date(2010, 12, 9), Decimal("0.0002")),
        )
        assert reading.answer.cards[0].total is None
        assert baskets.answer.cards[2].total == Decimal(307) / 7
        assert (reading.answer.first, reading.answer.last) == (date(2010, 12, 1), date(2010, 12, 9))

    def test_the_last_days_end_at_the_newest_day_there_is(self, root: Path) -> None:
        reading = read_team(Readings(str(root)), FINANCE_TEAM, "7")

        assert reading is not None
        assert (reading.answer.first, reading.answer.cards[3].total) == (date(2010, 12, 3), Decimal("0.0002"))

    def test_no_gold_table_is_nothing(self, root: Path) -> None:
        assert read_team(Readings(str(root)), TEAMS[2], "all") is None

    def test_every_kpi_is_on_the_page_of_its_team(self) -> None:
        shown = {
            (team.name, kpi.name)
            for team in TEAMS
            for kpi in KPIS
            if (
                kpi.table == team.table
                and any(kpi.name == each.kpi or kpi.name in each.statement for each in team.panels)
            )
            or any(kpi.name == card.kpi for card in team.cards)
        }
        assert {(kpi.team, kpi.name) for kpi in KPIS} <= shown

    def test_every_statement_of_every_page_runs_on_its_contract_columns(self, tmp_path: Path) -> None:
        """Gold tables with the columns of their contracts and one row of nulls and zeros."""
        contracts = load_contracts(CONTRACTS)
        types = {"string": pa.string(), "date": pa.date32(), "int": pa.int32(), "bigint": pa.int64()}
        for name in {team.table for team in TEAMS}:
            columns = {
                column.name: pa.array([None], types.get(column.type, pa.decimal128(38, 4)))
                for column in contracts.table(name).columns
            }
            columns["period_start"] = pa.array([date(2010, 12, 1)])
            for zero in ("numerator", "denominator"):
                columns[zero] = pa.array([Decimal(0)], pa.decimal128(28, 4))
            write(tmp_path, name, columns)
        seen = Readings(str(tmp_path))

        for team in TEAMS:
            reading = read_team(seen, team, "30")
            assert reading is not None
            assert set(reading.answer.figures) == {panel.key for panel in team.panels}
            assert [card.total for card in reading.answer.cards] == [None] * len(team.cards)


class TestReadings:
    def test_an_answer_is_kept_until_its_table_changes(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(readings, "REST", 0.0)
        asked: list[int] = []

        def ask(snapshot: Snapshot) -> int:
            asked.append(1)
            return int(snapshot.query("select count(*) n from gold.sales_kpis")[0]["n"])

        seen = Readings(str(root))
        tables = ["gold.sales_kpis", "gold.marketing_funnel"]
        first, second = seen.read("n", tables, ask), seen.read("n", tables, ask)
        DeltaTable(Layout(str(root)).table("gold.sales_kpis")).delete("kpi_name = 'net_sales'")
        third = seen.read("n", tables, ask)

        assert [each and (each.versions, each.answer) for each in (first, second, third)] == [
            ({"gold.sales_kpis": 0}, 4),
            ({"gold.sales_kpis": 0}, 4),
            ({"gold.sales_kpis": 1}, 2),
        ]
        assert len(asked) == 2

    def test_a_long_answer_rests_before_it_is_computed_again(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(readings, "REST", 1e6)
        seen = Readings(str(root))
        count = "select count(*) n from gold.sales_kpis"
        first = seen.read("n", ["gold.sales_kpis"], lambda snapshot: snapshot.query(count))
        DeltaTable(Layout(str(root)).table("gold.sales_kpis")).delete()

        assert seen.read("n", ["gold.sales_kpis"], lambda snapshot: snapshot.query(count)) is first

    def test_no_lake_is_an_error_until_there_is_one(self, tmp_path: Path) -> None:
        seen = Readings(str(tmp_path / "lake"))
        with pytest.raises(LakehouseError, match="there is no lake at"):
            seen.versions(["bronze.pos"])
        write(tmp_path / "lake", "bronze.pos", {"record_id": ["a#1"]})

        assert seen.versions(["bronze.pos", "bronze.crm"]) == {"bronze.pos": 0}


class TestHealth:
    def test_sql_in_values_and_in_what_was_clicked_is_text(self, tmp_path: Path) -> None:
        hostile = "'; DROP TABLE rejected.pos; select '1' or '1'='1 --"
        columns = {
            "record_id": ["a#1", "a#2"],
            "rule": ["enum", hostile],
            "column": ["type", '"; select 1'],
            "value": [hostile, "x"],
            "message": ["m", hostile],
            "payload": [hostile, "{}"],
            "arrived_at": [NOW, NOW],
        }
        write(tmp_path, "rejected.pos", columns)
        health = Health(Readings(str(tmp_path)), load_contracts(CONTRACTS))

        assert [(each["record_id"], each["value"]) for each in health.failing_rows("pos", "enum", 9)] == [
            ("a#1", hostile)
        ]
        assert [each["record_id"] for each in health.failing_rows("pos", hostile, 9)] == ["a#2"]
        assert health.failing_rows("pos", "enum' or '1'='1", 9) == []
        with pytest.raises(LakehouseError, match="there is no contract"):
            health.failing_rows("pos; drop table rejected.pos", "enum", 9)
        assert [(each.source, each.rules) for each in health.rejects()] == [("pos", ((hostile, 1), ("enum", 1)))]

    def test_rows_freshness_and_balance(self, tmp_path: Path) -> None:
        arrived = [NOW - timedelta(seconds=each) for each in (30, 10, 20)]
        records: dict[str, list[Any]] = {"record_id": ["a#1", "a#2", "a#3"], "arrived_at": arrived}
        write(tmp_path, "bronze.pos", records, Lineage("bronze", "pos", 0, "", "", (), Counts(read=3)).to_json())
        write(tmp_path, "silver.validated_pos", {name: values[:1] for name, values in records.items()})
        write(tmp_path, "rejected.pos", {"record_id": ["a#3", "a#4", "a#2"], "rule": ["type", "type", "enum"]})
        DeltaTable(Layout(str(tmp_path)).table("rejected.pos")).delete("record_id = 'a#4'")
        health = Health(Readings(str(tmp_path)), load_contracts(CONTRACTS))

        tables = health.tables()

        assert [(each.name, each.version, each.rows, each.arrived_at) for each in tables] == [
            ("bronze.pos", 0, 3, arrived[1]),
            ("silver.validated_pos", 0, 1, arrived[0]),
            ("rejected.pos", 1, 2, None),
        ]
        assert health.balances(tables) == [SourceBalance("pos", 3, 1, 2)]
        assert health.balances(tables)[0].under_way == 0
        assert [(each.source, each.rules) for each in health.rejects()] == [("pos", (("enum", 1), ("type", 1)))]
        assert [(name, each.operation) for name, each in latest_commits(tables, 2)] == [
            ("rejected.pos", "DELETE"),
            ("rejected.pos", "WRITE"),
        ]

    def test_throughput_puts_rows_where_their_commits_are(self) -> None:
        width, rates = throughput(
            [
                table("bronze.pos", commit(2, 0, 60), commit(1, 2, None), commit(0, 3.5, 30)),
                table("bronze.crm", commit(0, 3, 12)),
                table("bronze.campaigns", commit(0, 86_400, 1000)),
                table("silver.validated_pos", commit(0, 0, 5)),
            ]
        )

        start = NOW - timedelta(seconds=3.5)
        seconds = [start + timedelta(seconds=each) for each in range(4)]
        assert width == 1.0
        assert rates == {
            "crm": list(zip(seconds, [12.0, 0.0, 0.0, 0.0], strict=True)),
            "pos": list(zip(seconds, [30.0, 0.0, 0.0, 60.0], strict=True)),
        }
        assert throughput([]) == (1.0, {})


class TestCharts:
    def test_bars_keep_their_order_and_their_labels_are_inert(self) -> None:
        figure = charts.bars([("<b>a</b>", 3.0), (None, -1.0)], whole)

        assert list(figure.data[0].y) == ["&lt;b&gt;a&lt;/b&gt;", "(none)"]
        assert list(figure.layout.yaxis.categoryarray) == ["&lt;b&gt;a&lt;/b&gt;", "(none)"]
        assert list(figure.data[0].text) == ["3", "-1"]

    def test_one_day_is_an_axis_of_one_day_with_a_bar_of_one_day(self) -> None:
        figure = charts.columns({"uk": [(date(2010, 12, 1), 5.0)]})

        assert figure.layout.xaxis.range == ("2010-11-28 12:00", "2010-12-03 12:00")
        assert figure.layout.xaxis.tickvals == ("2010-12-01",)
        assert figure.data[0].width == 0.76 * charts.DAY

    def test_days_far_apart_stand_side_by_side(self) -> None:
        figure = charts.lines({"uk": [(date(2010, 12, 1), 5.0), (date(2010, 12, 2), 6.0), (date(2015, 5, 17), 7.0)]})

        assert figure.layout.xaxis.type == "category"
        assert list(figure.layout.xaxis.categoryarray) == ["2010-12-01", "2010-12-02", "2015-05-17"]
        assert list(figure.layout.xaxis.ticktext) == ["1 Dec 2010", "2 Dec 2010", "17 May 2015"]

    def test_a_funnel_shows_shares_only_where_a_stage_narrows(self) -> None:
        figure = charts.funnel([("impression", 60.0), ("click", 26.0), ("view", 666.0), ("cart", 0.0)])

        assert list(figure.data[0].text) == ["60", "26  (43.3%)", "666", "0  (0.0%)"]
