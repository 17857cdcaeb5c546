"""What the KPIs of the Sales team mean."""

from local.meanings.meaning import Example, Meaning, Result
from local.meanings.tills import (
    BIRD,
    COST,
    HEART,
    LANTERN,
    LATE_LINES,
    LATEST_ONLY,
    POS,
    RETURN,
    TAX,
    TEST_STORES,
    UTC_DAY,
    line,
    shown,
)
from local.meanings.visits import BOTS, WEB

PRICED = ("event_time", "quantity", "unit_price", "type")
DAY = "2010-12-01"

SALES = (
    Meaning(
        "revenue_by_store",
        "Revenue by store",
        "How much did each store sell?",
        "Quantity times unit price of every sale line of the store, added up.",
        ("Sale lines at the price before discount.", LATEST_ONLY),
        ("Returns and what was paid back for them.", "Discounts: they are not taken off.", COST),
        (TAX, UTC_DAY, LATE_LINES, TEST_STORES),
        "Retailers mostly call this gross sales; their revenue is after returns and discounts: see net_sales.",
        Example(
            "Two lines of one receipt and a return in the same store: the return does not lower it.",
            {POS: tuple(shown(each, "store_id", *PRICED) for each in (HEART, LANTERN, RETURN))},
            (Result(DAY, "35.6400", value="35.64", dimensions={"store_id": 1}),),
        ),
    ),
    Meaning(
        "revenue_by_region",
        "Revenue by region",
        "How much did each region sell?",
        "Quantity times unit price of every sale line in the region, added up.",
        ("Sale lines at the price before discount, in the region that their store was in at that time.", LATEST_ONLY),
        ("Returns and what was paid back for them.", "Discounts: they are not taken off.", COST),
        (
            "A store that moves to another region takes no past revenue with it.",
            TAX,
            UTC_DAY,
            LATE_LINES,
            TEST_STORES,
        ),
        "Retailers mostly call this gross sales; their revenue is after returns and discounts: see net_sales.",
        Example(
            "A sale in each of two regions.",
            {POS: tuple(shown(each, "region", *PRICED) for each in (HEART, line(region="europe", quantity=2)))},
            (
                Result(DAY, "5.1000", value="5.1", dimensions={"region": "europe"}),
                Result(DAY, "15.3000", value="15.3", dimensions={"region": "uk"}),
            ),
        ),
    ),
    Meaning(
        "units_sold",
        "Units sold",
        "How many pieces of each category went over the counter?",
        "The quantities of all sale lines of the category, added up.",
        ("Pieces on sale lines, in the category that the product had at that time.", LATEST_ONLY),
        ("Pieces brought back: they are not taken off.", "Purchases in the web shop that no till rang up."),
        ("A line of a thousand pieces weighs as much as a thousand lines.", UTC_DAY, LATE_LINES, TEST_STORES),
        "Net units, as the trade often reports them, have returns taken off.",
        Example(
            "Two categories, and a return that is not taken off.",
            {POS: tuple(shown(each, "category", *PRICED) for each in (HEART, BIRD, RETURN))},
            (
                Result(DAY, "32.0000", value="32", dimensions={"category": "Gifts"}),
                Result(DAY, "6.0000", value="6", dimensions={"category": "Home"}),
            ),
        ),
    ),
    Meaning(
        "average_basket",
        "Average basket",
        "How much does a customer spend on one receipt?",
        "The revenue of a store over the number of its sale receipts.",
        ("Sale lines at the price before discount.", "Each receipt once, by its first line."),
        ("Returns.", "Discounts: they are not taken off."),
        (
            "Receipts are told apart by their number: numbers that start again within a day, or that two stores share, "
            "make one basket of two.",
            "The mean of many stores is their revenue over their receipts, not the mean of their means.",
            TAX,
            UTC_DAY,
            TEST_STORES,
        ),
        "Average transaction value in the trade is mostly after discounts and returns.",
        Example(
            "Two receipts, one of two lines: 15.30 and 20.34 and 54.08 over two.",
            {POS: tuple(shown(each, "store_id", *PRICED, "is_first_line") for each in (HEART, LANTERN, BIRD))},
            (Result(DAY, "89.7200", "2.0000", "44.86", {"store_id": 1}),),
        ),
    ),
    Meaning(
        "product_conversion_rate",
        "Product conversion",
        "Of those who look at a product in the web shop, how many buy it?",
        "Purchase events of a product over view events of it.",
        ("Every purchase and every view event that names a product.",),
        ("Purchases at the tills.", "Clicks, additions to the cart and scrolling."),
        (
            "It can exceed 100 %: a product is bought without a view of its page, or viewed the day before.",
            "It counts events, not visitors: who looks five times and buys once converts at 20 %.",
            "On days without a view it has no value.",
            BOTS,
        ),
        "The trade's conversion rate is orders over visits, of the whole shop; this one is of one product's pages.",
        Example(
            "Two views and a purchase of one product.",
            {
                WEB: tuple(
                    {
                        "event_time": "2026-03-01 10:00:00",
                        "event_type": kind,
                        "product_id": "22423",
                        "category": "Gifts",
                    }
                    for kind in ("view", "view", "purchase")
                )
            },
            (Result("2026-03-01", "1.0000", "2.0000", "0.5", {"product_id": "22423", "category": "Gifts"}),),
        ),
    ),
)
