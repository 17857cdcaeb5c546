"""The lineage in Delta commits: read back as it was written, walked from a KPI to sequence numbers and files."""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.errors import LakehouseError
from lakehouse.layout import Layout
from lakehouse.settings import Settings
from local.commands import lineage as command
from runtime.delta_log import SECONDS_BETWEEN_LISTINGS, DeltaLog, parse_commit
from runtime.lineage import (
    Counts,
    FileInput,
    Lineage,
    ShardInput,
    TableInput,
    TracedTable,
    Tracer,
    read_lineage,
    starting_point,
)

FIRST = "49590338271490256608559692538361571095921575989136588898"
LAST = "49590338271490256608559692538361571095921575989136588999"
FOREIGN = "written without lineage (maintenance, or not by a job of the lake)"
FIELDS = st.sampled_from(["job", "inputs", "counts", "rejected", "table", "from", "x"])
SHARD = ShardInput("web_logs", "shardId-000000000000", FIRST, LAST, 12)
FILE = FileInput("pos/2010-12-01.csv", 3, 270, "d41d8cd9")
COUNTS = Counts(read=15, valid=12, rejected={"type": 1, "range": 1}, duplicate=1, inserted=11, updated=1)


def made(query: str, batch: int, *inputs: Any, counts: Counts = COUNTS) -> Lineage:
    job = query.partition(".")[0]
    return Lineage(job, query, batch, "0.1.0+abc1234", "1.2.0", inputs, counts, {"utm_term": 2})


