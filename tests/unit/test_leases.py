"""A lease lets one process at a time write a table, and tells the others who that is."""

import json
import multiprocessing
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from multiprocessing.queues import Queue
from pathlib import Path

import psutil
import pytest

from runtime import leases
from runtime.leases import Holder, Lease, LeaseHeldError, LeaseLostError, Leases
from runtime.storage import Storage, StorageError, StoredObject

TABLE = "silver.validated_pos"


class Clock:
    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


def objects(root: Path) -> dict[str, dict[str, object]]:
    folder = root / "checkpoints/silver/leases/validated_pos"
    return {file.name: json.loads(file.read_text()) for file in sorted(folder.iterdir())}


def left_behind(root: Path, lease: Lease) -> None:
    file = root / f"checkpoints/silver/leases/validated_pos/{lease.token:012}.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(lease.to_bytes())


def elsewhere(clock: Clock) -> Lease:
    return Lease(4, Holder("stream silver", "ip-10-0-0-7/boot/pid", 17, 1.0), clock.now, clock.now)


def test_a_second_process_is_told_who_writes_the_table_and_since_when(tmp_path: Path) -> None:
    clock = Clock()
    with Leases(str(tmp_path), "stream silver", [TABLE], clock):
        told = f"silver.validated_pos is written by stream silver (process {os.getpid()} on "
        with pytest.raises(LeaseHeldError, match=re.escape(told)) as refused:
            Leases(str(tmp_path), "redrive pos", [TABLE], clock).__enter__()
    assert "since 2026-09-21 14:13:20 UTC (token 1)" in str(refused.value)


def test_who_is_refused_one_table_keeps_none(tmp_path: Path) -> None:
    with Leases(str(tmp_path), "stream silver", [TABLE]):
        with pytest.raises(LeaseHeldError):
            Leases(str(tmp_path), "another", ["silver.stores", TABLE]).__enter__()
        with Leases(str(tmp_path), "a third", ["silver.stores"]):
            pass


def test_a_released_lease_goes_to_the_next_with_a_higher_token(tmp_path: Path) -> None:
    for token in (1, 2, 3):
        with Leases(str(tmp_path), "stream silver", [TABLE]):
            [(name, content)] = objects(tmp_path).items()
            assert (name, content["token"], content["released"]) == (f"{token:012}.json", token, False)
    assert [content["released"] for content in objects(tmp_path).values()] == [True]


def test_a_lease_of_another_machine_holds_until_its_time_is_over(tmp_path: Path) -> None:
    clock = Clock()
    left_behind(tmp_path, elsewhere(clock))
    clock.now += leases.LIFETIME_SECONDS
    with pytest.raises(LeaseHeldError, match=re.escape("stream silver (process 17 on ip-10-0-0-7)")):
        Leases(str(tmp_path), "stream silver", [TABLE], clock).__enter__()
    clock.now += 1
    with Leases(str(tmp_path), "stream silver", [TABLE], clock):
        assert list(objects(tmp_path)) == ["000000000005.json"]


def test_a_lease_of_a_process_that_was_killed_here_is_taken_over_at_once(tmp_path: Path) -> None:
    here = Holder.here("stream silver")
    clock = Clock()
    left_behind(tmp_path, Lease(9, replace(here, ticks=(here.ticks or 0) - 100), clock.now, clock.now))
    with Leases(str(tmp_path), "stream silver", [TABLE], clock):
        assert list(objects(tmp_path)) == ["000000000010.json"]


def test_a_clock_that_was_set_makes_nobody_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system tells as a process's begin since 1970 moves with the clock, as after a suspended machine."""
    here = Holder.here("stream silver")
    assert not here.dead
    real = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: real(self) + 3600)
    assert not here.dead
    assert replace(here, ticks=(here.ticks or 0) + 1).dead


def test_without_proc_a_process_is_known_by_its_begin_within_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Holder.here("stream silver")
    monkeypatch.setattr(leases, "_ticks", lambda process: None)
    assert [replace(here, begun=here.begun + seconds).dead for seconds in (0.0, 1.5, -1.5, 2.5)] == [
        False, False, False, True,
    ]  # fmt: skip


def test_a_lease_without_ticks_can_be_read_still() -> None:
    here = asdict(Holder.here("stream silver"))
    del here["ticks"]
    content = {"token": 3, "holder": here, "since": 1.0, "renewed": 2.0, "released": False}
    read = Lease.from_bytes("somewhere", json.dumps(content).encode())
    assert (read.token, read.holder.ticks, read.holder.dead) == (3, None, False)


def test_a_holder_that_cannot_renew_stops_before_others_may_take_over(tmp_path: Path) -> None:
    clock = Clock()
    with Leases(str(tmp_path), "stream silver", [TABLE], clock) as held:
        clock.now += leases.LIFETIME_SECONDS - leases.MARGIN_SECONDS
        held.check()
        clock.now += 0.1
        with pytest.raises(LeaseLostError, match="the lease on silver.validated_pos could not be renewed for 50 s"):
            held.check()


