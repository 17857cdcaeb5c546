"""A store that is full, read-only or refuses: nothing half written, a message with the way out, then on it goes."""

import http.server
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lakehouse.errors import LakehouseError
from runtime.storage import Storage, StorageError, UnwritableError

BYTES = b"x" * 30_000
WRITES: list[Callable[[Storage, str, bytes], object]] = [Storage.put_if_absent, Storage.put]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"only root can make a small disk: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("write", WRITES)
def test_a_full_disk_leaves_nothing_half_written_and_says_to_make_room(
    disk: Path, write: Callable[[Storage, str, bytes], object]
) -> None:
    storage = Storage.open(str(disk / "ledger"))
    assert storage.put_if_absent("0", BYTES)
    full = disk / "full"
    full.write_bytes(BYTES)
    with pytest.raises(UnwritableError) as refused:
        write(storage, "1", BYTES)
    assert str(refused.value).startswith(f"{disk}/ledger/1 cannot be written: ")
    assert str(refused.value).endswith(
        "No space left on device (os error 28): free space there and start again: what was begun is taken up where it "
        "stopped"
    )
    assert isinstance(refused.value, LakehouseError)
    assert [each.key for each in storage.list()] == ["0"]
    assert [file.name for file in (disk / "ledger").iterdir()] == ["0"]

    full.unlink()
    write(storage, "1", BYTES)
    assert storage.read("1") == BYTES


def test_an_object_that_is_there_survives_a_full_disk(disk: Path) -> None:
    storage = Storage.open(str(disk))
    storage.put("plan", b"old")
    (disk / "full").write_bytes(b"y" * 50_000)
    with pytest.raises(UnwritableError):
        storage.put("plan", BYTES)
    assert storage.read("plan") == b"old"


@pytest.mark.parametrize("write", WRITES)
def test_a_read_only_disk_is_told_with_the_way_out(disk: Path, write: Callable[[Storage, str, bytes], object]) -> None:
    storage = Storage.open(str(disk))
    storage.put("0", b"0")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(UnwritableError, match=r"Read-only file system .*: make it writable, or name another root"):
        write(storage, "1", b"1")
    assert storage.read("0") == b"0"
    with pytest.raises(UnwritableError, match=r"new cannot be written: .*Read-only file system .*: make it writable"):
        write(Storage.open(str(disk / "new")), "1", b"1")


@pytest.fixture(params=[(403, "AccessDenied", "give the job's role the right"), (507, "Full", "free space there")])
def refusing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket that takes nothing, and the way out that is to be told."""
    status, code, way_out = request.param

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = do_PUT  # noqa: N815

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        yield way_out
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("write", WRITES)
def test_a_bucket_that_refuses_is_told_with_the_way_out(
    refusing: str, write: Callable[[Storage, str, bytes], object], tmp_path: Path
) -> None:
    with pytest.raises(UnwritableError) as refused:
        write(Storage.open(f"s3://{tmp_path.name.replace('_', '-')}/lake"), "1", b"1")
    assert refusing in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("refusing", [(403, "AccessDenied", "give the job's role the right")], indirect=True)
@pytest.mark.parametrize(
    ("use", "told"),
    [
        (lambda storage: storage.read("1"), "/1 cannot be read: "),
        (lambda storage: list(storage.chunks("1")), "/1 cannot be read: "),
        (lambda storage: storage.list("some"), "/some cannot be listed: "),
        (lambda storage: storage.delete("1"), "/1 cannot be deleted: "),
    ],
    ids=["read", "chunks", "list", "delete"],
)
def test_a_bucket_that_does_not_answer_is_told_in_one_line(
    refusing: str, use: Callable[[Storage], object], told: str, tmp_path: Path
) -> None:
    storage = Storage.open(f"s3://{tmp_path.name.replace('_', '-')}/lake")
    with pytest.raises(StorageError) as refused:
        use(storage)
    assert str(refused.value).startswith(f"{storage.uri}{told}")
    assert refusing in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert isinstance(refused.value, LakehouseError)
