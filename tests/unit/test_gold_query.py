"""The gold queries on a small lake in a folder: exactly once through crashes, and built anew when they must be."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pytest
from delta.tables import DeltaTable
from pyspark.errors import StreamingQueryException
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import to_arrow_schema

from lakehouse import gold
from lakehouse.contracts import Contracts, load_contracts
from lakehouse.kpis import KPIS
from lakehouse.layout import Layout
from lakehouse.schemas import struct_type
from lakehouse.settings import CONTRACTS, Settings
from runtime.commits import code_version
from runtime.lineage import Counts, Lineage, TableInput, read_lineage
from runtime.manifests import CataloguedPartitions
from runtime.tables import ensure_table, table_version
from streaming import gold as query

SILVER_PROPERTIES = {"delta.enableChangeDataFeed": "true", "delta.enableDeletionVectors": "true"}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CRM, SPEND, WEB = "silver.customer_interactions", "silver.campaign_spend", "silver.sessionized_web_logs"
INSIGHTS, FUNNEL = "customer_insights", "marketing_funnel"


class Lake:
    """Silver tables that a test fills and changes, and the gold tables that the queries make of them."""

    def __init__(self, spark: SparkSession, root: Path) -> None:
        self.spark = spark
        self.settings = Settings(root=str(root))
        self.layout = Layout(str(root))
        self.contracts: Contracts = load_contracts(CONTRACTS)

    def append(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        schema = struct_type(self.contracts.table(table))
        uri = self.layout.table(table)
        ensure_table(self.spark, uri, schema, self.contracts.table(table).partitions, SILVER_PROPERTIES)
        frame = self.spark.createDataFrame(pa.Table.from_pylist([*rows], to_arrow_schema(schema)), schema)
        frame.write.format("delta").mode("append").save(uri)

    def change(self, table: str, statement: str) -> None:
        """Runs an UPDATE or DELETE, in which `{table}` stands for the table."""
        self.spark.sql(statement.replace("{table}", f"delta.`{self.layout.table(table)}`"))

    def drain(self, table: str) -> None:
        """Starts the query, lets it read all that is there, and stops it."""
        running = query.start(self.spark, self.settings, self.contracts, table, {"availableNow": True})
        running.awaitTermination()

    def rows(self, table: str) -> list[str]:
        columns = self.contracts[table].column_names
        frame = self.spark.read.format("delta").load(self.layout.table(f"gold.{table}"))
        return sorted(str(tuple(row)) for row in frame.select(*columns).collect())

    def recomputed(self, table: str) -> list[str]:
        silver = {
            source: self.spark.read.format("delta").load(self.layout.table(source)) for source in gold.sources_of(table)
        }
        frame = gold.recompute(self.contracts[table], silver)
        return sorted(str(tuple(row)) for row in frame.collect())

    def version(self, table: str) -> int:
        return table_version(self.spark, self.layout.table(f"gold.{table}"))

    def log(self, table: str, version: int) -> list[dict[str, Any]]:
        path = Path(self.layout.table(f"gold.{table}")) / "_delta_log" / f"{version:020}.json"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def restore(self, table: str, version: int) -> None:
        DeltaTable.forPath(self.spark, self.layout.table(f"gold.{table}")).restoreToVersion(version)

    def generation(self, table: str) -> str:
        detail = DeltaTable.forPath(self.spark, self.layout.table(f"gold.{table}")).detail().first()
        assert detail is not None
        return str(detail["properties"][query.FINGERPRINT])

    def checkpoint(self, table: str) -> Path:
        return Path(self.layout.checkpoint("gold", table)) / self.generation(table)


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lake:
    return Lake(spark, tmp_path / "lake")


def contact(number: int, kind: str = "complaint", **columns: Any) -> dict[str, Any]:
    row = {"interaction_id": f"i{number}", "interaction_type": kind, "type": kind, "event_time": NOON}
    return row | {"region": "global", "month": "2026-03", "rating": 3, "channel": "mail"} | columns


def resolved(number: int, seconds: str) -> dict[str, Any]:
    return contact(number, resolution_seconds=Decimal(seconds))


def purchase(number: int, campaign: str | None) -> dict[str, Any]:
    row: dict[str, Any] = {"event_id": f"e{number}", "event_type": "purchase", "type": "purchase", "event_time": NOON}
    row |= {"region": "uk", "month": "2026-03", "session_started_at": NOON, "position": 1, "order_value": Decimal(100)}
    return row | {"last_touch_campaign": campaign}


def spend(campaign: str, amount: int) -> dict[str, Any]:
    row = {"campaign_id": campaign, "date": date(2026, 3, 1), "spend": Decimal(amount)}
    return row | {"region": "global", "month": "2026-03", "type": "search"}


def test_inserts_updates_and_deletes_of_two_silver_tables_keep_gold_equal_to_a_recomputation(lake: Lake) -> None:
    lake.append(WEB, [purchase(1, "C1"), purchase(2, "C2"), purchase(3, None)])
    lake.append(SPEND, [spend("C1", 50), spend("C3", 10)])
    lake.drain(FUNNEL)
    first = lake.rows(FUNNEL)
    assert first == lake.recomputed(FUNNEL)
    lake.change(WEB, "UPDATE {table} SET last_touch_campaign = 'C3' WHERE event_id = 'e3'")
    lake.change(SPEND, "DELETE FROM {table} WHERE campaign_id = 'C1'")
    lake.append(SPEND, [spend("C2", 25)])
    lake.drain(FUNNEL)
    assert lake.rows(FUNNEL) == lake.recomputed(FUNNEL) != first


def test_percentiles_are_of_the_version_that_the_batch_has_read(lake: Lake) -> None:
    lake.append(CRM, [resolved(1, "10"), resolved(2, "20"), resolved(3, "30")])
    lake.drain(INSIGHTS)
    lake.change(CRM, "UPDATE {table} SET resolution_seconds = 40 WHERE interaction_id = 'i1'")
    lake.change(CRM, "UPDATE {table} SET resolution_seconds = 0 WHERE interaction_id = 'i3'")
    lake.append(CRM, [contact(4, kind="loyalty", channel=None, rating=None)])
    lake.drain(INSIGHTS)
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)
    lake.change(CRM, "DELETE FROM {table}")
    lake.drain(INSIGHTS)
    assert lake.rows(INSIGHTS) == []


def test_a_batch_whose_end_was_not_noted_is_not_merged_again(lake: Lake) -> None:
    """Death after the merge, before Spark notes the batch as done: the same batch comes once more."""
    lake.append(CRM, [contact(1), resolved(2, "5")])
    lake.drain(INSIGHTS)
    merged, version = lake.rows(INSIGHTS), lake.version(INSIGHTS)
    for noted in (lake.checkpoint(INSIGHTS) / "commits").glob("*0*"):
        noted.unlink()
    lake.append(CRM, [contact(3)])
    lake.drain(INSIGHTS)
    assert merged != lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)
    assert lake.version(INSIGHTS) == version + 1


@pytest.mark.parametrize("after", ["sums", "merge"])
def test_a_failure_before_or_after_the_merge_loses_and_doubles_nothing(
    lake: Lake, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge_into: Callable[..., None] = query.merge_into

    def fail(*arguments: Any) -> None:
        if after == "merge":
            merge_into(*arguments)
        raise RuntimeError("killed here")

    lake.append(CRM, [contact(1), resolved(2, "5")])
    lake.drain(INSIGHTS)
    lake.append(CRM, [contact(3), resolved(4, "6")])
    with monkeypatch.context() as patch:
        patch.setattr(query, "merge_into", fail)
        with pytest.raises(StreamingQueryException, match="killed here"):
            lake.drain(INSIGHTS)
    lake.drain(INSIGHTS)
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)


def test_a_change_that_counts_nowhere_makes_no_commit(lake: Lake) -> None:
    lake.append(CRM, [contact(1)])
    lake.drain(INSIGHTS)
    version = lake.version(INSIGHTS)
    lake.change(CRM, "UPDATE {table} SET message_excerpt = 'thanks'")
    lake.drain(INSIGHTS)
    assert lake.version(INSIGHTS) == version


def test_commits_say_which_silver_versions_they_are_made_of(lake: Lake) -> None:
    lake.append(WEB, [purchase(1, "C1")])
    lake.append(SPEND, [spend("C1", 50)])
    lake.drain(FUNNEL)
    lake.append(SPEND, [spend("C2", 50)])
    lake.change(SPEND, "DELETE FROM {table} WHERE campaign_id = 'C1'")
    lake.drain(FUNNEL)
    commit = lake.log(FUNNEL, lake.version(FUNNEL))
    assert read_lineage(next(each["commitInfo"]["userMetadata"] for each in commit if "commitInfo" in each)) == Lineage(
        job="gold",
        query=FUNNEL,
        batch=1,
        code=code_version(),
        contract=lake.contracts[FUNNEL].version,
        inputs=(TableInput(SPEND, 2, 3),),
        counts=Counts(read=2),
    )
    checkpoint = json.loads((lake.checkpoint(FUNNEL) / "metadata").read_text())["id"]
    written = [(each["txn"]["appId"], each["txn"]["version"]) for each in commit if "txn" in each]
    assert written == [(f"{checkpoint}:gold.{FUNNEL}", 1)]


def test_a_changed_declaration_builds_the_table_anew_on_a_new_checkpoint(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.append(CRM, [contact(1), resolved(2, "5")])
    lake.drain(INSIGHTS)
    before = lake.generation(INSIGHTS)
    changed = tuple(replace(kpi, description="new") if kpi.name == "feedback_score" else kpi for kpi in KPIS)
    with monkeypatch.context() as patch:
        patch.setattr(gold, "KPIS", changed)
        lake.drain(INSIGHTS)
        assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)
        between = lake.generation(INSIGHTS)
    lake.append(CRM, [contact(3)])
    lake.drain(INSIGHTS)
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)
    after = lake.generation(INSIGHTS)
    assert [each.rpartition("-")[2] for each in (before, between, after)] == ["1", "2", "3"]
    assert before.rpartition("-")[0] == after.rpartition("-")[0] != between.rpartition("-")[0]


LOST = [
    "everything",
    "metadata",
    "offsets",
    "half of metadata",
    "half of offsets/1",
    "half of commits/1",
    "since yesterday",
    "a version of the table",
]


@pytest.mark.parametrize("lost", LOST)
def test_a_lost_or_damaged_checkpoint_builds_the_table_anew(lake: Lake, tmp_path: Path, lost: str) -> None:
    lake.append(CRM, [contact(1), resolved(2, "5")])
    lake.drain(INSIGHTS)
    before, checkpoint = lake.generation(INSIGHTS), lake.checkpoint(INSIGHTS)
    shutil.copytree(checkpoint, tmp_path / "yesterday")
    lake.append(CRM, [resolved(3, "6")])
    lake.drain(INSIGHTS)
    if lost == "everything":
        shutil.rmtree(checkpoint)
    elif lost == "metadata":
        (checkpoint / "metadata").unlink()
    elif lost == "offsets":
        shutil.rmtree(checkpoint / "offsets")
    elif lost == "since yesterday":
        shutil.rmtree(checkpoint)
        shutil.copytree(tmp_path / "yesterday", checkpoint)
    elif lost == "a version of the table":
        lake.restore(INSIGHTS, lake.version(INSIGHTS) - 1)
    else:
        damaged = checkpoint / lost.removeprefix("half of ")
        damaged.write_bytes(damaged.read_bytes()[:-4])
    lake.append(CRM, [contact(4)])
    lake.drain(INSIGHTS)
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS) != []
    after = lake.generation(INSIGHTS)
    assert after != before
    lake.drain(INSIGHTS)
    assert lake.generation(INSIGHTS) == after, "built anew once"


def test_a_table_restored_between_two_batches_stops_the_query_and_is_built_anew(lake: Lake) -> None:
    lake.append(CRM, [contact(1)])
    running = query.start(lake.spark, lake.settings, lake.contracts, INSIGHTS, {"processingTime": "0 seconds"})
    try:
        running.processAllAvailable()
        lake.append(CRM, [contact(2)])
        running.processAllAvailable()
        before, newest = lake.generation(INSIGHTS), lake.version(INSIGHTS)
        lake.restore(INSIGHTS, newest - 1)
        lake.append(CRM, [contact(3)])
        with pytest.raises(StreamingQueryException, match=f"was restored to an older .* VERSION AS OF {newest} "):
            running.processAllAvailable()
    finally:
        running.stop()
    lake.drain(INSIGHTS)
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS) != []
    assert lake.generation(INSIGHTS) != before


def test_a_start_that_dies_after_emptying_the_table_goes_on_from_there(lake: Lake) -> None:
    lake.append(CRM, [contact(1)])
    lake.drain(INSIGHTS)
    shutil.rmtree(lake.checkpoint(INSIGHTS))
    table = query.GoldTable(lake.settings, lake.contracts, INSIGHTS)
    emptied = table.prepare(lake.spark)
    assert lake.rows(INSIGHTS) == []
    assert table.prepare(lake.spark) == emptied
    lake.drain(INSIGHTS)
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS) != []
    assert str(lake.checkpoint(INSIGHTS)) == emptied


def test_a_silver_table_that_was_made_anew_builds_gold_anew(lake: Lake) -> None:
    lake.append(CRM, [contact(1)])
    lake.drain(INSIGHTS)
    shutil.rmtree(lake.layout.table(CRM))
    lake.append(CRM, [contact(7, kind="loyalty")])
    lake.drain(INSIGHTS)
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)


def test_a_column_added_to_silver_leaves_gold_as_it_is(lake: Lake) -> None:
    lake.append(CRM, [contact(1)])
    lake.drain(INSIGHTS)
    before = lake.generation(INSIGHTS)
    lake.change(CRM, "ALTER TABLE {table} ADD COLUMN sentiment string")
    lake.change(CRM, "UPDATE {table} SET sentiment = 'calm', rating = 5")
    lake.drain(INSIGHTS)
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)
    assert lake.generation(INSIGHTS) == before


def test_a_missing_silver_table_is_named(lake: Lake) -> None:
    lake.append(WEB, [purchase(1, "C1")])
    with pytest.raises(query.MissingSilverTableError, match=r"gold\.marketing_funnel reads silver\.campaign_spend"):
        lake.drain(FUNNEL)


def test_manifests_list_the_files_of_the_table_when_they_are_asked_for(lake: Lake) -> None:
    lake.append(CRM, [contact(1)])
    lake.drain(INSIGHTS)
    lake.settings = lake.settings.model_copy(update={"symlink_manifests": True})
    lake.append(CRM, [contact(2)])
    lake.drain(INSIGHTS)
    root = Path(lake.layout.table(f"gold.{INSIGHTS}"))
    listed = {
        Path(urlsplit(line).path).relative_to(root).as_posix()
        for manifest in (root / "_symlink_format_manifest").rglob("manifest")
        for line in manifest.read_text().split()
    }
    present = lake.spark.read.format("delta").load(str(root)).inputFiles()
    assert listed == {Path(urlsplit(each).path).relative_to(root).as_posix() for each in present} != set()


def test_the_catalog_is_asked_at_the_start_and_after_commits_only(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    updates: list[int] = []
    told = SimpleNamespace(update=lambda: updates.append(lake.version(INSIGHTS)))
    monkeypatch.setattr(CataloguedPartitions, "of", lambda settings, contract, uri: told)
    lake.append(CRM, [contact(1)])
    lake.drain(INSIGHTS)
    assert updates == [0, 1], "of the new table, and of its first batch"
    lake.change(CRM, "UPDATE {table} SET message_excerpt = 'thanks'")
    lake.drain(INSIGHTS)
    assert updates == [0, 1, 1], "the start alone: what died after a commit had told the catalog nothing"
