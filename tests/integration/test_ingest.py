"""Landing files into bronze on real Delta tables: exactly once, through crashes, changed files and hostile names.

Batches of a usual size start no session. One test takes a session, as very large batches do, and gets the same table.
"""

import csv
import gzip
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from batch import bronze_table, file_tasks
from batch.bronze_table import Appended, BronzeTable, IngestError
from batch.ingest import Ingested, ingest
from batch.landing import Bounds, Plans
from batch.landing_area import LandingAreaError
from lakehouse.contracts import Contracts, load_contracts
from lakehouse.settings import CONTRACTS, Settings
from local.commands import batch as command
from runtime import spark as sessions
from runtime.delta_log import DeltaLog
from runtime.leases import LeaseLostError
from runtime.restores import RestoredTableError
from runtime.tables import open_table, table_version

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NOW = datetime(2011, 3, 1, 6, 30, tzinfo=UTC)
MODIFIED = datetime(2010, 12, 1, 23, 59, 59, 123456, tzinfo=UTC)
TILLS = Path(__file__).parents[2] / "local" / "sample"


def nobody() -> SparkSession:
    """The session of a run that needs none."""
    raise AssertionError("batches of this size are read without a session")


def _with_columns(contracts: Contracts, source: str, *names: str) -> Contracts:
    """The contracts, in which the source has these columns too: what a file is read for here is their content alone."""
    contract = contracts.source(source)
    more = tuple(replace(contract.column("customer_id"), name=name, stored_as=name) for name in names)
    own = replace(contract, columns=contract.columns + more)
    return Contracts({name: own if name == source else contracts[name] for name in contracts})


class Lake:
    """A landing area and a lake in one folder, or with their own addresses."""

    def __init__(self, landing: str, root: str, spark: Callable[[], SparkSession] = nobody) -> None:
        self.landing = landing
        self.root = root
        self.spark = spark
        self.contracts = _with_columns(load_contracts(CONTRACTS), "pos", "a", "b")

    def put(self, path: str, content: bytes | str, modified: datetime = MODIFIED) -> None:
        file = Path(self.landing) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        nanoseconds = int(modified.timestamp()) * 10**9 + modified.microsecond * 1000
        os.utime(file, ns=(nanoseconds, nanoseconds))

    def run(self, bounds: Bounds | None = None) -> Ingested:
        return ingest(self.spark, self.contracts, "pos", self.landing, self.root, lambda: NOW, bounds)

    @property
    def table(self) -> str:
        return f"{self.root}/bronze/pos"

    def rows(self) -> list[tuple[Any, ...]]:
        table = open_table(self.table)
        return sorted(tuple(row.values()) for row in table.read(table.schema.names).to_pylist())

    def payloads(self) -> dict[str, str]:
        found = self.rows()
        payloads = {row[0]: row[1] for row in found}
        assert len(payloads) == len(found), "a record is in bronze twice"
        return payloads

    def metadata(self) -> list[dict[str, Any]]:
        log = DeltaLog(self.root, "bronze.pos")
        commits = [log.commit(version) for version in range(table_version(self.table) + 1)]
        return [json.loads(each.metadata) for each in commits if each and each.metadata]

    def restore(self, version: int) -> None:
        DeltaTable(self.table).restore(version)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    (tmp_path / "landing").mkdir()
    return Lake(str(tmp_path / "landing"), str(tmp_path / "lake"))


