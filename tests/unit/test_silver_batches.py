"""Silver is a function of the records: neither their order of arrival nor their batches nor a crash shows in it.

Few identities, few groups and few times, so that every batch has duplicates, corrections (also of the time's and of
the group's neighbours), late rows that bridge two sessions, case events out of order, and rows that break rules.
"""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse.delta.table import OwnedTable
from local.oracle.deliveries import DeliveredRecord
from tests.unit.oracle_deliveries import contact, records, stock, web
from tests.unit.silver_lake import REFERENCE, SilverLake, copied, with_references

START = datetime(2010, 12, 1, 9, tzinfo=UTC)
ARRIVED = datetime(2026, 1, 1, tzinfo=UTC)
RECORDS = 40
BROKEN = (b"", b"{", b"[1]", b"\xff\xfe", b'{"timestamp": 1}')
# Beyond the month's end; exactly the sessions' gap of 30 minutes, and a microsecond more.
MINUTES = (0.0, 10.0, 40.0, 70.0, 80.0, 110.0 + 1 / 60_000_000, 141.0, 60.0 * 24 * 30, 60.0 * 24 * 30 + 29)

Make = Callable[[Random], dict[str, Any]]


def at(minutes: float) -> str:
    return (START + timedelta(minutes=minutes)).isoformat()


def web_event(random: Random) -> dict[str, Any]:
    number = random.randrange(14)
    return web(
        f"e{number}",
        at(MINUTES[number % len(MINUTES)]),
        user_id=random.choice(["ann", "ann", "bob", None]),
        session_id=random.choice(["s1", None]),
        client_ip=random.choice(["10.0.0.1", None]),
        page=random.choice(["/", "/a", "/b", ""]),
        event_type=random.choice(["view", "click", "purchase", "hover"]),
        product_id=random.choice([None, None, "A", "B", "GHOST"]),
        campaign_id=random.choice([None, None, "c1", "c2"]),
        country=random.choice(["GB", "DE", None]),
    )


def case_event(random: Random) -> dict[str, Any]:
    number = random.randrange(14)
    days = (0, 1, 2, 3, 10, 33, 33.5, 64, 65)[number % 9]
    return contact(
        f"i{number}",
        at(days * 24 * 60),
        random.choice(["complaint", "complaint", "feedback", "praise"]),
        case_id=random.choice(["k1", "k1", "k2", None]),
        status=random.choice(["opened", "updated", "resolved", "resolved", None]),
        channel=random.choice(["email", "phone"]),
        rating=random.choice([1, 5, 6, None]),
    )


def basket_line(random: Random) -> dict[str, Any]:
    transaction, line = random.randrange(3), random.randrange(1, 4)
    return {
        "transaction_id": f"T{transaction}",
        "line_number": line,
        "store_id": random.choice([1, 1, 2, 99]),
        "product_id": random.choice(["A", "A", "B", "GHOST"]),
        "quantity": random.choice([2, 3, -1]),
        "unit_price": random.choice(["2.50", "2.50", "-1"]),
        "revenue": "5.00",
        "timestamp": at(random.choice([0, 0, 60 * 4, 60 * 24 * 2, 60 * 24 * 30])),
    }


def reading(random: Random) -> dict[str, Any]:
    number = random.randrange(12)
    hours = (0, 1, 2, 3.5, 50, 99, 24 * 30, 24 * 30 + 5)[number % 8]
    event = stock(at(hours * 60), random.choice([0, 0, 5, 9, -1]), f"r{number}")
    return event | {
        "product_id": random.choice(["A", "A", "B", "GHOST"]),
        "warehouse_id": random.choice([5, 5, 5, 6]),
    }


MAKE: dict[str, Make] = {
    "web_logs": web_event,
    "crm": case_event,
    "pos": basket_line,
    "inventory": reading,
}


def deliveries(source: str, random: Random, make: Make | None = None, number: int = RECORDS) -> list[DeliveredRecord]:
    """Records with random content; one in ten is broken, one in eight a copy of another, some arrive in one moment."""
    make = make or MAKE[source]
    made: list[bytes] = []
    for _ in range(number):
        if random.random() < 0.1:
            made.append(random.choice(BROKEN))
        elif made and random.random() < 0.13:
            made.append(random.choice(made))
        else:
            made.append(json.dumps(make(random)).encode())
    return [
        DeliveredRecord(
            source, source, "shard-0", f"{number:09}", ARRIVED + timedelta(seconds=random.randrange(20)), data
        )
        for number, data in enumerate(made)
    ]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> SilverLake:
    return with_references(tmp_path_factory.mktemp("base"))


