"""The proof at the end of the demo: the lake against what an independent oracle makes of the producer's own ledger."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.generator.ledger import read_ledger
from local.generator.production import Production
from local.oracle.comparison import Comparison, LakeRows, compare
from local.oracle.expectation import expect
from local.sql import Lake

COLUMNS = {"bronze": "record_id", "rejected": 'record_id, rule, "column"', "silver": "*", "gold": "*"}


def prove(lake: Lake, production: Production, ledger: Path) -> Comparison:
    """Every difference between the lake and the oracle's expectation.

    Raises LedgerError when the ledger is not of this production.
    """
    files, records = read_ledger(ledger, production)
    return compare(lake_rows(lake), expect(files, records))


def lake_rows(lake: Lake) -> LakeRows:
    """Everything that the oracle compares, read from one snapshot of the lake."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {layer: {} for layer in COLUMNS}
    with lake.snapshot() as snapshot:
        for table in lake.tables():
            layer, _, name = table.partition(".")
            found[layer][name] = snapshot.query(f"SELECT {COLUMNS[layer]} FROM {table}")  # noqa: S608 - names from code
    return LakeRows(**found)


def figures(comparison: Comparison) -> Mapping[str, int]:
    """The proof in three numbers, and what else differs: all 0 in a lake that kept its promise."""
    return {
        "lost": len(comparison.lost),
        "duplicated": len(comparison.duplicated),
        "kpi_differences": len(comparison.kpi),
        "other_differences": len(comparison.unknown) + len(comparison.misplaced) + len(comparison.silver),
    }
