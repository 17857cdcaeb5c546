"""`lakehouse sql STATEMENT`: one reading statement over the lake's tables, printed."""

import sys
from collections.abc import Sequence
from typing import Literal

import typer

from lakehouse.contract_model import Contracts
from lakehouse.settings import Settings
from local.rendering import standard_console, visible, write_csv, write_json, write_table
from local.sql import Lake
from local.statements import StatementError

WRONG_USE = 2


def run(
    *, query: str, format: Literal["table", "csv", "json"] = "table", at: Sequence[str] = (), settings: Settings
) -> None:
    """Prints the rows of a statement; `at` holds `<table>=<version>`, other tables are read at their newest version.

    A wrong statement or `at` ends the process with exit code 2 and one line. Raises LakehouseError when reading fails.
    """
    try:
        versions = dict(map(_version, at))
        with Lake(settings.root, lambda: _contracts(settings)) as lake, lake.snapshot(versions) as snapshot:
            columns, rows = snapshot.rows(query)
    except StatementError as error:
        print(f"lakehouse: {visible(str(error))}", file=sys.stderr)
        raise typer.Exit(WRONG_USE) from error
    if format == "csv":
        write_csv(columns, rows, sys.stdout)
    elif format == "json":
        write_json(rows, sys.stdout)
    else:
        write_table(columns, rows, standard_console())


def _contracts(settings: Settings) -> Contracts:
    # Imported when asked for: reading contracts takes longer than most statements.
    from lakehouse.contracts import load_contracts

    return load_contracts(settings.contracts_directory)


def _version(text: str) -> tuple[str, int]:
    table, _, version = text.partition("=")
    if not version.isdecimal():
        raise StatementError(f"--at {text}: write <layer>.<table>=<version>, such as silver.validated_pos=3")
    return table, int(version)
