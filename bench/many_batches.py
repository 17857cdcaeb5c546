"""5 000 small batches one after the other: the last must not be dearer than the first, nor leave more behind."""

import statistics
from itertools import count, islice
from pathlib import Path

import psutil

from bench.cost import timed
from bench.flow_lake import FlowLake, batch
from bench.result import Goal, Result, Table, thousands
from lakehouse.layout import Layout
from runtime.tables import open_table

BATCHES, QUICK_BATCHES = 5_000, 40
EVENTS = 100
# How often the silver and gold queries look at their tables, in batches: every five seconds, at a batch a second.
LOOK_EVERY = 5
# Of a table that is compacted once in so many batches (the default of `compact_batches`) and of those that follow.
WATCHED = ("bronze.web_logs", "silver.sessionized_web_logs", "rejected.web_logs", "gold.marketing_funnel")
LARGEST_RATIO, MOST_FILES = 1.2, 1_000


def run(quick: bool, folder: Path) -> Result:
    """Sends the batches through `Flow` with all that its queries do between them."""
    number = QUICK_BATCHES if quick else BATCHES
    lake = FlowLake(folder / "many-batches")
    walls: list[float] = []
    rows: list[tuple[str, ...]] = []
    memory: list[float] = []
    most_files = 0
    every = max(1, number // 10)
    for done in islice(count(1), number):
        records = batch((done - 1) * EVENTS, EVENTS)

        def one(records: object = records, done: int = done) -> None:
            lake.flow.hand_on(lake.append(records))  # type: ignore[arg-type]
            lake.keep_up()
            if done % LOOK_EVERY == 0:
                lake.look()

        walls.append(timed(one).wall)
        if done % every == 0:
            memory.append(psutil.Process().memory_info().rss / 2**20)
            tables = {name: open_table(lake.layout.table(name)) for name in WATCHED}
            files = {name: table.live_files() for name, table in tables.items()}
            most_files = max(most_files, *files.values())
            log = max(_log_length(lake.layout, name) for name in WATCHED)
            recent = statistics.median(walls[-min(every, 100) :])
            rows.append(
                (f"{done:,}", f"{1000 * recent:.0f}", f"{memory[-1]:,.0f}", *map(str, files.values()), f"{log}")
            )
    early = walls[100:200] if number > 400 else walls[number // 4 : number // 2]
    late = walls[-100:] if number > 400 else walls[-number // 4 :]
    ratio, growth = statistics.median(late) / statistics.median(early), memory[-1] / memory[len(memory) // 2]
    slowest = max(walls[len(walls) // 2 :])
    return Result(
        title=f"{thousands(number)} small batches one after the other",
        method=(
            f"{EVENTS} web events a batch (1 % corrected, 1 % again), through all layers by `Flow`, with what the "
            f"queries do between them at default settings: every {LOOK_EVERY} batches silver and gold are looked at, "
            "compacted when due, their logs cleaned. The seconds of a batch have all of that in them. Log: entries in "
            "`_delta_log` of the table that has most; retention keeps a week, and the run is shorter."
        ),
        goals=(
            Goal(
                "last 100 batches against batches 100 to 200, median",
                f"<= {LARGEST_RATIO} x",
                f"{ratio:.2f} x",
                ratio <= LARGEST_RATIO,
            ),
            Goal("live files of a table at most", f"< {MOST_FILES:,}", f"{most_files:,}", most_files < MOST_FILES),
            Goal("memory at the end against the middle", "<= 1.1 x", f"{growth:.2f} x", growth <= 1.1),
        ),
        tables=(
            Table(
                ("batches", "ms a batch", "RSS, MiB", *(f"files of {name}" for name in WATCHED), "longest log"),
                tuple(rows),
            ),
        ),
        figures={"ratio": ratio, "files": most_files, "growth": growth, "slowest": slowest},
    )


def _log_length(layout: Layout, name: str) -> int:
    return sum(1 for _ in (Path(layout.table(name)) / "_delta_log").glob("*.json"))
