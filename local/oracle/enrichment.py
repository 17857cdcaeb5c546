"""What reference data and a row's own values add to it: looked-up and computed columns of silver."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from local.oracle.checking import Row

BRITISH_ISLES = frozenset(("GB", "IE"))
EUROPE = frozenset(
    "AD AL AT AX BA BE BG BY CH CY CZ DE DK EE ES FI FO FR GG GI GR HR HU IM IS IT JE LI LT LU LV MC MD ME MK MT NL NO "
    "PL PT RO RS RU SE SI SJ SK SM UA VA XK".split()
)


class ReferenceTable:
    """Effective-dated rows: the one valid at a time is the last that began at or before it."""

    def __init__(self, rows: Iterable[Row], key: str) -> None:
        self._versions: dict[object, list[Row]] = defaultdict(list)
        for row in sorted(rows, key=lambda row: row["valid_from"]):
            self._versions[row[key]].append(row)

    def valid_at(self, key: object, time: Any) -> Row | None:
        """The row of a key that is valid at a time; None when the key is not known then."""
        versions = self._versions.get(key, [])
        place = bisect_right(versions, time, key=lambda row: row["valid_from"])
        return versions[place - 1] if place else None


References = Mapping[str, ReferenceTable]


def enriched(table: str, row: Row, references: References) -> Row:
    """The row with the looked-up and computed columns of its silver table, partitions included."""
    time = row["event_time"] if "event_time" in row else row["date"]
    return {**row, **_ENRICH[table](row, references), "month": f"{time:%Y-%m}"}


def _pos(row: Row, references: References) -> Row:
    store = references["stores"].valid_at(row["store_id"], row["event_time"])
    product = references["products"].valid_at(row["product_id"], row["event_time"])
    assert store and product
    kind = "refund" if row["quantity"] < 0 else "sale"
    return {
        "region": store["region"],
        "country": store["country"],
        "category": product["category"],
        "unit_cost": product["unit_cost"],
        "basket_key": f"{row['transaction_id']}|{kind}",
        "type": kind,
    }


def _inventory(row: Row, references: References) -> Row:
    warehouse = references["warehouses"].valid_at(row["warehouse_id"], row["event_time"])
    product = references["products"].valid_at(row["product_id"], row["event_time"])
    assert warehouse and product
    return {
        "region": warehouse["region"],
        "country": warehouse["country"],
        "type": product["category"],
        "stock_key": f"{row['product_id']}@{row['warehouse_id']}",
    }


def _web(row: Row, references: References) -> Row:
    product = references["products"].valid_at(row["product_id"], row["event_time"]) if row["product_id"] else None
    address = f"{row['client_ip']}|{row['user_agent'] or ''}" if row["client_ip"] else None
    return {
        "visitor_id": row["user_id"] or row["session_id"] or address or row["event_id"],
        "region": _market(row["country"]),
        "category": product["category"] if product else None,
        "type": row["event_type"],
    }


def _market(country: str | None) -> str:
    if country is None:
        return "unknown"
    if country in BRITISH_ISLES:
        return "uk"
    return "europe" if country in EUROPE else "overseas"


def _crm(row: Row, references: References) -> Row:
    return {
        "case_key": row["case_id"] or row["interaction_id"],
        "region": "global",
        "type": row["interaction_type"],
    }


def _campaigns(row: Row, references: References) -> Row:
    return {"region": "global", "type": row["channel"]}


_ENRICH: Mapping[str, Callable[[Row, References], Row]] = {
    "validated_pos": _pos,
    "enriched_inventory": _inventory,
    "sessionized_web_logs": _web,
    "customer_interactions": _crm,
    "campaign_spend": _campaigns,
}
