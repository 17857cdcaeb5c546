"""A proxy before the emulator through which chosen requests go wrong in a chosen way; all others pass as they are."""

import json
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import override

from local.stress.proxy import Proxy, Request

LONGEST_SECONDS = 60
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


class FaultyEndpoint(Proxy):
    """Lets chosen requests meet a fault.

    An operation is the action of Kinesis (`GetRecords`), or the method of S3 (`PUT`). Faults: the HTTP status of an
    error (`500`), the name of an exception of Kinesis, `reset`, `stall` (nothing is said for as long as the block
    lasts), and three that happen to requests that were carried out: `lost answer`, `lost in a reset` and `lost as 500`.
    `before` is called with the operation and body of each request that goes on to the emulator; `signed_by` has the
    access keys of all requests.
    """

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        self.signed_by: set[str] = set()
        self.before: Callable[[str, bytes], None] = lambda operation, body: None
        self._orders: list[_Order] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()

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

    @override
    def meet(self, request: Request, body: bytes) -> None:
        operation = request.headers.get("X-Amz-Target", request.command).rpartition(".")[2]
        self.signed_by.add(request.headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0])
        fault = self._fault(operation, body)
        match fault:
            case "reset":
                _reset(request)
            case "stall":
                self._ended.wait(LONGEST_SECONDS)
                request.hang_up()
            case None | "lost answer":
                self.before(operation, body)
                request.pass_on(body, lose_answer=fault is not None)
            case "lost in a reset":
                self.before(operation, body)
                request.carry_out(body)
                _reset(request)
            case "lost as 500":
                self.before(operation, body)
                request.carry_out(body)
                _refuse(request, "500")
            case _:
                _refuse(request, fault)

    @override
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        super().__exit__(kind, error, trace)

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


def _refuse(request: Request, fault: str) -> None:
    code, status = (fault, 400) if fault.endswith("Exception") else ("InternalFailure", int(fault))
    content = json.dumps({"__type": code, "message": "made to fail"}).encode()
    request.answer(status, {"Content-Type": "application/x-amz-json-1.1"}, content)


def _reset(request: Request) -> None:
    request.hang_up()
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    request.rfile.close()
    request.wfile.close()
    request.connection.close()
