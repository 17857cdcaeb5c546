"""What holds for every KPI of till lines, and real till lines to work examples on."""

from local.meanings.meaning import Row

POS = "silver.validated_pos"

LATEST_ONLY = "A line that was delivered twice, or corrected since, counts once, as it was delivered last."
TAX = "Tax is not taken out: the unit price counts as the till delivers it."
COST = "What the goods cost is not taken off."
TEST_STORES = "A test store counts like any other: nothing in the reference data marks one."
UTC_DAY = (
    "A day is a UTC day: an evening in the Americas counts for the next day, a morning in Asia for the one before."
)
LATE_LINES = (
    "A line from a store or of a product that the reference data does not know waits in rejected until it does."
)

RECEIPT: Row = {
    "transaction_id": "536365",
    "line_number": 1,
    "event_time": "2010-12-01 08:26:00",
    "store_id": 1,
    "product_id": "85123A",
    "quantity": 6,
    "unit_price": "2.55",
    "discount_applied": None,
    "region": "uk",
    "category": "Home",
    "type": "sale",
    "is_first_line": True,
}


def line(**changes: object) -> Row:
    """The first till line of 1 December 2010, or one that differs from it."""
    return {**RECEIPT, **changes}


HEART = line()
LANTERN = line(line_number=2, product_id="71053", unit_price="3.39", is_first_line=False)
BIRD = line(
    transaction_id="536367",
    event_time="2010-12-01 08:34:00",
    product_id="84879",
    quantity=32,
    unit_price="1.69",
    category="Gifts",
)
RETURN = line(
    transaction_id="C536379",
    event_time="2010-12-01 09:41:00",
    product_id="85123A",
    quantity=-1,
    unit_price="2.55",
    type="refund",
)


def shown(row: Row, *columns: str) -> Row:
    """Some columns of a line, for a short example."""
    return {column: row[column] for column in columns}
