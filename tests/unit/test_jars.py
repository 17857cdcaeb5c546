"""The pinned jars: fetched once, verified, never trusted blindly."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from runtime import cache, jars
from runtime.jars import Jar, JarError, fetch, jar_paths, pinned_jars


class Repository:
    """A Maven repository on this machine that keeps count of what was asked of it."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.failures: dict[str, list[int]] = {}
        self.requests: list[str] = []
        repository = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rsplit("/", 1)[-1]
                repository.requests.append(self.path)
                failures = repository.failures.get(name, [])
                content = repository.files.get(self.path)
                code = failures.pop(0) if failures else 200 if content is not None else 404
                self.send_response(code)
                self.end_headers()
                self.wfile.write(content or b"" if code == 200 else b"")

            def log_message(self, format: str, *arguments: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/maven2"

    def add(self, artifact: str, content: bytes) -> Jar:
        jar = Jar("org.example.deep", artifact, "1.0", hashlib.sha256(content).hexdigest())
        self.files[f"/maven2/org/example/deep/{artifact}/1.0/{artifact}-1.0.jar"] = content
        return jar


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    served = Repository()
    threading.Thread(target=served.server.serve_forever, daemon=True).start()
    monkeypatch.setenv("LAKEHOUSE_MAVEN_MIRROR", served.address + "/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(jars, "FIRST_WAIT_SECONDS", 0.001)
    yield served
    served.server.shutdown()
    served.server.server_close()


def test_the_list_pins_delta_s3a_and_only_the_sdk_modules_that_s3a_uses() -> None:
    pinned = {jar.coordinates for jar in pinned_jars()}
    assert len(pinned) == 47
    assert {
        "io.delta:delta-spark_4.1_2.13:4.2.0",
        "org.apache.hadoop:hadoop-aws:3.4.2",
        "org.apache.spark:spark-hadoop-cloud_2.13:4.1.1",
        "software.amazon.awssdk:s3:2.29.52",
        "software.amazon.awssdk:s3-transfer-manager:2.29.52",
        "software.amazon.awssdk:sts:2.29.52",
        "software.amazon.awssdk:netty-nio-client:2.29.52",
    } <= pinned
    assert not any(":bundle:" in coordinates for coordinates in pinned)


def test_a_jar_lies_where_maven_repositories_put_it() -> None:
    jar = Jar("io.delta", "delta-storage", "4.2.0", "0" * 64)
    assert jar.repository_path == "io/delta/delta-storage/4.2.0/delta-storage-4.2.0.jar"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('"io.delta:delta-storage" = "{digest}"', "'io.delta:delta-storage'"),
        ('"io.delta::4.2.0" = "{digest}"', "'io.delta::4.2.0'"),
        ('"io.delta:delta-storage:4.2.0" = "abc"', "'abc'"),
        ('"a:x:1" = "{digest}"\n"b:x:1" = "{digest}"', "two entries have the file name x-1.jar"),
    ],
)
def test_a_wrong_entry_of_the_list_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "jars.toml"
    path.write_text("[jars]\n" + line.replace("{digest}", "0" * 64))
    with pytest.raises(JarError, match=message):
        pinned_jars(path)


def test_missing_jars_are_fetched_once_and_reused_without_the_network(repository: Repository, tmp_path: Path) -> None:
    wanted = [repository.add(f"part{number}", b"content %d" % number) for number in range(20)]
    paths = fetch(wanted, tmp_path / "new" / "folder")
    assert paths == [tmp_path / "new" / "folder" / f"part{number}-1.0.jar" for number in range(20)]
    assert [path.read_bytes() for path in paths] == [b"content %d" % number for number in range(20)]
    assert len(repository.requests) == 20
    repository.server.shutdown()
    assert fetch(wanted, tmp_path / "new" / "folder") == paths
    assert len(repository.requests) == 20
    assert sorted(entry.name for entry in paths[0].parent.iterdir()) == sorted(path.name for path in paths)


