"""`lakehouse reconcile [SOURCE ...]`: the proof that a live lake kept its promise."""

import json as json_text
import sys
from collections.abc import Sequence
from dataclasses import asdict

import typer
from rich.table import Table

from batch.reconciliation.reconcile import Scope, reconcile
from batch.reconciliation.report import Report
from lakehouse.contracts import load_contracts
from lakehouse.settings import Settings
from local.rendering import standard_console, visible
from runtime.spark import create_session

WRONG_USE = 2


def run(*, sources: Sequence[str], since: int | None, json: bool, settings: Settings) -> bool:
    """Prints what was compared and what differs; gives whether nothing does.

    Raises ContractError for a source that does not exist, NotReconcilableError where there is nothing to compare yet.
    """
    contracts = load_contracts(settings.contracts_directory)
    for source in sources:
        contracts.source(source)
    if since is not None and len(sources) != 1:
        print("lakehouse: --since takes one SOURCE, whose bronze version it names", file=sys.stderr)
        raise typer.Exit(WRONG_USE)
    spark = create_session("lakehouse reconcile", settings)
    try:
        report = reconcile(spark, settings.root, contracts, Scope(tuple(sources) or contracts.sources, since))
    finally:
        spark.stop()
    if json:
        print(json_text.dumps(asdict(report) | {"differences": report.differences}, default=str))
    else:
        _print(report)
    return report.differences == 0


def _print(report: Report) -> None:
    console = standard_console()
    table = Table("table", "compared", "rows", "differences", "at versions", title="Reconciliation")
    for each in report.compared:
        style = "bold red" if each.differences else None
        table.add_row(each.table, each.what, f"{each.rows:,}", f"{each.differences:,}", each.versions, style=style)
    console.print(table)
    for difference in report.shown:
        console.print(
            visible(
                f"{difference.table} {difference.kind}: {difference.key} ({difference.column}): expected "
                f"{difference.expected}, found {difference.found}"
            ),
            markup=False,
            highlight=False,
        )
        for commit in difference.commits:
            console.print(visible(f"    {commit}"), markup=False, highlight=False)
    for source, count in report.redrivable.items():
        console.print(f"{source}: {count} rejected records pass now: run `lakehouse redrive {source}`", markup=False)
    for source, count in report.late_references.items():
        console.print(
            f"{source}: {count} silver rows are to be looked up again, in reference data that came after them",
            markup=False,
        )
    for reason in report.not_yet.values():
        console.print(f"not yet: {reason}", markup=False)
    console.print(f"{report.differences} differences", style="bold")
