"""Work that is done again and again beside other work."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Repeating:
    """Does `work` in a thread of its own while the `with` block lasts, each time after a pause of `pause()` seconds.
    The first failure ends the work; `check` and the end of the block raise it.
    """

    def __init__(self, name: str, pause: Callable[[], float], work: Callable[[], None]) -> None:
        self._pause = pause
        self._work = work
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._failure: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        if error is None:
            self.check()

    def check(self) -> None:
        """Raises what the work failed with, if it did."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while not self._end.wait(self._pause()):
            try:
                self._work()
            except Exception as failure:  # whatever it is: its place is the thread that waits for this one
                self._failure = failure
                return
