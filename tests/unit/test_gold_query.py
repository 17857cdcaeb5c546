"""The gold tables of a small lake in a folder: exactly once through failures, and built anew when they must be."""

import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, Field, write_deltalake
from deltalake.schema import PrimitiveType

from lakehouse import kpi_tables
from lakehouse.contracts import Contracts, load_contracts
from lakehouse.delta.table import CommitConflictError, IncompatibleTableError, OwnedTable
from lakehouse.engine.gold import UnsupportedRowsError, recompute
from lakehouse.engine.schemas import arrow_schema
from lakehouse.kpis import KPIS
from lakehouse.layout import Layout
from lakehouse.settings import CONTRACTS, Settings
from runtime.commits import code_version
from runtime.lineage import Counts, Lineage, TableInput, read_lineage
from runtime.manifests import CataloguedPartitions
from streaming import gold as query
from streaming.gold_fit import FINGERPRINT
from streaming.gold_sources import SilverSource
from streaming.handover import Handed

SILVER_PROPERTIES = {"delta.enableDeletionVectors": "true"}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CRM, SPEND, WEB = "silver.customer_interactions", "silver.campaign_spend", "silver.sessionized_web_logs"
INSIGHTS, FUNNEL = "customer_insights", "marketing_funnel"
KEYS = {CRM: "interaction_id", SPEND: "campaign_id", WEB: "event_id"}


class Lake:
    """Silver tables that a test fills and changes, and the gold tables that are made of them."""

    def __init__(self, root: Path) -> None:
        self.settings = Settings(root=str(root))
        self.layout = Layout(str(root))
        self.contracts: Contracts = load_contracts(CONTRACTS)

    def silver(self, table: str) -> OwnedTable:
        contract = self.contracts.table(table)
        schema = arrow_schema(contract)
        return OwnedTable.ensure(self.layout.table(table), schema, contract.partitions, SILVER_PROPERTIES)

    def append(self, table: str, rows: Sequence[Mapping[str, Any]]) -> Handed:
        """Commits new rows, and gives them as silver hands them over."""
        return self.change(table, {}, rows)

    def change(self, table: str, updates: Mapping[str, Any], inserts: Sequence[Mapping[str, Any]] = ()) -> Handed:
        """One commit: `updates` maps the key of a row that is there to columns that change; None deletes it."""
        target = self.silver(table)
        there = {row[KEYS[table]]: row for row in target.read(target.schema.names).to_pylist()}
        old = [there[key] for key in updates]
        new = [there[key] | columns for key, columns in updates.items() if columns is not None]
        images = [pa.Table.from_pylist([*rows], target.schema) for rows in (old, new, inserts)]
        if updates:
            version = target.replace_rows(images[0], images[1], images[2], [KEYS[table]], {}, "{}")
        else:
            version = target.append(images[2], {}, "{}")
        signs = [pa.array([sign] * len(rows), pa.int8()) for sign, rows in zip((-1, 1, 1), images, strict=True)]
        signed = [rows.append_column("_sign", sign) for rows, sign in zip(images, signs, strict=True)]
        return Handed(table, target.id, version, version, pa.concat_tables(signed))

    def gold(self, table: str) -> query.GoldTable:
        """As a new process sees it."""
        return query.GoldTable(self.settings, self.contracts, table)

    def drain(self, table: str) -> None:
        """A process starts, takes in all that is there, and ends."""
        target = self.gold(table)
        target.ensure()
        target.follow()

    def owned(self, table: str) -> OwnedTable:
        return OwnedTable.open(self.layout.table(f"gold.{table}"))

    def rows(self, table: str) -> list[str]:
        return shown(self.owned(table).read(self.contracts[table].column_names))

    def recomputed(self, table: str) -> list[str]:
        silver = {}
        for source in kpi_tables.sources_of(table):
            target = self.silver(source)
            silver[source] = target.read(target.schema.names)
        return shown(recompute(self.contracts[table], silver, duckdb.connect()))

    def version(self, table: str) -> int:
        return self.owned(table).version

    def log(self, table: str, version: int) -> list[dict[str, Any]]:
        path = Path(self.layout.table(f"gold.{table}")) / "_delta_log" / f"{version:020}.json"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def lineage(self, table: str, version: int) -> Lineage | None:
        actions = self.log(table, version)
        return read_lineage(next(each["commitInfo"].get("userMetadata") for each in actions if "commitInfo" in each))

    def by_hand(self, table: str) -> DeltaTable:
        """The gold table as somebody else writes it."""
        return DeltaTable(self.layout.table(f"gold.{table}"))


