"""Stock readings of the best sellers: what the tills sell leaves the shelves, and some nights they are filled up."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from random import Random

from local.generator.chance import chance
from local.generator.file_faults import spoiled_lines
from local.generator.formats import FileFormat, Line, Record, TimeStyle, csv_line
from local.generator.landing import LandingFile, rendered_file
from local.generator.shop import CODES, WAREHOUSE_OF_STORE, WAREHOUSES, store_of
from local.sample import TillLine, till_lines

BEST_SELLERS = 170
FORMATS: tuple[FileFormat, ...] = ("csv", "csv", "csv.gz", "csv", "jsonl", "csv", "parquet", "csv")
STYLES: tuple[TimeStyle, ...] = ("epoch", "iso", "spaced")
Position = tuple[str, int]


class Shelves:
    """The stock of every best seller in every warehouse, as the hours go by."""

    def __init__(self, days: Sequence[date], random: Random) -> None:
        self._random = random
        sold: Counter[Position] = Counter()
        for day in days:
            for line in till_lines(day):
                if line.quantity > 0:
                    sold[line.stock_code, _warehouse_of(line)] += line.quantity
        sellers = set(best_sellers(days))
        self._daily = {
            (product, warehouse): sold[product, warehouse] // len(days) + 4
            for product in sorted(sellers)
            for warehouse in WAREHOUSES
        }
        self.levels = {position: random.randrange(daily // 2, daily * 3) for position, daily in self._daily.items()}

    def sell(self, lines: Sequence[TillLine]) -> list[Position]:
        """Takes what was sold off the shelves, never below zero; gives the positions that changed."""
        changed: dict[Position, None] = {}
        for line in lines:
            position = (line.stock_code, _warehouse_of(line))
            if line.quantity > 0 and self.levels.get(position, 0) > 0:
                self.levels[position] = max(0, self.levels[position] - line.quantity)
                changed[position] = None
        return list(changed)

    def fill_up(self, share: float) -> list[Position]:
        """Fills about that share of the shelves that are below their threshold; gives their positions."""
        low = [position for position, level in self.levels.items() if level < self._threshold(position)]
        filled = [position for position in low if self._random.random() < share]
        for position in filled:
            self.levels[position] += self._daily[position] * self._random.randrange(1, 4)
        return filled

    def reading(self, position: Position, hour: datetime) -> Record:
        """The position's stock, read at some second of the hour."""
        product, warehouse = position
        return {
            "inventory_id": f"INV-{warehouse}-{product}",
            "product_id": product,
            "warehouse_id": warehouse,
            "stock_level": self.levels[position],
            "restock_threshold": self._threshold(position) if warehouse != 3 else None,
            "last_updated": hour + timedelta(seconds=self._random.randrange(3600)),
        }

    def _threshold(self, position: Position) -> int:
        return self._daily[position] // 3 + 1


def best_sellers(days: Sequence[date]) -> list[str]:
    """The products on most till lines of the days."""
    counts = Counter(line.stock_code for day in days for line in till_lines(day) if line.stock_code not in CODES)
    return sorted(counts, key=lambda code: (-counts[code], code))[:BEST_SELLERS]


def reading_hours(count: int) -> list[int]:
    """So many hours of a day in a row, around the early afternoon."""
    start = max(0, min(24 - count, 14 - count // 2))
    return list(range(start, start + count))


def stock_files(days: Sequence[date], seed: int, hours_per_day: int, fault_share: float) -> list[LandingFile]:
    """One file an hour: the day's first holds every position, the others what changed since.

    The third file of a day comes after the fourth. A few readings are repeated or corrected by the next file. Faulty
    records are in the first file of a day.
    """
    shelves = Shelves(days, chance(seed, "shelves"))
    files: list[LandingFile] = []
    for number, day in enumerate(days):
        random = chance(seed, f"stock/{day}")
        waiting = sorted(till_lines(day), key=lambda line: line.time)
        before: list[Record] = []
        for place, each in enumerate(reading_hours(hours_per_day)):
            hour = datetime.combine(day, time(each), UTC)
            changed = shelves.sell([line for line in waiting if line.time < hour])
            waiting = [line for line in waiting if line.time >= hour]
            changed += shelves.fill_up(0.6 if place == 0 else 0.05)
            positions = list(shelves.levels) if place == 0 else list(dict.fromkeys(changed))
            readings = [shelves.reading(position, hour) for position in positions]
            lines = [Line(record) for record in readings] + _again(before, random)
            before = readings
            if not lines:
                continue
            file_format = FORMATS[(number + place) % len(FORMATS)]
            lines = spoiled_lines(lines, random, fault_share if place == 0 else 0.0, file_format)
            columns = list(lines[0].record)
            random.shuffle(columns)
            due = hour + timedelta(minutes=150 if place == 2 else 60)
            style = STYLES[(number + place) % len(STYLES)]
            files.append(rendered_file(f"inventory/{day}/{each:02d}", file_format, lines, due, style, columns))
        shelves.sell(waiting)
    return [*files, _header_only(days[0])]


def _again(before: list[Record], random: Random) -> list[Line]:
    """A reading of the hour before once more, and another one with the right level."""
    if len(before) < 2:
        return []
    same, wrong = random.sample(before, 2)
    level = wrong["stock_level"]
    assert isinstance(level, int)
    return [Line(same, fault="duplicate"), Line(wrong | {"stock_level": level + 1}, fault="correction")]


def _header_only(day: date) -> LandingFile:
    header = csv_line(
        ["inventory_id", "product_id", "warehouse_id", "stock_level", "restock_threshold", "last_updated"]
    )
    return LandingFile(f"inventory/{day}/quiet.csv", header, datetime.combine(day, time(23), UTC), "header only")


def _warehouse_of(line: TillLine) -> int:
    return WAREHOUSE_OF_STORE[store_of(line.invoice, line.country)]
