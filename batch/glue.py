"""A batch job on Glue: `--lakehouse_job reference|pos|inventory|campaigns|maintenance|reconcile`, and settings as
`--lakehouse_<setting>`.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise

from batch.ingest import ingest
from batch.maintenance import maintain
from batch.reconciliation.reconcile import Scope, reconcile
from lakehouse.contracts import Contracts, load_contracts
from lakehouse.errors import LakehouseError
from lakehouse.settings import Settings, load_settings
from runtime.leases import Leases
from runtime.region import use_region
from runtime.spark import SparkOnDemand

PREFIX = "--lakehouse_"
JOB = "job"
MAINTENANCE, RECONCILE, REFERENCE = "maintenance", "reconcile", "reference"


def main() -> None:
    """Runs one job to its end; an error ends the process with exit code 1, which Glue shows as a failed run."""
    given = arguments(sys.argv[1:])
    job = given.pop(JOB, "")
    os.environ |= {f"LAKEHOUSE_{name.upper()}": value for name, value in given.items()}
    try:
        settings = load_settings()
        use_region(settings.region)
        run(job, settings)
    except LakehouseError as error:
        print(f"batch {job}: {error}", file=sys.stderr)
        sys.exit(1)


def run(job: str, settings: Settings) -> None:
    """Takes in new files of one source, or of all reference data, or maintains or reconciles the tables.

    Raises LakehouseError for an unknown job, a refused file, a table that another process writes, or differences.
    """
    contracts = load_contracts(settings.contracts_directory)
    sources = _sources(job, contracts, settings)
    with Leases(settings.root, f"batch {job}", [f"bronze.{each}" for each in sources]) as leases:
        spark = SparkOnDemand(f"lakehouse batch {job}", settings)
        if job == MAINTENANCE:
            for maintained in maintain(spark.session(), settings, contracts):
                print(maintained)
        if job == RECONCILE:
            found = reconcile(spark.session(), settings.root, contracts, Scope(contracts.sources))
            for line in found.log_lines():
                print(line)
            if found.differences:
                raise LakehouseError(f"{found.differences} differences, see above: docs/runbooks/reconcile.md")
        refused: list[str] = []
        for source in sources:
            done = ingest(
                spark.session,
                contracts,
                source,
                settings.landing,
                settings.root,
                lambda: datetime.now(UTC),
                still_ours=leases.check,
            )
            print(done)
            refused += done.refused
    if refused:
        raise LakehouseError(f"{len(refused)} file(s) refused: {'; '.join(refused)}")


def arguments(given: Sequence[str]) -> dict[str, str]:
    """Ours among the arguments that Glue hands to a script: `--lakehouse_root s3://…` as `root`."""
    pairs = pairwise(given)
    return {name.removeprefix(PREFIX): value for name, value in pairs if name.startswith(PREFIX)}


def _sources(job: str, contracts: Contracts, settings: Settings) -> Sequence[str]:
    jobs: Mapping[str, Sequence[str]] = {
        MAINTENANCE: (),
        RECONCILE: (),
        REFERENCE: contracts.references,
        **{
            source: (source,)
            for source in contracts.sources
            if source not in settings.streams and source not in contracts.references
        },
    }
    if job not in jobs:
        raise LakehouseError(f"{job!r} is no batch job: choose one of {', '.join(jobs)}")
    return jobs[job]
