"""`lakehouse sample`: what it puts is taken in whole, and is enough for every gold table."""

import json
import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from lakehouse.settings import Settings
from local.cli import app
from local.commands import sample as command
from local.commands.sample import put_sample, run, sample
from local.generator.production import Production
from local.oracle.deliveries import DeliveredFile, DeliveredRecord
from local.oracle.expectation import expect
from runtime.region import VARIABLES

NOW = datetime(2026, 11, 28, tzinfo=UTC)
STREAMS = {"web_logs": "shop-web", "crm": "shop-crm"}


@pytest.fixture(scope="module")
def production() -> Production:
    return sample(1)


class Kinesis:
    """Takes everything, and counts it."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()

    def put_records(self, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:
        self.taken[StreamName] += len(Records)
        answers = [{"ShardId": "s", "SequenceNumber": str(number)} for number, _ in enumerate(Records, 1)]
        return {"Records": answers, "ResponseMetadata": {"HTTPStatusCode": 200}}


def test_nothing_of_it_is_rejected_and_every_gold_table_has_rows(production: Production) -> None:
    files = [DeliveredFile(file.path, NOW, file.data) for file in production.files]
    records = [
        DeliveredRecord(record.source, record.source, "shard-0", str(record.index), NOW, record.data)
        for record in production.records
    ]

    lake = expect(files, records)

    rejected = {
        (source, rule) for source, fates in lake.fates.items() for fate in fates.values() for rule in fate.rules
    }
    assert rejected == set()
    assert {source: bool(fates) for source, fates in lake.fates.items()} == dict.fromkeys(lake.fates, True)
    assert {key.table for key in lake.gold} == {
        "sales_kpis",
        "marketing_funnel",
        "customer_insights",
        "operations_kpis",
    }


def test_files_go_below_their_sources_and_a_second_time_changes_nothing(production: Production, tmp_path: Path) -> None:
    first, second = (put_sample(production, str(tmp_path), {}) for _ in range(2))

    there = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file())
    assert there == sorted(file.path for file in production.files)
    assert first == second
    assert {*first.files} == {"stores", "warehouses", "products", "pos", "inventory", "campaigns"}
    assert first.records == {}


def test_events_go_on_the_streams_of_the_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "elsewhere")
    kinesis = Kinesis()
    settings = Settings.model_validate({"streams": STREAMS, "region": "eu-north-1"})

    run(str(tmp_path), True, 1, settings, json=True, kinesis=lambda: cast(Any, kinesis))

    put = json.loads(capsys.readouterr().out)
    assert put["records"] == dict(kinesis.taken)
    assert {*kinesis.taken} == {"shop-web", "shop-crm"}
    assert {os.environ[name] for name in VARIABLES} == {"eu-north-1"}, "the Region of the settings is the clients'"


def test_the_command_tells_what_it_put(monkeypatch: pytest.MonkeyPatch, production: Production, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "eu-north-1")
    monkeypatch.setattr(command, "sample", lambda days: production)
    told = CliRunner().invoke(app, ["sample", "--to", str(tmp_path)])

    assert told.exit_code == 0
    assert f"     2 files of stores in {tmp_path}/stores/\n" in told.output
