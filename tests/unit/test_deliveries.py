"""Landing files are in the order of their delivery, noted when each is first seen; a touch changes nothing."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.landing import Plans
from batch.landing_area import LandingArea, LandingFile, Listing
from runtime.storage import Storage

NOON = datetime(2030, 12, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def plans(folder: Path) -> Plans:
    return Plans(Storage.open(str(folder / "checkpoint")))


def put(folder: Path, name: str, content: str, modified: float) -> None:
    path = folder / "landing/pos" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (modified, modified))


def look(folder: Path, now: datetime) -> tuple[list[str], list[str], int]:
    """New files in their order, which go into a plan, refusals, and how many files were passed over."""
    kept = plans(folder)
    found = kept.look(LandingArea.open(str(folder / "landing")), "pos", now)
    if found.new:
        kept.add(found.new)
    return [file.path for file in found.new], [str(each) for each in found.refused], found.passed_over


def arrivals(folder: Path) -> dict[str, datetime]:
    kept = plans(folder)
    return {file.path: file.arrived_at for batch in range(kept.last + 1) for file in kept.files_of(batch)}


def test_a_correction_that_was_delivered_later_comes_later_whatever_its_time_says(tmp_path: Path) -> None:
    put(tmp_path, "z-original.csv", "a", 4_000_000_000)
    assert look(tmp_path, NOON) == (["pos/z-original.csv"], [], 0)
    put(tmp_path, "a-correction.csv", "a", 0)
    assert look(tmp_path, NOON + HOUR) == (["pos/a-correction.csv"], [], 0)
    found = arrivals(tmp_path)
    assert found["pos/z-original.csv"] < found["pos/a-correction.csv"] <= NOON + HOUR


def test_files_that_one_look_finds_are_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    for name, modified in (("c.csv", 2e9), ("a.csv", 0), ("b.csv", 315_532_800)):
        put(tmp_path, name, "x", modified)
    assert look(tmp_path, NOON)[0] == ["pos/c.csv", "pos/a.csv", "pos/b.csv"]
    found = arrivals(tmp_path)
    assert found["pos/c.csv"] < found["pos/a.csv"] < found["pos/b.csv"]


def test_a_file_that_is_touched_is_the_same_file_and_one_that_changes_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", "same", 1)
    put(tmp_path, "b.csv", "here", 1)
    look(tmp_path, NOON)
    put(tmp_path, "a.csv", "same", 2)
    put(tmp_path, "b.csv", "else", 2)
    new, refused, _ = look(tmp_path, NOON + HOUR)
    assert new == []
    (line,) = refused
    assert line.startswith("pos/b.csv: refused, for batch 0 took 4 bytes of 1970-01-01T00:00:01Z (etag ")


def test_a_planned_file_that_is_touched_before_it_is_read_is_read(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", "same", 1)
    look(tmp_path, NOON)
    (file,) = plans(tmp_path).files_of(0)
    put(tmp_path, "a.csv", "same", 2)
    assert b"".join(LandingArea.open(str(tmp_path / "landing")).chunks(file)) == b"same"


def test_leftovers_of_tools_are_passed_over_and_counted(tmp_path: Path) -> None:
    for name in (
        "_SUCCESS",
        "17a_$folder$",
        "x.csv.metadata",
        "x.csv.filepart",
        "Thumbs.db",
        "x.csv~",
        ".x.csv.crc",
        "x.csv.md5",
        "_temporary/0/a.csv",
    ):
        put(tmp_path, name, "", 1)
    put(tmp_path, "x.csv", "a", 1)
    put(tmp_path, "firehose-object-without-suffix", "a", 1)
    assert look(tmp_path, NOON) == (["pos/x.csv", "pos/firehose-object-without-suffix"], [], 9)


def test_a_file_that_may_not_be_read_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a.csv", "a", 1)
    put(tmp_path, "b.csv", "b", 1)
    real = os.open

    def refusing(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if str(path).endswith("a.csv"):
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *rest, **more)

    monkeypatch.setattr("batch.landing_area.os.open", refusing)
    new, refused, _ = look(tmp_path, NOON)
    assert (new, refused) == (["pos/b.csv"], ["pos/a.csv may not be read: give the job's user the right to"])


CLOCK = st.integers(-(10**6), 10**6)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.lists(CLOCK, max_size=4), max_size=4))
def test_whatever_the_clocks_say_a_later_look_finds_later_files(looks: list[list[int]]) -> None:
    """Within a look by the disk's clock; none before the look before, and none that has not come yet."""
    with TemporaryDirectory() as folder:
        written = Plans(Storage.open(folder))
        area = LandingArea(folder)
        order: list[datetime] = []
        for number, clocks in enumerate(looks):
            now = NOON + number * HOUR
            listed = [
                LandingFile(f"pos/{number}-{place}", 1, "e", NOON, NOON + timedelta(seconds=clock))
                for place, clock in enumerate(clocks)
            ]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(LandingArea, "listing", lambda *_, listed=listed: Listing(listed, 0))
                found = Plans(Storage.open(folder)).look(area, "pos", now).new
                written.look(area, "pos", now)
            assert [file.path for file in found] == [
                file.path for file in sorted(listed, key=lambda file: (file.arrived_at, file.path))
            ]
            for file in found:
                assert file.arrived_at <= now + timedelta(seconds=1)
                assert not order or order[-1] <= file.arrived_at
            if order and found:
                assert order[-1] < found[0].arrived_at
            order += [file.arrived_at for file in found]
            if found:
                written.add(found)