def test_only_a_damaged_jar_is_fetched_again(repository: Repository, tmp_path: Path) -> None:
    wanted = [repository.add("whole", b"whole"), repository.add("broken", b"as it was pinned")]
    _, broken = fetch(wanted, tmp_path)
    broken.write_bytes(b"as it w")
    repository.requests.clear()
    fetch(wanted, tmp_path)
    assert broken.read_bytes() == b"as it was pinned"
    assert repository.requests == ["/maven2/org/example/deep/broken/1.0/broken-1.0.jar"]


def test_another_file_under_the_pinned_name_is_refused_and_not_kept(repository: Repository, tmp_path: Path) -> None:
    jar = repository.add("forged", b"what was pinned")
    repository.files["/maven2/org/example/deep/forged/1.0/forged-1.0.jar"] = b"something else"
    with pytest.raises(JarError) as refusal:
        fetch([jar], tmp_path)
    assert hashlib.sha256(b"something else").hexdigest() in str(refusal.value)
    assert jar.sha256 in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_a_busy_repository_is_asked_again(repository: Repository, tmp_path: Path) -> None:
    jar = repository.add("busy", b"in the end")
    repository.failures["busy-1.0.jar"] = [503, 429, 500]
    assert fetch([jar], tmp_path)[0].read_bytes() == b"in the end"
    assert len(repository.requests) == 4


def test_after_four_failures_the_error_names_jar_address_and_what_to_do(repository: Repository, tmp_path: Path) -> None:
    jar = repository.add("down", b"never served")
    repository.failures["down-1.0.jar"] = [503] * 9
    with pytest.raises(JarError) as failure:
        fetch([jar], tmp_path)
    assert "org.example.deep:down:1.0" in str(failure.value)
    assert f"{repository.address}/org/example/deep/down/1.0/down-1.0.jar" in str(failure.value)
    assert "LAKEHOUSE_MAVEN_MIRROR" in str(failure.value)
    assert len(repository.requests) == 4


def test_a_jar_that_the_repository_does_not_have_is_asked_for_once(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(JarError, match="404"):
        fetch([Jar("org.example", "absent", "1.0", "0" * 64)], tmp_path)
    assert len(repository.requests) == 1


def test_an_unreachable_mirror_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars, "FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("LAKEHOUSE_MAVEN_MIRROR", "http://127.0.0.1:1")
    with pytest.raises(JarError, match="could not be fetched from http://127.0.0.1:1/a/b/1/b-1.jar"):
        fetch([Jar("a", "b", "1", "0" * 64)], tmp_path)
    monkeypatch.setenv("LAKEHOUSE_MAVEN_MIRROR", "maven.example.org")
    with pytest.raises(JarError, match="maven.example.org/a/b"):
        fetch([Jar("a", "b", "1", "0" * 64)], tmp_path)


def test_the_cache_folder_depends_on_the_checkout_not_on_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAKEHOUSE_CACHE_DIRECTORY", raising=False)
    monkeypatch.chdir(tmp_path)
    checkout = Path(__file__).resolve().parents[2]
    assert cache.cache_directory() == checkout / ".lakehouse" / "cache"
    monkeypatch.setenv("LAKEHOUSE_CACHE_DIRECTORY", "elsewhere")
    assert cache.cache_directory() == tmp_path / "elsewhere"


def test_an_installed_package_uses_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAKEHOUSE_CACHE_DIRECTORY", raising=False)
    monkeypatch.setattr(cache, "CHECKOUT", tmp_path / "site-packages")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache.cache_directory() == tmp_path / "cache" / "shopware-lakehouse"


def test_a_cache_folder_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LAKEHOUSE_CACHE_DIRECTORY", str(tmp_path / "file"))
    with pytest.raises(JarError, match="set LAKEHOUSE_CACHE_DIRECTORY"):
        jar_paths()
