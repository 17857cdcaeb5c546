"""`lakehouse demo`: everything once, from real till days to KPIs, with a crash on the way and a proof at the end."""

import json as json_text
import os
import time
from pathlib import Path

import boto3
from rich.console import Console

from lakehouse.contracts import load_contracts
from lakehouse.errors import LakehouseError
from lakehouse.settings import Settings
from local import stack
from local.demo.proof import figures, prove
from local.demo.report import print_kpis, print_next, print_proof, print_quality, rows_by_source
from local.demo.room import empty_lake
from local.demo.run import Run
from local.demo.stages import fill_lake
from local.demo.streams import fresh_streams
from local.generator.produce import land
from local.generator.production import plan
from local.sql import Lake
from runtime.storage import Storage

DAYS = 3
SEED = 7
RATE = 150.0
OUR_STREAM = "demo-"
WIDTH_OF_A_LOG = 120


class ProofFailedError(LakehouseError):
    """The lake is not what it must be."""


def run(days: int | None, rate: float | None, seed: int | None, json: Path | None, settings: Settings) -> None:
    """Fills an empty lake at `settings.root` and proves it; the local stack is started when none runs, and stays.

    Writes `{seconds, rows, proof}` to the file `json`. Raises ProofFailedError when a record was lost or duplicated or
    a KPI differs, and DemoError or JobFailedError when the demo cannot go on.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH_OF_A_LOG)
    started = time.monotonic()
    console.print("Starting the local stack …", highlight=False)
    used = stack.start(settings)
    try:
        os.environ.update(stack.environment(settings))
        _fill_and_prove(days, rate, seed, json, settings, console, started)
    except (KeyboardInterrupt, SystemExit):
        # Who breaks off gets back the machine as it was; a lake that fails is kept to look at.
        if used.started_now:
            stack.stop(settings)
        raise


def _fill_and_prove(
    days: int | None,
    rate: float | None,
    seed: int | None,
    json: Path | None,
    settings: Settings,
    console: Console,
    started: float,
) -> None:
    settings = settings.model_copy(update={"streams": fresh_streams(boto3.client("kinesis"), settings, OUR_STREAM)})
    stack.ensure_resources(settings)
    demo = Run(
        settings,
        DAYS if days is None else days,
        SEED if seed is None else seed,
        RATE if rate is None else rate,
        settings.state_directory.absolute() / "demo",
    )
    production = plan(demo.days, demo.seed)
    empty_lake(demo)
    files = land(production, Storage.open(demo.landing), demo.ledger)
    days_told = "1 real till day" if demo.days == 1 else f"{demo.days} real till days"
    console.print(
        f"{days_told}: {files} files landed, {len(production.records):,} events to come at {demo.rate:g}/s; "
        f"lake at {settings.root}; logs in {demo.folder}",
        highlight=False,
    )
    killed = fill_lake(demo, len(production.records), demo.environment, console)
    with Lake(settings.root) as lake:
        comparison = prove(lake, production, demo.ledger)
        rows = rows_by_source(lake, load_contracts(settings.contracts_directory))
        print_kpis(lake, console)
        print_quality(lake, rows, console)
    print_proof(comparison, killed, console)
    seconds = round(time.monotonic() - started, 1)
    console.print(f"{sum(each['bronze'] for each in rows.values()):,} records in {seconds:g} s", highlight=False)
    print_next(settings.root, console)
    if json is not None:
        document = {"seconds": seconds, "rows": rows, "proof": figures(comparison)}
        json.write_text(json_text.dumps(document, indent=2) + "\n", encoding="utf-8")
    if not comparison.exact:
        raise ProofFailedError(
            f"the lake at {settings.root} differs from the oracle in {len(comparison.differences)} places, see above"
        )
