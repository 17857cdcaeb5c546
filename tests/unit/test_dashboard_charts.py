"""How charts are drawn: axes of days with their gaps, colours that stay, values in full on hovering."""

from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.contracts import load_contracts
from lakehouse.kpis import KPIS
from lakehouse.settings import CONTRACTS
from local.dashboard import charts
from local.dashboard.axes import DAY, View, with_gaps
from local.dashboard.charts import Trace
from local.dashboard.colors import PALETTE, PLAIN, styles_of
from local.dashboard.numbers import COUNT, MONEY, SHARE
from local.dashboard.panels import Others

D1 = date(2010, 12, 1)


def days(*values: tuple[int, str | None], name: object = "uk") -> Trace:
    """A series of December 2010."""
    return Trace(
        name, PLAIN, [(date(2010, 12, day), None if value is None else Decimal(value)) for day, value in values]
    )


def view(first: int, last: int, complete: int = 31) -> View:
    return View(date(2010, 12, first), date(2010, 12, last), date(2010, 12, complete))


def test_bars_keep_their_order_and_their_labels_are_inert() -> None:
    figure = charts.bars(
        [("<b>a</b>", Decimal("3.5"), PLAIN), (None, Decimal(-1), PLAIN), (Others(4), Decimal(9), PLAIN)], MONEY
    )

    (bar,) = figure.data
    assert list(bar.y) == ["&lt;b&gt;a&lt;/b&gt;", "(none)", "Other (4)"]
    assert list(figure.layout.yaxis.categoryarray) == ["&lt;b&gt;a&lt;/b&gt;", "(none)", "Other (4)"]
    assert list(bar.text) == ["£3.50", "-£1.00", "£9.00"]


def test_one_day_is_an_axis_of_one_day_with_a_bar_of_one_day() -> None:
    figure = charts.columns([days((1, "5"))], MONEY, view(1, 1))

    assert figure.layout.xaxis.range == ("2010-11-28 12:00", "2010-12-03 12:00")
    assert figure.layout.xaxis.tickvals == ("2010-12-01",)
    assert figure.data[0].width == 0.76 * DAY


def test_a_day_without_data_is_a_gap_on_an_axis_of_time() -> None:
    figure = charts.lines([days((1, "5"), (2, "6"), (9, "7"))], COUNT, view(1, 9))

    assert figure.layout.xaxis.type == "date"
    (line,) = figure.data
    assert [(each.day, value) for each, value in zip(line.x, line.y, strict=True)] == [
        (1, 5.0), (2, 6.0), (3, None), (8, None), (9, 7.0),
    ]  # fmt: skip
    assert line.connectgaps is False
    assert line.mode == "lines+markers"


@settings(deadline=None)
@given(st.sets(st.integers(0, 60), min_size=1))
def test_only_neighbours_are_joined(numbers: set[int]) -> None:
    found = {D1 + timedelta(days=number) for number in numbers}
    shown = with_gaps(found)

    assert found <= set(shown)
    for one, other in pairwise(shown):
        if one in found and other in found:
            assert other - one == timedelta(days=1)


def test_hovering_shows_the_whole_number_the_unit_and_the_stack() -> None:
    figure = charts.columns([days((1, "23633.3000")), days((1, "0.25"), name="europe")], MONEY, view(1, 1))

    assert [list(trace.customdata) for trace in figure.data] == [["£23,633.30"], ["£0.25"], ["£23,633.55"]]
    assert figure.data[2].name == "Total"
    assert figure.layout.xaxis.hoverformat == "%a %-d %b %Y"
    assert figure.layout.yaxis.tickprefix == "£"
    assert list(charts.lines([days((1, "0.1234567"))], SHARE, view(1, 1)).data[0].customdata) == ["12.3457 %"]


def test_a_day_that_is_not_over_is_marked() -> None:
    over = charts.columns([days((1, "5"), (3, "6"))], MONEY, view(1, 3, complete=3))
    running = charts.columns([days((1, "5"), (3, "6"))], MONEY, view(1, 3, complete=2))

    assert (len(over.layout.shapes), len(over.layout.annotations)) == (0, 0)
    (shape,) = running.layout.shapes
    assert (shape.x0, shape.x1) == ("2010-12-02 12:00", "2010-12-03 12:00")
    assert [each.text for each in running.layout.annotations] == ["so far"]


def test_a_funnel_shows_shares_only_where_a_stage_narrows() -> None:
    stages = {"impression": "60", "click": "26", "view": "666", "cart": "0"}
    figure = charts.funnel([(name, Decimal(value)) for name, value in stages.items()])

    assert list(figure.data[0].text) == ["60", "26  (43.3 %)", "666", "0  (0.00 %)"]


def test_a_share_map_has_a_column_for_each_day_and_gaps_between() -> None:
    values: dict[tuple[object, date], Decimal | None] = {
        ("Warehouse 1", D1): Decimal("0.5"),
        ("Warehouse 1", date(2010, 12, 9)): Decimal(1),
        ("Warehouse 2", D1): None,
    }
    (found,) = charts.heatmap(values, SHARE, view(1, 9), 0.9).data

    assert [each.day for each in found.x] == [1, 2, 8, 9]
    assert found.z == ([0.5, None, None, 1.0], [None, None, None, None])
    assert found.zmin == 0.5


class TestColors:
    @pytest.mark.parametrize("number", [3, 20, 21, 120])
    def test_no_two_values_look_alike(self, number: int) -> None:
        styles = styles_of(f"region {each}" for each in range(number))

        assert len(set(styles.values())) == number
        assert {style.color for style in styles.values()} <= set(PALETTE)

    @settings(deadline=None)
    @given(st.lists(st.text(max_size=5), min_size=1, max_size=20, unique=True))
    def test_the_order_of_values_means_nothing(self, values: list[str]) -> None:
        mixed = list(values)
        Random(1).shuffle(mixed)

        assert styles_of(values) == styles_of(mixed)

    def test_numbers_and_texts_are_values_too(self) -> None:
        styles: dict[Any, Any] = styles_of([1, "1", 2])

        assert len(set(styles.values())) == 3


def test_all_money_of_the_lake_is_in_pounds() -> None:
    """The figures carry one sign: the contracts of all gold tables with money must agree with it."""
    contracts = load_contracts(CONTRACTS)
    with_money = {kpi.table for kpi in KPIS if kpi.unit == "currency" or kpi.name == "campaign_roi"}

    assert with_money == {"gold.sales_kpis", "gold.marketing_funnel"}
    assert all("Money is GBP." in " ".join(contracts.table(name).description.split()) for name in with_money)
