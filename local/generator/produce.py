"""Delivers a production: `python -m local.generator.produce --ledger FILE [--landing URI]` as a process of its own.

Streams and the landing area must exist; AWS endpoint and credentials come from the usual AWS_* variables. It prints one
JSON object when it ends. SIGTERM and Ctrl-C end it after the call under way with exit code 0: the ledger then holds
what was taken so far.
"""

import argparse
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from lakehouse.errors import LakehouseError
from local.generator.ledger import Ledger
from local.generator.production import Production, plan
from local.generator.put import put_records
from runtime.storage import Storage

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

STREAMS: Mapping[str, str] = {"web_logs": "web_logs", "crm": "crm"}


def produce(
    production: Production,
    kinesis: "KinesisClient",
    rate: float,
    ledger_path: Path,
    streams: Mapping[str, str] = STREAMS,
    stop: Event | None = None,
) -> int:
    """Puts the production's stream records in order and gives their number.

    At most `rate` a second (0: as fast as it goes). What Kinesis takes is appended to the ledger, call by call.
    `streams` maps a source to its stream. Raises PutError when a record is refused for good.
    """
    ledger = Ledger(ledger_path)
    return put_records(production.records, kinesis, streams, rate, ledger.add_records, stop or Event())


def land(production: Production, storage: Storage, ledger_path: Path) -> int:
    """Writes the production's files to the landing area and notes them in the ledger; gives their number.

    Raises PlanError if another file is there under the name of one of these.
    """
    files = production.write_landing(storage)
    Ledger(ledger_path).add_files(files)
    return len(files)


def kinesis_client() -> "KinesisClient":
    """A client that never repeats a call by itself: a record that was taken twice would be in no ledger."""
    return boto3.client("kinesis", config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; gives its exit code."""
    options = _parser().parse_args(arguments)
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        production = plan(
            options.days,
            options.seed,
            hours=options.hours,
            visits=options.visits,
            log_lines=options.log_lines,
            faults=options.faults,
        )
        files = land(production, Storage.open(options.landing), options.ledger) if options.landing else 0
        streams = {**STREAMS, **dict(pair.split("=", 1) for pair in options.stream)}
        records = produce(production, kinesis_client(), options.rate, options.ledger, streams, stop)
    except LakehouseError as error:
        print(error, file=sys.stderr)
        return 1
    outcome = {"files": files, "records": records, "planned": len(production.records), "stopped": stop.is_set()}
    print(json.dumps(outcome))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local.generator.produce", description=__doc__)
    parser.add_argument("--ledger", type=Path, required=True, help="file that what was delivered is appended to")
    parser.add_argument("--landing", help="folder or s3://bucket/prefix for the files; without it no files are written")
    parser.add_argument("--rate", type=float, default=0.0, help="most stream records a second; 0: as fast as it goes")
    parser.add_argument(
        "--stream", action="append", default=[], metavar="SOURCE=NAME", help="another stream for a source"
    )
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--hours", type=int, default=8, help="inventory files a day")
    parser.add_argument("--visits", type=int, default=430, help="web visits a day")
    parser.add_argument("--log-lines", type=int, help="lines of the access log to replay")
    parser.add_argument("--faults", type=float, default=0.01, help="share of faulty records")
    return parser


if __name__ == "__main__":
    sys.exit(main())