@pytest.fixture
def lake(base: SilverLake, tmp_path: Path) -> SilverLake:
    return copied(base, tmp_path / "lake")


def assert_as_the_oracle_says(lake: SilverLake, delivered: Sequence[DeliveredRecord]) -> None:
    found = lake.compared([*REFERENCE, *delivered])
    assert [str(each) for each in found.differences] == []


@pytest.mark.parametrize("source", MAKE)
@given(data=st.data())
@settings(max_examples=2, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_and_any_batches_give_what_one_batch_gives(
    source: str, base: SilverLake, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    delivered = deliveries(source, Random(data.draw(st.integers(1, 1_000), "content")))
    shuffled = data.draw(st.permutations(delivered), "order")
    inner = st.sets(st.integers(1, len(shuffled) - 1), min_size=2, max_size=4)
    cuts = [0, *sorted(data.draw(inner, "cuts")), len(shuffled)]
    whole, lake = (copied(base, tmp_path_factory.mktemp(name)) for name in ("whole", "lake"))

    whole.process(delivered, 0)
    for number, (start, end) in enumerate(pairwise(cuts)):
        lake.process(shuffled[start:end], number)

    expected, found = whole.content(source), lake.content(source)
    assert found.silver == expected.silver
    assert sorted(found.rejected_ids) == sorted(expected.rejected_ids)
    assert sorted([*found.silver, *found.rejected_ids]) == sorted(each.record_id for each in delivered)
    assert found.silver, "no record passed: the test would prove nothing"
    assert_as_the_oracle_says(whole, delivered)
    assert_as_the_oracle_says(lake, delivered)


def one_by_one(lake: SilverLake, delivered: Sequence[DeliveredRecord]) -> None:
    for number, each in enumerate(delivered):
        lake.process([each], number)


def sessions(lake: SilverLake) -> dict[str, tuple[str, int, str]]:
    """Event -> visitor, position in the session, landing page."""
    return {
        row["event_id"]: (row["visitor_id"], row["position"], row["landing_page"])
        for row in lake.content("web_logs").silver.values()
    }


def test_a_late_event_bridges_two_sessions(lake: SilverLake) -> None:
    delivered = records(
        "web_logs",
        web("first", at(0), page="/first"),
        web("last", at(50), page="/last"),
        web("bridge", at(25), page="/bridge"),
    )
    lake.process(delivered[:2], 0)
    before = sessions(lake)
    lake.process(delivered[2:], 1)

    assert before == {"first": ("ann", 1, "/first"), "last": ("ann", 1, "/last")}
    assert sessions(lake) == {
        "first": ("ann", 1, "/first"),
        "bridge": ("ann", 2, "/first"),
        "last": ("ann", 3, "/first"),
    }
    assert_as_the_oracle_says(lake, delivered)


def test_a_correction_moves_a_row_to_another_visitor_and_both_sessions_follow(lake: SilverLake) -> None:
    delivered = records(
        "web_logs",
        web("a", at(0), page="/a"),
        web("b", at(10), page="/b"),
        web("a", at(0), page="/a", user_id="bob"),
    )
    one_by_one(lake, delivered)

    assert sessions(lake) == {"a": ("bob", 1, "/a"), "b": ("ann", 1, "/b")}
    assert lake.content("web_logs").rejected == [("web_logs/shard-0/1", "superseded")]
    assert_as_the_oracle_says(lake, delivered)


def test_a_row_leaves_a_session_to_which_the_same_batch_adds_a_later_event(lake: SilverLake) -> None:
    delivered = records(
        "web_logs",
        web("a", at(0), page="/a"),
        web("b", at(10), page="/b"),
        web("c", at(20), page="/c"),
        web("a", at(0), page="/a", user_id="bob"),
    )
    lake.process(delivered[:2], 0)
    lake.process(delivered[2:], 1)

    assert sessions(lake) == {"a": ("bob", 1, "/a"), "b": ("ann", 1, "/b"), "c": ("ann", 2, "/b")}
    assert_as_the_oracle_says(lake, delivered)


def test_a_row_leaves_a_case_long_before_the_events_that_the_batch_adds(lake: SilverLake) -> None:
    delivered = records(
        "crm",
        contact("open", at(0), "complaint", case_id="k1", status="opened"),
        contact("note", at(60), "complaint", case_id="k1", status="updated"),
        contact("late", at(60 * 24 * 90), "complaint", case_id="k1", status="updated"),
        contact("open", at(0), "complaint", case_id="k2", status="opened"),
    )
    lake.process(delivered[:2], 0)
    lake.process(delivered[2:], 1)

    rows = lake.content("crm").silver
    opened = {row["interaction_id"]: (row["case_key"], row["case_opened_at"]) for row in rows.values()}
    assert opened == {"open": ("k2", START), "note": ("k1", None), "late": ("k1", None)}
    assert_as_the_oracle_says(lake, delivered)


def test_a_correction_before_its_original_stands(lake: SilverLake) -> None:
    original, correction = records(
        "web_logs", web("a", at(0), page="/typo"), web("a", at(0), page="/right", user_id="bob")
    )
    lake.process([correction], 0)
    lake.process([original], 1)

    assert sessions(lake) == {"a": ("bob", 1, "/right")}
    assert lake.content("web_logs").rejected == [(original.record_id, "superseded")]


def test_every_rejected_record_tells_the_rule_the_column_and_the_value(lake: SilverLake) -> None:
    line = basket_line(Random(1)) | {"store_id": 1, "product_id": "A", "unit_price": "2.50", "line_number": 1}
    delivered = records(
        "pos",
        line | {"store_id": 99},
        line | {"unit_price": "-1"},
        b"{",
        line,
        line,
    )
    lake.process(delivered, 0)

    columns = ("record_id", "rule", "column", "value", "payload", "batch")
    rows = sorted(lake.rejected("pos", columns), key=lambda row: str(row["record_id"]))
    assert [(row["record_id"], row["rule"], row["column"], row["value"]) for row in rows] == [
        ("pos/shard-0/1", "reference", "store_id", "99"),
        ("pos/shard-0/2", "range", "unit_price", "-1"),
        ("pos/shard-0/3", "malformed_json", None, "{"),
        ("pos/shard-0/4", "duplicate", "transaction_id, line_number, event_time", "pos/shard-0/5"),
    ]
    assert [row["payload"] for row in rows[:3]] == [each.data.decode() for each in delivered[:3]]
    assert {row["batch"] for row in rows} == {"query:pos:0"}


def test_a_batch_that_silver_has_committed_is_over(lake: SilverLake) -> None:
    delivered = records("pos", basket_line(Random(4)), basket_line(Random(5)), basket_line(Random(6)), b"{")
    assert lake.process(delivered, 0) is not None
    before = lake.content("pos")
    assert before.silver, "the batch was to commit"

    assert lake.process(delivered, 0) is None
    assert lake.content("pos") == before


class Died(Exception):
    """What a killed process leaves undone, as an exception."""


def test_a_crash_between_rejected_and_silver_is_made_good_with_todays_reference_data(
    lake: SilverLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt rejects a sale of an unknown store, and dies; when it comes again the store is known."""
    line = basket_line(Random(1)) | {"store_id": 1, "product_id": "A", "unit_price": "2.50", "line_number": 1}
    known, *rest = records("pos", line, line | {"store_id": 7, "line_number": 2}, b"{", line | {"unit_price": "2.75"})
    lake.process([known], 0)
    with monkeypatch.context() as patch:
        patch.setattr(OwnedTable, "replace_rows", _die)
        with pytest.raises(Died):
            lake.process(rest, 1)
    half_done = lake.content("pos")
    [store] = [
        DeliveredRecord("stores", "stores", "shard-0", "9", ARRIVED, json.dumps(row).encode())
        for row in [{"store_id": 7, "region": "west", "country": "IE", "valid_from": "2009-01-01T00:00Z"}]
    ]
    lake.process([store], 1)

    restarted = SilverLake(Path(lake.settings.root))
    outcome = restarted.process(rest, 1)

    assert set(half_done.silver) == {known.record_id}
    assert half_done.rejected == [
        (known.record_id, "superseded"),
        (rest[0].record_id, "reference"),
        (rest[1].record_id, "malformed_json"),
    ]
    found = restarted.content("pos")
    assert outcome is not None
    assert set(found.silver) == {rest[0].record_id, rest[2].record_id}
    assert found.rejected == [(known.record_id, "superseded"), (rest[1].record_id, "malformed_json")]
    assert_as_the_oracle_says(restarted, [store, known, *rest])


def _die(*_: object) -> None:
    raise Died
