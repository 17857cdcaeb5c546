"""Twice what one driver can take, evenly and into one shard: memory, lag, and that nothing is lost."""

from pathlib import Path

from bench.load_run import LoadRun, flat_memory, minutes, proven
from bench.result import Goal, Result, Table, thousands
from bench.stream_run import stream_all

CALIBRATION_RECORDS, QUICK_CALIBRATION_RECORDS = 60_000, 4_000
SECONDS_EACH, QUICK_SECONDS_EACH = 90, 10
OVERLOAD = 2.0


def run(quick: bool, folder: Path) -> Result:
    """1 A burst shows what the driver can take. 2 Twice that over all shards, 3 as long again into one of
    them. 4 Wait until gold has everything, and count.
    """
    seconds = QUICK_SECONDS_EACH if quick else SECONDS_EACH
    with stream_all(folder / "load") as stream, LoadRun(stream) as load:
        # 1
        burst = QUICK_CALIBRATION_RECORDS if quick else CALIBRATION_RECORDS
        capacity = burst / load.burst(burst)
        rate = round(OVERLOAD * capacity)
        load.begin()
        # 2, 3
        load.send(rate, seconds, "even")
        load.send(rate, seconds, "hot")
        # 4
        load.drain()
        found = proven(stream)
    fed = [each for each in load.samples if each.phase in ("even", "hot")]
    lag_fed, lag_after = max(each.lag for each in fed), load.samples[-1].lag
    growth = flat_memory(load.samples)
    return Result(
        title="Three minutes at twice what one driver can take",
        method=(
            f"`lakehouse stream all` with its default settings (heap 2 GiB), lake and stream (2 shards) on MiniStack. "
            f"A burst of {thousands(burst)} web events first: gold took {capacity:,.0f} a second. Then {rate:,} a "
            f"second for {seconds} s over both shards (`even`), and for {seconds} s into one of them (`hot`), then "
            "nothing until gold had them all. Lag: events that Kinesis took and gold has not. At the end DuckDB counts "
            "the identities in the tables and adds up the funnel. Producer and emulator share the cores."
        ),
        goals=(
            Goal("events lost, doubled or miscounted", "0", f"{found.wrong}", found.wrong == 0),
            Goal("lag at its highest, and at the end", "grows, drains", f"{lag_fed:,}, {lag_after:,}", lag_after == 0),
            Goal("memory in the second half against the first", "<= 1.1 x", f"{growth:.2f} x", growth <= 1.1),
        ),
        tables=(minutes(load.samples), Table(("what", "count"), found.rows)),
    )
