"""`lakehouse produce`: how lines become calls to Kinesis, against a Kinesis that refuses on purpose."""

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from tenacity import wait_none

from lakehouse.settings import Settings
from local.commands import produce as module
from local.commands.produce import (
    MOST_BYTES,
    Produced,
    ProduceError,
    ShardRange,
    identity_of,
    partition_key,
    produce,
    read,
)


class Kinesis:
    """Keeps what it accepts; refuses the records that `refuse` names, by call and position."""

    def __init__(self, refuse: dict[int, set[int]] | None = None) -> None:
        self.refuse = refuse or {}
        self.calls: list[list[bytes]] = []
        self.accepted: list[bytes] = []
        self.sequence = itertools.count(7)

    def describe_stream_summary(self, StreamName: str) -> dict[str, Any]:
        return {"StreamDescriptionSummary": {"StreamName": StreamName}}

    def put_records(self, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:
        refused = self.refuse.get(len(self.calls), set())
        self.calls.append([one["Data"] for one in Records])
        answers: list[dict[str, str]] = []
        for position, one in enumerate(Records):
            if position in refused or -1 in self.refuse:
                answers.append({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow down"})
                continue
            self.accepted.append(one["Data"])
            answers.append({"ShardId": f"shard-{len(one['Data']) % 2}", "SequenceNumber": str(next(self.sequence))})
        return {"Records": answers}


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(module, "wait_random_exponential", lambda **_: wait_none())

    def run(content: bytes, kinesis: Kinesis, rate: float | None = None) -> Produced:
        monkeypatch.setattr(boto3, "client", lambda *_, **__: kinesis)
        file = tmp_path / "records.jsonl"
        file.write_bytes(content)
        produced = Produced("web_logs")
        produce(file, rate, Settings(), produced)
        return produced

    return run


def test_lines_are_taken_byte_for_byte_without_the_newline(tmp_path: Path) -> None:
    file = tmp_path / "records"
    file.write_bytes(b'{"a": 1}\r\n\n  \xff\x00\n\xe2\x80\xa8 \x0b\x0c\nlast')
    assert [(one.line, one.data) for one in read(file)] == [
        (1, b'{"a": 1}\r'),
        (2, b""),
        (3, b"  \xff\x00"),
        (4, b"\xe2\x80\xa8 \x0b\x0c"),
        (5, b"last"),
    ]
    file.write_bytes(b"only\n")
    assert [one.data for one in read(file)] == [b"only"]
    file.write_bytes(b"")
    assert list(read(file)) == []


@pytest.mark.parametrize(
    ("payload", "key"),
    [
        (b'{"session_id": "s", "user_id": "u", "customer_id": "c"}', "u"),
        (b'{"session_id": "s", "user_id": null}', "s"),
        (b'{"user_id": "", "customer_id": "c 7"}', "c 7"),
        (b'{"user_id": 12, "customer_id": "c"}', "c"),
        ('{"customer_id": "Åsa"}'.encode(), "Åsa"),
    ],
)
def test_the_partition_key_is_the_visitor_or_customer(payload: bytes, key: str) -> None:
    assert partition_key(payload) == key


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"not json",
        b"\xff\xfe",
        b"[" * 100_000,
        b"1" * 5000,
        b'["user_id"]',
        b'{"event_id": "e"}',
        b'{"user_id": "' + b"x" * 257 + b'"}',
        b'{"user_id": "\\ud800"}',
        b'{"user_id": "\\u0000"}',
    ],
)
def test_any_other_payload_gets_the_hash_of_its_bytes(payload: bytes) -> None:
    assert partition_key(payload) == hashlib.sha256(payload).hexdigest()


def test_a_call_holds_at_most_500_records(put: Any) -> None:
    kinesis = Kinesis()
    produced = put(b"".join(b"%d\n" % number for number in range(1201)), kinesis)
    assert [len(call) for call in kinesis.calls] == [500, 500, 201]
    assert kinesis.accepted == [b"%d" % number for number in range(1201)]
    assert (produced.records, produced.bytes) == (1201, len(b"".join(kinesis.accepted)))


def test_a_call_holds_at_most_5_mib_keys_included(put: Any) -> None:
    kinesis = Kinesis()
    record = b"x" * 1_000_000
    put(b"\n".join([record] * 11), kinesis)
    assert [len(call) for call in kinesis.calls] == [5, 5, 1]
    assert 5 * (len(record) + 64) <= MOST_BYTES < 6 * (len(record) + 64)


def test_refused_records_are_put_again_before_the_next_call(put: Any) -> None:
    kinesis = Kinesis(refuse={0: {1, 3}, 1: {0}})
    produced = put(b"".join(b"%d\n" % number for number in range(502)), kinesis)
    assert [len(call) for call in kinesis.calls] == [500, 2, 1, 2]
    assert kinesis.calls[1:] == [[b"1", b"3"], [b"1"], [b"500", b"501"]]
    assert sorted(kinesis.accepted, key=int) == [b"%d" % number for number in range(502)]
    assert produced.records == 502
    assert sum(one.records for one in produced.shards.values()) == 502


def test_a_stream_that_keeps_refusing_is_given_up_with_line_and_reason(put: Any) -> None:
    kinesis = Kinesis(refuse={-1: set()})
    with pytest.raises(ProduceError, match="refused 3 records 10 times, the first of them line 1 with Provisioned"):
        put(b"a\nb\nc\n", kinesis)
    assert len(kinesis.calls) == 10


def test_a_record_too_large_for_the_stream_is_named_and_what_came_before_it_is_put(put: Any) -> None:
    kinesis = Kinesis()
    with pytest.raises(
        ProduceError, match=r"line 3: the record has 1048577 bytes with its key, the stream takes 104857"
    ):
        put(b"a\nb\n" + b"x" * (1024 * 1024 - 63) + b"\nc\n", kinesis)
    assert kinesis.accepted == [b"a", b"b"]
    kinesis = Kinesis()
    put(b"x" * (1024 * 1024 - 64), kinesis)
    assert len(kinesis.accepted[0]) == 1024 * 1024 - 64


def test_the_sequence_range_compares_numbers_not_texts() -> None:
    seen = ShardRange()
    for sequence in ("900", "1000", "99"):
        seen.add(sequence)
    assert seen == ShardRange(3, "99", "1000")


def test_the_rate_spreads_records_evenly(put: Any) -> None:
    kinesis = Kinesis()
    produced = put(b"a\n" * 30, kinesis, rate=100)
    assert {len(call) for call in kinesis.calls} == {10}
    assert 0.2 <= produced.seconds < 1.0


def test_what_was_acknowledged_is_printed_even_when_the_rest_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(boto3, "client", lambda *_, **__: Kinesis())
    file = tmp_path / "records"
    file.write_bytes(b"ab\n" + b"x" * 2_000_000)
    with pytest.raises(ProduceError):
        module.run("web_logs", file, None, True, Settings(streams={"web_logs": "prod-web"}))
    printed = json.loads(capsys.readouterr().out)
    del printed["seconds"]
    assert printed == {
        "stream": "prod-web",
        "records": 1,
        "bytes": 2,
        "shards": {"shard-0": {"records": 1, "first": "7", "last": "7"}},
    }


def test_a_correction_of_a_visitor_without_a_name_has_the_key_of_its_original() -> None:
    """On two shards both may arrive in one millisecond, and the older one would stand."""
    identity = identity_of("web_logs", Settings())
    original = b'{"event_id": "e1", "timestamp": "2026-01-01T00:00:00Z", "page": "/typo", "user_id": null}'
    correction = b'{"page": "/right", "timestamp": "2026-01-01T00:00:00Z", "event_id": "e1"}'
    another = b'{"event_id": "e2", "timestamp": "2026-01-01T00:00:00Z", "page": "/typo"}'
    assert identity == ("event_id", "timestamp")
    assert partition_key(original, identity) == partition_key(correction, identity)
    assert partition_key(original, identity) != partition_key(another, identity)
    assert partition_key(b'{"event_id": "e1"}', identity) == hashlib.sha256(b'{"event_id": "e1"}').hexdigest()
