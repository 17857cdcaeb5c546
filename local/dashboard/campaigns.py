"""The table of campaigns: what each cost and brought, those that lost money first.

Money and clicks are gold's; orders are counted in silver, for no KPI counts them yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce

from dash import html

from local.dashboard.axes import View
from local.dashboard.numbers import MONEY, NOTHING, SHARE, Measure
from local.dashboard.panels import Others, Rows
from local.dashboard.pieces import head, number
from local.rendering import visible

MOST_CAMPAIGNS = 200
ZERO = Decimal(0)

OF_CAMPAIGNS = (
    "select campaign_id as name, sum(numerator) filter (kpi_name = 'campaign_roi') as profit, "
    "sum(denominator) filter (kpi_name = 'campaign_roi') as spend, "
    "sum(numerator) filter (kpi_name = 'click_through_rate') as clicks from kpis "
    "where kpi_name in ('campaign_roi', 'click_through_rate') group by campaign_id"
)
ORDERS = (
    "silver.sessionized_web_logs",
    "select last_touch_campaign as name, count(distinct coalesce(transaction_id, event_id)) as orders "
    "from silver.sessionized_web_logs where event_type = 'purchase' and last_touch_campaign is not null "
    "and cast(event_time as date) between $since and $until group by last_touch_campaign",
)


@dataclass(frozen=True)
class Campaign:
    """What one campaign, or several together, cost and brought. `orders` is None where silver was not to be read."""

    name: object
    spend: Decimal
    profit: Decimal
    clicks: int
    orders: int | None

    @property
    def revenue(self) -> Decimal:
        """The value of the orders that it brought."""
        return self.spend + self.profit

    @property
    def return_on_investment(self) -> Decimal | None:
        """Profit over spend; None without spend."""
        return self.profit / self.spend if self.spend else None

    def with_others(self, other: "Campaign") -> "Campaign":
        """Both together, under the name of this one."""
        orders = None if self.orders is None or other.orders is None else self.orders + other.orders
        return Campaign(
            self.name, self.spend + other.spend, self.profit + other.profit, self.clicks + other.clicks, orders
        )


def campaigns_of(rows: Rows) -> list[Campaign]:
    """Every campaign with spend, orders or clicks, the greatest loss first; then those without spend."""
    orders = {row["name"]: row["orders"] for row in rows if "orders" in row}
    found = [
        Campaign(
            row["name"],
            row["spend"] or ZERO,
            row["profit"] or ZERO,
            int(row["clicks"] or 0),
            orders.get(row["name"], 0) if orders else None,
        )
        for row in rows
        if "profit" in row
    ]
    return sorted(found, key=lambda each: (not each.spend, each.profit, str(each.name)))


def campaign_table(rows: Rows, _view: View) -> html.Div:
    """The table, with a line for those beyond the first 200 and one for all together."""
    found = campaigns_of(rows)
    shown, rest = found[:MOST_CAMPAIGNS], found[MOST_CAMPAIGNS:]
    if rest:
        shown = [*shown, _together(Others(len(rest)), rest)]
    total = _together("All campaigns", found)
    return html.Div(
        html.Table(
            [
                head("Campaign", "#Spend", "#Clicks", "#Orders", "#Revenue", "#Profit", "#Return on investment"),
                html.Tbody([_line(each) for each in shown]),
                html.Tfoot(_line(total)),
            ],
            className="campaigns",
        ),
        className="scroll tall",
    )


def _together(name: object, campaigns: Sequence[Campaign]) -> Campaign:
    known = all(each.orders is not None for each in campaigns)
    return reduce(Campaign.with_others, campaigns, Campaign(name, ZERO, ZERO, 0, 0 if known else None))


def _line(campaign: Campaign) -> html.Tr:
    returned = campaign.return_on_investment
    return html.Tr(
        [
            html.Td(_text(campaign.name), className="strong"),
            _value(campaign.spend, MONEY) if campaign.spend else html.Td("no spend", className="number note"),
            number(campaign.clicks),
            html.Td(NOTHING, className="number") if campaign.orders is None else number(campaign.orders),
            _value(campaign.revenue, MONEY),
            _value(campaign.profit, MONEY, "number bad" if campaign.profit < 0 else "number"),
            html.Td(NOTHING, className="number") if returned is None else _value(returned, SHARE),
        ]
    )


def _value(value: Decimal, measure: Measure, look: str = "number") -> html.Td:
    return html.Td(measure.short(value), className=look, title=measure.full(value))


def _text(name: object) -> str:
    """The name as a text node, which is inert as it is."""
    return "(none)" if name is None else visible(str(name))