def test_a_holder_renews_its_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEWAL_SECONDS", 0.01)
    clock = Clock()
    with Leases(str(tmp_path), "stream silver", [TABLE], clock) as held:
        clock.now += leases.LIFETIME_SECONDS
        deadline = 500
        while held._held[TABLE].renewed != clock.now and (deadline := deadline - 1):
            held._end.wait(0.01)
        held.check()
        # A write that was under way may have ended after the look.
        held._thread.join(0.05)
        assert objects(tmp_path)["000000000001.json"]["renewed"] == clock.now


def test_a_holder_whose_lease_was_taken_over_never_renews_it_again(tmp_path: Path) -> None:
    """It slept for a minute, another process took token 2, and it wakes in the middle of a renewal."""
    clock, late = Clock(), Clock()
    slept = Leases(str(tmp_path), "stream silver", [TABLE], clock)
    slept._held[TABLE] = slept._take(TABLE)
    clock.now += leases.LIFETIME_SECONDS - leases.MARGIN_SECONDS
    late.now += leases.LIFETIME_SECONDS + 1
    with Leases(str(tmp_path), "redrive pos", [TABLE], late) as other:
        slept._renew(TABLE)
        told = (
            "the lease on silver.validated_pos was taken over with token 2 while this process was suspended or cut "
            "off: the other one goes on in its place; let that end before you start this one again"
        )
        for _ in range(2):
            with pytest.raises(LeaseLostError) as lost:
                slept.check()
            assert str(lost.value) == told
            slept._renew(TABLE)
        slept._release()
        assert list(objects(tmp_path)) == ["000000000002.json"]
        other._renew(TABLE)
        other.check()
    assert [(name, content["released"]) for name, content in objects(tmp_path).items()] == [("000000000002.json", True)]


def test_a_holder_that_slept_longer_than_its_lease_does_not_renew_it(tmp_path: Path) -> None:
    clock = Clock()
    slept = Leases(str(tmp_path), "stream silver", [TABLE], clock)
    slept._held[TABLE] = slept._take(TABLE)
    before = objects(tmp_path)
    clock.now += leases.LIFETIME_SECONDS + 1
    slept._renew(TABLE)
    assert objects(tmp_path) == before
    with pytest.raises(LeaseLostError, match="the lease on silver.validated_pos could not be renewed for 61 s"):
        slept.check()


def test_a_store_that_does_not_answer_keeps_no_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Storage.list

    def answers_once(storage: Storage, prefix: str = "") -> list[StoredObject]:
        if storage.uri.endswith("validated_pos"):
            raise StorageError(f"{storage.uri}/ cannot be listed: no answer: see whether it can be reached")
        return real(storage, prefix)

    monkeypatch.setattr(Storage, "list", answers_once)
    with pytest.raises(StorageError, match="validated_pos/ cannot be listed"):
        Leases(str(tmp_path), "stream silver", ["silver.stores", TABLE]).__enter__()
    left = json.loads((tmp_path / "checkpoints/silver/leases/stores/000000000001.json").read_text())
    assert left["released"] is True


def test_a_lease_whose_answer_was_lost_is_held_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 took the object, the answer did not arrive, and the client's second try finds the object there."""
    real = Storage.put_if_absent

    def answer_lost(storage: Storage, key: str, data: bytes) -> bool:
        assert real(storage, key, data)
        return real(storage, key, data)

    monkeypatch.setattr(Storage, "put_if_absent", answer_lost)
    with Leases(str(tmp_path), "stream silver", [TABLE]) as held:
        held.check()
        assert list(objects(tmp_path)) == ["000000000001.json"]
    assert objects(tmp_path)["000000000001.json"]["released"] is True


def test_who_reads_late_does_not_hold_a_token_below_the_highest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listing was made before another took token 5 and removed token 4, which this one then writes."""
    clock = Clock()
    left_behind(tmp_path, replace(elsewhere(clock), token=5))
    late = Leases(str(tmp_path), "late", [TABLE], clock)
    storage = late._storages[TABLE]
    real = type(storage).list
    answers: Iterator[list[StoredObject] | None] = iter([[], None])
    monkeypatch.setattr(
        type(storage), "list", lambda self, prefix="": real(self) if (found := next(answers)) is None else found
    )
    with pytest.raises(LeaseHeldError, match="was taken by another job in this moment"):
        late.__enter__()
    assert list(objects(tmp_path)) == ["000000000005.json"]


def take(root: str, results: "Queue[bool]", start: float) -> None:
    held = Leases(root, "one of many", [TABLE])
    try:
        held.__enter__()
    except LeaseHeldError:
        results.put(False)
    else:
        results.put(True)
        held._end.wait(5)  # alive while the others try


def test_of_many_processes_one_gets_the_lease(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results: Queue[bool] = context.Queue()
    processes = [context.Process(target=take, args=(str(tmp_path), results, 0.0)) for _ in range(4)]
    for process in processes:
        process.start()
    outcomes = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.kill()
        process.join()
    assert sorted(outcomes) == [False, False, False, True]


def test_a_damaged_lease_is_nobodys_to_take(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints/silver/leases/validated_pos"
    folder.mkdir(parents=True)
    (folder / "000000000001.json").write_text("{")
    with pytest.raises(LeaseHeldError, match=re.escape("000000000001.json is damaged")):
        Leases(str(tmp_path), "stream silver", [TABLE]).__enter__()
