"""Of two attempts at one batch one counts, whoever dies or sleeps where; a table that is not what it was is refused."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from deltalake import DeltaTable

from lakehouse.delta.manifests import FOLDER
from lakehouse.delta.table import CommitConflictError, OwnedTable
from local.oracle.deliveries import DeliveredRecord
from runtime.delta_log import DeltaLog
from runtime.lineage import Lineage, TableInput, read_lineage
from runtime.manifests import CataloguedPartitions
from runtime.restores import RestoredTableError
from runtime.tables import table_version
from streaming import silver as silver_module
from streaming.handover import Handed
from streaming.silver import RemadeTableError
from streaming.silver_rows import SilverRows
from tests.unit.oracle_deliveries import records
from tests.unit.silver_lake import REFERENCE, SilverLake, copied, with_references
from tests.unit.test_silver_batches import basket_line

LINE = basket_line(Random(1)) | {"store_id": 1, "product_id": "A", "unit_price": "2.50", "line_number": 1}
RECORDS = records("pos", LINE, LINE | {"line_number": 2}, LINE | {"unit_price": "2.75"}, b"{", LINE | {"store_id": 99})
POINTS = ("silver.started", "silver.before_rejected", "silver.after_rejected", "silver.after_merge")


class Died(Exception):
    """What a killed process leaves undone, as an exception."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> SilverLake:
    return with_references(tmp_path_factory.mktemp("base"))


@pytest.fixture
def lake(base: SilverLake, tmp_path: Path) -> SilverLake:
    return copied(base, tmp_path / "lake")


def restarted(lake: SilverLake, **changed: Any) -> SilverLake:
    """The lake as a new process finds it."""
    found = SilverLake(Path(lake.settings.root))
    found.settings = found.settings.model_copy(update=changed)
    return found


def follow(lake: SilverLake) -> list[Handed]:
    """What the silver query of the tills does when it looks."""
    return lake.table("pos").follow()


def assert_as_the_oracle_says(lake: SilverLake, delivered: list[DeliveredRecord]) -> None:
    assert [str(each) for each in lake.compared([*REFERENCE, *delivered]).differences] == []


def commits(lake: SilverLake) -> Iterator[Lineage]:
    """What the commits of silver tell of themselves, those that took something in."""
    log = DeltaLog(lake.settings.root, "silver.validated_pos")
    for version in range(table_version(lake.layout.table("silver.validated_pos")) + 1):
        commit = log.commit(version)
        lineage = read_lineage(commit.metadata) if commit else None
        if lineage is not None and lineage.inputs:
            yield lineage


