"""Undeclared fields: named where the name can be told, counted once, listed with when they came."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import CommitProperties, write_deltalake

from lakehouse.drift import counted, told
from lakehouse.errors import LakehouseError
from lakehouse.layout import Layout
from lakehouse.settings import Settings
from local.commands import drift as command
from runtime.lineage import Counts, Lineage, TableInput


@pytest.mark.parametrize("name", ["utm_term", "_id", "a.b", "X-Forwarded-For", "line2", "v2024"])
def test_what_looks_like_a_name_is_told(name: str) -> None:
    assert told(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "erika@example.com",
        "4111111111111111",
        "c4111111111111111",
        "+4915112345678",
        "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
        "a b",
        "<b>",
        "x\n",
        "\u0430\u0431",
    ],
)
def test_what_may_be_a_value_is_not_told(name: str) -> None:
    assert told(name) == "(no name)"


def test_fields_are_counted_and_the_most_frequent_kept() -> None:
    names = [f"f{number}" for number in range(150)] + ["f149", "a@b", "c@d", "e@f"]
    drift = counted(names)
    assert len(drift) == 100
    assert list(drift.items())[:3] == [("(no name)", 3), ("f149", 2), ("f0", 1)]


def commit(root: Path, table: str, batch: int, drift: dict[str, int], of: str = "bronze.pos") -> None:
    lineage = Lineage("silver", "validated_pos", batch, "c", "1", (TableInput(of, batch, batch),), Counts(), drift)
    properties = CommitProperties(custom_metadata={"userMetadata": lineage.to_json()})
    write_deltalake(Layout(str(root)).table(table), pa.table({"a": [1]}), mode="append", commit_properties=properties)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Batch 0 wrote to both tables, batch 1 to rejected alone, batch 2 to silver alone; then there was a redrive."""
    commit(tmp_path, "rejected.pos", 0, {"utm": 2, "colour": 1})
    commit(tmp_path, "silver.validated_pos", 0, {"utm": 2, "colour": 1})
    commit(tmp_path, "rejected.pos", 1, {"utm": 5})
    commit(tmp_path, "silver.validated_pos", 2, {"colour": 1})
    commit(tmp_path, "silver.validated_pos", 0, {"utm": 2}, of="rejected.pos")
    return tmp_path


def test_each_record_counts_once(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.run(source="pos", commits=100, json=True, settings=Settings(root=str(root)))
    listed = json.loads(capsys.readouterr().out)
    assert [(each["source"], each["field"], each["records"]) for each in listed] == [
        ("pos", "utm", 7),
        ("pos", "colour", 2),
    ]
    assert all(each["first"] <= each["last"] for each in listed)


def test_the_table_says_it_for_people(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.run(source=None, commits=100, json=False, settings=Settings(root=str(root)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].replace("┃", "│").split() == "source │ field │ records │ first judged │ last judged".split()
    assert [line.split()[:5] for line in lines[2:]] == [["pos", "│", "utm", "│", "7"], ["pos", "│", "colour", "│", "2"]]


def test_no_drift_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.run(source="crm", commits=1, json=False, settings=Settings(root=str(tmp_path)))
    assert capsys.readouterr().out == "No record had a field that its contract does not declare.\n"


def test_a_source_that_no_contract_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LakehouseError, match="there is no contract 'tills'"):
        command.run(source="tills", commits=1, json=False, settings=Settings(root=str(tmp_path)))
