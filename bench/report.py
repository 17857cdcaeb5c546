"""Results for people: tables on the terminal, sections of a page with the machine and the date, and the same as JSON.

The JSON (`bench/results/<name>.json`) is what was measured, as it was; the pages are written from it.
"""

import json
import os
import platform
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from bench.result import Result, Table

BENCH = Path(__file__).resolve().parent
RESULTS = BENCH / "results"
DOCS = BENCH.parent / "docs"
DOCUMENT = DOCS / "benchmarks.md"
# What stands in a page of its own.
DOCUMENTS = {"scale": DOCS / "scale.md"}
PREAMBLE = """# Benchmarks

`make bench` measures and rewrites the parts between the markers; what stands outside of them is written by hand.
Seconds are this machine's; the ratios within one run are the claim.
"""


@dataclass(frozen=True)
class Machine:
    """Where and with what it was measured; `load` is how many processes wanted a core when it began."""

    processor: str
    cores: int
    memory_gib: float
    versions: str
    load: float

    @classmethod
    def here(cls) -> "Machine":
        """This machine, now."""
        packages = ("pyspark", "delta-spark", "deltalake", "duckdb", "boto3", "pyarrow")
        versions = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in packages)]
        memory = psutil.virtual_memory().total / 2**30
        return cls(_processor(), psutil.cpu_count() or 1, memory, ", ".join(versions), os.getloadavg()[0])

    def __str__(self) -> str:
        return (
            f"{self.processor}, {self.cores} cores, {self.memory_gib:.0f} GiB, load {self.load:.1f} before; "
            f"{platform.system()}; {self.versions}"
        )


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        match = re.search(r"^model name\s*:\s*(.+)$", information.read_text(encoding="utf-8"), re.MULTILINE)
        if match:
            return match[1]
    return platform.processor() or platform.machine()


def show(result: Result, seconds: float, console: Console) -> None:
    """Prints the tables and the goals."""
    console.print(f"\n[bold]{result.title}[/bold]", highlight=False)
    console.print(result.method, highlight=False, markup=False)
    for table in (*result.tables, _goals(result)):
        shown = RichTable(*table.columns, box=box.SIMPLE_HEAD)
        for row in table.rows:
            shown.add_row(*row)
        console.print(shown)
    console.print(f"measured in {seconds:.0f} s", highlight=False)


def write(
    name: str,
    result: Result,
    seconds: float,
    machine: Machine,
    document: Path | None = None,
    results: Path = RESULTS,
) -> None:
    """Puts the section `name` into its page in place of the one that is there, and keeps the result as JSON."""
    document = document or DOCUMENTS.get(name, DOCUMENT)
    body = [f"## {result.title}", result.method]
    if result.picture is not None:
        picture = document.parent / "pictures" / f"{name}.svg"
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_text(result.picture, encoding="utf-8")
        body.append(f"![{result.title}](pictures/{picture.name})")
    goals = (_goals(result),) if result.goals else ()
    body += [_markdown(table) for table in (*goals, *result.tables)]
    body.append(f"Measured on {datetime.now(UTC):%Y-%m-%d} in {seconds:.0f} s: {machine}.")
    put_section(document, name, "\n\n".join(body))
    results.mkdir(parents=True, exist_ok=True)
    measured = {"measured_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "seconds": round(seconds, 1)}
    found = {key: value for key, value in asdict(result).items() if key != "picture"}
    content = {"name": name, **measured, "machine": asdict(machine), **found}
    (results / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def put_section(document: Path, name: str, body: str) -> None:
    """Writes the part of a page between the markers of `name`; a page without them gets it at its end."""
    text = document.read_text(encoding="utf-8") if document.exists() else PREAMBLE
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    section = "\n\n".join([begin, body, end])
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    known = pattern.search(text) is not None
    text = pattern.sub(lambda _: section, text) if known else f"{text.rstrip()}\n\n{section}\n"
    document.parent.mkdir(parents=True, exist_ok=True)
    document.write_text(text, encoding="utf-8")


def stored(name: str, results: Path = RESULTS) -> dict[str, Any] | None:
    """The last result of a benchmark that was kept; None where there is none."""
    path = results / f"{name}.json"
    found: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    return found


def write_goals(names: Iterable[str], document: Path = DOCUMENT, results: Path = RESULTS) -> None:
    """All goals of the results that are kept, in one table at the head of the page."""
    rows = [
        (name, each["what"], each["wanted"], each["measured"], _told(each["met"]))
        for name in names
        for each in (stored(name, results) or {"goals": []})["goals"]
    ]
    put_section(document, "goals", _markdown(Table(("benchmark", "goal", "wanted", "measured", ""), tuple(rows))))


def _goals(result: Result) -> Table:
    rows = tuple((each.what, each.wanted, each.measured, _told(each.met)) for each in result.goals)
    return Table(("goal", "wanted", "measured", ""), rows)


def _told(met: bool) -> str:
    return "met" if met else "missed"


def _markdown(table: Table) -> str:
    lines = [table.columns, tuple("---" for _ in table.columns), *table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
