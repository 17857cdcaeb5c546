"""Visits to the web shop, some of which lead to the purchases that the tills know."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import groupby
from random import Random

from local.generator.campaigns import CAMPAIGNS
from local.generator.chance import chance
from local.generator.events import Event
from local.generator.formats import Record
from local.generator.shop import COUNTRIES, stable_number
from local.sample import TillLine, till_lines

PURCHASES_PER_DAY = 90
BROWSERS = (
    "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/534.24 (KHTML, like Gecko) Chrome/11.0.696.71 Safari/534.24",
    "Mozilla/5.0 (Windows; U; MSIE 9.0; Windows NT 9.0; en-US)",
    "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 5.1; Trident/4.0; .NET CLR 2.0.50727)",
    "Mozilla/5.0 (Macintosh; U; Intel Mac OS X 10_6_6; en-gb) AppleWebKit/533.19.4 Version/5.0.3 Safari/533.19.4",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:2.0) Gecko/20100101 Firefox/4.0",
    "Mozilla/5.0 (iPhone; U; CPU iPhone OS 4_2_1 like Mac OS X; en-us) AppleWebKit/533.17.9 Mobile/8C148",
    "Opera/9.80 (Windows NT 6.1; U; de) Presto/2.7.62 Version/11.01",
)
REFERRERS = (
    None,
    None,
    "https://www.google.co.uk/",
    "https://www.bing.com/search?q=t-light+holder",
    "https://gifts.example/",
)
LANDINGS = ("/", "/sale", "/christmas", "/new", "/bestsellers?sort=price&page=2")
CODES_OF_COUNTRIES = tuple(code for code, _ in COUNTRIES.values())


class Visit:
    """One visit in the making: who it is, and the events so far. `clock` is the time of the last event."""

    def __init__(self, visitor: Record, start: datetime, random: Random) -> None:
        self.visitor = visitor
        self.clock = start
        self.steps: list[tuple[datetime, Record]] = []
        self._random = random

    def step(self, event_type: str, page: str, seconds: float, **more: str | Decimal | None) -> None:
        """Adds an event so many seconds after the one before."""
        self.clock += timedelta(milliseconds=round(seconds * 1000))
        fields: Record = {"page": page, "event_type": event_type, "product_id": None, "campaign_id": None}
        fields |= {"transaction_id": None, "order_value": None, "referrer": None, **more}
        self.steps.append((self.clock, fields))

    def pause(self) -> float:
        """Seconds that a visitor looks at a page."""
        return self._random.uniform(4, 160)


def web_events(day: date, seed: int, visits: int) -> list[Event]:
    """All events of about so many visits on a day, by time."""
    random = chance(seed, f"web/{day}")
    lines = [line for line in till_lines(day) if line.quantity > 0 and line.unit_price > 0]
    orders = [list(order) for _, order in groupby(lines, key=lambda line: line.invoice)]
    bought = random.sample(orders, min(PURCHASES_PER_DAY, visits // 4, len(orders)))
    made = [_purchase(order, random) for order in bought]
    made += [_browsing(day, lines, random) for _ in range((visits - len(made)) * 3 // 5)]
    made += [_glance(day, lines, random) for _ in range(visits - len(made))]
    bridged = [_bridged(day, lines, random) for _ in range(3)]
    events = [event for visit in made for event in _events(visit)]
    events += [event for visit in bridged for event in _events(visit, late=1)]
    events.sort(key=lambda event: event.time)
    return [_numbered(event, f"web-{day:%Y%m%d}-{number:06d}") for number, event in enumerate(events, 1)]


def _purchase(order: list[TillLine], random: Random) -> Visit:
    """The visit that led to a till receipt: ends with the purchase, seconds after the receipt's time."""
    first = order[0]
    country = COUNTRIES.get(first.country, ("GB", 0))[0]
    visit = Visit(_visitor(random, first.customer or None, country), first.time, random)
    campaign = random.choice([*CAMPAIGNS, None, None])
    if campaign:
        visit.step(
            "impression",
            random.choice(LANDINGS),
            visit.pause(),
            campaign_id=campaign,
            referrer=random.choice(REFERRERS),
        )
        visit.step("click", random.choice(LANDINGS), visit.pause(), campaign_id=campaign)
    for line in order[: random.randint(1, 3)]:
        visit.step("view", _page(line.stock_code), visit.pause(), product_id=line.stock_code)
        if random.random() < 0.7:
            visit.step("add_to_cart", _page(line.stock_code), visit.pause(), product_id=line.stock_code)
    value = sum((line.quantity * line.unit_price for line in order), Decimal(0))
    visit.step(
        *("purchase", "/checkout/done", visit.pause()),
        product_id=first.stock_code,
        transaction_id=first.invoice,
        order_value=value,
    )
    _move(visit, first.time + timedelta(seconds=round(random.uniform(1, 50), 3)) - visit.clock)
    return visit


