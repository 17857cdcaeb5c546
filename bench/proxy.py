"""Stands between a job and the emulator, passes requests on and counts them."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

# The name under which a request is counted, from method, path with query, and headers.
Kind = Callable[[str, str, Mapping[str, str]], str]
HOP_BY_HOP = ("content-length", "transfer-encoding", "connection", "date", "server")


class CountingProxy:
    """Counts requests by the name that `kind` gives them."""

    def __init__(self, kind: Kind) -> None:
        self.calls: Counter[str] = Counter()
        self._kind = kind
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

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = dict(self.headers.items())
                proxy.calls[proxy._kind(self.command, self.path, headers)] += 1
                connection = HTTPConnection(proxy._target, timeout=90)
                try:
                    connection.request(self.command, self.path, body or None, headers)
                    answer = connection.getresponse()
                    content = answer.read()
                finally:
                    connection.close()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in HOP_BY_HOP:
                        self.send_header(name, value)
                # To HEAD the length is that of what GET would bring.
                length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
                if length is not None:
                    self.send_header("Content-Length", length)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815

            def log_message(self, format: str, *arguments: Any) -> None:
                """Nothing: the count is what is wanted."""

        return Handler


@contextmanager
def counting_proxy(kind: Kind) -> Iterator[CountingProxy]:
    """A proxy that runs for the `with` block."""
    proxy = CountingProxy(kind)
    try:
        yield proxy
    finally:
        proxy.close()


def kinesis_operation(method: str, path: str, headers: Mapping[str, str]) -> str:
    """Kinesis names the operation in a header, or (its CBOR protocol) at the end of the path."""
    return headers.get("X-Amz-Target", path).replace("/", ".").rpartition(".")[2]
