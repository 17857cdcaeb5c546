"""A stream of an in-process Kinesis and a query on it, which most tests of the source share."""

from pathlib import Path

import pytest

from streaming import fetch, kinesis_client
from tests.unit.fake_kinesis import FakeKinesis, Query


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> FakeKinesis:
    """The stream `clicks` of two shards, in place of AWS; what fails is tried again at once."""
    fake = FakeKinesis()
    monkeypatch.setattr(kinesis_client, "connect", lambda region, endpoint: fake)
    monkeypatch.setattr(kinesis_client, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(fetch, "EMPTY_PAGE_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(fetch, "_CONTINUE", {})
    return fake


@pytest.fixture
def query(stream: FakeKinesis, tmp_path: Path) -> Query:
    """Reads the stream from its beginning."""
    return Query(ledger=str(tmp_path / "ledger"))