def _browsing(day: date, lines: Sequence[TillLine], random: Random) -> Visit:
    """Looks around, and may put something into the cart, but buys nothing."""
    visit = _started(day, random)
    campaign = random.choice([*CAMPAIGNS, None, None, None, None])
    if campaign:
        visit.step("impression", random.choice(LANDINGS), 1, campaign_id=campaign, referrer=random.choice(REFERRERS))
        if random.random() < 0.4:
            visit.step("click", random.choice(LANDINGS), visit.pause(), campaign_id=campaign)
    for _ in range(random.randint(1, 4)):
        product = random.choice(lines).stock_code
        visit.step("view", _page(product), visit.pause(), product_id=product)
        if random.random() < 0.3:
            visit.step("scroll", _page(product), visit.pause(), product_id=product)
        if random.random() < 0.15:
            visit.step("add_to_cart", _page(product), visit.pause(), product_id=product)
    if random.random() < 0.08:
        visit.step("view", "/help/delivery", 1800 + random.uniform(-60, 60))
    return visit


def _glance(day: date, lines: Sequence[TillLine], random: Random) -> Visit:
    """A single event."""
    visit = _started(day, random)
    if random.random() < 0.5:
        campaign = random.choice([*CAMPAIGNS])
        visit.step("impression", random.choice(LANDINGS), 0, campaign_id=campaign, referrer=random.choice(REFERRERS))
    else:
        product = random.choice(lines).stock_code
        visit.step("view", _page(product), 0, product_id=product, referrer=random.choice(REFERRERS))
    return visit


def _bridged(day: date, lines: Sequence[TillLine], random: Random) -> Visit:
    """Three events 25 minutes apart: without the one in the middle they are two visits."""
    visit = _started(day, random)
    for seconds in (0, 1500, 1500):
        product = random.choice(lines).stock_code
        visit.step("view", _page(product), seconds, product_id=product)
    return visit


def _started(day: date, random: Random) -> Visit:
    """A visit that begins somewhen on the day; evenings are busy, and some go on after midnight."""
    hour = random.choices(
        range(24), weights=[3, 1, 1, 1, 1, 1, 2, 4, 6, 8, 9, 9, 10, 9, 8, 8, 8, 9, 10, 12, 13, 12, 9, 8]
    )[0]
    start = datetime.combine(day, time(hour), UTC) + timedelta(milliseconds=random.randrange(3_600_000))
    return Visit(_visitor(random, None, random.choice(("GB", "GB", "GB", *CODES_OF_COUNTRIES))), start, random)


def _visitor(random: Random, customer: str | None, country: str) -> Record:
    """Who visits: an account, a cookie, just an address and a browser, or nobody that can be told again."""
    address = (
        f"203.0.113.{random.randrange(1, 255)}" if random.random() < 0.5 else f"2001:db8::{random.randrange(16**4):x}"
    )
    kind = random.random()
    anonymous = customer is None and kind > 0.97
    return {
        "session_id": f"s-{random.randrange(16**10):010x}" if kind < 0.8 else None,
        "user_id": customer,
        "client_ip": None if anonymous else address,
        "user_agent": None if anonymous else random.choice(BROWSERS),
        "country": country if stable_number(customer or address, 20) else None,
    }


def _page(product: str) -> str:
    return f"/products/{product.replace(' ', '%20')}"


def _move(visit: Visit, by: timedelta) -> None:
    visit.steps = [(time + by, fields) for time, fields in visit.steps]


def _events(visit: Visit, late: int | None = None) -> list[Event]:
    who = visit.visitor
    key = str(who["user_id"] or who["session_id"] or who["client_ip"] or "nobody")
    return [
        Event("web_logs", key, time, fields | who | {"timestamp": time}, late=place == late)
        for place, (time, fields) in enumerate(visit.steps)
    ]


def _numbered(event: Event, event_id: str) -> Event:
    return Event(event.source, event.key, event.time, {"event_id": event_id, **event.record}, event.late)
