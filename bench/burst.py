"""A burst of a million records after an idle night."""

from pathlib import Path

from bench.load_run import LoadRun, flat_memory, minutes, proven
from bench.result import Goal, Result, Table, thousands
from bench.stream_run import stream_all

RECORDS, QUICK_RECORDS = 1_000_000, 10_000
NIGHT_SECONDS, QUICK_NIGHT_SECONDS = 20, 5
MOST_SECONDS, MOST_CPU = 180, 200


def run(quick: bool, folder: Path) -> Result:
    """Lets a warm job idle, puts the records as fast as the emulator takes them, and waits until gold has them."""
    records, night = (QUICK_RECORDS, QUICK_NIGHT_SECONDS) if quick else (RECORDS, NIGHT_SECONDS)
    with stream_all(folder / "burst") as stream, LoadRun(stream) as load:
        load.begin()
        load.idle(night)
        cpu = stream.cpu_seconds()
        seconds = load.burst(records)
        cpu = (stream.cpu_seconds() - cpu) * 1e6 / records
        found = proven(stream)
    growth = flat_memory(load.samples)
    return Result(
        title=f"A burst of {thousands(records)} records after an idle night",
        method=(
            f"`lakehouse stream all` with its default settings (heap 2 GiB), warm, idle for {night} s (in an idle "
            f"night no more happens), lake and stream (2 shards) on MiniStack; then {thousands(records)} "
            "web events as fast as the emulator takes them. CPU is that of all processes of the job."
        ),
        goals=(
            Goal(
                f"a burst of {thousands(records)} until gold has it",
                f"<= {MOST_SECONDS} s",
                f"{seconds:.0f} s",
                seconds <= MOST_SECONDS,
            ),
            Goal("CPU seconds of the job a million events in a burst", f"<= {MOST_CPU}", f"{cpu:.0f}", cpu <= MOST_CPU),
            Goal("events lost, doubled or miscounted", "0", f"{found.wrong}", found.wrong == 0),
            Goal("memory in the second half against the first", "<= 1.1 x", f"{growth:.2f} x", growth <= 1.1),
        ),
        tables=(
            minutes(load.samples, every=15),
            Table(("what", "count"), (*found.rows, ("gold has them after, s", f"{seconds:,.0f}"))),
        ),
        figures={"seconds": seconds, "cpu": cpu, "rate": records / seconds, "memory": growth},
    )
