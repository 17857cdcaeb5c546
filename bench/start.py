"""How long `lakehouse stream all` needs from its start to its first commit, and from SIGKILL to the next one."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from bench.result import Goal, Result, Table
from bench.stream_run import GOLD, NotThroughError, StreamRun, stream_all

ROUNDS, QUICK_ROUNDS = 3, 1
EVENTS = 100
MOST_SECONDS = 120
# From SIGKILL to the next commit of the same table.
AGAIN_SECONDS = 15.0
BRONZE = "bronze.web_logs"


def run(quick: bool, folder: Path) -> Result:
    """Starts the job on records that wait for it; then kills it again and again while records wait."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    with stream_all(folder / "start", started=False) as stream:
        stream.put(EVENTS)
        begun = _until(stream, stream.start)
        stream.wait(stream.send(EVENTS, 5))
        again = []
        for _ in range(rounds):
            stream.put(EVENTS)
            again.append(_until(stream, stream.start_again))
            stream.wait(stream.send(EVENTS, 5))
    bronze, gold = (statistics.median(each[at] for each in again) for at in (0, 1))
    return Result(
        title="Start, and start again",
        method=(
            "`lakehouse stream all` with its default settings, lake and stream (2 shards) on MiniStack, 100 events "
            "waiting: seconds from the start of the process to the first commit of bronze and gold in an empty lake; "
            f"and from SIGKILL to all processes of the warm job, started again at once, to the next ones (median of "
            f"{rounds})."
        ),
        goals=(
            Goal("SIGKILL to the next commit", f"< {AGAIN_SECONDS:.0f} s", f"{bronze:.1f} s", max(bronze, gold) < 15),
        ),
        tables=(
            Table(
                ("from", "to bronze, s", "to gold, s"),
                (
                    ("start in an empty lake", *(f"{each:.1f}" for each in begun)),
                    ("SIGKILL and start", f"{bronze:.1f}", f"{gold:.1f}"),
                ),
            ),
        ),
        figures={"first bronze": begun[0], "first gold": begun[1], "again bronze": bronze, "again gold": gold},
    )


def _until(stream: StreamRun, do: Callable[[], None]) -> tuple[float, float]:
    """Calls it, and waits for a new commit of rows in bronze and one in gold; the seconds to each."""
    before = {table: stream.newest(table) for table in (BRONZE, GOLD)}
    started = time.monotonic()
    do()
    found: dict[str, float] = {}
    while len(found) < len(before):
        if time.monotonic() - started > MOST_SECONDS:
            raise NotThroughError(f"no commit of {', '.join(before.keys() - found.keys())} within {MOST_SECONDS} s")
        time.sleep(0.2)
        stream.check()
        found |= {
            table: time.monotonic() - started
            for table in before.keys() - found.keys()
            if _came(stream, table, before[table])
        }
    return found[BRONZE], found[GOLD]


def _came(stream: StreamRun, table: str, version: int) -> bool:
    """Whether a commit that brought rows came after that version: a table that is only made does not count."""
    below = BRONZE if table == BRONZE else "silver.sessionized_web_logs"
    return stream.brought(table, below, version)
