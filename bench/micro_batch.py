"""One micro-batch of 1 000 web events from bronze to both gold tables: how long, and where the time goes."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa

from bench.cost import Cost, timed
from bench.flow_lake import FlowLake, batches
from bench.result import Goal, Result, Table
from lakehouse.delta.table import OwnedTable
from streaming import silver
from streaming.gold import GoldTable

EVENTS = 1_000
WARM_UP, ROUNDS = 10, 60
QUICK_WARM_UP, QUICK_ROUNDS = 2, 4
MOST_SECONDS = 1.0
BRONZE, SETTLE = "bronze: envelope, lineage and commit", "silver: parse, check, look up, contest, settle"
REJECTED, SILVER = "silver: commit of rejected rows", "silver: commit"
REST, GOLD = "silver: the rest", "gold: "
TOTAL = "total"


class Steps:
    """Seconds of each step of a batch; a step within another one is taken off that."""

    def __init__(self) -> None:
        self.taken: dict[str, list[float]] = {}
        self._open: list[float] = []
        self._batch: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measures the `with` block."""
        self._open.append(0.0)
        started = time.perf_counter()
        yield
        seconds = time.perf_counter() - started
        within = self._open.pop()
        self._batch[name] = self._batch.get(name, 0.0) + seconds - within
        if self._open:
            self._open[-1] += seconds

    def end_batch(self, seconds: float) -> None:
        """The batch is over, after so many seconds."""
        self._batch[TOTAL] = seconds
        for name, each in self._batch.items():
            self.taken.setdefault(name, []).append(each)
        self._batch = {}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within the `with` block the steps of silver and gold are measured, whoever calls them."""
        with ExitStack() as stack:
            for where, name, step in (
                (silver.SilverTable, "process", lambda *_: REST),
                (silver, "settle_batch", lambda *_: SETTLE),
                (OwnedTable, "append", _commit),
                (OwnedTable, "replace_rows", _commit),
                (OwnedTable, "overwrite_where", _commit),
                (GoldTable, "follow", lambda table, *_: f"{GOLD}{table.name.removeprefix('gold.')}"),
            ):
                stack.enter_context(patch.object(where, name, self._measured(getattr(where, name), step)))
            yield

    def _measured(self, function: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        def measured(*given: Any, **named: Any) -> Any:
            with self.step(name(*given)):
                return function(*given, **named)

        return measured


def _commit(table: OwnedTable, *_: Any) -> str:
    return next((step for part, step in (("/bronze/", BRONZE), ("/rejected/", REJECTED)) if part in table.uri), SILVER)


def run(quick: bool, folder: Path) -> Result:
    """Sends batches one after the other through all layers, as the one query of a stream does."""
    warm_up, rounds = (QUICK_WARM_UP, QUICK_ROUNDS) if quick else (WARM_UP, ROUNDS)
    lake, steps = FlowLake(folder / "micro-batch"), Steps()
    costs: list[Cost] = []
    with steps.watched():
        for number, records in enumerate(batches(EVENTS, warm_up + rounds)):
            if number == warm_up:
                steps.taken.clear()
                costs.clear()
            costs.append(timed(lambda records=records: _one(lake, records, steps)))  # type: ignore[misc]
            steps.end_batch(costs[-1].wall)
            if number % 20 == 0:
                lake.look()
    return _result(steps, costs)


def _one(lake: FlowLake, records: pa.Table, steps: Steps) -> None:
    with steps.step(BRONZE):
        handed = lake.append(records)
    lake.flow.hand_on(handed)


def _result(steps: Steps, costs: list[Cost]) -> Result:
    walls = sorted(each.wall for each in costs)
    wall, cpu = statistics.median(walls), statistics.median(each.cpu for each in costs)
    taken = {name: each for name, each in steps.taken.items() if len(each) * 2 > len(costs) or name == TOTAL}
    names = sorted(taken, key=lambda name: (_order(name), -statistics.median(taken[name])))
    rows = tuple((name, f"{1000 * statistics.median(taken[name]):.0f}") for name in names)
    return Result(
        title="One micro-batch of 1 000 events through all layers",
        method=(
            "1 000 web events as the Kinesis source gives them, 1 % corrections and 1 % repeated deliveries of earlier "
            "ones among them: appended to bronze, handed on through `Flow` to `sessionized_web_logs`, its rejected "
            "rows, and the gold tables that read it, all committed. Local files; tables are looked at and compacted "
            f"as the running queries do. Medians of {len(costs)} batches after a warm-up; CPU is of the whole process. "
            "Steps are medians of their own and need not add up."
        ),
        goals=(
            Goal(
                "1,000 events, bronze to both gold tables",
                f"<= {MOST_SECONDS:.1f} s",
                f"{wall:.2f} s (slowest {walls[-1]:.2f} s)",
                wall <= MOST_SECONDS,
            ),
        ),
        tables=(Table(("step", "ms"), (*rows, ("CPU of the batch", f"{1000 * cpu:.0f}"))),),
        figures={"seconds": wall, "slowest": walls[-1], "cpu": cpu},
    )


def _order(name: str) -> int:
    return ["bronze", "silver", "gold", TOTAL].index(name.partition(":")[0])
