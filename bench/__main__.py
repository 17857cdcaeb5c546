"""`python -m bench [NAME ...] [--quick]`: measures, prints, and rewrites sections of the pages and bench/results."""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.alone import measure_alone
from bench.report import Machine, show, write, write_goals

# In this order: the two merges share their lakes; `scale` needs what `requests`, `burst` and `many_batches` found.
BENCHMARKS = (
    *("micro_batch", "silver_merge", "gold_merge", "latency", "sustained", "burst", "files", "start", "idle"),
    *("requests", "many_batches", "peers", "scale", "kinesis", "load"),
)
MERGES = ("silver_merge", "gold_merge")


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"Which: {', '.join(BENCHMARKS)}; none means all.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes, to see that it runs; writes nothing.")] = False,
    folder: Annotated[
        Path | None, typer.Option(help="Where to make the lakes (4 GB); a folder of its own in there is removed.")
    ] = None,
) -> None:
    """Measure the costs that docs/benchmarks.md and docs/scale.md report."""
    unknown = set(names or ()) - set(BENCHMARKS)
    if unknown:
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: choose among {', '.join(BENCHMARKS)}")
    console = Console()
    console.print(str(Machine.here()), highlight=False)
    missed, failed = 0, []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=folder, ignore_cleanup_errors=True) as place:
        for name in [each for each in BENCHMARKS if not names or each in names]:
            console.print(f"\n{name} …", highlight=False)
            machine, started = Machine.here(), time.monotonic()
            try:
                result = measure_alone(name, quick, Path(place))
            except Exception:  # whatever it was: the others are measured all the same
                console.print_exception(max_frames=4)
                failed.append(name)
                continue
            seconds = time.monotonic() - started
            show(result, seconds, console)
            missed += sum(not goal.met for goal in result.goals)
            if not quick:
                write(name, result, seconds, machine)
                write_goals(BENCHMARKS)
            if name not in MERGES:
                shutil.rmtree(Path(place) / name.replace("_", "-"), ignore_errors=True)
    console.print(f"\n{missed} goals missed" if missed else "\nall goals met", highlight=False)
    if failed:
        console.print(f"not measured: {', '.join(failed)}", highlight=False)
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
