"""`python -m tests.integration.writing_driver ROOT FOLDER NAME COUNT`: one driver among several.

It appends COUNT rows and adds one COUNT times to a counter, each in a commit of its own, as soon as the file FOLDER/go
is there, and asks nobody for a lease. Where another's commit comes first, it looks again and goes on from there.
"""

import sys
import time
from pathlib import Path

import pyarrow as pa

from lakehouse.delta.table import CommitConflictError, OwnedTable
from runtime.tables import open_table

ROW_COLUMNS: dict[str, pa.DataType] = {"driver": pa.string(), "number": pa.int32()}
ROWS = pa.schema(ROW_COLUMNS)
COUNTER = pa.schema([pa.field("key", pa.int32()), pa.field("value", pa.int32())])
MOST_TRIES = 60


def main() -> None:
    root, folder, name, count = sys.argv[1:]
    rows, counter = open_table(f"{root}/rows"), open_table(f"{root}/counter")
    (Path(folder) / f"{name} is ready").touch()
    while not (Path(folder) / "go").exists():
        time.sleep(0.02)
    for number in range(int(count)):
        append(rows, name, number)
        add_one(counter)


def append(table: OwnedTable, name: str, number: int) -> None:
    for _ in range(MOST_TRIES):
        try:
            table.append(pa.table({"driver": [name], "number": [number]}, ROWS), {name: number}, "")
        except CommitConflictError:
            table.refresh()
            continue
        return
    raise TimeoutError(f"{MOST_TRIES} appends in a row met another commit")


def add_one(table: OwnedTable) -> None:
    for _ in range(MOST_TRIES):
        old = table.read(COUNTER.names)
        new = pa.table({"key": [0], "value": [old["value"][0].as_py() + 1]}, COUNTER)
        try:
            table.replace_rows(old, new, COUNTER.empty_table(), ["key"], {}, "")
        except CommitConflictError:
            table.refresh()
            continue
        return
    raise TimeoutError(f"{MOST_TRIES} additions in a row met another commit")


if __name__ == "__main__":
    main()
