"""Everything that the sources of some days would deliver: landing files and stream records, in order."""

from dataclasses import dataclass
from datetime import date

from lakehouse.errors import LakehouseError
from local.generator.access_log import log_events
from local.generator.campaigns import campaign_files
from local.generator.chance import chance
from local.generator.events import StreamEvent
from local.generator.landing import LandingFile
from local.generator.shop import middle_of, reference_files
from local.generator.stock import stock_files
from local.generator.stream_faults import placed_events
from local.generator.support import support_events
from local.generator.tills import till_files
from local.generator.web import web_events
from local.oracle.deliveries import DeliveredFile
from local.sample import access_log, till_days
from runtime.storage import Storage

LOG_LINES_PER_DAY = 1600


class PlanError(LakehouseError):
    """A production that cannot be planned; the message names the option and what it may be."""


@dataclass(frozen=True)
class Production:
    """`files` in the order of their delivery, reference data first; `records` in the order in which they are put."""

    days: tuple[date, ...]
    files: tuple[LandingFile, ...]
    records: tuple[StreamEvent, ...]

    def write_landing(self, storage: Storage) -> list[DeliveredFile]:
        """Writes every file to the landing area, in order, unless it is there already.

        Gives the files as they stand there. Raises PlanError if another file is there under the name of one of these.
        """
        for file in self.files:
            if not storage.put_if_absent(file.path, file.data) and storage.read(file.path) != file.data:
                raise PlanError(
                    f"{storage.uri}/{file.path} is another file than the plan has: empty the landing area, or produce "
                    "with the days and the seed that it was filled with"
                )
        modified = {each.key: each.modified for each in storage.list()}
        return [DeliveredFile(file.path, modified[file.path], file.data) for file in self.files]


def plan(
    days: int = 3,
    seed: int = 7,
    *,
    hours: int = 8,
    visits: int = 430,
    log_lines: int | None = None,
    faults: float = 0.01,
) -> Production:
    """The production of the first `days` days of the sample data: a pure function of the arguments, down to the byte.

    `hours` is the number of inventory files a day. `visits` is the number of web visits a day besides those of the
    access log, of which the first `log_lines` lines are replayed (None: 1600 a day, at most all 10,000). `faults` is
    the share of faulty records, 0 for none at all. Raises PlanError for a value out of bounds.
    """
    _check(days=(days, 1, len(till_days())), hours=(hours, 1, 24), visits=(visits, 8, 100_000), faults=(faults, 0, 0.5))
    lines = min(len(access_log()), LOG_LINES_PER_DAY * days) if log_lines is None else log_lines
    _check(log_lines=(lines, 0, len(access_log())))
    dates = till_days()[:days]
    files = [
        *campaign_files(dates, seed),
        *stock_files(dates, seed, hours, faults),
        *till_files(dates, seed, faults),
    ]
    files.sort(key=lambda file: (file.due, file.path))
    reference = reference_files(middle_of(dates), chance(seed, "reference"))
    shop = [event for day in dates for event in web_events(day, seed, visits)]
    shop += [event for day in dates for event in support_events(day, dates[-1], seed)]
    shop.sort(key=lambda event: event.time)
    placed = placed_events(shop, chance(seed, "shop stream"), faults)
    placed += placed_events(log_events(lines), chance(seed, "log stream"), 0.0)
    placed.sort(key=lambda each: each.place)
    records = (StreamEvent(index, each.source, each.key, each.data, each.fault) for index, each in enumerate(placed))
    return Production(tuple(dates), (*reference, *files), tuple(records))


def _check(**values: tuple[float, float, float]) -> None:
    for name, (value, least, most) in values.items():
        if not least <= value <= most:
            raise PlanError(f"{name} is {value}: it may be {least} to {most}")
