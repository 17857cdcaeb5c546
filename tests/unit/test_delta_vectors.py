"""Deletion vectors are read as they were written, by us and by the protocol's own example, or refused."""

import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap64

from lakehouse.delta import deletion_vectors
from lakehouse.delta.deletion_vectors import read_vector, write_vector
from lakehouse.delta.log import UnreadableLogError
from lakehouse.delta.store import TableStore

# From the Delta protocol, "Deletion Vector Format": the rows 3, 4, 7, 11, 18 and 29.
OF_THE_PROTOCOL = {
    "storageType": "i",
    "pathOrInlineDv": "wi5b=000010000siXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L",
    "sizeInBytes": 44,
    "cardinality": 6,
}


@pytest.fixture
def store(tmp_path: Path) -> TableStore:
    return TableStore(str(tmp_path))


def test_the_example_of_the_protocol_is_of_another_form(store: TableStore) -> None:
    """Its magic number is that of the form which no writer uses."""
    with pytest.raises(UnreadableLogError, match="of a form that is not known here"):
        read_vector(store, OF_THE_PROTOCOL)


@given(st.sets(st.integers(0, 2**33), max_size=200))
def test_small_ones_are_in_the_log(positions: set[int]) -> None:
    store = TableStore("nowhere")
    told = write_vector(store, BitMap64(positions))
    assert (told["storageType"], told["cardinality"]) == ("i", len(positions))
    assert set(read_vector(store, told)) == positions


def test_large_ones_are_in_a_file_with_a_checksum(store: TableStore, tmp_path: Path) -> None:
    positions = BitMap64(range(0, 200_000, 3))
    told = write_vector(store, positions)
    (file,) = tmp_path.glob("deletion_vector_*.bin")
    content = file.read_bytes()
    assert (told["storageType"], told["offset"], told["cardinality"]) == ("u", 1, len(positions))
    assert (content[0], struct.unpack_from(">i", content, 1)[0]) == (1, told["sizeInBytes"])
    assert len(content) == 1 + 4 + told["sizeInBytes"] + 4
    assert read_vector(store, told) == positions

    file.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    with pytest.raises(UnreadableLogError, match="is not as it was written"):
        read_vector(store, told)
    file.unlink()
    with pytest.raises(UnreadableLogError, match="is not there"):
        read_vector(store, told)


def test_no_vector_means_no_deleted_rows(store: TableStore) -> None:
    assert read_vector(store, None) == BitMap64()


def test_what_lies_outside_of_the_table_is_refused(store: TableStore) -> None:
    told: dict[str, Any] = {"storageType": "p", "pathOrInlineDv": "s3://b/x.bin", "sizeInBytes": 3, "cardinality": 1}
    with pytest.raises(UnreadableLogError, match="outside of the table, at s3://b/x.bin"):
        read_vector(store, told)


def test_the_limit_is_in_bytes(store: TableStore, monkeypatch: pytest.MonkeyPatch) -> None:
    size = write_vector(store, BitMap64([1, 5]))["sizeInBytes"]
    monkeypatch.setattr(deletion_vectors, "MOST_INLINE_BYTES", size - 1)
    assert write_vector(store, BitMap64([1, 5]))["storageType"] == "u"