def shown(rows: pa.Table) -> list[str]:
    return sorted(str(tuple(row.values())) for row in rows.to_pylist())


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


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
    lake.change(WEB, {"e3": {"last_touch_campaign": "C3"}})
    lake.change(SPEND, {"C1": None}, [spend("C2", 25)])
    lake.drain(FUNNEL)
    assert lake.rows(FUNNEL) == lake.recomputed(FUNNEL) != first


def test_percentiles_are_of_the_version_that_the_batch_has_read(lake: Lake) -> None:
    lake.append(CRM, [resolved(1, "10"), resolved(2, "20"), resolved(3, "30")])
    lake.drain(INSIGHTS)
    lake.change(CRM, {"i1": {"resolution_seconds": Decimal(40)}})
    pinned = lake.recomputed(INSIGHTS)
    lake.change(CRM, {"i3": {"resolution_seconds": Decimal(0)}})
    lake.append(CRM, [contact(4, kind="loyalty", channel=None, rating=None)])
    lake.settings = lake.settings.model_copy(update={"silver_batch_bytes": 1})
    table = lake.gold(INSIGHTS)
    table.follow(stopped=iter([False, True]).__next__)
    assert lake.rows(INSIGHTS) == pinned, "one version of silver, though there are more"
    table.follow()
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS) != pinned
    lake.change(CRM, dict.fromkeys(["i1", "i2", "i3", "i4"]))
    lake.drain(INSIGHTS)
    assert lake.rows(INSIGHTS) == []


@pytest.mark.parametrize("pause", ["none", "a restart"])
def test_what_is_handed_over_counts_once(lake: Lake, pause: str) -> None:
    """In memory and then in the log, or after a version that only the log has."""
    lake.append(CRM, [contact(1)])
    table = lake.gold(INSIGHTS)
    table.follow()
    handed = lake.append(CRM, [contact(2), resolved(3, "5")])
    assert table.follow({CRM: handed})
    version = lake.version(INSIGHTS)
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)
    if pause == "a restart":
        table = lake.gold(INSIGHTS)
    assert not table.follow({CRM: handed})
    assert not table.follow()
    assert lake.version(INSIGHTS) == version
    missed = lake.append(CRM, [contact(4)])
    assert table.follow({CRM: lake.change(CRM, {"i4": {"rating": 1}, "i2": None})})
    assert missed.last == handed.last + 1
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)


def test_what_is_handed_over_is_not_read_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.append(WEB, [purchase(1, "C1")])
    lake.append(SPEND, [spend("C1", 50)])
    table = lake.gold(FUNNEL)
    table.follow()
    handed = lake.append(WEB, [purchase(2, "C2")])
    monkeypatch.setattr(SilverSource, "changes", None)
    assert table.follow({WEB: handed})
    assert lake.rows(FUNNEL) == lake.recomputed(FUNNEL)


def test_what_another_table_of_the_same_name_hands_over_is_not_taken(lake: Lake) -> None:
    lake.append(CRM, [contact(1)])
    table = lake.gold(INSIGHTS)
    table.follow()
    handed = lake.append(CRM, [contact(2)])
    assert table.follow({CRM: replace(handed, table_id="another", rows=handed.rows.slice(0, 0))})
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)


POINTS = ["gold.started", "gold.before_merge", "gold.after_merge", "gold.done", "gold.replaced"]


