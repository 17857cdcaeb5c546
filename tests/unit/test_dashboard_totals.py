"""What is drawn comes to what the card says: every stack and every list with a limit, for few and for many values."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import plotly.graph_objects as go
import pytest
from dash import html
from hypothesis import given, settings
from hypothesis import strategies as st

from local.dashboard.campaigns import Campaign, campaigns_of
from local.dashboard.panels import BASE, RATE, TOTAL, Others, Panel, Rows, Team, Worth, each_day, first_values, name_of
from local.dashboard.readings import Readings
from local.dashboard.team_reading import Choice, TeamContent, TeamReader
from local.dashboard.teams import TEAMS
from local.sql import Lake
from tests.unit.gold_lake import FIRST, random_lake

DAYS = 9
SINCE = {"7": FIRST + timedelta(days=DAYS - 7)}
# Charts of several KPIs at once, which have no values of a dimension to leave out.
OF_SEVERAL_KPIS = {"net-daily", "net-steps", "net-running", "given-back", "movements"}
CHARTS = [
    (team, panel)
    for team in TEAMS
    for panel in team.panels
    if panel.key not in OF_SEVERAL_KPIS and panel.shape == "figure"
]
# Charts whose bars add up, and what to.
ADDING_UP = {
    "revenue-region": TOTAL,
    "revenue-store": TOTAL,
    "units-category": TOTAL,
    "sessions": BASE,
    "volume": TOTAL,
    "volume-channel": TOTAL,
    "loyalty": TOTAL,
    "stockouts": TOTAL,
}


@pytest.fixture(scope="module", params=[3, 7, 200], ids=lambda values: f"{values} values")
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with so many values of each dimension."""
    folder = tmp_path_factory.mktemp(f"values-{request.param}")
    random_lake(folder, values=request.param, days=DAYS, seed=request.param)
    return folder


@pytest.fixture(scope="module")
def lake(root: Path) -> Iterator[Lake]:
    with Lake(str(root)) as opened:
        yield opened


@pytest.fixture(scope="module")
def contents(root: Path) -> dict[tuple[str, str], TeamContent]:
    """Each team's page, of the last 7 days."""
    reader = TeamReader(Readings(str(root)), {})
    found = {(team.key, period): reader.read(team, Choice(period)) for team in TEAMS for period in SINCE}
    return {key: reading.answer for key, reading in found.items() if reading}


def sums(lake: Lake, table: str, kpi: str, since: date, where: str = "true") -> tuple[Decimal, Decimal]:
    (found,) = lake.query(
        f"select sum(numerator) n, sum(denominator) d from {table} "
        f"where kpi_name = $kpi and period_start >= $since and {where}",
        {"kpi": kpi, "since": since},
    )
    return found["n"], found["d"]


def bars(figure: go.Figure) -> list[Decimal]:
    """Every value that the bars of a chart show, exactly as it goes to the browser."""
    found = [trace for trace in figure.data if trace.type == "bar"]
    values = [value for bar in found for value in (bar.x if bar.orientation == "h" else bar.y)]
    return [Decimal(repr(value)) for value in values if value is not None]


@pytest.mark.parametrize("period", SINCE)
def test_the_bars_of_a_chart_come_to_its_card_to_the_penny(
    lake: Lake, contents: dict[tuple[str, str], TeamContent], period: str
) -> None:
    shown: dict[str, Decimal] = {}
    expected: dict[str, Decimal | None] = {}
    on_cards: dict[str, Decimal | None] = {}
    for team, panel in CHARTS:
        if panel.key not in ADDING_UP:
            continue
        content = contents[team.key, period]
        worth = ADDING_UP[panel.key]
        shown[panel.key] = sum(bars(content.panels[panel.key]), Decimal(0))
        expected[panel.key] = worth.of(*sums(lake, team.table, panel.kpi, SINCE[period]))
        for card, value in zip(team.cards, content.cards, strict=True):
            if (card.kpi, card.worth) == (panel.kpi, worth):
                on_cards[panel.key] = value.total

    assert shown == expected
    assert on_cards == {key: shown[key] for key in ADDING_UP if key != "revenue-store"}


@pytest.mark.parametrize("period", SINCE)
@pytest.mark.parametrize(("team", "panel"), CHARTS, ids=lambda each: each.key)
def test_the_rows_of_a_chart_are_all_rows_of_its_kpi(lake: Lake, team: Team, panel: Panel, period: str) -> None:
    """Rates too: what has no line or bar of its own is in the one of all others."""
    kpis = f"with kpis as (from {team.table} where period_start >= $since) "
    rows = lake.query(kpis + panel.statement, {"since": SINCE[period]})
    where = "interaction_type = 'complaint'" if panel.key == "resolution" else "true"

    assert (
        sum(row["numerator"] for row in rows),
        sum(row["denominator"] for row in rows),
    ) == sums(lake, team.table, panel.kpi, SINCE[period], where)
    assert len({name_of(row) for row in rows}) <= 13


