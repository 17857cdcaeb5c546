"""What the demo shows while it runs: rows per source and layer, speed and lag, told by the Delta commits alone."""

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lakehouse.contracts import Contracts
from local.demo.run import Run
from runtime.delta_log import DeltaLog
from runtime.lineage import Lineage, read_lineage


@dataclass
class _Follower:
    """Reads each commit of a table once, as it appears."""

    log: DeltaLog
    seen: int = -1

    def new(self) -> list[Lineage]:
        newest = self.log.newest()
        found = []
        while newest is not None and self.seen < newest:
            self.seen += 1
            commit = self.log.commit(self.seen)
            lineage = read_lineage(commit.metadata) if commit else None
            if lineage is not None:
                found.append(lineage)
        return found


@dataclass
class Progress:
    """Counts by source, brought up to date by `refresh`."""

    run: Run
    contracts: Contracts
    produced: Counter[str] = field(default_factory=Counter)
    bronze: Counter[str] = field(default_factory=Counter)
    silver: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    gold_commits: int = 0
    stage: str = ""
    rate: float = 0.0

    def __post_init__(self) -> None:
        self._tables = {
            name: _Follower(DeltaLog(self.run.settings.root, name))
            for name in self.contracts.tables
            if not name.startswith("gold.")
        }
        self.gold_names = [name for name in self.contracts.tables if name.startswith("gold.")]
        self._gold = [DeltaLog(self.run.settings.root, name) for name in self.gold_names]
        self._source_of = {stream: source for source, stream in self.run.settings.streams.items()}
        self._read_up_to = 0
        self._last = (time.monotonic(), 0)

    def refresh(self) -> None:
        """Reads what was committed and produced since the last call."""
        self._read_ledger()
        for name, follower in self._tables.items():
            layer, _, table = name.partition(".")
            for lineage in follower.new():
                if layer == "bronze":
                    self.bronze[table] += lineage.counts.inserted
                elif layer == "silver":
                    self.silver[table] += lineage.counts.inserted
                else:
                    self.rejected[table] += sum(lineage.counts.rejected.values())
        self.gold_commits = sum((log.newest() or 0) for log in self._gold)
        now, done = time.monotonic(), sum(self.silver.values())
        if now - self._last[0] >= 1:
            self.rate = (done - self._last[1]) / (now - self._last[0])
            self._last = (now, done)

    def _read_ledger(self) -> None:
        if not self.run.ledger.exists():
            return
        with self.run.ledger.open("rb") as file:
            file.seek(self._read_up_to)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read_up_to += len(line)
                entry = json.loads(line)
                if "stream" in entry:
                    self.produced[self._source_of[entry["stream"]]] += 1

    def lag(self, source: str) -> int:
        """Bronze records of a source that are neither in silver nor in rejected yet."""
        silver = self.silver[self.contracts.silver_of(source).name]
        return self.bronze[source] - silver - self.rejected[source]

    def line(self) -> str:
        """One line for an output that is no terminal."""
        counts = f"bronze {sum(self.bronze.values())}, silver {sum(self.silver.values())}"
        return f"{self.stage}: {counts}, rejected {sum(self.rejected.values())}, gold commits {self.gold_commits}"

    def render(self, states: Mapping[str, str]) -> RenderableType:
        """The live picture: counts by source above, the jobs' states below."""
        table = Table(title=self.stage, title_justify="left", title_style="bold", expand=False)
        table.add_column("source")
        for heading in ("produced", "bronze", "silver", "rejected", "lag"):
            table.add_column(heading, justify="right")
        for source in self.contracts.sources:
            silver = self.silver[self.contracts.silver_of(source).name]
            produced = str(self.produced[source]) if source in self.produced else ""
            cells = (produced, self.bronze[source], silver, self.rejected[source], max(self.lag(source), 0))
            table.add_row(source, *(f"{cell:,}" if isinstance(cell, int) else cell for cell in cells))
        jobs = "   ".join(f"{name} {state}" for name, state in states.items())
        return Group(table, Text(f"{self.rate:,.0f} rows/s into silver   gold commits {self.gold_commits}   {jobs}"))
