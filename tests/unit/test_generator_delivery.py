"""Putting a production on Kinesis: in order, at its rate, and never without a trace in the ledger."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from local.generator.ledger import Acknowledged, Ledger, LedgerError, read_ledger
from local.generator.produce import main, produce
from local.generator.production import Production, plan
from local.generator.put import PutError, put_records
from local.oracle.deliveries import DeliveredFile

STREAMS = {"web_logs": "shop-web", "crm": "shop-crm"}


@pytest.fixture(scope="module")
def production() -> Production:
    return plan(1, 7, hours=1, visits=8, log_lines=0)


class Kinesis:
    """Takes records in order; `answers` are what it does first: an error to raise, or places to refuse in a call."""

    def __init__(self, *answers: Exception | set[int]) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[str, list[bytes]]] = []
        self.taken: list[bytes] = []

    def put_records(self, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:
        self.calls.append((StreamName, [record["Data"] for record in Records]))
        answer = self.answers.pop(0) if self.answers else set()
        if isinstance(answer, Exception):
            raise answer
        results: list[dict[str, str]] = []
        for place, record in enumerate(Records):
            if place in answer:
                results.append({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow down"})
            else:
                self.taken.append(record["Data"])
                results.append({"ShardId": "shard-0", "SequenceNumber": str(len(self.taken))})
        return {"Records": results}


def error(code: str, status: int) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "PutRecords")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr("local.generator.put.time.sleep", slept.append)
    return slept


def put_all(production: Production, kinesis: Any, rate: float = 0) -> list[Acknowledged]:
    taken: list[Acknowledged] = []
    put_records(production.records, kinesis, STREAMS, rate, taken.extend, Event())
    return taken


def test_every_record_goes_to_its_stream_in_order(production: Production) -> None:
    kinesis = Kinesis()
    taken = put_all(production, kinesis)
    for source, stream in STREAMS.items():
        planned = [record.data for record in production.records if record.source == source]
        assert [data for name, batch in kinesis.calls if name == stream for data in batch] == planned
    assert sorted(each.record.index for each in taken) == list(range(len(production.records)))
    assert all(kinesis.taken[int(each.sequence) - 1] == each.record.data for each in taken)


def test_a_call_stays_within_the_limits_of_kinesis(production: Production) -> None:
    kinesis = Kinesis()
    put_all(production, kinesis)
    assert all(len(batch) <= 500 and sum(map(len, batch)) <= 5_000_000 for _, batch in kinesis.calls)


def test_refused_records_are_put_again_and_only_they(production: Production, waits: list[float]) -> None:
    kinesis = Kinesis({1, 3}, {0})
    taken = put_all(production, kinesis)
    first, second, third = (batch for _, batch in kinesis.calls[:3])
    assert second == [first[1], first[3]]
    assert third == [first[1]]
    assert waits == [0.1, 0.2]
    assert len(taken) == len(production.records) == len(kinesis.taken)


@pytest.mark.parametrize(
    "passing",
    [
        error("InternalFailure", 500),
        error("ProvisionedThroughputExceededException", 400),
        EndpointConnectionError(endpoint_url="http://127.0.0.1:1"),
    ],
)
def test_a_busy_or_broken_service_is_asked_again(
    production: Production, waits: list[float], passing: Exception
) -> None:
    taken = put_all(production, Kinesis(passing, passing))
    assert waits == [0.1, 0.2]
    assert len(taken) == len(production.records)


def test_it_gives_up_in_the_end(production: Production, waits: list[float]) -> None:
    broken = [error("InternalFailure", 500) for _ in range(20)]
    with pytest.raises(
        PutError, match=r"stream shop-\w+ did not take \d+ records \(attempts: 8; the first is number \d+"
    ):
        put_all(production, Kinesis(*broken))
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0]


def test_a_stream_that_is_not_there_is_told_at_once(production: Production, waits: list[float]) -> None:
    with pytest.raises(PutError, match=r"attempts: 1;.*ResourceNotFoundException"):
        put_all(production, Kinesis(error("ResourceNotFoundException", 400)))
    assert waits == []


def test_what_was_taken_before_a_failure_is_in_the_ledger(
    production: Production, waits: list[float], tmp_path: Path
) -> None:
    kinesis = Kinesis({0}, *(error("InternalFailure", 500) for _ in range(20)))
    with pytest.raises(PutError):
        produce(production, kinesis, 0, tmp_path / "ledger.jsonl", STREAMS)  # type: ignore[arg-type]
    _, records = read_ledger(tmp_path / "ledger.jsonl", production)
    assert [record.data for record in records] == kinesis.taken
    assert len(records) > 0


def test_the_rate_is_kept(production: Production) -> None:
    kinesis = Kinesis()
    started = time.monotonic()
    put_records(production.records[:60], kinesis, STREAMS, 100, lambda _: None, Event())  # type: ignore[arg-type]
    assert time.monotonic() - started > 0.35


def test_it_stops_between_calls(production: Production) -> None:
    stop = Event()

    def after_first(_: Sequence[Acknowledged]) -> None:
        stop.set()

    kinesis = Kinesis()
    done = put_records(production.records, kinesis, STREAMS, 50, after_first, stop)  # type: ignore[arg-type]
    assert done == 10 == len(kinesis.taken)


def test_the_ledger_gives_back_what_was_delivered(production: Production, tmp_path: Path) -> None:
    path = tmp_path / "state" / "ledger.jsonl"
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    files = [DeliveredFile(file.path, moment, file.data) for file in production.files]
    Ledger(path).add_files(files)
    Ledger(path).add_records([Acknowledged(production.records[5], "shop-web", "shard-1", "495", moment)])
    found, records = read_ledger(path, production)
    assert found == files
    assert [(each.record_id, each.acknowledged_at, each.data) for each in records] == [
        ("shop-web/shard-1/495", moment, production.records[5].data)
    ]
    assert records[0].source == production.records[5].source


def test_half_a_line_at_the_end_is_left_out(production: Production, tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    Ledger(path).add_records([Acknowledged(each, "s", "0", "1", moment) for each in production.records[:2]])
    path.write_bytes(path.read_bytes()[:-20])
    assert len(read_ledger(path, production)[1]) == 1


@pytest.mark.parametrize(
    ("change", "what"),
    [({"index": 10**9}, "record 1000000000"), ({"index": 3}, "record 3"), ({"path": "pos/x"}, "pos/x")],
)
def test_a_ledger_of_another_production_is_refused(
    production: Production, tmp_path: Path, change: dict[str, Any], what: str
) -> None:
    path = tmp_path / "ledger.jsonl"
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    Ledger(path).add_records([Acknowledged(production.records[0], "s", "0", "1", moment)])
    path.write_text(json.dumps(json.loads(path.read_text()) | {"modified": moment.isoformat()} | change) + "\n")
    with pytest.raises(LedgerError, match=f"ledger.jsonl:1: {what} is not what the plan has"):
        read_ledger(path, production)


def test_a_wrong_option_is_one_line_and_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--ledger", str(tmp_path / "ledger.jsonl"), "--days", "0"]) == 1
    assert capsys.readouterr().err == "days is 0: it may be 1 to 68\n"
