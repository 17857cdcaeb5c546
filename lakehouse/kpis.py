"""The KPIs, one declaration each: what rows of silver tables add to them. `engine/gold.py` computes them.

A KPI has one value per UTC day and dimensions: the sum of its numerators over the sum of its denominators. Sums add and
take away, so a changed silver row changes a KPI without a look at the other rows. To add a KPI, add a declaration
here and its case to tests/unit/test_kpis.py; gold is built anew at the next start of its job.
"""

from lakehouse.kpi_model import Contribution, Kpi, quotient

POS = "silver.validated_pos"
STOCK = "silver.enriched_inventory"
WEB = "silver.sessionized_web_logs"
CRM = "silver.customer_interactions"
SPEND = "silver.campaign_spend"

SALES = "gold.sales_kpis"
MARKETING = "gold.marketing_funnel"
CUSTOMERS = "gold.customer_insights"
OPERATIONS = "gold.operations_kpis"

# DuckDB multiplies in the width of the wider operand, at least 18 digits: a large price must not run over.
REVENUE = "quantity * CAST(unit_price AS DECIMAL(28, 4))"
SALE = "type = 'sale'"
SESSION = "if(position = 1, 1, 0)"
STOCK_DAYS = quotient("CAST(previous_level AS HUGEINT) * seconds_since_previous", 86_400)

