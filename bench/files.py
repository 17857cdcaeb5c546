"""Thirty days of tills that land as files, until gold has them, beside a job that runs."""

import time
from datetime import UTC, datetime
from datetime import time as clock
from pathlib import Path

from bench.result import Goal, Result, Table, thousands
from bench.stream_run import NotThroughError, StreamRun, stream_all
from local.generator.chance import chance
from local.generator.formats import Line
from local.generator.landing import rendered_file
from local.generator.shop import reference_files
from local.generator.tills import pos_record
from local.sample import till_days, till_lines
from local.sql import Lake
from runtime.storage import Storage

DAYS, QUICK_DAYS = 30, 2
MOST_SECONDS, PATIENCE = 20.0, 300.0
BRONZE, SILVER, GOLD = "bronze.pos", "silver.validated_pos", "gold.sales_kpis"


def run(quick: bool, folder: Path) -> Result:
    """Lands a file a day, takes them in with `lakehouse batch pos`, and waits for the commit of gold that has them."""
    days = till_days()[: QUICK_DAYS if quick else DAYS]
    with stream_all(folder / "files") as stream:
        landing, lines = Storage.open(stream.settings.landing), 0
        for file in reference_files(datetime.combine(days[0], clock(0), UTC), chance(0, "reference")):
            landing.put(file.path, file.data)
        stream.run("batch shop", "batch", "reference")
        time.sleep(10)
        for day in days:
            records = [Line(pos_record(line)) for line in till_lines(day)]
            lines += len(records)
            evening = datetime.combine(day, clock(22), UTC)
            file = rendered_file(f"pos/{day}", "csv", records, evening, "iso", list(records[0].record))
            landing.put(file.path, file.data)
        started = time.time()
        stream.run("batch pos", "batch", "pos")
        landed = time.time() - started
        silver, gold = (each - started for each in _through(stream))
        silver_rows, rejected, revenue, in_gold = _found(stream)
    wrong = int(silver_rows + rejected != lines) + int(revenue != in_gold)
    return Result(
        title=f"Files: {len(days)} days of tills until gold has them",
        method=(
            f"A CSV file a day, {thousands(lines)} real till lines, in the landing area on MiniStack; `lakehouse batch "
            "pos` takes them into bronze beside a running `lakehouse stream all`, which has the stores and products. "
            f"Seconds count from the start of the command to the commits after which `{SILVER}` and `{GOLD}` have all. "
            "At the end the lines are counted, and gold's revenue is compared with silver's."
        ),
        goals=(
            Goal(
                f"{len(days)} days of tills landed to gold",
                f"<= {MOST_SECONDS:.0f} s",
                f"{gold:.1f} s",
                gold <= MOST_SECONDS,
            ),
            Goal("till lines lost or miscounted", "0", f"{wrong}", wrong == 0),
        ),
        tables=(
            Table(
                ("what", "measured"),
                (
                    ("lines", thousands(lines)),
                    ("in silver", thousands(silver_rows)),
                    ("rejected", thousands(rejected)),
                    ("the command ended after, s", f"{landed:.1f}"),
                    ("silver had all after, s", f"{silver:.1f}"),
                    ("gold had all after, s", f"{gold:.1f}"),
                ),
            ),
        ),
        figures={"seconds": gold, "landed": landed, "lines": lines},
    )


def _through(stream: StreamRun) -> tuple[float, float]:
    """When silver and gold have all that bronze has (epoch seconds)."""
    newest, deadline = stream.newest(BRONZE), time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        stream.check()
        silver = stream.commits(SILVER, BRONZE).first(BRONZE, newest)
        gold = silver and stream.commits(GOLD, SILVER).first(SILVER, silver[0])
        if silver and gold:
            return silver[1], gold[1]
        time.sleep(0.5)
    raise NotThroughError(f"{GOLD} does not have version {newest} of {BRONZE} after {PATIENCE:.0f} s")


def _found(stream: StreamRun) -> tuple[int, int, object, object]:
    """Rows in silver and rejected, and the revenue in silver and in gold."""
    with Lake(stream.settings.root) as lake:
        revenue = "sum(quantity * unit_price) FILTER (type = 'sale') AS revenue"
        [silver] = lake.query(f"SELECT count(*) AS rows, {revenue} FROM {SILVER}")  # noqa: S608
        [rejected] = lake.query("SELECT count(*) AS rows FROM rejected.pos")
        [gold] = lake.query(f"SELECT sum(numerator) AS revenue FROM {GOLD} WHERE kpi_name = 'daily_revenue'")  # noqa: S608
    return silver["rows"], rejected["rows"], silver["revenue"], gold["revenue"]
