"""One table, one writing process: a lease on each table, with a fencing token, as objects beside the checkpoints.

`checkpoints/<layer>/leases/<table>/<token>.json`: the highest token holds. It is written put-if-absent, so of two
processes that want the next token one gets it; its holder writes it again every so often, and marks it when it lets go.
A lease that nobody has renewed for `LIFETIME_SECONDS`, or whose process is known to be dead, may be taken over with the
next token. Clocks decide only that: what keeps the tables right when a holder slept through its lease is that
each of its commits becomes the version after the one that it was made for, or fails (docs/adr/0013).
"""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import psutil

from lakehouse.errors import LakehouseError
from lakehouse.layout import Layout
from runtime.storage import Storage, StorageError

log = logging.getLogger(__name__)
LIFETIME_SECONDS = 60.0
RENEWAL_SECONDS = 10.0
# A holder stops before others may take over: this is for clocks that do not agree.
MARGIN_SECONDS = 10.0
# Two readings of one process's begin differ by less.
SAME_SECONDS = 2.0


class LeaseHeldError(LakehouseError):
    """Another process writes the table; the message says who, and since when."""


class LeaseLostError(LakehouseError):
    """This process can no longer be sure that nobody else writes its tables."""


@dataclass(frozen=True)
class Holder:
    """A process that can be told from every other: `machine` is also the container, `begun` when the process began,
    in seconds since 1970, and `ticks` the same since the machine's start, where /proc tells it: a clock that is set
    moves the one, never the other.
    """

    job: str
    machine: str
    process: int
    begun: float
    ticks: int | None = None

    @classmethod
    def here(cls, job: str) -> "Holder":
        """This process, at work as `job`."""
        return cls(job, _machine(), os.getpid(), psutil.Process().create_time(), _ticks(os.getpid()))

    @property
    def dead(self) -> bool:
        """Whether it was a process of this machine that is there no more; False when nobody here can know."""
        if self.machine != _machine():
            return False
        try:
            begun = psutil.Process(self.process).create_time()
            ticks = _ticks(self.process)
        except psutil.NoSuchProcess:
            return True
        if self.ticks is not None and ticks is not None:
            return ticks != self.ticks
        return abs(begun - self.begun) > SAME_SECONDS

    def __str__(self) -> str:
        return f"{self.job} (process {self.process} on {self.machine.partition('/')[0]})"


