"""Rejected records go through again after the reference data was mended: each ends in exactly one place."""

import json
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from local.oracle.deliveries import DeliveredRecord
from runtime.leases import LeaseLostError
from runtime.storage import Storage
from runtime.tables import table_version
from streaming.redrive import MOST_TRIES, OvertakenError, Redriven, _next_version, redrive, shut_out
from streaming.silver import SilverTable
from tests.unit.oracle_deliveries import records
from tests.unit.silver_lake import REFERENCE, Content, SilverLake, copied, with_references

NEW_STORE = {"store_id": 7, "region": "west", "country": "IE", "valid_from": "2009-01-01T00:00Z"}


def sale(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "transaction_id": "T1",
        "line_number": number,
        "store_id": 7,
        "product_id": "A",
        "quantity": 1,
        "unit_price": "2.50",
        "revenue": "2.50",
        "timestamp": "2010-12-01T10:00:00Z",
        **fields,
    }


SALES = records(
    "pos",
    sale(1, store_id=1),
    sale(2),
    sale(3, product_id="GHOST"),
    sale(4),
    b"{",
    sale(1, store_id=1),  # once more: this delivery stands
    sale(4, quantity=2),  # corrected, while its store is unknown still
    sale(5, store_id=8),
)
ID = "pos/shard-0/{}".format
BEFORE = [
    (ID(1), "duplicate"),
    (ID(2), "reference"),
    (ID(3), "reference"),
    (ID(4), "reference"),
    (ID(5), "malformed_json"),
    (ID(7), "reference"),
    (ID(8), "reference"),
]
AFTER = [
    (ID(1), "duplicate"),
    (ID(3), "reference"),
    (ID(4), "superseded"),
    (ID(5), "malformed_json"),
    (ID(8), "reference"),
]
IN_SILVER = {ID(2), ID(6), ID(7)}
STORE = DeliveredRecord(
    "stores", "stores", "shard-0", "9", datetime(2026, 1, 1, tzinfo=UTC), json.dumps(NEW_STORE).encode()
)


class Died(Exception):
    """What a killed process leaves undone, as an exception."""


