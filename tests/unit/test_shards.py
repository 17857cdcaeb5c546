"""Who takes over from whom when shards split and merge, and which losses show."""

import json

import pytest

from streaming.shards import Kind, Offset, Position, Shard, ShardLineageError, advance, start_positions

OPEN = Position(Kind.AFTER_SEQUENCE_NUMBER, "7", 50.0)
DONE = Position(Kind.AFTER_SEQUENCE_NUMBER, "9", 60.0, finished=True)


def listing(*shards: str) -> list[Shard]:
    """`a`, `c<a` (a child), `m<a+b` (a merge)."""
    parsed = [each.partition("<") for each in shards]
    return [Shard(name, tuple(parents.split("+")) if parents else ()) for name, _, parents in parsed]


def names(positions: dict[str, Position]) -> set[str]:
    return set(positions)


def test_children_start_when_their_parent_is_done_and_the_parent_leaves() -> None:
    family = listing("a", "b<a", "c<a")
    assert advance({"a": OPEN}, family) == ({"a": OPEN}, [])
    fresh = Position(Kind.TRIM_HORIZON, complete_until=60.0)
    assert advance({"a": DONE}, family) == ({"b": fresh, "c": fresh}, [])


def test_a_merged_shard_waits_for_both_parents() -> None:
    family = listing("a", "b", "m<a+b")
    assert names(advance({"a": DONE, "b": OPEN}, family)[0]) == {"a", "b"}
    positions, _ = advance({"a": DONE, "b": DONE}, family)
    assert positions == {"m": Position(Kind.TRIM_HORIZON, complete_until=60.0)}


def test_a_merged_shard_waits_for_a_parent_that_has_not_started() -> None:
    family = listing("a", "b<a", "c<a", "d", "m<c+d")
    assert names(advance({"a": OPEN, "d": DONE}, family)[0]) == {"a", "d"}
    assert names(advance({"a": DONE, "d": DONE}, family)[0]) == {"b", "c", "d"}


def test_a_parent_that_left_the_list_does_not_hold_up_its_child() -> None:
    assert names(advance({"a": DONE}, listing("b<a", "c<a"))[0]) == {"b", "c"}


def test_shards_done_long_ago_do_not_come_back() -> None:
    family = listing("a", "b<a", "c<a", "m<b+c", "d<m", "e<m")
    assert names(advance({"d": OPEN, "e": OPEN}, family)[0]) == {"d", "e"}
    assert names(advance({"d": OPEN, "e": OPEN}, listing("m<b+c", "d<m", "e<m"))[0]) == {"d", "e"}


def test_a_finished_shard_whose_children_are_not_listed_yet_stays() -> None:
    assert advance({"a": DONE}, listing("a")) == ({"a": DONE}, [])


@pytest.mark.parametrize(
    ("positions", "family", "loss"),
    [
        ({"a": OPEN}, listing("b<a", "c<a"), "shard a expired before it was read to its end"),
        ({"a": DONE}, listing("d<b", "e<b"), "d follows b, never read"),
        ({"a": OPEN, "x": OPEN}, listing("x", "d<b"), "shard a expired"),
    ],
)
def test_losses_are_refused_or_accepted(positions: dict[str, Position], family: list[Shard], loss: str) -> None:
    with pytest.raises(ShardLineageError, match=loss):
        advance(positions, family)
    left, losses = advance(positions, family, accept_loss=True)
    assert any(loss in each for each in losses)
    assert names(left) == {shard.shard_id for shard in family}
    assert advance(left, family) == (left, [])


def test_of_what_follows_a_loss_the_oldest_start() -> None:
    left, losses = advance({"a": OPEN}, listing("d<b", "e<d", "f<d"), accept_loss=True)
    assert names(left) == {"d"}
    assert len(losses) == 2


def test_a_start_in_time_goes_for_children_of_shards_that_had_nothing_since() -> None:
    since = Position(Kind.AT_TIMESTAMP, "100.0", 100.0, finished=True)
    positions, _ = advance({"a": since}, listing("a", "b<a", "c<a"))
    assert positions["b"] == Position(Kind.AT_TIMESTAMP, "100.0", 100.0)
    positions, _ = advance({"a": since, "b": DONE}, listing("a", "b", "m<a+b"))
    assert positions["m"] == Position(Kind.TRIM_HORIZON, complete_until=60.0)


def test_a_new_query_starts_with_the_oldest_shards_or_with_the_open_ones() -> None:
    family = [Shard("a", (), open=False), Shard("b", ("a",)), Shard("c", ("a",)), Shard("d", ("gone",))]
    horizon = Position(Kind.TRIM_HORIZON)
    assert set(start_positions(family, horizon, open_only=False)) == {"a", "d"}
    assert set(start_positions(family, horizon, open_only=True)) == {"b", "c", "d"}


def test_an_offset_comes_back_from_json_as_it_was() -> None:
    offset = Offset(12, 1795423213.483, {"a": OPEN, "b": DONE, "c": Position(Kind.TRIM_HORIZON)}, ("a", "c"))
    text = json.dumps(offset.to_json())
    assert Offset.from_json(json.loads(text)) == offset
    assert json.dumps(Offset.from_json(json.loads(text)).to_json()) == text
