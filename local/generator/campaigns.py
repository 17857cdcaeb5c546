"""Campaigns: what each of them cost on each day."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from random import Random

from local.generator.chance import chance
from local.generator.formats import FileFormat, Line, Record
from local.generator.landing import LandingFile, rendered_file

CAMPAIGNS = {
    "xmas-mail": ("Christmas letter", "email"),
    "xmas-search": ("Christmas gifts", "search"),
    "retro-social": ("Retrospot pictures", "social"),
    "hearts-display": ("Hearts everywhere", "display"),
    "trade-fair": ("Trade customers", "email"),
    "price-portal": ("Price comparison", "affiliate"),
}
FORMATS: tuple[FileFormat, ...] = ("csv", "jsonl", "parquet")


def campaign_files(days: Sequence[date], seed: int) -> list[LandingFile]:
    """A file a day; from the second day on it corrects one amount of the day before."""
    files: list[LandingFile] = []
    before: list[Record] = []
    for number, day in enumerate(days):
        random = chance(seed, f"campaigns/{day}")
        records = [_record(campaign, day, random) for campaign in CAMPAIGNS]
        file_format = FORMATS[number % len(FORMATS)]
        lines = [Line(record) for record in records]
        if before:
            corrected = before[number % len(before)] | {"spend": Decimal(random.randrange(30_000, 90_000)) / 100}
            lines.append(Line(corrected, fault="correction"))
            lines.append(Line(before[(number + 1) % len(before)], fault="duplicate"))
        lines.append(Line(records[0] | {"campaign_id": "refund", "spend": Decimal("-12.50")}, fault="negative price"))
        if file_format != "parquet":
            lines.append(Line(records[1] | {"campaign_id": "lost", "spend": "a lot"}, fault="wrong type"))
            lines.append(Line(records[2] | {"campaign_id": "lost", "date": "01.12.2010"}, fault="no time"))
            lines.append(Line(records[3] | {"campaign_id": None}, fault="null"))
        due = datetime.combine(day, time(21), UTC)
        files.append(rendered_file(f"campaigns/{day}", file_format, lines, due, "iso"))
        before = records
    return files


def _record(campaign: str, day: date, random: Random) -> Record:
    name, channel = CAMPAIGNS[campaign]
    spend = Decimal(random.randrange(20_000, 120_000)) / 100
    return {"campaign_id": campaign, "name": name, "channel": channel, "date": day, "spend": spend}
