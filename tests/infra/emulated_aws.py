"""An AWS of this machine: moto's server in a process of its own, on a free port, gone at the end."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "000000000000"
START_SECONDS = 120


@contextlib.contextmanager
def emulated_aws(log: Path) -> Iterator[str]:
    """The endpoint of a running emulator with nothing in it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.infra.completed_moto", "-H", "127.0.0.1", "-p", str(port)],
            cwd=ROOT,
            env={**os.environ, "MOTO_ACCOUNT_ID": ACCOUNT},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(endpoint, server, log)
        yield endpoint
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait(endpoint: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{endpoint}/moto-api/data.json", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"the emulator did not start: {log.read_text()[-2000:]}")
