"""Web events as their source sends them, made in Python: for benchmarks whose records arrive one by one."""

import json
from datetime import UTC, datetime

SOURCE = "web_logs"
VISITORS_AT_A_TIME, EVENTS_PER_VISIT = 100, 5
PRODUCTS, CAMPAIGNS = 2_000, 8
STEPS = ("impression", "click", "view", "add_to_cart", "purchase")
COUNTRIES = ("GB", "GB", "GB", "GB", "FR", "DE", "US", None)


def event(number: int, at: datetime) -> tuple[str, bytes]:
    """The partition key and the data of event `number`: a hundred visits at a time, five events each."""
    visit, place = _visit(number)
    kind = step(number)
    product = f"p{visit % PRODUCTS}" if place >= 2 else None
    fields = {
        "event_id": f"e{number:012d}",
        "session_id": f"s-{visit}",
        "client_ip": f"198.51.{visit % 251}.{visit % 241}",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "page": f"/products/{product}" if product else "/sale",
        "event_type": kind,
        "product_id": product,
        "campaign_id": f"c{visit % CAMPAIGNS}" if place < 2 else None,
        "transaction_id": f"t{visit}" if kind == "purchase" else None,
        "order_value": "12.50" if kind == "purchase" else None,
        "country": COUNTRIES[visit % len(COUNTRIES)],
        "timestamp": at.astimezone(UTC).isoformat(timespec="microseconds"),
    }
    return f"s-{visit}", json.dumps(fields).encode()


def step(number: int) -> str:
    """What happens in event `number`: one visit in ten ends with a purchase."""
    visit, place = _visit(number)
    return STEPS[place] if place < 4 or visit % 10 == 0 else "view"


def _visit(number: int) -> tuple[int, int]:
    """The event's visit, and its place in that."""
    block, within = divmod(number, VISITORS_AT_A_TIME * EVENTS_PER_VISIT)
    place, visitor = divmod(within, VISITORS_AT_A_TIME)
    return block * VISITORS_AT_A_TIME + visitor, place
