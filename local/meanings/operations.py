"""What the KPIs of the Operations team mean."""

from local.meanings.meaning import Example, Meaning, Result, Row
from local.meanings.tills import POS, TEST_STORES, UTC_DAY

STOCK = "silver.enriched_inventory"
DAY = "2026-03-01"
ONE = {"warehouse_id": 1}
CHANGES = "It is seen from one reading to the next: what falls and rises again between two readings is not seen."


def _reading(time: str, level: int, before: int | None = None, **more: object) -> Row:
    row = {"event_time": f"{DAY} {time}", "warehouse_id": 1, "stock_level": level, "previous_level": before}
    return {
        **row,
        "is_restock": before is not None and level > before,
        "is_stockout": level == 0 < (before or 0),
        **more,
    }


DAY_OF_READINGS = (_reading("06:00:00", 5), _reading("07:00:00", 0, 5), _reading("09:00:00", 7, 0))

OPERATIONS = (
    Meaning(
        "stock_availability",
        "Stock availability",
        "How often is there something on the shelf when we look?",
        "Stock readings above zero over all readings of a warehouse.",
        ("Every reading of every product.",),
        ("Products that nobody counted.",),
        (
            "It counts readings, not hours and not products: a warehouse, or a product, that is counted more often "
            "weighs more.",
            "It says nothing of how much is there: one piece is as good as a thousand.",
        ),
        "On-shelf availability in the trade is by product and hour of trading.",
        Example(
            "Three readings, one of them zero.",
            {STOCK: DAY_OF_READINGS},
            (Result(DAY, "2.0000", "3.0000", "0.6666666667", ONE),),
        ),
    ),
    Meaning(
        "stockouts",
        "Stockouts",
        "How often did we run out?",
        "The number of times that a product's stock in a warehouse fell to zero.",
        ("A reading of zero after one above zero.",),
        ("Further readings of zero: running out counts once, however long it lasts.",),
        (CHANGES, "The first reading of a product has none before it and counts for nothing."),
        "The trade's stockout rate is the share of products that are out; this counts the moments.",
        Example(
            "From 5 to 0, and up again.", {STOCK: DAY_OF_READINGS}, (Result(DAY, "1.0000", value="1", dimensions=ONE),)
        ),
    ),
    Meaning(
        "restocks",
        "Restocks",
        "How often was stock filled up?",
        "The number of times that a product's stock in a warehouse rose.",
        ("A reading above the one before.",),
        ("How many pieces came: one or a thousand is one restock.",),
        (CHANGES, "A return to the shelf, or a count put right, looks like a restock."),
        "Replenishment orders in the trade are counted when ordered; this is when seen.",
        Example("From 0 to 7.", {STOCK: DAY_OF_READINGS}, (Result(DAY, "1.0000", value="1", dimensions=ONE),)),
    ),
    Meaning(
        "inventory_turnover",
        "Inventory turnover",
        "How fast does stock turn into sales?",
        "Units sold of a category over the units held for a day in warehouses.",
        (
            "Pieces on sale lines of all stores.",
            "Stock by the time it lay there: the level of one reading until the next.",
        ),
        ("Stock on the shelves of stores: only warehouses are counted.", "Pieces brought back."),
        (
            "It is a day's figure: 0.1 means that a tenth of the stock went over the counter that day. Times 365 it "
            "comes near the trade's yearly figure.",
            "The time between two readings counts for the day of the later one.",
            UTC_DAY,
            TEST_STORES,
        ),
        "Yearly, and by value: cost of goods sold over average stock at cost.",
        Example(
            "Three pieces sold, and 12 pieces that lay for half a day: 6 units held for a day.",
            {
                POS: ({"event_time": f"{DAY} 12:00:00", "category": "Gifts", "quantity": 3, "type": "sale"},),
                STOCK: (
                    {
                        "event_time": f"{DAY} 18:00:00",
                        "type": "Gifts",
                        "previous_level": 12,
                        "seconds_since_previous": 43200,
                    },
                ),
            },
            (Result(DAY, "3.0000", "6.0000", "0.5", {"category": "Gifts"}),),
        ),
    ),
)
