"""The landing area and its plans: what is listed, what is read, what is planned once and for all."""

import io
import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody
from botocore.stub import Stubber
from hypothesis import given, settings
from hypothesis import strategies as st

from batch import landing_area
from batch.file_tasks import FILE_COST, TASK_BYTES, in_groups
from batch.landing import Bounds, PlanError, Plans, in_batches
from batch.landing_area import LandingArea, LandingAreaError, LandingFile
from batch.lines import UnreadableFileError
from lakehouse.contracts import load_contracts
from lakehouse.errors import LakehouseError
from lakehouse.settings import CONTRACTS, Settings
from local.commands.batch import sources_of
from runtime.storage import Storage

NOON = datetime(2010, 12, 1, 12, tzinfo=UTC)


def landing_file(path: str, size: int = 10, etag: str = "a", modified: datetime = NOON) -> LandingFile:
    return LandingFile(path, size, etag, modified)


def put(folder: Path, name: str | bytes, content: bytes = b"x", modified_ns: int = 1_291_204_800_123_456_789) -> None:
    path = os.path.join(os.fsencode(folder), os.fsencode(name))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as stream:
        stream.write(content)
    os.utime(path, ns=(modified_ns, modified_ns))


def paths(folder: Path, source: str = "pos") -> list[str]:
    return [file.path for file in LandingArea.open(str(folder)).files(source)]


def content(folder: Path, file: LandingFile) -> bytes:
    return b"".join(LandingArea.open(str(folder)).chunks(file))


def test_files_are_found_at_any_depth_with_size_and_time(tmp_path: Path) -> None:
    put(tmp_path, "inventory/2010-12-01/08.jsonl.gz", b"12345")
    put(tmp_path, "inventory/a.csv")
    put(tmp_path, "inventories/b.csv")
    found = LandingArea.open(str(tmp_path)).files("inventory")
    assert [file.path for file in found] == ["inventory/2010-12-01/08.jsonl.gz", "inventory/a.csv"]
    assert found[0].size == 5
    assert found[0].modified == datetime(2010, 12, 1, 12, 0, 0, 123456, tzinfo=UTC)


def test_hidden_and_temporary_files_are_left_out_and_any_other_name_is_not(tmp_path: Path) -> None:
    for name in (
        ".x.csv",
        "_SUCCESS",
        "x.csv.tmp",
        "X.TMP",
        "_temporary/0/a.csv",
        "d/.hidden/b.csv",
        "up.tmp/c.csv",
        "a.csv#12",
    ):
        put(tmp_path, f"pos/{name}")
    for name in ("a_.csv", "notes.txt", "no suffix", "..odd..csv"):
        put(tmp_path, f"pos/{name}")
    assert paths(tmp_path) == ["pos/a_.csv", "pos/no suffix", "pos/notes.txt"]


def test_hostile_names_are_found_read_and_spelled_without_doubt(tmp_path: Path) -> None:
    names: list[str | bytes] = [
        "a#1.csv",
        "a%231.csv",
        "a\nb.csv",
        "c\x01.csv",
        "q'\".csv",
        "ü.csv",
        b"\xff.csv",
        "\\..csv",
    ]
    for number, name in enumerate(names):
        put(tmp_path / "pos", name, str(number).encode())
    found = LandingArea.open(str(tmp_path)).files("pos")
    assert {file.record_path: content(tmp_path, file) for file in found} == {
        "pos/a%231.csv": b"0",
        "pos/a%25231.csv": b"1",
        "pos/a%0Ab.csv": b"2",
        "pos/c%01.csv": b"3",
        "pos/q'\".csv": b"4",
        "pos/ü.csv": b"5",
        "pos/%ED%B3%BF.csv": b"6",
        "pos/\\..csv": b"7",
    }
    plans = Plans(Storage.open(str(tmp_path / "checkpoint")))
    plans.add(found)
    assert Plans(Storage.open(str(tmp_path / "checkpoint"))).compare(found) == ([], [])


@settings(max_examples=300, derandomize=True)
@given(st.text(), st.text())
def test_record_paths_are_as_different_as_paths_and_one_line_of_utf8(one: str, other: str) -> None:
    spelled = landing_file(one).record_path
    assert (spelled == landing_file(other).record_path) == (one == other)
    assert "#" not in spelled
    assert len(spelled.splitlines()) <= 1
    spelled.encode()


