"""The product and what else one would take, on the same records in the same run."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyarrow as pa
from pyspark.errors import PySparkException

from bench.cost import Cost, timed
from bench.flow_lake import FlowLake, batch
from bench.peer_duckdb import DuckDbAlone
from bench.peer_pathway import PathwayError, PathwayPeer
from bench.peer_spark import DeltaMerge, IcebergMerge, SparkPeer, session
from bench.picture import bars
from bench.result import Result, Table, thousands

SMALL, LARGE = 1_000, 10_000
HISTORY, ROUNDS, WARM_UP = 200_000, 8, 3
QUICK_HISTORY, QUICK_LARGE, QUICK_ROUNDS, QUICK_WARM_UP = 2_000, 2_000, 1, 0
OURS = "This lakehouse"
DOES = "bronze, parse, check, look up, latest delivery, visits, rejected rows, two KPI tables: five Delta commits"
COLUMNS = (
    *("engine", "1,000 events, s", "to ours", "CPU, s", "10,000 events, s", "to ours", "CPU, s"),
    *("events a second, 10,000 at once", "what it does"),
)


@dataclass
class Measured:
    """What an engine took for batches of each size, or why it did not start."""

    does: str
    costs: dict[int, list[Cost]] = field(default_factory=dict)
    failed: str | None = None


class Race:
    """All engines on the same batches, in turn; an engine that fails drops out, and the page says why."""

    def __init__(self, folder: Path) -> None:
        self.found: dict[str, Measured] = {}
        self._folder = folder
        self._lake = FlowLake(folder / "ours")
        self._spark = session(folder)
        self._duckdb = DuckDbAlone(folder / "duckdb")
        self._files: list[str] = []
        self._sent = 0
        self._peers: list[SparkPeer] = []
        folder_of_pathway = folder / "pathway"
        self._pathway: PathwayPeer | None = None
        self._try(PathwayPeer.name, PathwayPeer.does, lambda: self._start_pathway(folder_of_pathway))
        for name, make in (
            ("Spark: Delta MERGE", lambda: DeltaMerge(self._spark, folder)),
            ("Spark: Iceberg MERGE, copy-on-write v2", lambda: IcebergMerge(self._spark, "copy-on-write", 2)),
            ("Spark: Iceberg MERGE, merge-on-read v3", lambda: IcebergMerge(self._spark, "merge-on-read", 3)),
        ):
            self._try(name, DeltaMerge.does, lambda make=make: self._peers.append(make()))  # type: ignore[misc]

    def batch(self, events: int, kept: bool = True) -> None:
        """The next so many events through all engines; the costs are kept unless it is a warm-up."""
        records = batch(self._sent, events)
        self._sent += events
        self._note(OURS, DOES, events, kept, timed(lambda: self._lake.flow.hand_on(self._lake.append(records))))
        self._lake.look()
        root = self._lake.bronze.uri
        known = set(self._files)
        files = [f"{root}/{file.path}" for file in self._lake.bronze.files()]
        new = [each for each in files if each not in known]
        self._files = files
        for peer in self._peers:
            self._one(peer.name, peer.does, events, kept, lambda peer=peer: peer.process(new))  # type: ignore[misc]
        if self._pathway is not None and self.found[self._pathway.name].failed is None:
            self._feed_pathway(self._pathway, records, events, kept)
        self._one(self._duckdb.name, self._duckdb.does, events, kept, lambda: self._duckdb.process(files))

    def end(self) -> None:
        """Ends what was started."""
        if self._pathway is not None:
            self._pathway.__exit__()
        self._spark.stop()

    def _start_pathway(self, folder: Path) -> None:
        self._pathway = PathwayPeer(folder)

    def _feed_pathway(self, peer: PathwayPeer, records: pa.Table, events: int, kept: bool) -> None:
        text = peer.prepare(records)
        before = peer.cpu_seconds()
        try:
            wall = timed(lambda: peer.land(text)).wall
        except PathwayError as error:
            self.found[peer.name].failed = str(error)
            return
        self._note(peer.name, peer.does, events, kept, Cost(wall, peer.cpu_seconds() - before))

    def _one(self, name: str, does: str, events: int, kept: bool, do: Callable[[], object]) -> None:
        if name in self.found and self.found[name].failed is not None:
            return
        try:
            cost = timed(do)
        except PySparkException as error:
            self.found.setdefault(name, Measured(does)).failed = str(error).splitlines()[0]
            return
        self._note(name, does, events, kept, cost)

    def _try(self, name: str, does: str, make: Callable[[], object]) -> None:
        self.found[name] = Measured(does)
        try:
            make()
        except (PySparkException, OSError, psutil.Error) as error:
            self.found[name].failed = str(error).splitlines()[0]

    def _note(self, name: str, does: str, events: int, kept: bool, cost: Cost) -> None:
        measured = self.found.setdefault(name, Measured(does))
        if kept:
            measured.costs.setdefault(events, []).append(cost)


def run(quick: bool, folder: Path) -> Result:
    """A history first, then small and larger batches, each through every engine before the next."""
    history, large, rounds, warm_up = (
        (QUICK_HISTORY, QUICK_LARGE, QUICK_ROUNDS, QUICK_WARM_UP) if quick else (HISTORY, LARGE, ROUNDS, WARM_UP)
    )
    race = Race(folder / "peers")
    try:
        race.batch(history, kept=False)
        for events in (SMALL, large):
            for number in range(warm_up + rounds):
                race.batch(events, kept=number >= warm_up)
    finally:
        race.end()
    return _result(race.found, history, rounds, large)


def _result(found: dict[str, Measured], history: int, rounds: int, large: int) -> Result:
    medians = {
        name: {events: _median(costs) for events, costs in each.costs.items()}
        for name, each in found.items()
        if each.failed is None
    }
    names = [OURS, *sorted(medians.keys() - {OURS}, key=lambda name: medians[name][SMALL].wall)]
    ours = medians[OURS]
    rows: list[tuple[str, ...]] = [
        (
            name,
            *_cells(medians[name][SMALL], ours[SMALL]),
            *_cells(medians[name][large], ours[large]),
            thousands(large / medians[name][large].wall),
            found[name].does,
        )
        for name in names
    ]
    rows += [(name, *["-"] * 7, f"did not run: {each.failed}") for name, each in found.items() if each.failed]
    return Result(
        title="Beside other engines",
        method=(
            "The same records in the same run, on local files, each batch through every engine before the next; all "
            f"tables hold {thousands(history)} events before, and 1 % of a batch corrects, 1 % repeats earlier ones. "
            "Ours counts from the records of the Kinesis source to the last commit of gold. Spark's peers get the "
            "Parquet files of the bronze commit, without a streaming query around them (0.4 s a batch and more), "
            "after a warm-up, with the settings that make small batches fastest. Pathway is given a file of JSON lines "
            "that appears at once; it counts until the Delta table that it writes has the rows; its own Delta writer "
            "wants a licence key, so delta-rs appends. DuckDB computes everything again from all records. "
            f"Medians of {rounds} batches. Only ours checks, rejects, looks reference data up, keeps "
            "visits exact under late events, and keeps KPI tables."
        ),
        goals=(),
        tables=(Table(COLUMNS, tuple(rows)),),
        figures={f"{name}, {events}": cost.wall for name, each in medians.items() for events, cost in each.items()},
        picture=bars(
            "1,000 events into the table, seconds (log scale)",
            "s",
            [(name, medians[name][SMALL].wall) for name in names],
        ),
    )


def _cells(cost: Cost, ours: Cost) -> tuple[str, str, str]:
    return f"{cost.wall:.2f}", f"{cost.wall / ours.wall:.1f} x", f"{cost.cpu:.2f}"


def _median(costs: list[Cost]) -> Cost:
    return Cost(statistics.median(each.wall for each in costs), statistics.median(each.cpu for each in costs))
