"""What `lakehouse sql` prints and how it ends."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typer

from lakehouse.settings import Settings
from local.commands import sql as command
from local.sql_examples import EXAMPLES
from local.statements import question
from tests.unit.sql_lake import EVENTS, HUGE, event, fill, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    fill(tmp_path)
    return tmp_path


def settings(root: Path) -> Settings:
    return Settings(root=str(root))


class TestCommand:
    def run(self, root: Path, query: str, **options: Any) -> None:
        command.run(query=query, settings=settings(root), **options)

    def test_formats(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        query = "select kpi_name, sum(numerator) total from gold.sales_kpis group by 1 order by 1"

        self.run(root, query, format="csv")
        assert capsys.readouterr().out == f"kpi_name,total\ndaily_revenue,{HUGE + Decimal('0.1')}\nrefunds,-2.5000\n"
        self.run(root, query, format="json")
        assert capsys.readouterr().out == (
            f'[\n{{"kpi_name": "daily_revenue", "total": {HUGE + Decimal("0.1")}}},\n'
            '{"kpi_name": "refunds", "total": -2.5000}\n]\n'
        )
        self.run(root, query)
        table = capsys.readouterr().out
        assert "refunds       │                       -2.5000" in table
        assert table.endswith("2 rows\n")

    def test_no_rows(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        query = "select kpi_name from gold.sales_kpis where false"

        for form in ("csv", "json", "table"):
            self.run(root, query, format=form)
        assert capsys.readouterr().out == "kpi_name\n[]\nkpi_name\n━━━━━━━━\n0 rows\n"

    def test_a_version_can_be_given(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write(root, "rejected.pos", [event("b#2", 1, "uk", "sale")], EVENTS)

        self.run(root, "select count(*) n from rejected.pos", format="csv", at=["rejected.pos=0"])
        assert capsys.readouterr().out == "n\n1\n"

    @pytest.mark.parametrize(
        "use",
        [
            lambda self, root: self.run(root, "drop table gold.sales_kpis"),
            lambda self, root: self.run(root, "select nothing from gold.sales_kpis"),
            lambda self, root: self.run(root, "select 1", at=["gold.sales_kpis"]),
        ],
    )
    def test_wrong_use_ends_with_2_and_one_line(
        self, root: Path, capsys: pytest.CaptureFixture[str], use: Callable[["TestCommand", Path], None]
    ) -> None:
        with pytest.raises(typer.Exit) as caught:
            use(self, root)

        assert caught.value.exit_code == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("lakehouse: ")
        assert printed.err.count("\n") == 1

    def test_the_examples_are_reading_statements(self) -> None:
        examples = [line.split('"', 1)[1].rsplit('"', 1)[0] for line in EXAMPLES.splitlines()]

        assert len(examples) >= 5
        for example in examples:
            asked = question(example.replace('\\"', '"'))
            assert asked.tables or asked.asks_for == "tables"