def test_links_and_pipes_are_listed_but_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("password")
    put(tmp_path, "landing/pos/a.csv")
    (tmp_path / "landing/pos/link.csv").symlink_to(secret)
    (tmp_path / "landing/pos/loop").symlink_to(tmp_path / "landing")
    os.mkfifo(tmp_path / "landing/pos/pipe.csv")
    landing = tmp_path / "landing"
    found = LandingArea.open(str(landing)).files("pos")
    assert [file.path for file in found] == ["pos/a.csv", "pos/link.csv", "pos/loop", "pos/pipe.csv"]
    for file in found[1:]:
        with pytest.raises(UnreadableFileError, match="not a regular file"):
            content(landing, file)


def test_the_landing_folder_and_a_sources_folder_may_be_links(tmp_path: Path) -> None:
    put(tmp_path, "disk/a.csv", b"content")
    (tmp_path / "landing").mkdir()
    (tmp_path / "landing/pos").symlink_to(tmp_path / "disk")
    (tmp_path / "link").symlink_to(tmp_path / "landing")
    (file,) = LandingArea.open(str(tmp_path / "link")).files("pos")
    assert content(tmp_path / "link", file) == b"content"


def test_a_missing_landing_folder_is_an_error_and_a_missing_source_is_no_files(tmp_path: Path) -> None:
    assert paths(tmp_path) == []
    with pytest.raises(LandingAreaError, match="is no folder: create it"):
        paths(tmp_path / "nowhere")
    for uri in ("", "gs://bucket"):
        with pytest.raises(LandingAreaError, match="give a folder or s3://bucket/prefix"):
            LandingArea.open(uri)


def test_only_the_planned_version_of_a_file_is_read(tmp_path: Path) -> None:
    put(tmp_path, "pos/a.csv", b"old")
    (file,) = LandingArea.open(str(tmp_path)).files("pos")
    assert content(tmp_path, file) == b"old"
    put(tmp_path, "pos/a.csv", b"new", modified_ns=time.time_ns())
    with pytest.raises(UnreadableFileError, match="the file changed after it was planned: 3 bytes of 2010-12-01T12:00"):
        content(tmp_path, file)
    (tmp_path / "pos/a.csv").unlink()
    with pytest.raises(UnreadableFileError, match="no such file now; deliver what it should hold under a new name"):
        content(tmp_path, file)


