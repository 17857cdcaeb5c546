"""A batch of 10 000 web events into silver tables of growing size: the cost must follow the batch, not the table."""

import json
import os
import shutil
import statistics
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench.cost import Cost, timed
from bench.flow_lake import settings_of
from bench.result import Goal, Result, Table, thousands
from bench.web_events import PRODUCTS, SOURCE
from bench.web_silver import QUICK_SIZES, SIZES, WebSilver
from lakehouse.engine.batch import Outcome
from lakehouse.engine.schemas import envelope_schema
from lakehouse.layout import Layout
from streaming.references import References
from streaming.silver import Batch, SilverTable

WARM_UP, ROUNDS = 3, 15
QUICK_ROUNDS = 3
NEW, DUPLICATES, CORRECTIONS = 9_000, 900, 100
LARGEST_RATIO, MOST_SECONDS = 1.2, 1.0
GOLD = "marketing_funnel"
APP_ID = "bench:silver"


class MergeLake:
    """A lake with a history of so many events, and the batches of records that come next."""

    def __init__(self, folder: Path, rows: int) -> None:
        """The history is made once for all benchmarks, and shared: data files are never changed, so links will do."""
        history = WebSilver(folder, rows, GOLD)
        root = folder / "silver-merge" / f"{rows}"
        shutil.copytree(history.settings.root, root, copy_function=os.link)
        settings = settings_of(root)
        layout = Layout(settings.root)
        self.rows = rows
        self._history = history
        self._schema = envelope_schema(history.contracts)
        self._source = history.contracts.source(SOURCE)
        references = References(history.contracts, layout)
        products = SilverTable(settings, history.contracts, "products", references)
        products.process(self._products(), Batch(APP_ID, 0))
        self._table = SilverTable(settings, history.contracts, SOURCE, references)
        self._table.ensure()
        self._number = 0

    def process(self) -> Cost:
        """Takes the next batch into silver: 90 % new, 9 % events of the day before again, 1 % corrections of such."""
        records, number = self._records(self._number), self._number
        self._number += 1
        found: list[Outcome | None] = []
        cost = timed(lambda: found.append(self._table.process(records, Batch(APP_ID, number))))
        [outcome] = found
        assert outcome is not None, "a batch that was never processed is not over"
        done = (outcome.inserts.num_rows, outcome.rules.total())
        assert done == (NEW, DUPLICATES + CORRECTIONS), f"batch {number} at {self.rows} rows: {done}, {outcome.rules}"
        return cost

    def _records(self, number: int) -> pa.Table:
        first = number * NEW
        new = self._history.events(first, first + NEW).to_pylist()
        before = self._history.events(first - NEW, first).to_pylist()
        again = before[9::10]
        corrected = [row | {"page": f"{row['page']}?corrected"} for row in before[4::90]]
        now = new[-1]["arrived_at"]
        rows = [self._record(row, "a", row["arrived_at"]) for row in new]
        rows += [self._record(row, f"b{number}", now) for row in again]
        rows += [self._record(row, f"c{number}", now) for row in corrected]
        return pa.Table.from_pylist(rows, self._schema)

    def _record(self, row: dict[str, Any], delivery: str, arrived: datetime) -> dict[str, Any]:
        payload = {column.name: _told(row[column.stored_as]) for column in self._source.columns}
        return _enveloped(f"{row['record_id']}{delivery}", payload, arrived)

    def _products(self) -> pa.Table:
        valid = datetime(2010, 1, 1, tzinfo=UTC)
        rows = [
            _enveloped(
                f"products#{number}",
                {
                    "product_id": f"p{number}",
                    "category": f"category {number % 12}",
                    "unit_cost": "1",
                    "valid_from": _told(valid),
                },
                valid,
            )
            for number in range(PRODUCTS)
        ]
        return pa.Table.from_pylist(rows, self._schema)


def _enveloped(record_id: str, payload: dict[str, Any], arrived: datetime) -> dict[str, Any]:
    return {
        "record_id": record_id,
        "payload": json.dumps(payload),
        "payload_encoding": "utf8",
        "arrived_at": arrived,
        "ingested_at": arrived,
        "partition_key": "k",
        "ingest_date": arrived.date(),
    }


def _told(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    return str(value) if isinstance(value, Decimal) else value


def run(quick: bool, folder: Path) -> Result:
    """Times `SilverTable.process` on lakes of three sizes, side by side and in turn."""
    sizes = QUICK_SIZES if quick else SIZES
    lakes = [MergeLake(folder, rows) for rows in sizes]
    for _ in range(1 if quick else WARM_UP):
        for lake in lakes:
            lake.process()
    costs: dict[int, list[Cost]] = {rows: [] for rows in sizes}
    for number in range(QUICK_ROUNDS if quick else ROUNDS):
        for lake in lakes if number % 2 == 0 else reversed(lakes):
            costs[lake.rows].append(lake.process())
    return _result(costs)


def _result(costs: dict[int, list[Cost]]) -> Result:
    wall = {rows: statistics.median(each.wall for each in taken) for rows, taken in costs.items()}
    cpu = {rows: statistics.median(each.cpu for each in taken) for rows, taken in costs.items()}
    smallest, largest = min(costs), max(costs)
    ratio, slowest = wall[largest] / wall[smallest], max(wall.values())
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
            "`SilverTable.process` (parse, enrich, contest, settle, reject, commit) of 10 000 web events at the newest "
            "end: 90 % new, 9 % events of the day before again, 1 % corrections of them: rows in large old files "
            "change. The table is `sessionized_web_logs`: it has the most partitions (region, month, type) and the "
            "dearest settling (visits), and it is the one that small batches come to. A lake gets 10 000 rows a day "
            "and ends at the same moment; a larger one reaches further back. Histories are made by DuckDB. Tables lie "
            "side by side in local files and take turns, all in one process; "
            f"medians of {len(costs[smallest])} after a warm-up."
        ),
        goals=(
            Goal("silver batch of 10,000", f"<= {MOST_SECONDS} s", f"{slowest:.2f} s", slowest <= MOST_SECONDS),
            Goal(
                f"{thousands(largest)} rows against {thousands(smallest)}, wall clock",
                f"<= {LARGEST_RATIO} x",
                f"{ratio:.2f} x (processor time: {cpu[largest] / cpu[smallest]:.2f} x)",
                ratio <= LARGEST_RATIO,
            ),
        ),
        tables=(Table(("rows in silver", "seconds", "range", "CPU seconds", "to the smallest"), rows),),
        figures={f"seconds at {size}": wall[size] for size in costs} | {"ratio": ratio},
    )
