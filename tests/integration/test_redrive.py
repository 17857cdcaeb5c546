"""Rejected records go through again after the reference data was mended: each ends in exactly one place."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from local.oracle.deliveries import DeliveredRecord
from runtime.leases import LeaseLostError
from runtime.restores import RestoredTableError
from runtime.storage import Storage
from runtime.tables import options, table_version
from streaming import redrive as redriving
from streaming import silver
from streaming.redrive import OvertakenError, Redriven, redrive
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


LATE = DeliveredRecord(
    "pos", "pos", "shard-0", "9", datetime(2026, 1, 1, tzinfo=UTC), json.dumps(sale(2, quantity=3)).encode()
)


class Died(Exception):
    """What a killed process leaves undone, as an exception."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> SilverLake:
    """Sales of which four name a store that nobody knows; then the store's row arrives."""
    lake = with_references(tmp_path_factory.mktemp("base"))
    lake.process(SALES[:5], 0)
    lake.process(SALES[5:], 1)
    assert lake.content("pos").rejected == BEFORE
    lake.process([STORE], 1)
    return lake


@pytest.fixture
def lake(base: SilverLake, tmp_path: Path) -> SilverLake:
    return copied(base, tmp_path / "lake")


def again(lake: SilverLake, still_ours: Callable[[], None] = lambda: None) -> Redriven:
    return redrive(lake.settings, lake.contracts, "pos", still_ours)


def differences(lake: SilverLake, *late: DeliveredRecord) -> list[str]:
    return [str(each) for each in lake.compared([*REFERENCE, STORE, *SALES, *late]).differences]


def assert_exact(lake: SilverLake) -> Content:
    """Every record once, where the oracle says, and what was tried stays with today's reason."""
    found = lake.content("pos")
    assert set(found.silver) == IN_SILVER
    assert found.rejected == AFTER
    assert differences(lake) == []
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


def test_without_anything_rejected_nothing_happens(lake: SilverLake) -> None:
    assert redrive(lake.settings, lake.contracts, "crm") == Redriven(0, 0)


@pytest.mark.parametrize(
    "steps",
    [
        ["silver.before_rejected"],
        ["silver.after_rejected", "silver.after_rejected"],
        ["silver.after_merge", "taking out", "noting the end"],
    ],
)
def test_a_redrive_that_died_is_taken_up_and_ends_exact(
    lake: SilverLake, monkeypatch: pytest.MonkeyPatch, steps: list[str]
) -> None:
    for step in steps:
        with monkeypatch.context() as patch:
            _die(patch, step)
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
        _die(patch, "taking out")
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


def test_the_owner_goes_on_with_what_a_redrive_wrote(lake: SilverLake) -> None:
    """A correction of a record that the redrive brought in, in a process that remembers silver from before."""
    lake.process([LATE], 2)  # its line is in silver now, and remembered
    again(lake)
    more = DeliveredRecord(
        "pos", "pos", "shard-0", "91", datetime(2026, 1, 1, tzinfo=UTC), json.dumps(sale(4, quantity=9)).encode()
    )
    lake.process([more], 3)
    assert differences(lake, LATE, more) == []


@pytest.mark.parametrize("by", ["a batch with a correction", "a lost lease"])
@pytest.mark.parametrize("where", ["silver.before_rejected", "silver.after_rejected"])
def test_a_redrive_that_was_overtaken_changes_nothing_any_more(
    lake: SilverLake, monkeypatch: pytest.MonkeyPatch, by: str, where: str
) -> None:
    """It slept through its lease just before a commit; another process went on in its place."""
    overtaken: list[str] = []

    def lease() -> None:
        if by == "a lost lease" and overtaken:
            raise LeaseLostError("token 2")

    def overtake(point: str) -> None:
        if point == where and not overtaken:
            overtaken.append(point)
            if by != "a lost lease":
                SilverLake(Path(lake.settings.root)).process([LATE], 2)

    before, late = lake.content("pos"), [LATE] if by != "a lost lease" else []
    with monkeypatch.context() as patch:
        patch.setattr(silver, "failpoint", overtake)
        with pytest.raises(LeaseLostError if by == "a lost lease" else OvertakenError) as refused:
            again(lake, lease)
    assert set(lake.content("pos").silver) == {*before.silver, *(each.record_id for each in late)}
    if late:
        assert str(refused.value).endswith(
            "another process wrote while this redrive was at work, and what it had not written yet is not written; "
            "run `lakehouse redrive pos` again to take it up"
        )

    assert again(lake).tried == 6
    assert differences(lake, *late) == []


def test_a_redrive_that_slept_while_a_job_began_has_been_before_it_or_not_at_all(
    lake: SilverLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job has looked at its table and written nothing yet: it notices what the redrive wrote behind its back."""
    job = SilverLake(Path(lake.settings.root))
    job.table("pos")

    def begin(point: str) -> None:
        if point == "silver.after_rejected":
            job.table("pos").rejected.refresh()

    with monkeypatch.context() as patch:
        patch.setattr(silver, "failpoint", begin)
        assert again(lake) == Redriven(tried=6, passed=2)
    assert_exact(lake)
    job.process([LATE], 2)
    assert differences(lake, LATE) == []


def test_the_rows_that_went_through_leave_rejected_once(lake: SilverLake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody wrote to rejected while the redrive took its rows out: it begins again at the note that it left."""
    take_out = redriving._take_out
    calls: list[int] = []

    def overtaken(*given: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            SilverLake(Path(lake.settings.root)).process([LATE], 2)
        take_out(*given)

    monkeypatch.setattr(redriving, "_take_out", overtaken)
    with pytest.raises(OvertakenError):
        again(lake)
    assert again(lake).tried == 6
    assert differences(lake, LATE) == []


@pytest.mark.parametrize("restored", ["silver.validated_pos", "rejected.pos"])
def test_a_table_that_somebody_restored_is_refused(lake: SilverLake, restored: str) -> None:
    uri = lake.layout.table(restored)
    newest = table_version(uri)
    restore(uri, newest - 1)
    with pytest.raises(RestoredTableError, match=f"TO VERSION AS OF {newest} "):
        again(lake)
    restore(uri, newest)
    assert again(lake) == Redriven(tried=6, passed=2)
    assert_exact(lake)


def restore(uri: str, version: int) -> None:
    DeltaTable(uri, storage_options=options(uri) or None).restore(version)


def _die(patch: pytest.MonkeyPatch, step: str) -> None:
    """Where the redrive dies: a point of the silver batch, or one of its own steps."""
    if step == "taking out":
        patch.setattr(redriving, "_take_out", _killed)
    elif step == "noting the end":
        put = Storage.put_if_absent

        def put_or_die(storage: Storage, key: str, data: bytes) -> bool:
            if key.endswith(".done"):
                raise Died
            return put(storage, key, data)

        patch.setattr(Storage, "put_if_absent", put_or_die)
    else:
        patch.setattr(silver, "failpoint", lambda name: _killed() if name == step else None)


def _killed(*_: object) -> None:
    raise Died