KPIS = (
    Kpi(
        "revenue_by_store",
        SALES,
        "Sales",
        "currency",
        "Quantity times unit price of all sale lines of a store, before discounts.",
        contributions=(Contribution(POS, REVENUE, where=SALE, dimensions={"store_id": "store_id"}),),
    ),
    Kpi(
        "revenue_by_region",
        SALES,
        "Sales",
        "currency",
        "Quantity times unit price of all sale lines in a region, before discounts.",
        contributions=(Contribution(POS, REVENUE, where=SALE, dimensions={"region": "region"}),),
    ),
    Kpi(
        "units_sold",
        SALES,
        "Sales",
        "units",
        "Units on the sale lines of a product category.",
        contributions=(Contribution(POS, "quantity", where=SALE, dimensions={"category": "category"}),),
    ),
    Kpi(
        "average_basket",
        SALES,
        "Sales",
        "currency",
        "Revenue of a store over its distinct sale transactions.",
        contributions=(
            Contribution(POS, REVENUE, "if(is_first_line, 1, 0)", where=SALE, dimensions={"store_id": "store_id"}),
        ),
    ),
    Kpi(
        "product_conversion_rate",
        SALES,
        "Sales",
        "ratio",
        "Web purchases of a product over its views.",
        contributions=(
            Contribution(
                WEB,
                "if(event_type = 'purchase', 1, 0)",
                "if(event_type = 'view', 1, 0)",
                where="event_type IN ('purchase', 'view') AND product_id IS NOT NULL",
                dimensions={"product_id": "product_id", "category": "category"},
            ),
        ),
    ),
    Kpi(
        "daily_revenue",
        SALES,
        "Finance",
        "currency",
        "Quantity times unit price of all sale lines (gross: before discounts and refunds).",
        contributions=(Contribution(POS, REVENUE, where=SALE),),
    ),
    Kpi(
        "refunds",
        SALES,
        "Finance",
        "currency",
        "Quantity times unit price of all refund lines, as a positive amount.",
        contributions=(Contribution(POS, f"-({REVENUE})", where="type = 'refund'"),),
    ),
    Kpi(
        "discounts",
        SALES,
        "Finance",
        "currency",
        "Discounts given on all lines.",
        contributions=(Contribution(POS, "discount_applied"),),
    ),
    Kpi(
        "net_sales",
        SALES,
        "Finance",
        "currency",
        "Daily revenue less refunds and discounts.",
        contributions=(Contribution(POS, f"{REVENUE} - coalesce(discount_applied, 0)"),),
    ),
    Kpi(
        "click_through_rate",
        MARKETING,
        "Marketing",
        "ratio",
        "Clicks of a campaign over its impressions.",
        contributions=(
            Contribution(
                WEB,
                "if(event_type = 'click', 1, 0)",
                "if(event_type = 'impression', 1, 0)",
                where="event_type IN ('click', 'impression') AND campaign_id IS NOT NULL",
                dimensions={"campaign_id": "campaign_id"},
            ),
        ),
    ),
    Kpi(
        "campaign_roi",
        MARKETING,
        "Marketing",
        "ratio",
        "Order value of the purchases whose last touch was the campaign, less its spend, over its spend.",
        contributions=(
            Contribution(
                WEB,
                "order_value",
                "0",
                where="event_type = 'purchase' AND last_touch_campaign IS NOT NULL",
                dimensions={"campaign_id": "last_touch_campaign"},
            ),
            Contribution(SPEND, "-spend", "spend", dimensions={"campaign_id": "campaign_id"}, day="date"),
        ),
    ),
    Kpi(
        "funnel_stage",
        MARKETING,
        "Marketing",
        "events",
        "Web events at each stage: impression, click, view, cart, purchase.",
        contributions=(
            Contribution(
                WEB,
                "1",
                where="event_type IN ('impression', 'click', 'view', 'add_to_cart', 'purchase')",
                dimensions={"stage": "if(event_type = 'add_to_cart', 'cart', event_type)"},
            ),
        ),
    ),
    Kpi(
        "session_duration",
        MARKETING,
        "Marketing",
        "seconds",
        "Mean time from the first to the last event of a session, on the day the session started.",
        contributions=(
            Contribution(
                WEB, "seconds_since_previous", SESSION, dimensions={"region": "region"}, day="session_started_at"
            ),
        ),
    ),
    Kpi(
        "bounce_rate",
        MARKETING,
        "Marketing",
        "ratio",
        "Sessions of one event over all sessions, on the day the session started.",
        contributions=(
            Contribution(
                WEB,
                "if(position = 1, 1, -1)",
                SESSION,
                where="position <= 2",
                dimensions={"region": "region"},
                day="session_started_at",
            ),
        ),
    ),
    Kpi(
        "engagement",
        MARKETING,
        "Marketing",
        "events per session",
        "Clicks, scrolls, additions to the cart and purchases per session, on the day the session started.",
        contributions=(
            Contribution(
                WEB,
                "if(event_type IN ('click', 'scroll', 'add_to_cart', 'purchase'), 1, 0)",
                SESSION,
                dimensions={"region": "region"},
                day="session_started_at",
            ),
        ),
    ),
    Kpi(
        "feedback_score",
        CUSTOMERS,
        "Support",
        "rating 1-5",
        "Mean of the ratings that customers gave through a channel.",
        contributions=(
            Contribution(CRM, "rating", "1", where="rating IS NOT NULL", dimensions={"channel": "channel"}),
        ),
    ),
    Kpi(
        "interaction_volume",
        CUSTOMERS,
        "Support",
        "interactions",
        "Interactions by type and channel.",
        contributions=(
            Contribution(CRM, "1", dimensions={"interaction_type": "interaction_type", "channel": "channel"}),
        ),
    ),
    Kpi(
        "complaint_share",
        CUSTOMERS,
        "Support",
        "ratio",
        "Complaints over all interactions of a channel.",
        contributions=(
            Contribution(CRM, "if(interaction_type = 'complaint', 1, 0)", "1", dimensions={"channel": "channel"}),
        ),
    ),
    Kpi(
        "resolution_time",
        CUSTOMERS,
        "Support",
        "seconds",
        "Time from a case's opening to its resolution, on the day it was resolved: mean, median and p90.",
        contributions=tuple(
            Contribution(
                CRM,
                "resolution_seconds",
                "1" if percentile is None else None,
                where="resolution_seconds IS NOT NULL",
                dimensions={"interaction_type": "interaction_type", "statistic": f"'{statistic}'"},
                percentile=percentile,
            )
            for statistic, percentile in {"mean": None, "p50": 50, "p90": 90}.items()
        ),
    ),
    Kpi(
        "loyalty_activity",
        CUSTOMERS,
        "Support",
        "interactions",
        "Loyalty programme interactions through a channel.",
        contributions=(
            Contribution(CRM, "1", where="interaction_type = 'loyalty'", dimensions={"channel": "channel"}),
        ),
    ),
    Kpi(
        "stock_availability",
        OPERATIONS,
        "Operations",
        "ratio",
        "Stock readings of a warehouse above zero over all its readings.",
        contributions=(
            Contribution(STOCK, "if(stock_level > 0, 1, 0)", "1", dimensions={"warehouse_id": "warehouse_id"}),
        ),
    ),
    Kpi(
        "stockouts",
        OPERATIONS,
        "Operations",
        "events",
        "Times that a product's stock in a warehouse fell to zero.",
        contributions=(Contribution(STOCK, "1", where="is_stockout", dimensions={"warehouse_id": "warehouse_id"}),),
    ),
    Kpi(
        "restocks",
        OPERATIONS,
        "Operations",
        "events",
        "Times that a product's stock in a warehouse rose.",
        contributions=(Contribution(STOCK, "1", where="is_restock", dimensions={"warehouse_id": "warehouse_id"}),),
    ),
    Kpi(
        "inventory_turnover",
        OPERATIONS,
        "Operations",
        "ratio",
        "Units sold of a category over its time-weighted stock (units held for a day).",
        contributions=(
            Contribution(POS, "quantity", "0", where=SALE, dimensions={"category": "category"}),
            Contribution(
                STOCK,
                "0",
                STOCK_DAYS,
                where="seconds_since_previous IS NOT NULL",
                dimensions={"category": "type"},
            ),
        ),
    ),
)
