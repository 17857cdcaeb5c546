"""Till receipts: the real lines as point-of-sale records, in daily files of every format."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from random import Random

from local.generator.chance import chance
from local.generator.file_faults import broken_files, spoiled_lines
from local.generator.formats import FileFormat, Line, Record, TimeStyle
from local.generator.landing import LandingFile, rendered_file
from local.generator.shop import stable_number, store_of
from local.sample import TillLine, till_lines

FORMATS: tuple[FileFormat, ...] = (
    *("csv", "jsonl.gz", "parquet", "csv", "csv.gz"),
    *("csv", "jsonl", "csv", "csv.gz", "csv"),
)
STYLES: tuple[TimeStyle, ...] = ("epoch", "iso", "iso", "spaced", "offset")
LATE_SHARE = 0.004
AGAIN_SHARE = 0.003
CORRECTED_SHARE = 0.002


def till_files(days: Sequence[date], seed: int, fault_share: float) -> list[LandingFile]:
    """The files of all days: each day's lines at its end, redelivered ones later, broken files on the first day.

    A redelivery repeats some lines, corrects some, and brings some for the first time.
    """
    files: list[LandingFile] = []
    for number, day in enumerate(days):
        random = chance(seed, f"tills/{day}")
        records = [pos_record(line) for line in till_lines(day)]
        delivered, late = _split(records, random)
        evening = datetime.combine(day, time(22), UTC)
        if number == 0:
            aside, delivered = delivered[-40:], delivered[:-40]
            files += broken_files(f"pos/{day}", aside, evening, "quantity")
        file_format = FORMATS[number % len(FORMATS)]
        lines = spoiled_lines([Line(record) for record in delivered], random, fault_share, file_format)
        columns = list(records[0])
        random.shuffle(columns)
        style = STYLES[number % len(STYLES)]
        files.append(rendered_file(f"pos/{day}", file_format, lines, evening, style, columns))
        again = _redelivered(delivered, late, random)
        files.append(rendered_file(f"pos/redelivered/{day}", "csv", again, evening + timedelta(hours=1), "iso"))
    return files


def pos_record(line: TillLine) -> Record:
    """The till line as the point of sale reports it."""
    revenue = line.quantity * line.unit_price
    percent = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 10)[stable_number(f"{line.invoice}/{line.line_number}", 13)]
    discounted = line.quantity > 0 and percent > 0
    return {
        "transaction_id": line.invoice,
        "line_number": line.line_number,
        "store_id": store_of(line.invoice, line.country),
        "product_id": line.stock_code,
        "quantity": line.quantity,
        "unit_price": line.unit_price,
        "revenue": revenue,
        "discount_applied": (revenue * percent / 100).quantize(Decimal("0.01")) if discounted else None,
        "customer_id": line.customer or None,
        "timestamp": line.time,
    }


def _split(records: list[Record], random: Random) -> tuple[list[Record], list[Record]]:
    """The records in the day's file, and those that come late."""
    late = set(random.sample(range(len(records)), max(1, round(len(records) * LATE_SHARE))))
    return (
        [record for place, record in enumerate(records) if place not in late],
        [record for place, record in enumerate(records) if place in late],
    )


def _redelivered(delivered: list[Record], late: list[Record], random: Random) -> list[Line]:
    """Late lines, some of the day's lines once more, and some with other figures than before."""
    wrong = random.sample(delivered, max(3, round(len(delivered) * CORRECTED_SHARE)))
    lines = [Line(record, fault="late") for record in late]
    again = random.sample(delivered, max(2, round(len(delivered) * AGAIN_SHARE)))
    lines += [Line(record, fault="duplicate") for record in again if record not in wrong]
    lines += [Line(_corrected(record, place), fault="correction") for place, record in enumerate(wrong)]
    random.shuffle(lines)
    return lines


def _corrected(record: Record, place: int) -> Record:
    """One time another quantity, one time another price, one time a return that was keyed in as a sale."""
    quantity, price = record["quantity"], record["unit_price"]
    assert isinstance(quantity, int) and isinstance(price, Decimal)
    if place % 3 == 0:
        quantity += 2
    elif place % 3 == 1:
        price += Decimal("0.25")
    else:
        quantity = -quantity
    return record | {"quantity": quantity, "unit_price": price, "revenue": quantity * price}
