"""A proxy before the real S3 or Kinesis, for requests that are to go wrong on the way."""

import threading
from collections import Counter
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self, override
from urllib.parse import urlsplit

HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "expect")
PATIENCE_SECONDS = 120


class Proxy:
    """Stands between AWS clients and an endpoint as long as the `with` block lasts, and passes everything on.

    What else may become of a request, subclasses say in `meet`; `done` counts the faults by kind.
    """

    def __init__(self, endpoint: str) -> None:
        self.done: Counter[str] = Counter()
        self.target = urlsplit(endpoint).netloc
        self._server = _Server(("127.0.0.1", 0), type("Handler", (Request,), {"proxy": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, name="proxy", daemon=True)

    @property
    def endpoint(self) -> str:
        """The address to use in place of the real one."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def meet(self, request: "Request", body: bytes) -> None:
        """Sees to one request, in a thread of its own."""
        request.pass_on(body)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class Request(BaseHTTPRequestHandler):
    """A request that came to the proxy, and what can be done with it."""

    proxy: Proxy
    protocol_version = "HTTP/1.1"
    # Head and body of an answer go out in two writes: with Nagle's algorithm the second waits 40 ms.
    disable_nagle_algorithm = True

    def pass_on(self, body: bytes, *, lose_answer: bool = False) -> None:
        """Lets the target carry it out, and hands the answer back, or hangs up instead."""
        answer = self.carry_out(body)
        if answer is None or lose_answer:
            self.hang_up()
        else:
            self.answer(*answer)

    def carry_out(self, body: bytes) -> tuple[int, dict[str, str], bytes] | None:
        """What the target answered: status, headers and body. None: it could not be asked."""
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        connection = HTTPConnection(self.proxy.target, timeout=PATIENCE_SECONDS)
        try:
            connection.request(self.command, self.path, body or None, {**headers, "Content-Length": str(len(body))})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()

    def answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        """Answers it."""
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

    def hang_up(self) -> None:
        """Says nothing more."""
        self.close_connection = True

    def _come(self) -> None:
        self.proxy.meet(self, self._body())

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _come  # noqa: N815 - http.server names them

    def _body(self) -> bytes:
        """As it was sent, with the framing of chunks left in place for S3's own signing chunks."""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    @override
    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: there are thousands."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that are killed or lose patience leave their connections in any state."""
