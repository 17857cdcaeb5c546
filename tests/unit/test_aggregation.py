"""Aggregates of the Kinesis Producer Library, encoded by Google's protobuf and taken apart by ours."""

import hashlib
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from streaming.aggregation import MAGIC, UserRecord, user_records
from streaming.kinesis_client import Record
from streaming.kinesis_rows import record_batch


def _message_class() -> Any:
    """AggregatedRecord as the KPL's own messages.proto declares it."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="messages.proto", package="kpl", syntax="proto2")

    def message(name: str, *fields: tuple[str, int, int, int]) -> None:
        declared = file.message_type.add(name=name)
        for field, number, label, kind in fields:
            types = (
                {"type_name": ".kpl.Tag" if field == "tags" else ".kpl.Record"} if kind == kinds.TYPE_MESSAGE else {}
            )
            declared.field.add(name=field, number=number, label=label, type=kind, **types)

    one, many, maybe = kinds.LABEL_REQUIRED, kinds.LABEL_REPEATED, kinds.LABEL_OPTIONAL
    message("Tag", ("key", 1, one, kinds.TYPE_STRING), ("value", 2, maybe, kinds.TYPE_STRING))
    message(
        "Record",
        ("partition_key_index", 1, one, kinds.TYPE_UINT64),
        ("explicit_hash_key_index", 2, maybe, kinds.TYPE_UINT64),
        ("data", 3, one, kinds.TYPE_BYTES),
        ("tags", 4, many, kinds.TYPE_MESSAGE),
    )
    message(
        "AggregatedRecord",
        ("partition_key_table", 1, many, kinds.TYPE_STRING),
        ("explicit_hash_key_table", 2, many, kinds.TYPE_STRING),
        ("records", 3, many, kinds.TYPE_MESSAGE),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("kpl.AggregatedRecord"))


Aggregated = _message_class()


def aggregate(records: list[UserRecord], *, keys: list[str] | None = None) -> bytes:
    table = keys if keys is not None else sorted({record.partition_key for record in records})
    message = Aggregated(partition_key_table=table, explicit_hash_key_table=["0"])
    for number, record in enumerate(records):
        packed = message.records.add(partition_key_index=table.index(record.partition_key), data=record.data)
        if number % 2:
            packed.explicit_hash_key_index = 0
            packed.tags.add(key="source", value="till")
    return sealed(message.SerializeToString())


def sealed(message: bytes) -> bytes:
    return MAGIC + message + hashlib.md5(message).digest()


RECORDS = [UserRecord("visitor ü", b'{"a": 1}'), UserRecord("b", b""), UserRecord("visitor ü", b"\xff" * 300)]


@given(st.lists(st.builds(UserRecord, st.text(max_size=20), st.binary(max_size=400)), min_size=1, max_size=30))
def test_every_aggregate_comes_apart_into_its_records(records: list[UserRecord]) -> None:
    assert user_records(aggregate(records)) == records


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"plain",
        MAGIC,
        MAGIC + b"x" * 16,
        sealed(b""),
        sealed(Aggregated(partition_key_table=["a"]).SerializeToString()),
        sealed(Aggregated(partition_key_table=["a"]).SerializeToString() + b"\x1a\x02\x08\x05"),
        sealed(b"\x0a\x01\xff\x1a\x04\x08\x00\x1a\x00"),
        sealed(b"\x0a\x7f"),
        sealed(b"\x0b"),
        sealed(b"\xff" * 12),
        aggregate(RECORDS)[:-1],
        aggregate(RECORDS)[:-1] + b"\x00",
        aggregate(RECORDS) + b"\x00",
    ],
)
def test_what_is_no_intact_aggregate_is_left_alone(data: bytes) -> None:
    assert user_records(data) is None


@given(st.data())
def test_a_damaged_aggregate_is_never_half_read(data: st.DataObject) -> None:
    whole = bytearray(aggregate(RECORDS))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    assert user_records(bytes(whole)) is None


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise(message: bytes) -> None:
    found = user_records(sealed(message))
    assert found is None or len(found) > 0


def test_rows_of_an_aggregate_carry_its_sequence_number_and_their_place() -> None:
    broken = aggregate(RECORDS)[:-1]
    batch = record_batch(
        "clicks", "shardId-0", [_record("1", b"plain"), _record("2", aggregate(RECORDS)), _record("3", broken)]
    )
    rows = [
        (row["sequence_number"], row["sub_sequence_number"], row["partition_key"], row["data"])
        for row in batch.to_pylist()
    ]
    assert rows == [
        ("1", None, "outer", b"plain"),
        ("2", 0, "visitor ü", b'{"a": 1}'),
        ("2", 1, "b", b""),
        ("2", 2, "visitor ü", b"\xff" * 300),
        ("3", None, "outer", broken),
    ]
    assert {row["arrived_at"].timestamp() for row in batch.to_pylist()} == {1795423214.323}


def _record(sequence: str, data: bytes) -> Record:
    return {
        "SequenceNumber": sequence,
        "ApproximateArrivalTimestamp": 1795423214.323,
        "PartitionKey": "outer",
        "Data": data,
    }
