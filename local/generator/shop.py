"""The shop behind the data: stores, warehouses, products and campaigns, and the reference files about them."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from random import Random

from local.generator.formats import Line, Record
from local.generator.landing import LandingFile, rendered_file
from local.sample import catalogue

OPENED = datetime(2009, 1, 1, tzinfo=UTC)
DELIVERED = datetime(2010, 11, 30, 6, tzinfo=UTC)

STORES = {
    1: ("north", "GB"),
    2: ("north", "GB"),
    3: ("south", "GB"),
    4: ("south", "GB"),
    5: ("south", "GB"),
    6: ("europe", "DE"),
    7: ("europe", "FR"),
    8: ("overseas", "AU"),
}
MOVED_STORE = 3
WAREHOUSES = {1: ("north", "GB"), 2: ("south", "GB"), 3: ("europe", "NL")}
WAREHOUSE_OF_STORE = {1: 1, 2: 1, 3: 2, 4: 2, 5: 2, 6: 3, 7: 3, 8: 2}
UK_STORES = (1, 2, 3, 4, 5)

# Country names as the tills write them: ISO code, and the store that serves the country outside the UK.
COUNTRIES: dict[str, tuple[str, int]] = {
    "Australia": ("AU", 8),
    "Austria": ("AT", 6),
    "Bahrain": ("BH", 8),
    "Belgium": ("BE", 7),
    "Channel Islands": ("JE", 7),
    "Cyprus": ("CY", 7),
    "Czech Republic": ("CZ", 6),
    "Denmark": ("DK", 6),
    "EIRE": ("IE", 7),
    "Finland": ("FI", 6),
    "France": ("FR", 7),
    "Germany": ("DE", 6),
    "Greece": ("GR", 7),
    "Hong Kong": ("HK", 8),
    "Iceland": ("IS", 6),
    "Israel": ("IL", 8),
    "Italy": ("IT", 7),
    "Japan": ("JP", 8),
    "Lebanon": ("LB", 8),
    "Lithuania": ("LT", 6),
    "Netherlands": ("NL", 6),
    "Norway": ("NO", 6),
    "Poland": ("PL", 6),
    "Portugal": ("PT", 7),
    "Saudi Arabia": ("SA", 8),
    "Singapore": ("SG", 8),
    "Spain": ("ES", 7),
    "Sweden": ("SE", 6),
    "Switzerland": ("CH", 6),
    "United Arab Emirates": ("AE", 8),
    "United Kingdom": ("GB", 0),
}
CODES = {
    "POST": "postage",
    "DOT": "postage",
    "C2": "postage",
    "D": "discount",
    "M": "manual",
    "m": "manual",
    "S": "samples",
    "BANK CHARGES": "charges",
    "AMAZONFEE": "charges",
}
# The first category with a keyword in the description; the order decides between several.
KEYWORDS = {
    "christmas": ("CHRISTMAS", "ADVENT", "REINDEER", "SNOWFLAKE", "SANTA"),
    "bags": ("BAG", "PURSE", "SHOPPER"),
    "jewellery": ("NECKLACE", "BRACELET", "EARRING", "RING ", "BROOCH", "HAIR", "BEAD", "CHARM"),
    "lighting": ("T-LIGHT", "CANDLE", "LANTERN", "LIGHT", "LAMP"),
    "kitchen": (
        *("MUG", "CAKE", "TEA", "PLATE", "BOWL", "BAKING", "JAR", "BOTTLE", "CUP", "CUTLERY", "TRAY", "GLASS", "SPOON"),
        *("KITCHEN", "LUNCH", "JUG", "EGG", "DINNER", "COFFEE", "TIN"),
    ),
    "stationery": ("CARD", "WRAP", "PAPER", "NOTEBOOK", "PEN", "STICKER", "BOOK", "RIBBON", "CHALK", "LETTER"),
    "toys": ("DOLL", "GAME", "PUZZLE", "TOY", "BABUSHKA", "SPACEBOY", "FELTCRAFT", "PLAY", "CHILD"),
    "textiles": ("CUSHION", "TOWEL", "APRON", "COSY", "DOORMAT", "QUILT", "SCARF", "COVER"),
    "garden": ("GARDEN", "PLANT", "FLOWER", "BIRD", "HERB"),
    "home": (
        *("HEART", "HANG", "SIGN", "FRAME", "CLOCK", "MIRROR", "HOOK", "DECORATION", "WALL", "DOOR", "DRAWER"),
        *("METAL", "HOLDER", "STAND", "BOX"),
    ),
}


@dataclass(frozen=True)
class Product:
    """An article as of the shop's opening; `name` may be empty, where no till line ever had one."""

    product_id: str
    name: str
    category: str
    price: Decimal
    unit_cost: Decimal


