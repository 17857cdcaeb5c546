"""`lakehouse try`: what a file would give, and the dialect by which more of it would pass."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from batch.guessing import guessed
from batch.trial import tried
from lakehouse.contracts import load_contracts
from lakehouse.dialect import PLAIN, as_property, read_dialect
from lakehouse.errors import LakehouseError
from lakehouse.settings import CONTRACTS, Settings
from local.commands import try_file as command

POS = replace(load_contracts(CONTRACTS).source("pos"), dialect=PLAIN)
FIELDS = tuple(column.name for column in POS.columns)
CELLS = ["T1", "1", "11", "SKU-1", "2", "1.50", "3.00", "", "C1", "2024-03-01T10:00:00Z"]
ALIASES = {"Transaction ID": "transaction_id", "lineNumber": "line_number"}


def file(delimiter: str = ",", header: bool = True, names: tuple[str, ...] = FIELDS, **cells: str) -> bytes:
    line = delimiter.join((dict(zip(FIELDS, CELLS, strict=True)) | cells).values())
    return "\n".join([*([delimiter.join(names)] if header else []), line, line, ""]).encode()


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (file(), {}),
        (file(";"), {"delimiter": ";"}),
        (file(";", unit_price="1,50", revenue="3,00"), {"delimiter": ";", "decimal": ","}),
        (file("\t", header=False), {"delimiter": "\t", "columns": list(FIELDS)}),
        (file(";", names=(*ALIASES, *FIELDS[2:])), {"delimiter": ";", "aliases": ALIASES}),
        (file(customer_id="Caf\u00e9").decode().encode("cp1252"), {"encoding": "cp1252"}),
        (file(discount_applied="N/A"), {"nullWords": ["N/A"]}),
        (file(timestamp="31.03.2024 10:00"), {"times": {"formats": ["%d.%m.%Y %H:%M"]}}),
        (
            json.dumps({"rows": [dict(zip(FIELDS, CELLS, strict=True))]}).encode(),
            {"records": "rows"},
        ),
    ],
)
def test_the_dialect_is_guessed_by_which_every_line_passes(content: bytes, wanted: dict[str, Any]) -> None:
    path = "pos/f.json" if content.startswith(b"{") else "pos/f.csv"
    guess = guessed(path, content, POS)
    assert as_property(guess.dialect) == wanted
    trial = tried(path, content, POS, guess.dialect)
    assert (trial.accepted, trial.reasons) == (trial.lines, ())


def test_a_day_that_could_be_a_month_is_pointed_out() -> None:
    guess = guessed("pos/f.csv", file(timestamp="01/02/2024 10:00"), POS)
    assert guess.doubts == (
        "times like %d/%m/%Y %H:%M could have day and month the other way round: look at them",
        "times have no zone and count as UTC: declare times.zone if the tills' clocks show another",
    )
    assert guessed("pos/f.csv", file(timestamp="31/12/2024 10:00"), POS).doubts == guess.doubts[1:]


def test_the_command_shows_what_would_be_read_and_the_lines_to_declare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "\x1b.csv"
    path.write_bytes(file(";"))
    command.run(file=path, source="pos", json=False, settings=Settings())
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "  0 of 3 lines accepted" in out.splitlines()
    assert "  2 of 2 lines accepted" in out.splitlines()
    first = out.index("  - property: dialect")
    (declared,) = yaml.safe_load(out[first : out.index("  2 of 2 lines accepted")])
    assert read_dialect(declared["value"], FIELDS).delimiter == ";"

    command.run(file=path, source="pos", json=True, settings=Settings())
    shown = json.loads(capsys.readouterr().out)
    assert (shown["trial"]["accepted"], shown["guess"]["trial"]["accepted"]) == (0, 2)
    with pytest.raises(LakehouseError, match=r"cannot be read \(No such file or directory\): name a file that you may"):
        command.run(file=tmp_path / "none", source="pos", json=False, settings=Settings())
