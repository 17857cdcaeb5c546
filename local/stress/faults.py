"""An S3 that is slow, says 500 and 503, drops connections, and loses answers: a proxy before the real one."""

import random
import threading
import time
from typing import override

from local.stress.proxy import Proxy, Request

# What happens to an unlucky request, and how often of a hundred.
FAULTS = {"503": 35, "500": 20, "reset": 15, "lost answer": 20, "slow": 10}
SLOW_SECONDS = 3.0
ERROR = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{}</Code><Message>Please try again.</Message></Error>"
CODES = {"503": "SlowDown", "500": "InternalError"}


class FaultyS3(Proxy):
    """Lets `share` of the requests meet a fault. With a lost answer the request was carried out."""

    def __init__(self, endpoint: str, share: float, seed: int) -> None:
        super().__init__(endpoint)
        self._share = share
        self._random = random.Random(seed)  # noqa: S311 - a test's course, no secret
        self._lock = threading.Lock()

    @override
    def meet(self, request: Request, body: bytes) -> None:
        fault = self.fault()
        if fault in CODES:
            refuse(request, int(fault), CODES[fault])
        elif fault == "reset":
            request.hang_up()
        else:
            if fault == "slow":
                time.sleep(SLOW_SECONDS)
            request.pass_on(body, lose_answer=fault == "lost answer")

    def fault(self) -> str | None:
        """What the next request meets, one of `FAULTS`; None: nothing."""
        with self._lock:
            if self._random.random() >= self._share:
                return None
            fault = self._random.choices(list(FAULTS), list(FAULTS.values()))[0]
            self.done[fault] += 1
            return fault


def refuse(request: Request, status: int, code: str) -> None:
    """Answers as S3 does when it refuses."""
    request.answer(status, {"Content-Type": "application/xml"}, ERROR.format(code).encode())
