"""A lake that the release before this one wrote, with its checkpoints, goes on without being made anew.

`earlier_lake.tar.gz` was written by release 0.1.0 (commit 0112dba): files and events in all layers, then a second wave
of tills, events and interactions that only bronze has: among them a late event, corrections, and unknown stores.
"""

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from lakehouse.contracts import load_contracts
from lakehouse.kpi_tables import TABLES
from lakehouse.layout import Layout
from lakehouse.settings import CONTRACTS, Settings
from runtime.tables import open_table
from streaming.layers import flow_of

ARCHIVE = Path(__file__).with_name("earlier_lake.tar.gz")
FILES = ("pos", "inventory", "campaigns", "stores", "warehouses", "products")
CONTRACT = load_contracts(CONTRACTS)


def unpacked(folder: Path) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder / "lake"


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    return unpacked(tmp_path)


def go_on(root: Path) -> None:
    """What the silver and the gold query do."""
    flow = flow_of(Settings(root=str(root), state_directory=root), CONTRACT)
    flow.follow_bronze()
    flow.follow_silver()


def content(root: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of silver, rejected and gold; of rejected what does not tell of the batch."""
    layout = Layout(str(root))
    found = {}
    for name in CONTRACT.tables:
        layer = name.partition(".")[0]
        if layer == "bronze":
            continue
        columns = ["record_id", "rule", "column", "value"] if layer == "rejected" else CONTRACT.table(name).column_names
        rows = open_table(layout.table(name)).read(columns).to_pylist()
        found[name] = sorted(rows, key=lambda row: json.dumps(row, default=str, sort_keys=True))
    return found


@pytest.fixture(scope="module")
def made_anew(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """What the same bronze tables become without anything that the earlier release computed."""
    folder = tmp_path_factory.mktemp("anew")
    shutil.copytree(unpacked(folder) / "bronze", folder / "anew" / "bronze")
    go_on(folder / "anew")
    return content(folder / "anew")


def silver_tables(root: Path) -> dict[str, tuple[str, int]]:
    """The id of each silver table and the number of versions that it had."""
    layout, found = Layout(str(root)), {}
    for source in CONTRACT.sources:
        name = f"silver.{CONTRACT.silver_of(source).name}"
        table = open_table(layout.table(name))
        found[name] = table.id, table.version
    return found


def test_it_goes_on_where_it_was(earlier: Path, made_anew: dict[str, list[dict[str, Any]]]) -> None:
    before = silver_tables(earlier)
    go_on(earlier)
    after = silver_tables(earlier)
    assert content(earlier) == made_anew
    assert {name: table_id for name, (table_id, _) in after.items()} == {
        name: each for name, (each, _) in before.items()
    }
    assert made_anew["silver.sessionized_web_logs"], "the lake has events"
    assert all(made_anew[f"gold.{table}"] for table in TABLES), "the lake has KPIs"


@pytest.mark.parametrize("source", CONTRACT.sources)
def test_a_batch_that_died_at_its_end_is_known_to_have_happened_or_is_repeated(
    earlier: Path, made_anew: dict[str, list[dict[str, Any]]], source: str
) -> None:
    """The earlier release died before Spark noted the batch's end. With a commit in silver it has happened; a batch
    that was rejected whole has none, and its rows are taken out before it is repeated.
    """
    checkpoint = Path(Layout(str(earlier)).checkpoint("silver", CONTRACT.silver_of(source).name))
    for note in (checkpoint / "commits").iterdir():
        note.unlink()
    go_on(earlier)
    assert content(earlier) == made_anew


@pytest.mark.parametrize("source", ["pos", "web_logs"])
def test_of_a_version_of_bronze_that_was_taken_in_by_half_only_the_rest_is_taken_in(
    earlier: Path, made_anew: dict[str, list[dict[str, Any]]], source: str
) -> None:
    """An offset may end within a version: what silver and rejected have of it is left out."""
    checkpoint = Path(Layout(str(earlier)).checkpoint("silver", CONTRACT.silver_of(source).name))
    offsets = checkpoint / "offsets" / "0"
    *head, last = offsets.read_text().splitlines()
    offset = json.loads(last)
    within = offset | {"reservoirVersion": offset["reservoirVersion"] - 1, "index": 0}
    offsets.write_text("\n".join([*head, json.dumps(within)]))
    go_on(earlier)
    assert content(earlier) == made_anew