@pytest.mark.parametrize("period", SINCE)
def test_what_hovering_tells_of_a_stack_is_what_it_comes_to(
    contents: dict[tuple[str, str], TeamContent], period: str
) -> None:
    figure: Any = contents["sales", period].panels["revenue-region"]
    (total,) = (trace for trace in figure.data if trace.name == "Total")
    for day, text in zip(total.x, total.customdata, strict=True):
        stack = [
            Decimal(repr(value))
            for bar in figure.data
            if bar.type == "bar"
            for place, value in zip(bar.x, bar.y, strict=True)
            if place == day
        ]
        assert pounds(text) == sum(stack)


@pytest.mark.parametrize("period", SINCE)
def test_the_campaigns_come_to_the_card_of_their_return(
    lake: Lake, contents: dict[tuple[str, str], TeamContent], period: str
) -> None:
    profit, spend = sums(lake, "gold.marketing_funnel", "campaign_roi", SINCE[period])
    table: Any = contents["marketing", period].panels["campaigns"]
    (footer,) = (part for part in table.children.children if isinstance(part, html.Tfoot))
    cells = footer.children.children

    assert cells[0].children == "All campaigns"
    assert [pounds(cells[place].title) for place in (1, 4, 5)] == [spend, spend + profit, profit]
    assert contents["marketing", period].cards[1].total == profit / spend


def pounds(text: str) -> Decimal:
    return Decimal(text.replace("£", "").replace(",", ""))


NAMES = st.none() | st.sampled_from("abcdefghijklmnop")
PENCE = st.integers(-(10**12), 10**12).map(lambda pence: Decimal(pence).scaleb(-4))
ROWS = st.lists(
    st.tuples(NAMES, st.dates(date(2026, 1, 1), date(2026, 1, 5)), PENCE, st.integers(0, 3).map(Decimal)),
    min_size=1,
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.integers(1, 8), st.sampled_from([TOTAL, RATE, BASE]))
def test_first_values_leave_nothing_out(
    rows: list[tuple[str | None, date, Decimal, Decimal]], most: int, order: Worth
) -> None:
    with duckdb.connect() as connection:
        connection.execute(
            "create table kpis (kpi_name text, name text, period_start date, numerator decimal(28,4), "
            "denominator decimal(28,4))"
        )
        connection.executemany("insert into kpis values ('k', ?, ?, ?, ?)", rows)
        for statement in (first_values("k", "name", "null", most, order.value), each_day("k", "name", most)):
            found = connection.execute(statement).to_arrow_table().to_pylist()
            names = {name for name, *_ in rows}
            shown = {name_of(row) for row in found}

            assert sum(row["numerator"] for row in found) == sum(row[2] for row in rows)
            assert sum(row["denominator"] for row in found) == sum(row[3] for row in rows)
            others = [each for each in shown if isinstance(each, Others)]
            if len(names) <= most + 1:
                assert shown == names
            else:
                assert others == [Others(len(names) - most)]
                assert shown - set(others) < names
                assert len(shown) == most + 1


class TestCampaigns:
    def test_losses_come_first_and_campaigns_without_spend_last(self) -> None:
        rows: Rows = [
            {"name": "even", "profit": Decimal(0), "spend": Decimal(10), "clicks": Decimal(1)},
            {"name": "gain", "profit": Decimal(5), "spend": Decimal(10), "clicks": None},
            {"name": "free", "profit": Decimal(40), "spend": Decimal(0), "clicks": Decimal(7)},
            {"name": "loss", "profit": Decimal(-9), "spend": Decimal(10), "clicks": Decimal(2)},
            {"name": "clicked", "profit": None, "spend": None, "clicks": Decimal(3)},
            {"name": "loss", "orders": 2},
            {"name": "free", "orders": 1},
        ]

        assert campaigns_of(rows) == [
            Campaign("loss", Decimal(10), Decimal(-9), 2, 2),
            Campaign("even", Decimal(10), Decimal(0), 1, 0),
            Campaign("gain", Decimal(10), Decimal(5), 0, 0),
            Campaign("clicked", Decimal(0), Decimal(0), 3, 0),
            Campaign("free", Decimal(0), Decimal(40), 7, 1),
        ]
        assert [each.revenue for each in campaigns_of(rows)] == [1, 10, 15, 0, 40]
        assert [each.return_on_investment for each in campaigns_of(rows)] == [
            Decimal("-0.9"),
            0,
            Decimal("0.5"),
            None,
            None,
        ]

    def test_without_silver_nobody_knows_the_orders(self) -> None:
        rows: Rows = [{"name": "a", "profit": Decimal(1), "spend": Decimal(1), "clicks": Decimal(1)}]

        assert campaigns_of(rows)[0].orders is None
