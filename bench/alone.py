"""A benchmark in a process of its own."""

import importlib
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bench.result import Result


def measure_alone(name: str, quick: bool, folder: Path) -> Result:
    """Runs `bench.<name>` in a new process: its JVM is fresh, and sees the variables that are set then."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as process:
        return process.submit(_measure, name, quick, folder).result()


def _measure(name: str, quick: bool, folder: Path) -> Result:
    result: Result = importlib.import_module(f"bench.{name}").run(quick, folder)
    return result
