"""Which days are over, and what is compared with what: like with like, and nothing with a day that still runs."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from dash import html

from local.dashboard import readings
from local.dashboard.cards import card_box, change_lines
from local.dashboard.days import Days, known_days, last_complete_day
from local.dashboard.numbers import COUNT, MONEY, SHARE
from local.dashboard.panels import RATE, Card, Team
from local.dashboard.readings import Readings
from local.dashboard.team_reading import CardContent, Choice, TeamContent, TeamReader
from tests.unit.gold_lake import row, write_gold

HOUR = timedelta(hours=1)
MONDAY = date(2026, 1, 5)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("committed", "promised", "now", "complete"),
    [
        # A lake of long ago: whatever was promised, all its days are over.
        ("2026-01-01 12:00", 27 * HOUR, "2026-11-28 09:00", date(2026, 11, 26)),
        # Yesterday's file came in the night, after an hour in which it could still have been half there.
        ("2026-11-28 01:30", 27 * HOUR, "2026-11-28 09:00", date(2026, 11, 27)),
        ("2026-11-28 00:30", 27 * HOUR, "2026-11-28 09:00", date(2026, 11, 26)),
        # A stream that promises five minutes and has written since: yesterday is over, today is not.
        ("2026-11-28 00:04", HOUR / 12, "2026-11-28 00:04", date(2026, 11, 26)),
        ("2026-11-28 00:05", HOUR / 12, "2026-11-28 00:05", date(2026, 11, 27)),
        # It was idle over midnight: what it promised has passed.
        ("2026-11-27 22:00", HOUR / 12, "2026-11-28 00:09", date(2026, 11, 26)),
        ("2026-11-27 22:00", HOUR / 12, "2026-11-28 00:10", date(2026, 11, 27)),
        ("2026-11-28 23:59", None, "2026-11-28 23:59", date(2026, 11, 27)),
    ],
)
def test_the_last_day_that_is_over(committed: str, promised: timedelta | None, now: str, complete: date) -> None:
    assert last_complete_day(at(committed), promised, at(now)) == complete


def test_a_day_has_a_figure_when_any_kpi_of_its_source_has_a_row() -> None:
    seen = {"daily_revenue": {MONDAY}, "refunds": set[date](), "product_conversion_rate": {date(2026, 1, 6)}}

    assert known_days("refunds", seen) == {MONDAY}
    assert known_days("product_conversion_rate", seen) == {date(2026, 1, 6)}


REVENUE = Card("Revenue", "daily_revenue", MONEY)
REFUNDS = Card("Refunds", "refunds", MONEY, better=-1)
CONVERSION = Card("Conversion", "product_conversion_rate", SHARE, RATE, above_one="bought unseen")
TEAM = Team("sales", "Sales", "gold.sales_kpis", "?", (REVENUE, REFUNDS, CONVERSION), ())


def content(root: Path, now: str, choice: Choice = Choice()) -> TeamContent:
    reading = TeamReader(Readings(str(root)), {"gold.sales_kpis": HOUR}, lambda: at(now)).read(TEAM, choice)
    assert reading is not None
    return reading.answer


def lines(card: Card, shown: CardContent) -> list[str]:
    """What a card says below its number, as text."""
    return [
        "".join(str(each.children) if isinstance(each, html.Span) else each for each in line)
        for line in change_lines(card, shown)
    ]


def tones(card: Card, shown: CardContent) -> list[str]:
    return [
        getattr(each, "className", "")
        for line in change_lines(card, shown)
        for each in line
        if isinstance(each, html.Span)
    ]


def fill(root: Path, revenue: dict[int, str], conversion: dict[int, tuple[str, str]] | None = None) -> None:
    """Revenue and conversion of days counted from a Monday."""
    rows = [row("daily_revenue", MONDAY + timedelta(days=day), value) for day, value in revenue.items()]
    rows += [
        row("product_conversion_rate", MONDAY + timedelta(days=day), *values)
        for day, values in (conversion or {}).items()
    ]
    write_gold(root, "gold.sales_kpis", rows)


class TestComparisons:
    """The lake is written today, in 2026 or later, so each of its days is over unless `now` lies among them."""

    def test_the_last_day_stands_against_the_same_weekday(self, tmp_path: Path) -> None:
        fill(tmp_path, {0: "100", 6: "900", 7: "150"})
        revenue, *_ = content(tmp_path, "2026-06-01 12:00").cards

        assert lines(REVENUE, revenue) == ["Mon 12 Jan: £150.00 ▲ 50.0 % on Mon 5 Jan"]
        assert tones(REVENUE, revenue) == ["good"]

    def test_a_missing_day_is_not_replaced_by_the_row_before(self, tmp_path: Path) -> None:
        fill(tmp_path, {1: "100", 7: "150"})
        revenue, *_ = content(tmp_path, "2026-06-01 12:00").cards

        assert lines(REVENUE, revenue) == ["Mon 12 Jan: £150.00 no figures for Mon 5 Jan"]

    def test_a_period_stands_against_the_same_number_of_days_before(self, tmp_path: Path) -> None:
        fill(tmp_path, {day: "100" for day in range(7)} | {day: "90" for day in range(7, 14)})
        shown = content(tmp_path, "2026-06-01 12:00", Choice("7"))

        assert shown.days == Days(date(2026, 1, 12), date(2026, 1, 18))
        assert lines(REVENUE, shown.cards[0]) == [
            "▼ 10.0 % on 5 to 11 Jan 2026",
            "Sun 18 Jan: £90.00 ▼ 10.0 % on Sun 11 Jan",
        ]
        assert tones(REVENUE, shown.cards[0]) == ["bad", "bad"]

    def test_unlike_numbers_of_days_are_told_and_are_neither_good_nor_bad(self, tmp_path: Path) -> None:
        fill(tmp_path, {day: "100" for day in range(7)} | {day: "90" for day in range(9, 14)})
        shown = content(tmp_path, "2026-06-01 12:00", Choice("7"))

        assert lines(REVENUE, shown.cards[0])[0] == ("▼ 35.7 % on 5 to 11 Jan 2026 (5 days with figures against 7)")
        assert tones(REVENUE, shown.cards[0])[0] == "flat"

    def test_last_year_is_the_same_weekdays_52_weeks_before(self, tmp_path: Path) -> None:
        fill(tmp_path, {-364: "80", 0: "100"})
        revenue, *_ = content(tmp_path, "2026-06-01 12:00", Choice("all", "year")).cards

        assert lines(REVENUE, revenue) == ["Mon 5 Jan: £100.00 ▲ 25.0 % on Mon 6 Jan"]
        assert date(2025, 1, 6).weekday() == MONDAY.weekday()

    def test_rates_change_in_percentage_points(self, tmp_path: Path) -> None:
        fill(tmp_path, {}, {0: ("131", "100"), 7: ("50", "100")})
        shown = content(tmp_path, "2026-06-01 12:00").cards[2]

        assert lines(CONVERSION, shown) == ["Mon 12 Jan: 50.0 % ▼ 81.0 pp on Mon 5 Jan"]

    def test_after_zero_there_is_no_percentage(self, tmp_path: Path) -> None:
        fill(tmp_path, {0: "0", 7: "150"})
        revenue, *_ = content(tmp_path, "2026-06-01 12:00").cards

        assert lines(REVENUE, revenue) == ["Mon 12 Jan: £150.00 (was £0.00 on Mon 5 Jan)"]

    def test_no_refund_is_a_refund_of_zero_where_the_tills_rang(self, tmp_path: Path) -> None:
        fill(tmp_path, {0: "100", 7: "150"})
        write_gold(tmp_path, "gold.sales_kpis", [row("refunds", MONDAY, "10")])
        refunds = content(tmp_path, "2026-06-01 12:00").cards[1]

        assert refunds.total == 10
        assert lines(REFUNDS, refunds) == ["Mon 12 Jan: £0.00 ▼ 100.0 % on Mon 5 Jan"]
        assert tones(REFUNDS, refunds) == ["good"]


class TestTheDayThatRuns:
    """Dates far ahead, so that the commit of now lies before the end of the last day."""

    def fill(self, root: Path) -> None:
        later = (date(2126, 1, 7) - MONDAY).days  # a Monday again
        fill(root, {later + day: "100" for day in range(14)} | {later + 14: "3"})

    def test_it_is_shown_so_far_and_compared_with_nothing(self, tmp_path: Path) -> None:
        self.fill(tmp_path)
        shown = content(tmp_path, "2126-01-21 08:00", Choice("7"))
        revenue = shown.cards[0]

        assert shown.complete == date(2126, 1, 20)
        assert shown.days == Days(date(2126, 1, 15), date(2126, 1, 21))
        assert revenue.total == 603
        assert lines(REVENUE, revenue) == [
            "15 to 20 Jan 2126: £600.00 = 0.0 % on 8 to 13 Jan 2126",
            "Sun 20 Jan: £100.00 = 0.0 % on Sun 13 Jan",
            "Mon 21 Jan so far: £3.00",
        ]
        assert tones(REVENUE, revenue) == ["flat", "flat"]

    def test_it_is_over_when_what_the_table_promises_has_passed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(readings, "REST", 0.0)
        self.fill(tmp_path)
        times = iter([at("2126-01-22 01:59"), at("2126-01-22 02:00")])
        reader = TeamReader(Readings(str(tmp_path)), {"gold.sales_kpis": HOUR}, lambda: next(times))
        before = reader.read(TEAM, Choice())
        after = reader.read(TEAM, Choice())

        assert [each and each.answer.complete for each in (before, after)] == [date(2126, 1, 20), date(2126, 1, 21)]
        assert after is not None
        assert lines(REVENUE, after.answer.cards[0]) == ["Mon 21 Jan: £3.00 ▼ 97.0 % on Mon 14 Jan"]


def test_more_than_all_is_explained_where_it_is_shown() -> None:
    def notes(total: str) -> list[str]:
        box = card_box(CONVERSION, CardContent(total=Decimal(total)))
        return [each.children for each in box.children if each.className == "card-note"]

    assert notes("1.31") == ["bought unseen"]
    assert notes("1") == []
    assert Card("x", "y", COUNT).above_one == ""
