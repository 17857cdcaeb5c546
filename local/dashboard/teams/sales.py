"""The page of the Sales team."""

from local.dashboard.colors import BLUE, VIOLET
from local.dashboard.numbers import COUNT, MONEY, SHARE
from local.dashboard.panels import (
    BASE,
    RATE,
    Card,
    Panel,
    Team,
    bar_chart,
    column_chart,
    each_day,
    line_chart,
    ranking,
    whole_days,
)

BOUGHT_UNSEEN = "over 100 %: bought without a view of the product page"

SALES_TEAM = Team(
    "sales",
    "Sales",
    "gold.sales_kpis",
    "What sells, where, and how well does the shop convert?",
    (
        Card("Revenue", "revenue_by_region", MONEY),
        Card("Units sold", "units_sold", COUNT),
        Card("Average basket", "average_basket", MONEY, RATE),
        Card("Product conversion", "product_conversion_rate", SHARE, RATE, above_one=BOUGHT_UNSEEN),
    ),
    (
        Panel(
            "revenue-region",
            "Revenue by region",
            "revenue_by_region",
            each_day("revenue_by_region", "region"),
            column_chart(MONEY),
            wide=True,
            colored_by="region",
        ),
        Panel(
            "revenue-store",
            "Revenue by store",
            "revenue_by_store",
            ranking("revenue_by_store", "store_id"),
            bar_chart(MONEY, prefix="Store"),
            note="the 10 greatest, and all others",
        ),
        Panel(
            "units-category",
            "Units sold by category",
            "units_sold",
            ranking("units_sold", "category"),
            bar_chart(COUNT, color=BLUE),
            note="the 10 greatest, and all others",
        ),
        Panel(
            "basket",
            "Average basket",
            "average_basket",
            whole_days("average_basket"),
            line_chart(MONEY),
        ),
        Panel(
            "conversion",
            "Product conversion",
            "product_conversion_rate",
            ranking("product_conversion_rate", "product_id", RATE, order=BASE),
            bar_chart(SHARE, RATE, VIOLET),
            note="purchases over views, of the 10 most viewed products and all others",
        ),
    ),
)