@dataclass(frozen=True)
class Lease:
    """What the object of a token says; times are seconds since 1970."""

    token: int
    holder: Holder
    since: float
    renewed: float
    released: bool = False

    def to_bytes(self) -> bytes:
        """The lease as its object holds it."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, where: str, data: bytes) -> "Lease":
        """Raises LeaseHeldError for an object that cannot be read: who knows whose it is."""
        try:
            content = json.loads(data)
            return cls(**{**content, "holder": Holder(**content["holder"])})
        except (ValueError, TypeError, KeyError) as error:
            raise LeaseHeldError(f"{where} is damaged: remove it when no job writes the table") from error

    def free(self, now: float) -> bool:
        """Whether another process may take the next token."""
        return self.released or self.holder.dead or now - self.renewed > LIFETIME_SECONDS


class Leases:
    """The leases of one process: taken at its start, renewed while the `with` block lasts, released at its end."""

    def __init__(self, root: str, job: str, tables: Iterable[str], clock: Callable[[], float] = time.time) -> None:
        """`tables` such as `silver.validated_pos` under the lake's `root`; `clock` gives seconds since 1970."""
        self._storages = {table: Storage.open(Layout(root).lease(table)) for table in tables}
        self._holder = Holder.here(job)
        self._clock = clock
        self._held: dict[str, Lease] = {}
        # The token that another process holds now.
        self._lost: dict[str, int] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="leases", daemon=True)

    def __enter__(self) -> "Leases":
        """Takes all leases or none. Raises LeaseHeldError naming the table, who holds it and since when, and
        StorageError when the store does not answer.
        """
        try:
            for table in self._storages:
                self._held[table] = self._take(table)
        except LakehouseError:
            self._release()
            raise
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        self._release()

    def check(self) -> None:
        """Raises LeaseLostError when another process has taken a lease over, or one was not renewed for so long that
        others may take it.
        """
        for table, token in self._lost.items():
            raise LeaseLostError(
                f"the lease on {table} was taken over with token {token} while this process was suspended or cut off: "
                "the other one goes on in its place; let that end before you start this one again"
            )
        now = self._clock()
        for table, lease in self._held.items():
            if now - lease.renewed > LIFETIME_SECONDS - MARGIN_SECONDS:
                raise LeaseLostError(
                    f"the lease on {table} could not be renewed for {now - lease.renewed:.0f} s, so that another job "
                    f"may write it now: see whether {self._storages[table].uri} can be reached, and start again"
                )

    def _take(self, table: str) -> Lease:
        """1 Read the highest token. 2 Refuse while its holder may be alive. 3 Write the next one, put-if-absent: who
        comes too late is refused too. Who finds there what it has just written lost no more than the answer. 4 A higher
        token may be there whose holder has removed what stood in its way before: then this one came too late as well.
        5 Older tokens are of no use any more.
        """
        storage = self._storages[table]
        # 1
        keys = [each.key for each in storage.list()]
        newest = Lease.from_bytes(f"{storage.uri}/{keys[-1]}", storage.read(keys[-1]) or b"") if keys else None
        # 2
        now = self._clock()
        if newest is not None and not newest.free(now):
            raise LeaseHeldError(_held_by(table, newest))
        # 3
        lease = Lease(newest.token + 1 if newest else 1, self._holder, now, now)
        key, content = _key(lease.token), lease.to_bytes()
        taken = storage.put_if_absent(key, content) or storage.read(key) == content
        # 4
        if taken and storage.list()[-1].key != key:
            storage.delete(key)
            taken = False
        if not taken:
            raise LeaseHeldError(f"{table} was taken by another job in this moment: only one may write it")
        if newest is not None and not newest.released:
            log.warning("%s: %s left without a word; taken over with token %d", table, newest.holder, lease.token)
        # 5
        for older in keys:
            storage.delete(older)
        return lease

    def _keep(self) -> None:
        """Renews until the end. A failure is tried again at the next turn; `check` tells when that took too long."""
        while not self._end.wait(RENEWAL_SECONDS):
            for table in self._held:
                try:
                    self._renew(table)
                except StorageError as error:
                    log.warning("the lease on %s could not be renewed: %s", table, error)

    def _renew(self, table: str) -> None:
        """1 What others may have taken by now is not renewed. 2 Write the token again. 3 A higher one may be there all
        the same, as this process may have slept before 2, and clocks may differ: then the lease is lost for good.
        """
        storage, lease = self._storages[table], self._held[table]
        # 1
        now = self._clock()
        if table in self._lost or now - lease.renewed > LIFETIME_SECONDS:
            return
        # 2
        renewed = Lease(lease.token, lease.holder, lease.since, now)
        storage.put(_key(lease.token), renewed.to_bytes())
        # 3
        highest = _token(storage.list()[-1].key)
        if highest != lease.token:
            self._lost[table] = highest
            storage.delete(_key(lease.token))
            return
        self._held[table] = renewed

    def _release(self) -> None:
        for table, lease in self._held.items():
            if table in self._lost:
                continue
            released = Lease(lease.token, lease.holder, lease.since, lease.renewed, released=True)
            try:
                self._storages[table].put(_key(lease.token), released.to_bytes())
            except StorageError as error:
                log.warning("the lease on %s could not be released, it ends by itself: %s", table, error)


def _held_by(table: str, lease: Lease) -> str:
    since = datetime.fromtimestamp(lease.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return (
        f"{table} is written by {lease.holder} since {since} (token {lease.token}): only one process may write a "
        f"table. Stop that job first; should it be dead, its lease ends {LIFETIME_SECONDS:.0f} s after its last sign"
    )


def _key(token: int) -> str:
    return f"{token:012}.json"


def _token(key: str) -> int:
    return int(key.removesuffix(".json"))


def _ticks(process: int) -> int | None:
    """When the process began, since the machine's start; None where there is no /proc or the process has ended."""
    try:
        told = Path(f"/proc/{process}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The program's name, in brackets, may hold anything; the start is the 20th word after it.
    return int(told.rpartition(")")[2].split()[19])


def _machine() -> str:
    """Name, boot and process namespace: process numbers mean the same only where all three are the same."""
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    parts = [socket.gethostname(), boot.read_text().strip() if boot.exists() else ""]
    return "/".join([*parts, os.readlink(namespace) if namespace.exists() else ""])
