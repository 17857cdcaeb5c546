"""`python -m local.stress --seed N --kills K`: kills the jobs K times at random while shards split and merge, then
proves the lake by the oracle. The last line says what was survived; exit code 1 when anything was lost.
"""

import os
import sys
import time
from collections import Counter
from typing import Annotated

import boto3
import typer
from rich.console import Console

from lakehouse.errors import LakehouseError
from lakehouse.settings import Settings, load_settings
from local import stack
from local.demo.proof import figures, prove
from local.demo.room import empty_lake
from local.demo.run import Run
from local.demo.streams import fresh_streams
from local.generator.produce import land
from local.generator.production import plan
from local.sql import Lake
from local.stress.course import Course
from local.stress.faults import FaultyS3
from runtime.failpoints import POINTS
from runtime.storage import Storage

SEED, KILLS, DAYS = 1, 200, 1
OUR_STREAM = "stress-"
# About how long it takes from one death to the next, of three jobs; the producer is spread over all of it.
SECONDS_A_KILL = 16.0
# Of the jobs' requests to S3, so many meet an error, a lost connection or answer, or a delay.
FAULTY_SHARE = 0.005
WIDTH_OF_A_LOG = 120
MOST_SHOWN = 20


def main(
    seed: Annotated[int, typer.Option(help="Decides every death, every reshard and all data.")] = SEED,
    kills: Annotated[int, typer.Option(min=1, help="How often a job or a part of it is killed.")] = KILLS,
    days: Annotated[int, typer.Option(min=1, help="Real till days.")] = DAYS,
    root: Annotated[str | None, typer.Option(help="The lake; without it a prefix in the settings' root.")] = None,
) -> None:
    """Fill a lake while its jobs are killed, and prove that it is exact."""
    try:
        settings = load_settings(root=root)
        if root is None:
            settings = settings.model_copy(update={"root": f"{settings.root.rstrip('/')}/stress"})
        exact = stress(settings, seed, kills, days)
    except LakehouseError as error:
        print(f"stress: {error} (seed {seed})", file=sys.stderr)
        raise typer.Exit(1) from error
    raise typer.Exit(0 if exact else 1)


def stress(settings: Settings, seed: int, kills: int, days: int) -> bool:
    """Whether the lake is exact after so many deaths. A local stack that this starts, it stops."""
    console = Console(width=WIDTH_OF_A_LOG)
    started = time.monotonic()
    used = stack.start(settings)
    try:
        os.environ.update(stack.environment(settings))
        kinesis = boto3.client("kinesis")
        settings = settings.model_copy(update={"streams": fresh_streams(kinesis, settings, OUR_STREAM)})
        stack.ensure_resources(settings)
        production = plan(days, seed)
        rate = max(1.0, len(production.records) / (kills * SECONDS_A_KILL))
        run = Run(settings, days, seed, rate, settings.state_directory.absolute() / "stress")
        empty_lake(run)
        files = land(production, Storage.open(run.landing), run.ledger)
        console.print(
            f"seed {seed}: {files} files, {len(production.records):,} events at {rate:.0f}/s, {kills} kills to come; "
            f"lake at {settings.root}; logs in {run.folder}",
            highlight=False,
        )
        with FaultyS3(os.environ["AWS_ENDPOINT_URL"], FAULTY_SHARE, seed) as s3:
            course = Course(run, seed, kills, kinesis, s3, console)
            course.fill()
        faults = ", ".join(f"{kind} {number}" for kind, number in sorted(s3.done.items()))
        console.print(f"S3 failed {s3.done.total()} requests: {faults}", highlight=False)
        with Lake(settings.root) as lake:
            comparison = prove(lake, production, run.ledger)
    finally:
        if used.started_now:
            stack.stop(settings)
    for difference in comparison.differences[:MOST_SHOWN]:
        console.print(str(difference), highlight=False, markup=False)
    console.print(f"died at {_points(course.points)}", highlight=False)
    found = figures(comparison)
    others = f", {found['other_differences']} other differences" if found["other_differences"] else ""
    # Not through the console, which would break a long line in two.
    print(
        f"{course.survived} kills, {course.reshards} reshards survived: {found['lost']} lost, {found['duplicated']} "
        f"duplicated, {found['kpi_differences']} KPI differences{others} "
        f"(seed {seed}, {time.monotonic() - started:.0f} s)"
    )
    return comparison.exact


def _points(reached: Counter[str]) -> str:
    """The named points and how often a job died there, in the order in which a record comes to them."""
    return ", ".join(f"{name} {reached[name]}" for name in POINTS)


if __name__ == "__main__":
    typer.run(main)
