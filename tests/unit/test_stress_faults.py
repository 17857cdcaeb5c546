"""The faulty S3 that stress runs go through: what it lets pass is untouched, and what it does it counts."""

import subprocess
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psutil
import pytest

from local.stress import faults, reshards
from local.stress.course import is_alive, is_session
from local.stress.deaths import POINTS_OF_A_STREAM, drawn
from local.stress.faults import FaultyS3


class Backend:
    """Remembers what reached it, and answers with it."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes]] = []
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                backend.seen.append((self.command, self.path, body))
                self.send_response(412 if self.headers.get("If-None-Match") else 200)
                self.send_header("ETag", '"e"')
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_HEAD(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "17")
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def backend() -> Iterator[Backend]:
    found = Backend()
    yield found
    found.server.shutdown()
    found.server.server_close()


def put(s3: FaultyS3, body: bytes, **headers: str) -> tuple[int, str | None, bytes]:
    connection = HTTPConnection("127.0.0.1", int(s3.endpoint.rpartition(":")[2]), timeout=20)
    try:
        connection.request("PUT", "/bucket/key%20a?partNumber=1", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("ETag"), answer.read()
    finally:
        connection.close()


def test_without_faults_requests_and_answers_pass_as_they_are(backend: Backend) -> None:
    with FaultyS3(backend.endpoint, 0.0, seed=1) as s3:
        assert put(s3, b"\x00body") == (200, '"e"', b"\x00body")
        assert put(s3, b"", **{"If-None-Match": "*"}) == (412, '"e"', b"")
        connection = HTTPConnection("127.0.0.1", int(s3.endpoint.rpartition(":")[2]), timeout=20)
        connection.request("HEAD", "/bucket/key")
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("Content-Length"), answer.read()) == (200, "17", b"")
        connection.close()
    path = "/bucket/key%20a?partNumber=1"
    assert backend.seen == [("PUT", path, b"\x00body"), ("PUT", path, b"")]
    assert s3.done.total() == 0


def test_faults_are_what_the_seed_says_and_a_lost_answer_was_carried_out(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "SLOW_SECONDS", 0.01)
    outcomes = []
    with FaultyS3(backend.endpoint, 1.0, seed=5) as s3:
        for number in range(30):
            try:
                outcomes.append(str(put(s3, str(number).encode())[0]))
            except OSError:  # RemoteDisconnected is one
                outcomes.append("gone")
    carried_out = {int(body) for _, _, body in backend.seen}
    lost = {number for number, outcome in enumerate(outcomes) if outcome == "gone" and number in carried_out}
    assert s3.done == {
        "503": outcomes.count("503"),
        "500": outcomes.count("500"),
        "reset": outcomes.count("gone") - len(lost),
        "lost answer": len(lost),
        "slow": outcomes.count("200"),
    }
    assert min(s3.done.values()) > 0


def test_a_run_begins_with_every_point_once_and_is_the_same_for_the_same_seed() -> None:
    deaths = drawn(3, 40)
    assert deaths[0].point == "gold.replaced"
    assert sorted(str(death.point) for death in deaths[1 : 1 + len(POINTS_OF_A_STREAM)]) == sorted(POINTS_OF_A_STREAM)
    assert {(death.job, death.what) for death in drawn(3, 400)} == {
        (job, what) for job in ("bronze", "silver", "gold") for what in ("all", "jvm", "driver", "worker")
    }
    owners = {"kinesis": "bronze", "ledger": "bronze", "bronze": "bronze", "silver": "silver", "gold": "gold"}
    at_points = {(str(death.point).partition(".")[0], death.job) for death in drawn(3, 400) if death.point}
    assert at_points == {*owners.items(), *(("maintenance", job) for job in ("bronze", "silver", "gold"))}
    assert drawn(3, 40) == deaths != drawn(4, 40)
    assert drawn(3, 5) == deaths[:5]


class ManyShards:
    """A stream with more shards than a page holds: all closed but the last."""

    def __init__(self, shards: int) -> None:
        self.split: list[str] = []
        self._shards = [
            {
                "ShardId": f"shard-{number}",
                "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "99"},
                "SequenceNumberRange": {} if number == shards - 1 else {"EndingSequenceNumber": "1"},
            }
            for number in range(shards)
        ]

    def list_shards(self, StreamName: str = "", NextToken: str = "") -> dict[str, Any]:
        assert bool(StreamName) != bool(NextToken), "Kinesis takes one of them"
        first = int(NextToken or 0)
        more = {"NextToken": str(first + 100)} if first + 100 < len(self._shards) else {}
        return {"Shards": self._shards[first : first + 100], **more}

    def split_shard(self, StreamName: str, ShardToSplit: str, NewStartingHashKey: str) -> None:
        self.split.append(ShardToSplit)


def test_reshards_go_on_when_a_stream_has_had_hundreds_of_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reshards, "SHORTEST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(reshards, "LONGEST_PAUSE_SECONDS", 0.01)
    kinesis = ManyShards(250)
    with reshards.Reshards(kinesis, ["stream"], seed=1) as running:  # type: ignore[arg-type]
        deadline = time.monotonic() + 10
        while running.done < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert set(kinesis.split) == {"shard-249"}
    assert len(kinesis.split) == running.done >= 3


@pytest.mark.parametrize(
    ("command", "meant"),
    [
        ("java -cp jars -Xmx1g org.apache.spark.deploy.SparkSubmit pyspark-shell", True),
        ("java -cp jars org.apache.spark.launcher.Main org.apache.spark.deploy.SparkSubmit pyspark-shell", False),
        ("java --add-modules=jdk.incubator.vector -XshowSettings:properties -version", False),
    ],
)
def test_the_jvm_that_dies_is_the_sessions_own(command: str, meant: bool) -> None:
    """A job outlives the death of the Java that it only asks for its version."""
    assert is_session(command.split()) is meant


def test_a_number_that_a_thread_has_by_now_is_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    child = subprocess.Popen(["sleep", "60"])
    process, over = psutil.Process(child.pid), threading.Event()
    assert is_alive(process)
    child.kill()
    child.wait()
    assert not is_alive(process)
    thread = threading.Thread(target=over.wait)
    thread.start()
    monkeypatch.setattr(process, "_pid", thread.native_id)
    try:
        assert not is_alive(process)
    finally:
        over.set()
        thread.join()