@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("point", POINTS)
def test_a_failure_anywhere_loses_and_doubles_nothing(
    lake: Lake, point: str, restart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> None:
        if name == point:
            raise RuntimeError("killed here")

    lake.append(CRM, [contact(1), resolved(2, "5")])
    table = lake.gold(INSIGHTS)
    if point != "gold.replaced":
        table.follow()
    handed = lake.append(CRM, [contact(3), resolved(4, "6")])
    with monkeypatch.context() as patch:
        patch.setattr(query, "failpoint", fail)
        with pytest.raises(RuntimeError, match="killed here"):
            table.follow({CRM: handed})
    if restart:
        table = lake.gold(INSIGHTS)
    table.follow()
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)
    version = lake.version(INSIGHTS)
    assert not table.follow()
    assert lake.version(INSIGHTS) == version


def test_a_change_that_counts_nowhere_moves_no_row_and_says_how_far_the_table_came(lake: Lake) -> None:
    lake.append(CRM, [contact(1)])
    lake.drain(INSIGHTS)
    version = lake.version(INSIGHTS)
    silver = lake.change(CRM, {"i1": {"message_excerpt": "thanks"}})
    lake.drain(INSIGHTS)
    assert lake.version(INSIGHTS) == version + 1
    assert {kind for action in lake.log(INSIGHTS, version + 1) for kind in action} == {"commitInfo", "txn"}
    assert lake.owned(INSIGHTS).transaction(f"{CRM}@{silver.table_id}") == silver.last


def test_versions_without_rows_make_no_commit(lake: Lake) -> None:
    lake.append(CRM, [contact(1)])
    table = lake.gold(INSIGHTS)
    table.follow()
    version = lake.version(INSIGHTS)
    lake.silver(CRM).set_property("delta.checkpointInterval", "50")
    lake.append(CRM, [])
    assert table.follow()
    assert not table.follow()
    assert lake.version(INSIGHTS) == version
    lake.append(CRM, [contact(2)])
    assert table.follow()
    lineage = lake.lineage(INSIGHTS, version + 1)
    assert lineage is not None
    assert lineage.inputs == (TableInput(CRM, 2, 4),)


def test_commits_say_which_silver_versions_they_are_made_of(lake: Lake) -> None:
    lake.append(WEB, [purchase(1, "C1")])
    lake.append(SPEND, [spend("C1", 50)])
    lake.drain(FUNNEL)
    lake.append(SPEND, [spend("C2", 50)])
    lake.change(SPEND, {"C1": None})
    lake.drain(FUNNEL)
    version = lake.version(FUNNEL)
    assert lake.lineage(FUNNEL, version) == Lineage(
        job="gold",
        query=FUNNEL,
        batch=version,
        code=code_version(),
        contract=lake.contracts[FUNNEL].version,
        inputs=(TableInput(SPEND, 2, 3),),
        counts=Counts(read=2),
    )
    written = [(each["txn"]["appId"], each["txn"]["version"]) for each in lake.log(FUNNEL, version) if "txn" in each]
    assert written == [(f"{SPEND}@{lake.silver(SPEND).id}", 3)]


def test_a_changed_declaration_builds_the_table_anew(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def generation() -> str:
        return lake.owned(INSIGHTS).properties[FINGERPRINT]

    lake.append(CRM, [contact(1), resolved(2, "5")])
    lake.drain(INSIGHTS)
    before = generation()
    changed = tuple(replace(kpi, description="new") if kpi.name == "feedback_score" else kpi for kpi in KPIS)
    with monkeypatch.context() as patch:
        patch.setattr(kpi_tables, "KPIS", changed)
        lake.drain(INSIGHTS)
        assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)
        between = generation()
    lake.append(CRM, [contact(3)])
    lake.drain(INSIGHTS)
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)
    assert before == generation() != between


