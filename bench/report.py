"""Results for people: tables on the terminal, and sections of docs/benchmarks.md with the machine and the date."""

import platform
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from bench.result import Result, Table

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
PREAMBLE = """# Benchmarks

`make bench` measures and rewrites the parts between the markers; what stands outside of them is written by hand.
Seconds are this machine's; the ratios within one run are the claim.
"""


@dataclass(frozen=True)
class Machine:
    """Where and with what it was measured."""

    processor: str
    cores: int
    memory_gib: float
    versions: str

    @classmethod
    def here(cls) -> "Machine":
        """This machine."""
        packages = ("pyspark", "delta-spark", "boto3", "pyarrow")
        versions = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in packages)]
        return cls(_processor(), psutil.cpu_count() or 1, psutil.virtual_memory().total / 2**30, ", ".join(versions))

    def __str__(self) -> str:
        return f"{self.processor}, {self.cores} cores, {self.memory_gib:.0f} GiB; {platform.system()}; {self.versions}"


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


def write(name: str, result: Result, seconds: float, machine: Machine, document: Path = DOCUMENT) -> None:
    """Puts the section `name` into the document, in place of the one that is there."""
    text = document.read_text(encoding="utf-8") if document.exists() else PREAMBLE
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    body = [f"## {result.title}", result.method, *(_markdown(table) for table in (_goals(result), *result.tables))]
    body.append(f"Measured on {datetime.now(UTC):%Y-%m-%d} in {seconds:.0f} s: {machine}.")
    section = "\n\n".join([begin, *body, end])
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    known = pattern.search(text) is not None
    text = pattern.sub(lambda _: section, text) if known else f"{text.rstrip()}\n\n{section}\n"
    document.parent.mkdir(parents=True, exist_ok=True)
    document.write_text(text, encoding="utf-8")


def _goals(result: Result) -> Table:
    rows = tuple((each.what, each.wanted, each.measured, "met" if each.met else "missed") for each in result.goals)
    return Table(("goal", "wanted", "measured", ""), rows)


def _markdown(table: Table) -> str:
    lines = [table.columns, tuple("---" for _ in table.columns), *table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
