"""How rows of hostile records are printed: CSV, JSON and a terminal's table."""

import csv
import io
import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from local.rendering import MOST_TABLE_ROWS, PLAIN_NUMBER, inert_cell, json_text, write_csv, write_json, write_table

FORMULA_SIGNS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
# Text of what formulas, cells and lines begin and end with.
HOSTILE = st.text(alphabet=[*FORMULA_SIGNS, *";,\t\r\n\"' x1."], max_size=12)
HUGE = Decimal("123456789012345678901234.5678")


class TestPrinting:
    def test_csv_cells_are_no_formulas_and_numbers_stay_numbers(self) -> None:
        columns = ["text", "number", "at", "=name"]
        rows = [
            {
                "text": "=1+1",
                "number": Decimal("-5.2500"),
                "at": datetime(2010, 12, 1, 8, 0, tzinfo=UTC),
                "=name": None,
            },
            {"text": '@SUM(A1),"x"', "number": -3, "at": date(2010, 12, 1), "=name": True},
            {"text": "-12.50", "number": 1e-7, "at": None, "=name": [{"rule": "type", "value": "=x"}]},
            {"text": "\ttab", "number": 0, "at": None, "=name": "\uff1dcmd()"},
            {"text": "\rx", "number": 0, "at": None, "=name": "-x"},
            {"text": "plain", "number": 0, "at": None, "=name": "+44 20"},
        ]
        stream = io.StringIO()

        write_csv(columns, rows, stream)

        assert stream.getvalue() == (
            "text,number,at,'=name\n"
            "'=1+1,-5.2500,2010-12-01T08:00:00Z,\n"
            '"\'@SUM(A1),""x""",-3,2010-12-01,true\n'
            '-12.50,1e-07,,"[{""rule"": ""type"", ""value"": ""=x""}]"\n'
            "'\ttab,0,,'\uff1dcmd()\n"
            "\"'\rx\",0,,'-x\n"
            "plain,0,,'+44 20\n"
        )

    @pytest.mark.parametrize(
        ("text", "cell"),
        [
            ("x;=HYPERLINK(1)", "x;'=HYPERLINK(1)"),
            ("l1\n=1+1", "l1\n'=1+1"),
            ("l1\r\n@SUM(A1)", "l1\r\n'@SUM(A1)"),
            ("x\t+1;-1", "x\t'+1;'-1"),
            ('x;"=1+1"', 'x;\'"=1+1"'),
            ("x; \uff1d1", "x;' \uff1d1"),
            ("=1;=2", "'=1;'=2"),
            ("a=b;c-d\ne@f", "a=b;c-d\ne@f"),
        ],
    )
    def test_no_part_that_a_spreadsheet_splits_off_is_a_formula(self, text: str, cell: str) -> None:
        """A spreadsheet whose list separator is `;` cuts there, and takes our quoted cells for text of one line."""
        assert inert_cell(text) == cell

    @given(st.text() | HOSTILE)
    def test_no_text_starts_a_formula(self, text: str) -> None:
        cell = inert_cell(text)

        assert re.sub(r"(^|[;\t\r\n])'", r"\1", cell) == re.sub(r"(^|[;\t\r\n])'", r"\1", text)
        assert not cell.startswith(("=", "@", "\t", "\r"))
        assert cell[:1] not in ("+", "-") or float(cell) is not None

    @given(st.lists(st.tuples(HOSTILE, HOSTILE), min_size=1, max_size=3), st.sampled_from(",;\t"))
    def test_no_cell_is_a_formula_whatever_the_spreadsheet_separates_by(
        self, rows: list[tuple[str, str]], separator: str
    ) -> None:
        stream = io.StringIO(newline="")

        write_csv(["a", "b"], [{"a": one, "b": other} for one, other in rows], stream)

        stream.seek(0)
        cells = [cell for row in csv.reader(stream, delimiter=separator) for cell in row]
        if separator != ",":  # Our quotes may count for nothing.
            cells += re.split(rf"[{separator}\r\n]", stream.getvalue())
        formulas = [cell for cell in cells if cell.removeprefix('"').lstrip(" \t\r\n").startswith(FORMULA_SIGNS)]
        assert [cell for cell in formulas if PLAIN_NUMBER.fullmatch(cell.split(",")[0]) is None] == []

    def test_json_keeps_every_digit(self) -> None:
        rows = [
            {"n": HUGE, "z": Decimal("1.0000"), "t": datetime(2010, 12, 1, tzinfo=UTC), "f": float("nan"), "b": b"\xff"}
        ]
        stream = io.StringIO()

        write_json(rows, stream)

        assert stream.getvalue() == (
            '[\n{"n": 123456789012345678901234.5678, "z": 1.0000, "t": "2010-12-01T00:00:00Z", '
            '"f": null, "b": "/w=="}\n]\n'
        )
        assert json.loads(stream.getvalue(), parse_float=Decimal)[0]["n"] == HUGE

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda each: st.lists(each) | st.dictionaries(st.text(), each),
        )
    )
    def test_json_text_is_what_json_reads_back(self, value: Any) -> None:  # fmt: skip
        assert json.loads(json_text(value)) == value

    def test_a_table_shows_control_characters_and_markup_as_text(self) -> None:
        stream = io.StringIO()
        rows = [{"payload": "\x1b[2J[red]<b>\u202etxt", "n": 1}] + [{"payload": "x", "n": 2}] * MOST_TABLE_ROWS

        write_table(["payload", "n"], rows, Console(file=stream, width=200, force_terminal=False))

        lines = stream.getvalue().splitlines()
        assert lines[2].rstrip() == r"\u001b[2J[red]<b>\u202etxt │ 1"
        assert lines[-1] == "1,001 rows, the first 1000 shown: --format csv writes all".replace("1000", "1,000")