def test_readers_see_old_rows_or_new_ones_while_the_table_is_built_anew(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.append(CRM, [contact(1), resolved(2, "5")])
    lake.drain(INSIGHTS)
    lake.owned(INSIGHTS).set_property(FINGERPRINT, "another")
    seen: list[list[str]] = []
    monkeypatch.setattr(query, "failpoint", lambda name: seen.append(lake.rows(INSIGHTS)))
    lake.drain(INSIGHTS)
    assert seen
    assert {str(rows) for rows in seen} == {str(lake.recomputed(INSIGHTS))}


def test_columns_that_cannot_become_the_contracts_make_the_table_anew(lake: Lake) -> None:
    lake.append(CRM, [contact(1)])
    uri = lake.layout.table(f"gold.{INSIGHTS}")
    OwnedTable.ensure(uri, pa.schema([("kpi_name", pa.int64())]), [], {FINGERPRINT: "another"})
    lake.drain(INSIGHTS)
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS) != []
    assert lake.owned(INSIGHTS).partitions == ["kpi_name", "month"]


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_a_column_taken_out_by_hand_is_refused(lake: Lake, running: bool) -> None:
    lake.append(CRM, [contact(1)])
    table = lake.gold(INSIGHTS)
    table.follow()
    rows = lake.by_hand(INSIGHTS).to_pyarrow_table().drop_columns(["channel"])
    write_deltalake(lake.by_hand(INSIGHTS), rows, mode="overwrite", schema_mode="overwrite")
    lake.append(CRM, [contact(2)])
    for _ in range(2):
        with pytest.raises(IncompatibleTableError, match="column channel"):
            (table if running else lake.gold(INSIGHTS)).follow()


def restored(lake: Lake) -> str:
    lake.by_hand(INSIGHTS).restore(lake.version(INSIGHTS) - 1)
    return "RESTORE"


def emptied(lake: Lake) -> str:
    lake.by_hand(INSIGHTS).delete()
    return "DELETE"


def doubled(lake: Lake) -> str:
    write_deltalake(lake.by_hand(INSIGHTS), lake.by_hand(INSIGHTS).to_pyarrow_table(), mode="append")
    return "WRITE"


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
@pytest.mark.parametrize("change", [restored, emptied, doubled])
def test_a_table_whose_rows_somebody_changed_is_built_anew(
    lake: Lake, change: Any, running: bool, caplog: pytest.LogCaptureFixture
) -> None:
    lake.append(CRM, [contact(1), resolved(2, "5")])
    table = lake.gold(INSIGHTS)
    table.follow()
    lake.append(CRM, [resolved(3, "6")])
    table.follow()
    operation, newest = change(lake), lake.version(INSIGHTS)
    lake.append(CRM, [contact(4)])
    if not running:
        table = lake.gold(INSIGHTS)
    with caplog.at_level(logging.WARNING):
        table.follow()
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS) != []
    assert f"built anew: version {newest} is not of its job ({operation} by delta-rs" in caplog.text
    caplog.clear()
    lake.append(CRM, [contact(5)])
    lake.drain(INSIGHTS)
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)
    assert "anew" not in caplog.text, "built anew once"


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_commits_of_others_that_change_no_row_are_passed_over(
    lake: Lake, running: bool, caplog: pytest.LogCaptureFixture
) -> None:
    table = lake.gold(INSIGHTS)
    for number in range(3):
        lake.append(CRM, [contact(number, event_time=NOON.replace(day=number + 1))])
        table.follow()
    lake.by_hand(INSIGHTS).optimize.compact()
    lake.by_hand(INSIGHTS).vacuum(dry_run=False)
    lake.by_hand(INSIGHTS).alter.set_table_properties({"owner": "x"}, raise_if_not_exists=False)
    lake.append(CRM, [resolved(4, "7")])
    if not running:
        table = lake.gold(INSIGHTS)
    table.follow()
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)
    assert "anew" not in caplog.text


def test_a_table_that_others_write_all_the_time_is_given_up(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.append(CRM, [contact(1)])
    table = lake.gold(INSIGHTS)
    table.follow()
    lake.append(CRM, [contact(2)])

    def write(name: str) -> None:
        if name == "gold.before_merge":
            lake.owned(INSIGHTS).append(arrow_schema(lake.contracts[INSIGHTS]).empty_table(), {}, "{}")

    with monkeypatch.context() as patch:
        patch.setattr(query, "failpoint", write)
        with pytest.raises(CommitConflictError):
            table.follow()
    table.follow()
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)


