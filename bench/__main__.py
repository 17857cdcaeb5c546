"""`python -m bench [NAME ...] [--quick]`: measures, prints, and rewrites the sections of docs/benchmarks.md."""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.alone import measure_alone
from bench.report import Machine, show, write

# In this order: the first two share their lakes.
BENCHMARKS = ("silver_merge", "gold_merge", "micro_batch", "latency", "idle", "kinesis", "load", "burst")


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"Which: {', '.join(BENCHMARKS)}; none means all.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes, to see that it runs; writes nothing.")] = False,
    folder: Annotated[
        Path | None, typer.Option(help="Where to make the lakes (2 GB); a folder of its own in there is removed.")
    ] = None,
) -> None:
    """Measure the costs that docs/benchmarks.md reports."""
    unknown = set(names or ()) - set(BENCHMARKS)
    if unknown:
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: choose among {', '.join(BENCHMARKS)}")
    console, machine = Console(), Machine.here()
    console.print(str(machine), highlight=False)
    missed = 0
    with tempfile.TemporaryDirectory(prefix="bench-", dir=folder, ignore_cleanup_errors=True) as place:
        for name in [each for each in BENCHMARKS if not names or each in names]:
            console.print(f"\n{name} …", highlight=False)
            started = time.monotonic()
            result = measure_alone(name, quick, Path(place))
            seconds = time.monotonic() - started
            show(result, seconds, console)
            missed += sum(not goal.met for goal in result.goals)
            if not quick:
                write(name, result, seconds, machine)
            if name not in ("silver_merge", "gold_merge"):
                shutil.rmtree(Path(place) / name.replace("_", "-"), ignore_errors=True)
    console.print(f"\n{missed} goals missed" if missed else "\nall goals met", highlight=False)


if __name__ == "__main__":
    typer.run(main)
