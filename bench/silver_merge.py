"""A batch of 10 000 web events into silver tables of growing size: the cost must follow the batch, not the table."""

import statistics
from pathlib import Path

from bench.result import Goal, Result, Table, thousands
from bench.web_lake import QUICK_SIZES, SIZES, Cost, WebLake, session

WARM_UP = 3
ROUNDS = 7
QUICK_ROUNDS = 3
LARGEST_RATIO = 1.2


def run(quick: bool, folder: Path) -> Result:
    """Times `SilverTable.process` on lakes of three sizes, side by side and in turn."""
    sizes = QUICK_SIZES if quick else SIZES
    spark = session(folder, "silver merge")
    try:
        lakes = [WebLake(spark, folder, rows) for rows in sizes]
        for _ in range(1 if quick else WARM_UP):
            for lake in lakes:
                lake.process()
        costs: dict[int, list[Cost]] = {rows: [] for rows in sizes}
        for number in range(QUICK_ROUNDS if quick else ROUNDS):
            for lake in lakes if number % 2 == 0 else reversed(lakes):
                costs[lake.rows].append(lake.process()[1])
    finally:
        spark.stop()
    return _result(costs)


def _result(costs: dict[int, list[Cost]]) -> Result:
    wall = {rows: statistics.median(each.wall for each in taken) for rows, taken in costs.items()}
    cpu = {rows: statistics.median(each.cpu for each in taken) for rows, taken in costs.items()}
    smallest, largest = min(costs), max(costs)
    ratio = wall[largest] / wall[smallest]
    rows = tuple(
        (
            thousands(size),
            f"{wall[size]:.2f}",
            f"{min(each.wall for each in taken):.2f} to {max(each.wall for each in taken):.2f}",
            f"{cpu[size]:.2f}",
            f"{wall[size] / wall[smallest]:.2f}",
        )
        for size, taken in costs.items()
    )
    return Result(
        title="Silver: a batch of 10 000 rows into tables of growing size",
        method=(
            "`SilverTable.process` (parse, enrich, settle, reject, one Delta commit) of 10 000 web events at the "
            "newest end: 90 % new, 9 % events of the day before again, 1 % corrections of such. The table is "
            "`sessionized_web_logs`: it has the most partitions (region, month, type) and the dearest settling "
            "(visits), and it is the one that small batches come to. Every lake gets 10 000 rows a day and ends at the "
            "same moment; a larger one reaches further back. Tables lie side by side in local files and take turns; "
            f"medians of {len(costs[smallest])} after a warm-up."
        ),
        goals=(
            Goal(
                f"{thousands(largest)} rows against {thousands(smallest)}, wall clock",
                f"<= {LARGEST_RATIO} x",
                f"{ratio:.2f} x (processor time: {cpu[largest] / cpu[smallest]:.2f} x)",
                ratio <= LARGEST_RATIO,
            ),
        ),
        tables=(Table(("rows in silver", "seconds", "range", "JVM CPU seconds", "to the smallest"), rows),),
    )
