"""The real data that this product ships; README.md tells its origin and licence."""

import csv
import gzip
import io
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class TillLine:
    """A line of a till receipt as the retailer's system wrote it; '' where it wrote nothing.

    `line_number` counts the lines of the invoice in the day's file, from 1.
    """

    invoice: str
    line_number: int
    stock_code: str
    description: str
    quantity: int
    time: datetime
    unit_price: Decimal
    customer: str
    country: str


def till_days() -> list[date]:
    """The trading days that are shipped, in order."""
    return sorted(date.fromisoformat(path.name.removesuffix(".csv.gz")) for path in (FOLDER / "till").glob("*.csv.gz"))


@lru_cache(maxsize=80)
def till_lines(day: date) -> tuple[TillLine, ...]:
    """All till lines of a day, in the order of its file. Raises FileNotFoundError for a day that is not shipped."""
    lines: list[TillLine] = []
    counts: dict[str, int] = defaultdict(int)
    for row in csv.DictReader(io.StringIO(_text(f"till/{day}.csv.gz"))):
        counts[row["InvoiceNo"]] += 1
        lines.append(
            TillLine(
                invoice=row["InvoiceNo"],
                line_number=counts[row["InvoiceNo"]],
                stock_code=row["StockCode"],
                description=row["Description"].strip(),
                quantity=int(row["Quantity"]),
                time=datetime.fromisoformat(row["InvoiceDate"]).replace(tzinfo=UTC),
                unit_price=Decimal(row["UnitPrice"]),
                customer=row["CustomerID"].removesuffix(".0"),
                country=row["Country"],
            )
        )
    return tuple(lines)


@lru_cache(maxsize=1)
def catalogue() -> dict[str, tuple[str, Decimal]]:
    """Every stock code of all shipped days with the first description and the first price above zero that it had."""
    products: dict[str, tuple[str, Decimal]] = {}
    for day in till_days():
        rows = csv.reader(io.StringIO(_text(f"till/{day}.csv.gz")))
        next(rows)
        for _, code, description, _, _, price, _, _ in rows:
            known, cost = products.get(code, ("", Decimal(0)))
            if code not in products or not known or not cost:
                products[code] = (known or description.strip(), cost or Decimal(price))
    return products


@lru_cache(maxsize=1)
def access_log() -> tuple[str, ...]:
    """The lines of the access log."""
    return tuple(_text("access.log.gz").splitlines())


def _text(name: str) -> str:
    return gzip.decompress((FOLDER / name).read_bytes()).decode()