def test_a_file_that_changes_under_the_reader_is_an_error(tmp_path: Path) -> None:
    put(tmp_path, "pos/a.csv", b"x" * 3_000_000)
    (file,) = LandingArea.open(str(tmp_path)).files("pos")
    chunks = LandingArea.open(str(tmp_path)).chunks(file)
    next(chunks)
    with open(tmp_path / "pos/a.csv", "ab") as stream:
        stream.write(b"more")
    with pytest.raises(LandingAreaError, match=r"pos/a\.csv changed while it was read"):
        list(chunks)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """S3 as botocore plays it: what an emulator will not store, and the answers of S3 that it never gives."""
    client = boto3.client("s3", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    monkeypatch.setattr(landing_area, "_client", lambda _: client)
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def test_an_object_whose_key_climbs_is_asked_for_by_that_very_key(bucket: Stubber) -> None:
    key = "in/pos/../../secret.csv"
    listed = {"Key": key, "Size": 3, "ETag": '"abc"', "LastModified": NOON}
    bucket.add_response("list_objects_v2", {"Contents": [listed]}, {"Bucket": "b", "Prefix": "in/pos/"})
    (file,) = LandingArea.open("s3a://b/in/").files("pos")
    assert file == landing_file("pos/../../secret.csv", 3, "abc")
    body = StreamingBody(io.BytesIO(b"a\n1"), 3)
    bucket.add_response(
        "get_object", {"Body": body, "ContentLength": 3}, {"Bucket": "b", "Key": key, "IfMatch": '"abc"'}
    )
    assert b"".join(LandingArea.open("s3://b/in").chunks(file)) == b"a\n1"


def test_only_an_answer_on_the_content_makes_an_object_unreadable(bucket: Stubber) -> None:
    def chunks() -> list[bytes]:
        return list(LandingArea.open("s3://b").chunks(landing_file("pos/a.csv", 3)))

    for code in ("PreconditionFailed", "NoSuchKey"):
        bucket.add_client_error("get_object", code)
        with pytest.raises(UnreadableFileError, match="the file changed after it was planned"):
            chunks()
    bucket.add_response("get_object", {"Body": StreamingBody(io.BytesIO(b"1234"), 4), "ContentLength": 4})
    with pytest.raises(UnreadableFileError, match="4 bytes now"):
        chunks()
    # Right or load may be mended: such a file must not count as read.
    for code in ("AccessDenied", "SlowDown", "InternalError", "ExpiredToken"):
        bucket.add_client_error("get_object", code)
        with pytest.raises(ClientError, match=code):
            chunks()


def plans(folder: Path, snapshot_every: int = 50) -> Plans:
    return Plans(Storage.open(str(folder)), snapshot_every)


def test_a_plan_is_written_as_it_is_read_again(tmp_path: Path) -> None:
    first = [landing_file("pos/b.csv"), landing_file("pos/a.csv", 20, "b")]
    written = plans(tmp_path)
    assert written.last == -1
    assert (written.add(first), written.add([landing_file("pos/c.csv")])) == (0, 1)
    assert json.loads((tmp_path / "files/0.json").read_bytes()) == [
        {"path": "pos/b.csv", "size": 10, "etag": "a", "modified": "2010-12-01T12:00:00+00:00"},
        {"path": "pos/a.csv", "size": 20, "etag": "b", "modified": "2010-12-01T12:00:00+00:00"},
    ]
    read = plans(tmp_path)
    assert read.last == 1
    assert read.files_of(0) == first
    assert read.files_of(1) == [landing_file("pos/c.csv")]


def test_known_files_are_not_new_and_other_content_is_refused_with_both_versions(tmp_path: Path) -> None:
    written = plans(tmp_path)
    written.add([landing_file("pos/a#.csv"), landing_file("pos/b.csv")])
    touched = landing_file("pos/b.csv", modified=datetime(2011, 1, 1, tzinfo=UTC))
    changed = landing_file("pos/a#.csv", 12, "z", datetime(2010, 12, 2, tzinfo=UTC))
    new, refused = plans(tmp_path).compare([changed, touched, landing_file("pos/c.csv")])
    assert new == [landing_file("pos/c.csv")]
    assert [str(each) for each in refused] == [
        "pos/a%23.csv: refused, for batch 0 took 10 bytes of 2010-12-01T12:00:00Z (etag a) and now it is 12 bytes of "
        "2010-12-02T00:00:00Z (etag z): deliver the correction under a new name"
    ]


def test_snapshots_keep_all_files_and_a_start_reads_few_objects(tmp_path: Path) -> None:
    written = plans(tmp_path, snapshot_every=3)
    files = [landing_file(f"pos/{number:02}.csv", number) for number in range(11)]
    for file in files:
        written.add([file])
    assert sorted(os.listdir(tmp_path / "files")) == sorted(
        ["5.snapshot.json.gz", "8.snapshot.json.gz", *(f"{number}.json" for number in (6, 7, 8, 9, 10))]
    )
    read = plans(tmp_path, snapshot_every=3)
    assert read.last == 10
    assert [read.files_of(number) for number in range(11)] == [[file] for file in files]
    assert read.compare(files) == ([], [])
    read.add([landing_file("pos/11.csv")])
    assert sorted(os.listdir(tmp_path / "files")) == sorted(
        ["8.snapshot.json.gz", "11.snapshot.json.gz", "9.json", "10.json", "11.json"]
    )


@pytest.mark.parametrize("kept", range(4))
def test_a_crash_anywhere_in_taking_a_snapshot_loses_nothing(tmp_path: Path, kept: int) -> None:
    written = plans(tmp_path, snapshot_every=2)
    files = [landing_file(f"pos/{number}.csv") for number in range(3)]
    for file in files:
        written.add([file])
    # Before the snapshot of batch 3, after it, and after each plan that is removed.
    contents = {name: (tmp_path / "files" / name).read_bytes() for name in os.listdir(tmp_path / "files")}
    plans(tmp_path, snapshot_every=2).add([landing_file("pos/3.csv")])
    if kept == 0:
        (tmp_path / "files/3.snapshot.json.gz").unlink()
    for name in ["1.json", "0.json"][: max(0, 3 - kept)]:
        (tmp_path / "files" / name).write_bytes(contents[name])
    read = plans(tmp_path, snapshot_every=2)
    assert read.last == 3
    assert [read.files_of(number) for number in range(4)] == [[file] for file in [*files, landing_file("pos/3.csv")]]


def test_two_processes_cannot_plan_the_same_batch(tmp_path: Path) -> None:
    one, other = plans(tmp_path), plans(tmp_path)
    one.add([landing_file("pos/a.csv")])
    with pytest.raises(PlanError, match=r"another process wrote .*files/0\.json: only one may take in a source"):
        other.add([landing_file("pos/b.csv")])


def test_a_plan_whose_answer_was_lost_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 took the object, the answer did not arrive, and the client's second try finds the object there."""
    real = Storage.put_if_absent

    def answer_lost(storage: Storage, key: str, data: bytes) -> bool:
        return real(storage, key, data) and real(storage, key, data)

    monkeypatch.setattr(Storage, "put_if_absent", answer_lost)
    written = plans(tmp_path)
    assert (written.add([landing_file("pos/a.csv")]), written.last) == (0, 0)
    assert plans(tmp_path).files_of(0) == [landing_file("pos/a.csv")]


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("0.json", None, r"files/0\.json is missing: restore it"),
        ("1.json", b'[{"path": "pos/', r"files/1\.json is damaged .*: restore it from a backup"),
        ("1.json", b"", r"files/1\.json is damaged"),
        ("1.json", b"7", r"files/1\.json is damaged"),
        ("1.json", b'[{"path": "x"}]', r"an entry that is no file \(\{'path': 'x'\}\)"),
        ("2.snapshot.json.gz", b"\x1f\x8b", r"files/2\.snapshot\.json\.gz is damaged"),
    ],
)
def test_damaged_plans_are_refused(tmp_path: Path, name: str, damage: bytes | None, message: str) -> None:
    written = plans(tmp_path)
    for number in range(2):
        written.add([landing_file(f"pos/{number}.csv")])
    if damage is None:
        (tmp_path / "files" / name).unlink()
    else:
        (tmp_path / "files" / name).write_bytes(damage)
    with pytest.raises(PlanError, match=message):
        plans(tmp_path)


