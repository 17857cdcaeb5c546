"""The lake's tables where they lie; how they follow their contracts is in `test_delta_schema.py` and
`test_schema_matrix.py`.
"""

from pathlib import Path

import pyarrow as pa
import pytest

from lakehouse.contracts import load_contracts
from lakehouse.delta.table import MissingTableError
from lakehouse.layout import Layout
from lakehouse.settings import CONTRACTS, Settings
from runtime.delta_log import DeltaLog
from runtime.tables import ensure_table, open_log, open_table, read_version, table_exists, table_version
from streaming.references import References
from streaming.silver import SilverTable
from tests.unit.oracle_deliveries import contact, records
from tests.unit.silver_lake import with_references

SCHEMA = pa.schema([pa.field("id", pa.int64()), pa.field("at", pa.timestamp("us", "UTC"))])


def files(folder: Path) -> dict[str, int]:
    """The data files with their time of change: a rewrite would show in either."""
    return {str(each.relative_to(folder)): each.stat().st_mtime_ns for each in folder.rglob("*.parquet")}


def test_a_column_of_a_contract_appears_in_its_silver_table_at_the_next_start(tmp_path: Path) -> None:
    """As an engineer does it: one column more in the file of the source, then the job starts again."""
    lake = with_references(tmp_path / "lake")
    lake.process(records("crm", contact("i1", "2010-12-01T09:00:00Z")), 0)
    folder = Path(lake.layout.table("silver.customer_interactions"))
    before = files(folder)
    contracts = tmp_path / "contracts"
    contracts.mkdir()
    for file in CONTRACTS.glob("*.odcs.yaml"):
        (contracts / file.name).write_text(file.read_text())
    crm = contracts / "crm.odcs.yaml"
    crm.write_text(
        crm.read_text().replace(
            "      - name: message_excerpt\n",
            "      - name: mood\n"
            "        logicalType: string\n"
            "        physicalType: string\n"
            "        classification: internal\n"
            "        description: How the customer sounded.\n"
            "      - name: message_excerpt\n",
        )
    )
    changed = load_contracts(contracts)
    settings = Settings(root=str(lake.settings.root), contracts_directory=contracts)
    table = SilverTable(settings, changed, "crm", References(changed, Layout(settings.root)))

    table.ensure()
    kept = files(folder)
    later = records("crm", contact("i1", "2010-12-01T09:00:00Z"), contact("i2", "2010-12-01T10:00:00Z", mood="calm"))
    lake.tables["crm"] = table
    lake.process(later[1:], 1)

    assert kept == before
    rows = {row["interaction_id"]: row for row in lake.content("crm").silver.values()}
    assert {name: row["mood"] for name, row in rows.items()} == {"i1": None, "i2": "calm"}


def test_a_folder_without_a_table_is_none(tmp_path: Path) -> None:
    uri = str(tmp_path / "nothing")
    assert not table_exists(uri)
    assert table_version(uri) == -1
    assert DeltaLog(str(tmp_path), "silver.nothing").newest() is None
    for look in (open_table, open_log):
        with pytest.raises(MissingTableError, match="nothing"):
            look(uri)
    assert not Path(uri).exists(), "a look makes nothing"


def test_an_older_version_is_read_with_the_types_of_the_table(tmp_path: Path) -> None:
    table = ensure_table(str(tmp_path / "t"), SCHEMA, [], {})
    for number in (1, 2):
        table.append(pa.table({"id": [number], "at": [number]}).cast(SCHEMA), {}, "")
    assert [read_version(table.uri, version)["id"].to_pylist() for version in (0, 1)] == [[], [1]]
    assert set(read_version(table.uri, 2)["id"].to_pylist()) == {1, 2}
    assert read_version(table.uri, 2).schema.equals(SCHEMA)
    assert table_version(table.uri) == 2
