"""Every KPI a second time, as plain SQL over silver: what `lakehouse reconcile` holds gold against.

Written by hand from what each KPI means, not derived from `kpis.py`: an error in a declaration or in the incremental
maintenance shows up as a difference. Who changes a KPI on purpose changes it in both places.

Each query gives `day`, the KPI's dimension columns, `numerator`, `contributions` (how many silver rows count) and,
where it is not the constant 1, `denominator`. Money is exact to 4 digits. Spark SQL; tables by their silver names.
"""

from collections.abc import Mapping

_SALES = """
    SELECT to_date(event_time) AS day, {dimensions} sum(quantity * unit_price) AS numerator, count(*) AS contributions
    FROM validated_pos WHERE type = 'sale' GROUP BY ALL"""

_SESSIONS = """
    SELECT to_date(session_started_at) AS day, region, {numerator} AS numerator,
        count_if(position = 1) AS denominator, count(*) AS contributions
    FROM sessionized_web_logs {where} GROUP BY ALL"""

_RANKED = """
    SELECT day, interaction_type, '{name}' AS statistic,
        max(seconds) FILTER (WHERE place = div(n * {percent} + 99, 100)) AS numerator, 1 AS denominator,
        count(*) AS contributions
    FROM (
        SELECT to_date(event_time) AS day, interaction_type, round(resolution_seconds, 4) AS seconds,
            row_number() OVER (PARTITION BY to_date(event_time), interaction_type ORDER BY resolution_seconds) AS place,
            count(*) OVER (PARTITION BY to_date(event_time), interaction_type) AS n
        FROM customer_interactions WHERE resolution_seconds IS NOT NULL
    ) GROUP BY ALL"""

_MEAN = """
    SELECT to_date(event_time) AS day, interaction_type, 'mean' AS statistic,
        sum(round(resolution_seconds, 4)) AS numerator, count(*) AS denominator, count(*) AS contributions
    FROM customer_interactions WHERE resolution_seconds IS NOT NULL GROUP BY ALL"""

_CRM = """
    SELECT to_date(event_time) AS day, {dimensions}, {numerator} AS numerator, {denominator} AS denominator,
        count(*) AS contributions
    FROM customer_interactions WHERE {where} GROUP BY ALL"""

_STOCK = """
    SELECT to_date(event_time) AS day, warehouse_id, count(*) AS numerator, count(*) AS contributions
    FROM enriched_inventory WHERE {where} GROUP BY ALL"""