def test_rows_that_silver_takes_back_and_gold_never_had_stop_the_query(lake: Lake) -> None:
    lake.append(CRM, [contact(1)])
    table = lake.gold(INSIGHTS)
    table.follow()
    stranger = lake.append(CRM, [contact(2, channel="phone")])
    signs = pa.array([-1], pa.int8())
    wrong = replace(stranger, rows=stranger.rows.drop_columns(["_sign"]).append_column("_sign", signs))
    with pytest.raises(UnsupportedRowsError, match="lacks rows that silver takes back"):
        table.follow({CRM: wrong})
    table.follow()
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)


def test_a_table_whose_fingerprint_was_taken_away_is_built_anew_under_the_running_job(lake: Lake) -> None:
    """The way out for rows that a person does not trust."""
    lake.append(CRM, [contact(1)])
    table = lake.gold(INSIGHTS)
    table.follow()
    doubled(lake)
    lake.owned(INSIGHTS).set_property(FINGERPRINT, "")
    lake.append(CRM, [contact(2)])
    table.follow()
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)


def test_files_that_others_took_away_are_not_looked_for_again(lake: Lake) -> None:
    lake.append(CRM, [contact(1)])
    lake.gold(INSIGHTS).follow()
    table = lake.gold(INSIGHTS)
    table.ensure()
    for _ in range(2):
        write_deltalake(lake.by_hand(INSIGHTS), lake.by_hand(INSIGHTS).to_pyarrow_table(), mode="overwrite")
    lake.by_hand(INSIGHTS).vacuum(0, dry_run=False, enforce_retention_duration=False)
    lake.append(CRM, [contact(2)])
    with pytest.raises(FileNotFoundError):
        table.follow()
    table.follow()
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)


def test_a_silver_table_that_was_made_anew_builds_gold_anew(lake: Lake) -> None:
    lake.append(CRM, [contact(1)])
    lake.drain(INSIGHTS)
    shutil.rmtree(lake.layout.table(CRM))
    lake.append(CRM, [contact(7, kind="loyalty")])
    lake.drain(INSIGHTS)
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)


def test_a_column_added_by_hand_under_a_running_job_stays(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    lake.append(CRM, [contact(1)])
    table = lake.gold(INSIGHTS)
    table.follow()
    lake.by_hand(INSIGHTS).alter.add_columns([Field("till", PrimitiveType("long"))])
    for number in range(2, 5):
        lake.append(CRM, [resolved(number, "5")])
        table.follow()
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)
    assert "till" in lake.owned(INSIGHTS).schema.names
    assert "anew" not in caplog.text


def test_silver_tables_of_one_process_take_turns(lake: Lake) -> None:
    lake.append(WEB, [purchase(1, "C1")])
    lake.append(SPEND, [spend("C1", 50)])
    table = lake.gold(FUNNEL)
    table.follow()

    def write(name: str, row: Callable[[int], dict[str, Any]]) -> None:
        for number in range(2, 12):
            table.follow({name: lake.append(name, [row(number)])})

    with ThreadPoolExecutor() as threads:
        running: list[Future[Any]] = [
            threads.submit(write, WEB, lambda number: purchase(number, f"C{number}")),
            threads.submit(write, SPEND, lambda number: spend(f"C{number}", 10)),
            *(threads.submit(table.follow) for _ in range(5)),
        ]
        for each in running:
            each.result()
    table.follow()
    assert lake.rows(FUNNEL) == lake.recomputed(FUNNEL)


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_a_silver_table_that_was_restored_builds_gold_anew(lake: Lake, running: bool) -> None:
    lake.append(CRM, [contact(1)])
    lake.append(CRM, [contact(2, channel="phone")])
    table = lake.gold(INSIGHTS)
    table.follow()
    DeltaTable(lake.layout.table(CRM)).restore(1)
    if not running:
        table = lake.gold(INSIGHTS)
    table.follow()
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS) != []


