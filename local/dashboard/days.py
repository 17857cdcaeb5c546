"""Which days of a lake are over, and which are compared with which. Pure: it is told what time it is.

Like is compared with like: days that are over with the same days of the period before, one day with the same weekday of
the week before, or both with the same weekdays of the year before. A day that is not over is compared with nothing.
"""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from lakehouse.kpis import KPIS
from local.dashboard.panels import Card

# How long after its end a day is still being filled, at most: a table that promises less waits as long as it promises.
LONGEST_TAIL = timedelta(hours=1)
WEEK, YEAR = 7, 364  # days; 52 weeks, so that Mondays stand beside Mondays

Amounts = Mapping[date, tuple[Decimal, Decimal]]  # the numerator and denominator of each day


@dataclass(frozen=True)
class Days:
    """The days from `first` to `last`, both included; none when `last` lies before."""

    first: date
    last: date

    def shifted(self, days: int) -> "Days":
        """As many days, so much later."""
        return Days(self.first + timedelta(days=days), self.last + timedelta(days=days))

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.first <= day <= self.last

    def __len__(self) -> int:
        return max(0, (self.last - self.first).days + 1)

    def __iter__(self) -> Iterator[date]:
        return (self.first + timedelta(days=each) for each in range(len(self)))


@dataclass(frozen=True)
class Comparison:
    """What a KPI came to on some days (`now`) and on those that they are compared with (`before`).

    A value is None where these days have no figures. `known` and `known_before` are how many of the days have any.
    """

    days: Days
    other: Days
    now: Decimal | None
    before: Decimal | None
    known: int
    known_before: int


def last_complete_day(committed_at: datetime, promised: timedelta | None, now: datetime) -> date:
    """The last day that is over for a table, so that nothing more is to come of it but what is late.

    A day is over when the table was written after its end, or when the freshness that the table promises has passed
    since. Either way at most an hour is left for what is still under way.
    """
    tail = min(promised or timedelta(0), LONGEST_TAIL)
    return max(_day_before(committed_at - tail), _day_before(now - (promised or timedelta(0)) - tail))


def _day_before(time: datetime) -> date:
    return time.astimezone(UTC).date() - timedelta(days=1)


def sources_of(kpi: str) -> frozenset[str]:
    """The silver tables that a KPI is made of."""
    return frozenset(each.source for declared in KPIS if declared.name == kpi for each in declared.contributions)


def known_days(kpi: str, seen: Mapping[str, Set[date]]) -> frozenset[date]:
    """The days of which a KPI has a figure: those on which any KPI of its sources has a row (`seen`, by KPI).

    A day without a refund has refunds of zero; a day without a till line has no figure at all.
    """
    mine = sources_of(kpi)
    return frozenset(each for other, days in seen.items() if mine & sources_of(other) for each in days)


def value_on(card: Card, amounts: Amounts, known: Set[date], days: Days) -> Decimal | None:
    """What a card's KPI came to on some days; None when it has no figure for any of them."""
    found = [amounts[day] for day in days if day in amounts]
    if not found and not any(day in known for day in days):
        return None
    numerator = sum((each for each, _ in found), Decimal(0))
    return card.worth.of(numerator, sum((each for _, each in found), Decimal(0)))


def compare(card: Card, amounts: Amounts, known: Set[date], days: Days, earlier: int) -> Comparison | None:
    """Some days, all of them over, against the same number of days so much `earlier`; None for no days."""
    if not len(days):
        return None
    other = days.shifted(-earlier)
    return Comparison(
        days,
        other,
        value_on(card, amounts, known, days),
        value_on(card, amounts, known, other),
        sum(day in known for day in days),
        sum(day in known for day in other),
    )
