"""Schemas that change under running jobs: an added column goes through on its own, anything else ends the job with what
to do, and once that is done the lake is exact.

The queries of silver and gold run in a job on a folder; bronze is appended to beside them, as its query does it. Others
alter the tables with delta-rs, or as Spark's commits look.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from lakehouse.delta.table import IncompatibleTableError
from lakehouse.engine.gold import recompute
from local.oracle.deliveries import DeliveredRecord
from runtime.tables import open_table, table_exists, table_version
from streaming.job import Declaration
from tests.integration.background_job import GOLD, SILVER, BackgroundJob, crm_flow, silver_and_gold
from tests.integration.queried_lake import case, later
from tests.unit.oracle_deliveries import contact
from tests.unit.silver_lake import SilverLake

BRONZE, REJECTED = "bronze.crm", "rejected.crm"


@pytest.fixture
def lake(tmp_path: Path) -> SilverLake:
    return SilverLake(tmp_path / "lake")


@pytest.fixture
def run(
    lake: SilverLake, run_beside: Callable[[Sequence[Declaration], int], BackgroundJob]
) -> Callable[[], BackgroundJob]:
    """Starts the queries of silver and gold."""
    return lambda: run_beside(silver_and_gold(crm_flow(lake.settings, lake.contracts)), 2)


def delivery(number: int) -> list[DeliveredRecord]:
    """A case, its resolution, a correction of the delivery before, one more of it, and a record that is none."""
    first = 6 * number + 1
    hour = f"2010-12-{1 + number // 20:02}T{number % 20:02}"
    opened, resolved = case(f"o{number}", f"{hour}:00:00Z", "opened"), case(f"r{number}", f"{hour}:30:00Z", "resolved")
    for each in (opened, resolved):
        each["case_id"] = f"case {number}"
    before = f"2010-12-{1 + (number - 1) // 20:02}T{(number - 1) % 20:02}:45:00Z" if number else f"{hour}:45:00Z"
    corrected = contact(f"i{max(0, number - 1)}", before, rating=1 + number % 5)
    made = later("crm", first, opened, resolved, corrected, contact(f"i{number}", f"{hour}:45:00Z", rating=3), hours=0)
    return [*made, *later("crm", first + 4, {"interaction_id": "none"}, hours=0)]


def exact(lake: SilverLake, delivered: Sequence[DeliveredRecord]) -> bool:
    """Whether all of it is through silver and gold."""
    return through(lake, delivered) and differences(lake, delivered) == []


def through(lake: SilverLake, delivered: Sequence[DeliveredRecord]) -> bool:
    """Whether silver and rejected hold so many records, and gold has seen some."""
    if not all(table_exists(lake.layout.table(each)) for each in (SILVER, REJECTED, GOLD)):
        return False
    count = sum(rows_of(lake, each, ["record_id"]).num_rows for each in (SILVER, REJECTED))
    return count == len(delivered) and table_version(lake.layout.table(GOLD)) > 0


def differences(lake: SilverLake, delivered: Sequence[DeliveredRecord]) -> list[str]:
    """What is not as the oracle says, and gold rows that are not what a recomputation gives."""
    contract = lake.contracts[GOLD.partition(".")[2]]
    rows = rows_of(lake, GOLD, contract.column_names).to_pylist()
    recomputed = recompute(contract, {SILVER: rows_of(lake, SILVER)}, duckdb.connect()).to_pylist()
    gold_differs = ["gold is empty"] if not rows else []
    gold_differs += {str(tuple(row.values())) for row in rows} ^ {str(tuple(row.values())) for row in recomputed}
    return [*map(str, lake.compared(delivered).differences), *gold_differs]


def rows_of(lake: SilverLake, table: str, columns: Sequence[str] | None = None) -> pa.Table:
    found = open_table(lake.layout.table(table))
    return found.read(columns or found.schema.names)


def add_first(uri: str, column: str) -> None:
    """A column before the others, as `ALTER TABLE ... ADD COLUMN till BIGINT FIRST` commits it."""
    table = open_table(uri)
    metadata = dict(table._snapshot.metadata)
    schema = json.loads(metadata["schemaString"])
    schema["fields"].insert(0, {"name": column, "type": "long", "nullable": True, "metadata": {}})
    info = {"operation": "ADD COLUMNS", "operationParameters": {}, "timestamp": time.time_ns() // 1_000_000}
    actions = [{"commitInfo": info}, {"metaData": metadata | {"schemaString": json.dumps(schema)}}]
    while True:
        commit = Path(uri) / "_delta_log" / f"{table.refresh() + 1:020}.json"
        try:
            with commit.open("x") as file:
                file.write("\n".join(map(json.dumps, actions)))
            return
        except FileExistsError:
            continue  # the job was faster


def test_a_column_added_before_the_others_goes_through_under_running_jobs_without_a_restart(
    lake: SilverLake, run: Callable[[], BackgroundJob]
) -> None:
    delivered = delivery(0)
    lake.deliver(delivered)
    running = run()
    running.until(lambda: through(lake, delivered))
    for number, table in enumerate((GOLD, REJECTED, SILVER, BRONZE)):
        before, after = delivery(2 * number + 1), delivery(2 * number + 2)
        lake.deliver(before)
        add_first(lake.layout.table(table), "till")
        lake.deliver(after)
        delivered = [*delivered, *before, *after]
        time.sleep(0.5)
    running.drained()
    assert differences(lake, delivered) == []
    assert max(running.starts.values()) <= 2, "a commit of the other's may come between a look and a commit"
    for table in (BRONZE, SILVER, REJECTED, GOLD):
        assert rows_of(lake, table, ["till"])["till"].unique().to_pylist() == [None]


@dataclass(frozen=True)
class Rewrite:
    """A table rewritten with other columns: what happens to `column`, and how it is told."""

    what: str
    column: str
    now: str

    def of(self, rows: pa.Table) -> pa.Table:
        if self.what == "dropped":
            return rows.drop_columns([self.column])
        if self.what == "renamed":
            return rows.rename_columns({self.column: f"{self.column}_new"})
        kinds: dict[str, Any] = {"string": pa.string(), "bigint": pa.int64(), "binary": pa.binary()}
        place = rows.schema.get_field_index(self.column)
        return rows.set_column(place, self.column, rows[self.column].cast(kinds[self.what]))


REWRITES = {
    SILVER: (
        Rewrite("dropped", "rating", "is gone"),
        Rewrite("renamed", "rating", "is gone"),
        Rewrite("string", "rating", "is string instead of int"),
        Rewrite("bigint", "rating", "is bigint instead of int"),
    ),
    REJECTED: (
        Rewrite("dropped", "batch_number", "is gone"),
        Rewrite("string", "batch_number", "is string instead of bigint"),
    ),
    GOLD: (
        Rewrite("dropped", "contributions", "is gone"),
        Rewrite("string", "contributions", "is string instead of bigint"),
    ),
}


@pytest.mark.parametrize("table", REWRITES)
def test_a_table_rewritten_with_other_columns_ends_its_job_and_goes_on_exact_once_it_is_brought_back(
    lake: SilverLake, run: Callable[[], BackgroundJob], table: str
) -> None:
    delivered = delivery(0)
    lake.deliver(delivered)
    uri = lake.layout.table(table)
    for number, rewrite in enumerate(REWRITES[table], 1):
        running = run()
        running.until(lambda: exact(lake, delivered))  # noqa: B023
        version = table_version(uri)
        overwrite(lake, table, rewrite)
        lake.deliver(delivery(number))
        delivered = [*delivered, *delivery(number)]
        running.ended()
        assert isinstance(running.failure, IncompatibleTableError), running.failure
        assert str(running.failure) == (
            f"{uri}: column {rewrite.column} {rewrite.now} since version {version + 1}, which no job of the lake "
            f"wrote: bring it back with RESTORE TABLE delta.`{uri}` TO VERSION AS OF {version} (docs/operating.md)"
        )
        again = run()
        again.ended()
        assert str(again.failure) == str(running.failure), "a job that starts anew says the same"
        DeltaTable(uri).restore(version)
    run().drained()
    assert differences(lake, delivered) == []


def test_bronze_cannot_be_rewritten_and_its_readers_go_on(lake: SilverLake, run: Callable[[], BackgroundJob]) -> None:
    delivered = delivery(0)
    lake.deliver(delivered)
    running = run()
    running.until(lambda: exact(lake, delivered))
    for what in ("dropped", "renamed", "binary"):
        with pytest.raises(DeltaError, match="append-only"):
            overwrite(lake, BRONZE, Rewrite(what, "payload", ""))
    lake.deliver(delivery(1))
    running.drained()
    assert running.starts == {"silver": 1, "gold": 1}
    assert differences(lake, [*delivered, *delivery(1)]) == []


def overwrite(lake: SilverLake, table: str, rewrite: Rewrite) -> None:
    """Puts other rows in place of the table's, columns and all, as a person does it."""
    found = open_table(lake.layout.table(table))
    rows = rewrite.of(found.read(found.schema.names))
    write_deltalake(found.uri, rows, mode="overwrite", schema_mode="overwrite", partition_by=found.partitions)
