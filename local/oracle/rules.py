"""The sources as the oracle knows them: fields, types and what their values may be.

Written by hand from what was agreed, not read from `contracts/`: a contract that says something else by mistake shows
up as a difference. Who changes a rule on purpose changes it in both places.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

MONEY = "decimal(18,4)"
EARLIEST_EVENT = "2000-01-01T00:00:00Z"
LATEST_EVENT_HOURS = 24
# What reference data says may begin to hold two years from now, a leap day among them.
LATEST_REFERENCE_HOURS = 732 * 24
IDENTIFIER = 128
COUNTRY = r"[A-Z]{2}"
# What tills and warehouses write where a field that may be missing is; they also write times with nanoseconds.
NULL_WORDS = ("NULL", "null", "\\N", "NaN", "nan", "N/A", "#N/A", "None", "-")
SPOKEN_BY = ("pos", "inventory")
CHANNEL = r"[a-z][a-z0-9_ -]*"


@dataclass(frozen=True)
class Field:
    """A field of a source record and the rules for its value; `key_of` names the reference data that must know it."""

    name: str
    type: str
    required: bool = False
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    allowed: tuple[str, ...] = ()
    pattern: str | None = None
    longest: int | None = None
    key_of: str | None = None
    stored: str = ""

    @property
    def column(self) -> str:
        """The field's name in silver."""
        return self.stored or self.name


@dataclass(frozen=True)
class Source:
    """A source, the silver table it becomes, what makes two of its records the same, and where its time is."""

    name: str
    table: str
    identity: tuple[str, ...]
    time: str
    fields: tuple[Field, ...]
    latest_hours: int = LATEST_EVENT_HOURS

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields' names in silver."""
        return tuple(field.column for field in self.fields)


def _identifier(name: str, required: bool = True, key_of: str | None = None) -> Field:
    return Field(name, "string", required=required, longest=IDENTIFIER, key_of=key_of)


def _money(name: str, required: bool = True) -> Field:
    return Field(name, MONEY, required=required, minimum=Decimal(0))


def _time(name: str) -> Field:
    return Field(name, "timestamp", required=True, stored="event_time")


SOURCES: Mapping[str, Source] = {
    source.name: source
    for source in (
        Source(
            "stores",
            "stores",
            ("store_id", "valid_from"),
            "valid_from",
            (
                Field("store_id", "int", required=True),
                Field("region", "string", required=True, longest=64),
                Field("country", "string", required=True, pattern=COUNTRY),
                Field("valid_from", "timestamp", required=True),
            ),
            LATEST_REFERENCE_HOURS,
        ),
        Source(
            "warehouses",
            "warehouses",
            ("warehouse_id", "valid_from"),
            "valid_from",
            (
                Field("warehouse_id", "int", required=True),
                Field("region", "string", required=True, longest=64),
                Field("country", "string", required=True, pattern=COUNTRY),
                Field("valid_from", "timestamp", required=True),
            ),
            LATEST_REFERENCE_HOURS,
        ),
        Source(
            "products",
            "products",
            ("product_id", "valid_from"),
            "valid_from",
            (
                _identifier("product_id"),
                Field("category", "string", required=True, longest=128),
                _money("unit_cost"),
                Field("valid_from", "timestamp", required=True),
            ),
            LATEST_REFERENCE_HOURS,
        ),
        Source(
            "pos",
            "validated_pos",
            ("transaction_id", "line_number", "event_time"),
            "event_time",
            (
                _identifier("transaction_id"),
                Field("line_number", "int", required=True),
                Field("store_id", "int", required=True, key_of="stores"),
                _identifier("product_id", key_of="products"),
                Field("quantity", "int", required=True, minimum=Decimal(-1_000_000), maximum=Decimal(1_000_000)),
                _money("unit_price"),
                Field("revenue", MONEY, required=True),
                Field("discount_applied", MONEY),
                _identifier("customer_id", required=False),
                _time("timestamp"),
            ),
        ),
        Source(
            "inventory",
            "enriched_inventory",
            ("inventory_id", "event_time"),
            "event_time",
            (
                _identifier("inventory_id"),
                _identifier("product_id", key_of="products"),
                Field("warehouse_id", "int", required=True, key_of="warehouses"),
                Field("stock_level", "int", required=True, minimum=Decimal(0)),
                Field("restock_threshold", "int"),
                _time("last_updated"),
            ),
        ),
        Source(
            "web_logs",
            "sessionized_web_logs",
            ("event_id", "event_time"),
            "event_time",
            (
                _identifier("event_id"),
                _identifier("session_id", required=False),
                _identifier("user_id", required=False),
                _identifier("client_ip", required=False),
                Field("user_agent", "string", longest=8192),
                Field("page", "string", required=True, longest=4096),
                Field(
                    "event_type",
                    "string",
                    required=True,
                    allowed=("view", "click", "scroll", "impression", "add_to_cart", "purchase"),
                ),
                _identifier("product_id", required=False, key_of="products"),
                _identifier("campaign_id", required=False),
                _identifier("transaction_id", required=False),
                _money("order_value", required=False),
                Field("referrer", "string", longest=8192),
                Field("country", "string", pattern=COUNTRY),
                _time("timestamp"),
            ),
        ),
        Source(
            "crm",
            "customer_interactions",
            ("interaction_id", "event_time"),
            "event_time",
            (
                _identifier("interaction_id"),
                _identifier("case_id", required=False),
                _identifier("customer_id"),
                Field("interaction_type", "string", required=True, allowed=("feedback", "loyalty", "complaint")),
                Field("status", "string", allowed=("opened", "updated", "resolved")),
                Field("channel", "string", pattern=CHANNEL, longest=64),
                Field("rating", "int", minimum=Decimal(1), maximum=Decimal(5)),
                Field("message_excerpt", "string", longest=4096),
                _time("timestamp"),
            ),
        ),
        Source(
            "campaigns",
            "campaign_spend",
            ("campaign_id", "date"),
            "date",
            (
                _identifier("campaign_id"),
                Field("name", "string", required=True, longest=256),
                Field("channel", "string", required=True, pattern=CHANNEL, longest=64),
                Field("date", "date", required=True),
                _money("spend"),
            ),
        ),
    )
}
REFERENCES = ("stores", "warehouses", "products")