def test_batches_keep_to_their_bounds(tmp_path: Path) -> None:
    files = [landing_file(str(number), size) for number, size in enumerate([4, 4, 4, 50, 1, 1, 1, 1])]
    cut = [[file.size for file in batch] for batch in in_batches(files, Bounds(files=3, bytes=9))]
    assert cut == [[4, 4], [4], [50], [1, 1, 1], [1]]
    assert list(in_batches([], Bounds())) == []


@settings(max_examples=300, derandomize=True)
@given(st.lists(st.integers(0, 3 * TASK_BYTES), max_size=40), st.integers(1, 8))
def test_groups_hold_every_file_once_and_share_the_work(sizes: list[int], cores: int) -> None:
    files = [landing_file(str(number), size) for number, size in enumerate(sizes)]
    groups = in_groups(files, cores)
    assert sorted(file.path for group in groups for file in group) == sorted(file.path for file in files)
    assert all(groups)
    work = sum(sizes) + FILE_COST * len(files)
    most = min(TASK_BYTES, work // cores + 1)
    for group in groups:
        cost = sum(file.size + FILE_COST for file in group)
        largest = max(file.size + FILE_COST for file in group)
        assert len(group) == 1 or cost <= most + largest / 2 + 1


@pytest.mark.parametrize(
    ("word", "sources"),
    [
        ("pos", {"pos"}),
        ("stores", {"stores"}),
        ("reference", {"stores", "warehouses", "products"}),
        ("all", {"stores", "warehouses", "products", "pos", "inventory", "campaigns"}),
    ],
)
def test_a_word_of_the_command_line_stands_for_sources_reference_data_first(word: str, sources: set[str]) -> None:
    found = sources_of(word, load_contracts(CONTRACTS), Settings())
    assert set(found) == sources
    if word == "all":
        assert set(found[:3]) == {"stores", "warehouses", "products"}


@pytest.mark.parametrize("word", ["crm", "sales_kpis", ""])
def test_a_source_without_files_is_refused_with_the_ones_that_have(word: str) -> None:
    with pytest.raises(LakehouseError, match="does not come in files: choose one of reference, .*pos.*, all"):
        sources_of(word, load_contracts(CONTRACTS), Settings())
