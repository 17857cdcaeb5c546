"""A model of what a batch costs, fitted to measured batches and held against some that it has not seen."""

import statistics
from pathlib import Path

from bench.cost import timed
from bench.flow_lake import FlowLake, batch
from bench.report import stored
from bench.result import Goal, Result, Table, thousands
from bench.scale_model import DRIVER_SHARE, Estate, Line, Measured, Point, estate, fitted
from bench.web_events import SOURCE
from lakehouse.settings import Settings
from runtime.tables import open_table

# The last one of each is held out: the model has not seen it.
SIZES, HELD_OUT = (300, 1_000, 3_000, 30_000), 10_000
QUICK_SIZES, QUICK_HELD_OUT = (200, 4_000), 1_000
ROUNDS, QUICK_ROUNDS, WARM_UP = 10, 2, 3
RATES = (1_000, 10_000, 100_000, 1_000_000)
LARGEST_ERROR = 0.25
SILVER, TABLES = "silver.sessionized_web_logs", (f"bronze.{SOURCE}", "silver.sessionized_web_logs")
# Where `requests` and `burst` were not measured: of a batch, and of an event, by docs/cost.md and the first burst.
PUTS, GETS, JOB_CPU, LIVE_FILES = 25.0, 50.0, 200e-6, 500.0


def run(quick: bool, folder: Path) -> Result:
    """Batches of several sizes in turn, files not compacted, so that their number grows and shows its cost."""
    sizes, held_out = (QUICK_SIZES, QUICK_HELD_OUT) if quick else (SIZES, HELD_OUT)
    root = folder / "scale"
    settings = Settings(root=str(root), landing=str(root / "landing"), state_directory=root, compact_batches=0)
    lake = FlowLake(root, settings)
    points: list[Point] = []
    sent = 0
    for number in range(WARM_UP + (QUICK_ROUNDS if quick else ROUNDS)):
        for events in (*sizes, held_out):
            records = batch(sent, events)
            sent += events
            files = open_table(lake.layout.table(SILVER)).live_files()
            cost = timed(lambda records=records: lake.flow.hand_on(lake.append(records)))  # type: ignore[misc]
            if number >= WARM_UP:
                points.append(Point(events, files, cost.wall, cost.cpu))
    seen = [point for point in points if point.events != held_out]
    wall, cpu = (fitted(seen, [getattr(point, what) for point in seen]) for what in ("wall", "cpu"))
    unseen = [point for point in points if point.events == held_out]
    measured = _measured(lake, wall, cpu, sent, len(points) + WARM_UP * (len(sizes) + 1))
    return _result(points, unseen, measured, held_out)


def _measured(lake: FlowLake, wall: Line, cpu: Line, events: int, batches: int) -> Measured:
    """With what other benchmarks have found, where they have."""
    names = ("requests", "burst", "many_batches")
    requests, burst, many = ((stored(name) or {"figures": {}})["figures"] for name in names)
    files = {name: list(open_table(lake.layout.table(name)).files()) for name in TABLES}
    sample = [len(each) for each in batch(0, 1_000)["data"].to_pylist() if each]
    return Measured(
        wall=wall,
        cpu=cpu,
        event_bytes=statistics.mean(sample),
        stored_bytes=sum(file.size for found in files.values() for file in found) / events,
        files_a_batch=sum(map(len, files.values())) / batches,
        puts_a_batch=requests.get("puts", PUTS),
        gets_a_batch=requests.get("gets", GETS),
        idle_puts=requests.get("idle puts", 0.0),
        idle_gets=requests.get("idle gets", 0.0),
        live_files=many.get("files", LIVE_FILES) / 2,
        job_cpu=burst["cpu"] / 1e6 if "cpu" in burst else JOB_CPU,
    )