CHECKS: Mapping[str, str] = {
    "revenue_by_store": _SALES.format(dimensions="store_id,"),
    "revenue_by_region": _SALES.format(dimensions="region,"),
    "daily_revenue": _SALES.format(dimensions=""),
    "units_sold": """
        SELECT to_date(event_time) AS day, category, sum(quantity) AS numerator, count(*) AS contributions
        FROM validated_pos WHERE type = 'sale' GROUP BY ALL""",
    "average_basket": """
        SELECT to_date(event_time) AS day, store_id, sum(quantity * unit_price) AS numerator,
            count_if(is_first_line) AS denominator, count(*) AS contributions
        FROM validated_pos WHERE type = 'sale' GROUP BY ALL""",
    "refunds": """
        SELECT to_date(event_time) AS day, sum(-quantity * unit_price) AS numerator, count(*) AS contributions
        FROM validated_pos WHERE type = 'refund' GROUP BY ALL""",
    "discounts": """
        SELECT to_date(event_time) AS day, coalesce(sum(discount_applied), 0) AS numerator, count(*) AS contributions
        FROM validated_pos GROUP BY ALL""",
    "net_sales": """
        SELECT to_date(event_time) AS day, sum(quantity * unit_price) - coalesce(sum(discount_applied), 0) AS numerator,
            count(*) AS contributions
        FROM validated_pos GROUP BY ALL""",
    "product_conversion_rate": """
        SELECT to_date(event_time) AS day, product_id, category, count_if(event_type = 'purchase') AS numerator,
            count_if(event_type = 'view') AS denominator, count(*) AS contributions
        FROM sessionized_web_logs WHERE event_type IN ('view', 'purchase') AND product_id IS NOT NULL GROUP BY ALL""",
    "click_through_rate": """
        SELECT to_date(event_time) AS day, campaign_id, count_if(event_type = 'click') AS numerator,
            count_if(event_type = 'impression') AS denominator, count(*) AS contributions
        FROM sessionized_web_logs
        WHERE event_type IN ('click', 'impression') AND campaign_id IS NOT NULL GROUP BY ALL""",
    "campaign_roi": """
        SELECT day, campaign_id, sum(earned) - sum(spent) AS numerator, sum(spent) AS denominator,
            count(*) AS contributions
        FROM (
            SELECT to_date(event_time) AS day, last_touch_campaign AS campaign_id, coalesce(order_value, 0) AS earned,
                0 AS spent
            FROM sessionized_web_logs WHERE event_type = 'purchase' AND last_touch_campaign IS NOT NULL
            UNION ALL
            SELECT date AS day, campaign_id, 0 AS earned, coalesce(spend, 0) AS spent FROM campaign_spend
        ) GROUP BY ALL""",
    "funnel_stage": """
        SELECT to_date(event_time) AS day, CASE event_type WHEN 'add_to_cart' THEN 'cart' ELSE event_type END AS stage,
            count(*) AS numerator, count(*) AS contributions
        FROM sessionized_web_logs WHERE event_type <> 'scroll' GROUP BY ALL""",
    "session_duration": _SESSIONS.format(numerator="coalesce(sum(round(seconds_since_previous, 4)), 0)", where=""),
    "bounce_rate": _SESSIONS.format(
        numerator="count_if(position = 1) - count_if(position = 2)", where="WHERE position IN (1, 2)"
    ),
    "engagement": _SESSIONS.format(numerator="count_if(event_type NOT IN ('view', 'impression'))", where=""),
    "feedback_score": _CRM.format(
        dimensions="channel", numerator="sum(rating)", denominator="count(*)", where="rating IS NOT NULL"
    ),
    "interaction_volume": _CRM.format(
        dimensions="interaction_type, channel", numerator="count(*)", denominator="1", where="true"
    ),
    "complaint_share": _CRM.format(
        dimensions="channel", numerator="count_if(interaction_type = 'complaint')", denominator="count(*)", where="true"
    ),
    "loyalty_activity": _CRM.format(
        dimensions="channel", numerator="count(*)", denominator="1", where="interaction_type = 'loyalty'"
    ),
    "resolution_time": " UNION ALL ".join(
        (_RANKED.format(name="p50", percent=50), _RANKED.format(name="p90", percent=90), _MEAN)
    ),
    "stock_availability": """
        SELECT to_date(event_time) AS day, warehouse_id, count_if(stock_level > 0) AS numerator,
            count(*) AS denominator, count(*) AS contributions
        FROM enriched_inventory GROUP BY ALL""",
    "stockouts": _STOCK.format(where="is_stockout"),
    "restocks": _STOCK.format(where="is_restock"),
    "inventory_turnover": """
        SELECT day, category, sum(sold) AS numerator, sum(held) AS denominator, count(*) AS contributions
        FROM (
            SELECT to_date(event_time) AS day, category, quantity AS sold, 0 AS held
            FROM validated_pos WHERE type = 'sale'
            UNION ALL
            SELECT to_date(event_time) AS day, type AS category, 0 AS sold,
                coalesce(round(previous_level * cast(seconds_since_previous AS decimal(12, 0)) / 86400.0, 4), 0) AS held
            FROM enriched_inventory WHERE seconds_since_previous IS NOT NULL
        ) GROUP BY ALL""",
}