def commit(root: Path, table: str, lineage: Lineage | str | None) -> None:
    metadata = lineage.to_json() if isinstance(lineage, Lineage) else lineage
    properties = CommitProperties(custom_metadata={"userMetadata": metadata}) if metadata is not None else None
    write_deltalake(Layout(str(root)).table(table), pa.table({"a": [1]}), mode="append", commit_properties=properties)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A lake of one KPI table over one silver table over two bronze tables; OPTIMIZE ran on silver and gold."""
    commit(tmp_path, "bronze.web_logs", made("bronze.web_logs", 0, SHARD))
    commit(tmp_path, "bronze.pos", made("bronze.pos", 0, FILE))
    commit(tmp_path, "silver.validated_pos", None)
    commit(tmp_path, "silver.validated_pos", made("silver.validated_pos", 0, TableInput("bronze.pos", 0, 0)))
    DeltaTable(Layout(str(tmp_path)).table("silver.validated_pos")).optimize.compact()
    commit(tmp_path, "silver.sessionized_web_logs", made("silver.web", 0, TableInput("bronze.web_logs", 0, 0)))
    inputs = (TableInput("silver.validated_pos", 1, 2), TableInput("silver.sessionized_web_logs", 0, 0))
    commit(tmp_path, "gold.sales_kpis", made("gold.sales_kpis", 0, *inputs))
    commit(tmp_path, "gold.sales_kpis", "written by hand")
    return tmp_path


class TestText:
    def test_a_lineage_is_read_as_it_was_written(self) -> None:
        lineage = made("silver.validated_pos", 7, TableInput("bronze.pos", 3, 9), SHARD, FILE)

        assert read_lineage(lineage.to_json()) == lineage

    def test_the_text_is_the_json_that_was_agreed(self) -> None:
        assert json.loads(made("gold.sales_kpis", 7, TableInput("bronze.pos", 3, 9), SHARD, FILE).to_json()) == {
            "job": "gold",
            "query": "gold.sales_kpis",
            "batch": 7,
            "code": "0.1.0+abc1234",
            "contract": "1.2.0",
            "inputs": [
                {"table": "bronze.pos", "from_version": 3, "to_version": 9},
                {"stream": "web_logs", "shard": SHARD.shard, "from": SHARD.first, "to": SHARD.last, "records": 12},
                {"file": "pos/2010-12-01.csv", "records": 3, "size": 270, "etag": "d41d8cd9"},
            ],
            "counts": {
                "in": 15,
                "valid": 12,
                "rejected": {"type": 1, "range": 1},
                "duplicate": 1,
                "inserted": 11,
                "updated": 1,
            },
            "drift": {"utm_term": 2},
        }

    @pytest.mark.parametrize(
        "metadata",
        [
            None,
            "",
            "written by hand",
            "{",
            "[]",
            "7",
            '{"operation": "OPTIMIZE"}',
            '{"job": "gold", "inputs": 3}',
            '{"job": "gold", "inputs": [{"table": "bronze.pos"}]}',
            '{"job": "gold", "inputs": [], "batch": "seven"}',
            '{"job": "gold", "inputs": [], "counts": 3}',
        ],
    )
    def test_a_foreign_text_is_no_lineage(self, metadata: str | None) -> None:
        assert read_lineage(metadata) is None

    @given(
        st.recursive(
            st.none() | st.integers() | st.text(),
            lambda each: st.lists(each) | st.dictionaries(FIELDS, each),
        )
    )
    def test_no_json_raises(self, value: Any) -> None:
        read_lineage(json.dumps(value))

    def test_missing_parts_are_empty(self) -> None:
        assert read_lineage('{"job": "bronze", "inputs": []}') == Lineage("bronze", "", 0, "", "")


class TestLog:
    def test_a_commit_says_when_and_what(self, root: Path) -> None:
        log = DeltaLog(str(root), "silver.validated_pos")

        commits = [log.commit(version) for version in range(4)]

        assert [each and each.operation for each in commits] == ["WRITE", "WRITE", "OPTIMIZE", None]
        assert [each and each.configuration for each in commits] == [{}, None, None, None]
        assert commits[1] is not None
        assert abs(commits[1].committed_at.timestamp() - Path(log.uri).stat().st_mtime) < 60

    def test_newer_commits_are_seen_by_a_log_that_was_read_before(self, root: Path) -> None:
        log = DeltaLog(str(root), "bronze.pos")
        assert log.newest() == 0
        commit(root, "bronze.pos", None)
        commit(root, "bronze.pos", None)

        assert log.newest() == 2

    def test_a_checkpointed_log_whose_old_commits_are_gone(self, root: Path) -> None:
        DeltaTable(Layout(str(root)).table("bronze.pos")).create_checkpoint()
        (root / "bronze/pos/_delta_log/00000000000000000000.json").unlink()
        log = DeltaLog(str(root), "bronze.pos")

        assert (log.newest(), log.commit(0)) == (0, None)

    def test_no_table_is_no_version_and_makes_no_folder(self, root: Path) -> None:
        for log in (DeltaLog(str(root), "bronze.crm"), DeltaLog(str(root / "nowhere"), "bronze.crm")):
            assert (log.newest(), log.commit(0)) == (None, None)
        assert not (root / "nowhere").exists()
        assert not (root / "bronze/crm").exists()

    def test_a_table_made_again_is_seen_at_the_next_listing(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        commit(root, "bronze.pos", None)
        log = DeltaLog(str(root), "bronze.pos")
        assert log.newest() == 1
        for file in (root / "bronze/pos").rglob("*.*"):
            file.unlink()
        commit(root, "bronze.pos", made("bronze.pos", 5, FILE))

        now = log._listed_at + SECONDS_BETWEEN_LISTINGS + 1
        monkeypatch.setattr("runtime.delta_log.time.monotonic", lambda: now)

        assert log.newest() == 0
        found = log.commit(0)
        assert found is not None
        assert read_lineage(found.metadata) == made("bronze.pos", 5, FILE)

    def test_file_actions_are_not_read(self) -> None:
        content = b'{"add":{"path":"commitInfo'
        info = (
            b'{"commitInfo":{"timestamp":1291190400000,"operation":"MERGE","operationMetrics":{"numOutputRows":"3"}}}'
        )

        found = parse_commit(4, info + b"\n" + content)

        assert (found.operation, found.committed_at.isoformat()) == ("MERGE", "2010-12-01T08:00:00+00:00")
        assert found.metrics == {"numOutputRows": "3"}


class TestWalk:
    def test_a_kpi_is_walked_to_sequence_numbers_and_files(self, root: Path) -> None:
        traced = Tracer(partial(DeltaLog, str(root))).trace("gold.sales_kpis", 0)

        pos, web = traced.sources
        assert isinstance(pos, TracedTable)
        assert isinstance(web, TracedTable)
        assert [(each.version, each.lineage is None) for each in pos.commits] == [(2, True), (1, False)]
        assert leaves(traced) == [FILE, SHARD]

    def test_a_missing_commit_and_a_missing_table_are_shown_as_such(self, root: Path) -> None:
        inputs = (TableInput("silver.gone", 4, 5), TableInput("x", 1, 1))
        commit(root, "gold.operations_kpis", made("gold.operations", 0, *inputs))

        traced = Tracer(partial(DeltaLog, str(root))).trace("gold.operations_kpis", 0)
        gone, unknown = traced.sources

        assert isinstance(gone, TracedTable)
        assert [(each.version, each.commit) for each in gone.commits] == [(5, None), (4, None)]
        assert isinstance(unknown, TracedTable)
        assert unknown.commits == ()

    def test_a_table_that_names_itself_ends(self, root: Path) -> None:
        commit(root, "rejected.pos", made("redrive", 0, TableInput("rejected.pos", 0, 0)))

        (source,) = Tracer(partial(DeltaLog, str(root))).trace("rejected.pos", 0).sources

        assert source == TracedTable(TableInput("rejected.pos", 0, 0), seen=True)

    def test_an_absurd_range_is_cut_to_what_there_is(self, root: Path) -> None:
        commit(root, "gold.operations_kpis", made("gold.operations", 0, TableInput("silver.validated_pos", 0, 10**12)))

        (source,) = Tracer(partial(DeltaLog, str(root))).trace("gold.operations_kpis", 0).sources

        assert isinstance(source, TracedTable)
        assert [each.version for each in source.commits] == [2, 1, 0]

    def test_a_limit_shows_the_newest_and_counts_the_rest(self, root: Path) -> None:
        (source, _) = Tracer(partial(DeltaLog, str(root)), limit=1).trace("gold.sales_kpis", 0).sources

        assert isinstance(source, TracedTable)
        assert ([each.version for each in source.commits], source.omitted) == ([2], 1)

    def test_it_starts_at_the_newest_commit_with_lineage(self, root: Path) -> None:
        version, foreign = starting_point(DeltaLog(str(root), "gold.sales_kpis"), None)

        assert (version, [each.version for each in foreign]) == (0, [1])
        assert starting_point(DeltaLog(str(root), "gold.sales_kpis"), 1) == (1, [])


class TestCommand:
    def run(self, root: Path, table: str, version: int | None = None, json: bool = False) -> None:
        command.run(table=table, version=version, json=json, settings=Settings(root=str(root)))

    def test_the_tree(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.run(root, "gold.sales_kpis")

        lines = capsys.readouterr().out.splitlines()
        counts = (
            "in 15, valid 12, rejected 2 (range 1, type 1), duplicate 1, inserted 11, updated 1, undeclared utm_term 2"
        )
        code = "code 0.1.0+abc1234, contract 1.2.0"
        assert [without_time(line) for line in lines] == [
            f"gold.sales_kpis version 1: TIME  WRITE, {FOREIGN}",
            f"gold.sales_kpis version 0  TIME  gold gold.sales_kpis batch 0  {counts}  {code}",
            "├── silver.validated_pos versions 1 to 2",
            f"│   ├── silver.validated_pos version 2  TIME  OPTIMIZE, {FOREIGN}",
            f"│   └── silver.validated_pos version 1  TIME  silver silver.validated_pos batch 0  {counts}  {code}",
            f"│       └── bronze.pos version 0  TIME  bronze bronze.pos batch 0  {counts}  {code}",
            "│           └── file pos/2010-12-01.csv  3 records, 270 bytes, etag d41d8cd9",
            f"└── silver.sessionized_web_logs version 0  TIME  silver silver.web batch 0  {counts}  {code}",
            f"    └── bronze.web_logs version 0  TIME  bronze bronze.web_logs batch 0  {counts}  {code}",
            f"        └── stream web_logs shardId-000000000000  {SHARD.first} to {SHARD.last}  12 records",
        ]  # fmt: skip

    def test_json(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.run(root, "gold.sales_kpis", json=True)

        found = json.loads(capsys.readouterr().out)
        assert (found["table"], found["version"], found["operation"]) == ("gold.sales_kpis", 0, "WRITE")
        assert found["lineage"]["counts"] == COUNTS.to_json()
        assert [(each["version"], each["operation"]) for each in found["later"]] == [(1, "WRITE")]
        pos, web = found["inputs"]
        assert (pos["table"], pos["from_version"], pos["to_version"]) == ("silver.validated_pos", 1, 2)
        optimized, merged = pos["commits"]
        assert (optimized["operation"], optimized["lineage"], optimized["inputs"]) == ("OPTIMIZE", None, [])
        assert merged["inputs"][0]["commits"][0]["inputs"] == [FILE.to_json()]
        assert web["commits"][0]["inputs"][0]["commits"][0]["inputs"] == [SHARD.to_json()]

    def test_hostile_text_reaches_the_terminal_spelled_out(
        self, root: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        commit(root, "bronze.crm", made("bronze.crm", 0, FileInput("crm/\x1b[2J[red]x.csv", 1, 1, "")))

        self.run(root, "bronze.crm")
        assert r"file crm/\u001b[2J[red]x.csv  1 records, 1 bytes, etag -" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("table", "version", "message"),
        [
            ("gold.nothing", None, r"there is no table gold\.nothing at "),
            ("gold.sales_kpis", 2, r"gold\.sales_kpis has no version 2: its newest is 1"),
            ("sales_kpis", None, "'sales_kpis' is no table name"),
        ],
    )
    def test_what_is_not_there(self, root: Path, table: str, version: int | None, message: str) -> None:
        with pytest.raises(LakehouseError, match=message):
            self.run(root, table, version)


def leaves(traced: Any) -> list[Any]:
    found: list[Any] = []
    for source in traced.sources:
        if isinstance(source, TracedTable):
            for each in source.commits:
                found += leaves(each)
        else:
            found.append(source)
    return found


def without_time(line: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "TIME", line)
