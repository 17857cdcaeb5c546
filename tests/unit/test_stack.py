"""The local stack's bookkeeping: no emulator runs here (tests/integration/test_stack.py starts real ones)."""

import json
import os
import socket
import sys
from pathlib import Path

import psutil
import pytest

from lakehouse.settings import Settings
from local import emulator_installation, emulator_process, stack
from local.emulator_installation import EmulatorInstallationError, Installation
from local.emulator_process import EmulatorError, EmulatorProcess


@pytest.fixture(autouse=True)
def _no_aws_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_directory=tmp_path / "state", region="eu-west-1")


def record(settings: Settings, pid: int, created: float) -> EmulatorProcess:
    """Leaves the record of an emulator as `start` does."""
    state = settings.state_directory
    state.mkdir(parents=True)
    process = EmulatorProcess(pid, created, 4599, state / "emulator", state / "emulator.log")
    fields = {"pid": pid, "created": created, "port": 4599, "directory": str(process.directory)}
    (state / "stack.json").write_text(json.dumps(fields | {"log": str(process.log)}))
    return process


def test_nothing_runs_in_a_new_state_directory(settings: Settings) -> None:
    assert stack.running(settings) is None
    assert stack.status(settings) == stack.Status(running=False)
    assert stack.environment(settings) == {}
    assert stack.stop(settings) is None


def test_the_environment_leads_to_the_running_emulator(settings: Settings) -> None:
    process = record(settings, os.getpid(), psutil.Process().create_time())
    assert stack.running(settings) == process
    assert stack.environment(settings) == {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:4599",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }


def test_a_proxy_is_passed_by_for_the_emulator(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    record(settings, os.getpid(), psutil.Process().create_time())
    monkeypatch.setenv("http_proxy", "http://proxy.example.org:3128")
    monkeypatch.setenv("no_proxy", "example.org")
    assert stack.environment(settings)["no_proxy"] == "example.org,127.0.0.1,localhost"
    assert stack.environment(settings)["NO_PROXY"] == "example.org,127.0.0.1,localhost"


def test_another_process_with_the_recorded_id_is_not_taken_for_the_emulator(settings: Settings) -> None:
    record(settings, os.getpid(), psutil.Process().create_time() - 3600)
    assert stack.running(settings) is None
    assert stack.environment(settings) == {}
    assert stack.stop(settings) is None
    assert not (settings.state_directory / "stack.json").exists()


def test_with_an_endpoint_given_nothing_is_started_or_stopped(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = record(settings, os.getpid(), psutil.Process().create_time())
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://emulator.example.org:4566")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    assert stack.environment(settings) == {
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    assert stack.stop(settings) is None
    assert process.is_alive
    assert (settings.state_directory / "stack.json").exists()


def test_the_exported_endpoint_of_our_own_emulator_does_not_make_it_somebody_elses(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(settings, os.getpid(), psutil.Process().create_time() - 3600)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4599")
    assert stack.environment(settings) == {}
    stack.stop(settings)
    assert not (settings.state_directory / "stack.json").exists()
    assert stack.environment(settings)["AWS_ACCESS_KEY_ID"] == "test"


def test_resources_need_a_stack(settings: Settings) -> None:
    with pytest.raises(EmulatorError, match="does not run: start it with `lakehouse up`"):
        stack.ensure_resources(settings)


def test_an_endpoint_that_does_not_answer_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(EmulatorError, match="http://127.0.0.1:1 does not answer as AWS would: .*unset it"):
        stack.start(settings)


def test_a_damaged_record_is_named(settings: Settings) -> None:
    settings.state_directory.mkdir()
    (settings.state_directory / "stack.json").write_text('{"pid": 1')
    with pytest.raises(EmulatorError, match=r"stack\.json is damaged"):
        stack.running(settings)


def test_a_taken_port_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        installation = Installation(Path("/no/python"), tmp_path, tmp_path)
        with pytest.raises(EmulatorError, match=f"port {port} is taken by another program"):
            emulator_process.spawn(installation, tmp_path / "data", tmp_path / "log", port)
    assert not (tmp_path / "data").exists()


def test_an_emulator_that_ends_at_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "emulator.log"
    log.write_text("one\n\ntwo\nNo component plugins found\nbye\n")
    dead = EmulatorProcess(2**22 + 1, 0.0, 1, tmp_path / "data", log)
    with pytest.raises(EmulatorError, match=r"ended at start: two \| No component plugins found \| bye \(all of it: "):
        emulator_process.wait_until_ready(dead)


def test_an_emulator_that_never_answers_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("")
    silent = EmulatorProcess(os.getpid(), psutil.Process().create_time(), 1, tmp_path / "data", tmp_path / "log")
    with pytest.raises(EmulatorError, match=r"did not answer on port 1 within 0 s: its log is empty"):
        emulator_process.wait_until_ready(silent, seconds=0.2)


def test_node_of_the_machine_is_taken_when_it_is_recent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, version in (("old", "v12.22.0"), ("recent", "v22.1.0")):
        for name in ("node", "npm"):
            program = tmp_path / folder / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(f"#!/bin/sh\necho {version}\n")
            program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{Path(sys.prefix) / 'bin'}:{tmp_path / 'recent'}")
    assert emulator_installation._node_directory(tmp_path / "own") == tmp_path / "recent"
    monkeypatch.setenv("PATH", str(tmp_path / "old"))
    assert emulator_installation._node_directory(tmp_path / "own") == tmp_path / "own"


def test_a_failing_installer_shows_its_last_lines() -> None:
    command = ["sh", "-c", "for n in 1 2 3 4 5; do echo line $n; done; echo no network >&2; exit 7"]
    with pytest.raises(EmulatorInstallationError) as failure:
        emulator_installation._run("LocalStack", command, os.environ)
    assert "LocalStack could not be installed: sh -c ended with code 7" in str(failure.value)
    assert "line 3 | line 4 | line 5 | no network" in str(failure.value)
    with pytest.raises(EmulatorInstallationError, match="LocalStack could not be installed: .*no/such/program"):
        emulator_installation._run("LocalStack", ["/no/such/program"], os.environ)


def test_without_uv_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(emulator_installation, "CHECKOUT", tmp_path)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(EmulatorInstallationError, match="uv was not found: run `make setup`"):
        emulator_installation.find_uv()
