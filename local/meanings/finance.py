"""What the KPIs of the Finance team mean."""

from local.meanings.meaning import Example, Meaning, Result
from local.meanings.tills import (
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

PRICED = ("event_time", "quantity", "unit_price", "type")
DAY = "2010-12-01"
DISCOUNTED = line(discount_applied="1.30")
SIGN_OF_DISCOUNT = (
    "On a return the discount counts with the sign that the till gives it: a till that takes the discount back must "
    "deliver it as a negative amount."
)

FINANCE = (
    Meaning(
        "daily_revenue",
        "Gross revenue",
        "How much did we sell in all, before anything is taken off?",
        "Quantity times unit price of every sale line, added up.",
        ("Sale lines of all stores at the price before discount.", LATEST_ONLY),
        ("Returns.", "Discounts.", COST),
        (
            "The amount that the till computed for a line is kept, and not used: this multiplies quantity and price.",
            TAX,
            UTC_DAY,
            LATE_LINES,
            TEST_STORES,
        ),
        "Gross sales. Turnover in the accounts is mostly without tax and after returns and discounts.",
        Example(
            "Two lines sold and one brought back.",
            {POS: tuple(shown(each, *PRICED) for each in (HEART, LANTERN, RETURN))},
            (Result(DAY, "35.6400", value="35.64"),),
        ),
    ),
    Meaning(
        "refunds",
        "Refunds",
        "How much did we pay back for goods that were returned?",
        "Quantity times unit price of every refund line, as a positive amount, added up.",
        ("Lines with a negative quantity, on the day on which the goods came back.", LATEST_ONLY),
        ("What was discounted on the sale: the price before discount counts.",),
        (
            "A return in January of goods sold in December lowers January's net sales.",
            "Money given back without goods is no refund here unless the till rings it up with a negative quantity.",
            TAX,
            UTC_DAY,
            TEST_STORES,
        ),
        "The trade's return rate sets refunds against the sales that they belong to; this is by day of return.",
        Example(
            "One piece at 2.55 is brought back.",
            {POS: tuple(shown(each, *PRICED) for each in (HEART, RETURN))},
            (Result(DAY, "2.5500", value="2.55"),),
        ),
    ),
    Meaning(
        "discounts",
        "Discounts",
        "How much did we give away at the till?",
        "The discounts of all lines, added up.",
        ("Discounts on sale lines and on refund lines.", LATEST_ONLY),
        ("Prices that were lower from the start: a sale price is no discount to the till.", "Loyalty points."),
        (SIGN_OF_DISCOUNT, UTC_DAY, TEST_STORES),
        "Markdowns in the trade include lowered prices; this counts only what the till calls a discount.",
        Example(
            "A line with a discount of 1.30 and one without.",
            {POS: tuple(shown(each, "discount_applied", *PRICED) for each in (DISCOUNTED, LANTERN))},
            (Result(DAY, "1.3000", value="1.3"),),
        ),
    ),
    Meaning(
        "net_sales",
        "Net sales",
        "What is left of what we sold?",
        "Gross revenue less refunds less discounts.",
        ("Sale lines at their price, refund lines with a minus, and the discounts of both.", LATEST_ONLY),
        (COST, "Fees of cards and market places."),
        (SIGN_OF_DISCOUNT, "It can be negative on a day with more returns than sales.", TAX, UTC_DAY, TEST_STORES),
        "Net sales in the accounts have tax taken out as well.",
        Example(
            "15.30 less a discount of 1.30, less 2.55 for a piece brought back.",
            {POS: tuple(shown(each, "discount_applied", *PRICED) for each in (DISCOUNTED, RETURN))},
            (Result(DAY, "11.4500", value="11.45"),),
        ),
    ),
)
