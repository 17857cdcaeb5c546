"""A proxy before the emulator through which chosen requests go wrong in a chosen way; all others pass as they are."""

import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import override
from urllib.parse import urlsplit

LONGEST_SECONDS = 60
HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "expect")
# What sockets do when they are closed with this: the other side sees a reset, not an end.
RESET = struct.pack("ii", 1, 0)

Wanted = Callable[[bytes], bool]


@dataclass
class _Order:
    operation: str
    fault: str
    wanted: Wanted
    passing: int
    left: int


class FaultyEndpoint:
    """Stands between AWS clients and the emulator as long as the `with` block lasts.

    An operation is the action of Kinesis (`GetRecords`), or the method of S3 (`PUT`). Faults: the HTTP status of an
    error (`500`), the name of an exception of Kinesis, `reset`, `stall` (nothing is said for as long as the block
    lasts), and three that happen to requests that were carried out: `lost answer`, `lost in a reset` and `lost as 500`.
    `done` counts the faults; `before` is called with the operation and body of each request that goes on to the
    emulator; `signed_by` has the access keys of all requests.
    """

    def __init__(self, endpoint: str) -> None:
        self.done: Counter[str] = Counter()
        self.signed_by: set[str] = set()
        self.before: Callable[[str, bytes], None] = lambda operation, body: None
        self._target = urlsplit(endpoint).netloc
        self._orders: list[_Order] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def endpoint(self) -> str:
        """The address to use in place of the real one."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def fail(
        self, operation: str, fault: str, times: int = 1, *, passing: int = 0, wanted: Wanted = lambda body: True
    ) -> None:
        """Lets so many requests meet the fault: those of the operation whose body is wanted, after `passing` more."""
        with self._lock:
            self._orders.append(_Order(operation, fault, wanted, passing, times))

    def mend(self) -> None:
        """Lets everything pass again."""
        with self._lock:
            self._orders.clear()

    def __enter__(self) -> "FaultyEndpoint":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def _fault(self, operation: str, body: bytes) -> str | None:
        with self._lock:
            for order in self._orders:
                if order.operation != operation or order.left == 0 or not order.wanted(body):
                    continue
                if order.passing > 0:
                    order.passing -= 1
                    continue
                order.left -= 1
                self.done[order.fault] += 1
                return order.fault
        return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                operation = self.headers.get("X-Amz-Target", self.command).rpartition(".")[2]
                proxy.signed_by.add(self.headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0])
                fault = proxy._fault(operation, body)
                match fault:
                    case "reset":
                        self._reset()
                    case "stall":
                        proxy._ended.wait(LONGEST_SECONDS)
                        self.close_connection = True
                    case None | "lost answer" | "lost in a reset" | "lost as 500":
                        proxy.before(operation, body)
                        self._carry_out(body, fault)
                    case _:
                        self._refuse(fault)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815 - http.server names them

            def _carry_out(self, body: bytes, fault: str | None) -> None:
                try:
                    status, headers, content = _ask(proxy._target, self, body)
                except (OSError, HTTPException):
                    self.close_connection = True
                    return
                if fault == "lost answer":
                    self.close_connection = True
                elif fault == "lost in a reset":
                    self._reset()
                elif fault == "lost as 500":
                    self._refuse("500")
                else:
                    self._answer(status, headers, content)

            def _refuse(self, fault: str) -> None:
                code, status = (fault, 400) if fault.endswith("Exception") else ("InternalFailure", int(fault))
                self._answer(
                    status,
                    {"Content-Type": "application/x-amz-json-1.1"},
                    json.dumps({"__type": code, "message": "made to fail"}).encode(),
                )

            def _reset(self) -> None:
                self.close_connection = True
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                self.rfile.close()
                self.wfile.close()
                self.connection.close()

            def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
                self.send_response_only(status)
                for name, value in headers.items():
                    if name.lower() not in HOP_BY_HOP:
                        self.send_header(name, value)
                # The answer to HEAD tells the length of what it does not send.
                length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(content))
                self.send_header("Content-Length", length)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            @override
            def log_message(self, format: str, *arguments: object) -> None:
                """Nothing on standard error."""

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that lost patience have closed their connections."""


def _ask(target: str, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
    headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
    connection = HTTPConnection(target, timeout=LONGEST_SECONDS)
    try:
        connection.request(request.command, request.path, body or None, {**headers, "Content-Length": str(len(body))})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()
