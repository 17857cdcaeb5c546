"""What goes wrong in landing files: single records, and whole files."""

import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

from local.generator.formats import FileFormat, Line, Record, csv_line, time_text
from local.generator.landing import LandingFile, rendered_file

GHOST = "NO-SUCH-PRODUCT"
LONG_AGO = datetime(1970, 1, 2, tzinfo=UTC)
FAR_AHEAD = datetime(2099, 12, 31, tzinfo=UTC)
REPEATED_SHARE = 0.003
Spoil = Callable[[Record], Record]


def _count(record: Record) -> str:
    return "quantity" if "quantity" in record else "stock_level"


def _place(record: Record) -> str:
    return "store_id" if "store_id" in record else "warehouse_id"


def _time(record: Record) -> str:
    return "timestamp" if "timestamp" in record else "last_updated"


def _milliseconds(record: Record) -> Record:
    time = record[_time(record)]
    assert isinstance(time, datetime)
    return record | {_time(record): time_text(time, "epoch") + "000"}


def _bad_debt(record: Record) -> Record:
    """What the retailer's tills really wrote in August 2011 to write a debt off; of stock, fewer than none."""
    if "stock_level" in record:
        return record | {"stock_level": -5}
    price = Decimal("-11062.06")
    return record | {"quantity": 1, "unit_price": price, "revenue": price, "customer_id": None}


# Faults that a typed file can hold as well.
TYPED: dict[str, Spoil] = {
    "null": lambda record: record | {_count(record): None},
    "unknown place": lambda record: record | {_place(record): 99},
    "unknown product": lambda record: record | {"product_id": GHOST},
    "negative price": _bad_debt,
    "long ago": lambda record: record | {_time(record): LONG_AGO},
    "far ahead": lambda record: record | {_time(record): FAR_AHEAD},
    "long identifier": lambda record: record | {"product_id": "9" * 129},
}
TEXT: dict[str, Spoil] = TYPED | {
    "wrong type": lambda record: record | {_count(record): "six"},
    "fraction": lambda record: record | {_count(record): "2.5"},
    "milliseconds": _milliseconds,
    "huge number": lambda record: record | {_count(record): "9" * 30},
    "too many": lambda record: record | {_count(record): "3000000000"},
    "no time": lambda record: record | {_time(record): "2010-02-30T10:00:00Z"},
}
RAW = ("broken line", "not utf8")


def spoiled_lines(lines: list[Line], random: Random, share: float, file_format: FileFormat) -> list[Line]:
    """The lines with faulty ones between them, about `share` of all, and some that are there twice.

    Every kind of fault that the format can hold occurs, unless `share` is 0.
    """
    if not share:
        return lines
    spoils = TYPED if file_format == "parquet" else TEXT
    kinds = [*spoils] if file_format == "parquet" else [*spoils, *RAW]
    result = list(lines)
    for number in range(max(len(kinds), round(len(lines) * share))):
        kind = kinds[number % len(kinds)]
        record = random.choice(lines).record
        line = Line(spoils[kind](record), fault=kind) if kind in spoils else _raw(record, kind, file_format)
        result.insert(random.randrange(len(result) + 1), line)
    for line in random.sample(lines, max(1, round(len(lines) * REPEATED_SHARE))):
        result.insert(result.index(line) + 1 + random.randrange(20), Line(line.record, fault="repeated"))
    return result


def broken_files(stem: str, records: list[Record], due: datetime, wanted: str) -> list[LandingFile]:
    """Files that are broken as a whole, beside `records` in a file with one column more and in one that came twice.

    Of the latter the first delivery is a gz cut short, the second one is whole. `wanted` is a required column, missing
    from one of the files.
    """
    half = len(records) // 2
    columns = list(records[0])
    some = [Line(record) for record in records[:5]]
    extra = [Line({**record, "loyalty_card": f"card-{place}"}) for place, record in enumerate(records[:half])]
    rest = [Line(record) for record in records[half:]]
    missing = [column for column in columns if column != wanted]
    whole = rendered_file(f"{stem}-evening-again", "csv.gz", rest, due + timedelta(minutes=20), "iso")
    return [
        LandingFile(f"{stem}-empty.csv", b"", due, "empty"),
        LandingFile(f"{stem}-header-only.csv", csv_line(columns), due, "header only"),
        LandingFile(f"{stem}-not-parquet.parquet", b"PAR1 this is not Parquet", due, "not parquet"),
        rendered_file(f"{stem}-missing-column", "csv", some, due, "iso", missing, "missing column"),
        rendered_file(f"{stem}-extra-column", "csv", extra, due, "iso", fault="extra column"),
        LandingFile(f"{stem}-evening.csv.gz", _cut(whole.data), due, "cut short"),
        whole,
    ]


def _cut(whole: bytes) -> bytes:
    """The gz with the first half of its lines, and without its end."""
    lines = zlib.decompress(whole, wbits=31).splitlines(keepends=True)
    compressor = zlib.compressobj(wbits=31)
    return compressor.compress(b"".join(lines[: len(lines) // 2])) + compressor.flush(zlib.Z_SYNC_FLUSH)


def _raw(record: Record, kind: str, file_format: FileFormat) -> Line:
    """A line that is no record: broken off, or in another encoding than UTF-8."""
    if kind == "not utf8":
        text = "caf\u00e9" if file_format.startswith("csv") else '{"product_id": "caf\u00e9"}'
        return Line(record, text.encode("latin-1"), kind)
    text = "536365,71053" if file_format.startswith("csv") else '{"product_id": "71053", "quan'
    return Line(record, text.encode(), kind)
