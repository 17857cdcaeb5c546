"""Known vulnerabilities and secrets in the repository: found, or said aloud that nobody looked."""

import http.server
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lakehouse.settings import CONTRACTS
from local import dependency_audit, secret_scan
from local.dependency_audit import audit

# Put together here, so that the scan of this repository does not find it.
KEY = "AKIA" + "Q3EGRT7VXW2LKP5J"


@pytest.fixture
def service() -> Iterator[tuple[str, dict[str, bytes]]]:
    """A package index with these answers by path, and 404 for any other."""
    answers: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers.get(self.path)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{{name}}/{{version}}", answers
        server.shutdown()
        thread.join()


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.txt"
    path.write_text("boolean-py==5.0 \\\n    --hash=sha256:00\n")
    return path


@pytest.mark.parametrize("found", [0, 1])
def test_where_the_service_answers_the_audit_decides(
    service: tuple[str, dict[str, bytes]], requirements: Path, monkeypatch: pytest.MonkeyPatch, found: int
) -> None:
    address, answers = service
    answers["/boolean-py/5.0"] = b'{"vulnerabilities": []}'
    run: list[list[str]] = []

    def pip_audit(command: list[str], check: bool) -> subprocess.CompletedProcess[str]:
        run.append(command)
        return subprocess.CompletedProcess(command, found)

    monkeypatch.setattr(subprocess, "run", pip_audit)
    assert audit(requirements, address) == found
    assert [command[1:5] for command in run] == [["-m", "pip_audit", "--requirement", str(requirements)]]


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a developer's machine, wherever the tests run."""
    for name in ("CI", "LAKEHOUSE_AUDIT_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("by_hand")
@pytest.mark.parametrize(("answer", "reason"), [(None, "answers 404"), (b"{}", "says nothing of vulnerabilities")])
def test_a_mirror_without_the_service_is_said_and_is_no_failure_by_hand(
    service: tuple[str, dict[str, bytes]],
    requirements: Path,
    capsys: pytest.CaptureFixture[str],
    answer: bytes | None,
    reason: str,
) -> None:
    address, answers = service
    if answer is not None:
        answers["/boolean-py/5.0"] = answer
    assert audit(requirements, address) == 0
    assert capsys.readouterr().err == (
        f"dependencies NOT audited: {address.format(name='boolean-py', version='5.0')} {reason}. Run `make audit` "
        "where pypi.org itself can be reached, before anything is released\n"
    )


@pytest.mark.usefixtures("by_hand")
@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ({"CI": "true"}, 1),
        ({"CI": "1", "LAKEHOUSE_AUDIT_OFFLINE": ""}, 1),
        ({"CI": "true", "LAKEHOUSE_AUDIT_OFFLINE": "refuse"}, 1),
        ({"CI": "true", "LAKEHOUSE_AUDIT_OFFLINE": "yes"}, 1),
        ({"CI": "true", "LAKEHOUSE_AUDIT_OFFLINE": "allow"}, 0),
        ({"LAKEHOUSE_AUDIT_OFFLINE": "refuse"}, 1),
        ({"CI": ""}, 0),
    ],
)
def test_where_nothing_was_audited_ci_fails_unless_that_is_allowed(
    service: tuple[str, dict[str, bytes]],
    requirements: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    environment: dict[str, str],
    code: int,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    address, answers = service
    answers["/boolean-py/5.0"] = b"{}"
    assert audit(requirements, address) == code
    assert capsys.readouterr().err.startswith("dependencies NOT audited: ")


def test_ci_run_asks_first_and_the_workflow_takes_no_excuse(
    service: tuple[str, dict[str, bytes]],
    requirements: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    address, answers = service
    answers["/boolean-py/5.0"] = b"{}"
    monkeypatch.setattr(dependency_audit, "REQUIREMENTS", requirements)
    monkeypatch.setattr(dependency_audit, "SERVICE", address)
    monkeypatch.setattr("sys.argv", ["dependency_audit", "--reachable"])
    reason = f"{address.format(name='boolean-py', version='5.0')} says nothing of vulnerabilities"
    with pytest.raises(SystemExit, match=re.escape(reason)):
        dependency_audit.main()
    answers["/boolean-py/5.0"] = b'{"vulnerabilities": []}'
    with pytest.raises(SystemExit) as end:
        dependency_audit.main()
    assert end.value.code == 0
    jobs = yaml.safe_load((CONTRACTS.parent / ".github/workflows/ci.yml").read_text())["jobs"]
    assert jobs["test"]["env"] == {"LAKEHOUSE_AUDIT_OFFLINE": "refuse"}


@pytest.mark.usefixtures("by_hand")
@pytest.mark.parametrize(
    ("reachable", "asked", "printed"),
    [
        (True, "", ["offline=", "audit"]),
        (False, "", ["cannot be reached", ".ci/run: the dependencies are NOT audited in this run", "offline=allow"]),
        (False, "refuse", ["offline=refuse"]),
    ],
)
def test_ci_run_allows_no_audit_only_where_the_service_cannot_be_reached(
    tmp_path: Path, reachable: bool, asked: str, printed: list[str]
) -> None:
    """The part of .ci/run before its audit, with stand-ins for Python and make."""
    script = (CONTRACTS.parent / ".ci/run").read_text()
    part = script[script.index("# The audit\n") : script.index("make audit") + len("make audit")]
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    answer = "exit 0" if reachable else "echo cannot be reached >&2; exit 1"
    python.write_text(f"#!/bin/sh\n[ \"$*\" = '-m local.dependency_audit --reachable' ] || exit 2\n{answer}\n")
    python.chmod(0o755)
    make = 'make() { echo "offline=${LAKEHOUSE_AUDIT_OFFLINE:-}" "$@"; }\n'
    environment = {"PATH": os.environ["PATH"]} | ({"LAKEHOUSE_AUDIT_OFFLINE": asked} if asked else {})
    done = subprocess.run(
        ["bash", "-euc", make + part],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    places = [done.stdout.index(each) for each in printed]
    assert places == sorted(places)
    assert ("NOT audited" in done.stdout) == (not reachable and not asked)


def test_requirements_without_a_pin_are_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text("boto3>=1\n")
    with pytest.raises(ValueError, match="pins no release as name==version: run `make requirements`"):
        audit(path)


def test_a_planted_secret_is_found_and_not_repeated_and_the_baseline_lets_a_line_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    monkeypatch.setattr(secret_scan, "ROOT", tmp_path)
    settings = tmp_path / "settings.py"
    settings.write_text("region = 'us-east-1'\n")
    assert _scan(monkeypatch, "--accept") == 0

    settings.write_text(f"access = '{KEY}'\n")
    assert _scan(monkeypatch) == 1
    message = capsys.readouterr().err
    assert message.startswith("settings.py:1: looks like a secret (AWS Access Key): take it out")
    assert KEY not in message

    assert _scan(monkeypatch, "--accept") == 0
    settings.write_text(f"\n\naccess = '{KEY}'\n")
    assert _scan(monkeypatch) == 0
    settings.write_text(f"access = '{KEY[:-1]}X'\n")
    assert _scan(monkeypatch) == 1


def test_the_baseline_holds_wherever_the_repository_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=first, check=True)
    (first / "settings.py").write_text(f"access = '{KEY}'\n")
    monkeypatch.setattr(secret_scan, "ROOT", first)
    assert _scan(monkeypatch, "--accept") == 0
    assert str(tmp_path) not in (first / secret_scan.BASELINE).read_text()

    shutil.copytree(first, second)
    monkeypatch.setattr(secret_scan, "ROOT", second)
    assert _scan(monkeypatch) == 0


def _scan(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["secret_scan", *arguments])
    try:
        secret_scan.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0