def dies_at(monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    def passed(name: str) -> None:
        if name == point:
            raise Died

    monkeypatch.setattr(silver_module, "failpoint", passed)


def sleeps_before(monkeypatch: pytest.MonkeyPatch, table: str, meanwhile: Callable[[], object]) -> Callable[[], bool]:
    """The next write to a table waits until `meanwhile` is over; gives whether that has been."""
    slept: list[bool] = []

    def wrap(method: str) -> None:
        real = getattr(OwnedTable, method)

        def write(self: OwnedTable, *given: Any) -> int:
            if self.uri.endswith(table) and not slept:
                slept.append(True)
                meanwhile()
            return int(real(self, *given))

        monkeypatch.setattr(OwnedTable, method, write)

    for method in ("append", "replace_rows", "overwrite_where"):
        wrap(method)
    return lambda: bool(slept)


@pytest.mark.parametrize("table", ["rejected/pos/bad_rows", "silver/validated_pos"])
def test_an_attempt_that_was_overtaken_changes_nothing_any_more(
    lake: SilverLake, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    """A process that was taken for dead goes on just before a write, after another one has done its batch."""
    first, *rest = RECORDS
    lake.process([first], 0)
    old = restarted(lake)
    slept = sleeps_before(monkeypatch, table, lambda: restarted(lake).process(rest, 1))
    with pytest.raises(CommitConflictError):
        old.process(rest, 1)
    assert slept(), "nobody came in between"
    assert_as_the_oracle_says(lake, RECORDS)
    assert old.process(rest, 1) is None, "it sees that its batch is over"
    assert_as_the_oracle_says(lake, RECORDS)


def test_an_attempt_whose_rejected_rows_were_taken_out_cannot_finish(
    lake: SilverLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sleeps between its two commits. Another process takes out its rejected rows, and dies before it has put others
    in silver's and their place: were the first one to go on, its rejected records would be nowhere.
    """
    lake.deliver(RECORDS[:4])
    old = restarted(lake)

    def meanwhile() -> None:
        lake.deliver(RECORDS[4:])
        with pytest.MonkeyPatch.context() as patch:
            dies_at(patch, "silver.after_rejected")
            with pytest.raises(Died):
                follow(restarted(lake))

    slept = sleeps_before(monkeypatch, "silver/validated_pos", meanwhile)
    with pytest.raises(CommitConflictError):
        follow(old)
    assert slept()
    follow(restarted(lake))
    assert_as_the_oracle_says(lake, RECORDS)


def test_two_live_processes_take_turns_and_nothing_is_there_twice(lake: SilverLake) -> None:
    one, other = restarted(lake), restarted(lake)
    for number, record in enumerate(RECORDS):
        lake.deliver([record])
        follow((one, other)[number % 2])
    assert_as_the_oracle_says(lake, RECORDS)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("new_process", [True, False], ids=["a new process", "the same process"])
def test_a_batch_that_died_anywhere_is_repeated_with_the_same_outcome(
    lake: SilverLake, monkeypatch: pytest.MonkeyPatch, point: str, new_process: bool
) -> None:
    """More has come in bronze by then: the second attempt takes in more than the first."""
    lake.deliver(RECORDS[:2])
    follow(lake)
    lake.deliver(RECORDS[2:4])
    with monkeypatch.context() as patch:
        dies_at(patch, point)
        with pytest.raises(Died):
            follow(lake)
    lake.deliver(RECORDS[4:])
    again = restarted(lake) if new_process else lake
    follow(again)
    assert_as_the_oracle_says(again, RECORDS)
    assert follow(again) == []
    last = [lineage.inputs[0] for lineage in commits(again)][-1]
    assert last == TableInput("bronze.pos", 3 if point == "silver.after_merge" else 2, 3)


def test_what_a_dead_attempt_rejected_is_taken_out_also_by_an_attempt_that_takes_in_less(
    lake: SilverLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for record in RECORDS:
        lake.deliver([record])
    with monkeypatch.context() as patch:
        dies_at(patch, "silver.after_rejected")
        with pytest.raises(Died):
            follow(lake)
    assert len(lake.content("pos").rejected) == 3
    again = restarted(lake, silver_batch_bytes=1)
    follow(again)
    assert_as_the_oracle_says(again, RECORDS)


def test_a_backlog_is_worked_off_in_bounded_batches(lake: SilverLake) -> None:
    for record in RECORDS:
        lake.deliver([record])
    changes = follow(restarted(lake, silver_batch_bytes=1))
    # A batch takes at least one version; every record was delivered in a version of its own.
    inputs = [lineage.inputs for lineage in commits(lake)]
    assert inputs == [
        (TableInput("bronze.pos", first, last),) for first, last in [(0, 1), (2, 2), (3, 3), (4, 4), (5, 5)]
    ]
    assert [each.rows.num_rows for each in changes] == [1, 1, 2]
    assert_as_the_oracle_says(lake, RECORDS)


def test_a_stop_leaves_the_rest_of_a_backlog_for_later(lake: SilverLake) -> None:
    for record in RECORDS:
        lake.deliver([record])
    answers = iter([False, False, True])
    restarted(lake, silver_batch_bytes=1).table("pos").follow(stopped=lambda: next(answers))
    assert len([*commits(lake)]) == 2
    follow(restarted(lake))
    assert_as_the_oracle_says(lake, RECORDS)


def test_what_bronze_hands_over_is_a_short_cut_only_where_it_comes_next(
    lake: SilverLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = lake.table("pos")
    handed = []
    for record in RECORDS:
        lake.deliver([record])
        bronze = OwnedTable.open(table.bronze_uri)
        handed.append(Handed("bronze.pos", bronze.id, bronze.version, bronze.version, lake.bronze([record])))
    # Others came before it: all is read from the log. What comes once more is over.
    table.follow(handed[2])
    table.follow(handed[2])
    table.follow(Handed("bronze.pos", "another table", 6, 6, lake.bronze(RECORDS)))
    assert_as_the_oracle_says(lake, RECORDS)
    # What comes next is taken from memory.
    lake.deliver(late := [DeliveredRecord("pos", "pos", "shard-0", "9", RECORDS[0].acknowledged_at, b"[")])
    monkeypatch.setattr(table._bronze, "added", lambda after, most: pytest.fail("read again") if after < 6 else None)
    table.follow(Handed("bronze.pos", bronze.id, 6, 6, lake.bronze(late)))
    assert_as_the_oracle_says(lake, [*RECORDS, *late])


def test_manifests_come_when_the_table_is_compacted_and_the_catalog_hears_of_them_at_every_start(
    lake: SilverLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = Path(lake.layout.table("silver.validated_pos")) / FOLDER
    updates: list[bool] = []
    told = SimpleNamespace(update=lambda: updates.append(manifests.exists()))
    monkeypatch.setattr(CataloguedPartitions, "of", lambda settings, contract, uri: told)
    asked: dict[str, Any] = {"symlink_manifests": True, "compact_batches": 2}

    def run() -> None:
        table = restarted(lake, **asked).table("pos")
        table.follow()
        table.keep_up()

    lake.deliver(RECORDS[:1])
    run()
    assert updates == [False], "one batch: nothing is compacted yet"
    asked["compact_batches"] = 1
    lake.deliver(RECORDS[1:2])
    run()
    assert updates == [False, False, True]


def test_a_silver_table_goes_on_with_its_memory_after_a_compaction(
    lake: SilverLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = restarted(lake, compact_batches=2).table("pos")
    delivered = records("pos", *(LINE | {"line_number": number} for number in range(1, 13)))
    for record in delivered:
        lake.deliver([record])
        table.follow()
        table.keep_up()
        monkeypatch.setattr(SilverRows, "_load", lambda _: pytest.fail("what it remembers is of the same rows"))
    log = DeltaLog(lake.settings.root, "silver.validated_pos")
    found = [log.commit(version) for version in range(table_version(table.silver_uri) + 1)]
    assert "OPTIMIZE" in [commit.operation for commit in found if commit]
    assert_as_the_oracle_says(lake, delivered)


TABLES = ("silver.validated_pos", "rejected.pos")


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("new_process", [True, False], ids=["a new process", "between two batches"])
def test_a_table_restored_to_yesterday_is_refused_until_it_is_brought_back(
    lake: SilverLake, name: str, new_process: bool
) -> None:
    uri = lake.layout.table(name)
    for delivered in (RECORDS[:2], RECORDS[2:4]):
        lake.deliver(delivered)
        follow(lake)
    newest = table_version(uri)
    DeltaTable(uri).restore(newest - 1)
    lake.deliver(RECORDS[4:])
    told = f"{uri} was restored to an older state, .* TO VERSION AS OF {newest} "
    for each in [restarted(lake)] if new_process else [lake, lake, restarted(lake)]:
        with pytest.raises(RestoredTableError, match=told):
            follow(each)
    DeltaTable(uri).restore(newest)
    again = restarted(lake) if new_process else lake
    follow(again)
    assert_as_the_oracle_says(again, RECORDS)


def test_no_folder_beside_the_tables_decides_anything(lake: SilverLake) -> None:
    """How far silver has come stands in its own commits."""
    lake.deliver(RECORDS[:3])
    follow(lake)
    root = Path(lake.settings.root)
    for folder in root.iterdir():
        if folder.name not in ("bronze", "silver", "rejected"):
            shutil.rmtree(folder)
    before = {uri: table_version(uri) for uri in map(lake.layout.table, TABLES)}
    assert follow(restarted(lake)) == []
    assert {uri: table_version(uri) for uri in before} == before
    lake.deliver(RECORDS[3:])
    follow(restarted(lake))
    assert_as_the_oracle_says(lake, RECORDS)
    assert {folder.name for folder in root.iterdir()} == {"bronze", "silver", "rejected"}


def test_a_bronze_table_made_anew_is_refused(lake: SilverLake) -> None:
    """From its start, what was rejected would be rejected a second time."""
    lake.deliver(RECORDS)
    follow(lake)
    bronze = Path(lake.layout.table("bronze.pos"))
    bronze.rename(bronze.with_name("kept"))
    lake.deliver(RECORDS[:3])
    with pytest.raises(RemadeTableError, match=f"{bronze} is not the table that .*: put that one back, or remove"):
        follow(restarted(lake))
    assert_as_the_oracle_says(lake, RECORDS)
    shutil.rmtree(bronze)
    bronze.with_name("kept").rename(bronze)
    assert follow(restarted(lake)) == []


def test_a_silver_table_made_anew_beside_its_old_rejected_rows_is_refused_and_both_are_made_again(
    lake: SilverLake,
) -> None:
    lake.deliver(RECORDS)
    follow(lake)
    uris = [*map(lake.layout.table, TABLES)]
    shutil.rmtree(uris[0])
    with pytest.raises(RemadeTableError, match=f"{uris[0]} is not the table that {uris[1]} was written with: put"):
        follow(restarted(lake))
    for uri in uris:
        shutil.rmtree(uri, ignore_errors=True)
    follow(restarted(lake))
    assert_as_the_oracle_says(lake, RECORDS)


def test_who_lost_the_lease_writes_nothing_to_silver(lake: SilverLake) -> None:
    def not_ours() -> None:
        raise Died

    table = lake.table("pos")
    before = table_version(table.silver_uri)
    with pytest.raises(Died):
        table.process(lake.bronze(RECORDS), silver_module.Batch("redrive:x", 0), not_ours)
    assert table_version(table.silver_uri) == before
