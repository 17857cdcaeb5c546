"""The command line: what it costs to ask it for help, its exit codes, and how it says that something is wrong."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from local import cli
from local.commands import down

LAKEHOUSE = Path(sys.prefix) / "bin" / "lakehouse"
COMMANDS = {
    "up",
    "down",
    "status",
    "demo",
    "produce",
    "batch",
    "stream",
    "sql",
    "tables",
    "describe",
    "dashboard",
    "lineage",
    "redrive",
    "drift",
}


def lakehouse(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the installed command with nothing of AWS in its environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LAKEHOUSE_"))}
    variables = kept | {"COLUMNS": "200", "NO_COLOR": "1"} | environment
    return subprocess.run([LAKEHOUSE, *arguments], env=variables, capture_output=True, text=True, check=False)


def test_help_lists_every_command_without_importing_spark_or_boto() -> None:
    program = (
        "import sys\nfrom local import cli\nsys.argv = ['lakehouse', '--help']\n"
        "try:\n    cli.main()\nfinally:\n"
        "    print('imported', sorted({'pyspark', 'boto3', 'pandas', 'dash', 'duckdb'} & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "imported []" in printed
    assert {line.split()[1] for line in printed.splitlines() if line.startswith("│ ") and line[2] != " "} >= COMMANDS


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help(command: str) -> None:
    shown = lakehouse(command, "--help")
    assert shown.returncode == 0
    assert f"Usage: lakehouse {command}" in shown.stdout


def test_wrong_use_ends_with_2() -> None:
    for arguments in (["unknown"], ["produce"], ["stream", "platinum"], ["batch", "nope"], ["up", "--port", "70000"]):
        assert lakehouse(*arguments).returncode == 2, arguments


def test_an_error_is_one_line_without_traceback(tmp_path: Path) -> None:
    failed = lakehouse("status", LAKEHOUSE_STATE_DIRECTORY=str(tmp_path), LAKEHOUSE_TRIGGER_SECONDS="soon")
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert failed.stderr.startswith("lakehouse: wrong setting: trigger_seconds = 'soon'")
    assert failed.stderr.count("\n") == 1


def test_the_configuration_file_given_must_exist(tmp_path: Path) -> None:
    failed = lakehouse("--config", str(tmp_path / "none.toml"), "status")
    assert (failed.returncode, failed.stderr) == (
        1,
        f"lakehouse: --config {tmp_path}/none.toml: there is no such file\n",
    )


def test_the_configuration_file_given_is_read_and_variables_win_over_it(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(f"state_directory = '{tmp_path}/blocked/state'\n")
    (tmp_path / "blocked").write_text("a file where a folder should be")
    failed = lakehouse("--config", str(tmp_path / "own.toml"), "down")
    assert failed.stderr.startswith(f"lakehouse: state_directory {tmp_path}/blocked/state cannot be made")
    done = lakehouse("--config", str(tmp_path / "own.toml"), "down", LAKEHOUSE_STATE_DIRECTORY=str(tmp_path / "other"))
    assert (done.returncode, done.stdout) == (0, "the local stack does not run\n")


def test_status_of_nothing_fails(tmp_path: Path) -> None:
    shown = lakehouse("status", LAKEHOUSE_STATE_DIRECTORY=str(tmp_path))
    assert (shown.returncode, shown.stdout) == (1, "the local stack does not run; start it with `lakehouse up`\n")
    shown = lakehouse("status", "--json", LAKEHOUSE_STATE_DIRECTORY=str(tmp_path))
    assert shown.returncode == 1
    assert shown.stdout.startswith('{"running": false, "endpoint": null')


def test_a_bucket_as_root_needs_a_stack_or_an_account(tmp_path: Path) -> None:
    failed = lakehouse(
        "sql", "select 1", "--root", "s3://lake", LAKEHOUSE_STATE_DIRECTORY=str(tmp_path), HOME=str(tmp_path)
    )
    assert failed.returncode == 1
    assert failed.stderr.startswith("lakehouse: root s3://lake needs the local stack or AWS: run `lakehouse up`")


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(down, "run", interrupted)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # this process keeps its own answer to SIGTERM
    monkeypatch.setattr(sys, "argv", ["lakehouse", "down"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 130
