"""The state of the tables as the pipeline page sees it: rows, balance, faults, and who waits for whom."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from lakehouse.contracts import load_contracts
from lakehouse.errors import LakehouseError
from lakehouse.layout import Layout
from lakehouse.settings import CONTRACTS
from local.dashboard.health import Health, Rejects, SourceBalance, TableHealth, latest_commits
from local.dashboard.pipeline_parts import freshness
from local.dashboard.readings import Readings
from local.dashboard.record_counts import balance_table, layer_cards, rejects_list
from local.dashboard.throughput import throughput
from local.dashboard.waiting import made_from
from runtime.delta_log import Commit
from runtime.lineage import Counts, Input, Lineage, TableInput
from tests.unit.gold_lake import write

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def commit(version: int, seconds: float, read: int | None) -> Commit:
    """A commit so many seconds before noon, which took in `read` records; None: it has no lineage."""
    lineage = None if read is None else Lineage("bronze", "pos", 0, "", "", (), Counts(read=read)).to_json()
    return Commit(version, NOW - timedelta(seconds=seconds), "WRITE", lineage)


def table(name: str, *commits: Commit, rows: int = 0, **more: Any) -> TableHealth:
    return TableHealth(name, len(commits), rows, more.pop("newest", None), commits, more.pop("agreed", None), **more)


def texts(component: Any) -> list[str]:
    """All text of a piece of a page, in order."""
    if component is None or isinstance(component, (str, int)):
        return [] if component is None else [str(component)]
    children = component if isinstance(component, (list, tuple)) else getattr(component, "children", None)
    if not isinstance(children, (list, tuple)):
        children = [children]
    return [text for child in children for text in texts(child)]


class TestHealth:
    def test_sql_in_values_and_in_what_was_clicked_is_text(self, tmp_path: Path) -> None:
        hostile = "'; DROP TABLE rejected.pos; select '1' or '1'='1 --"
        columns = {
            "record_id": ["a#1", "a#2"],
            "rule": ["enum", hostile],
            "column": ["type", '"; select 1'],
            "value": [hostile, "x"],
            "message": ["m", hostile],
            "payload": [hostile, "{}"],
            "arrived_at": [NOW, NOW],
        }
        write(tmp_path, "rejected.pos", columns)
        health = Health(Readings(str(tmp_path)), load_contracts(CONTRACTS))

        assert [(each["record_id"], each["value"]) for each in health.failing_rows("pos", "enum", 9)] == [
            ("a#1", hostile)
        ]
        assert [each["record_id"] for each in health.failing_rows("pos", hostile, 9)] == ["a#2"]
        assert health.failing_rows("pos", "enum' or '1'='1", 9) == []
        with pytest.raises(LakehouseError, match="there is no contract"):
            health.failing_rows("pos; drop table rejected.pos", "enum", 9)
        assert [(each.source, each.rules) for each in health.rejects()] == [("pos", ((hostile, 1), ("enum", 1)))]

    def test_rows_freshness_and_balance(self, tmp_path: Path) -> None:
        arrived = [NOW - timedelta(seconds=each) for each in (30, 10, 20)]
        records: dict[str, list[Any]] = {"record_id": ["a#1", "a#2", "a#3"], "arrived_at": arrived}
        write(tmp_path, "bronze.pos", records, Lineage("bronze", "pos", 0, "", "", (), Counts(read=3)).to_json())
        write(tmp_path, "silver.validated_pos", {name: values[:1] for name, values in records.items()})
        write(tmp_path, "rejected.pos", {"record_id": ["a#3", "a#4", "a#2"], "rule": ["type", "type", "enum"]})
        DeltaTable(Layout(str(tmp_path)).table("rejected.pos")).delete("record_id = 'a#4'")
        health = Health(Readings(str(tmp_path)), load_contracts(CONTRACTS))

        tables = health.tables()

        assert [(each.name, each.version, each.rows, each.arrived_at) for each in tables] == [
            ("bronze.pos", 0, 3, arrived[1]),
            ("silver.validated_pos", 0, 1, arrived[0]),
            ("rejected.pos", 1, 2, None),
        ]
        assert health.balances(tables, health.rejects()) == [SourceBalance("pos", 3, 1, 2)]
        assert health.balances(tables)[0].under_way == 0
        assert [(each.source, each.rules) for each in health.rejects()] == [("pos", (("enum", 1), ("type", 1)))]
        assert [(name, each.operation) for name, each in latest_commits(tables, 2)] == [
            ("rejected.pos", "DELETE"),
            ("rejected.pos", "WRITE"),
        ]

    def test_throughput_puts_rows_where_their_commits_are(self) -> None:
        width, rates = throughput(
            [
                table("bronze.pos", commit(2, 0, 60), commit(1, 2, None), commit(0, 3.5, 30)),
                table("bronze.crm", commit(0, 3, 12)),
                table("bronze.campaigns", commit(0, 86_400, 1000)),
                table("silver.validated_pos", commit(0, 0, 5)),
            ]
        )

        start = NOW - timedelta(seconds=3.5)
        seconds = [start + timedelta(seconds=each) for each in range(4)]
        assert width == 1.0
        assert rates == {
            "crm": list(zip(seconds, [12.0, 0.0, 0.0, 0.0], strict=True)),
            "pos": list(zip(seconds, [30.0, 0.0, 0.0, 60.0], strict=True)),
        }
        assert throughput([]) == (1.0, {})


class TestFaults:
    """Records that came twice or were corrected are rejected too, and are no faults."""

    REJECTS = Rejects("web_logs", (("duplicate", 3000), ("superseded", 40), ("enum", 60), ("required", 29)))
    BALANCE = SourceBalance("web_logs", 4571, 1442, 3129, 3000, 40)

    def test_faults_are_what_broke_a_rule(self) -> None:
        assert self.BALANCE.faults == 89
        assert self.REJECTS.faults == (("enum", 60), ("required", 29))
        assert texts(balance_table([self.BALANCE]).children[1]) == [
            "web_logs", "4,571", "1,442", "89", "3,000", "40", "1.95 %", "balanced",
        ]  # fmt: skip

    def test_duplicates_and_corrections_stand_apart(self) -> None:
        assert texts(rejects_list([self.REJECTS], None)) == [
            "web_logs", "89 faults", "enum", "60", "required", "29",
            "no faults", "duplicates", "3,000", "corrected since", "40",
        ]  # fmt: skip

    def test_the_card_of_rejected_counts_faults(self) -> None:
        card = layer_cards([table("rejected.web_logs", rows=3129)], [self.BALANCE])[3]

        assert texts(card) == [
            "Rejected", "records that broke a rule", "89",
            "newest record", "\u2013", "last commit", "\u2013", "duplicates", "3,000", "corrected since", "40",
        ]  # fmt: skip

    def test_only_duplicates_is_no_fault_at_all(self) -> None:
        assert texts(rejects_list([Rejects("pos", (("duplicate", 2),))], None)) == [
            "pos", "0 faults", "no faults", "duplicates", "2",
        ]  # fmt: skip


class TestWaiting:
    """Idle is a table that has all there is; late is one that lets rows wait for longer than it promises."""

    MINUTE = timedelta(minutes=1)

    def write(self, root: Path, name: str, rows: int, *inputs: Input, first: int = 0) -> None:
        metadata = Lineage("job", name, 0, "", "", inputs, Counts(read=rows, inserted=rows)).to_json()
        records = [f"a#{first + number}" for number in range(rows)]
        write(root, name, {"record_id": records, "arrived_at": [NOW] * rows}, metadata)

    def waiting(self, root: Path) -> dict[str, datetime | None]:
        health = Health(Readings(str(root)), load_contracts(CONTRACTS))
        return {each.name: each.waiting_since for each in health.tables()}

    def committed(self, root: Path, name: str, version: int) -> datetime:
        found = Health(Readings(str(root)), load_contracts(CONTRACTS)).log(name).commit(version)
        assert found is not None
        return found.committed_at

    def test_rows_of_the_first_version_not_taken_in_are_what_waits(self, tmp_path: Path) -> None:
        for number in range(3):
            self.write(tmp_path, "bronze.pos", 2, first=2 * number)
        self.write(tmp_path, "silver.validated_pos", 2, TableInput("bronze.pos", 0, 0))
        self.write(tmp_path, "gold.sales_kpis", 1, TableInput("silver.validated_pos", 0, 0))

        waiting = self.waiting(tmp_path)

        assert waiting == {
            "bronze.pos": None,
            "silver.validated_pos": self.committed(tmp_path, "bronze.pos", 1),
            "gold.sales_kpis": None,
        }

    def test_what_was_rejected_whole_does_not_wait(self, tmp_path: Path) -> None:
        self.write(tmp_path, "bronze.pos", 2)
        self.write(tmp_path, "silver.validated_pos", 1, TableInput("bronze.pos", 0, 0))
        self.write(tmp_path, "rejected.pos", 1, TableInput("bronze.pos", 0, 0))
        self.write(tmp_path, "bronze.pos", 5, first=2)
        assert self.waiting(tmp_path)["silver.validated_pos"] is not None
        self.write(tmp_path, "rejected.pos", 4, TableInput("bronze.pos", 1, 1))

        assert set(self.waiting(tmp_path).values()) == {None}

    def test_what_tends_a_table_brings_nothing_to_take_in(self, tmp_path: Path) -> None:
        self.write(tmp_path, "bronze.pos", 2)
        self.write(tmp_path, "silver.validated_pos", 2, TableInput("bronze.pos", 0, 0))
        self.write(tmp_path, "gold.sales_kpis", 1, TableInput("silver.validated_pos", 0, 0))
        DeltaTable(Layout(str(tmp_path)).table("silver.validated_pos")).optimize.compact()
        write(tmp_path, "silver.validated_pos", {"record_id": ["x"], "arrived_at": [NOW]})

        assert self.waiting(tmp_path)["gold.sales_kpis"] is None

    def test_a_correction_that_changes_no_kpi_does_not_wait(self, tmp_path: Path) -> None:
        self.write(tmp_path, "silver.validated_pos", 2)
        self.write(tmp_path, "gold.sales_kpis", 1, TableInput("silver.validated_pos", 0, 0))
        corrected = Lineage("silver", "pos", 1, "", "", (), Counts(read=1, updated=1)).to_json()
        write(tmp_path, "silver.validated_pos", {"record_id": ["x"], "arrived_at": [NOW]}, corrected)

        assert self.waiting(tmp_path)["gold.sales_kpis"] is None

    def test_tables_are_made_from_those_below(self) -> None:
        contracts = load_contracts(CONTRACTS)

        assert made_from("bronze.pos", contracts) == ()
        assert made_from("silver.validated_pos", contracts) == ("bronze.pos",)
        assert made_from("silver.stores", contracts) == ("bronze.stores",)
        assert made_from("rejected.crm", contracts) == ("bronze.crm",)
        assert made_from("gold.operations_kpis", contracts) == ("silver.enriched_inventory", "silver.validated_pos")

    @pytest.mark.parametrize(
        ("waited", "newest", "shown"),
        [
            (None, 1, "kept within 5 min"),
            (None, 180, "idle within 5 min"),
            (4, 180, "under way within 5 min"),
            (6, 1, "late within 5 min"),
        ],
    )
    def test_idle_is_not_late(self, waited: int | None, newest: int, shown: str) -> None:
        state = table(
            "silver.sessionized_web_logs",
            newest=NOW - newest * self.MINUTE,
            agreed=5 * self.MINUTE,
            waiting_since=None if waited is None else NOW - waited * self.MINUTE,
        )

        assert "".join(texts(freshness(state, NOW))) == shown
