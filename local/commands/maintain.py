"""`lakehouse maintain [TABLE ...]`: compacts tables that no job writes at the moment, and removes old files."""

import json as json_text
from collections.abc import Sequence
from dataclasses import asdict

from batch.maintenance import maintain
from lakehouse.contracts import load_contracts
from lakehouse.settings import Settings
from runtime.spark import create_session


def run(tables: Sequence[str], settings: Settings, json: bool = False) -> None:
    """Prints a line a table. Raises ContractError for a table that does not exist."""
    contracts = load_contracts(settings.contracts_directory)
    for table in tables:
        contracts.table(table)
    spark = create_session("lakehouse maintain", settings)
    try:
        done = list(maintain(spark, settings, contracts, tables))
    finally:
        spark.stop()
    if json:
        print(json_text.dumps([asdict(each) for each in done]))
        return
    for each in done:
        told = "compacted" if each.compacted else "nothing to compact"
        print(f"{each.table}: {told if each.held_by is None else 'left to its job'}, old files removed")