def parquet(**columns: list[Any]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def put_every_kind(lake: Lake) -> Ingested:
    """Files of every kind, and what a run says of them."""
    lake.put("pos/2010-12-01.csv", "b,a\n1,x\n,\n3\n")
    lake.put("pos/2010-12-01/08.jsonl.gz", gzip.compress(b'{"a":1}\n\nbroken\n'))
    lake.put("pos/a.parquet", parquet(a=[1, None]))
    lake.put("pos/b.csv", b"a\n\xe9\n")
    lake.put("pos/cut.json.gz", gzip.compress(b'{"a":2}\n')[:-4])
    lake.put("pos/empty.csv", b"")
    lake.put("pos/header.csv", "a,b\n")
    lake.put("pos/notes.txt", "hello")
    lake.put("pos/.hidden.csv", "a\n1\n")
    lake.put("pos/_tmp/x.csv", "a\n1\n")
    lake.put("pos/x.csv.tmp", "a\n1\n")
    lake.put("inventory/other.csv", "a\n1\n")
    return Ingested("pos", batches=1, files=8, records=12, unreadable=3, passed_over=3)


def test_every_kind_of_file_becomes_rows_of_the_one_envelope(lake: Lake) -> None:
    assert put_every_kind(lake) == lake.run()

    def row(record_id: str, payload: str, encoding: str = "utf8") -> tuple[Any, ...]:
        return record_id, payload, encoding, NOW, None, date(2011, 3, 1)

    def unreadable(path: str, number: int, error: str, **more: str) -> tuple[Any, ...]:
        return row(f"{path}#{number}", json.dumps({"file": path, "error": error, **more}), "unreadable")

    fields = ", ".join(column.name for column in lake.contracts.source("pos").columns)
    no_header = (
        "the header shares no name with the contract pos: declare the source's dialect (lakehouse try FILE --source "
        f"pos shows it); expected {fields}; found 'hello'"
    )
    rows = lake.rows()
    # What the disk's clock puts after the look came with the look, in the order of the disk's clock.
    arrivals = [each[3] - NOW for each in rows]
    assert timedelta(0) <= min(arrivals) <= max(arrivals) < timedelta(milliseconds=1)
    assert [each[:3] + each[4:] for each in rows] == [
        row("pos/2010-12-01.csv#2", '{"b":"1","a":"x"}'),
        row("pos/2010-12-01.csv#3", '{"b":null,"a":null}'),
        row("pos/2010-12-01.csv#4", "3"),
        row("pos/2010-12-01/08.jsonl.gz#1", '{"a":1}'),
        row("pos/2010-12-01/08.jsonl.gz#3", "broken"),
        row("pos/a.parquet#1", '{"a":1}'),
        row("pos/a.parquet#2", '{"a":null}'),
        row("pos/b.csv#2", "6Q==", "base64"),
        row("pos/cut.json.gz#1", '{"a":2}'),
        unreadable("pos/cut.json.gz", 2, "broken gz: cut short"),
        unreadable("pos/empty.csv", 1, "empty file"),
        unreadable("pos/notes.txt", 1, no_header, line="hello"),
    ]


def test_a_run_takes_what_is_new_and_nothing_twice(lake: Lake) -> None:
    lake.put("pos/1.csv", "a\n1\n")
    assert lake.run() == Ingested("pos", batches=1, files=1, records=1)
    assert lake.run() == Ingested("pos")
    lake.put("pos/0.csv", "a\n0\n")
    lake.put("pos/copy.csv", "a\n1\n")
    assert lake.run() == Ingested("pos", batches=1, files=2, records=2)
    assert lake.payloads() == {"pos/0.csv#2": '{"a":"0"}', "pos/1.csv#2": '{"a":"1"}', "pos/copy.csv#2": '{"a":"1"}'}
    assert table_version(lake.table) == 2, "a run without new files must not commit"


def test_each_commit_names_its_files_with_their_records(lake: Lake) -> None:
    lake.put("pos/a#1.csv", "a\n1\n2\n")
    lake.put("pos/header.csv", "a\n")
    lake.run()
    (found,) = lake.metadata()
    etags = [
        entry["etag"] for entry in json.loads((Path(lake.root) / "checkpoints/bronze/pos/files/0.json").read_text())
    ]
    assert found.pop("code")
    assert found == {
        "job": "batch",
        "query": "bronze.pos",
        "batch": 0,
        "contract": "1.0.0",
        "inputs": [
            {"file": "pos/a%231.csv", "records": 2, "size": 6, "etag": etags[0]},
            {"file": "pos/header.csv", "records": 0, "size": 2, "etag": etags[1]},
        ],
        "counts": {"in": 2, "valid": 2, "rejected": {}, "duplicate": 0, "inserted": 2, "updated": 0},
        "drift": {},
    }


def test_files_without_any_row_are_done_with_too(lake: Lake) -> None:
    lake.put("pos/header.csv", "a,b\n")
    assert lake.run() == Ingested("pos", batches=1, files=1)
    assert lake.run() == Ingested("pos")
    assert lake.rows() == []


def test_a_backlog_goes_in_by_bounded_batches(lake: Lake) -> None:
    for number in range(5):
        lake.put(f"pos/{number}.csv", f"a\n{number}\n")
    assert lake.run(bounds=Bounds(files=2)) == Ingested("pos", batches=3, files=5, records=5)
    assert len(lake.payloads()) == 5
    assert [[file["file"] for file in each["inputs"]] for each in lake.metadata()] == [
        ["pos/0.csv", "pos/1.csv"],
        ["pos/2.csv", "pos/3.csv"],
        ["pos/4.csv"],
    ]


def test_a_changed_file_is_refused_by_name_and_the_others_go_in(lake: Lake) -> None:
    lake.put("pos/1.csv", "a\n1\n")
    lake.run()
    lake.put("pos/1.csv", "a\n100\n", datetime(2010, 12, 2, tzinfo=UTC))
    lake.put("pos/2.csv", "a\n2\n")
    for expected in (1, 0):
        done = lake.run()
        assert (done.files, done.records) == (expected, expected)
        (line,) = done.refused
        assert line.startswith("pos/1.csv: refused, for batch 0 took 4 bytes of 2010-12-01T23:59:59Z (etag ")
        assert "and now it is 6 bytes of 2010-12-02T00:00:00Z (etag " in line
        assert line.endswith("deliver the correction under a new name")
    assert lake.payloads() == {"pos/1.csv#2": '{"a":"1"}', "pos/2.csv#2": '{"a":"2"}'}


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours may catch it."""


def _kill_before_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr(bronze_table, "read_files", die)
    monkeypatch.setattr(bronze_table, "in_groups", die)


def _kill_before_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    _kill_at(monkeypatch, "files.before_commit")


def _kill_after_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    _kill_at(monkeypatch, "files.after_commit")


def _kill_at(monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    def passed(name: str) -> None:
        if name == point:
            raise Killed

    monkeypatch.setattr(bronze_table, "failpoint", passed)


def _kill_before_planning(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr(Plans, "add", die)


def killed(lake: Lake, kill: Callable[[pytest.MonkeyPatch], None]) -> None:
    """A run that dies where `kill` says."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        kill(monkeypatch)
        with pytest.raises(Killed):
            lake.run()


@pytest.mark.parametrize(
    ("kill", "repeated", "batches"),
    [
        (_kill_before_planning, Ingested("pos", 1, 3, 3), [["1", "2", "late"]]),
        (_kill_before_reading, Ingested("pos", 2, 3, 3), [["1", "2"], ["late"]]),
        (_kill_before_the_commit, Ingested("pos", 2, 3, 3), [["1", "2"], ["late"]]),
        (_kill_after_the_commit, Ingested("pos", 1, 1, 1), [["1", "2"], ["late"]]),
    ],
)
def test_a_crash_at_any_step_repeats_the_planned_batch_and_no_other(
    lake: Lake, kill: Callable[[pytest.MonkeyPatch], None], repeated: Ingested, batches: list[list[str]]
) -> None:
    lake.put("pos/1.csv", "a\n1\n")
    lake.put("pos/2.csv", "a\n2\n")
    killed(lake, kill)
    lake.put("pos/late.csv", "a\n3\n")
    assert lake.run() == repeated
    assert lake.run() == Ingested("pos")
    assert lake.payloads() == {"pos/1.csv#2": '{"a":"1"}', "pos/2.csv#2": '{"a":"2"}', "pos/late.csv#2": '{"a":"3"}'}
    assert [[file["file"] for file in each["inputs"]] for each in lake.metadata()] == [
        [f"pos/{name}.csv" for name in batch] for batch in batches
    ]


def test_a_planned_file_that_changed_before_it_was_read_is_never_read_as_the_planned_one(lake: Lake) -> None:
    lake.put("pos/1.csv", "a\n1\n")
    lake.put("pos/2.csv", "a\n2\n")
    lake.put("pos/gone.csv", "a\n3\n")
    killed(lake, _kill_before_reading)
    lake.put("pos/1.csv", "a\nother\n", datetime(2010, 12, 2, tzinfo=UTC))
    (Path(lake.landing) / "pos/gone.csv").unlink()
    done = lake.run()
    assert (done.batches, done.files, done.records, done.unreadable, len(done.refused)) == (1, 3, 3, 2, 1)
    payloads = lake.payloads()
    assert sorted(payloads) == ["pos/1.csv#1", "pos/2.csv#2", "pos/gone.csv#1"]
    assert "the file changed after it was planned" in json.loads(payloads["pos/1.csv#1"])["error"]
    assert "no such file now" in json.loads(payloads["pos/gone.csv#1"])["error"]


def test_a_file_that_changes_under_the_reader_fails_the_batch_with_one_line(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.put("pos/1.csv", "a\n1\n")
    monkeypatch.setattr(bronze_table, "read_files", _failing)
    with pytest.raises(IngestError) as caught:
        lake.run()
    assert str(caught.value).startswith("batch 0 of pos was not taken in: ")
    assert "pos/1.csv changed while it was read" in str(caught.value)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert lake.run() == Ingested("pos", 1, 1, 1)


def _failing(*_: Any, **__: Any) -> Iterator[pa.RecordBatch]:
    raise LandingAreaError("pos/1.csv changed while it was read")
    yield


def test_progress_that_contradicts_the_table_is_refused(lake: Lake) -> None:
    for number in range(3):
        lake.put(f"pos/{number}.csv", f"a\n{number}\n")
        lake.run()
    checkpoint = Path(lake.root) / "checkpoints/bronze/pos"
    kept = checkpoint.with_name("kept")
    before = lake.payloads()

    shutil.move(checkpoint, kept)
    with pytest.raises(
        IngestError, match=r"has no metadata\.json, but .*/bronze/pos holds rows.*Restore the checkpoint"
    ):
        lake.run()
    with pytest.raises(IngestError, match=r"has no metadata\.json"):
        lake.run()
    shutil.rmtree(checkpoint, ignore_errors=True)
    shutil.copytree(kept, checkpoint)
    (checkpoint / "files/2.json").unlink()
    with pytest.raises(IngestError, match=r"holds batch 2, but the newest plan in .* is 1: restore the checkpoint"):
        lake.run()
    shutil.copy(kept / "files/2.json", checkpoint / "files/2.json")
    (checkpoint / "metadata.json").write_text("{")
    with pytest.raises(IngestError, match=r"metadata\.json is damaged: restore it"):
        lake.run()
    shutil.copy(kept / "metadata.json", checkpoint / "metadata.json")
    assert lake.run() == Ingested("pos")
    assert lake.payloads() == before


def test_a_removed_table_comes_back_from_the_plans(lake: Lake) -> None:
    for number in range(3):
        lake.put(f"pos/{number}.csv", f"a\n{number}\n")
        lake.run()
    before = lake.rows()
    shutil.rmtree(lake.table)
    assert lake.run() == Ingested("pos", 3, 3, 3)
    assert lake.rows() == before


def test_a_table_restored_to_an_older_version_is_refused_until_it_is_restored_back(lake: Lake) -> None:
    for number in range(3):
        lake.put(f"pos/{number}.csv", f"a\n{number}\n")
        lake.run()
    lake.restore(2)
    lake.put("pos/late.csv", "a\n3\n")
    for _ in range(2):
        with pytest.raises(RestoredTableError, match=r"RESTORE TABLE delta\.`.*/bronze/pos` TO VERSION AS OF 3 "):
            lake.run()
    lake.restore(3)
    assert lake.run() == Ingested("pos", 1, 1, 1)
    assert len(lake.payloads()) == 4


def test_a_table_restored_between_two_batches_of_a_run_is_refused(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.put("pos/0.csv", "a\n0\n")
    lake.run()
    append = BronzeTable.append

    def append_and_restore(table: BronzeTable, *batch: Any) -> Appended:
        appended = append(table, *batch)
        lake.restore(1)
        return appended

    for number in range(1, 4):
        lake.put(f"pos/{number}.csv", f"a\n{number}\n")
    with monkeypatch.context() as patch:
        patch.setattr(BronzeTable, "append", append_and_restore)
        with pytest.raises(RestoredTableError, match="TO VERSION AS OF 2 "):
            lake.run(bounds=Bounds(files=1))
    with pytest.raises(RestoredTableError, match="TO VERSION AS OF 2 "):
        lake.run()
    lake.restore(2)
    lake.run()
    assert len(lake.payloads()) == 4


def test_a_process_that_is_late_notices_that_another_one_took_in_its_batch(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one begins while this one reads, and finds a batch that is planned and not in the table."""
    read, other = file_tasks.read_files, Lake(lake.landing, lake.root)
    calls: list[int] = []

    def slow(*given: Any) -> Iterator[pa.RecordBatch]:
        calls.append(1)
        if len(calls) == 1:
            assert other.run() == Ingested("pos", 1, 1, 1)
        yield from read(*given)

    lake.put("pos/0.csv", "a\n0\n")
    monkeypatch.setattr(bronze_table, "read_files", slow)
    with pytest.raises(IngestError, match="holds batch 0 after batch 0 was written: another process takes in pos too"):
        lake.run()
    assert lake.run() == Ingested("pos")
    assert lake.payloads() == {"pos/0.csv#2": '{"a":"0"}'}


def told(lake: Lake) -> list[tuple[Any, ...]]:
    """What the first commit says of its files and counts."""
    first = lake.metadata()[0]
    return [first["counts"], *((each["file"], each["records"], each["size"]) for each in first["inputs"])]


@pytest.mark.parametrize("limit", ["READ_HERE", "HELD_HERE"])
def test_executors_take_in_what_this_process_does_and_as_exactly(
    spark: SparkSession, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """A session, for very large batches are read by its tasks: here every batch is one, by its files or its rows."""
    put_every_kind(lake)
    here = lake.run()
    monkeypatch.setattr(bronze_table, limit, -1)
    there = Lake(lake.landing, str(tmp_path / "by executors"), lambda: spark)
    killed(there, _kill_before_the_commit)
    assert there.run() == here
    assert there.run() == Ingested("pos", passed_over=here.passed_over)
    assert there.rows() == lake.rows()
    assert told(there) == told(lake)

    # A later batch, whose commit is made and not told of, beside one that this process takes in.
    there.put("pos/late.csv", "a\n1\n")
    killed(there, _kill_after_the_commit)
    assert there.run() == Ingested("pos", passed_over=here.passed_over)
    monkeypatch.undo()
    there.put("pos/later.csv", "a\n2\n")
    there.spark = nobody
    assert there.run() == Ingested("pos", 1, 1, 1, passed_over=here.passed_over)
    assert len(there.payloads()) == here.records + 2

    # A process that is late: Delta skips what it takes for an old batch, without a word.
    monkeypatch.setattr(bronze_table, "READ_HERE", -1)
    there.spark = lambda: spark
    there.put("pos/last.csv", "a\n3\n")
    before = there.payloads()
    with monkeypatch.context() as patch:
        patch.setattr(Plans, "add", lambda *_: 0)
        with pytest.raises(IngestError, match="holds batch 2 after batch 0 was written: another process takes in pos"):
            there.run()
    assert there.payloads() == before
    with monkeypatch.context() as patch:
        patch.setattr(bronze_table, "read_groups", _failing)
        with pytest.raises(IngestError, match=r"^batch 3 of pos was not taken in: .*1\.csv changed while it was read"):
            there.run()
    assert there.run() == Ingested("pos", 1, 1, 1, passed_over=here.passed_over)


@pytest.mark.parametrize(("lost_at", "planned"), [(1, 0), (2, 1)], ids=["before the plan", "before the commit"])
def test_a_run_that_lost_its_lease_commits_nothing(lake: Lake, lost_at: int, planned: int) -> None:
    lake.put("pos/1.csv", "a\n1\n")
    asked: list[int] = []

    def lease() -> None:
        asked.append(1)
        if len(asked) >= lost_at:
            raise LeaseLostError("token 2")

    with pytest.raises(LeaseLostError):
        ingest(nobody, lake.contracts, "pos", lake.landing, lake.root, lambda: NOW, still_ours=lease)
    assert lake.rows() == []
    plans = Path(lake.root) / "checkpoints/bronze/pos/files"
    assert len(list(plans.glob("*"))) == planned
    assert lake.run() == Ingested("pos", batches=1, files=1, records=1)


def test_real_till_files_are_in_bronze_line_by_line(lake: Lake) -> None:
    files = sorted(TILLS.rglob("*.csv")) + sorted(TILLS.rglob("*.csv.gz"))
    assert files, f"{TILLS} holds no till files"
    wanted: dict[str, str] = {}
    for file in files:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        lake.put(f"pos/{file.name}", file.read_bytes())
        reader = csv.reader(io.StringIO(content.decode(), newline=""))
        header = next(reader)
        lake.contracts = _with_columns(load_contracts(CONTRACTS), "pos", *header)
        start = reader.line_num + 1
        for cells in reader:
            row = dict(zip(header, (cell or None for cell in cells), strict=True))
            wanted[f"pos/{file.name}#{start}"] = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
            start = reader.line_num + 1
    assert lake.run() == Ingested("pos", 1, len(files), len(wanted))
    assert lake.payloads() == wanted


@pytest.fixture
def s3_lake(emulator: Settings, bucket: str) -> Lake:
    return Lake(f"s3://{bucket}/in", f"s3://{bucket}/lake")


def test_objects_with_any_key_go_in_once(s3_lake: Lake, s3: "S3Client", bucket: str) -> None:
    contents: dict[str, bytes] = {
        "pos/2010-12-01.csv": b"a\n1\n",
        "pos/2010-12-01/08.jsonl.gz": gzip.compress(b'{"a":2}\n'),
        "pos/a.parquet": parquet(a=[3]),
        "pos/a#1 'q\".csv": b"a\n4\n",
        "pos/ctrl\x01.csv": b"a\n5\n",
        "pos//double.csv": b"a\n6\n",
        "pos/%23.csv": b"a\n7\n",
        "pos/empty.csv": b"",
        "pos/folder/": b"",
        "pos/_SUCCESS": b"",
        "position/x.csv": b"a\n8\n",
    }
    for key, content in contents.items():
        s3.put_object(Bucket=bucket, Key=f"in/{key}", Body=content)
    assert s3_lake.run() == Ingested("pos", 1, 8, 8, 1, passed_over=1)
    assert s3_lake.run() == Ingested("pos", passed_over=1)
    payloads = s3_lake.payloads()
    empty = payloads.pop("pos/empty.csv#1")
    assert json.loads(empty) == {"file": "pos/empty.csv", "error": "empty file"}
    assert payloads == {
        "pos/2010-12-01.csv#2": '{"a":"1"}',
        "pos/2010-12-01/08.jsonl.gz#1": '{"a":2}',
        "pos/a.parquet#1": '{"a":3}',
        "pos/a%231 'q\".csv#2": '{"a":"4"}',
        "pos/ctrl%01.csv#2": '{"a":"5"}',
        "pos//double.csv#2": '{"a":"6"}',
        "pos/%2523.csv#2": '{"a":"7"}',
    }


def test_an_object_is_read_as_planned_or_not_at_all(s3_lake: Lake, s3: "S3Client", bucket: str) -> None:
    for name in ("same", "changed", "gone"):
        s3.put_object(Bucket=bucket, Key=f"in/pos/{name}.csv", Body=b"a\n1\n")
    killed(s3_lake, _kill_before_reading)
    s3.put_object(Bucket=bucket, Key="in/pos/same.csv", Body=b"a\n1\n")  # written again, same content: same etag
    s3.put_object(Bucket=bucket, Key="in/pos/changed.csv", Body=b"a\n2\n")
    s3.delete_object(Bucket=bucket, Key="in/pos/gone.csv")
    done = s3_lake.run()
    assert (done.batches, done.files, done.records, done.unreadable) == (1, 3, 3, 2)
    assert [line.split(":")[0] for line in done.refused] == ["pos/changed.csv"]
    payloads = s3_lake.payloads()
    assert payloads["pos/same.csv#2"] == '{"a":"1"}'
    assert "another entity tag now" in json.loads(payloads["pos/changed.csv#1"])["error"]
    assert "no such object now" in json.loads(payloads["pos/gone.csv#1"])["error"]


def test_a_bucket_that_is_not_there_is_one_clear_line(s3_lake: Lake) -> None:
    s3_lake.landing = "s3://no-such-bucket-here/in"
    with pytest.raises(
        LandingAreaError, match="landing s3://no-such-bucket-here/in/pos cannot be listed: .*NoSuchBucket"
    ):
        s3_lake.run()


def test_the_command_takes_in_reference_data_and_reports_refusals(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sessions, "create_session", lambda *_: nobody())
    settings = Settings(root=lake.root, landing=lake.landing)
    lake.put("stores/stores.csv", "store_id,region,country,valid_from\n1,uk,GB,2010-01-01T00:00:00Z\n")
    lake.put("products/p.jsonl", '{"product_id":"85123A"}\n')
    command.run("reference", settings, json=True)
    printed = json.loads(capsys.readouterr().out)
    assert {each["source"]: (each["files"], each["records"]) for each in printed["sources"]} == {
        "stores": (1, 1),
        "warehouses": (0, 0),
        "products": (1, 1),
    }
    assert printed["seconds"] > 0

    lake.put("stores/stores.csv", "store_id\n", datetime(2011, 1, 1, tzinfo=UTC))
    with pytest.raises(command.RefusedFilesError, match=r"1 file\(s\) refused"):
        command.run("reference", settings)
    out, err = capsys.readouterr()
    assert (
        "stores: 0 records of 0 new files in 0 batches (0 files unreadable, 1 refused, 0 passed over)"
        in out.splitlines()
    )
    assert err.startswith("stores/stores.csv: refused, for batch 0 took ")
    assert len(err.splitlines()) == 1
