"""An S3 that is slow, says 500 and 503, drops connections, and loses answers: a proxy before the real one."""

import random
import threading
import time
from collections import Counter
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import override
from urllib.parse import urlsplit

# What happens to an unlucky request, and how often of a hundred.
FAULTS = {"503": 35, "500": 20, "reset": 15, "lost answer": 20, "slow": 10}
SLOW_SECONDS = 3.0
ERROR = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{}</Code><Message>Please try again.</Message></Error>"
CODES = {"503": "SlowDown", "500": "InternalError"}
HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length")
PATIENCE_SECONDS = 120


class FaultyS3:
    """Stands between S3 clients and the endpoint as long as the `with` block lasts.

    `share` of the requests meet a fault; `done` counts these by kind. With a lost answer the request was carried out.
    """

    def __init__(self, endpoint: str, share: float, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self._target = urlsplit(endpoint).netloc
        self._share = share
        self._random = random.Random(seed)  # noqa: S311 - a test's course, no secret
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, name="faulty S3", daemon=True)

    @property
    def endpoint(self) -> str:
        """The address to use in place of the real one."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "FaultyS3":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _fault(self) -> str | None:
        with self._lock:
            if self._random.random() >= self._share:
                return None
            fault = self._random.choices(list(FAULTS), list(FAULTS.values()))[0]
            self.done[fault] += 1
            return fault

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body of an answer go out in two writes: with Nagle's algorithm the second waits 40 ms.
            disable_nagle_algorithm = True

            def _pass_on(self) -> None:
                body = _body(self)
                fault = proxy._fault()
                if fault in CODES:
                    self._answer(int(fault), {"Content-Type": "application/xml"}, ERROR.format(CODES[fault]).encode())
                    return
                if fault == "reset":
                    self.close_connection = True
                    return
                if fault == "slow":
                    time.sleep(SLOW_SECONDS)
                try:
                    status, headers, content = _ask(proxy._target, self, body)
                except (OSError, HTTPException):
                    self.close_connection = True
                    return
                if fault == "lost answer":
                    self.close_connection = True
                    return
                self._answer(status, headers, content)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815 - http.server names them

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
                """Nothing: there are thousands."""

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that are killed leave their connections in any state."""


def _body(request: BaseHTTPRequestHandler) -> bytes:
    """The request's body as it was sent, with the framing of chunks left in place for S3's own signing chunks."""
    if "chunked" in request.headers.get("Transfer-Encoding", ""):
        parts = []
        while size := int(request.rfile.readline().split(b";")[0], 16):
            parts.append(request.rfile.read(size))
            request.rfile.readline()
        request.rfile.readline()
        return b"".join(parts)
    if request.headers.get("Expect", "").lower() == "100-continue":
        request.send_response_only(100)
        request.end_headers()
    return request.rfile.read(int(request.headers.get("Content-Length") or 0))


def _ask(target: str, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
    headers = {name: value for name, value in request.headers.items() if name.lower() not in (*HOP_BY_HOP, "expect")}
    connection = HTTPConnection(target, timeout=PATIENCE_SECONDS)
    try:
        connection.request(request.command, request.path, body or None, {**headers, "Content-Length": str(len(body))})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()
