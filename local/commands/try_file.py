"""`lakehouse try FILE --source pos`: what a file would give, what would be rejected, and the dialect to declare."""

from pathlib import Path
from typing import Any

import yaml
from rich.text import Text

from batch.guessing import guessed
from batch.trial import Trial, tried
from lakehouse.contracts import load_contracts
from lakehouse.dialect import as_property
from lakehouse.errors import LakehouseError
from lakehouse.settings import Settings
from local.rendering import json_text, standard_console, visible

LARGEST = 256 * 1024 * 1024
MOST_REASONS = 12


def run(*, file: Path, source: str, json: bool, settings: Settings) -> None:
    """Prints how the contract of the source reads the file, and a dialect by which more lines of it would pass.

    Raises LakehouseError for a file that cannot be read, or is too large to be tried.
    """
    contract = load_contracts(settings.contracts_directory).source(source)
    content = _content(file)
    path = f"{source}/{file.name}"
    trial = tried(path, content, contract, contract.dialect)
    guess = guessed(path, content, contract)
    better = tried(path, content, contract, guess.dialect) if guess.dialect != contract.dialect else None
    if json:
        shown = {"file": str(file), "source": source, "trial": _as_json(trial)}
        if better is not None:
            declared = {"dialect": as_property(guess.dialect), "doubts": list(guess.doubts), "trial": _as_json(better)}
            shown["guess"] = declared
        print(json_text(shown))
        return
    console = standard_console()
    console.print(Text(f"{visible(str(file))} as {source}, in the dialect that its contract declares:"))
    console.print(Text(_told(trial)))
    if better is not None:
        lines = yaml.safe_dump([{"property": "dialect", "value": as_property(guess.dialect)}], sort_keys=False)
        indented = "".join(f"  {line}\n" for line in lines.splitlines())
        console.print(
            Text(f"With this under customProperties of {contract.name}.odcs.yaml (instead of a dialect there):")
        )
        console.print(Text(visible_lines(indented).rstrip()))
        console.print(Text(_told(better)))
        for doubt in guess.doubts:
            console.print(Text(f"  Look: {doubt}"))
    console.print(Text("Keys of reference data are not looked up, and nothing was taken in."))


def visible_lines(text: str) -> str:
    """The text without signs that a terminal would obey, line by line."""
    return "\n".join(map(visible, text.split("\n")))


def _content(file: Path) -> bytes:
    try:
        if file.stat().st_size > LARGEST:
            raise LakehouseError(f"{file} has more than {LARGEST} bytes: try its first lines in a file of their own")
        return file.read_bytes()
    except OSError as error:
        raise LakehouseError(f"{file} cannot be read ({error.strerror}): name a file that you may read") from error


def _told(trial: Trial) -> str:
    lines = [f"  {trial.accepted} of {trial.lines} lines accepted"]
    for row in trial.rows[:2]:
        lines.append("  such as " + visible(", ".join(f"{name}={value}" for name, value in row.items())))
    for reason in trial.reasons[:MOST_REASONS]:
        about = f"{reason.column}: " if reason.column else ""
        value = f", first line {reason.first_line} has {reason.value!r}" if reason.value and reason.column else ""
        lines.append(visible(f"  {reason.lines} of {trial.lines} lines: {reason.rule}: {about}{reason.message}{value}"))
    if trial.undeclared:
        lines.append(visible(f"  not in the contract: {', '.join(trial.undeclared)}"))
    return "\n".join(lines)


def _as_json(trial: Trial) -> dict[str, Any]:
    return {
        "lines": trial.lines,
        "accepted": trial.accepted,
        "rows": list(trial.rows),
        "reasons": [vars(reason) for reason in trial.reasons],
        "undeclared": list(trial.undeclared),
    }
