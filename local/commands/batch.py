"""`lakehouse batch reference|pos|inventory|campaigns|all`: takes in the landing files that are new."""

import json as json_text
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from batch.ingest import Ingested, ingest
from lakehouse.contracts import Contracts, load_contracts
from lakehouse.errors import LakehouseError
from lakehouse.settings import Settings
from runtime.leases import Leases
from runtime.spark import SparkOnDemand

REFERENCE = "reference"
ALL = "all"
EVERYTHING = "all"


class RefusedFilesError(LakehouseError):
    """Files under known names have other content than the lake took in, or may not be read."""


def run(source: str, settings: Settings, json: bool = False) -> None:
    """Appends the new files of `<settings.landing>/<source>/` to bronze, each once, and prints what went in.

    `source` is a source that comes in files, `reference` for the stores, warehouses and products together, or `all`.
    Raises RefusedFilesError after all other files went in, with a line for each refused file on standard error, and
    LakehouseError when a batch fails (the next run repeats it) or another process takes in the same source.
    """
    contracts = load_contracts(settings.contracts_directory)
    sources = sources_of(source, contracts, settings)
    started = time.monotonic()
    leased = Leases(settings.root, f"batch {source}", [f"bronze.{each}" for each in sources])
    with leased as leases, SparkOnDemand(f"lakehouse batch {source}", settings) as spark:
        done = [
            ingest(
                spark.session,
                contracts,
                each,
                settings.landing,
                settings.root,
                lambda: datetime.now(UTC),
                still_ours=leases.check,
            )
            for each in sources
        ]
    _print(done, time.monotonic() - started, json)
    refused = [line for each in done for line in each.refused]
    for line in refused:
        print(line, file=sys.stderr)
    if refused:
        raise RefusedFilesError(f"{len(refused)} file(s) refused, see above; all others were taken in")


def sources_of(source: str, contracts: Contracts, settings: Settings) -> Sequence[str]:
    """The sources that a word of the command line stands for. Raises LakehouseError for one that has no files."""
    references = contracts.references
    facts = [each for each in contracts.sources if each not in settings.streams and each not in references]
    if source == REFERENCE:
        return references
    if source == ALL:
        return (*references, *facts)
    if source not in (*references, *facts):
        known = ", ".join([REFERENCE, *facts, ALL])
        raise LakehouseError(f"{source!r} does not come in files: choose one of {known}")
    return (source,)


def _print(done: Sequence[Ingested], seconds: float, json: bool) -> None:
    if json:
        print(json_text.dumps({"seconds": round(seconds, 3), "sources": [asdict(each) for each in done]}))
        return
    for each in done:
        print(
            f"{each.source}: {each.records} records of {each.files} new files in {each.batches} batches "
            f"({each.unreadable} files unreadable, {len(each.refused)} refused, {each.passed_over} passed over)"
        )