@pytest.fixture(scope="module")
def base(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> SilverLake:
    """Sales of which four name a store that nobody knows; then the store's row arrives."""
    lake = with_references(spark, tmp_path_factory.mktemp("base"))
    lake.process(SALES[:5], 0)
    lake.process(SALES[5:], 1)
    assert lake.content("pos").rejected == BEFORE
    lake.process([STORE], 1)
    return lake


@pytest.fixture
def lake(base: SilverLake, tmp_path: Path) -> SilverLake:
    return copied(base, tmp_path / "lake")


def again(lake: SilverLake) -> Redriven:
    return redrive(lake.spark, lake.settings, lake.contracts, "pos")


def assert_exact(lake: SilverLake) -> Content:
    """Every record once, where the oracle says, and what was tried stays with today's reason."""
    found = lake.content("pos")
    assert set(found.silver) == IN_SILVER
    assert found.rejected == AFTER
    compared = lake.compared([*REFERENCE, STORE, *SALES])
    assert [str(each) for each in compared.differences] == []
    return found


def test_rows_pass_after_the_reference_arrived_and_leave_rejected(lake: SilverLake) -> None:
    assert again(lake) == Redriven(tried=6, passed=2)
    found = assert_exact(lake)
    assert {found.silver[ID(number)]["region"] for number in (2, 7)} == {"west"}
    assert found.silver[ID(7)]["quantity"] == 2


def test_a_second_redrive_finds_only_what_still_fails(lake: SilverLake) -> None:
    again(lake)
    assert again(lake) == Redriven(tried=3, passed=0)
    assert_exact(lake)


def test_without_anything_rejected_nothing_happens(base: SilverLake, spark: SparkSession, tmp_path: Path) -> None:
    lake = copied(base, tmp_path / "lake")
    assert redrive(spark, lake.settings, lake.contracts, "crm") == Redriven(0, 0)


@pytest.mark.parametrize("step", ["before rejected", "before silver", "before the deletion", "before the end is noted"])
def test_a_redrive_that_died_is_taken_up_and_ends_exact(
    lake: SilverLake, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def die(*_: object, **__: object) -> None:
        raise Died

    with monkeypatch.context() as patch:
        if step == "before rejected":
            patch.setattr(SilverTable, "_append_rejected", die)
        elif step == "before silver":
            patch.setattr(SilverTable, "_write_silver", die)
        elif step == "before the deletion":
            _die_after_process(patch)
        else:
            _die_at_done(patch)
        with pytest.raises(Died):
            again(lake)

    assert again(lake).tried == 6
    assert_exact(lake)
    assert {each.key for each in Storage.open(f"{lake.table('pos').checkpoint}_redrive").list()} == {
        "00000000.json",
        "00000000.done",
    }


def test_records_that_arrive_after_a_death_are_left_to_their_own_query(
    lake: SilverLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The redrive that is taken up keeps to the version that it noted."""
    with monkeypatch.context() as patch:
        _die_after_process(patch)
        with pytest.raises(Died):
            again(lake)
    late = DeliveredRecord(
        "pos", "pos", "shard-0", "9", datetime(2026, 1, 1, tzinfo=UTC), json.dumps(sale(9, store_id=8)).encode()
    )
    lake.process([late], 2)

    assert again(lake).tried == 6
    found = lake.content("pos")
    assert set(found.silver) == IN_SILVER
    assert found.rejected == [*AFTER, (ID(9), "reference")]


LATE = DeliveredRecord(
    "pos", "pos", "shard-0", "9", datetime(2026, 1, 1, tzinfo=UTC), json.dumps(sale(2, quantity=3)).encode()
)


@pytest.mark.parametrize("by", ["a batch with a correction", "a job that has only begun", "a lost lease"])
def test_a_redrive_that_was_overtaken_changes_nothing_any_more(
    lake: SilverLake, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """It slept through its lease just before its commit to silver; another process went on in its place."""
    real = SilverTable._write_silver
    overtaken: list[bool] = []

    def lease() -> None:
        if by == "a lost lease" and overtaken:
            raise LeaseLostError("token 2")

    def overtake(table: SilverTable, *given: Any) -> None:
        if not overtaken:
            overtaken.append(True)
            other = SilverLake(lake.spark, Path(lake.settings.root))
            if by != "a lost lease":
                shut_out(lake.spark, other.table("pos"))
            if by == "a batch with a correction":
                other.process([LATE], 2, recover=True)
        real(table, *given)

    before = set(lake.content("pos").silver)
    with monkeypatch.context() as patch:
        patch.setattr(SilverTable, "_write_silver", overtake)
        with pytest.raises(LeaseLostError if by == "a lost lease" else OvertakenError) as refused:
            redrive(lake.spark, lake.settings, lake.contracts, "pos", lease)
    late = [LATE] if by == "a batch with a correction" else []
    assert set(lake.content("pos").silver) == before | {each.record_id for each in late}
    if by != "a lost lease":
        uri, version = lake.table("pos").silver_uri, table_version(lake.spark, lake.table("pos").silver_uri)
        looked_at = version - 1 - len(late)
        assert str(refused.value) == (
            f"{uri} is at version {version}, this redrive looked at version {looked_at}: another process wrote in "
            "between, and nothing of the redrive is in silver; run `lakehouse redrive` again to take it up"
        )

    assert again(lake).tried == 6
    assert lake.compared([*REFERENCE, STORE, *SALES, *late]).differences == ()


def test_a_redrives_commit_is_the_next_version_or_none(spark: SparkSession, tmp_path: Path) -> None:
    """Another process commits after Delta has begun: to Delta itself two appends are no conflict."""
    uri = str(tmp_path / "table")

    def until(there: Path) -> None:
        deadline = time.monotonic() + 60
        while not there.exists():
            assert time.monotonic() < deadline, there
            time.sleep(0.01)

    spark.createDataFrame([("first",)], "row STRING").write.format("delta").save(uri)

    def wait(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        (tmp_path / "begun").touch()
        until(tmp_path / "go")
        yield from batches

    def other() -> None:
        until(tmp_path / "begun")
        spark.createDataFrame([("other",)], "row STRING").write.format("delta").mode("append").save(uri)
        (tmp_path / "go").touch()

    thread = threading.Thread(target=other)
    thread.start()
    # In one task: the other's needs a core too.
    rows = spark.createDataFrame([("redriven",)], "row STRING").coalesce(1).mapInArrow(wait, "row STRING")
    with pytest.raises(OvertakenError, match="is at version 1, this redrive looked at version 0"):  # noqa: SIM117
        with _next_version(spark, uri, 0, lambda: None):
            rows.write.format("delta").mode("append").save(uri)
    thread.join()
    assert sorted(row["row"] for row in spark.read.format("delta").load(uri).collect()) == ["first", "other"]
    assert spark.conf.get(MOST_TRIES, None) is None


def test_the_silver_job_leaves_its_table_alone_unless_a_redrive_is_unfinished(
    lake: SilverLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = lake.table("pos")
    again(lake)
    version = table_version(lake.spark, table.silver_uri)
    shut_out(lake.spark, table)
    assert table_version(lake.spark, table.silver_uri) == version
    with monkeypatch.context() as patch:
        _die_at_done(patch)
        with pytest.raises(Died):
            again(lake)
    version = table_version(lake.spark, table.silver_uri)
    for more in (1, 2):
        shut_out(lake.spark, table)
        assert table_version(lake.spark, table.silver_uri) == version + more


def _die_after_process(patch: pytest.MonkeyPatch) -> None:
    process = SilverTable.process

    def process_and_die(*arguments: Any, **named: Any) -> None:
        process(*arguments, **named)
        raise Died

    patch.setattr(SilverTable, "process", process_and_die)


def _die_at_done(patch: pytest.MonkeyPatch) -> None:
    put = Storage.put_if_absent

    def put_or_die(storage: Storage, key: str, data: bytes) -> bool:
        if key.endswith(".done"):
            raise Died
        return put(storage, key, data)

    patch.setattr(Storage, "put_if_absent", put_or_die)
