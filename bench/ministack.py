"""MiniStack for the benchmarks: LocalStack's Kinesis takes 300 to 1 000 records a second, which would measure it."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from local.emulator_installation import find_uv
from runtime.cache import cache_directory

PROJECT = Path(__file__).resolve().parent / "emulator"
READY_SECONDS = 60


@dataclass(frozen=True)
class MiniStack:
    """A running MiniStack: its address and its process."""

    endpoint: str
    process: int

    def cpu_seconds(self) -> float:
        """The processor time that it has used so far: what of a measurement is the emulator's."""
        times = psutil.Process(self.process).cpu_times()
        return float(times.user + times.system)


@contextmanager
def ministack() -> Iterator[MiniStack]:
    """A MiniStack that runs for the `with` block; `AWS_*` variables lead to it meanwhile.

    The first use installs it, locked, into an environment of its own in the cache folder.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    endpoint, folder = f"http://127.0.0.1:{port}", tempfile.mkdtemp(prefix="ministack-")
    uses = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "LOG_LEVEL": "ERROR", "TMPDIR": folder}
    uses["S3_DATA_DIR"] = f"{folder}/s3"
    process = subprocess.Popen([_installed() / "bin" / "ministack"], env=os.environ | uses)
    variables = {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    variables |= {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
    before = {name: os.environ.get(name) for name in variables}
    try:
        _wait(endpoint, process)
        os.environ.update(variables)
        yield MiniStack(endpoint, process.pid)
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def _installed() -> Path:
    environment = cache_directory() / "bench-emulator"
    command = [find_uv(), "sync", "--quiet", "--frozen", "--project", str(PROJECT), "--python", sys.executable]
    inherited = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    subprocess.run(command, env=inherited | {"UV_PROJECT_ENVIRONMENT": str(environment)}, check=True)
    return environment


def _wait(endpoint: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=2):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"MiniStack at {endpoint} did not answer within {READY_SECONDS} s")
