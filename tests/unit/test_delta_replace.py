"""Rows are replaced in one commit without rewriting files, each old row exactly once, by any way that it got there."""

import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from lakehouse.delta import deletion_vectors
from lakehouse.delta.log import of_kind, read_actions
from lakehouse.delta.store import TableStore
from lakehouse.delta.table import AlteredTableError, CommitConflictError, IncompatibleTableError, OwnedTable
from tests.unit.delta_tables import KEY, NOTHING, Row, assert_all_see, made, row, rows_of, table_of


def corrected(number: int) -> Row:
    return row(number) | {"amount": None, "sure": None, "errors": [{"rule": "corrected"}]}


def test_new_rows_come_in_place_of_old_ones_and_files_stay(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    table.append(rows_of(range(100)), {"a": 1}, "")
    files = set(tmp_path.rglob("*.parquet"))
    old, new = rows_of([3, 4, 97]), table_of([corrected(number) for number in (3, 4, 97)])
    assert table.replace_rows(old, new, rows_of([200, 201]), KEY, {"a": 2}, "m") == 2

    left = [row(number) for number in [*range(100), 200, 201] if number not in (3, 4, 97)]
    assert_all_see(table, left + [corrected(number) for number in (3, 4, 97)])
    assert files < set(tmp_path.rglob("*.parquet")), "nothing is rewritten"
    assert (table.transaction("a"), OwnedTable.open(table.uri).transaction("a")) == (2, 2)
    actions = read_actions(TableStore(table.uri), 2) or []
    assert not of_kind(actions, "cdc")
    assert (
        sum(each["deletionVector"]["cardinality"] for each in of_kind(actions, "add") if "deletionVector" in each) == 3
    )


def test_a_file_without_rows_that_are_left_goes_as_a_whole(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    table.append(rows_of(range(10)), {}, "")
    table.replace_rows(rows_of(range(0, 10, 2)), NOTHING, NOTHING, KEY, {}, "")
    assert table.live_files() == 1
    assert_all_see(table, [row(number) for number in range(1, 10, 2)])


def test_rows_may_move_to_another_partition(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    table.append(rows_of(range(10)), {}, "")
    moved = [row(2, region="Übersee/x"), row(3, region=None)]
    table.replace_rows(rows_of([2, 3]), table_of(moved), NOTHING, KEY, {}, "")
    assert_all_see(table, [row(number) for number in range(10) if number not in (2, 3)] + moved)
    table.replace_rows(table_of(moved), rows_of([2, 3]), NOTHING, KEY, {}, "")
    assert_all_see(table, [row(number) for number in range(10)])


@pytest.mark.parametrize(
    ("old", "told"),
    [
        (lambda: rows_of([1, 99]), "2 rows are to be replaced, and 1 of them are not there"),
        (lambda: rows_of([1], region="uk"), "1 rows are to be replaced, and 1 of them are not there"),
        (lambda: rows_of([1, 1]), "2 rows are to be replaced, and 1 of them are not there"),
        (lambda: rows_of([5]), "1 rows are to be replaced, and 1 of them are there twice"),
    ],
)
def test_a_row_that_is_not_there_exactly_once_is_refused(
    tmp_path: Path, old: Callable[[], pa.Table], told: str
) -> None:
    table = made(tmp_path / "t")
    table.append(rows_of(range(10)), {}, "")
    table.append(rows_of([5]), {}, "")
    with pytest.raises(AlteredTableError, match=f"{told}.*changed by somebody else"):
        table.replace_rows(old(), NOTHING, rows_of([50]), KEY, {"a": 1}, "")
    assert (OwnedTable.open(table.uri).version, table.transactions()) == (2, {})


def test_a_row_can_be_replaced_again_and_again_in_vectors_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = made(tmp_path / "t")
    table.append(rows_of(range(200)), {}, "")
    for attempt in range(6):
        monkeypatch.setattr(deletion_vectors, "MOST_INLINE_BYTES", 0 if attempt % 2 else 1000)
        old = rows_of(range(attempt % 3, 200, 9))
        table.replace_rows(old, old, NOTHING, KEY, {}, "")
    assert_all_see(table, [row(number) for number in range(200)])


def test_a_table_without_vectors_is_refused(tmp_path: Path) -> None:
    table = made(tmp_path / "t", {})
    with pytest.raises(IncompatibleTableError, match="has no deletion vectors: rows of it cannot be replaced"):
        table.replace_rows(NOTHING, NOTHING, NOTHING, KEY, {}, "")


def test_of_two_that_replace_one_wins(tmp_path: Path) -> None:
    first = made(tmp_path / "t")
    first.append(rows_of(range(10)), {}, "")
    second = OwnedTable.open(first.uri)
    first.replace_rows(rows_of([1]), table_of([corrected(1)]), NOTHING, KEY, {}, "")
    with pytest.raises(CommitConflictError):
        second.replace_rows(rows_of([1]), NOTHING, NOTHING, KEY, {}, "")
    second.refresh()
    second.replace_rows(table_of([corrected(1)]), NOTHING, NOTHING, KEY, {}, "")
    assert_all_see(second, [row(number) for number in range(10) if number != 1])


@pytest.mark.parametrize("seed", range(3))
def test_any_course_of_commits_leaves_the_rows_of_a_model(tmp_path: Path, seed: int) -> None:
    """Appends, replacements, inserts and compactions in any order, seen by other readers too."""
    chance = random.Random(seed)
    table = made(tmp_path / "t")
    model: dict[int, Row] = {}
    for attempt in range(60):
        new = [row(number) for number in chance.sample(range(attempt * 100, attempt * 100 + 100), chance.randrange(30))]
        changing = chance.sample(sorted(model), min(len(model), chance.randrange(12)))
        kind = chance.choice(["append", "replace", "replace", "compact"])
        if kind == "append":
            table.append(table_of(new), {"a": attempt}, "")
        elif kind == "replace":
            later = [
                model[each] | {"large": attempt, "region": chance.choice(["uk", None, "x/y"])} for each in changing
            ]
            kept = later[: chance.randrange(len(later) + 1)]
            old = table_of([model.pop(each) for each in changing])
            table.replace_rows(old, table_of(kept), table_of(new), KEY, {"a": attempt}, "")
            model |= {each["number"]: each for each in kept}
        else:
            table.compact(2**20, sort_by=["at"])
            continue
        model |= {each["number"]: each for each in new}
        if attempt % 10 == 0:
            table = OwnedTable.open(table.uri)
    assert_all_see(table, list(model.values()))
    while table.compact(2**20, most_deleted=0) is not None:
        pass
    assert_all_see(table, list(model.values()))
    assert sum(file.deleted for file in table.files()) == 0
