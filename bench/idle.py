"""What a running stream costs while nothing arrives."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.result import Goal, Result, Table
from bench.stream_run import stream_all
from lakehouse.contracts import load_contracts
from lakehouse.kpi_tables import TABLES
from lakehouse.settings import CONTRACTS, Settings
from local.stack_resources import SHARDS
from runtime.delta_log import DeltaLog

SECONDS, QUICK_SECONDS = 60, 15
CALM_SECONDS = 10
# "Near nothing": share of one core.
MOST_CPU = 0.10


class CountingProxy:
    """Passes requests on to the emulator and counts them by operation."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self._target = ""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def before(self, endpoint: str) -> str:
        """The address to use in place of `endpoint`."""
        self._target = urlsplit(endpoint).netloc
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                # Kinesis names the operation in a header, or (its CBOR protocol) at the end of the path.
                operation = self.headers.get("X-Amz-Target", self.path).replace("/", ".").rpartition(".")[2]
                proxy.calls[operation] += 1
                connection = HTTPConnection(proxy._target, timeout=90)
                try:
                    connection.request("POST", self.path, body, dict(self.headers.items()))
                    answer = connection.getresponse()
                    content = answer.read()
                finally:
                    connection.close()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *arguments: Any) -> None:
                """Nothing: the count is what is wanted."""

        return Handler


@contextmanager
def counting_proxy() -> Iterator[CountingProxy]:
    """A proxy that runs for the `with` block."""
    proxy = CountingProxy()
    try:
        yield proxy
    finally:
        proxy.close()


def run(quick: bool, folder: Path) -> Result:
    """Lets a warm job alone for a minute, and looks at its tables, its processes and its calls."""
    seconds = QUICK_SECONDS if quick else SECONDS
    with counting_proxy() as proxy, stream_all(folder / "idle", proxy.before) as stream:
        stream.wait(stream.send(100, 5))
        time.sleep(CALM_SECONDS)
        versions, calls, started = _versions(stream.settings), Counter(proxy.calls), time.monotonic()
        job, emulator = stream.cpu_seconds(), stream.emulator.cpu_seconds()
        time.sleep(seconds)
        job, emulator = stream.cpu_seconds() - job, stream.emulator.cpu_seconds() - emulator
        taken = time.monotonic() - started
        made = Counter(proxy.calls) - calls
        now = _versions(stream.settings)
        shards = SHARDS * len(stream.settings.streams)
    commits = sum(now.values()) - sum(versions.values())
    polls = made["GetRecords"] / taken / shards
    rows = (
        ("commits in all tables", f"{commits}"),
        ("CPU of the job (JVM, Python processes), % of one core", f"{100 * job / taken:.1f}"),
        ("CPU of MiniStack, % of one core", f"{100 * emulator / taken:.1f}"),
        ("GetRecords a second and shard", f"{polls:.2f}"),
        ("other calls of Kinesis a second", f"{(made.total() - made['GetRecords']) / taken:.2f}"),
    )
    return Result(
        title="A stream with nothing to do",
        method=(
            "`lakehouse stream all` with its default settings (two streams of two shards, all silver and gold queries, "
            f"a trigger a second), warm, on MiniStack; nothing arrives for {seconds} s. Commits are new versions of "
            "all tables; calls of Kinesis are counted by a proxy; AWS allows 5 GetRecords a second and shard."
        ),
        goals=(
            Goal("commits", "0", f"{commits}", commits == 0),
            Goal(
                "CPU of the job",
                "near nothing (10 % of one core)",
                f"{100 * job / taken:.1f} %",
                job / taken <= MOST_CPU,
            ),
        ),
        tables=(Table(("what", "measured"), rows),),
    )


def _versions(settings: Settings) -> dict[str, int]:
    contracts = load_contracts(CONTRACTS)
    names = [f"{layer}.{source}" for source in contracts.sources for layer in ("bronze", "rejected")]
    names += [f"silver.{contracts.silver_of(source).name}" for source in contracts.sources]
    names += [f"gold.{table}" for table in TABLES]
    newest = {name: DeltaLog(settings.root, name).newest() for name in names}
    return {name: version for name, version in newest.items() if version is not None}