def _result(points: list[Point], unseen: list[Point], measured: Measured, held_out: int) -> Result:
    estates = [estate(rate, measured) for rate in RATES]
    errors = {
        what: abs(statistics.median(line.at(point.events, point.files) / getattr(point, what) for point in unseen) - 1)
        for what, line in (("wall", measured.wall), ("cpu", measured.cpu))
    }
    return Result(
        title="The model and its figures",
        method=(
            "Batches through `Flow` on local files, not compacted, 1 % corrected and 1 % repeated. Fitted by least "
            f"squares of relative errors to sizes but {thousands(held_out)}, which the model has not seen. Requests, "
            "CPU of the whole job and live files are those that `requests`, `burst` and `many_batches` found, where "
            f"they were run. A driver is planned with {100 * DRIVER_SHARE:.0f} % of what it can do."
        ),
        goals=(
            Goal(
                f"error of the model at {thousands(held_out)} events, which it has not seen: seconds, CPU",
                f"<= {100 * LARGEST_ERROR:.0f} %",
                f"{100 * errors['wall']:.0f} %, {100 * errors['cpu']:.0f} %",
                max(errors.values()) <= LARGEST_ERROR,
            ),
        ),
        tables=(_formula(measured), _points(points, measured), _estates(estates), _limits(estates, measured)),
        figures={
            "fixed": measured.wall.fixed,
            "each": measured.wall.each,
            "file": measured.wall.file,
            "fixed cpu": measured.cpu.fixed,
            "each cpu": measured.cpu.each,
            "error": errors["wall"],
        },
    )


def _formula(measured: Measured) -> Table:
    rows = [
        (
            name,
            f"{1e3 * line.fixed:.0f} ms",
            f"{1e6 * line.each:.0f} us",
            f"{1e3 * 100 * line.file:.1f} ms",
        )
        for name, line in (("seconds on the clock", measured.wall), ("CPU seconds", measured.cpu))
    ]
    return Table(("of a batch", "fixed", "each event", "each 100 live files of silver"), tuple(rows))


def _points(points: list[Point], measured: Measured) -> Table:
    rows = []
    for events in sorted({point.events for point in points}):
        found = [point for point in points if point.events == events]
        predicted = [measured.wall.at(point.events, point.files) for point in found]
        taken, said = statistics.median(point.wall for point in found), statistics.median(predicted)
        cpu = statistics.median(point.cpu for point in found)
        rows.append((thousands(events), f"{taken:.3f}", f"{said:.3f}", f"{cpu:.3f}", thousands(events / taken)))
    return Table(("events in a batch", "seconds", "by the model", "CPU seconds", "events a second"), tuple(rows))


def _estates(estates: list[Estate]) -> Table:
    rows = [
        (
            thousands(each.rate),
            thousands(each.shards),
            thousands(each.drivers),
            thousands(each.cores),
            thousands(each.batch),
            f"{each.seconds:.1f}",
            f"{each.latency:.1f}",
            thousands(each.files_a_day),
            f"{each.requests_a_month / 1e6:,.0f}",
            f"{each.stored_gb / 1e3:,.1f}",
            *(thousands(usd) for usd in each.usd.values()),
            thousands(sum(each.usd.values())),
        )
        for each in estates
    ]
    columns = (
        *("events a second", "shards", "drivers", "cores", "events a batch", "s a batch", "s to gold, median"),
        *("files a day before compaction", "million requests a month", "TB after a year"),
        *(f"USD a month: {name}" for name in estates[0].usd),
        "USD a month",
    )
    return Table(columns, tuple(rows))


def _limits(estates: list[Estate], measured: Measured) -> Table:
    one = DRIVER_SHARE / measured.wall.each
    rows = []
    for each in estates:
        share = each.rate / each.drivers
        busy = measured.wall.each * share
        rows.append(
            (
                thousands(each.rate),
                f"{100 * busy:.0f} %",
                f"{100 * (1 - measured.wall.each * each.batch / each.seconds):.0f} %",
                "fits one driver" if each.drivers == 1 else f"{each.drivers} drivers of {thousands(one)}/s each",
            )
        )
    return Table(
        ("events a second", "driver's time for events", "of a batch that is fixed cost", "verdict"), tuple(rows)
    )