def stable_number(text: str, below: int) -> int:
    """A number from 0 that depends on the text alone, on every machine and in every run."""
    return zlib.crc32(text.encode()) % below


def store_of(invoice: str, country: str) -> int:
    """The store that an invoice was written in."""
    if country == "United Kingdom":
        return UK_STORES[stable_number(invoice, len(UK_STORES))]
    return COUNTRIES[country][1]


@lru_cache(maxsize=1)
def products() -> dict[str, Product]:
    """Every stock code that the shipped tills know, postage, discounts and charges included."""
    return {code: _product(code, name, price) for code, (name, price) in sorted(catalogue().items())}


def reference_files(changes_at: datetime, random: Random) -> list[LandingFile]:
    """Stores, warehouses and products as of the opening, then what changes in the middle of the planned days.

    At `changes_at` a store moves to another region, and some products get another cost or category.
    """
    stores = [
        Line({"store_id": key, "region": region, "country": country, "valid_from": OPENED})
        for key, (region, country) in STORES.items()
    ]
    stores.append(Line(dict(stores[0].record), fault="duplicate"))
    stores.append(Line({**stores[1].record, "store_id": 9, "country": "Great Britain"}, fault="pattern"))
    moved: Record = {"store_id": MOVED_STORE, "region": "north", "country": "GB", "valid_from": changes_at}
    warehouses = [
        Line({"warehouse_id": key, "region": region, "country": country, "valid_from": OPENED})
        for key, (region, country) in WAREHOUSES.items()
    ]
    articles = [Line(_product_record(each, OPENED)) for each in products().values()]
    negative = Line(articles[0].record | {"unit_cost": Decimal("-1.5")}, fault="negative price")
    nameless = Line(articles[1].record | {"product_id": None}, fault="null")
    for line in (negative, nameless):
        articles.insert(random.randrange(len(articles)), line)
    later = [Line(record) for record in _changed_products(changes_at)]
    changed = f"{changes_at:%Y-%m-%d}"
    return [
        rendered_file("stores/2010-11-30", "csv", stores, DELIVERED, style="iso"),
        rendered_file("warehouses/2010-11-30", "jsonl", warehouses, DELIVERED, style="iso"),
        rendered_file("products/2010-11-30", "csv.gz", articles, DELIVERED, style="iso"),
        rendered_file(f"stores/{changed}", "jsonl", [Line(moved)], DELIVERED, style="iso"),
        rendered_file(f"products/{changed}", "csv", later, DELIVERED, style="epoch"),
    ]


def middle_of(days: Sequence[date]) -> datetime:
    """Noon of the day in the middle."""
    return datetime.combine(days[len(days) // 2], time(12), UTC)


def _product(code: str, name: str, price: Decimal) -> Product:
    share = Decimal(45 + stable_number(code, 20)) / 100
    return Product(code, name, _category(code, name), price, (price * share).quantize(Decimal("0.0001")))


def _category(code: str, name: str) -> str:
    if code in CODES:
        return CODES[code]
    if code.startswith("gift_"):
        return "vouchers"
    return next((category for category, words in KEYWORDS.items() if any(word in name for word in words)), "gifts")


def _product_record(product: Product, valid_from: datetime) -> Record:
    return {
        "product_id": product.product_id,
        "category": product.category,
        "unit_cost": product.unit_cost,
        "valid_from": valid_from,
    }


def _changed_products(changes_at: datetime) -> list[Record]:
    changed: list[Record] = []
    for product in products().values():
        lot = stable_number("later " + product.product_id, 50)
        if lot == 0:
            changed.append(_product_record(product, changes_at) | {"category": "sale"})
        elif lot < 3:
            cost = (product.unit_cost * Decimal("1.06")).quantize(Decimal("0.0001"))
            changed.append(_product_record(product, changes_at) | {"unit_cost": cost})
    return changed
