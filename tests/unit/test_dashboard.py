"""What the team pages of the dashboard compute, without a browser: their numbers, their labels, what is kept."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.errors import LakehouseError
from lakehouse.kpis import KPIS
from lakehouse.layout import Layout
from local.dashboard import readings
from local.dashboard.days import Days
from local.dashboard.numbers import (
    amount,
    duration,
    exact,
    exact_amount,
    exact_duration,
    exact_percent,
    label,
    percent,
    ratio,
    span,
    whole,
)
from local.dashboard.readings import Readings
from local.dashboard.team_reading import Choice, TeamReader
from local.dashboard.teams import TEAMS
from local.dashboard.teams.finance import FINANCE_TEAM
from local.dashboard.teams.sales import SALES_TEAM
from local.sql import Snapshot
from tests.unit.gold_lake import row, write, write_gold


def reader(root: Path) -> TeamReader:
    return TeamReader(Readings(str(root)), {})


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
            (amount(Decimal("1234567.89")), "£1,234,568"),
            (amount(Decimal("-999.995")), "-£1,000.00"),
            (amount(Decimal("0.5")), "£0.50"),
            (exact_amount(Decimal("1234567.8900")), "£1,234,567.89"),
            (exact_amount(Decimal("-0.6666")), "-£0.6666"),
            (exact_amount(Decimal(3)), "£3.00"),
            (exact(Decimal("1234.5000")), "1,234.5"),
            (exact(Decimal(12)), "12"),
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
            (exact_duration(Decimal("245.25")), "4 min 5 s (245.25 s)"),
            (exact_percent(Decimal("0.1234567")), "12.3457 %"),
            (span(date(2010, 12, 9), date(2010, 12, 9)), "9 Dec 2010"),
            (span(date(2010, 12, 1), date(2010, 12, 9)), "1 to 9 Dec 2010"),
            (span(date(2010, 11, 28), date(2010, 12, 4)), "28 Nov to 4 Dec 2010"),
            (span(date(2010, 12, 31), date(2011, 1, 2)), "31 Dec 2010 to 2 Jan 2011"),
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
        reading = reader(root).read(FINANCE_TEAM, Choice())
        baskets = reader(root).read(SALES_TEAM, Choice())

        assert reading is not None
        assert baskets is not None
        assert reading.answer.cards[3].total == Decimal("10.0003")
        assert reading.answer.cards[3].daily == (
            (date(2010, 12, 1), Decimal("10.0001")),
            (date(2010, 12, 9), Decimal("0.0002")),
        )
        assert reading.answer.cards[1].total == 0, "no row of a refund on days with till lines"
        assert baskets.answer.cards[2].total == Decimal(307) / 7
        assert reading.answer.days == Days(date(2010, 12, 1), date(2010, 12, 9))
        assert reading.answer.known == 2

    def test_the_last_days_end_at_the_newest_day_there_is(self, root: Path) -> None:
        reading = reader(root).read(FINANCE_TEAM, Choice("7"))

        assert reading is not None
        assert reading.answer.days == Days(date(2010, 12, 3), date(2010, 12, 9))
        assert reading.answer.cards[3].total == Decimal("0.0002")

    def test_no_gold_table_is_nothing(self, root: Path) -> None:
        assert reader(root).read(TEAMS[2], Choice()) is None

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
        for name in {team.table for team in TEAMS}:
            write_gold(tmp_path, name, [row("", date(2010, 12, 1), "0", "0") | {"kpi_name": None}])
        seen = reader(tmp_path)

        for team in TEAMS:
            reading = seen.read(team, Choice("30"))
            assert reading is not None
            assert set(reading.answer.panels) == {panel.key for panel in team.panels}
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
