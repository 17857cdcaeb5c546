"""Pathway beside the product: in its own environment, fed by files, watched through the Delta table that it writes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow as pa
from deltalake import DeltaTable

from local.emulator_installation import find_uv
from runtime.cache import cache_directory

PROJECT = Path(__file__).resolve().parent / "pathway_peer"
PATIENCE = 180.0


class PathwayError(Exception):
    """Pathway did not start, or did not take a batch in."""


class PathwayPeer:
    """A running Pathway program; a `with` block ends it."""

    name = "Pathway, Delta by delta-rs"
    does = "parse, keep the latest delivery of each event, count by type and day; appends changes with a sign to Delta"

    def __init__(self, folder: Path) -> None:
        self._in, self._out, self._log = folder / "in", folder / "out", folder / "pathway.log"
        self._in.mkdir(parents=True)
        self._batch = 0
        self._known: dict[str, bytes | None] = {}
        self._expected = 0
        command = [str(_installed() / "bin" / "python"), str(PROJECT / "events.py"), str(self._in), str(self._out)]
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder)

    def __enter__(self) -> "PathwayPeer":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()

    def process(self, records: pa.Table) -> None:
        """Gives it the records of a batch, and waits until its table of events has what follows from them."""
        self.land(self.prepare(records))

    def prepare(self, records: pa.Table) -> str:
        """The text of a file with the records; not part of what is measured."""
        lines: list[str] = []
        latest: dict[str, bytes | None] = {}
        for number, data in enumerate(records["data"].to_pylist()):
            fields = json.loads(data or b"")
            latest[str(fields["event_id"])] = data
            lines.append(json.dumps(fields | {"arrival": self._batch * 10_000_000 + number}))
        # A row for each new event; a change takes one back and brings one; a repetition changes nothing.
        for event, data in latest.items():
            self._expected += 1 if event not in self._known else 2 * (self._known[event] != data)
        self._known |= latest
        self._batch += 1
        return "\n".join([*lines, ""])

    def land(self, text: str) -> None:
        """Makes the file appear at once, and waits."""
        part = self._in.parent / "part"
        part.write_text(text, encoding="utf-8")
        part.rename(self._in / f"{self._batch:06}.jsonl")
        deadline = time.monotonic() + PATIENCE
        while self._rows() < self._expected:
            if time.monotonic() > deadline or self._process.poll() is not None:
                told = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
                errors = [line.strip() for line in told if "Error" in line]
                raise PathwayError(f"{self._rows():,} of {self._expected:,} rows: {(errors or ['no error'])[-1]}")
            time.sleep(0.02)

    def cpu_seconds(self) -> float:
        """Processor seconds so far."""
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def _rows(self) -> int:
        table = self._out / "silver"
        if not (table / "_delta_log").is_dir() or not any((table / "_delta_log").glob("*.json")):
            return 0
        numbers = pa.table(DeltaTable(str(table)).get_add_actions(flatten=True))["num_records"]
        return sum(int(each or 0) for each in numbers.to_pylist())


def _installed() -> Path:
    environment = cache_directory() / "bench-pathway"
    command = [find_uv(), "sync", "--quiet", "--frozen", "--project", str(PROJECT), "--python", sys.executable]
    inherited = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    subprocess.run(command, env=inherited | {"UV_PROJECT_ENVIRONMENT": str(environment)}, check=True)
    return environment
