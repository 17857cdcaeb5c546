"""One LocalStack process: started on a port with its own data folder, awaited, ended with its children.

It knows nothing of buckets, streams and settings: `local/stack.py` does.
"""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psutil

from lakehouse.errors import LakehouseError
from local.emulator_installation import PROJECT, Installation

HOST = "127.0.0.1"
START_SECONDS = 120
END_SECONDS = 15
# Where LocalStack keeps what it fetches, under its data folder.
INSTALLED_KINESIS = "var/lib/localstack/lib/kinesis-local"
# What LocalStack may see of the caller's environment: not AWS_* or LOCALSTACK_*, which would change what it does.
INHERITED = ("HOME", "LANG", "LC_ALL", "TZ", "USER")


class EmulatorError(LakehouseError):
    """The emulator cannot be started or stopped."""


@dataclass(frozen=True)
class EmulatorProcess:
    """A LocalStack that was started here; it can be kept in a file and found again."""

    pid: int
    created: float
    """When the process was started, in seconds since 1970: tells it from a later one with the same id."""
    port: int
    directory: Path
    """Its data; gone with the process, since LocalStack community keeps nothing across restarts."""
    log: Path

    @property
    def endpoint(self) -> str:
        """The address to give AWS clients as AWS_ENDPOINT_URL."""
        return f"http://{HOST}:{self.port}"

    @property
    def is_alive(self) -> bool:
        """Whether the very process still runs (healthy or not)."""
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.created) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def free_port() -> int:
    """A port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def check_port_is_free(port: int) -> None:
    """Raises EmulatorError when something listens on the port already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise EmulatorError(
                f"port {port} is taken by another program ({error.strerror}): choose one with `lakehouse up --port N`, "
                "or set AWS_ENDPOINT_URL if an emulator of yours runs there"
            ) from error


def spawn(installation: Installation, directory: Path, log: Path, port: int) -> EmulatorProcess:
    """Starts LocalStack in a session of its own and returns at once; `wait_until_ready` tells when it can be used.

    `directory` is emptied, and what still runs in it ended. The previous log stays as `<name>.previous`.
    """
    kill_all_in(directory)
    check_port_is_free(port)
    (directory / "tmp").mkdir(parents=True)
    _place_kinesis(installation, directory)
    if log.is_file():
        log.replace(log.with_name(log.name + ".previous"))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [installation.python, PROJECT / "serve.py", directory],
            env=_environment(installation, directory, port),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return EmulatorProcess(process.pid, psutil.Process(process.pid).create_time(), port, directory, log)


def _place_kinesis(installation: Installation, directory: Path) -> None:
    """Puts the installed Kinesis where LocalStack looks before it would fetch one from npm."""
    version = json.loads((PROJECT / "package.json").read_text(encoding="utf-8"))["dependencies"]["kinesis-local"]
    expected = directory / INSTALLED_KINESIS / version
    expected.parent.mkdir(parents=True)
    expected.symlink_to(installation.kinesis, target_is_directory=True)


def _environment(installation: Installation, directory: Path, port: int) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return inherited | {
        "PATH": f"{installation.node_directory}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "FILESYSTEM_ROOT": str(directory),
        # It removes $TMPDIR/localstack at start: that must not be the one of another emulator.
        "TMPDIR": str(directory / "tmp"),
        # Inside a container it would else write to /var/lib/localstack.
        "OVERRIDE_IN_DOCKER": "0",
        "GATEWAY_LISTEN": f"{HOST}:{port}",
        "LOCALSTACK_HOST": f"{HOST}:{port}",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DISABLE_EVENTS": "1",
        "DNS_ADDRESS": "0",
        "EAGER_SERVICE_LOADING": "0",
        # Buckets do not outlive the process, so streams must not either: half a state is worse than none.
        "KINESIS_PERSISTENCE": "0",
        "KINESIS_SHARD_LIMIT": "1000",
        "NODE_OPTIONS": f"--require={PROJECT / 'loopback.cjs'}",
        "PYTHONUNBUFFERED": "1",
    }


def wait_until_ready(process: EmulatorProcess, seconds: float = START_SECONDS) -> None:
    """Returns when the emulator answers on its port.

    Raises EmulatorError with the end of its log when it has ended, and when the time is over.
    """
    deadline = time.monotonic() + seconds
    while not is_healthy(process):
        if not process.is_alive:
            raise EmulatorError(f"the emulator ended at start: {_end_of(process.log)} (all of it: {process.log})")
        if time.monotonic() > deadline:
            raise EmulatorError(
                f"the emulator did not answer on port {process.port} within {seconds:.0f} s: "
                f"{_end_of(process.log)} (all of it: {process.log})"
            )
        time.sleep(0.1)
    if not _listens(process):
        raise EmulatorError(f"another program took port {process.port} meanwhile: choose another with --port")


def is_healthy(process: EmulatorProcess) -> bool:
    """Whether the emulator's health page answers now."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{process.endpoint}/_localstack/health", timeout=5) as response:
            return bool(json.load(response)["services"])
    except (OSError, ValueError, KeyError):
        return False


def _listens(process: EmulatorProcess) -> bool:
    connections = psutil.Process(process.pid).net_connections("tcp4")
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == process.port for c in connections)


def _end_of(log: Path, lines: int = 3) -> str:
    content = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " | ".join(content[-lines:]) or "its log is empty"


def kill(process: EmulatorProcess) -> None:
    """Ends the emulator with all its children, and removes its data. Does nothing when it has ended already.

    At once and without asking: there is nothing that it could save, and a polite end takes 4 s. LocalStack itself goes
    first, since it starts its Kinesis anew whenever that ends.
    Raises EmulatorError naming the processes that would not end.
    """
    if process.is_alive:
        parent = psutil.Process(process.pid)
        _end([parent, *parent.children(recursive=True)])
    kill_all_in(process.directory)


def kill_all_in(directory: Path) -> None:
    """Ends the emulators that have this data folder, recorded or not, and their Kinesis; removes the folder.

    Raises EmulatorError naming the processes that would not end.
    """
    _end([one for one in psutil.process_iter(["cmdline"]) if _runs_in(directory, one.info["cmdline"] or [])])
    shutil.rmtree(directory, ignore_errors=True)


def _runs_in(directory: Path, command: list[str]) -> bool:
    """Whether a command line is LocalStack's or its Kinesis' with this data folder, and not, say, an editor's."""
    is_localstack = str(PROJECT / "serve.py") in command and str(directory) in command
    return is_localstack or any(word.startswith(f"{directory}/{INSTALLED_KINESIS}/") for word in command)


def _end(processes: list[psutil.Process]) -> None:
    for one in processes:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    _, remaining = psutil.wait_procs(processes, timeout=END_SECONDS)
    if remaining:
        raise EmulatorError(f"these processes of the emulator do not end: {[one.pid for one in remaining]}")