def test_a_silver_log_that_was_cleaned_too_early_builds_gold_anew(lake: Lake) -> None:
    lake.append(CRM, [contact(1)])
    lake.drain(INSIGHTS)
    for number in range(2, 5):
        lake.append(CRM, [contact(number)])
    silver = Path(lake.layout.table(CRM))
    DeltaTable(silver).create_checkpoint()
    for version in range(4):
        (silver / "_delta_log" / f"{version:020}.json").unlink()
    lake.drain(INSIGHTS)
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)


def test_a_column_added_to_silver_leaves_gold_as_it_is(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    lake.append(CRM, [contact(1)])
    table = lake.gold(INSIGHTS)
    table.follow()
    DeltaTable(lake.layout.table(CRM)).alter.add_columns([Field("sentiment", PrimitiveType("string"))])
    for version_of in (table, lake.gold(INSIGHTS)):
        lake.change(CRM, {"i1": {"rating": 5 if version_of is table else 4}})
        version_of.follow()
        assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)
    assert "anew" not in caplog.text


def test_a_missing_silver_table_is_named(lake: Lake) -> None:
    lake.append(WEB, [purchase(1, "C1")])
    with pytest.raises(query.MissingSilverTableError, match=r"gold\.marketing_funnel reads silver\.campaign_spend"):
        lake.drain(FUNNEL)


def test_a_backlog_is_taken_in_by_bites(lake: Lake) -> None:
    lake.append(CRM, [contact(0)])
    lake.drain(INSIGHTS)
    before = lake.version(INSIGHTS)
    for number in range(1, 5):
        lake.append(CRM, [contact(number, event_time=NOON.replace(day=number))])
    lake.settings = lake.settings.model_copy(update={"silver_batch_bytes": 1})
    lake.drain(INSIGHTS)
    assert lake.version(INSIGHTS) == before + 4
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)


def test_days_that_batches_touch_lie_apart_and_compaction_brings_them_together(lake: Lake) -> None:
    lake.settings = lake.settings.model_copy(update={"compact_batches": 10})
    table = lake.gold(INSIGHTS)
    kept: list[int] = []
    for number in range(12):
        lake.append(CRM, [contact(number, event_time=NOON.replace(day=number + 1))])
        table.follow()
        table.keep_up()
        kept.append(lake.owned(INSIGHTS).live_files())
    assert kept[6] == 7 * kept[0]
    assert max(kept[8:]) < kept[6]
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)


def test_compaction_gives_way_to_others(lake: Lake) -> None:
    lake.settings = lake.settings.model_copy(update={"compact_batches": 1})
    table = lake.gold(INSIGHTS)
    for number in range(8):
        lake.append(CRM, [contact(number, event_time=NOON.replace(day=number + 1))])
        table.follow()
    lake.by_hand(INSIGHTS).optimize.compact()
    version = lake.version(INSIGHTS)
    table.keep_up()
    assert lake.version(INSIGHTS) == version
    lake.append(CRM, [contact(8)])
    table.follow()
    table.keep_up()
    assert lake.rows(INSIGHTS) == lake.recomputed(INSIGHTS)


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
    assert listed == {file.key for file in lake.owned(INSIGHTS).files()} != set()


def test_the_catalog_is_asked_at_the_start_and_after_commits_only(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    updates: list[int] = []
    told = SimpleNamespace(update=lambda: updates.append(lake.version(INSIGHTS)))
    monkeypatch.setattr(CataloguedPartitions, "of", lambda settings, contract, uri: told)
    lake.append(CRM, [contact(1)])
    lake.drain(INSIGHTS)
    assert updates == [0, 1], "of the new table, and of its first rows"
    lake.drain(INSIGHTS)
    assert updates == [0, 1, 2], "the start alone: what died after a commit had told the catalog nothing"
